//! What may be left at GitHub of a resource's deleted pools: one item of the state table.
//!
//! A Delete that GitHub rejects removes everything in AWS, the metadata in the pool's task definition included, and its
//! response names what may be left. That response never arrives if the Delete fails after that, or is superseded. So
//! the metadata is recorded first: the next Delete of the pool, or of its stack, removes at GitHub what it can, and
//! names the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::operation_lock::resource_lock_key;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::time::Timestamp;

/// The format of the item. One of another format was written by another version of the function.
const FORMAT: u16 = 1;

/// How long a deleted pool is kept in the item. By then GitHub has removed every runner that was not online since, and a
/// scale set without a listener.
/// <https://docs.github.com/en/actions/how-tos/manage-runners/self-hosted-runners/remove-runners>
const REMAINS_TTL: Duration = Duration::from_secs(14 * 86_400);

/// Maximum pools of an item, of which the newest are kept: one takes about 1 KB, and an item holds 400 KB.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items>
const POOLS_MAX: usize = 100;

/// The deleted pools of a resource of which something may be left at GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemainsRecord {
    format: u16,
    pools: BTreeMap<PhysicalId, DeletedPoolRemains>,
}

/// A deleted pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeletedPoolRemains {
    recorded_at: Timestamp,
    metadata: PoolMetadata,
}

impl Default for RemainsRecord {
    fn default() -> Self {
        Self { format: FORMAT, pools: BTreeMap::new() }
    }
}

impl RemainsRecord {
    /// The key of a resource's item.
    #[must_use]
    pub fn key(stack_resource: &StackResource) -> String {
        format!("remains#{}", resource_lock_key(stack_resource))
    }

    /// Reads an item. One that cannot be read names no pool.
    #[must_use]
    pub fn from_record(text: &str) -> Self {
        serde_json::from_str::<Self>(text).ok().filter(|record| record.format == FORMAT).unwrap_or_default()
    }

    /// The item's text.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Strings, numbers and enums: nothing in here can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// When an item that is written now expires.
    #[must_use]
    pub fn expires_at(now: Timestamp) -> Timestamp {
        now + REMAINS_TTL
    }

    /// The item with this pool, and without those that are too old.
    #[must_use]
    pub fn with(mut self, id: PhysicalId, metadata: PoolMetadata, now: Timestamp) -> Self {
        self.pools.retain(|_, pool| now.since(pool.recorded_at) < REMAINS_TTL);
        self.pools.insert(id, DeletedPoolRemains { recorded_at: now, metadata });
        while self.pools.len() > POOLS_MAX
            && let Some(oldest) = self.pools.iter().min_by_key(|(_, pool)| pool.recorded_at).map(|(id, _)| id.clone())
        {
            self.pools.remove(&oldest);
        }
        self
    }

    /// The item without this pool.
    #[must_use]
    pub fn without(mut self, id: &PhysicalId) -> Self {
        self.pools.remove(id);
        self
    }

    /// How to reach what may be left of a pool.
    #[must_use]
    pub fn metadata(&self, id: &PhysicalId) -> Option<&PoolMetadata> {
        self.pools.get(id).map(|pool| &pool.metadata)
    }

    /// The pools, with how to reach what may be left of each.
    pub fn pools(&self) -> impl Iterator<Item = (&PhysicalId, &PoolMetadata)> {
        self.pools.iter().map(|(id, pool)| (id, &pool.metadata))
    }
}
