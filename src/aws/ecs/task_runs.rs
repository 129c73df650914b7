//! Standalone tasks, which no service replaces and only `StopTask` ends.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/standalone-tasks.html>

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{CapacityProviderStrategyItem, Failure, PlacementConstraint, PlacementConstraintType, Task};

use super::super::convert::int;
use super::{ECS, once, reason_of, tags};
use crate::pool::model::ecs::{StartedTasks, TaskRun};
use crate::pool::model::identity::PhysicalId;
use crate::reconcile::ports::{RemoteResult, Tags};

/// Starts them in ECS's default group for standalone tasks, `family:FAMILY`. The tasks of a service are in another group,
/// and a placement constraint counts the tasks of one group only.
///
/// Failures are part of the result and no error, so that the tasks that did start are known.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
pub(super) async fn run(
    sdk: &Client,
    cluster: &str,
    id: &PhysicalId,
    run: &TaskRun,
    tagged: &Tags,
    token: &str,
) -> RemoteResult<StartedTasks> {
    const OPERATION: &str = "RunTask";
    // The weight's default is 0, with which nothing is ever placed.
    let provider = CapacityProviderStrategyItem::builder().capacity_provider(&run.capacity_provider).weight(1).build();
    let distinct = || PlacementConstraint::builder().r#type(PlacementConstraintType::DistinctInstance).build();
    let call = sdk
        .run_task()
        .cluster(cluster)
        .task_definition(&run.task_definition)
        .count(int(run.count))
        .capacity_provider_strategy(ECS.built(OPERATION, provider)?)
        .set_placement_constraints(run.distinct_instances.then(|| vec![distinct()]))
        .started_by(id.as_str())
        .client_token(token)
        // Managed tags name a service, which these tasks do not have.
        .enable_ecs_managed_tags(false)
        .enable_execute_command(false)
        // Not propagated from the revision: its tags are those of the time when it was registered.
        .set_tags(Some(tags(tagged)));
    let response = call.customize().config_override(once()).send().await;
    let response = response.map_err(|error| ECS.refused(OPERATION, error))?;
    Ok(StartedTasks {
        arns: response.tasks().iter().filter_map(Task::task_arn).map(str::to_owned).collect(),
        failures: reasons(response.failures()),
    })
}

/// Each reason once: ECS repeats it for every task and every container instance.
fn reasons(failures: &[Failure]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for failure in failures {
        let reason = reason_of(failure);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}
