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
/// The server takes the request and closes the connection without a word.
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

fn putter() -> Putter {
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
    Putter::new(client)
}

/// What one delivery made of a server that answers so, one connection after the other.
struct Told {
    outcome: Result<(), DeliveryError>,
    /// Each request as the server saw it.
    requests: Vec<String>,
    /// How long the waits between the tries were, together.
    waited: Duration,
}

async fn deliver_to(replies: &[&str]) -> Told {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://{}{KEY}", listener.local_addr().unwrap()));
    let clock = Jumping(Cell::new(Timestamp::from_epoch_millis(0)));
    let give_up_at = clock.now() + Duration::from_secs(45);
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
        // Nobody listens any more: a try too many finds no server.
        drop(listener);
    };
    let putter = putter();
    let (outcome, ()) = tokio::join!(putter.deliver(&url, BODY.to_vec(), give_up_at, &clock), serve);
    Told { outcome, requests, waited: clock.now().since(Timestamp::from_epoch_millis(0)) }
}

fn refused(told: &Told) -> (u32, String) {
    let error = told.outcome.as_ref().unwrap_err();
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("PLANTED") && !shown.contains("X-Amz") && !shown.contains("127.0.0.1"), "{shown}");
    }
    (error.tries, error.last.clone())
}

#[tokio::test]
async fn an_answer_is_one_put_of_a_sized_body_without_a_content_type_to_exactly_that_url() {
    let told = deliver_to(&[OK]).await;
    assert!(told.outcome.is_ok());
    let request = &told.requests[0];
    assert!(request.starts_with(&format!("PUT {KEY} HTTP/1.1\r\n")), "{request}");
    let request = request.to_ascii_lowercase();
    assert!(request.contains(&format!("\r\ncontent-length: {}\r\n", BODY.len())), "{request}");
    for header in ["content-type", "transfer-encoding", "expect", "authorization"] {
        assert!(!request.contains(&format!("\r\n{header}:")), "{request}");
    }
}

#[tokio::test]
async fn any_status_of_success_is_one() {
    assert!(deliver_to(&["HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"]).await.outcome.is_ok());
}

#[tokio::test]
async fn a_server_that_is_unwell_is_asked_again_after_growing_pauses() {
    let told = deliver_to(&[UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK]).await;
    assert!(told.outcome.is_ok());
    assert_eq!(told.requests.len(), 4);
    // Between the half and the whole of 250 ms, 500 ms and 1 s.
    assert!((875..=1_750).contains(&told.waited.as_millis()), "{:?}", told.waited);
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let told = deliver_to(&[RESET, OK]).await;
    assert!(told.outcome.is_ok());
    assert_eq!(told.requests.len(), 2);
}

#[tokio::test]
async fn a_throttle_and_a_slow_body_are_tried_again() {
    let throttled = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let slow = "HTTP/1.1 400 Bad Request\r\ncontent-length: 40\r\nconnection: close\r\n\r\n\
                <Error><Code>RequestTimeout</Code></Error";
    let told = deliver_to(&[throttled, slow, OK]).await;
    assert!(told.outcome.is_ok());
    assert_eq!(told.requests.len(), 3);
}

#[tokio::test]
async fn what_s3_refuses_for_good_is_not_tried_again() {
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
        let told = deliver_to(&[reply]).await;
        assert_eq!(refused(&told), (1, last.to_owned()));
        assert_eq!(told.waited, Duration::ZERO);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_until_time_or_tries_are_up() {
    let told = deliver_to(&[]).await;
    let (tries, last) = refused(&told);
    assert_eq!(tries, TRIES_MAX);
    assert!(last.contains("onnect"), "{last}");
    assert!(told.waited < Duration::from_secs(45), "{:?}", told.waited);
}

#[tokio::test]
async fn a_late_answer_is_tried_once_all_the_same() {
    let clock = Jumping(Cell::new(Timestamp::from_epoch_millis(5_000)));
    let url = Secret::new(format!("http://127.0.0.1:1{KEY}"));
    let error = putter().deliver(&url, BODY.to_vec(), Timestamp::from_epoch_millis(0), &clock).await.unwrap_err();
    assert_eq!(error.tries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_left_after_a_while_and_time_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://{}{KEY}", listener.local_addr().unwrap()));
    let clock = Virtual(tokio::time::Instant::now());
    let give_up_at = clock.now() + Duration::from_secs(35);
    let silence = async {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    };
    let putter = putter();
    let outcome = tokio::select! {
        outcome = putter.deliver(&url, BODY.to_vec(), give_up_at, &clock) => outcome,
        () = silence => Ok(()),
    };
    let told = Told { outcome, requests: Vec::new(), waited: clock.now().since(Timestamp::from_epoch_millis(0)) };
    let (tries, last) = refused(&told);
    assert!(last.contains("timed out"), "{last}");
    assert!((3..=5).contains(&tries), "{tries} tries");
    assert!(told.waited <= Duration::from_secs(36), "{:?}", told.waited);
}

#[tokio::test]
async fn an_address_that_is_no_url_is_not_shown() {
    let clock = Jumping(Cell::new(Timestamp::from_epoch_millis(0)));
    let url = Secret::new("X-Amz-Signature=PLANTED");
    let error = putter().deliver(&url, BODY.to_vec(), clock.now(), &clock).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "CloudFormation did not take the answer after 0 tries: the address of the answer is no URL"
    );
}
