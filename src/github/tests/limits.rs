//! Pauses, tries, and broken ways.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures_util::future::ready;
use futures_util::stream::{self, StreamExt as _};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::github::GitHubClient;
use crate::github::testing::{TEST_ONLY_CERTIFICATE, TEST_ONLY_PKCS8, tls};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubHost, GitHubTarget, Scheme};
use crate::reconcile::ports::{Clock as _, Credential};

/// Answers the first requests with what `first` makes of their number, the later ones with `then`.
fn at_first(n: usize, first: impl Fn() -> Reply + Send + Sync + 'static, then: fn() -> Reply) -> Stub {
    let n_seen = AtomicUsize::new(0);
    Stub::start(move |_| if n_seen.fetch_add(1, Ordering::SeqCst) < n { first() } else { then() })
}

fn too_fast() -> Reply {
    reply(403, json!({"message": "You have exceeded a secondary rate limit."}))
}

#[tokio::test]
async fn a_short_pause_is_waited_out_and_the_refused_deletion_sent_again() {
    let clock = JumpClock::new();
    let stub = at_first(2, || too_fast().with("retry-after", 9), || reply(204, ""));
    let outcome = client(&clock).deregister(&stub.target(acme()), &token(), 1).await.unwrap();
    assert_eq!(outcome, Deregistration::Deleted);
    assert_eq!((clock.secs(), stub.lines().len()), (18, 3));
}

#[tokio::test]
async fn a_long_pause_is_the_pool_s_to_decide_and_nothing_is_sent_in_it() {
    let clock = JumpClock::new();
    let stub = at_first(1, too_fast, || page(0, []));
    let (client, target) = (client(&clock), stub.target(acme()));
    let error = client.deregister(&target, &token(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(60)) });
    assert!(error.remote_error.message.contains("wants a pause of 1 min. GitHub said: You have exceeded"), "{error}");

    clock.pass(Duration::from_secs(20));
    let error = client.runners(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(40)) });
    assert_eq!(error.remote_error.message, "held back for 40 s, the rest of the pause that GitHub asked for");
    assert_eq!((clock.secs(), stub.lines().len()), (20, 1));

    clock.pass(Duration::from_secs(15));
    client.runners(&target, &token()).await.unwrap();
    assert_eq!((clock.secs(), stub.lines().len()), (60, 2));
}

#[tokio::test]
async fn the_last_request_of_the_hour_holds_the_next_one_before_github_has_to() {
    let clock = JumpClock::new();
    let reset = clock.millis() / 1000 + 1800;
    let stub = Stub::start(move |_| {
        page(0, [])
            .with("x-ratelimit-remaining", 0)
            .with("x-ratelimit-reset", reset)
            .with("x-ratelimit-resource", "core")
    });
    let (client, target) = (client(&clock), stub.target(acme()));
    client.runners(&target, &token()).await.unwrap();
    let error = client.runners(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(1801)) });
    assert_eq!(stub.lines().len(), 1);

    let other = Credential::AccessToken(Secret::new("ghp_of_somebody_else"));
    client.runners(&target, &other).await.unwrap();
    assert_eq!(stub.lines().len(), 2, "another credential has a limit of its own");
}

#[tokio::test]
async fn the_limit_of_registration_tokens_holds_nothing_else() {
    let clock = JumpClock::new();
    let reset = clock.millis() / 1000 + 600;
    let stub = Stub::start(move |seen| match seen.method.as_str() {
        "POST" => reply(403, json!({"message": "API rate limit exceeded for user ID 1."}))
            .with("x-ratelimit-remaining", 0)
            .with("x-ratelimit-reset", reset)
            .with("x-ratelimit-resource", "actions_runner_registration"),
        _ => page(0, []),
    });
    let (client, target) = (client(&clock), stub.target(acme()));
    let error = client.check_administration(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled { retry_after: Some(Duration::from_secs(601)) });
    assert!(error.remote_error.message.contains("hourly limit at GitHub is used up for another 10 min"), "{error}");
    client.runners(&target, &token()).await.unwrap();
    assert_eq!((clock.secs(), stub.lines().len()), (0, 2));
}

#[tokio::test]
async fn a_gateway_that_gave_up_is_asked_again_for_a_list_and_not_for_a_deletion() {
    for status in [502, 503, 504] {
        let clock = JumpClock::new();
        let stub = at_first(2, move || reply(status, "<html>"), || page(0, []));
        client(&clock).runners(&stub.target(acme()), &token()).await.unwrap();
        assert_eq!((clock.millis() % 10_000, stub.lines().len()), (1_500, 3));

        let stub = at_first(2, move || reply(status, "<html>"), || reply(204, ""));
        let error = client(&clock).deregister(&stub.target(acme()), &token(), 1).await.unwrap_err();
        assert_eq!((error.kind(), stub.lines().len()), (ErrorKind::Unavailable, 1));
    }
}

