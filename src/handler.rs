//! One invocation: parse the event, do what it asks for, respond or continue in another invocation.
//!
//! Every request gets a response: a panic, an error and the end of Lambda's time all become one (`guard`). An
//! invocation fails only where another delivery of its event helps: the response could not be sent, or the function could
//! not be invoked again; and where a request has no usable response URL, so that Lambda's retries, the on-failure queue
//! and its alarm show it. When Lambda has stopped retrying, the event comes back through that queue and gets a FAILED
//! response (`on_failure`).
//!
//! In reading order: `event`, `budget`, `operation` and `deletion` from a request to its end, `guard`,
//! `respond`, `on_failure`; `preview`, `status` and `inventory` answer the caller and not CloudFormation; `registration` answers
//! the tasks that ask for their runners' registrations, `tick` does what is due by the clock, `listen` listens for the jobs
//! of runner scale sets, and `launch` lets instances join the group of a warm pool.

mod budget;
mod completion;
mod context;
mod deletion;
mod error;
mod event;
mod goal;
mod guard;
mod inventory;
mod launch;
mod listen;
mod on_failure;
mod operation;
mod preview;
mod registration;
mod respond;
mod status;
mod tick;

use serde_json::Value;
use tracing::Instrument as _;

pub use self::error::HandleError;

use self::budget::Budget;
use self::completion::Completion;
use self::context::Context;
use self::event::Event;
use self::guard::run_guarded;
use self::operation::{requester, run_operation, work};
use self::respond::{Recording, Requester, respond};
use crate::cloudformation::request::CustomResourceRequest;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::reasons;
use crate::reconcile::ports::{Clock, World};
use crate::settings::Settings;
use crate::version::VERSION;

/// What Lambda reports about this invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// When Lambda terminates it.
    pub deadline: Timestamp,
    /// The ARN, with alias or version, or the name by which this function can be invoked again.
    pub function: String,
}

/// Handles one event. The return value is for a synchronous caller, such as that of a preview or an inventory;
/// CloudFormation gets its response at the request's URL.
///
/// # Errors
/// When delivering the event again may help.
pub async fn handle<W: World>(
    world: &W,
    settings: &Settings,
    payload: &Value,
    invocation: &Invocation,
) -> Result<Value, HandleError> {
    let budget = Budget::new(invocation.deadline, world.clock().now());
    let context = Context { world, settings, function: &invocation.function, budget };
    let mut result = Ok(Value::Null);
    for event in Event::parse_all(payload) {
        // A failed record does not keep the others of its batch from their responses.
        result = result.and(Box::pin(handle_event(&context, event)).await);
    }
    result
}

async fn handle_event<W: World>(context: &Context<'_, W>, event: Event) -> Result<Value, HandleError> {
    match event {
        Event::Request(request) => start(context, &request).await?,
        Event::Continuation(continuation) => resume(context, *continuation).await?,
        Event::UnsupportedContinuation { request, physical_id } => {
            let requester = Requester::of_unsupported_continuation(request, physical_id);
            let outcome = Outcome::failed(reasons::UNSUPPORTED_CONTINUATION);
            let response = respond(context, &requester, &requester.physical_id, &outcome, Recording::Record);
            response.instrument(requester.span()).await?;
        }
        Event::OnFailure(record) => on_failure::respond_to_all(context, &record).await?,
        Event::Preview(request) => return Ok(preview::preview(context, &request).await),
        Event::Status(scope) => return Ok(status::status(context.world, &scope).await),
        Event::Inventory => return Ok(inventory::inventory(context.world).await),
        Event::Tick => tick::tick(context).await,
        Event::Listen => listen::listen(context).await,
        Event::Launch(action) => launch::complete(context.world, *action).await?,
        Event::Registrations(records) => return Ok(registration::answer_all(context, &records).await),
        Event::NoResponseUrl(why) => {
            tracing::error!(step = "decode", "no response can be sent: {why}");
            return Err(HandleError::NoResponseUrl(why));
        }
        Event::Unknown => {
            tracing::error!(step = "decode", "the event is no request of CloudFormation, so nothing is done");
        }
    }
    Ok(Value::Null)
}

/// Starts to work on a request of CloudFormation.
async fn start<W: World>(context: &Context<'_, W>, request: &CustomResourceRequest) -> Result<(), HandleError> {
    let requester = requester(request);
    async {
        tracing::info!(step = "start", request_type = ?request.kind, version = VERSION);
        run_guarded(context, &requester, work(context, request)).await
    }
    .instrument(requester.span())
    .await
}

/// Resumes a request for which an earlier invocation ran out of time.
async fn resume<W: World>(context: &Context<'_, W>, mut continuation: Continuation) -> Result<(), HandleError> {
    let requester = Requester::of_operation(&continuation.operation);
    let span = requester.span();
    span.record("physical_id", continuation.operation.id.as_str());
    async {
        let continuation_count = continuation.operation.continuation_count;
        tracing::info!(step = "resume", continuation_count, version = VERSION);
        let work = async {
            let result = run_operation(context, &mut continuation).await;
            Completion::of_run(continuation, result, context.world.clock().now())
        };
        run_guarded(context, &requester, work).await
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests;
