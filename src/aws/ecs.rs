//! The port [`Ecs`] on the AWS SDK.
//!
//! ECS answers 200 to calls that failed in part and lists those parts in `failures[]`; every call with such a list
//! reads it. `MISSING` there is absence, everything else an error.

mod cluster;
mod errors;
mod instances;
mod providers;
mod service;
mod task_definitions;
mod task_runs;
mod tasks;

use std::collections::BTreeMap;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::{Builder, Config};
use aws_sdk_ecs::types::{Failure, Tag};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use self::errors::ECS;
use super::config::{AwsSettings, sdk_config};
use super::convert;
use super::errors::{done_if_missing, found};
use super::retries::NotAfterUnclearOutcome;
use crate::pool::model::ecs::{
    CapacityProvider, Cluster, ContainerInstance, Protection, ProviderConfig, Service, ServiceConfig, StartedTasks,
    Task, TaskDefinition, TaskRun,
};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::registration::TaskArn;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::runner_log::LogPlace;
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::reconcile::ports::{Ecs, RemoteCallError, RemoteResult, Tags};

/// Amazon ECS.
#[derive(Clone, Debug)]
pub struct EcsClient {
    sdk: Client,
    /// Where the `awslogs` driver of the tasks writes.
    region: String,
}

impl EcsClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.ecs.as_ref());
        Self { sdk: Client::new(&sdk_config(settings, http, endpoint)), region: settings.region.clone() }
    }
}

impl Ecs for EcsClient {
    async fn cluster(&self, cluster: &str) -> RemoteResult<Option<Cluster>> {
        Ok(cluster::describe(&self.sdk, cluster).await?.as_ref().map(cluster::observed))
    }

    async fn capacity_provider(&self, name: &str) -> RemoteResult<Option<CapacityProvider>> {
        providers::describe(&self.sdk, name).await
    }

    async fn task_definition(&self, id: &PhysicalId) -> RemoteResult<Option<TaskDefinition>> {
        task_definitions::describe(&self.sdk, id.as_str()).await
    }

    async fn revision(&self, arn: &str) -> RemoteResult<Option<TaskDefinition>> {
        task_definitions::describe(&self.sdk, arn).await
    }

    async fn log_place(&self, revision: &str) -> RemoteResult<Option<LogPlace>> {
        task_definitions::log_place(&self.sdk, revision).await
    }

    async fn task_definitions(&self, id: &PhysicalId) -> RemoteResult<Vec<String>> {
        task_definitions::active(&self.sdk, id).await
    }

    async fn families_with_prefix(&self, stem: &str) -> RemoteResult<Vec<String>> {
        task_definitions::families_with_prefix(&self.sdk, stem).await
    }

