//! What AWS refuses, forgets and gives up, and what the pool makes of it.

use std::time::Duration;

use super::support::{Model, POLL, converge, instance, names, spec};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::{ProviderState, RolloutState, TaskPhase};
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::PreflightResult;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::{Capacity, GitHubCredential, MixedInstances, OnDrainTimeout, ParameterRef, PoolSpec};

fn built(spec: &PoolSpec) -> Model {
    let mut model = Model::empty();
    assert!(matches!(model.run(&mut converge(spec.clone())), Outcome::Succeeded { .. }));
    model
}

fn reason(decision: Decision) -> String {
    let Decision::Respond(Outcome::Failed { reason }) = decision else { panic!("not failed: {decision:?}") };
    reason
}

fn denied(operation: &str) -> RemoteError {
    RemoteError {
        remote: RemoteService::Ecs,
        kind: ErrorKind::Denied,
        operation: operation.to_owned(),
        code: Some("AccessDeniedException".to_owned()),
        message: "because no identity-based policy allows it".to_owned(),
    }
}

/// Decides after an error of the call about the first task.
fn after(model: &mut Model, operation: &mut Continuation, call: &str) -> Decision {
    let tasks = vec![model.observed.tasks[0].arn.clone()];
    operation.memory.record_step(StepResult::Denied { tasks }, model.now);
    model.observed.remote_error = Some(denied(call));
    let decision = model.decide(operation);
    model.observed.remote_error = None;
    decision
}

#[test]
fn a_denied_stop_task_is_a_failure_only_while_the_task_still_runs() {
    for call in ["StopTask", "UpdateTaskProtection"] {
        let mut model = built(&spec());
        let mut operation = converge(spec());
        assert!(matches!(
            after(&mut model, &mut operation, call),
            Decision::Wait { why: WaitReason::RetryableError(_), .. }
        ));
        model.now = model.now + POLL;
        assert!(matches!(after(&mut model, &mut operation, call), Decision::Wait { .. }), "looks may lag");
        model.now = model.now + Duration::from_secs(60);
        assert!(reason(after(&mut model, &mut operation, call)).contains("Allow it in the function's role"));

        // Its tags went with it, and the denial says no more than that.
        model.observed.tasks[0].phase = TaskPhase::Stopped;
        drop(model.decide(&mut operation));
        assert!(operation.memory.denied_since.is_empty());
    }
}

#[test]
fn a_denied_call_about_anything_but_a_task_is_a_failure_at_once() {
    let mut model = built(&spec());
    model.observed.remote_error = Some(denied("UpdateService"));
    assert!(reason(model.decide(&mut converge(spec()))).contains("Allow it in the function's role"));
    model.observed.remote_error = Some(denied("StopTask"));
    let text = reason(model.decide(&mut converge(spec())));
    assert!(text.contains("StopTask"), "of no task that is known: {text}");
}

#[test]
fn a_capacity_provider_whose_update_failed_before_this_request_is_used_or_updated() {
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
        assert_eq!(names(&plan), ["update_capacity_provider"], "after {n_sent}, which an old look may not show");
        operation.memory.record_step(StepResult::ProviderUpdated, model.now);
    }
    assert!(reason(model.decide(&mut operation)).contains("could not set up the capacity provider"));
}

