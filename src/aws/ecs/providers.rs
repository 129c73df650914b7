//! Capacity providers on an Auto Scaling group.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    AutoScalingGroupProvider, AutoScalingGroupProviderUpdate, CapacityProviderField, ManagedDraining, ManagedScaling,
    ManagedScalingStatus, ManagedTerminationProtection,
};

use super::super::convert::{count, int};
use super::super::errors::found;
use super::{ECS, observed_tags, once, only_missing, tags};
use crate::pool::model::ecs::{CapacityProvider, ProviderConfig, ProviderState};
use crate::reconcile::ports::{RemoteResult, Tags};

/// ECS's default of `targetCapacity`, percent.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ManagedScaling.html>
const TARGET_CAPACITY_PERCENT: i32 = 100;
/// ECS's default of `instanceWarmupPeriod`, seconds; same page.
const INSTANCE_WARMUP_SECS: i32 = 300;

pub(super) async fn describe(sdk: &Client, name: &str) -> RemoteResult<Option<CapacityProvider>> {
    const OPERATION: &str = "DescribeCapacityProviders";
    let call = sdk.describe_capacity_providers().capacity_providers(name).include(CapacityProviderField::Tags);
    let response = call.send().await.map_err(|error| ECS.refused(OPERATION, error));
    let Some(response) = found(response)? else { return Ok(None) };
    only_missing(OPERATION, response.failures())?;
    Ok(response.capacity_providers().iter().find_map(observed))
}

/// `None` for one that is gone: ECS keeps showing a deleted provider as INACTIVE.
fn observed(provider: &aws_sdk_ecs::types::CapacityProvider) -> Option<CapacityProvider> {
    let status = provider.status().map_or("ACTIVE", |status| status.as_str());
    let update = provider.update_status().map_or("", |status| status.as_str());
    if status == "INACTIVE" || update == "DELETE_COMPLETE" {
        return None;
    }
    let reason = || provider.update_status_reason().unwrap_or("ECS gives no reason").to_owned();
    // By ending, so that a status that this SDK does not know yet still says whether something is under way.
    let state = if update == "DELETE_FAILED" {
        ProviderState::DeleteFailed(reason())
    } else if status == "ACTIVE" && update == "UPDATE_FAILED" {
        ProviderState::UpdateFailed(reason())
    } else if update.ends_with("_FAILED") {
        ProviderState::Failed(reason())
    } else if update.ends_with("_IN_PROGRESS") || status != "ACTIVE" {
        ProviderState::Changing
    } else {
        ProviderState::Active
    };
    let group = provider.auto_scaling_group_provider();
    Some(CapacityProvider {
        name: provider.name()?.to_owned(),
        arn: provider.capacity_provider_arn().unwrap_or_default().to_owned(),
        group_arn: group.map(|group| group.auto_scaling_group_arn().to_owned()),
        tags: observed_tags(provider.tags()),
        state,
        config: config(group),
    })
}

fn config(group: Option<&AutoScalingGroupProvider>) -> ProviderConfig {
    let scaling = group.and_then(AutoScalingGroupProvider::managed_scaling);
    let is_on = scaling.is_some_and(|scaling| scaling.status() == Some(&ManagedScalingStatus::Enabled));
    let target = scaling.and_then(ManagedScaling::target_capacity).unwrap_or(TARGET_CAPACITY_PERCENT);
    let warmup = scaling.and_then(ManagedScaling::instance_warmup_period).unwrap_or(INSTANCE_WARMUP_SECS);
    let protection = group.and_then(AutoScalingGroupProvider::managed_termination_protection);
    // ECS's default is on.
    let drains = |group: &AutoScalingGroupProvider| group.managed_draining() != Some(&ManagedDraining::Disabled);
    ProviderConfig {
        target_capacity_percent: is_on.then(|| count(target)),
        instance_warmup_secs: count(warmup),
        protects_from_termination: protection == Some(&ManagedTerminationProtection::Enabled),
        drains: group.is_some_and(drains),
    }
}

pub(super) async fn create(
    sdk: &Client,
    name: &str,
    group_arn: &str,
    config: &ProviderConfig,
    tagged: &Tags,
) -> RemoteResult<()> {
    const OPERATION: &str = "CreateCapacityProvider";
    let group = AutoScalingGroupProvider::builder()
        .auto_scaling_group_arn(group_arn)
        .managed_scaling(managed_scaling(config))
        .managed_termination_protection(termination_protection(config))
        .managed_draining(draining(config))
        .build();
    let group = ECS.built(OPERATION, group)?;
    let call =
        sdk.create_capacity_provider().name(name).auto_scaling_group_provider(group).set_tags(Some(tags(tagged)));
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused(OPERATION, error))
}

