//! A pool, and a model of AWS and GitHub in which every write takes effect at once.

#![expect(
    clippy::as_conversions,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a model for tests counts small numbers, has an arm a step, and panics on what it does not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::pool::model::auto_scaling::{Group, GroupInstance};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, ObserveScope};
use crate::pool::model::ecs::{
    CapacityProvider, Cluster, ContainerInstance, Deployment, Protection, ProviderState, RolloutState, Service,
    ServiceState, Task, TaskDefinition, TaskPhase,
};
use crate::pool::model::evidence::DeletionEvidence;
use crate::pool::model::evidence::StopReason;
use crate::pool::model::identity::{PhysicalId, StackResource, TAG_ID};
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::{GitHubRunners, LogReading, Observed, PreflightResult, Reading};
use crate::pool::model::operation::{ConvergeGoal, DeleteGoal, Goal, Operation, Preflight, SpecChange};
use crate::pool::model::operation_lock::ObservedLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::{RequestInfo, RequestType};
use crate::pool::model::runner::Runner;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::fixtures::minimal_spec;
use crate::pool::model::spec::{Capacity, PoolSpec};
use crate::pool::model::step::{Step, TaggedResource};
use crate::pool::model::task_definition::METADATA_LABEL;
use crate::pool::model::time::DecisionTime;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::decide::decide;

pub(super) const T0: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);
pub(super) const POLL: Duration = Duration::from_secs(10);

pub(super) fn stack_resource() -> StackResource {
    StackResource {
        stack_id: "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001"
            .to_owned(),
        logical_id: "Runners".to_owned(),
    }
}

/// Two runners, on at least one instance.
pub(super) fn spec() -> PoolSpec {
    let mut spec = minimal_spec();
    spec.desired_count = 2;
    if let Capacity::Own(own) = &mut spec.capacity {
        own.min_instances = 1;
    }
    spec
}

pub(super) fn converge(spec: PoolSpec) -> Continuation {
    let goal = ConvergeGoal {
        spec,
        previous_tags: BTreeSet::new(),
        previous_runner_name: None,
        preflight: Preflight::Skip,
        change: SpecChange::Changed,
        previous_pool: None,
    };
    let id = PhysicalId::of(&stack_resource(), &goal.spec);
    operation(id, Goal::Converge(Box::new(goal)))
}

pub(super) fn delete(spec: &PoolSpec) -> Continuation {
    let id = PhysicalId::of(&stack_resource(), spec);
    let evidence = DeletionEvidence::named(&stack_resource(), id.as_str()).expect("the pool's own id names it");
    let goal = DeleteGoal::single_pool(evidence, None, spec.wait_policy.clone(), None);
    operation(id, Goal::Delete(Box::new(goal)))
}

/// One decision, whose memory is kept.
pub(super) fn decide_on(continuation: &mut Continuation, observed: &Observed, at: DecisionTime) -> Decision {
    let (memory, decision) = decide(&continuation.operation, &continuation.memory, observed, at);
    continuation.memory = memory;
    decision
}

/// The tests read an operation through what carries it.
impl Deref for Continuation {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        &self.operation
    }
}

impl DerefMut for Continuation {
    fn deref_mut(&mut self) -> &mut Operation {
        &mut self.operation
    }
}

/// The same, in an invocation that has the lock in this version.
pub(super) fn locked(mut continuation: Continuation, version: u64) -> Continuation {
    continuation.memory.lock_version = Some(version);
    continuation
}

/// The same, after so many invocations.
pub(super) fn continued(mut continuation: Continuation, count: u32) -> Continuation {
    continuation.continuation_count = count;
    continuation
}

fn operation(id: PhysicalId, goal: Goal) -> Continuation {
    Continuation::new(Operation {
        request: RequestInfo {
            request_type: RequestType::Create,
            request_id: "request-1".to_owned(),
            stack_resource: stack_resource(),
            response_url: Secret::new("https://planted.example/?X-Amz-Signature=planted"),
        },
        id,
        goal,
        signed_at: T0,
        respond_by: T0 + Duration::from_secs(3480),
        continuation_count: 0,
    })
}

