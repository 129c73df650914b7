//! The operation lock: the state table's item with the request that works on a resource, and its response.
//! [`crate::pool::policy::locking`] decides by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::{RequestInfo, RequestType};
use crate::pool::model::time::Timestamp;

/// The format of a record. A record of another one was written by another version of the function.
pub(in crate::pool) const FORMAT: u16 = 1;

/// Hexadecimal digits that distinguish the contents of a pool's task definitions.
pub(super) const CONTENT_DIGITS: usize = 16;

/// How long the lock of a deleted pool stays: as a tombstone, which an event that Lambda delivers late finds. Lambda keeps
/// an event for six hours at most.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html>
const TOMBSTONE_TTL: Duration = Duration::from_secs(86_400);

/// Parts of the key of a resource's lock.
const RESOURCE_KEY_PARTS: usize = 3;

/// The content of a lock: the request that has it, and the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationLock {
    pub(in crate::pool) format: u16,
    /// CloudFormation's id of the request.
    pub(in crate::pool) request_id: String,
    /// Whether it is a Create, or a Delete of what a Create has built whose response never arrived.
    #[serde(default)]
    pub(in crate::pool) is_of_create: bool,
    /// The beginning of a hash of its response URL, which itself is a secret.
    pub(in crate::pool) url: String,
    /// When CloudFormation signed it.
    pub(in crate::pool) signed_at: Timestamp,
    /// The pool that it is about.
    pub(in crate::pool) pool: String,
    /// What is to become of that.
    pub(in crate::pool) purpose: LockPurpose,
    /// Whether it is about every pool of the resource, since the stack is going.
    #[serde(default)]
    pub(in crate::pool) covers_resource: bool,
    /// The digits of the pool that the last SUCCESS of a Create or an Update was for. Each request carries it over from
    /// the one before, until a Delete takes that pool down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::pool) live_pool: Option<String>,
    /// The beginning of the fingerprint of the task definition that the request wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::pool) content: Option<String>,
    /// The same of the last SUCCESS: runners of it are known to come online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::pool) live_content: Option<String>,
    /// Whether every pool of the resource is deleted: a tombstone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(in crate::pool) is_tombstone: bool,
    /// Invocations of the request before the one that wrote this.
    pub(in crate::pool) continuation_count: u32,
    /// Whether CloudFormation rejected the response in every attempt of the last invocation that sent it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(in crate::pool) undelivered: bool,
    /// The response that was or is about to be sent to CloudFormation.
    #[serde(skip)]
    pub(in crate::pool) response: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pool) enum LockPurpose {
    Converge,
    Delete,
}

/// A lock as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLock {
    /// Its content.
    pub lock: OperationLock,
    /// How often it has been written: the fencing token.
    pub version: u64,
}

/// Why an invocation stops without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// A newer request has acquired the lock.
    ByNewerRequest,
    /// Another delivery of this request continues: one that has got further or started later.
    ByOtherInvocation,
    /// The request already has a response, with this body.
    AlreadyResponded(String),
}

impl OperationLock {
    /// Reads a record. An unreadable one counts as older than every request, so that the next request acquires the lock.
    #[must_use]
    pub fn from_record(text: &str) -> Self {
        let (head, response) = text.split_once('\n').unwrap_or((text, ""));
        match serde_json::from_str::<Self>(head).ok().filter(|lock| lock.format == FORMAT) {
            Some(lock) => Self { response: (!response.is_empty()).then(|| response.to_owned()), ..lock },
            None => Self::oldest(),
        }
    }

    /// A lock that is older than every request.
    fn oldest() -> Self {
        Self {
            format: 0,
            request_id: String::new(),
            is_of_create: false,
            url: String::new(),
            signed_at: Timestamp::from_epoch_millis(0),
            pool: String::new(),
            purpose: LockPurpose::Converge,
            covers_resource: false,
            live_pool: None,
            content: None,
            live_content: None,
            is_tombstone: false,
            continuation_count: 0,
            undelivered: false,
            response: None,
        }
    }

