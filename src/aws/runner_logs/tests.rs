use serde_json::json;

use super::*;
use crate::aws::config::AwsEndpoints;
use crate::aws::errors::tests::check;
use crate::aws::test_http_client::{Replay, settings};

fn stream() -> LogStream {
    LogStream { group: "/ci/runners".to_owned(), name: "ghr-ci-Runners-0a1b2c3d4e/runner/0123abcd".to_owned() }
}

const FROM: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);

#[test]
fn every_error_of_get_log_events_has_its_class() {
    check(
        &LOGS,
        TABLE,
        &[
            ("ResourceNotFoundException", "The specified log stream does not exist.", ErrorKind::NotFound),
            ("InvalidParameterException", "", ErrorKind::Invalid),
            ("InvalidOperationException", "", ErrorKind::Invalid),
            ("ServiceUnavailableException", "", ErrorKind::Unavailable),
            ("ThrottlingException", "Rate exceeded", ErrorKind::Throttled { retry_after: None }),
            ("AccessDeniedException", "is not authorized to perform: logs:GetLogEvents", ErrorKind::Denied),
        ],
    );
}

#[tokio::test]
async fn get_log_events_reads_a_stream_backward_until_its_token_repeats() {
    let newest = json!({
        "events": [
            { "timestamp": 7, "message": "b", "ingestionTime": 9 },
            { "timestamp": 5, "message": "a", "ingestionTime": 9 },
            { "timestamp": 7, "message": "c", "ingestionTime": 9 },
        ],
        "nextForwardToken": "f/1", "nextBackwardToken": "b/1",
    });
    let oldest = json!({ "events": [], "nextForwardToken": "f/1", "nextBackwardToken": "b/1" });
    let replay = Replay::default().json(&newest).json(&oldest);
    let client = RunnerLogsClient::new(&settings(), replay.clone());

    let page = client.page(&stream(), FROM, None).await.unwrap().unwrap();
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!((texts, page.earlier.as_deref()), (vec!["a", "b", "c"], Some("b/1")));
    let page = client.page(&stream(), FROM, Some("b/1")).await.unwrap().unwrap();
    assert_eq!(page, LogPage::default());

    let sent = replay.sent();
    assert_eq!(sent[0].operation, "GetLogEvents");
    assert_eq!(sent[0].uri, "https://logs.eu-west-1.amazonaws.com/");
    assert_eq!(
        sent[0].json(),
        json!({
            "logGroupName": "/ci/runners", "logStreamName": "ghr-ci-Runners-0a1b2c3d4e/runner/0123abcd",
            "startTime": 1_800_000_000_000_u64, "limit": 1000, "startFromHead": false,
        })
    );
    assert_eq!(sent[1].json()["nextToken"], "b/1");
    let headers = &sent[0].headers;
    assert!(headers.contains("content-type: application/x-amz-json-1.1"), "{headers}");
    assert!(headers.contains("/eu-west-1/logs/aws4_request"), "{headers}");
    assert!(
        headers.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target"),
        "{headers}"
    );
}

#[tokio::test]
async fn missing_log_stream_or_group_is_absent_and_an_error_has_its_class_without_log_lines() {
    let replay = Replay::default()
        .json_error("ResourceNotFoundException", "The specified log group does not exist.")
        .json_error("com.amazonaws.logs#AccessDeniedException", "not authorized to perform: logs:GetLogEvents")
        .http(503, "<html>")
        .http(200, r#"{"events": [{"timestamp": "planted"}]}"#)
        .lost();
    let client = RunnerLogsClient::new(&settings(), replay);
    assert_eq!(client.page(&stream(), FROM, None).await.unwrap(), None);
    let mut classes = Vec::new();
    for _ in 0..4 {
        let error = client.page(&stream(), FROM, None).await.unwrap_err();
        assert!(!crate::reconcile::chain(&error).contains("planted"));
        classes.push(error.kind());
    }
    assert_eq!(classes, [ErrorKind::Denied, ErrorKind::Unavailable, ErrorKind::Unexpected, ErrorKind::Unavailable]);
}

#[tokio::test]
async fn the_endpoint_is_the_services_own_variable_or_the_public_one_of_the_region() {
    let endpoints = AwsEndpoints { logs: Some("http://127.0.0.1:4566".to_owned()), ..AwsEndpoints::default() };
    for (settings, uri) in [
        (AwsSettings { endpoints, use_fips: true, ..settings() }, "http://127.0.0.1:4566/"),
        (AwsSettings { use_fips: true, ..settings() }, "https://logs-fips.eu-west-1.amazonaws.com/"),
        (AwsSettings { use_dual_stack: true, ..settings() }, "https://logs.eu-west-1.api.aws/"),
    ] {
        let replay = Replay::default().json(&json!({ "events": [] }));
        let client = RunnerLogsClient::new(&settings, replay.clone());
        client.page(&stream(), FROM, None).await.unwrap();
        assert_eq!(replay.sent()[0].uri, uri);
    }
}
