//! Writing a record over the one that was found.
//!
//! Parameter Store has no conditional write: what another owner wrote between our look and our write is gone from the
//! record, but not from its history, and the version that a write returns shows whether there was something. A response
//! that stood there is put back, or another delivery of its request would work once more and respond otherwise.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>

use super::ports::{LockStore, RemoteResult, World};
use crate::pool::model::operation_lock::{ObservedLock, OperationLock};

/// Versions that are looked through. An observation and the write that rests on it are seconds apart, and so many
/// deliveries of one request do not write in that time.
const MISSED_MAX: u64 = 5;

/// What became of a write.
pub enum Overwritten {
    /// The record says what was written, in this version.
    Stored(u64),
    /// The record says what it said before, which is this.
    Restored(Box<OperationLock>),
}

/// Writes `lock` over what was `found`, unless a response that `counts` was written meanwhile.
///
/// # Errors
/// The first call that was refused.
pub async fn overwrite<W: World>(
    world: &W,
    name: &str,
    found: Option<&ObservedLock>,
    lock: &OperationLock,
    counts: impl Fn(&ObservedLock) -> bool,
) -> RemoteResult<Overwritten> {
    let version = world.lock_store().write_lock(name, &lock.to_record()).await?;
    let first_missed = found.map_or(0, |found| found.version).saturating_add(1);
    for missed in (first_missed.max(version.saturating_sub(MISSED_MAX))..version).rev() {
        let Some(record) = world.lock_store().read_lock_version(name, missed).await? else { continue };
        let earlier = ObservedLock { lock: OperationLock::from_record(&record.text), version: record.version };
        if earlier.lock.answer().is_some() && counts(&earlier) {
            tracing::info!(step = "restore_lock", "another invocation has responded meanwhile");
            world.lock_store().write_lock(name, &record.text).await?;
            return Ok(Overwritten::Restored(Box::new(earlier.lock)));
        }
    }
    Ok(Overwritten::Stored(version))
}
