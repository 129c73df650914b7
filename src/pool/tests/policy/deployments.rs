//! What an ECS deployment that failed says about the request.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::{Placement, RolloutState, Task, TaskPhase};
use crate::pool::tests::support::{Model, built, converge, instance, names, reason_of, spec};

/// A pool whose newest deployment ECS gave up, with tasks of it that never started, some of them on an instance.
fn failed_deployment(on_instance: &[bool]) -> Model {
    let mut model = built(&spec());
    let primary = model.observed.service.as_mut().unwrap().deployments.first_mut().unwrap();
    primary.rollout = RolloutState::Failed("tasks failed to start".to_owned());
    let (id, one) = (primary.id.clone(), model.observed.tasks[0].clone());
    model.observed.tasks = on_instance
        .iter()
        .zip(1..)
        .map(|(is_placed, n)| Task {
            arn: format!("{}-{n}", one.arn),
            started_by: Some(id.clone()),
            phase: TaskPhase::Stopped,
            started_at: None,
            placement: Placement::of(is_placed.then(|| instance(1).arn)),
            ..one.clone()
        })
        .collect();
    model.runners().clear();
    model
}

/// A request that found the deployment still under way.
fn waiting_for_runners() -> Continuation {
    let mut operation = converge(spec());
    operation.memory.failed_deployments_before = Some(std::collections::BTreeSet::new());
    operation
}

#[test]
fn failed_deployment_without_room_is_replaced_until_online_timeout() {
    let mut model = failed_deployment(&[false, false, false]);
    let mut operation = waiting_for_runners();
    let Decision::Wait { why: WaitReason::RunnersOnline { .. }, .. } = model.decide(&mut operation) else {
        panic!("no wait")
    };
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["register_task_definition"], "only another revision begins another deployment");

    let mut operation = waiting_for_runners();
    operation.memory.online_awaited_since = Some(model.now - spec().wait_policy.online_timeout);
    let text = reason_of_decision(model.decide(&mut operation));
    assert!(text.contains("0 of 2 runners came online within OnlineTimeout (15 min)"), "{text}");
}

#[test]
fn failed_deployment_whose_container_did_not_start_fails_at_once() {
    for on_instance in [&[true, true, true][..], &[false, true, false], &[]] {
        let mut model = failed_deployment(on_instance);
        let text = reason_of_decision(model.decide(&mut waiting_for_runners()));
        assert!(text.contains("ECS deployment failed") && text.contains("0 of 2 runners came online."), "{text}");
    }
}

#[test]
fn failed_deployment_of_a_create_fails_at_once() {
    let mut model = Model::empty();
    let began = model.now;
    let outcome = model.run_with(&mut converge(spec()), |model| {
        for runner in model.runners() {
            runner.is_online = false;
        }
        for deployment in model.observed.service.iter_mut().flat_map(|service| &mut service.deployments) {
            deployment.rollout = RolloutState::Failed("tasks failed to start".to_owned());
        }
    });
    assert!(reason_of(outcome).contains("ECS deployment failed: tasks failed to start"));
    assert!(model.now.since(began) < Duration::from_secs(60));
}

#[test]
fn failed_deployment_of_an_earlier_request_is_replaced() {
    let mut model = built(&spec());
    model.observed.service.as_mut().unwrap().deployments[0].rollout =
        RolloutState::Failed("tasks failed to start".to_owned());
    let Decision::Act(plan) = model.decide(&mut converge(spec())) else { panic!("no step") };
    assert_eq!(names(&plan), ["register_task_definition"], "only another revision begins another deployment");
}

fn reason_of_decision(decision: Decision) -> String {
    let Decision::Respond(outcome) = decision else { panic!("no response: {decision:?}") };
    reason_of(outcome)
}
