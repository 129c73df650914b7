//! The items of the state table about pools with as many runners as jobs: [`crate::pool::model::scaling`].

use super::lookup::read_unexpired;
use super::ports::{Clock, RemoteCallError, RemoteResult, StateItem, StateStore, StateWrite, World};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::scaling::{
    LISTENER_KEY, ListenerLease, ObservedScaling, SCALED_POOLS_KEY, ScaledPools, ScalingMode, ScalingRecord,
};

/// The event with which the function starts a listener.
pub const LISTEN_EVENT: &[u8] = br#"{"Listen":{}}"#;

/// What is written down of a pool; `None` if nothing is, or nothing that this version can read.
///
/// # Errors
/// When the call was refused.
pub async fn read_scaling<W: World>(world: &W, id: &PhysicalId) -> RemoteResult<Option<ObservedScaling>> {
    let item = read_unexpired(world, &ScalingRecord::key(id)).await?;
    Ok(item.and_then(|item| {
        Some(ObservedScaling { record: ScalingRecord::from_record(&item.text)?, version: item.version })
    }))
}

/// Whether a pool has an item that does not say that it is deleted, also one that only another version of the function can
/// read: during a downgrade such a pool keeps its place in the list.
///
/// # Errors
/// When the call was refused.
pub async fn has_scaling<W: World>(world: &W, id: &PhysicalId) -> RemoteResult<bool> {
    let item = read_unexpired(world, &ScalingRecord::key(id)).await?;
    let is_deleted =
        |text: &str| ScalingRecord::from_record(text).is_some_and(|record| record.goal.mode == ScalingMode::Deleted);
    Ok(item.is_some_and(|item| !is_deleted(&item.text)))
}

/// Writes a pool's item over the version that was found, 0 for none. Returns its version; `None` if another one has been
/// written since.
///
/// # Errors
/// When the call was refused.
pub async fn write_scaling<W: World>(
    world: &W,
    id: &PhysicalId,
    record: &ScalingRecord,
    found: u64,
) -> RemoteResult<Option<u64>> {
    let now = world.clock().now();
    let version = found.saturating_add(1);
    let item = StateItem { text: record.to_record(), version, expires_at: record.expires_at(now) };
    let write = world.state_store().write_item(&ScalingRecord::key(id), &item, now).await?;
    Ok((write == StateWrite::Stored).then_some(version))
}

/// Writes what a request wants of a pool, and has the listener find it, or not any more. A pool's item is the last thing
/// that is written, so that a request which fails half way writes all of it again: the list may name a pool without an
/// item for a while, and never one that is deleted for good.
///
/// # Errors
/// When a call was refused, or another invocation has written first.
pub async fn publish<W: World>(world: &W, id: &PhysicalId, record: &ScalingRecord) -> RemoteResult<()> {
    list_pool(world, id, record.goal.mode != ScalingMode::Deleted).await?;
    // Whatever it says by now: the version that the next read has is the one to write over.
    let found = world.state_store().read_item(&ScalingRecord::key(id)).await?;
    let progress = found.as_ref().and_then(|item| ScalingRecord::from_record(&item.text)).map(|it| it.progress);
    let is_new = found.as_ref().is_none_or(|item| item.expires_at.is_some());
    let record = match progress {
        Some(progress) if !is_new => record.with_progress(progress),
        Some(_) | None => record.clone(),
    };
    let version = found.map_or(0, |item| item.version);
    if write_scaling(world, id, &record, version).await?.is_none() {
        return Err(conflict("PutItem"));
    }
    Ok(())
}

/// The pools that have a listener.
///
/// # Errors
/// When the call was refused, or this version of the function cannot read the item.
pub async fn scaled_pools<W: World>(world: &W) -> RemoteResult<ScaledPools> {
    Ok(read_list(world).await?.0)
}

/// The pools that have a listener, with the version of their item, 0 for none.
async fn read_list<W: World>(world: &W) -> RemoteResult<(ScaledPools, u64)> {
    let Some(item) = world.state_store().read_item(SCALED_POOLS_KEY).await? else { return Ok(Default::default()) };
    let list = ScaledPools::from_record(&item.text).ok_or_else(unreadable_list)?;
    Ok((list, item.version))
}

/// Writes whether a pool has a listener.
///
/// # Errors
/// When a call was refused, another invocation has written first, or this version of the function cannot read the item.
pub async fn list_pool<W: World>(world: &W, id: &PhysicalId, is_listed: bool) -> RemoteResult<()> {
    let (mut list, version) = read_list(world).await?;
    let has_changed = if is_listed { list.pools.insert(id.clone()) } else { list.pools.remove(id) };
    if !has_changed {
        return Ok(());
    }
    let item = StateItem { text: list.to_record(), version: version.saturating_add(1), expires_at: None };
    match world.state_store().write_item(SCALED_POOLS_KEY, &item, world.clock().now()).await? {
        StateWrite::Stored => Ok(()),
        StateWrite::Conflict => Err(conflict("PutItem")),
    }
}

/// The listener's lease, with the version of its item.
///
/// # Errors
/// When the call was refused.
pub async fn read_lease<W: World>(world: &W) -> RemoteResult<(ListenerLease, u64)> {
    let item = world.state_store().read_item(LISTENER_KEY).await?;
    Ok(item.map_or_else(Default::default, |item| (ListenerLease::from_record(&item.text), item.version)))
}

/// Writes the lease over the version that was found; `None` if another listener has it.
///
/// # Errors
/// When the call was refused.
pub async fn write_lease<W: World>(world: &W, lease: ListenerLease, found: u64) -> RemoteResult<Option<u64>> {
    let version = found.saturating_add(1);
    let item = StateItem { text: lease.to_record(), version, expires_at: None };
    let write = world.state_store().write_item(LISTENER_KEY, &item, world.clock().now()).await?;
    Ok((write == StateWrite::Stored).then_some(version))
}

/// Another invocation has written an item first; the next observation shows what.
pub(super) fn conflict(operation: &str) -> RemoteCallError {
    let message = "another invocation has written the item first".to_owned();
    state_table_error(ErrorKind::Conflict, operation, message)
}

/// Another version of the function has written the list of pools.
fn unreadable_list() -> RemoteCallError {
    let message = format!(
        "the item {SCALED_POOLS_KEY} of the state table was written by another version of the function, and this \
         version cannot read it; deploy the newest version"
    );
    state_table_error(ErrorKind::Unexpected, "GetItem", message)
}

fn state_table_error(kind: ErrorKind, operation: &str, message: String) -> RemoteCallError {
    let (remote, operation) = (RemoteService::DynamoDb, operation.to_owned());
    RemoteCallError { remote_error: RemoteError { remote, kind, operation, code: None, message }, source: None }
}
