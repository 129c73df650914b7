//! Which runners are deregistered, and when; the witness of a log is in `drain_state`.

mod drain_set;
mod drain_state;

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::observed::Reading;
use crate::pool::model::operation::Goal::Converge;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::{POLL, T0, built, converge, decide_on, delete, foreign, names, reason_of, spec};

#[test]
fn on_drain_timeout_cancel_stops_a_job_that_outlasts_drain_timeout() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "other".to_owned();
    model.runners()[0].is_busy = true;
    let Outcome::Succeeded { notes, .. } = model.run(&mut converge(newer)) else { panic!("failed") };
    assert_eq!(model.lost_jobs, 1);
    assert_eq!(
        notes,
        ["1 task was stopped with a job that may have been running, because DrainTimeout (30 min) had passed"]
    );
}

#[test]
fn on_drain_timeout_fail_spares_a_job_that_outlasts_drain_timeout() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "other".to_owned();
    newer.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    model.runners()[0].is_busy = true;
    let busy = model.runners()[0].name.clone();
    insta::assert_snapshot!(reason_of(model.run(&mut converge(newer))).replace(&busy, "RUNNER"), @"1 runner still has a running job (RUNNER) after DrainTimeout (30 min), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs or cancel them in GitHub, then retry; or raise DrainTimeout.");
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn response_deadline_before_drain_timeout_stops_no_job() {
    let mut model = built(&spec());
    model.runners()[0].is_busy = true;
    let mut operation = delete(&spec());
    operation.respond_by = model.now + Duration::from_secs(600);
    let Outcome::Failed { reason } = model.run(&mut operation) else { panic!("succeeded") };
    let busy = model.runners()[0].name.clone();
    assert!(reason.contains(&format!("1 with a running job ({busy})")), "{reason}");
    assert_eq!((model.lost_jobs, operation.memory.n_jobs_cancelled), (0, 0));
}

#[test]
fn idle_confirmation_restarts_with_every_busy_reading() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    let mut window_began = None;
    let outcome = model.run_with(&mut operation, |model| {
        // Every half minute a reading says busy: GitHub's flag lags, and the window begins anew each time.
        let elapsed = model.now.since(T0).as_secs();
        let flickers = elapsed < 600;
        for runner in model.runners() {
            runner.is_busy = flickers && elapsed % 30 < POLL.as_secs();
        }
        if !flickers {
            window_began.get_or_insert(model.now);
        }
        let n_left = if flickers { 2 } else { 0 };
        assert!(model.runners().len() >= n_left, "a runner was deleted inside the window");
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }));
    assert!(model.now.since(window_began.unwrap()) >= Duration::from_secs(30));
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn idle_confirmation_restarts_after_a_gap_between_readings() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    model.decide(&mut operation);
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    let Decision::Wait { .. } = model.decide(&mut operation) else { panic!("too early") };
    // As when Lambda delivers an event again whose invocation was killed.
    model.now = model.now + Duration::from_secs(300);
    let Decision::Wait { why, .. } = model.decide(&mut operation) else { panic!("two readings are no watch") };
    assert!(matches!(why, WaitReason::RunnersDraining { unconfirmed: 2, .. }), "{why}");
    for _ in 0..operation.wait_policy().idle_confirmation.as_secs().div_ceil(POLL.as_secs()) {
        assert!(matches!(model.decide(&mut operation), Decision::Wait { .. }));
        model.now = model.now + POLL;
    }
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["deregister_runner", "deregister_runner"]);
}

