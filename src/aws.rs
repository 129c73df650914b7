//! The ports on AWS: ECS, EC2 Auto Scaling with its launch templates, Parameter Store, the state table and the
//! registrations table in DynamoDB, CloudFormation's stacks, and the runners' logs in CloudWatch.
//!
//! Only this module names `aws_sdk_*`. It turns steps into calls, responses into observed values, and each error into
//! an [`ErrorKind`](crate::pool::model::remote_error::ErrorKind), once. It decides nothing: whether to retry a
//! conflict, to wait or to fail is policy, so it never polls until a condition is met, and never repeats a write that
//! may have taken effect.
//!
//! Reading order: [`config`] and [`http_client`] (how calls are sent), `errors` and `retries` (what an error means), then
//! one module per port: [`ecs`], [`auto_scaling`], [`parameters`], [`state_store`], [`registrations`], [`cloudformation`],
//! [`runner_logs`], [`self_invoke`].

pub mod auto_scaling;
pub mod cloudformation;
pub mod config;
mod convert;
mod dynamo_db;
mod ec2;
pub mod ecs;
mod errors;
pub mod http_client;
mod launch_templates;
pub mod parameters;
mod query;
pub mod registrations;
mod retries;
pub mod runner_logs;
pub mod self_invoke;
mod signed_request;
pub mod state_store;
#[cfg(test)]
mod test_http_client;

use std::cell::OnceCell;
use std::fmt;

use aws_smithy_runtime_api::client::http::SharedHttpClient;

use self::auto_scaling::AutoScalingClient;
use self::cloudformation::CloudFormationClient;
use self::config::AwsSettings;
use self::ecs::EcsClient;
use self::http_client::{CallCounter, SharedClient};
use self::parameters::ParametersClient;
use self::registrations::RegistrationsClient;
use self::runner_logs::RunnerLogsClient;
use self::self_invoke::SelfInvokeClient;
use self::state_store::StateStoreClient;

