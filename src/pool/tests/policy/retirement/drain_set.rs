//! How many of several runners leave at once, in what order, and what `DrainTimeout` does to those that remain.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope};
use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::memory::{Memory, REGISTRATION_GRACE};
use crate::pool::model::observed::{GitHubRunners, Observed, Reading};
use crate::pool::model::operation::Goal;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_log::NoLog;
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::step::Step;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::retirement::{Drain, DrainProgress, DrainSet, retire};
use crate::pool::tests::support::{POLL, delete, runner, spec, task};

const NOW: Timestamp = Timestamp::from_epoch_millis(1_800_010_000_000);
/// `DrainTimeout` of the minimal template.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1800);

/// Where a runner and its task stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    /// Idle for the whole confirmation window, without a log.
    Idle,
    /// The same, and whether it has a log is not known yet.
    IdleWithLog,
    /// Idle, not for the window.
    JustIdle,
    Busy,
    /// Its runner was deregistered and its container has to end.
    Ending,
    /// The same, and its container should have ended.
    PresumedBusy,
    /// It never registered a runner, and its grace is over.
    NeverRegistered,
    Stopping,
}

struct Pool {
    observed: Observed,
    memory: Memory,
    on_drain_timeout: OnDrainTimeout,
}

fn digits(number: usize) -> String {
    format!("{number:012x}")
}

/// A pool whose first runner is number 1.
fn pool(states: &[Is]) -> Pool {
    let id = delete(&spec()).id.clone();
    let (mut observed, mut memory) = (Observed::default(), Memory::default());
    let mut runners = Vec::new();
    for (number, is) in (1..).zip(states) {
        let mut task = task(&id, &digits(number));
        let github_id = u64::try_from(number).unwrap();
        let runner = runner(&id, github_id, &digits(number));
        if *is != Is::IdleWithLog {
            memory.logs.absent.insert(task.arn.clone(), NoLog::NotConfigured);
        }
        match is {
            Is::Idle | Is::IdleWithLog => {
                memory.idle_since.insert(github_id, NOW - Duration::from_secs(60));
                runners.push(runner);
            }
            Is::JustIdle => {
                memory.idle_since.insert(github_id, NOW);
                runners.push(runner);
            }
            Is::Busy => runners.push(Runner { is_busy: true, ..runner }),
            Is::Ending => drop(memory.deregistered_at.insert(digits(number), NOW)),
            Is::PresumedBusy => drop(memory.deregistered_at.insert(digits(number), NOW - Duration::from_secs(600))),
            Is::NeverRegistered => {
                memory.unregistered_since.insert(task.arn.clone(), NOW - REGISTRATION_GRACE);
                memory.never_protected.insert(task.arn.clone());
            }
            Is::Stopping => task.phase = TaskPhase::Stopping,
        }
        observed.tasks.push(task);
    }
    observed.github = GitHubRunners::Listed(runners);
    observed.github_read = Some(Reading { began_at: NOW, ended_at: NOW });
    memory.drain_started_at = Some(NOW);
    Pool { observed, memory, on_drain_timeout: OnDrainTimeout::Cancel }
}

impl Pool {
    fn retire(&mut self, count: usize) -> DrainProgress {
        let mut operation = delete(&spec());
        let id = operation.id.clone();
        if let Goal::Delete(goal) = &mut operation.goal {
            goal.wait_policy.on_drain_timeout = self.on_drain_timeout;
        }
        let tasks: Vec<&Task> = self.observed.tasks.iter().collect();
        let leavers = DrainSet { tasks: &tasks, count };
        let at = DecisionTime { now: NOW, poll: POLL };
        {
            let metadata = PoolMetadata::of(&id, &spec());
            retire(Drain::of(&operation, &metadata), &mut self.memory, &self.observed, leavers, at)
        }
    }

    /// The steps, with the number of the runner or task that each is about.
    fn steps(&mut self, count: usize) -> Vec<(&'static str, u64)> {
        let progress = self.retire(count);
        let DrainProgress::Pending(Decision::Act(steps)) = progress else { panic!("no step: {progress:?}") };
        let number = |arn: &str| {
            let task = self.observed.tasks.iter().find(|task| task.arn == arn).unwrap();
            u64::from_str_radix(task.short_container_id().unwrap(), 16).unwrap()
        };
        let mut found = Vec::new();
        for step in &steps {
            if let Step::DeregisterRunner(runner) = step {
                found.push((step.name(), runner.id()));
            }
            if let Step::StopTask(task) = step {
                found.push((step.name(), number(task.arn())));
            }
        }
        found
    }

    fn after_drain_timeout(mut self) -> Self {
        self.memory.drain_started_at = Some(NOW - DRAIN_TIMEOUT);
        self
    }
}

