use reqwest::StatusCode;

use super::*;
use crate::github::errors::api_error;
use crate::github::request::{ApiRequest, Bearer};
use crate::github::response::ResponseHeaders;
use crate::github::testing::{acme, rocket};
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubHost, GitHubTarget, Scope};
use crate::pool::model::time::Timestamp;

const AS_TOKEN: CredentialKind = CredentialKind::AccessToken;
const AS_APP: CredentialKind = CredentialKind::InstallationToken;
const AS_JWT: CredentialKind = CredentialKind::AppJwt;
const AS_RUNNER: CredentialKind = CredentialKind::RegistrationToken;

fn response(status: u16, kind: CredentialKind, message: &str, headers: ResponseHeaders) -> ApiResponse {
    let body = serde_json::json!({"message": message, "documentation_url": "https://docs.github.com/rest"});
    let status = StatusCode::from_u16(status).unwrap();
    ApiResponse::new(
        status,
        headers,
        body.to_string().into_bytes(),
        &Bearer { value: Secret::new("ghp_planted"), kind },
    )
}

fn error(scope: Scope, endpoint: Endpoint, response: &ApiResponse) -> RemoteError {
    let target = GitHubTarget { host: GitHubHost::github_com(), scope };
    let request = ApiRequest::new(endpoint, &target, &["orgs", "acme", "actions", "runners"]).unwrap();
    api_error(&request, response).remote_error
}

fn with(change: impl FnOnce(&mut ResponseHeaders)) -> ResponseHeaders {
    let mut headers = ResponseHeaders::default();
    change(&mut headers);
    headers
}

/// What GitHub responds, the kind and class of it, and what the message must contain.
struct Case {
    status: u16,
    credential: CredentialKind,
    endpoint: Endpoint,
    message: &'static str,
    headers: ResponseHeaders,
    kind: ApiErrorKind,
    error_kind: ErrorKind,
    advice: &'static str,
}

impl Case {
    fn to(self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self }
    }

    fn with_headers(self, change: impl FnOnce(&mut ResponseHeaders)) -> Self {
        Self { headers: with(change), ..self }
    }
}

fn case(
    status: u16,
    credential: CredentialKind,
    message: &'static str,
    expected: (ApiErrorKind, ErrorKind),
    advice: &'static str,
) -> Case {
    let (kind, error_kind) = expected;
    Case {
        status,
        credential,
        endpoint: Endpoint::ListRunners,
        message,
        headers: ResponseHeaders::default(),
        kind,
        error_kind,
        advice,
    }
}

const IP_ALLOW_LIST: &str = "Although you appear to have the correct authorization credentials, the `acme` organization \
    has an IP allow list enabled, and your IP address is not permitted to access this resource.";

fn cases_of_tokens() -> Vec<Case> {
    let invalid = (ApiErrorKind::InvalidAccessToken, ErrorKind::Unauthenticated);
    let requires_sso = (ApiErrorKind::SsoRequired, ErrorKind::Denied);
    let forbidden = (ApiErrorKind::Forbidden, ErrorKind::Denied);
    vec![
        case(401, AS_TOKEN, "Bad credentials", invalid, "rejected this access token: it has expired"),
        case(403, AS_TOKEN, "Resource protected by organization SAML enforcement.", requires_sso, "Configure SSO")
            .with_headers(|headers| headers.requires_sso = true),
        case(404, AS_TOKEN, "Not Found", requires_sso, "Configure SSO")
            .with_headers(|headers| headers.requires_sso = true),
        case(403, AS_TOKEN, IP_ALLOW_LIST, (ApiErrorKind::IpNotAllowed, ErrorKind::Denied), "NAT gateway"),
        case(403, AS_TOKEN, "Resource not accessible by personal access token", forbidden, "Permissions: x=write)")
            .with_headers(|headers| headers.accepted_permissions = Some("x=write".to_owned())),
        case(403, AS_TOKEN, "Must have admin rights.", forbidden, "(this token's scopes: repo, workflow)")
            .with_headers(|headers| headers.scopes = Some("repo, workflow".to_owned())),
        case(403, AS_TOKEN, "Must have admin rights.", forbidden, "(this token has no scopes)")
            .with_headers(|headers| headers.scopes = Some(String::new())),
    ]
}

