//! ECS's writes, and what it refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::ecs::{ProviderConfig, ProviderState, ServiceConfig};
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::task_definition::TaskDefinitionContent;
use github_runner_pool::reconcile::ports::{RemoteCallError, RemoteResult};

use super::calls::short;
use super::{Phase, Provider, Revision, Service, ServiceStatus, Tags, arn};
use crate::faults::{Trouble, refuse};
use crate::history::{Fact, Loss};
use crate::world::World;

/// Protection that is asked for lasts this long.
const PROTECTION: Duration = Duration::from_secs(2880 * 60);

fn no(operation: &str, kind: ErrorKind, code: &str, message: &str) -> RemoteCallError {
    refuse(RemoteService::Ecs, operation, kind, code, message)
}

/// What anybody may read of a revision, but for its labels.
fn text_of(content: &TaskDefinitionContent) -> String {
    let variables: Vec<(&String, &String)> = content.environment.0.iter().collect();
    format!("{variables:?} {:?} {:?}", content.secrets, content.start)
}

fn busy(operation: &str) -> RemoteCallError {
    no(operation, ErrorKind::Conflict, "UpdateInProgressException", "The specified cluster is in a busy state.")
}

impl World {
    pub(crate) fn create_provider(
        &mut self,
        name: &str,
        group_arn: &str,
        config: ProviderConfig,
        tags: &Tags,
    ) -> RemoteResult<()> {
        const OPERATION: &str = "CreateCapacityProvider";
        if self.ecs.providers.contains_key(name) {
            let message = "The specified capacity provider already exists.";
            return Err(no(OPERATION, ErrorKind::Conflict, "ClientException", message));
        }
        let group = short(group_arn).to_owned();
        if !self.groups.all.contains_key(&group) {
            let message = "The specified Auto Scaling group ARN is invalid.";
            return Err(no(OPERATION, ErrorKind::Conflict, "ClientException", message));
        }
        let due = Some((self.now + self.between(1_000, 20_000), false));
        let state = ProviderState::Changing;
        let provider = Provider { group, config, wanted: None, tags: tags.clone(), state, due };
        self.ecs.providers.insert(name.to_owned(), provider);
        Ok(())
    }

    pub(crate) fn update_provider(&mut self, name: &str, config: ProviderConfig) -> RemoteResult<()> {
        let due = Some((self.now + self.between(1_000, 10_000), false));
        let Some(provider) = self.ecs.providers.get_mut(name) else {
            let message = "The specified capacity provider does not exist.";
            return Err(no("UpdateCapacityProvider", ErrorKind::NotFound, "ClientException", message));
        };
        if provider.due.is_some() {
            return Err(busy("UpdateCapacityProvider"));
        }
        (provider.wanted, provider.state, provider.due) = (Some(config), ProviderState::Changing, due);
        Ok(())
    }

    /// Failure shows later, in the provider's state.
    pub(crate) fn delete_provider(&mut self, name: &str) -> RemoteResult<()> {
        let due = Some((self.now + self.between(5_000, 40_000), true));
        let is_associated = self.ecs.clusters.values().any(|cluster| cluster.providers.iter().any(|it| it == name));
        let Some(provider) = self.ecs.providers.get_mut(name) else { return Ok(()) };
        if is_associated {
            provider.state = ProviderState::DeleteFailed("it is associated with a cluster".to_owned());
        } else if provider.due.is_none_or(|(_, is_end)| !is_end) {
            (provider.state, provider.due) = (ProviderState::Changing, due);
        }
        Ok(())
    }

