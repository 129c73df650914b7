//! What one request remembers between its rounds: times and responses of GitHub that the next observation cannot show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::ecs::{Protection, RolloutState, Task, TaskPhase};
use crate::pool::model::github_access::GitHubAccess;
use crate::pool::model::log_memory::LogMemory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_matching::{RunnerLookup, runner_for_task};
use crate::pool::model::time::{DecisionTime, Timestamp};

/// How long a running task may be without a runner on GitHub's list. The image downloads nothing at its start and
/// registers within seconds, so three minutes are ample and still a short wait.
pub const REGISTRATION_GRACE: Duration = Duration::from_secs(180);

/// How long a first connection to GitHub is tried for a pool of which nothing was built. A DNS server or a load balancer
/// recovers within a minute, and a mistyped `GitHubUrl`, or a function without a route, never does. A host that responds,
/// with whatever error, is not mistyped, and a pool that was built has reached it before: both wait until the response is
/// due.
pub const UNREACHABLE_MAX: Duration = Duration::from_secs(120);

/// The longest pause between two readings of GitHub's list that count as one watch, where the poll interval does not
/// ask for more: three polls at the default. What a runner did in a longer one is not known, so that its window begins
/// anew. Lambda delivers the event of a killed invocation again after minutes, with the moments that were carried along
/// before.
const READING_GAP_MAX: Duration = Duration::from_secs(30);

/// The longest pause between two readings of GitHub's list that count as one watch, at this poll interval.
#[must_use]
pub fn reading_gap_max(poll: Duration) -> Duration {
    READING_GAP_MAX.max(poll.saturating_mul(3))
}

/// Times and responses of GitHub that the next observation cannot show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The version of the lock that this invocation has acquired. It is not part of the continuation: each invocation
    /// acquires the lock itself.
    #[serde(skip)]
    pub lock_version: Option<u64>,
    /// When this request last took the lock from one that had no response yet, and that may still be at work.
    pub preempted_at: Option<Timestamp>,
    /// The pool's metadata from its task definition, kept because a Delete removes the task definition before its last
    /// observation.
    pub metadata: Option<PoolMetadata>,
    /// Since when no connection to GitHub was found.
    pub github_unreachable_since: Option<Timestamp>,
    /// When runners were first waited for to come online.
    pub online_awaited_since: Option<Timestamp>,
    /// Deployments that had failed before this request, by id; `None` before the service was first observed.
    pub failed_deployments_before: Option<BTreeSet<String>>,
    /// When the drain began.
    pub drain_started_at: Option<Timestamp>,
    /// When registrations were first found that outlived their tasks.
    pub orphans_since: Option<Timestamp>,
    /// When the last reading of GitHub's list ended.
    pub listed_at: Option<Timestamp>,
    /// Per runner, since when every reading called it idle.
    pub idle_since: BTreeMap<u64, Timestamp>,
    /// Per runner, since when every reading called it offline.
    pub offline_since: BTreeMap<u64, Timestamp>,
    /// Per runner, by short id or fixed name, when GitHub deregistered it.
    pub deregistered_at: BTreeMap<String, Timestamp>,
    /// Per task, by ARN, since when it has been running with no runner of its own on GitHub's list.
    pub unregistered_since: BTreeMap<String, Timestamp>,
    /// Those of them, by ARN, that had no protection from scale-in when they were first found so, and no runner before:
    /// no request has deleted their runners, since a runner's task is protected before that.
    pub never_protected: BTreeSet<String>,
    /// What the runners' own logs said.
    pub logs: LogMemory,
    /// The pool's runners that GitHub listed when it last did, by name, and those that have come since.
    pub registered: BTreeSet<String>,
    /// Tasks, by ARN, that this request protected.
    pub protected: BTreeSet<String>,
    /// Tasks, by ARN, that ECS would not protect, with its reason.
    pub unprotectable: BTreeMap<String, String>,
    /// Tasks, by ARN, that IAM did not let the function stop or change, since when; the one of a task that has ended is
    /// forgotten.
    pub denied_since: BTreeMap<String, Timestamp>,
    /// Services that this request created.
    pub n_services_created: u32,
    /// When this request first updated the group.
    pub group_updated_at: Option<Timestamp>,
    /// Updates of the capacity provider that this request sent and ECS accepted.
    pub n_provider_updates: u32,
    /// Container instances, by ARN, that this request asked ECS to drain.
    pub drain_requested: BTreeSet<String>,
    /// Registrations without a task that were removed.
    pub n_orphans_removed: u32,
    /// Runners whose jobs were waited for, by name.
    pub runners_waited_for: BTreeSet<String>,
    /// Jobs that were stopped because `DrainTimeout` had passed.
    pub n_jobs_cancelled: u32,
    /// The last error, for the failure reason.
    pub last_error: Option<RemoteError>,
    /// Errors in a row.
    pub n_errors_in_a_row: u32,
    /// Since when a service-linked role is waited for, by the service that it is for.
    pub service_role_awaited_since: BTreeMap<String, Timestamp>,
    /// When this request last started a listener.
    pub listener_started_at: Option<Timestamp>,
    /// The runner scale set that this request created, by GitHub's id of it.
    pub scale_set_created: Option<u64>,
    /// Since when GitHub has refused to delete the runner scale set.
    pub scale_set_busy_since: Option<Timestamp>,
    /// When it last did.
    pub scale_set_busy_at: Option<Timestamp>,
    /// Whether anything of the pool was ever there in which a runner may have been started.
    pub was_built: bool,
    /// How GitHub was found to be reached, where the pool's own record no longer leads to its runners.
    pub github_access: Option<GitHubAccess>,
}

