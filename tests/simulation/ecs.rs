//! Amazon ECS: its state, and the life of tasks and container instances.
//!
//! Where AWS's pages are silent the harsher reading is taken: draining an instance, `StopTask` and a deleted group end
//! protected tasks; protection is refused as soon as more tasks would be protected than the service wants; an update
//! back to a revision that still runs starts a new deployment.

pub(crate) mod calls;
mod scheduler;
pub(crate) mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use github_runner_pool::pool::model::ec2::Room;
use github_runner_pool::pool::model::ecs::{ProviderConfig, ProviderState, ServiceConfig};
use github_runner_pool::pool::model::task_definition::TaskDefinitionContent;
use github_runner_pool::pool::model::time::Timestamp;

use crate::containers::Container;
use crate::history::Loss;
use crate::world::World;

pub(crate) type Tags = BTreeMap<String, String>;

/// Runners that an instance has room for.
pub(crate) const ROOM: usize = 2;
/// `MemoryReservation` of every pool here, its default.
pub(crate) const TASK_MIB: u32 = 500;
/// The type of every instance.
pub(crate) const MACHINE: &str = "m7i.large";

/// What an instance has left with so many tasks on it.
pub(crate) fn machine_room(n_tasks: usize) -> Room {
    Room { memory_mib: TASK_MIB * ROOM.saturating_sub(n_tasks) as u32, cpu_units: 2048 }
}
/// How long a task may wait for an instance: the least of the ten to thirty minutes that AWS speaks of.
/// <https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/>
const PROVISIONING_MAX: Duration = Duration::from_secs(600);
/// How long ECS still tells of a task that has stopped.
const STOPPED_KEPT: Duration = Duration::from_secs(3600);
/// What nobody of ours owns.
pub(crate) const FOREIGN_PROVIDERS: [&str; 2] = ["FARGATE", "team"];

pub(crate) struct Ecs {
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) providers: BTreeMap<String, Provider>,
    pub(crate) families: BTreeMap<String, Family>,
    /// By cluster and name.
    pub(crate) services: BTreeMap<(String, String), Service>,
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) next_scaling: Timestamp,
    /// Instances whose agent is gone for a while, and until when.
    pub(crate) agents_back: BTreeMap<String, Timestamp>,
    n_made: u64,
}

pub(crate) struct Cluster {
    pub(crate) providers: Vec<String>,
    pub(crate) busy_until: Timestamp,
    pub(crate) is_active: bool,
}

pub(crate) struct Provider {
    pub(crate) group: String,
    pub(crate) config: ProviderConfig,
    /// What an update that is under way makes of it.
    pub(crate) wanted: Option<ProviderConfig>,
    pub(crate) tags: Tags,
    pub(crate) state: ProviderState,
    /// When what is under way ends, and whether the provider is gone then.
    pub(crate) due: Option<(Timestamp, bool)>,
}

impl Provider {
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.state, ProviderState::Active | ProviderState::UpdateFailed(_))
    }
}

#[derive(Default)]
pub(crate) struct Family {
    pub(crate) revisions: Vec<Revision>,
    /// Never goes back.
    pub(crate) newest: u64,
}

pub(crate) struct Revision {
    pub(crate) arn: String,
    pub(crate) content: TaskDefinitionContent,
    pub(crate) tags: Tags,
}

pub(crate) struct Service {
    pub(crate) arn: String,
    pub(crate) tags: Tags,
    pub(crate) config: ServiceConfig,
    pub(crate) status: ServiceStatus,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) next_poll: Timestamp,
    pub(crate) token: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceStatus {
    Active,
    Draining { empty_since: Option<Timestamp> },
    Inactive,
}

pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) revision: String,
    pub(crate) rollout: RolloutState,
    pub(crate) failed: u32,
    pub(crate) next_start: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RolloutState {
    InProgress,
    Completed,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for an instance.
    Provisioning,
    /// Its container is being made.
    Pending,
    Running,
    /// Got its SIGTERM.
    Stopping,
    Stopped,
}

pub(crate) struct Task {
    pub(crate) arn: String,
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) family: String,
    pub(crate) revision: String,
    pub(crate) deployment: String,
    pub(crate) provider: String,
    pub(crate) phase: Phase,
    pub(crate) told_to_stop: Option<Loss>,
    pub(crate) protected_until: Option<Timestamp>,
    pub(crate) container_id: String,
    /// When the agent tells the container's id.
    pub(crate) id_told_at: Timestamp,
    pub(crate) instance: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) stopped_at: Option<Timestamp>,
    pub(crate) stop_reason: String,
    pub(crate) exit_code: Option<i32>,
    /// When its phase changes by itself.
    pub(crate) due: Timestamp,
    pub(crate) never_started: bool,
    pub(crate) is_counted: bool,
    pub(crate) container: Container,
}

impl Task {
    pub(crate) fn is_live(&self) -> bool {
        self.phase != Phase::Stopped
    }

