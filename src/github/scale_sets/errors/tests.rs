use reqwest::StatusCode;

use super::*;
use crate::github::request::{Bearer, CredentialKind};
use crate::github::response::ResponseHeaders;
use crate::github::testing::acme;
use crate::pool::model::secret::Secret;

fn response(status: u16, body: &str, headers: ResponseHeaders) -> ApiResponse {
    let bearer = Bearer { value: Secret::new("planted"), kind: CredentialKind::ServiceToken };
    ApiResponse::new(StatusCode::from_u16(status).unwrap(), headers, body.as_bytes().to_vec(), &bearer)
}

fn exception(name: &str) -> String {
    format!(r#"{{"typeName":"GitHub.Actions.WebApi.{name}, GitHub.Actions.WebApi","message":"of GitHub"}}"#)
}

fn error(authority: &str, response: &ApiResponse) -> RemoteError {
    let scope = acme();
    let context = CallContext { operation: "GET it", authority: authority.to_owned(), scope: Some(&scope) };
    context.api_error(response).remote_error
}

#[test]
fn every_error_of_the_service_has_kind_class_and_message() {
    use ServiceErrorKind as Kind;

    let throttled = ErrorKind::Throttled { retry_after: None };
    let cases: [(u16, String, Kind, ErrorKind, &str); 22] = [
        (400, exception("JobStillRunningException"), Kind::JobStillRunning, ErrorKind::Conflict, "while a job runs"),
        (409, exception("AgentExistsException"), Kind::RunnerExists, ErrorKind::Conflict, "runner of this name"),
        (404, exception("AgentNotFoundException"), Kind::RunnerNotFound, ErrorKind::NotFound, "no such runner"),
        (404, exception("TaskAgentNotFoundException"), Kind::RunnerNotFound, ErrorKind::NotFound, "no such runner"),
        (409, exception("TaskAgentExistsException"), Kind::RunnerExists, ErrorKind::Conflict, "runner of this name"),
        (
            409,
            exception("RunnerScaleSetSessionConflictException"),
            Kind::SessionConflict,
            ErrorKind::Conflict,
            "another listener",
        ),
        (
            400,
            exception("RunnerScaleSetSessionExpiredException"),
            Kind::SessionExpired,
            ErrorKind::NotFound,
            "ended this session",
        ),
        (
            404,
            exception("RunnerScaleSetNotFoundException"),
            Kind::ScaleSetNotFound,
            ErrorKind::NotFound,
            "no listener for seven days",
        ),
        (
            400,
            exception("RunnerScaleSetExistsException"),
            Kind::ScaleSetExists,
            ErrorKind::Conflict,
            "RunnerScaleSetName: the runner group of organization acme",
        ),
        (429, String::new(), Kind::Throttled, throttled, "asks for a pause"),
        (403, r#"{"message":"secondary rate limit"}"#.to_owned(), Kind::Throttled, throttled, "asks for a pause"),
        (
            500,
            "<html>".to_owned(),
            Kind::ServerError,
            ErrorKind::Unavailable,
            "service.example returned a server error",
        ),
        (503, exception("NewException"), Kind::ServerError, ErrorKind::Unavailable, "server error"),
        (408, String::new(), Kind::ServerError, ErrorKind::Unavailable, "server error"),
        (403, " <html>".to_owned(), Kind::ForeignPage, ErrorKind::Unexpected, "a login page"),
        (401, String::new(), Kind::InvalidToken, ErrorKind::Unauthenticated, "rejected a token"),
        (403, String::new(), Kind::Forbidden, ErrorKind::Denied, "also \"Administration: Read\""),
        (404, String::new(), Kind::NotFound, ErrorKind::NotFound, "from version 3.9 on"),
        (410, String::new(), Kind::Gone, ErrorKind::NotFound, "no longer has"),
        (409, String::new(), Kind::Conflict, ErrorKind::Conflict, "conflict with another"),
        (400, exception("NewException"), Kind::Unexpected, ErrorKind::Unexpected, "unexpected status"),
        (302, String::new(), Kind::Unexpected, ErrorKind::Unexpected, "unexpected status"),
    ];
    for (status, body, kind, error_kind, words) in &cases {
        let response = response(*status, body, ResponseHeaders::default());
        assert_eq!(ServiceErrorKind::of(&response), *kind, "{status} {body}");
        let error = error("service.example", &response);
        assert_eq!(error.kind, *error_kind, "{status} {body}");
        assert!(error.message.contains(words), "{status}: {}", error.message);
    }
    for (kind, _) in TABLE {
        assert!(cases.iter().any(|case| case.2 == kind), "no case for {kind:?}");
    }
}

#[test]
fn success_of_another_status_is_unexpected_whatever_its_body_says() {
    let response = response(201, &exception("AgentExistsException"), ResponseHeaders::default());
    assert_eq!(ServiceErrorKind::of(&response), ServiceErrorKind::Unexpected);
}

#[test]
fn exception_that_a_gateway_wraps_is_found() {
    let inner = r#"{\"typeName\":\"GitHub.Actions.WebApi.RunnerScaleSetExistsException, GitHub.Actions.WebApi\"}"#;
    let body = format!(r#"{{"error":"Bad Request","details":"failed: {inner}"}}"#);
    let response = response(400, &body, ResponseHeaders::default());
    assert_eq!(ServiceErrorKind::of(&response), ServiceErrorKind::ScaleSetExists);
    assert_eq!(error("service.example", &response).code.as_deref(), Some("RunnerScaleSetExistsException"));
}

#[test]
fn exception_in_a_message_alone_is_none() {
    let body = r#"{"typeName":"A.NewException, A","message":"JobStillRunningException"}"#;
    let response = response(400, body, ResponseHeaders::default());
    assert_eq!(ServiceErrorKind::of(&response), ServiceErrorKind::Unexpected);
}

#[test]
fn error_of_the_service_has_its_exception_as_code_and_github_s_words_last() {
    let error = error(
        "broker.actions.githubusercontent.com",
        &response(400, &exception("NewException"), ResponseHeaders::default()),
    );
    assert_eq!(
        error.to_string(),
        "GitHub GET it failed (NewException): broker.actions.githubusercontent.com returned an unexpected status. GitHub \
         said: of GitHub"
    );
}

#[test]
fn retry_after_becomes_the_pause_of_a_throttled_call() {
    let headers = ResponseHeaders { retry_after: Some(Duration::from_secs(90)), ..ResponseHeaders::default() };
    let error = error("service.example", &response(403, "", headers));
    assert_eq!(error.kind, ErrorKind::Throttled { retry_after: Some(Duration::from_secs(90)) });
    assert!(error.message.ends_with("asks for a pause of 1 min 30 s"), "{}", error.message);
}

#[test]
fn status_404_of_github_com_s_service_is_not_blamed_on_an_old_server() {
    let not_found = response(404, "", ResponseHeaders::default());
    for authority in ["broker.actions.githubusercontent.com", "actions.acme.ghe.com"] {
        assert_eq!(error(authority, &not_found).message, format!("{authority} returned 404"));
    }
}
