//! ECS and Auto Scaling, as the function reaches them.

use std::collections::{BTreeMap, BTreeSet};

use github_runner_pool::pool::ec2::{Room, TemplateVersion, TemplateView};
use github_runner_pool::pool::identity::{Origin, PhysicalId};
use github_runner_pool::pool::observed::{
    CapacityProvider, Cluster, ContainerInstance, Group, GroupShape, Protection, ProviderShape, Service, ServiceShape,
    Task, TaskDefinition,
};
use github_runner_pool::pool::refusal::Remote;
use github_runner_pool::pool::runner_log::LogPlace;
use github_runner_pool::pool::spec::TemplateRef;
use github_runner_pool::pool::task_definition::TaskDefinitionContent;
use github_runner_pool::reconcile::ports::{AutoScaling, Call, Ecs, Tags};

use super::Port;
use crate::ecs::{MACHINE, machine_room};
use crate::history::Loss;
use crate::world::World;

impl Ecs for Port {
    async fn cluster(&self, cluster: &str) -> Call<Option<Cluster>> {
        self.read(Remote::Ecs, "DescribeClusters", cluster, |world| world.read_cluster(cluster)).await
    }

    async fn capacity_provider(&self, name: &str) -> Call<Option<CapacityProvider>> {
        self.read(Remote::Ecs, "DescribeCapacityProviders", name, |world| world.read_provider(name)).await
    }

    async fn task_definition(&self, id: &PhysicalId) -> Call<Option<TaskDefinition>> {
        self.read(Remote::Ecs, "DescribeTaskDefinition", id.as_str(), |world| world.read_newest(id.as_str())).await
    }

    async fn revision(&self, arn: &str) -> Call<Option<TaskDefinition>> {
        self.read(Remote::Ecs, "DescribeTaskDefinition", arn, |world| world.read_revision(arn)).await
    }

    async fn log_place(&self, revision: &str) -> Call<Option<LogPlace>> {
        self.read(Remote::Ecs, "DescribeTaskDefinition log", revision, |world| world.read_log_place(revision)).await
    }

    async fn task_definitions(&self, id: &PhysicalId) -> Call<Vec<String>> {
        self.call(Remote::Ecs, "ListTaskDefinitions", |world| Ok(world.read_revisions(id))).await
    }

    async fn families(&self, stem: &str) -> Call<Vec<String>> {
        self.call(Remote::Ecs, "ListTaskDefinitionFamilies", |world| Ok(world.read_families(stem))).await
    }

    async fn service(&self, cluster: &str, id: &PhysicalId) -> Call<Option<Service>> {
        self.read(Remote::Ecs, "DescribeServices", id.as_str(), |world| world.read_service(cluster, id)).await
    }

    async fn tasks(&self, cluster: &str, id: &PhysicalId) -> Call<Vec<Task>> {
        self.read(Remote::Ecs, "DescribeTasks", id.as_str(), |world| world.read_tasks(cluster, id)).await
    }

    async fn tasks_beside(&self, cluster: &str, id: &PhysicalId, known: Vec<String>) -> Call<Vec<Task>> {
        let look = |world: &mut World| {
            let mut tasks = world.read_tasks(cluster, id);
            tasks.retain(|task| !task.is_told_to_stop || known.contains(&task.arn));
            tasks
        };
        self.read(Remote::Ecs, "DescribeTasks", id.as_str(), look).await
    }

    async fn protections(&self, _: &str, tasks: &[String]) -> Call<BTreeMap<String, Protection>> {
        self.read(Remote::Ecs, "GetTaskProtection", &tasks.concat(), |world| world.planted_protections(tasks)).await
    }

    async fn container_instances(&self, cluster: &str, provider: &str, ids: &[String]) -> Call<Vec<ContainerInstance>> {
        let look = |world: &mut World| world.read_instances(cluster, provider, ids);
        self.read(Remote::Ecs, "DescribeContainerInstances", provider, look).await
    }

    async fn create_capacity_provider(
        &self,
        name: &str,
        group_arn: &str,
        shape: &ProviderShape,
        tags: &Tags,
    ) -> Call<()> {
        let effect = |world: &mut World| world.create_provider(name, group_arn, *shape, tags);
        self.write(Remote::Ecs, "CreateCapacityProvider", name, effect).await
    }

    async fn update_capacity_provider(&self, name: &str, shape: &ProviderShape) -> Call<()> {
        let effect = |world: &mut World| world.update_provider(name, *shape);
        self.write(Remote::Ecs, "UpdateCapacityProvider", name, effect).await
    }

