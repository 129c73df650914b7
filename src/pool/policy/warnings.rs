//! Warnings about what does not fail the request yet, but may soon. They are logged before anything is created, and
//! added to the outcome.
//!
//! A launch template that has its instances join another cluster is one. The others are GitHub's rules, as far as its
//! list of runners shows them:
//! - github.com and ghe.com let no runner in that is older than `OLDEST_TO_REGISTER`.
//! - A runner that does not update itself gets no more jobs 30 days after a newer version came out. No list says when
//!   that was; that there is one shows as soon as any runner listed has it.
//!   <https://docs.github.com/en/actions/reference/runners/self-hosted-runners>
//! - A runner group takes 10,000 runners.
//!   <https://docs.github.com/en/actions/reference/limits>

use std::fmt;

use crate::pool::model::identity::cluster_name;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::{ConvergeGoal, Goal, Operation};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::runner_matching::RunnerMatcher;
use crate::pool::model::spec::{Capacity, HostKind};
use crate::pool::model::text::abbreviated_list;
use crate::pool::policy::capacity;

/// The oldest runner version that GitHub still registers. <https://github.com/orgs/community/discussions/194762>
const OLDEST_TO_REGISTER: Version = Version(2, 329, 0);

/// The oldest images that know a variable by which a property reaches them, of those that are still useful.
/// <https://github.com/myoung34/docker-github-actions-runner/commits/master/entrypoint.sh>
const KNOWS_WORKDIR_ROOT: Version = Version(2, 336, 0);
/// The same of `GITHUB_API_HOST`. Without it an image finds the API of github.com and of an Enterprise Server, and not
/// that of ghe.com.
const KNOWS_API_HOST: Version = Version(2, 335, 0);

/// The image's default work folder.
const WORKDIR_OF_IMAGE: &str = "/_work";

/// From this many runners on GitHub's list, the 10,000 of a group are near: a tenth of it is left.
const RUNNER_GROUP_WARN_AT: usize = 9_000;

/// The image whose tags begin with the runner's version, under whatever registry it is mirrored.
const IMAGE_TAGGED_BY_VERSION: &str = "github-runner";

