//! What a message of the scale set says of its jobs.

use std::time::Duration;

use super::look::count;
use crate::pool::model::scale_set::{JobEvent, JobStatistics, MessageSession, ScaleSetMessage};
use crate::pool::model::scaling::{ListenerProgress, UnconfirmedStatistics};
use crate::pool::model::time::Timestamp;

/// How long a session's first statistics wait for a message that corrects them before they are read again: a long poll
/// takes about 50 seconds.
const CONFIRMATION_DELAY: Duration = Duration::from_secs(60);

/// A session was opened, with these statistics. Those that count fewer jobs than before are not believed at once: GitHub's
/// may be late, or zero, and a poll without a message has none that would correct them.
pub fn begin_session(
    progress: &mut ListenerProgress,
    session: MessageSession,
    statistics: Option<JobStatistics>,
    now: Timestamp,
) {
    // Message ids are those of a session's queue.
    progress.last_message_id = 0;
    progress.session = Some(session);
    let Some(statistics) = statistics else { return };
    if statistics.assigned < progress.statistics.assigned {
        let read_again_at = now + CONFIRMATION_DELAY;
        progress.unconfirmed = Some(UnconfirmedStatistics { statistics, read_again_at });
    } else {
        progress.statistics = statistics;
        progress.unconfirmed = None;
    }
}

/// Whether the set's statistics are to be read again.
#[must_use]
pub fn is_confirmation_due(progress: &ListenerProgress, now: Timestamp) -> bool {
    progress.unconfirmed.as_ref().is_some_and(|unconfirmed| now >= unconfirmed.read_again_at)
}

/// The reading has failed.
pub fn postpone_confirmation(progress: &mut ListenerProgress, now: Timestamp) {
    if let Some(unconfirmed) = &mut progress.unconfirmed {
        unconfirmed.read_again_at = now + CONFIRMATION_DELAY;
    }
}

/// What another reading of the set says, once one is due. Where GitHub shows no statistics with the set, those of the
/// session's opening count.
pub fn confirm_statistics(progress: &mut ListenerProgress, reading: Option<JobStatistics>) {
    if let Some(unconfirmed) = progress.unconfirmed.take() {
        progress.statistics = reading.unwrap_or(unconfirmed.statistics);
    }
}

/// What a message says of the statistics.
pub fn record_statistics(progress: &mut ListenerProgress, message: &ScaleSetMessage) {
    if message.statistics.is_some() {
        progress.statistics = statistics_after(progress.statistics, message);
        progress.unconfirmed = None;
    }
}

/// The statistics once a message has been read. A message without any changes nothing; and zero assigned jobs beside an
/// event of a job that is there is GitHub's mistake: <https://github.com/actions/actions-runner-controller/issues/3420>.
fn statistics_after(before: JobStatistics, message: &ScaleSetMessage) -> JobStatistics {
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
