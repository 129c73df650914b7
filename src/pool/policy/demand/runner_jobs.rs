//! Which runners have begun a job, and which have ended it: each has one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::pool::model::ecs::Task;
use crate::pool::model::scale_set::{JobEvent, ScaleSetMessage};
use crate::pool::model::time::Timestamp;

/// How long the container of a runner may go on that has ended its job. It exits at once as a rule; what is still there
/// then leaves as any other.
const EXIT_GRACE: Duration = Duration::from_secs(120);

/// What messages have said of runners, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunnerJobs {
    begun: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// Tasks, by ARN, since when an observation has shown that their job has ended.
    ended_since: BTreeMap<String, Timestamp>,
}

impl RunnerJobs {
    /// Takes in a message. Returns whether a job has begun.
    pub(super) fn record_message(&mut self, message: &ScaleSetMessage) -> bool {
        let mut has_begun = false;
        for event in &message.events {
            match event {
                JobEvent::Started { runner } => has_begun |= self.begun.insert(runner.clone()),
                JobEvent::Completed { runner } => self.ended.extend(runner.clone()),
                JobEvent::Available { .. } | JobEvent::Assigned => {}
            }
        }
        has_begun
    }

    /// Takes in the pool's tasks; what is known of others is forgotten.
    pub(super) fn record_tasks(&mut self, owned: &[&Task], now: Timestamp) {
        let is_there = |name: &String| owned.iter().any(|task| is_runner_of(name, task));
        self.begun.retain(is_there);
        self.ended.retain(is_there);
        let ended = owned.iter().filter(|task| task.is_live() && self.has_ended(task));
        let since = ended.map(|task| (task.arn.clone(), self.ended_since.get(&task.arn).copied().unwrap_or(now)));
        self.ended_since = since.collect();
    }

    /// Whether a job has begun on its runner.
    pub(super) fn has_begun(&self, task: &Task) -> bool {
        self.begun.iter().chain(&self.ended).any(|name| is_runner_of(name, task))
    }

    /// Whether its runner has ended its job.
    pub(super) fn has_ended(&self, task: &Task) -> bool {
        self.ended.iter().any(|name| is_runner_of(name, task))
    }

    /// Whether its container should have ended as well by now.
    pub(super) fn outlasts_job(&self, task: &Task, now: Timestamp) -> bool {
        self.ended_since.get(&task.arn).is_some_and(|since| now.since(*since) >= EXIT_GRACE)
    }
}

fn is_runner_of(name: &str, task: &Task) -> bool {
    task.short_ids().any(|id| name.ends_with(id))
}
