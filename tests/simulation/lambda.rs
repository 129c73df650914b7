//! AWS Lambda: asynchronous invocations with their retries, and the queue of those that were given up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::StateItem;
use serde_json::{Value, json};

use crate::event_source::Batch;
use crate::history::{Ending, Fact};
use crate::planted::Bug;
use crate::world::{Due, World};

/// The function's timeout.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);
/// How old an event may grow before it is given up.
const EVENT_AGE_MAX: Duration = Duration::from_secs(3600);
/// Tries of one event.
const TRIES: u32 = 3;
/// How long a message of the queue is out of sight after it was handed over.
const VISIBILITY: Duration = Duration::from_secs(900);
/// How long the queue keeps a message.
const RETENTION: Duration = Duration::from_secs(7200);

/// An event on its way to an invocation.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) event: Value,
    pub(crate) tries: u32,
    pub(crate) first_at: Timestamp,
    pub(crate) origin: Origin,
}

/// Who invokes the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// CloudFormation, or the function itself.
    Request,
    /// The queue of what Lambda has given up.
    FailureQueue,
    /// The registrations table's stream: a synchronous invocation.
    Stream(Batch),
    /// The rule of each minute.
    Tick,
    /// The function itself, with an event that continues no request.
    Own,
    /// The rule of the launch hook's events.
    Launch,
}

impl Origin {
    /// Whether no request of CloudFormation is behind it.
    pub(crate) const fn is_background(self) -> bool {
        matches!(self, Self::Stream(_) | Self::Tick | Self::Own | Self::Launch)
    }
}

/// What is known of an invocation.
pub(crate) struct Invocation {
    pub(crate) delivery: Delivery,
    /// The request that it works on, by its place among those that CloudFormation sent.
    pub(crate) ask: Option<usize>,
    pub(crate) deadline: Timestamp,
    pub(crate) n_calls: u32,
    /// Calls that failed, or were answered with old news.
    pub(crate) n_failed: u32,
    /// When it wrote that it begins a sweep.
    pub(crate) swept_at: Option<Timestamp>,
    pub(crate) is_killed: bool,
    pub(crate) has_panicked: bool,
    /// It has read that a newer request works for the resource.
    pub(crate) saw_newer: bool,
    pub(crate) has_ended: bool,
    /// The record that it wrote last.
    pub(crate) own_record: Option<StateItem>,
}

#[derive(Default)]
pub(crate) struct Lambda {
    pub(crate) invocations: BTreeMap<u64, Invocation>,
    /// The next event is delivered twice.
    pub(crate) duplicates: u32,
    n_made: u64,
}

impl World {
    /// Takes an event, as an asynchronous Invoke does.
    pub(crate) fn send_event(&mut self, event: Value) {
        let delivery = Delivery { event, tries: 0, first_at: self.now, origin: Origin::Request };
        let soon = self.now + self.between(20, 800);
        if self.lambda.duplicates > 0 {
            self.lambda.duplicates -= 1;
            self.figures.fault("DuplicateDelivery");
            self.occur("fault", "DuplicateDelivery");
            let self_invoker = self.now + self.between(20, 4_000);
            self.schedule(self_invoker, Due::Deliver(Box::new(delivery.clone())));
        }
        self.schedule(soon, Due::Deliver(Box::new(delivery)));
    }

    /// Takes an event that the function has sent to itself and that is about no request. Lambda may deliver it twice.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html>
    pub(crate) fn send_own_event(&mut self, event: Value) {
        let delivery = Delivery { event, tries: 0, first_at: self.now, origin: Origin::Own };
        let soon = self.now + self.between(20, 800);
        if !self.is_calm && self.once_in(40) {
            self.figures.fault("DuplicateDelivery");
            self.occur("fault", "DuplicateDelivery");
            let again = self.now + self.between(20, 4_000);
            self.schedule(again, Due::Deliver(Box::new(delivery.clone())));
        }
        self.schedule(soon, Due::Deliver(Box::new(delivery)));
    }

