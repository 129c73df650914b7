//! The production implementation of every port: clients of AWS, GitHub and CloudFormation's response URL, and the
//! system clock.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::aws::Aws;
use crate::aws::auto_scaling::AutoScalingClient;
use crate::aws::cloudformation::CloudFormationClient;
use crate::aws::ecs::EcsClient;
use crate::aws::parameters::ParametersClient;
use crate::aws::registrations::RegistrationsClient;
use crate::aws::runner_logs::RunnerLogsClient;
use crate::aws::self_invoke::SelfInvokeClient;
use crate::aws::state_store::StateStoreClient;
use crate::cloudformation::response_sender::ResponseClient;
use crate::github::GitHubClient;
use crate::http::{HttpSetupError, client, long_poll_client};
use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, DeliveryError, ResponseSender, World};
use crate::settings::Settings;

/// Every remote, behind one HTTP client, and one more for GitHub's long polls.
#[derive(Debug)]
pub struct Clients {
    aws: Aws,
    github: GitHubClient<SystemClock>,
    response_sender: HttpResponseSender,
}

impl Clients {
    /// Builds the clients without connecting to anything.
    ///
    /// # Errors
    /// When the file of certificates or a proxy that the environment names cannot be used.
    pub fn connect(settings: &Settings) -> Result<Self, HttpSetupError> {
        let ca_bundle = settings.ca_bundle.as_deref().map(Path::new);
        let client = client(ca_bundle, &settings.proxies)?;
        let long_polls = long_poll_client(ca_bundle, &settings.proxies)?;
        Ok(Self {
            aws: Aws::connect(settings.aws.clone(), client.clone()),
            github: GitHubClient::new(client.clone(), long_polls, SystemClock),
            response_sender: HttpResponseSender(ResponseClient::new(client)),
        })
    }

    /// The number of AWS calls since the last time it was read: reads, and all other calls.
    #[must_use]
    pub fn take_aws_calls(&self) -> (u64, u64) {
        self.aws.take_calls()
    }

    /// The number of GitHub calls since the last time it was read, and the rate limit that GitHub last reported as
    /// remaining in the credential's hour.
    #[must_use]
    pub fn take_github_calls(&self) -> (u64, Option<u64>) {
        self.github.take_calls()
    }
}

impl World for Clients {
    type Clock = SystemClock;
    type Ecs = EcsClient;
    type AutoScaling = AutoScalingClient;
    type SecretStore = ParametersClient;
    type StateStore = StateStoreClient;
    type Registrations = RegistrationsClient;
    type CloudFormation = CloudFormationClient;
    type RunnerLogs = RunnerLogsClient;
    type GitHub = GitHubClient<SystemClock>;
    type ScaleSets = GitHubClient<SystemClock>;
    type SelfInvoker = SelfInvokeClient;
    type ResponseSender = HttpResponseSender;

    fn clock(&self) -> &SystemClock {
        &SystemClock
    }

    fn ecs(&self) -> &EcsClient {
        self.aws.ecs()
    }

    fn auto_scaling(&self) -> &AutoScalingClient {
        self.aws.auto_scaling()
    }

    fn secret_store(&self) -> &ParametersClient {
        self.aws.parameters()
    }

    fn state_store(&self) -> &StateStoreClient {
        self.aws.state_store()
    }

    fn registrations(&self) -> &RegistrationsClient {
        self.aws.registrations()
    }

    fn cloudformation(&self) -> &CloudFormationClient {
        self.aws.cloudformation()
    }

    fn runner_logs(&self) -> &RunnerLogsClient {
        self.aws.runner_logs()
    }

    fn github(&self) -> &GitHubClient<SystemClock> {
        &self.github
    }

    fn scale_sets(&self) -> &GitHubClient<SystemClock> {
        &self.github
    }

    fn self_invoker(&self) -> &SelfInvokeClient {
        self.aws.self_invoker()
    }

    fn response_sender(&self) -> &HttpResponseSender {
        &self.response_sender
    }
}

/// The system clock. Nothing else in the crate reads it.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_epoch_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
    async fn sleep_until(&self, moment: Timestamp) {
        tokio::time::sleep(moment.since(self.now())).await;
    }
}

/// Sends responses over HTTP.
#[derive(Clone, Debug)]
pub struct HttpResponseSender(ResponseClient);

impl ResponseSender for HttpResponseSender {
    async fn deliver(&self, url: &Secret, body: Vec<u8>, give_up_at: Timestamp) -> Result<(), DeliveryError> {
        self.0.send(url, body, give_up_at, &SystemClock).await
    }
}
