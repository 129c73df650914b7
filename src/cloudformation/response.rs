//! The answer, within CloudFormation's bounds: 4096 bytes in all, a physical id of 1024 at most and never empty; and
//! within those of the record that it is written down in before it is sent.
//!
//! A body that is too long fails with a text that hides the reason, so the Reason gives way: its head, which says what
//! to do, and the place of the log at its end stay.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pool::model::identity::StackResource;
use crate::pool::model::operation_lock::RECORD_HEAD_BYTES_MAX;

/// Bytes of a body, encoded, this one included. CloudFormation takes 4096, and so does a standard parameter of Parameter
/// Store, where the body stands below the head of the record of the operation lock.
///
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>
pub const BODY_BYTES_MAX: usize = 4_096 - RECORD_HEAD_BYTES_MAX;
/// Bytes of a physical id.
const PHYSICAL_ID_BYTES_MAX: usize = 1_024;
/// What stands for the physical id of a pool that never got one: no id of ours has this form, so that the Delete that
/// follows a failed Create finds nothing to do.
pub const NO_PHYSICAL_ID: &str = "ghr-was-not-created";

/// Encoded bytes of what is echoed, far above what CloudFormation sends: they keep a body within its bound even for an
/// event that no CloudFormation made. Together they leave a Reason of a few hundred bytes.
const PHYSICAL_ID_ENCODED_MAX: usize = 1_024;
const STACK_ID_ENCODED_MAX: usize = 1_024;
const LOGICAL_ID_ENCODED_MAX: usize = 384;
const REQUEST_ID_ENCODED_MAX: usize = 256;
/// Encoded bytes of the log's place: the two names in it may have 512 characters each, and rarely have a tenth of that.
const LOG_ENCODED_MAX: usize = 300;
/// Encoded bytes below which a Reason says nothing any more, and a success goes without.
const REASON_ENCODED_MIN: usize = 64;
/// Between a Reason that was cut and the place of the log.
const CUT: &str = " …";

/// An answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How the request ended.
    pub status: Status,
    /// The pool's id, or the one that the request came with; empty for none.
    pub physical_id: String,
    /// The stack and the resource, echoed.
    pub stack_resource: StackResource,
    /// The request, echoed.
    pub request_id: String,
    /// Where the log of this is, `GROUP/STREAM`; it ends the Reason.
    pub log: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Success {
        /// What `Fn::GetAtt` gives.
        data: BTreeMap<String, String>,
        /// What a person should know all the same.
        note: Option<String>,
    },
    /// It was not done.
    Failed {
        /// Why, and what to do, that first.
        reason: String,
    },
}

/// The body in CloudFormation's words.
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
    /// Whether the attributes fit into a body. They are the only part that cannot be shortened: a success whose
    /// attributes do not fit has to be answered as a failure, so this is asked before anything is built.
    #[must_use]
    pub fn fits(&self) -> bool {
        match &self.status {
            Status::Success { data, .. } => self.success(data, None).is_some(),
            Status::Failed { .. } => true,
        }
    }

    /// The bytes to send: at most [`BODY_BYTES_MAX`], always JSON, always an answer.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        match &self.status {
            Status::Success { data, note } => self.success(data, note.as_deref()).unwrap_or_else(|| {
                self.failure("The resource's attributes are too long for an answer: shorten the names in the template.")
            }),
            Status::Failed { reason } => self.failure(reason),
        }
    }

    /// `None` if the attributes do not fit.
    fn success(&self, data: &BTreeMap<String, String>, note: Option<&str>) -> Option<Vec<u8>> {
        let bare = self.encoded("SUCCESS", None, Some(data))?;
        // The Reason's key, its quotes, the colon and the comma.
        let room = BODY_BYTES_MAX.saturating_sub(bare.len()).saturating_sub(r#""Reason":"","#.len());
        let Some(note) = note.filter(|_| room >= REASON_ENCODED_MIN) else { return Some(bare) };
        self.encoded("SUCCESS", Some(&self.reason(note, room)), Some(data)).or(Some(bare))
    }

    fn failure(&self, reason: &str) -> Vec<u8> {
        let reason = if reason.trim().is_empty() { "The request failed." } else { reason };
        let bare = self.encoded("FAILED", Some(""), None).map_or(BODY_BYTES_MAX, |bare| bare.len());
        let text = self.reason(reason, BODY_BYTES_MAX.saturating_sub(bare));
        self.encoded("FAILED", Some(&text), None)
            .unwrap_or_else(|| last_resort(&self.stack_resource, &self.request_id, &self.physical_id, reason))
    }

    /// The Reason in at most `room` encoded bytes: its head, and the place of the log.
    fn reason(&self, text: &str, room: usize) -> String {
        let tail = self.log.as_ref().map_or_else(String::new, |log| format!(" (log: {})", head(log, LOG_ENCODED_MAX)));
        let whole = format!("{text}{tail}");
        if encoded_len(&whole) <= room {
            return whole;
        }
        let rest = room.saturating_sub(encoded_len(CUT)).saturating_sub(encoded_len(&tail));
        format!("{}{CUT}{tail}", head(text, rest))
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
            physical_resource_id: &head(physical_id(&self.physical_id), PHYSICAL_ID_ENCODED_MAX),
            stack_id: &head(&self.stack_resource.stack_id, STACK_ID_ENCODED_MAX),
            request_id: &head(&self.request_id, REQUEST_ID_ENCODED_MAX),
            logical_resource_id: &head(&self.stack_resource.logical_id, LOGICAL_ID_ENCODED_MAX),
            data,
        };
        serde_json::to_vec(&body).ok().filter(|bytes| bytes.len() <= BODY_BYTES_MAX)
    }
}

/// An answer of FAILED without any machinery, for when that is what failed: texts lose the characters that JSON would
/// have to escape, which no id of CloudFormation's has.
#[must_use]
pub fn last_resort(
    stack_resource: &StackResource,
    request_id: &str,
    physical_id_or_empty: &str,
    reason: &str,
) -> Vec<u8> {
    let plain = |text: &str, bytes_max: usize| {
        let harmless: String = text.chars().filter(|c| encoded_char_len(*c) == c.len_utf8()).collect();
        head(&harmless, bytes_max)
    };
    let id = plain(physical_id_or_empty, PHYSICAL_ID_BYTES_MAX);
    format!(
        r#"{{"Status":"FAILED","Reason":"The request failed. {}","PhysicalResourceId":"{}","StackId":"{}","RequestId":"{}","LogicalResourceId":"{}"}}"#,
        plain(reason, REASON_ENCODED_MIN * 8),
        physical_id(&id),
        plain(&stack_resource.stack_id, STACK_ID_ENCODED_MAX),
        plain(request_id, REQUEST_ID_ENCODED_MAX),
        plain(&stack_resource.logical_id, LOGICAL_ID_ENCODED_MAX),
    )
    .into_bytes()
}

/// An id that CloudFormation takes: never empty, never too long.
fn physical_id(id: &str) -> &str {
    let end = id.floor_char_boundary(PHYSICAL_ID_BYTES_MAX);
    match id.get(..end) {
        Some(id) if !id.is_empty() => id,
        Some(_) | None => NO_PHYSICAL_ID,
    }
}

/// The longest beginning of a text that takes at most `encoded_max` bytes in JSON.
fn head(text: &str, encoded_max: usize) -> String {
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
