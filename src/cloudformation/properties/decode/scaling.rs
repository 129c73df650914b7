//! How long the function waits, and what follows.

use std::time::Duration;

use super::super::given::Given;
use super::super::problems::Problems;
use super::super::table::scaling::{
    DRAIN_TIMEOUT, IDLE_CONFIRMATION, ON_DEREGISTER_FAILURE, ON_DRAIN_TIMEOUT, ONLINE_TIMEOUT,
};
use crate::pool::model::spec::WaitPolicy;

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
