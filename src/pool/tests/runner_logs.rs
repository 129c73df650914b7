//! Retirement with GitHub's word against that of the runner's own log.

use std::time::Duration;

use super::support::{Model, converge, delete, names, spec};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::Protection;
use crate::pool::model::memory::REGISTRATION_GRACE;
use crate::pool::model::memory::StepResult;
use crate::pool::model::observed::LogReading;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::runner_log::{LogLine, NoLog, read};
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::retirement::{SECOND_READING, SELF_EXIT};

const LISTENS: &str = "2026-09-16 15:14:46Z: Listening for Jobs";
const RUNS: &str = "2026-09-16 15:15:02Z: Running job: build";
const ENDED: &str = "2026-09-16 15:16:02Z: Job build completed with result: Succeeded";
const WINDOW: Duration = Duration::from_secs(60);

/// What comes of reading a log with these lines, the last one written `at`.
fn log_at(texts: &[&str], at: Timestamp) -> LogReading {
    let line = |text: &&str| LogLine { at, text: (*text).to_owned() };
    LogReading::State(read(&texts.iter().map(line).collect::<Vec<_>>()).unwrap())
}

fn log(texts: &[&str]) -> LogReading {
    log_at(texts, Timestamp::from_epoch_millis(0))
}

fn refused(kind: ErrorKind) -> LogReading {
    LogReading::Failed(RemoteError {
        remote: RemoteService::Logs,
        kind,
        operation: "GetLogEvents".to_owned(),
        code: None,
        message: "no".to_owned(),
    })
}

/// A pool of one runner whose service was lowered, watched for the whole window; and its task.
fn watched(reading: LogReading) -> (Model, Continuation, String) {
    let mut model = Model::empty();
    let spec = {
        let mut spec = spec();
        spec.desired_count = 1;
        spec
    };
    assert!(matches!(model.run(&mut converge(spec.clone())), Outcome::Succeeded { .. }));
    let task = model.observed.tasks[0].arn.clone();
    model.observed.tasks[0].protection = Protection::Until(model.now + Duration::from_secs(48 * 3600));
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    model.logs.insert(task.clone(), reading);
    let mut operation = delete(&spec);
    wait(&mut model, &mut operation);
    pass(&mut model, &mut operation, WINDOW);
    (model, operation, task)
}

/// Time passes, with an observation every ten seconds; the last decision is not taken.
fn pass(model: &mut Model, operation: &mut Continuation, span: Duration) {
    let until = model.now + span;
    while model.now + Duration::from_secs(10) < until {
        model.now = model.now + Duration::from_secs(10);
        wait(model, operation);
    }
    model.now = until;
}

fn wait(model: &mut Model, operation: &mut Continuation) -> WaitReason {
    let decision = model.decide(operation);
    let Decision::Wait { why, .. } = decision else { panic!("no wait: {decision:?}") };
    why
}

fn act(model: &mut Model, operation: &mut Continuation) -> Vec<&'static str> {
    let decision = model.decide(operation);
    let Decision::Act(plan) = decision else { panic!("no step: {decision:?}") };
    names(&plan)
}

/// GitHub deletes the runner, and its container goes on.
fn deregister(model: &mut Model, operation: &mut Continuation) {
    assert_eq!(act(model, operation), ["deregister_runner"]);
    model.runners().clear();
    let key = model.observed.tasks[0].short_container_id().unwrap().to_owned();
    operation.memory.record_step(StepResult::Deregistered { key }, model.now);
}

#[test]
fn a_runner_that_github_calls_idle_goes_if_its_log_agrees() {
    for texts in [&[LISTENS][..], &[LISTENS, RUNS, ENDED]] {
        let (mut model, mut operation, _) = watched(log(texts));
        assert_eq!(act(&mut model, &mut operation), ["deregister_runner"]);
    }
}

#[test]
fn a_runner_whose_log_shows_a_job_is_busy_whatever_github_says_and_watched_again_from_the_start() {
    let (mut model, mut operation, task) = watched(log(&[LISTENS, RUNS]));
    let why = wait(&mut model, &mut operation);
    let WaitReason::RunnersDraining { busy_by_log, unconfirmed: 0, .. } = &why else { panic!("{why:?}") };
    assert_eq!(busy_by_log.len(), 1);
    assert!(why.to_string().contains("runs build"), "{why}");
    model.logs.insert(task, log(&[LISTENS, RUNS, ENDED]));
    pass(&mut model, &mut operation, WINDOW);
    let why = wait(&mut model, &mut operation);
    assert!(matches!(&why, WaitReason::RunnersDraining { busy_by_log, .. } if busy_by_log.len() == 1), "{why:?}");
    model.now = model.now + Duration::from_secs(10);
    assert_eq!(act(&mut model, &mut operation), ["deregister_runner"]);
    let summary = operation.memory.runners_waited_for.len();
    assert_eq!(summary, 1, "it was waited for");
}

