//! The environment, read once.
//!
//! In addition to the SDK's own variables: `POLL_INTERVAL_SECS` (`10`, fractions allowed), `INVOCATION_BUDGET_SECS`
//! (unset: the Lambda deadline), `LOG_LEVEL` (`info`), `STATE_TABLE` (the name of the function with `-state` after it),
//! `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` (none), `REGISTRATIONS_TABLE` (the same with `-registrations`),
//! `RUNNER_ROLE_ARN` (the default `TaskRoleArn`).

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::aws::config::{AwsCredentials, AwsEndpoints, AwsSettings};
use crate::http::ProxySettings;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::RegistrationDefaults;

/// The default time between two observations. At ten seconds, a wait of fifteen minutes needs fewer than a hundred
/// observations of four calls each.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// The function's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two observations.
    pub poll_interval: Duration,
    /// If set, how long an invocation works before it continues in another one, regardless of Lambda's deadline.
    pub invocation_budget: Option<Duration>,
    /// The minimum level of log lines.
    pub log_level: LevelFilter,
    /// The function's name, for its metrics.
    pub function: String,
    /// The log group and stream of this process, which end every failure reason.
    pub log: Option<(String, String)>,
    /// The function's own settings that tasks need to ask for their registration.
    pub registration: RegistrationDefaults,
    /// The AWS Region, endpoints and credentials.
    pub aws: AwsSettings,
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in upper or lower case.
    pub proxies: ProxySettings,
    /// A PEM file with certificates to trust in addition to the public ones: `AWS_CA_BUNDLE` or `SSL_CERT_FILE`.
    pub ca_bundle: Option<String>,
}

/// A variable with an invalid value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: {value:?} is not {wanted}")]
pub struct BadSetting {
    name: &'static str,
    value: String,
    wanted: &'static str,
}

impl Settings {
    /// Reads the settings from environment variables.
    ///
    /// # Errors
    /// The first variable with an invalid value.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, BadSetting> {
        let text = |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let seconds = |name: &'static str| {
            text(name)
                .map(|value| {
                    let number = value.parse().ok().filter(|secs: &f64| *secs > 0.0);
                    number.and_then(|secs| Duration::try_from_secs_f64(secs).ok()).ok_or_else(|| BadSetting {
                        name,
                        value: value.to_owned(),
                        wanted: "a number of seconds above 0",
                    })
                })
                .transpose()
        };
        let log_level = text("LOG_LEVEL").unwrap_or("info");
        let function = text("AWS_LAMBDA_FUNCTION_NAME").unwrap_or("github-runner-pool");
        let aws = aws(&text, function)?;
        Ok(Self {
            poll_interval: seconds("POLL_INTERVAL_SECS")?.unwrap_or(POLL_INTERVAL),
            invocation_budget: seconds("INVOCATION_BUDGET_SECS")?,
            log_level: log_level.parse().map_err(|_| BadSetting {
                name: "LOG_LEVEL",
                value: log_level.to_owned(),
                wanted: "one of off, error, warn, info, debug",
            })?,
            function: function.to_owned(),
            log: text("AWS_LAMBDA_LOG_GROUP_NAME")
                .zip(text("AWS_LAMBDA_LOG_STREAM_NAME"))
                .map(|(group, stream)| (group.to_owned(), stream.to_owned())),
            registration: RegistrationDefaults {
                table: aws.registrations_table.clone(),
                runner_role_arn: text("RUNNER_ROLE_ARN").map(str::to_owned),
            },
            aws,
            proxies: ProxySettings {
                https: text("HTTPS_PROXY").or_else(|| text("https_proxy")).map(Secret::new),
                http: text("HTTP_PROXY").or_else(|| text("http_proxy")).map(Secret::new),
                exceptions: text("NO_PROXY").or_else(|| text("no_proxy")).map(str::to_owned),
            },
            ca_bundle: text("AWS_CA_BUNDLE").or_else(|| text("SSL_CERT_FILE")).map(str::to_owned),
        })
    }
}

/// The SDK's own variables that apply inside Lambda.
fn aws<'a>(text: &impl Fn(&str) -> Option<&'a str>, function: &str) -> Result<AwsSettings, BadSetting> {
    let owned = |name: &str| text(name).map(str::to_owned);
    let switch = |name: &str| text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let max_attempts = text("AWS_MAX_ATTEMPTS")
        .map(|value| {
            value.parse().ok().filter(|n| *n > 0).ok_or_else(|| BadSetting {
                name: "AWS_MAX_ATTEMPTS",
                value: value.to_owned(),
                wanted: "a number above 0",
            })
        })
        .transpose()?;
    Ok(AwsSettings {
        region: owned("AWS_REGION").or_else(|| owned("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned()),
        credentials: AwsCredentials {
            access_key_id: owned("AWS_ACCESS_KEY_ID").unwrap_or_default(),
            secret_access_key: Secret::new(text("AWS_SECRET_ACCESS_KEY").unwrap_or_default()),
            session_token: text("AWS_SESSION_TOKEN").map(Secret::new),
        },
        endpoints: AwsEndpoints {
            all: owned("AWS_ENDPOINT_URL"),
            cloudformation: owned("AWS_ENDPOINT_URL_CLOUDFORMATION"),
            dynamodb: owned("AWS_ENDPOINT_URL_DYNAMODB"),
            ecs: owned("AWS_ENDPOINT_URL_ECS"),
            auto_scaling: owned("AWS_ENDPOINT_URL_AUTO_SCALING"),
            lambda: owned("AWS_ENDPOINT_URL_LAMBDA"),
            ssm: owned("AWS_ENDPOINT_URL_SSM"),
            ec2: owned("AWS_ENDPOINT_URL_EC2"),
            logs: owned("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
        },
        use_fips: switch("AWS_USE_FIPS_ENDPOINT"),
        use_dual_stack: switch("AWS_USE_DUALSTACK_ENDPOINT"),
        state_table: owned("STATE_TABLE").unwrap_or_else(|| format!("{function}-state")),
        registrations_table: owned("REGISTRATIONS_TABLE").unwrap_or_else(|| format!("{function}-registrations")),
        max_attempts: max_attempts.unwrap_or(AwsSettings::MAX_ATTEMPTS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_variables(&variables)
    }

    #[test]
    fn settings_without_variables_are_the_defaults() {
        let settings = of(&[]).unwrap();
        assert_eq!(settings.poll_interval, Duration::from_secs(10));
        assert_eq!(settings.invocation_budget, None);
        assert_eq!(settings.log_level, LevelFilter::INFO);
    }

    #[test]
    fn poll_interval_secs_may_be_a_fraction() {
        let settings = of(&[("POLL_INTERVAL_SECS", "0.25"), ("INVOCATION_BUDGET_SECS", "5")]).unwrap();
        assert_eq!(settings.poll_interval, Duration::from_millis(250));
        assert_eq!(settings.invocation_budget, Some(Duration::from_secs(5)));
    }

    #[test]
    fn aws_credentials_and_proxies_are_never_printed() {
        let settings = of(&[("AWS_SECRET_ACCESS_KEY", "planted"), ("AWS_SESSION_TOKEN", "planted")]).unwrap();
        assert!(!format!("{settings:?}").contains("planted"));
    }

    #[test]
    fn invalid_variable_is_named() {
        for value in ["soon", "0", "-1", "inf"] {
            let error = of(&[("POLL_INTERVAL_SECS", value)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("environment variable POLL_INTERVAL_SECS: {value:?} is not a number of seconds above 0")
            );
        }
    }
}
