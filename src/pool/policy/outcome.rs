//! The response to a Create or an Update that reached its goal.

use std::collections::BTreeMap;

use strum::IntoEnumIterator as _;

use crate::pool::model::attribute::Attribute;
use crate::pool::model::identity::cluster_name;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::scale_set::ScaleSetRequest;
use crate::pool::model::spec::Capacity;
use crate::pool::policy::reasons;
use crate::pool::policy::runner_counts::n_online;

pub(super) fn outcome(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> Outcome {
    Outcome::Succeeded {
        attributes: attributes(operation, goal, observed),
        notes: reasons::notes_of_success(operation, memory, goal, observed),
    }
}

/// Every attribute, as a string: `Fn::GetAtt` returns strings only.
#[must_use]
pub fn attributes(operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> BTreeMap<String, String> {
    let of = |attribute: Attribute| (attribute.name().to_owned(), value(attribute, operation, goal, observed));
    Attribute::iter().map(of).collect()
}

fn value(attribute: Attribute, operation: &Operation, goal: &ConvergeGoal, observed: &Observed) -> String {
    let id = &operation.id;
    let (service, group) = (observed.service.as_ref(), observed.group.as_ref());
    let scaling = observed.scaling.as_ref().map(|found| &found.record).filter(|_| goal.spec.job_scaling.is_some());
    match attribute {
        Attribute::ServiceName if goal.spec.job_scaling.is_some() => String::new(),
        Attribute::ServiceName | Attribute::RunnerLabel => id.to_string(),
        Attribute::ServiceArn => service.map(|service| service.arn.clone()).unwrap_or_default(),
        Attribute::ClusterName => cluster_name(&goal.spec.cluster).to_owned(),
        Attribute::TaskDefinitionArn => {
            let of_service = service.map(|service| service.config.task_definition.clone());
            of_service.or_else(|| scaling.map(|wanted| wanted.goal.task_definition.clone())).unwrap_or_default()
        }
        Attribute::CapacityProviderName => match &goal.spec.capacity {
            Capacity::Own(_) => id.to_string(),
            Capacity::Existing(name) => name.clone(),
        },
        Attribute::AutoScalingGroupName => match &goal.spec.capacity {
            Capacity::Own(_) => id.to_string(),
            Capacity::Existing(_) => String::new(),
        },
        Attribute::AutoScalingGroupArn => group.map(|group| group.arn.clone()).unwrap_or_default(),
        Attribute::RunnerNamePrefix => {
            goal.spec.runner.name.clone().unwrap_or_else(|| id.runner_name_prefix(&goal.spec))
        }
        Attribute::DesiredCount => {
            let target = scaling.map(|wanted| wanted.goal.target(&wanted.progress.statistics));
            target.unwrap_or(goal.spec.desired_count).to_string()
        }
        Attribute::RunnerScaleSetName => {
            ScaleSetRequest::of(id, &goal.spec).map(|request| request.name).unwrap_or_default()
        }
        Attribute::OnlineRunners => n_online(operation, goal, observed).unwrap_or(0).to_string(),
    }
}
