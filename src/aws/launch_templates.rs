//! What a launch template's `$Latest` and `$Default` stand for now, and which cluster a version of it names.
//!
//! The group is given the number: with a moving version a bad template would break launches long after the update
//! that it came with. Two calls of EC2's Query API, signed by hand; not repeated here, for they only read and the pool
//! looks again anyway.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html>
//!
//! User data may hold secrets: it is read for the names of clusters, and goes no further.

use std::collections::BTreeSet;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use roxmltree::{Document, Node};
use url::form_urlencoded::Serializer;

use super::classify::{Row, Service, found, row};
use super::config::AwsSettings;
use super::signed_call::{NoAnswer, SignedCalls};
use crate::pool::refusal::{Class, Remote};
use crate::pool::spec::TemplateRef;
use crate::pool::user_data;
use crate::reconcile::ports::{Call, CallError};

const TEMPLATES: &str = "DescribeLaunchTemplates";
const VERSIONS: &str = "DescribeLaunchTemplateVersions";
const API_VERSION: &str = "2016-11-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

const EC2: Service = Service { remote: Remote::Ec2, table: TABLE };

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
const TABLE: &[Row] = &[
    row("InvalidLaunchTemplateId.NotFound", "", Class::Missing),
    row("InvalidLaunchTemplateId.NotFoundException", "", Class::Missing),
    row("InvalidLaunchTemplateName.NotFoundException", "", Class::Missing),
    row("InvalidLaunchTemplateName.NotFound", "", Class::Missing),
    row("InvalidLaunchTemplateId.VersionNotFound", "", Class::Missing),
    row("InvalidLaunchTemplateId.Malformed", "", Class::Rejected),
    row("InvalidLaunchTemplateName.MalformedException", "", Class::Rejected),
];

/// Reads launch templates.
#[derive(Clone, Debug)]
pub(super) struct LaunchTemplates {
    calls: SignedCalls,
    endpoint: String,
}

impl LaunchTemplates {
    pub(super) fn new(settings: &AwsSettings, connector: SharedHttpConnector) -> Self {
        let given = settings.endpoints.choose(settings.endpoints.ec2.as_ref());
        Self { calls: SignedCalls::new(settings, connector), endpoint: given.unwrap_or_else(|| endpoint(settings)) }
    }

    /// The number behind `version`; a number stands for itself, and nothing is asked.
    pub(super) async fn version(&self, template: &TemplateRef, version: &str) -> Call<Option<u64>> {
        let field = match version {
            "$Latest" => "latestVersionNumber",
            "$Default" => "defaultVersionNumber",
            number => {
                let refused = |_| EC2.said(TEMPLATES, "InvalidParameterValue", format_args!("no version: {number}"));
                return number.parse().map(Some).map_err(refused);
            }
        };
        let (parameter, value) = match template {
            TemplateRef::Id(id) => ("LaunchTemplateId.1", id),
            TemplateRef::Name(name) => ("LaunchTemplateName.1", name),
        };
        let Some(answer) = found(self.ask(TEMPLATES, &[(parameter, value)]).await)? else { return Ok(None) };
        number(&answer, field)
    }

    /// The clusters that the user data of a version names.
    pub(super) async fn clusters(&self, template: &TemplateRef, version: &str) -> Call<BTreeSet<String>> {
        let (parameter, value) = match template {
            TemplateRef::Id(id) => ("LaunchTemplateId", id),
            TemplateRef::Name(name) => ("LaunchTemplateName", name),
        };
        let asked = self.ask(VERSIONS, &[(parameter, value), ("LaunchTemplateVersion.1", version)]).await;
        let Some(answer) = found(asked)? else { return Ok(BTreeSet::new()) };
        let document = Document::parse(&answer).map_err(|_| unreadable(VERSIONS))?;
        let user_data = text(document.root(), "userData").and_then(|encoded| BASE64.decode(encoded.trim()).ok());
        // What is no text, such as a compressed script, names nothing that could be read here.
        let user_data = user_data.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(user_data.map(|text| user_data::clusters(&text)).unwrap_or_default())
    }

    async fn ask(&self, operation: &str, parameters: &[(&str, &str)]) -> Call<String> {
        let form = Serializer::new(String::new())
            .append_pair("Action", operation)
            .append_pair("Version", API_VERSION)
            .extend_pairs(parameters)
            .finish();
        let answer = self.calls.post("ec2", &self.endpoint, FORM, form).await;
        let answer = answer.map_err(|error| unanswered(operation, error))?;
        let body = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default()).into_owned();
        if answer.status().is_success() { Ok(body) } else { Err(refused(operation, &body, answer.status().as_u16())) }
    }
}

fn unanswered(operation: &str, error: NoAnswer) -> CallError {
    let code = match error {
        NoAnswer::Unsigned(_) => "IncompleteSignature",
        NoAnswer::Unanswered(_) => "ServiceUnavailable",
    };
    let mut refused = EC2.said(operation, code, &error);
    refused.refusal.code = None;
    refused.source = Some(error.into());
    refused
}

fn refused(operation: &str, body: &str, status: u16) -> CallError {
    let document = Document::parse(body).ok();
    let text = |name| document.as_ref().and_then(|document| text(document.root(), name));
    let (code, message) = (text("Code"), text("Message"));
    let mut refused = EC2.said(operation, code.unwrap_or_default(), message.unwrap_or("no message"));
    refused.refusal.class = EC2.class(code, message.unwrap_or_default(), Some(status));
    refused.refusal.code = Some(code.map_or_else(|| format!("HTTP {status}"), str::to_owned));
    refused
}

fn unreadable(operation: &str) -> CallError {
    EC2.said(operation, "Unreadable", "the answer is not as EC2 documents it")
}

fn number(answer: &str, field: &str) -> Call<Option<u64>> {
    let unreadable = || unreadable(TEMPLATES);
    let document = Document::parse(answer).map_err(|_| unreadable())?;
    let list = document.descendants().find(|node| is(*node, "launchTemplates")).ok_or_else(unreadable)?;
    let Some(first) = list.children().find(|node| is(*node, "item")) else { return Ok(None) };
    let number = text(first, field).and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(unreadable)
}

fn text<'doc>(within: Node<'doc, '_>, name: &str) -> Option<&'doc str> {
    within.descendants().find(|node| is(*node, name))?.text()
}

/// By name without the namespace, which carries the API's date.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// EC2's endpoint in this Region.
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-endpoints.html>
fn endpoint(settings: &AwsSettings) -> String {
    let AwsSettings { region, use_fips, use_dual_stack, .. } = settings;
    let (suffix, dual_stack) = suffixes(region);
    let suffix = if *use_dual_stack { dual_stack } else { suffix };
    let fips = if *use_fips { "-fips" } else { "" };
    format!("https://ec2{fips}.{region}.{suffix}")
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
mod tests;
