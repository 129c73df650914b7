//! `{"Inventory": {}}`: how all pools of this account and Region are, for the caller and as metrics.
//!
//! The tick makes one each hour: a pool that no one changes sends no request, and grows old unseen. AWS is
//! read, GitHub is not asked, nothing is written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::metrics;
use crate::pool::model::identity::PhysicalId;
use crate::pool::policy::inventory::Inventory;
use crate::reconcile::chain;
use crate::reconcile::lookup::{FoundPool, every_pool};
use crate::reconcile::ports::{Clock, Ecs, RemoteResult, World};

/// The inventory, as the response of the invocation.
pub(super) async fn inventory<W: World>(world: &W) -> Value {
    match pools(world).await {
        Ok(pools) => {
            let all = pools.values().fold(Inventory::default(), |all, pool| all.and(*pool));
            metrics::inventory(&all);
            let summary: BTreeMap<&str, Value> = pools
                .iter()
                .map(|(id, pool)| {
                    (id.as_str(), json!({ "TasksRunning": pool.n_running, "OldestRunnerDays": pool.oldest_days }))
                })
                .collect();
            json!({ "Inventory": summary })
        }
        // Half an inventory would call the oldest runner younger than it is, so there is none.
        Err(error) => {
            tracing::error!(step = "inventory", kind = error.kind().name(), error = %chain(&error));
            json!({ "Inventory": {}, "Obstacle": error.remote_error.to_string() })
        }
    }
}

async fn pools<W: World>(world: &W) -> RemoteResult<BTreeMap<PhysicalId, Inventory>> {
    let mut pools = BTreeMap::new();
    for FoundPool { id, metadata, .. } in every_pool(world).await? {
        let tasks = world.ecs().tasks(&metadata.cluster, &id).await?;
        let found = Inventory::of(&tasks, world.clock().now());
        tracing::info!(
            step = "inventory",
            physical_id = id.as_str(),
            tasks_running = found.n_running,
            oldest_runner_days = found.oldest_days,
        );
        pools.insert(id, found);
    }
    Ok(pools)
}
