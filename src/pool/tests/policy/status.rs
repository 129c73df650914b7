use std::time::Duration;

use serde_json::{Value, json};

use crate::pool::model::auto_scaling::GroupInstance;
use crate::pool::model::ecs::{Placement, Task, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::{GitHubRunners, Observed, ObservedScaleSet};
use crate::pool::model::operation_lock::{ObservedLock, OperationLock};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::Runner;
use crate::pool::model::scaling::ScalingRecord;
use crate::pool::model::spec::JobScaling;
use crate::pool::model::time::Timestamp;
use crate::pool::policy::status::{PoolStatus, RunnerState};
use crate::pool::tests::support::{
    Model, T0, bad_credentials, built, converge, delete, foreign, instance, lock_of, runner, spec, succeeded, task,
};

fn id() -> PhysicalId {
    converge(spec()).id.clone()
}

/// The pool with these tasks, and what GitHub lists.
fn observed(tasks: Vec<Task>, runners: Vec<Runner>) -> Observed {
    Observed { tasks, github: GitHubRunners::Listed(runners), ..built(&spec()).observed }
}

fn status(observed: &Observed) -> PoolStatus {
    PoolStatus::of(&id(), observed, Vec::new(), T0 + Duration::from_secs(90))
}

fn with_lock(lock: OperationLock) -> Observed {
    Observed { lock: Some(ObservedLock { lock, version: 3 }), ..observed(Vec::new(), Vec::new()) }
}

#[test]
fn status_has_the_stack_the_cluster_the_revision_and_the_image() {
    let found = serde_json::to_value(status(&observed(Vec::new(), Vec::new()))).unwrap();
    let expected = json!({
        "Pool": id().as_str(),
        "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001",
        "LogicalId": "Runners",
        "Cluster": "build",
        "Image": "myoung34/github-runner:ubuntu-noble",
        "DesiredCount": 2,
        "Runners": [],
        "Errors": [],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name}");
    }
    assert!(found["Revision"].is_u64(), "{found}");
}

#[test]
fn runner_states_are_those_that_github_lists() {
    let digits = ["0000000000a1", "0000000000a2", "0000000000a3", "0000000000a4"];
    let tasks = digits.map(|digits| task(&id(), digits)).to_vec();
    let runners = vec![
        Runner { is_busy: true, version: Some("2.330.0".to_owned()), ..runner(&id(), 1, digits[0]) },
        runner(&id(), 2, digits[1]),
        Runner { is_online: false, ..runner(&id(), 3, digits[2]) },
        Runner { is_online: false, ..runner(&id(), 4, "0000000000ff") },
        foreign(5, "github-runner-0000000000-0000000000a4", "other"),
    ];
    let found = status(&observed(tasks, runners)).runners;
    let states: Vec<(RunnerState, bool, bool)> =
        found.iter().map(|row| (row.state, row.name.is_some(), row.task.is_some())).collect();
    assert_eq!(
        states,
        [
            (RunnerState::Busy, true, true),
            (RunnerState::Idle, true, true),
            (RunnerState::Offline, true, true),
            (RunnerState::Offline, true, false),
            (RunnerState::Unregistered, false, true),
        ]
    );
    assert_eq!(found[0].version.as_deref(), Some("2.330.0"));
    assert_eq!(found[0].revision, Some(1));
    assert_eq!(found[0].started_at.as_deref(), Some("2027-01-15T08:00:00.000Z"));
    assert_eq!(found[0].age_secs, Some(90));
}

#[test]
fn task_phases_leave_out_stopped_tasks() {
    let with = |digits: &str, phase: TaskPhase, desired_stopped: bool| Task {
        phase,
        desired_stopped,
        started_at: (phase != TaskPhase::Starting).then_some(T0),
        ..task(&id(), digits)
    };
    let tasks = vec![
        with("0000000000a1", TaskPhase::Starting, false),
        with("0000000000a2", TaskPhase::Running, false),
        with("0000000000a3", TaskPhase::Running, true),
        with("0000000000a4", TaskPhase::Stopped, true),
    ];
    let found = status(&observed(tasks, Vec::new())).runners;
    let mut phases: Vec<(Option<&str>, Option<u64>)> = found.iter().map(|row| (row.task_phase, row.age_secs)).collect();
    phases.sort_unstable();
    assert_eq!(phases, [(Some("Running"), Some(90)), (Some("Starting"), None), (Some("Stopping"), Some(90))]);
}

#[test]
fn runners_are_unknown_where_github_cannot_be_asked() {
    for github in [GitHubRunners::NoCredential, GitHubRunners::Failed(bad_credentials())] {
        let observed = Observed { github, ..observed(vec![task(&id(), "0000000000a1")], Vec::new()) };
        let [row] = status(&observed).runners.try_into().unwrap();
        assert_eq!((row.state, row.name), (RunnerState::Unknown, None));
    }
}

#[test]
fn instances_are_those_of_the_group_with_what_ecs_knows_of_them() {
    let placed = Task { placement: Placement::On(instance(1).arn), ..task(&id(), "0000000000a1") };
    let mut observed = observed(vec![placed], vec![runner(&id(), 1, "0000000000a1")]);
    observed.instances = vec![instance(1), instance(2)];
    observed.group.as_mut().unwrap().instances = vec![
        GroupInstance {
            id: "i-1".to_owned(),
            lifecycle_state: "InService".to_owned(),
            protected_from_scale_in: true,
            template_version: Some(4),
        },
        GroupInstance {
            id: "i-9".to_owned(),
            lifecycle_state: "Pending".to_owned(),
            protected_from_scale_in: true,
            template_version: Some(5),
        },
    ];
    let found = status(&observed);
    assert_eq!(found.runners[0].instance.as_deref(), Some("i-1"));
    let ids: Vec<&str> = found.instances.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-9"]);
    assert_eq!(found.instances[0].launch_template_version, Some(4));
    assert_eq!((found.instances[0].is_connected, found.instances[1].is_connected), (Some(true), None));

    // On a capacity provider of another owner, whose other instances are none of the pool's.
    observed.group = None;
    let ids: Vec<String> = status(&observed).instances.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["i-1"]);
}

