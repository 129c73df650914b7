//! Container instances: the pool's instances in ECS.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ContainerInstance, ContainerInstanceStatus, Resource};

use super::super::convert::count;
use super::{ECS, once, only_missing, refusal_of};
use crate::pool::model::ec2::Room;
use crate::pool::model::ecs;
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::RemoteResult;

/// What `DescribeContainerInstances` takes at once.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html>
const READ_BATCH: usize = 100;
/// The attribute that the agent puts on every instance.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html>
const INSTANCE_TYPE: &str = "ecs.instance-type";

/// Every container instance of the cluster: ECS filters by neither capacity provider nor EC2 instance.
pub(super) async fn all(sdk: &Client, cluster: &str) -> RemoteResult<Vec<ContainerInstance>> {
    const OPERATION: &str = "DescribeContainerInstances";
    let list = sdk.list_container_instances().cluster(cluster).into_paginator().send();
    let pages = ECS.all_pages("ListContainerInstances", list).await?;
    let arns: Vec<String> =
        pages.into_iter().flat_map(|page| page.container_instance_arns.unwrap_or_default()).collect();

    let mut instances = Vec::with_capacity(arns.len());
    for batch in arns.chunks(READ_BATCH) {
        let call = sdk.describe_container_instances().cluster(cluster).set_container_instances(Some(batch.to_vec()));
        let response = call.send().await.map_err(|error| ECS.refused(OPERATION, error))?;
        only_missing(OPERATION, response.failures())?;
        instances.extend(response.container_instances.unwrap_or_default());
    }
    Ok(instances)
}

/// The pool's container instances, by capacity provider or by EC2 instance: one that registered before its group had a
/// provider names none.
pub(super) fn of_pool(
    all: &[ContainerInstance],
    provider: &str,
    ec2_instance_ids: &[String],
) -> Vec<ecs::ContainerInstance> {
    let is_ours = |instance: &&ContainerInstance| {
        instance.capacity_provider_name() == Some(provider)
            || instance.ec2_instance_id().is_some_and(|id| ec2_instance_ids.iter().any(|ours| ours == id))
    };
    all.iter().filter(is_ours).filter_map(self::observed).collect()
}

fn observed(instance: &ContainerInstance) -> Option<ecs::ContainerInstance> {
    Some(ecs::ContainerInstance {
        arn: instance.container_instance_arn()?.to_owned(),
        ec2_instance_id: instance.ec2_instance_id().map(str::to_owned),
        is_active: instance.status() == Some("ACTIVE"),
        n_tasks: count(instance.running_tasks_count()).saturating_add(count(instance.pending_tasks_count())),
        is_connected: instance.agent_connected(),
        instance_type: attribute(instance, INSTANCE_TYPE),
        registered: room(instance.registered_resources()),
        remaining: room(instance.remaining_resources()),
    })
}

fn attribute(instance: &ContainerInstance, name: &str) -> Option<String> {
    let found = instance.attributes().iter().find(|attribute| attribute.name() == name);
    found.and_then(|attribute| attribute.value()).map(str::to_owned)
}

fn room(resources: &[Resource]) -> Option<Room> {
    let of = |name| {
        let found = resources.iter().find(|resource| resource.name() == Some(name));
        found.map(|resource| count(resource.integer_value()))
    };
    // A set of device ids, which instances without GPUs do not have.
    let gpus = resources.iter().find(|resource| resource.name() == Some("GPU"));
    let gpus = gpus.map_or(0, |resource| resource.string_set_value().len());
    Some(Room { memory_mib: of("MEMORY")?, cpu_units: of("CPU")?, gpus: u32::try_from(gpus).unwrap_or(u32::MAX) })
}

/// ECS refuses an instance that is not ACTIVE, such as one that managed draining drains already. That is no failure: an
/// instance that stays ACTIVE runs tasks until it is found empty another time.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html>
pub(super) async fn drain(sdk: &Client, cluster: &str, instance: &str) -> RemoteResult<()> {
    const OPERATION: &str = "UpdateContainerInstancesState";
    let call = sdk
        .update_container_instances_state()
        .cluster(cluster)
        .container_instances(instance)
        .status(ContainerInstanceStatus::Draining);
    let response = call.customize().config_override(once()).send().await;
    let remote_error = match response.map_err(|error| ECS.refused(OPERATION, error)) {
        Ok(response) => response.failures().first().map(|failure| refusal_of(OPERATION, failure)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Conflict) => {
            Some(error)
        }
        Err(error) => return Err(error),
    };
    if let Some(remote_error) = remote_error {
        tracing::info!(step = "drain_instance", passed_over = %remote_error);
    }
    Ok(())
}

/// By force: ECS does not deregister an instance whose agent is gone, and refuses while it still counts a task on it.
pub(super) async fn deregister(sdk: &Client, cluster: &str, instance: &str) -> RemoteResult<()> {
    let call = sdk.deregister_container_instance().cluster(cluster).container_instance(instance).force(true);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused("DeregisterContainerInstance", error))
}
