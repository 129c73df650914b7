use std::collections::BTreeMap;
use std::time::Duration;

use super::support::{Model, POLL, converge, decide_on, delete, names, spec};
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Protection, Task, TaskPhase};
use crate::pool::model::evidence::OwnedTask;
use crate::pool::model::observed::Reading;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{OnDrainTimeout, PoolSpec};
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::task_protection::{ensure_tasks_protected, release_protection_after_failure};

fn leaving(unknown: usize, ending: usize) -> WaitReason {
    WaitReason::RunnersDraining {
        busy: Vec::new(),
        busy_by_log: Vec::new(),
        unconfirmed: 0,
        unknown,
        presumed_busy: Vec::new(),
        ending,
    }
}

fn built() -> Model {
    built_of(spec())
}

fn built_of(spec: PoolSpec) -> Model {
    let mut model = Model::empty();
    assert!(matches!(model.run(&mut converge(spec)), Outcome::Succeeded { .. }));
    model
}

#[test]
fn the_service_is_not_lowered_before_every_running_task_is_protected() {
    let mut model = built();
    model.observed.tasks[0].protection = Protection::Until(model.now + Duration::from_secs(2880 * 60));
    let Decision::Act(plan) = model.decide(&mut delete(&spec())) else { panic!("no step") };
    assert_eq!(names(&plan), ["protect_tasks"]);
}

#[test]
fn protection_that_is_about_to_run_out_is_asked_for_again() {
    let mut model = built();
    for task in &mut model.observed.tasks {
        task.protection = Protection::Until(model.now + Duration::from_secs(60));
    }
    let Decision::Act(plan) = model.decide(&mut delete(&spec())) else { panic!("no step") };
    assert_eq!(names(&plan), ["protect_tasks"]);
}

#[test]
fn protection_that_ecs_refuses_is_waited_for() {
    let mut model = built();
    let mut operation = delete(&spec());
    let arn = model.observed.tasks[0].arn.clone();
    operation.memory.unprotectable.insert(arn, "DEPLOYMENT_BLOCKED".to_owned());
    let Decision::Wait { why, .. } = model.decide(&mut operation) else { panic!("no wait") };
    assert_eq!(why, WaitReason::TaskProtection { n_tasks: 2, reason: "DEPLOYMENT_BLOCKED".to_owned() });
}

/// A runner of an Update that failed half way, beside those of before, which are protected: ECS wants one.
fn halfway(n_old: usize) -> (Model, String) {
    let mut model = built_of(PoolSpec { desired_count: 1, ..spec() });
    let one = model.observed.tasks[0].clone();
    model.observed.tasks = (0..=n_old).map(|n| Task { arn: format!("{}{n:04}", one.arn), ..one.clone() }).collect();
    let blocked = model.observed.tasks[0].arn.clone();
    let until = Protection::Until(model.now + Duration::from_secs(2 * 86_400));
    for task in model.observed.tasks.iter_mut().skip(1) {
        task.protection = until;
    }
    (model, blocked)
}

#[test]
fn a_blocked_deployment_is_widened_by_percentages_that_ecs_takes_and_protected_in_the_same_round() {
    for n_old in [1, 98, 150] {
        let (model, blocked) = halfway(n_old);
        let mut operation = converge(spec());
        operation.memory.unprotectable = BTreeMap::from([(blocked.clone(), "DEPLOYMENT_BLOCKED: too many".to_owned())]);
        let at = DecisionTime { now: model.now, poll: Duration::from_secs(10) };
        let Some(Decision::Act(plan)) =
            ensure_tasks_protected(&operation.operation, &mut operation.memory, &model.observed, at)
        else {
            panic!("no step")
        };
        let [Step::UpdateService(config), Step::ProtectTasks(tasks)] = plan.as_slice() else { panic!("{plan:?}") };
        assert_eq!(tasks.iter().map(OwnedTask::arn).collect::<Vec<_>>(), [blocked]);
        let n_live = u32::try_from(n_old).unwrap() + 1;
        assert_eq!((config.desired_count, config.minimum_healthy_percent), (n_live, 100), "ECS stops none");
        // Both at 100 are refused. Rounded down to whole tasks this allows none more, or one in a hundred.
        assert!(config.maximum_percent > 100);
        assert_eq!(config.desired_count * config.maximum_percent / 100 - n_live, n_live / 100);
    }
}

