//! One pool in the hands of its listener: its item, its tasks, and what was watched of its runners.

mod session;

use std::marker::PhantomData;
use std::time::Duration;

use super::super::apply::{deregister_runner, stop_reason};
use super::super::claims::withdraw_registration;
use super::super::log_error;
use super::super::observe::{credential, with_members};
use super::super::ports::{Clock, Credential, Ecs, GitHub, RemoteCallError, World};
use super::super::runner_logs::{LogPlaces, read_logs};
use super::super::scaling::{read_scaling, write_scaling};
use super::super::session::KnownMembers;
use super::interruption::Interruption;
use crate::pool::model::decision::ObserveScope;
use crate::pool::model::ecs::{StartedTasks, Task};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed, Reading};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::JobStatistics;
use crate::pool::model::scaling::{ListenerProgress, ObservedScaling, START_UNCERTAIN_MAX, ScalingMode, ScalingRecord};
use crate::pool::model::step::{Step, Steps};
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::demand::{DemandMemory, Look, RunnerCounts, decide};
use crate::pool::policy::start_delay::StartDelay;

/// What `RunTask` starts at once.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const START_BATCH: u32 = 10;
/// How long a start is repeated whose result is not known. After this time `ListTasks` shows what it has started.
const START_REPEATED_MAX: Duration = Duration::from_secs(300);
/// How long a credential is kept.
const CREDENTIAL_KEPT: Duration = Duration::from_secs(60);
/// Between two reports about a pool.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Takes in how a pool is: what GitHub says of its jobs, how many tasks there are, and for how long jobs have waited
/// although there is room.
pub type Report = fn(&PhysicalId, &JobStatistics, RunnerCounts, Duration);

/// A credential, and when it was read.
struct KeptCredential {
    credential: Credential,
    read_at: Timestamp,
}

/// The listener of one pool.
pub(super) struct PoolListener<W> {
    id: PhysicalId,
    record: ScalingRecord,
    version: u64,
    /// The progress as it was last read or written: another one in the item is another listener's.
    stored: ListenerProgress,
    demand: DemandMemory,
    memory: Memory,
    observed: Observed,
    scope: ObserveScope,
    credential: Option<KeptCredential>,
    members: KnownMembers,
    log_places: LogPlaces,
    poll: Duration,
    start_delay: StartDelay,
    /// Messages that were read, and not acted upon yet.
    unacknowledged: Vec<u64>,
    /// When to act again after a failure.
    retry_at: Option<Timestamp>,
    report: Report,
    reported_at: Option<Timestamp>,
    world: PhantomData<W>,
}

impl<W: World> PoolListener<W> {
    pub(super) fn new(id: PhysicalId, found: ObservedScaling, poll: Duration, report: Report) -> Self {
        Self {
            id,
            stored: found.record.progress.clone(),
            demand: DemandMemory::of(found.record.progress.starts.clone()),
            record: found.record,
            version: found.version,
            memory: Memory::default(),
            observed: Observed::default(),
            scope: ObserveScope::Full,
            credential: None,
            members: KnownMembers::default(),
            log_places: LogPlaces::default(),
            poll,
            start_delay: StartDelay::default(),
            unacknowledged: Vec::new(),
            retry_at: None,
            report,
            reported_at: None,
            world: PhantomData,
        }
    }

    pub(super) const fn id(&self) -> &PhysicalId {
        &self.id
    }

    pub(super) const fn record(&self) -> &ScalingRecord {
        &self.record
    }

    /// Takes in what a request has written.
    pub(super) async fn refresh(&mut self, world: &W) -> Result<(), Interruption> {
        let found = read_scaling(world, &self.id).await?.ok_or(Interruption::Deleted)?;
        if found.record.goal.mode == ScalingMode::Deleted {
            return Err(Interruption::Deleted);
        }
        if found.version == self.version {
            return Ok(());
        }
        // Its own write may have been stored, and only the response lost.
        if found.record.progress != self.stored && found.record.progress != self.record.progress {
            return Err(Interruption::Superseded);
        }
        if found.record.goal.metadata.github_credential != self.record.goal.metadata.github_credential {
            self.credential = None;
        }
        self.record.goal = found.record.goal;
        self.stored = found.record.progress;
        self.version = found.version;
        Ok(())
    }

    /// Writes the progress down.
    async fn store(&mut self, world: &W) -> Result<(), Interruption> {
        for _ in 0..2 {
            if let Some(version) = write_scaling(world, &self.id, &self.record, self.version).await? {
                self.version = version;
                self.stored = self.record.progress.clone();
                return Ok(());
            }
            // A request has written what it wants; or another listener is at work.
            self.refresh(world).await?;
        }
        Err(Interruption::Superseded)
    }

