//! Sessions, and the acquisition of jobs.

use super::*;
use crate::github::testing::{acme, client, token};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::{JobStatistics, MessageQueue, MessageSession};
use crate::pool::model::secret::Secret;
use crate::reconcile::ports::{QueueAnswer, RemoteResult, ScaleSets as _, SessionOpening};

const SESSION: &str = "5f2a0000-0000-0000-0000-000000000001";
const QUEUE_URL: &str = "https://broker.example/message?sessionId=planted";

fn session() -> Value {
    json!({
        "sessionId": SESSION, "ownerName": "ghr-ci", "messageQueueUrl": QUEUE_URL,
        "messageQueueAccessToken": "queue_planted", "statistics": { "totalAssignedJobs": 3 },
    })
}

fn queue() -> MessageQueue {
    MessageQueue { url: Secret::new(QUEUE_URL), token: Secret::new("queue_planted") }
}

async fn open(stub: &Stub) -> RemoteResult<SessionOpening> {
    client(&clock()).open_session(&stub.target(acme()), &token(), 7, "ghr-ci").await
}

async fn renew(stub: &Stub) -> RemoteResult<Option<MessageSession>> {
    client(&clock()).renew_session(&stub.target(acme()), &token(), 7, SESSION).await
}

async fn close(stub: &Stub) -> RemoteResult<()> {
    client(&clock()).close_session(&stub.target(acme()), &token(), 7, SESSION).await
}

async fn acquire(stub: &Stub, ids: &[i64]) -> RemoteResult<QueueAnswer<Vec<i64>>> {
    client(&clock()).acquire_jobs(&stub.target(acme()), &token(), 7, &queue(), ids).await
}

#[tokio::test]
async fn session_is_opened_in_the_name_of_its_owner() {
    let stub = answering(200, &session());
    let opened = open(&stub).await.unwrap();
    let expected = MessageSession { id: SESSION.to_owned(), queue: queue() };
    let statistics = Some(JobStatistics { assigned: 3, ..JobStatistics::default() });
    assert_eq!(opened, SessionOpening::Opened { session: expected, statistics });
    let call = only_call(&stub);
    assert_eq!(call.line(), format!("POST {SETS}/7/sessions?{VERSION}"));
    assert_eq!(sent(&call), json!({ "ownerName": "ghr-ci" }));
}

#[tokio::test]
async fn statistics_of_a_session_are_those_of_its_scale_set_where_it_has_none() {
    let mut nested = session();
    nested["statistics"] = Value::Null;
    nested["runnerScaleSet"] = json!({ "id": 7, "name": "ci", "statistics": { "totalAssignedJobs": 4 } });
    let SessionOpening::Opened { statistics, .. } = open(&answering(200, &nested)).await.unwrap() else { panic!() };
    assert_eq!(statistics.map(|statistics| statistics.assigned), Some(4));
}

#[tokio::test]
async fn second_session_is_a_conflict_and_one_of_a_missing_set_is_no_such_set() {
    for (status, body, expected) in [
        (409, exception("RunnerScaleSetSessionConflictException"), SessionOpening::Conflict),
        (400, exception("RunnerScaleSetSessionConflictException"), SessionOpening::Conflict),
        (409, json!({ "message": "no" }), SessionOpening::Conflict),
        (404, exception("RunnerScaleSetNotFoundException"), SessionOpening::NoSuchSet),
        (404, json!({ "message": "Not Found" }), SessionOpening::NoSuchSet),
    ] {
        assert_eq!(open(&answering(status, &body)).await.unwrap(), expected, "{status} {body}");
    }
    let stub = answering(400, &exception("NewException"));
    assert_eq!(open(&stub).await.unwrap_err().kind(), ErrorKind::Unexpected);
}

#[tokio::test]
async fn session_without_a_queue_that_can_be_read_is_an_error() {
    for (field, value) in [
        ("messageQueueUrl", ""),
        ("messageQueueUrl", "http://broker.example/planted"),
        ("messageQueueAccessToken", ""),
        ("sessionId", ""),
    ] {
        let mut broken = session();
        broken[field] = json!(value);
        for error in
            [open(&answering(200, &broken)).await.unwrap_err(), renew(&answering(200, &broken)).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Unexpected, "{field}");
            assert!(!format!("{error:?} {error}").contains("planted"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn renewed_session_has_a_new_token_and_one_that_is_gone_is_none() {
    let stub = answering(200, &session());
    let renewed = renew(&stub).await.unwrap();
    assert_eq!(renewed, Some(MessageSession { id: SESSION.to_owned(), queue: queue() }));
    assert_eq!(only_call(&stub).line(), format!("PATCH {SETS}/7/sessions/{SESSION}?{VERSION}"));
    for (status, body) in [
        (404, json!({ "message": "doesn't exist in redis" })),
        (404, json!("of a proxy")),
        (400, exception("RunnerScaleSetSessionExpiredException")),
    ] {
        assert_eq!(renew(&answering(status, &body)).await.unwrap(), None, "{status} {body}");
    }
    let error = renew(&answering(400, &exception("NewException"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert_eq!(error.remote_error.operation, "PATCH _apis/runtime/runnerscalesets/7/sessions");
}

#[tokio::test]
async fn session_is_closed_when_it_is_gone_already() {
    let stub = answering(204, &json!(""));
    close(&stub).await.unwrap();
    assert_eq!(only_call(&stub).line(), format!("DELETE {SETS}/7/sessions/{SESSION}?{VERSION}"));
    close(&answering(404, &json!({}))).await.unwrap();
    close(&answering(400, &exception("RunnerScaleSetSessionExpiredException"))).await.unwrap();
    for status in [200, 400] {
        assert_eq!(close(&answering(status, &json!({}))).await.unwrap_err().kind(), ErrorKind::Unexpected);
    }
}

#[tokio::test]
async fn jobs_are_acquired_with_the_token_of_the_queue() {
    let stub = answering(200, &json!({ "count": 1, "value": [12] }));
    assert_eq!(acquire(&stub, &[11, 12]).await.unwrap(), QueueAnswer::Ok(vec![12]));
    let call = only_call(&stub);
    assert_eq!(call.line(), format!("POST {SETS}/7/acquirejobs?{VERSION}"));
    assert_eq!(call.header("authorization"), "Bearer queue_planted");
    assert_eq!(sent(&call), json!([11, 12]));

    let stub = answering(200, &json!({}));
    assert_eq!(acquire(&stub, &[]).await.unwrap(), QueueAnswer::Ok(Vec::new()));
    assert!(stub.lines().is_empty(), "there is nothing to ask for");
}

#[tokio::test]
async fn acquirejobs_401_is_an_expired_queue_token_and_no_reason_to_connect_anew() {
    let stub = answering(401, &json!({}));
    assert_eq!(acquire(&stub, &[11]).await.unwrap(), QueueAnswer::TokenExpired);
    assert_eq!(stub.lines().len(), 3);
    for (status, body) in [(404, json!({})), (400, exception("RunnerScaleSetSessionExpiredException"))] {
        assert_eq!(acquire(&answering(status, &body), &[11]).await.unwrap(), QueueAnswer::Gone);
    }
    assert_eq!(acquire(&answering(200, &json!({})), &[11]).await.unwrap_err().kind(), ErrorKind::Unexpected);
}
