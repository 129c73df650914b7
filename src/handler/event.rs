//! The events that invoke the function. Each payload is parsed once, into one [`Event`].

use serde::Deserialize;
use serde_json::Value;

use super::preview::PreviewRequest;
use super::status::StatusScope;
use crate::cloudformation::envelope;
use crate::cloudformation::request::{self, CustomResourceRequest, ParsedEvent};
use crate::pool::model::continuation::{Continuation, ParsedContinuation};
use crate::pool::model::request::RequestInfo;

/// The `detail-type` of a launch hook's event.
const LAUNCH: &str = "EC2 Instance-launch Lifecycle Action";

/// An event.
pub(super) enum Event {
    /// A request of CloudFormation.
    Request(Box<CustomResourceRequest>),
    /// A continuation from an earlier invocation of this function.
    Continuation(Box<Continuation>),
    /// A continuation in the format of another version of this function.
    UnsupportedContinuation {
        request: RequestInfo,
        /// The physical id to respond with.
        physical_id: String,
    },
    /// An event that Lambda has stopped retrying, from the on-failure queue.
    OnFailure(Box<InvocationRecord>),
    /// `{"Plan": {…}}`: previews a deployment.
    Preview(Box<PreviewRequest>),
    /// `{"Status": {}}`: reports what runs in all pools or in those of one stack.
    Status(StatusScope),
    /// `{"Inventory": {}}`: reports all pools of this account and Region.
    Inventory,
    /// `{"Tick": {}}`: a minute has passed.
    Tick,
    /// `{"Listen": {}}`: the listener of the runner scale sets.
    Listen,
    /// An instance is about to join its group and waits for the launch hook.
    Launch(Box<LaunchAction>),
    /// Changes of the registrations table, in order.
    Registrations(Vec<RegistrationRecord>),
    /// A request without a usable response URL, for this reason.
    NoResponseUrl(&'static str),
    /// An event of unknown type.
    Unknown,
}

/// The record that Lambda sends to the on-failure destination.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvocationRecord {
    /// Why Lambda stopped.
    pub(super) request_context: RequestContext,
    /// The event.
    pub(super) request_payload: Value,
    /// What the last invocation returned.
    pub(super) response_payload: Option<ResponsePayload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestContext {
    /// `RetriesExhausted` or `EventAgeExceeded`.
    pub(super) condition: String,
    /// The number of attempts.
    pub(super) approximate_invoke_count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponsePayload {
    /// The error of the last attempt.
    pub(super) error_message: Option<String>,
}

/// EC2 Auto Scaling's event of a lifecycle hook, by the provider stack's rule.
///
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html>
#[derive(Deserialize)]
struct LifecycleEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: LaunchAction,
}

/// What a lifecycle hook of a launch waits for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LaunchAction {
    /// The group.
    pub(super) auto_scaling_group_name: String,
    /// The hook.
    pub(super) lifecycle_hook_name: String,
    /// `i-…`.
    #[serde(rename = "EC2InstanceId")]
    pub(super) instance: String,
    /// `AutoScalingGroup` or `WarmPool`.
    pub(super) destination: String,
}

/// A change of the registrations table: its stream carries keys only.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegistrationRecord {
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub(super) event_name: String,
    /// What changed.
    pub(super) dynamodb: StreamRecord,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamRecord {
    keys: RecordKeys,
    /// Identifies the record in a partial batch response.
    pub(super) sequence_number: String,
}

#[derive(Deserialize)]
struct RecordKeys {
    key: StringAttribute,
}

#[derive(Deserialize)]
struct StringAttribute {
    #[serde(rename = "S")]
    text: String,
}

impl RegistrationRecord {
    /// The item's key.
    pub(super) fn key(&self) -> &str {
        &self.dynamodb.keys.key.text
    }
}

#[derive(Deserialize)]
struct StreamBatch {
    #[serde(rename = "Records")]
    records: Vec<RegistrationRecord>,
}

impl Event {
    /// The events of a payload; several if it is a batch of SNS or SQS.
    pub(super) fn parse_all(payload: &Value) -> Vec<Self> {
        if let Ok(batch) = StreamBatch::deserialize(payload)
            && !batch.records.is_empty()
        {
            return vec![Self::Registrations(batch.records)];
        }
        envelope::unwrap(payload).iter().map(Self::parse).collect()
    }

    fn parse(event: &Value) -> Self {
        if let Some(preview) = PreviewRequest::parse(event) {
            return Self::Preview(Box::new(preview));
        }
        if let Some(scope) = StatusScope::parse(event) {
            return Self::Status(scope);
        }
        if event.get("Inventory").is_some_and(Value::is_object) {
            return Self::Inventory;
        }
        if event.get("Tick").is_some_and(Value::is_object) {
            return Self::Tick;
        }
        if event.get("Listen").is_some_and(Value::is_object) {
            return Self::Listen;
        }
        if let Ok(event) = LifecycleEvent::deserialize(event)
            && event.detail_type == LAUNCH
        {
            return Self::Launch(Box::new(event.detail));
        }
        if let Ok(record) = InvocationRecord::deserialize(event) {
            return Self::OnFailure(Box::new(record));
        }
        match ParsedContinuation::read(event) {
            Some(ParsedContinuation::Supported(continuation)) => Self::Continuation(continuation),
            Some(ParsedContinuation::UnsupportedVersion { request, id }) => {
                Self::UnsupportedContinuation { request, physical_id: id }
            }
            None => match request::parse(event) {
                ParsedEvent::Request(request) => Self::Request(request),
                ParsedEvent::NoResponseUrl(why) => Self::NoResponseUrl(why),
                ParsedEvent::NotARequest => Self::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests;
