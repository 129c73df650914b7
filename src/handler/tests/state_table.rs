//! The state table of a [`StubWorld`], whose faults a test chooses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::ops::Range;
use std::time::Duration;

use super::stub_world::{Behavior, NOW, StubWorld, remote_error};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock as _, RemoteResult, StateItem, StateStore, StateWrite};

/// What is wrong with each operation on an item after the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Hangs,
    TakesSecs(u64),
    /// In seconds after [`NOW`].
    FailsUntilSecs(u64),
}

#[derive(Default)]
pub(super) struct StateTable {
    pub(super) items: RefCell<BTreeMap<String, StateItem>>,
    /// The key of every read, and of every write.
    pub(super) reads: RefCell<Vec<String>>,
    pub(super) writes: RefCell<Vec<String>>,
    /// The item, as key and text, that another invocation writes just before the nth write of this one.
    pub(super) written_meanwhile: RefCell<BTreeMap<usize, (String, String)>>,
    /// The writes that are denied.
    pub(super) denied_writes: Range<usize>,
    /// The item whose reads have a fault, and the one whose writes have.
    pub(super) read_fault: Option<(&'static str, Fault)>,
    pub(super) write_fault: Option<(&'static str, Fault)>,
}

impl StateTable {
    pub(super) fn put(&self, key: &str, text: String) {
        let version = self.version(key) + 1;
        self.items.borrow_mut().insert(key.to_owned(), StateItem { text, version, expires_at: None });
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.items.borrow()[key].text.clone()
    }

    /// The key and the text of the only item.
    pub(super) fn only_item(&self) -> (String, String) {
        let items = self.items.borrow();
        assert_eq!(items.len(), 1, "{items:?}");
        let (key, item) = items.first_key_value().unwrap();
        (key.clone(), item.text.clone())
    }

    fn version(&self, key: &str) -> u64 {
        self.items.borrow().get(key).map_or(0, |item| item.version)
    }
}

impl StubWorld {
    async fn suffer(
        &self,
        fault: Option<(&str, Fault)>,
        earlier: &RefCell<Vec<String>>,
        key: &str,
    ) -> RemoteResult<()> {
        let is_first = !earlier.borrow().iter().any(|other| other == key);
        earlier.borrow_mut().push(key.to_owned());
        let Some((_, fault)) = fault.filter(|(faulty, _)| !is_first && *faulty == key) else { return Ok(()) };
        match fault {
            Fault::Hangs => pending().await,
            Fault::TakesSecs(secs) => {
                self.sleep_until(self.now() + Duration::from_secs(secs)).await;
                Ok(())
            }
            Fault::FailsUntilSecs(secs) if self.now() >= NOW + Duration::from_secs(secs) => Ok(()),
            Fault::FailsUntilSecs(_) => Err(remote_error(ErrorKind::Unavailable)),
        }
    }
}

/// Works whatever the [`Behavior`] of the other remotes, save that a read panics where they do.
impl StateStore for StubWorld {
    async fn read_item(&self, key: &str) -> RemoteResult<Option<StateItem>> {
        assert!(!matches!(self.behavior, Behavior::Panics), "planted");
        self.suffer(self.table.read_fault, &self.table.reads, key).await?;
        Ok(self.table.items.borrow().get(key).cloned())
    }

    async fn write_item(&self, key: &str, item: &StateItem, _: Timestamp) -> RemoteResult<StateWrite> {
        self.suffer(self.table.write_fault, &self.table.writes, key).await?;
        let n_writes = self.table.writes.borrow().len();
        if self.table.denied_writes.contains(&n_writes) {
            return Err(remote_error(ErrorKind::Denied));
        }
        if let Some((key, text)) = self.table.written_meanwhile.borrow_mut().remove(&n_writes) {
            self.table.put(&key, text);
        }
        if item.version != self.table.version(key) + 1 {
            return Ok(StateWrite::Conflict);
        }
        self.table.items.borrow_mut().insert(key.to_owned(), item.clone());
        Ok(StateWrite::Stored)
    }
}
