//! Tasks whose runners take no job any more, and tasks that end before their job.

use super::*;
use crate::pool::model::ecs::StopInfo;
use crate::pool::model::runner_log::{LogLine, read};

impl Pool {
    fn name(&self, number: usize) -> String {
        format!("r-{}-{}", self.id.hash(), self.observed.tasks[number].short_task_id().unwrap())
    }

    /// One look, after so many seconds, at GitHub's list without these runners. The logs that it asks for show a listener
    /// without a job.
    fn look_without(&mut self, after_secs: u64, unlisted: &[usize]) -> ScalingDecision {
        self.now = self.now + Duration::from_secs(after_secs);
        self.list(&BTreeSet::new());
        let names: Vec<String> = unlisted.iter().map(|number| self.name(*number)).collect();
        if let GitHubRunners::Listed(runners) = &mut self.observed.github {
            runners.retain(|runner| !names.contains(&runner.name));
        }
        let log = read(&[LogLine { at: T0, text: "2026-11-26 00:00:00Z: Listening for Jobs".to_owned() }]);
        let asked = self.memory.logs.asked.iter();
        self.observed.logs = asked.map(|arn| (arn.clone(), LogReading::State(log.clone().unwrap()))).collect();
        self.decide()
    }

    /// The steps of looks ten seconds apart, with GitHub's list where one asks for it.
    fn steps_without(&mut self, n_looks: usize, unlisted: &[usize]) -> BTreeSet<&'static str> {
        let looks = (0..n_looks).flat_map(|_| self.look_without(10, unlisted).steps);
        looks.map(|step| step.name()).collect()
    }

    fn end(&mut self, number: usize, exit_code: i32) {
        let task = &mut self.observed.tasks[number];
        task.phase = TaskPhase::Stopped;
        let reason = "Essential container in task exited".to_owned();
        task.ending = Some(StopInfo { reason, exit_code: Some(exit_code), at: None });
    }
}

fn message(event: JobEvent) -> ScaleSetMessage {
    ScaleSetMessage { id: 1, statistics: None, events: vec![event] }
}

#[test]
fn a_container_that_outlasts_its_registration_is_stopped_after_online_timeout() {
    // GitHub has taken the registration of an ephemeral runner for a job that the runner never began.
    let mut pool = pool(0, 20, 1).with(1, TaskPhase::Running);
    let online_timeout = pool.goal.wait_policy.online_timeout.as_secs();
    assert_eq!(pool.look_without(10, &[0]).n_starts, 0);
    pool.now = pool.now + Duration::from_secs(online_timeout);
    let steps = pool.steps_without(40, &[0]);
    assert!(steps.contains("stop_task"), "{steps:?}");
}

#[test]
fn a_job_gets_another_runner_where_a_container_without_one_has_no_log() {
    let mut pool = pool(0, 20, 1).with(1, TaskPhase::Running);
    pool.now = pool.now + pool.goal.wait_policy.online_timeout;
    let mut n_starts = 0;
    for _ in 0..40 {
        pool.now = pool.now + Duration::from_secs(10);
        pool.list(&BTreeSet::new());
        pool.observed.github = GitHubRunners::Listed(Vec::new());
        let decision = pool.decide();
        assert_eq!(decision.steps, Vec::new(), "it may be busy");
        n_starts += decision.n_starts;
        if n_starts > 0 {
            break;
        }
    }
    assert_eq!(n_starts, 1);
}

#[test]
fn a_runner_that_was_online_once_is_looked_for_again() {
    let mut pool = pool(0, 20, 1).with(1, TaskPhase::Running);
    pool.now = pool.now + pool.goal.wait_policy.online_timeout;
    // The list of this look, which is not read again unless a look asks for it.
    pool.list(&BTreeSet::new());
    let mut scopes = Vec::new();
    for _ in 0..60 {
        scopes.push(pool.decide().scope);
        pool.now = pool.now + Duration::from_secs(10);
    }
    let n_asked = scopes.iter().filter(|scope| **scope == ObserveScope::Runners).count();
    assert_eq!(n_asked, 2, "each five minutes: {scopes:?}");
}

#[test]
fn a_container_that_outlasts_its_job_leaves_its_place_to_another() {
    let mut pool = pool(0, 1, 1).with(1, TaskPhase::Running);
    let completed = JobEvent::Completed { runner: Some(pool.name(0)) };
    pool.demand.record_message(&message(completed));
    assert_eq!(pool.look_without(0, &[0]).n_starts, 0, "MaxRunners counts it");
    let steps = pool.steps_without(80, &[0]);
    assert!(steps.contains("stop_task"), "{steps:?}");
}

#[test]
fn runners_that_the_pool_has_deregistered_are_no_failures() {
    let mut pool = pool(0, 20, 0).with(4, TaskPhase::Running);
    for number in 0..4 {
        let key = pool.observed.tasks[number].short_task_id().unwrap().to_owned();
        pool.memory.record_step(StepResult::Deregistered { key }, pool.now);
        pool.end(number, 1);
        pool.look(10, &BTreeSet::new());
    }
    pool.statistics.assigned = 5;
    assert_eq!(pool.look(10, &BTreeSet::new()).n_starts, 5);
}

#[test]
fn a_lost_job_is_no_start_that_failed() {
    let mut pool = pool(0, 20, 4).with(4, TaskPhase::Running);
    for number in 0..4 {
        let started = JobEvent::Started { runner: pool.name(number) };
        pool.demand.record_message(&message(started));
    }
    for number in 0..4 {
        pool.end(number, 137);
        pool.look(10, &BTreeSet::from([0, 1, 2, 3]));
    }
    assert_eq!(pool.observed.tasks.len(), 4);
    pool.statistics.assigned = 6;
    assert_eq!(pool.look(10, &BTreeSet::new()).n_starts, 6);
}

#[test]
fn a_job_that_starts_shows_that_tasks_go_well_again() {
    let mut pool = pool(0, 20, 4);
    for number in 0..4 {
        pool = pool.with(1, TaskPhase::Running);
        pool.end(number, 137);
        pool.look(10, &BTreeSet::new());
    }
    assert_eq!(pool.look(10, &BTreeSet::new()).n_starts, 0, "starts have become rare");
    pool = pool.with(1, TaskPhase::Running);
    let started = JobEvent::Started { runner: pool.name(4) };
    pool.demand.record_message(&message(started));
    assert_eq!(pool.look(10, &BTreeSet::from([4])).n_starts, 3);
}

#[test]
fn max_runners_of_thousands_is_reached_in_several_looks() {
    // Between two of them the listener polls, which keeps its session, and learns of a request.
    let mut pool = pool(0, 5_000, 5_000);
    let first = pool.look(10, &BTreeSet::new());
    assert_eq!(first.n_starts, 200);
}
