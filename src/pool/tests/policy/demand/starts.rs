//! Tasks that do not start, or end before their job.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Pool, pool};
use crate::pool::model::ecs::{Placement, StopInfo, TaskPhase};
use crate::pool::policy::demand::DemandMemory;

/// Ends every task.
fn fail(pool: &mut Pool, exit_code: Option<i32>) {
    for task in &mut pool.observed.tasks {
        task.phase = TaskPhase::Stopped;
        let reason = "CannotPullContainerError".to_owned();
        task.ending.get_or_insert(StopInfo { reason, exit_code, at: None });
    }
}

/// Starts as many tasks as each look of so many seconds decides, all of which end at once: when they were, and how many.
fn failed_starts(pool: &mut Pool, secs: u64) -> Vec<(u64, u32)> {
    let mut started = Vec::new();
    for second in 0..secs {
        let n_starts = pool.look(1, &BTreeSet::new()).n_starts;
        if n_starts > 0 {
            started.push((second, n_starts));
            pool.add(usize::try_from(n_starts).unwrap(), TaskPhase::Running);
            fail(pool, None);
        }
    }
    started
}

#[test]
fn tasks_that_end_before_their_job_are_started_one_at_a_time_and_ever_more_rarely() {
    let mut pool = pool(0, 20, 5);
    let started = failed_starts(&mut pool, 600);
    let counts: Vec<u32> = started.iter().map(|(_, n_starts)| *n_starts).collect();
    assert_eq!(counts[..2], [5, 5]);
    assert!(counts[2..].iter().all(|n_starts| *n_starts == 1), "{started:?}");
    assert!(started.len() <= 8, "{started:?}");

    // One that runs its job shows that the others may come.
    pool.add(1, TaskPhase::Running);
    fail(&mut pool, Some(0));
    assert_eq!(pool.look(1, &BTreeSet::new()).n_starts, 5);
}

#[test]
fn start_record_lets_the_next_listener_go_on_with_the_pauses() {
    let mut pool = pool(0, 20, 5);
    failed_starts(&mut pool, 600);
    // ECS shows ended tasks for an hour, those that ran their job among them.
    pool.observed.tasks[0].ending.as_mut().unwrap().exit_code = Some(0);
    pool.demand = DemandMemory::of(pool.demand.starts().clone());
    let started = failed_starts(&mut pool, 600);
    assert!(started.len() <= 3, "{started:?}");
    assert!(started.iter().all(|(_, n_starts)| *n_starts == 1), "{started:?}");
}

#[test]
fn a_task_that_does_not_start_on_its_instance_counts_until_online_timeout_and_is_never_stopped() {
    let mut pool = pool(0, 2, 1).with(1, TaskPhase::Starting);
    let online_timeout = pool.goal.wait_policy.online_timeout.as_secs();
    pool.observed.tasks[0].placement = Placement::On("gone".to_owned());
    assert_eq!(pool.look(0, &BTreeSet::new()).n_starts, 0);
    assert_eq!(pool.look(online_timeout - 1, &BTreeSet::new()).n_starts, 0);
    let overdue = pool.look(1, &BTreeSet::new());
    assert_eq!((overdue.n_starts, overdue.counts.starting, overdue.counts.all), (1, 0, 1));
    pool.add(1, TaskPhase::Running);
    pool.statistics.assigned = 2;
    assert_eq!(pool.look(1, &BTreeSet::from([1])).n_starts, 0, "MaxRunners counts it");
    pool.statistics.assigned = 0;
    assert!(!pool.leavers(200, &BTreeSet::from([1])).contains(&pool.observed.tasks[0].arn));

    // Its instance comes back.
    pool.observed.tasks[0].phase = TaskPhase::Running;
    pool.observed.tasks[0].started_at = Some(pool.now);
    pool.statistics.assigned = 2;
    assert_eq!(pool.look(1, &BTreeSet::from([0, 1])).counts.live, 2);
}

#[test]
fn a_task_that_waited_for_its_instance_gets_online_timeout_from_then_on() {
    let mut pool = pool(0, 2, 1).with(1, TaskPhase::Starting);
    let online_timeout = pool.goal.wait_policy.online_timeout.as_secs();
    pool.look(0, &BTreeSet::new());
    assert_eq!(pool.look(2 * online_timeout, &BTreeSet::new()).n_starts, 0, "it waits for room");
    pool.observed.tasks[0].placement = Placement::On("new".to_owned());
    assert_eq!(pool.look(10, &BTreeSet::new()).n_starts, 0);
    assert_eq!(pool.look(online_timeout - 1, &BTreeSet::new()).n_starts, 0);
    assert_eq!(pool.look(1, &BTreeSet::new()).n_starts, 1);
}

#[test]
fn a_task_that_does_not_start_on_its_instance_is_overdue_for_the_next_listener_as_well() {
    let mut pool = pool(0, 2, 1).with(1, TaskPhase::Starting);
    pool.observed.tasks[0].placement = Placement::On("gone".to_owned());
    pool.now = pool.now + pool.goal.wait_policy.online_timeout + Duration::from_secs(1);
    assert_eq!(pool.look(0, &BTreeSet::new()).n_starts, 1);
}
