//! The port [`SelfInvoker`] on the AWS SDK: an asynchronous invocation of this very function.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::Blob;

use super::config::{AwsSettings, sdk_config};
use super::errors::{Row, Service, THROTTLED, row};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};
use crate::reconcile::ports::{RemoteResult, SelfInvoker};

const LAMBDA: Service = Service { remote: RemoteService::Lambda, table: TABLE };

/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
const TABLE: &[Row] = &[
    row("TooManyRequestsException", "", THROTTLED),
    row("ServiceException", "", ErrorKind::Unavailable),
    row("ResourceConflictException", "", ErrorKind::Conflict),
    row("ResourceNotReadyException", "", ErrorKind::Conflict),
    row("ResourceNotFoundException", "", ErrorKind::NotFound),
    row("RecursiveInvocationException", "", ErrorKind::Invalid),
    row("RequestTooLargeException", "", ErrorKind::Invalid),
    row("InvalidParameterValueException", "", ErrorKind::Invalid),
    row("InvalidRequestContentException", "", ErrorKind::Invalid),
];

/// AWS Lambda, for invocations of this function.
#[derive(Clone, Debug)]
pub struct SelfInvokeClient {
    sdk: Client,
}

impl SelfInvokeClient {
    pub(super) fn new(settings: &AwsSettings, http: &SharedHttpClient) -> Self {
        let endpoint = settings.endpoints.choose(settings.endpoints.lambda.as_ref());
        Self { sdk: Client::new(&sdk_config(settings, http, endpoint)) }
    }
}

impl SelfInvoker for SelfInvokeClient {
    async fn invoke(&self, function: &str, event: Vec<u8>) -> RemoteResult<()> {
        // Repeating it is harmless: two invocations that go on from the same place come to the same end.
        let call = self.sdk.invoke().function_name(function).invocation_type(InvocationType::Event);
        let response = call.payload(Blob::new(event)).send().await;
        response.map(drop).map_err(|error| LAMBDA.refused("Invoke", error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::errors::tests::check;
    use super::*;

    #[test]
    fn every_error_of_lambda_has_its_class() {
        check(
            &LAMBDA,
            TABLE,
            &[
                ("TooManyRequestsException", "Rate Exceeded.", THROTTLED),
                ("ServiceException", "", ErrorKind::Unavailable),
                ("ResourceConflictException", "The operation cannot be performed at this time.", ErrorKind::Conflict),
                ("ResourceNotReadyException", "", ErrorKind::Conflict),
                ("ResourceNotFoundException", "Function not found", ErrorKind::NotFound),
                ("RecursiveInvocationException", "", ErrorKind::Invalid),
                ("RequestTooLargeException", "", ErrorKind::Invalid),
                ("InvalidParameterValueException", "", ErrorKind::Invalid),
                ("InvalidRequestContentException", "", ErrorKind::Invalid),
            ],
        );
    }
}
