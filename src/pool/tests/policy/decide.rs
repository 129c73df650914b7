//! What holds for every request: deadlines, failed calls, retries.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::TaskPhase;
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::Observed;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::{Model, POLL, T0, built, converge, decide_on, reason_of, spec};

#[test]
fn expired_request_responds_without_a_write() {
    let mut operation = converge(spec());
    let observed = Observed { is_complete: true, ..Model::empty().observed };
    let at = DecisionTime { now: operation.respond_by, poll: POLL };
    let decision = decide_on(&mut operation, &observed, at);
    assert!(matches!(decision, Decision::Respond(_)), "{decision:?}");
}

#[test]
fn missing_service_linked_role_fails_within_minutes_with_create_service_linked_role() {
    let no = RemoteError {
        remote: RemoteService::Ecs,
        kind: ErrorKind::Conflict,
        operation: "Op".to_owned(),
        code: Some("InvalidParameterException".to_owned()),
        message: "Unable to assume the service linked role. Please verify that the ECS service linked role exists."
            .to_owned(),
    };
    let mut operation = converge(spec());
    let mut now = T0;
    let reason = loop {
        let observed = Observed { remote_error: Some(no.clone()), ..Observed::default() };
        let at = DecisionTime { now, poll: POLL };
        operation.memory.record_observation(&observed, at);
        match decide_on(&mut operation, &observed, at) {
            Decision::Wait { why: WaitReason::RetryableError(_), until, .. } => now = until,
            Decision::Respond(Outcome::Failed { reason }) => break reason,
            other @ (Decision::Act(_) | Decision::Wait { .. } | Decision::Respond(_) | Decision::Stop(_)) => {
                panic!("{other:?}")
            }
        }
        // Between two tries everything else is observed without an error.
        operation.memory.record_observation(&Observed::default(), DecisionTime { now, poll: POLL });
        assert!(now.since(T0) < Duration::from_secs(300), "{now:?}");
    };
    assert!(now.since(T0) >= Duration::from_secs(180));
    insta::assert_snapshot!(reason.replace(operation.id.as_str(), "ID"), @"The service-linked role for ecs.amazonaws.com: it is missing, or not usable after 3 min. Create it with `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`, then retry. Amazon ECS Op failed (InvalidParameterException): Unable to assume the service linked role. Please verify that the ECS service linked role exists. (pool ID)");
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
fn denied_stop_task_or_update_task_protection_fails_only_while_the_task_runs() {
    for call in ["StopTask", "UpdateTaskProtection"] {
        let mut model = built(&spec());
        let mut operation = converge(spec());
        assert!(matches!(
            after(&mut model, &mut operation, call),
            Decision::Wait { why: WaitReason::RetryableError(_), .. }
        ));
        model.now = model.now + POLL;
        assert!(matches!(after(&mut model, &mut operation, call), Decision::Wait { .. }), "observations may lag");
        model.now = model.now + Duration::from_secs(60);
        assert!(
            reason_of_decision(after(&mut model, &mut operation, call)).contains("Allow it in the function's role")
        );

        // Its tags went with it, and the denial says no more than that.
        model.observed.tasks[0].phase = TaskPhase::Stopped;
        drop(model.decide(&mut operation));
        assert!(operation.memory.denied_since.is_empty());
    }
}

#[test]
fn denied_call_about_anything_but_a_task_fails_at_once() {
    let mut model = built(&spec());
    model.observed.remote_error = Some(denied("UpdateService"));
    assert!(reason_of_decision(model.decide(&mut converge(spec()))).contains("Allow it in the function's role"));
    model.observed.remote_error = Some(denied("StopTask"));
    let text = reason_of_decision(model.decide(&mut converge(spec())));
    assert!(text.contains("StopTask"), "of no task that is known: {text}");
}

fn reason_of_decision(decision: Decision) -> String {
    let Decision::Respond(outcome) = decision else { panic!("no response: {decision:?}") };
    reason_of(outcome)
}