    /// The credential. It is read again after a while: it may have been replaced, and GitHub's refusal of the one before
    /// does not come back to here.
    pub(super) async fn credential(&mut self, world: &W) -> Result<Credential, Interruption> {
        let now = world.clock().now();
        if let Some(KeptCredential { credential, read_at }) = &self.credential
            && now.since(*read_at) < CREDENTIAL_KEPT
        {
            return Ok(credential.clone());
        }
        let Some(github_credential) = &self.record.goal.metadata.github_credential else {
            return Err(Interruption::Deleted);
        };
        let credential = match credential(world, github_credential).await {
            Ok(credential) => credential,
            Err(remote_error) => {
                let error = RemoteCallError { remote_error, source: None };
                let Some(kept) = &self.credential else { return Err(error.into()) };
                log_error(&error);
                kept.credential.clone()
            }
        };
        self.credential = Some(KeptCredential { credential: credential.clone(), read_at: now });
        Ok(credential)
    }

    /// Looks at the pool, and does what it decides. Returns when to look again.
    pub(super) async fn act(&mut self, world: &W) -> Result<Timestamp, Interruption> {
        self.refresh(world).await?;
        self.confirm_statistics(world).await?;
        if self.record.goal.mode == ScalingMode::Active {
            self.make_pending_start(world).await?;
        }
        self.look(world).await?;
        let at = DecisionTime { now: world.clock().now(), poll: self.poll };
        self.memory.record_observation(&self.observed, at);
        let ScalingRecord { goal, progress, .. } = &self.record;
        let look = Look { id: &self.id, goal, statistics: &progress.statistics, observed: &self.observed, at };
        let decision = decide(look, &mut self.demand, &mut self.memory);
        self.report(decision.counts, at.now);
        self.scope = decision.scope;
        self.record.progress.starts.clone_from(self.demand.starts());
        if self.record.progress.starts != self.stored.starts {
            self.store(world).await?;
        }
        if decision.n_starts > 0 && self.record.progress.pending_start.is_none() {
            self.start(world, decision.n_starts).await?;
        }
        let are_all_taken = self.apply(world, decision.steps).await?;
        Ok(if are_all_taken { decision.look_at } else { at.next_poll() })
    }

    /// Looks at the tasks, and at as much of GitHub as was decided.
    async fn look(&mut self, world: &W) -> Result<(), Interruption> {
        let goal = &self.record.goal;
        let cluster = goal.metadata.cluster.clone();
        self.observed.metadata = Some(goal.metadata.clone());
        let live = self.observed.tasks.iter().filter(|task| task.is_live()).map(|task| task.arn.clone());
        let known: Vec<String> = live.chain(self.record.progress.recent_tasks.keys().cloned()).collect();
        let mut tasks = world.ecs().tasks_incremental(&cluster, &self.id, known).await?;
        if self.scope == ObserveScope::Full {
            // Those that still end as well; what the other one has is newer.
            let is_new = |task: &Task, tasks: &[Task]| !tasks.iter().any(|known| known.arn == task.arn);
            let all = world.ecs().tasks(&cluster, &self.id).await?;
            let ending: Vec<Task> = all.into_iter().filter(|task| is_new(task, &tasks)).collect();
            tasks.extend(ending);
        }
        let now = world.clock().now();
        self.record.progress.forget_shown(&tasks, now);
        let unlisted = self.record.progress.unlisted_tasks(&self.id, &tasks, now);
        self.observed.tasks = tasks.into_iter().chain(unlisted).collect();
        self.observed.logs.clear();
        // The list of an earlier look says nothing of tasks that have come since.
        self.observed.github = GitHubRunners::NotQueried;
        if matches!(self.scope, ObserveScope::Runners | ObserveScope::RunnerLogs) {
            self.look_at_runners(world).await?;
        }
        if self.scope == ObserveScope::RunnerLogs {
            let asked = &self.memory.logs.asked;
            let is_asked = |task: &&Task| task.is_running() && asked.contains(&task.arn);
            let tasks: Vec<&Task> = self.observed.tasks.iter().filter(is_asked).collect();
            self.observed.logs = read_logs(world, &mut self.log_places, &tasks).await?;
        }
        Ok(())
    }

    async fn look_at_runners(&mut self, world: &W) -> Result<(), Interruption> {
        let credential = self.credential(world).await?;
        let goal = &self.record.goal;
        let began_at = world.clock().now();
        let listed = async {
            let runners = world.github().runners(&goal.metadata.github, &credential).await?;
            let (metadata, tasks) = (&goal.metadata, &self.observed.tasks);
            with_members(world, metadata, &credential, goal.scale_set, tasks, runners, &mut self.members).await
        };
        self.observed.github = match listed.await {
            Ok(runners) => {
                self.observed.github_read = Some(Reading { began_at, ended_at: world.clock().now() });
                GitHubRunners::Listed(runners)
            }
            Err(error) => {
                log_error(&error);
                if error.kind() == ErrorKind::Unauthenticated {
                    self.credential = None;
                }
                GitHubRunners::Failed(error.remote_error)
            }
        };
        Ok(())
    }

