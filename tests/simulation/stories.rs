//! The cases that people ask about first, each trace from beginning to end.

use std::collections::BTreeMap;

use crate::faults::{Fault, Trouble};
use crate::run::{Report, run};
use crate::script::{Action, AfterDeletion, First, Pool, Prints, Rollback, Script, What};

/// A run in which nothing happens but what is said.
fn story(pool: Pool, calm_secs: u64, actions: Vec<(u64, What)>) -> Report {
    story_of(First::Create, Rollback::ByTheBook, pool, calm_secs, actions)
}

/// The same, with a stack that begins so, and whose failed Updates are followed by this.
fn story_of(first: First, rollback: Rollback, pool: Pool, calm_secs: u64, actions: Vec<(u64, What)>) -> Report {
    run(Script { first, rollback, ..script(pool, calm_secs, actions) }, None, true)
}

pub(crate) fn script(pool: Pool, calm_secs: u64, actions: Vec<(u64, What)>) -> Script {
    let actions = actions.into_iter().map(|(secs, what)| Action { at_millis: secs * 1000, what }).collect();
    Script {
        after_deletion: AfterDeletion::LivesOn,
        ends_are_lost: false,
        seed: 7,
        pools: vec![pool],
        poll_secs: 10,
        budget_secs: None,
        has_foreign_group: false,
        has_foreign_set: false,
        first: First::Create,
        rollback: Rollback::ByTheBook,
        actions,
        faults: BTreeMap::new(),
        background_faults: BTreeMap::new(),
        has_no_jit: false,
        calm_secs,
    }
}

pub(crate) fn create() -> (u64, What) {
    (1, What::Create { stack: 0 })
}

pub(crate) fn job(secs: u64) -> What {
    What::Job { label: "pool-0".to_owned(), secs, prints: Prints::Nothing }
}

