//! Sends a response: a PUT to the pre-signed URL, retried until S3 accepts it or time is up.
//!
//! - The URL is used byte for byte, since its signature covers it.
//! - There is no `content-type`, because older signatures cover an empty one. The body has a length, because S3 accepts
//!   no chunked one.
//! - The status is checked: CloudFormation does not receive what S3 rejects.
//! - The URL is never printed. `reqwest` puts it into every error, so it is removed from each error first.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};

use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::ports::{Clock, DeliveryError};

/// For one attempt, from connecting to the status. S3 responds within a second; several attempts fit into the time that
/// is reserved for the response even if each connection hangs.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// For an attempt that begins when time is up: a late response is better than none.
const ATTEMPT_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// With the longest delays between them they take 34 s, and the time reserved for the response is about a minute.
const ATTEMPTS_MAX: u32 = 20;
/// The delay after the first attempt; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(2);
/// How much of an error's body is searched for S3's error code.
const ERROR_BODY_BYTES_MAX: usize = 4_096;
/// Above the length of S3's longest error code.
const ERROR_CODE_CHARS_MAX: usize = 64;

/// Sends responses to CloudFormation.
#[derive(Clone, Debug)]
pub struct ResponseClient {
    client: Client,
}

/// Why an attempt failed.
enum SendError {
    Retryable(String),
    Permanent(String),
}

impl ResponseClient {
    /// The client must not follow redirects, nor send a URL to a proxy other than through a tunnel: anyone who receives the
    /// URL can respond in our place.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends `body` to the pre-signed URL until S3 accepts it, at least once. No attempt but the first begins after
    /// `deadline`, and none lasts longer than a second after it.
    ///
    /// # Errors
    /// If S3 rejects it for good (such as 403 for an expired signature), or time is up. The text never contains the URL.
    pub async fn send(
        &self,
        url: &Secret,
        body: Vec<u8>,
        deadline: Timestamp,
        clock: &impl Clock,
    ) -> Result<(), DeliveryError> {
        let Ok(url) = Url::parse(url.expose()) else {
            return Err(DeliveryError { tries: 0, last: "ResponseURL is not a URL".to_owned() });
        };
        let body = bytes::Bytes::from(body);
        let mut delay = FIRST_DELAY;
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            let timeout = deadline.since(clock.now()).clamp(ATTEMPT_TIMEOUT_MIN, ATTEMPT_TIMEOUT);
            let last = match self.put(url.clone(), body.clone(), timeout).await {
                Ok(()) => return Ok(()),
                Err(SendError::Permanent(last)) => return Err(DeliveryError { tries, last }),
                Err(SendError::Retryable(last)) => last,
            };
            let next = clock.now() + jittered(delay);
            if tries >= ATTEMPTS_MAX || next >= deadline {
                return Err(DeliveryError { tries, last });
            }
            clock.sleep_until(next).await;
            delay = DELAY_MAX.min(delay.saturating_mul(2));
        }
    }

    async fn put(&self, url: Url, body: bytes::Bytes, timeout: Duration) -> Result<(), SendError> {
        // Retryable whatever the cause: a second PUT of the same body is harmless.
        let sent = self.client.put(url).body(body).timeout(timeout).send().await;
        let response = sent.map_err(|error| SendError::Retryable(redacted_chain(error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let code = error_code(response).await;
        let text = code.as_ref().map_or_else(|| format!("HTTP {status}"), |code| format!("HTTP {status} ({code})"));
        let is_slow_body = status == StatusCode::BAD_REQUEST && code.as_deref() == Some("RequestTimeout");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || is_slow_body {
            Err(SendError::Retryable(text))
        } else {
            Err(SendError::Permanent(text))
        }
    }
}

/// Between half of the delay and all of it, so that many pools that fail together do not retry together.
fn jittered(delay: Duration) -> Duration {
    let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(fastrand::u64(millis / 2..=millis))
}

/// The error with its causes, without the URL.
fn redacted_chain(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

/// S3's error code, if the body has one. Nothing else of the body is used, since it may repeat the signature.
async fn error_code(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = code.len() <= ERROR_CODE_CHARS_MAX && code.chars().all(|c| c.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests;
