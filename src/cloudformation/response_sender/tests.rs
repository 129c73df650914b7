use std::cell::Cell;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// As CloudFormation writes it, on this machine.
const KEY: &str = "/arn%3Aaws%3Acloudformation%3Aeu-west-1%3A1%3Astack/ci/guid%7CRunners%7Crequest?X-Amz-Date=20261101T120000Z\
                   &X-Amz-Credential=AKID%2F20261101%2Fs3&X-Amz-Signature=PLANTED";
const BODY: &[u8] = br#"{"Status":"SUCCESS"}"#;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// The server reads the request and closes the connection without a reply.
const RESET: &str = "";

/// A clock on which waiting takes no time.
struct Jumping(Cell<Timestamp>);

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        self.0.get()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.0.set(moment);
    }
}

/// Tokio's clock, which a test can pause.
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(0) + self.0.elapsed()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        tokio::time::sleep_until(self.0 + moment.since(Timestamp::from_epoch_millis(0))).await;
    }
}

fn response_client() -> ResponseClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    ResponseClient::new(client)
}

/// How a response was sent to a server that replies so, one connection after the other.
struct Delivery {
    outcome: Result<(), DeliveryError>,
    /// Each request as the server received it.
    requests: Vec<String>,
    /// The sum of the delays between the attempts.
    waited: Duration,
}

async fn send_to(replies: &[&str]) -> Delivery {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://{}{KEY}", listener.local_addr().unwrap()));
    let clock = Jumping(Cell::new(Timestamp::from_epoch_millis(0)));
    let deadline = clock.now() + Duration::from_secs(45);
    let mut requests = Vec::new();
    let serve = async {
        for reply in replies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(BODY) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request broke off");
            }
            stream.write_all(reply.as_bytes()).await.unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        // The port is closed: one attempt too many is refused.
        drop(listener);
    };
    let response_client = response_client();
    let (outcome, ()) = tokio::join!(response_client.send(&url, BODY.to_vec(), deadline, &clock), serve);
    Delivery { outcome, requests, waited: clock.now().since(Timestamp::from_epoch_millis(0)) }
}

fn failure(delivery: &Delivery) -> (u32, String) {
    let error = delivery.outcome.as_ref().unwrap_err();
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("PLANTED") && !shown.contains("X-Amz") && !shown.contains("127.0.0.1"), "{shown}");
    }
    (error.tries, error.last.clone())
}

#[tokio::test]
async fn response_is_a_put_with_content_length_and_without_content_type_to_the_exact_url() {
    let delivery = send_to(&[OK]).await;
    assert!(delivery.outcome.is_ok());
    let request = &delivery.requests[0];
    assert!(request.starts_with(&format!("PUT {KEY} HTTP/1.1\r\n")), "{request}");
    let request = request.to_ascii_lowercase();
    assert!(request.contains(&format!("\r\ncontent-length: {}\r\n", BODY.len())), "{request}");
    for header in ["content-type", "transfer-encoding", "expect", "authorization"] {
        assert!(!request.contains(&format!("\r\n{header}:")), "{request}");
    }
}

#[tokio::test]
async fn http_204_is_success() {
    assert!(send_to(&["HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"]).await.outcome.is_ok());
}

#[tokio::test]
async fn http_503_is_retried_with_growing_delays() {
    let delivery = send_to(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK]).await;
    assert!(delivery.outcome.is_ok());
    assert_eq!(delivery.requests.len(), 4);
    // Between half and all of 250 ms, 500 ms and 1 s.
    assert!((875..=1_750).contains(&delivery.waited.as_millis()), "{:?}", delivery.waited);
}

#[tokio::test]
async fn connection_reset_is_retried() {
    let delivery = send_to(&[RESET, OK]).await;
    assert!(delivery.outcome.is_ok());
    assert_eq!(delivery.requests.len(), 2);
}

#[tokio::test]
async fn http_429_and_request_timeout_are_retried() {
    let throttled = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let slow = "HTTP/1.1 400 Bad Request\r\ncontent-length: 40\r\nconnection: close\r\n\r\n\
                <Error><Code>RequestTimeout</Code></Error";
    let delivery = send_to(&[throttled, slow, OK]).await;
    assert!(delivery.outcome.is_ok());
    assert_eq!(delivery.requests.len(), 3);
}

#[tokio::test]
async fn http_403_400_and_redirects_are_not_retried() {
    for (reply, last) in [
        (
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n<Error><Code>SignatureDoesNotMatch</Code>\
             <SignatureProvided>PLANTED</SignatureProvided></Error>",
            "HTTP 403 Forbidden (SignatureDoesNotMatch)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n<Code>X-Amz-Signature=PLANTED</Code>",
            "HTTP 403 Forbidden",
        ),
        ("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n", "HTTP 400 Bad Request"),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\n\r\n",
            "HTTP 307 Temporary Redirect",
        ),
    ] {
        let delivery = send_to(&[reply]).await;
        assert_eq!(failure(&delivery), (1, last.to_owned()));
        assert_eq!(delivery.waited, Duration::ZERO);
    }
}

#[tokio::test]
async fn refused_connection_is_retried_up_to_attempts_max() {
    let delivery = send_to(&[]).await;
    let (tries, last) = failure(&delivery);
    assert_eq!(tries, ATTEMPTS_MAX);
    assert!(last.contains("onnect"), "{last}");
    assert!(delivery.waited < Duration::from_secs(45), "{:?}", delivery.waited);
}

#[tokio::test]
async fn response_after_the_deadline_is_attempted_once() {
    let clock = Jumping(Cell::new(Timestamp::from_epoch_millis(5_000)));
    let url = Secret::new(format!("http://127.0.0.1:1{KEY}"));
    let error = response_client().send(&url, BODY.to_vec(), Timestamp::from_epoch_millis(0), &clock).await.unwrap_err();
    assert_eq!(error.tries, 1);
}

#[tokio::test(start_paused = true)]
async fn hanging_connection_times_out_and_the_deadline_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://{}{KEY}", listener.local_addr().unwrap()));
    let clock = Virtual(tokio::time::Instant::now());
    let deadline = clock.now() + Duration::from_secs(35);
    let silence = async {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    };
    let response_client = response_client();
    let outcome = tokio::select! {
        outcome = response_client.send(&url, BODY.to_vec(), deadline, &clock) => outcome,
        () = silence => Ok(()),
    };
    let delivery =
        Delivery { outcome, requests: Vec::new(), waited: clock.now().since(Timestamp::from_epoch_millis(0)) };
    let (tries, last) = failure(&delivery);
    assert!(last.contains("timed out"), "{last}");
    assert!((3..=5).contains(&tries), "{tries} tries");
    assert!(delivery.waited <= Duration::from_secs(36), "{:?}", delivery.waited);
}

#[tokio::test]
async fn invalid_response_url_is_not_shown() {
    let clock = Jumping(Cell::new(Timestamp::from_epoch_millis(0)));
    let url = Secret::new("X-Amz-Signature=PLANTED");
    let error = response_client().send(&url, BODY.to_vec(), clock.now(), &clock).await.unwrap_err();
    assert_eq!(error.to_string(), "CloudFormation did not accept the response after 0 tries: ResponseURL is not a URL");
}
