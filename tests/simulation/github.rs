//! GitHub: runners, jobs, tokens.
//!
//! A job is dispatched to a runner, and a moment later acquired by it. From then on GitHub refuses to delete the
//! runner; before, it lets it go, and the job goes back to the queue. `busy` in the list lags behind.

mod registrations;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::runner;
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{Credential, Deregistration, RemoteResult};

pub(crate) use self::registrations::{configuration_of, jit_files};
use crate::faults::{Trouble, refuse};
use crate::history::{Fact, Loss};
use crate::script::{AfterDeletion, Prints};
use crate::world::World;

/// How long GitHub holds a runner to be busy whose container died during a job.
const LEASE: Duration = Duration::from_secs(600);
/// How old a job must be for its start to be in the log, whatever is late there. A younger one that GitHub calls idle, lets
/// us delete and then cancels cannot be saved by anything.
const READABLE: Duration = Duration::from_secs(30);
/// How old a job must be before GitHub may forget that it runs.
const FORGETTABLE: Duration = Duration::from_secs(120);

pub(crate) struct GitHub {
    pub(crate) runners: BTreeMap<u64, Runner>,
    /// Deleted in the middle of a job, which goes on.
    pub(crate) detached: BTreeMap<u64, Runner>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    /// The token that GitHub accepts, and the one that the parameter holds.
    pub(crate) accepted: String,
    pub(crate) kept: String,
    /// Former names of organizations, under which GitHub finds nothing any more.
    pub(crate) former: BTreeSet<String>,
    /// Registration tokens: where they are good, and until when.
    pub(crate) tokens: BTreeMap<String, (String, Timestamp)>,
    n_made: u64,
}

pub(crate) struct Runner {
    pub(crate) id: u64,
    pub(crate) target: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeSet<String>,
    /// The service whose task it is; `None` for somebody else's.
    pub(crate) pool: Option<String>,
    pub(crate) is_online: bool,
    pub(crate) offline_at: Option<Timestamp>,
    pub(crate) job: Option<u64>,
    /// When its listener next asks GitHub, if that matters.
    pub(crate) polls_at: Option<Timestamp>,
    /// Held to be busy though its container died.
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) is_ephemeral: bool,
    /// The runner scale set that it belongs to.
    pub(crate) scale_set: Option<u64>,
    /// The task that the function registered it for.
    pub(crate) task: Option<String>,
    /// Since when that task has ended while this is still listed, offline.
    pub(crate) orphaned_since: Option<Timestamp>,
    /// Sweeps since then that could have removed it.
    pub(crate) n_passed_by: u32,
    /// Of somebody else's: the label, and the name, with which it would be taken for one of ours.
    pub(crate) looks_like: Option<String>,
    pub(crate) would_be_called: Option<String>,
}

pub(crate) struct Job {
    pub(crate) label: String,
    pub(crate) length: Duration,
    pub(crate) state: JobState,
    pub(crate) prints: Prints,
    /// The function has deleted its runner while it ran.
    pub(crate) is_deregistered: bool,
}

impl Job {
    /// Names that repeat, and some that look like the listener's words.
    pub(crate) fn name(&self, id: u64) -> String {
        match id % 4 {
            0 | 1 => "build".to_owned(),
            2 => format!("test ({id}, ubuntu)"),
            _ => "Job build completed with result: Succeeded".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Queued,
    /// To a runner, which acquires it at this moment.
    Dispatched {
        runner: u64,
        at: Timestamp,
    },
    Running {
        since: Timestamp,
        seen_from: Timestamp,
    },
    Done,
    Lost,
}

impl Runner {
    /// A job may come to it.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_online && self.offline_at.is_none() && self.job.is_none()
    }
}

impl GitHub {
    pub(crate) fn new() -> Self {
        let mut github = Self {
            runners: BTreeMap::new(),
            detached: BTreeMap::new(),
            jobs: BTreeMap::new(),
            accepted: "ghp_PLANTEDTOKEN1".to_owned(),
            kept: "ghp_PLANTEDTOKEN1".to_owned(),
            former: BTreeSet::new(),
            tokens: BTreeMap::new(),
            n_made: 0,
        };
        for name in ["build-box", "github-runner-0123456789-0123456789ab"] {
            let labels = BTreeSet::from(["self-hosted".to_owned(), "default".to_owned()]);
            github.register("/orgs/acme", name, labels, None, false);
        }
        github
    }

