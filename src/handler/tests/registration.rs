//! Batches of the registrations table's stream, and ticks.

use serde_json::{Value, json};

use super::stub_world::{Manner, StubWorld, invocation, settings};
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

async fn answer(manner: Manner, names: &[&str]) -> Value {
    let world = StubWorld::new(manner);
    let response = handle(&world, &settings(), &batch(names), &invocation()).await.unwrap();
    assert!(world.answers.borrow().is_empty(), "no stack waits");
    response
}

fn failed(numbers: &[&str]) -> Value {
    json!({ "batchItemFailures": numbers.iter().map(|n| json!({ "itemIdentifier": n })).collect::<Vec<_>>() })
}

#[tokio::test(start_paused = true)]
async fn stream_records_without_a_request_are_done_with() {
    assert_eq!(answer(Manner::IsEmpty, &["INSERT", "MODIFY", "REMOVE"]).await, failed(&[]));
}

#[tokio::test(start_paused = true)]
async fn batch_item_failures_name_the_records_whose_calls_may_succeed_later() {
    let throttled = Manner::Refuses(ErrorKind::Throttled { retry_after: None });
    assert_eq!(answer(throttled, &["INSERT", "REMOVE", "MODIFY"]).await, failed(&["100", "102"]));
    assert_eq!(answer(Manner::Refuses(ErrorKind::Denied), &["INSERT"]).await, failed(&[]));
    assert_eq!(answer(Manner::Panics, &["INSERT", "INSERT"]).await, failed(&[]));
}

#[tokio::test(start_paused = true)]
async fn batch_item_failures_name_a_record_whose_calls_hang() {
    assert_eq!(answer(Manner::Hangs, &["INSERT"]).await, failed(&["100"]));
}

#[tokio::test(start_paused = true)]
async fn tick_is_written_down_before_its_work_and_done_once() {
    let world = StubWorld::new(Manner::IsEmpty);
    for _ in 0..2 {
        let response = handle(&world, &settings(), &json!({ "Tick": {} }), &invocation()).await.unwrap();
        assert_eq!(response, Value::Null);
    }
    assert_eq!(world.n_writes.get(), 1, "the second tick came within the same minute");
    assert!(world.answers.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tick_that_is_refused_fails_no_invocation() {
    let world = StubWorld::new(Manner::Refuses(ErrorKind::Denied));
    handle(&world, &settings(), &json!({ "Tick": {} }), &invocation()).await.unwrap();
}
