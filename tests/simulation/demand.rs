//! Pools that have as many runners as jobs: how long their jobs wait and how long they are of the wrong size, but for what
//! goes wrong and for what a request of CloudFormation changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;

use crate::cloudformation::{Ask, State};
use crate::containers::Container;
use crate::ecs::{ROOM, Task};
use crate::history::Fact;
use crate::lambda::Origin;
use crate::scale_sets::Set;
use crate::script::Pool;
use crate::world::World;

/// A job that could have a runner has one within this time, from an empty pool on: the lease of a listener that was killed
/// (30 s), the minute rule that starts another (62 s), the session of the first that is in the way (50 s), the message
/// (5 s), the tasks (10 s); managed scaling's look (60 s), an instance and its agent (100 s), the image (20 s); the
/// container's start, its registration and the runner's (60 s), the job's way to it (10 s). And half as much again, since a
/// runner that is retired at this very moment counts as one until its task has gone.
pub(crate) const JOB_WAIT_MAX: Duration = Duration::from_secs(600);
/// What is too many goes within this time, beside the pool's `IdleConfirmation`: GitHub tells of a job's end (360 s), a
/// listener is missing (142 s), two looks (20 s), the deletion and the look at the log after it (110 s), the container's
/// end (62 s), and half as much again, since each reading that says busy begins the confirmation anew.
pub(crate) const SURPLUS_MAX: Duration = Duration::from_secs(1_050);
/// One listener retires what is too many within this time, beside the pool's `IdleConfirmation`: it is missing (142 s), the
/// surplus is confirmed (30 s), two looks (20 s), the deletion and the look at the log after it (110 s), the container's end
/// (62 s). Whoever is killed earlier has watched for nothing.
const WATCH_MAX: Duration = Duration::from_secs(364);
/// An instance goes within this time from its last task: managed scaling's quarter of an hour, its look, and termination.
pub(crate) const INSTANCE_MAX: Duration = Duration::from_secs(1_200);

/// In what a pool with surplus runners is of a wrong size.
const TOO_MANY: &str = "too many";
/// Between two looks.
const LOOKS: Duration = Duration::from_secs(10);
/// The longest pause of a listener between two starts of tasks that fail.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(310);
/// What the function may have read shortly before.
const RECENT: Duration = Duration::from_secs(60);
/// How long a call that never returns is in the way of others: until the function's timeout.
const HANG: Duration = Duration::from_secs(900);
/// How long a call that is slow takes.
const SLOW: Duration = Duration::from_secs(100);
/// How late a tick may be.
const TICK_LATE: Duration = Duration::from_secs(400);
/// What ends a container, or its registration, beside the faults. A container that has lost its answer asks for ten
/// minutes.
const LOSSES: &[(&str, Duration)] = &[
    ("taken answer lost", Duration::from_secs(600)),
    ("container gave up asking", Duration::ZERO),
    ("registration refused for now", Duration::from_secs(60)),
    ("registration of no use any more", Duration::ZERO),
    ("provisioning given up", Duration::ZERO),
    ("batch of the stream given up", Duration::ZERO),
];

/// What the invariants of such pools have to remember.
#[derive(Default)]
pub(crate) struct Demand {
    /// When it is looked at next.
    looks_at: Option<Timestamp>,
    /// Until when something is wrong.
    disturbed_until: Option<Timestamp>,
    /// Since when a job could have a runner.
    waiting: BTreeMap<u64, Timestamp>,
    /// Since when a pool is of a wrong size, by pool and in what.
    wrong: BTreeMap<(String, &'static str), Timestamp>,
    /// When a listener last lost what it had watched.
    watch_lost_at: Option<Timestamp>,
    /// Pools whose surplus one listener has watched for long enough.
    watched: BTreeSet<String>,
    /// Invocations that acknowledged or started anything for a pool, with the first time of each, in that order.
    pub(crate) writers: BTreeMap<String, Vec<(u64, Timestamp)>>,
}

impl World {
    /// Something went wrong: bounds count from its end.
    pub(crate) fn disturb(&mut self, kind: &str, name: &str) {
        let lasts = match (kind, name) {
            ("fault", "Hang") => HANG,
            ("fault", "Slow") => SLOW,
            ("fault", "TickLate") => TICK_LATE,
            ("fault", _) => Duration::ZERO,
            _ => match LOSSES.iter().find(|(loss, _)| kind == "transition" && *loss == name) {
                Some((_, lasts)) => *lasts,
                None => return,
            },
        };
        self.demand.disturbed_until = self.demand.disturbed_until.max(Some(self.now + lasts));
    }

