//! The port [`SecretStore`] on the AWS SDK.
//!
//! A Secrets Manager secret is read through Parameter Store's reserved path, so that one SDK serves both:
//! `/aws/reference/secretsmanager/NAME`, with `:VERSION-ID` or `:STAGE` behind it.
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html>
//!
//! A value leaves this module as a [`Secret`] only, and no error contains any part of one.

mod secret_ref;

use aws_sdk_ssm::Client;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use self::secret_ref::SecretRef;
use super::config::{AwsSettings, sdk_config};
use super::errors::{Row, Service, found, row};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::ParameterRef;
use crate::reconcile::ports::{RemoteCallError, RemoteResult, SecretStore};

/// Letters of the longest key that a message repeats; the shortest of GitHub's tokens has 40.
const KEY_CHARS_MAX: usize = 30;

const OPERATION: &str = "GetParameter";

const SSM: Service = Service { remote: RemoteService::ParameterStore, table: TABLE };

/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>
const TABLE: &[Row] = &[
    row("ParameterNotFound", "", ErrorKind::NotFound),
    row("ParameterVersionNotFound", "", ErrorKind::NotFound),
    // The key that the value is encrypted with is disabled or gone.
    row("InvalidKeyId", "", ErrorKind::Invalid),
];

/// Parameter Store.
#[derive(Clone, Debug)]
pub struct ParametersClient {
    sdk: Client,
}

impl ParametersClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.ssm.as_ref());
        Self { sdk: Client::new(&sdk_config(settings, http, endpoint)) }
    }

    async fn get(&self, name: &str) -> RemoteResult<Option<aws_sdk_ssm::types::Parameter>> {
        let response = self.sdk.get_parameter().name(name).with_decryption(true).send().await;
        let response = found(response.map_err(|error| SSM.refused(OPERATION, error)))?;
        Ok(response.and_then(|response| response.parameter))
    }
}

impl SecretStore for ParametersClient {
    async fn read(&self, parameter: &ParameterRef) -> RemoteResult<Option<Secret>> {
        if !parameter.is_secrets_manager() {
            let found = self.get(&parameter.0).await?;
            let Some(value) = found.and_then(|found| found.value).map(Secret::new) else { return Ok(None) };
            return match wrapping(&value) {
                None => Ok(Some(value)),
                Some(Wrapping::Object { .. }) => Err(rejected(
                    "the parameter's value is a JSON object, of which no key can be named: put the credential alone \
                     into the parameter",
                )),
                Some(Wrapping::Quoted) => Err(rejected(QUOTED)),
            };
        }
        let Some(secret) = SecretRef::parse(&parameter.0) else {
            return Err(SSM.error(OPERATION, "ValidationException", format_args!("{parameter} is no secret's ARN")));
        };
        let Some(found) = self.get(&secret.reference_path()).await? else { return Ok(None) };
        // The path names the secret without account or Region: one of the same name here may be another one.
        if found.arn().is_some_and(|arn| arn.contains(":secretsmanager:") && !arn.starts_with(secret.arn())) {
            let said =
                format_args!("{parameter} is a secret of another account or Region, and cannot be read from here");
            return Err(SSM.error(OPERATION, "ValidationException", said));
        }
        let Some(value) = found.value.map(Secret::new) else { return Ok(None) };
        match secret.json_key() {
            None => match wrapping(&value) {
                None => Ok(Some(value)),
                Some(Wrapping::Object { key }) => Err(rejected(format_args!(
                    "the secret is a JSON object; name its key: {}",
                    secret.with_key(key.as_deref().unwrap_or("KEY"))
                ))),
                Some(Wrapping::Quoted) => Err(rejected(QUOTED)),
            },
            Some(key) => pick(&value, key).map(Some).ok_or_else(|| {
                let said = format_args!("{parameter} holds no JSON object with a text under the key {key}");
                SSM.error(OPERATION, "ValidationException", said)
            }),
        }
    }
}

/// A value that contains a credential in another format.
enum Wrapping {
    /// A JSON object, as the console of Secrets Manager makes one of keys and values.
    Object {
        /// The only key whose value is a text, if there is one.
        key: Option<String>,
    },
    /// Quotation marks.
    Quoted,
}

const QUOTED: &str = "the value stands in quotation marks: store it without them";

/// No credential is JSON: a token is a word, and a key begins with hyphens.
fn wrapping(value: &Secret) -> Option<Wrapping> {
    match serde_json::from_str(value.expose()).ok()? {
        serde_json::Value::Object(map) => {
            let mut keys = map.iter().filter(|(_, value)| value.is_string()).map(|(key, _)| key);
            let only = keys.next().filter(|_| keys.next().is_none());
            Some(Wrapping::Object { key: only.filter(|key| is_plain(key)).cloned() })
        }
        serde_json::Value::String(_) => Some(Wrapping::Quoted),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_) => None,
    }
}

/// Whether a key may be shown: a name as people give to variables. GitHub's tokens are longer, and their beginnings
/// known.
fn is_plain(key: &str) -> bool {
    let is_token = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"].iter().any(|mark| key.starts_with(mark));
    !is_token && key.len() <= KEY_CHARS_MAX && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn rejected(said: impl std::fmt::Display) -> RemoteCallError {
    SSM.error(OPERATION, "ValidationException", said)
}

fn pick(value: &Secret, key: &str) -> Option<Secret> {
    let object: serde_json::Value = serde_json::from_str(value.expose()).ok()?;
    object.get(key)?.as_str().map(Secret::new)
}

#[cfg(test)]
mod tests;
