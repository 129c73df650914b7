//! DynamoDB: the state table, with its conditional writes.

use std::collections::BTreeMap;

use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{StateItem, StateWrite};

/// The items.
#[derive(Default)]
pub(crate) struct StateTable {
    pub(crate) items: BTreeMap<String, StateItem>,
}

impl StateTable {
    /// Writes over the version before; version 1 over none, or over an item that has expired.
    pub(crate) fn write(&mut self, key: &str, item: &StateItem, now: Timestamp) -> StateWrite {
        let replaced = self.items.get(key);
        let is_expired = |item: &StateItem| item.expires_at.is_some_and(|at| at <= now);
        let is_met = match item.version {
            1 => replaced.is_none_or(is_expired),
            version => replaced.is_some_and(|replaced| replaced.version + 1 == version),
        };
        if !is_met {
            return StateWrite::Conflict;
        }
        self.items.insert(key.to_owned(), item.clone());
        StateWrite::Stored
    }
}