#[test]
fn the_veto_of_a_log_ends_with_drain_timeout_as_on_drain_timeout_says() {
    for (on_drain_timeout, is_cut_off) in [(OnDrainTimeout::Cancel, true), (OnDrainTimeout::Fail, false)] {
        let (mut model, mut operation, _) = watched(log(&[LISTENS, RUNS]));
        if let crate::pool::model::operation::Goal::Delete(absent) = &mut operation.goal {
            absent.wait_policy.on_drain_timeout = on_drain_timeout;
        }
        let left = operation.wait_policy().drain_timeout - WINDOW;
        pass(&mut model, &mut operation, left - Duration::from_secs(30));
        assert!(matches!(wait(&mut model, &mut operation), WaitReason::RunnersDraining { .. }));
        model.now = model.now + Duration::from_secs(60);
        if is_cut_off {
            assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
            continue;
        }
        let Decision::Respond(Outcome::Failed { reason }) = model.decide(&mut operation) else { panic!("no answer") };
        assert!(reason.contains("whose log shows the job build"), "{reason}");
    }
}

#[test]
fn a_runner_without_a_log_goes_by_githubs_word_and_its_container_is_presumed_busy_once_it_should_have_ended() {
    let (mut model, mut operation, _) = watched(LogReading::NotConfigured);
    deregister(&mut model, &mut operation);
    pass(&mut model, &mut operation, SELF_EXIT);
    let why = wait(&mut model, &mut operation);
    assert!(
        matches!(&why, WaitReason::RunnersDraining { presumed_busy, .. } if *presumed_busy == [NoLog::NotConfigured]),
        "{why:?}"
    );
    assert!(why.to_string().contains("so give the pool one"), "{why}");
    // Not even long after that.
    pass(&mut model, &mut operation, Duration::from_secs(1500));
    assert!(matches!(wait(&mut model, &mut operation), WaitReason::RunnersDraining { ending: 0, .. }));
    model.now = model.now + Duration::from_secs(200);
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"], "DrainTimeout has passed");
}

#[test]
fn a_container_that_does_not_end_is_stopped_when_its_log_shows_no_job_after_the_deletion() {
    let (mut model, mut operation, _) = watched(log(&[LISTENS]));
    deregister(&mut model, &mut operation);
    pass(&mut model, &mut operation, SECOND_READING);
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
}

#[test]
fn a_job_that_slipped_in_before_the_deletion_is_let_end() {
    let (mut model, mut operation, task) = watched(log(&[LISTENS]));
    deregister(&mut model, &mut operation);
    model.logs.insert(task.clone(), log(&[LISTENS, RUNS]));
    pass(&mut model, &mut operation, SECOND_READING + Duration::from_secs(600));
    let why = wait(&mut model, &mut operation);
    assert!(
        matches!(&why, WaitReason::RunnersDraining { busy_by_log, ending: 0, .. } if busy_by_log.len() == 1),
        "{why:?}"
    );
    // Its end is given time to reach GitHub.
    model.now = model.now + Duration::from_secs(10);
    model.logs.insert(task, log_at(&[LISTENS, RUNS, ENDED], model.now));
    let why = wait(&mut model, &mut operation);
    assert!(matches!(&why, WaitReason::RunnersDraining { ending: 1, .. }), "{why:?}");
    model.now = model.now + Duration::from_secs(10);
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
}

#[test]
fn a_log_that_cannot_be_read_is_tried_again_and_then_the_runner_counts_as_one_without() {
    let slack = Duration::from_secs(10);
    for (reading, patience, why) in [
        (refused(ErrorKind::Denied), 60, NoLog::Denied),
        (refused(ErrorKind::Invalid), 60, NoLog::Unreadable),
        (refused(ErrorKind::Throttled { retry_after: None }), 300, NoLog::Unreadable),
        (refused(ErrorKind::Unavailable), 300, NoLog::Unreadable),
        (LogReading::Missing, 60, NoLog::Missing),
        (LogReading::Silent { is_whole: false }, 60, NoLog::Silent),
        (LogReading::Silent { is_whole: true }, 60, NoLog::NeverListened),
    ] {
        let (mut model, mut operation, task) = watched(reading.clone());
        pass(&mut model, &mut operation, Duration::from_secs(patience) - slack);
        assert!(
            matches!(wait(&mut model, &mut operation), WaitReason::RunnersDraining { unconfirmed: 1, .. }),
            "{reading:?}"
        );
        model.now = model.now + slack + slack;
        deregister(&mut model, &mut operation);
        assert_eq!(operation.memory.logs.absent.get(&task), Some(&why));
        pass(&mut model, &mut operation, SELF_EXIT);
        let waiting = wait(&mut model, &mut operation);
        assert!(
            matches!(&waiting, WaitReason::RunnersDraining { presumed_busy, .. } if *presumed_busy == [why]),
            "{waiting:?}"
        );
    }
}

