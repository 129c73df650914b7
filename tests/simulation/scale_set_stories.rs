//! Pools with as many runners as jobs: each trace from beginning to end.

use std::collections::BTreeMap;

use crate::faults::Fault;
use crate::run::{Report, run};
use crate::script::{Pool, Prints, What};
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
fn stop_task_that_arrives_late_ends_no_job_of_a_task_that_got_an_instance_meanwhile() {
    let mut n_refused = 0;
    // The task still has no instance when the pool decides to stop it.
    for cancelled_at in [345, 365] {
        let cancelled = (cancelled_at, What::CancelJob { label: "pool-0".to_owned() });
        let actions = || std::iter::once(create()).chain(jobs(1, 300, 120)).chain([cancelled.clone()]);
        let on_time = run(script(pool(), 2_500, actions().collect()), None, true);
        holds(&on_time);
        let stop = on_time.trace.iter().find_map(|line| line.split_once("StopTask is background call "));
        let (at, call) = stop.expect("a task without an instance is stopped");
        // The next job comes while the call is under way, and so does the instance.
        let at = at.trim().split_once('.').unwrap().0.parse::<u64>().unwrap() + 1;
        let mut late = script(pool(), 2_500, actions().chain(jobs(1, at, 900)).collect());
        late.background_faults = BTreeMap::from([(call.parse().unwrap(), Fault::Slow)]);
        let report = run(late, None, true);
        holds(&report);
        assert!(report.trace.iter().any(|line| line.contains("Slow at StopTask")));
        assert_eq!((report.figures.jobs_lost, answers(&report)), (0, vec!["SUCCESS", "SUCCESS"]));
        n_refused += u32::from(report.trace.iter().any(|line| line.contains("the pool stops this task")));
    }
    assert!(n_refused > 0, "no task asked after its registration was withdrawn");
}
