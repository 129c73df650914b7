//! What the service scheduler and managed scaling do on every look.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-scaling-behavior.html>

use std::collections::BTreeSet;
use std::time::Duration;

use github_runner_pool::pool::model::ecs::ProviderState;
use github_runner_pool::pool::model::time::Timestamp;

use super::{Deployment, Phase, ROOM, RolloutState, Service, ServiceStatus, Task, arn};
use crate::containers::Container;
use crate::faults::Trouble;
use crate::history::Loss;
use crate::world::World;

/// Between RUNNING and healthy, where a container has no health check.
const HEALTH_DELAY: Duration = Duration::from_secs(40);
/// Tasks that never started before the circuit breaker opens: half of the wanted, within these bounds.
const BREAKER: (u32, u32) = (3, 200);
/// Between two looks of managed scaling.
const SCALING: Duration = Duration::from_secs(60);
/// How long an instance is empty before managed scaling lets it go.
const EMPTY_KEPT: Duration = Duration::from_secs(900);

/// A service and its tasks, by what the scheduler has to know of them.
struct Standing {
    /// Of the newest deployment, not on an instance that drains.
    wanted: Vec<String>,
    /// All others.
    leaving: Vec<String>,
    n_healthy: usize,
    n_live: usize,
}

impl World {
    pub(super) fn services_step(&mut self) {
        let now = self.now;
        let due = |(key, service): (&(String, String), &Service)| {
            (service.next_poll <= now && service.status != ServiceStatus::Inactive).then(|| key.clone())
        };
        let due: Vec<(String, String)> = self.ecs.services.iter().filter_map(due).collect();
        for key in due {
            let again = self.between(2_000, 8_000);
            self.service_mut(&key).next_poll = now + again;
            match self.service_mut(&key).status {
                ServiceStatus::Draining { empty_since } => self.drain_service(&key, empty_since),
                ServiceStatus::Active => self.reconcile(&key),
                ServiceStatus::Inactive => {}
            }
        }
    }

    fn service_mut(&mut self, key: &(String, String)) -> &mut Service {
        self.ecs.services.get_mut(key).unwrap()
    }

    fn drain_service(&mut self, key: &(String, String), empty_since: Option<Timestamp>) {
        let tasks: Vec<String> = self.ecs.tasks_of(&key.0, &key.1).iter().map(|task| task.arn.clone()).collect();
        for task in &tasks {
            self.stop_task(task, Loss::ChosenByEcs, "Scaling activity initiated by a deleted service");
        }
        let now = self.now;
        let service = self.service_mut(key);
        if !tasks.is_empty() {
            service.status = ServiceStatus::Draining { empty_since: None };
            return;
        }
        let since = empty_since.unwrap_or(now);
        service.status = if now.since(since) >= Duration::from_secs(15) {
            service.deployments.clear();
            ServiceStatus::Inactive
        } else {
            ServiceStatus::Draining { empty_since: Some(since) }
        };
    }

    fn reconcile(&mut self, key: &(String, String)) {
        self.count_failures(key);
        self.start_missing(key);
        self.stop_surplus(key);
        self.stop_leaving(key);
        self.settle_service(key);
    }

    fn standing(&self, key: &(String, String)) -> Standing {
        let service = &self.ecs.services[key];
        let newest = &service.deployments[0].id;
        let on_draining = |task: &Task| {
            task.instance.as_ref().is_some_and(|arn| self.ecs.instances.get(arn).is_none_or(|it| it.is_draining))
        };
        let live: Vec<&Task> =
            self.ecs.tasks_of(&key.0, &key.1).into_iter().filter(|task| task.stop_cause.is_none()).collect();
        let (wanted, leaving): (Vec<&Task>, Vec<&Task>) =
            live.iter().partition(|task| task.deployment == *newest && !on_draining(task));
        let arns = |tasks: Vec<&Task>| tasks.iter().map(|task| task.arn.clone()).collect();
        Standing {
            wanted: arns(wanted),
            leaving: arns(leaving),
            n_healthy: live.iter().filter(|task| self.is_healthy(task)).count(),
            n_live: live.len(),
        }
    }

    fn is_healthy(&self, task: &Task) -> bool {
        task.phase == Phase::Running && task.started_at.is_some_and(|at| self.now.since(at) >= HEALTH_DELAY)
    }

