//! A response, within the limits of CloudFormation: 4096 bytes, a physical id of 1 to 1024 bytes.
//!
//! CloudFormation replaces the reason of a body that is too long with a text of its own. So a long reason is cut: its
//! beginning and the place of the log at its end are kept.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pool::model::identity::StackResource;

/// Bytes of a body.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>
pub const BODY_BYTES_MAX: usize = 4_096;
/// Bytes of a physical id.
const PHYSICAL_ID_BYTES_MAX: usize = 1_024;
/// The physical id in the response to a Create that failed before the pool had one. No pool's id has this form, so the
/// Delete that follows finds nothing to delete.
pub const NO_PHYSICAL_ID: &str = "ghr-was-not-created";

/// Encoded bytes of each echoed field, far above what CloudFormation sends: they bound the body even for an event that
/// CloudFormation did not send, and leave a few hundred bytes for the reason.
const PHYSICAL_ID_ENCODED_MAX: usize = 1_024;
const STACK_ID_ENCODED_MAX: usize = 1_024;
const LOGICAL_ID_ENCODED_MAX: usize = 384;
const REQUEST_ID_ENCODED_MAX: usize = 256;
/// A log group and a log stream may have 512 characters each, and rarely have a tenth of that.
const LOG_ENCODED_MAX: usize = 300;
/// With less room a note is left out of a success.
const REASON_ENCODED_MIN: usize = 64;
const ATTRIBUTES_TOO_LONG: &str =
    "The attributes (Fn::GetAtt): too long for a response. Shorten the names in the template.";
/// Between a reason that was cut and the place of the log.
const ELLIPSIS: &str = " …";

/// The response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// `Status`, with what each status has besides.
    pub status: Status,
    /// The pool's id, or the one in the request; empty for none.
    pub physical_id: String,
    /// The stack and the resource, echoed.
    pub stack_resource: StackResource,
    /// `RequestId`, echoed.
    pub request_id: String,
    /// `GROUP/STREAM` of the log, at the end of the reason.
    pub log: Option<String>,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// `SUCCESS`.
    Success {
        /// The attributes for `Fn::GetAtt`.
        data: BTreeMap<String, String>,
        /// A warning, which CloudFormation shows as the reason.
        note: Option<String>,
    },
    /// `FAILED`.
    Failed {
        /// The failure reason.
        reason: String,
    },
}

/// The body's fields, in CloudFormation's names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a BTreeMap<String, String>>,
}

