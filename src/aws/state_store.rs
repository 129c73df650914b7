//! The port [`StateStore`] on DynamoDB: one item for each key, written only over what was read.
//!
//! A write names the version that it replaces, so one of two concurrent writers fails.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html>

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::config::AwsSettings;
use super::dynamo_db::{DYNAMODB, KEY, as_number, client, number};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{RemoteResult, StateItem, StateStore, StateWrite};

const VERSION: &str = "version";
const RECORD: &str = "record";
const TTL: &str = "ttl";

/// DynamoDB does not delete an expired item at once, so one counts as none.
const OVER_NONE: &str = "attribute_not_exists(#key) OR #ttl <= :now";
const OVER_VERSION: &str = "#version = :version";

/// The state table.
#[derive(Clone, Debug)]
pub struct StateStoreClient {
    sdk: Client,
    table: String,
}

impl StateStoreClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        Self { sdk: client(settings, http), table: settings.state_table.clone() }
    }
}

impl StateStore for StateStoreClient {
    async fn read_item(&self, key: &str) -> RemoteResult<Option<StateItem>> {
        let call = self.sdk.get_item().table_name(&self.table).key(KEY, AttributeValue::S(key.to_owned()));
        let response = call.consistent_read(true).send().await.map_err(|error| DYNAMODB.refused("GetItem", error))?;
        Ok(response.item.map(|item| state_item(|name| item.get(name))))
    }

    async fn write_item(&self, key: &str, item: &StateItem, now: Timestamp) -> RemoteResult<StateWrite> {
        let call = self
            .sdk
            .put_item()
            .table_name(&self.table)
            .item(KEY, AttributeValue::S(key.to_owned()))
            .item(VERSION, number(item.version))
            .item(RECORD, AttributeValue::S(item.text.clone()));
        let call = match item.expires_at {
            Some(at) => call.item(TTL, number(at.epoch_millis() / 1_000)),
            None => call,
        };
        let call = match item.version.checked_sub(1).filter(|replaced| *replaced > 0) {
            Some(replaced) => call
                .condition_expression(OVER_VERSION)
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":version", number(replaced)),
            None => call
                .condition_expression(OVER_NONE)
                .expression_attribute_names("#key", KEY)
                .expression_attribute_names("#ttl", TTL)
                .expression_attribute_values(":now", number(now.epoch_millis() / 1_000)),
        };
        match call.send().await {
            Ok(_) => Ok(StateWrite::Stored),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(StateWrite::Conflict)
            }
            Err(error) => Err(DYNAMODB.refused("PutItem", error)),
        }
    }
}

fn state_item<'item>(attribute: impl Fn(&str) -> Option<&'item AttributeValue>) -> StateItem {
    StateItem {
        version: attribute(VERSION).and_then(as_number).unwrap_or(0),
        text: attribute(RECORD).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default(),
        expires_at: attribute(TTL)
            .and_then(as_number)
            .map(|secs| Timestamp::from_epoch_millis(secs.saturating_mul(1_000))),
    }
}

#[cfg(test)]
mod tests;
