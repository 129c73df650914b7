//! A request of CloudFormation's, out of the raw event.
//!
//! The first reading is by the types of `aws_lambda_events`. Where they refuse, a lenient one takes over: whatever else
//! an event lacks, it is answered as long as it says where. What cannot be carried out becomes
//! [`RequestKind::Unknown`] with the sentence that says why.
//!
//! Never prints the response URL or a property's value.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html>

mod signed;

use std::fmt;
use std::time::Duration;

use aws_lambda_events::event::cloudformation::CloudFormationCustomResourceRequest as TypedRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::pool::model::identity::StackResource;
use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;

use super::loopback::is_local_machine;
use super::properties::SERVICE_TIMEOUT_MAX;

/// Characters of an unknown request type that its answer repeats.
const TYPE_CHARS_MAX: usize = 40;

/// What an event turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A request that can be answered.
    Request(Box<Request>),
    /// A request, or a part of one, that cannot be answered although a stack may wait for that; the reason says why, for
    /// the log, without the URL.
    Unanswerable(&'static str),
    /// Nothing of a request: no stack is known to wait.
    NoRequest,
}

/// Fields of a request, and of what an invocation hands on of one: an event that has any of them is about one.
const MARKS: &[&str] = &[
    "RequestType",
    "ResponseURL",
    "StackId",
    "RequestId",
    "LogicalResourceId",
    "ResourceProperties",
    "GitHubRunnerPoolContinuation",
];

/// One request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked for.
    pub kind: RequestKind,
    /// CloudFormation's id of the request, echoed in the answer. It may be reused when a failed deployment is retried.
    pub request_id: String,
    /// Where the answer goes.
    pub response_url: Secret,
    /// Which resource of which stack.
    pub stack_resource: StackResource,
    /// The resource's type in the template, such as `Custom::GitHubRunnerPool`.
    pub resource_type: String,
    /// The properties, as they came; null where there were none.
    pub properties: Value,
    /// When CloudFormation signed the URL and so began to wait, in whole seconds.
    pub signed_at: Option<Timestamp>,
    /// How long CloudFormation waits in all: 1 s to 1 h.
    pub service_timeout: Duration,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestKind {
    /// A new resource.
    Create,
    /// Other properties.
    Update {
        /// The id that the resource has; empty if the event has none.
        physical_id: String,
        /// The properties so far, as they came; null where there were none.
        old_properties: Value,
    },
    /// The end of the resource.
    Delete {
        /// The id that the resource has; empty if the event has none.
        physical_id: String,
    },
    /// Nothing that can be carried out: the answer is FAILED.
    Unknown {
        /// The id that the resource has; empty if the event has none.
        physical_id: String,
        /// Why not, in a sentence for the answer.
        why: String,
    },
}

impl Request {
    /// The id that the resource has, where the request names one: what an answer has to repeat.
    #[must_use]
    pub fn physical_id(&self) -> Option<&str> {
        match &self.kind {
            RequestKind::Update { physical_id, .. }
            | RequestKind::Delete { physical_id }
            | RequestKind::Unknown { physical_id, .. } => Some(physical_id.as_str()),
            RequestKind::Create => None,
        }
        .filter(|id| !id.is_empty())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("kind", &self.kind)
            .field("request_id", &self.request_id)
            .field("response_url", &self.response_url)
            .field("origin", &self.stack_resource)
            .field("resource_type", &self.resource_type)
            .field("signed_at", &self.signed_at)
            .field("service_timeout", &self.service_timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("Create"),
            Self::Update { physical_id, .. } => write!(f, "Update({physical_id})"),
            Self::Delete { physical_id } => write!(f, "Delete({physical_id})"),
            Self::Unknown { why, .. } => write!(f, "Unknown({why})"),
        }
    }
}

/// Takes an event apart. Never fails: see [`Decoded`].
#[must_use]
pub fn decode(event: &Value) -> Decoded {
    let typed = TypedRequest::<Value, Value>::deserialize(event).ok().and_then(Parts::typed);
    match typed.or_else(|| Parts::lenient(event)) {
        Some(parts) => parts.into_decoded(),
        None if MARKS.iter().any(|mark| event.get(mark).is_some()) => {
            Decoded::Unanswerable("the event has no ResponseURL")
        }
        None => Decoded::NoRequest,
    }
}

/// An event's fields, whichever way they were read. An id that is missing is empty.
struct Parts {
    request_type: String,
    request_id: String,
    response_url: String,
    stack_id: String,
    logical_id: String,
    resource_type: String,
    physical_id: String,
    properties: Value,
    old_properties: Value,
}

