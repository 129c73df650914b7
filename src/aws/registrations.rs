//! The port [`Registrations`] on DynamoDB: a mailbox with one item for each task, which only the task and the function
//! can write.
//!
//! A task puts its request under its own key, the function adds the answer, and the task takes the whole item by a
//! deletion. Nothing else is ever in the table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::config::AwsSettings;
use super::dynamo_db::{DYNAMODB, KEY, as_number, client};
use crate::pool::model::registration::{Architecture, RegistrationAnswer, RegistrationRequest};
use crate::reconcile::ports::{AnswerWrite, Registrations, RemoteResult};

/// The format of the requests that this version reads.
const FORMAT: u64 = 1;

const FORMAT_OF_REQUEST: &str = "format";
const TASK: &str = "task";
const ATTEMPT: &str = "attempt";
const ARCHITECTURE: &str = "architecture";
const ANSWER: &str = "answer";

/// The condition that the container still waits, in any attempt: answering a deleted item would create one that no one
/// deletes.
const IF_WAITING: &str = "attribute_exists(#key) AND attribute_not_exists(#answer)";

/// The registrations table.
#[derive(Clone, Debug)]
pub struct RegistrationsClient {
    sdk: Client,
    table: String,
}

impl RegistrationsClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        Self { sdk: client(settings, http), table: settings.registrations_table.clone() }
    }
}

impl Registrations for RegistrationsClient {
    async fn request(&self, key: &str) -> RemoteResult<Option<RegistrationRequest>> {
        let call = self.sdk.get_item().table_name(&self.table).key(KEY, AttributeValue::S(key.to_owned()));
        let response = call.consistent_read(true).send().await.map_err(|error| DYNAMODB.refused("GetItem", error))?;
        Ok(response.item.and_then(|item| request(key, |name| item.get(name))))
    }

    async fn answer(&self, request: &RegistrationRequest, answer: &RegistrationAnswer) -> RemoteResult<AnswerWrite> {
        let call = self
            .sdk
            .update_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(request.key.clone()))
            .update_expression("SET #answer = :answer")
            .condition_expression(IF_WAITING)
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#answer", ANSWER)
            .expression_attribute_values(":answer", AttributeValue::S(answer.to_text().expose().to_owned()));
        match call.send().await {
            Ok(_) => Ok(AnswerWrite::Stored),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(AnswerWrite::Withdrawn)
            }
            Err(error) => Err(DYNAMODB.refused("UpdateItem", error)),
        }
    }
}

/// A request without an answer; anything else in the table is none.
fn request<'item>(key: &str, attribute: impl Fn(&str) -> Option<&'item AttributeValue>) -> Option<RegistrationRequest> {
    let text = |name: &str| attribute(name).and_then(|value| value.as_s().ok());
    let is_readable = attribute(FORMAT_OF_REQUEST).and_then(as_number) == Some(FORMAT);
    if !is_readable || attribute(ANSWER).is_some() {
        return None;
    }
    Some(RegistrationRequest {
        key: key.to_owned(),
        task_arn: text(TASK)?.clone(),
        attempt: attribute(ATTEMPT).and_then(as_number)?,
        architecture: text(ARCHITECTURE).and_then(|name| Architecture::of_machine(name)),
    })
}

#[cfg(test)]
mod tests;
