//! Authentication as a GitHub App.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;

use super::*;
use crate::github::testing::app;
use crate::pool::model::secret::Secret;
use crate::reconcile::ports::Credential;

/// A GitHub with the App installed on acme, whose tokens are `ghs_1`, `ghs_2` and so on, an hour each, of which only
/// those that `accepts` are accepted.
fn github_with_app(clock: &JumpClock, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Stub {
    let n_tokens = AtomicUsize::new(0);
    let clock = clock.clone();
    Stub::start(move |request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/orgs/acme/installation" | "/repos/acme/rocket/installation") => {
            reply(200, json!({"id": 42, "app_id": 1234, "account": {"login": "ACME"}}))
        }
        ("POST", "/app/installations/42/access_tokens") => {
            let n = n_tokens.fetch_add(1, Ordering::SeqCst) + 1;
            let minutes = clock.secs() / 60;
            let expires_at = format!("2026-01-01T{:02}:{:02}:00Z", minutes / 60 + 1, minutes % 60);
            reply(201, json!({"token": format!("ghs_{n}"), "expires_at": expires_at}))
        }
        _ if accepts(request.header("authorization")) => page(0, []),
        _ => reply(401, json!({"message": "Bad credentials"})),
    })
}

#[tokio::test]
async fn get_installation_returns_the_account_as_github_spells_it() {
    let clock = JumpClock::new();
    let stub = github_with_app(&clock, |_| true);
    let (client, target) = (client(&clock), stub.target(acme()));
    for _ in 0..2 {
        let login = client.check_administration(&target, &app()).await.unwrap();
        assert_eq!(login.as_deref(), Some("ACME"), "GitHub finds acme whatever its case");
    }
    assert_eq!(n_tokens(&stub), 1, "the token is reused");
}

fn n_tokens(stub: &Stub) -> usize {
    stub.lines().iter().filter(|line| line.ends_with("/access_tokens")).count()
}

#[tokio::test]
async fn create_installation_token_asks_for_one_permission() {
    for (scope, lookup, permissions) in [
        (acme(), "GET /orgs/acme/installation", json!({"permissions": {"organization_self_hosted_runners": "write"}})),
        (
            rocket(),
            "GET /repos/acme/rocket/installation",
            json!({"repositories": ["rocket"], "permissions": {"administration": "write"}}),
        ),
    ] {
        let clock = JumpClock::new();
        let stub = github_with_app(&clock, |header| header == "Bearer ghs_1");
        client(&clock).runners(&stub.target(scope), &app()).await.unwrap();
        let requests = stub.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(requests[0].line(), lookup);
        assert_eq!(requests[1].line(), "POST /app/installations/42/access_tokens");
        assert_eq!(serde_json::from_str::<Value>(&requests[1].body).unwrap(), permissions);
        assert_eq!(requests[1].header("content-type"), "application/json");
        assert_eq!(requests[2].header("authorization"), "Bearer ghs_1");

        let jwt = requests[0].header("authorization").strip_prefix("Bearer ").unwrap();
        let claims = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let now = clock.millis() / 1000;
        assert_eq!(claims, json!({"iat": now - 60, "exp": now + 540, "iss": "1234"}));
    }
}

#[tokio::test]
async fn create_installation_token_names_a_renamed_repository_by_id() {
    let stub = Stub::start(super::renamed);
    let runners = client(&JumpClock::new()).runners(&stub.target(rocket()), &app()).await.unwrap();
    assert_eq!(runners.len(), 3);
    let requests = stub.requests();
    let created = requests.iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&created.body).unwrap(),
        json!({"repository_ids": [7], "permissions": {"administration": "write"}})
    );
}

#[tokio::test]
async fn installation_token_is_reused_until_five_minutes_before_expires_at() {
    let clock = JumpClock::new();
    let stub = github_with_app(&clock, |_| true);
    let (client, target) = (client(&clock), stub.target(acme()));
    for (minutes, n) in [(0, 1), (54, 1), (2, 2), (50, 2)] {
        clock.pass(Duration::from_secs(minutes * 60));
        client.runners(&target, &app()).await.unwrap();
        assert_eq!(n_tokens(&stub), n, "after {} min", clock.secs() / 60);
    }
}

#[tokio::test]
async fn installation_token_rejected_with_401_is_replaced_once() {
    let clock = JumpClock::new();
    let stub = github_with_app(&clock, |header| header != "Bearer ghs_1");
    client(&clock).runners(&stub.target(acme()), &app()).await.unwrap();
    assert_eq!(n_tokens(&stub), 2);

    let stub = github_with_app(&clock, |_| false);
    let (client, target) = (client(&clock), stub.target(acme()));
    let error = client.runners(&target, &app()).await.unwrap_err();
    assert_eq!((error.kind(), n_tokens(&stub)), (ErrorKind::Unauthenticated, 2));
    assert!(error.remote_error.message.contains("still installed on organization acme"), "{error}");
}

#[tokio::test]
async fn concurrent_requests_create_one_installation_token() {
    let clock = JumpClock::new();
    let stub = github_with_app(&clock, |_| true);
    let (client, target, app) = (client(&clock), stub.target(acme()), app());
    for outcome in join_all((0..16).map(|_| client.runners(&target, &app))).await {
        outcome.unwrap();
    }
    assert_eq!(n_tokens(&stub), 1);
}

#[tokio::test]
async fn wrong_private_key_does_not_use_the_token_of_the_right_one() {
    let clock = JumpClock::new();
    let stub = github_with_app(&clock, |_| true);
    let (client, target) = (client(&clock), stub.target(acme()));
    client.runners(&target, &app()).await.unwrap();
    let wrong = Credential::App { id: "1234".to_owned(), private_key: Secret::new("planted") };
    let error = client.runners(&target, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(
        error.remote_error.message.starts_with("the App's private key cannot be used: it has no `-----BEGIN"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[tokio::test]
async fn app_for_an_enterprise_fails_without_a_request() {
    let stub = Stub::start(|_| page(0, []));
    let target = stub.target(Scope::Enterprise("umbrella".to_owned()));
    let error = client(&JumpClock::new()).runners(&target, &app()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.remote_error.message.contains("AccessTokenParameter"), "{error}");
    assert!(stub.lines().is_empty());
}

#[tokio::test]
async fn get_installation_404_and_create_installation_token_422_are_denied() {
    let granted = Arc::new(AtomicUsize::new(0));
    let step = Arc::clone(&granted);
    let stub = Stub::start(move |request| match (request.method.as_str(), step.load(Ordering::SeqCst)) {
        (_, 0) => reply(404, json!({"message": "Not Found"})),
        ("GET", _) => reply(200, json!({"id": 42})),
        _ => reply(422, json!({"message": "The permissions requested are not granted to this installation."})),
    });
    let (client, target) = (client(&JumpClock::new()), stub.target(acme()));
    let error = client.runners(&target, &app()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.remote_error.operation.as_str()),
        (ErrorKind::Denied, "GET /orgs/acme/installation")
    );
    assert!(error.remote_error.message.starts_with("the App is not installed on organization acme"), "{error}");

    granted.store(1, Ordering::SeqCst);
    let error = client.runners(&target, &app()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.remote_error.message.contains("accept the new permission on the installation"), "{error}");
}