/// The result of a step that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// Nothing to remember.
    Done,
    /// This invocation has the lock.
    LockAcquired {
        /// The fencing token.
        version: u64,
        /// Whether it was taken from a request that had no response yet.
        is_preemption: bool,
    },
    /// Another invocation wrote the lock first.
    LockLost,
    /// GitHub deleted the registration, or had none.
    Deregistered {
        /// The runner's short id, or its fixed name.
        key: String,
    },
    /// The same of a registration that has no task.
    OrphanRemoved,
    /// GitHub refused to delete a runner: it has a job.
    RunnerBusy {
        /// GitHub's id of it.
        runner: u64,
    },
    /// These tasks were to be protected, and all but these are.
    Protected {
        /// By ARN.
        requested: Vec<String>,
        /// ARN to reason.
        failures: BTreeMap<String, String>,
    },
    /// The protection of these tasks was lifted.
    Unprotected {
        /// By ARN.
        tasks: Vec<String>,
    },
    /// IAM denied a call about these tasks. A role may bind the call to tags, and ECS deletes those of a task that
    /// ends.
    Denied {
        /// By ARN.
        tasks: Vec<String>,
    },
    /// The service was created.
    ServiceCreated,
    /// The group was updated.
    GroupUpdated,
    /// ECS accepted an update of the capacity provider.
    ProviderUpdated,
    /// ECS was asked to drain this container instance.
    DrainRequested {
        /// By ARN.
        instance: String,
    },
    /// A task was stopped because the drain's time was over.
    JobCancelled,
    /// A listener was started.
    ListenerStarted,
    /// GitHub created the runner scale set.
    ScaleSetCreated {
        /// GitHub's id of it.
        id: u64,
    },
    /// GitHub refused to delete the runner scale set: a job runs in it.
    ScaleSetBusy,
}

impl Memory {
    /// Whether a job may go on in a task without a runner on GitHub's list. Its protection stays, and tells the next
    /// request that it had one.
    #[must_use]
    pub fn may_work_unregistered(&self, task: &Task, now: Timestamp) -> bool {
        let is_deregistered = task.short_ids().any(|id| self.deregistered_at.contains_key(id));
        let unregistered_since = self.unregistered_since.get(&task.arn);
        is_deregistered || unregistered_since.is_some_and(|since| now.since(*since) >= REGISTRATION_GRACE)
    }

    /// Whether no connection to GitHub was found for so long that another attempt has no prospect.
    #[must_use]
    pub fn is_unreachable_for_long(&self, now: Timestamp) -> bool {
        self.github_unreachable_since.is_some_and(|since| now.since(since) >= UNREACHABLE_MAX)
    }