    /// Begins an invocation; its number, and the event that it gets.
    pub(crate) fn begin_invocation(&mut self, mut delivery: Delivery) -> Option<(u64, Value)> {
        let is_asynchronous = matches!(delivery.origin, Origin::Request | Origin::Tick | Origin::Own | Origin::Launch);
        if self.now.since(delivery.first_at) > EVENT_AGE_MAX && is_asynchronous {
            self.give_up(&delivery, "EventAgeExceeded");
            return None;
        }
        delivery.tries += 1;
        self.lambda.n_made += 1;
        self.figures.invocations += 1;
        let number = self.lambda.n_made;
        let ask = ask_of(&delivery.event);
        let event = delivery.event.clone();
        let deadline = self.now + TIMEOUT;
        let invocation = Invocation {
            delivery,
            ask,
            deadline,
            n_calls: 0,
            n_failed: 0,
            swept_at: None,
            is_killed: false,
            has_panicked: false,
            saw_newer: false,
            has_ended: false,
            own_record: None,
        };
        self.lambda.invocations.insert(number, invocation);
        self.schedule(deadline, Due::Deadline(number));
        self.trace(|| format!("invocation {number} begins, for request {ask:?}"));
        Some((number, event))
    }

    /// The same as [`Self::end_invocation`], with the chance that the invocation drew from.
    pub(crate) fn invocation_over(&mut self, number: u64, how: Ending, response: &Value) {
        if self.is_background(number) {
            self.in_background(|world| world.end_invocation(number, how, response));
        } else {
            self.end_invocation(number, how, response);
        }
    }

    /// An invocation has ended, with this response if it returned. One that failed gets its event again.
    fn end_invocation(&mut self, number: u64, how: Ending, response: &Value) {
        let Some(invocation) = self.lambda.invocations.get_mut(&number) else { return };
        if invocation.has_ended {
            return;
        }
        invocation.has_ended = true;
        let delivery = invocation.delivery.clone();
        self.note(&Fact::Ended { invocation: number, how });
        if delivery.origin.is_background() && how != Ending::Returned {
            self.call_failed(number);
            self.watch_lost(number);
        }
        match delivery.origin {
            Origin::Stream(batch) => return self.batch_ended(batch, how, response),
            Origin::Tick => self.tick_ended(number, how),
            Origin::Request | Origin::FailureQueue | Origin::Own | Origin::Launch => {}
        }
        if how == Ending::Returned {
            return;
        }
        if delivery.origin == Origin::FailureQueue {
            // Its message comes into sight again.
            let again = self.now + VISIBILITY;
            if again < delivery.first_at + RETENTION {
                self.occur("transition", "message of the queue delivered again");
                self.schedule(again, Due::Deliver(Box::new(delivery)));
            }
            return;
        }
        if delivery.tries >= TRIES {
            self.give_up(&delivery, "RetriesExhausted");
            return;
        }
        self.occur("transition", "event delivered again");
        let pause = Duration::from_secs(60 * u64::from(delivery.tries));
        let jitter = self.between(0, 5_000);
        self.schedule(self.now + pause + jitter, Due::Deliver(Box::new(delivery)));
    }

    /// Lambda sends a record of what it gave up to the on-failure queue, which triggers the function.
    fn give_up(&mut self, delivery: &Delivery, condition: &str) {
        self.occur("transition", "event given up");
        if self.bug == Some(Bug::NoQueueForWhatIsGivenUp) {
            return;
        }
        let record = json!({
            "version": "1.0",
            "requestContext": {
                "requestId": "0", "functionArn": FUNCTION, "condition": condition,
                "approximateInvokeCount": delivery.tries,
            },
            "requestPayload": delivery.event,
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "responsePayload": { "errorMessage": "Runtime exited with error: signal: killed" },
        });
        let message = json!({
            "messageId": "0", "receiptHandle": "0", "body": record.to_string(), "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:111122223333:given-up", "awsRegion": "eu-central-1",
        });
        let event = json!({ "Records": [message] });
        let delivery = Delivery { event, tries: 0, first_at: self.now, origin: Origin::FailureQueue };
        let soon = self.now + self.between(500, 20_000);
        self.schedule(soon, Due::Deliver(Box::new(delivery)));
    }
}

/// The function's ARN, as an invocation gets it.
pub(crate) const FUNCTION: &str = "arn:aws:lambda:eu-central-1:111122223333:function:github-runner-pool";

/// The request that an event is about: each response URL names its own.
pub(crate) fn ask_of(event: &Value) -> Option<usize> {
    let text = event.to_string();
    let (_, rest) = text.split_once("/ask-")?;
    rest.split_once('?')?.0.parse().ok()
}
