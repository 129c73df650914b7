//! The state of each task that is to leave, as a table: what was observed and remembered, and what comes next.

mod runner_logs;

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::memory::{Memory, REGISTRATION_GRACE};
use crate::pool::model::observed::{GitHubRunners, LogReading, Observed, Reading};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_log::{LogLine, NoLog, read};
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::retirement::{Drain, DrainProgress, DrainSet, SECOND_READING, SELF_EXIT, retire};
use crate::pool::tests::support::{T0, built, delete, foreign, names, runner, spec, task};

/// When each case decides.
const NOW: Timestamp = Timestamp::from_epoch_millis(1_800_010_000_000);
/// Longer than every grace that may end before it.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
const DIGITS: &str = "0123456789ab";
const RUNNER: u64 = 1;

fn ago(secs: u64) -> Timestamp {
    NOW - Duration::from_secs(secs)
}

/// What a retirement does next with one task, whose idle runner GitHub lists. A case changes what was observed or is
/// remembered.
fn next(change: impl FnOnce(&mut Observed, &mut Memory)) -> String {
    let operation = delete(&spec());
    let id = operation.id.clone();
    let mut memory = Memory::default();
    let mut observed = Observed {
        tasks: vec![task(&id, DIGITS)],
        github: GitHubRunners::Listed(vec![runner(&id, RUNNER, DIGITS)]),
        github_read: Some(Reading { began_at: NOW, ended_at: NOW }),
        ..Observed::default()
    };
    change(&mut observed, &mut memory);
    let tasks: Vec<&Task> = observed.tasks.iter().collect();
    let leavers = DrainSet { tasks: &tasks, count: tasks.len() };
    let at = DecisionTime { now: NOW, poll: POLL_INTERVAL };
    let metadata = PoolMetadata::of(&id, &spec());
    match retire(Drain::of(&operation, &metadata), &mut memory, &observed, leavers, at) {
        DrainProgress::Pending(Decision::Act(steps)) => names(&steps).join(", "),
        DrainProgress::Pending(Decision::Wait { scope: ObserveScope::RunnerLogs, .. }) => "reads its log".to_owned(),
        DrainProgress::Pending(Decision::Wait { why, until, .. }) => {
            let why = why.to_string().replace(&format!("github-runner-{}-{DIGITS}", id.hash()), "RUNNER");
            format!("{}, for {} s", why.trim_start_matches("runners to leave: "), until.since(NOW).as_secs())
        }
        other @ (DrainProgress::Done | DrainProgress::Pending(_) | DrainProgress::TimedOut { .. }) => {
            format!("{other:?}")
        }
    }
}

/// The list is empty, and the runner was there before.
fn unlist(observed: &mut Observed) {
    observed.github = GitHubRunners::Listed(Vec::new());
}

fn arn(observed: &Observed) -> String {
    observed.tasks[0].arn.clone()
}

/// The log was read in this observation, and shows no job since then.
fn idle_log(observed: &mut Observed, since: Timestamp) {
    let line = LogLine { at: since, text: "2026-09-16 15:14:46Z: Listening for Jobs".to_owned() };
    observed.logs.insert(arn(observed), LogReading::State(read(&[line]).unwrap()));
}

/// The log was read two seconds ago, and had no line yet.
fn inconclusive_log(observed: &Observed, memory: &mut Memory) {
    let logs = [(arn(observed), LogReading::Silent { is_whole: false })].into();
    let earlier = Observed { logs, tasks: observed.tasks.clone(), ..Observed::default() };
    memory.logs.record_observation(&earlier, ago(2));
}

/// Its log is known to be none.
fn without_log(observed: &Observed, memory: &mut Memory, why: NoLog) {
    memory.logs.absent.insert(arn(observed), why);
}

fn idle_for(memory: &mut Memory, secs: u64) {
    memory.idle_since.insert(RUNNER, ago(secs));
}

type Case = (&'static str, fn(&mut Observed, &mut Memory), &'static str);

fn assert_cases(cases: &[Case]) {
    for (case, change, wanted) in cases {
        assert_eq!(next(change), *wanted, "{case}");
    }
}

