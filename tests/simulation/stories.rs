//! The cases that people ask about first, each told from beginning to end.

use std::collections::BTreeMap;

use crate::faults::Trouble;
use crate::run::{Report, run};
use crate::script::{Action, Pool, Script, What};

/// A run in which nothing happens but what is said.
fn story(pool: Pool, calm_secs: u64, actions: Vec<(u64, What)>) -> Report {
    let actions = actions.into_iter().map(|(secs, what)| Action { at_millis: secs * 1000, what }).collect();
    let script = Script {
        seed: 7,
        pools: vec![pool],
        poll_secs: 10,
        budget_secs: None,
        has_squatter: false,
        actions,
        faults: BTreeMap::new(),
        calm_secs,
    };
    run(script, None, true)
}

fn create() -> (u64, What) {
    (1, What::Create { stack: 0 })
}

fn job(secs: u64) -> What {
    What::Job { label: "pool-0".to_owned(), secs }
}

/// The statuses that CloudFormation heard, in order.
fn answers(report: &Report) -> Vec<&str> {
    let lines = report.told.iter().filter(|line| line.contains(" answer to "));
    lines.map(|line| if line.contains(r#""Status":"SUCCESS""#) { "SUCCESS" } else { "FAILED" }).collect()
}

fn holds(report: &Report) {
    assert!(report.violations.is_empty(), "{:#?}\n{}", report.violations, report.told.join("\n"));
}

#[test]
fn a_delete_that_arrives_while_the_create_is_at_work_takes_over_and_leaves_nothing() {
    let report = story(Pool { count: 3, ..Pool::plain() }, 60, vec![create(), (40, What::Delete { stack: 0 })]);
    holds(&report);
    // The Create was building, and stopped without a word; the Delete alone is answered.
    assert!(report.occurred.contains("step create_capacity_provider"));
    assert!(report.occurred.contains("line yield"));
    assert_eq!(answers(&report), ["SUCCESS"]);
}

#[test]
fn an_update_that_is_cancelled_is_rolled_back_under_a_running_job() {
    let newer = Pool { image: 2, count: 2, ..Pool::plain() };
    let actions = vec![
        create(),
        (300, job(900)),
        (400, What::Update { stack: 0, pool: Box::new(newer) }),
        (430, What::Cancel { stack: 0 }),
    ];
    let report = story(Pool::plain(), 1500, actions);
    holds(&report);
    assert!(report.occurred.contains("transition rollback succeeded in place"));
    assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    // The Create, the rollback, and the Delete at the end; nobody waits for the cancelled Update.
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
}

#[test]
fn a_replacement_that_is_cancelled_leaves_nothing_of_the_new_pool() {
    let elsewhere = Pool { org: "globex".to_owned(), ..Pool::plain() };
    let actions =
        vec![create(), (400, What::Update { stack: 0, pool: Box::new(elsewhere) }), (480, What::Cancel { stack: 0 })];
    let report = story(Pool::plain(), 900, actions);
    holds(&report);
    assert!(report.occurred.contains("line abandoned"), "the rollback takes it down, for nobody else would");
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
}

#[test]
fn a_delete_that_is_delivered_twice_at_once_is_one_delete() {
    let actions = vec![create(), (300, What::Duplicate), (301, What::Delete { stack: 0 })];
    let report = story(Pool { count: 2, ..Pool::plain() }, 310, actions);
    holds(&report);
    assert!(report.occurred.contains("fault DuplicateDelivery"));
    let heard = answers(&report);
    assert!(heard.iter().all(|status| *status == "SUCCESS") && (2..=3).contains(&heard.len()), "{heard:?}");
}

#[test]
fn a_credential_that_is_revoked_midway_lets_the_job_end_and_the_answer_names_what_is_left() {
    let revoked = What::Trouble { trouble: Trouble::TokenRevoked, secs: 3000 };
    let actions = vec![create(), (300, job(600)), (330, What::Delete { stack: 0 }), (360, revoked)];
    let report = story(Pool::plain(), 3300, actions);
    holds(&report);
    assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    let last = report.told.iter().rfind(|line| line.contains(" answer to ")).unwrap();
    assert!(last.contains(r#""Status":"SUCCESS""#) && last.contains("GitHub may still list"), "{last}");
}

#[test]
fn an_hour_of_draining_is_one_answer_in_at_most_six_invocations() {
    let patient = Pool { online_secs: 300, drain_secs: 3000, ..Pool::plain() };
    let actions = vec![create(), (300, job(2900)), (320, What::Delete { stack: 0 })];
    let report = story(patient, 330, actions);
    holds(&report);
    assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    assert!((3..=6).contains(&report.figures.hops), "{} hops of fourteen minutes", report.figures.hops);
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"]);
}
