//! `StartDelay`: how long jobs have waited although `MaxRunners` leaves room.

use std::time::Duration;

use crate::pool::model::scale_set::{JobEvent, JobStatistics, ScaleSetMessage};
use crate::pool::policy::start_delay::StartDelay;
use crate::pool::tests::support::T0;

fn jobs(assigned: u32, running: u32) -> JobStatistics {
    JobStatistics { assigned, running, ..JobStatistics::default() }
}

fn after(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn start_delay_grows_while_a_job_waits_and_ends_with_the_last_one() {
    let mut delay = StartDelay::default();
    let mut observe = |assigned, running, secs| delay.observe(5, &jobs(assigned, running), T0 + after(secs));
    assert_eq!(observe(2, 2, 0), Duration::ZERO);
    assert_eq!(observe(3, 2, 10), Duration::ZERO);
    assert_eq!(observe(3, 2, 310), after(300));
    assert_eq!(observe(3, 3, 320), Duration::ZERO);
    assert_eq!(observe(4, 3, 330), Duration::ZERO, "another job begins to wait");
}

#[test]
fn start_delay_begins_anew_when_any_job_starts() {
    let mut delay = StartDelay::default();
    delay.observe(5, &jobs(4, 1), T0);
    let started = |events| ScaleSetMessage { id: 1, statistics: None, events };
    delay.record_message(&started(vec![JobEvent::Assigned]));
    assert_eq!(delay.observe(5, &jobs(4, 1), T0 + after(60)), after(60));
    delay.record_message(&started(vec![JobEvent::Started { runner: "runner".to_owned() }]));
    assert_eq!(delay.observe(5, &jobs(4, 2), T0 + after(70)), Duration::ZERO);
}

#[test]
fn start_delay_does_not_count_jobs_beyond_max_runners() {
    let mut delay = StartDelay::default();
    delay.observe(2, &jobs(9, 2), T0);
    assert_eq!(delay.observe(2, &jobs(9, 2), T0 + after(3_600)), Duration::ZERO);
    assert_eq!(delay.observe(2, &jobs(9, 1), T0 + after(3_610)), Duration::ZERO);
    assert_eq!(delay.observe(2, &jobs(9, 1), T0 + after(3_640)), after(30));
}
