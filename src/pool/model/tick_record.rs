//! When periodic work was last started: an item of the state table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::time::Timestamp;

/// The item's key.
pub const TICK_KEY: &str = "tick";

/// Between two sweeps for registrations that no container has.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
/// Between two inventories. Their metrics are by the hour.
const INVENTORY_INTERVAL: Duration = Duration::from_secs(3600);

/// When each kind of work was last started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickRecord {
    #[serde(default)]
    swept_at: Option<Timestamp>,
    #[serde(default)]
    inventoried_at: Option<Timestamp>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueWork {
    /// The sweep.
    pub sweep: bool,
    /// The inventory.
    pub inventory: bool,
}

impl TickRecord {
    /// Reads the item. An unreadable item counts as if no work had been started.
    #[must_use]
    pub fn from_record(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The item's text.
    #[must_use]
    pub fn to_record(self) -> String {
        // Numbers: nothing in here can fail to serialize.
        serde_json::to_string(&self).unwrap_or_default()
    }

    /// What is due now, and the record once it is begun.
    #[must_use]
    pub fn due(self, now: Timestamp) -> (DueWork, Self) {
        let is_due = |last: Option<Timestamp>, interval| last.is_none_or(|last| now.since(last) >= interval);
        let due = DueWork {
            sweep: is_due(self.swept_at, SWEEP_INTERVAL),
            inventory: is_due(self.inventoried_at, INVENTORY_INTERVAL),
        };
        let begun = Self {
            swept_at: if due.sweep { Some(now) } else { self.swept_at },
            inventoried_at: if due.inventory { Some(now) } else { self.inventoried_at },
        };
        (due, begun)
    }
}

impl DueWork {
    /// Whether no work is due.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.sweep && !self.inventory
    }
}
