//! The answer to a Create or an Update that reached its goal.

use std::collections::BTreeMap;

use crate::pool::model::identity::cluster_name;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::Capacity;
use crate::pool::policy::reasons;
use crate::pool::policy::runner_counts::n_online;

pub(super) fn outcome(operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> Outcome {
    Outcome::Succeeded {
        attributes: attributes(operation, goal, observed),
        notes: reasons::notes_of_success(operation, goal, observed),
    }
}

/// `Fn::GetAtt`: every key, always, as strings.
#[must_use]
pub fn attributes(operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> BTreeMap<String, String> {
    let id = operation.id.as_str().to_owned();
    let (provider, group_name) = match &goal.spec.capacity {
        Capacity::Own(_) => (id.clone(), id.clone()),
        Capacity::Existing(name) => (name.clone(), String::new()),
    };
    let service = observed.service.as_ref();
    let prefix = goal.spec.runner.name.clone().unwrap_or_else(|| operation.id.runner_name_prefix(&goal.spec));
    let attributes = [
        ("ServiceArn", service.map(|service| service.arn.clone()).unwrap_or_default()),
        ("ServiceName", id.clone()),
        ("ClusterName", cluster_name(&goal.spec.cluster).to_owned()),
        ("TaskDefinitionArn", service.map(|service| service.config.task_definition.clone()).unwrap_or_default()),
        ("CapacityProviderName", provider),
        ("AutoScalingGroupName", group_name),
        ("AutoScalingGroupArn", observed.group.as_ref().map(|group| group.arn.clone()).unwrap_or_default()),
        ("RunnerLabel", id),
        ("RunnerNamePrefix", prefix),
        ("DesiredCount", goal.spec.desired_count.to_string()),
        ("OnlineRunners", n_online(operation, goal, observed).unwrap_or(0).to_string()),
    ];
    attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
