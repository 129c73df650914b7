//! ECS and Auto Scaling, as the function reaches them.

use std::collections::{BTreeMap, BTreeSet};

use github_runner_pool::pool::model::auto_scaling::{Group, GroupConfig};
use github_runner_pool::pool::model::ec2::{Room, TemplateVersion, TemplateView};
use github_runner_pool::pool::model::ecs::{
    CapacityProvider, Cluster, ContainerInstance, Protection, ProviderConfig, Service, ServiceConfig, StartedTasks,
    Task, TaskDefinition, TaskRun,
};
use github_runner_pool::pool::model::identity::{PhysicalId, StackResource};
use github_runner_pool::pool::model::registration::TaskArn;
use github_runner_pool::pool::model::remote_error::RemoteService;
use github_runner_pool::pool::model::runner_log::LogPlace;
use github_runner_pool::pool::model::spec::LaunchTemplateId;
use github_runner_pool::pool::model::task_definition::TaskDefinitionContent;
use github_runner_pool::reconcile::ports::{AutoScaling, Ecs, RemoteResult, Tags};

use super::Port;
use crate::ecs::{MACHINE, machine_room};
use crate::history::Loss;
use crate::world::World;

impl Ecs for Port {
    async fn cluster(&self, cluster: &str) -> RemoteResult<Option<Cluster>> {
        self.read(RemoteService::Ecs, "DescribeClusters", cluster, |world| world.read_cluster(cluster)).await
    }

    async fn capacity_provider(&self, name: &str) -> RemoteResult<Option<CapacityProvider>> {
        self.read(RemoteService::Ecs, "DescribeCapacityProviders", name, |world| world.read_provider(name)).await
    }

    async fn task_definition(&self, id: &PhysicalId) -> RemoteResult<Option<TaskDefinition>> {
        self.read(RemoteService::Ecs, "DescribeTaskDefinition", id.as_str(), |world| world.read_newest(id.as_str()))
            .await
    }

    async fn revision(&self, arn: &str) -> RemoteResult<Option<TaskDefinition>> {
        self.read(RemoteService::Ecs, "DescribeTaskDefinition", arn, |world| world.read_revision(arn)).await
    }

    async fn log_place(&self, revision: &str) -> RemoteResult<Option<LogPlace>> {
        self.read(RemoteService::Ecs, "DescribeTaskDefinition log", revision, |world| world.read_log_place(revision))
            .await
    }

    async fn task_definitions(&self, id: &PhysicalId) -> RemoteResult<Vec<String>> {
        self.call(RemoteService::Ecs, "ListTaskDefinitions", |world| Ok(world.read_revisions(id))).await
    }

    async fn families_with_prefix(&self, stem: &str) -> RemoteResult<Vec<String>> {
        self.call(RemoteService::Ecs, "ListTaskDefinitionFamilies", |world| Ok(world.read_families(stem))).await
    }