#[test]
fn task_that_stops_or_starts_is_waited_for() {
    assert_cases(&[
        ("desired status STOPPED", |o, _| o.tasks[0].desired_stopped = true, "1 ending, for 15 s"),
        ("STOPPING", |o, _| o.tasks[0].phase = TaskPhase::Stopping, "1 ending, for 15 s"),
        ("PENDING", |o, _| o.tasks[0].phase = TaskPhase::Starting, "1 ending, for 15 s"),
    ]);
}

#[test]
fn registered_runner_is_deregistered_after_idle_confirmation() {
    const UNCONFIRMED: &str = "1 idle but not yet for the confirmation window, for 15 s";
    assert_cases(&[
        (
            "busy",
            |o, m| {
                let GitHubRunners::Listed(runners) = &mut o.github else { panic!("not listed") };
                runners[0].is_busy = true;
                idle_for(m, 60);
            },
            "1 with a running job (RUNNER), for 15 s",
        ),
        ("never read before", |_, _| {}, UNCONFIRMED),
        (
            "a second too early",
            |o, m| {
                idle_for(m, 59);
                without_log(o, m, NoLog::NotConfigured);
            },
            "1 idle but not yet for the confirmation window, for 1 s",
        ),
        (
            "idle for the window, and no log",
            |o, m| {
                idle_for(m, 60);
                without_log(o, m, NoLog::NotConfigured);
            },
            "deregister_runner",
        ),
        (
            "idle for the window by an older list",
            |o, m| {
                idle_for(m, 60);
                without_log(o, m, NoLog::NotConfigured);
                o.github_read = Some(Reading { began_at: ago(1), ended_at: NOW });
            },
            UNCONFIRMED,
        ),
        ("idle for the window, its log not read yet", |_, m| idle_for(m, 60), "reads its log"),
    ]);
}

#[test]
fn registered_runner_whose_log_was_read_is_deregistered_if_it_shows_no_job() {
    assert_cases(&[
        (
            "idle for the window, and its log shows no job",
            |o, m| {
                idle_for(m, 60);
                idle_log(o, ago(600));
            },
            "deregister_runner",
        ),
        (
            "idle for less, its log shows no job",
            |o, m| {
                idle_for(m, 59);
                idle_log(o, ago(600));
            },
            "1 idle but not yet for the confirmation window, for 1 s",
        ),
        (
            "idle for the window, its log was inconclusive two seconds ago",
            |o, m| {
                idle_for(m, 100);
                inconclusive_log(o, m);
            },
            "1 idle but not yet for the confirmation window, for 13 s",
        ),
        (
            "idle for less, its log was inconclusive two seconds ago",
            |o, m| {
                idle_for(m, 57);
                inconclusive_log(o, m);
            },
            "1 idle but not yet for the confirmation window, for 3 s",
        ),
    ]);
}

#[test]
fn deregistered_runner_s_task_is_stopped_only_on_the_word_of_its_log() {
    fn since(observed: &mut Observed, memory: &mut Memory, secs: u64) {
        unlist(observed);
        memory.deregistered_at.insert(DIGITS.to_owned(), ago(secs));
    }
    assert_eq!((SECOND_READING.as_secs(), SELF_EXIT.as_secs()), (20, 90), "the cases count on it");
    assert_cases(&[
        ("before the second reading", |o, m| since(o, m, 19), "1 ending, for 15 s"),
        ("at the second reading", |o, m| since(o, m, 20), "reads its log"),
        (
            "it was inconclusive",
            |o, m| {
                since(o, m, 30);
                inconclusive_log(o, m);
            },
            "1 ending, for 15 s",
        ),
        (
            "no log, and time to end by itself",
            |o, m| {
                since(o, m, 89);
                m.logs.absent.insert(arn(o), NoLog::NotConfigured);
            },
            "1 ending, for 15 s",
        ),
        (
            "no log, and no more time",
            |o, m| {
                since(o, m, 90);
                m.logs.absent.insert(arn(o), NoLog::Missing);
            },
            "1 that did not stop after deregistration, so presumed busy (its log stream does not exist, so create the \
             LogGroup), for 15 s",
        ),
        (
            "its job has just ended",
            |o, m| {
                since(o, m, 30);
                idle_log(o, ago(9));
            },
            "1 ending, for 15 s",
        ),
        (
            "its job ended",
            |o, m| {
                since(o, m, 30);
                idle_log(o, ago(10));
            },
            "unprotect_tasks, stop_task",
        ),
        (
            "a line from the future",
            |o, m| {
                since(o, m, 30);
                idle_log(o, NOW + Duration::from_secs(1));
            },
            "unprotect_tasks, stop_task",
        ),
    ]);
}