/// AWS and GitHub, where every write takes effect at once and jobs last as long as a test says.
pub(super) struct Model {
    pub(super) observed: Observed,
    pub(super) now: Timestamp,
    pub(super) taken: Vec<Step>,
    pub(super) lost_jobs: u32,
    /// By task, by ARN, what comes of reading its log; a task that is not in here has none.
    pub(super) logs: BTreeMap<String, LogReading>,
    /// `RunnerName`, where the template gives one.
    pub(super) fixed_name: Option<String>,
    n_made: u32,
}

impl Model {
    /// A cluster, a launch template, and nothing of ours.
    pub(super) fn empty() -> Self {
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
        Self { observed, now: T0, taken: Vec::new(), lost_jobs: 0, logs: BTreeMap::new(), fixed_name: None, n_made: 0 }
    }

    pub(super) fn runners(&mut self) -> &mut Vec<Runner> {
        match &mut self.observed.github {
            GitHubRunners::Listed(runners) => runners,
            other => panic!("GitHub is not readable: {other:?}"),
        }
    }

    /// Works on a request until it is answered; what was done is in `taken`.
    pub(super) fn run(&mut self, operation: &mut Continuation) -> Outcome {
        self.run_with(operation, |_| {})
    }

    /// The same, with something happening before each observation.
    pub(super) fn run_with(&mut self, operation: &mut Continuation, mut happen: impl FnMut(&mut Self)) -> Outcome {
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
        panic!("no answer after 2,000 looks; last steps: {:?}", self.taken.iter().rev().take(5).collect::<Vec<_>>());
    }

    /// One decision over a complete observation.
    pub(super) fn decide(&mut self, operation: &mut Continuation) -> Decision {
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
                    operation.memory.record_step(StepResult::LockAcquired { version: 1 }, self.now);
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
        let digits = format!("{:012x}{:052x}", self.n_made, 0);
        let task = Task {
            arn: format!("arn:aws:ecs:eu-central-1:111122223333:task/build/{}", self.n_made),
            task_definition: revision.to_owned(),
            group: format!("service:{id}"),
            started_by: Some(deployment.to_owned()),
            phase: TaskPhase::Running,
            desired_stopped: false,
            protection: Protection::Off,
            runtime_id: Some(digits),
            container_instance_arn: None,
            started_at: Some(self.now),
            ending: None,
        };
        let runner = Runner {
            id: u64::from(self.n_made),
            name: runner_name(self.fixed_name.as_ref(), id, &task),
            is_online: true,
            is_busy: false,
            labels: BTreeSet::from([id.as_str().to_owned(), "default".to_owned()]),
            version: None,
        };
        self.observed.tasks.push(task);
        if let GitHubRunners::Listed(runners) = &mut self.observed.github {
            runners.push(runner);
        }
    }

