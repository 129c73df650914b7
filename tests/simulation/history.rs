//! What happened, as the invariants see it, and what a run comes to in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;
use serde::Serialize;

/// Something that an invariant may have an opinion on.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// The function began a write.
    Wrote { invocation: u64, operation: &'static str, target: String, began: Timestamp, is_foreign: bool },
    /// CloudFormation got a response.
    Responded { ask: usize, body: Vec<u8> },
    /// A job ended before its time.
    JobLost { pool: String, job: u64, why: Loss },
    /// CloudFormation stopped waiting.
    Expired { ask: usize },
    /// An invocation came to its end, or was ended.
    Ended { invocation: u64, how: Ending },
    /// An invocation handed the rest on.
    ParsedContinuation { ask: Option<usize> },
    /// A line of the log.
    Logged { line: String },
    /// A runner that GitHub lists was deleted by the function, idle or not.
    Deregistered { pool: String },
    /// GitHub lists a runner that the function, or a container by its token, has registered.
    RunnerCreated { runner: u64 },
    /// The function wrote an answer into the registrations table.
    RegistrationAnswered { key: String, answer: String },
    /// Whoever has the task's credentials took it.
    RegistrationTaken { key: String, answer: String },
    /// A container has asked for as long as it may.
    GaveUpAsking { task: String, was_refused: bool },
    /// A revision of a task definition, but for its labels.
    RevisionRegistered { content: String },
    /// `RunTask` has started tasks of a pool, by a call that began at this moment.
    TasksStarted { pool: String, began: Timestamp },
    /// A message was acknowledged that says how many jobs a pool has.
    Acknowledged { pool: String, assigned: u32 },
    /// A job waits for longer than a pool with room may take to start its runner.
    JobOverdue { pool: String, job: u64 },
    /// A pool is not of the size that its jobs and its template give it, for longer than it may take.
    SizeOverdue { pool: String, what: String },
    /// A sweep without any failure came to its end.
    Swept,
    /// Somebody looked at the cluster.
    ClusterChanged { providers: Vec<String> },
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Returned,
    Failed,
    Killed,
    TimedOut,
    Crashed,
}

/// What ended a job before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// The function stopped its task and said that `DrainTimeout` had passed.
    DrainTimedOut,
    /// The function stopped its task for another reason.
    Stopped,
    /// ECS chose its task: a deployment, a scale-in, a deleted service.
    ChosenByEcs,
    /// The function deleted its runner's registration, and GitHub let it.
    Deregistered,
    /// The function ended its instance: a deleted group, a draining or deregistered instance.
    InstanceTaken,
    /// A machine failed, or was reclaimed.
    MachineLost,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) at: Duration,
    pub(crate) what: String,
}

/// What a run, or many of them, came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    pub(crate) calls: u64,
    pub(crate) invocations: u64,
    pub(crate) hops: u64,
    pub(crate) hops_max: u64,
    pub(crate) requests: u64,
    pub(crate) responses: u64,
    pub(crate) responses_late: u64,
    pub(crate) jobs: u64,
    /// Ended before their time by the function, against the template's wish.
    pub(crate) jobs_lost: u64,
    /// Registrations that the function has granted to tasks.
    pub(crate) registrations: u64,
    /// Ended because the template's own `DrainTimeout` had passed.
    pub(crate) jobs_cut_off: u64,
    /// Ended by a machine that failed.
    pub(crate) jobs_of_lost_machines: u64,
    pub(crate) virtual_hours: f64,
    pub(crate) faults: BTreeMap<String, u64>,
}

impl Figures {
    pub(crate) fn fault(&mut self, name: &str) {
        match self.faults.get_mut(name) {
            Some(n) => *n += 1,
            None => drop(self.faults.insert(name.to_owned(), 1)),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.calls += other.calls;
        self.invocations += other.invocations;
        self.hops += other.hops;
        self.hops_max = self.hops_max.max(other.hops_max);
        self.requests += other.requests;
        self.responses += other.responses;
        self.responses_late += other.responses_late;
        self.jobs += other.jobs;
        self.jobs_lost += other.jobs_lost;
        self.registrations += other.registrations;
        self.jobs_cut_off += other.jobs_cut_off;
        self.jobs_of_lost_machines += other.jobs_of_lost_machines;
        self.virtual_hours += other.virtual_hours;
        for (name, n) in &other.faults {
            *self.faults.entry(name.clone()).or_default() += n;
        }
    }
}