    /// An invocation has ended before its time, panicked, or has to wait for a minute after a call that was refused for good.
    /// If it was a listener, all that it has watched is lost: readings that are far apart are no watch.
    pub(crate) fn watch_lost(&mut self, invocation: u64) {
        if self.lambda.invocations.get(&invocation).is_some_and(|it| it.delivery.origin == Origin::Own) {
            self.demand.watch_lost_at = Some(self.now);
        }
    }

    /// What the template of a pool says, while no request is at work on it.
    pub(crate) fn pool_at_rest(&self, pool: &str) -> Option<&Pool> {
        let is_its = |stack: &&crate::cloudformation::Stack| stack.physical_id.as_deref() == Some(pool);
        let (number, stack) = self.stacks.all.iter().enumerate().find(|(_, stack)| is_its(stack))?;
        // After a rollback that was skipped, the pool is as the failed update wants it.
        let newest = self.stacks.asks.iter().rfind(|ask| ask.stack == number);
        let failed = |body: &Vec<u8>| String::from_utf8_lossy(body).contains(r#""Status":"FAILED""#);
        let has_failed = newest.is_some_and(|ask| ask.responses.first().is_some_and(failed));
        Some(&stack.pool).filter(|_| stack.rests() && stack.state == State::Complete && !has_failed)
    }

    /// The most tasks that a pool's template allows; of a pool with a request at work, and of one that was replaced, the
    /// most that any template of its stack did.
    pub(crate) fn max_runners(&self, pool: &str) -> Option<u32> {
        if let Some(pool) = self.pool_at_rest(pool) {
            return pool.max_runners;
        }
        self.requests_of(pool).filter_map(|ask| ask.pool.max_runners).max()
    }

    /// The same for the whole time since a moment.
    pub(crate) fn max_runners_since(&self, pool: &str, since: Timestamp) -> Option<u32> {
        if self.requests_of(pool).any(|ask| ask.responded_at.is_some_and(|at| at >= since)) {
            return self.requests_of(pool).filter_map(|ask| ask.pool.max_runners).max();
        }
        self.max_runners(pool)
    }

    /// Every request about the stack of a pool.
    fn requests_of(&self, pool: &str) -> impl Iterator<Item = &Ask> {
        let is_its = move |ask: &&Ask| pool.starts_with(&self.stacks.all[ask.stack].stem());
        self.stacks.asks.iter().filter(is_its)
    }

    /// Looks how long jobs wait, and how long pools are of a wrong size.
    pub(crate) fn demand_step(&mut self) {
        if self.scale_sets.all.is_empty() || self.demand.looks_at.is_some_and(|at| at > self.now) {
            return;
        }
        self.demand.looks_at = Some(self.now + LOOKS);
        let is_undisturbed = self.demand.disturbed_until.is_none_or(|until| until < self.now);
        if !is_undisturbed || self.troubles.are_any(self.now) {
            self.demand.waiting.clear();
            self.demand.wrong.clear();
            return;
        }
        let sets = self.scale_sets.all.values();
        let pools: Vec<(u64, String)> = sets.filter_map(|set| Some((set.id, set.pool.clone()?))).collect();
        let mut could_run = Vec::new();
        for (set, id) in &pools {
            let Some(pool) = self.pool_at_rest(id).cloned() else { continue };
            let jobs = self.waiting_jobs(&self.scale_sets.all[set]);
            let n_places = self.n_places(id, &pool).saturating_sub(self.n_working_in(*set));
            could_run.extend(jobs.into_iter().take(n_places));
            self.look_at_size(id, *set, &pool);
        }
        self.look_at_jobs(&could_run);
        let is_at_rest = |pool: &str| self.pool_at_rest(pool).is_some();
        let kept: Vec<(String, &'static str)> =
            self.demand.wrong.keys().filter(|(pool, _)| is_at_rest(pool)).cloned().collect();
        self.demand.wrong.retain(|key, _| kept.contains(key));
    }

    /// Whether anything is wrong now, or was a moment ago.
    pub(crate) fn is_disturbed(&self) -> bool {
        let until = self.demand.disturbed_until.map(|until| until + RECENT);
        until.is_some_and(|until| until >= self.now) || self.troubles.are_any(self.now)
    }

    /// Tasks of a pool that have not ended, or did a moment ago.
    pub(crate) fn n_tasks_lately(&self, pool: &str) -> usize {
        let is_recent = |task: &&Task| task.stopped_at.is_none_or(|at| self.now.since(at) < RECENT);
        let is_its = |task: &&Task| task.standalone.is_some() && task.service == pool;
        self.ecs.tasks.values().filter(is_its).filter(is_recent).count()
    }

    /// Whether a task of this pool has ended without having run a job, so that the next one may wait. After several of them
    /// the longest pause between two starts is five minutes.
    pub(crate) fn has_failed_lately(&self, pool: &str) -> bool {
        let is_recent = |task: &&Task| task.stopped_at.is_some_and(|at| self.now.since(at) < FAILURE_PAUSE_MAX);
        let is_its = |task: &&Task| task.standalone.is_some() && task.service == pool;
        self.ecs.tasks.values().filter(is_its).filter(is_recent).any(|task| task.exit_code != Some(0))
    }

    fn look_at_jobs(&mut self, could_run: &[u64]) {
        let now = self.now;
        self.demand.waiting.retain(|job, _| could_run.contains(job));
        for job in could_run {
            let since = *self.demand.waiting.entry(*job).or_insert(now);
            if now.since(since) >= JOB_WAIT_MAX {
                self.demand.waiting.insert(*job, now);
                let set = self.scale_sets.jobs.get(job).and_then(|job| self.scale_sets.all.get(&job.set));
                let pool = set.and_then(|set| set.pool.clone()).unwrap_or_default();
                self.note(&Fact::JobOverdue { pool, job: *job });
            }
        }
    }

    fn look_at_size(&mut self, id: &str, set: u64, pool: &Pool) {
        let Some(max_runners) = pool.max_runners else { return };
        let n_tasks = self.standalone_tasks(id).len() as u32;
        let n_jobs = self.statistics(set).assigned;
        let target = (pool.min_runners + n_jobs).min(max_runners);
        // Instances that are lost take places, and runners that have a job keep theirs.
        let placeable = target.min(self.n_places(id, pool) as u32);
        self.wrong_for(id, "too few", n_tasks < placeable, JOB_WAIT_MAX, || format!("{n_tasks} tasks of {placeable}"));
        let idle_confirmation = Duration::from_secs(pool.idle_secs);
        let is_watched = self.is_surplus_watched(id, WATCH_MAX + idle_confirmation);
        let surplus_max = if is_watched { SURPLUS_MAX + idle_confirmation } else { Duration::MAX };
        // A runner that has a job ends by itself, also where `MaxRunners` was lowered meanwhile.
        let n_more = n_tasks.saturating_sub(target.max(self.n_busy_tasks(id)));
        self.wrong_for(id, TOO_MANY, n_more > 0, surplus_max, || format!("{n_tasks} tasks of {target}"));
        let n_empty = self.n_empty_machines(id);
        // Managed scaling here keeps the group's minimum beside the instances with tasks.
        let is_larger = n_empty > pool.min_instances as usize;
        let is_idle = n_jobs == 0 && n_tasks == pool.min_runners;
        self.wrong_for(id, "instances", is_larger && is_idle, INSTANCE_MAX, || format!("{n_empty} empty instances"));
    }

    /// Whether one listener has watched the surplus of a pool for this time.
    fn is_surplus_watched(&mut self, id: &str, watch_max: Duration) -> bool {
        let Some(since) = self.demand.wrong.get(&(id.to_owned(), TOO_MANY)) else {
            self.demand.watched.remove(id);
            return false;
        };
        let begun = self.demand.watch_lost_at.map_or(*since, |lost_at| lost_at.max(*since));
        if self.now.since(begun) >= watch_max {
            self.demand.watched.insert(id.to_owned());
        }
        self.demand.watched.contains(id)
    }

    fn wrong_for(&mut self, id: &str, in_what: &'static str, is_wrong: bool, max: Duration, what: impl Fn() -> String) {
        let (key, now) = ((id.to_owned(), in_what), self.now);
        if !is_wrong {
            self.demand.wrong.remove(&key);
            return;
        }
        let since = *self.demand.wrong.entry(key.clone()).or_insert(now);
        if now.since(since) >= max {
            self.demand.wrong.insert(key, now);
            self.note(&Fact::SizeOverdue { pool: id.to_owned(), what: format!("{in_what}: {}", what()) });
        }
    }

    /// The most tasks for which the pool may have places: by its template, and by the instances of its own group.
    pub(crate) fn n_places(&self, id: &str, pool: &Pool) -> usize {
        let max_runners = pool.max_runners.unwrap_or(0) as usize;
        if pool.is_on_named {
            return max_runners;
        }
        let draining = |it: &&crate::ecs::Instance| it.provider == id && (it.is_draining || !it.is_connected);
        let n_draining = self.ecs.instances.values().filter(draining).count();
        let room = if pool.is_distinct { 1 } else { ROOM };
        max_runners.min((pool.max_instances as usize).saturating_sub(n_draining) * room)
    }

    /// Standalone tasks that run, or ran a minute ago.
    pub(crate) fn n_recent_tasks(&self, id: &str) -> u32 {
        let is_recent = |task: &&Task| {
            let has_ended = task.stopped_at.is_some_and(|at| self.now.since(at) > Duration::from_secs(60));
            task.standalone.is_some() && task.service == id && !has_ended
        };
        self.ecs.tasks.values().filter(is_recent).count() as u32
    }

    /// Tasks whose runners have a job.
    fn n_busy_tasks(&self, id: &str) -> u32 {
        let is_busy = |task: &&&Task| match task.container {
            Container::Listening(runner) => self.github.runner(runner).is_some_and(|runner| runner.job.is_some()),
            _ => false,
        };
        self.standalone_tasks(id).iter().filter(is_busy).count() as u32
    }

    fn n_empty_machines(&self, id: &str) -> usize {
        // A machine that failed may stay registered.
        let machines = || self.groups.all.get(id).into_iter().flat_map(|group| &group.machines);
        let is_there =
            |it: &&crate::ecs::Instance| it.is_connected && machines().any(|machine| machine.id == it.ec2_id);
        let is_empty = |it: &&crate::ecs::Instance| it.provider == id && self.ecs.tasks_on(&it.arn) == 0;
        self.ecs.instances.values().filter(is_there).filter(is_empty).count()
    }

    /// Tasks of a set's pool that have a job, or are about to end.
    fn n_working_in(&self, set: u64) -> usize {
        let runs = |runner: &&crate::github::Runner| runner.scale_set == Some(set) && runner.job.is_some();
        let pool = self.scale_sets.all[&set].pool.clone().unwrap_or_default();
        let ends = |task: &&Task| task.service == pool && task.is_live() && (task.is_ending() || !task.is_wanted());
        self.github.runners.values().filter(runs).count() + self.ecs.tasks.values().filter(ends).count()
    }

    /// Jobs of a set that GitHub has assigned to it, or has offered, or would if somebody listened, oldest first.
    fn waiting_jobs(&self, set: &Set) -> Vec<u64> {
        let n_held = self.statistics(set.id).assigned as usize;
        let n_more = set.pool.as_ref().and_then(|pool| self.max_runners(pool)).map_or(0, |max| max as usize);
        let n_more = n_more.saturating_sub(n_held);
        let queued = |(_, job): &(&u64, &crate::github::Job)| {
            job.state == crate::github::JobState::Queued && set.labels.contains(&job.label)
        };
        let is_free = |id: &u64| self.scale_sets.jobs.get(id).is_none_or(|job| job.set == set.id);
        let is_assigned = |id: &u64| self.scale_sets.jobs.get(id).is_some_and(|job| job.is_assigned());
        let queued = self.github.jobs.iter().filter(queued).map(|(id, _)| *id).filter(is_free);
        let (assigned, others): (Vec<u64>, Vec<u64>) = queued.partition(is_assigned);
        assigned.into_iter().chain(others.into_iter().take(n_more)).collect()
    }
}
