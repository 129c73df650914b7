use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::runner_log::NoLog;
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::{POLL, T0};

#[test]
fn wait_lasts_one_poll_interval_and_requeue_now_none() {
    let at = DecisionTime { now: T0, poll: POLL };
    let until = |decision| match decision {
        Decision::Wait { why: WaitReason::FinalCheck, until, scope: ObserveScope::Tasks } => until.since(T0),
        other @ (Decision::Wait { .. } | Decision::Act(_) | Decision::Respond(_) | Decision::Stop(_)) => {
            panic!("{other:?}")
        }
    };
    assert_eq!(until(at.wait(WaitReason::FinalCheck, ObserveScope::Tasks)), POLL);
    assert_eq!(until(at.requeue_now(WaitReason::FinalCheck, ObserveScope::Tasks)), Duration::ZERO);
}

#[test]
fn runners_draining_lists_what_each_runner_is_waited_for() {
    let nothing = WaitReason::RunnersDraining {
        busy: Vec::new(),
        busy_by_log: Vec::new(),
        unconfirmed: 0,
        unknown: 0,
        presumed_busy: Vec::new(),
        ending: 1,
    };
    assert_eq!(nothing.to_string(), "runners to leave: 1 ending");
    let all = WaitReason::RunnersDraining {
        busy: vec!["one".to_owned(), "two".to_owned()],
        busy_by_log: Vec::new(),
        unconfirmed: 3,
        unknown: 4,
        presumed_busy: vec![NoLog::Missing],
        ending: 0,
    };
    insta::assert_snapshot!(all.to_string(), @"runners to leave: 2 with a running job (one, two), 1 that did not stop after deregistration, so presumed busy (its log stream does not exist, so create the LogGroup), 3 idle but not yet for the confirmation window, 4 whose state cannot be read, so presumed busy");
    assert_eq!(all.name(), "runners_draining");
}
