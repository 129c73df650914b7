//! Prevents retries of writes that may have taken effect.
//!
//! The SDK repeats after throttles, connection errors, timeouts and 5xx. For reads that is right. For a write the last
//! three leave open whether it happened, which the pool's next observation shows: repeating blindly would register a
//! second revision or hide that the first call succeeded.

use std::error::Error;

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_types::retry::ErrorKind;

use super::http_client::NeverSent;

/// Forbids retries that the SDK's classifiers would make, unless the service throttled the call or the request was
/// never sent.
#[derive(Debug)]
pub(super) struct NotAfterUnclearOutcome;

impl ClassifyRetry for NotAfterUnclearOutcome {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        if !previous.should_retry() || is_throttle(previous) || never_sent(context) {
            RetryAction::NoActionIndicated
        } else {
            RetryAction::RetryForbidden
        }
    }

    fn name(&self) -> &'static str {
        "writes are not repeated after an unclear outcome"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

fn is_throttle(action: &RetryAction) -> bool {
    matches!(action, RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }))
}

fn never_sent(context: &InterceptorContext) -> bool {
    let Some(Err(error)) = context.output_or_error() else { return false };
    error.as_connector_error().and_then(Error::source).is_some_and(<dyn Error>::is::<NeverSent>)
}
