//! Batches of the registrations table's stream, and ticks.

use std::cell::RefCell;
use std::fmt::Debug;

use serde_json::{Value, json};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use super::stub_world::{Behavior, StubWorld, invocation, settings};
use crate::handler::handle;
use crate::pool::model::remote_error::ErrorKind;

fn batch(names: &[&str]) -> Value {
    let record = |(n, name): (usize, &&str)| {
        json!({
            "eventID": format!("{n}"), "eventName": name, "eventSource": "aws:dynamodb", "awsRegion": "eu-central-1",
            "dynamodb": {
                "Keys": { "key": { "S": "AROAEXAMPLE:0123456789abcdef0123456789abcdef" } },
                "SequenceNumber": format!("{}", n + 100), "SizeBytes": 40, "StreamViewType": "KEYS_ONLY",
            },
            "eventSourceARN": "arn:aws:dynamodb:eu-central-1:111122223333:table/t/stream/s",
        })
    };
    json!({ "Records": names.iter().enumerate().map(record).collect::<Vec<_>>() })
}

async fn answer(behavior: Behavior, names: &[&str]) -> Value {
    let world = StubWorld::new(behavior);
    let response = handle(&world, &settings(), &batch(names), &invocation()).await.unwrap();
    assert!(world.responses.borrow().is_empty(), "no stack waits");
    response
}

thread_local! {
    static TASKS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the field `task` of each span.
struct Tasks;

impl<S: Subscriber> Layer<S> for Tasks {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut Self);
    }
}

impl Visit for Tasks {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "task" {
            TASKS.with_borrow_mut(|tasks| tasks.push(format!("{value:?}")));
        }
    }
}

fn failed(numbers: &[&str]) -> Value {
    json!({ "batchItemFailures": numbers.iter().map(|n| json!({ "itemIdentifier": n })).collect::<Vec<_>>() })
}

#[tokio::test(start_paused = true)]
async fn stream_records_without_a_request_are_done_with() {
    assert_eq!(answer(Behavior::IsEmpty, &["INSERT", "MODIFY", "REMOVE"]).await, failed(&[]));
}

#[tokio::test(start_paused = true)]
async fn log_lines_of_a_stream_record_have_the_id_of_the_task() {
    let _subscriber = tracing::subscriber::set_default(Registry::default().with(Tasks));
    answer(Behavior::IsEmpty, &["INSERT", "REMOVE"]).await;
    assert_eq!(TASKS.take(), [r#""0123456789abcdef0123456789abcdef""#], "no call is made for a removed item");
}

#[tokio::test(start_paused = true)]
async fn batch_item_failures_name_the_records_whose_calls_may_succeed_later() {
    let throttled = Behavior::Refuses(ErrorKind::Throttled { retry_after: None });
    assert_eq!(answer(throttled, &["INSERT", "REMOVE", "MODIFY"]).await, failed(&["100", "102"]));
    assert_eq!(answer(Behavior::Refuses(ErrorKind::Denied), &["INSERT"]).await, failed(&[]));
    assert_eq!(answer(Behavior::Panics, &["INSERT", "INSERT"]).await, failed(&[]));
}

#[tokio::test(start_paused = true)]
async fn batch_item_failures_name_a_record_whose_calls_hang() {
    assert_eq!(answer(Behavior::Hangs, &["INSERT"]).await, failed(&["100"]));
}

#[tokio::test(start_paused = true)]
async fn tick_is_written_down_before_its_work_and_done_once() {
    let world = StubWorld::new(Behavior::IsEmpty);
    for _ in 0..2 {
        let response = handle(&world, &settings(), &json!({ "Tick": {} }), &invocation()).await.unwrap();
        assert_eq!(response, Value::Null);
    }
    assert_eq!(world.table.writes.borrow().len(), 1, "the second tick came within the same minute");
    assert!(world.responses.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tick_that_is_refused_fails_no_invocation() {
    let world = StubWorld::new(Behavior::Refuses(ErrorKind::Denied));
    handle(&world, &settings(), &json!({ "Tick": {} }), &invocation()).await.unwrap();
}
