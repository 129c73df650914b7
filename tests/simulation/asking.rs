//! Containers whose runner the function registers: they ask, wait, take the answer and connect. And jobs that ask again
//! with the credentials of their task.
//!
//! A container may die between any two of these, may ask twice at once, and may lose what it takes.

use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;
use serde_json::Value;

use crate::containers::Container;
use crate::ecs::Phase;
use crate::faults::Trouble;
use crate::history::Fact;
use crate::registrations::{is_grant, key_of};
use crate::world::World;

/// Between two requests without an answer.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// After so long a container gives up.
const ASKING_MAX: Duration = Duration::from_secs(600);
/// Where a job's attempts begin: above those of any container.
const ATTEMPTS_OF_JOB: u32 = 1_000;
/// How long a job waits for what it has asked.
const JOB_WAITS: Duration = Duration::from_secs(180);

/// How far a container is that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    began: Timestamp,
    attempt: u32,
    /// When it last asked; `None` once that has come to nothing.
    asked_at: Option<Timestamp>,
    /// When it does its next step.
    at: Timestamp,
    pub(crate) was_refused: bool,
}

/// A job that asks with its task's credentials.
pub(crate) struct AskingJob {
    key: String,
    ends: Timestamp,
}

/// What containers and jobs that ask have to remember.
#[derive(Default)]
pub(crate) struct Askers {
    /// Answers that containers have taken, by the place that their state names.
    taken: Vec<Value>,
    jobs: Vec<AskingJob>,
    /// Since when no call of a background invocation, and no invocation, has failed.
    pub(crate) undisturbed_since: Option<Timestamp>,
}

impl World {
    /// The start script begins.
    pub(crate) fn asks_from(&self, at: Timestamp) -> Container {
        Container::Asking(Asking { began: at, attempt: 0, asked_at: None, at, was_refused: false })
    }

    fn set(&mut self, arn: &str, container: Container) {
        self.ecs.tasks.get_mut(arn).unwrap().container = container;
    }

    /// Whether fate ends this container just now.
    fn dies_at_once(&mut self, arn: &str) -> bool {
        if self.is_calm || !self.once_in(120) {
            return false;
        }
        self.figures.fault("ContainerKilled");
        self.occur("fault", "ContainerKilled");
        self.end_task(arn, 137, "OutOfMemoryError: Container killed due to memory usage");
        true
    }

    /// The container's call of AWS does not come through.
    fn call_fails(&mut self) -> bool {
        self.troubles.has(Trouble::AwsThrottles, self.now) && self.chance.bool()
    }

    /// The next step of a container that asks.
    pub(crate) fn ask_step(&mut self, arn: &str, asking: Asking) {
        if asking.at > self.now || self.dies_at_once(arn) {
            return;
        }
        if self.now.since(asking.began) >= ASKING_MAX {
            self.occur("transition", "container gave up asking");
            self.withdraw(arn, asking);
            self.note(&Fact::GaveUpAsking { task: arn.to_owned(), was_refused: asking.was_refused });
            return self.set(arn, Container::Exiting(self.now + Duration::from_secs(1), 1));
        }
        match asking.asked_at {
            Some(at) if self.now.since(at) < ASK_AGAIN => self.poll_step(arn, asking),
            _ => self.put_step(arn, asking),
        }
    }

    /// A container that ends by itself, or is told to, deletes its request.
    pub(crate) fn withdraw(&mut self, arn: &str, asking: Asking) {
        if asking.asked_at.is_some() && !self.call_fails() {
            self.withdraw_request(&key_of(arn));
        }
    }

    fn put_step(&mut self, arn: &str, asking: Asking) {
        let next = self.now + self.between(1_000, 3_000);
        if self.call_fails() {
            return self.set(arn, Container::Asking(Asking { at: next, ..asking }));
        }
        let attempt = asking.attempt + 1;
        if attempt > 1 {
            self.occur("transition", "container asked again");
        }
        let is_lost = !self.is_calm && self.once_in(30);
        self.put_request(&key_of(arn), arn, attempt);
        if !self.is_calm && self.once_in(15) {
            self.occur("transition", "container asked twice at once");
            self.put_request(&key_of(arn), arn, attempt + 1);
            let attempt = attempt + 1;
            return self.set(arn, Container::Asking(Asking { attempt, asked_at: Some(self.now), at: next, ..asking }));
        }
        if is_lost {
            // The same put again, which leaves no record in the stream.
            self.occur("transition", "answer to a container's put lost");
            return self.set(arn, Container::Asking(Asking { at: next, ..asking }));
        }
        self.set(arn, Container::Asking(Asking { attempt, asked_at: Some(self.now), at: next, ..asking }));
    }