/// A version of the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// Three numbers with dots between them, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        let version = Self(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }

    /// What an image's tag pins, such as `2.336.0` of `myoung34/github-runner:2.336.0-ubuntu-noble`.
    fn pinned_by(image: &str) -> Option<Self> {
        let named = image.split('@').next()?;
        let (name, tag) = named.rsplit('/').next()?.split_once(':')?;
        if name != IMAGE_TAGGED_BY_VERSION {
            return None;
        }
        Self::parse(tag.split('-').next()?)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The warnings about a pool that is to be, each a sentence without its full stop.
#[must_use]
pub fn collect(operation: &Operation, memory: &Memory, observed: &Observed) -> Vec<String> {
    let Goal::Converge(goal) = &operation.goal else { return Vec::new() };
    let listed: &[Runner] = match &observed.github {
        GitHubRunners::Listed(runners) => runners,
        GitHubRunners::NotQueried | GitHubRunners::NoCredential | GitHubRunners::Failed(_) => &[],
    };
    let matcher = RunnerMatcher::of(&operation.id, &goal.spec);
    let (own, others): (Vec<&Runner>, Vec<&Runner>) = listed.iter().partition(|runner| matcher.owns(runner));
    let found = [
        version(goal, &own, listed),
        workdir(goal),
        api_host(goal),
        runner_group_size(goal, others.len()),
        cluster(goal, observed),
        types(goal, observed),
        warm_pool(goal, observed),
        group(goal, observed),
    ];
    found.into_iter().flatten().chain(capacity::doubts(operation, memory, goal, observed)).collect()
}

/// Adds the warnings to the outcome.
#[must_use]
pub fn append_to(outcome: Outcome, warnings: Vec<String>) -> Outcome {
    match outcome {
        Outcome::Succeeded { attributes, mut notes } => {
            notes.extend(warnings);
            Outcome::Succeeded { attributes, notes }
        }
        Outcome::Failed { reason } if warnings.is_empty() => Outcome::Failed { reason },
        Outcome::Failed { reason } => {
            Outcome::Failed { reason: format!("{reason} Warnings: {}.", warnings.join("; ")) }
        }
    }
}

/// The pool's runner version: the one that its image pins, or else the oldest that GitHub lists for its runners.
fn version(goal: &ConvergeGoal, own: &[&Runner], listed: &[Runner]) -> Option<String> {
    let version = |runner: &Runner| runner.version.as_deref().and_then(Version::parse);
    let ours =
        Version::pinned_by(&goal.spec.task.image).or_else(|| own.iter().filter_map(|runner| version(runner)).min())?;
    let is_held_to_it = goal.spec.github.host.kind() != HostKind::EnterpriseServer;
    if is_held_to_it && ours < OLDEST_TO_REGISTER {
        return Some(format!(
            "Image: GitHub registers no runner older than {OLDEST_TO_REGISTER}, and this pool's have {ours}; take a \
             newer image"
        ));
    }
    let newest = listed.iter().filter_map(version).max().filter(|newest| ours < *newest)?;
    goal.spec.runner.disable_auto_update.then(|| {
        format!(
            "Image: this pool's runners have version {ours} and DisableAutoUpdate, while GitHub lists one of \
             {newest}; 30 days after a release GitHub gives older runners no more jobs, so take a newer image"
        )
    })
}

/// `RunnerWorkdir` that the image does not know. It would be mounted, and jobs would work in another folder of the
/// container, which the host's Docker does not see. Every image has the same default.
fn workdir(goal: &ConvergeGoal) -> Option<String> {
    let pinned = Version::pinned_by(&goal.spec.task.image)?;
    let workdir = &goal.spec.runner.workdir;
    (workdir != WORKDIR_OF_IMAGE && pinned < KNOWS_WORKDIR_ROOT).then(|| {
        format!(
            "RunnerWorkdir: the image {} does not support RUNNER_WORKDIR_ROOT, so jobs work in {WORKDIR_OF_IMAGE} of \
             the container and not in {workdir}; take an image of {KNOWS_WORKDIR_ROOT} or newer, or leave \
             RunnerWorkdir out",
            goal.spec.task.image
        )
    })
}

/// `GitHubUrl` of a host whose API the image does not find.
fn api_host(goal: &ConvergeGoal) -> Option<String> {
    let pinned = Version::pinned_by(&goal.spec.task.image)?;
    let host = &goal.spec.github.host;
    (host.kind() == HostKind::GheCom && pinned < KNOWS_API_HOST).then(|| {
        format!(
            "GitHubUrl: the image {} does not support GITHUB_API_HOST, so its runners do not find {}; take an image of \
             {KNOWS_API_HOST} or newer",
            goal.spec.task.image,
            host.api_authority()
        )
    })
}

fn runner_group_size(goal: &ConvergeGoal, n_others: usize) -> Option<String> {
    let n_own = goal.spec.job_scaling.as_ref().map_or(goal.spec.desired_count, |job_scaling| job_scaling.max_runners);
    let n_runners = n_others.saturating_add(usize::try_from(n_own).unwrap_or(usize::MAX));
    (n_runners >= RUNNER_GROUP_WARN_AT).then(|| {
        format!(
            "RunnerGroup: with this pool the {} has {n_runners} runners, and GitHub takes 10,000 in a group; remove \
             those that are offline, or give the pool a group of its own",
            goal.spec.github.scope
        )
    })
}

/// Instance types that EC2 does not offer in this Region, if it offers others of the list.
fn types(goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let Capacity::Own(_) = &goal.spec.capacity else { return None };
    let (offered, missing): (Vec<_>, Vec<_>) = observed.ec2.instance_types.iter().partition(|(_, room)| room.is_some());
    let names: Vec<&String> = missing.iter().map(|(name, _)| *name).collect();
    (!offered.is_empty() && !names.is_empty())
        .then(|| format!("InstanceTypes: EC2 offers no {} in this Region; take it out", abbreviated_list(&names)))
}

/// A warm pool whose user data does not show that its instances stay out of the cluster.
fn warm_pool(goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let Capacity::Own(own) = &goal.spec.capacity else { return None };
    let version = observed.ec2.version().filter(|_| own.warm_instances > 0)?;
    // User data that configures the agent without it fails the request: see `preconditions`.
    let is_refused = version.checks_warm_pool == Some(false) && !version.clusters.is_empty();
    (version.checks_warm_pool != Some(true) && !is_refused).then(|| {
        "WarmInstances: the launch template's user data does not show ECS_WARM_POOLS_CHECK=true; without it instances join \
         the cluster before they are stopped, and jobs on them are lost"
            .to_owned()
    })
}

/// A group that only the enterprise can fill, as far as GitHub's pages say.
/// <https://docs.github.com/en/rest/actions/self-hosted-runner-groups>
fn group(goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let name = goal.spec.runner.group.as_ref().filter(|_| observed.runner_group == Some(RunnerGroup::Inherited))?;
    Some(format!(
        "RunnerGroup: the {} inherits {name} from its enterprise, and GitHub may register no runner from below \
         there; if none comes online, take a group of the organization's own",
        goal.spec.github.scope
    ))
}

/// Instances that join another cluster. If the user data also names the pool's cluster, a script chooses.
fn cluster(goal: &ConvergeGoal, observed: &Observed) -> Option<String> {
    let ours = cluster_name(&goal.spec.cluster);
    let others = &observed.ec2.version()?.clusters;
    let other = others.first().filter(|_| !others.contains(ours))?;
    Some(format!(
        "LaunchTemplate: its user data has the instances join the cluster {other}, and not {ours}; write \
         ECS_CLUSTER={ours} to /etc/ecs/ecs.config there"
    ))
}