    async fn delete_capacity_provider(&self, name: &str) -> Call<()> {
        self.write(Remote::Ecs, "DeleteCapacityProvider", name, |world| world.delete_provider(name)).await
    }

    async fn associate(&self, cluster: &str, provider: &str) -> Call<()> {
        let effect = |world: &mut World| world.planted_associate(cluster, provider);
        self.write(Remote::Ecs, "PutClusterCapacityProviders", provider, effect).await
    }

    async fn dissociate(&self, cluster: &str, provider: &str) -> Call<()> {
        let effect = |world: &mut World| world.associate(cluster, provider, false);
        self.write(Remote::Ecs, "PutClusterCapacityProviders", provider, effect).await
    }

    async fn register_task_definition(
        &self,
        id: &PhysicalId,
        content: &TaskDefinitionContent,
        tags: &Tags,
    ) -> Call<String> {
        let effect = |world: &mut World| Ok(world.register_revision(id, content, tags));
        self.write(Remote::Ecs, "RegisterTaskDefinition", id.as_str(), effect).await
    }

    async fn delete_task_definitions(&self, arns: &[String]) -> Call<()> {
        for arn in arns {
            let effect = |world: &mut World| {
                world.delete_revisions(std::slice::from_ref(arn));
                Ok(())
            };
            self.write(Remote::Ecs, "DeleteTaskDefinitions", arn, effect).await?;
        }
        Ok(())
    }

    async fn create_service(
        &self,
        cluster: &str,
        id: &PhysicalId,
        shape: &ServiceShape,
        tags: &Tags,
        token: &str,
    ) -> Call<()> {
        let effect = |world: &mut World| world.create_service(cluster, id, shape, tags, token);
        self.write(Remote::Ecs, "CreateService", id.as_str(), effect).await
    }

    async fn update_service(&self, cluster: &str, id: &PhysicalId, shape: &ServiceShape) -> Call<()> {
        let effect = |world: &mut World| {
            world.planted_update(id);
            world.update_service(cluster, id, shape)
        };
        self.write(Remote::Ecs, "UpdateService", id.as_str(), effect).await
    }

    async fn lower_service_to_zero(&self, cluster: &str, id: &PhysicalId) -> Call<()> {
        let effect = |world: &mut World| {
            world.planted_lowering(cluster, id);
            Ok(())
        };
        self.write(Remote::Ecs, "UpdateService", id.as_str(), effect).await
    }

    async fn delete_service(&self, cluster: &str, id: &PhysicalId) -> Call<()> {
        self.write(Remote::Ecs, "DeleteService", id.as_str(), |world| world.delete_service(cluster, id)).await
    }

    async fn protect(&self, _: &str, tasks: &[String]) -> Call<BTreeMap<String, String>> {
        let mut left_out = BTreeMap::new();
        for batch in tasks.chunks(10) {
            let effect = |world: &mut World| {
                world.allowed_by_tags("UpdateTaskProtection", batch)?;
                Ok(world.planted_protection(batch))
            };
            left_out.extend(self.write(Remote::Ecs, "UpdateTaskProtection", &batch[0], effect).await?);
        }
        Ok(left_out)
    }

    async fn unprotect(&self, _: &str, tasks: &[String]) -> Call<()> {
        for batch in tasks.chunks(10) {
            let effect = |world: &mut World| {
                world.allowed_by_tags("UpdateTaskProtection", batch)?;
                // As the adapter does: what ECS passes over is shown by the next look.
                drop(world.unprotect(batch));
                Ok(())
            };
            self.write(Remote::Ecs, "UpdateTaskProtection", &batch[0], effect).await?;
        }
        Ok(())
    }

    async fn stop_task(&self, _: &str, task: &str, reason: &str) -> Call<()> {
        let why = if reason.contains("DrainTimeout") { Loss::DrainTimedOut } else { Loss::Stopped };
        let effect = |world: &mut World| {
            world.allowed_by_tags("StopTask", &[task.to_owned()])?;
            world.stop_task(task, why, reason);
            Ok(())
        };
        self.write(Remote::Ecs, "StopTask", task, effect).await
    }

    async fn drain_instance(&self, _: &str, instance: &str) -> Call<()> {
        let effect = |world: &mut World| {
            world.drain_instance(instance);
            Ok(())
        };
        self.write(Remote::Ecs, "UpdateContainerInstancesState", instance, effect).await
    }

