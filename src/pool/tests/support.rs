//! A pool to talk about, and a model of a world that does at once what it is told.

#![expect(
    clippy::as_conversions,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a model for tests counts small numbers, has an arm a step, and panics on what it does not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::pool::continuation::{
    Absent, Applied, Continuation, Goal, Memory, Preflight, Present, Request, RequestType, Wish,
};
use crate::pool::decision::{Decision, Look, Moment, Outcome, decide};
use crate::pool::evidence::DeletionEvidence;
use crate::pool::evidence::Spent;
use crate::pool::identity::{Origin, PhysicalId, TAG_ID};
use crate::pool::observed::{
    CapacityProvider, Cluster, ContainerInstance, Deployment, GitHubView, Group, GroupInstance, LogReading, Observed,
    Permission, Protection, ProviderState, Reading, Rollout, Runner, Service, ServiceState, Task, TaskDefinition,
    TaskPhase,
};
use crate::pool::plan::{Step, Tagged};
use crate::pool::secret::Secret;
use crate::pool::spec::least::least;
use crate::pool::spec::{Capacity, PoolSpec};
use crate::pool::succession::SeenTurn;
use crate::pool::task_definition::RECORD_LABEL;
use crate::pool::time::Timestamp;

pub(super) const T0: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);
pub(super) const POLL: Duration = Duration::from_secs(10);

pub(super) fn origin() -> Origin {
    Origin {
        stack_id: "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001"
            .to_owned(),
        logical_id: "Runners".to_owned(),
    }
}

/// Two runners, on at least one instance.
pub(super) fn spec() -> PoolSpec {
    let mut spec = least();
    spec.desired_count = 2;
    if let Capacity::Own(own) = &mut spec.capacity {
        own.min_instances = 1;
    }
    spec
}

pub(super) fn present(spec: PoolSpec) -> Continuation {
    let goal = Present {
        spec,
        former_tags: BTreeSet::new(),
        former_runner_name: None,
        preflight: Preflight::Skip,
        wish: Wish::Changed,
        former_pool: None,
    };
    let id = PhysicalId::of(&origin(), &goal.spec);
    held(id, Goal::Present(Box::new(goal)))
}

pub(super) fn absent(spec: &PoolSpec) -> Continuation {
    let id = PhysicalId::of(&origin(), spec);
    let evidence = DeletionEvidence::named(&origin(), id.as_str()).expect("the pool's own id names it");
    let goal = Absent::alone(evidence, None, spec.manners.clone(), None);
    held(id, Goal::Absent(Box::new(goal)))
}

fn held(id: PhysicalId, goal: Goal) -> Continuation {
    Continuation {
        request: Request {
            request_type: RequestType::Create,
            request_id: "request-1".to_owned(),
            origin: origin(),
            response_url: Secret::new("https://planted.example/?X-Amz-Signature=planted"),
        },
        id,
        goal,
        accepted_at: T0,
        answer_by: T0 + Duration::from_secs(3480),
        hops: 0,
        turn: None,
        memory: Memory::default(),
    }
}

