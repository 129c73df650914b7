//! Who works for a resource: one request at a time, and the newest that CloudFormation sent.
//!
//! A cancelled operation is not told that it is: CloudFormation signs a new request and waits for that one alone, while
//! the older one is still at work. So whoever is about to change something first writes a record, *takes the turn*, and
//! looks at it again before every further step. A record that somebody else has written since ends the work.
//!
//! Requests are ordered by the moment at which CloudFormation signed them, and invocations of one request by their hop;
//! among equals the one that wrote last goes on, which the record's version tells. The pairs that meet:
//!
//! - **A newer request and an older one at work.** The newer takes the turn; the older stops at its next look and
//!   says nothing, for nobody waits for it. What it has half done is where the newer one begins: with another look, for
//!   the one before the turn may be older than what the older request did last.
//! - **An older request that Lambda delivers late.** It finds a newer turn and stops before its first effect.
//! - **Two deliveries of one event.** The later takes the turn, for the earlier may be dead; the earlier says nothing.
//! - **A delivery of what an earlier invocation was given**, when a later hop is at work: it says nothing.
//! - **A delivery of a request that was answered.** It repeats that answer, byte for byte.
//! - **A response that is written down between another invocation's look and its write.** The write tells by its version
//!   that it missed something; the response is put back, and repeated or given way to.
//! - **The same request id with another URL** is another request: CloudFormation tries again, and waits there.
//! - **A Delete of one pool and a request for another pool of the same resource**, a replacement: neither minds the
//!   other. The record is the other's, and the Delete keeps one of its own below it.
//! - **The Delete of a resource whose whole stack is going and any older request for it**, whichever pool that is about:
//!   the Delete takes over, for it takes down every pool of the resource.
//! - **A Delete that is done removes the record.** A Create or an Update that finds its turn gone stops: what it was to
//!   build has been taken down. Where the Delete has interrupted a request that was not answered yet, whose invocation may
//!   be dead and its event on its way again, the record stays as long as Lambda delivers events again.
//! - Two things stay open, for Parameter Store has no conditional write: a request that takes its turn in the moment of
//!   that removal stops as well; and an event that Lambda holds back longer than that, or delivers twice for no reason
//!   after the Delete of its pool is done, finds nothing that says so.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::continuation::{Continuation, Goal, Request, RequestType, Wish};
use super::decision::Outcome;
use super::identity::{Origin, PhysicalId};
use super::observed::Observed;
use super::plan::Step;
use super::task_definition::TaskDefinitionContent;
use super::time::Timestamp;

/// Below this path of Parameter Store every record is.
const RECORDS_PATH: &str = "/github-runner-pool-requests";
/// The format of a record. A record of another one was written by another version of the function.
const FORMAT: u16 = 1;
/// How long after an invocation died Lambda delivers its event for the last time: after one minute, and after two more,
/// with some time for the queue.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
const REDELIVERY: Duration = Duration::from_secs(210);
/// Hexadecimal digits that tell one content of a pool's task definition from another.
const CONTENT_DIGITS: usize = 16;
/// Hexadecimal digits that tell one response URL from another.
const URL_DIGITS: usize = 16;

/// Who has the turn, as the record says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    format: u16,
    /// CloudFormation's id of the request.
    request_id: String,
    /// Whether it is a Create, or a Delete of what a Create has built whose response never arrived.
    #[serde(default)]
    is_of_create: bool,
    /// The beginning of a hash of its response URL, which itself is a secret.
    url: String,
    /// When CloudFormation signed it.
    signed_at: Timestamp,
    /// The pool that it is about.
    pool: String,
    /// What is to become of that.
    purpose: Purpose,
    /// Whether it is about every pool of the resource, since the stack is going.
    #[serde(default)]
    covers_resource: bool,
    /// The digits of the pool that the last SUCCESS of a Create or an Update was for. Each turn carries it over from the
    /// one before, until a Delete takes that pool down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    live_pool: Option<String>,
    /// The beginning of the fingerprint of the task definition that the request wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// The same of the last SUCCESS: runners of it are known to come online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    live_content: Option<String>,
    /// Invocations of the request before the one that wrote this.
    hop: u32,
    /// Whether CloudFormation did not take that answer, in all the tries of the last invocation that sent it.
    #[serde(default, skip_serializing_if = "is_false")]
    undelivered: bool,
    /// The answer, once there is one: what CloudFormation was told, or is about to be.
    #[serde(skip)]
    answer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Purpose {
    Present,
    Absent,
}

/// A record as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTurn {
    /// What it says.
    pub turn: Turn,
    /// How often it has been written; a record that was removed begins anew.
    pub version: u64,
}

