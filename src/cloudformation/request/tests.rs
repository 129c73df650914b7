use proptest::prelude::*;
use serde_json::json;

use super::*;

const URL: &str = "https://bucket.example/stack%3Aci%7CRunners%7C1?X-Amz-Date=20261101T120000Z&X-Amz-Signature=PLANTED";

fn event() -> Value {
    json!({
        "RequestType": "Update",
        "ResponseURL": URL,
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/ci/guid",
        "RequestId": "request-1",
        "LogicalResourceId": "Runners",
        "ResourceType": "Custom::GitHubRunnerPool",
        "PhysicalResourceId": "ghr-ci-Runners-0a1b2c3d4e",
        "ResourceProperties": { "ServiceTimeout": "900", "Environment": { "KEY": "PLANTED-VALUE" } },
        "OldResourceProperties": { "Environment": { "KEY": "PLANTED-OLD-VALUE" } },
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut event = event();
    event[name] = value;
    event
}

fn without(name: &str) -> Value {
    let mut event = event();
    event.as_object_mut().unwrap().remove(name);
    event
}

fn request(event: &Value) -> Request {
    match decode(event) {
        Decoded::Request(request) => *request,
        Decoded::Unanswerable(why) => panic!("{why}"),
        Decoded::NoRequest => panic!("no request: {event}"),
    }
}

fn why(event: &Value) -> String {
    match request(event).kind {
        RequestKind::Unknown { why, .. } => why,
        kind @ (RequestKind::Create | RequestKind::Update { .. } | RequestKind::Delete { .. }) => panic!("{kind:?}"),
    }
}

#[test]
fn a_whole_event_is_read_field_by_field() {
    let request = request(&event());
    assert_eq!(request.response_url.expose(), URL, "byte for byte");
    assert_eq!(request.request_id, "request-1");
    assert_eq!(request.stack_resource.stack_name(), "ci");
    assert_eq!(request.stack_resource.logical_id, "Runners");
    assert_eq!(request.physical_id(), Some("ghr-ci-Runners-0a1b2c3d4e"));
    assert_eq!(request.resource_type, "Custom::GitHubRunnerPool");
    assert_eq!(request.service_timeout, Duration::from_secs(900));
    assert_eq!(request.signed_at, Some(Timestamp::from_epoch_millis(1_793_534_400_000)));
    let RequestKind::Update { old_properties, .. } = request.kind else { panic!() };
    assert_eq!(old_properties["Environment"]["KEY"], "PLANTED-OLD-VALUE");
}

#[test]
fn whatever_else_is_missing_or_wrong_the_answer_can_be_addressed() {
    for name in event().as_object().unwrap().keys().filter(|name| *name != "ResponseURL") {
        for value in [json!(null), json!(7), json!(true), json!(["x"]), json!({ "x": "y" })] {
            assert_eq!(request(&with(name, value)).response_url.expose(), URL, "{name}");
        }
        assert_eq!(request(&without(name)).response_url.expose(), URL, "{name}");
    }
}

#[test]
fn an_event_without_a_usable_response_url_is_unanswerable_and_says_so_without_it() {
    for event in [
        without("ResponseURL"),
        with("ResponseURL", json!(null)),
        with("ResponseURL", json!(5)),
        with("ResponseURL", json!("PLANTED")),
        with("ResponseURL", json!("http://bucket.example/?X-Amz-Signature=PLANTED")),
        with("ResponseURL", json!("ftp://127.0.0.1/?X-Amz-Signature=PLANTED")),
        // As CDK's provider framework passes a request on.
        with("ResponseURL", json!("...")),
        json!({ "RequestType": "Delete" }),
        json!({ "GitHubRunnerPoolContinuation": 2, "request": "PLANTED" }),
    ] {
        let Decoded::Unanswerable(why) = decode(&event) else { panic!("{event}") };
        assert!(!why.contains("PLANTED"), "{why}");
    }
    for local in ["http://127.0.0.1:1/x", "http://host.docker.internal:4566/x"] {
        assert!(matches!(decode(&with("ResponseURL", json!(local))), Decoded::Request(_)));
    }
    for event in [json!(null), json!([]), json!("PLANTED"), json!({ "hello": "world" })] {
        assert_eq!(decode(&event), Decoded::NoRequest, "{event}");
    }
}

#[test]
fn an_update_or_delete_without_its_id_is_one_of_an_empty_id() {
    let update = request(&without("PhysicalResourceId"));
    assert!(matches!(&update.kind, RequestKind::Update { physical_id, .. } if physical_id.is_empty()));
    assert_eq!(update.physical_id(), None);
    let mut event = without("PhysicalResourceId");
    event["RequestType"] = json!("Delete");
    assert_eq!(request(&event).kind, RequestKind::Delete { physical_id: String::new() });
}

#[test]
fn what_cannot_be_carried_out_says_why_and_keeps_its_id() {
    assert_eq!(
        why(&with("RequestType", json!("delete"))),
        "The request's type is \"delete\", which is none of Create, Update and Delete."
    );
    assert_eq!(why(&without("RequestType")), "The request has no RequestType.");
    assert_eq!(why(&without("StackId")), "The request has no StackId.");
    assert_eq!(why(&with("LogicalResourceId", json!(""))), "The request has no LogicalResourceId.");
    assert_eq!(request(&without("StackId")).physical_id(), Some("ghr-ci-Runners-0a1b2c3d4e"));
}

#[test]
fn a_service_timeout_out_of_range_is_the_default() {
    let timeout =
        |value: Value| request(&with("ResourceProperties", json!({ "ServiceTimeout": value }))).service_timeout;
    assert_eq!(timeout(json!("1")), Duration::from_secs(1));
    assert_eq!(timeout(json!(3600)), Duration::from_secs(3_600));
    for nonsense in [json!("0"), json!(3601), json!("an hour"), json!(-1), json!(1.5), json!([]), json!(null)] {
        assert_eq!(timeout(nonsense), Duration::from_secs(3_600));
    }
}

#[test]
fn neither_the_url_nor_a_property_is_ever_shown() {
    let shown = format!("{:?} {:#?}", decode(&event()), request(&event()));
    for planted in ["PLANTED", "bucket.example", "X-Amz"] {
        assert!(!shown.contains(planted), "{shown}");
    }
    assert!(shown.contains("request-1") && shown.contains("ghr-ci-Runners-0a1b2c3d4e"), "{shown}");
}

#[test]
fn a_request_survives_being_stored() {
    let request = request(&event());
    let stored = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<Request>(&stored).unwrap(), request);
}

/// Any JSON, with CloudFormation's names among its keys.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("Delete")),
        Just(Value::from("http://127.0.0.1:1/x")),
    ];
    leaf.prop_recursive(3, 32, 8, |inner| {
        let name = prop_oneof![
            Just("RequestType".to_owned()),
            Just("ResponseURL".to_owned()),
            Just("StackId".to_owned()),
            Just("PhysicalResourceId".to_owned()),
            Just("ResourceProperties".to_owned()),
            ".{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_without_a_panic(event in any_json()) {
        drop(decode(&event));
    }

    #[test]
    fn the_lenient_reading_of_a_sound_event_is_the_typed_one(
        kind in prop_oneof![Just("Create"), Just("Update"), Just("Delete")],
        properties in any_json(),
        old in any_json(),
        id in "[ -~]{0,20}",
    ) {
        let mut event = event();
        event["RequestType"] = json!(kind);
        event["ResourceProperties"] = properties;
        event["OldResourceProperties"] = old;
        event["PhysicalResourceId"] = json!(id);
        let typed = TypedRequest::<Value, Value>::deserialize(&event).ok().and_then(Parts::typed).unwrap();
        let lenient = Parts::lenient(&event).unwrap();
        prop_assert_eq!(typed.into_decoded(), lenient.into_decoded());
    }
}
