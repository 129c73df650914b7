//! Revisions of the pool's task family.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, HostVolumeProperties, KeyValuePair, LogConfiguration, LogDriver, MountPoint,
    NetworkMode, RepositoryCredentials, ResourceRequirement, ResourceType, Secret, TaskDefinitionFamilyStatus,
    TaskDefinitionField, TaskDefinitionStatus, VersionConsistency, Volume,
};

use super::super::convert::int;
use super::super::errors::{done_if_missing, found};
use super::{ECS, observed_tags, once, only_missing, tags};
use crate::pool::model::ecs::TaskDefinition;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::runner_log::LogPlace;
use crate::pool::model::task_definition::{CONTAINER, METADATA_LABEL, TaskDefinitionContent};
use crate::reconcile::ports::{RemoteResult, Tags};

/// What `DeleteTaskDefinitions` takes at once.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskDefinitions.html>
const DELETE_BATCH: usize = 10;

/// What the log driver does when the log service is out of reach. Blocking would stop the runner's writes to its own
/// output, and with them the job; the lost lines are the runner's chatter, for a job's log goes to GitHub.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>
const LOG_MODE: &str = "non-blocking";
/// Lines that wait meanwhile: ECS's own default, named because Docker's is a tenth of it.
const LOG_BUFFER: &str = "10m";

/// One revision by its ARN, or the newest ACTIVE one of a family by its name; `None` if it is not ACTIVE.
pub(super) async fn describe(sdk: &Client, revision_or_family: &str) -> RemoteResult<Option<TaskDefinition>> {
    let call = sdk.describe_task_definition().task_definition(revision_or_family).include(TaskDefinitionField::Tags);
    let response = call.send().await.map_err(|error| ECS.refused("DescribeTaskDefinition", error));
    let Some(response) = found(response)? else { return Ok(None) };
    let Some(revision) = response.task_definition() else { return Ok(None) };
    if revision.status().is_some_and(|status| *status != TaskDefinitionStatus::Active) {
        return Ok(None);
    }
    let container = revision.container_definitions().iter().find(|container| container.name() == Some(CONTAINER));
    let labels = container.and_then(ContainerDefinition::docker_labels);
    Ok(Some(TaskDefinition {
        arn: revision.task_definition_arn().unwrap_or_default().to_owned(),
        tags: observed_tags(response.tags()),
        metadata: labels.and_then(|labels| labels.get(METADATA_LABEL)).cloned(),
        image: container.and_then(ContainerDefinition::image).map(str::to_owned),
    }))
}

/// Where the container of a revision writes, whether or not the revision is still ACTIVE: its tasks run on either way.
pub(super) async fn log_place(sdk: &Client, revision: &str) -> RemoteResult<Option<LogPlace>> {
    let response = sdk.describe_task_definition().task_definition(revision).send().await;
    let Some(response) = found(response.map_err(|error| ECS.refused("DescribeTaskDefinition", error)))? else {
        return Ok(None);
    };
    let containers = response.task_definition().map(|revision| revision.container_definitions()).unwrap_or_default();
    let runner = containers.iter().find(|container| container.name() == Some(CONTAINER));
    Ok(runner.and_then(ContainerDefinition::log_configuration).and_then(awslogs))
}

pub(super) async fn active(sdk: &Client, id: &PhysicalId) -> RemoteResult<Vec<String>> {
    let call = sdk.list_task_definitions().family_prefix(id.as_str()).status(TaskDefinitionStatus::Active);
    let pages = ECS.all_pages("ListTaskDefinitions", call.into_paginator().send()).await?;
    let arns = pages.into_iter().flat_map(|page| page.task_definition_arns.unwrap_or_default());
    // `familyPrefix` is documented as the whole family name; where it is taken for a prefix, others stay untouched.
    Ok(arns.filter(|arn| family(arn) == Some(id.as_str())).collect())
}

/// The family in `arn:…:task-definition/FAMILY:REVISION`.
fn family(arn: &str) -> Option<&str> {
    arn.split_once('/')?.1.split(':').next()
}

pub(super) async fn families_with_prefix(sdk: &Client, stem: &str) -> RemoteResult<Vec<String>> {
    let call = sdk.list_task_definition_families().family_prefix(stem).status(TaskDefinitionFamilyStatus::Active);
    let pages = ECS.all_pages("ListTaskDefinitionFamilies", call.into_paginator().send()).await?;
    Ok(pages.into_iter().flat_map(|page| page.families.unwrap_or_default()).collect())
}

pub(super) async fn register(
    sdk: &Client,
    region: &str,
    id: &PhysicalId,
    content: &TaskDefinitionContent,
    tagged: &Tags,
) -> RemoteResult<String> {
    const OPERATION: &str = "RegisterTaskDefinition";
    let call = sdk
        .register_task_definition()
        .family(id.as_str())
        .requires_compatibilities(Compatibility::Ec2)
        // Docker's own: the container's host name is then its short id, which is how a runner leads to its task.
        .network_mode(NetworkMode::Bridge)
        .container_definitions(container(region, content)?)
        .set_volumes(Some(content.volumes.iter().map(volume).collect()))
        .set_execution_role_arn(content.execution_role_arn.clone())
        .set_task_role_arn(content.task_role_arn.clone())
        .set_tags(Some(tags(tagged)));
    let response = call.customize().config_override(once()).send().await;
    let response = response.map_err(|error| ECS.refused(OPERATION, error))?;
    match response.task_definition().and_then(|revision| revision.task_definition_arn()) {
        Some(arn) => Ok(arn.to_owned()),
        None => Err(ECS.error(OPERATION, "NoRevision", "the response names no revision")),
    }
}

