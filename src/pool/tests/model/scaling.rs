//! The item of a pool with `MaxRunners`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::scaling::{ScalingGoal, ScalingMode, ScalingRecord};
use crate::pool::model::spec::WaitPolicy;
use crate::pool::tests::support::{POLL, T0, spec, stack_resource, task};

/// What DynamoDB takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items>
const ITEM_BYTES_MAX: usize = 400 * 1024;

fn record() -> (PhysicalId, ScalingRecord) {
    let id = PhysicalId::of(&stack_resource(), &spec());
    let goal = ScalingGoal {
        request_id: "request-1".to_owned(),
        mode: ScalingMode::Active,
        scale_set: 7,
        metadata: PoolMetadata::of(&id, &spec()),
        min_runners: 0,
        max_runners: 5_000,
        task_definition: format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/{id}:7"),
        capacity_provider: id.as_str().to_owned(),
        distinct_instances: false,
        tags: BTreeMap::new(),
        wait_policy: WaitPolicy::default(),
    };
    (id, ScalingRecord::new(goal, T0))
}

#[test]
fn an_item_has_room_for_the_starts_of_the_largest_max_runners() {
    let (id, record) = record();
    let (mut progress, mut now) = (record.progress.clone(), T0);
    let mut shown = Vec::new();
    for number in 0..record.goal.max_runners / 10 {
        let arns = (0..10).map(|n| format!("arn:aws:ecs:eu-central-1:111122223333:task/build/{number:020x}{n:012x}"));
        let arns: Vec<String> = arns.collect();
        progress.begin_start(&record.goal, 10, now);
        progress.end_start(arns.clone(), now);
        shown.extend(arns.iter().map(|arn| Task::just_started(&id, arn, &record.goal.task_definition)));
        // One decision starts two hundred.
        if number % 20 == 19 {
            let bytes = record.with_progress(progress.clone()).to_record().len();
            assert!(bytes < ITEM_BYTES_MAX, "{bytes} after {number}");
            now = now + POLL;
            progress.forget_shown(&shown, now);
        }
    }
}

#[test]
fn a_started_task_counts_until_list_tasks_shows_it() {
    let (id, record) = record();
    let mut progress = record.progress.clone();
    progress.begin_start(&record.goal, 2, T0);
    progress.end_start(vec!["shown".to_owned(), "unlisted".to_owned()], T0);
    let shown = [Task::just_started(&id, "shown", &record.goal.task_definition)];
    let mut unlisted = |after_secs| {
        let now = T0 + Duration::from_secs(after_secs);
        progress.forget_shown(&shown, now);
        progress.unlisted_tasks(&id, &shown, now).into_iter().map(|task| task.arn).collect::<Vec<_>>()
    };
    assert_eq!(unlisted(10), ["unlisted"]);
    assert_eq!(unlisted(100), ["unlisted"]);
    assert_eq!(unlisted(121), Vec::<String>::new());
    assert_eq!(progress.recent_tasks, BTreeMap::new());
}

#[test]
fn run_task_counts_as_a_starting_task_until_ecs_shows_it_and_not_after_its_end() {
    let (id, record) = record();
    let mut progress = record.progress.clone();
    let started = Task { group: format!("family:{id}"), ..task(&id, "000000000001") };
    progress.begin_start(&record.goal, 1, T0);
    progress.end_start(vec![started.arn.clone()], T0);
    let mut counted = |listed: &[Task], secs: u64| -> Vec<String> {
        let now = T0 + Duration::from_secs(secs);
        progress.forget_shown(listed, now);
        let unlisted = progress.unlisted_tasks(&id, listed, now);
        assert!(unlisted.iter().all(|task| task.phase == TaskPhase::Starting));
        unlisted.into_iter().map(|task| task.arn).collect()
    };
    assert_eq!(counted(&[], 1), std::slice::from_ref(&started.arn));
    assert_eq!(counted(std::slice::from_ref(&started), 2), [""; 0]);
    assert_eq!(counted(&[], 3), std::slice::from_ref(&started.arn), "an older response of ECS");
    let ended = Task { phase: TaskPhase::Stopped, ..started };
    assert_eq!(counted(&[ended], 4), [""; 0]);
    assert_eq!(counted(&[], 5), [""; 0], "ECS has forgotten it");
}

#[test]
fn item_of_a_version_that_wrote_down_neither_starts_nor_unconfirmed_statistics_is_read() {
    let (_, record) = record();
    let mut older: serde_json::Value = serde_json::from_str(&record.to_record()).unwrap();
    let progress = older["progress"].as_object_mut().unwrap();
    assert!(progress.remove("starts").is_some() && progress.remove("unconfirmed").is_some());
    assert_eq!(ScalingRecord::from_record(&older.to_string()), Some(record));
}

#[test]
fn task_of_run_task_is_neither_on_an_instance_nor_without_one_before_ecs_shows_it() {
    let (id, record) = record();
    let accepted = Task::just_started(&id, "accepted", &record.goal.task_definition);
    assert!(!accepted.is_unplaced(), "it may have an instance");
    assert_eq!(accepted.placement.container_instance_arn(), None);
}
