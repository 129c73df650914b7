//! Carries the SDK's requests over the shared HTTP client.
//!
//! Logs one line per request at debug level and counts it: host, operation, status, milliseconds. Never a header or a
//! body: they hold credentials and parameter values.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

/// The largest response that is read. A hundred tasks or container instances, the largest page there is, take less than
/// a tenth of it.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many requests went to AWS, tries that were repeated included. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct CallCounter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl CallCounter {
    /// Requests since this was last asked: those that only read, `Describe…`, `List…` and `Get…`, and all others.
    #[must_use]
    pub fn take(&self) -> (u64, u64) {
        (self.0.reads.swap(0, Ordering::Relaxed), self.0.writes.swap(0, Ordering::Relaxed))
    }

    pub(super) fn count(&self, operation: &str) {
        let is_read = ["Describe", "List", "Get"].iter().any(|verb| operation.starts_with(verb));
        if is_read { &self.0.reads } else { &self.0.writes }.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request that never left: its connection could not be made. Repeating it cannot do anything twice.
#[derive(Debug, thiserror::Error)]
#[error("no connection")]
pub(super) struct NeverSent(#[source] pub(super) Box<dyn Error + Send + Sync>);

/// A response above [`RESPONSE_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("the response is longer than {RESPONSE_BYTES_MAX} bytes")]
struct TooLong;

/// The shared client as the SDK wants it.
#[derive(Clone, Debug)]
pub(super) struct SharedClient {
    client: reqwest::Client,
    calls: CallCounter,
}

impl SharedClient {
    pub(super) fn new(client: reqwest::Client, calls: CallCounter) -> Self {
        Self { client, calls }
    }
}

impl HttpClient for SharedClient {
    // The SDK's own timeouts are not applied: they are the client's, one place for all.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for SharedClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(&request).to_owned();
        self.calls.count(&operation);
        let client = self.client.clone();
        HttpConnectorFuture::new(async move {
            let host = host(&request).to_owned();
            let started = Instant::now();
            let response = exchange(&client, request).await;
            let millis = started.elapsed().as_millis();
            match &response {
                Ok(response) => {
                    tracing::debug!(host, operation, status = response.status().as_u16(), millis, "AWS answered");
                }
                Err(error) => tracing::debug!(host, operation, %error, millis, "AWS did not answer"),
            }
            response
        })
    }
}

/// The operation's name, out of the header of the JSON protocol or the first field of the Query protocol. Of the REST
/// protocol one call is made, known by its path.
pub(super) fn operation(request: &HttpRequest) -> &str {
    let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
    let action = || {
        let body = std::str::from_utf8(request.body().bytes()?).ok()?;
        body.strip_prefix("Action=")?.split('&').next()
    };
    let invoke = || request.uri().split('?').next()?.ends_with("/invocations").then_some("Invoke");
    target.or_else(action).or_else(invoke).unwrap_or("unknown")
}

fn host(request: &HttpRequest) -> &str {
    let uri = request.uri();
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

async fn exchange(client: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    // Every body of these services is in memory; a streaming one has no bytes to copy and is sent empty, which the
    // signature then refuses.
    let request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
    let request = reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
    let mut received = client.execute(request).await.map_err(failed)?;

    let mut body = BytesMut::new();
    while let Some(chunk) = received.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > RESPONSE_BYTES_MAX {
            return Err(ConnectorError::other(TooLong.into(), None));
        }
    }
    let mut response = http::Response::new(SdkBody::from(body.freeze()));
    *response.status_mut() = received.status();
    *response.headers_mut() = std::mem::take(received.headers_mut());
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

fn failed(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_connect() {
        ConnectorError::io(NeverSent(error.into()).into())
    } else if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn request(uri: &str, body: &'static str) -> HttpRequest {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").unwrap();
        request.set_uri(uri).unwrap();
        request
    }

    #[test]
    fn api_operation_name_is_read_in_every_protocol() {
        let mut json = request("https://ecs.eu-west-1.amazonaws.com/", "{}");
        json.headers_mut().insert("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListTasks");
        let query = request("https://autoscaling.eu-west-1.amazonaws.com/", "Action=DeleteTags&Version=2011-01-01");
        let rest = request("https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/pool/invocations", "{}");
        let other = request("http://127.0.0.1:4566", "");
        let operations = [&json, &query, &rest, &other].map(operation);
        assert_eq!(operations, ["ListTasks", "DeleteTags", "Invoke", "unknown"]);
        assert_eq!(
            [&json, &query, &other].map(host),
            ["ecs.eu-west-1.amazonaws.com", "autoscaling.eu-west-1.amazonaws.com", "127.0.0.1:4566"]
        );
    }

    #[test]
    fn reads_and_writes_are_counted_apart_and_clones_together() {
        let calls = CallCounter::default();
        for operation in
            ["DescribeServices", "ListTasks", "GetParameter", "UpdateService", "PutClusterCapacityProviders"]
        {
            calls.clone().count(operation);
        }
        assert_eq!(calls.take(), (3, 2));
        assert_eq!(calls.take(), (0, 0));
    }

    #[tokio::test]
    async fn a_request_and_its_response_arrive_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/path", listener.local_addr().unwrap());
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"hello") {
                let mut buffer = [0; 1024];
                let read = socket.read(&mut buffer).await.unwrap();
                got.extend_from_slice(&buffer[..read]);
            }
            socket.write_all(b"HTTP/1.1 418 No\r\nx-amzn-requestid: r1\r\ncontent-length: 3\r\n\r\nwhy").await.unwrap();
            String::from_utf8(got).unwrap()
        };
        let calls = CallCounter::default();
        let client = SharedClient::new(
            crate::http::client(None, &crate::http::ProxySettings::default()).unwrap(),
            calls.clone(),
        );
        let (got, response) = tokio::join!(server, client.call(request(&uri, "hello")));
        let response = response.unwrap();
        assert!(got.starts_with("POST /path HTTP/1.1\r\n"), "{got}");
        assert_eq!(response.status().as_u16(), 418);
        assert_eq!(response.headers().get("x-amzn-requestid"), Some("r1"));
        assert_eq!(response.body().bytes(), Some(b"why".as_slice()));
        assert_eq!(calls.take(), (0, 1));
    }

    #[tokio::test]
    async fn a_refused_connection_is_known_to_have_sent_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let client = SharedClient::new(
            crate::http::client(None, &crate::http::ProxySettings::default()).unwrap(),
            CallCounter::default(),
        );
        let error = client.call(request(&uri, "secret body")).await.unwrap_err();
        assert!(error.source().unwrap().is::<NeverSent>(), "{error:?}");
        assert!(!format!("{error:?}").contains("secret body"));
    }
}
