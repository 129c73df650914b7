//! What comes back from GitHub, reduced to what is used of it.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use url::Url;

use super::client::Presented;
use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;

/// No more of GitHub's own words goes into a message.
const MESSAGE_CHARS_MAX: usize = 300;

/// `x-ratelimit-reset` counts in whole seconds, and two clocks differ.
const RESET_MARGIN: Duration = Duration::from_secs(1);

/// An answer with any status.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) notes: Notes,
    /// GitHub's own words in an error, on one line and without the credential.
    pub(super) said: Option<String>,
    /// What was presented with the request.
    pub(super) presented: Presented,
    /// Where it came from, if GitHub redirected the request.
    pub(super) moved_to: Option<Url>,
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
pub(super) struct Notes {
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
    /// Whether `x-github-sso` asks for single sign-on. Its URL carries an authorization request and is not kept.
    pub(super) wants_sso: bool,
    /// `link`.
    pub(super) link: Option<String>,
    /// `location`, of a redirect.
    pub(super) location: Option<String>,
    /// `x-github-request-id`, which GitHub's support asks for.
    pub(super) request_id: Option<String>,
}

impl Notes {
    /// Takes the notes.
    pub(super) fn of(headers: &HeaderMap) -> Self {
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
            wants_sso: headers.contains_key("x-github-sso"),
            link: text("link"),
            location: text("location"),
            request_id: text("x-github-request-id"),
        }
    }

    /// Whether the limit that the answer tells of is the one of all ordinary calls. Registration tokens have one of
    /// their own, and using it up says nothing about lists and deletions.
    /// <https://docs.github.com/en/rest/rate-limit/rate-limit>
    pub(super) fn is_core_limit(&self) -> bool {
        self.resource.as_deref().is_none_or(|resource| resource == "core")
    }

    /// When the limit of all ordinary calls opens again, if this answer used the last of it.
    pub(super) fn used_up_until(&self) -> Option<Timestamp> {
        if self.remaining == Some(0) { self.reset.map(|reset| reset + RESET_MARGIN) } else { None }
    }
}

/// Why a body could not be read. Never a piece of it: serde's own words may quote a token.
#[derive(Debug, thiserror::Error)]
#[error("the body is {what} at line {line}, column {column}")]
pub(super) struct Unreadable {
    what: &'static str,
    line: usize,
    column: usize,
}

/// GitHub's error body. <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>
#[derive(Deserialize)]
struct ErrorBody {
    message: Option<String>,
    errors: Option<serde_json::Value>,
}

impl Answer {
    /// Puts one together; `bearer` is taken out of GitHub's words, should they repeat it.
    pub(super) fn new(status: StatusCode, notes: Notes, body: Vec<u8>, bearer: &Secret, presented: Presented) -> Self {
        let said = (!status.is_success()).then(|| said(&body, bearer)).flatten();
        Self { status, notes, said, presented, moved_to: None, body: Body(body) }
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        serde_json::from_slice(&self.body.0).map_err(|error| Unreadable {
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

fn said(body: &[u8], bearer: &Secret) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    let mut words = body.message?;
    if let Some(serde_json::Value::Array(errors)) = body.errors {
        for error in errors.iter().filter_map(serde_json::Value::as_str) {
            words.push_str("; ");
            words.push_str(error);
        }
    }
    if !bearer.expose().is_empty() {
        words = words.replace(bearer.expose(), "[secret]");
    }
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect();
    let words = words.trim().trim_end_matches('.').to_owned();
    (!words.is_empty()).then_some(words)
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
    fn the_next_page_is_found_wherever_it_stands_among_the_links() {
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
    fn the_last_page_has_no_next_one() {
        for link in ["", "nonsense", "<unclosed; rel=\"next\"", "<https://x/?page=1>; rel=\"first\""] {
            assert_eq!(next_page(link), None, "{link}");
        }
    }

    #[test]
    fn github_s_words_are_cut_flattened_and_freed_of_the_credential() {
        let body = serde_json::json!({
            "message": format!("no\r\nto ghp_planted {}", "x".repeat(500)), "errors": ["first", {"odd": 1}],
        });
        let said = said(body.to_string().as_bytes(), &Secret::new("ghp_planted")).unwrap_or_default();
        assert!(said.starts_with("no  to [secret] xxx"), "{said}");
        assert_eq!(said.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_never_quoted() {
        #[derive(Debug, Deserialize)]
        struct Token {
            #[serde(rename = "token")]
            _token: u64,
        }
        let answer = Answer::new(
            StatusCode::OK,
            Notes::default(),
            br#"{"token": "ghs_planted"}"#.to_vec(),
            &Secret::new(""),
            Presented::AppSignature,
        );
        let error = answer.json::<Token>().err().map(|error| format!("{error} {error:?} {answer:?}"));
        let error = error.unwrap_or_default();
        assert!(error.contains("not of the expected shape") && !error.contains("planted"), "{error}");
    }
}