    async fn deregister_instance(&self, _: &str, instance: &str) -> Call<()> {
        let effect = |world: &mut World| {
            world.deregister_instance(instance);
            Ok(())
        };
        self.write(Remote::Ecs, "DeregisterContainerInstance", instance, effect).await
    }

    async fn tag(&self, arn: &str, set: &Tags, remove: &[String]) -> Call<()> {
        self.write(Remote::Ecs, "TagResource", arn, |world| world.tag(arn, set, remove)).await
    }
}

impl AutoScaling for Port {
    async fn group(&self, name: &str) -> Call<Option<Group>> {
        let look = |world: &mut World| {
            world.squat(name);
            world.planted_group(name)
        };
        self.read(Remote::AutoScaling, "DescribeAutoScalingGroups", name, look).await
    }

    async fn groups_of(&self, origin: &Origin) -> Call<Vec<String>> {
        let look = |world: &mut World| {
            let all = world.groups.all.iter();
            Ok(all.filter(|(_, group)| origin.made(&group.tags)).map(|(name, _)| name.clone()).collect())
        };
        self.call(Remote::AutoScaling, "DescribeAutoScalingGroups", look).await
    }

    async fn last_failed_activity(&self, name: &str) -> Call<Option<String>> {
        let look = |world: &mut World| Ok(world.failed_activity(name));
        self.call(Remote::AutoScaling, "DescribeScalingActivities", look).await
    }

    async fn template_version(&self, _: &TemplateRef, _: &str) -> Call<Option<u64>> {
        self.call(Remote::Ec2, "DescribeLaunchTemplates", |world| Ok(Some(world.groups.template_version))).await
    }

    async fn template(&self, _: &TemplateRef, _: &str) -> Call<TemplateView> {
        let version =
            TemplateVersion { instance_type: Some(MACHINE.to_owned()), has_image: true, ..TemplateVersion::default() };
        self.call(Remote::Ec2, "DescribeLaunchTemplateVersions", |_| Ok(TemplateView::Version(version))).await
    }

    async fn instance_types(&self, types: &[String]) -> Call<Option<BTreeMap<String, Room>>> {
        let found = types.iter().map(|name| (name.clone(), machine_room(0))).collect();
        self.call(Remote::Ec2, "DescribeInstanceTypes", |_| Ok(Some(found))).await
    }

    async fn subnets(&self, subnets: &[String]) -> Call<Option<BTreeSet<String>>> {
        self.call(Remote::Ec2, "DescribeSubnets", |_| Ok(Some(subnets.iter().cloned().collect()))).await
    }

    async fn create_group(&self, name: &str, shape: &GroupShape, tags: &Tags) -> Call<()> {
        let effect = |world: &mut World| world.create_group(name, shape, tags);
        self.write(Remote::AutoScaling, "CreateAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn update_group(&self, name: &str, shape: &GroupShape) -> Call<()> {
        let effect = |world: &mut World| world.update_group(name, shape);
        self.write(Remote::AutoScaling, "UpdateAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn empty_group(&self, name: &str) -> Call<()> {
        let effect = |world: &mut World| {
            world.empty_group(name);
            Ok(())
        };
        self.write(Remote::AutoScaling, "UpdateAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn unprotect_instances(&self, name: &str, instances: &[String]) -> Call<()> {
        let effect = |world: &mut World| {
            world.unprotect_machines(name, instances);
            Ok(())
        };
        self.write(Remote::AutoScaling, "SetInstanceProtection", &format!("group {name}"), effect).await
    }

    async fn delete_draining_hook(&self, name: &str) -> Call<()> {
        let effect = |world: &mut World| {
            world.delete_hook(name);
            Ok(())
        };
        self.write(Remote::AutoScaling, "DeleteLifecycleHook", &format!("group {name}"), effect).await
    }

    async fn delete_group(&self, name: &str) -> Call<()> {
        let effect = |world: &mut World| {
            world.delete_group(name);
            Ok(())
        };
        self.write(Remote::AutoScaling, "DeleteAutoScalingGroup", &format!("group {name}"), effect).await
    }

    async fn tag_group(&self, name: &str, set: &Tags, remove: &[String]) -> Call<()> {
        let effect = |world: &mut World| world.tag_group(name, set, remove);
        self.write(Remote::AutoScaling, "CreateOrUpdateTags", &format!("group {name}"), effect).await
    }
}
