//! What keeps the listener of a pool from going on.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::reconcile::ports::RemoteCallError;

/// Why the listener does not go on as it was about to.
pub(super) enum Interruption {
    Deleted,
    Superseded,
    /// A call was refused: it is tried again later.
    Failed(RemoteCallError),
}

impl Interruption {
    /// The set has another session. GitHub lets go of it about 50 seconds after its last poll.
    pub(super) fn session_conflict(id: &PhysicalId) -> Self {
        let remote_error = RemoteError {
            remote: RemoteService::GitHub,
            kind: ErrorKind::Conflict,
            operation: "CreateSession".to_owned(),
            code: None,
            message: format!("the runner scale set of {id} has another session"),
        };
        Self::Failed(RemoteCallError { remote_error, source: None })
    }
}

impl From<RemoteCallError> for Interruption {
    fn from(error: RemoteCallError) -> Self {
        Self::Failed(error)
    }
}
