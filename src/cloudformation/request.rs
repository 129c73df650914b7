//! Parses a raw event into a request of CloudFormation.
//!
//! The types of `aws_lambda_events` read it first. An event that does not have their form is read field by field: a
//! request gets a response as long as it says where to send one. A request that cannot be carried out becomes
//! [`RequestKind::Unknown`], with the failure reason.
//!
//! Never prints the response URL or the value of a property.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html>

mod signing_time;

use std::fmt;
use std::time::Duration;

use aws_lambda_events::event::cloudformation::CloudFormationCustomResourceRequest as TypedRequest;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::pool::model::identity::StackResource;
use crate::pool::model::secret::Secret;
use crate::pool::model::time::Timestamp;

use super::loopback::is_local_machine;
use super::properties::{DecodedProperties, SERVICE_TIMEOUT_MAX, decode, pool_properties_equal};

/// Characters of an unknown request type that the failure reason repeats.
const REQUEST_TYPE_CHARS_MAX: usize = 40;

/// What an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedEvent {
    /// A request that can be responded to.
    Request(Box<CustomResourceRequest>),
    /// A request, or a part of one, that has no usable response URL although a stack may be waiting. The text says why,
    /// without the URL.
    NoResponseUrl(&'static str),
    /// No part of a request: no stack is known to wait.
    NotARequest,
}

/// An event that has any of these fields is, or carries, a request.
const REQUEST_FIELDS: &[&str] = &[
    "RequestType",
    "ResponseURL",
    "StackId",
    "RequestId",
    "LogicalResourceId",
    "ResourceProperties",
    "GitHubRunnerPoolContinuation",
];

/// A Create, Update or Delete of one resource.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomResourceRequest {
    /// The type of the request, with what only that type has.
    pub kind: RequestKind,
    /// `RequestId`, echoed in the response. CloudFormation may reuse it when a failed deployment is retried.
    pub request_id: String,
    /// `ResponseURL`: anyone with it can respond in our place.
    pub response_url: Secret,
    /// The stack and the resource in it.
    pub stack_resource: StackResource,
    /// `ResourceProperties`.
    pub properties: Box<DecodedProperties>,
    /// When CloudFormation signed the response URL, and so began to wait, in whole seconds.
    pub signed_at: Option<Timestamp>,
    /// How long CloudFormation waits for the response: 1 s to 1 h.
    pub service_timeout: Duration,
}

/// The type of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum RequestKind {
    /// Create the resource.
    Create,
    /// Change the resource's properties.
    Update {
        /// `PhysicalResourceId`; empty if the event has none.
        physical_id: String,
        /// `OldResourceProperties`.
        previous: Box<DecodedProperties>,
        /// What differs between the two sets of properties.
        change: PropertiesChange,
    },
    /// Delete the resource.
    Delete {
        /// `PhysicalResourceId`; empty if the event has none.
        physical_id: String,
    },
    /// A request that cannot be carried out: the response is FAILED.
    Unknown {
        /// `PhysicalResourceId`; empty if the event has none.
        physical_id: String,
        /// The failure reason.
        reason: String,
    },
}

/// What differs between the properties of an Update and the old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertiesChange {
    /// A property of the pool, or none at all, as in a rollback.
    Pool,
    /// Only `ServiceToken` or `ServiceTimeout`.
    CloudFormationOnly,
}

impl PropertiesChange {
    fn between(old: &Value, new: &Value) -> Self {
        if old != new && pool_properties_equal(old, new) { Self::CloudFormationOnly } else { Self::Pool }
    }
}

impl CustomResourceRequest {
    /// The physical id that the request names, and that the response has to repeat.
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

impl fmt::Debug for CustomResourceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomResourceRequest")
            .field("kind", &self.kind)
            .field("request_id", &self.request_id)
            .field("response_url", &self.response_url)
            .field("origin", &self.stack_resource)
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
            Self::Unknown { reason, .. } => write!(f, "Unknown({reason})"),
        }
    }
}

