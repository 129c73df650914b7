//! Deletes that GitHub rejects, and whose responses never arrive: each trace from beginning to end.

use std::collections::BTreeMap;

use crate::faults::{Fault, Trouble};
use crate::run::{Report, run};
use crate::script::{Pool, Script, What};
use crate::stories::{answers, create, holds, job, script};

fn revoked(at: u64, secs: u64) -> (u64, What) {
    (at, What::Trouble { trouble: Trouble::TokenRevoked, secs })
}

fn pools() -> [Pool; 2] {
    let fixed = Pool { drain_secs: 300, has_log: true, ..Pool::plain() };
    let scaled = Pool { is_registered_by_function: true, is_ephemeral: true, max_runners: Some(4), ..fixed.clone() };
    [fixed, scaled]
}

fn with_fault(script: &Script, call: u32, fault: Fault) -> Report {
    run(Script { faults: BTreeMap::from([(call, fault)]), ..script.clone() }, None, true)
}

/// The calls for requests of the function before the first line with this, counted from the beginning.
fn calls_before(report: &Report, line: &str) -> u32 {
    let (_, after) = report.trace.iter().find_map(|it| it.split_once(line)).unwrap();
    after.trim().parse().unwrap()
}

#[test]
fn delete_that_ends_at_any_call_after_the_credential_was_revoked_leaves_nothing_unnamed() {
    for pool in pools() {
        let script = script(pool, 3_000, vec![create(), revoked(300, 900), (310, What::Delete { stack: 0 })]);
        let report = run(script.clone(), None, true);
        holds(&report);
        let (n_before, n_calls) = (calls_before(&report, "DeleteTaskDefinitions is call "), report.figures.calls);
        let mut n_retried = 0;
        for call in n_before - 3..(n_before + 15).min(u32::try_from(n_calls).unwrap()) {
            for fault in [Fault::Panic, Fault::KillBefore, Fault::KillAfter] {
                let report = with_fault(&script, call, fault);
                holds(&report);
                n_retried += u32::from(answers(&report).len() > 2);
            }
        }
        assert!(n_retried > 3, "{n_retried} Deletes followed one that failed");
    }
}

#[test]
fn delete_of_the_stack_removes_what_a_superseded_clean_up_could_not() {
    for pool in pools() {
        let elsewhere = Pool { org: "globex".to_owned(), ..pool.clone() };
        let actions = vec![
            create(),
            (300, job(3_000)),
            (400, What::Update { stack: 0, pool: Box::new(elsewhere) }),
            (600, job(3_000)),
            // Until the clean-up has deleted the old pool, and before the Delete of the stack has deleted the new one.
            revoked(700, 340),
            (900, What::Delete { stack: 0 }),
        ];
        let report = run(script(pool, 3_000, actions), None, true);
        holds(&report);
        assert!(report.occurred.contains("transition update succeeded by replacement"));
        assert!(report.occurred.contains("line superseded"));
        assert!(report.occurred.contains("step record_remains") && report.occurred.contains("step forget_remains"));
        assert!(answers(&report).iter().all(|status| *status == "SUCCESS"));
    }
}
