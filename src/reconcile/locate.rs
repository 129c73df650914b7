//! Which pool a Delete means, when its physical id is none of ours.
//!
//! A Create that CloudFormation cancelled never got our answer, so its Delete carries an id that CloudFormation made
//! up. The pool is still known by its stack and logical id, in the tags of its task definition and of its group.

use std::collections::BTreeSet;

use super::ports::{AutoScaling, Call, Ecs, World};
use crate::pool::identity::{Origin, PhysicalId};

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
