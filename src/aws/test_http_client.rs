//! A stand-in for the network: plays canned responses in order and keeps what was sent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use super::auto_scaling::AutoScalingClient;
use super::config::{AwsCredentials, AwsEndpoints, AwsSettings};
use super::ecs::EcsClient;
use super::http_client::{NeverSent, operation};
use super::parameters::ParametersClient;
use super::registrations::RegistrationsClient;
use super::state_store::StateStoreClient;
use crate::pool::model::secret::Secret;

/// What comes back for one request.
enum PlannedResponse {
    Http(u16, String),
    NeverSent,
    Lost,
}

/// One request as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) operation: String,
    pub(super) uri: String,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Sent {
    /// The body of a JSON request.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The body of a Query request, decoded, one `key=value` per line, in order of keys.
    pub(super) fn form(&self) -> String {
        let mut lines: Vec<String> =
            url::form_urlencoded::parse(self.body.as_bytes()).map(|(key, value)| format!("{key}={value}")).collect();
        lines.sort();
        lines.join("\n")
    }
}

/// The stand-in. Clones share responses and requests. Its `Debug` shows neither, as the real client's does not.
#[derive(Clone, Default)]
pub(super) struct Replay {
    responses: Arc<Mutex<VecDeque<PlannedResponse>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl Replay {
    fn then(self, response: PlannedResponse) -> Self {
        self.responses.lock().unwrap().push_back(response);
        self
    }

    /// Next, a response of the JSON protocol.
    pub(super) fn json(self, body: &Value) -> Self {
        self.then(PlannedResponse::Http(200, body.to_string()))
    }

    /// Next, an error of the JSON protocol.
    pub(super) fn json_error(self, code: &str, message: &str) -> Self {
        self.then(PlannedResponse::Http(400, serde_json::json!({ "__type": code, "message": message }).to_string()))
    }

    /// Next, a response with this status and text.
    pub(super) fn http(self, status: u16, body: &str) -> Self {
        self.then(PlannedResponse::Http(status, body.to_owned()))
    }

    /// Next, a response of Auto Scaling's Query protocol: what is inside `<OPERATIONResult>`.
    pub(super) fn query(self, operation: &str, result: &str) -> Self {
        self.then(PlannedResponse::Http(
            200,
            format!(
                "<{operation}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{operation}Result>{result}\
                 </{operation}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{operation}Response>"
            ),
        ))
    }

    /// Next, an error of Auto Scaling's Query protocol.
    pub(super) fn query_error(self, code: &str, message: &str) -> Self {
        self.then(PlannedResponse::Http(
            400,
            format!(
                "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><Error><Type>Sender</Type>\
                 <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            ),
        ))
    }

    /// Next, no connection.
    pub(super) fn never_sent(self) -> Self {
        self.then(PlannedResponse::NeverSent)
    }

    /// Next, a connection that breaks before a response.
    pub(super) fn lost(self) -> Self {
        self.then(PlannedResponse::Lost)
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub(super) fn operations(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.operation).collect()
    }

    pub(super) fn ecs(&self) -> EcsClient {
        EcsClient::new(&settings(), &SharedHttpClient::new(self.clone()))
    }

    pub(super) fn auto_scaling(&self) -> AutoScalingClient {
        AutoScalingClient::new(&settings(), &SharedHttpClient::new(self.clone()), self.clone())
    }

    pub(super) fn parameters(&self) -> ParametersClient {
        ParametersClient::new(&settings(), &SharedHttpClient::new(self.clone()))
    }

    pub(super) fn registrations(&self) -> RegistrationsClient {
        RegistrationsClient::new(&settings(), &SharedHttpClient::new(self.clone()))
    }

    pub(super) fn state_store(&self) -> StateStoreClient {
        StateStoreClient::new(&settings(), &SharedHttpClient::new(self.clone()))
    }
}

/// Settings with planted secrets.
pub(super) fn settings() -> AwsSettings {
    AwsSettings {
        region: "eu-west-1".to_owned(),
        credentials: AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("planted-key"),
            session_token: Some(Secret::new("planted-session")),
        },
        endpoints: AwsEndpoints::default(),
        use_fips: false,
        use_dual_stack: false,
        state_table: "github-runner-pool-state".to_owned(),
        registrations_table: "github-runner-pool-registrations".to_owned(),
        max_attempts: 3,
    }
}

impl HttpClient for Replay {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers().iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        self.sent.lock().unwrap().push(Sent {
            operation: operation(&request).to_owned(),
            uri: request.uri().to_owned(),
            headers,
            body: String::from_utf8(request.body().bytes().unwrap_or_default().to_vec()).unwrap(),
        });
        let response = self.responses.lock().unwrap().pop_front();
        HttpConnectorFuture::ready(match response {
            Some(PlannedResponse::Http(status, body)) => {
                Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
            }
            Some(PlannedResponse::NeverSent) => Err(ConnectorError::io(NeverSent("refused".into()).into())),
            Some(PlannedResponse::Lost) => Err(ConnectorError::io("connection reset".into())),
            None => Err(ConnectorError::user("no response is left to play".into())),
        })
    }
}
