//! The intent of one request, and the moments that no later look can see: all that is carried along.
//!
//! No step counter and no cached state. Losing a continuation and redelivering its event ends in the same place, only
//! later: whatever can be seen again is looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decision::{Moment, Outcome};
use super::evidence::DeletionEvidence;
use super::identity::{Origin, PhysicalId};
use super::log_memory::LogMemory;
use super::observed::{GitHubView, Observed, Protection, Rollout, Task, TaskPhase};
use super::pairing::{Behind, runner_behind};
use super::record::{PoolRecord, Reach};
use super::refusal::Refusal;
use super::retirement::REGISTRATION_GRACE;
use super::secret::Secret;
use super::spec::{Manners, PoolSpec};
use super::time::Timestamp;

/// The format of stored bytes. Raised with every field that is added; each older one stays readable, since a field that
/// it lacks has a default.
pub const FORMAT: u16 = 4;

/// Invocations of one request. An hour is five of fourteen minutes; Lambda's loop detection, should it be on, ends a
/// chain at about sixteen.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>
pub const HOPS_MAX: u32 = 10;

/// The longest pause between two readings of GitHub's list that count as one watch, where the poll interval does not ask
/// for more: three polls at the default. What a runner did in a longer one is not known, so that its window begins anew.
/// Lambda delivers the event of a killed invocation again after minutes, with the moments that were carried along before.
const READING_GAP_MAX: Duration = Duration::from_secs(30);

/// The longest pause between two readings of GitHub's list that count as one watch, at this poll interval.
#[must_use]
pub(super) fn reading_gap_max(poll: Duration) -> Duration {
    READING_GAP_MAX.max(poll.saturating_mul(3))
}

/// A request on its way to an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// The pool.
    pub id: PhysicalId,
    /// What is to become of it.
    pub goal: Goal,
    /// When CloudFormation signed the request: its patience is counted from here.
    pub accepted_at: Timestamp,
    /// The moment by which an answer must be on its way.
    pub answer_by: Timestamp,
    /// How often it was handed on.
    pub hops: u32,
    /// The version of the record by which this invocation has the turn ([`super::succession`]). Never handed on: each
    /// invocation takes the turn for itself.
    #[serde(skip)]
    pub turn: Option<u64>,
    /// What was noticed on the way.
    pub memory: Memory,
}

/// What one invocation hands to the next. Who is to be answered stands apart from the rest, so that even a rest from a
/// newer version leads to an answer.
#[derive(Serialize, Deserialize)]
struct Envelope {
    #[serde(rename = "GitHubRunnerPoolContinuation")]
    format: u16,
    request: Request,
    id: String,
    rest: Value,
}

/// An event, read as a continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandedOn {
    /// It goes on from here.
    Readable(Box<Continuation>),
    /// It is one, and this version cannot read it.
    Unreadable {
        /// Who is to be told.
        request: Request,
        /// The pool.
        id: String,
    },
}

/// Who asked, and where the answer goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What was asked for.
    #[serde(default)]
    pub request_type: RequestType,
    /// CloudFormation's id of the request, echoed in the answer.
    pub request_id: String,
    /// The resource.
    pub origin: Origin,
    /// The pre-signed URL: whoever has it can answer in our name.
    pub response_url: Secret,
}

/// What CloudFormation asks for, in its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestType {
    /// A resource.
    Create,
    /// A change of one.
    Update,
    /// Its end.
    Delete,
    /// Something that nobody knows, or that an older version did not note.
    #[default]
    Unknown,
}

impl RequestType {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is to become of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Create and Update: it is as its template says.
    Present(Box<Present>),
    /// Delete: nothing of it is left.
    Absent(Box<Absent>),
}

