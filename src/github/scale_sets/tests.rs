//! The adapter against a stub of GitHub and of its scale-set service, on a clock that jumps.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::github::testing::{JumpClock, ReceivedRequest, Reply, START_SECS, Stub, reply};

mod connection;
mod runners;
mod secrecy;
mod sessions;
mod sets;

const REGISTRATION_TOKEN: &str = "POST /orgs/acme/actions/runners/registration-token";
const EXCHANGE: &str = "POST /actions/runner-registration";
const VERSION: &str = "api-version=6.0-preview";
const SETS: &str = "/service/_apis/runtime/runnerscalesets";
const RUNNERS: &str = "/service/_apis/distributedtask/pools/0/agents";

/// A token of the service that expires so many seconds after the test began.
fn service_token(name: &str, expires_after_secs: u64) -> String {
    let claims = json!({ "exp": START_SECS + expires_after_secs, "name": name });
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// What GitHub responds to the two requests that lead to its service; `None` for any other request.
fn connecting(request: &ReceivedRequest) -> Option<Reply> {
    match request.line().as_str() {
        REGISTRATION_TOKEN => Some(reply(201, json!({ "token": "AREG_planted" }))),
        EXCHANGE => {
            Some(reply(200, json!({ "url": request.address("/service/"), "token": service_token("planted", 3600) })))
        }
        _ => None,
    }
}

/// A GitHub whose service answers with `respond`.
fn service(respond: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(move |request| connecting(request).unwrap_or_else(|| respond(request)))
}

/// A GitHub whose service answers every call so.
fn answering(status: u16, body: &Value) -> Stub {
    let body = body.clone();
    service(move |_| reply(status, &body))
}

/// The calls of the service, without those that led to it.
fn calls(stub: &Stub) -> Vec<ReceivedRequest> {
    stub.requests().into_iter().filter(|request| connecting(request).is_none()).collect()
}

/// The only call of the service.
fn only_call(stub: &Stub) -> ReceivedRequest {
    let calls = calls(stub);
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0].clone()
}

fn sent(request: &ReceivedRequest) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

/// An error of the service, as it words one.
fn exception(name: &str) -> Value {
    let type_name = format!("GitHub.Actions.Runtime.WebApi.{name}, GitHub.Actions.Runtime.WebApi");
    json!({ "typeName": type_name, "typeKey": name, "message": "of GitHub.", "errorCode": 0 })
}

fn clock() -> JumpClock {
    JumpClock::new()
}
