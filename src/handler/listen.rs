//! `{"Listen": {}}`: the listener of all pools with as many runners as jobs. One invocation at a time, by a lease; it hands
//! over to the next before Lambda ends it, and the tick starts one where there is none.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::Instrument as _;

use super::context::Context;
use crate::metrics;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::scaling::{LEASE_RENEWAL, ListenerLease};
use crate::pool::model::time::Timestamp;
use crate::reconcile::listen::{ServeResult, serve_pool};
use crate::reconcile::log_error;
use crate::reconcile::ports::{Clock, RemoteResult, SelfInvoker, World};
use crate::reconcile::scaling::{LISTEN_EVENT, read_lease, scaled_pools, write_lease};

/// The lease of this invocation.
struct Lease {
    version: u64,
    lease: ListenerLease,
}

/// How an invocation's listening ended.
enum ListenResult {
    /// Another invocation has to go on.
    OutOfTime,
    /// There is no pool with a scale set any more.
    NoPools,
    /// Another listener is at work.
    LeaseLost,
}

/// Works for all pools until the invocation's time is over, or another listener has the lease.
pub(super) async fn listen<W: World>(context: &Context<'_, W>) {
    let world = context.world;
    match acquire(world).await {
        Ok(Some(mut lease)) => {
            let until = context.budget.reconcile_until(world.clock().now(), context.settings.invocation_budget);
            match serve_all(context, &mut lease, until).await {
                ListenResult::OutOfTime => hand_over(context, &lease).await,
                ListenResult::NoPools => give_back(world, &lease).await,
                ListenResult::LeaseLost => tracing::warn!(step = "listen", "another listener has the lease"),
            }
        }
        Ok(None) => tracing::debug!(step = "listen", "another listener is at work"),
        // The next tick starts another one.
        Err(error) => log_error(&error),
    }
}

/// Starts a listener where there is none and a pool has work for it.
pub(super) async fn watch<W: World>(context: &Context<'_, W>) {
    let start = async {
        let (lease, _) = read_lease(context.world).await?;
        let is_at_work = lease.is_current(context.world.clock().now());
        let is_missing = !is_at_work && !scaled_pools(context.world).await?.pools.is_empty();
        metrics::listener(is_missing);
        if !is_missing {
            return Ok(());
        }
        tracing::info!(step = "listen", "no listener is at work, so one is started");
        context.world.self_invoker().invoke(context.function, LISTEN_EVENT.to_vec()).await
    };
    let result: RemoteResult<()> = start.await;
    if let Err(error) = result {
        log_error(&error);
    }
}

async fn acquire<W: World>(world: &W) -> RemoteResult<Option<Lease>> {
    let (found, version) = read_lease(world).await?;
    let now = world.clock().now();
    if found.is_current(now) {
        return Ok(None);
    }
    let lease = ListenerLease::new(now);
    Ok(write_lease(world, lease, version).await?.map(|version| Lease { version, lease }))
}

/// Serves every pool at once.
async fn serve_all<W: World>(context: &Context<'_, W>, lease: &mut Lease, until: Timestamp) -> ListenResult {
    let world = context.world;
    let mut serving: FuturesUnordered<_> = FuturesUnordered::new();
    let mut served: BTreeSet<PhysicalId> = BTreeSet::new();
    loop {
        match scaled_pools(world).await {
            Ok(list) if list.pools.is_empty() && serving.is_empty() => return ListenResult::NoPools,
            Ok(list) => {
                for id in list.pools.difference(&served.clone()) {
                    served.insert(id.clone());
                    serving.push(serve(context, id.clone(), until));
                }
            }
            Err(error) => log_error(&error),
        }
        // By the lease itself: after a call that took long, another listener may have it.
        let renew_at = lease.lease.renew_at();
        while world.clock().now() < renew_at.min(until) {
            let timer = pin!(world.clock().sleep_until(renew_at.min(until)));
            if serving.is_empty() {
                timer.await;
                continue;
            }
            if let Either::Left((Some(id), _)) = select(serving.next(), timer).await {
                served.remove(&id);
                break;
            }
        }
        let now = world.clock().now();
        if now >= until {
            return ListenResult::OutOfTime;
        }
        if !renew(world, lease).await {
            return ListenResult::LeaseLost;
        }
    }
}

/// Serves one pool; a panic of one keeps no other from its messages.
async fn serve<W: World>(context: &Context<'_, W>, id: PhysicalId, until: Timestamp) -> PhysicalId {
    let span = tracing::info_span!("listen", listener = true, physical_id = id.as_str());
    let work = serve_pool(context.world, &id, context.settings.poll_interval, until, metrics::demand).instrument(span);
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(ServeResult::OutOfTime) => {}
        Ok(result @ (ServeResult::Deleted | ServeResult::Superseded)) => {
            tracing::info!(step = "listen", physical_id = id.as_str(), ?result, "no longer served");
            pause(context, until).await;
        }
        Err(_panic) => {
            tracing::error!(step = "listen", physical_id = id.as_str(), "a panic; the pool is served again");
            pause(context, until).await;
        }
    }
    id
}

/// Before a pool is served again.
async fn pause<W: World>(context: &Context<'_, W>, until: Timestamp) {
    let clock = context.world.clock();
    clock.sleep_until((clock.now() + LEASE_RENEWAL).min(until)).await;
}

/// Whether this invocation still has the lease. One that cannot be renewed lasts until it expires.
async fn renew<W: World>(world: &W, lease: &mut Lease) -> bool {
    let renewed = ListenerLease::new(world.clock().now());
    let written = match write_lease(world, renewed, lease.version).await {
        // Or the response to an earlier try of this very write was lost.
        Ok(None) => read_lease(world).await.map(|(found, version)| (found == renewed).then_some(version)),
        written => written,
    };
    match written {
        Ok(Some(version)) => {
            *lease = Lease { version, lease: renewed };
            true
        }
        Ok(None) => false,
        Err(error) => {
            log_error(&error);
            lease.lease.is_current(world.clock().now())
        }
    }
}

/// Gives the lease back, so that the next listener need not wait until it expires.
async fn give_back<W: World>(world: &W, lease: &Lease) {
    if let Err(error) = write_lease(world, ListenerLease::default(), lease.version).await {
        log_error(&error);
    }
}

/// Starts the next listener, which goes on with the same sessions.
async fn hand_over<W: World>(context: &Context<'_, W>, lease: &Lease) {
    give_back(context.world, lease).await;
    if let Err(error) = context.world.self_invoker().invoke(context.function, LISTEN_EVENT.to_vec()).await {
        // The next tick finds that no listener is at work.
        log_error(&error);
    }
}
