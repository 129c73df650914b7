use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn response(status: Status) -> Response {
    Response {
        status,
        physical_id: "ghr-ci-Runners-0a1b2c3d4e".to_owned(),
        stack_resource: StackResource {
            stack_id: "arn:aws:cloudformation:eu-west-1:123456789012:stack/ci/guid".to_owned(),
            logical_id: "Runners".to_owned(),
        },
        request_id: "request-1".to_owned(),
        log: Some("/aws/lambda/github-runner-pool/2026/11/01/[$LATEST]0123".to_owned()),
    }
}

fn failed(reason: impl Into<String>) -> Response {
    response(Status::Failed { reason: reason.into() })
}

fn data(bytes: usize) -> BTreeMap<String, String> {
    BTreeMap::from([("ServiceArn".to_owned(), "x".repeat(bytes))])
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn success_has_the_attributes_and_no_reason() {
    let status = Status::Success { data: BTreeMap::from([("DesiredCount".to_owned(), "2".to_owned())]), note: None };
    insta::assert_snapshot!(String::from_utf8(response(status).to_body()).unwrap(), @r#"{"Status":"SUCCESS","PhysicalResourceId":"ghr-ci-Runners-0a1b2c3d4e","StackId":"arn:aws:cloudformation:eu-west-1:123456789012:stack/ci/guid","RequestId":"request-1","LogicalResourceId":"Runners","Data":{"DesiredCount":"2"}}"#);
}

#[test]
fn failure_has_the_reason_and_the_log() {
    insta::assert_snapshot!(String::from_utf8(failed("Give \"Cluster\".").to_body()).unwrap(), @r#"{"Status":"FAILED","Reason":"Give \"Cluster\". (log: /aws/lambda/github-runner-pool/2026/11/01/[$LATEST]0123)","PhysicalResourceId":"ghr-ci-Runners-0a1b2c3d4e","StackId":"arn:aws:cloudformation:eu-west-1:123456789012:stack/ci/guid","RequestId":"request-1","LogicalResourceId":"Runners"}"#);
}

#[test]
fn note_of_a_success_is_its_reason() {
    let status = Status::Success { data: data(1), note: Some("2 runners may be left.".to_owned()) };
    let body = read(&response(status).to_body());
    assert!(body["Reason"].as_str().unwrap().starts_with("2 runners may be left. (log: "), "{body}");
    assert_eq!(body["Status"], "SUCCESS");
}

#[test]
fn reason_fills_the_body_up_to_body_bytes_max() {
    let room = BODY_BYTES_MAX + 1 - failed("x").to_body().len();
    for (reason_bytes, is_whole) in [(room - 1, true), (room, true), (room + 1, false)] {
        let reason = "x".repeat(reason_bytes);
        let body = failed(&reason).to_body();
        assert!(body.len() <= BODY_BYTES_MAX, "{}", body.len());
        assert_eq!(read(&body)["Reason"].as_str().unwrap().starts_with(&reason), is_whole);
        assert!(is_whole || body.len() > BODY_BYTES_MAX - 4, "{} bytes are given away", BODY_BYTES_MAX - body.len());
    }
}

#[test]
fn long_reason_keeps_its_beginning_and_the_log() {
    for filler in ["x", "\"", "ü", "\u{1}", "🏃", "\\n\n"] {
        let reason = format!("Give Cluster. {}", filler.repeat(5_000));
        let body = failed(reason).to_body();
        assert!(body.len() <= BODY_BYTES_MAX);
        let text = read(&body)["Reason"].as_str().unwrap().to_owned();
        assert!(text.starts_with("Give Cluster. "), "{text}");
        assert!(text.ends_with(" … (log: /aws/lambda/github-runner-pool/2026/11/01/[$LATEST]0123)"), "{text}");
        assert!(body.len() > BODY_BYTES_MAX - 12, "{filler:?}: only {} bytes", body.len());
    }
}

#[test]
fn attributes_that_are_too_long_become_a_failure() {
    let too_long = response(Status::Success { data: data(BODY_BYTES_MAX), note: Some("done".to_owned()) });
    let body = read(&too_long.to_body());
    assert_eq!(body["Status"], "FAILED");
    assert!(body["Reason"].as_str().unwrap().starts_with(ATTRIBUTES_TOO_LONG), "{body}");
    assert_eq!(body.get("Data"), None);
}

#[test]
fn note_is_cut_before_the_attributes() {
    let body = response(Status::Success { data: data(3_200), note: Some("n".repeat(500)) }).to_body();
    assert_eq!(read(&body)["Data"]["ServiceArn"].as_str().unwrap().len(), 3_200);
}

#[test]
fn physical_id_is_neither_empty_nor_too_long() {
    let id = |physical_id: &str| {
        let body = Response { physical_id: physical_id.to_owned(), ..failed("no") }.to_body();
        read(&body)["PhysicalResourceId"].as_str().unwrap().to_owned()
    };
    assert_eq!(id(""), NO_PHYSICAL_ID);
    assert_eq!(id("another-resource"), "another-resource");
    assert_eq!(id(&"é".repeat(600)).len(), 1_024);
    assert!(crate::pool::model::identity::PhysicalId::try_from(NO_PHYSICAL_ID.to_owned()).is_err());
}

#[test]
fn empty_reason_is_replaced() {
    assert!(read(&failed(" ").to_body())["Reason"].as_str().unwrap().starts_with("The request failed."));
}

proptest! {
    #[test]
    fn body_is_valid_json_within_body_bytes_max(
        reason in "\\PC{0,3000}|[\"\\\\\n\u{1}x]{0,3000}",
        physical_id in "\\PC{0,1500}|[\"\\\\\n\u{1}]{0,1500}",
        stack_id in "[ -~]{0,2000}|[\"\u{1}]{0,2000}",
        logical_id in "\\PC{0,600}",
        request_id in "[ -~\u{1}]{0,600}",
        log in prop::option::of("\\PC{0,1200}"),
        attribute in prop::option::of("\\PC{0,3000}"),
    ) {
        let status = match attribute {
            Some(text) => Status::Success { data: BTreeMap::from([("Key".to_owned(), text)]), note: Some(reason.clone()) },
            None => Status::Failed { reason: reason.clone() },
        };
        let response = Response { status, physical_id, stack_resource: StackResource { stack_id, logical_id }, request_id, log };
        let fallback = fallback_body(&response.stack_resource, &response.request_id, &response.physical_id, &reason);
        for body in [response.to_body(), fallback] {
            prop_assert!(body.len() <= BODY_BYTES_MAX, "{} bytes", body.len());
            let body: Value = serde_json::from_slice(&body).unwrap();
            let id = body["PhysicalResourceId"].as_str().unwrap();
            prop_assert!(!id.is_empty() && id.len() <= 1_024);
            prop_assert!(body["Status"] == "SUCCESS" || !body["Reason"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn ids_are_echoed_verbatim(
        stack_id in "arn:aws:cloudformation:[a-z0-9-]{9,14}:[0-9]{12}:stack/[A-Za-z0-9-]{1,128}/[0-9a-f-]{36}",
        request_id in "[0-9a-f-]{36}",
        logical_id in "[A-Za-z0-9]{1,255}",
        physical_id in "[ -~]{1,512}",
    ) {
        let stack_resource = StackResource { stack_id, logical_id };
        let response = Response { physical_id, stack_resource, request_id, ..failed("r".repeat(9_000)) };
        let body = read(&response.to_body());
        prop_assert_eq!(body["StackId"].as_str().unwrap(), response.stack_resource.stack_id);
        prop_assert_eq!(body["LogicalResourceId"].as_str().unwrap(), response.stack_resource.logical_id);
        prop_assert_eq!(body["RequestId"].as_str().unwrap(), response.request_id);
        prop_assert_eq!(body["PhysicalResourceId"].as_str().unwrap(), response.physical_id);
    }
}