/// The statuses that CloudFormation heard, in order.
pub(crate) fn answers(report: &Report) -> Vec<&str> {
    let lines = report.trace.iter().filter(|line| line.contains(" answer to "));
    lines.map(|line| if line.contains(r#""Status":"SUCCESS""#) { "SUCCESS" } else { "FAILED" }).collect()
}

pub(crate) fn holds(report: &Report) {
    assert!(report.violations.is_empty(), "{:#?}\n{}", report.violations, report.trace.join("\n"));
}

#[test]
fn a_delete_that_arrives_while_the_create_is_at_work_takes_over_and_leaves_nothing() {
    let report = story(Pool { count: 3, ..Pool::plain() }, 60, vec![create(), (40, What::Delete { stack: 0 })]);
    holds(&report);
    // The Create was building, and stopped without a word; the Delete alone is answered.
    assert!(report.occurred.contains("step create_capacity_provider"));
    assert!(report.occurred.contains("line superseded"));
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
    assert!(report.occurred.contains("line orphaned_pool"), "the rollback takes it down, for nobody else would");
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
}

#[test]
fn a_delete_that_describe_stacks_is_denied_fails_as_long_as_the_resource_has_another_pool() {
    let elsewhere = Pool { org: "globex".to_owned(), ..Pool::plain() };
    let update = (400, What::Update { stack: 0, pool: Box::new(elsewhere) });
    let actions = vec![create(), update, (480, What::Cancel { stack: 0 }), (500, What::Delete { stack: 0 })];
    let mut script = script(Pool::plain(), 1500, actions);
    let report = run(script.clone(), None, true);
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"], "both pools went with the stack");
    let call = report.trace.iter().find_map(|line| line.split_once("DescribeStacks is call ")).unwrap().1;
    script.faults = BTreeMap::from([(call.parse().unwrap(), Fault::Denied)]);
    let report = run(script, None, true);
    holds(&report);
    assert!(report.trace.iter().any(|line| line.contains("Denied at DescribeStacks")));
    assert_eq!(answers(&report), ["SUCCESS", "FAILED", "SUCCESS"], "the next Delete takes the other one down");
    let says = |line: &String| line.contains("it is unknown whether the stack is being deleted");
    assert!(report.trace.iter().any(says));
}

#[test]
fn the_pool_of_an_organization_that_was_renamed_is_drained_by_what_the_newer_pool_knows() {
    let renamed = Pool { org: "acme-inc".to_owned(), ..Pool::plain() };
    let actions = vec![
        create(),
        (300, job(900)),
        (310, What::Rename { from: "acme".to_owned(), to: "acme-inc".to_owned() }),
        (330, What::Update { stack: 0, pool: Box::new(renamed) }),
    ];
    let report = story(Pool { count: 2, drain_secs: 1500, ..Pool::plain() }, 2400, actions);
    holds(&report);
    assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    // The Create, the Update, the clean-up of the former pool, and the Delete at the end.
    assert_eq!(answers(&report), ["SUCCESS"; 4]);
    let is_left = report.trace.iter().any(|line| line.contains("GitHub may still list"));
    assert!(!is_left, "every registration of the former pool was deleted");
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
    let last = report.trace.iter().rfind(|line| line.contains(" answer to ")).unwrap();
    assert!(last.contains(r#""Status":"SUCCESS""#) && last.contains("GitHub may still list"), "{last}");
}

#[test]
fn a_runner_that_got_a_job_while_its_invocation_was_dead_keeps_it_though_github_calls_it_idle_for_a_moment() {
    let flicker = What::Trouble { trouble: Trouble::BusyFlickers, secs: 25 };
    let actions = vec![create(), (250, job(80)), (260, What::Delete { stack: 0 }), (363, job(900)), (548, flicker)];
    let script = Script { budget_secs: Some(100), ..script(Pool::plain(), 1200, actions) };
    // An invocation that has begun with an idle runner in its memory is killed, and so is the next one at its first call:
    // two redeliveries take more than three minutes. Which call comes just then follows from how a look is made.
    let mut n_met = 0;
    for call in 190..250 {
        let faults = BTreeMap::from([(call, Fault::KillAfter), (call + 1, Fault::KillAfter)]);
        let report = run(Script { faults, ..script.clone() }, None, true);
        holds(&report);
        n_met += usize::from(report.occurred.contains("fault BusyFlickers") && report.figures.jobs == 2);
    }
    assert!(n_met > 10, "GitHub called the working runner idle in {n_met} runs");
}

#[test]
fn a_delete_that_takes_over_while_a_rollback_lifts_protection_protects_the_task_again() {
    let before = Pool { fails_on_drain: true, ..Pool::plain() };
    let none = Pool { count: 0, drain_secs: 60, ..before.clone() };
    // The Update fails for the job, at 377 s or so, and the rollback has nothing to do but to lift the protection.
    let update = (300, What::Update { stack: 0, pool: Box::new(none) });
    let mut script = script(before, 900, vec![create(), (250, job(600)), update, (0, What::Delete { stack: 0 })]);
    let mut n_met = 0;
    for at_millis in (374_000..386_000).step_by(250) {
        script.actions.last_mut().unwrap().at_millis = at_millis;
        let report = run(script.clone(), None, true);
        holds(&report);
        assert_eq!(report.figures.jobs_lost + report.figures.jobs_cut_off, 0);
        n_met += usize::from(report.occurred.contains("transition delete during an operation"));
    }
    assert!(n_met > 10, "the Delete came into the rollback in {n_met} runs");
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

/// An Update to another organization whose containers do not start, and another one after it.
fn failed_replacement() -> Vec<(u64, What)> {
    let elsewhere = Pool { org: "globex".to_owned(), count: 2, online_secs: 300, ..Pool::plain() };
    let after = Pool { count: 3, ..Pool::plain() };
    vec![
        create(),
        (300, job(2400)),
        (395, What::Trouble { trouble: Trouble::ImageBroken, secs: 600 }),
        (400, What::Update { stack: 0, pool: Box::new(elsewhere) }),
        (1500, What::Update { stack: 0, pool: Box::new(after) }),
    ]
}

#[test]
fn a_delete_of_a_failed_replacement_leaves_the_old_pool_alone_before_the_rollback_and_after_it() {
    for rollback in [Rollback::ByTheBook, Rollback::CleanUpFirst, Rollback::Skipped] {
        let pool = Pool { count: 2, ..Pool::plain() };
        let report = story_of(First::Create, rollback, pool, 3000, failed_replacement());
        holds(&report);
        assert!(report.occurred.contains("transition update failed"), "{rollback:?}");
        assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "{rollback:?}: the job ran to its end");
        let heard = answers(&report);
        assert_eq!(heard[..2], ["SUCCESS", "FAILED"], "{rollback:?}");
        assert!(heard[2..].iter().all(|status| *status == "SUCCESS"), "{rollback:?}: {heard:?}");
    }
}

#[test]
fn a_delete_with_the_physical_id_of_other_code_leaves_the_pool_alone_that_an_update_has_made_since() {
    let report = story_of(First::UpdateOfForeign, Rollback::ByTheBook, Pool::plain(), 900, vec![create()]);
    holds(&report);
    assert!(report.occurred.contains("transition update succeeded by replacement"));
    let clean_up = report.trace.iter().rfind(|line| line.contains(" answer to 1:")).unwrap();
    assert!(clean_up.contains("names no pool, so nothing was deleted"), "{clean_up}");
}

#[test]
fn a_delete_with_a_made_up_physical_id_leaves_the_pool_alone_that_a_second_create_has_made() {
    let actions = vec![create(), (30, What::Cancel { stack: 0 })];
    let report = story_of(First::CreateUnanswered, Rollback::ByTheBook, Pool::plain(), 900, actions);
    holds(&report);
    assert!(report.occurred.contains("transition create sent again"));
    let clean_up = report.trace.iter().rfind(|line| line.contains(" answer to 2:")).unwrap();
    assert!(clean_up.contains("names no pool, so nothing was deleted"), "{clean_up}");
}

#[test]
fn a_delete_of_the_stack_in_the_middle_of_a_replacement_takes_down_both_pools() {
    let elsewhere = Pool { org: "globex".to_owned(), ..Pool::plain() };
    let actions =
        vec![create(), (400, What::Update { stack: 0, pool: Box::new(elsewhere) }), (405, What::Delete { stack: 0 })];
    let report = story(Pool::plain(), 410, actions);
    holds(&report);
    assert!(report.occurred.contains("transition delete during an operation"));
    assert!(report.occurred.contains("line orphaned_pool"), "the new pool goes with the old one");
    assert!(answers(&report).iter().all(|status| *status == "SUCCESS"));
}

#[test]
fn other_purchase_options_wait_for_the_running_job_whatever_auto_scaling_replaces() {
    let spot = Pool { on_demand_percent: Some(0), count: 2, ..Pool::plain() };
    let actions = vec![create(), (300, job(900)), (400, What::Update { stack: 0, pool: Box::new(spot) })];
    let report = story(Pool { count: 2, ..Pool::plain() }, 2400, actions);
    holds(&report);
    assert!(report.occurred.contains("transition purchase options changed"));
    assert!(report.occurred.contains("waiting instances_leaving"));
    assert_eq!((report.figures.jobs, report.figures.jobs_cut_off), (1, 0), "the job ran to its end");
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
}

fn runs_on(report: &Report, why: &str) {
    let figures = &report.figures;
    assert_eq!(
        (figures.jobs, figures.jobs_lost, figures.jobs_cut_off),
        (1, 0, 0),
        "{why}\n{}",
        report.trace.join("\n")
    );
}

/// The stack is deleted in the middle of a job whose runner GitHub calls idle from its beginning to its end, and deletes
/// when asked.
fn deleted_under_a_lie(pool: Pool, after_deletion: AfterDeletion, more: Vec<(u64, What)>) -> Report {
    let lie = What::Trouble { trouble: Trouble::CallsIdle, secs: 2500 };
    let actions = [vec![create(), (290, lie), (300, job(900)), (360, What::Delete { stack: 0 })], more].concat();
    let mut script = script(pool, 2800, actions);
    script.after_deletion = after_deletion;
    run(script, None, true)
}

#[test]
fn a_job_whose_runner_github_calls_idle_is_saved_by_its_log_alone() {
    for after_deletion in [AfterDeletion::Cancelled, AfterDeletion::LivesOn] {
        let report = deleted_under_a_lie(Pool { has_log: true, ..Pool::plain() }, after_deletion, Vec::new());
        holds(&report);
        runs_on(&report, "the log's veto");
        assert!(report.occurred.contains("transition log vetoed a deletion"));
        assert!(report.occurred.contains("transition log agreed to a deletion"), "once the job is over");
        assert!(!report.occurred.contains("transition runner deleted in the middle of its job"), "it was not deleted");
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"]);
    }
}

#[test]
fn a_job_without_a_log_whose_runner_github_deletes_in_its_middle_runs_to_its_end() {
    let report = deleted_under_a_lie(Pool::plain(), AfterDeletion::LivesOn, Vec::new());
    holds(&report);
    runs_on(&report, "its container did not end by itself");
    assert!(report.occurred.contains("transition runner deleted in the middle of its job"));
    let advises = |line: &String| line.contains("presumed busy") && line.contains("LogGroup");
    assert!(report.trace.iter().any(advises), "what is waited for advises a log");
    assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"]);
}

#[test]
fn a_log_that_is_denied_or_lost_leaves_a_job_no_worse_than_without_and_no_delete_hanging() {
    for trouble in [Trouble::LogsDenied, Trouble::LogsEmpty] {
        let blind = (2, What::Trouble { trouble, secs: 2700 });
        let report = deleted_under_a_lie(Pool { has_log: true, ..Pool::plain() }, AfterDeletion::LivesOn, vec![blind]);
        holds(&report);
        runs_on(&report, "presumed busy");
        assert!(report.occurred.contains("transition runner deleted in the middle of its job"), "{trouble:?}");
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"], "{trouble:?}");
    }
}

#[test]
fn a_job_runs_on_when_the_invocation_that_deleted_its_runner_was_killed_and_the_deletion_forgotten() {
    for has_log in [false, true] {
        let lie = What::Trouble { trouble: Trouble::CallsIdle, secs: 2500 };
        // Denied for long enough that the runner is deleted on GitHub's word; readable again when the event comes again.
        let blind = What::Trouble { trouble: Trouble::LogsDenied, secs: 650 };
        let actions = vec![create(), (2, blind), (290, lie), (300, job(1200)), (360, What::Delete { stack: 0 })];
        let pool = Pool { has_log, ..Pool::plain() };
        let mut script = script(pool, 2800, actions);
        let trace = run(script.clone(), None, true).trace;
        let call = trace.iter().find_map(|line| line.split_once("deleted by call ")).unwrap().1;
        script.faults = BTreeMap::from([(call.parse().unwrap(), Fault::KillAfter)]);
        let report = run(script, None, true);
        holds(&report);
        assert!(report.trace.iter().any(|line| line.contains("KillAfter at DELETE /actions/runners")));
        runs_on(&report, "what looks as if it had never registered may work");
        assert_eq!(answers(&report).last(), Some(&"SUCCESS"));
    }
}

#[test]
fn job_that_prints_the_listeners_lines_affects_only_itself() {
    for prints in [Prints::Mentions, Prints::Start] {
        let loud = What::Job { label: "pool-0".to_owned(), secs: 900, prints };
        let lie = What::Trouble { trouble: Trouble::CallsIdle, secs: 2500 };
        let actions = vec![create(), (290, lie), (300, loud), (360, What::Delete { stack: 0 })];
        let pool = Pool { has_log: true, ..Pool::plain() };
        let mut script = script(pool, 2800, actions);
        script.after_deletion = AfterDeletion::Cancelled;
        let report = run(script, None, true);
        holds(&report);
        runs_on(&report, "the listener's own lines count");
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS"], "{prints:?}");
    }
}

#[test]
fn an_update_in_a_group_without_room_for_old_and_new_runners_goes_on_with_a_log_and_without() {
    for has_log in [false, true] {
        let pool = Pool { count: 4, max_instances: 3, has_log, ..Pool::plain() };
        let newer = Pool { image: 2, ..pool.clone() };
        let report = story(pool, 2400, vec![create(), (400, What::Update { stack: 0, pool: Box::new(newer) })]);
        holds(&report);
        assert_eq!(answers(&report), ["SUCCESS", "SUCCESS", "SUCCESS"]);
    }
}