    /// Records an observation: since when each runner has been idle or offline, and each task without a runner.
    pub fn record_observation(&mut self, observed: &Observed, at: DecisionTime) {
        let now = at.now;
        match &observed.remote_error {
            Some(error) => self.record_error(error, now),
            None => self.n_errors_in_a_row = 0,
        }
        self.github_unreachable_since =
            observed.is_github_unreachable().then(|| self.github_unreachable_since.unwrap_or(now));
        self.logs.record_observation(observed, now);
        if let Some(service) = &observed.service {
            let failed = service.deployments.iter().filter(|it| matches!(it.rollout, RolloutState::Failed(_)));
            self.failed_deployments_before.get_or_insert_with(|| failed.map(|it| it.id.clone()).collect());
        }
        self.was_built |= observed.task_definition.is_some()
            || observed.service.is_some()
            || !observed.tasks.is_empty()
            || observed.remains.is_some();
        if let Some(github_access) = &observed.newer_github_access {
            self.github_access = Some(github_access.clone());
        }

        let Some(metadata) = &observed.metadata else { return };
        self.denied_since.retain(|arn, _| observed.tasks.iter().any(|task| task.is_running() && task.arn == *arn));
        match &observed.github {
            GitHubRunners::Listed(runners) => self.record_runners(metadata, runners, observed, at),
            GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Failed(_) => {
                self.record_without_github(metadata, observed);
            }
        }
    }

    /// Records GitHub's list: since when each runner has been idle or offline, and each task without a runner.
    fn record_runners(&mut self, metadata: &PoolMetadata, runners: &[Runner], observed: &Observed, at: DecisionTime) {
        let before = std::mem::take(&mut self.registered);
        let ours = || runners.iter().filter(|runner| metadata.matcher.owns(runner));
        self.registered = ours().map(|runner| runner.name.clone()).collect();
        // A narrow observation leaves the list as it was read before, which says nothing of the time since.
        if let Some(reading) = observed.github_read.filter(|reading| self.listed_at < Some(reading.ended_at)) {
            let before = self.listed_at.replace(reading.ended_at);
            if before.is_some_and(|before| reading.began_at.since(before) > reading_gap_max(at.poll)) {
                self.idle_since.clear();
                self.offline_since.clear();
            }
            let idle = ours().filter(|runner| !runner.is_busy).map(|runner| runner.id);
            keep_earliest(&mut self.idle_since, idle, reading.ended_at);
            let offline = ours().filter(|runner| !runner.is_online).map(|runner| runner.id);
            keep_earliest(&mut self.offline_since, offline, reading.ended_at);
        }
        self.record_unregistered(metadata, runners, observed, &before, at.now);

        let live: BTreeSet<&str> =
            observed.tasks.iter().filter(|task| task.is_live()).map(|task| task.arn.as_str()).collect();
        // The protection of such a task is not lifted by a request that fails either.
        for task in &observed.tasks {
            if self.may_work_unregistered(task, at.now) {
                self.protected.remove(&task.arn);
            }
        }
        self.protected.retain(|arn| live.contains(arn.as_str()));
        self.unprotectable.retain(|arn, _| live.contains(arn.as_str()));
    }

    /// Records the running tasks that have no runner on GitHub's list; `before` are the runners that it listed last.
    fn record_unregistered(
        &mut self,
        metadata: &PoolMetadata,
        runners: &[Runner],
        observed: &Observed,
        before: &BTreeSet<String>,
        now: Timestamp,
    ) {
        let mut unregistered = Vec::new();
        for task in observed.tasks.iter().filter(|task| task.phase == TaskPhase::Running) {
            match runner_for_task(&metadata.matcher, runners, &observed.tasks, task) {
                RunnerLookup::NotListed => unregistered.push(task),
                // A runner whose log shows a job is watched again from the start, as one that GitHub calls busy.
                RunnerLookup::Found(runner)
                    if observed.logs.contains_key(&task.arn) && self.logs.busy(&task.arn).is_some() =>
                {
                    self.idle_since.remove(&runner.id);
                }
                RunnerLookup::Found(_) | RunnerLookup::Ambiguous => {}
            }
        }
        let is_new = |task: &&&Task| {
            let had_runner = |name: &String| {
                metadata.matcher.fixed_names.contains(name) || task.short_ids().any(|id| name.ends_with(id))
            };
            task.protection == Protection::Off
                && !self.unregistered_since.contains_key(&task.arn)
                && !before.iter().any(had_runner)
        };
        self.never_protected.extend(unregistered.iter().filter(is_new).map(|task| task.arn.clone()));
        keep_earliest(&mut self.unregistered_since, unregistered.iter().map(|task| task.arn.clone()), now);
        self.never_protected.retain(|arn| self.unregistered_since.contains_key(arn));
    }