/// Parses an event; total, see [`ParsedEvent`].
#[must_use]
pub fn parse(event: &Value) -> ParsedEvent {
    let typed = TypedRequest::<Value, Value>::deserialize(event).ok().and_then(RequestFields::from_typed);
    match typed.or_else(|| RequestFields::from_json(event)) {
        Some(fields) => fields.into_parsed_event(),
        None if REQUEST_FIELDS.iter().any(|field| event.get(field).is_some()) => {
            ParsedEvent::NoResponseUrl("the event has no ResponseURL")
        }
        None => ParsedEvent::NotARequest,
    }
}

/// The fields of a request, however they were read. A missing id is empty.
struct RequestFields {
    request_type: String,
    request_id: String,
    response_url: String,
    stack_id: String,
    logical_id: String,
    physical_id: String,
    properties: Value,
    old_properties: Value,
}

impl RequestFields {
    /// `None` for a request type that a newer version of `aws_lambda_events` may know.
    fn from_typed(request: TypedRequest<Value, Value>) -> Option<Self> {
        Some(match request {
            TypedRequest::Create(create) => Self {
                request_type: "Create".to_owned(),
                request_id: create.request_id,
                response_url: create.response_url,
                stack_id: create.stack_id,
                logical_id: create.logical_resource_id,
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
                physical_id: delete.physical_resource_id,
                properties: delete.resource_properties,
                old_properties: Value::Null,
            },
            _ => return None,
        })
    }

    /// `None` if there is no `ResponseURL`.
    fn from_json(event: &Value) -> Option<Self> {
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
            physical_id: text("PhysicalResourceId"),
            properties: json("ResourceProperties"),
            old_properties: json("OldResourceProperties"),
        })
    }

    fn into_parsed_event(self) -> ParsedEvent {
        let Ok(url) = Url::parse(&self.response_url) else {
            return ParsedEvent::NoResponseUrl("the event's ResponseURL is not a URL");
        };
        // The response holds no secret, but anyone who reads the URL in transit can respond in our place.
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local_machine(&url)) {
            return ParsedEvent::NoResponseUrl("the event's ResponseURL is neither https nor on this machine");
        }
        let service_timeout = service_timeout(&self.properties);
        ParsedEvent::Request(Box::new(CustomResourceRequest {
            kind: self.kind(service_timeout),
            request_id: self.request_id,
            response_url: Secret::new(self.response_url),
            stack_resource: StackResource { stack_id: self.stack_id, logical_id: self.logical_id },
            signed_at: signing_time::signed_at(&url),
            service_timeout,
            properties: Box::new(decode(&self.properties, service_timeout)),
        }))
    }

    fn kind(&self, service_timeout: Duration) -> RequestKind {
        let missing =
            [("StackId", &self.stack_id), ("LogicalResourceId", &self.logical_id), ("RequestId", &self.request_id)]
                .into_iter()
                .find(|(_, id)| id.is_empty())
                .map(|(name, _)| name);
        let physical_id = self.physical_id.clone();
        if let Some(name) = missing {
            // These ids identify the pool.
            let reason = format!("{name}: missing. Specify it in the request.");
            return RequestKind::Unknown { physical_id, reason };
        }
        match self.request_type.as_str() {
            "Create" => RequestKind::Create,
            "Update" => RequestKind::Update {
                physical_id,
                previous: Box::new(decode(&self.old_properties, service_timeout)),
                change: PropertiesChange::between(&self.old_properties, &self.properties),
            },
            "Delete" => RequestKind::Delete { physical_id },
            other => {
                let other: String = other.chars().take(REQUEST_TYPE_CHARS_MAX).collect();
                let reason = format!("RequestType: {other:?} is invalid. Specify Create, Update or Delete.");
                RequestKind::Unknown { physical_id, reason }
            }
        }
    }
}

/// `ServiceTimeout`, or CloudFormation's default if it is missing or out of range.
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