    /// Meant to run.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_live() && self.told_to_stop.is_none()
    }

    pub(crate) fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    pub(crate) fn short_container_id(&self) -> &str {
        &self.container_id[..12]
    }
}

pub(crate) struct Instance {
    pub(crate) arn: String,
    pub(crate) cluster: String,
    pub(crate) ec2_id: String,
    pub(crate) provider: String,
    pub(crate) is_draining: bool,
    pub(crate) is_connected: bool,
    /// Images that it has run: one that cannot be pulled any more starts from here all the same.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pull-behavior.html>
    pub(crate) images: BTreeSet<String>,
}

impl Ecs {
    pub(crate) fn new() -> Self {
        let now = Timestamp::from_epoch_millis(0);
        let cluster =
            || Cluster { providers: FOREIGN_PROVIDERS.map(str::to_owned).to_vec(), busy_until: now, is_active: true };
        let team = Provider {
            group: "team".to_owned(),
            config: ProviderConfig {
                target_capacity_percent: Some(100),
                instance_warmup_secs: 300,
                protects_from_termination: false,
                drains: false,
            },
            wanted: None,
            tags: Tags::new(),
            state: ProviderState::Active,
            due: None,
        };
        let mut ecs = Self {
            clusters: BTreeMap::from([("build".to_owned(), cluster()), ("other".to_owned(), cluster())]),
            providers: BTreeMap::from([("team".to_owned(), team)]),
            families: BTreeMap::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            instances: BTreeMap::new(),
            next_scaling: now,
            agents_back: BTreeMap::new(),
            n_made: 0,
        };
        // Somebody else's instances, which a pool with a named provider may use.
        for number in 0..30 {
            ecs.register("build", &format!("i-team{number}"), "team");
        }
        ecs
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.n_made += 1;
        self.n_made
    }

    pub(crate) fn register(&mut self, cluster: &str, ec2_id: &str, provider: &str) {
        let arn = arn(&format!("container-instance/{cluster}/{}", self.number()));
        let instance = Instance {
            arn: arn.clone(),
            cluster: cluster.to_owned(),
            ec2_id: ec2_id.to_owned(),
            provider: provider.to_owned(),
            is_draining: false,
            is_connected: true,
            images: BTreeSet::new(),
        };
        self.instances.insert(arn, instance);
    }

    pub(crate) fn tasks_of(&self, cluster: &str, service: &str) -> Vec<&Task> {
        let is_of = |task: &&Task| task.cluster == cluster && task.service == service && task.is_live();
        self.tasks.values().filter(is_of).collect()
    }

    pub(crate) fn tasks_on(&self, instance: &str) -> usize {
        self.tasks.values().filter(|task| task.is_live() && task.instance.as_deref() == Some(instance)).count()
    }
}

/// An ARN of this account's ECS.
pub(crate) fn arn(what: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:111122223333:{what}")
}

impl World {
    /// Everything of ECS that happens by itself.
    pub(crate) fn ecs_step(&mut self) {
        self.services_step();
        self.tasks_step();
        self.providers_step();
        self.scaling_step();
        let (now, kept) = (self.now, STOPPED_KEPT);
        let back: Vec<String> =
            self.ecs.agents_back.iter().filter(|(_, at)| **at <= now).map(|(arn, _)| arn.clone()).collect();
        for arn in back {
            self.ecs.agents_back.remove(&arn);
            if let Some(instance) = self.ecs.instances.get_mut(&arn) {
                instance.is_connected = true;
            }
        }
        self.ecs.tasks.retain(|_, task| task.stopped_at.is_none_or(|at| now.since(at) < kept));
    }

    /// Tells a task to stop: its container gets its SIGTERM now, and what has not started ends at once.
    pub(crate) fn stop_task(&mut self, arn: &str, why: Loss, reason: &str) {
        let now = self.now;
        let Some(task) = self.ecs.tasks.get_mut(arn).filter(|task| task.is_wanted()) else { return };
        task.told_to_stop = Some(why);
        reason.clone_into(&mut task.stop_reason);
        if task.phase == Phase::Running {
            task.phase = Phase::Stopping;
            self.terminate_container(arn);
        } else {
            task.never_started = true;
            task.is_counted = true;
            task.phase = Phase::Stopped;
            task.stopped_at = Some(now);
        }
        let reason = reason.to_owned();
        self.trace(|| format!("task {arn} is told to stop: {reason}"));
    }

    /// A task's container is no more.
    pub(crate) fn end_task(&mut self, arn: &str, exit_code: i32, reason: &str) {
        let now = self.now;
        let Some(task) = self.ecs.tasks.get_mut(arn).filter(|task| task.is_live()) else { return };
        task.phase = Phase::Stopped;
        task.stopped_at = Some(now);
        task.protected_until = None;
        task.exit_code = Some(exit_code);
        if task.told_to_stop.is_none() {
            reason.clone_into(&mut task.stop_reason);
        }
        self.trace(|| format!("task {arn} stopped"));
    }

