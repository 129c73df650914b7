//! `MaxRunners`: how many tasks a look starts, and which runners leave.

mod dead_runners;
mod departures;
mod messages;
mod starts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::pool::model::decision::ObserveScope;
use crate::pool::model::ecs::{Placement, Task, TaskPhase};
use crate::pool::model::evidence::StopReason;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::{Memory, StepResult};
use crate::pool::model::observed::{GitHubRunners, LogReading, Observed, Reading};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner::Runner;
use crate::pool::model::scale_set::{JobEvent, JobStatistics, ScaleSetMessage};
use crate::pool::model::scaling::{ScalingGoal, ScalingMode};
use crate::pool::model::spec::{JobScaling, PoolSpec, WaitPolicy};
use crate::pool::model::step::Step;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::demand::{DemandMemory, Look, ScalingDecision, decide};
use crate::pool::tests::support::{POLL, T0, spec, stack_resource, task};

const REVISION: &str = "arn:aws:ecs:eu-central-1:111122223333:task-definition/pool:7";

/// A pool with as many runners as jobs, in the hands of its listener.
struct Pool {
    id: PhysicalId,
    goal: ScalingGoal,
    statistics: JobStatistics,
    demand: DemandMemory,
    memory: Memory,
    observed: Observed,
    now: Timestamp,
}

fn scaled(min: u32, max: u32) -> PoolSpec {
    let mut spec = spec();
    spec.desired_count = min;
    spec.job_scaling = Some(JobScaling { max_runners: max, scale_set_name: None });
    spec.runner.ephemeral = true;
    spec
}

fn pool(min: u32, max: u32, assigned: u32) -> Pool {
    let spec = scaled(min, max);
    let id = PhysicalId::of(&stack_resource(), &spec);
    let metadata = PoolMetadata::of(&id, &spec);
    let goal = ScalingGoal {
        request_id: "request-1".to_owned(),
        mode: ScalingMode::Active,
        scale_set: 7,
        metadata: metadata.clone(),
        min_runners: min,
        max_runners: max,
        task_definition: REVISION.to_owned(),
        capacity_provider: id.as_str().to_owned(),
        distinct_instances: false,
        tags: BTreeMap::new(),
        wait_policy: WaitPolicy::default(),
    };
    let observed = Observed { metadata: Some(metadata), ..Observed::default() };
    Pool {
        id,
        goal,
        statistics: JobStatistics { assigned, ..JobStatistics::default() },
        demand: DemandMemory::default(),
        memory: Memory::default(),
        observed,
        now: T0,
    }
}

impl Pool {
    /// With this many more tasks in a phase.
    fn with(mut self, n: usize, phase: TaskPhase) -> Self {
        self.add(n, phase);
        self
    }

    fn add(&mut self, n: usize, phase: TaskPhase) {
        for _ in 0..n {
            let number = self.observed.tasks.len();
            let standalone = Task {
                task_definition: REVISION.to_owned(),
                group: format!("family:{}", self.id),
                started_by: Some(self.id.as_str().to_owned()),
                phase,
                desired_stopped: false,
                placement: Placement::of((phase != TaskPhase::Starting).then(|| "instance".to_owned())),
                started_at: (phase != TaskPhase::Starting).then_some(T0),
                ..task(&self.id, &format!("{number:012x}"))
            };
            self.observed.tasks.push(standalone);
        }
    }

    /// One look, after so many seconds, with GitHub's list where it is asked for.
    fn look(&mut self, after_secs: u64, busy: &BTreeSet<usize>) -> ScalingDecision {
        self.now = self.now + Duration::from_secs(after_secs);
        self.list(busy);
        let decision = self.decide();
        for step in &decision.steps {
            if let Step::DeregisterRunner(runner) = step {
                let key = self.goal.metadata.matcher.runner_key(runner.name()).to_owned();
                self.memory.record_step(StepResult::Deregistered { key }, self.now);
            }
        }
        decision
    }

    /// What is decided by what was observed.
    fn decide(&mut self) -> ScalingDecision {
        let at = DecisionTime { now: self.now, poll: POLL };
        self.memory.record_observation(&self.observed, at);
        let Self { id, goal, statistics, demand, memory, observed, .. } = self;
        decide(Look { id, goal, statistics, observed, at }, demand, memory)
    }

