//! Metrics, as lines of the log in CloudWatch's embedded metric format: they cost no call, no client and no permission.
//!
//! A line of [`TARGET`] is a metric line. Those of its fields that have a unit here are its metrics; the log adds what
//! makes CloudWatch read them.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::pool::model::continuation::Continuation;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestType;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::inventory::Survey;

/// The target of a metric line.
pub const TARGET: &str = "metrics";

/// The namespace that CloudWatch shows them in.
pub const NAMESPACE: &str = "GitHubRunnerPool";

/// Every metric, with its unit.
pub const UNITS: &[(&str, &str)] = &[
    ("Requests", "Count"),
    ("Duration", "Seconds"),
    ("RunnersOnline", "Count"),
    ("RunnersRetired", "Count"),
    ("GhostsRemoved", "Count"),
    ("JobsWaitedFor", "Count"),
    ("JobsCancelled", "Count"),
    ("Hops", "Count"),
    ("AwsCalls", "Count"),
    ("GitHubCalls", "Count"),
    ("GitHubRateRemaining", "Count"),
    ("Pools", "Count"),
    ("TasksRunning", "Count"),
    // CloudWatch has no unit of days.
    ("OldestRunnerDays", "None"),
];

/// The dimensions by which they can be asked for. A line's metrics have those that the line has the fields of.
pub const DIMENSIONS: &[&[&str]] =
    &[&["FunctionName"], &["FunctionName", "Outcome"], &["FunctionName", "RequestType", "Outcome"]];

/// What a request came to, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Since CloudFormation signed it.
    pub took: Duration,
    /// Invocations beyond the first.
    pub continuation_count: u32,
    /// Runners that GitHub let go.
    pub runners_retired: u64,
    /// Registrations without a task that were removed.
    pub orphaned_runners_removed: u32,
    /// Runners whose jobs were waited for.
    pub jobs_waited_for: u64,
    /// Jobs that were cut off because `DrainTimeout` had passed.
    pub jobs_cancelled: u32,
}

impl Tally {
    /// Of a request that is about to be answered.
    #[must_use]
    pub fn of(continuation: &Continuation, now: Timestamp) -> Self {
        let Continuation { operation, memory } = continuation;
        let n = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        Self {
            took: now.since(operation.signed_at),
            continuation_count: operation.continuation_count,
            runners_retired: n(memory.deregistered_at.len()),
            orphaned_runners_removed: memory.n_orphans_removed,
            jobs_waited_for: n(memory.runners_waited_for.len()),
            jobs_cancelled: memory.n_jobs_cancelled,
        }
    }
}

/// Tells what became of a request.
pub fn request(request_type: RequestType, outcome: &Outcome, tally: &Tally) {
    let (status, online) = match outcome {
        Outcome::Succeeded { attributes, .. } => {
            ("SUCCESS", attributes.get("OnlineRunners").and_then(|online| online.parse::<u64>().ok()))
        }
        Outcome::Failed { .. } => ("FAILED", None),
    };
    tracing::info!(
        target: TARGET,
        RequestType = request_type.name(),
        Outcome = status,
        Requests = 1_u64,
        Duration = tally.took.as_secs_f64(),
        Hops = u64::from(tally.continuation_count),
        RunnersRetired = tally.runners_retired,
        GhostsRemoved = u64::from(tally.orphaned_runners_removed),
        JobsWaitedFor = tally.jobs_waited_for,
        JobsCancelled = u64::from(tally.jobs_cancelled),
        RunnersOnline = online,
    );
}

/// Tells what an invocation asked of others.
pub fn invocation(aws_calls: u64, github_calls: u64, github_remaining: Option<u64>) {
    tracing::info!(
        target: TARGET,
        AwsCalls = aws_calls,
        GitHubCalls = github_calls,
        GitHubRateRemaining = github_remaining,
    );
}

/// Tells how all pools are.
pub fn survey(all: &Survey) {
    tracing::info!(
        target: TARGET,
        Pools = all.n_pools,
        TasksRunning = all.n_running,
        OldestRunnerDays = all.oldest_days,
    );
}

/// Makes a line one that CloudWatch reads metrics from.
pub(crate) fn embed(line: &mut Map<String, Value>, function: &str, now: Timestamp) {
    let metrics: Vec<Value> = UNITS
        .iter()
        .filter(|(name, _)| line.contains_key(*name))
        .map(|(name, unit)| json!({ "Name": name, "Unit": unit }))
        .collect();
    line.insert("FunctionName".to_owned(), function.into());
    let dimensions: Vec<&&[&str]> =
        DIMENSIONS.iter().filter(|set| set.iter().all(|field| line.contains_key(*field))).collect();
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics });
    line.insert("_aws".to_owned(), json!({ "Timestamp": now.epoch_millis(), "CloudWatchMetrics": [directive] }));
}
