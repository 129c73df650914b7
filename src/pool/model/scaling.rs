//! Pools with as many runners as jobs: what the newest request wants of one, and how far its listener is. One item of the
//! state table for each pool, one that lists the pools, and the listener's lease.
//!
//! A request of CloudFormation writes the goal, the listener everything else. Both write conditionally on the item's
//! version, so that the one that comes second reads what the other has written before it goes on: a request that has
//! written its goal knows that no task is started by an older one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::ecs::{Task, TaskRun};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::scale_set::{JobStatistics, MessageSession};
use crate::pool::model::spec::WaitPolicy;
use crate::pool::model::time::Timestamp;

/// The key of the list of pools.
pub const SCALED_POOLS_KEY: &str = "scaled-pools";
/// The key of the listener's lease.
pub const LISTENER_KEY: &str = "listener";

/// The format of the items. One of another format was written by another version of the function.
const FORMAT: u16 = 1;

/// How long the lease of a listener lasts: three renewals.
pub const LEASE: Duration = Duration::from_secs(30);
/// Between two renewals of the lease.
const LEASE_RENEWAL: Duration = Duration::from_secs(10);

/// How long a started task is asked for by its ARN: `ListTasks` shows it within seconds.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const RECENT: Duration = Duration::from_secs(120);
/// The same for a task that `DescribeTasks` has shown. An item has at most 400 KB, which a start of thousands of tasks
/// would fill.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items>
const RECENT_SHOWN: Duration = Duration::from_secs(30);

/// How long a superseded caller's `RunTask` may still add tasks: the SDK's tries, and the time until `ListTasks` shows what
/// they started.
pub const START_UNCERTAIN_MAX: Duration = Duration::from_secs(90);

/// How long the item of a deleted pool stays, as its operation lock does.
const TOMBSTONE_TTL: Duration = Duration::from_secs(86_400);

/// A pool's item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingRecord {
    format: u16,
    /// What is wanted.
    pub goal: ScalingGoal,
    /// How far the listener is.
    pub progress: ListenerProgress,
}

/// What the newest request wants of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingGoal {
    /// The key of that request.
    pub request_id: String,
    /// What the listener may do.
    pub mode: ScalingMode,
    /// GitHub's id of the runner scale set.
    pub scale_set: u64,
    /// Where the pool is, and which runners are its own.
    pub metadata: PoolMetadata,
    /// `MinRunners`.
    pub min_runners: u32,
    /// `MaxRunners`.
    pub max_runners: u32,
    /// The revision of new tasks.
    pub task_definition: String,
    /// Where they run.
    pub capacity_provider: String,
    /// At most one of them on an instance.
    pub distinct_instances: bool,
    /// All their tags.
    pub tags: BTreeMap<String, String>,
    /// The template's timeouts.
    pub wait_policy: WaitPolicy,
}

/// What the listener may do to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScalingMode {
    /// Start and retire runners.
    Active,
    /// Read messages: a request retires every runner.
    Paused,
    /// Nothing: the pool is deleted.
    Deleted,
}

/// How far the listener is with a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerProgress {
    /// The session, which a successor goes on with.
    pub session: Option<MessageSession>,
    /// The last message that was acted upon.
    pub last_message_id: u64,
    /// The last statistics; the poll of an empty queue has none.
    pub statistics: JobStatistics,
    /// When the item was first written: with the number of a start it makes a token that no other start has.
    pub since: Timestamp,
    /// How many starts there have been.
    pub n_starts: u64,
    /// A start whose result is not known. The next listener repeats it with the same token.
    pub pending_start: Option<PendingStart>,
    /// Tasks that were started a moment ago, by ARN: `ListTasks` may not show them yet.
    pub recent_tasks: BTreeMap<String, RecentTask>,
    /// The session's first statistics, as long as nothing confirms that there are fewer jobs than before.
    #[serde(default)]
    pub unconfirmed: Option<UnconfirmedStatistics>,
    /// How starts have gone.
    #[serde(default)]
    pub starts: StartRecord,
}

/// Statistics that are not believed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnconfirmedStatistics {
    /// What they say.
    pub statistics: JobStatistics,
    /// When they are read again.
    pub read_again_at: Timestamp,
}

/// How starts have gone: the next listener makes no more of them than this one would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// Looks in a row in which tasks had ended without having run a job, and none that had run one.
    pub n_failed_looks: u32,
    /// When the last of them was.
    pub last_failed_at: Option<Timestamp>,
    /// The revision that they were of: another one may go well.
    pub revision: String,
}

/// A task that was started a moment ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentTask {
    /// When.
    pub at: Timestamp,
    /// The revision's ARN.
    pub task_definition: String,
}

/// A start of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStart {
    /// The key of the request that wanted the tasks.
    pub request_id: String,
    /// What is started.
    pub run: TaskRun,
    /// When.
    pub at: Timestamp,
}

/// An item as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedScaling {
    /// What it says.
    pub record: ScalingRecord,
    /// How often it has been written.
    pub version: u64,
}

impl ScalingGoal {
    /// Whether it wants the same as another one, whichever request wrote it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        *self == Self { request_id: self.request_id.clone(), ..other.clone() }
    }

    /// The start of `count` tasks.
    #[must_use]
    pub fn task_run(&self, count: u32) -> TaskRun {
        TaskRun {
            task_definition: self.task_definition.clone(),
            capacity_provider: self.capacity_provider.clone(),
            count,
            distinct_instances: self.distinct_instances,
        }
    }

    /// How many runners there should be.
    #[must_use]
    pub fn target(&self, statistics: &JobStatistics) -> u32 {
        self.min_runners.saturating_add(statistics.assigned).min(self.max_runners)
    }
}

