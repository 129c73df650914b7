//! Delivers an answer: one PUT to the pre-signed URL, again and again until it is taken or time is up.
//!
//! - The URL is used byte for byte, since its signature covers it.
//! - No `content-type`: older signatures cover an empty one. A sized body: S3 takes no chunked one.
//! - The status is looked at: what S3 refuses has not reached CloudFormation.
//! - Nothing here prints the URL. `reqwest` puts it into every error, so every error is stripped of it at once.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};

use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, DeliveryError};

/// One try, from connecting to the status. S3 answers within a second; a connection that hangs is given up so that
/// several fit into the time that is kept for the answer.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The least that a try gets, even when time is up: a late answer is worth more than none.
const TRY_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Tries in all. With full pauses between them they take 34 s, and the time kept for an answer is about a minute.
const TRIES_MAX: u32 = 20;
/// The pause after the first try; it doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Bytes of a refusal that are read in search of S3's error code.
const REFUSAL_BYTES_MAX: usize = 4_096;
/// Letters of S3's longest error codes, and some.
const CODE_CHARS_MAX: usize = 64;

/// Puts answers where CloudFormation waits for them.
#[derive(Clone, Debug)]
pub struct Putter {
    client: Client,
}

/// How one try ended, if not well.
enum Refused {
    /// Another try may go through.
    ForNow(String),
    /// Another try would be refused as well.
    ForGood(String),
}

impl Putter {
    /// Delivers with this client, which must follow no redirects and use no proxy: both would show the URL, and with
    /// it the right to answer, to somebody else.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// PUTs `body` to the pre-signed URL until it is taken, at least once. No try but the first begins after
    /// `give_up_at`, and none lasts longer than a second beyond it.
    ///
    /// # Errors
    /// When no try was accepted: refused for good (such as 403, an expired signature), or time was up. The text never
    /// holds the URL.
    pub async fn deliver(
        &self,
        url: &Secret,
        body: Vec<u8>,
        give_up_at: Timestamp,
        clock: &impl Clock,
    ) -> Result<(), DeliveryError> {
        let Ok(url) = Url::parse(url.expose()) else {
            return Err(DeliveryError { tries: 0, last: "the address of the answer is no URL".to_owned() });
        };
        let body = bytes::Bytes::from(body);
        let mut pause = FIRST_PAUSE;
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            let timeout = give_up_at.since(clock.now()).clamp(TRY_TIMEOUT_MIN, TRY_TIMEOUT);
            let last = match self.put(url.clone(), body.clone(), timeout).await {
                Ok(()) => return Ok(()),
                Err(Refused::ForGood(last)) => return Err(DeliveryError { tries, last }),
                Err(Refused::ForNow(last)) => last,
            };
            let next = clock.now() + jittered(pause);
            if tries >= TRIES_MAX || next >= give_up_at {
                return Err(DeliveryError { tries, last });
            }
            clock.sleep_until(next).await;
            pause = BACKOFF_MAX.min(pause.saturating_mul(2));
        }
    }

    async fn put(&self, url: Url, body: bytes::Bytes, timeout: Duration) -> Result<(), Refused> {
        // Whatever happened on the way may not happen again, and a second PUT of the same body does no harm.
        let sent = self.client.put(url).body(body).timeout(timeout).send().await;
        let response = sent.map_err(|error| Refused::ForNow(without_url(error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let code = error_code(response).await;
        let text = code.as_ref().map_or_else(|| format!("HTTP {status}"), |code| format!("HTTP {status} ({code})"));
        let is_slow_body = status == StatusCode::BAD_REQUEST && code.as_deref() == Some("RequestTimeout");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || is_slow_body {
            Err(Refused::ForNow(text))
        } else {
            Err(Refused::ForGood(text))
        }
    }
}

/// Between half the pause and the whole: many pools that fail at the same moment do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(fastrand::u64(millis / 2..=millis))
}

/// The error and its causes, the URL removed from it.
fn without_url(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(&below.to_string());
        cause = below.source();
    }
    text
}

/// S3's error code in a refusal's body, if there is one. The rest of the body may repeat the signature.
async fn error_code(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= REFUSAL_BYTES_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = code.len() <= CODE_CHARS_MAX && code.chars().all(|c| c.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests;
