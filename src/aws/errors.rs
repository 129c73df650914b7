//! Classifies AWS errors for the pool.
//!
//! One table per service, most specific row first, then the table that all AWS services share, then the HTTP status.
//! ECS in particular has exceptions with many meanings, distinguished only by the message.

use std::fmt::Display;

use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;

use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

/// Pages of one list. A hundred pages of a hundred tasks are twice what ECS allows in a service.
const PAGES_MAX: usize = 100;
/// Characters of a service's message that are kept. EC2 appends an encoded text of several thousand to a denial.
const MESSAGE_CHARS_MAX: usize = 1000;

/// AWS names no pause with a throttle.
pub(super) const THROTTLED: ErrorKind = ErrorKind::Throttled { retry_after: None };

/// The class of an error with a code and a part of the message.
#[derive(Debug)]
pub(super) struct Row {
    /// The error code, whole.
    pub(super) code: &'static str,
    /// In lower case; empty fits every message.
    pub(super) message_part: &'static str,
    /// Its class.
    pub(super) kind: ErrorKind,
}

/// A row of a table.
pub(super) const fn row(code: &'static str, message_part: &'static str, kind: ErrorKind) -> Row {
    Row { code, message_part, kind }
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
    row("AccessDenied", "", ErrorKind::Denied),
    row("AccessDeniedException", "", ErrorKind::Denied),
    row("NotAuthorized", "", ErrorKind::Denied),
    row("OptInRequired", "", ErrorKind::Denied),
    row("UnauthorizedOperation", "", ErrorKind::Denied),
    row("AuthFailure", "", ErrorKind::Unauthenticated),
    row("ExpiredToken", "", ErrorKind::Unauthenticated),
    row("ExpiredTokenException", "", ErrorKind::Unauthenticated),
    row("IncompleteSignature", "", ErrorKind::Unauthenticated),
    row("InvalidClientTokenId", "", ErrorKind::Unauthenticated),
    row("InvalidSignatureException", "", ErrorKind::Unauthenticated),
    row("MissingAuthenticationToken", "", ErrorKind::Unauthenticated),
    row("MissingAuthenticationTokenException", "", ErrorKind::Unauthenticated),
    row("RequestExpired", "", ErrorKind::Unauthenticated),
    row("SignatureDoesNotMatch", "", ErrorKind::Unauthenticated),
    row("UnrecognizedClientException", "", ErrorKind::Unauthenticated),
    row("InternalError", "", ErrorKind::Unavailable),
    row("InternalFailure", "", ErrorKind::Unavailable),
    row("InternalServerError", "", ErrorKind::Unavailable),
    row("RequestTimeout", "", ErrorKind::Unavailable),
    row("RequestTimeoutException", "", ErrorKind::Unavailable),
    row("ServerException", "", ErrorKind::Unavailable),
    row("ServiceUnavailable", "", ErrorKind::Unavailable),
    row("ServiceUnavailableException", "", ErrorKind::Unavailable),
    row("Unavailable", "", ErrorKind::Unavailable),
    row("InvalidAction", "", ErrorKind::Invalid),
    row("InvalidParameterCombination", "", ErrorKind::Invalid),
    row("InvalidParameterValue", "", ErrorKind::Invalid),
    row("MissingParameter", "", ErrorKind::Invalid),
    row("SerializationException", "", ErrorKind::Invalid),
    row("ValidationError", "", ErrorKind::Invalid),
    row("ValidationException", "", ErrorKind::Invalid),
];

/// A service and its table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// The service, as the pool names it.
    pub(super) remote: RemoteService,
    /// Its own rows.
    pub(super) table: &'static [Row],
}

impl Service {
    /// The class of an error with this code and message; `status` decides where no row does.
    pub(super) fn kind(&self, code: Option<&str>, message: &str, status: Option<u16>) -> ErrorKind {
        let message = message.to_lowercase();
        let fits = |row: &&Row| code == Some(row.code) && message.contains(row.message_part);
        match self.table.iter().chain(COMMON).find(fits) {
            Some(row) => row.kind,
            None => match status {
                Some(401) => ErrorKind::Unauthenticated,
                Some(403) => ErrorKind::Denied,
                Some(429) => THROTTLED,
                Some(500..) => ErrorKind::Unavailable,
                _ => ErrorKind::Unexpected,
            },
        }
    }