    /// Does what a step says, at once.
    fn take(&mut self, operation: &Continuation, step: Step) -> StepResult {
        self.taken.push(step.clone());
        let id = operation.id.clone();
        match step {
            lock @ Step::AcquireLock(_) => panic!("taken while deciding: {lock:?}"),
            Step::CreateGroup { config, tags } => {
                self.observed.group = Some(Group {
                    arn: format!(
                        "arn:aws:autoscaling:eu-central-1:111122223333:autoScalingGroup:x:autoScalingGroupName/{id}"
                    ),
                    config,
                    launch_template_name: Some("template".to_owned()),
                    desired: 0,
                    protects_new_instances: true,
                    tags,
                    instances: vec![GroupInstance {
                        id: "i-1".to_owned(),
                        lifecycle_state: "InService".to_owned(),
                        protected_from_scale_in: true,
                        template_version: Some(1),
                    }],
                    is_being_deleted: false,
                });
            }
            Step::UpdateGroup(config) => self.observed.group.as_mut().unwrap().config = config,
            Step::CreateCapacityProvider { group_arn, config, tags } => {
                self.observed.provider = Some(CapacityProvider {
                    name: id.as_str().to_owned(),
                    arn: format!("arn:aws:ecs:eu-central-1:111122223333:capacity-provider/{id}"),
                    group_arn: Some(group_arn),
                    tags,
                    state: ProviderState::Active,
                    config,
                });
            }
            Step::UpdateCapacityProvider(config) => self.observed.provider.as_mut().unwrap().config = config,
            Step::AttachCapacityProvider => {
                self.observed.cluster.as_mut().unwrap().providers.push(id.as_str().to_owned());
            }
            Step::DetachCapacityProvider => {
                self.observed.cluster.as_mut().unwrap().providers.retain(|name| name != id.as_str());
            }
            Step::RegisterTaskDefinition { content, tags } => {
                self.n_made += 1;
                self.observed.task_definition = Some(TaskDefinition {
                    arn: format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/{id}:{}", self.n_made),
                    tags,
                    metadata: content.docker_labels.get(METADATA_LABEL).cloned(),
                });
            }
            Step::CreateService { config, tags } => {
                self.n_made += 1;
                self.observed.service = Some(Service {
                    arn: format!("arn:aws:ecs:eu-central-1:111122223333:service/build/{id}"),
                    tags,
                    state: ServiceState::Active,
                    deployments: vec![deployment(self.n_made, &config.task_definition)],
                    config,
                    running: 0,
                    pending: 0,
                    events: Vec::new(),
                });
            }
            Step::UpdateService(config) => self.update_service(config),
            Step::ScaleServiceToZero => {
                let config = self.observed.service.as_ref().unwrap().config.clone();
                self.update_service(crate::pool::model::ecs::ServiceConfig { desired_count: 0, ..config });
            }
            Step::ProtectTasks(tasks) => {
                let requested: Vec<String> = tasks.iter().map(|task| task.arn().to_owned()).collect();
                self.protect(&requested, Protection::Until(self.now + Duration::from_secs(2880 * 60)));
                return StepResult::Protected { requested, failures: BTreeMap::new() };
            }
            Step::UnprotectTasks(tasks) => {
                let arns: Vec<String> = tasks.iter().map(|task| task.arn().to_owned()).collect();
                self.protect(&arns, Protection::Off);
            }
            Step::DeregisterRunner(runner) => return self.deregister(runner.id(), runner.name()),
            Step::RemoveOrphanedRunner(orphan) => return self.deregister(orphan.id(), orphan.name()),
            Step::StopTask(task) => {
                self.stop(&id, task.arn());
                return if task.why() == StopReason::DrainTimedOut {
                    StepResult::JobCancelled
                } else {
                    StepResult::Done
                };
            }
            Step::UpdateTags { resource, set, remove } => {
                let tags = match resource {
                    TaggedResource::Group => &mut self.observed.group.as_mut().unwrap().tags,
                    TaggedResource::Ecs(arn) if arn.contains("capacity-provider") => {
                        &mut self.observed.provider.as_mut().unwrap().tags
                    }
                    TaggedResource::Ecs(arn) if arn.contains("task-definition") => {
                        &mut self.observed.task_definition.as_mut().unwrap().tags
                    }
                    TaggedResource::Ecs(_) => &mut self.observed.service.as_mut().unwrap().tags,
                };
                tags.extend(set);
                tags.retain(|key, _| !remove.contains(key));
            }
            Step::DeleteService => self.observed.service = None,
            Step::DeleteTaskDefinitions => self.observed.task_definition = None,
            Step::DeleteCapacityProvider => self.observed.provider = None,
            Step::DeregisterInstance(arn) => self.observed.instances.retain(|instance| instance.arn != arn),
            Step::DeleteGroup => self.observed.group = None,
            Step::DrainInstance(instance) => {
                for observed in self.observed.instances.iter_mut().filter(|observed| observed.arn == instance.arn()) {
                    observed.is_active = false;
                }
            }
            Step::ScaleGroupToZero => {
                let group = self.observed.group.as_mut().unwrap();
                (group.config.min, group.config.max, group.desired, group.protects_new_instances) = (0, 0, 0, false);
            }
            Step::DeleteDrainingHook | Step::UnprotectInstances(_) => {}
        }
        self.refresh_content();
        StepResult::Done
    }