/// The goal of a Create or an Update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The template's wish.
    pub spec: PoolSpec,
    /// Keys of tags that the template had before this request, so that those it dropped can be removed.
    pub former_tags: BTreeSet<String>,
    /// `RunnerName` of the template before this request: a runner of that name may still work.
    pub former_runner_name: Option<String>,
    /// Whether GitHub is asked, before anything is changed, if it would let runners register: on Create, and on an
    /// Update that touches credentials or the runner group.
    pub preflight: Preflight,
    /// Whether the template wants anything new.
    #[serde(default)]
    pub wish: Wish,
    /// The pool that the properties before this request describe, where the physical id names the one that they ask for
    /// now: that of a replacement which was cancelled in favour of this one.
    #[serde(default)]
    pub former_pool: Option<FormerPool>,
}

/// A pool that `OldResourceProperties` describe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerPool {
    /// Its id.
    pub id: PhysicalId,
    /// How to reach it.
    pub record: Option<PoolRecord>,
    /// How patient to be with its runners.
    pub manners: Manners,
}

/// What the template wants, beside what it wanted before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Something else: every Create, and an Update that changes anything of the pool but how patient to be.
    #[default]
    Changed,
    /// The same pool.
    Unchanged,
}

/// Whether to ask GitHub for permission first. Asking is a write at GitHub, so an unchanged pool does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preflight {
    /// Ask.
    Ask,
    /// Trust what the pool already runs on.
    Skip,
}

/// The goal of a Delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Why the pool may be taken down.
    pub evidence: DeletionEvidence,
    /// How to reach the pool, as far as the properties tell; its task definition tells otherwise.
    pub record: Option<PoolRecord>,
    /// How patient to be.
    pub manners: Manners,
    /// The physical id that CloudFormation sent, and hears again, where it is not the pool's.
    #[serde(default)]
    pub sent_id: Option<String>,
    /// What is to be answered of the pool that stays, where this one is the rest of a cancelled replacement.
    #[serde(default)]
    pub kept: Option<Outcome>,
    /// What is to be said of the pools that were taken down before this one.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Those pools: their own Deletes, which failed, may have left records.
    #[serde(default)]
    pub others: Vec<PhysicalId>,
}

impl Absent {
    /// The Delete of one pool alone.
    #[must_use]
    pub const fn alone(
        evidence: DeletionEvidence,
        record: Option<PoolRecord>,
        manners: Manners,
        sent_id: Option<String>,
    ) -> Self {
        Self { evidence, record, manners, sent_id, kept: None, notes: Vec::new(), others: Vec::new() }
    }
}

impl HandedOn {
    /// Reads an event; `None` if it is no continuation.
    #[must_use]
    pub fn read(event: &Value) -> Option<Self> {
        let envelope = Envelope::deserialize(event).ok()?;
        let readable = if envelope.format <= FORMAT { serde_json::from_value(envelope.rest).ok() } else { None };
        Some(match readable {
            Some(held) => Self::Readable(held),
            None => Self::Unreadable { request: envelope.request, id: envelope.id },
        })
    }
}

impl Continuation {
    /// The event that lets another invocation go on from here. Holds the response URL.
    #[must_use]
    pub fn to_event(&self) -> Vec<u8> {
        let envelope = Envelope {
            format: FORMAT,
            request: self.request.clone(),
            id: self.id.as_str().to_owned(),
            // Strings, numbers and maps with string keys: nothing in here can fail to serialize.
            rest: serde_json::to_value(self).unwrap_or_default(),
        };
        serde_json::to_vec(&envelope).unwrap_or_default()
    }

    /// How to reach the pool: from the template, or from what the pool itself tells.
    #[must_use]
    pub fn record(&self, seen: &Observed) -> Option<PoolRecord> {
        match &self.goal {
            Goal::Present(present) => {
                let mut record = PoolRecord::of(&self.id, &present.spec);
                record.mark.fixed_names.extend(present.former_runner_name.clone());
                Some(record)
            }
            // What the pool tells is what was built, whatever has become of the template since; only what leads to GitHub
            // may have another name by now.
            Goal::Absent(absent) => {
                let record = self.told(seen).or_else(|| absent.record.clone())?;
                Some(match self.memory.reach.clone() {
                    Some(reach) => reach.of(record),
                    None => record,
                })
            }
        }
    }

    fn told(&self, seen: &Observed) -> Option<PoolRecord> {
        let newest = seen.task_definition.as_ref().filter(|revision| self.id.owns(&revision.tags))?;
        PoolRecord::from_label(newest.record.as_deref()?)
    }