fn cases_of_apps() -> Vec<Case> {
    let invalid_jwt = (ApiErrorKind::InvalidAppJwt, ErrorKind::Unauthenticated);
    let invalid_token = (ApiErrorKind::InvalidInstallationToken, ErrorKind::Unauthenticated);
    let not_installed = (ApiErrorKind::AppNotInstalled, ErrorKind::Denied);
    let not_granted = (ApiErrorKind::PermissionNotGranted, ErrorKind::Denied);
    let forbidden = (ApiErrorKind::Forbidden, ErrorKind::Denied);
    vec![
        case(401, AS_APP, "Bad credentials", invalid_token, "still installed on organization acme"),
        case(401, AS_JWT, "A JSON web token could not be decoded", invalid_jwt, "AppId and the private key"),
        case(404, AS_JWT, "Integration not found", invalid_jwt, "AppId and the private key"),
        case(404, AS_JWT, "Not Found", not_installed, "not installed on organization acme")
            .to(Endpoint::GetInstallation),
        case(422, AS_JWT, "The permissions requested are not granted.", not_granted, "accept the new permission")
            .to(Endpoint::CreateInstallationToken),
        case(
            403,
            AS_APP,
            "Installation suspended",
            (ApiErrorKind::Suspended, ErrorKind::Denied),
            "Lift the suspension",
        ),
        case(403, AS_APP, "Resource not accessible by integration", forbidden, "Self-hosted runners: Read and"),
    ]
}

fn cases_of_targets() -> Vec<Case> {
    let renamed = (ApiErrorKind::Renamed, ErrorKind::Invalid);
    let invalid = (ApiErrorKind::InvalidRequest, ErrorKind::Invalid);
    let server_error = (ApiErrorKind::ServerError, ErrorKind::Unavailable);
    vec![
        case(404, AS_TOKEN, "Not Found", (ApiErrorKind::RunnerNotFound, ErrorKind::NotFound), "no runner with this id")
            .to(Endpoint::DeleteRunner),
        case(
            404,
            AS_TOKEN,
            "Not Found",
            (ApiErrorKind::NotFoundOrHidden, ErrorKind::NotFound),
            "OrgName is wrong, or this access token lacks a perm",
        ),
        case(301, AS_TOKEN, "Moved Permanently", renamed, "OrgName: organization acme was renamed"),
        case(307, AS_TOKEN, "Temporary Redirect", renamed, "OrgName: organization acme was renamed"),
        case(410, AS_TOKEN, "Gone", (ApiErrorKind::ApiVersionRetired, ErrorKind::Invalid), "version 2022-11-28"),
        case(409, AS_TOKEN, "Conflict", (ApiErrorKind::Conflict, ErrorKind::Conflict), "conflict with another"),
        case(400, AS_TOKEN, "Problems parsing JSON", invalid, "report it"),
        case(422, AS_TOKEN, "Validation Failed", invalid, "report it"),
        case(500, AS_TOKEN, "", server_error, "api.github.com returned a server error"),
        case(503, AS_TOKEN, "Service unavailable", server_error, "api.github.com returned a server error"),
        case(408, AS_TOKEN, "", server_error, "api.github.com returned a server error"),
        case(418, AS_TOKEN, "teapot", (ApiErrorKind::Unexpected, ErrorKind::Unexpected), "unexpected status"),
    ]
}

fn cases_of_scale_sets() -> Vec<Case> {
    let forbidden = (ApiErrorKind::ScaleSetsForbidden, ErrorKind::Denied);
    let missing = (ApiErrorKind::NoScaleSets, ErrorKind::NotFound);
    let to = |case: Case| case.to(Endpoint::ExchangeRegistrationToken);
    vec![
        to(case(401, AS_RUNNER, "Bad credentials", forbidden, "a fine-grained token also \"Administration: Read\"")),
        to(case(403, AS_RUNNER, "Forbidden", forbidden, "scope admin:org")),
        to(case(404, AS_RUNNER, "Not Found", missing, "no runner scale sets for organization acme")),
    ]
}

