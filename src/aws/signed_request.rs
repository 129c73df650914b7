//! Calls that are signed by hand, for services of which one operation is needed: the SDK crate of such a service would
//! cost more build time and size than everything else.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;

use super::config::{AwsSettings, credentials};

/// Signs and sends on the connections that the SDK's clients use.
#[derive(Clone, Debug)]
pub(super) struct SignedCalls {
    connector: SharedHttpConnector,
    credentials: Credentials,
    region: String,
    time: SharedTimeSource,
}

/// A call without a response. Its text contains nothing of the request.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoResponse {
    /// The request could not be built or signed.
    #[error("the request could not be signed")]
    Unsigned(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was sent, or tried to be.
    #[error("no response")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SignedCalls {
    pub(super) fn new(settings: &AwsSettings, connector: SharedHttpConnector) -> Self {
        Self {
            connector,
            credentials: credentials(settings),
            region: settings.region.clone(),
            time: SharedTimeSource::new(SystemTimeSource::new()),
        }
    }

    /// POSTs `body`, signed for `service` with these headers, and returns the response whatever its status.
    ///
    /// # Errors
    /// When there is no response at all.
    pub(super) async fn post(
        &self,
        service: &str,
        endpoint: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<HttpResponse, NoResponse> {
        let request = self.signed(service, endpoint, headers, body).map_err(NoResponse::Unsigned)?;
        self.connector.call(request).await.map_err(|error| NoResponse::Unreachable(error.into()))
    }

    fn signed(
        &self,
        service: &str,
        endpoint: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let identity = Identity::from(self.credentials.clone());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(self.time.now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signed = headers.iter().copied();
        let signable = SignableRequest::new("POST", endpoint, signed, SignableBody::Bytes(body.as_bytes()))?;
        let (signature, _) = sign(signable, &params)?.into_parts();

        let request =
            headers.iter().fold(http::Request::post(endpoint), |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(SdkBody::from(body))?;
        signature.apply_to_request_http1x(&mut request);
        Ok(HttpRequest::try_from(request)?)
    }
}
