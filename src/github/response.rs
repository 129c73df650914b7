//! A response of GitHub, reduced to the parts that are used.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use url::Url;

use super::request::{Bearer, CredentialKind};
use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;

/// Maximum characters of GitHub's own message in an error.
const MESSAGE_CHARS_MAX: usize = 300;

/// The longest that is known has 40.
const EXCEPTION_CHARS_MAX: usize = 80;

/// `x-ratelimit-reset` counts in whole seconds, and two clocks differ.
const RESET_MARGIN: Duration = Duration::from_secs(1);

/// A response with any status.
#[derive(Debug)]
pub(super) struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) headers: ResponseHeaders,
    /// GitHub's own message in an error, on one line and without the credential.
    pub(super) message: Option<String>,
    /// The exception that the scale-set service names in an error, without its namespace.
    pub(super) exception: Option<String>,
    /// The credential that the request was sent with.
    pub(super) credential: CredentialKind,
    /// Where GitHub redirected the request to.
    pub(super) redirected_to: Option<Url>,
    body: Body,
}

/// The body, which may hold a token: never printed.
struct Body(Vec<u8>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// The headers that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResponseHeaders {
    /// `retry-after`, which GitHub gives in seconds.
    pub(super) retry_after: Option<Duration>,
    /// `x-ratelimit-remaining`.
    pub(super) remaining: Option<u64>,
    /// `x-ratelimit-reset`, which GitHub gives in seconds since the epoch.
    pub(super) reset: Option<Timestamp>,
    /// `x-ratelimit-resource`.
    pub(super) resource: Option<String>,
    /// `x-accepted-github-permissions`: what a fine-grained token or an App would have needed.
    pub(super) accepted_permissions: Option<String>,
    /// `x-oauth-scopes`: what a classic token has.
    pub(super) scopes: Option<String>,
    /// Whether `x-github-sso` requires single sign-on. Its URL carries an authorization request and is not kept.
    pub(super) requires_sso: bool,
    /// `link`.
    pub(super) link: Option<String>,
    /// `location`, of a redirect.
    pub(super) location: Option<String>,
    /// `x-github-request-id`, or the scale-set service's `ActivityId`, for which GitHub's support asks.
    pub(super) request_id: Option<String>,
}

impl ResponseHeaders {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| -> Option<String> {
            let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u64>().ok());
        Self {
            retry_after: number("retry-after").map(Duration::from_secs),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").map(|secs| Timestamp::from_epoch_millis(secs.saturating_mul(1000))),
            resource: text("x-ratelimit-resource"),
            accepted_permissions: text("x-accepted-github-permissions").filter(|text| !text.is_empty()),
            scopes: text("x-oauth-scopes"),
            requires_sso: headers.contains_key("x-github-sso"),
            link: text("link"),
            location: text("location"),
            request_id: text("x-github-request-id").or_else(|| text("activityid")),
        }
    }

    /// Whether the rate limit in these headers is that of all ordinary requests. Registration tokens have a limit of
    /// their own, and using it up says nothing about lists and deletions.
    /// <https://docs.github.com/en/rest/rate-limit/rate-limit>
    pub(super) fn is_core_limit(&self) -> bool {
        self.resource.as_deref().is_none_or(|resource| resource == "core")
    }

    /// When the limit is reset, if this response used the last of it.
    pub(super) fn exhausted_until(&self) -> Option<Timestamp> {
        if self.remaining == Some(0) { self.reset.map(|reset| reset + RESET_MARGIN) } else { None }
    }
}

/// Why a body could not be read. Holds no piece of it: serde's own message may quote a token.
#[derive(Debug, thiserror::Error)]
#[error("the body is {what} at line {line}, column {column}")]
pub(super) struct InvalidBody {
    what: &'static str,
    line: usize,
    column: usize,
}

/// GitHub's error body. <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>
#[derive(Deserialize)]
struct ErrorBody {
    message: Option<String>,
    errors: Option<serde_json::Value>,
    details: Option<String>,
    #[serde(rename = "typeName")]
    type_name: Option<String>,
}

impl ApiResponse {
    /// A response to a request with `bearer`, which is redacted should GitHub's message repeat it.
    pub(super) fn new(status: StatusCode, headers: ResponseHeaders, body: Vec<u8>, bearer: &Bearer) -> Self {
        let message = (!status.is_success()).then(|| error_message(&body, &bearer.value)).flatten();
        let exception = (!status.is_success()).then(|| exception(&body)).flatten();
        Self { status, headers, message, exception, credential: bearer.kind, redirected_to: None, body: Body(body) }
    }