    /// Records a failed call.
    pub fn record_error(&mut self, error: &RemoteError, now: Timestamp) {
        self.last_error = Some(error.clone());
        self.n_errors_in_a_row = self.n_errors_in_a_row.saturating_add(1);
        if let Some(role) = error.missing_role() {
            self.service_role_awaited_since.entry(role.to_owned()).or_insert(now);
        }
    }

    /// Without a list, every runner with a task counts as registered, by the end of the name that it has by its task or
    /// its container.
    fn record_without_github(&mut self, metadata: &PoolMetadata, observed: &Observed) {
        let fixed = metadata.matcher.fixed_names.iter().next();
        for task in observed.tasks.iter().filter(|task| task.is_live()) {
            let by_function = metadata.registration.is_some();
            let Some(id) =
                task.short_container_id().and_then(|id| if by_function { task.short_task_id() } else { Some(id) })
            else {
                continue;
            };
            if !self.registered.iter().any(|name| task.short_ids().any(|id| name.ends_with(id))) {
                let name = fixed.cloned().unwrap_or_else(|| format!("…-{}-{id}", metadata.matcher.pool_hash));
                self.registered.insert(name);
            }
        }
    }

    /// Records the result of a step.
    pub fn record_step(&mut self, applied: StepResult, now: Timestamp) {
        match applied {
            StepResult::Done => {}
            StepResult::LockAcquired { version, is_preemption } => {
                self.lock_version = Some(version);
                if is_preemption {
                    self.preempted_at = Some(now);
                }
            }
            StepResult::LockLost => self.lock_version = None,
            StepResult::Deregistered { key } => {
                self.deregistered_at.insert(key, now);
            }
            StepResult::OrphanRemoved => self.n_orphans_removed = self.n_orphans_removed.saturating_add(1),
            StepResult::RunnerBusy { runner } => {
                self.idle_since.remove(&runner);
            }
            StepResult::Protected { requested, failures } => {
                for arn in requested {
                    self.denied_since.remove(&arn);
                    self.unprotectable.remove(&arn);
                    if !failures.contains_key(&arn) {
                        self.protected.insert(arn);
                    }
                }
                self.unprotectable.extend(failures);
            }
            StepResult::Unprotected { tasks } => {
                for arn in tasks {
                    self.protected.remove(&arn);
                }
            }
            StepResult::Denied { tasks } => {
                for arn in tasks {
                    self.denied_since.entry(arn).or_insert(now);
                }
            }
            StepResult::ServiceCreated => self.n_services_created = self.n_services_created.saturating_add(1),
            StepResult::GroupUpdated => {
                self.group_updated_at.get_or_insert(now);
            }
            StepResult::ProviderUpdated => self.n_provider_updates = self.n_provider_updates.saturating_add(1),
            StepResult::DrainRequested { instance } => {
                self.drain_requested.insert(instance);
            }
            StepResult::ListenerStarted => self.listener_started_at = Some(now),
            StepResult::ScaleSetCreated { id } => self.scale_set_created = Some(id),
            StepResult::ScaleSetBusy => {
                self.scale_set_busy_since.get_or_insert(now);
                self.scale_set_busy_at = Some(now);
            }
            StepResult::JobCancelled => self.n_jobs_cancelled = self.n_jobs_cancelled.saturating_add(1),
        }
    }
}

/// Updates the start times of a condition: keeps those of keys that still meet it, drops those of others, and adds new
/// keys with `now`.
fn keep_earliest<K: Ord + Clone>(since: &mut BTreeMap<K, Timestamp>, still: impl Iterator<Item = K>, now: Timestamp) {
    let before = std::mem::take(since);
    since.extend(still.map(|key| {
        let first = before.get(&key).copied().unwrap_or(now);
        (key, first)
    }));
}
