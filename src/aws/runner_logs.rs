//! The port [`RunnerLogs`]: one call of CloudWatch Logs, in AWS's JSON protocol.
//!
//! A line can hold what a job printed, so that none is ever logged or put into an error.

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use serde::{Deserialize, Serialize};

use super::config::AwsSettings;
use super::errors::{Row, Service, found, row};
use super::query::public_endpoint;
use super::signed_request::{NoResponse, SignedCalls};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};
use crate::pool::model::runner_log::{LogLine, LogStream};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{LogPage, RemoteCallError, RemoteResult, RunnerLogs};

const OPERATION: &str = "GetLogEvents";
const SIGNING_NAME: &str = "logs";
const HEADERS: &[(&str, &str)] =
    &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "Logs_20140328.GetLogEvents")];

/// Lines of a page. A listener prints three for each job, so that the first page is nearly always enough.
const LINES_MAX: u32 = 1_000;

const LOGS: Service = Service { remote: RemoteService::Logs, table: TABLE };

/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html>
const TABLE: &[Row] = &[
    // The group as well as the stream.
    row("ResourceNotFoundException", "", ErrorKind::NotFound),
    // Also for a group of a class that keeps its lines from this call.
    row("InvalidParameterException", "", ErrorKind::Invalid),
    row("InvalidOperationException", "", ErrorKind::Invalid),
];

/// CloudWatch Logs, where runners write.
#[derive(Clone, Debug)]
pub struct RunnerLogsClient {
    calls: SignedCalls,
    endpoint: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'asked> {
    log_group_name: &'asked str,
    log_stream_name: &'asked str,
    start_time: u64,
    limit: u32,
    start_from_head: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'asked str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Events {
    #[serde(default)]
    events: Vec<Event>,
    next_backward_token: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    timestamp: Option<u64>,
    message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    #[serde(rename = "__type")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl RunnerLogsClient {
    pub(super) fn new(settings: &AwsSettings, connector: impl HttpConnector + 'static) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.logs.as_ref());
        Self {
            calls: SignedCalls::new(settings, SharedHttpConnector::new(connector)),
            endpoint: endpoint.unwrap_or_else(|| public_endpoint(settings, SIGNING_NAME)),
        }
    }

    async fn get(&self, asked: &Asked<'_>) -> RemoteResult<Events> {
        let body = serde_json::to_string(asked).map_err(|error| LOGS.error(OPERATION, "ValidationException", error))?;
        let response = self.calls.post(SIGNING_NAME, &self.endpoint, HEADERS, body).await.map_err(no_response)?;
        let body = response.body().bytes().unwrap_or_default();
        if !response.status().is_success() {
            return Err(refused(body, response.status().as_u16()));
        }
        // The error of the parser may quote a line.
        serde_json::from_slice(body)
            .map_err(|_| LOGS.error(OPERATION, "Unreadable", "the response is not as CloudWatch Logs documents it"))
    }
}

impl RunnerLogs for RunnerLogsClient {
    async fn page(&self, stream: &LogStream, from: Timestamp, earlier: Option<&str>) -> RemoteResult<Option<LogPage>> {
        let asked = Asked {
            log_group_name: &stream.group,
            log_stream_name: &stream.name,
            start_time: from.epoch_millis(),
            limit: LINES_MAX,
            start_from_head: false,
            next_token: earlier,
        };
        let Some(response) = found(self.get(&asked).await)? else { return Ok(None) };
        let mut lines: Vec<LogLine> = response.events.into_iter().map(line).collect();
        // Stable, so that lines of one millisecond keep their order.
        lines.sort_by_key(|line| line.at);
        // The token that was sent comes back at the end of the stream.
        let earlier = response.next_backward_token.filter(|token| Some(token.as_str()) != earlier);
        Ok(Some(LogPage { lines, earlier }))
    }
}

fn line(event: Event) -> LogLine {
    let at = Timestamp::from_epoch_millis(event.timestamp.unwrap_or_default());
    LogLine { at, text: event.message.unwrap_or_default() }
}

fn no_response(error: NoResponse) -> RemoteCallError {
    let code = match error {
        NoResponse::Unsigned(_) => "IncompleteSignature",
        NoResponse::Unreachable(_) => "ServiceUnavailable",
    };
    let mut refused = LOGS.error(OPERATION, code, &error);
    refused.remote_error.code = None;
    refused.source = Some(error.into());
    refused
}

fn refused(body: &[u8], status: u16) -> RemoteCallError {
    let Refused { code, message } = serde_json::from_slice(body).unwrap_or_default();
    // Some services write the namespace in front: `com.amazonaws.logs#ThrottlingException`.
    let code = code.as_deref().and_then(|code| code.rsplit('#').next());
    let message = message.as_deref().unwrap_or("no message");
    let mut refused = LOGS.error(OPERATION, code.unwrap_or_default(), message);
    refused.remote_error.kind = LOGS.kind(code, message, Some(status));
    refused.remote_error.code = Some(code.map_or_else(|| format!("HTTP {status}"), str::to_owned));
    refused
}

#[cfg(test)]
mod tests;
