//! The rule that invokes the function each minute: asynchronously, now and then late, twice or not at all.

use std::time::Duration;

use github_runner_pool::pool::model::tick_record::TICK_KEY;
use github_runner_pool::pool::model::time::Timestamp;
use serde_json::{Value, json};

use crate::ecs::{Phase, Task};
use crate::faults::Trouble;
use crate::history::{Ending, Fact};
use crate::lambda::{Delivery, Origin};
use crate::world::{Due, World};

const MINUTE: Duration = Duration::from_secs(60);

/// What the ticks have come to.
#[derive(Default)]
pub(crate) struct Ticks {
    next: Option<Timestamp>,
    /// When the last sweep began, as the function has written it.
    recorded: Value,
}

impl World {
    pub(crate) fn ticks_step(&mut self) {
        self.in_background(Self::tick_if_due);
        self.orphans_step();
    }

    fn tick_if_due(&mut self) {
        if self.ticks.next.is_some_and(|at| at > self.now) {
            return;
        }
        self.ticks.next = Some(self.now + MINUTE);
        if !self.is_calm && self.once_in(30) {
            self.occur("fault", "TickDropped");
            self.figures.fault("TickDropped");
            return;
        }
        let is_late = !self.is_calm && self.once_in(20);
        let delay = if is_late { self.between(30_000, 400_000) } else { self.between(20, 2_000) };
        if is_late {
            self.occur("fault", "TickLate");
            self.figures.fault("TickLate");
        }
        let event = json!({ "Tick": {} });
        let delivery = Delivery { event, tries: 0, first_at: self.now, origin: Origin::Tick };
        if !self.is_calm && self.once_in(40) {
            let again = self.now + self.between(20, 4_000);
            self.schedule(again, Due::Deliver(Box::new(delivery.clone())));
        }
        self.schedule(self.now + delay, Due::Deliver(Box::new(delivery)));
    }

    /// A write of the item that says when the last sweep began.
    pub(crate) fn tick_recorded(&mut self, invocation: u64, key: &str, text: &str) {
        if key != TICK_KEY {
            return;
        }
        let record: Value = serde_json::from_str(text).unwrap_or_default();
        if std::mem::replace(&mut self.ticks.recorded, record["swept_at"].clone()) != record["swept_at"]
            && let Some(invocation) = self.lambda.invocations.get_mut(&invocation)
        {
            invocation.swept_at = Some(self.now);
        }
    }

    /// An invocation for a tick has ended.
    pub(crate) fn tick_ended(&mut self, number: u64, how: Ending) {
        let invocation = &self.lambda.invocations[&number];
        let accepts_credential =
            self.github.kept == self.github.accepted && !self.troubles.has(Trouble::TokenRevoked, self.now);
        let is_clean = how == Ending::Returned && invocation.n_failed == 0 && accepts_credential;
        let Some(began) = invocation.swept_at.filter(|_| is_clean) else { return };
        let orphaned = self.github.runners.values().filter(|it| it.orphaned_since.is_some_and(|since| since < began));
        let passed_by: Vec<u64> =
            orphaned.filter(|it| it.pool.as_ref().is_some_and(|pool| self.is_swept(pool))).map(|it| it.id).collect();
        for runner in passed_by {
            self.github.runners.get_mut(&runner).unwrap().n_passed_by += 1;
        }
        self.note(&Fact::Swept);
    }

    /// Whether a sweep finds this pool, and can tell each of its tasks from those that an orphaned runner may be of: one
    /// of an older revision may be behind any runner until it has reported its container.
    fn is_swept(&self, pool: &str) -> bool {
        let Some(newest) = self.ecs.families.get(pool).and_then(|family| family.revisions.last()) else { return false };
        let is_unclear = |task: &&Task| {
            let has_reported = task.started_at.is_some() && task.id_told_at <= self.now;
            task.service == pool && task.is_live() && task.revision != newest.arn && !has_reported
        };
        !self.ecs.tasks.values().any(|task| is_unclear(&task))
    }

    /// Remembers since when each registration has had no live task.
    fn orphans_step(&mut self) {
        let (now, tasks) = (self.now, &self.ecs.tasks);
        for runner in self.github.runners.values_mut() {
            let Some(task) = &runner.task else { continue };
            let is_live = tasks.get(task).is_some_and(|task| task.phase != Phase::Stopped);
            let is_orphaned = !is_live && !runner.is_online && runner.lease_until.is_none_or(|until| until <= now);
            runner.orphaned_since = is_orphaned.then(|| runner.orphaned_since.unwrap_or(now));
            runner.n_passed_by = if is_orphaned { runner.n_passed_by } else { 0 };
        }
    }
}
