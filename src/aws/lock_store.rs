//! The port [`LockStore`] on the AWS SDK: a plain parameter that holds no secret.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::config::{AwsSettings, sdk_config};
use super::errors::{Row, Service, found, row};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};
use crate::reconcile::ports::{LockRecord, LockStore, RemoteResult};

const DESCRIPTION: &str = "Which request github-runner-pool works on for this resource. Gone with its pool.";

const SSM: Service = Service { remote: RemoteService::ParameterStore, table: TABLE };

/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>
const TABLE: &[Row] = &[
    row("ParameterNotFound", "", ErrorKind::NotFound),
    row("ParameterVersionNotFound", "", ErrorKind::NotFound),
    row("TooManyUpdates", "", ErrorKind::Conflict),
    row("ParameterLimitExceeded", "", ErrorKind::Invalid),
    row("ParameterMaxVersionLimitExceeded", "", ErrorKind::Invalid),
    row("HierarchyTypeMismatchException", "", ErrorKind::Invalid),
];

/// Parameter Store, for the records of who works for a resource.
#[derive(Clone, Debug)]
pub struct LockStoreClient {
    sdk: Client,
}

impl LockStoreClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.ssm.as_ref());
        Self { sdk: Client::new(&sdk_config(settings, http, endpoint)) }
    }
}

impl LockStore for LockStoreClient {
    async fn read_lock(&self, name: &str) -> RemoteResult<Option<LockRecord>> {
        let answer = self.sdk.get_parameter().name(name).send().await;
        let answer = found(answer.map_err(|error| SSM.refused("GetParameter", error)))?;
        Ok(answer.and_then(|answer| answer.parameter).map(|parameter| LockRecord {
            version: u64::try_from(parameter.version).unwrap_or(0),
            text: parameter.value.unwrap_or_default(),
        }))
    }

    async fn read_lock_version(&self, name: &str, version: u64) -> RemoteResult<Option<LockRecord>> {
        self.read_lock(&format!("{name}:{version}")).await
    }

    async fn write_lock(&self, name: &str, text: &str) -> RemoteResult<u64> {
        let call = self.sdk.put_parameter().name(name).value(text).r#type(ParameterType::String).overwrite(true);
        let answer = call.description(DESCRIPTION).send().await;
        let answer = answer.map_err(|error| SSM.refused("PutParameter", error))?;
        Ok(u64::try_from(answer.version).unwrap_or(0))
    }

    async fn delete_lock(&self, name: &str) -> RemoteResult<()> {
        let answer = self.sdk.delete_parameter().name(name).send().await;
        found(answer.map_err(|error| SSM.refused("DeleteParameter", error))).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::errors::tests::check;
    use crate::aws::test_http_client::Replay;

    const NAME: &str = "/github-runner-pool-requests/ci/5f2a/Runners";

    #[test]
    fn every_error_of_a_record_has_its_class() {
        check(
            &SSM,
            TABLE,
            &[
                ("ParameterNotFound", "", ErrorKind::NotFound),
                ("ParameterVersionNotFound", "", ErrorKind::NotFound),
                (
                    "TooManyUpdates",
                    "There are concurrent updates for a resource that supports one.",
                    ErrorKind::Conflict,
                ),
                ("ParameterLimitExceeded", "", ErrorKind::Invalid),
                ("ParameterMaxVersionLimitExceeded", "", ErrorKind::Invalid),
                ("HierarchyTypeMismatchException", "", ErrorKind::Invalid),
            ],
        );
    }

    #[tokio::test]
    async fn a_record_is_read_with_its_version_and_none_is_none() {
        let replay = Replay::default().json(&json!({ "Parameter": { "Name": NAME, "Value": "text", "Version": 3 } }));
        let record = replay.lock_store().read_lock(NAME).await.unwrap();
        assert_eq!(record, Some(LockRecord { text: "text".to_owned(), version: 3 }));
        assert_eq!(replay.sent()[0].json()["Name"], NAME);

        let none = Replay::default().json_error("ParameterNotFound", "");
        assert_eq!(none.lock_store().read_lock(NAME).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_earlier_version_of_a_record_is_asked_for_by_its_number() {
        let replay = Replay::default().json(&json!({ "Parameter": { "Name": NAME, "Value": "text", "Version": 2 } }));
        let record = replay.lock_store().read_lock_version(NAME, 2).await.unwrap();
        assert_eq!(record, Some(LockRecord { text: "text".to_owned(), version: 2 }));
        assert_eq!(replay.sent()[0].json()["Name"], format!("{NAME}:2"));

        let none = Replay::default().json_error("ParameterVersionNotFound", "");
        assert_eq!(none.lock_store().read_lock_version(NAME, 2).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_turn_is_written_over_whatever_is_there_and_tells_its_version() {
        let replay = Replay::default().json(&json!({ "Version": 7, "Tier": "Standard" }));
        assert_eq!(replay.lock_store().write_lock(NAME, "text").await.unwrap(), 7);
        let sent = replay.sent()[0].json();
        assert_eq!(
            (&sent["Overwrite"], &sent["Type"], &sent["Value"]),
            (&json!(true), &json!("String"), &json!("text"))
        );
    }

    #[tokio::test]
    async fn a_record_that_is_gone_is_released() {
        Replay::default().json(&json!({})).lock_store().delete_lock(NAME).await.unwrap();
        Replay::default().json_error("ParameterNotFound", "").lock_store().delete_lock(NAME).await.unwrap();
    }
}
