//! What is remembered of a runner's log.

use crate::pool::model::log_memory::LogMemory;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{LogReading, Observed};
use crate::pool::model::runner_log::{LogLine, read};
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
fn memory_of_an_older_continuation_has_the_defaults() {
    let memory: Memory = serde_json::from_str("{}").unwrap();
    assert_eq!(memory, Memory::default());
}
