//! Tokens, and addresses that authorize, appear nowhere.

use std::fmt::Write as _;
use std::net::TcpListener;

use super::*;
use crate::github::testing::{acme, client, log_everything, log_of_this_thread, token};
use crate::pool::model::scale_set::{MessageQueue, ScaleSetRequest};
use crate::pool::model::secret::Secret;
use crate::reconcile::ports::ScaleSets as _;

/// A service that repeats whatever it is sent, its own address included.
fn repeating(request: &ReceivedRequest) -> Reply {
    let said = format!("{} at {}", request.header("authorization"), request.address(&request.path));
    reply(400, json!({ "typeName": "A.NewException, A", "message": said }))
}

#[tokio::test]
async fn tokens_and_the_queue_s_address_appear_in_no_error_debug_output_or_log_line() {
    log_everything();
    let stub = service(repeating);
    let (client, target, token) = (client(&clock()), stub.target(acme()), token());
    let url = format!("http://{}/api/v3/message?sessionId=planted", stub.host().authority);
    let queue = MessageQueue { url: Secret::new(url), token: Secret::new("queue_planted") };
    let request = ScaleSetRequest {
        name: "ci".to_owned(),
        group: None,
        labels: std::iter::once("ci".to_owned()).collect(),
        disable_auto_update: true,
    };
    let errors = [
        client.scale_set_named(&target, &token, None, "ci").await.unwrap_err(),
        client.create_scale_set(&target, &token, &request).await.unwrap_err(),
        client.delete_scale_set(&target, &token, 7).await.unwrap_err(),
        client.open_session(&target, &token, 7, "ghr-ci").await.unwrap_err(),
        client.renew_session(&target, &token, 7, "5f2a").await.unwrap_err(),
        client.close_session(&target, &token, 7, "5f2a").await.unwrap_err(),
        client.create_runner(&target, &token, 7, "ci-1", "/_work").await.unwrap_err(),
        client.scale_set_runner(&target, &token, "ci-1").await.unwrap_err(),
        client.deregister_runner(&target, &token, 23).await.unwrap_err(),
        client.acquire_jobs(&target, &token, 7, &queue, &[11]).await.unwrap_err(),
        client.next_message(&queue, 3, 20).await.unwrap_err(),
        client.acknowledge(&queue, 31).await.unwrap_err(),
    ];
    let mut shown = format!("{queue:?} {client:?}");
    for error in &errors {
        write!(shown, "{error} {error:?}").unwrap();
    }
    assert!(errors[0].to_string().contains("Bearer [secret] at http://"), "{}", errors[0]);
    assert!(!shown.contains("/message"), "{shown}");

    shown.push_str(&log_of_this_thread());
    assert!(shown.contains("GitHub responded") && shown.contains("message queue"), "there is a log");
    assert!(!shown.contains("planted") && !shown.contains(&service_token("planted", 3600)), "{shown}");
}

#[tokio::test]
async fn address_of_a_queue_that_cannot_be_reached_is_in_no_error() {
    let authority = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = Secret::new(format!("http://{authority}/message?sessionId=planted"));
    let queue = MessageQueue { url, token: Secret::new("queue_planted") };
    let client = client(&clock());
    for error in
        [client.next_message(&queue, 3, 20).await.unwrap_err(), client.acknowledge(&queue, 31).await.unwrap_err()]
    {
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&format!("connection to {authority} failed")), "{shown}");
        assert!(!shown.contains("planted") && !shown.contains("/message"), "{shown}");
    }
}

#[tokio::test]
async fn registration_token_that_github_repeats_is_redacted() {
    let stub = Stub::start(|request| match request.line().as_str() {
        REGISTRATION_TOKEN => reply(201, json!({ "token": "AREG_planted" })),
        _ => repeating(request),
    });
    let error = client(&clock()).scale_set_runner(&stub.target(acme()), &token(), "ci-1").await.unwrap_err();
    assert!(error.to_string().contains("RemoteAuth [secret]"), "{error}");
    assert!(!format!("{error:?}").contains("planted"));
}
