//! Periodic work. A conditional write records that work has started before it starts.

use super::lookup::read_unexpired;
use super::ports::{Clock, RemoteResult, StateItem, StateStore, StateWrite, World};
use crate::pool::model::tick_record::{DueWork, TICK_KEY, TickRecord};

/// Claims the work that is due now; `None` if nothing is due or another invocation has claimed it.
///
/// # Errors
/// When the state table could not be read or written.
pub async fn begin_due_work<W: World>(world: &W) -> RemoteResult<Option<DueWork>> {
    let now = world.clock().now();
    let item = read_unexpired(world, TICK_KEY).await?;
    let record = item.as_ref().map(|item| TickRecord::from_record(&item.text)).unwrap_or_default();
    let (due, begun) = record.due(now);
    if due.is_none() {
        return Ok(None);
    }
    let version = item.map_or(0, |item| item.version).saturating_add(1);
    let item = StateItem { text: begun.to_record(), version, expires_at: None };
    let write = world.state_store().write_item(TICK_KEY, &item, now).await?;
    Ok((write == StateWrite::Stored).then_some(due))
}