#[test]
fn tasks_that_ecs_never_protects_are_left_alone_when_the_template_says_so() {
    let mut model = built();
    let mut spec = spec();
    spec.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    let mut operation = delete(&spec);
    let arn = model.observed.tasks[0].arn.clone();
    operation.memory.drain_started_at = Some(model.now - Duration::from_secs(1800));
    operation.memory.unprotectable.insert(arn, "TASK_NOT_VALID".to_owned());
    let Decision::Respond(Outcome::Failed { reason }) = model.decide(&mut operation) else { panic!("no answer") };
    assert!(reason.starts_with("Task protection: "), "{reason}");
}

#[test]
fn a_job_is_not_cut_off_because_the_answer_is_due() {
    let mut model = built();
    model.runners()[0].is_busy = true;
    let mut operation = delete(&spec());
    operation.respond_by = model.now + Duration::from_secs(600);
    let Outcome::Failed { reason } = model.run(&mut operation) else { panic!("succeeded") };
    let busy = model.runners()[0].name.clone();
    assert!(reason.contains(&format!("1 with a running job ({busy})")), "{reason}");
    assert_eq!((model.lost_jobs, operation.memory.n_jobs_cancelled), (0, 0));
}

#[test]
fn a_failed_update_lifts_its_protection_where_nothing_is_to_be_stopped() {
    let mut model = built();
    let mut operation = converge(spec());
    let tasks: Vec<String> = model.observed.tasks.iter().map(|task| task.arn.clone()).collect();
    operation.memory.protected.extend(tasks);
    assert!(release_protection_after_failure(&operation, &operation.memory, &model.observed).is_some());
    model.observed.service.as_mut().unwrap().config.desired_count = 1;
    assert_eq!(
        release_protection_after_failure(&operation, &operation.memory, &model.observed),
        None,
        "ECS would choose one of them"
    );
}