    /// The record's text: a line of JSON, and the response below it. Holds no secret.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Strings and numbers: nothing in here can fail to serialize.
        let head = serde_json::to_string(self).unwrap_or_default();
        let response = self.response.as_deref().unwrap_or_default();
        format!("{head}\n{response}")
    }

    /// The same request, with this response and what it says of the pool.
    #[must_use]
    pub fn with_response(self, body: &str, outcome: &Outcome) -> Self {
        let live_pool = match (outcome, self.purpose) {
            (Outcome::Failed { .. }, _) => self.live_pool,
            (Outcome::Succeeded { .. }, LockPurpose::Converge) => digits_of(&self.pool),
            (Outcome::Succeeded { .. }, LockPurpose::Delete) => {
                self.live_pool.filter(|live| !self.covers_resource && digits_of(&self.pool).as_ref() != Some(live))
            }
        };
        let live_content = match (outcome, self.purpose) {
            (Outcome::Succeeded { .. }, LockPurpose::Converge) => self.content.clone(),
            (Outcome::Succeeded { .. } | Outcome::Failed { .. }, _) => self.live_content,
        };
        let is_deletion = matches!(outcome, Outcome::Succeeded { .. }) && self.purpose == LockPurpose::Delete;
        let is_tombstone = is_deletion && live_pool.is_none();
        Self { response: Some(body.to_owned()), live_pool, live_content, is_tombstone, ..self }
    }

    /// The same, of a resource that has no pool any more.
    #[must_use]
    pub fn without_pools(self) -> Self {
        Self { live_pool: None, live_content: None, is_tombstone: true, ..self }
    }

    /// The lock of a request about one pool, in its first invocation and without a response.
    pub(in crate::pool) fn new(request: &RequestInfo, pool: &str, signed_at: Timestamp, purpose: LockPurpose) -> Self {
        Self {
            format: FORMAT,
            request_id: request.request_id.clone(),
            url: request.url_digest(),
            signed_at,
            pool: pool.to_owned(),
            purpose,
            ..Self::oldest()
        }
    }

    /// The lock of a Delete that found nothing to delete, written over an older lock without a pool or over none; `None`
    /// without a time of signing, since every later request would then give way to it.
    #[must_use]
    pub fn of_empty_deletion(request: &RequestInfo, pool: &str, signed_at: Timestamp) -> Option<Self> {
        let is_signed = signed_at < Timestamp::from_epoch_millis(u64::MAX);
        is_signed.then(|| Self::new(request, pool, signed_at, LockPurpose::Delete))
    }

    /// When an item with this key and lock counts as deleted; `None` for that of a resource with a pool. A Delete's own
    /// lock says nothing that its resource's does not, once the Delete is over.
    #[must_use]
    pub fn expires_at(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        (self.is_tombstone || is_pool_lock_key(key)).then(|| now + TOMBSTONE_TTL)
    }

    /// The lock of a newer Create or Update that failed before it could take one; `None` for any other request.
    #[must_use]
    pub fn after_failure(&self, request: &RequestInfo, pool: &str, signed_at: Timestamp) -> Option<Self> {
        let is_newer = signed_at > self.signed_at && signed_at < Timestamp::from_epoch_millis(u64::MAX);
        let is_present = matches!(request.request_type, RequestType::Create | RequestType::Update);
        (is_newer && is_present && PhysicalId::parse_for(&request.stack_resource, pool).is_some()).then(|| Self {
            is_of_create: request.request_type == RequestType::Create,
            live_pool: self.live_pool.clone(),
            live_content: self.live_content.clone(),
            ..Self::new(request, pool, signed_at, LockPurpose::Converge)
        })
    }

    /// The pool of the resource's last request, if that is a Create, or the Delete of what a Create has built whose
    /// response never arrived, and no Create or Update has had a SUCCESS that a Delete has not undone since.
    #[must_use]
    pub fn pool_without_success(&self) -> Option<&str> {
        let is_known = self.live_pool.is_some() && !self.undelivered;
        (self.is_of_create && !is_known).then_some(self.pool.as_str())
    }

    /// The pool that a Create or an Update, which has no response yet, may still build.
    #[must_use]
    pub fn pool_at_work(&self) -> Option<PhysicalId> {
        let is_at_work = self.purpose == LockPurpose::Converge && self.response.is_none();
        PhysicalId::try_from(self.pool.clone()).ok().filter(|_| is_at_work)
    }

    /// The same request, and whether CloudFormation accepted its response.
    #[must_use]
    pub fn delivered(self, is_delivered: bool) -> Self {
        Self { undelivered: !is_delivered, ..self }
    }

    /// Whether CloudFormation did not accept the response.
    #[must_use]
    pub const fn is_undelivered(&self) -> bool {
        self.undelivered
    }

    /// The pool that this Delete takes down, and whether with all others of the resource.
    #[must_use]
    pub fn deleted(&self) -> Option<(&str, bool)> {
        (self.purpose == LockPurpose::Delete).then_some((self.pool.as_str(), self.covers_resource))
    }

    /// Whether the last SUCCESS was for the pool and the task definition that this request asks for: its runners have
    /// come online before.
    #[must_use]
    pub fn has_succeeded_before(&self) -> bool {
        self.content.is_some() && self.content == self.live_content && self.live_pool == digits_of(&self.pool)
    }

    /// Whether the last SUCCESS of a Create or an Update was for this pool.
    #[must_use]
    pub fn is_live(&self, pool: &PhysicalId) -> bool {
        self.live_pool.as_deref() == Some(pool.hash())
    }

    /// Whether every pool of the resource is deleted.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.is_tombstone
    }

    /// The response, if there is one.
    #[must_use]
    pub fn response(&self) -> Option<&str> {
        self.response.as_deref()
    }

    /// Whether it is of that request, whichever delivery and invocation.
    #[must_use]
    pub fn is_of(&self, request: &RequestInfo) -> bool {
        self.request_id == request.request_id && self.url == request.url_digest()
    }

    /// Whether this is the lock of a newer request than this one.
    #[must_use]
    pub fn supersedes(&self, request: &RequestInfo, signed_at: Timestamp) -> bool {
        !self.is_of(request) && self.signed_at > signed_at
    }

    /// Whether the request went on beyond this hop.
    #[must_use]
    pub const fn is_later_invocation_than(&self, continuation_count: u32) -> bool {
        self.continuation_count > continuation_count
    }
}

fn digits_of(pool: &str) -> Option<String> {
    PhysicalId::try_from(pool.to_owned()).ok().map(|id| id.hash().to_owned())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Whether a Delete of the pool with this id keeps a record of its own: the resource's one is about another pool.
#[must_use]
pub fn is_for_other_pool(lock: &OperationLock, pool: &str) -> bool {
    lock.format == FORMAT && lock.pool != pool && !lock.covers_resource
}

/// The key of the lock of one pool, below that of its resource.
#[must_use]
pub fn pool_lock_key(of_resource: &str, hash: &str) -> String {
    format!("{of_resource}/{hash}")
}

fn is_pool_lock_key(key: &str) -> bool {
    key.split('/').count() > RESOURCE_KEY_PARTS
}

/// The key of the lock of a resource: `STACKNAME/STACKGUID/LOGICALID`.
#[must_use]
pub fn resource_lock_key(stack_resource: &StackResource) -> String {
    let part = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect()
    };
    let [stack, guid, resource] =
        [stack_resource.stack_name(), stack_resource.stack_guid(), &stack_resource.logical_id].map(part);
    format!("{stack}/{guid}/{resource}")
}
