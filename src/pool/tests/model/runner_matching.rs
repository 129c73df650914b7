//! Which runners are the pool's, and which of them runs in which task.

use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::runner::Runner;
use crate::pool::model::runner_matching::{RunnerLookup, RunnerMatcher, runner_for_task};
use crate::pool::tests::support::{foreign, runner, spec, stack_resource, task};

#[test]
fn runner_matcher_owns_a_runner_by_label_and_name() {
    let id = PhysicalId::of(&stack_resource(), &spec());
    let matcher = RunnerMatcher::of(&id, &spec());
    let prefix = format!("github-runner-{}", id.hash());
    let owns = |name: &str, label: &str| matcher.owns(&foreign(1, name, label));
    assert!(owns(&format!("{prefix}-0123456789ab"), id.as_str()));
    assert!(owns(&format!("{prefix}-0123456789ab"), &id.as_str().to_uppercase()));
    assert!(!owns(&format!("{prefix}-0123456789ab"), "default"));
    assert!(!owns(&format!("{prefix}-x"), id.as_str()));
    assert!(!owns(&format!("{prefix}-0123456789abc"), id.as_str()));
    assert!(!owns("foreign-0123456789ab", id.as_str()));
}

/// The digits of three containers.
const FIRST: &str = "0123456789ab";
const SECOND: &str = "123456789abc";
const THIRD: &str = "23456789abcd";

fn id() -> PhysicalId {
    PhysicalId::of(&stack_resource(), &spec())
}

/// The id of the runner behind `task`: `Ok(None)` where GitHub lists none, an error where nothing decides it.
fn lookup(matcher: &RunnerMatcher, runners: &[Runner], tasks: &[Task], task: &Task) -> Result<Option<u64>, ()> {
    match runner_for_task(matcher, runners, tasks, task) {
        RunnerLookup::Found(runner) => Ok(Some(runner.id)),
        RunnerLookup::NotListed => Ok(None),
        RunnerLookup::Ambiguous => Err(()),
    }
}

#[test]
fn runner_for_task_goes_by_the_container_id() {
    let matcher = RunnerMatcher::of(&id(), &spec());
    let tasks = [task(&id(), FIRST), task(&id(), SECOND)];
    let runners = [runner(&id(), 2, SECOND), runner(&id(), 1, FIRST)];
    assert_eq!(lookup(&matcher, &runners, &tasks, &tasks[0]), Ok(Some(1)));
    assert_eq!(lookup(&matcher, &runners[..1], &tasks, &tasks[0]), Ok(None));
    // A name that leads there is of another owner without the pool's label.
    let unlabelled = [Runner { labels: [].into(), ..runners[1].clone() }];
    assert_eq!(lookup(&matcher, &unlabelled, &tasks, &tasks[0]), Ok(None));
    let without_id = Task { runtime_id: None, ..tasks[0].clone() };
    assert_eq!(lookup(&matcher, &runners, &tasks, &without_id), Err(()), "its container has no id yet");
}

#[test]
fn runner_for_task_is_ambiguous_beside_a_working_runner_whose_name_leads_to_no_task() {
    let matcher = RunnerMatcher::of(&id(), &spec());
    let tasks = [task(&id(), FIRST)];
    let ambiguous = |runner: Runner| lookup(&matcher, &[runner], &tasks, &tasks[0]);
    let renamed = foreign(7, "renamed-by-hand", id().as_str());
    assert_eq!(ambiguous(Runner { is_online: true, ..renamed.clone() }), Err(()));
    assert_eq!(ambiguous(Runner { is_busy: true, ..renamed.clone() }), Err(()));
    assert_eq!(ambiguous(renamed.clone()), Ok(None), "it neither listens nor works");
    assert_eq!(
        ambiguous(Runner { is_online: true, labels: [].into(), ..renamed }),
        Ok(None),
        "it is no runner of ours"
    );
    assert_eq!(ambiguous(runner(&id(), 3, THIRD)), Err(()), "its task is gone or not listed yet");

    let stopped = Task { phase: TaskPhase::Stopped, ..task(&id(), THIRD) };
    assert_eq!(lookup(&matcher, &[runner(&id(), 3, THIRD)], &[tasks[0].clone(), stopped], &tasks[0]), Err(()));
    let running = task(&id(), THIRD);
    assert_eq!(lookup(&matcher, &[runner(&id(), 3, THIRD)], &[tasks[0].clone(), running], &tasks[0]), Ok(None));
}

#[test]
fn runner_for_task_takes_a_fixed_runner_name_while_one_task_lives() {
    let mut named = spec();
    named.runner.name = Some("builder".to_owned());
    let matcher = RunnerMatcher::of(&id(), &named);
    let builder = Runner { is_online: true, ..foreign(1, "builder", id().as_str()) };
    let tasks = [task(&id(), FIRST), task(&id(), SECOND)];
    let builders = [builder];
    assert!(matcher.owns(&builders[0]) && !RunnerMatcher::of(&id(), &spec()).owns(&builders[0]));
    assert_eq!(lookup(&matcher, &builders, &tasks[..1], &tasks[0]), Ok(Some(1)));
    assert_eq!(lookup(&matcher, &builders, &tasks, &tasks[0]), Err(()));
    let with_stopped = tasks
        .clone()
        .map(|task| Task { phase: if task == tasks[0] { TaskPhase::Running } else { TaskPhase::Stopped }, ..task });
    assert_eq!(lookup(&matcher, &builders, &with_stopped, &tasks[0]), Ok(Some(1)));
    let renamed = [Runner { is_online: true, ..foreign(2, "renamed-by-hand", id().as_str()) }];
    assert_eq!(lookup(&matcher, &renamed, &tasks[..1], &tasks[0]), Err(()), "another name is not the fixed one");
    let both = [builders, renamed].concat();
    assert_eq!(lookup(&matcher, &both, &tasks[..1], &tasks[0]), Err(()), "either may be behind it");
}

#[test]
fn runner_key_is_the_container_id_or_the_fixed_name() {
    let matcher = RunnerMatcher::of(&id(), &spec());
    assert_eq!(matcher.runner_key(&runner(&id(), 1, FIRST).name), FIRST);
    assert_eq!(matcher.runner_key("builder"), "builder");
}