/// Why an invocation ends without going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yield {
    /// A newer request is at work, or has been.
    ToNewerRequest,
    /// Another delivery of this request is at work, further on or begun later.
    ToOtherDelivery,
    /// The request was answered with this body.
    Answered(String),
}

/// Whether a request may go on.
enum Standing {
    /// It has the turn.
    Holds,
    /// It has to take the turn before its first effect.
    MayTake,
    /// It may not.
    Yields(Yield),
}

impl Turn {
    /// The turn of this invocation, after the one that was found.
    #[must_use]
    pub fn of(held: &Continuation, previous: Option<&Self>) -> Self {
        let purpose = match held.goal {
            Goal::Present(_) => Purpose::Present,
            Goal::Absent(_) => Purpose::Absent,
        };
        Self {
            format: FORMAT,
            is_of_create: is_of_create(held),
            covers_resource: covers_resource(held),
            live_pool: previous.and_then(|previous| previous.live_pool.clone()),
            content: wanted_content(held),
            live_content: previous.and_then(|previous| previous.live_content.clone()),
            request_id: held.request.request_id.clone(),
            url: digest(&held.request),
            signed_at: held.accepted_at,
            pool: held.held_pool().to_owned(),
            purpose,
            hop: held.hops,
            undelivered: false,
            answer: None,
        }
    }

    /// Reads a record. What cannot be read is older than every request, so that whoever comes takes over.
    #[must_use]
    pub fn from_record(text: &str) -> Self {
        let (head, answer) = text.split_once('\n').unwrap_or((text, ""));
        let turn = serde_json::from_str::<Self>(head).ok().filter(|turn| turn.format == FORMAT);
        match turn {
            Some(turn) => Self { answer: (!answer.is_empty()).then(|| answer.to_owned()), ..turn },
            None => Self {
                format: 0,
                is_of_create: false,
                covers_resource: false,
                live_pool: None,
                content: None,
                live_content: None,
                request_id: String::new(),
                url: String::new(),
                signed_at: Timestamp::from_epoch_millis(0),
                pool: String::new(),
                purpose: Purpose::Present,
                hop: 0,
                undelivered: false,
                answer: None,
            },
        }
    }