    fn list(&mut self, busy: &BTreeSet<usize>) {
        let deregistered = &self.memory.deregistered_at;
        let runners = self.observed.tasks.iter().enumerate().filter(|(_, task)| task.is_running());
        let runners = runners.filter(|(_, task)| !task.short_ids().any(|id| deregistered.contains_key(id)));
        let runners = runners.map(|(number, task)| Runner {
            id: u64::try_from(number).unwrap(),
            name: format!("r-{}-{}", self.id.hash(), task.short_task_id().unwrap()),
            is_online: true,
            is_busy: busy.contains(&number),
            labels: BTreeSet::from([self.id.as_str().to_owned()]),
            version: None,
        });
        self.observed.github = GitHubRunners::Listed(runners.collect());
        self.observed.github_read = Some(Reading { began_at: self.now, ended_at: self.now });
        let asked = self.memory.logs.asked.iter();
        self.observed.logs = asked.map(|arn| (arn.clone(), LogReading::NotConfigured)).collect();
    }

    /// The numbers of tasks whose runners leave within this many looks, ten seconds apart.
    fn leavers(&mut self, n_looks: usize, busy: &BTreeSet<usize>) -> BTreeSet<String> {
        let (mut leavers, mut withdrawn) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..n_looks {
            let decision = self.look(10, busy);
            assert_eq!(decision.n_starts, 0, "nothing is started while runners leave");
            for step in decision.steps {
                if let Step::DeregisterRunner(runner) = step {
                    leavers.insert(runner.name().to_owned());
                } else if let Step::WithdrawRegistration(task) = step {
                    withdrawn.insert(task.arn().to_owned());
                } else if let Step::StopTask(task) = step {
                    let has_runner = matches!(task.why(), StopReason::Deregistered(_));
                    assert!(has_runner || withdrawn.contains(task.arn()), "{task:?} may still get a runner");
                    leavers.insert(task.arn().to_owned());
                } else {
                    panic!("not a listener's: {step:?}");
                }
            }
        }
        leavers
    }
}

#[test]
fn max_runners_limits_the_starts_that_assigned_jobs_and_min_runners_ask_for() {
    let none_busy = BTreeSet::new();
    for (min, max, assigned, running, ending, expected) in [
        (0, 20, 0, 0, 0, 0),
        (0, 20, 1, 0, 0, 1),
        (0, 20, 40, 0, 0, 20),
        (0, 20, 40, 12, 0, 8),
        // Tasks that still end have a share of MaxRunners.
        (0, 20, 40, 12, 5, 3),
        (0, 20, 40, 12, 8, 0),
        // Idle runners are kept in addition to those with jobs.
        (2, 20, 3, 3, 0, 2),
        (2, 4, 3, 3, 0, 1),
        (2, 20, 0, 0, 0, 2),
    ] {
        let mut pool = pool(min, max, assigned).with(running, TaskPhase::Running).with(ending, TaskPhase::Stopping);
        assert_eq!(pool.look(0, &none_busy).n_starts, expected, "{min} {max} {assigned} {running} {ending}");
    }
}

#[test]
fn a_runner_that_has_completed_its_job_does_not_count_for_the_next_one() {
    let mut pool = pool(0, 20, 1).with(1, TaskPhase::Running);
    assert_eq!(pool.look(0, &BTreeSet::from([0])).n_starts, 0);
    let name = format!("r-{}-{}", pool.id.hash(), pool.observed.tasks[0].short_task_id().unwrap());
    let event = JobEvent::Completed { runner: Some(name) };
    pool.demand.record_message(&ScaleSetMessage { id: 1, statistics: None, events: vec![event] });
    assert_eq!(pool.look(0, &BTreeSet::from([0])).n_starts, 1);
}

#[test]
fn a_surplus_runner_leaves_only_after_it_was_watched_and_a_busy_one_never() {
    let busy = BTreeSet::from([0]);
    let mut pool = pool(0, 20, 0).with(3, TaskPhase::Running);
    assert_eq!(pool.leavers(3, &busy), BTreeSet::new(), "not on one reading, nor before SURPLUS_CONFIRMATION");
    let leavers = pool.leavers(12, &busy);
    assert_eq!(leavers.iter().filter(|name| name.starts_with("r-")).count(), 2, "{leavers:?}");
    let busy_name = format!("-{}", pool.observed.tasks[0].short_task_id().unwrap());
    assert!(!leavers.iter().any(|name| name.ends_with(&busy_name)), "{leavers:?}");
    // However long its job takes: there is no DrainTimeout for a listener.
    let much_later = pool.leavers(1_000, &busy);
    assert!(!much_later.contains(&pool.observed.tasks[0].arn), "{much_later:?}");
}

