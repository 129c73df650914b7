//! Runners of scale sets.

use base64::prelude::BASE64_STANDARD as BASE64;

use super::*;
use crate::github::testing::{acme, client, token};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::ScaleSetRunner;
use crate::reconcile::ports::{Deregistration, JitRunner, RemoteResult, ScaleSets as _};

fn created(settings: &str) -> Value {
    let files = json!({ ".runner": BASE64.encode(settings), ".credentials": BASE64.encode("{}") });
    let runner = json!({ "id": 23, "name": "ci-1", "runnerScaleSetId": 7 });
    json!({ "runner": runner, "encodedJITConfig": BASE64.encode(files.to_string()) })
}

async fn create(stub: &Stub) -> RemoteResult<JitRunner> {
    client(&clock()).create_runner(&stub.target(acme()), &token(), 7, "ci-1", "/_work/ci-1").await
}

async fn find(stub: &Stub) -> RemoteResult<Option<ScaleSetRunner>> {
    client(&clock()).scale_set_runner(&stub.target(acme()), &token(), "ci-1").await
}

async fn deregister(status: u16, body: &Value) -> RemoteResult<Deregistration> {
    let stub = answering(status, body);
    let deregistered = client(&clock()).deregister_runner(&stub.target(acme()), &token(), 23).await;
    assert_eq!(only_call(&stub).line(), format!("DELETE {RUNNERS}/23?{VERSION}"), "never twice");
    deregistered
}

#[tokio::test]
async fn generatejitconfig_registers_a_runner_of_the_set() {
    let stub = answering(200, &created("{\"DisableUpdate\":\"True\"}"));
    let JitRunner::Registered { id, files } = create(&stub).await.unwrap() else { panic!() };
    assert_eq!(id, 23);
    assert_eq!(files[".credentials"].expose(), BASE64.encode("{}"));
    assert_eq!(files[".runner"].expose(), BASE64.encode("{\"DisableUpdate\":\"True\"}"), "as the set has it");
    let call = only_call(&stub);
    assert_eq!(call.line(), format!("POST {SETS}/7/generatejitconfig?{VERSION}"));
    assert_eq!(sent(&call), json!({ "name": "ci-1", "workFolder": "/_work/ci-1" }));
}

#[tokio::test]
async fn generatejitconfig_of_a_name_that_is_taken_is_no_error() {
    for status in [400, 409] {
        let stub = answering(status, &exception("AgentExistsException"));
        assert_eq!(create(&stub).await.unwrap(), JitRunner::NameTaken);
    }
    let error = create(&answering(404, &exception("RunnerScaleSetNotFoundException"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.remote_error.message.starts_with("GitHub has no such runner scale set"), "{error}");
    assert_eq!(create(&answering(409, &json!({}))).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn configuration_of_another_form_is_an_error_without_its_content() {
    for config in ["planted", &BASE64.encode("planted"), &BASE64.encode("{\"a\": \"planted\"}")] {
        let stub = answering(200, &json!({ "runner": { "id": 23, "name": "ci-1" }, "encodedJITConfig": config }));
        let error = create(&stub).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected);
        assert!(!format!("{error:?} {error}").contains("planted"));
    }
    let stub = answering(200, &json!({ "runner": null, "encodedJITConfig": "planted" }));
    assert_eq!(create(&stub).await.unwrap_err().kind(), ErrorKind::Unexpected);
}

#[tokio::test]
async fn runner_is_found_by_its_name_whatever_its_set() {
    let listed = |name: &str, set: Value| json!({ "id": 23, "name": name, "runnerScaleSetId": set });
    for (runner, expected) in [
        (listed("ci-1", json!(7)), Some(Some(7))),
        (listed("CI-1", json!(0)), Some(None)),
        (listed("ci-1", Value::Null), Some(None)),
        (listed("ci-10", json!(7)), None),
    ] {
        let stub = answering(200, &json!({ "count": 1, "value": [runner] }));
        let found = find(&stub).await.unwrap();
        assert_eq!(found.as_ref().map(|runner| runner.scale_set), expected, "{found:?}");
        assert_eq!(only_call(&stub).line(), format!("GET {RUNNERS}?agentName=ci-1&{VERSION}"));
    }
    assert_eq!(find(&answering(404, &exception("AgentNotFoundException"))).await.unwrap(), None);
    assert_eq!(find(&answering(404, &json!({}))).await.unwrap_err().kind(), ErrorKind::Unexpected);
}

#[tokio::test]
async fn deletion_of_a_runner_is_refused_while_it_has_a_job() {
    assert_eq!(deregister(204, &json!("")).await.unwrap(), Deregistration::Deleted);
    let busy = exception("JobStillRunningException");
    for status in [400, 409, 422] {
        assert_eq!(deregister(status, &busy).await.unwrap(), Deregistration::Busy, "{status}");
    }
    let missing = exception("AgentNotFoundException");
    assert_eq!(deregister(404, &missing).await.unwrap(), Deregistration::Missing);
}

#[tokio::test]
async fn deletion_of_a_runner_takes_no_404_but_the_service_s_own_for_a_missing_one() {
    for (status, body, expected) in [
        (404, json!({ "message": "Not Found" }), ErrorKind::Unexpected),
        (404, exception("NewException"), ErrorKind::Unexpected),
        (200, json!({}), ErrorKind::Unexpected),
        (202, json!({}), ErrorKind::Unexpected),
        (400, exception("NewException"), ErrorKind::Unexpected),
        (429, json!({}), ErrorKind::Throttled { retry_after: None }),
    ] {
        assert_eq!(deregister(status, &body).await.unwrap_err().kind(), expected, "{status} {body}");
    }
}
