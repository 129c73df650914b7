//! ECS's reads, as its port has them.

use std::collections::BTreeMap;

use github_runner_pool::pool::model::ecs as model;
use github_runner_pool::pool::model::ecs::{
    CapacityProvider, ContainerInstance, Placement, Protection, ServiceEvent, ServiceState, StopInfo, TaskDefinition,
    TaskPhase,
};
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::registration::TaskArn;
use github_runner_pool::pool::model::task_definition::METADATA_LABEL;
use github_runner_pool::pool::model::time::Timestamp;

use super::{MACHINE, Phase, Revision, RolloutState, Service, ServiceStatus, Task, arn, machine_room};
use crate::world::World;

/// The cluster's name, whether a template gave the name or the ARN.
pub(crate) fn short(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap()
}

impl World {
    pub(crate) fn read_cluster(&self, cluster: &str) -> Option<model::Cluster> {
        let name = short(cluster);
        let found = self.ecs.clusters.get(name).filter(|found| found.is_active)?;
        Some(model::Cluster {
            arn: arn(&format!("cluster/{name}")),
            is_active: true,
            is_busy: found.busy_until > self.now,
            providers: found.providers.clone(),
            failed_attachments: Vec::new(),
        })
    }

    pub(crate) fn read_provider(&self, name: &str) -> Option<CapacityProvider> {
        let found = self.ecs.providers.get(name)?;
        Some(CapacityProvider {
            name: name.to_owned(),
            arn: arn(&format!("capacity-provider/{name}")),
            group_arn: Some(crate::auto_scaling::arn(&found.group)),
            tags: found.tags.clone(),
            state: found.state.clone(),
            config: found.config,
        })
    }

    pub(crate) fn read_newest(&self, family: &str) -> Option<TaskDefinition> {
        self.ecs.families.get(family)?.revisions.last().map(definition)
    }

    pub(crate) fn read_revision(&self, arn: &str) -> Option<TaskDefinition> {
        self.revision(arn).map(definition)
    }

    pub(crate) fn revision(&self, arn: &str) -> Option<&Revision> {
        self.ecs.families.values().flat_map(|family| &family.revisions).find(|revision| revision.arn == arn)
    }

    pub(crate) fn read_revisions(&self, id: &PhysicalId) -> Vec<String> {
        let family = self.ecs.families.get(id.as_str());
        family.map(|family| family.revisions.iter().map(|it| it.arn.clone()).collect()).unwrap_or_default()
    }

