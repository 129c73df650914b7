//! Metrics, written as log lines in CloudWatch's embedded metric format, which needs no API call, no client and no
//! permission.
//!
//! A log line with the target [`TARGET`] is a metric line. Its fields that are named after a [`Metric`] become metrics;
//! the log adds the metadata that CloudWatch needs to read them.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::Duration;

use serde_json::{Map, Value, json};
use strum::{EnumIter, IntoEnumIterator as _, IntoStaticStr, VariantNames};

use crate::pool::model::continuation::Continuation;
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::request::RequestType;
use crate::pool::model::scale_set::JobStatistics;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::demand::RunnerCounts;
use crate::pool::policy::inventory::Inventory;

/// The target of a metric line.
pub const TARGET: &str = "metrics";

/// The namespace that CloudWatch shows them in.
pub const NAMESPACE: &str = "GitHubRunnerPool";

/// Every metric; its unit is that of [`Metric::unit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, IntoStaticStr, VariantNames)]
pub enum Metric {
    /// CloudFormation's requests that the function responded to.
    Requests,
    /// From the moment at which CloudFormation signed a request to the response.
    Duration,
    /// Runners online at the end of a Create or an Update.
    RunnersOnline,
    /// Runners that were deregistered when they were retired.
    RunnersRetired,
    /// Registrations without a task that were removed.
    OrphanedRunnersRemoved,
    /// Runners whose jobs were waited for.
    JobsWaitedFor,
    /// Jobs that were stopped because `DrainTimeout` had passed.
    JobsCancelled,
    /// Invocations beyond the first.
    Continuations,
    /// Calls to AWS of an invocation.
    AwsCalls,
    /// Calls to GitHub of an invocation.
    GitHubCalls,
    /// The remaining GitHub requests of the credential's hour.
    GitHubRateRemaining,
    /// Jobs that GitHub has assigned to a runner scale set, including running ones.
    JobsAssigned,
    /// Running jobs of a runner scale set.
    JobsRunning,
    /// Runners of a scale set that are online without a job.
    RunnersIdle,
    /// Tasks of a scale set that wait for an instance or for their container.
    RunnersStarting,
    /// How long jobs of a runner scale set have waited without one of them starting, although the pool is below
    /// `MaxRunners`.
    StartDelay,
    /// 1 if a tick found pools with `MaxRunners` and no listener at work, otherwise 0.
    ListenerMissing,
    /// Pools that the inventory found.
    Pools,
    /// Their running tasks.
    TasksRunning,
    /// The age of the oldest of those.
    OldestRunnerDays,
}

impl Metric {
    /// The name in CloudWatch.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The unit in CloudWatch, which has no unit for days.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Duration | Self::StartDelay => "Seconds",
            Self::OldestRunnerDays => "None",
            Self::Requests
            | Self::RunnersOnline
            | Self::RunnersRetired
            | Self::OrphanedRunnersRemoved
            | Self::JobsWaitedFor
            | Self::JobsCancelled
            | Self::Continuations
            | Self::AwsCalls
            | Self::GitHubCalls
            | Self::GitHubRateRemaining
            | Self::JobsAssigned
            | Self::JobsRunning
            | Self::RunnersIdle
            | Self::RunnersStarting
            | Self::ListenerMissing
            | Self::Pools
            | Self::TasksRunning => "Count",
        }
    }
}

/// The sets of dimensions. A line's metrics have each set for which the line has all fields.
pub const DIMENSIONS: &[&[&str]] = &[
    &["FunctionName"],
    &["FunctionName", "Outcome"],
    &["FunctionName", "RequestType", "Outcome"],
    &["FunctionName", "Pool"],
];

/// The numbers of a completed request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Since CloudFormation signed it.
    pub took: Duration,
    /// Invocations beyond the first.
    pub continuation_count: u32,
    /// Runners that GitHub deregistered.
    pub runners_retired: u64,
    /// Registrations without a task that were removed.
    pub orphaned_runners_removed: u32,
    /// Runners whose jobs were waited for.
    pub jobs_waited_for: u64,
    /// Jobs that were stopped because `DrainTimeout` had passed.
    pub jobs_cancelled: u32,
}

impl Tally {
    /// The summary of a request that is about to get its response.
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

/// Writes the metrics of a completed request.
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
        Continuations = u64::from(tally.continuation_count),
        RunnersRetired = tally.runners_retired,
        OrphanedRunnersRemoved = u64::from(tally.orphaned_runners_removed),
        JobsWaitedFor = tally.jobs_waited_for,
        JobsCancelled = u64::from(tally.jobs_cancelled),
        RunnersOnline = online,
    );
}

/// Writes the number of API calls of an invocation.
pub fn invocation(aws_calls: u64, github_calls: u64, github_remaining: Option<u64>) {
    tracing::info!(
        target: TARGET,
        AwsCalls = aws_calls,
        GitHubCalls = github_calls,
        GitHubRateRemaining = github_remaining,
    );
}

/// Writes how many registrations the sweep removed.
pub fn sweep(orphaned_runners_removed: u64) {
    tracing::info!(target: TARGET, OrphanedRunnersRemoved = orphaned_runners_removed);
}

/// Writes the state of a pool with `MaxRunners`.
pub fn demand(id: &PhysicalId, statistics: &JobStatistics, counts: RunnerCounts, start_delay: Duration) {
    tracing::info!(
        target: TARGET,
        Pool = id.as_str(),
        JobsAssigned = u64::from(statistics.assigned),
        JobsRunning = u64::from(statistics.running),
        RunnersIdle = u64::from(statistics.idle_runners),
        RunnersStarting = u64::from(counts.starting),
        StartDelay = start_delay.as_secs_f64(),
    );
}

/// Writes whether a tick found that a required listener is not running.
pub fn listener(is_missing: bool) {
    tracing::info!(
        target: TARGET,
        ListenerMissing = u64::from(is_missing),
    );
}

/// Writes the metrics of an inventory of all pools.
pub fn inventory(all: &Inventory) {
    tracing::info!(
        target: TARGET,
        Pools = all.n_pools,
        TasksRunning = all.n_running,
        OldestRunnerDays = all.oldest_days,
    );
}

/// Adds the metadata from which CloudWatch extracts the metrics of a line.
pub(crate) fn embed(line: &mut Map<String, Value>, function: &str, now: Timestamp) {
    let metrics: Vec<Value> = Metric::iter()
        .filter(|metric| line.contains_key(metric.name()))
        .map(|metric| json!({ "Name": metric.name(), "Unit": metric.unit() }))
        .collect();
    line.insert("FunctionName".to_owned(), function.into());
    let dimensions: Vec<&&[&str]> =
        DIMENSIONS.iter().filter(|set| set.iter().all(|field| line.contains_key(*field))).collect();
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics });
    line.insert("_aws".to_owned(), json!({ "Timestamp": now.epoch_millis(), "CloudWatchMetrics": [directive] }));
}