#[test]
fn one_idle_reading_is_never_enough() {
    let mut model = built();
    let mut operation = delete(&spec());
    let mut window_began = None;
    let outcome = model.run_with(&mut operation, |model| {
        // Every half minute a reading says busy: GitHub's flag lags, and the window begins anew each time.
        let elapsed = model.now.since(super::support::T0).as_secs();
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
fn an_idle_confirmation_window_begins_anew_after_a_pause_in_which_the_runner_was_not_watched() {
    let mut model = built();
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
fn a_list_that_was_read_before_a_wait_for_something_else_is_read_again_before_a_runner_goes() {
    let mut model = built();
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
fn pages_that_take_longer_to_read_than_a_watch_may_pause_are_still_a_watch() {
    let mut model = built();
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
fn a_task_without_a_runner_gets_time_to_register() {
    let mut model = built();
    let mut operation = delete(&spec());
    model.runners().clear();
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    let Decision::Wait { .. } = model.decide(&mut operation) else { panic!("too early") };
    model.now = model.now + crate::pool::model::memory::REGISTRATION_GRACE;
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["unprotect_tasks", "stop_task", "unprotect_tasks", "stop_task"]);
}

#[test]
fn a_task_that_is_still_inside_its_stop_timeout_is_waited_for() {
    let mut model = built();
    let mut operation = delete(&spec());
    model.runners().clear();
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    for task in &mut model.observed.tasks {
        task.phase = TaskPhase::Stopping;
        task.desired_stopped = true;
    }
    let Decision::Wait { why, .. } = model.decide(&mut operation) else { panic!("no wait") };
    assert_eq!(why, leaving(0, 2));
}

#[test]
fn a_runner_whose_name_leads_nowhere_keeps_every_silent_task_from_being_stopped() {
    let mut model = built();
    let mut operation = delete(&spec());
    let label = operation.id.as_str().to_owned();
    model.runners().clear();
    let mut renamed = super::support::foreign(7, "renamed-by-hand", &label);
    renamed.is_online = true;
    model.runners().push(renamed);
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    model.decide(&mut operation);
    model.now = model.now + crate::pool::model::memory::REGISTRATION_GRACE * 2;
    let Decision::Wait { why, .. } = model.decide(&mut operation) else { panic!("a task was touched") };
    assert_eq!(why, leaving(2, 0));
}

#[test]
fn a_runner_that_was_let_go_counts_as_leaving_whoever_elses_name_leads_nowhere() {
    let mut model = built();
    let mut operation = converge(spec());
    if let crate::pool::model::operation::Goal::Converge(goal) = &mut operation.goal {
        goal.spec.desired_count = 1;
    }
    let label = operation.id.as_str().to_owned();
    let mut renamed = super::support::foreign(7, "renamed-by-hand", &label);
    renamed.is_online = true;
    model.runners().push(renamed);
    let Outcome::Succeeded { .. } = model.run(&mut operation) else { panic!("failed") };
    let n_gone = model.taken.iter().filter(|step| matches!(step, Step::DeregisterRunner(_))).count();
    assert_eq!(n_gone, 1, "one of two was to leave");
}

#[test]
fn a_patience_below_the_confirmation_window_is_enough_for_idle_runners() {
    let mut model = built();
    let mut impatient = spec();
    impatient.wait_policy.drain_timeout = Duration::from_secs(1);
    impatient.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    let mut operation = delete(&impatient);
    assert!(matches!(model.run(&mut operation), Outcome::Succeeded { .. }));
    assert_eq!((model.lost_jobs, operation.memory.n_jobs_cancelled), (0, 0));
}

#[test]
fn drain_timeout_spares_an_idle_runner_whose_window_ends_between_githubs_list_and_the_decision() {
    let mut model = built();
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
fn runners_of_a_former_prefix_are_still_recognized() {
    let mut model = built();
    model.runners()[0].is_busy = true;
    let mut renamed = spec();
    renamed.runner.name_prefix = "gpu".to_owned();
    let job_ends = model.now + Duration::from_secs(900);
    let outcome = model.run_with(&mut converge(renamed), |model| {
        let over = model.now >= job_ends;
        for runner in model.runners() {
            runner.is_busy &= !over;
        }
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn a_service_is_not_lowered_by_a_look_that_left_its_tasks_as_they_were_before() {
    let mut model = built();
    for task in &mut model.observed.tasks {
        task.protection = Protection::Until(model.now + Duration::from_secs(48 * 3600));
    }
    let mut smaller = spec();
    smaller.desired_count = 1;
    let mut operation = converge(smaller);
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["update_service"]);
    model.observed.is_complete = false;
    let Decision::Wait { until, scope, .. } =
        decide_on(&mut operation, &model.observed, DecisionTime { now: model.now, poll: POLL })
    else {
        panic!("by an old look")
    };
    assert_eq!((until, scope), (model.now, ObserveScope::Full));
}

#[test]
fn update_task_protection_keeps_a_task_protected_whose_runner_this_request_deregistered() {
    let mut model = Model::empty();
    model.run(&mut converge(spec()));
    let until = Protection::Until(model.now + Duration::from_secs(48 * 3600));
    for task in &mut model.observed.tasks {
        task.protection = until;
    }
    let mut operation = converge(spec());
    let id = model.observed.tasks[0].short_container_id().unwrap().to_owned();
    operation.memory.deregistered_at.insert(id, model.now);
    model.run(&mut operation);
    let is_protected = |task: &Task| task.protection == until;
    assert_eq!(model.observed.tasks.iter().map(is_protected).collect::<Vec<_>>(), [true, false]);
}
