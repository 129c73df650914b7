//! The types that the scale-set service sends, and their conversion to the model.
//!
//! <https://github.com/actions/scaleset/blob/main/types.go>

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::pool::model::scale_set::{
    JobEvent, JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRunner,
};
use crate::pool::model::secret::Secret;

/// The only known type of message.
const JOB_MESSAGES: &str = "RunnerScaleSetJobMessages";

/// A list. Its `count` is not read: what is listed is what there is.
#[derive(Deserialize)]
pub(super) struct List<T> {
    /// Required: a body without it is no empty list.
    pub(super) value: Vec<T>,
}

#[derive(Deserialize)]
pub(super) struct GroupEntry {
    pub(super) id: u64,
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScaleSetEntry {
    id: u64,
    pub(super) name: String,
    runner_group_id: Option<u64>,
    labels: Option<Vec<LabelEntry>>,
    #[serde(alias = "RunnerSetting")]
    runner_setting: Option<RunnerSetting>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct LabelEntry {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunnerSetting {
    disable_update: Option<bool>,
}

impl ScaleSetEntry {
    /// Whether runners of the set leave updates of themselves to the image.
    pub(super) fn disables_update(&self) -> bool {
        self.runner_setting.as_ref().is_some_and(|setting| setting.disable_update == Some(true))
    }

    /// The set, which was asked for in the group `group_id`.
    pub(super) fn into_scale_set(self, group_id: u64) -> ScaleSet {
        let labels: BTreeSet<String> = self.labels.into_iter().flatten().filter_map(|label| label.name).collect();
        ScaleSet {
            id: self.id,
            name: self.name,
            group_id: self.runner_group_id.unwrap_or(group_id),
            labels,
            statistics: self.statistics.and_then(Statistics::into_statistics),
        }
    }
}

/// Numbers that GitHub counts; one that is left out or negative is no number.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    total_available_jobs: Option<i64>,
    total_acquired_jobs: Option<i64>,
    total_assigned_jobs: Option<i64>,
    total_running_jobs: Option<i64>,
    total_registered_runners: Option<i64>,
    total_busy_runners: Option<i64>,
    total_idle_runners: Option<i64>,
}

impl Statistics {
    /// `None` without a number of assigned jobs: what the pool scales by is better unknown than zero.
    fn into_statistics(self) -> Option<JobStatistics> {
        let count = |count: Option<i64>| count.and_then(|count| u32::try_from(count).ok());
        Some(JobStatistics {
            available: count(self.total_available_jobs).unwrap_or(0),
            acquired: count(self.total_acquired_jobs).unwrap_or(0),
            assigned: count(self.total_assigned_jobs)?,
            running: count(self.total_running_jobs).unwrap_or(0),
            registered_runners: count(self.total_registered_runners).unwrap_or(0),
            busy_runners: count(self.total_busy_runners).unwrap_or(0),
            idle_runners: count(self.total_idle_runners).unwrap_or(0),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionEntry {
    session_id: String,
    message_queue_url: Secret,
    message_queue_access_token: Secret,
    statistics: Option<Statistics>,
    runner_scale_set: Option<ScaleSetEntry>,
}

impl SessionEntry {
    /// The address of its queue.
    pub(super) fn queue_url(&self) -> &str {
        self.message_queue_url.expose()
    }

    /// The session with the set's statistics; `None` if it lacks its id or its token.
    pub(super) fn into_session(self) -> Option<(MessageSession, Option<JobStatistics>)> {
        if self.session_id.is_empty() || self.message_queue_access_token.expose().is_empty() {
            return None;
        }
        let statistics = self.statistics.or_else(|| self.runner_scale_set?.statistics);
        let queue = MessageQueue { url: self.message_queue_url, token: self.message_queue_access_token };
        Some((MessageSession { id: self.session_id, queue }, statistics.and_then(Statistics::into_statistics)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageEntry {
    message_id: u64,
    message_type: String,
    /// A JSON array in a string, or nothing.
    body: Option<String>,
    statistics: Option<Statistics>,
}

impl MessageEntry {
    /// The message; `None` if it is of a type that is not known, or its body is no list.
    pub(super) fn into_message(self) -> Option<ScaleSetMessage> {
        if self.message_type != JOB_MESSAGES || self.message_id == 0 {
            return None;
        }
        let items: Vec<Value> = match self.body.as_deref().map(str::trim) {
            None | Some("") => Vec::new(),
            Some(body) => serde_json::from_str(body).ok()?,
        };
        let events = items.into_iter().filter_map(event).collect();
        let statistics = self.statistics.and_then(Statistics::into_statistics);
        Some(ScaleSetMessage { id: self.message_id, statistics, events })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobItem {
    message_type: String,
    runner_request_id: Option<i64>,
    runner_name: Option<String>,
}

/// What an item says; `None` for one that is of no known type, or lacks what makes it useful.
fn event(item: Value) -> Option<JobEvent> {
    let item: JobItem = serde_json::from_value(item).ok()?;
    let runner = item.runner_name.filter(|name| !name.is_empty());
    match item.message_type.as_str() {
        "JobAvailable" => Some(JobEvent::Available { request_id: item.runner_request_id? }),
        "JobAssigned" => Some(JobEvent::Assigned),
        "JobStarted" => Some(JobEvent::Started { runner: runner? }),
        "JobCompleted" => Some(JobEvent::Completed { runner }),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunnerEntry {
    pub(super) id: u64,
    pub(super) name: String,
    runner_scale_set_id: Option<u64>,
}

impl RunnerEntry {
    pub(super) fn into_runner(self) -> ScaleSetRunner {
        // No set has the number 0.
        ScaleSetRunner { id: self.id, name: self.name, scale_set: self.runner_scale_set_id.filter(|id| *id != 0) }
    }
}

#[derive(Deserialize)]
pub(super) struct CreatedRunner {
    pub(super) runner: RunnerEntry,
    #[serde(rename = "encodedJITConfig")]
    pub(super) encoded_jit_config: Secret,
}
