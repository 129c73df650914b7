//! State that one invocation keeps between its observations.

use std::collections::BTreeMap;

use super::ports::Credential;
use super::runner_logs::LogPlaces;
use crate::pool::model::observed::Observed;

/// The names of runners that are known to belong to a runner scale set, with GitHub's ids of them.
pub type KnownMembers = BTreeMap<String, u64>;

/// The state of an invocation in addition to its continuation, such as the last observation and the value of the
/// credential.
#[derive(Debug, Default)]
pub struct Session {
    /// The last observation. An observation with a narrower scope updates a part of it.
    pub observed: Observed,
    pub(super) credential: Option<Credential>,
    /// Whether the last observation listed the tasks, so that the next one can build on that list.
    pub(super) has_listed_tasks: bool,
    pub(super) ec2_checked: bool,
    pub(super) capacity_checked: bool,
    /// Whether the other pools of the resource have been searched for another way to access GitHub.
    pub(super) other_pools_checked: bool,
    pub(super) log_places: LogPlaces,
    pub(super) members: KnownMembers,
    /// The ARN or name by which the function invokes itself.
    pub(super) function: String,
}

impl Session {
    /// Creates the session of an invocation; `function` is the ARN or name of this function.
    #[must_use]
    pub fn of(function: &str) -> Self {
        Self { function: function.to_owned(), ..Self::default() }
    }

    /// Drops a credential that GitHub rejected, so that the next observation reads it again.
    pub(super) fn forget_credential(&mut self) {
        self.credential = None;
    }

    /// The credential for a call outside an observation.
    #[must_use]
    pub const fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }
}
