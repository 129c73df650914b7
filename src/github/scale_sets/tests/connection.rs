//! The way to the service, and how long it is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::github::GitHubClient;
use crate::github::testing::{acme, app, client, rocket, token};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::ScaleSetRunner;
use crate::pool::model::spec::Scope;
use crate::reconcile::ports::{RemoteResult, ScaleSets as _};

/// Any call of the service.
async fn read(client: &GitHubClient<JumpClock>, stub: &Stub, scope: Scope) -> RemoteResult<Option<ScaleSetRunner>> {
    client.scale_set_runner(&stub.target(scope), &token(), "ci-1").await
}

fn none() -> Reply {
    reply(200, json!({ "count": 0, "value": [] }))
}

/// A GitHub that answers the exchange with `exchanged`, given how many came before.
fn exchanging(exchanged: impl Fn(usize, &ReceivedRequest) -> Reply + Send + Sync + 'static) -> Stub {
    let n_exchanges = AtomicUsize::new(0);
    Stub::start(move |request| match request.line().as_str() {
        EXCHANGE => exchanged(n_exchanges.fetch_add(1, Ordering::SeqCst), request),
        line if line.ends_with("/registration-token") => reply(201, json!({ "token": "AREG_planted" })),
        _ => none(),
    })
}

fn connection(request: &ReceivedRequest, token: &str) -> Reply {
    reply(200, json!({ "url": request.address("/service/"), "token": token }))
}

fn n_exchanges(stub: &Stub) -> usize {
    stub.lines().iter().filter(|line| *line == EXCHANGE).count()
}

#[tokio::test]
async fn runner_registration_exchanges_a_registration_token_for_the_service() {
    let stub = service(|_| none());
    read(&client(&clock()), &stub, acme()).await.unwrap();
    let requests = stub.requests();
    let read = format!("GET {RUNNERS}?agentName=ci-1&{VERSION}");
    assert_eq!(stub.lines(), [REGISTRATION_TOKEN, EXCHANGE, &read]);
    assert_eq!(requests[1].header("authorization"), "RemoteAuth AREG_planted");
    let url = format!("http://{}/acme", stub.host().authority);
    assert_eq!(sent(&requests[1]), json!({ "url": url, "runner_event": "register" }));
    assert_eq!(requests[2].header("authorization"), format!("Bearer {}", service_token("planted", 3600)));
    for request in requests {
        assert!(request.header("user-agent").starts_with("github-runner-pool/"), "{request:?}");
    }
}

#[tokio::test]
async fn connection_is_made_once_for_a_credential_and_a_target() {
    let stub = exchanging(|_, request| connection(request, &service_token("planted", 3600)));
    let client = client(&clock());
    for scope in [acme(), acme(), rocket()] {
        read(&client, &stub, scope).await.unwrap();
    }
    assert_eq!(n_exchanges(&stub), 2, "acme and acme/rocket");
    let bodies: Vec<Value> = stub.requests().iter().filter(|it| it.line() == EXCHANGE).map(sent).collect();
    assert!(bodies[1]["url"].as_str().unwrap().ends_with("/acme/rocket"));
}

#[tokio::test]
async fn concurrent_calls_make_one_connection() {
    let stub = exchanging(|_, request| connection(request, &service_token("planted", 3600)));
    let client = client(&clock());
    let reads = join_all((0..8).map(|_| read(&client, &stub, acme()))).await;
    assert!(reads.iter().all(Result::is_ok));
    assert_eq!(n_exchanges(&stub), 1);
}

#[tokio::test]
async fn connection_is_renewed_a_minute_before_its_token_expires() {
    let clock = clock();
    let stub =
        exchanging(|n, request| connection(request, &service_token("planted", 3600 * u64::try_from(n + 1).unwrap())));
    let client = client(&clock);
    for (pass_secs, expected) in [(0, 1), (3539, 1), (1, 2), (3599, 2), (1, 3)] {
        clock.pass(Duration::from_secs(pass_secs));
        read(&client, &stub, acme()).await.unwrap();
        assert_eq!(n_exchanges(&stub), expected, "after {pass_secs} s more");
    }
}

#[tokio::test]
async fn connection_whose_token_cannot_be_read_is_used_for_nine_minutes() {
    let clock = clock();
    let stub = exchanging(|_, request| connection(request, "opaque"));
    let client = client(&clock);
    for (pass_secs, expected) in [(0, 1), (539, 1), (1, 2)] {
        clock.pass(Duration::from_secs(pass_secs));
        read(&client, &stub, acme()).await.unwrap();
        assert_eq!(n_exchanges(&stub), expected, "after {pass_secs} s more");
    }
}

#[tokio::test]
async fn registration_token_that_github_does_not_know_yet_is_exchanged_again() {
    for status in [401, 403, 500] {
        let clock = clock();
        let stub = exchanging(move |n, request| match n {
            0 | 1 => reply(status, json!({ "message": "Not yet" })),
            _ => connection(request, &service_token("planted", 3600)),
        });
        read(&client(&clock), &stub, acme()).await.unwrap();
        assert_eq!((n_exchanges(&stub), clock.secs()), (3, 3), "{status}: after 1 s and 2 s");
    }
}

