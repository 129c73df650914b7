//! GitHub's runner scale sets: the sets, the one session of each, and their queues of messages.
//!
//! Where GitHub says nothing the harsher reading is taken: a session conflicts until its last poll is 50 seconds old, for
//! its owner too; a new session has none of the messages of the one before; a message that is not acknowledged comes
//! again whatever the poll says; statistics lag, and are zero now and then.
//! <https://github.com/actions/scaleset>,
//! <https://github.com/rhobuild/runpool/tree/main/docs/adrs>

mod jobs;
mod queue;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::scale_set::{
    JobEvent, JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetRequest, ScaleSetRunner,
};
use github_runner_pool::pool::model::secret::Secret;
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{
    JitRunner, RemoteCallError, RemoteResult, ScaleSetDeletion, SessionOpening,
};

pub(crate) use self::jobs::{ASSIGNMENT_KEPT, Phase, SetJob};
pub(crate) use self::queue::{Polled, REDELIVERED_AFTER};
use crate::faults::refuse;
use crate::github::{JobState, jit_files};
use crate::history::Fact;
use crate::world::{Due, World};

/// How long after the last poll a session still stands in the way of another.
/// <https://github.com/rhobuild/runpool/blob/main/docs/adrs/2026-08-11-session-conflict.md>
pub(crate) const SESSION_KEPT: Duration = Duration::from_secs(50);
/// How long the token of a queue is valid.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(3000);
/// After so long without a poll GitHub deletes a set.
/// <https://github.com/actions/actions-runner-controller/blob/master/docs/adrs/2022-10-27-runnerscaleset-lifetime.md>
pub(crate) const SET_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How every secret of a queue begins.
const QUEUE_SECRET: &str = "PLANTEDQUEUETOKEN";
/// The runner group of sets that name none.
const DEFAULT_GROUP: &str = "default";

/// Every set, and the jobs that they have.
#[derive(Default)]
pub(crate) struct ScaleSets {
    pub(crate) all: BTreeMap<u64, Set>,
    /// By the job's number.
    pub(crate) jobs: BTreeMap<u64, SetJob>,
    n_made: u64,
    has_foreign: bool,
}

/// A set.
pub(crate) struct Set {
    pub(crate) id: u64,
    pub(crate) target: String,
    group: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeSet<String>,
    /// The pool that it was made for; `None` for somebody else's.
    pub(crate) pool: Option<String>,
    /// Its jobs wait until the listener acquires them, as on an Enterprise Server.
    pub(crate) acquires: bool,
    pub(crate) session: Option<Session>,
    /// When it was last polled, or made.
    polled_at: Timestamp,
    messages: VecDeque<Message>,
    /// What the next messages say, and from when.
    events: Vec<(Timestamp, JobEvent)>,
    /// When a message is due without any event, because the last statistics were wrong.
    corrects_at: Option<Timestamp>,
    /// The statistics that were last given.
    given: JobStatistics,
}

/// The session of a set.
pub(crate) struct Session {
    pub(crate) id: String,
    token: String,
    token_until: Timestamp,
    /// Invocations whose poll is under way.
    polling: BTreeSet<u64>,
    /// When the last poll ended.
    polled_until: Timestamp,
    /// What the last poll announced.
    pub(crate) capacity: Option<u32>,
}

struct Message {
    id: u64,
    statistics: Option<JobStatistics>,
    events: Vec<JobEvent>,
    delivered_at: Option<Timestamp>,
}

/// The text without the secrets of queues: the state table may keep those.
pub(crate) fn without_queue_secrets(text: &str) -> String {
    text.replace(QUEUE_SECRET, "")
}

fn no(operation: &str, kind: ErrorKind, code: &str, message: &str) -> RemoteCallError {
    refuse(RemoteService::GitHub, operation, kind, code, message)
}

impl Session {
    fn queue(&self) -> MessageQueue {
        let url = format!("https://broker.actions.githubusercontent.com/{}?key={QUEUE_SECRET}", self.id);
        MessageQueue { url: Secret::new(url), token: Secret::new(self.token.clone()) }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.polling.is_empty() && now.since(self.polled_until) >= SESSION_KEPT
    }
}

impl ScaleSets {
    fn number(&mut self) -> u64 {
        self.n_made += 1;
        self.n_made
    }

    /// The set of a pool.
    pub(crate) fn of_pool(&self, pool: &str) -> Option<&Set> {
        self.all.values().find(|set| set.pool.as_deref() == Some(pool))
    }
}

impl World {
    fn make_set(&mut self, target: &str, group: Option<&str>, name: &str, labels: BTreeSet<String>) -> u64 {
        let own = |text: &str| text.starts_with("ghr-").then(|| text.to_owned());
        let pool = labels.iter().find_map(|label| own(label)).or_else(|| own(name));
        let (id, acquires) = (self.scale_sets.number(), self.chance.bool());
        let set = Set {
            id,
            target: target.to_owned(),
            group: group.unwrap_or(DEFAULT_GROUP).to_owned(),
            name: name.to_owned(),
            labels,
            pool,
            acquires,
            session: None,
            polled_at: self.now,
            messages: VecDeque::new(),
            events: Vec::new(),
            corrects_at: None,
            given: JobStatistics::default(),
        };
        self.scale_sets.all.insert(id, set);
        id
    }