    async fn service(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<Option<Service>> {
        self.read(RemoteService::Ecs, "DescribeServices", id.as_str(), |world| world.read_service(cluster, id)).await
    }

    async fn tasks(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<Vec<Task>> {
        self.read(RemoteService::Ecs, "DescribeTasks", id.as_str(), |world| world.read_tasks(cluster, id)).await
    }

    async fn task(&self, task: &TaskArn) -> RemoteResult<Option<Task>> {
        self.read(RemoteService::Ecs, "DescribeTasks", task.as_str(), |world| world.read_task(task)).await
    }

    async fn tasks_incremental(&self, cluster: &str, id: &PhysicalId, known: Vec<String>) -> RemoteResult<Vec<Task>> {
        let look = |world: &mut World| {
            let mut tasks = world.read_tasks(cluster, id);
            tasks.retain(|task| !task.desired_stopped && !known.contains(&task.arn));
            // `DescribeTasks` has what `ListTasks` may still lack.
            tasks.extend(world.read_tasks_by_arn(&known));
            tasks.sort_by(|one, other| one.arn.cmp(&other.arn));
            tasks
        };
        self.read(RemoteService::Ecs, "DescribeTasks", id.as_str(), look).await
    }

    async fn protections(&self, _: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, Protection>> {
        self.read(RemoteService::Ecs, "GetTaskProtection", &tasks.concat(), |world| world.planted_protections(tasks))
            .await
    }

    async fn container_instances(
        &self,
        cluster: &str,
        provider: &str,
        ids: &[String],
    ) -> RemoteResult<Vec<ContainerInstance>> {
        let look = |world: &mut World| world.read_instances(cluster, provider, ids);
        self.read(RemoteService::Ecs, "DescribeContainerInstances", provider, look).await
    }

    async fn create_capacity_provider(
        &self,
        name: &str,
        group_arn: &str,
        config: &ProviderConfig,
        tags: &Tags,
    ) -> RemoteResult<()> {
        let effect = |world: &mut World| world.create_provider(name, group_arn, *config, tags);
        self.write(RemoteService::Ecs, "CreateCapacityProvider", name, effect).await
    }

    async fn update_capacity_provider(&self, name: &str, config: &ProviderConfig) -> RemoteResult<()> {
        let effect = |world: &mut World| world.update_provider(name, *config);
        self.write(RemoteService::Ecs, "UpdateCapacityProvider", name, effect).await
    }

    async fn delete_capacity_provider(&self, name: &str) -> RemoteResult<()> {
        self.write(RemoteService::Ecs, "DeleteCapacityProvider", name, |world| world.delete_provider(name)).await
    }

    async fn attach_provider(&self, cluster: &str, provider: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| world.planted_associate(cluster, provider);
        self.write(RemoteService::Ecs, "PutClusterCapacityProviders", provider, effect).await
    }

    async fn detach_provider(&self, cluster: &str, provider: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| world.attach_provider(cluster, provider, false);
        self.write(RemoteService::Ecs, "PutClusterCapacityProviders", provider, effect).await
    }

    async fn register_task_definition(
        &self,
        id: &PhysicalId,
        content: &TaskDefinitionContent,
        tags: &Tags,
    ) -> RemoteResult<String> {
        let effect = |world: &mut World| Ok(world.register_revision(id, content, tags));
        self.write(RemoteService::Ecs, "RegisterTaskDefinition", id.as_str(), effect).await
    }

    async fn delete_task_definitions(&self, arns: &[String]) -> RemoteResult<()> {
        for arn in arns {
            let effect = |world: &mut World| {
                let call = world.n_calls;
                world.trace(|| format!("DeleteTaskDefinitions is call {call}"));
                world.delete_revisions(std::slice::from_ref(arn));
                Ok(())
            };
            self.write(RemoteService::Ecs, "DeleteTaskDefinitions", arn, effect).await?;
        }
        Ok(())
    }

    async fn create_service(
        &self,
        cluster: &str,
        id: &PhysicalId,
        config: &ServiceConfig,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<()> {
        let effect = |world: &mut World| world.create_service(cluster, id, config, tags, token);
        self.write(RemoteService::Ecs, "CreateService", id.as_str(), effect).await
    }

    async fn update_service(&self, cluster: &str, id: &PhysicalId, config: &ServiceConfig) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.planted_update(id);
            world.update_service(cluster, id, config)
        };
        self.write(RemoteService::Ecs, "UpdateService", id.as_str(), effect).await
    }

    async fn scale_service_to_zero(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.planted_lowering(cluster, id);
            Ok(())
        };
        self.write(RemoteService::Ecs, "UpdateService", id.as_str(), effect).await
    }

    async fn delete_service(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
        self.write(RemoteService::Ecs, "DeleteService", id.as_str(), |world| world.delete_service(cluster, id)).await
    }

    async fn protect(&self, _: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, String>> {
        let mut failures = BTreeMap::new();
        for batch in tasks.chunks(10) {
            let effect = |world: &mut World| {
                world.allowed_by_tags("UpdateTaskProtection", batch)?;
                Ok(world.planted_protection(batch))
            };
            failures.extend(self.write(RemoteService::Ecs, "UpdateTaskProtection", &batch[0], effect).await?);
        }
        Ok(failures)
    }

    async fn unprotect(&self, _: &str, tasks: &[String]) -> RemoteResult<()> {
        for batch in tasks.chunks(10) {
            let effect = |world: &mut World| {
                world.allowed_by_tags("UpdateTaskProtection", batch)?;
                // As the adapter does: what ECS passes over is shown by the next look.
                drop(world.unprotect(batch));
                Ok(())
            };
            self.write(RemoteService::Ecs, "UpdateTaskProtection", &batch[0], effect).await?;
        }
        Ok(())
    }

    async fn run_tasks(
        &self,
        cluster: &str,
        id: &PhysicalId,
        run: &TaskRun,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<StartedTasks> {
        self.trace_next_call("RunTask");
        let began = self.world.borrow().now;
        let effect = |world: &mut World| world.run_tasks(cluster, id, run, tags, token, began);
        self.write(RemoteService::Ecs, "RunTask", id.as_str(), effect).await
    }

    async fn stop_task(&self, _: &str, task: &str, reason: &str) -> RemoteResult<()> {
        let why = if reason.contains("DrainTimeout") { Loss::DrainTimedOut } else { Loss::Stopped };
        self.trace_next_call("StopTask");
        let effect = |world: &mut World| {
            world.allowed_by_tags("StopTask", &[task.to_owned()])?;
            if let Some(pool) = world.ecs.tasks.get(task).map(|task| task.service.clone()) {
                world.note_leaving(&pool);
            }
            world.stop_task(task, why, reason);
            Ok(())
        };
        self.write(RemoteService::Ecs, "StopTask", task, effect).await
    }

    async fn drain_instance(&self, _: &str, instance: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.drain_instance(instance);
            Ok(())
        };
        self.write(RemoteService::Ecs, "UpdateContainerInstancesState", instance, effect).await
    }

    async fn deregister_instance(&self, _: &str, instance: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.deregister_instance(instance);
            Ok(())
        };
        self.write(RemoteService::Ecs, "DeregisterContainerInstance", instance, effect).await
    }

    async fn tag(&self, arn: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
        self.write(RemoteService::Ecs, "TagResource", arn, |world| world.tag(arn, set, remove)).await
    }
}

impl AutoScaling for Port {
    async fn group(&self, name: &str) -> RemoteResult<Option<Group>> {
        let look = |world: &mut World| {
            world.create_foreign_group(name);
            world.planted_group(name)
        };
        self.read(RemoteService::AutoScaling, "DescribeAutoScalingGroups", name, look).await
    }