impl ListenerProgress {
    const fn new(now: Timestamp) -> Self {
        Self {
            session: None,
            last_message_id: 0,
            statistics: JobStatistics {
                available: 0,
                acquired: 0,
                assigned: 0,
                running: 0,
                registered_runners: 0,
                busy_runners: 0,
                idle_runners: 0,
            },
            since: now,
            n_starts: 0,
            pending_start: None,
            recent_tasks: BTreeMap::new(),
            unconfirmed: None,
            starts: StartRecord { n_failed_looks: 0, last_failed_at: None, revision: String::new() },
        }
    }

    /// Begins a start of `count` tasks for a goal.
    pub fn begin_start(&mut self, goal: &ScalingGoal, count: u32, now: Timestamp) {
        self.n_starts = self.n_starts.saturating_add(1);
        self.pending_start =
            Some(PendingStart { request_id: goal.request_id.clone(), run: goal.task_run(count), at: now });
    }

    /// The client token of the last start, with which ECS starts its tasks once, however often it is sent.
    #[must_use]
    pub fn start_token(&self, id: &PhysicalId) -> String {
        format!("{}-{}-{}", id.hash(), self.since.epoch_millis(), self.n_starts)
    }

    /// The tasks that were started a moment ago and that ECS does not show yet, as they will be.
    #[must_use]
    pub fn unlisted_tasks(&self, id: &PhysicalId, listed: &[Task], now: Timestamp) -> Vec<Task> {
        let is_listed = |arn: &str| listed.iter().any(|task| task.arn == arn);
        let recent = self.recent_tasks.iter().filter(|(_, recent)| now.since(recent.at) < RECENT);
        let unlisted = recent.filter(|(arn, _)| !is_listed(arn));
        unlisted.map(|(arn, recent)| Task::just_started(id, arn, &recent.task_definition)).collect()
    }

    /// Forgets the tasks that every call shows by now, and those that have ended, which ECS forgets as well.
    pub fn forget_shown(&mut self, shown: &[Task], now: Timestamp) {
        let find = |arn: &str| shown.iter().find(|task| task.arn == arn);
        self.recent_tasks.retain(|arn, recent| {
            let limit = match find(arn) {
                Some(task) if !task.is_live() => Duration::ZERO,
                Some(_) => RECENT_SHOWN,
                None => RECENT,
            };
            now.since(recent.at) < limit
        });
    }

    /// Records the tasks of the last start.
    pub fn end_start(&mut self, tasks: Vec<String>, now: Timestamp) {
        let task_definition = self.pending_start.take().map(|pending| pending.run.task_definition).unwrap_or_default();
        let recent = |arn| (arn, RecentTask { at: now, task_definition: task_definition.clone() });
        self.recent_tasks.extend(tasks.into_iter().map(recent));
    }
}

impl ScalingRecord {
    /// The item of a new pool.
    #[must_use]
    pub const fn new(goal: ScalingGoal, now: Timestamp) -> Self {
        Self { format: FORMAT, goal, progress: ListenerProgress::new(now) }
    }

    /// The item with another goal.
    #[must_use]
    pub fn with_goal(&self, goal: ScalingGoal) -> Self {
        Self { format: FORMAT, goal, progress: self.progress.clone() }
    }

    /// The item with another progress.
    #[must_use]
    pub fn with_progress(&self, progress: ListenerProgress) -> Self {
        Self { format: FORMAT, goal: self.goal.clone(), progress }
    }

    /// The key of a pool's item.
    #[must_use]
    pub fn key(id: &PhysicalId) -> String {
        format!("scaling#{id}")
    }

    /// When its item expires.
    #[must_use]
    pub fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.goal.mode == ScalingMode::Deleted).then(|| now + TOMBSTONE_TTL)
    }

    /// The item's text. It contains the message queue's token.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Strings, numbers and enums: nothing in here can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads an item; `None` if another version of the function wrote it. The next request writes it anew.
    #[must_use]
    pub fn from_record(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|record| record.format == FORMAT)
    }
}

/// The pools that have a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// A field of another version would be lost when the item is written.
#[serde(deny_unknown_fields)]
pub struct ScaledPools {
    /// Their physical ids.
    pub pools: BTreeSet<PhysicalId>,
}

impl ScaledPools {
    /// Reads the item; `None` if another version of the function wrote it. It is never overwritten then: every pool in it
    /// would lose its listener.
    #[must_use]
    pub fn from_record(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The item's text.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Strings: nothing in here can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Until when a listener is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerLease {
    /// When another one may begin.
    pub expires_at: Option<Timestamp>,
}

impl ListenerLease {
    /// A lease from now on.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { expires_at: Some(now + LEASE) }
    }

    /// When it is to be renewed.
    #[must_use]
    pub fn renew_at(self) -> Timestamp {
        self.expires_at.map_or(Timestamp::from_epoch_millis(0), |expires_at| expires_at - LEASE + LEASE_RENEWAL)
    }

    /// Whether a listener is at work.
    #[must_use]
    pub fn is_current(self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at > now)
    }

    /// Reads the item; one that cannot be read is no lease.
    #[must_use]
    pub fn from_record(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The item's text.
    #[must_use]
    pub fn to_record(self) -> String {
        // A number: nothing in here can fail to serialize.
        serde_json::to_string(&self).unwrap_or_default()
    }
}
