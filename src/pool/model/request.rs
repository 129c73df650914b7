//! The part of a request that every invocation carries: its ids, its type and the response URL.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::pool::model::identity::StackResource;
use crate::pool::model::secret::Secret;

/// Hexadecimal digits that distinguish response URLs.
const URL_DIGITS: usize = 16;

/// A request of CloudFormation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestInfo {
    /// What was asked for.
    #[serde(default)]
    pub request_type: RequestType,
    /// CloudFormation's id of the request, echoed in the response.
    pub request_id: String,
    /// The resource.
    pub stack_resource: StackResource,
    /// The pre-signed URL: anyone with it can respond in the function's place.
    pub response_url: Secret,
}

impl RequestInfo {
    /// Distinguishes this request from every other one, and is the same in all its deliveries. Its id alone does not:
    /// CloudFormation reuses the id of a failed deployment when that is repeated.
    /// <https://github.com/aws/aws-cdk/issues/35957>
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.request_id, self.url_digest())
    }

    /// A digest of the response URL.
    #[must_use]
    pub fn url_digest(&self) -> String {
        let hash = Sha256::digest(self.response_url.expose());
        hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(URL_DIGITS).collect()
    }
}

/// CloudFormation's `RequestType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestType {
    /// Create a resource.
    Create,
    /// Update a resource.
    Update,
    /// Delete a resource.
    Delete,
    /// An unknown type, or one that an older version of the function did not record.
    #[default]
    Unknown,
}

impl RequestType {
    /// CloudFormation's name of the type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Unknown => "Unknown",
        }
    }
}
