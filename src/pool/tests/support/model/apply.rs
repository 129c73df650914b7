//! What each step does to the model.

#![expect(
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "a model for tests counts small numbers, and has an arm a step"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::auto_scaling::{Group, GroupInstance, WarmPool};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::ecs::{
    CapacityProvider, Deployment, Protection, ProviderState, RolloutState, Service, ServiceConfig, ServiceState,
    TaskDefinition, TaskPhase,
};
use crate::pool::model::evidence::StopReason;
use crate::pool::model::identity::{PhysicalId, TAG_CONTENT, TAG_ID};
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::{GitHubRunners, ObservedScaleSet};
use crate::pool::model::scale_set::{MessageQueue, MessageSession, ScaleSet};
use crate::pool::model::scaling::ObservedScaling;
use crate::pool::model::secret::Secret;
use crate::pool::model::step::{Step, TaggedResource};
use crate::pool::model::task_definition::METADATA_LABEL;
use crate::pool::tests::support::model::{Model, runner_name};

impl Model {
    /// Does what a step says, at once.
    pub(super) fn take(&mut self, operation: &Continuation, step: Step) -> StepResult {
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
                    warm_pool: None,
                    is_being_deleted: false,
                });
            }
            Step::CreateScaleSet(request) => {
                self.observed.scale_set = ObservedScaleSet::Found(ScaleSet {
                    id: 7,
                    name: request.name,
                    group_id: 1,
                    labels: request.labels,
                    statistics: None,
                });
                return StepResult::ScaleSetCreated { id: 7 };
            }
            Step::WriteScaling(record) => {
                let version = self.observed.scaling.as_ref().map_or(0, |found| found.version) + 1;
                self.observed.scaling = Some(ObservedScaling { record: *record, version });
            }
            Step::StartListener => {
                self.observed.is_listening = true;
                let queue = MessageQueue { url: Secret::new("https://queue"), token: Secret::new("token") };
                let session = MessageSession { id: "session".to_owned(), queue };
                if let Some(found) = &mut self.observed.scaling {
                    found.record.progress.session = Some(session);
                }
                return StepResult::ListenerStarted;
            }
            Step::DeleteScaleSet { .. } if self.refuses_scale_set_deletion => return StepResult::ScaleSetBusy,
            Step::DeleteScaleSet { .. } => self.observed.scale_set = ObservedScaleSet::Missing,
            Step::PutLaunchHook | Step::DeleteLaunchHook => {}
            Step::PutWarmPool(size) => {
                let warm_pool = WarmPool { size: Some(size), is_being_deleted: false, instances: Vec::new() };
                self.observed.group.as_mut().unwrap().warm_pool = Some(warm_pool);
            }
            Step::DeleteWarmPool => self.observed.group.as_mut().unwrap().warm_pool = None,
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
                    image: Some(content.image.clone()),
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
                self.update_service(ServiceConfig { desired_count: 0, ..config });
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
            Step::WithdrawRegistration(_) => {}
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
            Step::RecordRemains(metadata) => self.observed.remains = Some(*metadata),
            Step::ForgetRemains => self.observed.remains = None,
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
            let content = revision.tags.get(TAG_CONTENT).cloned().unwrap_or_default();
            self.observed.deployed_content.insert(revision.arn.clone(), content);
        }
    }

    fn update_service(&mut self, config: ServiceConfig) {
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
