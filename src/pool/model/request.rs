//! The part of a request that every invocation carries: its ids, its type and the response URL.

use serde::{Deserialize, Serialize};

use crate::pool::model::identity::StackResource;
use crate::pool::model::secret::Secret;

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
