//! The configuration of the AWS clients. `aws-config` is not used: it looks for profiles, SSO and instance roles, none
//! of which exist in Lambda, and that costs start-up time.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::app_name::AppName;
use aws_types::region::Region;
use aws_types::sdk_config::SdkConfig;

use crate::pool::model::secret::Secret;
use crate::version::AWS_APP_NAME;

/// The timeout of one call with all its retries: short enough that an invocation of 15 minutes can notice a service
/// that hangs, try again and report it.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause before a retry. ECS refills its slowest buckets with one call a second.
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// The settings of AWS in the environment.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub credentials: AwsCredentials,
    /// `AWS_ENDPOINT_URL` and its per-service forms.
    pub endpoints: AwsEndpoints,
    /// `AWS_USE_FIPS_ENDPOINT`. Does not apply where an endpoint is given.
    pub use_fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`. Does not apply where an endpoint is given.
    pub use_dual_stack: bool,
    /// `STATE_TABLE`: the name of the state table.
    pub state_table: String,
    /// `REGISTRATIONS_TABLE`: the name of the registrations table.
    pub registrations_table: String,
    /// `AWS_MAX_ATTEMPTS`: tries of one call, the first included; see [`AwsSettings::MAX_ATTEMPTS`].
    pub max_attempts: u32,
}

impl AwsSettings {
    /// The default of [`AwsSettings::max_attempts`]: two more than the SDK's, for several pools of one account draw
    /// from the same buckets.
    pub const MAX_ATTEMPTS: u32 = 5;
}

/// The execution role's session. Lambda replaces it only together with the sandbox, so it is never renewed here.
#[derive(Clone, Debug)]
pub struct AwsCredentials {
    /// Names the key; no secret.
    pub access_key_id: String,
    /// Signs.
    pub secret_access_key: Secret,
    /// Goes with a role's temporary key.
    pub session_token: Option<Secret>,
}

/// Endpoints that the environment names, such as `http://127.0.0.1:4566`.
#[derive(Clone, Debug, Default)]
pub struct AwsEndpoints {
    /// `AWS_ENDPOINT_URL`, for every service without one of its own.
    pub all: Option<String>,
    /// `AWS_ENDPOINT_URL_CLOUDFORMATION`.
    pub cloudformation: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb: Option<String>,
    /// `AWS_ENDPOINT_URL_ECS`.
    pub ecs: Option<String>,
    /// `AWS_ENDPOINT_URL_AUTO_SCALING`.
    pub auto_scaling: Option<String>,
    /// `AWS_ENDPOINT_URL_LAMBDA`.
    pub lambda: Option<String>,
    /// `AWS_ENDPOINT_URL_SSM`.
    pub ssm: Option<String>,
    /// `AWS_ENDPOINT_URL_EC2`.
    pub ec2: Option<String>,
    /// `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`.
    pub logs: Option<String>,
}

impl AwsEndpoints {
    /// A service's own endpoint, or the one for all.
    pub(super) fn choose(&self, own: Option<&String>) -> Option<String> {
        own.or(self.all.as_ref()).cloned()
    }
}

/// The credentials as the SDK wants them. Their `Debug` is redacted by the SDK.
pub(super) fn credentials(settings: &AwsSettings) -> Credentials {
    let AwsCredentials { access_key_id, secret_access_key, session_token } = &settings.credentials;
    let token = session_token.as_ref().map(|token| token.expose().to_owned());
    Credentials::new(access_key_id, secret_access_key.expose(), token, None, "environment")
}

/// The configuration of one service: the shared one with this endpoint.
pub(super) fn sdk_config(settings: &AwsSettings, http: &SharedHttpClient, endpoint: Option<String>) -> SdkConfig {
    // The endpoint rules refuse FIPS or dual stack together with an explicit endpoint.
    let is_public = endpoint.is_none();
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials(settings)))
        .http_client(http.clone())
        .sleep_impl(TokioSleep::new())
        .time_source(SystemTimeSource::new())
        .retry_config(
            RetryConfig::standard().with_max_attempts(settings.max_attempts.max(1)).with_max_backoff(BACKOFF_MAX),
        )
        .timeout_config(TimeoutConfig::builder().operation_timeout(OPERATION_TIMEOUT).build())
        // Bodies are small and in memory; the client's read timeout sees to the rest.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .use_fips(settings.use_fips && is_public)
        .use_dual_stack(settings.use_dual_stack && is_public);
    builder.set_endpoint_url(endpoint);
    builder.set_app_name(AppName::new(AWS_APP_NAME).ok());
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::super::test_http_client::{Replay, settings};
    use super::*;

    #[test]
    fn the_credentials_are_not_printed() {
        let settings = settings();
        let http = SharedHttpClient::new(Replay::default());
        let printed = format!("{settings:?} {:?} {:?}", credentials(&settings), sdk_config(&settings, &http, None));
        assert!(!printed.contains("planted"), "{printed}");
    }

    #[test]
    fn the_app_name_has_the_version() {
        let config = sdk_config(&settings(), &SharedHttpClient::new(Replay::default()), None);
        let expected = format!("github-runner-pool-{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(config.app_name().map(AsRef::as_ref), Some(expected.as_str()));
    }

    #[test]
    fn a_service_of_its_own_endpoint_goes_there_and_the_others_to_the_common_one() {
        let endpoints = AwsEndpoints { all: Some("all".into()), ecs: Some("ecs".into()), ..AwsEndpoints::default() };
        assert_eq!(endpoints.choose(endpoints.ecs.as_ref()).as_deref(), Some("ecs"));
        assert_eq!(endpoints.choose(endpoints.ssm.as_ref()).as_deref(), Some("all"));
        assert_eq!(AwsEndpoints::default().choose(None), None);
    }

    #[test]
    fn an_explicit_endpoint_switches_fips_and_dual_stack_off() {
        let settings = AwsSettings { use_fips: true, use_dual_stack: true, ..settings() };
        let http = SharedHttpClient::new(Replay::default());
        let given = sdk_config(&settings, &http, Some("http://127.0.0.1:4566".to_owned()));
        let public = sdk_config(&settings, &http, None);
        assert_eq!((given.use_fips(), given.use_dual_stack()), (Some(false), Some(false)));
        assert_eq!((public.use_fips(), public.use_dual_stack()), (Some(true), Some(true)));
    }
}
