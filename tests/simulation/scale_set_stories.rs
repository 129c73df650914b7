//! Pools with as many runners as jobs: each trace from beginning to end.

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
