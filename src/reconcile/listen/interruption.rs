//! What keeps the listener of a pool from going on.

use crate::reconcile::ports::RemoteCallError;

/// Why the listener does not go on as it was about to.
pub(super) enum Interruption {
    Deleted,
    Superseded,
    /// A call was refused: it is tried again later.
    Failed(RemoteCallError),
}

impl From<RemoteCallError> for Interruption {
    fn from(error: RemoteCallError) -> Self {
        Self::Failed(error)
    }
}