#[tokio::test]
async fn exchange_that_stays_forbidden_names_the_permission() {
    let clock = clock();
    let stub = exchanging(|_, _| reply(403, json!({ "message": "Resource not accessible" })));
    let error = read(&client(&clock), &stub, acme()).await.unwrap_err();
    assert_eq!((error.kind(), n_exchanges(&stub), clock.secs()), (ErrorKind::Denied, 4, 7));
    let message = &error.remote_error.message;
    assert!(message.contains("may not administer the runner scale sets of organization acme"), "{message}");
    assert!(message.contains("a fine-grained token also \"Administration: Read\""), "{message}");
    assert!(message.ends_with("GitHub said: Resource not accessible"), "{message}");
}

#[tokio::test]
async fn enterprise_server_without_scale_sets_is_said_to_be_too_old() {
    let stub = exchanging(|_, _| reply(404, json!({ "message": "Not Found" })));
    let error = read(&client(&clock()), &stub, acme()).await.unwrap_err();
    assert_eq!((error.kind(), n_exchanges(&stub)), (ErrorKind::NotFound, 1));
    assert!(error.remote_error.message.contains("from version 3.9 on"), "{error}");
}

#[tokio::test]
async fn registration_token_that_is_refused_leads_to_no_exchange() {
    let stub = Stub::start(|_| reply(403, json!({ "message": "No" })));
    let error = read(&client(&clock()), &stub, acme()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(stub.lines(), [REGISTRATION_TOKEN]);
}

#[tokio::test]
async fn service_at_an_address_that_takes_no_token_is_not_called() {
    for url in ["", "http://service.example/", "ftp://127.0.0.1/", "file:///etc/passwd", "not a URL"] {
        let stub = exchanging(move |_, _| reply(200, json!({ "url": url, "token": service_token("planted", 3600) })));
        let error = read(&client(&clock()), &stub, acme()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{url}");
        assert!(error.remote_error.message.contains("no address of its scale-set service"), "{error}");
        assert_eq!(stub.lines().len(), 2, "{url}");
    }
    let without_token = exchanging(|_, request| connection(request, ""));
    let error = read(&client(&clock()), &without_token, acme()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
}

#[tokio::test]
async fn connection_that_the_service_rejects_with_401_is_made_anew_once() {
    let n_rejected = Arc::new(AtomicUsize::new(0));
    for (n_rejections, expected) in [(1, None), (usize::MAX, Some(ErrorKind::Unauthenticated))] {
        n_rejected.store(0, Ordering::SeqCst);
        let count = Arc::clone(&n_rejected);
        let stub =
            service(move |_| if count.fetch_add(1, Ordering::SeqCst) < n_rejections { reply(401, "") } else { none() });
        let error = read(&client(&clock()), &stub, acme()).await.err();
        assert_eq!(error.map(|error| error.kind()), expected);
        assert_eq!((n_exchanges(&stub), calls(&stub).len()), (2, 2));
    }
}

#[tokio::test]
async fn app_reaches_the_service_by_a_token_of_its_installation() {
    let stub = service(|request| match request.path.as_str() {
        "/orgs/acme/installation" => reply(200, json!({ "id": 42 })),
        "/app/installations/42/access_tokens" => reply(201, json!({ "token": "ghs_1" })),
        _ => none(),
    });
    client(&clock()).scale_set_runner(&stub.target(acme()), &app(), "ci-1").await.unwrap();
    let requests = stub.requests();
    let registration = requests.iter().find(|request| request.line() == REGISTRATION_TOKEN).unwrap();
    assert_eq!(registration.header("authorization"), "Bearer ghs_1");
}

#[tokio::test]
async fn byte_order_mark_before_json_is_skipped_in_responses_and_errors() {
    let marked = |body: Value| format!("\u{feff}{body}");
    let stub = exchanging(move |_, request| {
        let body = json!({ "url": request.address("/service/"), "token": service_token("planted", 3600) });
        reply(200, marked(body))
    });
    read(&client(&clock()), &stub, acme()).await.unwrap();

    let runner = json!({ "count": 1, "value": [{ "id": 5, "name": "ci-1", "runnerScaleSetId": 7 }] });
    let stub = service(move |_| reply(200, marked(runner.clone())));
    assert!(read(&client(&clock()), &stub, acme()).await.unwrap().is_some());

    let stub = service(move |_| reply(400, marked(exception("AgentNotFoundException"))));
    assert_eq!(read(&client(&clock()), &stub, acme()).await.unwrap(), None);
}

#[tokio::test]
async fn read_is_repeated_after_a_gateway_timeout_and_a_write_is_not() {
    let stub = service(|_| reply(502, "<html>"));
    let (client, target) = (client(&clock()), stub.target(acme()));
    let error = client.scale_set_runner(&target, &token(), "ci-1").await.unwrap_err();
    assert_eq!((error.kind(), calls(&stub).len()), (ErrorKind::Unavailable, 4));
    let error = client.deregister_runner(&target, &token(), 5).await.unwrap_err();
    assert_eq!((error.kind(), calls(&stub).len()), (ErrorKind::Unavailable, 5));
}

#[tokio::test]
async fn body_of_the_service_is_bounded() {
    let long = "x".repeat(5 * 1024 * 1024);
    let stub = service(move |_| reply(200, &long));
    let error = read(&client(&clock()), &stub, acme()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(error.remote_error.message.contains("more than 4194304 bytes"), "{error}");
}
