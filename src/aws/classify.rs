//! From an AWS error to the class in which the pool sees it.
//!
//! One table per service, most specific row first, then the table that all AWS services share, then the HTTP status.
//! ECS in particular gives one exception many meanings, told apart only by the message.

use std::fmt::Display;

use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;

use crate::pool::refusal::{Class, Refusal, Remote};
use crate::reconcile::ports::{Call, CallError};

/// Pages of one list. A hundred pages of a hundred tasks are twice what ECS allows in a service.
const PAGES_MAX: usize = 100;
/// Characters of a service's message that are kept. EC2 appends an encoded text of several thousand to a denial.
const MESSAGE_CHARS_MAX: usize = 1000;

/// A throttle without a pause of the service's choosing: AWS names none.
pub(super) const THROTTLED: Class = Class::Throttled { retry_after: None };

/// What a code and a part of the message mean.
#[derive(Debug)]
pub(super) struct Row {
    /// The error code, whole.
    pub(super) code: &'static str,
    /// A part of the message in lower case; empty fits every message.
    pub(super) says: &'static str,
    /// What it means to the pool.
    pub(super) class: Class,
}

/// A row of a table.
pub(super) const fn row(code: &'static str, says: &'static str, class: Class) -> Row {
    Row { code, says, class }
}

/// The codes that every AWS service uses.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
pub(super) const COMMON: &[Row] = &[
    row("Throttling", "", THROTTLED),
    row("ThrottlingException", "", THROTTLED),
    row("ThrottledException", "", THROTTLED),
    row("RequestLimitExceeded", "", THROTTLED),
    row("RequestThrottled", "", THROTTLED),
    row("RequestThrottledException", "", THROTTLED),
    row("TooManyRequests", "", THROTTLED),
    row("TooManyRequestsException", "", THROTTLED),
    row("EC2ThrottledException", "", THROTTLED),
    row("SlowDown", "", THROTTLED),
    row("AccessDenied", "", Class::Denied),
    row("AccessDeniedException", "", Class::Denied),
    row("NotAuthorized", "", Class::Denied),
    row("OptInRequired", "", Class::Denied),
    row("UnauthorizedOperation", "", Class::Denied),
    row("AuthFailure", "", Class::Unauthenticated),
    row("ExpiredToken", "", Class::Unauthenticated),
    row("ExpiredTokenException", "", Class::Unauthenticated),
    row("IncompleteSignature", "", Class::Unauthenticated),
    row("InvalidClientTokenId", "", Class::Unauthenticated),
    row("InvalidSignatureException", "", Class::Unauthenticated),
    row("MissingAuthenticationToken", "", Class::Unauthenticated),
    row("MissingAuthenticationTokenException", "", Class::Unauthenticated),
    row("RequestExpired", "", Class::Unauthenticated),
    row("SignatureDoesNotMatch", "", Class::Unauthenticated),
    row("UnrecognizedClientException", "", Class::Unauthenticated),
    row("InternalError", "", Class::Unavailable),
    row("InternalFailure", "", Class::Unavailable),
    row("InternalServerError", "", Class::Unavailable),
    row("RequestTimeout", "", Class::Unavailable),
    row("RequestTimeoutException", "", Class::Unavailable),
    row("ServerException", "", Class::Unavailable),
    row("ServiceUnavailable", "", Class::Unavailable),
    row("ServiceUnavailableException", "", Class::Unavailable),
    row("Unavailable", "", Class::Unavailable),
    row("InvalidAction", "", Class::Rejected),
    row("InvalidParameterCombination", "", Class::Rejected),
    row("InvalidParameterValue", "", Class::Rejected),
    row("MissingParameter", "", Class::Rejected),
    row("SerializationException", "", Class::Rejected),
    row("ValidationError", "", Class::Rejected),
    row("ValidationException", "", Class::Rejected),
];

/// A service and its table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// Who it is to the pool.
    pub(super) remote: Remote,
    /// Its own rows.
    pub(super) table: &'static [Row],
}