/// A world that does at once what it is told, and whose jobs last as long as a test says.
pub(super) struct Model {
    pub(super) seen: Observed,
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
        let seen = Observed {
            cluster: Some(Cluster {
                arn: "arn:aws:ecs:eu-central-1:111122223333:cluster/build".to_owned(),
                is_active: true,
                is_busy: false,
                providers: vec!["FARGATE".to_owned()],
                failed_attachments: Vec::new(),
            }),
            template_version: Some(1),
            github: GitHubView::Runners(Vec::new()),
            permission: Some(Permission::Granted),
            ..Observed::default()
        };
        Self { seen, now: T0, taken: Vec::new(), lost_jobs: 0, logs: BTreeMap::new(), fixed_name: None, n_made: 0 }
    }

    pub(super) fn runners(&mut self) -> &mut Vec<Runner> {
        match &mut self.seen.github {
            GitHubView::Runners(runners) => runners,
            other => panic!("GitHub is not readable: {other:?}"),
        }
    }

    /// Works on a request until it is answered; what was done is in `taken`.
    pub(super) fn run(&mut self, held: &mut Continuation) -> Outcome {
        self.run_with(held, |_| {})
    }

    /// The same, with something happening before each look.
    pub(super) fn run_with(&mut self, held: &mut Continuation, mut happen: impl FnMut(&mut Self)) -> Outcome {
        self.taken.clear();
        for _ in 0..2_000 {
            self.settle(held);
            happen(self);
            match self.decide(held) {
                Decision::Answer(outcome) => return outcome,
                Decision::Yield(why) => panic!("nobody else is at work: {why:?}"),
                Decision::Act(plan) => {
                    for step in plan {
                        let told = self.take(held, step);
                        held.note_applied(told, self.now);
                    }
                }
                Decision::Wait { until, .. } => self.now = until.max(self.now + Duration::from_millis(1)),
            }
        }
        panic!("no answer after 2,000 looks; last steps: {:?}", self.taken.iter().rev().take(5).collect::<Vec<_>>());
    }

    /// One decision over a complete look.
    pub(super) fn decide(&mut self, held: &mut Continuation) -> Decision {
        self.seen.is_complete = true;
        self.seen.is_diagnosis = true;
        self.seen.github_read = Some(Reading { began_at: self.now, ended_at: self.now });
        self.seen.logs.clear();
        let record = held.record(&self.seen);
        held.memory.note_look(record.as_ref(), &self.seen, Moment { now: self.now, poll: POLL });
        loop {
            let decision = decide(held, &self.seen, Moment { now: self.now, poll: POLL });
            if let Decision::Wait { look: Look::RunnerLogs, .. } = &decision {
                let of = |task: &String| self.logs.get(task).cloned().unwrap_or(LogReading::NotConfigured);
                self.seen.logs = held.memory.logs.asked.iter().map(|task| (task.clone(), of(task))).collect();
                let at = Moment { now: self.now, poll: POLL };
                held.memory.note_look(held.record(&self.seen).as_ref(), &self.seen, at);
                continue;
            }
            let Decision::Act(plan) = &decision else { return decision };
            // Who has the turn has tests of its own; here nobody else wants it.
            match plan.as_slice() {
                [Step::TakeTurn(turn)] => {
                    self.seen.turn = Some(SeenTurn { turn: turn.clone(), version: 1 });
                    held.note_applied(Applied::TurnTaken { version: 1 }, self.now);
                }
                [Step::ReleaseTurn] => {
                    self.seen.turn = None;
                    held.note_applied(Applied::TurnReleased, self.now);
                }
                _ => return decision,
            }
        }
    }

    /// What ECS and the runners do by themselves: tasks start up to the wanted count and register; runners whose
    /// registration is gone end.
    fn settle(&mut self, held: &Continuation) {
        let registered: Vec<String> = match &self.seen.github {
            GitHubView::Runners(runners) => runners.iter().map(|runner| runner.name.clone()).collect(),
            GitHubView::NotAsked | GitHubView::NoCredential | GitHubView::Refused(_) => Vec::new(),
        };
        let is_readable = matches!(self.seen.github, GitHubView::Runners(_));
        for task in self.seen.tasks.iter_mut().filter(|_| is_readable) {
            let name = runner_name(self.fixed_name.as_ref(), &held.id, task);
            if task.phase == TaskPhase::Running && !registered.contains(&name) {
                task.phase = TaskPhase::Stopped;
            }
        }
        let Some(service) = self.seen.service.clone().filter(|service| service.state == ServiceState::Active) else {
            return;
        };
        let Some(primary) = service.deployments.iter().find(|deployment| deployment.is_primary) else { return };
        let current = |task: &Task| task.is_live() && task.started_by.as_ref() == Some(&primary.id);
        let missing = service.shape.desired_count as usize
            - self.seen.tasks.iter().filter(|task| current(task)).count().min(service.shape.desired_count as usize);
        for _ in 0..missing {
            self.start_task(&held.id, &primary.id.clone(), &service.shape.task_definition);
        }
        let running = self.seen.tasks.iter().filter(|task| current(task)).count() as u32;
        if let Some(service) = &mut self.seen.service {
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
            is_told_to_stop: false,
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
        self.seen.tasks.push(task);
        if let GitHubView::Runners(runners) = &mut self.seen.github {
            runners.push(runner);
        }
    }

    /// Does what a step says, at once.
    fn take(&mut self, held: &Continuation, step: Step) -> Applied {
        self.taken.push(step.clone());
        let id = held.id.clone();
        match step {
            turn @ (Step::TakeTurn(_) | Step::ReleaseTurn) => panic!("taken while deciding: {turn:?}"),
            Step::CreateGroup { shape, tags } => {
                self.seen.group = Some(Group {
                    arn: format!(
                        "arn:aws:autoscaling:eu-central-1:111122223333:autoScalingGroup:x:autoScalingGroupName/{id}"
                    ),
                    shape,
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
            Step::UpdateGroup(shape) => self.seen.group.as_mut().unwrap().shape = shape,
            Step::CreateCapacityProvider { group_arn, shape, tags } => {
                self.seen.provider = Some(CapacityProvider {
                    name: id.as_str().to_owned(),
                    arn: format!("arn:aws:ecs:eu-central-1:111122223333:capacity-provider/{id}"),
                    group_arn: Some(group_arn),
                    tags,
                    state: ProviderState::Active,
                    shape,
                });
            }
            Step::UpdateCapacityProvider(shape) => self.seen.provider.as_mut().unwrap().shape = shape,
            Step::AssociateCapacityProvider => {
                self.seen.cluster.as_mut().unwrap().providers.push(id.as_str().to_owned());
            }
            Step::DissociateCapacityProvider => {
                self.seen.cluster.as_mut().unwrap().providers.retain(|name| name != id.as_str());
            }
            Step::RegisterTaskDefinition { content, tags } => {
                self.n_made += 1;
                self.seen.task_definition = Some(TaskDefinition {
                    arn: format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/{id}:{}", self.n_made),
                    tags,
                    record: content.docker_labels.get(RECORD_LABEL).cloned(),
                });
            }
            Step::CreateService { shape, tags } => {
                self.n_made += 1;
                self.seen.service = Some(Service {
                    arn: format!("arn:aws:ecs:eu-central-1:111122223333:service/build/{id}"),
                    tags,
                    state: ServiceState::Active,
                    deployments: vec![deployment(self.n_made, &shape.task_definition)],
                    shape,
                    running: 0,
                    pending: 0,
                    events: Vec::new(),
                });
            }
            Step::UpdateService(shape) => self.update_service(shape),
            Step::LowerServiceToZero => {
                let shape = self.seen.service.as_ref().unwrap().shape.clone();
                self.update_service(crate::pool::observed::ServiceShape { desired_count: 0, ..shape });
            }
            Step::ProtectTasks(tasks) => {
                let asked: Vec<String> = tasks.iter().map(|task| task.arn().to_owned()).collect();
                self.protect(&asked, Protection::Until(self.now + Duration::from_secs(2880 * 60)));
                return Applied::Protected { asked, left_out: BTreeMap::new() };
            }
            Step::UnprotectTasks(tasks) => {
                let arns: Vec<String> = tasks.iter().map(|task| task.arn().to_owned()).collect();
                self.protect(&arns, Protection::Off);
            }
            Step::DeregisterRunner(runner) => return self.deregister(runner.id(), runner.name()),
            Step::RemoveGhost(ghost) => return self.deregister(ghost.id(), ghost.name()),
            Step::StopTask(task) => {
                self.stop(&id, task.arn());
                return if task.why() == Spent::DrainTimedOut { Applied::CutOff } else { Applied::Done };
            }
            Step::Tag { resource, set, remove } => {
                let tags = match resource {
                    Tagged::Group => &mut self.seen.group.as_mut().unwrap().tags,
                    Tagged::Ecs(arn) if arn.contains("capacity-provider") => {
                        &mut self.seen.provider.as_mut().unwrap().tags
                    }
                    Tagged::Ecs(arn) if arn.contains("task-definition") => {
                        &mut self.seen.task_definition.as_mut().unwrap().tags
                    }
                    Tagged::Ecs(_) => &mut self.seen.service.as_mut().unwrap().tags,
                };
                tags.extend(set);
                tags.retain(|key, _| !remove.contains(key));
            }
            Step::DeleteService => self.seen.service = None,
            Step::DeleteTaskDefinitions => self.seen.task_definition = None,
            Step::DeleteCapacityProvider => self.seen.provider = None,
            Step::DeregisterInstance(arn) => self.seen.instances.retain(|instance| instance.arn != arn),
            Step::DeleteGroup => self.seen.group = None,
            Step::DrainInstance(instance) => {
                for seen in self.seen.instances.iter_mut().filter(|seen| seen.arn == instance.arn()) {
                    seen.is_active = false;
                }
            }
            Step::EmptyGroup => {
                let group = self.seen.group.as_mut().unwrap();
                (group.shape.min, group.shape.max, group.desired, group.protects_new_instances) = (0, 0, 0, false);
            }
            Step::DeleteDrainingHook | Step::UnprotectInstances(_) => {}
        }
        self.refresh_content();
        Applied::Done
    }

    fn refresh_content(&mut self) {
        if let (Some(service), Some(revision)) = (&self.seen.service, &self.seen.task_definition)
            && service.shape.task_definition == revision.arn
        {
            let content = revision.tags.get(crate::pool::identity::TAG_CONTENT).cloned().unwrap_or_default();
            self.seen.deployed_content.insert(revision.arn.clone(), content);
        }
    }

    fn update_service(&mut self, shape: crate::pool::observed::ServiceShape) {
        self.n_made += 1;
        let n_made = self.n_made;
        let service = self.seen.service.as_mut().unwrap();
        if service.shape.task_definition != shape.task_definition {
            for deployment in &mut service.deployments {
                deployment.is_primary = false;
            }
            service.deployments.insert(0, deployment(n_made, &shape.task_definition));
        }
        service.shape = shape;
        let desired = service.shape.desired_count as usize;
        let live: Vec<(String, Protection)> = self
            .seen
            .tasks
            .iter()
            .filter(|task| task.is_live())
            .map(|task| (task.arn.clone(), task.protection))
            .collect();
        let open = live.iter().filter(|(_, protection)| matches!(protection, Protection::Off | Protection::Unknown));
        let id = PhysicalId::try_from(self.seen.service.as_ref().unwrap().tags[TAG_ID].clone()).unwrap();
        for (arn, _) in open.take(live.len().saturating_sub(desired)).cloned().collect::<Vec<_>>() {
            self.stop(&id, &arn);
        }
        self.refresh_content();
    }

    fn protect(&mut self, arns: &[String], protection: Protection) {
        for task in self.seen.tasks.iter_mut().filter(|task| arns.contains(&task.arn)) {
            task.protection = protection;
        }
    }

    fn deregister(&mut self, runner: u64, name: &str) -> Applied {
        if self.runners().iter().any(|seen| seen.id == runner && seen.is_busy) {
            return Applied::FoundBusy { runner };
        }
        self.runners().retain(|seen| seen.id != runner);
        Applied::Deregistered { key: name.rsplit('-').next().unwrap_or(name).to_owned() }
    }

    fn stop(&mut self, id: &PhysicalId, arn: &str) {
        let Some(task) = self.seen.tasks.iter_mut().find(|task| task.arn == arn) else { return };
        task.phase = TaskPhase::Stopped;
        let name = runner_name(self.fixed_name.as_ref(), id, task);
        if let GitHubView::Runners(runners) = &mut self.seen.github {
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
        rollout: Rollout::InProgress,
    }
}

fn runner_name(fixed: Option<&String>, id: &PhysicalId, task: &Task) -> String {
    fixed.cloned().unwrap_or_else(|| format!("github-runner-{}-{}", id.digits(), task.short_id().unwrap_or_default()))
}

/// The names of the steps that were taken.
pub(super) fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.describe().0).collect()
}

/// A runner of somebody else's, as near to ours as can be.
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
pub(super) fn prefix(held: &Continuation, spec: &PoolSpec) -> String {
    held.id.runner_name_prefix(spec)
}