    /// The error of a failed SDK call.
    ///
    /// Its source is the modelled error only, never the response: one that could not be read may contain a parameter's
    /// value, which `Debug` would print.
    pub(super) fn refused<E>(&self, operation: &str, error: SdkError<E, HttpResponse>) -> RemoteCallError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(service_error) => {
                let (code, message) = (service_error.err().code(), service_error.err().message());
                let status = service_error.raw().status().as_u16();
                let kind = self.kind(code, message.unwrap_or_default(), Some(status));
                let text = message.map_or_else(|| format!("HTTP {status}, no message"), str::to_owned);
                let remote_error = self.remote_error(operation, kind, code, text);
                RemoteCallError { remote_error, source: Some(Box::new(service_error.into_err())) }
            }
            SdkError::ResponseError(unread) => {
                let status = unread.raw().status().as_u16();
                let kind = self.kind(None, "", Some(status));
                let text = format!("HTTP {status}, a response that could not be read");
                RemoteCallError { remote_error: self.remote_error(operation, kind, None, text), source: None }
            }
            SdkError::ConstructionFailure(_) => {
                self.unsent(operation, ErrorKind::Invalid, "the request could not be built", error.into_source().ok())
            }
            SdkError::TimeoutError(_) => {
                self.unsent(operation, ErrorKind::Unavailable, "no response in time", error.into_source().ok())
            }
            SdkError::DispatchFailure(_) => {
                self.unsent(operation, ErrorKind::Unavailable, "no response", error.into_source().ok())
            }
            error => {
                self.unsent(operation, ErrorKind::Unexpected, "an unknown kind of error", error.into_source().ok())
            }
        }
    }

    /// An error that is not the SDK's: an entry of `failures[]`, or a check of our own.
    pub(super) fn error(&self, operation: &str, code: &str, message: impl Display) -> RemoteCallError {
        let message = message.to_string();
        let kind = self.kind(Some(code), &message, None);
        RemoteCallError { remote_error: self.remote_error(operation, kind, Some(code), message), source: None }
    }

    /// A request that the SDK's builder rejected as incomplete.
    pub(super) fn built<T>(&self, operation: &str, built: Result<T, BuildError>) -> RemoteResult<T> {
        built.map_err(|error| {
            self.unsent(operation, ErrorKind::Invalid, "the request could not be built", Some(Box::new(error)))
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
    ) -> RemoteResult<Vec<Page>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut read = Vec::new();
        while let Some(page) = pages.next().await {
            if read.len() == PAGES_MAX {
                return Err(self.error(operation, "TooManyPages", format_args!("the list has over {PAGES_MAX} pages")));
            }
            read.push(page.map_err(|error| self.refused(operation, error))?);
        }
        Ok(read)
    }

    fn unsent(
        &self,
        operation: &str,
        kind: ErrorKind,
        text: &str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> RemoteCallError {
        RemoteCallError { remote_error: self.remote_error(operation, kind, None, text.to_owned()), source }
    }

    fn remote_error(&self, operation: &str, kind: ErrorKind, code: Option<&str>, message: String) -> RemoteError {
        let message = if message.chars().count() > MESSAGE_CHARS_MAX {
            message.chars().take(MESSAGE_CHARS_MAX).chain(['…']).collect()
        } else {
            message
        };
        RemoteError {
            remote: self.remote,
            kind,
            operation: operation.to_owned(),
            code: code.map(str::to_owned),
            message,
        }
    }
}

/// Absent is data: a read of something that does not exist found nothing.
pub(super) fn found<T>(call: RemoteResult<T>) -> RemoteResult<Option<T>> {
    match call {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deleting what is gone is done.
pub(super) fn done_if_missing<T>(call: RemoteResult<T>) -> RemoteResult<()> {
    found(call).map(drop)
}

#[cfg(test)]
pub(super) mod tests;