#[test]
fn unregistered_task_has_registration_grace_and_is_stopped_if_it_never_had_a_runner() {
    fn since(observed: &mut Observed, memory: &mut Memory, secs: u64) {
        unlist(observed);
        memory.unregistered_since.insert(arn(observed), ago(secs));
    }
    const UNKNOWN: &str = "1 whose state cannot be read, so presumed busy";
    assert_eq!(REGISTRATION_GRACE.as_secs(), 180, "the cases count on it");
    assert_eq!(next(|o, _| unlist(o)), format!("{UNKNOWN}, for 15 s"));
    assert_eq!(next(|o, m| since(o, m, 176)), format!("{UNKNOWN}, for 4 s"));
    assert_cases(&[
        ("its log is due", |o, m| since(o, m, 180), "reads its log"),
        (
            "its log was inconclusive",
            |o, m| {
                since(o, m, 180);
                inconclusive_log(o, m);
            },
            "1 whose state cannot be read, so presumed busy, for 13 s",
        ),
        (
            "its log has no line of a listener",
            |o, m| {
                since(o, m, 180);
                without_log(o, m, NoLog::NeverListened);
                o.logs.insert(arn(o), LogReading::Silent { is_whole: true });
            },
            "withdraw_registration, unprotect_tasks, stop_task",
        ),
        (
            "its log had no line of a listener when it was last read",
            |o, m| {
                since(o, m, 180);
                without_log(o, m, NoLog::NeverListened);
            },
            "reads its log",
        ),
        (
            "no log, and never protected",
            |o, m| {
                since(o, m, 180);
                without_log(o, m, NoLog::NotConfigured);
                m.never_protected.insert(arn(o));
            },
            "withdraw_registration, unprotect_tasks, stop_task",
        ),
        (
            "no log, and protected before",
            |o, m| {
                since(o, m, 180);
                without_log(o, m, NoLog::Missing);
            },
            "1 that did not stop after deregistration, so presumed busy (its log stream does not exist, so create the \
             LogGroup), for 15 s",
        ),
        (
            "its job has just ended",
            |o, m| {
                since(o, m, 180);
                idle_log(o, ago(9));
            },
            "1 whose state cannot be read, so presumed busy, for 10 s",
        ),
        (
            "its job ended",
            |o, m| {
                since(o, m, 180);
                idle_log(o, ago(10));
            },
            "unprotect_tasks, stop_task",
        ),
    ]);
}

#[test]
fn task_of_unknown_state_is_waited_for() {
    const UNKNOWN: &str = "1 whose state cannot be read, so presumed busy, for 15 s";
    assert_cases(&[
        ("no access to GitHub", |o, _| o.github = GitHubRunners::NoCredential, UNKNOWN),
        ("no id of its container", |o, _| o.tasks[0].runtime_id = None, UNKNOWN),
        (
            "a runner whose name leads to no task",
            |o, m| {
                let label = delete(&spec()).id.as_str().to_owned();
                o.github =
                    GitHubRunners::Listed(vec![Runner { is_online: true, ..foreign(7, "renamed-by-hand", &label) }]);
                m.unregistered_since.insert(arn(o), T0);
            },
            UNKNOWN,
        ),
    ]);
}

#[test]
fn unregistered_task_has_registration_grace_before_stop_task() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    model.runners().clear();
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    let Decision::Wait { .. } = model.decide(&mut operation) else { panic!("too early") };
    model.now = model.now + REGISTRATION_GRACE;
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["withdraw_registration", "unprotect_tasks", "stop_task"].repeat(2));
}

#[test]
fn unmatched_runner_name_spares_every_unregistered_task() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    let label = operation.id.as_str().to_owned();
    model.runners().clear();
    let mut renamed = foreign(7, "renamed-by-hand", &label);
    renamed.is_online = true;
    model.runners().push(renamed);
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    model.decide(&mut operation);
    model.now = model.now + REGISTRATION_GRACE * 2;
    let Decision::Wait { why, .. } = model.decide(&mut operation) else { panic!("a task was touched") };
    assert!(matches!(why, WaitReason::RunnersDraining { unknown: 2, ending: 0, .. }), "{why}");
}
