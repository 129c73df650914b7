//! Retries, and failures of the connection.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures_util::future::ready;
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::github::GitHubClient;
use crate::github::testing::{TEST_ONLY_CERTIFICATE, TEST_ONLY_PKCS8, tls};
use crate::pool::model::spec::{GitHubHost, GitHubTarget, Scheme};

#[tokio::test]
async fn gateway_timeout_is_retried_for_list_runners_and_not_for_delete_runner() {
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
async fn gateway_timeout_is_retried_three_times() {
    let stub = Stub::start(|_| reply(502, ""));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!((error.kind(), stub.lines().len()), (ErrorKind::Unavailable, 4));
}

#[tokio::test]
async fn closed_connection_is_retried_for_list_runners_and_not_for_delete_runner() {
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
    assert!(error.remote_error.message.contains("closed the connection before it responded"), "{error}");
    let error = client.runners(&target, &token()).await.unwrap_err();
    assert_eq!((error.kind(), n_requests.load(Ordering::SeqCst)), (ErrorKind::Unavailable, 5));
}

#[tokio::test]
async fn refused_connection_is_retried_for_delete_runner_too() {
    let authority = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let host = GitHubHost { scheme: Scheme::HttpOnLoopback, authority: authority.clone() };
    let target = GitHubTarget { host, scope: acme() };
    let clock = JumpClock::new();
    let error = client(&clock).deregister(&target, &token(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(clock.millis() % 10_000, 3_500, "three pauses");
    assert!(error.remote_error.message.starts_with(&format!("connection to {authority} failed")), "{error}");
}

struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(ready(Err("no such name".into())))
    }
}

#[tokio::test]
async fn dns_failure_has_its_own_message() {
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls()).no_proxy().dns_resolver(NoNames);
    let http = http.build().unwrap();
    let client = GitHubClient::new(http.clone(), http, JumpClock::new());
    let host = GitHubHost { scheme: Scheme::Https, authority: "github.example.com".to_owned() };
    let error = client.runners(&GitHubTarget { host, scope: acme() }, &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.remote_error.message.starts_with("DNS lookup for github.example.com failed"), "{error}");
}

// Paused, so that the timeout comes at once.
#[tokio::test(start_paused = true)]
async fn timeout_is_not_retried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let host = GitHubHost { scheme: Scheme::HttpOnLoopback, authority };
    let clock = JumpClock::new();
    let error = client(&clock).runners(&GitHubTarget { host, scope: acme() }, &token()).await.unwrap_err();
    assert_eq!((error.kind(), clock.secs()), (ErrorKind::Unavailable, 0));
    assert!(error.remote_error.message.ends_with("did not respond in time"), "{error}");
}

#[tokio::test]
async fn untrusted_certificate_is_rejected_and_the_message_names_ssl_cert_file() {
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
    assert!(message.starts_with(&format!("invalid TLS certificate for {authority} (")), "{message}");
    assert!(message.contains("UnknownIssuer") && message.contains("SSL_CERT_FILE"), "{message}");
}
