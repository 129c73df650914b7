//! Runs the operation of a request: from the decoded request to its goal, and from the goal to the completion.

use std::time::Duration;

use super::completion::Completion;
use super::context::Context;
use super::deletion::{Siblings, absent, siblings};
use super::goal::{converge_operation, request_info};
use super::respond::{Recording, Requester, UNKNOWN_SIGNING_TIME};
use crate::cloudformation::request::{CustomResourceRequest, PropertiesChange, RequestKind};
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{ObserveScope, WaitReason};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::operation::{Goal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::orphaned_pools;
use crate::pool::policy::outcome::attributes;
use crate::pool::policy::reasons;
use crate::reconcile::chain;
use crate::reconcile::observe::observe;
use crate::reconcile::ports::{Clock, World};
use crate::reconcile::run::{RunResult, reconcile_until};
use crate::reconcile::session::Session;

/// The recipient of the response to a request.
pub(super) fn requester(request: &CustomResourceRequest) -> Requester {
    let physical_id = identity(request).or_else(|| request.physical_id().map(str::to_owned));
    Requester {
        request: request_info(request),
        physical_id: physical_id.unwrap_or_else(|| NO_PHYSICAL_ID.to_owned()),
        signed_at: request.signed_at.unwrap_or(UNKNOWN_SIGNING_TIME),
    }
}

/// The id of the pool that a request is about, if the request alone determines it.
fn identity(request: &CustomResourceRequest) -> Option<String> {
    match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => {
            Some(PhysicalId::of(&request.stack_resource, request.properties.spec().ok()?).into())
        }
        RequestKind::Delete { .. } | RequestKind::Unknown { .. } => None,
    }
}

/// The work that a request asks for.
pub(super) async fn work<W: World>(context: &Context<'_, W>, request: &CustomResourceRequest) -> Completion {
    let world = context.world;
    let now = world.clock().now();
    let signed_at = request.signed_at.unwrap_or(now).min(now);
    let requested_id = || request.physical_id().unwrap_or(NO_PHYSICAL_ID).to_owned();
    let operation = match &request.kind {
        RequestKind::Create | RequestKind::Update { .. } => match request.properties.spec() {
            Ok(spec) => match converge_operation(request, spec.clone(), &context.settings.registration, signed_at) {
                Ok(operation) => operation,
                Err(error) => {
                    let outcome = Outcome::failed(error.to_string());
                    return Completion::respond(requested_id(), outcome, Recording::Skip);
                }
            },
            Err(problems) => {
                return Completion::respond(requested_id(), Outcome::failed(problems.to_string()), Recording::Skip);
            }
        },
        RequestKind::Delete { physical_id } => match absent(world, request, physical_id, signed_at).await {
            Ok(operation) => operation,
            Err(completion) => return completion,
        },
        RequestKind::Unknown { reason, .. } => {
            return Completion::respond(requested_id(), Outcome::failed(reason), Recording::Skip);
        }
    };
    tracing::Span::current().record("physical_id", operation.id.as_str());
    if is_noop_update(request) {
        let requested_id = operation.response_physical_id().to_owned();
        return Completion::respond(
            requested_id,
            read_attributes(world, Continuation::new(operation)).await,
            Recording::Skip,
        );
    }
    let mut continuation = Continuation::new(operation);
    let result = run_operation(context, &mut continuation).await;
    Completion::of_run(continuation, result, world.clock().now())
}

pub(super) async fn run_operation<W: World>(context: &Context<'_, W>, continuation: &mut Continuation) -> RunResult {
    let (world, settings) = (context.world, context.settings);
    let until = context.budget.reconcile_until(world.clock().now(), settings.invocation_budget);
    loop {
        match reconcile_until(world, continuation, context.function, settings.poll_interval, until).await {
            RunResult::Completed(outcome) => {
                let next = match others(world, &continuation.operation, &outcome, settings.poll_interval, until).await {
                    Ok(Siblings::Next(next)) => *next,
                    Ok(Siblings::Done(note)) => {
                        return RunResult::Completed(orphaned_pools::combined_outcome(
                            &continuation.operation,
                            noted(outcome, note),
                        ));
                    }
                    Ok(Siblings::Unknown(reason)) => {
                        return RunResult::Completed(orphaned_pools::combined_outcome(
                            &continuation.operation,
                            Outcome::failed(reason),
                        ));
                    }
                    Err(why) => return RunResult::OutOfTime { why },
                };
                tracing::info!(step = "orphaned_pool", pool = %next.id, "taking down another pool of this resource");
                *continuation = continuation.followed_by(next);
            }
            end @ (RunResult::Superseded(_) | RunResult::OutOfTime { .. }) => return end,
        }
    }
}

/// What follows the request's pool. The lookup is retried until it succeeds, the response is due or the invocation runs
/// out of time.
async fn others<W: World>(
    world: &W,
    operation: &Operation,
    outcome: &Outcome,
    poll: Duration,
    until: Timestamp,
) -> Result<Siblings, WaitReason> {
    loop {
        let error = match siblings(world, operation, outcome).await {
            Ok(siblings) => return Ok(siblings),
            Err(error) => error,
        };
        tracing::warn!(step = "remote_error", kind = error.kind().name(), error = %chain(&error));
        let again_at = world.clock().now() + poll;
        if !error.kind().is_retryable() || again_at >= operation.respond_by {
            return Ok(match &operation.goal {
                Goal::Converge(_) => Siblings::Done(Some(reasons::other_pools_unknown(&error.remote_error))),
                Goal::Delete(_) => Siblings::Unknown(reasons::other_pools_not_listed(operation, &error.remote_error)),
            });
        }
        if again_at >= until {
            return Err(WaitReason::RetryableError(error.remote_error));
        }
        world.clock().sleep_until(again_at).await;
    }
}

fn noted(outcome: Outcome, note: Option<String>) -> Outcome {
    match outcome {
        Outcome::Succeeded { attributes, mut notes } => {
            notes.extend(note);
            Outcome::Succeeded { attributes, notes }
        }
        failed @ Outcome::Failed { .. } => failed,
    }
}

/// Whether the request changes nothing of the pool itself.
fn is_noop_update(request: &CustomResourceRequest) -> bool {
    matches!(&request.kind, RequestKind::Update { change: PropertiesChange::CloudFormationOnly, .. })
}

/// Makes one observation for the values of `Fn::GetAtt`, without waiting for anything or changing anything.
async fn read_attributes<W: World>(world: &W, continuation: Continuation) -> Outcome {
    let operation = &continuation.operation;
    let Goal::Converge(goal) = &operation.goal else { return Outcome::failed("A Delete has no attributes.") };
    let mut session = Session::default();
    match observe(world, &continuation, &mut session, ObserveScope::Full).await {
        Ok(()) => Outcome::Succeeded { attributes: attributes(operation, goal, &session.observed), notes: Vec::new() },
        Err(error) => Outcome::failed(reasons::remote_error(operation, &error.remote_error)),
    }
}
