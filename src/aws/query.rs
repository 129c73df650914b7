//! AWS's Query protocol, signed by hand, for services of which one or two operations are needed: the request is a form,
//! the response XML.
//!
//! Calls are not retried here: they only read, and the pool observes again anyway.

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use roxmltree::{Document, Node};
use url::form_urlencoded::Serializer;

use super::config::AwsSettings;
use super::errors::Service;
use super::signed_request::{NoResponse, SignedCalls};
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

const HEADERS: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")];

/// One service that speaks the Query protocol.
#[derive(Clone, Debug)]
pub(super) struct QueryClient {
    calls: SignedCalls,
    service: Service,
    /// The name that a signature is scoped to, which is also the endpoint's first label.
    signing_name: &'static str,
    api_version: &'static str,
    endpoint: String,
}

impl QueryClient {
    /// A client of `service` at `endpoint`; without one, at the service's public endpoint in the Region.
    pub(super) fn new(
        settings: &AwsSettings,
        connector: SharedHttpConnector,
        service: Service,
        signing_name: &'static str,
        api_version: &'static str,
        endpoint: Option<String>,
    ) -> Self {
        let endpoint = endpoint.unwrap_or_else(|| public_endpoint(settings, signing_name));
        Self { calls: SignedCalls::new(settings, connector), service, signing_name, api_version, endpoint }
    }

    /// Calls `operation` and returns the body of its response.
    ///
    /// # Errors
    /// The service's own refusal, classed by its table, or that there was no response.
    pub(super) async fn ask(
        &self,
        operation: &str,
        parameters: &[(impl AsRef<str>, impl AsRef<str>)],
    ) -> RemoteResult<String> {
        let form = Serializer::new(String::new())
            .append_pair("Action", operation)
            .append_pair("Version", self.api_version)
            .extend_pairs(parameters)
            .finish();
        let response = self.calls.post(self.signing_name, &self.endpoint, HEADERS, form).await;
        let response = response.map_err(|error| self.no_response(operation, error))?;
        let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default()).into_owned();
        let status = response.status();
        if status.is_success() { Ok(body) } else { Err(self.refused(operation, &body, status.as_u16())) }
    }

    fn no_response(&self, operation: &str, error: NoResponse) -> RemoteCallError {
        let code = match error {
            NoResponse::Unsigned(_) => "IncompleteSignature",
            NoResponse::Unreachable(_) => "ServiceUnavailable",
        };
        let mut refused = self.service.error(operation, code, &error);
        refused.remote_error.code = None;
        refused.source = Some(error.into());
        refused
    }

    fn refused(&self, operation: &str, body: &str, status: u16) -> RemoteCallError {
        let document = Document::parse(body).ok();
        let text = |name| document.as_ref().and_then(|document| text(document.root(), name));
        let (code, message) = (text("Code"), text("Message"));
        let mut refused = self.service.error(operation, code.unwrap_or_default(), message.unwrap_or("no message"));
        refused.remote_error.kind = self.service.kind(code, message.unwrap_or_default(), Some(status));
        refused.remote_error.code = Some(code.map_or_else(|| format!("HTTP {status}"), str::to_owned));
        refused
    }
}

/// The text of the first element of this name within a node.
pub(super) fn text<'doc>(within: Node<'doc, '_>, name: &str) -> Option<&'doc str> {
    within.descendants().find(|node| is(*node, name))?.text()
}

/// Whether a node is an element of this name. The namespace is ignored, since it carries the API's date.
pub(super) fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// A service's public endpoint in this Region.
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
pub(super) fn public_endpoint(settings: &AwsSettings, service: &str) -> String {
    let AwsSettings { region, use_fips, use_dual_stack, .. } = settings;
    let (suffix, dual_stack) = suffixes(region);
    let suffix = if *use_dual_stack { dual_stack } else { suffix };
    let fips = if *use_fips { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{suffix}")
}

/// The DNS suffixes of the Region's partition, plain and dual stack: botocore's `partitions.json`, which the SDK's own
/// endpoint rules carry too but do not offer.
fn suffixes(region: &str) -> (&'static str, &'static str) {
    const PARTITIONS: &[(&str, &str, &str)] = &[
        ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
        ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ];
    let of = PARTITIONS.iter().find(|(prefix, ..)| region.starts_with(prefix));
    of.map_or(("amazonaws.com", "api.aws"), |(_, suffix, dual_stack)| (*suffix, *dual_stack))
}

#[cfg(test)]
mod tests {
    use super::super::test_http_client::settings;
    use super::*;

    #[test]
    fn the_public_endpoint_is_that_of_the_regions_partition() {
        let at = |region: &str, use_fips, use_dual_stack| {
            let settings = AwsSettings { region: region.to_owned(), use_fips, use_dual_stack, ..settings() };
            public_endpoint(&settings, "cloudformation")
        };
        assert_eq!(at("eu-west-1", false, false), "https://cloudformation.eu-west-1.amazonaws.com");
        assert_eq!(at("us-gov-west-1", true, false), "https://cloudformation-fips.us-gov-west-1.amazonaws.com");
        assert_eq!(at("cn-north-1", false, false), "https://cloudformation.cn-north-1.amazonaws.com.cn");
        assert_eq!(at("eu-west-1", false, true), "https://cloudformation.eu-west-1.api.aws");
        assert_eq!(at("us-isob-east-1", false, false), "https://cloudformation.us-isob-east-1.sc2s.sgov.gov");
        assert_eq!(at("us-iso-east-1", false, false), "https://cloudformation.us-iso-east-1.c2s.ic.gov");
    }
}