    fn refresh_content(&mut self) {
        if let (Some(service), Some(revision)) = (&self.observed.service, &self.observed.task_definition)
            && service.config.task_definition == revision.arn
        {
            let content = revision.tags.get(crate::pool::model::identity::TAG_CONTENT).cloned().unwrap_or_default();
            self.observed.deployed_content.insert(revision.arn.clone(), content);
        }
    }

    fn update_service(&mut self, config: crate::pool::model::ecs::ServiceConfig) {
        self.n_made += 1;
        let n_made = self.n_made;
        let service = self.observed.service.as_mut().unwrap();
        if service.config.task_definition != config.task_definition {
            for deployment in &mut service.deployments {
                deployment.is_primary = false;
            }
            service.deployments.insert(0, deployment(n_made, &config.task_definition));
        }
        service.config = config;
        let desired = service.config.desired_count as usize;
        let live: Vec<(String, Protection)> = self
            .observed
            .tasks
            .iter()
            .filter(|task| task.is_live())
            .map(|task| (task.arn.clone(), task.protection))
            .collect();
        let open = live.iter().filter(|(_, protection)| matches!(protection, Protection::Off | Protection::Unknown));
        let id = PhysicalId::try_from(self.observed.service.as_ref().unwrap().tags[TAG_ID].clone()).unwrap();
        for (arn, _) in open.take(live.len().saturating_sub(desired)).cloned().collect::<Vec<_>>() {
            self.stop(&id, &arn);
        }
        self.refresh_content();
    }

    fn protect(&mut self, arns: &[String], protection: Protection) {
        for task in self.observed.tasks.iter_mut().filter(|task| arns.contains(&task.arn)) {
            task.protection = protection;
        }
    }

    fn deregister(&mut self, runner: u64, name: &str) -> StepResult {
        if self.runners().iter().any(|observed| observed.id == runner && observed.is_busy) {
            return StepResult::RunnerBusy { runner };
        }
        self.runners().retain(|observed| observed.id != runner);
        StepResult::Deregistered { key: name.rsplit('-').next().unwrap_or(name).to_owned() }
    }

    fn stop(&mut self, id: &PhysicalId, arn: &str) {
        let Some(task) = self.observed.tasks.iter_mut().find(|task| task.arn == arn) else { return };
        task.phase = TaskPhase::Stopped;
        let name = runner_name(self.fixed_name.as_ref(), id, task);
        if let GitHubRunners::Listed(runners) = &mut self.observed.github {
            self.lost_jobs += runners.iter().filter(|runner| runner.name == name && runner.is_busy).count() as u32;
            runners.retain(|runner| runner.name != name);
        }
    }
}

fn deployment(number: u32, revision: &str) -> Deployment {
    Deployment {
        id: format!("ecs-svc/{number}"),
        is_primary: true,
        task_definition: revision.to_owned(),
        running: 0,
        desired: 0,
        failed: 0,
        rollout: RolloutState::InProgress,
    }
}

fn runner_name(fixed: Option<&String>, id: &PhysicalId, task: &Task) -> String {
    fixed
        .cloned()
        .unwrap_or_else(|| format!("github-runner-{}-{}", id.hash(), task.short_container_id().unwrap_or_default()))
}

/// The names of the steps that were taken.
pub(super) fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.name()).collect()
}

/// A runner of another owner's, as near to ours as can be.
pub(super) fn foreign(id: u64, name: &str, label: &str) -> Runner {
    Runner {
        id,
        name: name.to_owned(),
        is_online: false,
        is_busy: false,
        labels: BTreeSet::from([label.to_owned()]),
        version: None,
    }
}

pub(super) fn instance(number: u32) -> ContainerInstance {
    ContainerInstance {
        arn: format!("arn:aws:ecs:eu-central-1:111122223333:container-instance/build/{number}"),
        ec2_instance_id: Some(format!("i-{number}")),
        is_active: true,
        n_tasks: 0,
        is_connected: true,
        instance_type: None,
        registered: None,
        remaining: None,
    }
}

/// The prefix of a pool's runner names.
pub(super) fn prefix(operation: &Continuation, spec: &PoolSpec) -> String {
    operation.id.runner_name_prefix(spec)
}
