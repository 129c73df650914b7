//! Pools with as many runners as jobs: each trace from beginning to end.

use std::collections::BTreeMap;

use crate::faults::Fault;
use crate::run::{Report, run};
use crate::script::{Pool, Prints, Script, What};
use crate::stories::{answers, create, holds, script};

fn pool() -> Pool {
    Pool { is_registered_by_function: true, is_ephemeral: true, max_runners: Some(6), has_log: true, ..Pool::plain() }
}

fn jobs(n: u64, at: u64, secs: u64) -> impl Iterator<Item = (u64, What)> {
    let job = move || What::Job { label: "pool-0".to_owned(), secs, prints: Prints::Nothing };
    (0..n).map(move |_| (at, job()))
}

fn story(pool: Pool, calm_secs: u64, actions: impl Iterator<Item = (u64, What)>) -> Report {
    run(script(pool, calm_secs, std::iter::once(create()).chain(actions).collect()), None, true)
}

#[test]
fn max_runners_starts_a_runner_for_each_job_of_a_burst_and_goes_back_to_zero() {
    let report = story(pool(), 5_000, jobs(15, 400, 120));
    holds(&report);
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"]);
    assert_eq!(report.figures.jobs, 15);
}

#[test]
fn min_runners_are_kept_beside_the_jobs() {
    let report = story(Pool { min_runners: 2, ..pool() }, 5_000, jobs(3, 600, 600).chain(jobs(2, 2_600, 60)));
    holds(&report);
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"]);
    assert_eq!(report.figures.jobs, 5);
}

#[test]
fn max_runners_that_is_lowered_lets_every_running_job_end() {
    let lowered = What::Update { stack: 0, pool: Box::new(Pool { max_runners: Some(1), ..pool() }) };
    let report = story(pool(), 3_600, jobs(3, 400, 2_400).chain([(900, lowered)]));
    holds(&report);
    assert_eq!(answers(&report), ["SUCCESS"; 3]);
    assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (3, 0), "each ran to its end");
}

#[test]
fn surplus_runner_leaves_while_a_job_runs_on_an_older_revision() {
    let newer = What::Update { stack: 0, pool: Box::new(Pool { image: 2, ..pool() }) };
    let cancelled = (910, What::CancelJob { label: "pool-0".to_owned() });
    let actions = jobs(1, 400, 2_600).chain([(700, newer)]).chain(jobs(1, 900, 60)).chain([cancelled]);
    let report = story(pool(), 3_600, actions);
    holds(&report);
    assert_eq!(answers(&report), ["SUCCESS"; 3]);
    let deregistered = report.trace.iter().find(|line| line.contains("Deregistered {")).unwrap();
    let at: f64 = deregistered.split_whitespace().next().unwrap().parse().unwrap();
    assert!(at < 1_500.0, "while the first job runs: {deregistered}");
}

#[test]
fn run_task_under_way_while_max_runners_is_lowered_still_starts_its_tasks() {
    let lowered = What::Update { stack: 0, pool: Box::new(Pool { max_runners: Some(1), ..pool() }) };
    let actions = jobs(2, 400, 1_500).chain(jobs(1, 700, 60)).chain([(702, lowered)]);
    let mut script = script(pool(), 3_600, std::iter::once(create()).chain(actions).collect());
    let last = |report: &Report, text: &str| report.trace.iter().rposition(|line| line.contains(text)).unwrap();
    let report = run(script.clone(), None, true);
    let line = &report.trace[last(&report, "RunTask is background call ")];
    let call = line.rsplit(' ').next().unwrap().parse().unwrap();
    script.background_faults = BTreeMap::from([(call, Fault::Slow)]);
    let report = run(script, None, true);
    holds(&report);
    assert!(last(&report, "TasksStarted {") > last(&report, " answer to 1"), "after the Update");
}

#[test]
fn stop_task_that_arrives_late_ends_no_job_of_a_task_that_got_an_instance_meanwhile() {
    let (mut n_late, mut n_refused) = (0, 0);
    // Where the task still has no instance when the pool decides to stop it.
    for cancelled_at in (325..=385).step_by(10) {
        let cancelled = (cancelled_at, What::CancelJob { label: "pool-0".to_owned() });
        let actions = || std::iter::once(create()).chain(jobs(1, 300, 120)).chain([cancelled.clone()]);
        let stop_of = |script: &Script| {
            let on_time = run(script.clone(), None, true);
            holds(&on_time);
            let (at, call) = on_time.trace.iter().find_map(|line| line.split_once("StopTask is background call "))?;
            Some((at.trim().split_once('.')?.0.parse::<u64>().ok()?, call.parse::<u32>().ok()?))
        };
        let Some((stopped_at, _)) = stop_of(&script(pool(), 2_500, actions().collect())) else { continue };
        // The next job comes while the call is under way, and so does the instance.
        let mut late = script(pool(), 2_500, actions().chain(jobs(1, stopped_at + 1, 900)).collect());
        let Some((_, call)) = stop_of(&late) else { continue };
        late.background_faults = BTreeMap::from([(call, Fault::Slow)]);
        let report = run(late, None, true);
        holds(&report);
        assert!(report.trace.iter().any(|line| line.contains("Slow at StopTask")));
        assert_eq!((report.figures.jobs_lost, answers(&report)), (0, vec!["SUCCESS", "SUCCESS"]));
        n_late += 1;
        n_refused += u32::from(report.trace.iter().any(|line| line.contains("the pool stops this task")));
    }
    assert!(n_late > 0 && n_refused > 0, "{n_refused} of {n_late} tasks asked after their registration was withdrawn");
}
