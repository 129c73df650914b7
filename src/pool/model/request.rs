//! What a request carries through every invocation: who asks, for what, and where the response goes.

use serde::{Deserialize, Serialize};

use crate::pool::model::identity::StackResource;
use crate::pool::model::secret::Secret;

/// Who asked, and where the response goes.
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

/// What CloudFormation asks for, in its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestType {
    /// A resource.
    Create,
    /// A change of one.
    Update,
    /// Its end.
    Delete,
    /// Something that no one knows, or that an older version did not note.
    #[default]
    Unknown,
}

impl RequestType {
    /// The word.
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
