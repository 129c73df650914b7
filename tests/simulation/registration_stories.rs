//! Runners that the function registers: each trace from beginning to end.

use std::collections::BTreeMap;

use crate::faults::{Fault, Trouble};
use crate::run::{Report, run};
use crate::script::{Pool, Script, What};
use crate::stories::{answers, create, holds, job, script};

/// Calls of background invocations in which the first registrations of a pool are made: a tick's, then those.
const CALLS_OF_REGISTRATIONS: std::ops::Range<u32> = 1..40;

fn pool() -> Pool {
    Pool { is_registered_by_function: true, ..Pool::plain() }
}

fn delete() -> What {
    What::Delete { stack: 0 }
}

fn with_fault(mut script: Script, call: u32, fault: Fault) -> Report {
    script.background_faults = BTreeMap::from([(call, fault)]);
    run(script, None, true)
}

#[test]
fn register_by_function_grants_each_task_one_registration_and_leaves_nothing() {
    for is_ephemeral in [false, true] {
        let pool = Pool { count: 3, is_ephemeral, ..pool() };
        let newer = Pool { image: 2, ..pool.clone() };
        let update = What::Update { stack: 0, pool: Box::new(newer) };
        let report = run(script(pool, 1500, vec![create(), (300, job(200)), (400, update)]), None, true);
        holds(&report);
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
        assert!(report.figures.registrations >= 6, "{} registrations", report.figures.registrations);
        assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    }
}

#[test]
fn register_by_changes_in_place_both_ways_under_a_running_job() {
    for is_registered_by_function in [false, true] {
        let first = Pool { is_registered_by_function, ..pool() };
        let then = Pool { is_registered_by_function: !is_registered_by_function, ..pool() };
        let update = What::Update { stack: 0, pool: Box::new(then) };
        let report = run(script(first, 1800, vec![create(), (300, job(500)), (400, update)]), None, true);
        holds(&report);
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
        assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    }
}

#[test]
fn invocation_that_ends_at_any_call_of_a_registration_leaves_a_pool_that_comes_online() {
    for is_ephemeral in [false, true] {
        let script = script(Pool { is_ephemeral, ..pool() }, 2000, vec![create()]);
        let mut n_taken_over = 0;
        for call in CALLS_OF_REGISTRATIONS {
            for fault in [Fault::KillBefore, Fault::KillAfter, Fault::LostAnswer, Fault::Slow, Fault::Panic] {
                let report = with_fault(script.clone(), call, fault);
                holds(&report);
                assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"], "{fault:?} at call {call}");
                n_taken_over += u32::from(report.occurred.contains("transition claim taken over"));
            }
        }
        assert!(n_taken_over > 5, "a claim was taken over in {n_taken_over} runs");
    }
}

#[test]
fn delete_of_the_stack_while_its_tasks_ask_leaves_no_registration() {
    for (is_ephemeral, is_on_named) in [(true, false), (true, true), (false, true)] {
        let pool = Pool { count: 2, is_ephemeral, is_on_named, ..pool() };
        let mut n_asked = 0;
        for at in (60..200).step_by(7) {
            for call in [None, Some(20), Some(26), Some(32)] {
                let mut script = script(pool.clone(), 400, vec![create(), (at, delete())]);
                script.background_faults = call.map(|call| (call, Fault::KillAfter)).into_iter().collect();
                let report = run(script, None, true);
                holds(&report);
                n_asked += u32::from(report.occurred.contains("line registration"));
            }
        }
        assert!(n_asked > 10, "tasks asked in {n_asked} runs");
    }
}

#[test]
fn github_that_is_down_or_throttles_delays_a_registration_and_the_container_says_why() {
    for trouble in [Trouble::GitHubDown, Trouble::GitHubThrottles] {
        // From the moment at which the pool is built until a little after its container asks.
        let away = What::Trouble { trouble, secs: 240 };
        let report = run(script(pool(), 2000, vec![create(), (60, away)]), None, true);
        holds(&report);
        assert!(report.occurred.contains("transition registration refused for now"), "{trouble:?}");
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"], "{trouble:?}");
    }
}

#[test]
fn registration_that_a_killed_container_leaves_is_removed_by_the_sweep() {
    let actions = vec![create(), (400, What::MachineLost)];
    let report = run(script(Pool { count: 2, ..pool() }, 2400, actions), None, true);
    holds(&report);
    assert!(report.occurred.contains("transition registration removed by the sweep"));
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"]);
}

#[test]
fn job_that_asks_with_its_tasks_role_is_refused() {
    let jobs = (0..60).map(|place| (260 + place * 30, job(20)));
    let report =
        run(script(Pool { count: 2, ..pool() }, 2400, std::iter::once(create()).chain(jobs).collect()), None, true);
    holds(&report);
    assert!(report.occurred.contains("transition job asked for another registration"));
    assert!(report.occurred.contains("transition job was refused"));
    assert!(!report.occurred.contains("transition job got a registration"));
}