    /// Only tasks that never reached RUNNING count.
    fn count_failures(&mut self, key: &(String, String)) {
        let (id, desired) = {
            let service = &self.ecs.services[key];
            (service.deployments[0].id.clone(), service.config.desired_count)
        };
        let mut n = 0;
        for task in self.ecs.tasks.values_mut() {
            if task.deployment == id && task.never_started && !task.is_counted {
                task.is_counted = true;
                n += 1;
            }
        }
        let now = self.now;
        let deployment = &mut self.service_mut(key).deployments[0];
        deployment.failed += n;
        if n > 0 {
            let factor = 2_u64.pow(deployment.failed.min(5));
            deployment.next_start = now + Duration::from_secs(5 * factor);
        }
        let threshold = desired.div_ceil(2).clamp(BREAKER.0, BREAKER.1);
        if deployment.rollout == RolloutState::InProgress && deployment.failed >= threshold {
            deployment.rollout = RolloutState::Failed;
            self.occur("transition", "circuit breaker");
        }
    }

    fn start_missing(&mut self, key: &(String, String)) {
        let standing = self.standing(key);
        let service = &self.ecs.services[key];
        let deployment = &service.deployments[0];
        if deployment.rollout == RolloutState::Failed || self.now < deployment.next_start {
            return;
        }
        let desired = service.config.desired_count as usize;
        let ceiling = desired * service.config.maximum_percent as usize / 100;
        let missing = desired.saturating_sub(standing.wanted.len()).min(ceiling.saturating_sub(standing.n_live));
        for _ in 0..missing {
            self.new_task(key);
        }
    }

    fn new_task(&mut self, key: &(String, String)) {
        let (container_id, number) = (self.hex(64), self.ecs.number());
        let (service, now) = (&self.ecs.services[key], self.now);
        let deployment = &service.deployments[0];
        let task = Task {
            // The name of a runner that the function registers ends in the first digits.
            arn: arn(&format!("task/{}/{number:012x}{number:020x}", key.0)),
            cluster: key.0.clone(),
            service: key.1.clone(),
            family: key.1.clone(),
            revision: deployment.revision.clone(),
            deployment: deployment.id.clone(),
            standalone: None,
            listed_at: now,
            provider: service.config.capacity_provider.clone().unwrap_or_default(),
            phase: Phase::Provisioning,
            stop_cause: None,
            protected_until: None,
            container_id,
            id_told_at: now,
            created_at: now,
            instance: None,
            started_at: None,
            stopped_at: None,
            stop_reason: String::new(),
            exit_code: None,
            due: now,
            never_started: false,
            is_counted: false,
            container: Container::None,
        };
        self.ecs.tasks.insert(task.arn.clone(), task);
    }

    /// A desired count below what runs: protected tasks stay.
    fn stop_surplus(&mut self, key: &(String, String)) {
        let standing = self.standing(key);
        let desired = self.ecs.services[key].config.desired_count as usize;
        let surplus = standing.wanted.len().saturating_sub(desired);
        let now = self.now;
        let mut open: Vec<(bool, String)> = standing
            .wanted
            .iter()
            .map(|arn| &self.ecs.tasks[arn])
            .filter(|task| !task.is_protected(now))
            .map(|task| (task.phase == Phase::Running, task.arn.clone()))
            .collect();
        open.sort();
        for (_, arn) in open.into_iter().take(surplus) {
            self.stop_task(&arn, Loss::ChosenByEcs, "Scaling activity initiated by a lower desired count");
        }
    }

    /// Tasks of older deployments, and those on draining instances, go as far as the minimum of healthy ones allows.
    fn stop_leaving(&mut self, key: &(String, String)) {
        let standing = self.standing(key);
        let service = &self.ecs.services[key];
        let floor = (service.config.desired_count * service.config.minimum_healthy_percent).div_ceil(100) as usize;
        let mut spare = standing.n_healthy.saturating_sub(floor);
        let now = self.now;
        for arn in standing.leaving {
            let task = &self.ecs.tasks[&arn];
            let newest = &self.ecs.services[key].deployments[0].id;
            let is_on_draining_instance = task.deployment == *newest;
            if task.is_protected(now) && !is_on_draining_instance {
                continue;
            }
            if self.is_healthy(task) {
                if spare == 0 {
                    continue;
                }
                spare -= 1;
            }
            let why = if is_on_draining_instance { Loss::InstanceTaken } else { Loss::ChosenByEcs };
            self.stop_task(&arn, why, "Scaling activity initiated by a deployment");
        }
    }

