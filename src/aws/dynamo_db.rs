//! What the two tables share: the client, and the table of DynamoDB's errors.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::config::{AwsSettings, sdk_config};
use super::errors::{Row, Service, THROTTLED, row};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};

pub(super) const DYNAMODB: Service = Service { remote: RemoteService::DynamoDb, table: ERRORS };

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const ERRORS: &[Row] = &[
    // The table: the provider stack is older than the function.
    row("ResourceNotFoundException", "", ErrorKind::NotFound),
    row("ProvisionedThroughputExceededException", "", THROTTLED),
    row("ReplicatedWriteConflictException", "", ErrorKind::Conflict),
    row("TransactionConflictException", "", ErrorKind::Conflict),
];

/// The attribute that is the key of both tables. Each attribute is named through a placeholder, since `key`, `ttl` and
/// more are reserved words.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html>
pub(super) const KEY: &str = "key";

pub(super) fn client(settings: &AwsSettings, http: &SharedHttpClient) -> Client {
    let endpoint = settings.endpoints.choose(settings.endpoints.dynamodb.as_ref());
    Client::new(&sdk_config(settings, http, endpoint))
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A number, if the attribute is one.
pub(super) fn as_number(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::errors::tests::check;
    use super::*;

    #[test]
    fn every_error_of_dynamodb_has_its_class() {
        check(
            &DYNAMODB,
            ERRORS,
            &[
                ("ResourceNotFoundException", "Requested resource not found", ErrorKind::NotFound),
                ("ProvisionedThroughputExceededException", "", THROTTLED),
                ("ReplicatedWriteConflictException", "", ErrorKind::Conflict),
                ("TransactionConflictException", "", ErrorKind::Conflict),
            ],
        );
    }
}
