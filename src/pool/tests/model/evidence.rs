//! What may be done to a task, a runner, an instance or a pool, and what may not.

use std::time::Duration;

use crate::pool::model::ecs::{ContainerInstance, Placement, Task, TaskPhase};
use crate::pool::model::evidence::{
    DeletionEvidence, EmptyInstance, IdleRunner, LogWitness, OrphanedRunner, OwnedTask, StackDeletion, StopReason,
    StoppableTask,
};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::Goal;
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_log::NoLog;
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::tests::support::{
    T0, converge, delete, foreign, instance, later, lock_of, locked_create, runner, spec, stack_resource, succeeded,
    task,
};

const DIGITS: &str = "0123456789ab";
const OTHER_DIGITS: &str = "123456789abc";

fn id() -> PhysicalId {
    PhysicalId::of(&stack_resource(), &spec())
}

fn matcher() -> RunnerMatcher {
    RunnerMatcher::of(&id(), &spec())
}

#[test]
fn owned_task_is_started_by_the_service_of_the_pool() {
    let own = task(&id(), DIGITS);
    let evidence = OwnedTask::of(&id(), &own).unwrap();
    assert_eq!(evidence.arn(), own.arn);
    let stoppable = StoppableTask::new(evidence, StopReason::NeverRegistered);
    assert_eq!((stoppable.arn(), stoppable.why()), (own.arn.as_str(), StopReason::NeverRegistered));
    for group in [format!("service:{}x", id()), format!("family:{}", id()), id().to_string(), String::new()] {
        assert_eq!(OwnedTask::of(&id(), &Task { group: group.clone(), ..own.clone() }), None, "{group}");
    }
}

#[test]
fn idle_runner_needs_the_pool_s_runner_idle_now_and_for_the_whole_idle_confirmation() {
    let window = Duration::from_secs(60);
    let now = T0 + window;
    let own = runner(&id(), 7, DIGITS);
    let confirmed = |runner: &Runner, since| {
        IdleRunner::confirmed(&matcher(), runner, since, window, LogWitness::Absent(NoLog::NotConfigured), now)
    };
    let evidence = confirmed(&own, Some(T0)).unwrap();
    assert_eq!((evidence.id(), evidence.name()), (7, own.name.as_str()));
    assert_eq!(evidence.log(), &LogWitness::Absent(NoLog::NotConfigured));
    assert_eq!(confirmed(&own, Some(T0 + Duration::from_secs(1))), None, "for less than the window");
    assert_eq!(confirmed(&own, None), None, "never read as idle");
    assert_eq!(confirmed(&Runner { is_busy: true, ..own.clone() }, Some(T0)), None, "busy in this reading");
    assert_eq!(confirmed(&Runner { labels: [].into(), ..own }, Some(T0)), None, "another owner's");
}

#[test]
fn orphaned_runner_needs_that_no_live_task_may_be_behind_it() {
    let own = runner(&id(), 7, DIGITS);
    let is_orphan = |runner: &Runner, tasks: &[Task]| {
        OrphanedRunner::of(&matcher(), runner, tasks).is_some_and(|orphan| {
            assert_eq!((orphan.id(), orphan.name()), (runner.id, runner.name.as_str()));
            true
        })
    };
    let (behind, other) = (task(&id(), DIGITS), task(&id(), OTHER_DIGITS));
    assert!(is_orphan(&own, &[]));
    assert!(is_orphan(&own, std::slice::from_ref(&other)));
    assert!(!is_orphan(&own, &[other.clone(), behind.clone()]));
    assert!(is_orphan(&own, &[Task { phase: TaskPhase::Stopped, ..behind.clone() }]));
    assert!(!is_orphan(&own, &[Task { phase: TaskPhase::Stopping, ..behind }]), "it still runs");
    assert!(!is_orphan(&own, &[Task { runtime_id: None, ..other.clone() }]), "the id of its container is not known");
    assert!(!is_orphan(&Runner { is_busy: true, ..own.clone() }, &[]));
    assert!(!is_orphan(&Runner { labels: [].into(), ..own }, &[]), "another owner's");

    let mut named = spec();
    named.runner.name = Some("builder".to_owned());
    let matcher = RunnerMatcher::of(&id(), &named);
    let builder = foreign(8, "builder", id().as_str());
    assert!(OrphanedRunner::of(&matcher, &builder, &[]).is_some());
    assert_eq!(OrphanedRunner::of(&matcher, &builder, &[other]), None, "a fixed name leads to no task");
}

#[test]
fn empty_instance_needs_no_counted_and_no_listed_task() {
    let empty = instance(1);
    let on_it = Task { placement: Placement::On(empty.arn.clone()), ..task(&id(), DIGITS) };
    let elsewhere = Task { placement: Placement::On(instance(2).arn), ..task(&id(), DIGITS) };
    assert_eq!(EmptyInstance::of(&empty, &[elsewhere]).unwrap().arn(), empty.arn);
    assert_eq!(EmptyInstance::of(&ContainerInstance { n_tasks: 1, ..instance(1) }, &[]), None);
    let phased = |phase| [Task { phase, ..on_it.clone() }];
    assert_eq!(EmptyInstance::of(&empty, &phased(TaskPhase::Running)), None);
    assert_eq!(EmptyInstance::of(&empty, &phased(TaskPhase::Stopping)), None, "within its stop timeout");
    assert!(EmptyInstance::of(&empty, &phased(TaskPhase::Stopped)).is_some());
}

#[test]
fn named_evidence_is_the_physical_id_of_a_pool_of_the_resource() {
    let evidence = DeletionEvidence::named(&stack_resource(), id().as_str()).unwrap();
    assert_eq!(evidence.pool(), &id());
    assert!(!evidence.is_unanswered_create() && !evidence.covers_resource());
    assert_eq!(DeletionEvidence::named(&stack_resource(), "ci-Runners-1ABCDEFGHIJKL"), None);
}

#[test]
fn evidence_of_an_earlier_invocation_is_in_the_operation_lock_of_the_same_request() {
    let mut whole_stack = later(delete(&spec()), "delete", 60);
    let stack = StackDeletion::of("DELETE_IN_PROGRESS").unwrap().of_pool(id());
    assert!(stack.covers_resource());
    if let Goal::Delete(goal) = &mut whole_stack.operation.goal {
        goal.evidence = stack;
    }
    let again = DeletionEvidence::again(&lock_of(&whole_stack), &whole_stack.request).unwrap();
    assert!(again.covers_resource() && again.pool() == &id());

    let named = later(delete(&spec()), "delete", 60);
    let again = DeletionEvidence::again(&lock_of(&named), &named.request).unwrap();
    assert!(!again.covers_resource() && again.is_unanswered_create());
    let other = later(delete(&spec()), "other", 120);
    assert_eq!(DeletionEvidence::again(&lock_of(&named), &other.request), None, "another request's");
    assert_eq!(DeletionEvidence::again(&lock_of(&locked_create()), &locked_create().request), None, "of no Delete");
}

#[test]
fn update_back_evidence_needs_a_lock_in_which_the_other_pool_has_no_success() {
    let open = lock_of(&converge(spec()));
    assert_eq!(DeletionEvidence::update_back(&id(), Some(&open)).unwrap().pool(), &id());
    assert_eq!(DeletionEvidence::update_back(&id(), Some(&open.with_response("done", &succeeded()))), None);
    assert_eq!(DeletionEvidence::update_back(&id(), None), None);
}

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
    assert_eq!(evidence(&create.with_response("done", &succeeded()), Some("DELETE_IN_PROGRESS")), None);
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
