//! What a vector's observations say of the simulated ECS, Auto Scaling and GitHub.

use github_runner_pool::pool::model::ecs::ProviderState;
use serde_json::{Value, json};

use super::driver::{CLUSTER, Driver, NAME, target};
use crate::ecs::{Phase, ServiceStatus};

impl Driver {
    pub(super) fn observe(&mut self, name: &str) -> Value {
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
            "standalone_tasks" => json!(self.world.standalone_tasks(NAME).len()),
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
            "warm_instances" => {
                let warm_pool = self.world.read_group(NAME).and_then(|group| group.warm_pool);
                let instances = warm_pool.map(|warm_pool| warm_pool.instances).unwrap_or_default();
                json!(instances.iter().filter(|instance| instance.lifecycle_state == "Warmed:Stopped").count())
            }
            "launch_hook_exists" => json!(self.world.groups.all[NAME].has_launch_hook),
            "first_instance" => {
                let instances = self.world.read_group(NAME).map(|group| group.instances).unwrap_or_default();
                json!(instances.first().map(|instance| instance.lifecycle_state.clone()))
            }
            "container_instances_remain" => json!(instances.next().is_some()),
            "connected_container_instances" => json!(instances.filter(|instance| instance.is_connected).count()),
            "runner_exists" => json!(self.world.github.runners.contains_key(&self.runner)),
            "just_in_time_runner" => {
                let number = self.just_in_time;
                let runners = self.world.list_runners(&target());
                let runner = runners.iter().find(|runner| runner.id == number);
                json!(runner.map(|runner| if runner.is_online { "online" } else { "offline" }))
            }
            _ => self.observe_scale_set(name),
        }
    }
}