/// The clients of one function. Each is built at first use, since building all of them would delay every cold start. They
/// share connections, and count their calls together.
pub struct Aws {
    settings: AwsSettings,
    client: SharedClient,
    http: SharedHttpClient,
    calls: CallCounter,
    ecs: OnceCell<EcsClient>,
    auto_scaling: OnceCell<AutoScalingClient>,
    parameters: OnceCell<ParametersClient>,
    state_store: OnceCell<StateStoreClient>,
    registrations: OnceCell<RegistrationsClient>,
    cloudformation: OnceCell<CloudFormationClient>,
    runner_logs: OnceCell<RunnerLogsClient>,
    self_invoker: OnceCell<SelfInvokeClient>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Aws {
    /// Creates the clients on this HTTP client, without connecting to anything.
    #[must_use]
    pub fn connect(settings: AwsSettings, client: reqwest::Client) -> Self {
        let calls = CallCounter::default();
        let client = SharedClient::new(client, calls.clone());
        Self {
            settings,
            http: SharedHttpClient::new(client.clone()),
            client,
            calls,
            ecs: OnceCell::new(),
            auto_scaling: OnceCell::new(),
            parameters: OnceCell::new(),
            state_store: OnceCell::new(),
            registrations: OnceCell::new(),
            cloudformation: OnceCell::new(),
            runner_logs: OnceCell::new(),
            self_invoker: OnceCell::new(),
        }
    }

    /// The number of AWS calls since the last time it was read: reads, and all other calls.
    #[must_use]
    pub fn take_calls(&self) -> (u64, u64) {
        self.calls.take()
    }

    /// Amazon ECS.
    pub fn ecs(&self) -> &EcsClient {
        self.ecs.get_or_init(|| EcsClient::new(&self.settings, &self.http))
    }

    /// EC2 Auto Scaling, and launch templates.
    pub fn auto_scaling(&self) -> &AutoScalingClient {
        self.auto_scaling.get_or_init(|| AutoScalingClient::new(&self.settings, &self.http, self.client.clone()))
    }

    /// Parameter Store, where credentials are.
    pub fn parameters(&self) -> &ParametersClient {
        self.parameters.get_or_init(|| ParametersClient::new(&self.settings, &self.http))
    }

    /// DynamoDB, where the operation locks are.
    pub fn state_store(&self) -> &StateStoreClient {
        self.state_store.get_or_init(|| StateStoreClient::new(&self.settings, &self.http))
    }

    /// DynamoDB, where tasks ask for the registrations of their runners.
    pub fn registrations(&self) -> &RegistrationsClient {
        self.registrations.get_or_init(|| RegistrationsClient::new(&self.settings, &self.http))
    }

    /// CloudFormation, asked about stacks.
    pub fn cloudformation(&self) -> &CloudFormationClient {
        self.cloudformation.get_or_init(|| CloudFormationClient::new(&self.settings, self.client.clone()))
    }

    /// CloudWatch Logs, where runners write.
    pub fn runner_logs(&self) -> &RunnerLogsClient {
        self.runner_logs.get_or_init(|| RunnerLogsClient::new(&self.settings, self.client.clone()))
    }

    /// This function, later.
    pub fn self_invoker(&self) -> &SelfInvokeClient {
        self.self_invoker.get_or_init(|| SelfInvokeClient::new(&self.settings, &self.http))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::config::AwsEndpoints;
    use super::*;
    use crate::reconcile::ports::{AutoScaling, Ecs, SecretStore};

    /// Serves one request on its own connection, and returns it.
    async fn respond(listener: &TcpListener, body: &str) -> String {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut got = String::new();
        while !is_whole(&got) {
            let mut buffer = [0; 4096];
            let read = socket.read(&mut buffer).await.unwrap();
            got.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        got.to_lowercase()
    }

    fn is_whole(request: &str) -> bool {
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
        let length = head.to_lowercase().split_once("content-length: ").map(|(_, rest)| rest.to_owned()).unwrap();
        body.len() >= length.split("\r\n").next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn every_service_is_reached_signed_over_the_shared_client_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let all = Some(format!("http://{}", listener.local_addr().unwrap()));
        let endpoints = AwsEndpoints { all, ..AwsEndpoints::default() };
        let settings = AwsSettings { endpoints, ..test_http_client::settings() };
        let aws = Aws::connect(settings, crate::http::client(None, &crate::http::ProxySettings::default()).unwrap());

        let (got, cluster) = tokio::join!(respond(&listener, "{\"clusters\": []}"), aws.ecs().cluster("c"));
        assert_eq!(cluster.unwrap(), None);
        assert!(got.contains("x-amz-target: amazonec2containerservicev20141113.describeclusters"), "{got}");
        assert!(got.contains("/eu-west-1/ecs/aws4_request"), "{got}");
        assert!(got.contains("app/github-runner-pool"), "{got}");

        let parameter = crate::pool::model::spec::ParameterRef("/ci/token".to_owned());
        let value = "{\"Parameter\": {\"Value\": \"planted\"}}";
        let (got, read) = tokio::join!(respond(&listener, value), aws.parameters().read(&parameter));
        assert_eq!(read.unwrap().unwrap().expose(), "planted");
        assert!(got.contains("/eu-west-1/ssm/aws4_request"), "{got}");

        let deleted = "<DeleteLifecycleHookResponse><DeleteLifecycleHookResult/></DeleteLifecycleHookResponse>";
        let (got, done) = tokio::join!(respond(&listener, deleted), aws.auto_scaling().delete_draining_hook("g"));
        done.unwrap();
        assert!(got.contains("action=deletelifecyclehook"), "{got}");

        let template = crate::pool::model::spec::LaunchTemplateId::Id("lt-1".to_owned());
        let none = "<DescribeLaunchTemplatesResponse><launchTemplates/></DescribeLaunchTemplatesResponse>";
        let asked = aws.auto_scaling().template_version(&template, "$Latest");
        let (got, version) = tokio::join!(respond(&listener, none), asked);
        assert_eq!(version.unwrap(), None);
        assert!(got.contains("user-agent: github-runner-pool/"), "{got}");

        assert_eq!(aws.take_calls(), (3, 1));
        assert!(!format!("{aws:?}").contains("planted"));
    }
}
