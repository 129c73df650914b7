//! What a failure reason names as the cause of missing runners, and what it does not.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::Decision;
use crate::pool::model::ecs::{ServiceEvent, StopInfo, TaskPhase};
use crate::pool::model::observed::LogReading;
use crate::pool::model::operation::{Goal, Operation};
use crate::pool::model::runner_log::{LogLine, read};
use crate::pool::model::spec::{Capacity, LogSpec, PoolSpec};
use crate::pool::policy::causes::not_online;
use crate::pool::tests::support::{Model, T0, built, converge, reason_of, spec};

const REQUEST: Duration = Duration::from_secs(1000);

fn failure_reason(operation: &Continuation, world: &Model) -> String {
    let Goal::Converge(goal) = &operation.goal else { panic!("a Delete") };
    not_online(operation, &operation.memory, goal, &world.observed)
}

/// A pool of two runners, and a request that begins a thousand seconds later.
fn request_after(spec: PoolSpec) -> (Model, Continuation) {
    let mut world = Model::empty();
    world.run(&mut converge(spec.clone()));
    let operation = Continuation::new(Operation { signed_at: T0 + REQUEST, ..converge(spec).operation });
    (world, operation)
}

/// Both tasks end, after so many seconds, with these words.
fn end(world: &mut Model, secs: u64, reason: &str, exit_code: Option<i32>) {
    for task in &mut world.observed.tasks {
        task.phase = TaskPhase::Stopped;
        let at = Some(T0 + Duration::from_secs(secs));
        task.ending = Some(StopInfo { reason: reason.to_owned(), exit_code, at });
    }
    world.runners().clear();
}

const EXITED: &str = "Essential container in task exited";

#[test]
fn stopped_task_of_this_deployment_is_the_first_cause() {
    let (mut world, operation) = request_after(spec());
    end(&mut world, 1100, EXITED, Some(1));
    let reason = failure_reason(&operation, &world);
    assert!(
        reason.starts_with(
            "2 tasks stopped, the last one: Essential container in task exited (exit code 1). Specify LogGroup"
        ),
        "{reason}"
    );
    assert!(reason.contains(" 0 of 2 runners came online within OnlineTimeout (15 min)."), "{reason}");
}

#[test]
fn log_group_that_shows_a_job_of_an_idle_runner_names_the_task_to_stop() {
    let (mut world, mut operation) = request_after(spec());
    let running = "2027-01-15 08:00:00Z: Running job: build".to_owned();
    let state = read(&[LogLine { at: T0, text: running }]).unwrap();
    let (task, busy) = (world.observed.tasks[0].arn.clone(), world.observed.tasks[1].arn.clone());
    for arn in [&task, &busy] {
        world.observed.logs.insert(arn.clone(), LogReading::State(state.clone()));
    }
    operation.memory.logs.record_observation(&world.observed, world.now);
    let names: Vec<String> = world.runners().iter().map(|runner| runner.name.clone()).collect();
    world.runners()[1].is_busy = true;
    let id = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
    let reason = failure_reason(&operation, &world);
    let wanted = format!(
        "LogGroup: runners that have a job are not replaced: {}, whose log shows the job build: if it is over, stop the \
         ECS task {}.",
        names[0],
        id(&task)
    );
    assert!(reason.contains(&wanted), "{reason}");
    assert!(!reason.contains(&format!("ECS task {}", id(&busy))), "GitHub lists its runner as busy: {reason}");
}

#[test]
fn task_that_the_pool_or_ecs_stopped_is_no_cause() {
    let reason_after = |secs: u64, text: &str, exit_code: Option<i32>, change: fn(&mut Model, &mut Continuation)| {
        let (mut world, mut operation) = request_after(spec());
        let digits = world.observed.tasks[0].short_container_id().unwrap().to_owned();
        assert_eq!(digits.len(), 12);
        end(&mut world, secs, text, exit_code);
        change(&mut world, &mut operation);
        failure_reason(&operation, &world)
    };
    let nothing: fn(&mut Model, &mut Continuation) = |_, _| {};
    let cases = [
        reason_after(900, EXITED, Some(0), nothing),
        reason_after(1100, "github-runner-pool: the runner was deregistered while idle", Some(0), nothing),
        reason_after(1100, "Scaling activity initiated by (deployment ecs-svc/1)", Some(143), nothing),
        reason_after(1100, EXITED, Some(0), |world, operation| {
            for task in &world.observed.tasks {
                operation.memory.deregistered_at.insert(task.short_container_id().unwrap().to_owned(), T0 + REQUEST);
            }
        }),
        reason_after(1100, EXITED, Some(0), |world, _| {
            for task in &mut world.observed.tasks {
                task.started_by = Some("ecs-svc/earlier".to_owned());
            }
        }),
        reason_after(1100, EXITED, Some(0), |_, operation| {
            if let Goal::Converge(goal) = &mut operation.goal {
                goal.spec.runner.ephemeral = true;
            }
        }),
    ];
    for reason in cases {
        assert!(!reason.contains("stopped"), "{reason}");
    }
}

