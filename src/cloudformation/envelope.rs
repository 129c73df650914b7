//! Unwraps an event that reached the function through SNS or SQS.
//!
//! CloudFormation invokes the function directly, or publishes the request to an SNS topic that is the resource's
//! `ServiceToken`; the topic invokes the function, or feeds a queue that does. Lambda's invocation records come from the
//! on-failure queue.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources-sns.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>, <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use serde::Deserialize;
use serde_json::Value;

/// An SQS message that contains an SNS notification has 2; one to spare.
const DEPTH_MAX: u32 = 3;

#[derive(Deserialize)]
struct RecordsEvent {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

/// The events that an SNS or SQS event contains, or else the event itself. A message that is not JSON becomes a string.
#[must_use]
pub fn unwrap(event: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    unwrap_into(event, DEPTH_MAX, &mut events);
    events
}

fn unwrap_into(event: &Value, depth: u32, events: &mut Vec<Value>) {
    let messages = messages(event).filter(|_| depth > 0);
    let Some(messages) = messages else {
        events.push(event.clone());
        return;
    };
    for message in messages {
        match serde_json::from_str(&message) {
            Ok(inner) => unwrap_into(&inner, depth.saturating_sub(1), events),
            Err(_) => events.push(Value::String(message)),
        }
    }
}

/// The messages of an SNS or SQS event; `None` of any other event.
fn messages(event: &Value) -> Option<Vec<String>> {
    match RecordsEvent::deserialize(event) {
        Ok(event) => event.records.iter().map(message_of_record).collect(),
        // As a topic sends it to a queue, unless its subscription has raw message delivery.
        Err(_) if event.get("Type")?.as_str()? == "Notification" && event.get("TopicArn").is_some() => {
            Some(vec![event.get("Message")?.as_str()?.to_owned()])
        }
        Err(_) => None,
    }
}

fn message_of_record(record: &Value) -> Option<String> {
    let source = record.get("EventSource").or_else(|| record.get("eventSource"))?;
    let text = match source.as_str()? {
        "aws:sns" => record.get("Sns")?.get("Message")?,
        "aws:sqs" => record.get("body")?,
        _ => return None,
    };
    text.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request() -> Value {
        json!({ "RequestType": "Create", "ResponseURL": "https://answers.example/planted" })
    }

    fn sns(message: &str) -> Value {
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Type": "Notification", "Message": message } }] })
    }

    fn sqs(body: &str) -> Value {
        json!({ "Records": [{ "eventSource": "aws:sqs", "body": body }] })
    }

    fn notification(message: &str) -> String {
        json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": message }).to_string()
    }

    #[test]
    fn sns_and_sqs_events_are_unwrapped() {
        let bare = request().to_string();
        for event in [request(), sns(&bare), sqs(&bare), sqs(&notification(&bare))] {
            assert_eq!(unwrap(&event), [request()], "{event}");
        }
        let mut two = sns(&bare);
        let another = two["Records"][0].clone();
        two["Records"].as_array_mut().unwrap().push(another);
        assert_eq!(unwrap(&two), [request(), request()]);
    }

    #[test]
    fn other_events_are_unchanged() {
        for event in [
            json!(null),
            json!({ "Records": "x" }),
            json!({ "Records": [{ "EventSource": "aws:s3", "s3": {} }] }),
            json!({ "Type": "Notification", "Message": "no topic" }),
        ] {
            assert_eq!(unwrap(&event), [event]);
        }
        assert_eq!(unwrap(&sns("hello")), [json!("hello")]);
        assert_eq!(unwrap(&json!({ "Records": [] })), [json!(null); 0]);
    }

    #[test]
    fn nested_envelopes_are_unwrapped_up_to_depth_max() {
        let deep = (0..9).fold(request(), |inner, _| sqs(&inner.to_string()));
        assert_eq!(unwrap(&deep).len(), 1);
    }
}
