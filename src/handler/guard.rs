//! Makes the work of an invocation end in a response or in another invocation, also when it panics, hangs or runs out of
//! time.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use super::budget::{EVENT_RETRY_WINDOW, SELF_INVOKE_RETRY_DELAY};
use super::completion::Completion;
use super::context::Context;
use super::error::HandleError;
use super::respond::{Recording, Requester, log_response, resend, respond};
use crate::metrics;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::WaitReason;
use crate::pool::model::operation::CONTINUATIONS_MAX;
use crate::pool::model::operation_lock::Superseded;
use crate::pool::model::outcome::Outcome;
use crate::pool::policy::reasons;
use crate::reconcile::chain;
use crate::reconcile::ports::{Clock, SelfInvoker, World};

/// Runs `work` and completes it: responds, continues in another invocation, or stops.
///
/// # Errors
/// When delivering the event again may help.
pub(super) async fn run_guarded<W: World>(
    context: &Context<'_, W>,
    requester: &Requester,
    work: impl Future<Output = Completion>,
) -> Result<(), HandleError> {
    let clock = context.world.clock();
    let started_at = clock.now();
    let work = AssertUnwindSafe(work).catch_unwind();
    let time_is_up = clock.sleep_until(context.budget.respond_from());
    let completion = match select(std::pin::pin!(work), std::pin::pin!(time_is_up)).await {
        Either::Left((Ok(completion), _)) => completion,
        Either::Left((Err(_panic), _)) => internal_error(requester),
        Either::Right(((), _)) => {
            let reason = reasons::call_timed_out(clock.now().since(started_at));
            Completion::respond(requester.physical_id.clone(), Outcome::failed(reason), Recording::Record)
        }
    };
    let completion = match completion {
        Completion::Continue(continuation, why) => {
            let invoking = AssertUnwindSafe(self_invoke(context, *continuation, &why)).catch_unwind();
            match invoking.await.unwrap_or_else(|_panic| Ok(Some(internal_error(requester))))? {
                None => return Ok(()),
                Some(failed) => failed,
            }
        }
        completion @ (Completion::Respond { .. } | Completion::Superseded(_)) => completion,
    };
    match completion {
        Completion::Respond { physical_id, outcome, recording, tally } => {
            respond(context, requester, &physical_id, &outcome, recording).await?;
            log_response(&outcome, clock.now().since(started_at));
            metrics::request(requester.request.request_type, &outcome, &tally);
        }
        // CloudFormation waits only for the newer request. This one may already have had a different response.
        Completion::Superseded(Superseded::ByNewerRequest) => {
            tracing::info!(step = "superseded", "a newer request for this resource took over, so this one ends");
        }
        Completion::Superseded(Superseded::AlreadyResponded(body)) => resend(context, requester, body).await?,
        Completion::Superseded(Superseded::ByOtherInvocation) | Completion::Continue(..) => {
            tracing::info!(step = "superseded", "another delivery of this request is at work, so this one ends");
        }
    }
    Ok(())
}

fn internal_error(requester: &Requester) -> Completion {
    let outcome = Outcome::failed(reasons::INTERNAL_ERROR);
    Completion::respond(requester.physical_id.clone(), outcome, Recording::Record)
}

/// Continues in another invocation, or returns the FAILED response that says why that is not possible.
async fn self_invoke<W: World>(
    context: &Context<'_, W>,
    mut continuation: Continuation,
    why: &WaitReason,
) -> Result<Option<Completion>, HandleError> {
    let count = &mut continuation.operation.continuation_count;
    *count = count.saturating_add(1);
    let operation = &continuation.operation;
    let failed = |reason| {
        let physical_id = operation.response_physical_id();
        Ok(Some(Completion::respond(physical_id, Outcome::failed(reason), Recording::Record)))
    };
    if operation.continuation_count > CONTINUATIONS_MAX {
        return failed(reasons::too_many_continuations(operation, why));
    }
    loop {
        let invoked = context.world.self_invoker().invoke(context.function, continuation.to_event()).await;
        let Err(error) = invoked else {
            tracing::info!(
                step = "continue",
                continuation_count = operation.continuation_count,
                "still waiting for {why}"
            );
            return Ok(None);
        };
        tracing::warn!(step = "continue", kind = error.kind().name(), error = %chain(&error));
        let retry_at = context.world.clock().now() + SELF_INVOKE_RETRY_DELAY;
        if !error.kind().is_retryable() {
            return failed(reasons::not_continued(operation, why, &error.remote_error));
        }
        if retry_at < context.budget.respond_from() {
            context.world.clock().sleep_until(retry_at).await;
        } else if retry_at + EVENT_RETRY_WINDOW < operation.respond_by {
            // Lambda delivers this invocation's own event again, and the next invocation starts from what exists.
            return Err(HandleError::ContinuationNotSent(error));
        } else {
            return failed(reasons::not_continued(operation, why, &error.remote_error));
        }
    }
}