fn container(region: &str, content: &TaskDefinitionContent) -> RemoteResult<ContainerDefinition> {
    let consistency =
        if content.resolves_image_once { VersionConsistency::Enabled } else { VersionConsistency::Disabled };
    let variable = |(name, value): (&String, &String)| KeyValuePair::builder().name(name).value(value).build();
    let mount = |volume: &crate::pool::model::task_definition::Volume| {
        MountPoint::builder().source_volume(&volume.name).container_path(&volume.path).read_only(false).build()
    };
    let mut container = ContainerDefinition::builder()
        .name(CONTAINER)
        .essential(true)
        .image(&content.image)
        .version_consistency(consistency)
        .set_repository_credentials(content.repository_credentials.as_deref().map(repository_credentials).transpose()?)
        .cpu(int(content.cpu_units))
        .set_memory(content.memory_mib.map(int))
        .memory_reservation(int(content.memory_reservation_mib))
        .set_resource_requirements(gpus(content.gpus)?)
        .privileged(content.privileged)
        .readonly_root_filesystem(content.readonly_root_filesystem)
        .stop_timeout(i32::try_from(content.stop_timeout_secs).unwrap_or(i32::MAX))
        .set_entry_point(content.start.as_ref().map(|start| start.entry_point.clone()))
        .set_command(content.start.as_ref().map(|start| start.command.clone()))
        .set_environment(Some(content.environment.iter().map(variable).collect()))
        .set_secrets(Some(content.secrets.iter().map(secret).collect::<RemoteResult<_>>()?))
        .set_mount_points(Some(content.volumes.iter().map(mount).collect()));
    for (name, value) in &content.docker_labels {
        container = container.docker_labels(name, value);
    }
    if let Some((group, prefix)) = &content.log {
        container = container.log_configuration(log_configuration(region, group, prefix)?);
    }
    Ok(container.build())
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-gpu.html>
fn gpus(count: u32) -> RemoteResult<Option<Vec<ResourceRequirement>>> {
    if count == 0 {
        return Ok(None);
    }
    let gpus = ResourceRequirement::builder().r#type(ResourceType::Gpu).value(count.to_string()).build();
    Ok(Some(vec![ECS.built("RegisterTaskDefinition", gpus)?]))
}

fn repository_credentials(parameter: &str) -> RemoteResult<RepositoryCredentials> {
    ECS.built("RegisterTaskDefinition", RepositoryCredentials::builder().credentials_parameter(parameter).build())
}

fn secret((name, from): (&String, &String)) -> RemoteResult<Secret> {
    ECS.built("RegisterTaskDefinition", Secret::builder().name(name).value_from(from).build())
}

fn log_configuration(region: &str, group: &str, prefix: &str) -> RemoteResult<LogConfiguration> {
    let driver = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-region", region)
        .options("awslogs-group", group)
        .options("awslogs-stream-prefix", prefix)
        .options("mode", LOG_MODE)
        .options("max-buffer-size", LOG_BUFFER);
    ECS.built("RegisterTaskDefinition", driver.build())
}

/// Where the `awslogs` driver writes.
fn awslogs(configuration: &LogConfiguration) -> Option<LogPlace> {
    let options = configuration.options().filter(|_| *configuration.log_driver() == LogDriver::Awslogs)?;
    let option = |name: &str| options.get(name).cloned();
    Some(LogPlace { group: option("awslogs-group")?, stream_prefix: option("awslogs-stream-prefix")? })
}

fn volume(volume: &crate::pool::model::task_definition::Volume) -> Volume {
    let host = HostVolumeProperties::builder().source_path(&volume.path).build();
    Volume::builder().name(&volume.name).host(host).build()
}

/// A batch is deregistered and deleted before the next is begun: a revision that is deregistered only is INACTIVE, and
/// [`active`] does not show it any more.
pub(super) async fn delete(sdk: &Client, arns: &[String]) -> RemoteResult<()> {
    const OPERATION: &str = "DeleteTaskDefinitions";
    for batch in arns.chunks(DELETE_BATCH) {
        for arn in batch {
            let call = sdk.deregister_task_definition().task_definition(arn);
            let response = call.customize().config_override(once()).send().await;
            done_if_missing(response.map_err(|error| ECS.refused("DeregisterTaskDefinition", error)))?;
        }
        let call = sdk.delete_task_definitions().set_task_definitions(Some(batch.to_vec()));
        let response = call.customize().config_override(once()).send().await;
        let response = found(response.map_err(|error| ECS.refused(OPERATION, error)))?;
        only_missing(OPERATION, response.as_ref().map_or(&[], |response| response.failures()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn the_family_is_read_out_of_an_arn() {
        assert_eq!(family("arn:aws:ecs:eu-west-1:1:task-definition/ghr-a-B-0123456789:7"), Some("ghr-a-B-0123456789"));
        assert_eq!(family("nonsense"), None);
    }
}
