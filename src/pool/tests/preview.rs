//! A preview lists what the request then does.

use super::support::{Model, converge, names, spec};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::Goal;
use crate::pool::model::spec::PoolSpec;
use crate::pool::policy::preview::{Action, Preview, RunnerActivity, deletion, preview};

fn preview_of(operation: &Continuation, observed: &Observed) -> Preview {
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    preview(operation, &operation.memory, &goal, observed, &[])
}

/// A pool that lives, and its world.
fn living() -> Model {
    let mut world = Model::empty();
    world.run(&mut converge(spec()));
    world
}

fn changed(change: impl FnOnce(&mut PoolSpec)) -> Continuation {
    let mut spec = spec();
    change(&mut spec);
    converge(spec)
}

#[test]
fn a_pool_that_is_not_there_is_made() {
    let found = preview_of(&converge(spec()), &Model::empty().observed);
    assert_eq!(found.action, Action::Create);
    insta::assert_snapshot!(found.changes.join("\n"), @r"
    + task definition: its first revision, with the image myoung34/github-runner:ubuntu-noble
    + Auto Scaling group: 1 to 4 instances from version 1 of launch template lt-0a1b2c3d
    + capacity provider
    ~ cluster: the capacity provider is added to its list, beside those of others
    + service with 2 runners
    ");
    assert!(found.retires.is_empty() && found.obstacle.is_none());
}

#[test]
fn of_an_unchanged_pool_nothing_is_told_and_nothing_done() {
    let mut world = living();
    let mut operation = converge(spec());
    assert_eq!(preview_of(&operation, &world.observed).action, Action::Nothing);
    world.run(&mut operation);
    assert_eq!(names(&world.taken), [""; 0]);
}

#[test]
fn another_image_retires_every_runner_and_says_which_have_a_job() {
    let mut world = living();
    world.runners()[0].is_busy = true;
    let operation = changed(|spec| spec.task.image = "myoung34/github-runner:ubuntu-jammy".to_owned());
    let found = preview_of(&operation, &world.observed);
    assert_eq!(found.action, Action::Update);
    insta::assert_snapshot!(found.changes.join("\n"), @r"
    + task definition: a new revision, with the image myoung34/github-runner:ubuntu-jammy
    ~ service: a new deployment; new runners come online, then the old ones are retired
    ");
    assert_eq!(found.retires.values().copied().collect::<Vec<_>>(), [RunnerActivity::Busy, RunnerActivity::Idle]);
    let name = &world.runners()[0].name.clone();
    assert_eq!(found.retires[name], RunnerActivity::Busy);
}

#[test]
fn a_smaller_pool_lets_the_idle_one_go() {
    let mut world = living();
    world.runners()[0].is_busy = true;
    let operation = changed(|spec| spec.desired_count = 1);
    let found = preview_of(&operation, &world.observed);
    assert_eq!(found.changes, ["~ service: DesiredCount 2 -> 1"]);
    assert_eq!(found.retires.into_values().collect::<Vec<_>>(), [RunnerActivity::Idle]);
}

#[test]
fn a_newer_launch_template_drains_the_old_instances() {
    let mut world = living();
    world.observed.template_version = Some(2);
    let found = preview_of(&converge(spec()), &world.observed);
    insta::assert_snapshot!(found.changes.join("\n"), @r"
    ~ Auto Scaling group: launch template version 1 -> 2
    - 1 instance of an older launch template, each as soon as it holds no task
    ");
}

#[test]
fn what_would_fail_the_request_is_told() {
    let mut world = Model::empty();
    world.observed.cluster = None;
    let found = preview_of(&converge(spec()), &world.observed);
    assert!(found.obstacle.unwrap().starts_with("Cluster: there is no active ECS cluster"));
}

#[test]
fn another_pool_of_the_resource_is_replaced() {
    let world = living();
    let operation =
        changed(|spec| spec.github.scope = crate::pool::model::spec::Scope::Organization("globex".to_owned()));
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    let other = (super::support::delete(&spec()).operation, world.observed);
    let found = preview(&operation, &operation.memory, &goal, &Model::empty().observed, &[other]);
    assert_eq!(found.action, Action::Replacement);
    assert_eq!(found.retires.len(), 2);
    let last = found.changes.last().unwrap();
    assert!(
        last.ends_with("the new one is there; another one because of organization acme -> organization globex"),
        "{last}"
    );
}

#[test]
fn a_deletion_takes_every_runner() {
    let mut world = living();
    world.runners()[0].is_busy = true;
    let found = deletion(&[(super::support::delete(&spec()).operation, world.observed)]);
    let patience = found.drain_note(&spec().wait_policy);
    assert_eq!(
        patience.unwrap(),
        "Jobs are waited for, up to DrainTimeout (30 min); then a job that still runs is cut off"
    );
    assert_eq!(found.action, Action::Deletion);
    assert_eq!(found.retires.into_values().collect::<Vec<_>>(), [RunnerActivity::Busy, RunnerActivity::Idle]);
    assert_eq!(deletion(&[]).action, Action::Nothing);
}
