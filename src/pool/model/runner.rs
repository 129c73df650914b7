//! What was observed of GitHub's runners.

use std::collections::BTreeSet;

/// A self-hosted runner as GitHub lists it.
///
/// <https://docs.github.com/en/rest/actions/self-hosted-runners>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// GitHub's id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub is_online: bool,
    /// Whether it has a job. Lags: it becomes true only when the job is acquired.
    pub is_busy: bool,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// The version of the runner software, where GitHub reports it.
    pub version: Option<String>,
}

/// A runner group, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerGroup {
    /// Of the organization or enterprise itself.
    Own,
    /// Of the enterprise above the organization.
    Inherited,
}
