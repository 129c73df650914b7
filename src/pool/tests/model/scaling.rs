use std::time::Duration;

use crate::pool::model::ecs::{Task, TaskPhase, TaskRun};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::scaling::ListenerProgress;
use crate::pool::tests::support::{T0, spec, stack_resource, task};

#[test]
fn run_task_counts_as_a_starting_task_until_ecs_shows_it_and_not_after_its_end() {
    let id = PhysicalId::of(&stack_resource(), &spec());
    let mut progress = ListenerProgress::new(T0);
    let started = Task { group: format!("family:{id}"), ..task(&id, "000000000001") };
    progress.begin_start(
        TaskRun {
            task_definition: started.task_definition.clone(),
            capacity_provider: id.as_str().to_owned(),
            count: 1,
            distinct_instances: false,
        },
        T0,
    );
    progress.end_start(vec![started.arn.clone()], T0);
    let mut counted = |listed: &[Task], secs: u64| -> Vec<String> {
        let unlisted = progress.unlisted_tasks(&id, listed, T0 + Duration::from_secs(secs));
        assert!(unlisted.iter().all(|task| task.phase == TaskPhase::Starting));
        unlisted.into_iter().map(|task| task.arn).collect()
    };
    assert_eq!(counted(&[], 1), std::slice::from_ref(&started.arn));
    assert_eq!(counted(std::slice::from_ref(&started), 2), [""; 0]);
    assert_eq!(counted(&[], 3), std::slice::from_ref(&started.arn), "an answer of ECS that is older");
    let ended = Task { phase: TaskPhase::Stopped, ..started };
    assert_eq!(counted(&[ended], 4), [""; 0]);
    assert_eq!(counted(&[], 5), [""; 0], "ECS has forgotten it");
}

#[test]
fn run_task_of_two_minutes_ago_that_ecs_does_not_show_has_ended() {
    let id = PhysicalId::of(&stack_resource(), &spec());
    let mut progress = ListenerProgress::new(T0);
    progress.end_start(vec!["arn:aws:ecs:eu-central-1:111122223333:task/build/1".to_owned()], T0);
    let mut count = |secs| progress.unlisted_tasks(&id, &[], T0 + Duration::from_secs(secs)).len();
    assert_eq!((count(119), count(120)), (1, 0));
}