    /// The physical id to answer with.
    #[must_use]
    pub fn answered_id(&self) -> &str {
        match &self.goal {
            Goal::Present(_) => self.id.as_str(),
            Goal::Absent(absent) => absent.sent_id.as_deref().unwrap_or(self.id.as_str()),
        }
    }

    /// The pool that the stack holds while this one is worked on: another one where this is nobody's any more.
    #[must_use]
    pub fn held_pool(&self) -> &str {
        let Goal::Absent(absent) = &self.goal else { return self.id.as_str() };
        absent.kept.as_ref().and(absent.sent_id.as_deref()).unwrap_or(self.id.as_str())
    }

    /// Takes in what an effect told.
    pub fn note_applied(&mut self, applied: Applied, now: Timestamp) {
        match applied {
            Applied::TurnTaken { version } => self.turn = Some(version),
            Applied::TurnReleased | Applied::TurnGivenUp => self.turn = None,
            told @ (Applied::Done
            | Applied::Deregistered { .. }
            | Applied::GhostRemoved
            | Applied::FoundBusy { .. }
            | Applied::Protected { .. }
            | Applied::Unprotected { .. }
            | Applied::Denied { .. }
            | Applied::ServiceCreated
            | Applied::GroupUpdated
            | Applied::ProviderUpdated
            | Applied::DrainAsked { .. }
            | Applied::CutOff) => self.memory.note_applied(told, now),
        }
    }

    /// How patient to be.
    #[must_use]
    pub fn manners(&self) -> &Manners {
        match &self.goal {
            Goal::Present(present) => &present.spec.manners,
            Goal::Absent(absent) => &absent.manners,
        }
    }
}

/// Moments, and answers of GitHub, that the next look cannot see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// When runners were first waited for to come online.
    pub online_awaited_since: Option<Timestamp>,
    /// Deployments that ECS had given up before this request, by id; `None` before the service was first seen.
    pub given_up_before: Option<BTreeSet<String>>,
    /// When runners were first told to leave.
    pub drain_began: Option<Timestamp>,
    /// When this request took over from one that had not been answered, whose event may still be delivered again.
    pub interrupted_at: Option<Timestamp>,
    /// When registrations were first found that outlived their tasks.
    pub leftovers_since: Option<Timestamp>,
    /// When the last reading of GitHub's list ended.
    pub listed_at: Option<Timestamp>,
    /// Per runner, since when every reading called it idle.
    pub idle_since: BTreeMap<u64, Timestamp>,
    /// Per runner, since when every reading called it offline.
    pub offline_since: BTreeMap<u64, Timestamp>,
    /// Per runner, by short id or fixed name, when GitHub let us delete it.
    pub deregistered_at: BTreeMap<String, Timestamp>,
    /// Per task, by ARN, since when it has been running with no runner of its own on GitHub's list.
    pub silent_since: BTreeMap<String, Timestamp>,
    /// Those of them, by ARN, that had no protection from scale-in when they were first found so, and no runner before: no
    /// request has deleted their runners, since a runner's task is protected before that.
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
    pub drain_asked: BTreeSet<String>,
    /// Registrations without a task that were removed.
    pub n_ghosts_removed: u32,
    /// Runners whose jobs were waited for, by name.
    pub waited_for: BTreeSet<String>,
    /// Jobs that were cut off because `DrainTimeout` had passed.
    pub n_cancelled: u32,
    /// The last refusal, for the Reason.
    pub last_refusal: Option<Refusal>,
    /// Refusals in a row.
    pub n_refusals: u32,
    /// Since when a service-linked role is waited for, by the service that it is for.
    pub role_awaited_since: BTreeMap<String, Timestamp>,
    /// Whether anything of the pool was ever there in which a runner may have been started.
    pub was_built: bool,
    /// How GitHub was found to be reached, where the pool's own record no longer leads to its runners.
    pub reach: Option<Reach>,
}