    fn poll_step(&mut self, arn: &str, asking: Asking) {
        let next = self.now + self.between(1_000, 5_000);
        let answer = if self.call_fails() { None } else { self.take_answer(&key_of(arn)) };
        let Some(answer) = answer else { return self.set(arn, Container::Asking(Asking { at: next, ..asking })) };
        if !self.is_calm && self.once_in(40) {
            self.occur("transition", "taken answer lost");
            return self.set(arn, Container::Asking(Asking { at: next, ..asking }));
        }
        if is_grant(&answer) {
            let place = self.askers.taken.len();
            self.askers.taken.push(answer);
            return self.set(arn, Container::Configuring(next, place));
        }
        let message = answer["message"].as_str().unwrap_or_default().to_owned();
        self.trace(|| format!("{arn} was refused: {message}"));
        if answer["retry"] == true {
            self.occur("transition", "registration refused for now");
            let at = self.now + self.between(30_000, 60_000);
            self.set(arn, Container::Asking(Asking { asked_at: None, at, was_refused: true, ..asking }));
        } else {
            self.occur("transition", "registration refused for good");
            self.set(arn, Container::Exiting(next, 1));
        }
    }

    /// A container has its registration, and connects.
    pub(crate) fn configure_step(&mut self, arn: &str, place: usize) {
        if self.dies_at_once(arn) {
            return;
        }
        let answer = self.askers.taken[place].clone();
        let is_just_in_time = answer["kind"] == "jit";
        if self.troubles.has(Trouble::GitHubDown, self.now) && is_just_in_time {
            let again = self.now + self.between(5_000, 20_000);
            return self.set(arn, Container::Configuring(again, place));
        }
        let runner =
            if is_just_in_time { self.connect_just_in_time(&answer) } else { self.register_by_token(arn, &answer) };
        let Some(runner) = runner else {
            self.occur("transition", "registration of no use any more");
            return self.set(arn, Container::Exiting(self.now + Duration::from_secs(4), 1));
        };
        self.set(arn, Container::Listening(runner));
        self.trace(|| format!("runner {} is online", answer["name"]));
        self.print(arn, "Listening for Jobs");
    }

    /// A job of this runner uses its task's credentials, if they are those of a task that asks.
    pub(crate) fn job_may_ask(&mut self, runner: u64) {
        let Some(arn) = self.task_of_runner(runner) else { return };
        if !self.asks(&arn) || self.is_calm || !self.once_in(8) {
            return;
        }
        let others = self.ecs.tasks.values().filter(|task| task.arn != arn && task.phase == Phase::Running);
        let others: Vec<String> = others.map(|task| task.arn.clone()).collect();
        let named = if others.is_empty() || self.chance.bool() {
            self.occur("transition", "job asked for another registration");
            arn.clone()
        } else {
            self.occur("transition", "job asked in another task's name");
            others[self.chance.usize(0..others.len())].clone()
        };
        let attempt = ATTEMPTS_OF_JOB + self.chance.u32(0..1_000);
        self.put_request(&key_of(&arn), &named, attempt);
        self.askers.jobs.push(AskingJob { key: key_of(&arn), ends: self.now + JOB_WAITS });
    }

    /// Jobs look for what they asked for.
    pub(crate) fn asking_jobs_step(&mut self) {
        let now = self.now;
        self.askers.jobs.retain(|job| job.ends > now);
        let keys: Vec<String> = self.askers.jobs.iter().map(|job| job.key.clone()).collect();
        for key in keys {
            if let Some(answer) = self.take_answer(&key) {
                self.occur("transition", if is_grant(&answer) { "job got a registration" } else { "job was refused" });
                self.askers.jobs.retain(|job| job.key != key);
            }
        }
    }

    /// Whether the container of this task asks the function.
    pub(crate) fn asks(&self, arn: &str) -> bool {
        let revision = self.ecs.tasks.get(arn).and_then(|task| self.revision(&task.revision));
        revision.is_some_and(|revision| revision.content.start.is_some())
    }
}