    /// Starts tasks, written down before they are.
    async fn start(&mut self, world: &W, n_tasks: u32) -> Result<(), Interruption> {
        let decided_for = self.record.goal.clone();
        let mut n_left = n_tasks;
        while n_left > 0 {
            let count = n_left.min(START_BATCH);
            self.record.progress.begin_start(&decided_for, count, world.clock().now());
            if let Err(interruption) = self.store(world).await {
                // One that is not written down is never made: by the next look a request may want something else.
                self.record.progress.pending_start = None;
                return Err(interruption);
            }
            if self.record.goal != decided_for {
                // A request wants something else since: decided anew.
                return self.end_start(world, Vec::new()).await;
            }
            let are_all_accepted = self.make_pending_start(world).await?;
            n_left = if are_all_accepted { n_left.saturating_sub(count) } else { 0 };
        }
        Ok(())
    }

    /// Makes the start that is written down: a new one, or again one whose result is not known, as after a listener that
    /// was killed. One that an older request wanted is not made again, since the newest may want fewer runners: it ends once
    /// ECS shows what it has started. Returns whether ECS has accepted all of its tasks.
    async fn make_pending_start(&mut self, world: &W) -> Result<bool, Interruption> {
        let (goal, progress) = (&self.record.goal, &self.record.progress);
        let Some(pending) = &progress.pending_start else { return Ok(true) };
        let is_outdated = pending.request_id != goal.request_id;
        let age_max = if is_outdated { START_UNCERTAIN_MAX } else { START_REPEATED_MAX };
        if world.clock().now().since(pending.at) >= age_max {
            self.end_start(world, Vec::new()).await?;
            return Ok(true);
        }
        if is_outdated {
            return Ok(false);
        }
        let (token, cluster) = (progress.start_token(&self.id), &goal.metadata.cluster);
        match world.ecs().run_tasks(cluster, &self.id, &pending.run, &goal.tags, &token).await {
            Ok(StartedTasks { arns, failures }) => {
                tracing::info!(step = "start_tasks", n = arns.len(), physical_id = self.id.as_str(), "started");
                for reason in &failures {
                    tracing::warn!(step = "start_tasks", physical_id = self.id.as_str(), "not started: {reason}");
                }
                self.end_start(world, arns).await?;
                Ok(failures.is_empty())
            }
            Err(error) => {
                // What ECS refuses for good is decided anew, with whatever the next request changes; and so is a start whose
                // token ECS knows from another one, or for which the cluster has no instance.
                if !error.kind().is_retryable() || error.kind() == ErrorKind::Conflict {
                    self.end_start(world, Vec::new()).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Writes down what a start has come to.
    async fn end_start(&mut self, world: &W, tasks: Vec<String>) -> Result<(), Interruption> {
        self.record.progress.end_start(tasks, world.clock().now());
        self.store(world).await
    }

    /// Takes the steps by which runners leave. Returns whether it has taken all of them.
    async fn apply(&mut self, world: &W, steps: Steps) -> Result<bool, Interruption> {
        let mut are_all_taken = true;
        for step in steps {
            tracing::info!(step = step.name(), detail = ?step.details(), physical_id = self.id.as_str(), "apply");
            let metadata = &self.record.goal.metadata;
            // A standalone task has no protection, and nothing else is decided for a listener.
            if let Step::DeregisterRunner(runner) = step {
                let (id, name) = (runner.id(), runner.name());
                let credential = self.credential.as_ref().map(|kept| &kept.credential);
                let result = deregister_runner(world, credential, metadata, id, name).await?;
                self.memory.record_step(result, world.clock().now());
            } else if let Step::WithdrawRegistration(task) = step {
                if !withdraw_registration(world, task.arn()).await? {
                    // It has an instance by now, and asks for its runner.
                    return Ok(false);
                }
            } else if let Step::StopTask(task) = step {
                match world.ecs().stop_task(&metadata.cluster, task.arn(), stop_reason(task.why())).await {
                    // A role may bind the call to tags, and ECS deletes those of a task that ends.
                    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
                    Err(error) if error.kind() == ErrorKind::Denied => {
                        log_error(&error);
                        are_all_taken = false;
                    }
                    stopped => stopped?,
                }
            }
        }
        Ok(are_all_taken)
    }

    fn report(&mut self, counts: RunnerCounts, now: Timestamp) {
        let ScalingRecord { goal, progress, .. } = &self.record;
        let start_delay = self.start_delay.observe(goal.max_runners, &progress.statistics, now);
        if self.reported_at.is_none_or(|last| now.since(last) >= REPORT_INTERVAL) {
            self.reported_at = Some(now);
            (self.report)(&self.id, &progress.statistics, counts, start_delay);
        }
    }
}
