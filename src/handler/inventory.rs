//! `{"Inventory": {}}`: the state of all pools of this account and Region, for the caller and as metrics.
//!
//! The tick makes an inventory each hour, since a pool that no one updates sends no request and its image ages
//! unnoticed. It reads AWS only, and writes nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::metrics;
use crate::pool::model::identity::PhysicalId;
use crate::pool::policy::inventory::Inventory;
use crate::reconcile::chain;
use crate::reconcile::lookup::{FoundPool, every_pool};
use crate::reconcile::ports::{Clock, Ecs, RemoteResult, World};
use crate::version::VERSION;

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
            json!({ "Inventory": summary, "Version": VERSION })
        }
        // A partial inventory could understate the age of the oldest runner, so none is reported.
        Err(error) => {
            tracing::error!(step = "inventory", kind = error.kind().name(), error = %chain(&error));
            json!({ "Inventory": {}, "Obstacle": error.remote_error.to_string(), "Version": VERSION })
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
