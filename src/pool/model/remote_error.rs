//! An error of a remote service, as policy sees it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

/// The kind of an error. The adapter of the service assigns it, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    /// Too many calls; wait at least this long where the service said so.
    Throttled {
        /// The pause that the service asked for.
        retry_after: Option<Duration>,
    },
    /// No response, or a server error. Whether a write took effect is unknown.
    Unavailable,
    /// No connection: a name without an address, a connection refused, a TLS handshake that failed. Nothing was sent.
    Unreachable,
    /// A conflict that may pass, such as a cluster update in progress or a dependency that is still being deleted.
    Conflict,
    /// The credential is not accepted at all (HTTP 401, an expired session).
    Unauthenticated,
    /// The credential is accepted, and not allowed to do this.
    Denied,
    /// The request itself is wrong, and would be wrong again.
    Invalid,
    /// The thing that was named does not exist.
    NotFound,
    /// An error in no table. It is retried a few times, then reported with its own message.
    Unexpected,
}

impl ErrorKind {
    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unavailable | Self::Unreachable | Self::Conflict | Self::Unexpected => true,
            Self::Unauthenticated | Self::Denied | Self::Invalid | Self::NotFound => false,
        }
    }

    /// The name under which logs and metrics count it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The service that returned the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteService {
    /// AWS CloudFormation.
    CloudFormation,
    /// Amazon ECS.
    Ecs,
    /// Amazon EC2 Auto Scaling.
    AutoScaling,
    /// Amazon EC2.
    Ec2,
    /// Amazon DynamoDB.
    DynamoDb,
    /// AWS Systems Manager Parameter Store.
    ParameterStore,
    /// Amazon CloudWatch Logs.
    Logs,
    /// AWS Lambda.
    Lambda,
    /// GitHub's REST API.
    GitHub,
}

impl fmt::Display for RemoteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudFormation => "CloudFormation",
            Self::Ecs => "Amazon ECS",
            Self::AutoScaling => "EC2 Auto Scaling",
            Self::Ec2 => "Amazon EC2",
            Self::DynamoDb => "Amazon DynamoDB",
            Self::ParameterStore => "Parameter Store",
            Self::Logs => "CloudWatch Logs",
            Self::Lambda => "AWS Lambda",
            Self::GitHub => "GitHub",
        })
    }
}

/// A failed call as an observation: plain values without secrets, which tests can compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// The service.
    pub remote: RemoteService,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The call, by the service's own name for it, such as `CreateService` or `GET /orgs/acme/actions/runners`.
    pub operation: String,
    /// The service's error code or HTTP status, where it gave one.
    pub code: Option<String>,
    /// The service's message, unchanged; for GitHub, a sentence that says what to do precedes it.
    pub message: String,
}

impl RemoteError {
    /// Whose service-linked role is missing, or has not spread yet, if that is what was refused.
    ///
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html>,
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html>
    #[must_use]
    pub fn missing_role(&self) -> Option<&'static str> {
        let message = self.message.to_lowercase().replace("service-linked", "service linked");
        let is_named =
            message.contains("service linked role") || self.code.as_deref() == Some("ServiceLinkedRoleFailure");
        match self.remote {
            _ if !is_named => None,
            RemoteService::AutoScaling | RemoteService::Ec2 if message.contains("spot") => Some("spot.amazonaws.com"),
            RemoteService::AutoScaling => Some("autoscaling.amazonaws.com"),
            RemoteService::Ecs => Some("ecs.amazonaws.com"),
            RemoteService::CloudFormation
            | RemoteService::Ec2
            | RemoteService::ParameterStore
            | RemoteService::DynamoDb
            | RemoteService::Lambda
            | RemoteService::Logs
            | RemoteService::GitHub => None,
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} failed", self.remote, self.operation)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        write!(f, ": {}", self.message)
    }
}
