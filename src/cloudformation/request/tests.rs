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
        "ResourceProperties": { "ServiceTimeout": "900", "DrainTimeout": "60", "Environment": { "KEY": "PLANTED-VALUE" } },
        "OldResourceProperties": { "DrainTimeout": "30", "Environment": { "KEY": "PLANTED-OLD-VALUE" } },
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

fn request(event: &Value) -> CustomResourceRequest {
    match parse(event) {
        ParsedEvent::Request(request) => *request,
        ParsedEvent::NoResponseUrl(why) => panic!("{why}"),
        ParsedEvent::NotARequest => panic!("not a request: {event}"),
    }
}

fn failure_reason(event: &Value) -> String {
    match request(event).kind {
        RequestKind::Unknown { reason, .. } => reason,
        kind @ (RequestKind::Create | RequestKind::Update { .. } | RequestKind::Delete { .. }) => panic!("{kind:?}"),
    }
}

#[test]
fn every_field_of_a_request_is_parsed() {
    let request = request(&event());
    assert_eq!(request.response_url.expose(), URL, "byte for byte");
    assert_eq!(request.request_id, "request-1");
    assert_eq!(request.stack_resource.stack_name(), "ci");
    assert_eq!(request.stack_resource.logical_id, "Runners");
    assert_eq!(request.physical_id(), Some("ghr-ci-Runners-0a1b2c3d4e"));
    assert_eq!(request.service_timeout, Duration::from_secs(900));
    assert_eq!(request.signed_at, Some(Timestamp::from_epoch_millis(1_793_534_400_000)));
    let RequestKind::Update { previous, change, .. } = request.kind else { panic!() };
    assert_eq!(previous.wait_policy.drain_timeout, Duration::from_secs(30));
    assert_eq!(request.properties.wait_policy.drain_timeout, Duration::from_secs(60));
    assert_eq!(change, PropertiesChange::Pool);
}

#[test]
fn response_url_is_parsed_whatever_other_field_is_missing_or_invalid() {
    for name in event().as_object().unwrap().keys().filter(|name| *name != "ResponseURL") {
        for value in [json!(null), json!(7), json!(true), json!(["x"]), json!({ "x": "y" })] {
            assert_eq!(request(&with(name, value)).response_url.expose(), URL, "{name}");
        }
        assert_eq!(request(&without(name)).response_url.expose(), URL, "{name}");
    }
}

#[test]
fn event_without_usable_response_url_is_parsed_as_such_and_does_not_show_it() {
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
        let ParsedEvent::NoResponseUrl(why) = parse(&event) else { panic!("{event}") };
        assert!(!why.contains("PLANTED"), "{why}");
    }
    for local in ["http://127.0.0.1:1/x", "http://host.docker.internal:4566/x"] {
        assert!(matches!(parse(&with("ResponseURL", json!(local))), ParsedEvent::Request(_)));
    }
    for event in [json!(null), json!([]), json!("PLANTED"), json!({ "hello": "world" })] {
        assert_eq!(parse(&event), ParsedEvent::NotARequest, "{event}");
    }
}

#[test]
fn missing_physical_resource_id_is_an_empty_one() {
    let update = request(&without("PhysicalResourceId"));
    assert!(matches!(&update.kind, RequestKind::Update { physical_id, .. } if physical_id.is_empty()));
    assert_eq!(update.physical_id(), None);
    let mut event = without("PhysicalResourceId");
    event["RequestType"] = json!("Delete");
    assert_eq!(request(&event).kind, RequestKind::Delete { physical_id: String::new() });
}

#[test]
fn unknown_request_type_has_a_failure_reason_and_keeps_its_physical_id() {
    assert_eq!(
        failure_reason(&with("RequestType", json!("delete"))),
        r#"RequestType: "delete" is invalid. Specify Create, Update or Delete."#
    );
    let no_type = r#"RequestType: "" is invalid. Specify Create, Update or Delete."#;
    assert_eq!(failure_reason(&without("RequestType")), no_type);
    assert_eq!(failure_reason(&without("StackId")), "StackId: missing. Specify it in the request.");
    let no_logical_id = "LogicalResourceId: missing. Specify it in the request.";
    assert_eq!(failure_reason(&with("LogicalResourceId", json!(""))), no_logical_id);
    assert_eq!(request(&without("StackId")).physical_id(), Some("ghr-ci-Runners-0a1b2c3d4e"));
}

#[test]
fn change_of_service_token_and_service_timeout_only_is_cloudformation_only() {
    let change = |properties: Value, old: Value| {
        let mut event = event();
        event["ResourceProperties"] = properties;
        event["OldResourceProperties"] = old;
        let RequestKind::Update { change, .. } = request(&event).kind else { panic!() };
        change
    };
    let (old, new) =
        (json!({ "OrgName": "acme", "ServiceToken": "a" }), json!({ "OrgName": "acme", "ServiceToken": "b" }));
    assert_eq!(change(new, old.clone()), PropertiesChange::CloudFormationOnly);
    assert_eq!(change(old.clone(), old.clone()), PropertiesChange::Pool);
    assert_eq!(change(json!({ "OrgName": "other", "ServiceToken": "b" }), old), PropertiesChange::Pool);
}

#[test]
fn service_timeout_out_of_range_is_the_default() {
    let timeout =
        |value: Value| request(&with("ResourceProperties", json!({ "ServiceTimeout": value }))).service_timeout;
    assert_eq!(timeout(json!("1")), Duration::from_secs(1));
    assert_eq!(timeout(json!(3600)), Duration::from_secs(3_600));
    for nonsense in [json!("0"), json!(3601), json!("an hour"), json!(-1), json!(1.5), json!([]), json!(null)] {
        assert_eq!(timeout(nonsense), Duration::from_secs(3_600));
    }
}

#[test]
fn debug_shows_neither_response_url_nor_properties() {
    let shown = format!("{:?} {:#?}", parse(&event()), request(&event()));
    for planted in ["PLANTED", "bucket.example", "X-Amz"] {
        assert!(!shown.contains(planted), "{shown}");
    }
    assert!(shown.contains("request-1") && shown.contains("ghr-ci-Runners-0a1b2c3d4e"), "{shown}");
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
    fn parse_never_panics(event in any_json()) {
        drop(parse(&event));
    }

    #[test]
    fn typed_and_untyped_parsing_agree(
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
        let typed = TypedRequest::<Value, Value>::deserialize(&event).ok().and_then(RequestFields::from_typed).unwrap();
        let untyped = RequestFields::from_json(&event).unwrap();
        prop_assert_eq!(typed.into_parsed_event(), untyped.into_parsed_event());
    }
}