impl Service {
    /// The class of an error with this code and message; `status` decides where no row does.
    pub(super) fn class(&self, code: Option<&str>, message: &str, status: Option<u16>) -> Class {
        let message = message.to_lowercase();
        let fits = |row: &&Row| code == Some(row.code) && message.contains(row.says);
        match self.table.iter().chain(COMMON).find(fits) {
            Some(row) => row.class,
            None => match status {
                Some(401) => Class::Unauthenticated,
                Some(403) => Class::Denied,
                Some(429) => THROTTLED,
                Some(500..) => Class::Unavailable,
                _ => Class::Unexpected,
            },
        }
    }

    /// A refused call of the SDK.
    ///
    /// The source kept is the modelled error only. A response stays out of it: an answer that could not be read may
    /// hold a parameter's value, and `Debug` would print it.
    pub(super) fn refused<E>(&self, operation: &str, error: SdkError<E, HttpResponse>) -> CallError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(said) => {
                let (code, message) = (said.err().code(), said.err().message());
                let status = said.raw().status().as_u16();
                let class = self.class(code, message.unwrap_or_default(), Some(status));
                let text = message.map_or_else(|| format!("HTTP {status}, no message"), str::to_owned);
                let refusal = self.refusal(operation, class, code, text);
                CallError { refusal, source: Some(Box::new(said.into_err())) }
            }
            SdkError::ResponseError(unread) => {
                let status = unread.raw().status().as_u16();
                let class = self.class(None, "", Some(status));
                let text = format!("HTTP {status}, an answer that could not be read");
                CallError { refusal: self.refusal(operation, class, None, text), source: None }
            }
            SdkError::ConstructionFailure(_) => {
                self.unsent(operation, Class::Rejected, "the request could not be built", error.into_source().ok())
            }
            SdkError::TimeoutError(_) => {
                self.unsent(operation, Class::Unavailable, "no answer in time", error.into_source().ok())
            }
            SdkError::DispatchFailure(_) => {
                self.unsent(operation, Class::Unavailable, "no answer", error.into_source().ok())
            }
            error => self.unsent(operation, Class::Unexpected, "an unknown kind of error", error.into_source().ok()),
        }
    }

    /// A refusal that no error of the SDK carries: an entry of `failures[]`, or a finding of our own.
    pub(super) fn said(&self, operation: &str, code: &str, message: impl Display) -> CallError {
        let message = message.to_string();
        let class = self.class(Some(code), &message, None);
        CallError { refusal: self.refusal(operation, class, Some(code), message), source: None }
    }

    /// A request of ours that the SDK's builder took for incomplete.
    pub(super) fn built<T>(&self, operation: &str, built: Result<T, BuildError>) -> Call<T> {
        built.map_err(|error| {
            self.unsent(operation, Class::Rejected, "the request could not be built", Some(Box::new(error)))
        })
    }

    /// Every page of a list.
    ///
    /// # Errors
    /// The first refused page, or more than [`PAGES_MAX`] pages: half a list must not pass for a whole one.
    pub(super) async fn all_pages<Page, E>(
        &self,
        operation: &str,
        mut pages: PaginationStream<Result<Page, SdkError<E, HttpResponse>>>,
    ) -> Call<Vec<Page>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut read = Vec::new();
        while let Some(page) = pages.next().await {
            if read.len() == PAGES_MAX {
                return Err(self.said(operation, "TooManyPages", format_args!("the list has over {PAGES_MAX} pages")));
            }
            read.push(page.map_err(|error| self.refused(operation, error))?);
        }
        Ok(read)
    }

    fn unsent(
        &self,
        operation: &str,
        class: Class,
        text: &str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> CallError {
        CallError { refusal: self.refusal(operation, class, None, text.to_owned()), source }
    }

    fn refusal(&self, operation: &str, class: Class, code: Option<&str>, message: String) -> Refusal {
        let message = if message.chars().count() > MESSAGE_CHARS_MAX {
            message.chars().take(MESSAGE_CHARS_MAX).chain(['…']).collect()
        } else {
            message
        };
        Refusal { remote: self.remote, class, operation: operation.to_owned(), code: code.map(str::to_owned), message }
    }
}

/// Absent is data: a read of something that does not exist found nothing.
pub(super) fn found<T>(call: Call<T>) -> Call<Option<T>> {
    match call {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class() == Class::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deleting what is gone is done.
pub(super) fn done_if_missing<T>(call: Call<T>) -> Call<()> {
    found(call).map(drop)
}

#[cfg(test)]
pub(super) mod tests;
