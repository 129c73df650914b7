//! The listener of one pool with as many runners as jobs: read GitHub's messages, let the pool decide, start and retire
//! runners, acknowledge. The only module that starts standalone tasks.
//!
//! It may end at any moment. A message is acknowledged after it was acted upon, and comes again otherwise; a start is
//! written down before it is made, and repeated with the same token otherwise. What it writes names the version of the
//! item that it rests on, so that of two listeners one loses and ends.
//!
//! A call to AWS that fails keeps no message waiting: the pool is acted for again after a while, and its poll goes on.
//! Without one GitHub ends the session after about 50 seconds; and the later messages count as well, since an act goes by
//! the newest statistics. None of them is acknowledged before an act has succeeded.

mod interruption;
mod pool;

use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

use self::interruption::Interruption;
use self::pool::PoolListener;
pub use self::pool::Report;
use super::log_error;
use super::ports::{Clock, QueueAnswer, RemoteCallError, RemoteResult, ScaleSets, SessionOpening, World};
use super::scaling::read_scaling;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::{MessageQueue, ScaleSetMessage};
use crate::pool::model::scaling::ScalingMode;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::demand::available_jobs;

/// After a call that failed. The session of a listener that was killed keeps another one out for about 50 seconds.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// After a call that fails until a person does something, such as with a credential that was revoked.
const DENIED_DELAY: Duration = Duration::from_secs(60);

/// How the work for a pool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeResult {
    /// The time is over; the next invocation goes on.
    OutOfTime,
    /// The pool has no item any more, or is deleted.
    Deleted,
    /// Another listener works for it.
    Superseded,
}

/// Works for a pool until `until`, with `poll` between two observations of what changes; `report` is given how the pool is
/// once a minute.
pub async fn serve_pool<W: World>(
    world: &W,
    id: &PhysicalId,
    poll: Duration,
    until: Timestamp,
    report: Report,
) -> ServeResult {
    let mut listener = None;
    while world.clock().now() < until {
        let interruption = match work(world, id, poll, until, report, &mut listener).await {
            Ok(()) => return ServeResult::OutOfTime,
            Err(interruption) => interruption,
        };
        let delay = match interruption {
            Interruption::Deleted => return ServeResult::Deleted,
            Interruption::Superseded => return ServeResult::Superseded,
            Interruption::Failed(error) => {
                log_error(&error);
                delay_after(&error)
            }
        };
        world.clock().sleep_until((world.clock().now() + delay).min(until)).await;
    }
    ServeResult::OutOfTime
}

fn delay_after(error: &RemoteCallError) -> Duration {
    match error.kind() {
        ErrorKind::Throttled { retry_after } => retry_after.unwrap_or(RETRY_DELAY).max(RETRY_DELAY),
        ErrorKind::Unavailable | ErrorKind::Unreachable | ErrorKind::Conflict | ErrorKind::Unexpected => RETRY_DELAY,
        ErrorKind::Unauthenticated | ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::NotFound => DENIED_DELAY,
    }
}

/// Works until an interruption, or the time is over. The listener is kept over an interruption, with what it has watched.
async fn work<W: World>(
    world: &W,
    id: &PhysicalId,
    poll: Duration,
    until: Timestamp,
    report: Report,
    kept: &mut Option<PoolListener<W>>,
) -> Result<(), Interruption> {
    let listener = match kept {
        Some(listener) => listener,
        None => {
            let found = read_scaling(world, id).await?.ok_or(Interruption::Deleted)?;
            let progress = &found.record.progress;
            if let (Some(session), 1..) = (&progress.session, progress.last_message_id) {
                // The listener before may have been killed after it wrote down that it had acted upon the message. The
                // queue delivers only later ones.
                acknowledge(world, &session.queue, progress.last_message_id).await;
            }
            kept.insert(PoolListener::new(id.clone(), found, poll, report))
        }
    };
    listener.refresh(world).await?;
    let mut look_at = act(world, listener).await?;
    while world.clock().now() < until {
        let queue = queue(world, listener).await?;
        let capacity = announced_capacity(listener);
        let polling = world.scale_sets().next_message(&queue, listener.last_read_id(), capacity);
        let mut polling = pin!(polling);
        // The poll goes on beside the observations: it lasts longer than the time between two of them.
        let answer = loop {
            let moment = look_at.min(until);
            match select(polling.as_mut(), pin!(world.clock().sleep_until(moment))).await {
                Either::Left((answer, _)) => break answer?,
                Either::Right(((), _)) if world.clock().now() >= until => return Ok(()),
                Either::Right(((), _)) => look_at = act(world, listener).await?,
            }
        };
        match answer {
            QueueAnswer::Ok(None) => {}
            QueueAnswer::Ok(Some(message)) => look_at = take(world, listener, &queue, &message).await?,
            QueueAnswer::TokenExpired => renew(world, listener).await?,
            QueueAnswer::Gone => listener.forget_session(world).await?,
        }
    }
    Ok(())
}

/// How many runners the set may have: `MaxRunners`, whatever there are now. GitHub leaves out for good a job that is
/// queued while less is announced. Nothing more is wanted of a pool that is deleted.
fn announced_capacity<W: World>(listener: &PoolListener<W>) -> u32 {
    match listener.record().goal.mode {
        ScalingMode::Active | ScalingMode::Paused => listener.record().goal.max_runners,
        ScalingMode::Deleted => 0,
    }
}