    async fn groups_owned_by(&self, stack_resource: &StackResource) -> RemoteResult<Vec<String>> {
        let look = |world: &mut World| {
            let all = world.groups.all.iter();
            Ok(all.filter(|(_, group)| stack_resource.owns(&group.tags)).map(|(name, _)| name.clone()).collect())
        };
        self.call(RemoteService::AutoScaling, "DescribeAutoScalingGroups", look).await
    }

    async fn last_failed_activity(&self, name: &str) -> RemoteResult<Option<String>> {
        let look = |world: &mut World| Ok(world.failed_activity(name));
        self.call(RemoteService::AutoScaling, "DescribeScalingActivities", look).await
    }

    async fn template_version(&self, _: &LaunchTemplateId, _: &str) -> RemoteResult<Option<u64>> {
        self.call(RemoteService::Ec2, "DescribeLaunchTemplates", |world| Ok(Some(world.groups.template_version))).await
    }

    async fn template(&self, _: &LaunchTemplateId, _: &str) -> RemoteResult<TemplateView> {
        let version = TemplateVersion {
            instance_type: Some(MACHINE.to_owned()),
            has_image: true,
            checks_warm_pool: Some(true),
            ..TemplateVersion::default()
        };
        self.call(RemoteService::Ec2, "DescribeLaunchTemplateVersions", |_| Ok(TemplateView::Version(version))).await
    }

    async fn instance_types(&self, types: &[String]) -> RemoteResult<Option<BTreeMap<String, Room>>> {
        let found = types.iter().map(|name| (name.clone(), machine_room(0))).collect();
        self.call(RemoteService::Ec2, "DescribeInstanceTypes", |_| Ok(Some(found))).await
    }

    async fn subnets(&self, subnets: &[String]) -> RemoteResult<Option<BTreeSet<String>>> {
        self.call(RemoteService::Ec2, "DescribeSubnets", |_| Ok(Some(subnets.iter().cloned().collect()))).await
    }

    async fn create_group(&self, name: &str, config: &GroupConfig, tags: &Tags) -> RemoteResult<()> {
        let effect = |world: &mut World| world.create_group(name, config, tags);
        self.write(RemoteService::AutoScaling, "CreateAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn update_group(&self, name: &str, config: &GroupConfig) -> RemoteResult<()> {
        let effect = |world: &mut World| world.update_group(name, config);
        self.write(RemoteService::AutoScaling, "UpdateAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn put_launch_hook(&self, name: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| world.put_launch_hook(name);
        self.write(RemoteService::AutoScaling, "PutLifecycleHook", &format!("group {name}"), effect).await
    }

    async fn delete_launch_hook(&self, name: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.delete_launch_hook(name);
            Ok(())
        };
        self.write(RemoteService::AutoScaling, "DeleteLifecycleHook", &format!("group {name}"), effect).await
    }

    async fn complete_launch(&self, name: &str, instance: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.complete_launch(name, instance);
            Ok(())
        };
        self.write(RemoteService::AutoScaling, "CompleteLifecycleAction", &format!("launch {name}"), effect).await
    }

    async fn put_warm_pool(&self, name: &str, size: u32) -> RemoteResult<()> {
        let effect = |world: &mut World| world.put_warm_pool(name, size);
        self.write(RemoteService::AutoScaling, "PutWarmPool", &format!("group {name}"), effect).await
    }

    async fn delete_warm_pool(&self, name: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.delete_warm_pool(name);
            Ok(())
        };
        self.write(RemoteService::AutoScaling, "DeleteWarmPool", &format!("group {name}"), effect).await
    }

    async fn scale_group_to_zero(&self, name: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.scale_group_to_zero(name);
            Ok(())
        };
        self.write(RemoteService::AutoScaling, "UpdateAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn unprotect_instances(&self, name: &str, instances: &[String]) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.unprotect_machines(name, instances);
            Ok(())
        };
        self.write(RemoteService::AutoScaling, "SetInstanceProtection", &format!("group {name}"), effect).await
    }

    async fn delete_draining_hook(&self, name: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.delete_hook(name);
            Ok(())
        };
        self.write(RemoteService::AutoScaling, "DeleteLifecycleHook", &format!("group {name}"), effect).await
    }

    async fn delete_group(&self, name: &str) -> RemoteResult<()> {
        let effect = |world: &mut World| world.delete_group(name);
        self.write(RemoteService::AutoScaling, "DeleteAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn tag_group(&self, name: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
        let effect = |world: &mut World| world.tag_group(name, set, remove);
        self.write(RemoteService::AutoScaling, "CreateOrUpdateTags", &format!("group {name}"), effect).await
    }
}
