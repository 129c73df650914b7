//! The simulation's ECS, Auto Scaling and GitHub against the vectors of tests/conformance, as the sandbox's are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use github_runner_pool::pool::model::auto_scaling::GroupConfig;
use github_runner_pool::pool::model::ecs::{ProviderConfig, ProviderState, ServiceConfig};
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::secret::Variables;
use github_runner_pool::pool::model::spec::{LaunchTemplate, LaunchTemplateId};
use github_runner_pool::pool::model::task_definition::TaskDefinitionContent;
use github_runner_pool::reconcile::ports::{Deregistration, RemoteResult};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::auto_scaling;
use crate::containers::Container;
use crate::ecs::{Phase, ServiceStatus, Tags, Task};
use crate::history::Loss;
use crate::script::{Author, Prints, Script};
use crate::world::World;

const CLUSTER: &str = "build";
const NAME: &str = "ghr-conformance-Runners-0123456789";
const JOB: Duration = Duration::from_secs(3600);
/// As long as anything here takes, in virtual time.
const EVENTUALLY_MAX: Duration = Duration::from_secs(3600);
const HEARTBEAT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    source: Vec<String>,
    state: State,
    steps: Vec<Step>,
    #[serde(default)]
    note: Option<String>,
    /// By engine, the reason.
    #[serde(default)]
    not_modelled: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct State {
    level: Level,
    #[serde(default)]
    desired_count: u32,
    #[serde(default)]
    job: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Level {
    Empty,
    Group,
    Provider,
    Associated,
    Service,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Call {
        call: String,
        #[serde(default)]
        with: Map<String, Value>,
        expect: Value,
    },
    Now {
        now: Map<String, Value>,
    },
    Eventually {
        eventually: Map<String, Value>,
    },
}

/// Brings a pool's parts into a vector's state, makes its calls, and observes.
struct Driver {
    world: World,
    id: PhysicalId,
    /// The newest revision.
    revision: String,
    config: ServiceConfig,
    tasks: Vec<String>,
    runner: u64,
}

/// Without anything that goes wrong, and with a seed in which `StopTask` and the like are bound to a task's tags.
fn script() -> Script {
    let mut script = Author::write(0);
    script.actions.clear();
    script.faults.clear();
    script.has_foreign_group = false;
    script
}

fn provider_config() -> ProviderConfig {
    ProviderConfig {
        target_capacity_percent: Some(100),
        instance_warmup_secs: 300,
        protects_from_termination: true,
        drains: true,
    }
}

fn group_config() -> GroupConfig {
    let launch_template =
        LaunchTemplate { reference: LaunchTemplateId::Id(format!("lt-{CLUSTER}")), version: "1".to_owned() };
    GroupConfig { launch_template, subnets: vec!["subnet-1".to_owned()], min: 0, max: 4, mixed_instances_policy: None }
}

pub(crate) fn content(image: &str) -> TaskDefinitionContent {
    let environment = [("ORG_NAME", "acme"), ("RUNNER_NAME_PREFIX", "conformance"), ("LABELS", NAME)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    TaskDefinitionContent {
        image: image.to_owned(),
        resolves_image_once: false,
        repository_credentials: None,
        cpu_units: 0,
        memory_mib: None,
        memory_reservation_mib: 500,
        privileged: false,
        readonly_root_filesystem: false,
        stop_timeout_secs: 120,
        gpus: 0,
        start: None,
        environment: Variables(environment.into_iter().collect()),
        secrets: BTreeMap::new(),
        docker_labels: BTreeMap::new(),
        volumes: Vec::new(),
        log: None,
        execution_role_arn: None,
        task_role_arn: None,
    }
}

impl Driver {
    fn new(state: &State) -> Self {
        let config = ServiceConfig {
            task_definition: String::new(),
            desired_count: 0,
            capacity_provider: Some(NAME.to_owned()),
            distinct_instances: false,
            maximum_percent: 200,
            minimum_healthy_percent: 100,
            circuit_breaker_without_rollback: true,
            az_rebalancing: false,
        };
        let mut driver = Self {
            world: World::new(script(), None),
            id: PhysicalId::try_from(NAME.to_owned()).unwrap(),
            revision: String::new(),
            config,
            tasks: Vec::new(),
            runner: 0,
        };
        driver.register("ubuntu-noble");
        if state.level >= Level::Group {
            driver.world.create_group(NAME, &group_config(), &Tags::new()).unwrap();
        }
        if state.level >= Level::Provider {
            driver.make("CreateCapacityProvider", &Map::new()).unwrap();
            driver.eventually("capacity_provider", &json!("ACTIVE"));
        }
        if state.level >= Level::Associated {
            driver.world.attach_provider(CLUSTER, NAME, true).unwrap();
            driver.wait("an association", |driver| driver.world.ecs.clusters[CLUSTER].busy_until <= driver.world.now);
        }
        if state.level >= Level::Service {
            driver.start_service(state);
        }
        driver
    }

    fn start_service(&mut self, state: &State) {
        let count = Map::from_iter([("desiredCount".to_owned(), json!(state.desired_count))]);
        self.make("CreateService", &count).unwrap();
        let n_wanted = state.desired_count as usize;
        self.wait("online runners", |driver| driver.runners().len() == n_wanted);
        self.tasks = self.world.ecs.tasks.keys().cloned().collect();
        self.runner = self.runners()[0];
        if state.job {
            self.world.github.queue(NAME, JOB, Prints::Nothing);
            self.wait("the job", |driver| {
                let runner = &driver.world.github.runners[&driver.runner];
                driver.world.github.runs_job(runner).is_some()
            });
        }
    }

    /// In the order of their tasks.
    fn runners(&self) -> Vec<u64> {
        let listening = |task: &Task| match task.container {
            Container::Listening(runner) => Some(runner),
            Container::None
            | Container::Registering(_)
            | Container::Asking(_)
            | Container::Configuring(..)
            | Container::Exiting(..)
            | Container::Terminating(..) => None,
        };
        self.world.ecs.tasks.values().filter_map(listening).collect()
    }

    fn register(&mut self, image: &str) {
        self.revision = self.world.register_revision(&self.id, &content(image), &Tags::new());
    }

    fn wait(&mut self, what: &str, has_come: impl Fn(&mut Self) -> bool) {
        let until = self.world.now + EVENTUALLY_MAX;
        while !has_come(self) {
            assert!(self.world.now < until, "{what}: not within {EVENTUALLY_MAX:?}");
            self.world.now = self.world.now + HEARTBEAT;
            self.world.heartbeat();
        }
    }

    fn eventually(&mut self, name: &str, value: &Value) {
        self.wait(&format!("{name} {value}"), |driver| driver.observe(name) == *value);
    }

    // Calls.

    /// What it returns besides an error: reasons of failures, or a status.
    fn make(&mut self, call: &str, with: &Map<String, Value>) -> RemoteResult<Value> {
        let world = &mut self.world;
        match call {
            "CreateAutoScalingGroup" => world.create_group(NAME, &group_config(), &Tags::new())?,
            "PutWarmPool" => world.put_launch_hook(NAME).and_then(|()| world.put_warm_pool(NAME, 1))?,
            "DeleteWarmPool" => world.delete_warm_pool(NAME),
            "UpdateAutoScalingGroup" => world.update_group(NAME, &group_config())?,
            "DeleteAutoScalingGroup" => {
                assert_eq!(with["ForceDelete"], json!(true));
                world.delete_group(NAME)?;
            }
            "CreateCapacityProvider" => {
                world.create_provider(NAME, &auto_scaling::arn(NAME), provider_config(), &Tags::new())?;
            }
            "UpdateCapacityProvider" => world.update_provider(NAME, provider_config())?,
            "DeleteCapacityProvider" => world.delete_provider(NAME)?,
            "PutClusterCapacityProviders" => {
                let is_in = !with["capacityProviders"].as_array().unwrap().is_empty();
                world.attach_provider(CLUSTER, NAME, is_in)?;
            }
            "DeleteService" => world.delete_service(CLUSTER, &self.id)?,
            "CreateService" | "UpdateService" => self.put_service(call, with)?,
            "UpdateTaskProtection" => return Ok(self.protect(with)),
            "StopTask" => world.stop_task(&self.tasks[0], Loss::Stopped, "Task stopped by user"),
            "DeleteRunner" => {
                return Ok(json!(match world.deregister(self.runner) {
                    Deregistration::Deleted => 204,
                    Deregistration::Missing => 404,
                    Deregistration::Busy => 422,
                }));
            }
            _ => panic!("unknown call {call}"),
        }
        Ok(Value::Null)
    }

    fn put_service(&mut self, call: &str, with: &Map<String, Value>) -> RemoteResult<()> {
        if with.contains_key("taskDefinition") {
            self.register("ubuntu-jammy");
        }
        let number = |name: &str, default: u32| with.get(name).map_or(default, |value| value.as_u64().unwrap() as u32);
        let config = ServiceConfig {
            task_definition: self.revision.clone(),
            desired_count: number("desiredCount", self.config.desired_count),
            maximum_percent: number("maximumPercent", self.config.maximum_percent),
            minimum_healthy_percent: number("minimumHealthyPercent", self.config.minimum_healthy_percent),
            ..self.config.clone()
        };
        if call == "CreateService" {
            let token = with.get("clientToken").and_then(Value::as_str).unwrap_or_default();
            self.world.create_service(CLUSTER, &self.id, &config, &Tags::new(), token)?;
        } else {
            self.world.update_service(CLUSTER, &self.id, &config)?;
        }
        self.config = config;
        Ok(())
    }

    fn protect(&mut self, with: &Map<String, Value>) -> Value {
        let tasks = if with["tasks"] == "first" { &self.tasks[..1] } else { &self.tasks[..] };
        let failures = if with["protectionEnabled"] == json!(true) {
            self.world.protect(tasks)
        } else {
            self.world.unprotect(tasks)
        };
        failures.values().map(|reason| reason.split(':').next().unwrap()).collect()
    }

    // Observations.

    fn observe(&mut self, name: &str) -> Value {
        let (now, key) = (self.world.now, (CLUSTER.to_owned(), NAME.to_owned()));
        let ecs = &self.world.ecs;
        let running = ecs.tasks.values().filter(|task| task.phase == Phase::Running && task.is_wanted());
        let mut instances = ecs.instances.values().filter(|instance| instance.provider == NAME);
        match name {
            "running_tasks" => json!(running.count()),
            "running_tasks_of_newest_revision" => {
                json!(running.filter(|task| task.revision == self.revision).count())
            }
            "protected_running_tasks" => json!(running.filter(|task| task.is_protected(now)).count()),
            "first_task" => json!(match ecs.tasks[&self.tasks[0]].phase {
                Phase::Provisioning => "PROVISIONING",
                Phase::Pending => "PENDING",
                Phase::Running => "RUNNING",
                Phase::Stopping => "STOPPING",
                Phase::Stopped => "STOPPED",
            }),
            "first_task_has_tags" => json!(self.world.allowed_by_tags("StopTask", &self.tasks[..1]).is_ok()),
            "service" => json!(ecs.services.get(&key).map(|service| match service.status {
                ServiceStatus::Active => "ACTIVE",
                ServiceStatus::Draining { .. } => "DRAINING",
                ServiceStatus::Inactive => "INACTIVE",
            })),
            "desired_count" => json!(ecs.services[&key].config.desired_count),
            "capacity_provider" => json!(ecs.providers.get(NAME).map(|provider| match provider.state {
                ProviderState::Active => "ACTIVE",
                ProviderState::Changing => "IN_PROGRESS",
                ProviderState::Failed(_) => "CREATE_FAILED",
                ProviderState::UpdateFailed(_) => "UPDATE_FAILED",
                ProviderState::DeleteFailed(_) => "DELETE_FAILED",
            })),
            "associated" => json!(ecs.clusters[CLUSTER].providers.contains(&NAME.to_owned())),
            "group_exists" => json!(self.world.groups.all.contains_key(NAME)),
            "warm_pool_exists" => json!(self.world.groups.all.get(NAME).is_some_and(|it| it.warm_pool.is_some())),
            "container_instances_remain" => json!(instances.next().is_some()),
            "connected_container_instances" => json!(instances.filter(|instance| instance.is_connected).count()),
            "runner_exists" => json!(self.world.github.runners.contains_key(&self.runner)),
            _ => panic!("unknown observation {name}"),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Now { now } => {
                for (name, value) in now {
                    assert_eq!(self.observe(name), *value, "{name}");
                }
            }
            Step::Eventually { eventually } => {
                for (name, value) in eventually {
                    self.eventually(name, value);
                }
            }
            Step::Call { call, with, expect } => match (self.make(call, with), expect.get("error")) {
                (Ok(returned), None) if expect == "ok" => drop(returned),
                (Ok(returned), None) => {
                    assert_eq!(Some(&returned), expect.as_object().unwrap().values().next(), "{call}");
                }
                (Err(error), Some(code)) => {
                    assert_eq!(error.remote_error.code.as_deref(), code.as_str(), "{call}");
                    let message = expect["message"].as_str().unwrap();
                    assert!(error.remote_error.message.contains(message), "{call}: {}", error.remote_error.message);
                }
                (Ok(returned), Some(code)) => panic!("{call} returned {returned}, not {code}"),
                (Err(error), None) => panic!("{call} failed: {:?}", error.remote_error),
            },
        }
    }
}

#[test]
fn conformance_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut n_run = 0;
    let mut failed = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vectors: Vec<Vector> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for vector in vectors.iter().filter(|vector| !vector.not_modelled.contains_key("simulation")) {
            assert!(!vector.source.is_empty(), "{} has no source", vector.name);
            let outcome = std::panic::catch_unwind(|| {
                let mut driver = Driver::new(&vector.state);
                vector.steps.iter().for_each(|step| driver.take(step));
            });
            if outcome.is_err() {
                failed.push(format!("{} ({:?})", vector.name, vector.note));
            }
            n_run += 1;
        }
    }
    assert!(n_run >= 12, "only {n_run} vectors");
    assert!(failed.is_empty(), "{failed:#?}");
}