#[test]
fn deregister_runner_for_as_many_idle_runners_as_are_to_leave() {
    assert_eq!(pool(&[Is::Idle; 3]).steps(2), [("deregister_runner", 1), ("deregister_runner", 2)]);
    assert_eq!(pool(&[Is::Busy, Is::Idle, Is::Idle]).steps(1), [("deregister_runner", 2)]);
    assert_eq!(pool(&[Is::NeverRegistered; 3]).steps(1), [("stop_task", 1)]);
    assert_eq!(pool(&[Is::NeverRegistered, Is::Idle, Is::Idle]).steps(2), [("stop_task", 1), ("deregister_runner", 2)]);
    for gone in [Is::Ending, Is::PresumedBusy, Is::Stopping] {
        assert_eq!(pool(&[gone, Is::Idle, Is::Idle]).steps(2), [("deregister_runner", 2)], "one has left already");
        let progress = pool(&[gone, Is::Idle]).retire(1);
        assert!(matches!(progress, DrainProgress::Pending(Decision::Wait { .. })), "{progress:?}");
    }
    assert_eq!(pool(&[Is::Idle]).retire(0), DrainProgress::Done);
    assert_eq!(pool(&[]).retire(1), DrainProgress::Done);
}

#[test]
fn logs_are_read_of_as_many_runners_as_may_leave() {
    let mut pool = pool(&[Is::Stopping, Is::IdleWithLog, Is::IdleWithLog]);
    let progress = pool.retire(2);
    let DrainProgress::Pending(Decision::Wait { until, scope, .. }) = progress else { panic!("{progress:?}") };
    assert_eq!((until, scope), (NOW, ObserveScope::RunnerLogs));
    assert_eq!(pool.memory.logs.asked, [pool.observed.tasks[1].arn.clone()].into());
}

#[test]
fn outdated_runner_list_is_read_again() {
    for (age_secs, is_outdated) in [(30, false), (31, true)] {
        let mut pool = pool(&[Is::Idle]);
        let ended_at = NOW - Duration::from_secs(age_secs);
        pool.observed.github_read = Some(Reading { began_at: ended_at, ended_at });
        let progress = pool.retire(1);
        let is_read_again = matches!(
            &progress,
            DrainProgress::Pending(Decision::Wait { until, scope: ObserveScope::Runners, .. }) if *until == NOW
        );
        assert_eq!(is_read_again, is_outdated, "{age_secs}: {progress:?}");
    }
}

#[test]
fn drain_timeout_stops_as_many_tasks_as_were_to_leave() {
    assert_eq!(pool(&[Is::Busy; 3]).after_drain_timeout().steps(2), [("stop_task", 1), ("stop_task", 2)]);
    assert_eq!(pool(&[Is::Ending, Is::Busy, Is::Busy]).after_drain_timeout().steps(2), [("stop_task", 2)]);
    assert_eq!(pool(&[Is::PresumedBusy, Is::Busy]).after_drain_timeout().steps(1), [("stop_task", 1)]);
    let both = pool(&[Is::Busy, Is::PresumedBusy]).after_drain_timeout().steps(2);
    assert_eq!(both, [("stop_task", 2), ("stop_task", 1)]);
    for ends_by_itself in [Is::JustIdle, Is::Ending, Is::Stopping] {
        let progress = pool(&[ends_by_itself]).after_drain_timeout().retire(1);
        assert!(matches!(progress, DrainProgress::Pending(Decision::Wait { .. })), "{progress:?}");
    }
}

#[test]
fn drain_timeout_is_the_end_of_the_wait_to_the_second() {
    let mut pool = pool(&[Is::Busy]);
    pool.memory.drain_started_at = Some(NOW + Duration::from_secs(1) - DRAIN_TIMEOUT);
    let progress = pool.retire(1);
    let DrainProgress::Pending(Decision::Wait { until, .. }) = progress else { panic!("{progress:?}") };
    assert_eq!(until, NOW + Duration::from_secs(1));
}

#[test]
fn on_drain_timeout_fail_names_the_runners_that_remain() {
    let mut pool = pool(&[Is::Busy, Is::PresumedBusy, Is::Stopping]).after_drain_timeout();
    pool.on_drain_timeout = OnDrainTimeout::Fail;
    let progress = pool.retire(3);
    let DrainProgress::TimedOut { remaining } = progress else { panic!("{progress:?}") };
    let id = delete(&spec()).id.clone();
    let container = &pool.observed.tasks[1].arn;
    assert_eq!(
        remaining,
        [
            format!("{container}, presumed busy: {}", NoLog::NotConfigured),
            format!("github-runner-{}-{}", id.hash(), digits(1)),
        ]
    );
}