    pub(crate) fn attach_provider(&mut self, cluster: &str, provider: &str, is_in: bool) -> RemoteResult<()> {
        const OPERATION: &str = "PutClusterCapacityProviders";
        let (takes, now) = (self.between(8_000, 40_000), self.now);
        let in_use = self.ecs.tasks.values().any(|task| task.provider == provider && task.is_live())
            || self.ecs.services.values().any(|service| {
                service.status != ServiceStatus::Inactive
                    && service.config.capacity_provider.as_deref() == Some(provider)
            });
        let is_ready = self.ecs.providers.get(provider).is_some_and(super::Provider::is_usable);
        let Some(found) = self.ecs.clusters.get_mut(short(cluster)).filter(|found| found.is_active) else {
            return if is_in {
                Err(no(OPERATION, ErrorKind::NotFound, "ClusterNotFoundException", "Cluster not found."))
            } else {
                Ok(())
            };
        };
        if found.providers.iter().any(|name| name == provider) == is_in {
            return Ok(());
        }
        if found.busy_until > now {
            return Err(busy(OPERATION));
        }
        if is_in && !is_ready {
            let message = "The specified capacity provider is not in an ACTIVE state.";
            return Err(no(OPERATION, ErrorKind::Conflict, "InvalidParameterException", message));
        }
        if !is_in && in_use {
            let message = "The specified capacity provider is in use and cannot be removed.";
            return Err(no(OPERATION, ErrorKind::Conflict, "ResourceInUseException", message));
        }
        if is_in {
            found.providers.push(provider.to_owned());
        } else {
            found.providers.retain(|name| name != provider);
        }
        found.busy_until = now + takes;
        let providers = found.providers.clone();
        self.groups.hook(provider, is_in);
        self.note(&Fact::ClusterChanged { providers });
        Ok(())
    }

    pub(crate) fn register_revision(
        &mut self,
        id: &PhysicalId,
        content: &TaskDefinitionContent,
        tags: &Tags,
    ) -> String {
        let org = content.environment.get("ORG_NAME").cloned().unwrap_or_default();
        self.github.lookalikes(&format!("/orgs/{org}"), id.as_str());
        let family = self.ecs.families.entry(id.as_str().to_owned()).or_default();
        family.newest += 1;
        let arn = arn(&format!("task-definition/{id}:{}", family.newest));
        family.revisions.push(Revision { arn: arn.clone(), content: content.clone(), tags: tags.clone() });
        self.note(&Fact::RevisionRegistered { content: text_of(content) });
        arn
    }

    pub(crate) fn delete_revisions(&mut self, arns: &[String]) {
        for family in self.ecs.families.values_mut() {
            family.revisions.retain(|revision| !arns.contains(&revision.arn));
        }
    }