#[test]
fn outdated_runner_list_is_read_again_before_deregister_runner() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    model.decide(&mut operation);
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    let Decision::Wait { .. } = model.decide(&mut operation) else { panic!("too early") };
    let idle_since = operation.memory.idle_since.clone();
    // Looks at a capacity provider that changes, say: they leave GitHub's list as it was.
    model.now = model.now + operation.wait_policy().idle_confirmation + POLL;
    let at = DecisionTime { now: model.now, poll: POLL };
    model.observed.metadata = operation.metadata(&operation.memory, &model.observed);
    operation.memory.record_observation(&model.observed, at);
    assert_eq!(operation.memory.idle_since, idle_since, "no reading has confirmed it");
    let Decision::Wait { until, scope, .. } = decide_on(&mut operation, &model.observed, at) else {
        panic!("by an old list")
    };
    assert_eq!((until, scope), (model.now, ObserveScope::Runners));
}

#[test]
fn idle_confirmation_continues_over_readings_that_take_a_minute() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    model.decide(&mut operation);
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    let mut decision = model.decide(&mut operation);
    // An organization with thousands of runners: each reading takes a minute, a poll after the one before.
    for _ in 0..3 {
        let began_at = model.now + POLL;
        model.now = began_at + Duration::from_secs(60);
        model.observed.github_read = Some(Reading { began_at, ended_at: model.now });
        let at = DecisionTime { now: model.now, poll: POLL };
        model.observed.metadata = operation.metadata(&operation.memory, &model.observed);
        operation.memory.record_observation(&model.observed, at);
        decision = decide_on(&mut operation, &model.observed, at);
    }
    let Decision::Wait { scope: ObserveScope::RunnerLogs, .. } = decision else { panic!("{decision:?}") };
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["deregister_runner", "deregister_runner"]);
}

#[test]
fn drain_timeout_below_idle_confirmation_is_enough_for_idle_runners() {
    let mut model = built(&spec());
    let mut impatient = spec();
    impatient.wait_policy.drain_timeout = Duration::from_secs(1);
    impatient.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    let mut operation = delete(&impatient);
    assert!(matches!(model.run(&mut operation), Outcome::Succeeded { .. }));
    assert_eq!((model.lost_jobs, operation.memory.n_jobs_cancelled), (0, 0));
}

#[test]
fn drain_timeout_spares_an_idle_runner_whose_window_ends_between_githubs_list_and_the_decision() {
    let mut model = built(&spec());
    let mut impatient = spec();
    impatient.wait_policy.drain_timeout = Duration::from_secs(1);
    for on_drain_timeout in [OnDrainTimeout::Fail, OnDrainTimeout::Cancel] {
        impatient.wait_policy.on_drain_timeout = on_drain_timeout;
        let mut operation = delete(&impatient);
        model.decide(&mut operation);
        model.observed.service.as_mut().unwrap().config.desired_count = 0;
        model.decide(&mut operation);
        let idle_since = *operation.memory.idle_since.values().max().unwrap();
        let window_ends = idle_since + operation.wait_policy().idle_confirmation;
        let began_at = window_ends - Duration::from_secs(1);
        model.now = window_ends + Duration::from_secs(1);
        model.observed.github_read = Some(Reading { began_at, ended_at: window_ends });
        let at = DecisionTime { now: model.now, poll: POLL };
        operation.memory.record_observation(&model.observed, at);
        let Decision::Wait { why, .. } = decide_on(&mut operation, &model.observed, at) else {
            panic!("{on_drain_timeout:?}")
        };
        assert!(matches!(why, WaitReason::RunnersDraining { unconfirmed: 2, .. }), "{why}");
    }
}

#[test]
fn deregistered_runner_counts_as_leaving_beside_an_unmatched_name() {
    let mut model = built(&spec());
    let mut operation = converge(spec());
    if let Converge(goal) = &mut operation.goal {
        goal.spec.desired_count = 1;
    }
    let label = operation.id.as_str().to_owned();
    let mut renamed = foreign(7, "renamed-by-hand", &label);
    renamed.is_online = true;
    model.runners().push(renamed);
    let Outcome::Succeeded { .. } = model.run(&mut operation) else { panic!("failed") };
    let n_gone = model.taken.iter().filter(|step| matches!(step, Step::DeregisterRunner(_))).count();
    assert_eq!(n_gone, 1, "one of two was to leave");
}
