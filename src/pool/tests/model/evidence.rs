//! What may be done to a task, a runner, an instance or a pool, and what may not.

use crate::pool::model::evidence::{DeletionEvidence, StackDeletion};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::tests::support::{lock_of, locked_create, succeeded};

#[test]
fn unanswered_create_is_evidence_unless_the_stack_has_succeeded() {
    let create = lock_of(&locked_create());
    let evidence = |lock: &OperationLock, status| DeletionEvidence::unanswered_create(lock, status);
    for status in ["DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"] {
        assert_eq!(evidence(&create, Some(status)).unwrap().pool(), &locked_create().id, "{status}");
    }
    assert!(evidence(&create, None).is_some(), "the stack is gone");
    // A SUCCESS is sent although it cannot be written down. The id is then of an earlier Create, which had no response.
    for status in ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"] {
        assert_eq!(evidence(&create, Some(status)), None, "{status}");
    }
    assert_eq!(evidence(&create.answered("done", &succeeded()), Some("DELETE_IN_PROGRESS")), None);
}

#[test]
fn stack_deletion_needs_delete_in_progress_or_rollback_in_progress() {
    for status in ["DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"] {
        assert!(StackDeletion::of(status).is_some(), "{status}");
    }
    for status in [
        "CREATE_FAILED",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "DELETE_FAILED",
        "DELETE_COMPLETE",
        "",
    ] {
        assert!(StackDeletion::of(status).is_none(), "{status}");
    }
}