#[test]
fn a_log_that_is_late_is_believed_once_it_is_there() {
    let (mut model, mut operation, task) = watched(LogReading::Silent { is_whole: false });
    assert!(matches!(wait(&mut model, &mut operation), WaitReason::RunnersDraining { unconfirmed: 1, .. }));
    model.logs.insert(task, log(&[LISTENS, RUNS]));
    model.now = model.now + Duration::from_secs(10);
    let why = wait(&mut model, &mut operation);
    assert!(matches!(&why, WaitReason::RunnersDraining { busy_by_log, .. } if busy_by_log.len() == 1), "{why:?}");
}

/// The same pool, its runner gone from GitHub's list before this request began.
fn forgotten(reading: LogReading, protection: Protection) -> (Model, Continuation) {
    let (mut model, _, _) = watched(reading);
    model.runners().clear();
    model.observed.tasks[0].protection = protection;
    let mut operation = delete(&{
        let mut spec = spec();
        spec.desired_count = 1;
        spec
    });
    wait(&mut model, &mut operation);
    pass(&mut model, &mut operation, REGISTRATION_GRACE);
    (model, operation)
}

#[test]
fn a_deletion_that_was_forgotten_ends_no_job() {
    let protected = Protection::Until(Timestamp::from_epoch_millis(u64::MAX));
    let (mut model, mut operation) = forgotten(log(&[LISTENS, RUNS]), Protection::Off);
    let why = wait(&mut model, &mut operation);
    assert!(matches!(&why, WaitReason::RunnersDraining { busy_by_log, .. } if busy_by_log.len() == 1), "{why:?}");
    let (mut model, mut operation) = forgotten(LogReading::NotConfigured, protected);
    let why = wait(&mut model, &mut operation);
    assert!(matches!(&why, WaitReason::RunnersDraining { presumed_busy, .. } if presumed_busy.len() == 1), "{why:?}");
    let (mut model, mut operation) = forgotten(log(&[LISTENS, RUNS, ENDED]), protected);
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
}

#[test]
fn a_container_that_never_registered_is_stopped_after_its_grace() {
    let (mut model, mut operation) = forgotten(LogReading::NotConfigured, Protection::Off);
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
    let protected = Protection::Until(Timestamp::from_epoch_millis(u64::MAX));
    let (mut model, mut operation) = forgotten(LogReading::Silent { is_whole: true }, protected);
    wait(&mut model, &mut operation);
    pass(&mut model, &mut operation, Duration::from_secs(60));
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
}

#[test]
fn what_the_logs_said_is_carried_along() {
    let (mut model, mut operation, _) = watched(log(&[LISTENS, RUNS]));
    wait(&mut model, &mut operation);
    let carried = serde_json::to_value(&operation.memory.logs).unwrap();
    let kept: crate::pool::model::log_memory::LogMemory = serde_json::from_value(carried).unwrap();
    assert!(kept.busy(&model.observed.tasks[0].arn).is_some());
    let of_older: crate::pool::model::memory::Memory = serde_json::from_str("{}").unwrap();
    assert_eq!(of_older, crate::pool::model::memory::Memory::default());
}

#[test]
fn a_runner_whose_deletion_was_forgotten_counts_as_the_one_that_was_to_leave() {
    let mut model = Model::empty();
    assert!(matches!(model.run(&mut converge(spec())), Outcome::Succeeded { .. }));
    let mut smaller = spec();
    smaller.desired_count = 1;
    model.observed.service.as_mut().unwrap().config.desired_count = 1;
    model.runners().remove(0);
    let mut operation = converge(smaller);
    wait(&mut model, &mut operation);
    pass(&mut model, &mut operation, REGISTRATION_GRACE);
    assert_eq!(model.runners().len(), 1, "the other one stays");
}
