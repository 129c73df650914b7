//! Statistics, and the jobs that messages offer.

use std::time::Duration;

use super::pool;
use crate::pool::model::scale_set::{JobEvent, JobStatistics, MessageQueue, MessageSession, ScaleSetMessage};
use crate::pool::model::scaling::{ListenerProgress, ScalingRecord};
use crate::pool::model::secret::Secret;
use crate::pool::policy::demand::{
    available_jobs, begin_session, confirm_statistics, is_confirmation_due, postpone_confirmation, record_statistics,
};
use crate::pool::tests::support::T0;

fn assigned(assigned: u32) -> JobStatistics {
    JobStatistics { assigned, ..JobStatistics::default() }
}

/// The progress of a listener that knew of so many jobs.
fn progress(statistics: JobStatistics) -> ListenerProgress {
    ListenerProgress { statistics, ..ScalingRecord::new(pool(0, 20, 0).goal, T0).progress }
}

/// The progress once a session was opened with these statistics.
fn opened(before: u32, statistics: Option<JobStatistics>) -> ListenerProgress {
    let mut progress = progress(assigned(before));
    let queue = MessageQueue { url: Secret::new("https://queue.example"), token: Secret::new("planted") };
    begin_session(&mut progress, MessageSession { id: "session-1".to_owned(), queue }, statistics, T0);
    progress
}

fn after(before: JobStatistics, message: &ScaleSetMessage) -> JobStatistics {
    let mut progress = progress(before);
    record_statistics(&mut progress, message);
    progress.statistics
}

#[test]
fn statistics_of_an_opened_session_count_at_once_only_where_they_lower_nothing() {
    for (before, at_opening, expected, is_unconfirmed) in [
        (0, Some(0), 0, false),
        (0, Some(4), 4, false),
        (4, Some(4), 4, false),
        (4, None, 4, false),
        (4, Some(3), 4, true),
        (4, Some(0), 4, true),
    ] {
        let progress = opened(before, at_opening.map(assigned));
        assert_eq!(progress.statistics.assigned, expected, "{before} {at_opening:?}");
        assert_eq!(progress.unconfirmed.is_some(), is_unconfirmed, "{before} {at_opening:?}");
        assert_eq!(is_confirmation_due(&progress, T0 + Duration::from_secs(60)), is_unconfirmed);
        assert!(!is_confirmation_due(&progress, T0 + Duration::from_secs(59)));
    }
}

#[test]
fn statistics_of_zero_at_the_opening_count_once_another_reading_confirms_them() {
    for (reading, expected) in [(Some(0), 0), (Some(5), 5), (None, 0)] {
        let mut progress = opened(4, Some(assigned(0)));
        confirm_statistics(&mut progress, reading.map(assigned));
        assert_eq!((progress.statistics.assigned, progress.unconfirmed), (expected, None), "{reading:?}");
    }
    let mut failed = opened(4, Some(assigned(0)));
    let due_at = T0 + Duration::from_secs(60);
    postpone_confirmation(&mut failed, due_at);
    assert_eq!(failed.statistics.assigned, 4);
    assert!(!is_confirmation_due(&failed, due_at) && is_confirmation_due(&failed, due_at + Duration::from_secs(60)));
}

#[test]
fn statistics_of_zero_at_the_opening_count_once_a_message_confirms_them() {
    for (statistics, expected, is_unconfirmed) in [(Some(0), 0, false), (Some(2), 2, false), (None, 4, true)] {
        let mut progress = opened(4, Some(assigned(0)));
        let message = ScaleSetMessage { id: 1, statistics: statistics.map(assigned), events: Vec::new() };
        record_statistics(&mut progress, &message);
        assert_eq!((progress.statistics.assigned, progress.unconfirmed.is_some()), (expected, is_unconfirmed));
    }
}

#[test]
fn statistics_of_zero_beside_a_job_that_is_there_are_not_believed() {
    let before = JobStatistics { assigned: 3, ..JobStatistics::default() };
    let zero = Some(JobStatistics::default());
    let message = |statistics, events| ScaleSetMessage { id: 1, statistics, events };
    let started = JobEvent::Started { runner: "r".to_owned() };
    for (message, assigned) in [
        (message(None, vec![]), 3),
        (message(zero, vec![]), 0),
        (message(zero, vec![JobEvent::Assigned]), 3),
        (message(zero, vec![started]), 3),
        (message(zero, vec![JobEvent::Completed { runner: None }]), 0),
        (message(Some(JobStatistics { assigned: 5, ..before }), vec![JobEvent::Assigned]), 5),
        // Late by the two jobs beside them.
        (message(Some(JobStatistics { assigned: 1, ..before }), vec![JobEvent::Assigned, JobEvent::Assigned]), 2),
    ] {
        assert_eq!(after(before, &message).assigned, assigned, "{message:?}");
    }
    let first = message(zero, vec![JobEvent::Assigned]);
    assert_eq!(after(JobStatistics::default(), &first).assigned, 1);
}

#[test]
fn only_jobs_that_are_available_are_acquired() {
    let events = vec![
        JobEvent::Available { request_id: 11 },
        JobEvent::Assigned,
        JobEvent::Completed { runner: None },
        JobEvent::Available { request_id: 12 },
    ];
    assert_eq!(available_jobs(&ScaleSetMessage { id: 1, statistics: None, events }), [11, 12]);
}
