//! Finds the pools of a resource, and the lock of a request.
//!
//! CloudFormation never received the response to a Create that it cancelled, so the Delete has a physical id that
//! CloudFormation generated. The pool can still be found by its stack and logical id, which are in the tags of its task
//! definition and of its group.

use std::collections::BTreeSet;

use super::ports::{AutoScaling, Clock, Ecs, RemoteResult, StateItem, StateStore, World};
use crate::pool::model::identity::{PREFIX, PhysicalId, StackResource};
use crate::pool::model::operation_lock::{
    ObservedLock, OperationLock, is_for_other_pool, pool_lock_key, resource_lock_key,
};
use crate::pool::model::pool_metadata::PoolMetadata;

/// The lock of a request.
pub struct FoundLock {
    /// Its key in the state table.
    pub key: String,
    /// Whether it is a Delete's own lock, because the resource's lock is for another pool.
    pub is_own: bool,
    /// Its content, if it exists.
    pub lock: Option<ObservedLock>,
}

/// The pool that a Delete removes.
pub struct DeletedPool<'operation> {
    /// The pool to delete.
    pub id: &'operation PhysicalId,
    /// The pool that the stack refers to: this pool, or the one that replaced it.
    pub current_pool: &'operation str,
    /// Whether the Delete already has its own lock, which it keeps using when the resource's lock is gone.
    pub has_pool_lock: bool,
}

/// Finds the lock of this resource, or that of the `deleted` pool.
///
/// # Errors
/// The first call that failed.
pub async fn lock_of<W: World>(
    world: &W,
    stack_resource: &StackResource,
    deleted: Option<DeletedPool<'_>>,
) -> RemoteResult<FoundLock> {
    let of_resource = resource_lock_key(stack_resource);
    let lock = read_lock(world, &of_resource).await?;
    let Some(deleted) = deleted.filter(|deleted| match &lock {
        Some(observed) => is_for_other_pool(&observed.lock, deleted.current_pool),
        None => true,
    }) else {
        return Ok(FoundLock { key: of_resource, is_own: false, lock });
    };
    let key = pool_lock_key(&of_resource, deleted.id.hash());
    let own = read_lock(world, &key).await?;
    // An earlier invocation of this Delete may have left a lock of its own.
    if lock.is_some() || own.is_some() || deleted.has_pool_lock {
        return Ok(FoundLock { key, is_own: true, lock: own });
    }
    Ok(FoundLock { key: of_resource, is_own: false, lock: None })
}

/// The lock with this key; `None` if there is none or it has expired.
///
/// # Errors
/// When the call failed.
pub async fn read_lock<W: World>(world: &W, key: &str) -> RemoteResult<Option<ObservedLock>> {
    let item = read_unexpired(world, key).await?;
    Ok(item.map(|item| ObservedLock { lock: OperationLock::from_record(&item.text), version: item.version }))
}

/// The item of the state table with this key; `None` if there is none or it has expired.
///
/// # Errors
/// When the call failed.
pub async fn read_unexpired<W: World>(world: &W, key: &str) -> RemoteResult<Option<StateItem>> {
    let now = world.clock().now();
    let item = world.state_store().read_item(key).await?;
    Ok(item.filter(|item| item.expires_at.is_none_or(|at| at > now)))
}

/// A pool by its newest revision.
pub struct FoundPool {
    /// Its physical id.
    pub id: PhysicalId,
    /// The metadata in its task definition.
    pub metadata: PoolMetadata,
    /// The revision's ARN.
    pub revision: String,
}

/// Every pool of this account and Region that has readable metadata in its task definition.
///
/// # Errors
/// The first call that failed.
pub async fn every_pool<W: World>(world: &W) -> RemoteResult<Vec<FoundPool>> {
    let mut pools = Vec::new();
    let families = world.ecs().families_with_prefix(&format!("{PREFIX}-")).await?;
    for id in families.into_iter().filter_map(|name| PhysicalId::try_from(name).ok()) {
        let newest = world.ecs().task_definition(&id).await?.filter(|revision| id.owns(&revision.tags));
        let found = newest.and_then(|revision| {
            let metadata = PoolMetadata::from_label(revision.metadata.as_deref()?)?;
            Some(FoundPool { id, metadata, revision: revision.arn })
        });
        pools.extend(found);
    }
    Ok(pools)
}

/// Every pool of this resource that exists.
///
/// # Errors
/// The first call that failed.
pub async fn pools_of<W: World>(world: &W, stack_resource: &StackResource) -> RemoteResult<BTreeSet<PhysicalId>> {
    let stem = stack_resource.physical_id_prefix();
    let mut pools = BTreeSet::new();
    for id in
        world.ecs().families_with_prefix(&stem).await?.into_iter().filter_map(|name| PhysicalId::try_from(name).ok())
    {
        // The names of two stacks may begin with the same characters, which are all that an id keeps; only the tags
        // distinguish them.
        let revision = world.ecs().task_definition(&id).await?;
        if revision.is_some_and(|revision| stack_resource.owns(&revision.tags)) {
            pools.insert(id);
        }
    }
    let groups = world.auto_scaling().groups_owned_by(stack_resource).await?;
    pools.extend(groups.into_iter().filter_map(|name| PhysicalId::try_from(name).ok()));
    Ok(pools)
}
