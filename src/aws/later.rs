//! The port [`Later`] on the AWS SDK: an asynchronous invocation of this very function.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::Blob;

use super::classify::{Row, Service, THROTTLED, row};
use super::config::{AwsSettings, sdk_config};
use crate::pool::refusal::{Class, Remote};
use crate::reconcile::ports::{Call, Later};

const LAMBDA: Service = Service { remote: Remote::Lambda, table: TABLE };

/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
const TABLE: &[Row] = &[
    row("TooManyRequestsException", "", THROTTLED),
    row("ServiceException", "", Class::Unavailable),
    row("ResourceConflictException", "", Class::Conflict),
    row("ResourceNotReadyException", "", Class::Conflict),
    row("ResourceNotFoundException", "", Class::Missing),
    row("RecursiveInvocationException", "", Class::Rejected),
    row("RequestTooLargeException", "", Class::Rejected),
    row("InvalidParameterValueException", "", Class::Rejected),
    row("InvalidRequestContentException", "", Class::Rejected),
];

/// AWS Lambda, for invocations of this function.
#[derive(Clone, Debug)]
pub struct LaterClient {
    sdk: Client,
}

impl LaterClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.lambda.as_ref());
        Self { sdk: Client::new(&sdk_config(settings, http, endpoint)) }
    }
}

impl Later for LaterClient {
    async fn invoke(&self, function: &str, event: Vec<u8>) -> Call<()> {
        // Repeating it is harmless: two invocations that go on from the same place come to the same end.
        let call = self.sdk.invoke().function_name(function).invocation_type(InvocationType::Event);
        let answer = call.payload(Blob::new(event)).send().await;
        answer.map(drop).map_err(|error| LAMBDA.refused("Invoke", error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::classify::tests::check;
    use super::*;

    #[test]
    fn every_error_of_lambda_has_its_class() {
        check(
            &LAMBDA,
            TABLE,
            &[
                ("TooManyRequestsException", "Rate Exceeded.", THROTTLED),
                ("ServiceException", "", Class::Unavailable),
                ("ResourceConflictException", "The operation cannot be performed at this time.", Class::Conflict),
                ("ResourceNotReadyException", "", Class::Conflict),
                ("ResourceNotFoundException", "Function not found", Class::Missing),
                ("RecursiveInvocationException", "", Class::Rejected),
                ("RequestTooLargeException", "", Class::Rejected),
                ("InvalidParameterValueException", "", Class::Rejected),
                ("InvalidRequestContentException", "", Class::Rejected),
            ],
        );
    }
}
