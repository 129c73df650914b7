//! `OnlineRunners`, and the runners of an earlier revision that a failure reason counts.

use crate::pool::model::ecs::TaskPhase;
use crate::pool::model::observed::GitHubRunners;
use crate::pool::model::operation::Goal;
use crate::pool::policy::runner_counts::{n_online, n_previous_online};
use crate::pool::tests::support::{Model, bad_credentials, built, converge, spec};

/// Online runners of the wanted revision, and of others.
fn counts(model: &Model, is_under_way: bool) -> (Option<u32>, u32) {
    let mut operation = converge(spec());
    operation.memory.online_awaited_since = is_under_way.then_some(model.now);
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    (
        n_online(&operation, &goal, &model.observed),
        n_previous_online(&operation, &operation.memory, &goal, &model.observed),
    )
}

#[test]
fn online_runners_are_those_of_running_tasks_of_the_primary_deployment() {
    let mut model = built(&spec());
    assert_eq!(counts(&model, true), (Some(2), 0));
    assert_eq!(counts(&model, false), (Some(2), 2), "every runner is an old one before the service is updated");
    model.runners()[0].is_online = false;
    assert_eq!(counts(&model, true).0, Some(1));
    model.observed.tasks[1].phase = TaskPhase::Stopping;
    assert_eq!(counts(&model, true).0, Some(0));
    model.observed.github = GitHubRunners::Failed(bad_credentials());
    assert_eq!(counts(&model, true), (None, 0));
}

#[test]
fn previous_online_runners_are_those_of_another_task_definition_once_the_update_is_under_way() {
    let mut model = built(&spec());
    model.observed.tasks[0].task_definition = "an earlier revision".to_owned();
    assert_eq!(counts(&model, true), (Some(1), 1));
    assert_eq!(counts(&model, false), (Some(1), 2));
}