    pub(crate) fn read_families(&self, stem: &str) -> Vec<String> {
        let is_like =
            |(name, family): &(&String, &super::Family)| name.starts_with(stem) && !family.revisions.is_empty();
        self.ecs.families.iter().filter(is_like).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn read_service(&self, cluster: &str, id: &PhysicalId) -> Option<model::Service> {
        let key = (short(cluster).to_owned(), id.as_str().to_owned());
        let service = self.ecs.services.get(&key)?;
        let tasks = self.ecs.tasks_of(&key.0, &key.1);
        let count = |phases: &[Phase]| tasks.iter().filter(|task| phases.contains(&task.phase)).count() as u32;
        Some(model::Service {
            arn: service.arn.clone(),
            tags: service.tags.clone(),
            state: match service.status {
                ServiceStatus::Active => ServiceState::Active,
                ServiceStatus::Draining { .. } => ServiceState::Draining,
                ServiceStatus::Inactive => ServiceState::Inactive,
            },
            config: service.config.clone(),
            running: count(&[Phase::Running]),
            pending: count(&[Phase::Provisioning, Phase::Pending]),
            deployments: deployments(service, &tasks),
            events: vec![ServiceEvent { at: self.now, message: format!("(service {id}) is being watched.") }],
        })
    }

    pub(crate) fn read_tasks(&self, cluster: &str, id: &PhysicalId) -> Vec<model::Task> {
        let is_mine =
            |task: &&Task| task.cluster == short(cluster) && task.family == id.as_str() && task.listed_at <= self.now;
        self.ecs.tasks.values().filter(is_mine).map(|task| self.observed_task(task)).collect()
    }

    pub(crate) fn read_tasks_by_arn(&self, arns: &[String]) -> Vec<model::Task> {
        let found = self.ecs.tasks.iter().filter(|(arn, _)| arns.contains(arn));
        found.map(|(_, task)| self.observed_task(task)).collect()
    }

    pub(crate) fn read_task(&self, arn: &TaskArn) -> Option<model::Task> {
        let found = self.ecs.tasks.get(arn.as_str()).filter(|task| task.cluster == arn.cluster());
        found.map(|task| self.observed_task(task))
    }

    fn observed_task(&self, task: &Task) -> model::Task {
        let has_container = task.started_at.is_some() && task.id_told_at <= self.now;
        model::Task {
            arn: task.arn.clone(),
            task_definition: task.revision.clone(),
            group: match task.standalone {
                Some(_) => format!("family:{}", task.family),
                None => format!("service:{}", task.service),
            },
            started_by: Some(task.deployment.clone()),
            phase: match task.phase {
                Phase::Provisioning | Phase::Pending => TaskPhase::Starting,
                Phase::Running => TaskPhase::Running,
                Phase::Stopping => TaskPhase::Stopping,
                Phase::Stopped => TaskPhase::Stopped,
            },
            desired_stopped: task.stop_cause.is_some() || task.phase == Phase::Stopped,
            protection: Protection::Unknown,
            runtime_id: has_container.then(|| task.container_id.clone()),
            placement: Placement::of(task.instance.clone()),
            created_at: Some(task.created_at),
            started_at: task.started_at,
            ending: task.stopped_at.map(|at| StopInfo {
                reason: task.stop_reason.clone(),
                exit_code: task.exit_code,
                at: Some(at),
            }),
        }
    }

    pub(crate) fn read_protections(&self, tasks: &[String]) -> BTreeMap<String, Protection> {
        let now = self.now;
        let of = |arn: &String| {
            let task = self.ecs.tasks.get(arn).filter(|task| task.is_live())?;
            let until: Option<Timestamp> = task.protected_until.filter(|until| *until > now);
            Some((arn.clone(), until.map_or(Protection::Off, Protection::Until)))
        };
        tasks.iter().filter_map(of).collect()
    }

    pub(crate) fn read_instances(&self, cluster: &str, provider: &str, ids: &[String]) -> Vec<ContainerInstance> {
        let all = self.ecs.instances.values().filter(|instance| instance.cluster == short(cluster));
        let asked = all.filter(|instance| instance.provider == provider || ids.contains(&instance.ec2_id));
        asked
            .map(|instance| ContainerInstance {
                arn: instance.arn.clone(),
                ec2_instance_id: Some(instance.ec2_id.clone()),
                is_active: !instance.is_draining,
                // ECS counts those that are meant to run, and leaves out the ones that are still ending.
                n_tasks: self
                    .ecs
                    .tasks
                    .values()
                    .filter(|task| task.is_wanted() && task.instance.as_ref() == Some(&instance.arn))
                    .count() as u32,
                is_connected: instance.is_connected,
                instance_type: Some(MACHINE.to_owned()),
                registered: Some(machine_room(0)),
                remaining: Some(machine_room(self.ecs.tasks_on(&instance.arn))),
            })
            .collect()
    }
}

fn definition(revision: &Revision) -> TaskDefinition {
    TaskDefinition {
        arn: revision.arn.clone(),
        tags: revision.tags.clone(),
        metadata: revision.content.docker_labels.get(METADATA_LABEL).cloned(),
        image: Some(revision.content.image.clone()),
    }
}

fn deployments(service: &Service, tasks: &[&Task]) -> Vec<model::Deployment> {
    let newest = service.deployments.first().map(|deployment| deployment.id.clone());
    service
        .deployments
        .iter()
        .map(|deployment| model::Deployment {
            id: deployment.id.clone(),
            is_primary: Some(&deployment.id) == newest.as_ref(),
            task_definition: deployment.revision.clone(),
            running: tasks
                .iter()
                .filter(|task| task.deployment == deployment.id && task.phase == Phase::Running)
                .count() as u32,
            desired: service.config.desired_count,
            failed: deployment.failed,
            rollout: match deployment.rollout {
                RolloutState::InProgress => model::RolloutState::InProgress,
                RolloutState::Completed => model::RolloutState::Completed,
                RolloutState::Failed => model::RolloutState::Failed("tasks failed to start.".to_owned()),
            },
        })
        .collect()
}
