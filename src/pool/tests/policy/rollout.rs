//! The service and its runners: new ones come online, then old ones are retired.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ecs::{Deployment, Placement, Protection, Task, TaskPhase};
use crate::pool::model::memory::StepResult;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{Capacity, PoolSpec, TaskSpec};
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::{
    Model, POLL, built, converge, decide_on, foreign, instance, is_success, names, prefix, reason_of, spec,
};

#[test]
fn larger_desired_count_only_updates_the_service() {
    let mut model = built(&spec());
    let larger = PoolSpec { desired_count: 3, ..spec() };
    assert!(is_success(&model.run(&mut converge(larger))));
    assert_eq!(names(&model.taken), ["update_service"]);
}

#[test]
fn smaller_desired_count_protects_every_task_and_retires_an_idle_runner() {
    let mut model = built(&spec());
    model.runners()[0].is_busy = true;
    let smaller = PoolSpec { desired_count: 1, ..spec() };
    assert!(is_success(&model.run(&mut converge(smaller))));
    assert_eq!(names(&model.taken), ["protect_tasks", "update_service", "deregister_runner", "unprotect_tasks"]);
    assert_eq!(model.lost_jobs, 0);
    assert!(model.runners().iter().all(|runner| runner.is_busy));
}

#[test]
fn new_image_brings_new_runners_online_before_the_old_ones_are_retired() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "myoung34/github-runner:2.336.0-ubuntu-noble".to_owned();
    let job_ends = model.now + Duration::from_secs(600);
    model.runners()[0].is_busy = true;
    let busy = model.runners()[0].name.clone();
    let outcome = model.run_with(&mut converge(newer), |model| {
        let over = model.now >= job_ends;
        for runner in model.runners().iter_mut().filter(|runner| runner.name == busy) {
            runner.is_busy = !over;
        }
    });
    assert!(is_success(&outcome));
    assert_eq!(
        names(&model.taken),
        ["register_task_definition", "protect_tasks", "update_service", "deregister_runner", "deregister_runner"]
    );
    assert_eq!(model.lost_jobs, 0);
    assert!(model.now >= job_ends);
}

#[test]
fn online_timeout_fails_the_update_and_the_old_runners_stay() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "broken".to_owned();
    let old: Vec<String> = model.runners().iter().map(|runner| runner.name.clone()).collect();
    let outcome = model.run_with(&mut converge(newer), |model| {
        for runner in model.runners() {
            runner.is_online = old.contains(&runner.name);
        }
    });
    let reason = reason_of(outcome);
    assert!(reason.starts_with("Registered at GitHub but offline: github-runner-"), "{reason}");
    let came = "0 of 2 runners came online within OnlineTimeout (15 min). The 2 old runners still accept jobs.";
    assert!(reason.contains(came), "{reason}");
    assert!(old.iter().all(|name| model.runners().iter().any(|runner| runner.name == *name)));
}

#[test]
fn online_timeout_without_time_for_a_successor_retires_no_runner() {
    let mut before = spec();
    // The jobs outlast the drain, which ends shortly before the Update has to succeed.
    before.wait_policy.drain_timeout = before.wait_policy.online_timeout - Duration::from_secs(30);
    let mut model = built(&before);
    let newer = PoolSpec { task: TaskSpec { image: "other".to_owned(), ..before.task.clone() }, ..before };
    let old: Vec<String> = model.observed.tasks.iter().map(|task| task.arn.clone()).collect();
    let outcome = model.run_with(&mut converge(newer), |model| {
        let group = model.observed.group.as_mut().unwrap();
        group.desired = group.config.max;
        let new = model.observed.tasks.iter_mut().filter(|task| !old.contains(&task.arn));
        let unplaced: Vec<String> = new
            .skip(1)
            .map(|task| {
                task.phase = TaskPhase::Starting;
                task.placement = Placement::Unplaced;
                task.short_container_id().unwrap_or_default().to_owned()
            })
            .collect();
        model.runners().retain(|runner| !unplaced.iter().any(|id| runner.name.ends_with(id)));
        for runner in model.runners() {
            runner.is_busy = true;
        }
    });
    assert!(reason_of(outcome).contains("1 of 2 runners came online within OnlineTimeout (15 min)"));
    assert_eq!(model.lost_jobs, 1, "for the new runner that is online one old one was to leave, and no more");
}

#[test]
fn new_launch_template_version_updates_the_group_and_drains_only_empty_instances() {
    let mut model = built(&spec());
    model.observed.template_version = Some(2);
    let mut newer = spec();
    let Capacity::Own(own) = &mut newer.capacity else { panic!("own capacity") };
    own.launch_template.version = "2".to_owned();
    let mut busy = instance(1);
    busy.n_tasks = 1;
    model.observed.instances = vec![busy];
    let Outcome::Succeeded { notes, .. } = model.run(&mut converge(newer.clone())) else { panic!("failed") };
    assert_eq!(names(&model.taken), ["update_group"]);
    assert!(notes[0].starts_with("1 instance still works on an older version"), "{notes:?}");

    model.observed.instances = vec![instance(1)];
    assert!(is_success(&model.run(&mut converge(newer))));
    assert_eq!(names(&model.taken), ["drain_instance"]);
}

