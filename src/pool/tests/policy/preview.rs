//! A preview lists what the request then does.

use crate::pool::model::continuation::Continuation;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::Goal;
use crate::pool::model::spec::PoolSpec;
use crate::pool::model::spec::Scope::Organization;
use crate::pool::policy::preview::{Action, Preview, RunnerActivity, deletion, preview};
use crate::pool::tests::support::{Model, built, converge, delete, names, spec};

fn preview_of(operation: &Continuation, observed: &Observed) -> Preview {
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    preview(operation, &operation.memory, &goal, observed, &[])
}

fn changed(change: impl FnOnce(&mut PoolSpec)) -> Continuation {
    let mut spec = spec();
    change(&mut spec);
    converge(spec)
}

#[test]
fn preview_of_a_missing_pool_creates_it() {
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
fn preview_of_an_unchanged_pool_is_empty() {
    let mut world = built(&spec());
    let mut operation = converge(spec());
    assert_eq!(preview_of(&operation, &world.observed).action, Action::Nothing);
    world.run(&mut operation);
    assert_eq!(names(&world.taken), [""; 0]);
}

#[test]
fn preview_of_another_image_retires_every_runner_and_marks_busy_ones() {
    let mut world = built(&spec());
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
fn preview_of_a_smaller_desired_count_retires_the_idle_runner() {
    let mut world = built(&spec());
    world.runners()[0].is_busy = true;
    let operation = changed(|spec| spec.desired_count = 1);
    let found = preview_of(&operation, &world.observed);
    assert_eq!(found.changes, ["~ service: DesiredCount 2 -> 1"]);
    assert_eq!(found.retires.into_values().collect::<Vec<_>>(), [RunnerActivity::Idle]);
}

#[test]
fn preview_of_a_newer_launch_template_version_drains_the_old_instances() {
    let mut world = built(&spec());
    world.observed.template_version = Some(2);
    let found = preview_of(&converge(spec()), &world.observed);
    insta::assert_snapshot!(found.changes.join("\n"), @r"
    ~ Auto Scaling group: launch template version 1 -> 2
    - 1 instance of an older launch template, each as soon as it holds no task
    ");
}

#[test]
fn preview_of_a_missing_cluster_names_the_obstacle() {
    let mut world = Model::empty();
    world.observed.cluster = None;
    let found = preview_of(&converge(spec()), &world.observed);
    assert!(found.obstacle.unwrap().starts_with("Cluster: there is no active ECS cluster"));
}

#[test]
fn preview_of_another_organization_is_a_replacement() {
    let world = built(&spec());
    let operation = changed(|spec| spec.github.scope = Organization("globex".to_owned()));
    let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
    let other = (delete(&spec()).operation, world.observed);
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
fn preview_of_a_delete_retires_every_runner() {
    let mut world = built(&spec());
    world.runners()[0].is_busy = true;
    let found = deletion(&[(delete(&spec()).operation, world.observed)]);
    let patience = found.drain_note(&spec().wait_policy);
    assert_eq!(
        patience.unwrap(),
        "Jobs are waited for, up to DrainTimeout (30 min); then a job that still runs is cut off"
    );
    assert_eq!(found.action, Action::Deletion);
    assert_eq!(found.retires.into_values().collect::<Vec<_>>(), [RunnerActivity::Busy, RunnerActivity::Idle]);
    assert_eq!(deletion(&[]).action, Action::Nothing);
}
