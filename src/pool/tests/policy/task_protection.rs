//! `UpdateTaskProtection` before anything that lets ECS choose a task to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::{Protection, Task};
use crate::pool::model::evidence::OwnedTask;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{OnDrainTimeout, PoolSpec};
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::task_protection::{ensure_tasks_protected, release_protection_after_failure};
use crate::pool::tests::support::{Model, built, converge, delete, names, spec};

#[test]
fn service_is_scaled_down_only_once_every_running_task_is_protected() {
    let mut model = built(&spec());
    model.observed.tasks[0].protection = Protection::Until(model.now + Duration::from_secs(2880 * 60));
    let Decision::Act(plan) = model.decide(&mut delete(&spec())) else { panic!("no step") };
    assert_eq!(names(&plan), ["protect_tasks"]);
}

#[test]
fn task_protection_that_is_about_to_expire_is_renewed() {
    let mut model = built(&spec());
    for task in &mut model.observed.tasks {
        task.protection = Protection::Until(model.now + Duration::from_secs(60));
    }
    let Decision::Act(plan) = model.decide(&mut delete(&spec())) else { panic!("no step") };
    assert_eq!(names(&plan), ["protect_tasks"]);
}

#[test]
fn task_protection_that_ecs_refuses_is_waited_for() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    let arn = model.observed.tasks[0].arn.clone();
    operation.memory.unprotectable.insert(arn, "DEPLOYMENT_BLOCKED".to_owned());
    let Decision::Wait { why, .. } = model.decide(&mut operation) else { panic!("no wait") };
    assert_eq!(why, WaitReason::TaskProtection { n_tasks: 2, reason: "DEPLOYMENT_BLOCKED".to_owned() });
}

/// A runner of an Update that failed half way, beside those of before, which are protected: ECS wants one.
fn halfway(n_old: usize) -> (Model, String) {
    let mut model = built(&PoolSpec { desired_count: 1, ..spec() });
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
fn deployment_blocked_raises_the_service_and_protects_its_tasks_in_the_same_round() {
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
fn on_drain_timeout_fail_spares_tasks_that_ecs_never_protects() {
    let mut model = built(&spec());
    let mut spec = spec();
    spec.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    let mut operation = delete(&spec);
    let arn = model.observed.tasks[0].arn.clone();
    operation.memory.drain_started_at = Some(model.now - Duration::from_secs(1800));
    operation.memory.unprotectable.insert(arn, "TASK_NOT_VALID".to_owned());
    let Decision::Respond(Outcome::Failed { reason }) = model.decide(&mut operation) else { panic!("no response") };
    assert!(reason.starts_with("Task protection: "), "{reason}");
}

#[test]
fn failed_update_lifts_task_protection_unless_ecs_would_stop_a_task() {
    let mut model = built(&spec());
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
