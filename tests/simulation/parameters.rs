//! Parameter Store: the credential, and the records of who works for a resource.

use std::collections::BTreeMap;

use github_runner_pool::reconcile::ports::LockRecord;

/// The records, and how often each was written since it was last removed.
#[derive(Default)]
pub(crate) struct SecretStore {
    pub(crate) records: BTreeMap<String, LockRecord>,
    /// What each said, version by version.
    pub(crate) history: BTreeMap<String, Vec<String>>,
}

impl SecretStore {
    pub(crate) fn write(&mut self, name: &str, text: &str) -> u64 {
        let version = self.records.get(name).map_or(1, |record| record.version + 1);
        self.records.insert(name.to_owned(), LockRecord { text: text.to_owned(), version });
        let history = self.history.entry(name.to_owned()).or_default();
        if version == 1 {
            history.clear();
        }
        history.push(text.to_owned());
        version
    }
}
