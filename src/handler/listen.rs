//! `{"Listen": {}}`: the listener of all pools with as many runners as jobs. One invocation at a time, by a lease; it hands
//! over to the next before Lambda ends it, and the tick starts one where there is none.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::Instrument as _;

use super::context::Context;
use crate::metrics;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::scaling::{ListenerLease, ScaledPools};
use crate::pool::model::time::Timestamp;
use crate::reconcile::listen::{ServeResult, serve_pool};
use crate::reconcile::log_error;
use crate::reconcile::ports::{Clock, RemoteResult, SelfInvoker, World};
use crate::reconcile::scaling::{LISTEN_EVENT, has_scaling, list_pool, read_lease, scaled_pools, write_lease};

/// Between two readings of the list of pools.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// How long a request may take between its writes of the list and of the item, which follow each other: both calls time out
/// within a minute.
const LISTED_WITHOUT_ITEM_MAX: Duration = Duration::from_secs(300);
/// After a renewal of the lease that failed: several tries fit in before the lease expires.
const RENEWAL_RETRY_DELAY: Duration = Duration::from_secs(2);

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
    /// Another listener is at work, or may be.
    LeaseLost,
}

/// What has been done of the work for all pools.
enum Work {
    /// The list of pools was read, or could not be.
    Listed(RemoteResult<ScaledPools>),
    /// The work for a pool ended.
    Served(PhysicalId),
}

/// Works for all pools until the invocation's time is over, or another listener has the lease.
pub(super) async fn listen<W: World>(context: &Context<'_, W>) {
    let world = context.world;
    match acquire(world).await {
        Ok(Some(mut lease)) => {
            let until = context.budget.reconcile_until(world.clock().now(), context.settings.invocation_budget);
            match serve_all(context, &mut lease, until).await {
                ListenResult::OutOfTime => hand_over(context, &lease).await,
                ListenResult::NoPools => {
                    give_back(world, &lease).await;
                    // A pool may have been listed meanwhile, and the listener that was started for it have found this one
                    // at work.
                    match is_missing(world).await {
                        Ok(true) => start(context).await,
                        Ok(false) => {}
                        Err(error) => log_error(&error),
                    }
                }
                ListenResult::LeaseLost => tracing::warn!(step = "listen", "the lease is lost"),
            }
        }
        Ok(None) => tracing::debug!(step = "listen", "another listener is at work"),
        // The next tick starts another one.
        Err(error) => log_error(&error),
    }
}

/// Starts a listener where there is none and a pool has work for it, or where that cannot be read: one too many finds the
/// lease and ends.
pub(super) async fn watch<W: World>(context: &Context<'_, W>) {
    match is_missing(context.world).await {
        Ok(is_missing) => {
            metrics::listener(is_missing);
            if is_missing {
                tracing::info!(step = "listen", "no listener is at work, so one is started");
                start(context).await;
            }
        }
        Err(error) => {
            log_error(&error);
            start(context).await;
        }
    }
}

async fn is_missing<W: World>(world: &W) -> RemoteResult<bool> {
    let (lease, _) = read_lease(world).await?;
    Ok(!lease.is_current(world.clock().now()) && !scaled_pools(world).await?.pools.is_empty())
}