#[tokio::test]
async fn a_gateway_that_keeps_giving_up_is_asked_four_times() {
    let stub = Stub::start(|_| reply(502, ""));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!((error.kind(), stub.lines().len()), (ErrorKind::Unavailable, 4));
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_is_tried_again_for_a_list_and_not_for_a_deletion() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let n_requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&n_requests);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let target = GitHubTarget { host: GitHubHost { scheme: Scheme::HttpOnLoopback, authority }, scope: acme() };
    let client = client(&JumpClock::new());
    let error = client.deregister(&target, &token(), 1).await.unwrap_err();
    assert_eq!((error.kind(), n_requests.load(Ordering::SeqCst)), (ErrorKind::Unavailable, 1));
    assert!(error.remote_error.message.contains("ended before the answer came"), "{error}");
    let error = client.runners(&target, &token()).await.unwrap_err();
    assert_eq!((error.kind(), n_requests.load(Ordering::SeqCst)), (ErrorKind::Unavailable, 5));
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_tried_again_whatever_the_request() {
    let authority = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let host = GitHubHost { scheme: Scheme::HttpOnLoopback, authority: authority.clone() };
    let target = GitHubTarget { host, scope: acme() };
    let clock = JumpClock::new();
    let error = client(&clock).deregister(&target, &token(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(clock.millis() % 10_000, 3_500, "three pauses");
    assert!(error.remote_error.message.starts_with(&format!("{authority} cannot be reached")), "{error}");
}

struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(ready(Err("no such name".into())))
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_told_from_a_host_that_cannot_be_reached() {
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls()).no_proxy().dns_resolver(NoNames);
    let client = GitHubClient::new(http.build().unwrap(), JumpClock::new());
    let host = GitHubHost { scheme: Scheme::Https, authority: "github.example.com".to_owned() };
    let error = client.runners(&GitHubTarget { host, scope: acme() }, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.remote_error.message.starts_with("the name github.example.com has no address"), "{error}");
}

// Paused, so that the timeout comes at once.
#[tokio::test(start_paused = true)]
async fn a_silence_is_not_repeated_because_it_has_taken_its_time_already() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let host = GitHubHost { scheme: Scheme::HttpOnLoopback, authority };
    let clock = JumpClock::new();
    let error = client(&clock).runners(&GitHubTarget { host, scope: acme() }, &token()).await.unwrap_err();
    assert_eq!((error.kind(), clock.secs()), (ErrorKind::Unavailable, 0));
    assert!(error.remote_error.message.ends_with("did not answer in time"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_a_private_authority_is_refused_with_the_way_to_trust_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let certificate = CertificateDer::from_pem_slice(TEST_ONLY_CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(TEST_ONLY_PKCS8.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let ended = tls.complete_io(&mut stream).is_err();
            assert!(ended || tls.writer().flush().is_ok());
        }
    });
    let host = GitHubHost { scheme: Scheme::Https, authority: authority.clone() };
    let target = GitHubTarget { host, scope: acme() };
    let error = client(&JumpClock::new()).runners(&target, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    let message = &error.remote_error.message;
    assert!(message.starts_with(&format!("the certificate of {authority} is not trusted (")), "{message}");
    assert!(message.contains("UnknownIssuer") && message.contains("SSL_CERT_FILE"), "{message}");
}

#[tokio::test]
async fn four_hundred_concurrent_deletions_are_never_refused_for_pace_and_reach_170_a_minute() {
    let clock = JumpClock::new();
    let (watch, arrivals) = (clock.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let log = Arc::clone(&arrivals);
    let stub = Stub::start(move |_| {
        log.lock().unwrap().push(watch.millis());
        reply(204, "")
    });
    let (client, target, token) = (client(&clock), stub.target(acme()), token());
    let (client, target, token) = (&client, &target, &token);
    let mut left: Vec<u64> = (0..400).collect();
    while !left.is_empty() {
        // As the pool does it: what was held back is asked for again when its moment has come.
        let outcomes: Vec<(u64, Option<Duration>)> = stream::iter(left)
            .map(async |id| match client.deregister(target, token, id).await {
                Ok(outcome) => {
                    assert_eq!(outcome, Deregistration::Deleted);
                    (id, None)
                }
                Err(error) => {
                    let ErrorKind::Throttled { retry_after: Some(pause) } = error.kind() else { panic!("{error}") };
                    assert_eq!(error.remote_error.code, None, "held back, not refused: {error}");
                    (id, Some(pause))
                }
            })
            .buffer_unordered(32)
            .collect()
            .await;
        if let Some(pause) = outcomes.iter().filter_map(|(_, pause)| *pause).min() {
            clock.sleep_until(clock.now() + pause).await;
        }
        left = outcomes.into_iter().filter(|(_, pause)| pause.is_some()).map(|(id, _)| id).collect();
    }
    let arrivals = arrivals.lock().unwrap().clone();
    assert_eq!(arrivals.len(), 400, "each sent once");
    let busiest =
        arrivals.iter().map(|from| arrivals.iter().filter(|at| (*from..from + 60_000).contains(at)).count()).max();
    assert!(busiest.is_some_and(|n| (170..=180).contains(&n)), "{busiest:?} in the busiest minute");
    assert!(clock.secs() <= 2 * 61, "352 before the third minute, which takes the rest: {} s", clock.secs());
}
