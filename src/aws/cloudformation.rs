//! The port [`CloudFormation`]: one call of its Query API.

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use roxmltree::Document;

use super::config::AwsSettings;
use super::errors::{Row, Service, found, row};
use super::query::{QueryClient, text};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};
use crate::reconcile::ports::{CloudFormation, RemoteResult};

const STACKS: &str = "DescribeStacks";
const API_VERSION: &str = "2010-05-15";

const CLOUDFORMATION: Service = Service { remote: RemoteService::CloudFormation, table: TABLE };

/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html>
const TABLE: &[Row] =
    &[row("ValidationError", "does not exist", ErrorKind::NotFound), row("ValidationError", "", ErrorKind::Invalid)];

/// CloudFormation, asked about stacks.
#[derive(Clone, Debug)]
pub struct CloudFormationClient {
    api: QueryClient,
}

impl CloudFormationClient {
    pub(super) fn new(settings: &AwsSettings, connector: impl HttpConnector + 'static) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.cloudformation.as_ref());
        let connector = SharedHttpConnector::new(connector);
        Self { api: QueryClient::new(settings, connector, CLOUDFORMATION, "cloudformation", API_VERSION, endpoint) }
    }
}

impl CloudFormation for CloudFormationClient {
    async fn stack_status(&self, stack_id: &str) -> RemoteResult<Option<String>> {
        let Some(response) = found(self.api.ask(STACKS, &[("StackName", stack_id)]).await)? else { return Ok(None) };
        let unreadable =
            || CLOUDFORMATION.error(STACKS, "Unreadable", "the response is not as CloudFormation documents it");
        let document = Document::parse(&response).map_err(|_| unreadable())?;
        text(document.root(), "StackStatus").map(|status| Some(status.trim().to_owned())).ok_or_else(unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::errors::tests::check;
    use crate::aws::test_http_client::{Replay, settings};

    const STACK: &str = "arn:aws:cloudformation:eu-west-1:111122223333:stack/ci/5f2a";

    #[test]
    fn every_error_of_describe_stacks_has_its_class() {
        let missing = format!("Stack with id {STACK} does not exist");
        let malformed = "1 validation error detected: Value at 'stackName' failed to satisfy constraint";
        check(
            &CLOUDFORMATION,
            TABLE,
            &[
                ("ValidationError", &missing, ErrorKind::NotFound),
                ("ValidationError", malformed, ErrorKind::Invalid),
                ("Throttling", "Rate exceeded", ErrorKind::Throttled { retry_after: None }),
                ("AccessDenied", "not authorized to perform: cloudformation:DescribeStacks", ErrorKind::Denied),
            ],
        );
    }

    #[tokio::test]
    async fn describe_stacks_gives_the_status_of_the_stack_with_this_arn() {
        let found =
            "<Stacks><member><StackName>ci</StackName><StackStatus>DELETE_IN_PROGRESS</StackStatus></member></Stacks>";
        let missing = format!("Stack with id {STACK} does not exist");
        let replay = Replay::default()
            .query("DescribeStacks", found)
            .query_error("ValidationError", &missing)
            .query("DescribeStacks", "<Stacks/>")
            .query_error("AccessDenied", "no");
        let client = CloudFormationClient::new(&settings(), replay.clone());
        assert_eq!(client.stack_status(STACK).await.unwrap().as_deref(), Some("DELETE_IN_PROGRESS"));
        assert_eq!(client.stack_status(STACK).await.unwrap(), None);
        assert_eq!(client.stack_status(STACK).await.unwrap_err().kind(), ErrorKind::Unexpected);
        assert_eq!(client.stack_status(STACK).await.unwrap_err().kind(), ErrorKind::Denied);
        let sent = replay.sent();
        assert_eq!(sent[0].form(), format!("Action=DescribeStacks\nStackName={STACK}\nVersion=2010-05-15"));
        assert_eq!(sent[0].uri, "https://cloudformation.eu-west-1.amazonaws.com/");
        assert!(sent[0].headers.contains("/eu-west-1/cloudformation/aws4_request"), "{}", sent[0].headers);
    }
}
