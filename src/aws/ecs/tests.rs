//! The adapter against recorded responses: what is sent, and what is made of what comes back.

mod classes;
mod reads;
mod task_definition;
mod task_runs;
mod writes;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::aws::test_http_client::Replay;
use crate::pool::model::identity::PhysicalId;
use crate::reconcile::ports::Tags;

fn id() -> PhysicalId {
    "ghr-ci-Runners-0123456789".to_owned().try_into().unwrap()
}

fn owner() -> Tags {
    BTreeMap::from([("github-runner-pool:id".to_owned(), "ghr-ci-Runners-0123456789".to_owned())])
}

fn arns(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("arn:aws:ecs:eu-west-1:1:{prefix}/c/{i:04}")).collect()
}

/// How many entries the list `field` of each request to `operation` had.
fn batches(replay: &Replay, operation: &str, field: &str) -> Vec<usize> {
    let sent = replay.sent().into_iter().filter(|sent| sent.operation == operation);
    sent.map(|sent| sent.json()[field].as_array().map_or(0, Vec::len)).collect()
}

fn only_sent(replay: &Replay) -> Value {
    let sent = replay.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent[0].json()
}
