//! How long the function waits, and what follows.

use std::time::Duration;

use super::super::given::Given;
use super::super::problems::Problems;
use super::super::table::registration::{REGISTER_BY, RUNNER_TOKEN_PARAMETER};
use super::super::table::runner::{EPHEMERAL, RUNNER_NAME};
use super::super::table::scaling::{
    DESIRED_COUNT, DRAIN_TIMEOUT, IDLE_CONFIRMATION, MAX_RUNNERS, MIN_RUNNERS, ON_DEREGISTER_FAILURE, ON_DRAIN_TIMEOUT,
    ONLINE_TIMEOUT, RUNNER_SCALE_SET_NAME,
};
use super::github::register_by;
use crate::pool::model::spec::{JobScaling, RegisterBy, WaitPolicy};

/// The part of `ServiceTimeout` that no property may use: for the calls with which a wait begins and ends, for one
/// continuation in another invocation, and for the response with its retries.
pub const RESPONSE_MARGIN: Duration = Duration::from_secs(120);
/// The longest that CloudFormation waits, and its default.
pub const SERVICE_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Each one by itself: an invalid one has its default.
pub(super) fn wait_policy(given: &Given<'_>) -> WaitPolicy {
    WaitPolicy {
        online_timeout: given.get_or_default(&ONLINE_TIMEOUT),
        idle_confirmation: given.get_or_default(&IDLE_CONFIRMATION),
        drain_timeout: given.get_or_default(&DRAIN_TIMEOUT),
        on_drain_timeout: given.get_or_default(&ON_DRAIN_TIMEOUT),
        on_deregister_failure: given.get_or_default(&ON_DEREGISTER_FAILURE),
    }
}

/// As many runners as jobs, if the template has `MaxRunners`; then nothing may ask for a fixed number, or for runners of
/// another kind than GitHub gives a scale set.
pub(super) fn job_scaling(given: &Given<'_>, problems: &mut Problems) -> Option<JobScaling> {
    if !given.has(&MAX_RUNNERS) {
        let needs_max = [
            (MIN_RUNNERS.name, given.has(&MIN_RUNNERS)),
            (RUNNER_SCALE_SET_NAME.name, given.has(&RUNNER_SCALE_SET_NAME)),
        ];
        for (name, _) in needs_max.into_iter().filter(|(_, is_given)| *is_given) {
            problems.add(name, "requires MaxRunners", "Specify MaxRunners as well, or remove it.");
        }
        return None;
    }
    if given.has(&DESIRED_COUNT) {
        let remedy = "Specify DesiredCount for a fixed number of runners, or MaxRunners for as many as jobs.";
        problems.add(MAX_RUNNERS.name, "cannot be combined with DesiredCount", remedy);
    }
    let (min, max) = (given.get_or_default(&MIN_RUNNERS), given.get(&MAX_RUNNERS)?);
    if min > max {
        let problem = format!("{min} is more than MaxRunners ({max})");
        problems.add(MIN_RUNNERS.name, problem, "Reduce it, or increase MaxRunners.");
    }
    if given.get(&EPHEMERAL) == Some(false) {
        let remedy = "Remove it: with MaxRunners each runner runs a single job.";
        problems.add(EPHEMERAL.name, "false cannot be combined with MaxRunners", remedy);
    }
    if given.has(&RUNNER_NAME) {
        problems.add(RUNNER_NAME.name, "cannot be combined with MaxRunners", "Specify RunnerNamePrefix instead.");
    }
    if register_by(given, &mut Problems::default()) == RegisterBy::Container {
        let remedy = "Remove RegisterBy and RunnerTokenParameter: the function registers the runners of a scale set.";
        let name = if given.has(&REGISTER_BY) { REGISTER_BY.name } else { RUNNER_TOKEN_PARAMETER.name };
        problems.add(name, "cannot be combined with MaxRunners", remedy);
    }
    Some(JobScaling { max_runners: max, scale_set_name: given.get(&RUNNER_SCALE_SET_NAME) })
}

/// One request may wait for runners to come online and for jobs to end: both must fit into `ServiceTimeout`.
pub(super) fn check_timeouts(wait_policy: &WaitPolicy, service_timeout: Duration, problems: &mut Problems) {
    let (online, drain, idle) = (wait_policy.online_timeout, wait_policy.drain_timeout, wait_policy.idle_confirmation);
    let sum = online.saturating_add(drain).saturating_add(idle);
    let available = service_timeout.saturating_sub(RESPONSE_MARGIN);
    let Some(excess) = sum.checked_sub(available).filter(|excess| !excess.is_zero()) else { return };
    let problem = format!(
        "{} s, OnlineTimeout ({} s) and IdleConfirmation ({} s) are {} s in total, but ServiceTimeout ({} s) leaves \
         {} s (its last {} s are for the response)",
        drain.as_secs(),
        online.as_secs(),
        idle.as_secs(),
        sum.as_secs(),
        service_timeout.as_secs(),
        available.as_secs(),
        RESPONSE_MARGIN.as_secs(),
    );
    let remedy = if service_timeout < SERVICE_TIMEOUT_MAX {
        format!("Reduce them by {} s in total, or increase ServiceTimeout (up to 3600 s).", excess.as_secs())
    } else {
        format!("Reduce them by {} s in total.", excess.as_secs())
    };
    problems.add(DRAIN_TIMEOUT.name, problem, remedy);
}
