//! DynamoDB: the registrations table, as containers and the function write it.
//!
//! One item for each task that asks. Every write that changes an item leaves a record in the table's stream
//! ([`crate::event_source`]); a put of what is there already leaves none.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::registration::{Architecture, RegistrationRequest};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{AnswerWrite, StateItem};
use serde_json::Value;

use crate::history::Fact;
use crate::world::World;

/// After this time from its request DynamoDB may delete an item.
const TTL: Duration = Duration::from_secs(3600);
/// The unique id of the role of every task here.
const ROLE_ID: &str = "AROASIMULATEDRUNNERS";

/// How the key of a registration's claim in the state table begins.
pub(crate) const CLAIM: &str = "registration#";

/// The table.
#[derive(Default)]
pub(crate) struct Registrations {
    items: BTreeMap<String, Item>,
    /// Answers with a registration that were ever written, by key.
    pub(crate) n_granted: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    task: String,
    attempt: u32,
    answer: Option<String>,
    expires_at: Timestamp,
}

/// The key under which a task may write: its `aws:userid`.
pub(crate) fn key_of(task: &str) -> String {
    format!("{ROLE_ID}:{}", task.rsplit('/').next().unwrap())
}

/// Whether an answer grants a registration.
pub(crate) fn is_grant(answer: &Value) -> bool {
    answer["kind"] != "refused"
}

impl World {
    /// `PutItem`, on condition that there is no answer; whether it was met.
    pub(crate) fn put_request(&mut self, key: &str, task: &str, attempt: u32) -> bool {
        let item = Item { task: task.to_owned(), attempt, answer: None, expires_at: self.now + TTL };
        let before = self.registrations.items.get(key);
        if before.is_some_and(|before| before.answer.is_some()) {
            return false;
        }
        // A second later the time to live is another, but the script puts it once for each attempt.
        let is_same = before.is_some_and(|before| (&before.task, before.attempt) == (&item.task, item.attempt));
        let event = if before.is_some() { "MODIFY" } else { "INSERT" };
        self.registrations.items.insert(key.to_owned(), item);
        if !is_same {
            self.stream_record(key, event);
        }
        true
    }

    /// `DeleteItem`, on condition that there is an answer, with the old item returned.
    pub(crate) fn take_answer(&mut self, key: &str) -> Option<Value> {
        let answer = self.registrations.items.get(key)?.answer.clone()?;
        self.registrations.items.remove(key);
        self.stream_record(key, "REMOVE");
        self.note(&Fact::RegistrationTaken { key: key.to_owned(), answer: answer.clone() });
        serde_json::from_str(&answer).ok()
    }

    /// `DeleteItem` by a container that ends, whatever is in the item.
    pub(crate) fn withdraw_request(&mut self, key: &str) {
        if self.registrations.items.remove(key).is_some() {
            self.stream_record(key, "REMOVE");
            self.occur("transition", "container withdrew its item");
        }
    }

    pub(crate) fn read_request(&self, key: &str) -> Option<RegistrationRequest> {
        let item = self.registrations.items.get(key).filter(|item| item.answer.is_none())?;
        Some(RegistrationRequest {
            key: key.to_owned(),
            task_arn: item.task.clone(),
            attempt: item.attempt.into(),
            architecture: Some(Architecture::X64),
        })
    }

    /// `UpdateItem`, on condition that the item is there and has no answer.
    pub(crate) fn write_answer(&mut self, key: &str, answer: &str) -> AnswerWrite {
        let Some(item) = self.registrations.items.get_mut(key).filter(|item| item.answer.is_none()) else {
            self.occur("transition", "answer to a container that no longer waits");
            return AnswerWrite::Withdrawn;
        };
        item.answer = Some(answer.to_owned());
        self.stream_record(key, "MODIFY");
        if serde_json::from_str(answer).is_ok_and(|answer| is_grant(&answer)) {
            *self.registrations.n_granted.entry(key.to_owned()).or_default() += 1;
            self.figures.registrations += 1;
        }
        self.note(&Fact::RegistrationAnswered { key: key.to_owned(), answer: answer.to_owned() });
        AnswerWrite::Stored
    }

    /// A claim was written: anew, if it was taken over.
    pub(crate) fn claim_written(&mut self, key: &str, item: &StateItem) {
        if key.starts_with(CLAIM) && item.version > 1 && item.text.contains("Minting") {
            self.occur("transition", "claim taken over");
        }
    }

    /// The keys of the requests that wait.
    pub(crate) fn waiting_keys(&self) -> Vec<String> {
        let waiting = self.registrations.items.iter().filter(|(_, item)| item.answer.is_none());
        waiting.map(|(key, _)| key.clone()).collect()
    }

    /// DynamoDB deletes what has expired, some time later.
    pub(crate) fn registrations_step(&mut self) {
        let now = self.now;
        let expired = self.registrations.items.iter().find(|(_, item)| item.expires_at <= now);
        let Some(key) = expired.map(|(key, _)| key.clone()) else { return };
        if self.once_in(100) {
            self.registrations.items.remove(&key);
            self.stream_record(&key, "REMOVE");
            self.occur("transition", "request expired unanswered or untaken");
        }
    }
}
