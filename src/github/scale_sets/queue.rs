//! The queue of a session: its messages, and their acknowledgement.
//!
//! The URL of a queue may contain a secret. No error and no log line contains it, nor GitHub's error messages, which
//! may repeat it.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, StatusCode};
use url::Url;

use super::errors::{CallContext, ServiceErrorKind};
use super::service::{address, authority, service_bearer};
use super::wire::MessageEntry;
use crate::github::client::{GitHubClient, TRY_TIMEOUT};
use crate::github::response::ApiResponse;
use crate::pool::model::scale_set::{MessageQueue, ScaleSetMessage};
use crate::pool::model::spec::Scheme;
use crate::reconcile::ports::{Clock, QueueAnswer, RemoteResult};

/// GitHub responds after about 50 s without a message; the rest allows for the network.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// The header with the maximum number of runners of the set. <https://github.com/actions/scaleset/blob/main/client.go>
const MAX_CAPACITY: &str = "x-scalesetmaxcapacity";

/// The media type with the version of the API, which a queue's address does not have.
const MEDIA_TYPE: &str = "application/json; api-version=6.0-preview";

const LAST_MESSAGE_ID: &str = "lastMessageId";

/// Waits for the next message. Not retried here, since the caller polls in a loop and decides when to stop.
pub(super) async fn next_message<C: Clock>(
    client: &GitHubClient<C>,
    queue: &MessageQueue,
    last_message_id: u64,
    max_capacity: u32,
) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>> {
    let (url, context) = queue_address(queue, "GET of the scale set's message queue")?;
    let http_request = client
        .long_polls
        .request(Method::GET, after(url, last_message_id))
        .timeout(POLL_TIMEOUT)
        .header(ACCEPT, MEDIA_TYPE)
        .header(MAX_CAPACITY, max_capacity);
    let response = send(client, queue, &context, http_request).await?;
    match response.status {
        StatusCode::ACCEPTED => Ok(QueueAnswer::Ok(None)),
        StatusCode::UNAUTHORIZED => Ok(QueueAnswer::TokenExpired),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(QueueAnswer::Gone),
        _ if is_expired(&response) => Ok(QueueAnswer::Gone),
        _ => {
            let message: MessageEntry = context.decode(response, StatusCode::OK)?;
            message.into_message().map(|message| QueueAnswer::Ok(Some(message))).ok_or_else(|| context.unreadable())
        }
    }
}

/// Acknowledges a message.
pub(super) async fn acknowledge<C: Clock>(
    client: &GitHubClient<C>,
    queue: &MessageQueue,
    message_id: u64,
) -> RemoteResult<QueueAnswer<()>> {
    let (mut url, context) = queue_address(queue, "DELETE of a message of the scale set")?;
    url.path_segments_mut().map_err(|()| context.unreadable())?.pop_if_empty().push(&message_id.to_string());
    let http_request =
        client.http.request(Method::DELETE, url).timeout(TRY_TIMEOUT).header(CONTENT_TYPE, "application/json");
    let response = send(client, queue, &context, http_request).await?;
    match response.status {
        // Of the message or of the queue: the next poll shows it.
        StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(QueueAnswer::Ok(())),
        StatusCode::UNAUTHORIZED => Ok(QueueAnswer::TokenExpired),
        StatusCode::GONE => Ok(QueueAnswer::Gone),
        _ if is_expired(&response) => Ok(QueueAnswer::Gone),
        _ => Err(context.api_error(&response)),
    }
}

async fn send<C: Clock>(
    client: &GitHubClient<C>,
    queue: &MessageQueue,
    context: &CallContext<'_>,
    http_request: RequestBuilder,
) -> RemoteResult<ApiResponse> {
    let sent = client.exchange(context.operation, http_request, &service_bearer(&queue.token)).await;
    let mut response = sent.map_err(|error| context.send_error(error))?;
    response.message = None;
    Ok(response)
}

/// Whether the session of a queue or of a call is over.
pub(super) fn is_expired(response: &ApiResponse) -> bool {
    ServiceErrorKind::of(response) == ServiceErrorKind::SessionExpired
}

/// The URL of a queue, which was checked for its target when the session was opened.
fn queue_address<'a>(queue: &MessageQueue, operation: &'a str) -> RemoteResult<(Url, CallContext<'a>)> {
    let context = |authority| CallContext { operation, authority, scope: None };
    match address(queue.url.expose(), Scheme::HttpOnLoopback) {
        Some(url) => {
            let context = context(authority(&url));
            Ok((url, context))
        }
        None => Err(context("GitHub".to_owned()).unreadable()),
    }
}

/// The URL of the next message after `last_message_id`. The rest of its query is unchanged, byte for byte.
fn after(mut url: Url, last_message_id: u64) -> Url {
    if last_message_id == 0 {
        return url;
    }
    let is_other = |pair: &&str| pair.split('=').next() != Some(LAST_MESSAGE_ID) && !pair.is_empty();
    let mut pairs: Vec<String> =
        url.query().unwrap_or_default().split('&').filter(is_other).map(str::to_owned).collect();
    pairs.push(format!("{LAST_MESSAGE_ID}={last_message_id}"));
    url.set_query(Some(&pairs.join("&")));
    url
}

#[cfg(test)]
mod tests;