    async fn service(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<Option<Service>> {
        service::describe(&self.sdk, cluster, id).await
    }

    async fn tasks(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<Vec<Task>> {
        Ok(found(tasks::all(&self.sdk, cluster, id).await)?.unwrap_or_default())
    }

    async fn task(&self, task: &TaskArn) -> RemoteResult<Option<Task>> {
        tasks::one(&self.sdk, task).await
    }

    async fn tasks_incremental(&self, cluster: &str, id: &PhysicalId, known: Vec<String>) -> RemoteResult<Vec<Task>> {
        Ok(found(tasks::incremental(&self.sdk, cluster, id, known).await)?.unwrap_or_default())
    }

    async fn protections(&self, cluster: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, Protection>> {
        Ok(found(tasks::protections(&self.sdk, cluster, tasks).await)?.unwrap_or_default())
    }

    async fn container_instances(
        &self,
        cluster: &str,
        provider: &str,
        ec2_instance_ids: &[String],
    ) -> RemoteResult<Vec<ContainerInstance>> {
        let all = found(instances::all(&self.sdk, cluster).await)?.unwrap_or_default();
        Ok(instances::of_pool(&all, provider, ec2_instance_ids))
    }

    async fn create_capacity_provider(
        &self,
        name: &str,
        group_arn: &str,
        config: &ProviderConfig,
        tags: &Tags,
    ) -> RemoteResult<()> {
        providers::create(&self.sdk, name, group_arn, config, tags).await
    }

    async fn update_capacity_provider(&self, name: &str, config: &ProviderConfig) -> RemoteResult<()> {
        providers::update(&self.sdk, name, config).await
    }

    async fn delete_capacity_provider(&self, name: &str) -> RemoteResult<()> {
        done_if_missing(providers::delete(&self.sdk, name).await)
    }

    async fn attach_provider(&self, cluster: &str, provider: &str) -> RemoteResult<()> {
        cluster::attach_provider(&self.sdk, cluster, provider).await
    }

    async fn detach_provider(&self, cluster: &str, provider: &str) -> RemoteResult<()> {
        done_if_missing(cluster::detach_provider(&self.sdk, cluster, provider).await)
    }

    async fn register_task_definition(
        &self,
        id: &PhysicalId,
        content: &TaskDefinitionContent,
        tags: &Tags,
    ) -> RemoteResult<String> {
        task_definitions::register(&self.sdk, &self.region, id, content, tags).await
    }

    async fn delete_task_definitions(&self, arns: &[String]) -> RemoteResult<()> {
        task_definitions::delete(&self.sdk, arns).await
    }

    async fn create_service(
        &self,
        cluster: &str,
        id: &PhysicalId,
        config: &ServiceConfig,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<()> {
        service::create(&self.sdk, cluster, id, config, tags, token).await
    }

    async fn update_service(&self, cluster: &str, id: &PhysicalId, config: &ServiceConfig) -> RemoteResult<()> {
        service::update(&self.sdk, cluster, id, config).await
    }

    async fn scale_service_to_zero(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
        done_if_missing(service::lower_to_zero(&self.sdk, cluster, id).await)
    }

    async fn delete_service(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
        done_if_missing(service::delete(&self.sdk, cluster, id).await)
    }

    async fn protect(&self, cluster: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, String>> {
        tasks::protect(&self.sdk, cluster, tasks).await
    }

    async fn unprotect(&self, cluster: &str, tasks: &[String]) -> RemoteResult<()> {
        tasks::unprotect(&self.sdk, cluster, tasks).await
    }

    async fn run_tasks(
        &self,
        cluster: &str,
        id: &PhysicalId,
        run: &TaskRun,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<StartedTasks> {
        task_runs::run(&self.sdk, cluster, id, run, tags, token).await
    }

    async fn stop_task(&self, cluster: &str, task: &str, reason: &str) -> RemoteResult<()> {
        done_if_missing(tasks::stop(&self.sdk, cluster, task, reason).await)
    }

    async fn drain_instance(&self, cluster: &str, instance: &str) -> RemoteResult<()> {
        instances::drain(&self.sdk, cluster, instance).await
    }

    async fn deregister_instance(&self, cluster: &str, instance: &str) -> RemoteResult<()> {
        done_if_missing(instances::deregister(&self.sdk, cluster, instance).await)
    }

    async fn tag(&self, arn: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
        if !set.is_empty() {
            let call = self.sdk.tag_resource().resource_arn(arn).set_tags(Some(tags(set)));
            let response = call.customize().config_override(once()).send().await;
            response.map_err(|error| ECS.refused("TagResource", error))?;
        }
        if !remove.is_empty() {
            let call = self.sdk.untag_resource().resource_arn(arn).set_tag_keys(Some(remove.to_vec()));
            let response = call.customize().config_override(once()).send().await;
            response.map_err(|error| ECS.refused("UntagResource", error))?;
        }
        Ok(())
    }
}

/// What every write is customized with.
fn once() -> Builder {
    Config::builder().retry_classifier(NotAfterUnclearOutcome)
}

fn tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn observed_tags(tags: &[Tag]) -> Tags {
    convert::tags(tags.iter().map(|tag| (tag.key(), tag.value())))
}

/// Reads `failures[]`: what is missing is passed over, the first other entry is the call's refusal.
fn only_missing(operation: &str, failures: &[Failure]) -> RemoteResult<()> {
    match failures
        .iter()
        .map(|failure| refusal_of(operation, failure))
        .find(|error| error.kind() != ErrorKind::NotFound)
    {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn refusal_of(operation: &str, failure: &Failure) -> RemoteCallError {
    let reason = failure.reason().unwrap_or("no reason");
    let arn = failure.arn().unwrap_or("an unnamed resource");
    match failure.detail() {
        Some(detail) => ECS.error(operation, reason, format_args!("{arn}: {detail}")),
        None => ECS.error(operation, reason, arn),
    }
}

/// ECS's reason, with its detail if it gives one.
fn reason_of(failure: &Failure) -> String {
    let reason = failure.reason().unwrap_or("ECS gives no reason");
    failure.detail().map_or_else(|| reason.to_owned(), |detail| format!("{reason}: {detail}"))
}

#[cfg(test)]
mod tests;