impl Response {
    /// The body to send: valid JSON of at most [`BODY_BYTES_MAX`] bytes, whatever the fields contain. A success whose
    /// attributes do not fit, which cannot be cut, becomes a failure.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        match &self.status {
            Status::Success { data, note } => {
                self.success(data, note.as_deref()).unwrap_or_else(|| self.failure(ATTRIBUTES_TOO_LONG))
            }
            Status::Failed { reason } => self.failure(reason),
        }
    }

    /// `None` if the attributes do not fit.
    fn success(&self, data: &BTreeMap<String, String>, note: Option<&str>) -> Option<Vec<u8>> {
        let bare = self.encoded("SUCCESS", None, Some(data))?;
        // Of the key `Reason`, its quotation marks, the colon and the comma.
        let room = BODY_BYTES_MAX.saturating_sub(bare.len()).saturating_sub(r#""Reason":"","#.len());
        let Some(note) = note.filter(|_| room >= REASON_ENCODED_MIN) else { return Some(bare) };
        self.encoded("SUCCESS", Some(&self.reason(note, room)), Some(data)).or(Some(bare))
    }

    fn failure(&self, reason: &str) -> Vec<u8> {
        let reason = if reason.trim().is_empty() { "The request failed." } else { reason };
        let bare = self.encoded("FAILED", Some(""), None).map_or(BODY_BYTES_MAX, |bare| bare.len());
        let text = self.reason(reason, BODY_BYTES_MAX.saturating_sub(bare));
        self.encoded("FAILED", Some(&text), None)
            .unwrap_or_else(|| fallback_body(&self.stack_resource, &self.request_id, &self.physical_id, reason))
    }

    /// The reason in at most `room` encoded bytes: its beginning, and the place of the log.
    fn reason(&self, text: &str, room: usize) -> String {
        let tail = self
            .log
            .as_ref()
            .map_or_else(String::new, |log| format!(" (log: {})", truncate_encoded(log, LOG_ENCODED_MAX)));
        let whole = format!("{text}{tail}");
        if encoded_len(&whole) <= room {
            return whole;
        }
        let rest = room.saturating_sub(encoded_len(ELLIPSIS)).saturating_sub(encoded_len(&tail));
        format!("{}{ELLIPSIS}{tail}", truncate_encoded(text, rest))
    }

    /// The body; `None` if it is too long.
    fn encoded(
        &self,
        status: &'static str,
        reason: Option<&str>,
        data: Option<&BTreeMap<String, String>>,
    ) -> Option<Vec<u8>> {
        let body = Body {
            status,
            reason,
            physical_resource_id: &truncate_encoded(physical_id(&self.physical_id), PHYSICAL_ID_ENCODED_MAX),
            stack_id: &truncate_encoded(&self.stack_resource.stack_id, STACK_ID_ENCODED_MAX),
            request_id: &truncate_encoded(&self.request_id, REQUEST_ID_ENCODED_MAX),
            logical_resource_id: &truncate_encoded(&self.stack_resource.logical_id, LOGICAL_ID_ENCODED_MAX),
            data,
        };
        serde_json::to_vec(&body).ok().filter(|bytes| bytes.len() <= BODY_BYTES_MAX)
    }
}

/// A `FAILED` body that needs no serializer, for when that failed. Characters that JSON would escape are left out; no id
/// of CloudFormation has any.
fn fallback_body(
    stack_resource: &StackResource,
    request_id: &str,
    physical_id_or_empty: &str,
    reason: &str,
) -> Vec<u8> {
    let strip_escapes = |text: &str, bytes_max: usize| {
        let unescaped: String = text.chars().filter(|c| encoded_char_len(*c) == c.len_utf8()).collect();
        truncate_encoded(&unescaped, bytes_max)
    };
    let id = strip_escapes(physical_id_or_empty, PHYSICAL_ID_BYTES_MAX);
    format!(
        r#"{{"Status":"FAILED","Reason":"The request failed. {}","PhysicalResourceId":"{}","StackId":"{}","RequestId":"{}","LogicalResourceId":"{}"}}"#,
        strip_escapes(reason, REASON_ENCODED_MIN * 8),
        physical_id(&id),
        strip_escapes(&stack_resource.stack_id, STACK_ID_ENCODED_MAX),
        strip_escapes(request_id, REQUEST_ID_ENCODED_MAX),
        strip_escapes(&stack_resource.logical_id, LOGICAL_ID_ENCODED_MAX),
    )
    .into_bytes()
}

/// A physical id that CloudFormation accepts: neither empty nor too long.
fn physical_id(id: &str) -> &str {
    let end = id.floor_char_boundary(PHYSICAL_ID_BYTES_MAX);
    match id.get(..end) {
        Some(id) if !id.is_empty() => id,
        Some(_) | None => NO_PHYSICAL_ID,
    }
}

/// The longest prefix of a text that takes at most `encoded_max` bytes in JSON.
fn truncate_encoded(text: &str, encoded_max: usize) -> String {
    let mut encoded = 0_usize;
    text.chars()
        .take_while(|c| {
            encoded = encoded.saturating_add(encoded_char_len(*c));
            encoded <= encoded_max
        })
        .collect()
}

fn encoded_len(text: &str) -> usize {
    text.chars().map(encoded_char_len).sum()
}

/// Bytes of a character in a JSON string, as `serde_json` writes it.
const fn encoded_char_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests;
