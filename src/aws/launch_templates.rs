//! What a launch template's `$Latest` and `$Default` stand for now, and what a version of it says.
//!
//! The group is given the number: with a moving version a bad template would break launches long after the update
//! that it came with. Two calls of EC2's Query API.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html>
//!
//! User data may hold secrets: it is read for the agent's settings, and goes no further.

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use roxmltree::{Document, Node};

use super::config::AwsSettings;
use super::errors::{Row, Service, found, row};
use super::query::{QueryClient, is, text};
use crate::pool::model::ec2::{TemplateVersion, TemplateView};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};
use crate::pool::model::spec::LaunchTemplateId;
use crate::pool::model::user_data;
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

const TEMPLATES: &str = "DescribeLaunchTemplates";
const VERSIONS: &str = "DescribeLaunchTemplateVersions";
/// In the code of every refusal of a version that a launch template does not have.
const NO_VERSION: &str = "VersionNotFound";
const API_VERSION: &str = "2016-11-15";

const EC2: Service = Service { remote: RemoteService::Ec2, table: TABLE };

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
const TABLE: &[Row] = &[
    row("InvalidLaunchTemplateId.NotFound", "", ErrorKind::NotFound),
    row("InvalidLaunchTemplateId.NotFoundException", "", ErrorKind::NotFound),
    row("InvalidLaunchTemplateName.NotFoundException", "", ErrorKind::NotFound),
    row("InvalidLaunchTemplateName.NotFound", "", ErrorKind::NotFound),
    row("InvalidLaunchTemplateId.VersionNotFound", "", ErrorKind::NotFound),
    row("InvalidLaunchTemplateId.Malformed", "", ErrorKind::Invalid),
    row("InvalidLaunchTemplateName.MalformedException", "", ErrorKind::Invalid),
];

/// Reads launch templates.
#[derive(Clone, Debug)]
pub(super) struct LaunchTemplates {
    ec2: QueryClient,
}

impl LaunchTemplates {
    pub(super) fn new(settings: &AwsSettings, connector: SharedHttpConnector) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.ec2.as_ref());
        Self { ec2: QueryClient::new(settings, connector, EC2, "ec2", API_VERSION, endpoint) }
    }

    /// The number behind `version`; a number stands for itself, and nothing is asked.
    pub(super) async fn version(&self, template: &LaunchTemplateId, version: &str) -> RemoteResult<Option<u64>> {
        let field = match version {
            "$Latest" => "latestVersionNumber",
            "$Default" => "defaultVersionNumber",
            number => {
                let refused = |_| EC2.error(TEMPLATES, "InvalidParameterValue", format_args!("no version: {number}"));
                return number.parse().map(Some).map_err(refused);
            }
        };
        let (parameter, value) = match template {
            LaunchTemplateId::Id(id) => ("LaunchTemplateId.1", id),
            LaunchTemplateId::Name(name) => ("LaunchTemplateName.1", name),
        };
        let Some(response) = found(self.ec2.ask(TEMPLATES, &[(parameter, value.as_str())]).await)? else {
            return Ok(None);
        };
        number(&response, field)
    }

    /// What a version says.
    pub(super) async fn template(&self, template: &LaunchTemplateId, version: &str) -> RemoteResult<TemplateView> {
        let (parameter, value) = match template {
            LaunchTemplateId::Id(id) => ("LaunchTemplateId", id),
            LaunchTemplateId::Name(name) => ("LaunchTemplateName", name),
        };
        let asked = self.ec2.ask(VERSIONS, &[(parameter, value.as_str()), ("LaunchTemplateVersion.1", version)]).await;
        let response = match asked {
            Ok(response) => response,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let is_version = error.remote_error.code.as_ref().is_some_and(|code| code.contains(NO_VERSION));
                return Ok(if is_version { TemplateView::NoVersion } else { TemplateView::NoTemplate });
            }
            Err(error) => return Err(error),
        };
        let document = Document::parse(&response).map_err(|_| unreadable(VERSIONS))?;
        let data = document.descendants().find(|node| is(*node, "launchTemplateData"));
        Ok(data.map_or(TemplateView::NoVersion, |data| TemplateView::Version(said(data))))
    }

    /// EC2, for the other questions about instances.
    pub(super) const fn ec2(&self) -> &QueryClient {
        &self.ec2
    }
}

fn said(data: Node<'_, '_>) -> TemplateVersion {
    let user_data = text(data, "userData").and_then(|encoded| BASE64.decode(encoded.trim()).ok());
    // What is no text, such as a compressed script, names nothing that could be read here.
    let user_data = user_data.and_then(|bytes| String::from_utf8(bytes).ok());
    let checks_warm_pool = user_data.as_deref().map(user_data::checks_warm_pool);
    let own = |name: &str| data.children().find(|node| is(*node, name));
    TemplateVersion {
        clusters: user_data.map(|text| user_data::clusters(&text)).unwrap_or_default(),
        instance_type: own("instanceType").and_then(|node| node.text()).map(str::to_owned),
        has_requirements: own("instanceRequirements").is_some(),
        has_image: own("imageId").is_some(),
        requests_spot: own("instanceMarketOptions").and_then(|options| text(options, "marketType")) == Some("spot"),
        checks_warm_pool,
    }
}

pub(super) fn unreadable(operation: &str) -> RemoteCallError {
    EC2.error(operation, "Unreadable", "the response is not as EC2 documents it")
}

fn number(response: &str, field: &str) -> RemoteResult<Option<u64>> {
    let unreadable = || unreadable(TEMPLATES);
    let document = Document::parse(response).map_err(|_| unreadable())?;
    let list = document.descendants().find(|node| is(*node, "launchTemplates")).ok_or_else(unreadable)?;
    let Some(first) = list.children().find(|node| is(*node, "item")) else { return Ok(None) };
    let number = text(first, field).and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests;