async fn start<W: World>(context: &Context<'_, W>) {
    if let Err(error) = context.world.self_invoker().invoke(context.function, LISTEN_EVENT.to_vec()).await {
        // The next tick finds that no listener is at work.
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

/// Serves every pool at once, as long as this invocation has the lease.
async fn serve_all<W: World>(context: &Context<'_, W>, lease: &mut Lease, until: Timestamp) -> ListenResult {
    let kept = pin!(keep_lease(context.world, lease, until));
    let served = pin!(serve_pools(context, until));
    // `select` polls the lease first: once it has run out, no pool is served for another moment.
    select(kept, served).await.factor_first().0
}

/// Renews the lease until the time is over, or another listener may have it.
async fn keep_lease<W: World>(world: &W, lease: &mut Lease, until: Timestamp) -> ListenResult {
    let clock = world.clock();
    loop {
        clock.sleep_until(lease.lease.renew_at().min(until)).await;
        if clock.now() >= until {
            return ListenResult::OutOfTime;
        }
        // A renewal under way is waited for even then: only who knows the version of the lease can give it back.
        let expiry = clock.sleep_until(lease.lease.expires_at.unwrap_or(until));
        let renewal = match select(pin!(expiry), pin!(renew(world, lease))).await {
            Either::Left(((), _)) => None,
            Either::Right((renewal, _)) => renewal,
        };
        match renewal {
            Some(renewed) => *lease = renewed,
            None => return ListenResult::LeaseLost,
        }
    }
}

/// Serves every pool of the list, which is read again and again, until it has none. One that is no longer served is
/// served again if the next list has it.
async fn serve_pools<W: World>(context: &Context<'_, W>, until: Timestamp) -> ListenResult {
    let clock = context.world.clock();
    let mut served: BTreeSet<PhysicalId> = BTreeSet::new();
    let mut work: FuturesUnordered<LocalBoxFuture<'_, Work>> = FuturesUnordered::new();
    work.push(list(context.world, clock.now()).boxed_local());
    while let Some(done) = work.next().await {
        match done {
            Work::Listed(Ok(list)) if list.pools.is_empty() && served.is_empty() => break,
            Work::Listed(listed) => {
                let listed = listed.inspect_err(log_error).unwrap_or_default();
                for id in listed.pools {
                    if served.insert(id.clone()) {
                        work.push(serve(context, id, until).map(Work::Served).boxed_local());
                    }
                }
                work.push(list(context.world, clock.now() + LIST_INTERVAL).boxed_local());
            }
            Work::Served(id) => {
                served.remove(&id);
            }
        }
    }
    ListenResult::NoPools
}

/// Reads the list of pools once `moment` has come.
async fn list<W: World>(world: &W, moment: Timestamp) -> Work {
    world.clock().sleep_until(moment).await;
    Work::Listed(scaled_pools(world).await)
}

/// Serves one pool; a panic of one keeps no other from its messages.
async fn serve<W: World>(context: &Context<'_, W>, id: PhysicalId, until: Timestamp) -> PhysicalId {
    let span = tracing::info_span!("listen", listener = true, physical_id = id.as_str());
    let work = serve_pool(context.world, &id, context.settings.poll_interval, until, metrics::demand).instrument(span);
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(ServeResult::OutOfTime) => {}
        Ok(result @ (ServeResult::Deleted | ServeResult::Superseded)) => {
            tracing::info!(step = "listen", physical_id = id.as_str(), ?result, "no longer served");
            if result == ServeResult::Deleted {
                await_item(context.world, &id, until).await;
            }
        }
        Err(_panic) => {
            tracing::error!(step = "listen", physical_id = id.as_str(), "a panic; the pool is served again");
        }
    }
    id
}

/// Waits until a listed pool has an item. One that has none for long is removed from the list: the request that listed it
/// ended before it wrote the item, and the pool's Delete found none.
async fn await_item<W: World>(world: &W, id: &PhysicalId, until: Timestamp) {
    let clock = world.clock();
    let remove_at = clock.now() + LISTED_WITHOUT_ITEM_MAX;
    while clock.now() < until {
        let removal = async {
            if !scaled_pools(world).await?.pools.contains(id) || has_scaling(world, id).await? {
                return Ok(true);
            }
            let is_overdue = clock.now() >= remove_at;
            if is_overdue {
                list_pool(world, id, false).await?;
            }
            Ok(is_overdue)
        };
        let result: RemoteResult<bool> = removal.await;
        match result {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => log_error(&error),
        }
        clock.sleep_until((clock.now() + LIST_INTERVAL).min(until)).await;
    }
}

/// The lease, renewed as soon as DynamoDB stores it; `None` if another listener has it.
async fn renew<W: World>(world: &W, lease: &Lease) -> Option<Lease> {
    let clock = world.clock();
    let renewed = ListenerLease::new(clock.now());
    loop {
        match write_or_find(world, renewed, lease.version).await {
            Ok(version) => return version.map(|version| Lease { version, lease: renewed }),
            Err(error) => log_error(&error),
        }
        clock.sleep_until(clock.now() + RENEWAL_RETRY_DELAY).await;
    }
}

/// Writes the lease over a version, or finds it written: the response to an earlier try may have been lost.
async fn write_or_find<W: World>(world: &W, lease: ListenerLease, over: u64) -> RemoteResult<Option<u64>> {
    if let Some(version) = write_lease(world, lease, over).await? {
        return Ok(Some(version));
    }
    let (found, version) = read_lease(world).await?;
    Ok((found == lease).then_some(version))
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
    start(context).await;
}
