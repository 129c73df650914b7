//! A preview lists what the request then does.

use crate::pool::model::continuation::Continuation;
use crate::pool::model::observed::{Observed, ObservedScaleSet};
use crate::pool::model::operation::Goal;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::Runner;
use crate::pool::model::scaling::ScalingRecord;
use crate::pool::model::spec::Scope::Organization;
use crate::pool::model::spec::{JobScaling, PoolSpec};
use crate::pool::policy::preview::{Action, Preview, RunnerActivity, deletion, preview};
use crate::pool::tests::support::{Model, built, converge, delete, names, runner, spec, task};

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

fn scaled(min: u32, max: u32) -> PoolSpec {
    let mut spec = spec();
    spec.desired_count = min;
    spec.job_scaling = Some(JobScaling { max_runners: max, scale_set_name: None });
    spec
}

/// The pool once it was created, with a runner for each of these, busy or not.
fn scaled_pool(spec: &PoolSpec, are_busy: &[bool]) -> Model {
    let mut world = Model::empty();
    world.observed.scale_set = ObservedScaleSet::Missing;
    // The model has no listener that starts them.
    let mut create = converge(PoolSpec { desired_count: 0, ..spec.clone() });
    assert!(matches!(world.run(&mut create), Outcome::Succeeded { .. }));
    let ScalingRecord { goal, progress, .. } = &mut world.observed.scaling.as_mut().unwrap().record;
    goal.min_runners = spec.desired_count;
    progress.statistics.assigned = u32::try_from(are_busy.iter().filter(|is_busy| **is_busy).count()).unwrap();
    for (number, is_busy) in (1..).zip(are_busy) {
        let digits = format!("0000000000a{number}");
        world.observed.tasks.push(task(&create.id, &digits));
        let listed = Runner { is_busy: *is_busy, ..runner(&create.id, number, &digits) };
        world.runners().push(listed);
    }
    world
}

#[test]
fn preview_of_max_runners_names_the_scale_set_and_its_bounds() {
    let mut world = Model::empty();
    world.observed.scale_set = ObservedScaleSet::Missing;
    let operation = converge(scaled(1, 20));
    let found = preview_of(&operation, &world.observed);
    assert_eq!(found.action, Action::Create);
    let last = found.changes.last().unwrap();
    assert_eq!(*last, format!("+ runner scale set {}: as many runners as jobs, 1 to 20", operation.id));
    assert!(!found.changes.iter().any(|change| change.contains("service")), "{:?}", found.changes);
}

#[test]
fn preview_of_unchanged_max_runners_is_empty() {
    let world = scaled_pool(&scaled(0, 20), &[true]);
    let found = preview_of(&converge(scaled(0, 20)), &world.observed);
    assert_eq!((found.action, found.changes), (Action::Nothing, Vec::new()));
    assert!(found.retires.is_empty());
}

#[test]
fn preview_of_another_max_runners_is_an_update_in_place() {
    let world = scaled_pool(&scaled(2, 20), &[true, false, false]);
    let found = preview_of(&converge(scaled(0, 30)), &world.observed);
    assert_eq!(found.action, Action::Update);
    assert_eq!(found.changes, ["~ runner scale set: MinRunners 2 -> 0", "~ runner scale set: MaxRunners 20 -> 30"]);
    assert_eq!(found.retires.values().copied().collect::<Vec<_>>(), [RunnerActivity::Idle, RunnerActivity::Idle]);
}

#[test]
fn preview_of_another_image_with_max_runners_waits_for_no_job() {
    let world = scaled_pool(&scaled(0, 20), &[true, false]);
    let mut spec = scaled(0, 20);
    spec.task.image = "myoung34/github-runner:ubuntu-jammy".to_owned();
    let found = preview_of(&converge(spec.clone()), &world.observed);
    assert_eq!(
        found.changes.last().unwrap(),
        "~ runners: new ones start from the new revision; idle old ones are retired"
    );
    assert_eq!(found.retires.len(), 2);
    assert_eq!(
        found.drain_note(&spec.wait_policy).unwrap(),
        "The request does not wait for jobs; each runner with a job ends after it"
    );
}

#[test]
fn preview_of_other_labels_with_max_runners_is_a_replacement() {
    let (before, mut after) = (scaled(0, 20), scaled(0, 20));
    after.runner.labels = vec!["large".to_owned()];
    let world = scaled_pool(&before, &[true]);
    let other = || (delete(&before).operation, world.observed.clone());
    let last_change = |spec: &PoolSpec| {
        let operation = converge(spec.clone());
        let Goal::Converge(goal) = operation.goal.clone() else { panic!("a Delete") };
        let found = preview(&operation, &operation.memory, &goal, &Model::empty().observed, &[other()]);
        assert_eq!(found.action, Action::Replacement);
        assert!(found.drain_note(&spec.wait_policy).unwrap().contains("up to DrainTimeout"));
        found.changes.last().unwrap().clone()
    };
    let of_labels = last_change(&after);
    assert!(
        of_labels.ends_with("because of labels Linux default self-hosted -> labels Linux large self-hosted"),
        "{of_labels}"
    );
    let of_kind = last_change(&spec());
    assert!(of_kind.ends_with("because of MaxRunners -> DesiredCount"), "{of_kind}");
}
