//! The item of the state table about deleted pools of which something may be left at GitHub:
//! [`crate::pool::model::remains`].

use super::lookup::read_unexpired;
use super::ports::{Clock, RemoteResult, StateItem, StateStore, StateWrite, World};
use super::scaling::conflict;
use crate::pool::model::identity::StackResource;
use crate::pool::model::remains::RemainsRecord;
use crate::pool::model::time::Timestamp;

/// The deleted pools of a resource of which something may be left.
///
/// # Errors
/// When the call was refused.
pub async fn read_remains<W: World>(world: &W, stack_resource: &StackResource) -> RemoteResult<RemainsRecord> {
    let item = read_unexpired(world, &RemainsRecord::key(stack_resource)).await?;
    Ok(item.map(|item| RemainsRecord::from_record(&item.text)).unwrap_or_default())
}

/// Changes the item, if the change makes a difference.
///
/// # Errors
/// When a call was refused, or another invocation has written first.
pub async fn change_remains<W: World>(
    world: &W,
    stack_resource: &StackResource,
    change: impl FnOnce(RemainsRecord, Timestamp) -> RemainsRecord,
) -> RemoteResult<()> {
    let (key, now) = (RemainsRecord::key(stack_resource), world.clock().now());
    let found = read_unexpired(world, &key).await?;
    let before = found.as_ref().map(|item| RemainsRecord::from_record(&item.text)).unwrap_or_default();
    let record = change(before.clone(), now);
    if record == before {
        return Ok(());
    }
    let version = found.map_or(0, |item| item.version).saturating_add(1);
    let expires_at = Some(RemainsRecord::expires_at(now));
    let item = StateItem { text: record.to_record(), version, expires_at };
    match world.state_store().write_item(&key, &item, now).await? {
        StateWrite::Stored => Ok(()),
        StateWrite::Conflict => Err(conflict("PutItem")),
    }
}