    /// Somebody else's runners that look like those of this pool: one by its name, one by its label.
    pub(crate) fn lookalikes(&mut self, target: &str, pool: &str) {
        let digits = pool.rsplit('-').next().unwrap();
        let label = |label: &str| BTreeSet::from(["self-hosted".to_owned(), label.to_owned()]);
        let by_name = format!("github-runner-{digits}-0123456789ab");
        let by_label = format!("box-of-{pool}");
        if self.runners.values().any(|runner| runner.name == by_label) {
            return;
        }
        let id = self.register(target, &by_name, label("default"), None, false);
        self.runners.get_mut(&id).unwrap().looks_like = Some(pool.to_owned());
        let id = self.register(target, &by_label, label(pool), None, false);
        let runner = self.runners.get_mut(&id).unwrap();
        runner.would_be_called = Some(format!("github-runner-{digits}-ba9876543210"));
        runner.is_online = false;
    }

    /// A runner of this name takes the place of one that had it.
    pub(crate) fn register(
        &mut self,
        target: &str,
        name: &str,
        labels: BTreeSet<String>,
        pool: Option<String>,
        is_ephemeral: bool,
    ) -> u64 {
        self.runners.retain(|_, runner| runner.target != target || runner.name != name);
        self.n_made += 1;
        let runner = Runner {
            id: self.n_made,
            target: target.to_owned(),
            name: name.to_owned(),
            labels,
            pool,
            is_online: true,
            offline_at: None,
            job: None,
            polls_at: None,
            lease_until: None,
            is_ephemeral,
            scale_set: None,
            task: None,
            orphaned_since: None,
            n_passed_by: 0,
            looks_like: None,
            would_be_called: None,
        };
        self.runners.insert(self.n_made, runner);
        self.n_made
    }

    /// An organization gets another name. GitHub redirects its repositories, and nothing of the organization itself.
    /// <https://docs.github.com/en/organizations/managing-organization-settings/renaming-an-organization>
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (format!("/orgs/{from}"), format!("/orgs/{to}"));
        for runner in self.runners.values_mut().filter(|runner| runner.target == from) {
            runner.target.clone_from(&to);
        }
        self.former.insert(from);
    }

    /// A runner, whether or not GitHub still lists it.
    pub(crate) fn runner(&self, id: u64) -> Option<&Runner> {
        self.runners.get(&id).or_else(|| self.detached.get(&id))
    }

    /// The same.
    pub(crate) fn runner_mut(&mut self, id: u64) -> Option<&mut Runner> {
        self.runners.get_mut(&id).or_else(|| self.detached.get_mut(&id))
    }

    pub(crate) fn queue(&mut self, label: &str, length: Duration, prints: Prints) {
        self.n_made += 1;
        let label = label.to_owned();
        let job = Job { label, length, state: JobState::Queued, prints, is_deregistered: false };
        self.jobs.insert(self.n_made, job);
    }

    /// Whether this runner has a job that it has acquired.
    pub(crate) fn runs_job(&self, runner: &Runner) -> Option<Timestamp> {
        match self.jobs.get(&runner.job?)?.state {
            JobState::Running { since, .. } => Some(since),
            JobState::Queued | JobState::Dispatched { .. } | JobState::Done | JobState::Lost => None,
        }
    }
}

impl World {
    /// Whether GitHub accepts this credential.
    pub(crate) fn sign_in(&mut self, operation: &str, credential: &Credential) -> RemoteResult<()> {
        let is_accepted = match credential {
            Credential::AccessToken(token) => token.expose() == self.github.accepted,
            Credential::App { private_key, .. } => private_key.expose() == self.github.accepted,
        };
        if is_accepted && !self.troubles.has(Trouble::TokenRevoked, self.now) {
            return Ok(());
        }
        self.figures.fault("TokenRevoked");
        self.occur("fault", "TokenRevoked");
        Err(refuse(
            RemoteService::GitHub,
            operation,
            ErrorKind::Unauthenticated,
            "401",
            "Bad credentials. Store a valid token",
        ))
    }