#[test]
fn runner_name_is_deregistered_before_its_successor_starts() {
    let mut spec = spec();
    spec.desired_count = 1;
    spec.runner.name = Some("builder".to_owned());
    let mut model = Model::empty();
    model.fixed_name = Some("builder".to_owned());
    assert!(is_success(&model.run(&mut converge(spec.clone()))));
    let config = model.observed.service.as_ref().unwrap().config.clone();
    assert_eq!((config.maximum_percent, config.minimum_healthy_percent), (100, 0));

    spec.task.image = "newer".to_owned();
    let job_ends = model.now + Duration::from_secs(300);
    model.runners()[0].is_busy = true;
    let outcome = model.run_with(&mut converge(spec), |model| {
        let over = model.now >= job_ends;
        for runner in model.runners() {
            runner.is_busy &= !over;
        }
    });
    assert!(is_success(&outcome), "{outcome:?}");
    assert_eq!(
        names(&model.taken),
        ["register_task_definition", "protect_tasks", "update_service", "deregister_runner", "update_service"]
    );
    assert_eq!(model.observed.service.as_ref().unwrap().config.desired_count, 1);
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn task_of_an_earlier_deployment_keeps_its_protection_until_its_runner_has_left() {
    let mut model = built(&spec());
    let service = model.observed.service.as_mut().unwrap();
    let newest = service.deployments[0].clone();
    service.deployments.push(Deployment { id: "ecs-svc/earlier".to_owned(), is_primary: false, ..newest });
    let earlier = &mut model.observed.tasks[0];
    earlier.started_by = Some("ecs-svc/earlier".to_owned());
    earlier.protection = Protection::Until(model.now + Duration::from_secs(90_000));
    model.runners()[0].is_busy = true;
    // Both wanted runners are online, and the successor of this one is still to come.
    let Decision::Wait { why, .. } = model.decide(&mut converge(spec())) else { panic!("it was touched") };
    assert_eq!(why, WaitReason::RunnersOnline { online: 1, wanted: 2 });
}

#[test]
fn orphaned_runner_is_removed_and_similar_ones_stay() {
    let mut model = built(&spec());
    let mut operation = converge(spec());
    let ours = prefix(&operation, &spec());
    let label = operation.id.as_str().to_owned();
    model.runners().extend([
        foreign(900, &format!("{ours}-0123456789ab"), &label),
        foreign(901, &format!("{ours}-x"), &label),
        foreign(902, "foreign", &label),
        foreign(903, &format!("{ours}-abcdefabcdef"), "another"),
    ]);
    assert!(is_success(&model.run(&mut operation)));
    assert_eq!(names(&model.taken), ["remove_orphaned_runner"]);
    let left: Vec<u64> = model.runners().iter().map(|runner| runner.id).filter(|id| *id >= 900).collect();
    assert_eq!(left, [901, 902, 903]);
}

#[test]
fn drain_instance_is_sent_once() {
    let mut model = built(&spec());
    model.observed.template_version = Some(2);
    let mut newer = spec();
    let Capacity::Own(own) = &mut newer.capacity else { panic!("own capacity") };
    own.launch_template.version = "2".to_owned();
    model.observed.group.as_mut().unwrap().config.launch_template.version = "2".to_owned();
    model.observed.instances = vec![instance(1)];
    let mut operation = converge(newer);
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["drain_instance"]);
    // ECS refused, for its own managed draining was first; the instance is still listed as ACTIVE.
    operation.memory.record_step(StepResult::DrainRequested { instance: instance(1).arn }, model.now);
    assert!(matches!(model.decide(&mut operation), Decision::Respond(Outcome::Succeeded { .. })));
}

#[test]
fn runner_name_prefix_of_an_earlier_template_is_recognized() {
    let mut model = built(&spec());
    model.runners()[0].is_busy = true;
    let mut renamed = spec();
    renamed.runner.name_prefix = "gpu".to_owned();
    let job_ends = model.now + Duration::from_secs(900);
    let outcome = model.run_with(&mut converge(renamed), |model| {
        let over = model.now >= job_ends;
        for runner in model.runners() {
            runner.is_busy &= !over;
        }
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn service_is_not_scaled_down_by_an_incomplete_observation() {
    let mut model = built(&spec());
    for task in &mut model.observed.tasks {
        task.protection = Protection::Until(model.now + Duration::from_secs(48 * 3600));
    }
    let mut smaller = spec();
    smaller.desired_count = 1;
    let mut operation = converge(smaller);
    let Decision::Act(plan) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&plan), ["update_service"]);
    model.observed.is_complete = false;
    let Decision::Wait { until, scope, .. } =
        decide_on(&mut operation, &model.observed, DecisionTime { now: model.now, poll: POLL })
    else {
        panic!("by an old observation")
    };
    assert_eq!((until, scope), (model.now, ObserveScope::Full));
}

#[test]
fn update_task_protection_keeps_a_task_protected_whose_runner_this_request_deregistered() {
    let mut model = built(&spec());
    let until = Protection::Until(model.now + Duration::from_secs(48 * 3600));
    for task in &mut model.observed.tasks {
        task.protection = until;
    }
    let mut operation = converge(spec());
    let id = model.observed.tasks[0].short_container_id().unwrap().to_owned();
    operation.memory.deregistered_at.insert(id, model.now);
    model.run(&mut operation);
    let is_protected = |task: &Task| task.protection == until;
    assert_eq!(model.observed.tasks.iter().map(is_protected).collect::<Vec<_>>(), [true, false]);
}