    fn settle_service(&mut self, key: &(String, String)) {
        let standing = self.standing(key);
        let holders: BTreeSet<String> =
            self.ecs.tasks_of(&key.0, &key.1).iter().map(|task| task.deployment.clone()).collect();
        let n_all = self.ecs.tasks_of(&key.0, &key.1).len();
        let all_healthy = standing.wanted.iter().all(|arn| self.is_healthy(&self.ecs.tasks[arn]));
        let service = self.service_mut(key);
        let newest = service.deployments[0].id.clone();
        service.deployments.retain(|deployment| deployment.id == newest || holders.contains(&deployment.id));
        let desired = service.config.desired_count as usize;
        let is_steady = service.deployments.len() == 1 && standing.wanted.len() == desired && n_all == desired;
        if is_steady && all_healthy && service.deployments[0].rollout == RolloutState::InProgress {
            service.deployments[0].rollout = RolloutState::Completed;
        }
    }

    /// A new deployment becomes the newest; the present one goes on until its tasks are gone.
    pub(super) fn begin_deployment(&mut self, key: &(String, String)) {
        let id = format!("ecs-svc/{:019}", self.ecs.number());
        let now = self.now;
        let service = self.service_mut(key);
        let revision = service.config.task_definition.clone();
        let deployment = Deployment { id, revision, rollout: RolloutState::InProgress, failed: 0, next_start: now };
        service.deployments.insert(0, deployment);
    }

    pub(super) fn providers_step(&mut self) {
        let now = self.now;
        let mut gone = Vec::new();
        let mut has_failed = false;
        let fails = self.once_in(5);
        for (name, provider) in &mut self.ecs.providers {
            let Some((_, is_end)) = provider.due.filter(|(at, _)| *at <= now) else { continue };
            provider.due = None;
            let update = provider.wanted.take();
            if is_end {
                gone.push(name.clone());
            } else if update.is_some() && fails {
                provider.state = ProviderState::UpdateFailed("the scaling policy could not be changed".to_owned());
                has_failed = true;
            } else {
                provider.config = update.unwrap_or(provider.config);
                provider.state = ProviderState::Active;
            }
        }
        if has_failed {
            self.occur("transition", "provider update failed");
        }
        for name in gone {
            self.ecs.providers.remove(&name);
        }
        if self.troubles.has(Trouble::ClusterBusy, now) {
            self.figures.fault("ClusterBusy");
            self.occur("fault", "ClusterBusy");
            self.ecs.clusters.get_mut("build").unwrap().busy_until = now + Duration::from_secs(5);
        }
    }

    /// Managed scaling: instances for the tasks that there are, and none for long that are empty.
    pub(super) fn scaling_step(&mut self) {
        if self.now < self.ecs.next_scaling {
            return;
        }
        self.ecs.next_scaling = self.now + SCALING;
        let managed: Vec<(String, String)> = self
            .ecs
            .providers
            .iter()
            .filter(|(name, provider)| name.starts_with("ghr-") && provider.is_usable())
            .filter(|(name, _)| self.ecs.clusters.values().any(|cluster| cluster.providers.contains(name)))
            .map(|(name, provider)| (name.clone(), provider.group.clone()))
            .collect();
        for (name, group) in managed {
            let waits = |task: &&Task| task.provider == name && task.phase == Phase::Provisioning;
            let n_waiting = self.ecs.tasks.values().filter(waits).count();
            let is_alone = self.ecs.tasks.values().filter(waits).any(Task::is_distinct);
            let is_distinct = |service: &Service| {
                service.config.distinct_instances && service.config.capacity_provider.as_ref() == Some(&name)
            };
            let room = if is_alone || self.ecs.services.values().any(is_distinct) { 1 } else { ROOM };
            self.scale(&group, n_waiting.div_ceil(room), EMPTY_KEPT);
        }
    }
}
