//! Which pool a Delete means, when its physical id is none of ours, and which record a request works by.
//!
//! A Create that CloudFormation cancelled never got our answer, so its Delete carries an id that CloudFormation made
//! up. The pool is still known by its stack and logical id, in the tags of its task definition and of its group.

use std::collections::BTreeSet;

use super::ports::{AutoScaling, Call, Ecs, Record, Succession, World};
use crate::pool::identity::{Origin, PhysicalId};
use crate::pool::succession::{SeenTurn, Turn, is_about_another, own_record_name, record_name};

/// The record that a request works by.
pub struct FoundTurn {
    /// Its name in Parameter Store.
    pub name: String,
    /// Whether it is a Delete's own, since the resource's is about another pool.
    pub is_own: bool,
    /// What it says, if it is there.
    pub turn: Option<SeenTurn>,
}

/// The pool that a Delete is about.
pub struct Deleted<'held> {
    /// The pool that is taken down.
    pub id: &'held PhysicalId,
    /// The pool that the stack holds meanwhile: this one, or another where this is nobody's any more.
    pub held_pool: &'held str,
    /// Whether the Delete has worked by a record of its own, which it goes on with when the resource's is gone.
    pub has_own_record: bool,
}

/// Looks for the record of this resource, or of the pool that is `deleted`.
///
/// # Errors
/// The first call that was refused.
pub async fn turn_of<W: World>(world: &W, origin: &Origin, deleted: Option<Deleted<'_>>) -> Call<FoundTurn> {
    let of_resource = record_name(origin);
    let seen = |record: Record| SeenTurn { turn: Turn::from_record(&record.text), version: record.version };
    let turn = world.succession().turn(&of_resource).await?.map(seen);
    let Some(deleted) = deleted.filter(|deleted| match &turn {
        Some(seen) => is_about_another(&seen.turn, deleted.held_pool),
        None => true,
    }) else {
        return Ok(FoundTurn { name: of_resource, is_own: false, turn });
    };
    let name = own_record_name(&of_resource, deleted.id.digits());
    let own = world.succession().turn(&name).await?.map(seen);
    // An earlier invocation of this Delete may have left its record, when the resource's has gone with another pool.
    if turn.is_some() || own.is_some() || deleted.has_own_record {
        return Ok(FoundTurn { name, is_own: true, turn: own });
    }
    Ok(FoundTurn { name: of_resource, is_own: false, turn: None })
}

/// Every pool of this resource that exists.
///
/// # Errors
/// The first call that was refused.
pub async fn pools_of<W: World>(world: &W, origin: &Origin) -> Call<BTreeSet<PhysicalId>> {
    let stem = origin.id_stem();
    let mut pools = BTreeSet::new();
    for id in world.ecs().families(&stem).await?.into_iter().filter_map(|name| PhysicalId::try_from(name).ok()) {
        // Two stacks may share the part of their names that an id keeps; only the tags tell them apart.
        let revision = world.ecs().task_definition(&id).await?;
        if revision.is_some_and(|revision| origin.made(&revision.tags)) {
            pools.insert(id);
        }
    }
    let groups = world.auto_scaling().groups_of(origin).await?;
    pools.extend(groups.into_iter().filter_map(|name| PhysicalId::try_from(name).ok()));
    Ok(pools)
}
