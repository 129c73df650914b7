//! The attributes of a response.

use crate::pool::model::operation::Goal;
use crate::pool::model::spec::Capacity;
use crate::pool::policy::outcome::attributes;
use crate::pool::tests::support::{Model, built, converge, spec};

#[test]
fn every_attribute_of_a_pool_with_instances_of_its_own() {
    let model = built(&spec());
    let operation = converge(spec());
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    let found = attributes(&operation, &goal, &model.observed);
    let text: Vec<String> = found
        .iter()
        .map(|(name, value)| {
            format!("{name}: {}", value.replace(operation.id.as_str(), "ID").replace(operation.id.hash(), "HASH"))
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    AutoScalingGroupArn: arn:aws:autoscaling:eu-central-1:111122223333:autoScalingGroup:x:autoScalingGroupName/ID
    AutoScalingGroupName: ID
    CapacityProviderName: ID
    ClusterName: build
    DesiredCount: 2
    OnlineRunners: 2
    RunnerLabel: ID
    RunnerNamePrefix: github-runner-HASH
    RunnerScaleSetName: 
    ServiceArn: arn:aws:ecs:eu-central-1:111122223333:service/build/ID
    ServiceName: ID
    TaskDefinitionArn: arn:aws:ecs:eu-central-1:111122223333:task-definition/ID:1
    ");
}

#[test]
fn auto_scaling_group_attributes_are_empty_with_capacity_provider() {
    let mut shared = spec();
    shared.capacity = Capacity::Existing("shared".to_owned());
    shared.runner.name = Some("builder".to_owned());
    let operation = converge(shared);
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    let found = attributes(&operation, &goal, &Model::empty().observed);
    assert_eq!(found["CapacityProviderName"], "shared");
    assert_eq!(found["RunnerNamePrefix"], "builder");
    for name in ["AutoScalingGroupName", "AutoScalingGroupArn", "ServiceArn", "TaskDefinitionArn"] {
        assert_eq!(found[name], "", "{name}");
    }
}
