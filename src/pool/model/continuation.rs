//! The event with which one invocation passes a request on to the next.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pool::model::memory::Memory;
use crate::pool::model::operation::Operation;
use crate::pool::model::request::RequestInfo;

/// The format of stored bytes. Raised with every field that is added; each older one stays readable, since a field that
/// it lacks has a default.
pub const FORMAT: u16 = 1;

/// A request on its way to a response, as one invocation hands it to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// What is asked for.
    pub operation: Operation,
    /// What cannot be observed again.
    pub memory: Memory,
}

/// The serialized form of a continuation. The requester is a separate field, so that even a continuation from a newer
/// version of the function gets a response.
#[derive(Serialize, Deserialize)]
struct ContinuationEvent {
    #[serde(rename = "GitHubRunnerPoolContinuation")]
    format: u16,
    request: RequestInfo,
    id: String,
    rest: Value,
}

/// An event, read as a continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedContinuation {
    /// The continuation can be resumed.
    Supported(Box<Continuation>),
    /// It is a continuation that this version of the function cannot read.
    UnsupportedVersion {
        /// Who is to be responded to.
        request: RequestInfo,
        /// The pool.
        id: String,
    },
}

impl ParsedContinuation {
    /// Reads an event; `None` if it is no continuation.
    #[must_use]
    pub fn read(event: &Value) -> Option<Self> {
        let envelope = ContinuationEvent::deserialize(event).ok()?;
        let readable = if envelope.format <= FORMAT { serde_json::from_value(envelope.rest).ok() } else { None };
        Some(match readable {
            Some(operation) => Self::Supported(operation),
            None => Self::UnsupportedVersion { request: envelope.request, id: envelope.id },
        })
    }
}

impl Continuation {
    /// The beginning of an operation.
    #[must_use]
    pub fn new(operation: Operation) -> Self {
        Self { operation, memory: Memory::default() }
    }

    /// Another operation of the same request, under the same lock.
    #[must_use]
    pub fn followed_by(&self, operation: Operation) -> Self {
        let lock_version = self.memory.lock_version;
        Self { operation, memory: Memory { lock_version, ..Memory::default() } }
    }

    /// The event with which another invocation resumes. Contains the response URL.
    #[must_use]
    pub fn to_event(&self) -> Vec<u8> {
        let envelope = ContinuationEvent {
            format: FORMAT,
            request: self.operation.request.clone(),
            id: self.operation.id.as_str().to_owned(),
            // Strings, numbers and maps with string keys: nothing in here can fail to serialize.
            rest: serde_json::to_value(self).unwrap_or_default(),
        };
        serde_json::to_vec(&envelope).unwrap_or_default()
    }
}