fn cases_of_limits() -> Vec<Case> {
    let rate_limited = (ApiErrorKind::RateLimited, ErrorKind::Throttled { retry_after: None });
    vec![
        case(429, AS_TOKEN, "", rate_limited, "secondary rate limit"),
        case(403, AS_TOKEN, "You have exceeded a secondary rate limit.", rate_limited, "secondary rate limit"),
        case(403, AS_TOKEN, "You have triggered an abuse detection mechanism.", rate_limited, "secondary rate limit"),
        case(403, AS_TOKEN, "Slow down", rate_limited, "secondary rate limit")
            .with_headers(|headers| headers.retry_after = Some(Duration::from_secs(3))),
        case(403, AS_APP, "No", rate_limited, "secondary rate limit")
            .with_headers(|headers| headers.remaining = Some(0)),
    ]
}

#[test]
fn every_error_response_has_kind_class_and_advice() {
    let mut found = Vec::new();
    for case in [cases_of_tokens(), cases_of_apps(), cases_of_targets(), cases_of_scale_sets(), cases_of_limits()]
        .into_iter()
        .flatten()
    {
        let Case { status, credential, endpoint, message, headers, kind, error_kind, advice } = case;
        let response = response(status, credential, message, headers);
        assert_eq!(ApiErrorKind::of(endpoint, &response), kind, "{status} {message}");
        found.push(kind);
        let error = error(acme(), endpoint, &response);
        assert_eq!(error.kind, error_kind, "{status} {message}");
        assert_eq!(error.code, Some(status.to_string()));
        assert!(error.message.contains(advice), "{status}: {}", error.message);
        let quoted = message.trim_end_matches('.');
        assert!(error.message.ends_with(quoted), "GitHub's own message comes last: {}", error.message);
    }
    for (kind, _) in TABLE {
        assert!(found.contains(&kind), "no case for {kind:?}");
    }
}

#[test]
fn message_of_401_names_request_status_and_advice() {
    let response = response(401, AS_TOKEN, "Bad credentials", ResponseHeaders::default());
    assert_eq!(
        error(acme(), Endpoint::ListRunners, &response).to_string(),
        "GitHub GET /orgs/acme/actions/runners failed (401): GitHub rejected this access token: it has expired, was \
         revoked, or was mistyped in its parameter. Store a valid one there and deploy again. GitHub said: Bad \
         credentials"
    );
}

#[test]
fn message_of_404_names_property_and_permission_of_its_scope() {
    let enterprise = Scope::Enterprise("umbrella".to_owned());
    for (scope, credential, parts) in [
        (acme(), AS_TOKEN, vec!["OrgName", "admin:org", "Self-hosted runners: Read and write"]),
        (rocket(), AS_TOKEN, vec!["RepoUrl", "scope repo", "Administration: Read and write"]),
        (enterprise, AS_TOKEN, vec!["EnterpriseName", "manage_runners:enterprise", "fine-grained token cannot"]),
        (rocket(), AS_APP, vec!["RepoUrl", "App's settings", "Administration: Read and write"]),
    ] {
        let message =
            error(scope, Endpoint::ListRunners, &response(404, credential, "Not Found", ResponseHeaders::default()))
                .message;
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn throttle_hint_is_retry_after_or_ratelimit_reset() {
    let reset = Timestamp::from_epoch_millis(1_700_000_000_000);
    for (headers, expected) in [
        (
            with(|headers| headers.retry_after = Some(Duration::from_secs(7))),
            ThrottleHint::RetryAfter(Duration::from_secs(7)),
        ),
        (
            with(|headers| {
                headers.remaining = Some(0);
                headers.reset = Some(reset);
            }),
            ThrottleHint::ResetAt(reset + Duration::from_secs(1)),
        ),
        (
            with(|headers| {
                headers.remaining = Some(4000);
                headers.reset = Some(reset);
            }),
            ThrottleHint::None,
        ),
    ] {
        assert_eq!(throttle_hint(&response(429, AS_TOKEN, "", headers)), Some(expected));
    }
    assert_eq!(throttle_hint(&response(403, AS_TOKEN, "Resource not accessible", ResponseHeaders::default())), None);
}