/// What an effect told, beside having happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing to remember.
    Done,
    /// This invocation has the turn, by this version of the record.
    TurnTaken {
        /// What Parameter Store counts.
        version: u64,
    },
    /// The request, or a newer one, was responded to before the turn could be taken.
    TurnGivenUp,
    /// The record is gone.
    TurnReleased,
    /// GitHub deleted the registration, or had none.
    Deregistered {
        /// The runner's short id, or its fixed name.
        key: String,
    },
    /// The same of a registration that has no task.
    GhostRemoved,
    /// GitHub refused to delete a runner: it has a job.
    FoundBusy {
        /// GitHub's id of it.
        runner: u64,
    },
    /// These tasks were to be protected, and all but these are.
    Protected {
        /// By ARN.
        asked: Vec<String>,
        /// ARN to reason.
        left_out: BTreeMap<String, String>,
    },
    /// The protection of these tasks was lifted.
    Unprotected {
        /// By ARN.
        tasks: Vec<String>,
    },
    /// IAM denied a call about these tasks. A role may bind the call to tags, and ECS deletes those of a task that ends.
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
    DrainAsked {
        /// By ARN.
        instance: String,
    },
    /// A task was stopped because the drain's time was over.
    CutOff,
}

impl Memory {
    /// Takes in a look: since when is each runner idle or offline, each task without one.
    pub fn note_look(&mut self, record: Option<&PoolRecord>, seen: &Observed, at: Moment) {
        let now = at.now;
        self.last_refusal = seen.refusal.clone().or(self.last_refusal.take());
        self.n_refusals = if seen.refusal.is_some() { self.n_refusals.saturating_add(1) } else { 0 };
        self.logs.note_look(seen, now);
        if let Some(service) = &seen.service {
            let given_up = service.deployments.iter().filter(|it| matches!(it.rollout, Rollout::Failed(_)));
            self.given_up_before.get_or_insert_with(|| given_up.map(|it| it.id.clone()).collect());
        }

        if let Some(role) = seen.refusal.as_ref().and_then(Refusal::missing_role) {
            self.role_awaited_since.entry(role.to_owned()).or_insert(now);
        }
        self.was_built |= seen.task_definition.is_some() || seen.service.is_some() || !seen.tasks.is_empty();
        if let Some(reach) = &seen.newer_reach {
            self.reach = Some(reach.clone());
        }

        let Some(record) = record else { return };
        self.denied_since.retain(|arn, _| seen.tasks.iter().any(|task| task.is_running() && task.arn == *arn));
        let GitHubView::Runners(runners) = &seen.github else {
            self.note_unlisted(record, seen);
            return;
        };
        let before = std::mem::take(&mut self.registered);
        let ours = || runners.iter().filter(|runner| record.mark.owns(runner));
        self.registered = ours().map(|runner| runner.name.clone()).collect();
        // A narrow look leaves the list as it was read before, which says nothing of the time since.
        if let Some(reading) = seen.github_read.filter(|reading| self.listed_at < Some(reading.ended_at)) {
            let before = self.listed_at.replace(reading.ended_at);
            if before.is_some_and(|before| reading.began_at.since(before) > reading_gap_max(at.poll)) {
                self.idle_since.clear();
                self.offline_since.clear();
            }
            let idle = ours().filter(|runner| !runner.is_busy).map(|runner| runner.id);
            carry(&mut self.idle_since, idle, reading.ended_at);
            let offline = ours().filter(|runner| !runner.is_online).map(|runner| runner.id);
            carry(&mut self.offline_since, offline, reading.ended_at);
        }

        let mut silent = Vec::new();
        for task in seen.tasks.iter().filter(|task| task.phase == TaskPhase::Running) {
            match runner_behind(&record.mark, runners, &seen.tasks, task) {
                Behind::Nobody => silent.push(task),
                // A runner whose log shows a job is watched again from the start, as one that GitHub calls busy.
                Behind::Runner(runner) if seen.logs.contains_key(&task.arn) && self.logs.busy(&task.arn).is_some() => {
                    self.idle_since.remove(&runner.id);
                }
                Behind::Runner(_) | Behind::Unclear => {}
            }
        }
        let is_new = |task: &&&Task| {
            let had_runner = |name: &String| {
                record.mark.fixed_names.contains(name) || task.short_id().is_some_and(|id| name.ends_with(id))
            };
            task.protection == Protection::Off
                && !self.silent_since.contains_key(&task.arn)
                && !before.iter().any(had_runner)
        };
        self.never_protected.extend(silent.iter().filter(is_new).map(|task| task.arn.clone()));
        carry(&mut self.silent_since, silent.iter().map(|task| task.arn.clone()), now);
        self.never_protected.retain(|arn| self.silent_since.contains_key(arn));

        let live: BTreeSet<&str> =
            seen.tasks.iter().filter(|task| task.is_live()).map(|task| task.arn.as_str()).collect();
        // A job may go on in a task whose runner is deleted: its protection is not lifted by a request that fails.
        let is_deregistered = |task: &Task| task.short_id().is_some_and(|id| self.deregistered_at.contains_key(id));
        let is_silent_for_long =
            |task: &Task| self.silent_since.get(&task.arn).is_some_and(|since| now.since(*since) >= REGISTRATION_GRACE);
        for task in seen.tasks.iter().filter(|task| is_deregistered(task) || is_silent_for_long(task)) {
            self.protected.remove(&task.arn);
        }
        self.protected.retain(|arn| live.contains(arn.as_str()));
        self.unprotectable.retain(|arn, _| live.contains(arn.as_str()));
    }

