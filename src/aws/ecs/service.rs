//! The service of the pool's name.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    AvailabilityZoneRebalancing, CapacityProviderStrategyItem, Deployment, DeploymentCircuitBreaker,
    DeploymentConfiguration, DeploymentRolloutState, PlacementConstraint, PlacementConstraintType, PropagateTags,
    SchedulingStrategy, Service, ServiceField,
};

use super::super::convert::{count, int, moment};
use super::super::errors::found;
use super::{ECS, observed_tags, once, only_missing, tags};
use crate::pool::model::ecs;
use crate::pool::model::ecs::{EVENTS_MAX, RolloutState, ServiceConfig, ServiceEvent, ServiceState};
use crate::pool::model::identity::PhysicalId;
use crate::reconcile::ports::{RemoteResult, Tags};

pub(super) async fn describe(sdk: &Client, cluster: &str, id: &PhysicalId) -> RemoteResult<Option<ecs::Service>> {
    const OPERATION: &str = "DescribeServices";
    let call = sdk.describe_services().cluster(cluster).services(id.as_str()).include(ServiceField::Tags);
    let response = call.send().await.map_err(|error| ECS.refused(OPERATION, error));
    let Some(response) = found(response)? else { return Ok(None) };
    only_missing(OPERATION, response.failures())?;
    Ok(response.services().first().map(self::observed))
}

fn observed(service: &Service) -> ecs::Service {
    let event = |event: &aws_sdk_ecs::types::ServiceEvent| {
        Some(ServiceEvent { at: moment(event.created_at()?), message: event.message()?.to_owned() })
    };
    ecs::Service {
        arn: service.service_arn().unwrap_or_default().to_owned(),
        tags: observed_tags(service.tags()),
        state: match service.status() {
            Some("DRAINING") => ServiceState::Draining,
            Some("INACTIVE") => ServiceState::Inactive,
            _ => ServiceState::Active,
        },
        config: config(service),
        running: count(service.running_count()),
        pending: count(service.pending_count()),
        deployments: service.deployments().iter().map(deployment).collect(),
        // Newest first, as ECS lists them.
        events: service.events().iter().filter_map(event).take(EVENTS_MAX).collect(),
    }
}

fn config(service: &Service) -> ServiceConfig {
    let is_distinct =
        |constraint: &PlacementConstraint| constraint.r#type() == Some(&PlacementConstraintType::DistinctInstance);
    let configuration = service.deployment_configuration();
    let percent = |percent: Option<i32>| percent.map_or(0, count);
    ServiceConfig {
        task_definition: service.task_definition().unwrap_or_default().to_owned(),
        desired_count: count(service.desired_count()),
        capacity_provider: match service.capacity_provider_strategy() {
            [only] if only.weight() > 0 => Some(only.capacity_provider().to_owned()),
            _ => None,
        },
        distinct_instances: service.placement_constraints().iter().any(is_distinct),
        maximum_percent: percent(configuration.and_then(DeploymentConfiguration::maximum_percent)),
        minimum_healthy_percent: percent(configuration.and_then(DeploymentConfiguration::minimum_healthy_percent)),
        circuit_breaker_without_rollback: configuration
            .and_then(DeploymentConfiguration::deployment_circuit_breaker)
            .is_some_and(|breaker| breaker.enable() && !breaker.rollback()),
        az_rebalancing: service.availability_zone_rebalancing() == Some(&AvailabilityZoneRebalancing::Enabled),
    }
}

fn deployment(deployment: &Deployment) -> ecs::Deployment {
    let reason = || deployment.rollout_state_reason().unwrap_or("ECS gives no reason").to_owned();
    ecs::Deployment {
        id: deployment.id().unwrap_or_default().to_owned(),
        is_primary: deployment.status() == Some("PRIMARY"),
        task_definition: deployment.task_definition().unwrap_or_default().to_owned(),
        running: count(deployment.running_count()),
        desired: count(deployment.desired_count()),
        failed: count(deployment.failed_tasks()),
        rollout: if deployment.rollout_state() == Some(&DeploymentRolloutState::Failed) {
            RolloutState::Failed(reason())
        } else if deployment.rollout_state() == Some(&DeploymentRolloutState::Completed) {
            RolloutState::Completed
        } else {
            RolloutState::InProgress
        },
    }
}

pub(super) async fn create(
    sdk: &Client,
    cluster: &str,
    id: &PhysicalId,
    config: &ServiceConfig,
    tagged: &Tags,
    token: &str,
) -> RemoteResult<()> {
    const OPERATION: &str = "CreateService";
    let call = sdk
        .create_service()
        .cluster(cluster)
        .service_name(id.as_str())
        .client_token(token)
        .scheduling_strategy(SchedulingStrategy::Replica)
        .task_definition(&config.task_definition)
        .desired_count(int(config.desired_count))
        .set_capacity_provider_strategy(strategy(OPERATION, config)?)
        .set_placement_constraints(Some(constraints(config)))
        .deployment_configuration(deployment_configuration(config))
        // Left out, it would be on, and it stops tasks.
        .availability_zone_rebalancing(rebalancing(config))
        // From the service: its tags change in place, a revision's need another revision.
        .enable_ecs_managed_tags(true)
        .propagate_tags(PropagateTags::Service)
        .enable_execute_command(false)
        .set_tags(Some(tags(tagged)));
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused(OPERATION, error))
}

