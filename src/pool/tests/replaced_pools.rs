//! Which records of replaced pools an operation lock names, and who removes them.

use super::succession::{later, next_after};
use super::support::{converge, delete, spec, stack_resource};
use crate::pool::model::decision::Decision;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation_lock::{ObservedLock, REPLACED_POOLS_MAX, pool_lock_name, resource_lock_name};
use crate::pool::model::spec::{PoolSpec, Scope};
use crate::pool::model::step::Step;
use crate::pool::policy::locking::all_lock_names;

fn spec_of(organization: &str) -> PoolSpec {
    let mut spec = spec();
    spec.github.scope = Scope::Organization(organization.to_owned());
    spec
}

fn own_name(organization: &str) -> String {
    let id = PhysicalId::of(&stack_resource(), &spec_of(organization));
    pool_lock_name(&resource_lock_name(&stack_resource()), id.hash())
}

#[test]
fn release_lock_removes_the_records_that_deletes_of_replaced_pools_have_left() {
    let of_resource = resource_lock_name(&stack_resource());
    let first = converge(spec_of("first")).lock(None);
    let second = later(converge(spec_of("second")), "second", 60).lock(Some(&first));
    let again = later(converge(spec_of("second")), "again", 120).lock(Some(&second));
    assert_eq!(again.replaced_pool_lock_names(&of_resource), [own_name("first")]);
    let mut delete = later(delete(&spec_of("second")), "delete", 180);
    let lock = delete.lock(Some(&again));
    let observed = Observed { lock: Some(ObservedLock { lock: lock.clone(), version: 4 }), ..Observed::default() };
    assert_eq!(all_lock_names(&delete, &observed), [own_name("second"), own_name("first"), of_resource]);
    // A Delete that works by a record of its own leaves the resource's.
    let below = Observed { has_pool_lock: true, ..observed };
    assert_eq!(all_lock_names(&delete, &below), [own_name("second")]);
    delete.memory.lock_version = Some(4);
    assert_eq!(next_after(&mut delete, Some(lock), 4), Decision::Act(vec![Step::ReleaseLock]));
}

#[test]
fn a_lock_drops_the_oldest_of_too_many_replaced_pools() {
    let first = converge(spec_of("first")).lock(None);
    let many = (0..20).fold(first, |lock, n| converge(spec_of(&format!("of-{n}"))).lock(Some(&lock)));
    assert_eq!(many.replaced_pool_lock_names(&resource_lock_name(&stack_resource())).len(), REPLACED_POOLS_MAX);
    assert_eq!(
        many.replaced_pools.last(),
        Some(&PhysicalId::of(&stack_resource(), &spec_of("of-18")).hash().to_owned())
    );
}