#[test]
fn stop_reason_of_a_container_names_its_property() {
    let cases = [
        (
            "CannotPullContainerError: pull access denied for nobody/nothing",
            "Image: myoung34/github-runner:ubuntu-noble ",
        ),
        ("CannotPullContainerError: toomanyrequests: You have reached your pull rate limit", "Image: "),
        (
            "CannotStartContainerError: failed to initialize logging driver: The log group does not exist",
            "LogGroup: /ci ",
        ),
        ("ResourceInitializationError: unable to pull secrets or registry auth: AccessDenied", "ExecutionRoleArn: "),
        ("OutOfMemoryError: Container killed due to memory usage", "Memory: "),
        ("CannotStartContainerError: bind source path does not exist: /var/run/docker.sock", "DockerSocket: "),
    ];
    for (words, wanted) in cases {
        let mut spec = spec();
        spec.task.log = Some(LogSpec { group: "/ci".to_owned(), stream_prefix: None });
        let (mut world, operation) = request_after(spec);
        end(&mut world, 1100, words, None);
        let reason = failure_reason(&operation, &world);
        assert!(reason.starts_with(wanted) && reason.contains(words), "{reason}");
    }
}

#[test]
fn runners_without_an_instance_name_max_instances_and_only_service_events_since_the_request() {
    let mut spec = spec();
    if let Capacity::Own(own) = &mut spec.capacity {
        own.max_instances = 1;
    }
    let (mut world, operation) = request_after(spec);
    world.observed.group.as_mut().unwrap().desired = 1;
    world.observed.group.as_mut().unwrap().instances.clear();
    world.observed.tasks[1].phase = TaskPhase::Starting;
    let event = |secs| ServiceEvent { at: T0 + Duration::from_secs(secs), message: format!("event at {secs}") };
    world.observed.service.as_mut().unwrap().events = vec![event(900)];
    let reason = failure_reason(&operation, &world);
    assert!(
        reason.starts_with(
            "MaxInstances: the group is at 1 and has no room for 1 more runner beside those that run. Raise it, or \
             lower MemoryReservation (500 MiB)."
        ),
        "{reason}"
    );
    assert!(!reason.contains("event at 900"), "{reason}");
    world.observed.service.as_mut().unwrap().events = vec![event(1100)];
    assert!(failure_reason(&operation, &world).ends_with("event at 1100."));
}

#[test]
fn task_that_ecs_failed_to_place_names_max_instances() {
    for words in ["RESOURCE:MEMORY", "EMPTY CAPACITY PROVIDER", "MemberOf placement constraint unsatisfied"] {
        let (mut world, operation) = request_after(spec());
        world.observed.group.as_mut().unwrap().desired = 4;
        world.observed.group.as_mut().unwrap().instances.clear();
        end(&mut world, 1100, &format!("TaskFailedToStart: {words}"), None);
        let reason = failure_reason(&operation, &world);
        assert!(reason.starts_with("MaxInstances: the group is at 4 and has no room for 2 more runners."), "{reason}");
    }
}

#[test]
fn failed_attachment_of_the_own_capacity_provider_is_a_cause() {
    let mut model = built(&spec());
    let mut operation = converge(spec());
    let cluster = model.observed.cluster.as_mut().unwrap();
    let of = |provider: &str| format!("as_policy (capacityProviderName {provider})");
    cluster.failed_attachments = vec![of("theirs"), of(operation.id.as_str())];
    model.runners().clear();
    model.observed.tasks.clear();
    operation.memory.online_awaited_since = Some(model.now - spec().wait_policy.online_timeout);
    let Decision::Respond(outcome) = model.decide(&mut operation) else { panic!("no response") };
    let text = reason_of(outcome);
    assert!(text.contains("ECS could not attach the capacity provider") && !text.contains("theirs"), "{text}");
}
