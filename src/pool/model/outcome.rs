//! The outcome of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The outcome that the response reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The goal is reached.
    Succeeded {
        /// `Fn::GetAtt`; empty after a Delete.
        attributes: BTreeMap<String, String>,
        /// Warnings for people.
        notes: Vec<String>,
    },
    /// The goal is not reached.
    Failed {
        /// The failure reason: what is wrong, where, and what to do.
        reason: String,
    },
}

impl Outcome {
    /// A failure for this reason.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into() }
    }
}
