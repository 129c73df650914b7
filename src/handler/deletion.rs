//! What a Delete is about: the pool that its physical id names, and no other unless CloudFormation says that the whole
//! stack is going.

use std::time::Duration;

use super::goal;
use crate::cloudformation::request::Request;
use crate::cloudformation::response::NO_PHYSICAL_ID;
use crate::pool::abandonment::{next_of_stack, sequel};
use crate::pool::continuation::{Continuation, FormerPool, Goal};
use crate::pool::decision::Outcome;
use crate::pool::evidence::{DeletionEvidence, StackDeletion};
use crate::pool::identity::Origin;
use crate::pool::refusal::Refusal;
use crate::pool::report;
use crate::pool::succession::{Turn, record_name};
use crate::pool::time::Timestamp;
use crate::reconcile::chain;
use crate::reconcile::locate::pools_of;
use crate::reconcile::ports::{Call, Clock, CloudFormation, Succession, World};

/// Tries of what has to be known before there is a pool to work on.
const TRIES: u32 = 6;
/// The pause after the first try; each further one doubles it. A minute in all: a service's bad moment, and no more.
const PAUSE: Duration = Duration::from_secs(2);

/// The Delete's continuation, or its outcome when there is nothing to take down.
pub(super) async fn absent<W: World>(
    world: &W,
    request: &Request,
    physical_id: &str,
    accepted_at: Timestamp,
) -> Result<Continuation, Outcome> {
    if let Some(evidence) = DeletionEvidence::named(&request.origin, physical_id) {
        return Ok(goal::absent(request, evidence, accepted_at));
    }
    let mut pause = PAUSE;
    let mut tries = 1;
    let found = loop {
        match without_name(world, request, physical_id).await {
            Err(error) if error.class().may_pass() && tries < TRIES => {
                tracing::warn!(step = "refused", class = error.class().name(), refusal = %chain(&error));
                world.clock().sleep_until(world.clock().now() + pause).await;
                (pause, tries) = (pause.saturating_mul(2), tries.saturating_add(1));
            }
            done => break done,
        }
    };
    match found {
        Ok(Found::Evidence(evidence)) => Ok(goal::absent(request, evidence, accepted_at)),
        Ok(Found::Nothing { note }) => {
            tracing::info!(step = "delete", "nothing to delete");
            Err(Outcome::Succeeded { attributes: Default::default(), notes: note.into_iter().collect() })
        }
        Err(error) => Err(Outcome::failed(report::pool_not_found_out(&error.refusal))),
    }
}

/// What a Delete is about whose id is no pool's.
enum Found {
    /// A pool.
    Evidence(DeletionEvidence),
    /// Nothing, and this is to be said.
    Nothing { note: Option<String> },
}

async fn without_name<W: World>(world: &W, request: &Request, physical_id: &str) -> Call<Found> {
    let origin = &request.origin;
    let turn = turn_of_resource(world, origin).await?;
    if let Some(turn) = &turn {
        // With the function's own id for a pool that it could not tell, nothing was built.
        let is_made_up = physical_id != NO_PHYSICAL_ID;
        let of_create = || DeletionEvidence::unanswered_create(turn).filter(|_| is_made_up);
        if let Some(evidence) = DeletionEvidence::again(turn, &goal::asked(request)).or_else(of_create) {
            return Ok(Found::Evidence(evidence));
        }
    }
    let pools = pools_of(world, origin).await?;
    // An Update that is still at work, or whose event comes again, would build a pool after this Delete's response.
    let at_work = turn.and_then(|turn| turn.pool_at_work());
    let Some(first) = pools.first().cloned().or(at_work) else { return Ok(Found::Nothing { note: None }) };
    let (word, unknown) = stack_deletion(world, origin).await?;
    Ok(match word {
        Some(word) => Found::Evidence(word.of_pool(first)),
        None => Found::Nothing { note: report::names_no_pool(physical_id, &pools, unknown.as_ref()) },
    })
}

/// What follows once the pool of a request is as it should be, or gone.
pub(super) enum Siblings {
    /// Another pool to take down.
    Next(Box<Continuation>),
    /// Nothing, and this is to be said.
    Done(Option<String>),
}

/// Looks for the other pools of the resource, once the pool of a Delete is gone: those that no stack has any more, and
/// one that a request had just begun to build when this Delete took over.
pub(super) async fn siblings<W: World>(world: &W, held: &Continuation, outcome: &Outcome) -> Call<Siblings> {
    let Outcome::Succeeded { .. } = outcome else { return Ok(Siblings::Done(None)) };
    let absent = match &held.goal {
        Goal::Present(present) => return former_pool(world, held, outcome, present.former_pool.as_ref()).await,
        Goal::Absent(absent) => absent,
    };
    if absent.kept.is_some() {
        return Ok(Siblings::Done(None));
    }
    let origin = &held.request.origin;
    let mut pools = pools_of(world, origin).await?;
    pools.retain(|id| *id != held.id && !absent.others.contains(id));
    if pools.is_empty() {
        release_lock(world, held).await?;
        return Ok(Siblings::Done(None));
    }
    let (word, unknown) = stack_deletion(world, origin).await?;
    if let Some(next) = word.and_then(|word| next_of_stack(held, outcome, pools.clone(), word)) {
        return Ok(Siblings::Next(Box::new(next)));
    }
    if let Some(turn) = turn_of_resource(world, origin).await? {
        pools.retain(|id| !turn.is_live(id));
    }
    Ok(Siblings::Done(report::pools_left(&pools, unknown.as_ref())))
}

/// Removes the record of a resource that has no pool any more: it is about a pool that another request, answered since,
/// did not come to build, or it says that another pool is in use, which has gone without a word in it.
async fn release_lock<W: World>(world: &W, held: &Continuation) -> Call<()> {
    let origin = &held.request.origin;
    let left = turn_of_resource(world, origin).await?;
    if left.is_some_and(|turn| turn.answer().is_some() || turn.is_of(&held.request)) {
        world.succession().release_turn(&record_name(origin)).await?;
    }
    Ok(())
}

/// The pool that an Update goes back from.
async fn former_pool<W: World>(
    world: &W,
    held: &Continuation,
    outcome: &Outcome,
    former: Option<&FormerPool>,
) -> Call<Siblings> {
    let Some(former) = former else { return Ok(Siblings::Done(None)) };
    let turn = turn_of_resource(world, &held.request.origin).await?;
    if let Some(next) = sequel(held, outcome, turn.as_ref()) {
        return Ok(Siblings::Next(Box::new(next)));
    }
    let mut pools = pools_of(world, &held.request.origin).await?;
    pools.retain(|id| *id == former.id);
    Ok(Siblings::Done(report::pools_left(&pools, None)))
}

/// CloudFormation's word that the whole stack is going, if it gives it; or why it gives none, where it will not.
async fn stack_deletion<W: World>(world: &W, origin: &Origin) -> Call<(Option<StackDeletion>, Option<Refusal>)> {
    match world.cloudformation().stack_status(&origin.stack_id).await {
        Ok(status) => Ok((status.and_then(|status| StackDeletion::of(&status)), None)),
        Err(error) if error.class().may_pass() => Err(error),
        Err(error) => {
            tracing::warn!(step = "other_pools", class = error.class().name(), refusal = %chain(&error));
            Ok((None, Some(error.refusal)))
        }
    }
}

/// The record of the resource, as its last request wrote it.
async fn turn_of_resource<W: World>(world: &W, origin: &Origin) -> Call<Option<Turn>> {
    let record = world.succession().turn(&record_name(origin)).await?;
    Ok(record.map(|record| Turn::from_record(&record.text)))
}