impl Parts {
    /// By the types of `aws_lambda_events`; `None` for a kind that a newer version of it may know.
    fn typed(request: TypedRequest<Value, Value>) -> Option<Self> {
        Some(match request {
            TypedRequest::Create(create) => Self {
                request_type: "Create".to_owned(),
                request_id: create.request_id,
                response_url: create.response_url,
                stack_id: create.stack_id,
                logical_id: create.logical_resource_id,
                resource_type: create.resource_type,
                physical_id: String::new(),
                properties: create.resource_properties,
                old_properties: Value::Null,
            },
            TypedRequest::Update(update) => Self {
                request_type: "Update".to_owned(),
                request_id: update.request_id,
                response_url: update.response_url,
                stack_id: update.stack_id,
                logical_id: update.logical_resource_id,
                resource_type: update.resource_type,
                physical_id: update.physical_resource_id,
                properties: update.resource_properties,
                old_properties: update.old_resource_properties,
            },
            TypedRequest::Delete(delete) => Self {
                request_type: "Delete".to_owned(),
                request_id: delete.request_id,
                response_url: delete.response_url,
                stack_id: delete.stack_id,
                logical_id: delete.logical_resource_id,
                resource_type: delete.resource_type,
                physical_id: delete.physical_resource_id,
                properties: delete.resource_properties,
                old_properties: Value::Null,
            },
            _ => return None,
        })
    }

    /// Field by field; `None` if there is no `ResponseURL`.
    fn lenient(event: &Value) -> Option<Self> {
        let text = |name: &str| match event.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => String::new(),
        };
        let json = |name: &str| event.get(name).cloned().unwrap_or_default();
        Some(Self {
            request_type: text("RequestType"),
            request_id: text("RequestId"),
            response_url: event.get("ResponseURL")?.as_str()?.to_owned(),
            stack_id: text("StackId"),
            logical_id: text("LogicalResourceId"),
            resource_type: text("ResourceType"),
            physical_id: text("PhysicalResourceId"),
            properties: json("ResourceProperties"),
            old_properties: json("OldResourceProperties"),
        })
    }

    fn into_decoded(self) -> Decoded {
        let Ok(url) = Url::parse(&self.response_url) else {
            return Decoded::Unanswerable("the event's ResponseURL is no URL");
        };
        // Whoever reads the answer on its way learns nothing, but whoever reads the URL can answer for us.
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local_machine(&url)) {
            return Decoded::Unanswerable("the event's ResponseURL is not https, and not of this machine");
        }
        Decoded::Request(Box::new(Request {
            kind: self.kind(),
            request_id: self.request_id,
            response_url: Secret::new(self.response_url),
            stack_resource: StackResource { stack_id: self.stack_id, logical_id: self.logical_id },
            resource_type: self.resource_type,
            signed_at: signed::signed_at(&url),
            service_timeout: service_timeout(&self.properties),
            properties: self.properties,
        }))
    }

    fn kind(&self) -> RequestKind {
        let lacks =
            [("StackId", &self.stack_id), ("LogicalResourceId", &self.logical_id), ("RequestId", &self.request_id)]
                .into_iter()
                .find(|(_, id)| id.is_empty())
                .map(|(name, _)| name);
        let physical_id = self.physical_id.clone();
        if let Some(name) = lacks {
            // Without these no pool can be told from another.
            return RequestKind::Unknown { physical_id, why: format!("The request has no {name}.") };
        }
        match self.request_type.as_str() {
            "Create" => RequestKind::Create,
            "Update" => RequestKind::Update { physical_id, old_properties: self.old_properties.clone() },
            "Delete" => RequestKind::Delete { physical_id },
            "" => RequestKind::Unknown { physical_id, why: "The request has no RequestType.".to_owned() },
            other => {
                let other: String = other.chars().take(TYPE_CHARS_MAX).collect();
                let why = format!("The request's type is {other:?}, which is none of Create, Update and Delete.");
                RequestKind::Unknown { physical_id, why }
            }
        }
    }
}

/// `ServiceTimeout` of the properties; CloudFormation's default where it makes no sense.
fn service_timeout(properties: &Value) -> Duration {
    let secs = match properties.get("ServiceTimeout") {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    secs.map(Duration::from_secs)
        .filter(|span| !span.is_zero() && *span <= SERVICE_TIMEOUT_MAX)
        .unwrap_or(SERVICE_TIMEOUT_MAX)
}

#[cfg(test)]
mod tests;
