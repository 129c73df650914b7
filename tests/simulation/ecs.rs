//! Amazon ECS: its state, and the life of tasks and container instances.
//!
//! Where AWS's pages are silent the harsher reading is taken: draining an instance, `StopTask` and a deleted group end
//! protected tasks; protection is refused as soon as more tasks would be protected than the service wants; an update
//! back to a revision that still runs starts a new deployment.

pub(crate) mod calls;
mod scheduler;
mod standalone;
mod tasks;
pub(crate) mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use github_runner_pool::pool::model::ec2::Room;
use github_runner_pool::pool::model::ecs::{ProviderConfig, ProviderState, ServiceConfig};
use github_runner_pool::pool::model::task_definition::TaskDefinitionContent;
use github_runner_pool::pool::model::time::Timestamp;

use self::standalone::RunTokens;
pub(crate) use self::standalone::Standalone;
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
    Room { memory_mib: TASK_MIB * ROOM.saturating_sub(n_tasks) as u32, cpu_units: 2048, gpus: 0 }
}
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
    pub(crate) run_tokens: RunTokens,
    /// How many tasks of the next `RunTask` are not started.
    pub(crate) refused_tasks: u32,
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
    /// The pool's physical id: its service's name, where it has one.
    pub(crate) service: String,
    pub(crate) family: String,
    pub(crate) revision: String,
    /// `startedBy`: the deployment's id, or what `RunTask` was given.
    pub(crate) deployment: String,
    /// No service started it.
    pub(crate) standalone: Option<Standalone>,
    /// From when `ListTasks` has it.
    pub(crate) listed_at: Timestamp,
    pub(crate) provider: String,
    pub(crate) phase: Phase,
    pub(crate) stop_cause: Option<Loss>,
    pub(crate) protected_until: Option<Timestamp>,
    pub(crate) container_id: String,
    /// When the agent tells the container's id.
    pub(crate) id_told_at: Timestamp,
    pub(crate) instance: Option<String>,
    pub(crate) created_at: Timestamp,
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
        self.is_live() && self.stop_cause.is_none()
    }

    pub(crate) fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    /// Its container is about to end by itself.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.container, Container::Exiting(..))
    }

    /// A standalone one that shares its instance with no other of its family.
    pub(crate) fn is_distinct(&self) -> bool {
        self.standalone.as_ref().is_some_and(|standalone| standalone.is_distinct)
    }

    pub(crate) fn short_id(&self) -> &str {
        &self.arn.rsplit('/').next().unwrap()[..12]
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
            run_tokens: RunTokens::new(),
            next_scaling: now,
            refused_tasks: 0,
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
        let is_of = |task: &&Task| {
            task.cluster == cluster && task.service == service && task.standalone.is_none() && task.is_live()
        };
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
}
