//! Brings the parts of a pool into the state of a vector, and makes its calls.

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::auto_scaling::GroupConfig;
use github_runner_pool::pool::model::ecs::{ProviderConfig, ServiceConfig, TaskRun};
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::secret::Variables;
use github_runner_pool::pool::model::spec::{
    GitHubHost, GitHubTarget, LaunchTemplate, LaunchTemplateId, MixedInstances, Scope,
};
use github_runner_pool::pool::model::task_definition::TaskDefinitionContent;
use github_runner_pool::reconcile::ports::{Deregistration, JitRunner, JitRunnerRequest, RemoteResult};
use serde_json::{Map, Value, json};

use super::scale_sets::ScaleSetState;
use super::{Level, State};
use crate::auto_scaling;
use crate::containers::Container;
use crate::ecs::{Tags, Task};
use crate::history::Loss;
use crate::script::{Author, Prints, Script};
use crate::world::World;

pub(super) const CLUSTER: &str = "build";
pub(super) const NAME: &str = "ghr-conformance-Runners-0123456789";
pub(super) const JOB: Duration = Duration::from_secs(3600);
/// As long as anything here takes, in virtual time.
const EVENTUALLY_MAX: Duration = Duration::from_secs(3600);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A pool in the state of a vector.
pub(super) struct Driver {
    pub(super) world: World,
    id: PhysicalId,
    /// The newest revision.
    pub(super) revision: String,
    config: ServiceConfig,
    /// Every task that was started, in order.
    pub(super) tasks: Vec<String>,
    pub(super) runner: u64,
    /// The one that was registered by `GenerateJitConfig`.
    pub(super) just_in_time: u64,
    pub(super) scale_set: ScaleSetState,
}

/// Without anything that goes wrong, and with a seed in which `StopTask` and the like are bound to a task's tags.
fn script() -> Script {
    let mut script = Author::write(0);
    script.actions.clear();
    script.faults.clear();
    script.has_foreign_group = false;
    script.has_no_jit = false;
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

/// The group with the purchase options that a step gives.
fn changed_group_config(with: &Map<String, Value>) -> GroupConfig {
    let spot = MixedInstances {
        instance_types: Vec::new(),
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base: 0,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
    };
    let mixed_instances_policy = with.contains_key("spot").then_some(spot);
    GroupConfig { mixed_instances_policy, ..group_config() }
}

pub(super) fn target() -> GitHubTarget {
    GitHubTarget { host: GitHubHost::github_com(), scope: Scope::Organization("acme".to_owned()) }
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
    pub(super) fn new(state: &State) -> Self {
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
            just_in_time: 0,
            scale_set: ScaleSetState::new(state.jobs_are_acquired),
        };
        driver.world.is_calm = true;
        driver.world.ecs.refused_tasks = state.refused_tasks;
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

    pub(super) fn eventually(&mut self, name: &str, value: &Value) {
        self.wait(&format!("{name} {value}"), |driver| driver.observe(name) == *value);
    }

    // Calls.

    /// What it returns besides an error: tasks, reasons of failures, or a status.
    pub(super) fn make(&mut self, call: &str, with: &Map<String, Value>) -> RemoteResult<Value> {
        let world = &mut self.world;
        match call {
            "CreateAutoScalingGroup" => world.create_group(NAME, &group_config(), &Tags::new())?,
            "PutWarmPool" => {
                let size = with.get("size").map_or(1, |size| size.as_u64().unwrap() as u32);
                world.put_launch_hook(NAME).and_then(|()| world.put_warm_pool(NAME, size))?;
            }
            "DeleteWarmPool" => world.delete_warm_pool(NAME),
            "PutLifecycleHook" => world.put_launch_hook(NAME)?,
            "DeleteLifecycleHook" => world.delete_launch_hook(NAME),
            "CompleteLifecycleAction" => {
                let instance = world.groups.all[NAME].machines[0].id.clone();
                world.complete_launch(NAME, &instance);
            }
            "UpdateAutoScalingGroup" => world.update_group(NAME, &changed_group_config(with))?,
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
            "RunTask" => return self.run_task(with),
            "UpdateTaskProtection" => return Ok(self.protect(with)),
            "StopTask" => world.stop_task(&self.tasks[0], Loss::Stopped, "Task stopped by user"),
            "GenerateJitConfig" => return Ok(self.generate_jit_config()),
            "DeleteRunner" => {
                let runner = if with["runner"] == "first" { self.runner } else { self.just_in_time };
                return Ok(json!({ "status": match world.deregister(runner) {
                    Deregistration::Deleted => 204,
                    Deregistration::Missing => 404,
                    Deregistration::Busy => 422,
                }}));
            }
            _ => return self.call_scale_sets(call, with),
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

    fn run_task(&mut self, with: &Map<String, Value>) -> RemoteResult<Value> {
        if with.get("taskDefinition").is_some() {
            let revision = self.revision.clone();
            self.world.delete_revisions(&[revision]);
        }
        let tags = with.get("tags").and_then(Value::as_object).into_iter().flatten();
        let tags: Tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
        let token = with.get("clientToken").and_then(Value::as_str).unwrap_or("none");
        let run = TaskRun {
            task_definition: self.revision.clone(),
            capacity_provider: NAME.to_owned(),
            count: with["count"].as_u64().unwrap() as u32,
            distinct_instances: false,
        };
        let started = self.world.run_tasks(CLUSTER, &self.id, &run, &tags, token, self.world.now)?;
        let mut places = Vec::new();
        for arn in started.arns {
            let place = self.tasks.iter().position(|known| *known == arn);
            places.push(place.unwrap_or(self.tasks.len()));
            if place.is_none() {
                self.tasks.push(arn);
            }
        }
        Ok(json!({ "tasks": places, "failures": started.failures }))
    }

    fn generate_jit_config(&mut self) -> Value {
        let request = JitRunnerRequest {
            name: "conformance".to_owned(),
            group: None,
            labels: vec!["conformance".to_owned()],
            workdir: "/_work".to_owned(),
            disable_auto_update: true,
        };
        json!({ "status": match self.world.create_jit_runner(&target(), &request) {
            JitRunner::Registered { id, .. } => {
                self.just_in_time = id;
                201
            }
            JitRunner::NameTaken => 409,
            JitRunner::Unsupported => 404,
        }})
    }

    fn protect(&mut self, with: &Map<String, Value>) -> Value {
        let tasks = if with["tasks"] == "first" { &self.tasks[..1] } else { &self.tasks[..] };
        let failures = if with["protectionEnabled"] == json!(true) {
            self.world.protect(tasks)
        } else {
            self.world.unprotect(tasks)
        };
        let reasons: Vec<&str> = failures.values().map(|reason| reason.split(':').next().unwrap()).collect();
        json!({ "failures": reasons })
    }
}
