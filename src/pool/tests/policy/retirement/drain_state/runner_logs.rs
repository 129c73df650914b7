//! Retirement where GitHub's list and the log of the runner disagree, or where there is no log.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::Protection;
use crate::pool::model::memory::{REGISTRATION_GRACE, StepResult};
use crate::pool::model::observed::LogReading;
use crate::pool::model::operation::Goal;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::runner_log::{LogLine, NoLog, read};
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::retirement::{SECOND_READING, SELF_EXIT};
use crate::pool::tests::support::{Model, converge, delete, names, spec};

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

fn failed_reading(kind: ErrorKind) -> LogReading {
    LogReading::Failed(RemoteError {
        remote: RemoteService::Logs,
        kind,
        operation: "GetLogEvents".to_owned(),
        code: None,
        message: "no".to_owned(),
    })
}

/// A pool of one runner whose service was lowered, idle for the whole confirmation window; and its task.
fn confirmed_idle(reading: LogReading) -> (Model, Continuation, String) {
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
fn idle_runner_is_deregistered_if_its_log_shows_no_job() {
    for texts in [&[LISTENS][..], &[LISTENS, RUNS, ENDED]] {
        let (mut model, mut operation, _) = confirmed_idle(log(texts));
        assert_eq!(act(&mut model, &mut operation), ["deregister_runner"]);
    }
}

#[test]
fn log_group_that_shows_a_job_vetoes_deregister_runner_and_restarts_idle_confirmation() {
    let (mut model, mut operation, task) = confirmed_idle(log(&[LISTENS, RUNS]));
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
fn on_drain_timeout_decides_about_a_job_that_only_the_log_shows() {
    for (on_drain_timeout, is_cut_off) in [(OnDrainTimeout::Cancel, true), (OnDrainTimeout::Fail, false)] {
        let (mut model, mut operation, _) = confirmed_idle(log(&[LISTENS, RUNS]));
        if let Goal::Delete(absent) = &mut operation.goal {
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
        let Decision::Respond(Outcome::Failed { reason }) = model.decide(&mut operation) else { panic!("no response") };
        assert!(reason.contains("whose log shows the job build"), "{reason}");
    }
}

#[test]
fn deregistered_runner_without_log_group_is_presumed_busy_until_drain_timeout() {
    let (mut model, mut operation, _) = confirmed_idle(LogReading::NotConfigured);
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
fn stop_task_after_a_second_log_reading_without_a_job() {
    let (mut model, mut operation, _) = confirmed_idle(log(&[LISTENS]));
    deregister(&mut model, &mut operation);
    pass(&mut model, &mut operation, SECOND_READING);
    assert_eq!(act(&mut model, &mut operation), ["unprotect_tasks", "stop_task"]);
}

#[test]
fn job_that_began_before_deregister_runner_runs_to_its_end() {
    let (mut model, mut operation, task) = confirmed_idle(log(&[LISTENS]));
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
fn unreadable_log_is_retried_and_then_counts_as_absent() {
    let slack = Duration::from_secs(10);
    for (reading, patience, why) in [
        (failed_reading(ErrorKind::Denied), 60, NoLog::Denied),
        (failed_reading(ErrorKind::Invalid), 60, NoLog::Unreadable),
        (failed_reading(ErrorKind::Throttled { retry_after: None }), 300, NoLog::Unreadable),
        (failed_reading(ErrorKind::Unavailable), 300, NoLog::Unreadable),
        (LogReading::Missing, 60, NoLog::Missing),
        (LogReading::Silent { is_whole: false }, 60, NoLog::Silent),
        (LogReading::Silent { is_whole: true }, 60, NoLog::NeverListened),
    ] {
        let (mut model, mut operation, task) = confirmed_idle(reading.clone());
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
fn late_log_that_shows_a_job_vetoes_deregister_runner() {
    let (mut model, mut operation, task) = confirmed_idle(LogReading::Silent { is_whole: false });
    assert!(matches!(wait(&mut model, &mut operation), WaitReason::RunnersDraining { unconfirmed: 1, .. }));
    model.logs.insert(task, log(&[LISTENS, RUNS]));
    model.now = model.now + Duration::from_secs(10);
    let why = wait(&mut model, &mut operation);
    assert!(matches!(&why, WaitReason::RunnersDraining { busy_by_log, .. } if busy_by_log.len() == 1), "{why:?}");
}

/// The same pool, its runner gone from GitHub's list before this request began.
fn forgotten(reading: LogReading, protection: Protection) -> (Model, Continuation) {
    let (mut model, _, _) = confirmed_idle(reading);
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
fn unregistered_task_with_a_job_in_its_log_is_not_stopped() {
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
fn stop_task_of_a_never_registered_task_after_registration_grace() {
    let (mut model, mut operation) = forgotten(LogReading::NotConfigured, Protection::Off);
    assert_eq!(act(&mut model, &mut operation), ["withdraw_registration", "unprotect_tasks", "stop_task"]);
    let protected = Protection::Until(Timestamp::from_epoch_millis(u64::MAX));
    let (mut model, mut operation) = forgotten(LogReading::Silent { is_whole: true }, protected);
    wait(&mut model, &mut operation);
    pass(&mut model, &mut operation, Duration::from_secs(60));
    assert_eq!(act(&mut model, &mut operation), ["withdraw_registration", "unprotect_tasks", "stop_task"]);
}

#[test]
fn unregistered_task_counts_as_the_one_that_leaves() {
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
