//! What must hold of pools that have as many runners as jobs.

use super::check;
use crate::history::Fact;
use crate::world::World;

/// What the listener alone writes for a pool. A request of CloudFormation starts tasks as well, and is no listener.
const WRITES_OF_LISTENERS: &[&str] = &["DELETE message", "RunTask"];

/// A job waits while there is room for its runner, and nothing is wrong: for [`crate::demand::JOB_WAIT_MAX`] at the most.
pub(super) fn a_job_gets_a_runner_in_time(_: &World, fact: &Fact) -> Result<(), String> {
    let Fact::JobOverdue { pool, job } = fact else { return Ok(()) };
    Err(format!("job {job} waits for a runner of {pool}"))
}

/// `MinRunners` are kept beside those with jobs, no more than that for long, and no instance for long that is empty.
pub(super) fn a_pool_follows_its_jobs(_: &World, fact: &Fact) -> Result<(), String> {
    let Fact::SizeOverdue { pool, what } = fact else { return Ok(()) };
    Err(format!("{pool} has {what}"))
}

/// By the time that a message is acknowledged the tasks are started that it asks for: nobody would start them once the
/// listener has died.
pub(super) fn a_message_is_acted_upon_before_it_is_acknowledged(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Acknowledged { pool: id, assigned } = fact else { return Ok(()) };
    let is_calm = !world.is_disturbed() && !world.has_failed_lately(id);
    let Some(pool) = world.pool_at_rest(id).filter(|_| is_calm) else { return Ok(()) };
    let wanted = ((pool.min_runners + assigned) as usize).min(world.n_places(id, pool));
    let n_tasks = world.n_tasks_lately(id);
    check(n_tasks >= wanted, || format!("{id} has {n_tasks} tasks of {wanted} when the message is acknowledged"))
}

/// Tasks that have not ended, those that are about to included. A call that was under way while a request lowered
/// `MaxRunners` is not taken back.
pub(super) fn max_runners_is_never_exceeded(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::TasksStarted { pool, began } = fact else { return Ok(()) };
    let is_its = |task: &&crate::ecs::Task| task.standalone.is_some() && task.service == *pool && task.is_live();
    let n_tasks = world.ecs.tasks.values().filter(is_its).count();
    let max = world.max_runners_since(pool, *began).map_or(0, |max| max as usize);
    check(n_tasks <= max, || format!("{pool} has {n_tasks} tasks, and {max} at the most"))
}

/// Once another invocation has begun to write for a pool, the one before begins no further write. A write that was under way
/// by then may still arrive.
pub(super) fn at_most_one_listener_writes(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Wrote { invocation, operation, target, began, .. } = fact else { return Ok(()) };
    if !WRITES_OF_LISTENERS.contains(operation) || !world.is_background(*invocation) {
        return Ok(());
    }
    let Some(writers) = world.pool_of_write(target).and_then(|pool| world.demand.writers.get(&pool)) else {
        return Ok(());
    };
    let Some((_, own)) = writers.iter().find(|(writer, _)| writer == invocation) else { return Ok(()) };
    let newer = writers.iter().find(|(writer, first)| writer != invocation && first > own && first < began);
    check(newer.is_none(), || format!("{operation} of {target} by {invocation}, after {newer:?} has taken over"))
}

impl World {
    /// The pool that a listener writes for.
    pub(crate) fn pool_of_write(&self, target: &str) -> Option<String> {
        match target.strip_prefix("scale set ") {
            Some(set) => self.scale_sets.all.get(&set.parse().ok()?)?.pool.clone(),
            None => Some(target.to_owned()),
        }
    }

    /// Remembers who writes for a pool.
    pub(crate) fn remember_writer(&mut self, fact: &Fact) {
        let Fact::Wrote { invocation, operation, target, .. } = fact else { return };
        if !WRITES_OF_LISTENERS.contains(operation) || !self.is_background(*invocation) {
            return;
        }
        let (Some(pool), now) = (self.pool_of_write(target), self.now) else { return };
        let writers = self.demand.writers.entry(pool).or_default();
        if !writers.iter().any(|(writer, _)| writer == invocation) {
            writers.push((*invocation, now));
        }
    }
}
