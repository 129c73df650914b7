//! ECS, EC2 Auto Scaling and GitHub in one value, in which every write takes effect at once.
//!
//! It exists for what a table of one decision cannot show: that the decisions of one operation lead to its end, in this
//! order and with these waits, without an adapter, a handler or an event loop in between. The laws run it some hundred
//! times a second.
//!
//! It leaves out whatever takes time or goes wrong: placement, instances that start, managed draining, deployments that
//! stop tasks, lag between a write and what a read shows, pages, throttling, and another request. A test says what of
//! that it needs, by changing `observed`. How AWS and GitHub behave over time is the simulation's subject
//! (`tests/simulation`), which runs the real handler.

#![expect(clippy::as_conversions, reason = "a model for tests counts small numbers")]

mod apply;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, ObserveScope};
use crate::pool::model::ecs::{Cluster, ServiceState, Task, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::{GitHubRunners, LogReading, Observed, PreflightResult, Reading};
use crate::pool::model::operation_lock::ObservedLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::PoolSpec;
use crate::pool::model::step::Step;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::tests::support::fixtures::{self, POLL, T0, converge, decide_on, foreign};

/// AWS and GitHub, where every write takes effect at once and jobs last as long as a test says.
pub(crate) struct Model {
    pub(crate) observed: Observed,
    pub(crate) now: Timestamp,
    pub(crate) taken: Vec<Step>,
    pub(crate) lost_jobs: u32,
    /// By task, by ARN, what comes of reading its log; a task that is not in here has none.
    pub(crate) logs: BTreeMap<String, LogReading>,
    /// `RunnerName`, where the template gives one.
    pub(crate) fixed_name: Option<String>,
    /// Whether GitHub says that a job runs in the scale set.
    pub(crate) refuses_scale_set_deletion: bool,
    n_made: u32,
}

impl Model {
    /// A cluster, a launch template, and nothing of ours.
    pub(crate) fn empty() -> Self {
        let observed = Observed {
            cluster: Some(Cluster {
                arn: "arn:aws:ecs:eu-central-1:111122223333:cluster/build".to_owned(),
                is_active: true,
                is_busy: false,
                providers: vec!["FARGATE".to_owned()],
                failed_attachments: Vec::new(),
            }),
            template_version: Some(1),
            github: GitHubRunners::Listed(Vec::new()),
            preflight_result: Some(PreflightResult::Passed),
            ..Observed::default()
        };
        Self {
            observed,
            now: T0,
            taken: Vec::new(),
            lost_jobs: 0,
            logs: BTreeMap::new(),
            fixed_name: None,
            refuses_scale_set_deletion: false,
            n_made: 0,
        }
    }

    pub(crate) fn runners(&mut self) -> &mut Vec<Runner> {
        match &mut self.observed.github {
            GitHubRunners::Listed(runners) => runners,
            other @ (GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Failed(_)) => {
                panic!("GitHub is not readable: {other:?}")
            }
        }
    }

    /// Works on a request until it has a response; what was done is in `taken`.
    pub(crate) fn run(&mut self, operation: &mut Continuation) -> Outcome {
        self.run_with(operation, |_| {})
    }

    /// The same, with something happening before each observation.
    pub(crate) fn run_with(&mut self, operation: &mut Continuation, mut happen: impl FnMut(&mut Self)) -> Outcome {
        self.taken.clear();
        for _ in 0..2_000 {
            self.settle(operation);
            happen(self);
            match self.decide(operation) {
                Decision::Respond(outcome) => return outcome,
                Decision::Stop(why) => panic!("superseded without another request: {why:?}"),
                Decision::Act(plan) => {
                    for step in plan {
                        let result = self.take(operation, step);
                        operation.memory.record_step(result, self.now);
                    }
                }
                Decision::Wait { until, .. } => self.now = until.max(self.now + Duration::from_millis(1)),
            }
        }
        panic!(
            "no response after 2,000 observations; last steps: {:?}",
            self.taken.iter().rev().take(5).collect::<Vec<_>>()
        );
    }

    /// One decision over a complete observation.
    pub(crate) fn decide(&mut self, operation: &mut Continuation) -> Decision {
        self.observed.is_complete = true;
        self.observed.is_diagnosis = true;
        self.observed.github_read = Some(Reading { began_at: self.now, ended_at: self.now });
        self.observed.logs.clear();
        self.observed.metadata = operation.metadata(&operation.memory, &self.observed);
        let at = DecisionTime { now: self.now, poll: POLL };
        operation.memory.record_observation(&self.observed, at);
        loop {
            let decision = decide_on(operation, &self.observed, at);
            if let Decision::Wait { scope: ObserveScope::RunnerLogs, .. } = &decision {
                let of = |task: &String| self.logs.get(task).cloned().unwrap_or(LogReading::NotConfigured);
                self.observed.logs = operation.memory.logs.asked.iter().map(|task| (task.clone(), of(task))).collect();
                operation.memory.record_observation(&self.observed, at);
                continue;
            }
            let Decision::Act(plan) = &decision else { return decision };
            // Who has the lock has tests of its own; here no one else wants it.
            match plan.as_slice() {
                [Step::AcquireLock(lock)] => {
                    self.observed.lock = Some(ObservedLock { lock: lock.clone(), version: 1 });
                    let acquired = StepResult::LockAcquired { version: 1, is_preemption: false };
                    operation.memory.record_step(acquired, self.now);
                }
                _ => return decision,
            }
        }
    }

    /// What ECS and the runners do by themselves: tasks start up to the wanted count and register; runners whose
    /// registration is gone end.
    fn settle(&mut self, operation: &Continuation) {
        let registered: Vec<String> = match &self.observed.github {
            GitHubRunners::Listed(runners) => runners.iter().map(|runner| runner.name.clone()).collect(),
            GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Failed(_) => Vec::new(),
        };
        let is_readable = matches!(self.observed.github, GitHubRunners::Listed(_));
        for task in self.observed.tasks.iter_mut().filter(|_| is_readable) {
            let name = runner_name(self.fixed_name.as_ref(), &operation.id, task);
            if task.phase == TaskPhase::Running && !registered.contains(&name) {
                task.phase = TaskPhase::Stopped;
            }
        }
        let Some(service) = self.observed.service.clone().filter(|service| service.state == ServiceState::Active)
        else {
            return;
        };
        let Some(primary) = service.deployments.iter().find(|deployment| deployment.is_primary) else { return };
        let current = |task: &Task| task.is_live() && task.started_by.as_ref() == Some(&primary.id);
        let missing = service.config.desired_count as usize
            - self
                .observed
                .tasks
                .iter()
                .filter(|task| current(task))
                .count()
                .min(service.config.desired_count as usize);
        for _ in 0..missing {
            self.start_task(&operation.id, &primary.id.clone(), &service.config.task_definition);
        }
        let running = self.observed.tasks.iter().filter(|task| current(task)).count() as u32;
        if let Some(service) = &mut self.observed.service {
            service.running = running;
            for deployment in &mut service.deployments {
                deployment.running = if deployment.is_primary { running } else { 0 };
            }
        }
    }

    fn start_task(&mut self, id: &PhysicalId, deployment: &str, revision: &str) {
        self.n_made += 1;
        let task = Task {
            arn: format!("arn:aws:ecs:eu-central-1:111122223333:task/build/{}", self.n_made),
            task_definition: revision.to_owned(),
            started_by: Some(deployment.to_owned()),
            started_at: Some(self.now),
            ..fixtures::task(id, &format!("{:012x}", self.n_made))
        };
        let name = runner_name(self.fixed_name.as_ref(), id, &task);
        let runner = Runner { is_online: true, ..foreign(u64::from(self.n_made), &name, id.as_str()) };
        self.observed.tasks.push(task);
        if let GitHubRunners::Listed(runners) = &mut self.observed.github {
            runners.push(runner);
        }
    }
}

/// A pool that exists, as its Create leaves it.
pub(crate) fn built(spec: &PoolSpec) -> Model {
    let mut model = Model::empty();
    let outcome = model.run(&mut converge(spec.clone()));
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    model.taken.clear();
    model
}

fn runner_name(fixed: Option<&String>, id: &PhysicalId, task: &Task) -> String {
    fixed
        .cloned()
        .unwrap_or_else(|| format!("github-runner-{}-{}", id.hash(), task.short_container_id().unwrap_or_default()))
}
