//! Credentials appear nowhere.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::sync::Once;

use super::*;
use crate::github::testing::{TEST_ONLY_PKCS1, app};
use crate::pool::model::secret::Secret;
use crate::reconcile::ports::Credential;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of the thread that writes it.
struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs for the whole process, each thread's lines by themselves. A subscriber of a single test would miss what another
/// thread logs first, because whether a line is enabled is cached for all threads.
fn log_everything() {
    static START: Once = Once::new();
    START.call_once(|| {
        let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| ThisThread);
        tracing::subscriber::set_global_default(all.finish()).unwrap();
    });
}

#[tokio::test]
async fn credentials_appear_in_no_error_debug_output_or_log_line() {
    log_everything();
    // A GitHub that repeats whatever it is sent, and a token in every body.
    let stub = Stub::start(|request| match request.path.as_str() {
        "/orgs/acme/installation" => reply(200, json!({"id": 42})),
        "/app/installations/42/access_tokens" => reply(201, json!({"token": "ghs_planted"})),
        path if path.ends_with("/registration-token") => reply(201, json!({"token": "AREG_planted"})),
        _ => reply(403, json!({"message": format!("you sent {}", request.header("authorization"))})),
    });
    let (client, target) = (client(&JumpClock::new()), stub.target(acme()));
    let mut shown = String::new();
    for credential in [token(), app()] {
        client.check_administration(&target, &credential).await.unwrap();
        let list = client.runners(&target, &credential).await.unwrap_err();
        let delete = client.deregister(&target, &credential, 1).await.unwrap_err();
        write!(shown, "{list} {list:?} {delete} {delete:?} {credential:?} {client:?}").unwrap();
        assert!(list.remote_error.message.ends_with("GitHub said: you sent Bearer [secret]"), "{list}");
    }
    let broken = Credential::AccessToken(Secret::new("ghp_planted\n"));
    let error = client.runners(&target, &broken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.remote_error.message.contains("a line break at its end"), "{error}");
    write!(shown, "{error} {error:?}").unwrap();

    shown.push_str(&LINES.with_borrow(|lines| String::from_utf8_lossy(lines).into_owned()));
    assert!(shown.contains("GitHub responded") && shown.contains("GET /orgs/acme/actions/runners"), "there is a log");
    let key_line = TEST_ONLY_PKCS1.lines().nth(1).unwrap();
    for secret in ["planted", key_line, "eyJ"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}
