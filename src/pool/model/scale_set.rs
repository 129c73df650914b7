//! Runner scale sets: what GitHub says of the jobs and runners of a pool that has as many runners as jobs.
//!
//! <https://github.com/actions/scaleset>

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::PoolSpec;

/// A runner scale set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSet {
    /// GitHub's id of it.
    pub id: u64,
    /// Its name, unique within its runner group.
    pub name: String,
    /// The id of its runner group.
    pub group_id: u64,
    /// What `runs-on` may name. GitHub does not change the labels of a set that exists.
    pub labels: BTreeSet<String>,
    /// Its statistics, where GitHub adds them.
    pub statistics: Option<JobStatistics>,
}

/// A scale set that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleSetRequest {
    /// Its name.
    pub name: String,
    /// Its runner group; `None` for the default one.
    pub group: Option<String>,
    /// All of its labels, its name among them.
    pub labels: BTreeSet<String>,
    /// Whether its runners leave updates of themselves to the image.
    pub disable_auto_update: bool,
}

impl ScaleSetRequest {
    /// The set of the pool that `spec` describes, if it has one. The architecture is not among its labels: it would have
    /// to be known before the first instance.
    #[must_use]
    pub fn of(id: &PhysicalId, spec: &PoolSpec) -> Option<Self> {
        let job_scaling = spec.job_scaling.as_ref()?;
        let runner = &spec.runner;
        let name = job_scaling.scale_set_name.clone().unwrap_or_else(|| id.as_str().to_owned());
        let default_labels = (!runner.no_default_labels).then_some(["self-hosted", "Linux"]);
        let labels = default_labels.into_iter().flatten().map(str::to_owned).chain(runner.labels.iter().cloned());
        Some(Self {
            labels: labels.chain([id.as_str().to_owned(), name.clone()]).collect(),
            group: runner.group.clone(),
            disable_auto_update: runner.disable_auto_update,
            name,
        })
    }
}

impl ScaleSet {
    /// Whether it was made for this pool: it carries the pool's label. A server that drops labels leaves the name, which
    /// proves it where it is the pool's own.
    #[must_use]
    pub fn is_of(&self, id: &PhysicalId) -> bool {
        self.name == id.as_str() || self.labels.iter().any(|label| label.eq_ignore_ascii_case(id.as_str()))
    }
}

/// How many jobs and runners a scale set has. Scaling goes by [`JobStatistics::assigned`], which counts running jobs as
/// well, and never by counting messages: <https://github.com/actions/scaleset#readme>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatistics {
    /// Jobs that wait until the listener acquires them.
    pub available: u32,
    /// Jobs that the listener has acquired.
    pub acquired: u32,
    /// Jobs that GitHub has assigned to the set, those that run included.
    pub assigned: u32,
    /// Jobs that run.
    pub running: u32,
    /// Runners that are registered.
    pub registered_runners: u32,
    /// Runners with a job.
    pub busy_runners: u32,
    /// Runners that are online without one.
    pub idle_runners: u32,
}

/// Where the messages of a session are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageQueue {
    /// The address, which GitHub chooses. Its query may authorize.
    pub url: Secret,
    /// Authorizes to this one queue, for about 50 minutes.
    pub token: Secret,
}

/// The session of a scale set's listener. A set has one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSession {
    /// GitHub's id of it.
    pub id: String,
    /// Its queue.
    pub queue: MessageQueue,
}

/// One message of a queue, until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSetMessage {
    /// Its number; the next one is higher.
    pub id: u64,
    /// The set as it was when the message was made.
    pub statistics: Option<JobStatistics>,
    /// What has happened to jobs.
    pub events: Vec<JobEvent>,
}

/// What has happened to a job. Events that are of no known kind are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// It waits to be acquired, by this number.
    Available {
        /// The number by which it is acquired.
        request_id: i64,
    },
    /// GitHub has assigned it to the set.
    Assigned,
    /// A runner has begun with it.
    Started {
        /// The runner's name.
        runner: String,
    },
    /// It is over, or its assignment is.
    Completed {
        /// The runner's name; `None` if no runner had it.
        runner: Option<String>,
    },
}

/// A runner by what GitHub's scale-set service says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSetRunner {
    /// GitHub's id of it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The set that it belongs to; `None` for a runner that belongs to none.
    pub scale_set: Option<u64>,
}
