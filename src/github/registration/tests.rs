use serde_json::{Value, json};

use super::*;
use crate::github::testing::{JumpClock, ReceivedRequest, Reply, Stub, acme, client, reply, rocket, token};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::spec::Scope;
use crate::reconcile::ports::GitHub as _;

const GENERATE: &str = "/orgs/acme/actions/runners/generate-jitconfig";

fn runner() -> JitRunnerRequest {
    JitRunnerRequest {
        name: "ci-0a1b2c3d4e-0123456789ab".to_owned(),
        group: None,
        labels: vec!["self-hosted".to_owned(), "gpu".to_owned()],
        workdir: "/_work/ci-0a1b2c3d4e-0123456789ab".to_owned(),
        disable_auto_update: true,
    }
}

/// A configuration as GitHub encodes it, with these settings of the runner.
fn encoded(settings: &str) -> String {
    let files = json!({ ".runner": BASE64.encode(settings), ".credentials": BASE64.encode("{}") });
    BASE64.encode(files.to_string())
}

fn created(settings: &str) -> Reply {
    reply(201, json!({ "runner": { "id": 23, "name": "ci" }, "encoded_jit_config": encoded(settings) }))
}

/// The settings of the runner in a configuration.
fn settings(files: &BTreeMap<String, Secret>) -> Value {
    serde_json::from_slice(&BASE64.decode(files[".runner"].expose()).unwrap()).unwrap()
}

async fn create(stub: &Stub, scope: Scope, runner: &JitRunnerRequest) -> RemoteResult<JitRunner> {
    client(&JumpClock::new()).create_jit_runner(&stub.target(scope), &token(), runner).await
}

#[tokio::test]
async fn generate_jitconfig_registers_a_runner_and_switches_its_updates_off() {
    let stub = Stub::start(|_| created("\u{feff}{\"AgentName\":\"ci\",\"disableUpdate\":false}"));
    let JitRunner::Registered { id, files } = create(&stub, acme(), &runner()).await.unwrap() else { panic!() };
    assert_eq!(id, 23);
    assert_eq!(settings(&files), json!({ "AgentName": "ci", "DisableUpdate": true }));
    assert_eq!(files[".credentials"].expose(), BASE64.encode("{}"));
    assert_eq!(stub.lines(), [format!("POST {GENERATE}")]);
    let sent: Value = serde_json::from_str(&stub.requests()[0].body).unwrap();
    assert_eq!(
        sent,
        json!({
            "name": "ci-0a1b2c3d4e-0123456789ab", "runner_group_id": 1, "labels": ["self-hosted", "gpu"],
            "work_folder": "/_work/ci-0a1b2c3d4e-0123456789ab",
        })
    );
}

#[tokio::test]
async fn disable_auto_update_false_leaves_the_configuration_as_it_is() {
    let stub = Stub::start(|_| created("{\"AgentName\":\"ci\"}"));
    let updates = JitRunnerRequest { disable_auto_update: false, ..runner() };
    let JitRunner::Registered { files, .. } = create(&stub, rocket(), &updates).await.unwrap() else { panic!() };
    assert_eq!(settings(&files), json!({ "AgentName": "ci" }));
    assert_eq!(stub.lines(), ["POST /repos/acme/rocket/actions/runners/generate-jitconfig"]);
}

#[tokio::test]
async fn runner_group_becomes_its_id() {
    let stub = Stub::start(|request| match request.method.as_str() {
        "GET" => reply(200, json!({ "runner_groups": [{ "id": 7, "name": "Trusted" }, { "id": 9, "name": "b" }] })),
        _ => created("{}"),
    });
    let trusted = JitRunnerRequest { group: Some("trusted".to_owned()), ..runner() };
    create(&stub, acme(), &trusted).await.unwrap();
    let sent: Value = serde_json::from_str(&stub.requests()[1].body).unwrap();
    assert_eq!(sent["runner_group_id"], 7);

    let missing = JitRunnerRequest { group: Some("gone".to_owned()), ..runner() };
    let error = create(&stub, acme(), &missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.remote_error.message.starts_with("RunnerGroup: organization acme has no runner group gone"));
}

#[tokio::test]
async fn status_409_is_a_name_that_is_taken() {
    let stub = Stub::start(|_| reply(409, json!({ "message": "Already exists" })));
    assert_eq!(create(&stub, acme(), &runner()).await.unwrap(), JitRunner::NameTaken);
}

/// A server that lists runners, or hides them, and knows no just-in-time configurations.
fn old_server(list_status: u16) -> impl Fn(&ReceivedRequest) -> Reply {
    move |request| match request.method.as_str() {
        "GET" => reply(list_status, json!({ "total_count": 0, "runners": [], "message": "Not Found" })),
        _ => reply(404, json!({ "message": "Not Found" })),
    }
}

#[tokio::test]
async fn status_404_is_an_old_server_only_if_it_lists_runners() {
    let old = Stub::start(old_server(200));
    assert_eq!(create(&old, acme(), &runner()).await.unwrap(), JitRunner::Unsupported);
    let hidden = Stub::start(old_server(404));
    assert_eq!(create(&hidden, acme(), &runner()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn generate_jitconfig_is_not_repeated_when_its_outcome_is_unclear() {
    let stub = Stub::start(|_| reply(502, "bad gateway"));
    create(&stub, acme(), &runner()).await.unwrap_err();
    assert_eq!(stub.lines().len(), 1);
}

#[tokio::test]
async fn configuration_of_another_form_is_an_error_without_its_content() {
    for encoded in ["PLANTED not base64", &BASE64.encode("PLANTED"), &BASE64.encode("{\"a\": \"PLANTED\"}")] {
        let body = json!({ "runner": { "id": 23 }, "encoded_jit_config": encoded });
        let stub = Stub::start(move |_| reply(201, &body));
        let error = create(&stub, acme(), &runner()).await.unwrap_err();
        assert!(error.remote_error.message.contains("RegisterBy: Container"), "{error}");
        assert!(!format!("{error:?}").contains("PLANTED"));
    }
}

#[tokio::test]
async fn registration_token_is_read_and_never_printed() {
    let stub = Stub::start(|_| reply(201, json!({ "token": "PLANTED", "expires_at": "2026-01-01T01:00:00Z" })));
    let made = client(&JumpClock::new()).create_registration_token(&stub.target(acme()), &token()).await.unwrap();
    assert_eq!(made.expose(), "PLANTED");
    assert_eq!(stub.lines(), ["POST /orgs/acme/actions/runners/registration-token"]);
    assert!(!format!("{made:?}").contains("PLANTED"));
}

#[tokio::test]
async fn runner_named_asks_for_the_name_and_compares_it() {
    let listed = |name: &str| json!({ "id": 5, "name": name, "status": "offline", "busy": false, "labels": [] });
    // A server from before the filter lists all.
    let body = json!({ "total_count": 2, "runners": [listed("other"), listed("CI-1")] });
    let stub = Stub::start(move |_| reply(200, &body));
    let found = client(&JumpClock::new()).runner_named(&stub.target(acme()), &token(), "ci-1").await.unwrap();
    assert_eq!(found.map(|runner| runner.name), Some("CI-1".to_owned()));
    assert_eq!(stub.lines(), ["GET /orgs/acme/actions/runners?name=ci-1&per_page=100"]);
    let none = client(&JumpClock::new()).runner_named(&stub.target(acme()), &token(), "ci-2").await.unwrap();
    assert_eq!(none, None);
}