    /// The record's text: a line of JSON, and the answer below it. Holds no secret.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Strings and numbers: nothing in here can fail to serialize.
        let head = serde_json::to_string(self).unwrap_or_default();
        // Parameter Store takes two braces for a reference to another parameter. JSON has them inside texts only.
        let answer = self.answer.as_deref().unwrap_or_default().replace("{{", "{\\u007b");
        format!("{head}\n{answer}")
    }

    /// The same turn, with this response and what it says of the pool.
    #[must_use]
    pub fn answered(self, body: &str, outcome: &Outcome) -> Self {
        let live_pool = match (outcome, self.purpose) {
            (Outcome::Failed { .. }, _) => self.live_pool,
            (Outcome::Succeeded { .. }, Purpose::Present) => digits_of(&self.pool),
            (Outcome::Succeeded { .. }, Purpose::Absent) => {
                self.live_pool.filter(|live| !self.covers_resource && digits_of(&self.pool).as_ref() != Some(live))
            }
        };
        let live_content = match (outcome, self.purpose) {
            (Outcome::Succeeded { .. }, Purpose::Present) => self.content.clone(),
            (Outcome::Succeeded { .. } | Outcome::Failed { .. }, _) => self.live_content,
        };
        Self { answer: Some(body.to_owned()), live_pool, live_content, ..self }
    }

    /// The turn of a newer Create or Update that failed before it could take one; `None` for any other request.
    #[must_use]
    pub fn after_failure(&self, request: &Request, pool: &str, signed_at: Timestamp) -> Option<Self> {
        let is_newer = signed_at > self.signed_at && signed_at < Timestamp::from_epoch_millis(u64::MAX);
        let is_present = matches!(request.request_type, RequestType::Create | RequestType::Update);
        (is_newer && is_present && PhysicalId::sent(&request.origin, pool).is_some()).then(|| Self {
            format: FORMAT,
            request_id: request.request_id.clone(),
            is_of_create: request.request_type == RequestType::Create,
            url: digest(request),
            signed_at,
            pool: pool.to_owned(),
            purpose: Purpose::Present,
            covers_resource: false,
            live_pool: self.live_pool.clone(),
            live_content: self.live_content.clone(),
            content: None,
            hop: 0,
            undelivered: false,
            answer: None,
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
        let is_at_work = self.purpose == Purpose::Present && self.answer.is_none();
        PhysicalId::try_from(self.pool.clone()).ok().filter(|_| is_at_work)
    }

    /// The same turn, with the word whether CloudFormation took its answer.
    #[must_use]
    pub fn delivered(self, is_delivered: bool) -> Self {
        Self { undelivered: !is_delivered, ..self }
    }

    /// Whether CloudFormation did not take the answer.
    #[must_use]
    pub const fn is_undelivered(&self) -> bool {
        self.undelivered
    }

    /// The pool that this Delete takes down, and whether with all others of the resource.
    #[must_use]
    pub fn deleted(&self) -> Option<(&str, bool)> {
        (self.purpose == Purpose::Absent).then_some((self.pool.as_str(), self.covers_resource))
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
        self.live_pool.as_deref() == Some(pool.digits())
    }

    /// The answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    /// Whether this is a turn of that request, whichever delivery and hop.
    #[must_use]
    pub fn is_of(&self, request: &Request) -> bool {
        self.request_id == request.request_id && self.url == digest(request)
    }

    /// Whether this is the turn of a newer request than this one.
    #[must_use]
    pub fn supersedes(&self, request: &Request, signed_at: Timestamp) -> bool {
        !self.is_of(request) && self.signed_at > signed_at
    }

    /// Whether the request went on beyond this hop.
    #[must_use]
    pub const fn is_beyond(&self, hops: u32) -> bool {
        self.hop > hops
    }
}

/// Whether a Delete takes down every pool of the resource.
#[must_use]
pub fn covers_resource(held: &Continuation) -> bool {
    matches!(&held.goal, Goal::Absent(absent) if absent.evidence.covers_resource())
}

fn is_of_create(held: &Continuation) -> bool {
    match &held.goal {
        Goal::Present(_) => held.request.request_type == RequestType::Create,
        Goal::Absent(absent) => absent.evidence.is_unanswered_create(),
    }
}

fn wanted_content(held: &Continuation) -> Option<String> {
    let Goal::Present(goal) = &held.goal else { return None };
    let fingerprint = TaskDefinitionContent::of(&held.id, &goal.spec).fingerprint();
    Some(fingerprint.chars().take(CONTENT_DIGITS).collect())
}

fn digits_of(pool: &str) -> Option<String> {
    PhysicalId::try_from(pool.to_owned()).ok().map(|id| id.digits().to_owned())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

fn digest(request: &Request) -> String {
    let hash = Sha256::digest(request.response_url.expose());
    hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(URL_DIGITS).collect()
}

fn standing(held: &Continuation, found: Option<&SeenTurn>) -> Standing {
    let Some(SeenTurn { turn, version }) = found else {
        return match (&held.goal, held.turn) {
            // A Delete has removed it, and what this request was to build with it.
            (Goal::Present(_), Some(_)) => Standing::Yields(Yield::ToNewerRequest),
            (Goal::Present(_) | Goal::Absent(_), _) => Standing::MayTake,
        };
    };
    if turn.is_of(&held.request) {
        return own(held, turn, *version);
    }
    let is_about_another = turn.pool != held.held_pool() && !turn.covers_resource;
    if matches!(held.goal, Goal::Present(_)) && is_about_another && turn.purpose == Purpose::Absent {
        return displaced(held, *version);
    }
    // Signatures are dated in whole seconds. Of two that are equal, the one that wrote later came later.
    let is_newer = turn.signed_at > held.accepted_at
        || (turn.signed_at == held.accepted_at && held.turn.is_some_and(|mine| mine < *version));
    if is_newer { Standing::Yields(Yield::ToNewerRequest) } else { displaced(held, *version) }
}

/// Where one's own record stands.
fn own(held: &Continuation, turn: &Turn, version: u64) -> Standing {
    if let Some(answer) = &turn.answer {
        return Standing::Yields(Yield::Answered(answer.clone()));
    }
    match held.turn {
        _ if turn.is_beyond(held.hops) => Standing::Yields(Yield::ToOtherDelivery),
        Some(mine) if version > mine => Standing::Yields(Yield::ToOtherDelivery),
        Some(_) => Standing::Holds,
        None => Standing::MayTake,
    }
}

/// The record is somebody's who has no claim: it was written over ours, or what was read is older than ours.
fn displaced(held: &Continuation, version: u64) -> Standing {
    if held.turn.is_some_and(|mine| version < mine) { Standing::Holds } else { Standing::MayTake }
}

/// What comes before the next effect: nothing, a step, or the end.
pub(super) enum Before {
    Nothing,
    Take(Step),
    Yield(Yield),
}

/// Whether this invocation has to end.
pub(super) fn yields(held: &Continuation, seen: &Observed) -> Option<Yield> {
    match standing(held, seen.turn.as_ref()) {
        Standing::Yields(why) => Some(why),
        Standing::Holds | Standing::MayTake => None,
    }
}

/// Whether this invocation has to end if the record says this.
#[must_use]
pub fn gives_way_to(held: &Continuation, found: &SeenTurn) -> bool {
    matches!(standing(held, Some(found)), Standing::Yields(_))
}

/// Whether the turn is taken before anything else is looked at: a Delete that comes while this request still looks has
/// to find it. One that may find that there is nothing to do takes it before its first effect.
#[must_use]
pub fn takes_turn_first(held: &Continuation) -> bool {
    held.turn.is_none() && matches!(&held.goal, Goal::Present(goal) if goal.wish == Wish::Changed)
}

/// What comes before an effect, and before a wait for one.
pub(super) fn before_effect(held: &Continuation, seen: &Observed) -> Before {
    match standing(held, seen.turn.as_ref()) {
        Standing::Yields(why) => Before::Yield(why),
        Standing::MayTake => Before::Take(Step::TakeTurn(Turn::of(held, seen.turn.as_ref().map(|seen| &seen.turn)))),
        Standing::Holds => Before::Nothing,
    }
}

/// What comes before an answer. A request that wants nothing new, and finds nobody at work, leaves no trace: an
/// unchanged pool costs reads only. Every other one takes the turn even if the world agrees with it already, because an
/// older request may still be under way that would change it.
pub(super) fn before_answer(held: &Continuation, seen: &Observed) -> Before {
    let is_quiet = match &held.goal {
        Goal::Present(goal) => {
            held.turn.is_none()
                && goal.wish == Wish::Unchanged
                && seen.turn.as_ref().is_none_or(|seen| seen.turn.answer.is_some() || seen.turn.is_of(&held.request))
        }
        Goal::Absent(_) => seen.turn.is_none(),
    };
    if is_quiet { Before::Nothing } else { before_effect(held, seen) }
}

/// Whether taking the turn now takes it from a request that is still to be answered. What that one did between the look
/// that this rests on and the taking is not known: it may have lifted the protection of a task that has a job.
#[must_use]
pub fn interrupts(held: &Continuation, seen: &Observed) -> bool {
    let is_unanswered =
        |seen: &SeenTurn| !seen.turn.is_of(&held.request) && seen.turn.format == FORMAT && seen.turn.answer.is_none();
    seen.turn.as_ref().is_some_and(is_unanswered)
}

/// Until when the record of a Delete stays although its pool is gone: so long Lambda may still deliver the event of the
/// request that it interrupted, which finds the record then and does nothing.
pub(super) fn fenced_until(held: &Continuation) -> Option<Timestamp> {
    held.memory.interrupted_at.map(|since| since + REDELIVERY)
}

/// Whether the record is this request's to remove, once its pool is gone and no other one stays: not where it says that
/// another pool of the resource is in use.
pub(super) fn leaves_record(held: &Continuation, seen: &Observed) -> bool {
    let is_all = matches!(&held.goal, Goal::Absent(absent) if absent.kept.is_none());
    let has_other = |turn: &Turn| turn.live_pool.as_deref().is_some_and(|live| live != held.id.digits());
    let is_last = covers_resource(held) || !seen.turn.as_ref().is_some_and(|seen| has_other(&seen.turn));
    is_all && is_last && seen.turn.is_some() && matches!(standing(held, seen.turn.as_ref()), Standing::Holds)
}

/// Whether a Delete of the pool with this id keeps a record of its own: the resource's one is about another pool.
#[must_use]
pub fn is_about_another(turn: &Turn, pool: &str) -> bool {
    turn.format == FORMAT && turn.pool != pool && !turn.covers_resource
}

/// The name of the record that a request works by.
#[must_use]
pub fn record_of(held: &Continuation, seen: &Observed) -> String {
    let of_resource = record_name(&held.request.origin);
    if seen.has_own_record { own_record_name(&of_resource, held.id.digits()) } else { of_resource }
}

/// The names of all records that a Delete removes at its end: the one that it works by last. Earlier Deletes of its pools,
/// which failed, may have left some of their own.
#[must_use]
pub fn records_of(held: &Continuation, seen: &Observed) -> Vec<String> {
    let of_resource = record_name(&held.request.origin);
    let others = match &held.goal {
        Goal::Absent(absent) => absent.others.as_slice(),
        Goal::Present(_) => &[],
    };
    let mut names: Vec<String> =
        others.iter().chain([&held.id]).map(|id| own_record_name(&of_resource, id.digits())).collect();
    if !seen.has_own_record {
        names.push(of_resource);
    }
    names
}

/// The name of the record of one pool, below that of its resource.
#[must_use]
pub fn own_record_name(of_resource: &str, digits: &str) -> String {
    format!("{of_resource}/{digits}")
}

/// The name of the record of a resource, as Parameter Store wants it.
#[must_use]
pub fn record_name(origin: &Origin) -> String {
    let part = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect()
    };
    let [stack, guid, resource] = [origin.stack_name(), origin.stack_guid(), &origin.logical_id].map(part);
    format!("{RECORDS_PATH}/{stack}/{guid}/{resource}")
}