    /// Without a list, whoever has a task is held to be registered, by the end of the name that its container gives it.
    fn note_unlisted(&mut self, record: &PoolRecord, seen: &Observed) {
        let fixed = record.mark.fixed_names.iter().next();
        for short_id in seen.tasks.iter().filter(|task| task.is_live()).filter_map(Task::short_id) {
            if !self.registered.iter().any(|name| name.ends_with(short_id)) {
                let name = fixed.cloned().unwrap_or_else(|| format!("…-{}-{short_id}", record.mark.digits));
                self.registered.insert(name);
            }
        }
    }

    /// Takes in what an effect told.
    fn note_applied(&mut self, applied: Applied, now: Timestamp) {
        match applied {
            Applied::Done | Applied::TurnTaken { .. } | Applied::TurnGivenUp | Applied::TurnReleased => {}
            Applied::Deregistered { key } => {
                self.deregistered_at.insert(key, now);
            }
            Applied::GhostRemoved => self.n_ghosts_removed = self.n_ghosts_removed.saturating_add(1),
            Applied::FoundBusy { runner } => {
                self.idle_since.remove(&runner);
            }
            Applied::Protected { asked, left_out } => {
                for arn in asked {
                    self.denied_since.remove(&arn);
                    self.unprotectable.remove(&arn);
                    if !left_out.contains_key(&arn) {
                        self.protected.insert(arn);
                    }
                }
                self.unprotectable.extend(left_out);
            }
            Applied::Unprotected { tasks } => {
                for arn in tasks {
                    self.protected.remove(&arn);
                }
            }
            Applied::Denied { tasks } => {
                for arn in tasks {
                    self.denied_since.entry(arn).or_insert(now);
                }
            }
            Applied::ServiceCreated => self.n_services_created = self.n_services_created.saturating_add(1),
            Applied::GroupUpdated => {
                self.group_updated_at.get_or_insert(now);
            }
            Applied::ProviderUpdated => self.n_provider_updates = self.n_provider_updates.saturating_add(1),
            Applied::DrainAsked { instance } => {
                self.drain_asked.insert(instance);
            }
            Applied::CutOff => self.n_cancelled = self.n_cancelled.saturating_add(1),
        }
    }
}

/// Keeps the first moment of what is still so, forgets what is not, and starts what is new at `now`.
fn carry<K: Ord + Clone>(since: &mut BTreeMap<K, Timestamp>, still: impl Iterator<Item = K>, now: Timestamp) {
    let before = std::mem::take(since);
    since.extend(still.map(|key| {
        let first = before.get(&key).copied().unwrap_or(now);
        (key, first)
    }));
}