#[test]
fn a_surplus_that_passes_lets_no_runner_leave() {
    let none_busy = BTreeSet::new();
    let mut pool = pool(0, 20, 0).with(2, TaskPhase::Running);
    assert_eq!(pool.leavers(2, &none_busy), BTreeSet::new());
    pool.statistics.assigned = 2;
    assert_eq!(pool.leavers(30, &none_busy), BTreeSet::new());
    pool.statistics.assigned = 0;
    assert_eq!(pool.leavers(3, &none_busy), BTreeSet::new(), "the confirmation begins anew");
}

#[test]
fn a_task_without_an_instance_is_stopped_before_any_runner() {
    let none_busy = BTreeSet::new();
    let mut pool = pool(0, 20, 1).with(1, TaskPhase::Running).with(2, TaskPhase::Starting);
    let unplaced: BTreeSet<String> = pool.observed.tasks[1..].iter().map(|task| task.arn.clone()).collect();
    assert_eq!(pool.leavers(3, &none_busy), BTreeSet::new());
    assert_eq!(pool.leavers(1, &none_busy), unplaced);
}

#[test]
fn an_idle_runner_of_an_older_revision_leaves_and_a_busy_one_ends_its_job() {
    let busy = BTreeSet::from([0]);
    let mut pool = pool(2, 20, 1).with(3, TaskPhase::Running);
    pool.observed.tasks[0].task_definition = "older".to_owned();
    pool.observed.tasks[1].task_definition = "older".to_owned();
    let leavers = pool.leavers(8, &busy);
    let name = format!("r-{}-{}", pool.id.hash(), pool.observed.tasks[1].short_task_id().unwrap());
    assert_eq!(leavers, BTreeSet::from([name]));
}

#[test]
fn a_paused_pool_starts_and_stops_nothing() {
    let none_busy = BTreeSet::new();
    for mode in [ScalingMode::Paused, ScalingMode::Deleted] {
        let mut few = pool(5, 20, 5);
        few.goal.mode = mode;
        assert_eq!(few.look(0, &none_busy).n_starts, 0);
        let mut many = pool(0, 20, 0).with(3, TaskPhase::Running);
        many.goal.mode = mode;
        assert_eq!(many.leavers(60, &none_busy), BTreeSet::new());
    }
}

#[test]
fn a_runner_that_never_connects_leaves_once_it_is_late_by_online_timeout() {
    let mut pool = pool(1, 20, 0).with(1, TaskPhase::Running);
    pool.statistics.registered_runners = 1;
    assert_eq!(pool.look(10, &BTreeSet::new()).scope, ObserveScope::Tasks);
    let late = pool.goal.wait_policy.online_timeout.as_secs();
    let mut leavers = BTreeSet::new();
    let mut step = late;
    for _ in 0..30 {
        pool.now = pool.now + Duration::from_secs(step);
        step = 10;
        pool.list(&BTreeSet::new());
        if let GitHubRunners::Listed(runners) = &mut pool.observed.github {
            runners.iter_mut().for_each(|runner| runner.is_online = false);
        }
        let decision = pool.decide();
        leavers.extend(decision.steps.iter().map(Step::name));
    }
    assert!(leavers.contains("deregister_runner"), "{leavers:?}");
}

#[test]
fn a_runner_that_github_has_deleted_is_none_for_the_next_job_and_its_task_is_stopped() {
    let none_busy = BTreeSet::new();
    let mut pool = pool(0, 20, 0).with(1, TaskPhase::Running);
    let name = format!("r-{}-{}", pool.id.hash(), pool.observed.tasks[0].short_task_id().unwrap());
    assert!((0..60).any(|_| pool.leavers(1, &none_busy).contains(&name)), "it leaves within ten minutes");
    pool.statistics.assigned = 1;
    assert_eq!(pool.look(10, &none_busy).n_starts, 1, "its container goes on, and takes no job");
    pool = pool.with(1, TaskPhase::Running);
    pool.observed.tasks[0].phase = TaskPhase::Stopped;
    assert_eq!(pool.look(10, &BTreeSet::from([1])).n_starts, 0);
}