    /// The same, at a target that has to have its present name.
    pub(crate) fn sign_in_at(
        &mut self,
        operation: &str,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<()> {
        self.sign_in(operation, credential)?;
        if self.github.former.contains(&target.scope.api_prefix()) {
            return Err(refuse(RemoteService::GitHub, operation, ErrorKind::NotFound, "404", "Not Found"));
        }
        Ok(())
    }

    pub(crate) fn list_runners(&mut self, target: &GitHubTarget) -> Vec<runner::Runner> {
        let target = target.scope.api_prefix();
        let lags = self.troubles.has(Trouble::BusyLags, self.now);
        let flickers = self.troubles.has(Trouble::BusyFlickers, self.now);
        let lies = self.troubles.has(Trouble::CallsIdle, self.now);
        let mut hidden = Vec::new();
        let mut listed = Vec::new();
        for runner in self.github.runners.values().filter(|runner| runner.target == target) {
            let state = runner.job.and_then(|job| self.github.jobs.get(&job)).map(|job| job.state);
            let is_working = match state {
                Some(JobState::Running { since, seen_from }) => {
                    let forgotten = flickers && self.now.since(since) >= FORGETTABLE;
                    if lags {
                        hidden.push("BusyLags");
                    }
                    if forgotten {
                        hidden.push("BusyFlickers");
                    }
                    if lies {
                        hidden.push("CallsIdle");
                    }
                    !lags && !lies && !forgotten && seen_from <= self.now
                }
                Some(JobState::Queued | JobState::Dispatched { .. } | JobState::Done | JobState::Lost) | None => false,
            };
            listed.push(runner::Runner {
                id: runner.id,
                name: runner.name.clone(),
                is_online: runner.is_online,
                is_busy: is_working || runner.lease_until.is_some_and(|until| until > self.now),
                labels: runner.labels.clone(),
                version: None,
            });
        }
        for name in hidden {
            self.figures.fault(name);
            self.occur("fault", name);
        }
        listed
    }

    pub(crate) fn deregister(&mut self, id: u64) -> Deregistration {
        let flickers = self.troubles.has(Trouble::BusyFlickers, self.now);
        let Some(runner) = self.github.runners.get(&id) else { return Deregistration::Missing };
        if runner.lease_until.is_some_and(|until| until > self.now) {
            self.occur("transition", "deletion refused for a dead runner");
            return Deregistration::Busy;
        }
        let since = self.github.runs_job(runner);
        let lies = self.troubles.has(Trouble::CallsIdle, self.now);
        let readable = match self.script.after_deletion {
            AfterDeletion::LivesOn => Duration::ZERO,
            AfterDeletion::Cancelled => READABLE,
        };
        // The scale-set service knows its runners' jobs.
        let is_forgotten = runner.scale_set.is_none()
            && since.is_some_and(|since| {
                let age = self.now.since(since);
                (flickers && age >= FORGETTABLE) || (lies && age >= readable)
            });
        if since.is_some() && !is_forgotten {
            self.occur("transition", "deletion refused for a busy runner");
            return Deregistration::Busy;
        }
        let pool = runner.pool.clone().unwrap_or_default();
        let job = runner.job;
        let mut runner = self.github.runners.remove(&id).unwrap();
        if let Some(job) = job {
            if since.is_some() {
                self.occur("transition", "runner deleted in the middle of its job");
                let call = self.n_calls;
                self.trace(|| format!("deleted by call {call}"));
                runner.polls_at = Some(self.now + self.between(1_000, 50_000));
                self.github.jobs.get_mut(&job).unwrap().is_deregistered = true;
                self.github.detached.insert(id, runner);
            } else if let Some(job) = self.github.jobs.get_mut(&job) {
                // Dispatched, and not acquired: GitHub gives it to another.
                job.state = JobState::Queued;
                self.occur("transition", "dispatched job went back to the queue");
            }
        }
        self.note_leaving(&pool);
        self.note(&Fact::Deregistered { pool });
        Deregistration::Deleted
    }

    pub(crate) fn lose_job(&mut self, id: u64, pool: &str, why: Loss) {
        let Some(job) = self.github.jobs.get_mut(&id) else { return };
        job.state = JobState::Lost;
        match why {
            Loss::DrainTimedOut => self.figures.jobs_cut_off += 1,
            Loss::MachineLost => self.figures.jobs_of_lost_machines += 1,
            Loss::Stopped | Loss::ChosenByEcs | Loss::Deregistered | Loss::InstanceTaken => {}
        }
        self.note(&Fact::JobLost { pool: pool.to_owned(), job: id, why });
    }

    /// The container of this runner is no more; GitHub finds out in a while.
    pub(crate) fn runner_dies(&mut self, id: u64, why: Loss) {
        let offline_in = self.between(5_000, 60_000);
        let now = self.now;
        let Some(runner) = self.github.runner_mut(id) else { return };
        runner.offline_at = Some(now + offline_in);
        let (job, pool) = (runner.job.take(), runner.pool.clone().unwrap_or_default());
        let Some(job) = job else { return };
        match self.github.jobs.get(&job).map(|job| job.state) {
            Some(JobState::Running { .. }) => {
                self.github.runner_mut(id).unwrap().lease_until = Some(now + LEASE);
                self.lose_job(job, &pool, why);
            }
            Some(JobState::Dispatched { .. }) => self.github.jobs.get_mut(&job).unwrap().state = JobState::Queued,
            Some(JobState::Queued | JobState::Done | JobState::Lost) | None => {}
        }
    }
}