    fn set_named(&self, target: &str, group: Option<&str>, name: &str) -> Option<u64> {
        let group = group.unwrap_or(DEFAULT_GROUP);
        let is_it = |set: &&Set| set.target == target && set.group == group && set.name == name;
        self.scale_sets.all.values().find(is_it).map(|set| set.id)
    }

    pub(crate) fn find_set(&mut self, target: &GitHubTarget, group: Option<&str>, name: &str) -> Option<ScaleSet> {
        let target = target.scope.api_prefix();
        if self.script.has_foreign_set && !self.scale_sets.has_foreign && !name.starts_with("ghr-") {
            // Somebody else has a set of just this name.
            self.scale_sets.has_foreign = true;
            let id = self.make_set(&target, group, name, BTreeSet::from(["gpu".to_owned()]));
            self.scale_sets.all.get_mut(&id).unwrap().pool = None;
        }
        let id = self.set_named(&target, group, name)?;
        Some(self.observed_set(id))
    }

    fn observed_set(&self, id: u64) -> ScaleSet {
        let set = &self.scale_sets.all[&id];
        ScaleSet {
            id,
            name: set.name.clone(),
            group_id: 1,
            labels: set.labels.clone(),
            statistics: Some(self.statistics(id)),
        }
    }

    pub(crate) fn create_set(&mut self, target: &GitHubTarget, request: &ScaleSetRequest) -> RemoteResult<ScaleSet> {
        let target = target.scope.api_prefix();
        let group = request.group.as_deref();
        if self.set_named(&target, group, &request.name).is_some() {
            self.occur("transition", "name of a scale set taken");
            let message = "A runner scale set of this name exists. Specify another RunnerScaleSetName";
            let operation = "POST runnerscalesets";
            return Err(no(operation, ErrorKind::Conflict, "RunnerScaleSetExistsException", message));
        }
        let id = self.make_set(&target, group, &request.name, request.labels.clone());
        self.trace(|| format!("scale set {id} {}", request.name));
        Ok(self.observed_set(id))
    }

    /// Refused while a job runs in it.
    pub(crate) fn delete_set(&mut self, id: u64) -> ScaleSetDeletion {
        if !self.scale_sets.all.contains_key(&id) {
            return ScaleSetDeletion::Missing;
        }
        let is_running =
            |runner: &crate::github::Runner| runner.scale_set == Some(id) && self.github.runs_job(runner).is_some();
        if self.github.runners.values().any(is_running) {
            self.occur("transition", "deletion refused for a busy scale set");
            return ScaleSetDeletion::Busy;
        }
        self.remove_set(id);
        ScaleSetDeletion::Deleted
    }

    /// Its runners go with it, and its waiting jobs back to the queue.
    fn remove_set(&mut self, id: u64) {
        self.wake_pollers(id);
        self.scale_sets.all.remove(&id);
        let jobs = std::mem::take(&mut self.scale_sets.jobs);
        let (gone, kept) = jobs.into_iter().partition(|(_, job): &(u64, SetJob)| job.set == id);
        self.scale_sets.jobs = kept;
        if self.release_jobs(&gone) > 0 {
            self.occur("transition", "jobs of a deleted scale set went back to the queue");
        }
        self.github.runners.retain(|_, runner| runner.scale_set != Some(id));
        self.trace(|| format!("scale set {id} is gone"));
    }

    /// How many of these jobs wait again for whoever takes them.
    fn release_jobs(&mut self, gone: &BTreeMap<u64, SetJob>) -> usize {
        let mut n_released = 0;
        for job in gone.keys() {
            let Some(job) = self.github.jobs.get_mut(job) else { continue };
            if matches!(job.state, JobState::Queued | JobState::Dispatched { .. }) {
                job.state = JobState::Queued;
                n_released += 1;
            }
        }
        n_released
    }

    pub(crate) fn open_session(&mut self, id: u64) -> SessionOpening {
        let now = self.now;
        let Some(set) = self.scale_sets.all.get(&id) else { return SessionOpening::NoSuchSet };
        if set.session.as_ref().is_some_and(|session| !session.is_over(now)) {
            self.occur("transition", "session conflict");
            return SessionOpening::Conflict;
        }
        let session = Session {
            id: format!("session-{id}-{}", self.hex(8)),
            token: format!("{QUEUE_SECRET}{}.", self.hex(8)),
            token_until: now + self.token_lifetime(),
            polling: BTreeSet::new(),
            polled_until: now,
            capacity: None,
        };
        let opened = MessageSession { id: session.id.clone(), queue: session.queue() };
        let set = self.scale_sets.all.get_mut(&id).unwrap();
        set.session = Some(session);
        set.messages.clear();
        set.events.retain(|(at, _)| *at > now);
        self.offer_again(id);
        self.trace(|| format!("{} is open", opened.id));
        let statistics = self.given_statistics(id);
        SessionOpening::Opened { session: opened, statistics }
    }

