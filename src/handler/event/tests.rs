//! The sample events of `events/` that are no request of CloudFormation: each is parsed, and is what its name says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Event;

const STARTED: &str = "AROAEXAMPLEID00000001:0a1b2c3d4e5f60718293a4b5c6d7e8f9";
const EXPIRED: &str = "AROAEXAMPLEID00000001:1a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// Every such sample, and a summary of what it is parsed to. `None` is one of CloudFormation's, which
/// `cloudformation::samples` covers.
fn summary(payload: &Value) -> Option<Vec<String>> {
    Event::parse_all(payload)
        .iter()
        .map(|event| match event {
            Event::Request(_) | Event::NoResponseUrl(_) => None,
            Event::Tick => Some("tick".to_owned()),
            Event::Listen => Some("listen".to_owned()),
            Event::Launch(launch) => {
                Some(format!("{} of {} to {}", launch.instance, launch.auto_scaling_group_name, launch.destination))
            }
            Event::Registrations(records) => {
                let records = records.iter().map(|record| {
                    format!("{} {} {}", record.dynamodb.sequence_number, record.event_name, record.key())
                });
                Some(records.collect::<Vec<_>>().join("; "))
            }
            Event::Inventory => Some("inventory".to_owned()),
            Event::Continuation(_)
            | Event::UnsupportedContinuation { .. }
            | Event::OnFailure(_)
            | Event::Preview(_)
            | Event::Status(_)
            | Event::Unknown => Some("unexpected".to_owned()),
        })
        .collect()
}

#[test]
fn every_sample_of_a_stream_batch_a_tick_and_a_listener_is_parsed_as_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let parsed: BTreeMap<String, Vec<String>> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let event: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            Some((path.file_name().unwrap().to_str().unwrap().to_owned(), summary(&event)?))
        })
        .collect();
    let batch = format!(
        "100000000000000000011 INSERT {EXPIRED}; 100000000000000000012 MODIFY {EXPIRED}; \
         100000000000000000013 REMOVE {EXPIRED}"
    );
    let expected = [
        ("launch.json", "i-0a1b2c3d4e5f67890 of ghr-ci-Runners-0a1b2c3d4e to AutoScalingGroup".to_owned()),
        ("listen.json", "listen".to_owned()),
        ("registrations-batch.json", batch),
        ("registrations-insert.json", format!("100000000000000000001 INSERT {STARTED}")),
        ("registrations-modify.json", format!("100000000000000000002 MODIFY {STARTED}")),
        ("registrations-remove.json", format!("100000000000000000003 REMOVE {STARTED}")),
        ("tick.json", "tick".to_owned()),
    ];
    assert_eq!(parsed, expected.map(|(name, summary)| (name.to_owned(), vec![summary])).into());
}

#[test]
fn stream_record_without_the_key_of_the_table_is_no_batch_of_registrations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/registrations-insert.json");
    let event: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let is_batch = |event: &Value| matches!(Event::parse_all(event).as_slice(), [Event::Registrations(_)]);
    assert!(is_batch(&event));
    let mut other = event;
    other["Records"][0]["dynamodb"]["Keys"] = serde_json::json!({ "id": { "S": STARTED } });
    assert!(!is_batch(&other));
}
