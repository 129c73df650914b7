//! How a runner registers through the function: what its task asks for, what the function answers, and the claim that
//! makes it one registration for a task, ever.
//!
//! A job can read everything that its container ever had, so the container never gets a credential that administers
//! runners. Its answer is valid for one runner.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pool::model::ecs::SHORT_TASK_ID_DIGITS;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{PoolSpec, RegisterBy};
use crate::pool::model::time::Timestamp;

/// The format of a claim. One of another format was written by another version of the function.
const CLAIM_FORMAT: u16 = 1;

/// How long a claim is kept: far longer than a task may ask, which is half an hour from its start.
const CLAIM_TTL: Duration = Duration::from_secs(86_400);

/// The settings with which a pool's runners are registered, as its task definition stores them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationSettings {
    /// The prefix of the runners' names, the pool's digits included.
    pub name_prefix: String,
    /// `RunnerName`.
    pub fixed_name: Option<String>,
    /// The template's labels and the pool's own.
    pub labels: Vec<String>,
    /// The runner group.
    pub group: Option<String>,
    /// The folder below which each runner has its own.
    pub workdir_root: String,
    /// One job, then gone.
    pub ephemeral: bool,
    /// Whether the runner leaves updates of itself to the image.
    pub disable_auto_update: bool,
    /// Whether `self-hosted`, the operating system and the architecture are left off.
    pub no_default_labels: bool,
}

impl RegistrationSettings {
    /// The settings of a pool whose runners register through the function.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Option<Self> {
        let runner = &spec.runner;
        (spec.credentials.register_by == RegisterBy::Function).then(|| Self {
            name_prefix: id.runner_name_prefix(spec),
            fixed_name: runner.name.clone(),
            labels: runner.labels.iter().cloned().chain([id.as_str().to_owned()]).collect(),
            group: runner.group.clone(),
            workdir_root: runner.workdir.clone(),
            ephemeral: runner.ephemeral,
            disable_auto_update: runner.disable_auto_update,
            no_default_labels: runner.no_default_labels,
        })
    }

    /// The name of the runner in a task.
    #[must_use]
    pub fn runner_name(&self, task: &TaskArn) -> String {
        self.fixed_name.clone().unwrap_or_else(|| format!("{}-{}", self.name_prefix, task.short_id()))
    }

    /// The work folder of a runner.
    #[must_use]
    pub fn workdir(&self, runner_name: &str) -> String {
        format!("{}/{runner_name}", self.workdir_root.trim_end_matches('/'))
    }

    /// Every label of a runner, those that GitHub's own configuration adds included.
    #[must_use]
    pub fn all_labels(&self, architecture: Option<Architecture>) -> Vec<String> {
        let default_labels = (!self.no_default_labels)
            .then(|| ["self-hosted", "Linux"].into_iter().chain(architecture.map(Architecture::label)));
        default_labels.into_iter().flatten().map(str::to_owned).chain(self.labels.iter().cloned()).collect()
    }

    /// Whether a just-in-time configuration fits: it is for one job, and its name must be free.
    #[must_use]
    pub const fn is_just_in_time(&self) -> bool {
        self.ephemeral && self.fixed_name.is_none()
    }
}

/// A processor architecture, by GitHub's label for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    X64,
    /// 64-bit Arm.
    Arm64,
}

impl Architecture {
    /// By the machine's name for it, as `uname -m` prints it.
    #[must_use]
    pub fn of_machine(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X64),
            "aarch64" | "arm64" => Some(Self::Arm64),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::X64 => "X64",
            Self::Arm64 => "ARM64",
        }
    }
}

/// The ARN of a task, in the form that names the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskArn {
    arn: String,
    cluster: String,
    id: String,
}