    /// The documented time, or less: GitHub promises none.
    fn token_lifetime(&mut self) -> Duration {
        if !self.is_calm && self.once_in(3) { self.between(240_000, 1_800_000) } else { TOKEN_LIFETIME }
    }

    pub(crate) fn renew_session(&mut self, id: u64, session: &str) -> Option<MessageSession> {
        let (is_forgotten, lifetime) = (!self.is_calm && self.once_in(8), self.token_lifetime());
        let (token, now) = (format!("{QUEUE_SECRET}{}.", self.hex(8)), self.now);
        let known = self.scale_sets.all.get_mut(&id)?.session.as_mut().filter(|known| known.id == session)?;
        if is_forgotten {
            self.end_session(id);
            self.occur("transition", "session forgotten at its renewal");
            return None;
        }
        (known.token, known.token_until) = (token, now + lifetime);
        let renewed = MessageSession { id: known.id.clone(), queue: known.queue() };
        self.occur("transition", "session renewed");
        Some(renewed)
    }

    pub(crate) fn expire_queue_token(&mut self, id: u64) {
        let now = self.now;
        if let Some(session) = self.scale_sets.all.get_mut(&id).and_then(|set| set.session.as_mut()) {
            session.token_until = now;
        }
    }

    pub(crate) fn close_session(&mut self, id: u64, session: &str) {
        let set = self.scale_sets.all.get(&id);
        if set.and_then(|set| set.session.as_ref()).is_some_and(|known| known.id == session) {
            self.end_session(id);
        }
    }

    fn end_session(&mut self, id: u64) {
        self.wake_pollers(id);
        self.scale_sets.all.get_mut(&id).unwrap().session = None;
    }

    /// Those who poll this set look again.
    fn wake_pollers(&mut self, id: u64) {
        let session = self.scale_sets.all[&id].session.as_ref();
        let polling = session.map(|session| session.polling.clone()).unwrap_or_default();
        for invocation in polling {
            self.schedule(self.now, Due::Wake(invocation));
        }
    }

    pub(crate) fn create_set_runner(&mut self, target: &GitHubTarget, id: u64, name: &str) -> RemoteResult<JitRunner> {
        const OPERATION: &str = "POST generatejitconfig";
        let target = target.scope.api_prefix();
        let Some(pool) = self.scale_sets.all.get(&id).map(|set| set.pool.clone()) else {
            let message = "The runner scale set does not exist. Create it again";
            return Err(no(OPERATION, ErrorKind::NotFound, "RunnerScaleSetNotFoundException", message));
        };
        if self.github.runners.values().any(|runner| runner.target == target && runner.name == name) {
            self.occur("transition", "name of a scale set's runner taken");
            return Ok(JitRunner::NameTaken);
        }
        // REST lists it without labels: <https://github.com/actions/actions-runner-controller/issues/4425>
        let runner = self.github.register(&target, name, BTreeSet::new(), pool, true);
        let task = self.ecs.tasks.values().find(|task| name.ends_with(&format!("-{}", task.short_id())));
        let task = task.map(|task| task.arn.clone());
        let made = self.github.runners.get_mut(&runner).unwrap();
        (made.is_online, made.task, made.scale_set) = (false, task, Some(id));
        self.note(&Fact::RunnerCreated { runner });
        Ok(JitRunner::Registered { id: runner, files: jit_files(runner) })
    }

    pub(crate) fn find_set_runner(&self, target: &GitHubTarget, name: &str) -> Option<ScaleSetRunner> {
        let target = target.scope.api_prefix();
        let found = self.github.runners.values().find(|runner| runner.target == target && runner.name == name)?;
        Some(ScaleSetRunner { id: found.id, name: found.name.clone(), scale_set: found.scale_set })
    }

    /// An organization gets another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        self.github.rename(from, to);
        let (from, to) = (format!("/orgs/{from}"), format!("/orgs/{to}"));
        for set in self.scale_sets.all.values_mut().filter(|set| set.target == from) {
            set.target.clone_from(&to);
        }
    }

    /// Everything of scale sets that happens by itself.
    pub(crate) fn scale_sets_step(&mut self) {
        let now = self.now;
        for id in self.scale_sets.all.keys().copied().collect::<Vec<_>>() {
            let set = &self.scale_sets.all[&id];
            if set.session.as_ref().is_some_and(|session| session.is_over(now)) {
                self.end_session(id);
                self.occur("transition", "session expired");
            }
            if now.since(self.scale_sets.all[&id].polled_at) >= SET_KEPT {
                self.remove_set(id);
                self.occur("transition", "scale set deleted by GitHub");
            }
        }
        self.set_jobs_step();
        for id in self.scale_sets.all.keys().copied().collect::<Vec<_>>() {
            self.messages_step(id);
        }
    }
}