/// A pool whose newest deployment ECS gave up, with tasks of it that never started, some of them on an instance.
fn failed_deployment(on_instance: &[bool]) -> Model {
    let mut model = built(&spec());
    let primary = model.observed.service.as_mut().unwrap().deployments.first_mut().unwrap();
    primary.rollout = RolloutState::Failed("tasks failed to start".to_owned());
    let (id, one) = (primary.id.clone(), model.observed.tasks[0].clone());
    model.observed.tasks = on_instance
        .iter()
        .zip(1..)
        .map(|(is_placed, n)| crate::pool::model::ecs::Task {
            arn: format!("{}-{n}", one.arn),
            started_by: Some(id.clone()),
            phase: TaskPhase::Stopped,
            started_at: None,
            container_instance_arn: is_placed.then(|| instance(1).arn),
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
fn a_deployment_given_up_because_no_instance_had_room_is_begun_anew_until_online_timeout() {
    let mut model = failed_deployment(&[false, false, false]);
    let mut operation = waiting_for_runners();
    let Decision::Wait { why: WaitReason::RunnersOnline { .. }, .. } = model.decide(&mut operation) else {
        panic!("no wait")
    };
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["register_task_definition"], "only another revision begins another deployment");

    let mut operation = waiting_for_runners();
    operation.memory.online_awaited_since = Some(model.now - spec().wait_policy.online_timeout);
    let text = reason(model.decide(&mut operation));
    assert!(text.contains("0 of 2 runners came online within OnlineTimeout (15 min)"), "{text}");
}

#[test]
fn a_deployment_given_up_because_a_container_did_not_start_fails_at_once() {
    for on_instance in [&[true, true, true][..], &[false, true, false], &[]] {
        let mut model = failed_deployment(on_instance);
        let text = reason(model.decide(&mut waiting_for_runners()));
        assert!(text.contains("ECS deployment failed") && text.contains("0 of 2 runners came online."), "{text}");
    }
}

#[test]
fn an_instance_is_asked_to_drain_once() {
    let mut model = built(&spec());
    model.observed.template_version = Some(2);
    let mut newer = spec();
    let Capacity::Own(own) = &mut newer.capacity else { panic!("own capacity") };
    own.launch_template.version = "2".to_owned();
    model.observed.group.as_mut().unwrap().config.launch_template.version = "2".to_owned();
    model.observed.instances = vec![instance(1)];
    let mut operation = converge(newer);
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["drain_instance"]);
    // ECS refused, for its own managed draining was first; the instance is still listed as ACTIVE.
    operation.memory.record_step(StepResult::DrainRequested { instance: instance(1).arn }, model.now);
    assert!(matches!(model.decide(&mut operation), Decision::Respond(Outcome::Succeeded { .. })));
}

#[test]
fn an_app_login_of_another_spelling_is_refused_before_anything_is_built() {
    let mut model = Model::empty();
    model.observed.preflight_result = Some(PreflightResult::AppLoginMismatch("acme".to_owned()));
    let mut spec = spec();
    spec.credentials.github_credential = Some(GitHubCredential::App {
        id: "1234".to_owned(),
        private_key: ParameterRef("/ci/key".to_owned()),
        login: "Acme".to_owned(),
    });
    let Outcome::Failed { reason } = model.run(&mut converge(spec)) else { panic!("succeeded") };
    insta::assert_snapshot!(reason, @"AppLogin: the App is installed on acme, and the image would look for Acme, case-sensitively. Specify acme with this capitalization in AppLogin, or in the property that it is derived from; the pool stays the same.");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn attachments_of_the_pool_s_own_provider_that_failed_are_among_the_causes() {
    let mut model = built(&spec());
    let mut operation = converge(spec());
    let cluster = model.observed.cluster.as_mut().unwrap();
    let of = |provider: &str| format!("as_policy (capacityProviderName {provider})");
    cluster.failed_attachments = vec![of("theirs"), of(operation.id.as_str())];
    model.runners().clear();
    model.observed.tasks.clear();
    operation.memory.online_awaited_since = Some(model.now - spec().wait_policy.online_timeout);
    let text = reason(model.decide(&mut operation));
    assert!(text.contains("ECS could not attach the capacity provider") && !text.contains("theirs"), "{text}");
}

/// On a mixed-instances policy of these types and this On-Demand share.
fn mixed_instances_policy(types: &[&str], on_demand_percentage_above_base: u32) -> PoolSpec {
    let mut spec = spec();
    let Capacity::Own(own) = &mut spec.capacity else { panic!("own capacity") };
    own.mixed_instances_policy = Some(MixedInstances {
        instance_types: types.iter().map(|name| (*name).to_owned()).collect(),
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
    });
    spec
}

#[test]
fn other_purchase_options_are_set_on_a_group_without_runners_and_instances() {
    for (before, after) in [
        (spec(), mixed_instances_policy(&["m7i.large"], 100)),
        (mixed_instances_policy(&["m7i.large"], 100), spec()),
        (mixed_instances_policy(&["m7i.large"], 100), mixed_instances_policy(&["m7i.large"], 0)),
    ] {
        let mut model = built(&before);
        let job_ends = model.now + Duration::from_secs(600);
        model.runners()[0].is_busy = true;
        let busy = model.runners()[0].name.clone();
        let outcome = model.run_with(&mut converge(after), |model| {
            let is_over = model.now >= job_ends;
            for runner in model.runners().iter_mut().filter(|runner| runner.name == busy) {
                runner.is_busy = !is_over;
            }
            if names(&model.taken).contains(&"scale_group_to_zero") {
                model.observed.group.as_mut().unwrap().instances.clear();
            }
        });
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        assert_eq!(
            names(&model.taken),
            [
                "protect_tasks",
                "update_service",
                "deregister_runner",
                "deregister_runner",
                "scale_group_to_zero",
                "unprotect_instances",
                "update_group",
                "update_service"
            ]
        );
        assert_eq!(model.lost_jobs, 0);
        assert!(model.now >= job_ends);
    }
}

#[test]
fn other_instance_types_alone_are_set_at_once() {
    let mut model = built(&mixed_instances_policy(&["m7i.large"], 0));
    assert!(matches!(
        model.run(&mut converge(mixed_instances_policy(&["m7i.large", "m7a.large"], 0))),
        Outcome::Succeeded { .. }
    ));
    assert_eq!(names(&model.taken), ["update_group"]);
}

#[test]
fn other_purchase_options_are_not_set_while_a_job_outlasts_drain_timeout() {
    let mut model = built(&spec());
    model.runners()[0].is_busy = true;
    let mut after = mixed_instances_policy(&[], 0);
    after.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    assert!(matches!(model.run(&mut converge(after)), Outcome::Failed { .. }));
    assert_eq!(model.lost_jobs, 0);
    assert!(!names(&model.taken).contains(&"update_group") && !names(&model.taken).contains(&"scale_group_to_zero"));
    // The rollback finds its group as it was, and takes the runner with the job back.
    assert!(matches!(model.run(&mut converge(spec())), Outcome::Succeeded { .. }));
    assert_eq!((names(&model.taken).contains(&"update_group"), model.lost_jobs), (false, 0));
}

#[test]
fn instance_types_that_auto_scaling_keeps_are_waited_for_and_then_a_failure() {
    let mut model = built(&mixed_instances_policy(&["m7i.large"], 100));
    let mut operation = converge(mixed_instances_policy(&[], 100));
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["update_group"]);
    operation.memory.record_step(StepResult::GroupUpdated, model.now);
    assert!(matches!(model.decide(&mut operation), Decision::Wait { why: WaitReason::NextStep("update_group"), .. }));
    model.now = model.now + Duration::from_secs(61);
    assert!(reason(model.decide(&mut operation)).starts_with("InstanceTypes: EC2 Auto Scaling accepted their removal"));
}