/// The whole configuration is sent, since a parameter that is left out keeps its value.
///
/// Never with `forceNewDeployment`: another task definition starts a deployment by itself, nothing else here needs one,
/// and a forced one replaces tasks that work. A strategy that another owner changed is therefore refused by ECS, in its
/// own words, and not corrected while jobs run.
pub(super) async fn update(sdk: &Client, cluster: &str, id: &PhysicalId, config: &ServiceConfig) -> RemoteResult<()> {
    const OPERATION: &str = "UpdateService";
    let call = sdk
        .update_service()
        .cluster(cluster)
        .service(id.as_str())
        .task_definition(&config.task_definition)
        .desired_count(int(config.desired_count))
        .set_capacity_provider_strategy(strategy(OPERATION, config)?)
        .set_placement_constraints(Some(constraints(config)))
        .deployment_configuration(deployment_configuration(config))
        .availability_zone_rebalancing(rebalancing(config));
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused(OPERATION, error))
}

pub(super) async fn lower_to_zero(sdk: &Client, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
    let call = sdk
        .update_service()
        .cluster(cluster)
        .service(id.as_str())
        .desired_count(0)
        .availability_zone_rebalancing(AvailabilityZoneRebalancing::Disabled);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused("UpdateService", error))
}

pub(super) async fn delete(sdk: &Client, cluster: &str, id: &PhysicalId) -> RemoteResult<()> {
    // Without force ECS refuses while the service is above zero, which is what keeps jobs alive here.
    let call = sdk.delete_service().cluster(cluster).service(id.as_str()).force(false);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused("DeleteService", error))
}

/// Left out of a configuration without a provider: an empty list would switch the service to the launch type.
fn strategy(operation: &str, config: &ServiceConfig) -> RemoteResult<Option<Vec<CapacityProviderStrategyItem>>> {
    let Some(provider) = &config.capacity_provider else { return Ok(None) };
    // The weight's default is 0, with which nothing is ever placed.
    let item = CapacityProviderStrategyItem::builder().capacity_provider(provider).weight(1).build();
    Ok(Some(vec![ECS.built(operation, item)?]))
}

/// Empty is a value: it removes the constraint that was there.
fn constraints(config: &ServiceConfig) -> Vec<PlacementConstraint> {
    let distinct = || PlacementConstraint::builder().r#type(PlacementConstraintType::DistinctInstance).build();
    config.distinct_instances.then(distinct).into_iter().collect()
}

fn deployment_configuration(config: &ServiceConfig) -> DeploymentConfiguration {
    // A rollback by ECS would be a second deployment against tasks that are protected; CloudFormation rolls back.
    let breaker = DeploymentCircuitBreaker::builder().enable(config.circuit_breaker_without_rollback).rollback(false);
    DeploymentConfiguration::builder()
        .deployment_circuit_breaker(breaker.build())
        .maximum_percent(int(config.maximum_percent))
        .minimum_healthy_percent(int(config.minimum_healthy_percent))
        .build()
}

fn rebalancing(config: &ServiceConfig) -> AvailabilityZoneRebalancing {
    if config.az_rebalancing { AvailabilityZoneRebalancing::Enabled } else { AvailabilityZoneRebalancing::Disabled }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_shape_that_is_written_is_read_back_the_same(
            (desired_count, maximum_percent, minimum_healthy_percent) in (0..5000_u32, 100..300_u32, 0..=100_u32),
            capacity_provider in proptest::option::of("ghr-[a-z]{1,8}"),
            (distinct_instances, circuit_breaker_without_rollback, az_rebalancing) in any::<(bool, bool, bool)>(),
        ) {
            let config = ServiceConfig {
                task_definition: "arn:aws:ecs:eu-west-1:1:task-definition/ghr:1".to_owned(),
                desired_count,
                capacity_provider,
                distinct_instances,
                maximum_percent,
                minimum_healthy_percent,
                circuit_breaker_without_rollback,
                az_rebalancing,
            };
            let service = Service::builder()
                .task_definition(&config.task_definition)
                .desired_count(int(config.desired_count))
                .set_capacity_provider_strategy(strategy("test", &config).unwrap())
                .set_placement_constraints(Some(constraints(&config)))
                .deployment_configuration(deployment_configuration(&config))
                .availability_zone_rebalancing(rebalancing(&config));
            prop_assert_eq!(super::config(&service.build()), config);
        }
    }

    #[test]
    fn a_strategy_of_several_or_of_weight_zero_is_no_single_provider() {
        let item =
            |weight| CapacityProviderStrategyItem::builder().capacity_provider("a").weight(weight).build().unwrap();
        for strategy in [vec![], vec![item(0)], vec![item(1), item(1)]] {
            let service = Service::builder().set_capacity_provider_strategy(Some(strategy)).build();
            assert_eq!(config(&service).capacity_provider, None);
        }
    }
}