pub(super) async fn update(sdk: &Client, name: &str, config: &ProviderConfig) -> RemoteResult<()> {
    let group = AutoScalingGroupProviderUpdate::builder()
        .managed_scaling(managed_scaling(config))
        .managed_termination_protection(termination_protection(config))
        .managed_draining(draining(config))
        .build();
    let call = sdk.update_capacity_provider().name(name).auto_scaling_group_provider(group);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused("UpdateCapacityProvider", error))
}

pub(super) async fn delete(sdk: &Client, name: &str) -> RemoteResult<()> {
    let call = sdk.delete_capacity_provider().capacity_provider(name);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused("DeleteCapacityProvider", error))
}

fn managed_scaling(config: &ProviderConfig) -> ManagedScaling {
    let scaling = ManagedScaling::builder().instance_warmup_period(int(config.instance_warmup_secs));
    match config.target_capacity_percent {
        Some(percent) => scaling.status(ManagedScalingStatus::Enabled).target_capacity(int(percent)),
        None => scaling.status(ManagedScalingStatus::Disabled),
    }
    .build()
}

fn termination_protection(config: &ProviderConfig) -> ManagedTerminationProtection {
    if config.protects_from_termination {
        ManagedTerminationProtection::Enabled
    } else {
        ManagedTerminationProtection::Disabled
    }
}

fn draining(config: &ProviderConfig) -> ManagedDraining {
    if config.drains { ManagedDraining::Enabled } else { ManagedDraining::Disabled }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sdk = aws_sdk_ecs::types::CapacityProvider;

    fn state(status: &str, update: Option<&str>) -> Option<ProviderState> {
        let provider = Sdk::builder()
            .name("ghr-a")
            .status(status.into())
            .set_update_status(update.map(Into::into))
            .update_status_reason("because");
        observed(&provider.build()).map(|provider| provider.state)
    }

    #[test]
    fn every_pair_of_statuses_has_a_state() {
        let because = || "because".to_owned();
        for (status, update, expected) in [
            ("ACTIVE", None, Some(ProviderState::Active)),
            ("ACTIVE", Some("CREATE_COMPLETE"), Some(ProviderState::Active)),
            ("ACTIVE", Some("UPDATE_COMPLETE"), Some(ProviderState::Active)),
            ("ACTIVE", Some("UPDATE_IN_PROGRESS"), Some(ProviderState::Changing)),
            ("ACTIVE", Some("DELETE_IN_PROGRESS"), Some(ProviderState::Changing)),
            ("ACTIVE", Some("SOMETHING_NEW_IN_PROGRESS"), Some(ProviderState::Changing)),
            ("PROVISIONING", None, Some(ProviderState::Changing)),
            ("DEPROVISIONING", Some("DELETE_IN_PROGRESS"), Some(ProviderState::Changing)),
            ("SOMETHING_NEW", None, Some(ProviderState::Changing)),
            ("ACTIVE", Some("UPDATE_FAILED"), Some(ProviderState::UpdateFailed(because()))),
            ("PROVISIONING", Some("UPDATE_FAILED"), Some(ProviderState::Failed(because()))),
            ("PROVISIONING", Some("CREATE_FAILED"), Some(ProviderState::Failed(because()))),
            ("ACTIVE", Some("DELETE_FAILED"), Some(ProviderState::DeleteFailed(because()))),
            ("ACTIVE", Some("DELETE_COMPLETE"), None),
            ("INACTIVE", Some("DELETE_COMPLETE"), None),
            ("INACTIVE", None, None),
        ] {
            assert_eq!(state(status, update), expected, "{status} {update:?}");
        }
    }

    #[test]
    fn a_shape_that_is_written_is_read_back_the_same() {
        for config in [
            ProviderConfig {
                target_capacity_percent: Some(80),
                instance_warmup_secs: 60,
                protects_from_termination: true,
                drains: true,
            },
            ProviderConfig {
                target_capacity_percent: None,
                instance_warmup_secs: 300,
                protects_from_termination: false,
                drains: false,
            },
        ] {
            let group = AutoScalingGroupProvider::builder()
                .auto_scaling_group_arn("arn")
                .managed_scaling(managed_scaling(&config))
                .managed_termination_protection(termination_protection(&config))
                .managed_draining(draining(&config));
            assert_eq!(super::config(Some(&group.build().unwrap())), config);
        }
    }

    #[test]
    fn capacity_provider_without_a_group_has_no_group_arn() {
        let fargate = observed(&Sdk::builder().name("FARGATE").status("ACTIVE".into()).build()).unwrap();
        assert_eq!(
            (fargate.group_arn, fargate.config.target_capacity_percent, fargate.config.drains),
            (None, None, false)
        );
    }
}
