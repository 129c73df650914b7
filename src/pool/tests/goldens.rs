//! Stored bytes keep loading: what one version of the function writes, the next one reads.
//!
//! A change of one of these texts is a new format: it needs a default or a reader for the old one, or every pool rolls
//! its runners, or every request under way fails.

use super::support::{T0, continued, converge, delete, locked, spec};
use crate::pool::model::continuation::{Continuation, ParsedContinuation};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remains::RemainsRecord;
use crate::pool::model::task_definition::TaskDefinitionContent;

fn event_of(continuation: &Continuation) -> String {
    let event: serde_json::Value = serde_json::from_slice(&continuation.to_event()).unwrap();
    serde_json::to_string_pretty(&event).unwrap()
}

fn assert_read_back(continuation: &Continuation) {
    let event = serde_json::from_slice(&continuation.to_event()).unwrap();
    let read = ParsedContinuation::read(&event);
    // A continuation does not carry the version of the lock.
    let mut expected = continuation.clone();
    expected.memory.lock_version = None;
    assert_eq!(read, Some(ParsedContinuation::Supported(Box::new(expected))));
}

#[test]
fn continuation_of_an_update() {
    let continuation = continued(locked(converge(spec()), 7), 2);
    assert_read_back(&continuation);
    insta::assert_snapshot!(event_of(&continuation));
}

#[test]
fn continuation_without_warm_instances_is_one_of_a_version_that_had_none() {
    let continuation = converge(spec());
    let event = event_of(&continuation);
    let older = event.replace(",\n                \"warm_instances\": 0", "");
    assert_ne!(older, event);
    let read = ParsedContinuation::read(&serde_json::from_str(&older).unwrap());
    assert_eq!(read, Some(ParsedContinuation::Supported(Box::new(continuation))));
}

#[test]
fn continuation_of_a_delete() {
    let continuation = delete(&spec());
    assert_read_back(&continuation);
    insta::assert_snapshot!(event_of(&continuation));
}

#[test]
fn lock_record() {
    let outcome = Outcome::Succeeded { attributes: [].into(), notes: Vec::new() };
    let lock = converge(spec()).lock(None).with_response(r#"{"Status":"SUCCESS"}"#, &outcome);
    assert_eq!(OperationLock::from_record(&lock.to_record()), lock);
    insta::assert_snapshot!(lock.to_record());
}

#[test]
fn pool_metadata_in_the_task_definition() {
    let metadata = PoolMetadata::of(&converge(spec()).id, &spec());
    assert_eq!(PoolMetadata::from_label(&metadata.to_label()), Some(metadata.clone()));
    insta::assert_snapshot!(metadata.to_label());
}

#[test]
fn remains_record() {
    let operation = converge(spec());
    let metadata = PoolMetadata::of(&operation.id, &spec());
    let record = RemainsRecord::default().with(operation.id.clone(), metadata, T0);
    assert_eq!(RemainsRecord::from_record(&record.to_record()), record);
    insta::assert_snapshot!(record.to_record());
}

#[test]
fn fingerprint_of_a_task_definition() {
    insta::assert_snapshot!(TaskDefinitionContent::of(&converge(spec()).id, &spec()).fingerprint());
}