/// Acts upon what was read, and acknowledges it then. Returns when to act again: after a failure that is once the back-off
/// is over, and nothing is acknowledged.
async fn act<W: World>(world: &W, listener: &mut PoolListener<W>) -> Result<Timestamp, Interruption> {
    match act_and_acknowledge(world, listener).await {
        Err(Interruption::Failed(error)) => {
            log_error(&error);
            let retry_at = world.clock().now() + delay_after(&error);
            listener.back_off(retry_at);
            Ok(retry_at)
        }
        acted => acted,
    }
}

async fn act_and_acknowledge<W: World>(world: &W, listener: &mut PoolListener<W>) -> Result<Timestamp, Interruption> {
    let look_at = listener.act(world).await?;
    let acted_upon = listener.end_messages(world).await?;
    if let Some(session) = &listener.record().progress.session {
        for message_id in acted_upon {
            acknowledge(world, &session.queue, message_id).await;
        }
    }
    Ok(look_at)
}

/// Takes in a message, and acts upon it unless the pool backs off. Returns when to act again.
async fn take<W: World>(
    world: &W,
    listener: &mut PoolListener<W>,
    queue: &MessageQueue,
    message: &ScaleSetMessage,
) -> Result<Timestamp, Interruption> {
    if message.id <= listener.record().progress.last_message_id {
        // A later one was acted upon, so its statistics are old. The jobs that it offers may not have been acquired.
        if acquire(world, listener, queue, message).await? {
            acknowledge(world, queue, message.id).await;
        }
        return Ok(world.clock().now());
    }
    let is_again = listener.has_read(message.id);
    if !is_again {
        listener.record_message(message);
        // Without an acknowledgement the message comes again, and its jobs are acquired then.
        if !acquire(world, listener, queue, message).await? {
            return Ok(world.clock().now());
        }
        listener.begin_message(message.id);
    }
    let now = world.clock().now();
    let Some(retry_at) = listener.backs_off_until(now) else { return act(world, listener).await };
    if is_again {
        // The queue may deliver it again at once, and the poll of a session must not pause for long.
        world.clock().sleep_until(retry_at.min(now + RETRY_DELAY)).await;
    }
    Ok(retry_at)
}

/// Acquires the jobs that a message offers. Returns whether the queue took the call.
async fn acquire<W: World>(
    world: &W,
    listener: &mut PoolListener<W>,
    queue: &MessageQueue,
    message: &ScaleSetMessage,
) -> Result<bool, Interruption> {
    let request_ids = available_jobs(message);
    if request_ids.is_empty() {
        return Ok(true);
    }
    let credential = listener.credential(world).await?;
    let goal = &listener.record().goal;
    let target = &goal.metadata.github;
    match world.scale_sets().acquire_jobs(target, &credential, goal.scale_set, queue, &request_ids).await? {
        QueueAnswer::Ok(_) => return Ok(true),
        QueueAnswer::TokenExpired => renew(world, listener).await?,
        QueueAnswer::Gone => listener.forget_session(world).await?,
    }
    Ok(false)
}

/// Takes a message off the queue. One that stays there comes again, and changes nothing then.
async fn acknowledge<W: World>(world: &W, queue: &MessageQueue, message_id: u64) {
    if let Err(error) = world.scale_sets().acknowledge(queue, message_id).await {
        log_error(&error);
    }
}

/// The queue of the session, which is opened where there is none.
async fn queue<W: World>(world: &W, listener: &mut PoolListener<W>) -> Result<MessageQueue, Interruption> {
    if let Some(session) = &listener.record().progress.session {
        return Ok(session.queue.clone());
    }
    let credential = listener.credential(world).await?;
    let goal = &listener.record().goal;
    let owner = goal.metadata.matcher.label.clone();
    match world.scale_sets().open_session(&goal.metadata.github, &credential, goal.scale_set, &owner).await? {
        SessionOpening::Opened { session, statistics } => {
            let queue = session.queue.clone();
            listener.begin_session(world, session, statistics).await?;
            Ok(queue)
        }
        SessionOpening::Conflict => Err(Interruption::session_conflict(listener.id())),
        SessionOpening::NoSuchSet => {
            restore_set(world, listener).await?;
            Err(Interruption::session_conflict(listener.id()))
        }
    }
}

/// Makes the set anew: GitHub deletes one that no listener has asked for seven days.
/// <https://github.com/actions/actions-runner-controller/blob/master/docs/adrs/2022-10-27-runnerscaleset-lifetime.md>
async fn restore_set<W: World>(world: &W, listener: &mut PoolListener<W>) -> Result<(), Interruption> {
    let goal = listener.record().goal.clone();
    let Some(request) = goal.metadata.scale_set.as_ref().filter(|_| goal.mode == ScalingMode::Active) else {
        return Ok(());
    };
    let credential = listener.credential(world).await?;
    let (port, target) = (world.scale_sets(), &goal.metadata.github);
    let found = port.scale_set_named(target, &credential, request.group.as_deref(), &request.name).await?;
    let scale_set = match found.filter(|found| found.is_of(listener.id())) {
        Some(found) => found,
        None => port.create_scale_set(target, &credential, request).await?,
    };
    tracing::warn!(step = "listen", scale_set = scale_set.id, "GitHub did not know the runner scale set any more");
    listener.replace_set(world, scale_set.id).await
}

async fn renew<W: World>(world: &W, listener: &mut PoolListener<W>) -> Result<(), Interruption> {
    let Some(session) = listener.record().progress.session.clone() else { return Ok(()) };
    let credential = listener.credential(world).await?;
    let goal = &listener.record().goal;
    let renewed: RemoteResult<_> =
        world.scale_sets().renew_session(&goal.metadata.github, &credential, goal.scale_set, &session.id).await;
    match renewed? {
        Some(session) => listener.renew_session(world, session).await,
        None => listener.forget_session(world).await,
    }
}
