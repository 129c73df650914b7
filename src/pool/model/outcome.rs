//! How a request ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The pool is as it should be.
    Succeeded {
        /// `Fn::GetAtt`; empty after a Delete.
        attributes: BTreeMap<String, String>,
        /// What a person should know all the same.
        notes: Vec<String>,
    },
    /// It is not.
    Failed {
        /// What, where, and what to do next.
        reason: String,
    },
}

impl Outcome {
    /// A failure for this reason.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into() }
    }
}
