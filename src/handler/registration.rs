//! Tasks that ask for the registrations of their runners: a batch of the registrations table's stream.
//!
//! A record for which a call to AWS failed is delivered again, and so are the records after it. A container that gets
//! no answer asks again, and logs that when it gives up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::context::Context;
use super::event::RegistrationRecord;
use crate::pool::policy::registration::MINT_MAX;
use crate::reconcile::ports::{Clock, World};
use crate::reconcile::registration::{RequestResult, answer_request};
use crate::reconcile::{chain, log_error};

/// The removal of an item: its container took the answer, or the item expired.
const REMOVE: &str = "REMOVE";

/// Answers the requests of a batch one after the other, since GitHub asks clients to make requests serially.
/// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>
pub(super) async fn answer_all<W: World>(context: &Context<'_, W>, records: &[RegistrationRecord]) -> Value {
    let until = context.budget.reconcile_until(context.world.clock().now(), None);
    let mut failures = Vec::new();
    for record in records.iter().filter(|record| record.event_name != REMOVE) {
        if context.world.clock().now() >= until || !answer(context.world, record).instrument(span(record)).await {
            failures.push(json!({ "itemIdentifier": record.dynamodb.sequence_number }));
        }
    }
    json!({ "batchItemFailures": failures })
}

/// The span of the record's log lines, which has the task's id: a container's log tells people to search for it.
fn span(record: &RegistrationRecord) -> tracing::Span {
    let key = record.key();
    tracing::info_span!("registration", task = key.split_once(':').map_or(key, |(_, task_id)| task_id))
}

/// Whether the record is completed. A record whose calls hang must not delay the tasks behind it in the stream; its
/// claim can be taken over after [`MINT_MAX`] anyway.
async fn answer<W: World>(world: &W, record: &RegistrationRecord) -> bool {
    let clock = world.clock();
    let answered = AssertUnwindSafe(answer_request(world, record.key())).catch_unwind();
    let time_is_up = clock.sleep_until(clock.now() + MINT_MAX);
    let result = match select(std::pin::pin!(answered), std::pin::pin!(time_is_up)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => {
            tracing::error!(step = "registration", "a call took longer than {} seconds", MINT_MAX.as_secs());
            return false;
        }
    };
    match result {
        Ok(Ok(RequestResult::Registered { runner })) => {
            tracing::info!(step = "registration", runner, "registered");
        }
        Ok(Ok(RequestResult::Refused(refusal))) => {
            tracing::warn!(step = "registration", retry = refusal.retry, "refused: {}", refusal.message);
        }
        Ok(Ok(RequestResult::Ignored(why))) => tracing::debug!(step = "registration", "ignored: {why}"),
        Ok(Err(error)) if error.kind().is_retryable() => {
            log_error(&error);
            return false;
        }
        Ok(Err(error)) => {
            tracing::error!(step = "registration", kind = error.kind().name(), error = %chain(&error));
        }
        Err(_panic) => tracing::error!(step = "registration", "a panic; the container asks again"),
    }
    true
}
