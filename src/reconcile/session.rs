//! What one invocation keeps between its observations.

use std::collections::BTreeMap;

use super::ports::Credential;
use super::runner_logs::LogPlaces;
use crate::pool::model::observed::Observed;

/// The names of runners that are known to belong to a runner scale set, with GitHub's ids of them.
pub type KnownMembers = BTreeMap<String, u64>;

/// What an invocation knows in addition to its continuation: the last observation, and the credential that it read.
#[derive(Debug, Default)]
pub struct Session {
    /// The last observation; a narrower one brings part of it up to date.
    pub observed: Observed,
    pub(super) credential: Option<Credential>,
    /// Whether the tasks were listed last time, so that the next one may rest on it.
    pub(super) has_listed_tasks: bool,
    pub(super) ec2_checked: bool,
    pub(super) capacity_checked: bool,
    /// Whether the other pools of the resource were asked for how they reach GitHub.
    pub(super) other_pools_checked: bool,
    pub(super) log_places: LogPlaces,
    pub(super) members: KnownMembers,
    /// The ARN or name by which the function invokes itself.
    pub(super) function: String,
}

impl Session {
    /// Of an invocation of this function, by its ARN or name.
    #[must_use]
    pub fn of(function: &str) -> Self {
        Self { function: function.to_owned(), ..Self::default() }
    }

    /// Forgets the credential, so that the next observation reads it anew: GitHub no longer accepts it.
    pub(super) fn forget_credential(&mut self) {
        self.credential = None;
    }

    /// The credential, for a call outside an observation.
    #[must_use]
    pub const fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }
}
