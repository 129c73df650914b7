//! The port [`AutoScaling`] on the AWS SDK, launch templates included.
//!
//! The desired capacity belongs to ECS's managed scaling and is written in one place only, when the group is emptied.

mod config;
mod errors;
mod groups;
mod warm_pool;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::config::{Builder, Config};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpClient, SharedHttpConnector};

use super::config::{AwsSettings, sdk_config};
use super::ec2;
use super::errors::done_if_missing;
use super::launch_templates::LaunchTemplates;
use super::retries::NotAfterUnclearOutcome;
use crate::pool::model::auto_scaling::{Group, GroupConfig};
use crate::pool::model::ec2::{Room, TemplateView};
use crate::pool::model::identity::StackResource;
use crate::pool::model::spec::LaunchTemplateId;
use crate::reconcile::ports::{AutoScaling, RemoteResult, Tags};

/// EC2 Auto Scaling, and the launch templates that its groups use.
#[derive(Clone, Debug)]
pub struct AutoScalingClient {
    sdk: Client,
    templates: LaunchTemplates,
}

impl AutoScalingClient {
    pub(super) fn new(
        settings: &AwsSettings,
        http: &SharedHttpClient,
        connector: impl HttpConnector + 'static,
    ) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.auto_scaling.as_ref());
        Self {
            sdk: Client::new(&sdk_config(settings, http, endpoint)),
            templates: LaunchTemplates::new(settings, SharedHttpConnector::new(connector)),
        }
    }
}

impl AutoScaling for AutoScalingClient {
    async fn group(&self, name: &str) -> RemoteResult<Option<Group>> {
        let Some(described) = groups::describe(&self.sdk, name).await? else { return Ok(None) };
        let warm_pool = warm_pool::describe(&self.sdk, name, &described).await?;
        Ok(Some(Group { warm_pool, ..groups::observed(&described) }))
    }

    async fn groups_owned_by(&self, stack_resource: &StackResource) -> RemoteResult<Vec<String>> {
        groups::of(&self.sdk, stack_resource).await
    }

    async fn last_failed_activity(&self, name: &str) -> RemoteResult<Option<String>> {
        groups::last_failed_activity(&self.sdk, name).await
    }

    async fn template_version(&self, template: &LaunchTemplateId, version: &str) -> RemoteResult<Option<u64>> {
        self.templates.version(template, version).await
    }

    async fn template(&self, template: &LaunchTemplateId, version: &str) -> RemoteResult<TemplateView> {
        self.templates.template(template, version).await
    }

    async fn instance_types(&self, types: &[String]) -> RemoteResult<Option<BTreeMap<String, Room>>> {
        ec2::instance_types(self.templates.ec2(), types).await
    }

    async fn subnets(&self, subnets: &[String]) -> RemoteResult<Option<BTreeSet<String>>> {
        ec2::subnets(self.templates.ec2(), subnets).await
    }

    async fn create_group(&self, name: &str, config: &GroupConfig, tags: &Tags) -> RemoteResult<()> {
        groups::create(&self.sdk, name, config, tags).await
    }

    async fn update_group(&self, name: &str, config: &GroupConfig) -> RemoteResult<()> {
        groups::update(&self.sdk, name, config).await
    }

    async fn put_launch_hook(&self, name: &str) -> RemoteResult<()> {
        warm_pool::put_launch_hook(&self.sdk, name).await
    }

    async fn delete_launch_hook(&self, name: &str) -> RemoteResult<()> {
        done_if_missing(warm_pool::delete_launch_hook(&self.sdk, name).await)
    }

    async fn complete_launch(&self, name: &str, instance: &str) -> RemoteResult<()> {
        done_if_missing(warm_pool::complete_launch(&self.sdk, name, instance).await)
    }

    async fn put_warm_pool(&self, name: &str, size: u32) -> RemoteResult<()> {
        warm_pool::put(&self.sdk, name, size).await
    }

    async fn delete_warm_pool(&self, name: &str) -> RemoteResult<()> {
        done_if_missing(warm_pool::delete(&self.sdk, name).await)
    }

    async fn scale_group_to_zero(&self, name: &str) -> RemoteResult<()> {
        done_if_missing(groups::empty(&self.sdk, name).await)
    }

    async fn unprotect_instances(&self, name: &str, instances: &[String]) -> RemoteResult<()> {
        groups::unprotect_instances(&self.sdk, name, instances).await
    }

    async fn delete_draining_hook(&self, name: &str) -> RemoteResult<()> {
        done_if_missing(groups::delete_draining_hook(&self.sdk, name).await)
    }

    async fn delete_group(&self, name: &str) -> RemoteResult<()> {
        done_if_missing(groups::delete(&self.sdk, name).await)
    }

    async fn tag_group(&self, name: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
        groups::tag(&self.sdk, name, set, remove).await
    }
}

/// What every write is customized with.
fn once() -> Builder {
    Config::builder().retry_classifier(NotAfterUnclearOutcome)
}

#[cfg(test)]
mod tests;
