//! What a message of the scale set says of its jobs.

use super::look::count;
use crate::pool::model::scale_set::{JobEvent, JobStatistics, ScaleSetMessage};

/// The statistics once a message has been read. A message without any changes nothing; and zero assigned jobs beside an
/// event of a job that is there is GitHub's mistake: <https://github.com/actions/actions-runner-controller/issues/3420>.
#[must_use]
pub fn statistics_after(before: JobStatistics, message: &ScaleSetMessage) -> JobStatistics {
    let Some(statistics) = message.statistics else { return before };
    let n_assigned = count(message.events.iter().filter(|event| matches!(event, JobEvent::Assigned)).count());
    let n_started = count(message.events.iter().filter(|event| matches!(event, JobEvent::Started { .. })).count());
    let assigned = if statistics.assigned == 0 && n_assigned.max(n_started) > 0 {
        before.assigned.max(n_assigned).max(n_started)
    } else {
        // They may be older than the events beside them; a runner too many leaves again.
        statistics.assigned.max(n_assigned)
    };
    JobStatistics { assigned, ..statistics }
}

/// The jobs that a message offers.
#[must_use]
pub fn available_jobs(message: &ScaleSetMessage) -> Vec<i64> {
    let request_id = |event: &JobEvent| match event {
        JobEvent::Available { request_id } => Some(*request_id),
        JobEvent::Assigned | JobEvent::Started { .. } | JobEvent::Completed { .. } => None,
    };
    message.events.iter().filter_map(request_id).collect()
}
