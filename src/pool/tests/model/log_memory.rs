//! What is remembered of a runner's log.

use std::time::Duration;

use crate::pool::model::log_memory::{Known, LogMemory};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{LogReading, Observed};
use crate::pool::model::runner_log::{LogLine, NoLog, read};
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::T0;

#[test]
fn log_memory_round_trips_with_a_job_that_runs() {
    let line = LogLine { at: T0, text: "2026-09-16 15:15:02Z: Running job: build".to_owned() };
    let reading = LogReading::State(read(&[line]).unwrap());
    let observed = Observed { logs: [("task-1".to_owned(), reading)].into(), ..Observed::default() };
    let mut memory = LogMemory::default();
    memory.record_observation(&observed, T0);
    let read_back: LogMemory = serde_json::from_value(serde_json::to_value(&memory).unwrap()).unwrap();
    assert!(read_back.busy("task-1").is_some());
    assert_eq!(read_back.busy("task-2"), None);
}

#[test]
fn log_in_which_no_runner_listened_is_read_again_before_it_counts_again() {
    let silent =
        Observed { logs: [("task-1".to_owned(), LogReading::Silent { is_whole: true })].into(), ..Observed::default() };
    let mut memory = LogMemory::default();
    let minute = Duration::from_secs(60);
    memory.record_observation(&silent, T0);
    memory.record_observation(&silent, T0 + minute);
    let at = |secs| DecisionTime { now: T0 + minute + Duration::from_secs(secs), poll: Duration::from_secs(10) };
    assert_eq!(memory.of(&silent, "task-1", at(0)), Known::Absent(NoLog::NeverListened));
    let unread = Observed::default();
    assert_eq!(memory.of(&unread, "task-1", at(5)), Known::NotYet(at(10).now));
    assert_eq!(memory.of(&unread, "task-1", at(10)), Known::Due);
    let line = LogLine { at: T0, text: "2026-09-16 15:15:02Z: Running job: build".to_owned() };
    let busy = LogReading::State(read(&[line]).unwrap());
    memory.record_observation(
        &Observed { logs: [("task-1".to_owned(), busy)].into(), ..Observed::default() },
        at(10).now,
    );
    assert!(matches!(memory.of(&unread, "task-1", at(11)), Known::Busy(_)));
}

#[test]
fn memory_of_an_older_continuation_has_the_defaults() {
    let memory: Memory = serde_json::from_str("{}").unwrap();
    assert_eq!(memory, Memory::default());
}