    pub(crate) fn create_service(
        &mut self,
        cluster: &str,
        id: &PhysicalId,
        config: &ServiceConfig,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<()> {
        const OPERATION: &str = "CreateService";
        let key = (short(cluster).to_owned(), id.as_str().to_owned());
        self.check_shape(OPERATION, &key.0, config)?;
        match self.ecs.services.get(&key).map(|service| (service.status, service.token == token)) {
            Some((ServiceStatus::Active, true)) => return Ok(()),
            // A token that ECS knows from a service that is gone makes no other one.
            Some((ServiceStatus::Active, false) | (ServiceStatus::Inactive, true)) => {
                let message = "Creation of service was not idempotent.";
                return Err(no(OPERATION, ErrorKind::Conflict, "InvalidParameterException", message));
            }
            Some((ServiceStatus::Draining { .. }, _)) => {
                let message = "Unable to Start a service that is still Draining.";
                return Err(no(OPERATION, ErrorKind::Conflict, "InvalidParameterException", message));
            }
            Some((ServiceStatus::Inactive, false)) | None => {}
        }
        let service = Service {
            arn: arn(&format!("service/{}/{id}", key.0)),
            tags: tags.clone(),
            config: config.clone(),
            status: ServiceStatus::Active,
            deployments: Vec::new(),
            next_poll: self.now,
            token: token.to_owned(),
        };
        self.ecs.services.insert(key.clone(), service);
        self.begin_deployment(&key);
        Ok(())
    }

    fn check_shape(&self, operation: &str, cluster: &str, config: &ServiceConfig) -> RemoteResult<()> {
        let Some(cluster) = self.ecs.clusters.get(cluster).filter(|found| found.is_active) else {
            return Err(no(operation, ErrorKind::NotFound, "ClusterNotFoundException", "Cluster not found."));
        };
        if (config.maximum_percent, config.minimum_healthy_percent) == (100, 100) {
            let message = "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments";
            return Err(no(operation, ErrorKind::Invalid, "InvalidParameterException", message));
        }
        if self.revision(&config.task_definition).is_none() {
            return Err(no(operation, ErrorKind::NotFound, "ClientException", "TaskDefinition is inactive"));
        }
        let provider = config.capacity_provider.clone().unwrap_or_default();
        if !cluster.providers.contains(&provider) {
            let message = "a capacity provider that is not associated with the cluster";
            return Err(no(operation, ErrorKind::Conflict, "InvalidParameterException", message));
        }
        Ok(())
    }

    pub(crate) fn update_service(
        &mut self,
        cluster: &str,
        id: &PhysicalId,
        config: &ServiceConfig,
    ) -> RemoteResult<()> {
        const OPERATION: &str = "UpdateService";
        let key = (short(cluster).to_owned(), id.as_str().to_owned());
        let Some(service) = self.ecs.services.get(&key) else {
            return Err(no(OPERATION, ErrorKind::NotFound, "ServiceNotFoundException", "Service not found."));
        };
        if service.status != ServiceStatus::Active {
            return Err(no(OPERATION, ErrorKind::NotFound, "ServiceNotActiveException", "Service was not ACTIVE."));
        }
        let is_new = service.config.task_definition != config.task_definition;
        self.check_shape(OPERATION, &key.0, config)?;
        let now = self.now;
        let service = self.ecs.services.get_mut(&key).unwrap();
        service.config = config.clone();
        service.next_poll = now;
        if is_new {
            self.begin_deployment(&key);
        }
        Ok(())
    }

    pub(crate) fn lower_service(&mut self, cluster: &str, id: &PhysicalId) {
        let key = (short(cluster).to_owned(), id.as_str().to_owned());
        let now = self.now;
        if let Some(service) = self.ecs.services.get_mut(&key).filter(|it| it.status == ServiceStatus::Active) {
            service.config.desired_count = 0;
            service.next_poll = now;
        }
    }

    pub(crate) fn delete_service(&mut self, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
        let key = (short(cluster).to_owned(), id.as_str().to_owned());
        let Some(service) = self.ecs.services.get_mut(&key).filter(|it| it.status == ServiceStatus::Active) else {
            return Ok(());
        };
        if service.config.desired_count > 0 {
            let message = "The service cannot be stopped while it is scaled above 0.";
            return Err(no("DeleteService", ErrorKind::Conflict, "InvalidParameterException", message));
        }
        service.status = ServiceStatus::Draining { empty_since: None };
        Ok(())
    }

    /// Tells those that stay unprotected.
    pub(crate) fn protect(&mut self, tasks: &[String]) -> BTreeMap<String, String> {
        let (now, mut failures) = (self.now, BTreeMap::new());
        for arn in tasks {
            let Some(task) = self.ecs.tasks.get(arn) else { continue };
            if task.standalone.is_some() {
                failures.insert(arn.clone(), "TASK_NOT_VALID: the task is of no service".to_owned());
                continue;
            }
            if !task.is_live() {
                failures.insert(arn.clone(), self.not_valid());
                continue;
            }
            let key = (task.cluster.clone(), task.service.clone());
            let desired = self.ecs.services.get(&key).map_or(0, |service| service.config.desired_count as usize);
            let others = self.ecs.tasks_of(&key.0, &key.1);
            let n_others = others.iter().filter(|it| it.is_wanted() && it.is_protected(now) && it.arn != *arn).count();
            if self.troubles.has(Trouble::ProtectionFails, now) && self.chance.bool() {
                self.figures.fault("ProtectionFails");
                self.occur("fault", "ProtectionFails");
                failures.insert(arn.clone(), "TASK_NOT_VALID: the simulation says no".to_owned());
            } else if n_others + 1 > desired {
                self.occur("transition", "protection blocked");
                failures.insert(arn.clone(), "DEPLOYMENT_BLOCKED: more are protected than desired".to_owned());
            } else {
                self.ecs.tasks.get_mut(arn).unwrap().protected_until = Some(now + PROTECTION);
            }
        }
        failures
    }

    /// Tells those that it passes over.
    pub(crate) fn unprotect(&mut self, tasks: &[String]) -> BTreeMap<String, String> {
        let mut failures = BTreeMap::new();
        for arn in tasks {
            match self.ecs.tasks.get_mut(arn) {
                Some(task) if task.standalone.is_some() => {
                    failures.insert(arn.clone(), "TASK_NOT_VALID: the task is of no service".to_owned());
                }
                Some(task) if task.is_live() => task.protected_until = None,
                Some(_) => drop(failures.insert(arn.clone(), self.not_valid())),
                None => {}
            }
        }
        failures
    }

    /// A task that has ended is none of a service any more.
    fn not_valid(&mut self) -> String {
        self.occur("transition", "protection of a task that has ended");
        "TASK_NOT_VALID: the task has ended".to_owned()
    }

    /// What IAM says where the function's role binds calls about tasks to their tags: ECS deletes those of a task that
    /// ends. In every third run the role is such a one.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>
    pub(crate) fn allowed_by_tags(&mut self, operation: &str, tasks: &[String]) -> RemoteResult<()> {
        let is_tagged = |task: &super::Task| {
            task.standalone.as_ref().is_none_or(|it| it.tags.contains_key("github-runner-pool:id")) && task.is_live()
        };
        let has_tags = |arn: &String| self.ecs.tasks.get(arn).is_some_and(is_tagged);
        if !self.script.seed.is_multiple_of(3) || tasks.iter().all(has_tags) {
            return Ok(());
        }
        self.occur("transition", "denied for a task without tags");
        let message = "because no identity-based policy allows the action";
        Err(no(operation, ErrorKind::Denied, "AccessDeniedException", message))
    }

    /// Refused for one that Auto Scaling is taking away.
    pub(crate) fn drain_instance(&mut self, arn: &str) {
        let ec2_id = self.ecs.instances.get(arn).map(|instance| instance.ec2_id.clone());
        if ec2_id.is_some_and(|id| self.groups.is_ending(&id)) {
            return;
        }
        if let Some(instance) = self.ecs.instances.get_mut(arn) {
            instance.is_draining = true;
        }
    }

    pub(crate) fn deregister_instance(&mut self, arn: &str) {
        let Some(instance) = self.ecs.instances.remove(arn) else { return };
        let orphans: Vec<String> = self
            .ecs
            .tasks
            .values()
            .filter(|task| task.phase == Phase::Running && task.instance.as_deref() == Some(arn))
            .map(|task| task.arn.clone())
            .collect();
        for task in orphans {
            self.kill_container(&task, Loss::InstanceTaken);
            self.end_task(&task, 137, "The container instance was deregistered.");
        }
        self.trace(|| format!("{} is off the cluster", instance.ec2_id));
    }

    pub(crate) fn tag(&mut self, arn: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
        let tags = if let Some(service) = self.ecs.services.values_mut().find(|service| service.arn == arn) {
            &mut service.tags
        } else if let Some(provider) = self.ecs.providers.get_mut(short(arn)).filter(|_| arn.contains(":capacity-")) {
            &mut provider.tags
        } else {
            let mut revisions = self.ecs.families.values_mut().flat_map(|family| &mut family.revisions);
            match revisions.find(|revision| revision.arn == arn) {
                Some(revision) => &mut revision.tags,
                None => return Err(no("TagResource", ErrorKind::NotFound, "ResourceNotFoundException", "not found")),
            }
        };
        tags.extend(set.clone());
        tags.retain(|key, _| !remove.contains(key));
        Ok(())
    }
}
