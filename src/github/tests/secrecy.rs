//! Credentials appear nowhere.

use std::fmt::Write as _;

use super::*;
use crate::github::testing::{TEST_ONLY_PKCS1, app, log_everything, log_of_this_thread};
use crate::pool::model::secret::Secret;
use crate::reconcile::ports::Credential;

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

    shown.push_str(&log_of_this_thread());
    assert!(shown.contains("GitHub responded") && shown.contains("GET /orgs/acme/actions/runners"), "there is a log");
    let key_line = TEST_ONLY_PKCS1.lines().nth(1).unwrap();
    for secret in ["planted", key_line, "eyJ"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}
