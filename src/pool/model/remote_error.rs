//! What a remote said no to, in our words: how the pool sees an error.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

/// What kind of no it was. Assigned once, in the adapter of the service that said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    /// Too many calls; wait at least this long where the service said so.
    Throttled {
        /// The pause that the service asked for.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that says the service is unwell. Whether a write took effect is unknown.
    Unavailable,
    /// Something else is in the way for now: a busy association, a dependency that is still going.
    Conflict,
    /// The credential is not accepted at all (HTTP 401, an expired session).
    Unauthenticated,
    /// The credential is accepted, and not allowed to do this.
    Denied,
    /// The request itself is wrong, and would be wrong again.
    Invalid,
    /// The thing that was named does not exist.
    NotFound,
    /// Nothing in our tables. Retried within the budget, then reported with its own words.
    Unexpected,
}

impl ErrorKind {
    /// Whether the same request may succeed later, with nothing changed by anyone.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unavailable | Self::Conflict | Self::Unexpected => true,
            Self::Unauthenticated | Self::Denied | Self::Invalid | Self::NotFound => false,
        }
    }

    /// The name under which logs and metrics count it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Who said no.
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

/// One refused call, as an observation: plain values, no secret, comparable in tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// Who said it.
    pub remote: RemoteService,
    /// What kind of no.
    pub kind: ErrorKind,
    /// The call, by the service's own name for it, such as `CreateService` or `GET /orgs/acme/actions/runners`.
    pub operation: String,
    /// The service's error code or HTTP status, where it gave one.
    pub code: Option<String>,
    /// What it said, with nothing of ours added; for GitHub the sentence that helps stands in front.
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