#[test]
fn request_without_a_response_is_at_work() {
    let found = status(&with_lock(lock_of(&converge(spec()))));
    assert_eq!(
        serde_json::to_value(found.request).unwrap(),
        json!({
            "RequestType": "Create",
            "RequestId": "request-1",
            "Since": "2027-01-15T08:00:00.000Z",
            "AgeSecs": 90,
            "Continuations": 0,
        })
    );
    assert_eq!(found.last_response, None);
    let deletion = status(&with_lock(lock_of(&delete(&spec()))));
    assert_eq!(deletion.request.unwrap().request_type, "Delete");
}

#[test]
fn last_response_has_its_status_and_reason() {
    let recorded = |body: &Value, outcome: &Outcome| {
        let found = status(&with_lock(lock_of(&converge(spec())).with_response(&body.to_string(), outcome)));
        assert_eq!(found.request, None);
        serde_json::to_value(found.last_response).unwrap()
    };
    let response = recorded(&json!({ "Status": "SUCCESS", "Data": {} }), &succeeded());
    assert_eq!(
        response,
        json!({
            "RequestType": "Create",
            "RequestId": "request-1",
            "Status": "SUCCESS",
            "Reason": null,
            "IsDelivered": true,
        })
    );
    let failed = Outcome::Failed { reason: "no".to_owned() };
    let response = recorded(&json!({ "Status": "FAILED", "Reason": "no" }), &failed);
    assert_eq!((response["Status"].as_str(), response["Reason"].as_str()), (Some("FAILED"), Some("no")));
}

#[test]
fn status_never_shows_the_response_url() {
    let found = serde_json::to_string(&status(&with_lock(lock_of(&converge(spec()))))).unwrap();
    assert!(found.contains("request-1") && !found.contains("planted"), "{found}");
}

#[test]
fn status_of_a_pool_that_could_not_be_read_has_the_error() {
    let found = PoolStatus::of(&id(), &Observed::default(), vec!["no".to_owned()], Timestamp::from_epoch_millis(0));
    assert_eq!((found.errors, found.runners.len(), found.stack_id), (vec!["no".to_owned()], 0, None));
}

#[test]
fn job_scaling_shows_the_statistics_the_last_message_and_whether_a_listener_is_at_work() {
    let mut spec = spec();
    spec.desired_count = 0;
    spec.job_scaling = Some(JobScaling { max_runners: 20, scale_set_name: Some("large".to_owned()) });
    let mut world = Model::empty();
    world.observed.scale_set = ObservedScaleSet::Missing;
    let mut create = converge(spec);
    assert!(!matches!(world.run(&mut create), Outcome::Failed { .. }));
    let ScalingRecord { goal, progress, .. } = &mut world.observed.scaling.as_mut().unwrap().record;
    goal.min_runners = 1;
    (progress.statistics.assigned, progress.statistics.running, progress.last_message_id) = (5, 3, 42);

    let found = serde_json::to_value(status(&world.observed)).unwrap();
    assert_eq!(
        found["JobScaling"],
        json!({
            "ScaleSet": "large",
            "HasListener": true,
            "Listener": {
                "Mode": "Active",
                "MinRunners": 1,
                "MaxRunners": 20,
                "Target": 6,
                "AssignedJobs": 5,
                "RunningJobs": 3,
                "IdleRunners": 0,
                "HasSession": true,
                "LastMessage": 42,
            },
        })
    );
    assert!(!found.to_string().contains("https://queue"), "{found}");

    world.observed.scaling = None;
    assert_eq!(status(&world.observed).job_scaling.unwrap().listener, None);
    assert_eq!(status(&observed(Vec::new(), Vec::new())).job_scaling, None);
}
