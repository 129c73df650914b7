//! A call that failed.

use std::error::Error;
use std::fmt;

use crate::pool::model::remote_error::{ErrorKind, RemoteError};

/// A call that failed: the observation for the pool, and the chain of causes for the log.
#[derive(Debug)]
pub struct RemoteCallError {
    /// The part that policy sees.
    pub remote_error: RemoteError,
    /// The underlying error. Never contains a credential or the response URL.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl RemoteCallError {
    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.remote_error.kind
    }
}

impl fmt::Display for RemoteCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote_error.fmt(f)
    }
}

impl Error for RemoteCallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| -> &(dyn Error + 'static) { source.as_ref() })
    }
}

/// The outcome of a call.
pub type RemoteResult<T> = Result<T, RemoteCallError>;
