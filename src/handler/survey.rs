//! `{"Survey": {}}`: how all pools of this account and Region are, told to whoever invokes the function, and as metrics.
//!
//! For a schedule (cfn/operations.yaml): a pool that nobody changes sends no request, and grows old unseen. AWS is read,
//! GitHub is not asked, nothing is written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::metrics;
use crate::pool::identity::{PREFIX, PhysicalId};
use crate::pool::record::PoolRecord;
use crate::pool::survey::Survey;
use crate::reconcile::chain;
use crate::reconcile::ports::{Call, Clock, Ecs, World};

/// The survey that an event asks for; `None` if it asks for none.
pub(super) async fn answer<W: World>(world: &W, event: &Value) -> Option<Value> {
    event.get("Survey")?.as_object()?;
    Some(match pools(world).await {
        Ok(pools) => {
            let all = pools.values().fold(Survey::default(), |all, pool| all.and(*pool));
            metrics::survey(&all);
            let told: BTreeMap<&str, Value> = pools
                .iter()
                .map(|(id, pool)| {
                    (id.as_str(), json!({ "TasksRunning": pool.n_running, "OldestRunnerDays": pool.oldest_days }))
                })
                .collect();
            json!({ "Survey": told })
        }
        // Half a survey would call the oldest runner younger than it is, so there is none.
        Err(error) => {
            tracing::error!(step = "survey", class = error.class().name(), refusal = %chain(&error));
            json!({ "Survey": {}, "Obstacle": error.refusal.to_string() })
        }
    })
}

/// Every pool whose task definition tells where it is.
async fn pools<W: World>(world: &W) -> Call<BTreeMap<PhysicalId, Survey>> {
    let mut pools = BTreeMap::new();
    let families = world.ecs().families(&format!("{PREFIX}-")).await?;
    for id in families.into_iter().filter_map(|name| PhysicalId::try_from(name).ok()) {
        let newest = world.ecs().task_definition(&id).await?.filter(|revision| id.owns(&revision.tags));
        let Some(record) = newest.and_then(|revision| PoolRecord::from_label(revision.record.as_deref()?)) else {
            continue;
        };
        let tasks = world.ecs().tasks(&record.cluster, &id).await?;
        let found = Survey::of(&tasks, world.clock().now());
        tracing::info!(
            step = "survey",
            physical_id = id.as_str(),
            tasks_running = found.n_running,
            oldest_runner_days = found.oldest_days,
        );
        pools.insert(id, found);
    }
    Ok(pools)
}
