//! What a service wrapped an event into on its way to the function.
//!
//! CloudFormation invokes the function itself, or publishes its request to the SNS topic that a template gives as its
//! `ServiceToken`; the topic then invokes the function, or feeds a queue that does. Lambda's own records of events that it
//! gave up come out of a queue as well.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources-sns.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>, <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use serde::Deserialize;
use serde_json::Value;

/// Envelopes in one another: a queue's message, a topic's notification in it, and one to spare.
const DEPTH_MAX: u32 = 3;

/// An event of SNS or SQS.
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

/// The events that an event carries; the event itself where it is no envelope. A text that is no JSON stays a text.
#[must_use]
pub fn opened(event: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    open(event, DEPTH_MAX, &mut events);
    events
}

fn open(event: &Value, depth: u32, events: &mut Vec<Value>) {
    let texts = texts(event).filter(|_| depth > 0);
    let Some(texts) = texts else {
        events.push(event.clone());
        return;
    };
    for text in texts {
        match serde_json::from_str(&text) {
            Ok(inner) => open(&inner, depth.saturating_sub(1), events),
            Err(_) => events.push(Value::String(text)),
        }
    }
}

/// What lies in an envelope; `None` if the event is none.
fn texts(event: &Value) -> Option<Vec<String>> {
    match Batch::deserialize(event) {
        Ok(batch) => batch.records.iter().map(text_of_record).collect(),
        // As a topic writes it into a queue, unless its subscription asks for the raw message.
        Err(_) if event.get("Type")?.as_str()? == "Notification" && event.get("TopicArn").is_some() => {
            Some(vec![event.get("Message")?.as_str()?.to_owned()])
        }
        Err(_) => None,
    }
}

fn text_of_record(record: &Value) -> Option<String> {
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
    fn a_request_is_found_in_whatever_envelopes_of_sns_and_sqs_it_comes() {
        let bare = request().to_string();
        for event in [request(), sns(&bare), sqs(&bare), sqs(&notification(&bare))] {
            assert_eq!(opened(&event), [request()], "{event}");
        }
        let mut two = sns(&bare);
        let another = two["Records"][0].clone();
        two["Records"].as_array_mut().unwrap().push(another);
        assert_eq!(opened(&two), [request(), request()]);
    }

    #[test]
    fn what_is_no_envelope_stays_as_it_is() {
        for event in [
            json!(null),
            json!({ "Records": "x" }),
            json!({ "Records": [{ "EventSource": "aws:s3", "s3": {} }] }),
            json!({ "Type": "Notification", "Message": "no topic" }),
        ] {
            assert_eq!(opened(&event), [event]);
        }
        assert_eq!(opened(&sns("hello")), [json!("hello")]);
        assert_eq!(opened(&json!({ "Records": [] })), [json!(null); 0]);
    }

    #[test]
    fn envelopes_without_end_are_opened_so_far_and_no_further() {
        let deep = (0..9).fold(request(), |inner, _| sqs(&inner.to_string()));
        assert_eq!(opened(&deep).len(), 1);
    }
}