    /// Whether the body is a page for people, as proxies answer with, and no API does.
    pub(super) fn is_html(&self) -> bool {
        without_mark(&self.body.0).trim_ascii_start().starts_with(b"<")
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, InvalidBody> {
        serde_json::from_slice(without_mark(&self.body.0)).map_err(|error| InvalidBody {
            what: match error.classify() {
                Category::Io | Category::Syntax => "not JSON",
                Category::Data => "not of the expected shape",
                Category::Eof => "cut off",
            },
            line: error.line(),
            column: error.column(),
        })
    }
}

/// The text after the byte order mark that .NET may write in front of it.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// The name that ends in `Exception` in .NET's name of a type, such as `GitHub.Actions.Runtime.WebApi.XException,
/// GitHub.Actions.Runtime.WebApi`.
fn exception(body: &[u8]) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(without_mark(body)).ok()?;
    let text = body.type_name.or(body.details)?;
    let names = text.split(|c: char| !c.is_ascii_alphanumeric());
    let mut exceptions = names.filter(|name| name.ends_with("Exception") && name.len() <= EXCEPTION_CHARS_MAX);
    exceptions.next().map(str::to_owned)
}

fn error_message(body: &[u8], bearer: &Secret) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(without_mark(body)).ok()?;
    // A gateway of the scale-set service wraps the error of the service behind it.
    let mut message = body.message.or(body.details)?;
    if let Some(serde_json::Value::Array(errors)) = body.errors {
        for error in errors.iter().filter_map(serde_json::Value::as_str) {
            message.push_str("; ");
            message.push_str(error);
        }
    }
    if !bearer.expose().is_empty() {
        message = message.replace(bearer.expose(), "[secret]");
    }
    let message: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect();
    let message = message.trim().trim_end_matches('.').to_owned();
    (!message.is_empty()).then_some(message)
}

/// The address of the next page in a `Link` header (RFC 8288).
/// <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>
pub(super) fn next_page(link: &str) -> Option<&str> {
    let mut rest = link;
    while let Some((_, from_address)) = rest.split_once('<') {
        let (address, after) = from_address.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter
                .trim()
                .strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split_ascii_whitespace().any(|word| word == "next"))
        });
        if is_next {
            return Some(address);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_header_yields_next_page_in_any_position() {
        let next = "https://api.github.com/organizations/1/actions/runners?per_page=100&page=3";
        let prev = "<https://api.github.com/organizations/1/actions/runners?a=b,c&page=1>; rel=\"prev\"";
        for link in [
            format!("<{next}>; rel=\"next\""),
            format!("{prev}, <{next}>; rel=\"next\", <{next}9>; rel=\"last\""),
            format!("{prev},<{next}>;title=\"x\";rel=next"),
        ] {
            assert_eq!(next_page(&link), Some(next), "{link}");
        }
    }

    #[test]
    fn link_header_of_last_page_has_no_next() {
        for link in ["", "nonsense", "<unclosed; rel=\"next\"", "<https://x/?page=1>; rel=\"first\""] {
            assert_eq!(next_page(link), None, "{link}");
        }
    }

    #[test]
    fn error_message_is_truncated_flattened_and_redacted() {
        let body = serde_json::json!({
            "message": format!("no\r\nto ghp_planted {}", "x".repeat(500)), "errors": ["first", {"odd": 1}],
        });
        let message = error_message(body.to_string().as_bytes(), &Secret::new("ghp_planted")).unwrap_or_default();
        assert!(message.starts_with("no  to [secret] xxx"), "{message}");
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn invalid_body_is_never_quoted() {
        #[derive(Debug, Deserialize)]
        struct Token {
            #[serde(rename = "token")]
            _token: u64,
        }
        let bearer = Bearer { value: Secret::new(""), kind: CredentialKind::AppJwt };
        let body = br#"{"token": "ghs_planted"}"#.to_vec();
        let response = ApiResponse::new(StatusCode::OK, ResponseHeaders::default(), body, &bearer);
        let error = response.json::<Token>().err().map(|error| format!("{error} {error:?} {response:?}"));
        let error = error.unwrap_or_default();
        assert!(error.contains("not of the expected shape") && !error.contains("planted"), "{error}");
    }
}