    /// A machine is gone, and with it whatever ran there.
    pub(crate) fn machine_gone(&mut self, ec2_id: &str, why: Loss, leaves_registration: bool) {
        let Some(instance) = self.ecs.instances.values().find(|instance| instance.ec2_id == ec2_id) else { return };
        let arn = instance.arn.clone();
        if why == Loss::MachineLost {
            self.count_lost(&arn);
        }
        let on_it = |task: &&Task| task.is_live() && task.instance.as_ref() == Some(&arn);
        let tasks: Vec<String> = self.ecs.tasks.values().filter(on_it).map(|task| task.arn.clone()).collect();
        for task in tasks {
            self.kill_container(&task, why);
            self.end_task(&task, 137, &format!("Host EC2 (instance {ec2_id}) terminated."));
        }
        if leaves_registration {
            self.ecs.instances.get_mut(&arn).unwrap().is_connected = false;
        } else {
            self.ecs.instances.remove(&arn);
        }
    }

    /// Runners that a failing machine takes along are nobody's fault.
    fn count_lost(&mut self, instance: &str) {
        let on_it = |task: &&Task| task.is_wanted() && task.instance.as_deref() == Some(instance);
        let services: Vec<String> = self.ecs.tasks.values().filter(on_it).map(|task| task.service.clone()).collect();
        for service in services {
            let stacks = &self.stacks.all;
            let is_its = |ask: &&mut crate::cloudformation::Ask| service.starts_with(&stacks[ask.stack].stem());
            for ask in self.stacks.asks.iter_mut().filter(is_its) {
                ask.n_lost_since += 1;
            }
        }
    }

    fn tasks_step(&mut self) {
        let (now, is_broken) = (self.now, self.troubles.has(crate::faults::Trouble::ImageBroken, self.now));
        self.place();
        let due: Vec<String> = self
            .ecs
            .tasks
            .values()
            .filter(|task| task.phase == Phase::Pending && task.due <= now)
            .map(|task| task.arn.clone())
            .collect();
        for arn in due {
            let connected = |instance: &String| self.ecs.instances.get(instance).is_some_and(|it| it.is_connected);
            if !self.ecs.tasks[&arn].instance.as_ref().is_some_and(connected) {
                continue;
            }
            let told_in = self.between(0, 12_000);
            let is_cached = self.has_image(&arn);
            let task = self.ecs.tasks.get_mut(&arn).unwrap();
            if is_broken && !is_cached {
                task.phase = Phase::Stopped;
                task.stopped_at = Some(now);
                task.never_started = true;
                task.stop_reason = "CannotPullContainerError: the image cannot be pulled".to_owned();
                self.figures.fault("ImageBroken");
                self.occur("fault", "ImageBroken");
                continue;
            }
            task.phase = Phase::Running;
            task.started_at = Some(now);
            task.id_told_at = now + told_in;
            self.keep_image(&arn);
            self.start_container(&arn);
        }
    }

    /// ECS stops a task that found no instance, and the circuit breaker counts it.
    fn give_up_placing(&mut self, arn: &str) {
        let now = self.now;
        let task = self.ecs.tasks.get_mut(arn).unwrap();
        task.phase = Phase::Stopped;
        task.stopped_at = Some(now);
        task.never_started = true;
        task.stop_reason = "TaskFailedToStart: RESOURCE:MEMORY".to_owned();
        self.occur("transition", "provisioning given up");
        self.trace(|| format!("task {arn} found no instance"));
    }

    /// Finds an instance for each task that waits for one.
    fn place(&mut self) {
        let waiting = |task: &&Task| task.phase == Phase::Provisioning;
        let waiting: Vec<String> = self.ecs.tasks.values().filter(waiting).map(|task| task.arn.clone()).collect();
        for arn in waiting {
            let task = &self.ecs.tasks[&arn];
            let distinct = self
                .ecs
                .services
                .get(&(task.cluster.clone(), task.service.clone()))
                .is_some_and(|service| service.config.distinct_instances);
            let room = if distinct { 1 } else { ROOM };
            let fits = |instance: &&Instance| {
                instance.cluster == task.cluster
                    && instance.provider == task.provider
                    && instance.is_connected
                    && !instance.is_draining
                    && self.ecs.tasks_on(&instance.arn) < room
            };
            let Some(instance) = self.ecs.instances.values().find(fits).map(|instance| instance.arn.clone()) else {
                if self.now.since(task.due) >= PROVISIONING_MAX {
                    self.give_up_placing(&arn);
                }
                continue;
            };
            let takes = self.between(2_000, 20_000);
            let task = self.ecs.tasks.get_mut(&arn).unwrap();
            task.instance = Some(instance);
            task.phase = Phase::Pending;
            task.due = self.now + takes;
        }
    }
}
