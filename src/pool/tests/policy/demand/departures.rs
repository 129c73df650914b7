//! Runners that leave beside others whose jobs are waited for, looked at when the pool says.

use super::*;

/// Between the moment of a look and the answers to its calls.
const CALLS: Duration = Duration::from_secs(1);
/// `SURPLUS_CONFIRMATION`, `IdleConfirmation`, and some looks.
const LEAVES_WITHIN: Duration = Duration::from_secs(240);

/// Whether this runner is deregistered in time, with GitHub's list where a look asks for it.
fn leaves(pool: &mut Pool, number: usize, busy: &BTreeSet<usize>) -> bool {
    let name = format!("r-{}-{}", pool.id.hash(), pool.observed.tasks[number].short_task_id().unwrap());
    let until = pool.now + LEAVES_WITHIN;
    let mut scope = ObserveScope::Tasks;
    while pool.now < until {
        if scope == ObserveScope::Tasks {
            pool.observed.github = GitHubRunners::NotQueried;
        } else {
            pool.list(busy);
        }
        let decision = pool.decide();
        let is_it = |step: &Step| matches!(step, Step::DeregisterRunner(runner) if runner.name() == name);
        if decision.steps.iter().any(is_it) {
            return true;
        }
        scope = decision.scope;
        pool.now = pool.now.max(decision.look_at) + CALLS;
    }
    false
}

#[test]
fn a_surplus_runner_leaves_beside_a_busy_one_of_an_older_revision() {
    let mut pool = pool(0, 20, 2).with(3, TaskPhase::Running);
    pool.observed.tasks[0].task_definition = "older".to_owned();
    assert!(leaves(&mut pool, 2, &BTreeSet::from([0, 1])));
}

#[test]
fn a_surplus_runner_leaves_beside_a_container_that_outlasts_its_registration() {
    let mut pool = pool(0, 20, 1).with(3, TaskPhase::Running);
    // The pool has no LogGroup, so that the container is presumed busy.
    let key = pool.observed.tasks[0].short_task_id().unwrap().to_owned();
    pool.memory.record_step(StepResult::Deregistered { key }, pool.now);
    pool.now = pool.now + Duration::from_secs(120);
    assert!(leaves(&mut pool, 2, &BTreeSet::from([1])));
}