impl TaskArn {
    /// Reads `arn:PARTITION:ecs:REGION:ACCOUNT:task/CLUSTER/ID`.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let is_of_ecs = parts.next() == Some("arn") && parts.nth(1) == Some("ecs");
        let (cluster, id) = parts.nth(2)?.strip_prefix("task/")?.split_once('/')?;
        let is_id = id.len() >= SHORT_TASK_ID_DIGITS && id.chars().all(|c| c.is_ascii_hexdigit());
        (is_of_ecs && !cluster.is_empty() && is_id).then(|| Self {
            arn: arn.to_owned(),
            cluster: cluster.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The digits with which its runner's name ends.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..SHORT_TASK_ID_DIGITS).unwrap_or(&self.id)
    }
}

/// The request that a container put into the registrations table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationRequest {
    /// The table's key: `ROLEID:TASKID`. IAM lets a task write under its own only.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>
    pub key: String,
    /// The task that it says it is.
    pub task_arn: String,
    /// From 1, one more each time that the container asks.
    pub attempt: u64,
    /// What it runs on.
    pub architecture: Option<Architecture>,
}

impl RegistrationRequest {
    /// The task, if it is the one whose credentials wrote the request: the session name of a task's role is the task's
    /// id.
    #[must_use]
    pub fn task(&self) -> Option<TaskArn> {
        let (_, session_name) = self.key.split_once(':')?;
        TaskArn::parse(&self.task_arn).filter(|task| task.id() == session_name)
    }
}

/// The answer that the container finds under its key, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RegistrationAnswer {
    /// A just-in-time configuration.
    Jit {
        /// The runner's name.
        name: String,
        /// Its work folder.
        workdir: String,
        /// The files that configure it: name to content, base64.
        files: BTreeMap<String, Secret>,
    },
    /// A registration token, with what `config.sh` needs besides.
    Token {
        /// The runner's name.
        name: String,
        /// Its work folder.
        workdir: String,
        /// Where it registers.
        url: String,
        /// Valid for an hour.
        token: Secret,
        /// Its labels, with commas.
        labels: String,
        /// Its runner group.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// `--ephemeral`.
        ephemeral: bool,
        /// `--disableupdate`.
        disable_update: bool,
        /// `--no-default-labels`.
        no_default_labels: bool,
    },
    /// No registration.
    Refused(Refusal),
}

/// Why a container gets no registration. Its log prints this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is wrong and what to do.
    pub message: String,
    /// Whether a later request may succeed.
    pub retry: bool,
}

impl RegistrationAnswer {
    /// The JSON text. It may hold a registration.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        // Strings and booleans: nothing in here can fail to serialize.
        Secret::new(serde_json::to_string(self).unwrap_or_default())
    }
}

/// The claim on the registration of a task's runner: an item of the state table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationClaim {
    format: u16,
    /// Its state.
    pub state: ClaimState,
    /// The attempt of the container that it was taken for.
    pub attempt: u64,
    /// When it was written.
    pub at: Timestamp,
}

/// The state of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimState {
    /// An invocation asks GitHub for it, or ended while it did.
    Minting,
    /// It exists, and the task gets no other.
    Made,
    /// It was not made. What an unclear outcome may have left at GitHub is removed before the next attempt.
    Released,
    /// The task is stopped because it has no runner, and gets none any more.
    Withdrawn,
}

impl RegistrationClaim {
    /// A claim written now.
    #[must_use]
    pub const fn new(state: ClaimState, attempt: u64, now: Timestamp) -> Self {
        Self { format: CLAIM_FORMAT, state, attempt, at: now }
    }

    /// The key of a task's claim in the state table.
    #[must_use]
    pub fn key(task: &TaskArn) -> String {
        format!("registration#{}", task.as_str())
    }

    /// When its item expires.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.at + CLAIM_TTL
    }

    /// The item's text.
    #[must_use]
    pub fn to_record(&self) -> String {
        // Numbers and enums: nothing in here can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads an item. What cannot be read counts as made: a task without a runner ends and is replaced, while a second
    /// registration could not be taken back.
    #[must_use]
    pub fn from_record(text: &str) -> Self {
        serde_json::from_str::<Self>(text).ok().filter(|claim| claim.format == CLAIM_FORMAT).unwrap_or(Self {
            format: 0,
            state: ClaimState::Made,
            attempt: 0,
            at: Timestamp::from_epoch_millis(0),
        })
    }
}

/// A claim as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedClaim {
    /// What it says.
    pub claim: RegistrationClaim,
    /// How often it has been written: the fencing token.
    pub version: u64,
}
