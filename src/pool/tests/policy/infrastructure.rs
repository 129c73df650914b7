//! Task definition, Auto Scaling group and capacity provider.

use std::time::Duration;

use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::ProviderState;
use crate::pool::model::memory::StepResult;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{Capacity, PoolSpec};
use crate::pool::model::step::Step;
use crate::pool::tests::support::{
    Model, built, converge, is_success, mixed_instances_spec, names, own_capacity, reason_of, spec,
};

#[test]
fn create_builds_the_infrastructure_before_the_service() {
    let mut model = Model::empty();
    let outcome = model.run(&mut converge(spec()));
    insta::assert_debug_snapshot!(names(&model.taken), @r#"
    [
        "register_task_definition",
        "create_group",
        "create_capacity_provider",
        "attach_capacity_provider",
        "update_group",
        "create_service",
    ]
    "#);
    let Outcome::Succeeded { attributes, notes } = outcome else { panic!("{outcome:?}") };
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(attributes["OnlineRunners"], "2");
    assert_eq!(attributes["DesiredCount"], "2");
    assert_eq!(attributes.len(), 12);
}

#[test]
fn distinct_instances_is_the_placement_of_the_service_and_changes_in_place() {
    let distinct = |distinct_instances| PoolSpec { distinct_instances, ..spec() };
    let mut model = built(&distinct(true));
    let is_distinct = |model: &Model| model.observed.service.as_ref().unwrap().config.distinct_instances;
    assert!(is_distinct(&model));
    assert!(is_success(&model.run(&mut converge(distinct(false)))));
    assert!(!is_distinct(&model));
    assert_eq!(names(&model.taken), ["update_service"], "no runner is replaced");
}

#[test]
fn min_instances_is_the_group_s_minimum_once_the_capacity_provider_is_attached() {
    let mut wider = spec();
    own_capacity(&mut wider).min_instances = 3;
    let mut model = Model::empty();
    assert!(is_success(&model.run(&mut converge(wider.clone()))));
    let minimum = |step: &Step| {
        let (Step::CreateGroup { config, .. } | Step::UpdateGroup(config)) = step else { return None };
        Some(config.min)
    };
    let minima: Vec<u32> = model.taken.iter().filter_map(minimum).collect();
    assert_eq!(minima, [0, 3], "an instance that is there before the provider is none of its own");
    own_capacity(&mut wider).min_instances = 1;
    assert!(is_success(&model.run(&mut converge(wider))));
    assert_eq!(model.observed.group.as_ref().unwrap().config.min, 1);
}

#[test]
fn rollback_deploys_the_old_task_definition_and_registers_none() {
    let mut model = built(&spec());
    let old_revision = model.observed.service.as_ref().unwrap().config.task_definition.clone();
    let mut newer = spec();
    newer.task.image = "broken".to_owned();
    newer.wait_policy.online_timeout = Duration::from_secs(60);
    let old: Vec<String> = model.runners().iter().map(|runner| runner.name.clone()).collect();
    let outcome = model.run_with(&mut converge(newer), |model| {
        for runner in model.runners() {
            runner.is_online = old.contains(&runner.name);
        }
    });
    assert!(!is_success(&outcome));
    for runner in model.runners() {
        runner.is_online = true;
    }
    assert!(is_success(&model.run(&mut converge(spec()))));
    assert!(!names(&model.taken).contains(&"register_task_definition"));
    assert_eq!(model.observed.service.as_ref().unwrap().config.task_definition, old_revision);
}

#[test]
fn capacity_provider_in_update_failed_is_used_or_updated() {
    let mut model = built(&spec());
    model.observed.provider.as_mut().unwrap().state = ProviderState::UpdateFailed("because".to_owned());
    assert!(matches!(model.run(&mut converge(spec())), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), Vec::<&str>::new());

    let mut wider = spec();
    let Capacity::Own(own) = &mut wider.capacity else { panic!("own capacity") };
    own.target_capacity_percent = 80;
    let mut operation = converge(wider);
    for n_sent in 0..2 {
        let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
        assert_eq!(names(&plan), ["update_capacity_provider"], "after {n_sent}, which an old observation may not show");
        operation.memory.record_step(StepResult::ProviderUpdated, model.now);
    }
    assert!(reason_of_decision(model.decide(&mut operation)).contains("could not set up the capacity provider"));
}

#[test]
fn instance_types_that_update_auto_scaling_group_does_not_remove_fail_after_a_wait() {
    let mut model = built(&mixed_instances_spec(&["m7i.large"], 100));
    let mut operation = converge(mixed_instances_spec(&[], 100));
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["update_group"]);
    operation.memory.record_step(StepResult::GroupUpdated, model.now);
    assert!(matches!(model.decide(&mut operation), Decision::Wait { why: WaitReason::NextStep("update_group"), .. }));
    model.now = model.now + Duration::from_secs(61);
    assert!(
        reason_of_decision(model.decide(&mut operation))
            .starts_with("InstanceTypes: EC2 Auto Scaling accepted their removal")
    );
}

fn reason_of_decision(decision: Decision) -> String {
    let Decision::Respond(outcome) = decision else { panic!("no response: {decision:?}") };
    reason_of(outcome)
}
