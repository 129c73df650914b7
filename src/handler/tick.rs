//! `{"Tick": {}}`: what is due by the clock, for the provider stack's rule that invokes the function each minute.
//!
//! What is begun is written down first, with a conditional write: of two ticks at once, or one that Lambda delivers late,
//! one does the work.

use super::inventory::inventory;
use crate::metrics;
use crate::pool::model::tick_record::{TICK_KEY, TickRecord};
use crate::reconcile::log_error;
use crate::reconcile::ports::{Clock, RemoteResult, StateItem, StateStore, StateWrite, World};
use crate::reconcile::sweep::sweep;

/// Does what is due. An error is logged: the next tick is a minute away.
pub(super) async fn tick<W: World>(world: &W) {
    if let Err(error) = do_due_work(world).await {
        log_error(&error);
    }
}

async fn do_due_work<W: World>(world: &W) -> RemoteResult<()> {
    let now = world.clock().now();
    let item = world.state_store().read_item(TICK_KEY).await?;
    let record = item.as_ref().map(|item| TickRecord::from_record(&item.text)).unwrap_or_default();
    let (due, begun) = record.due(now);
    if due.is_none() {
        return Ok(());
    }
    let version = item.map_or(0, |item| item.version).saturating_add(1);
    let item = StateItem { text: begun.to_record(), version, expires_at: None };
    if world.state_store().write_item(TICK_KEY, &item, now).await? == StateWrite::Conflict {
        return Ok(());
    }
    if due.sweep {
        metrics::sweep(sweep(world).await?);
    }
    if due.inventory {
        inventory(world).await;
    }
    Ok(())
}
