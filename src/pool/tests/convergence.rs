use std::time::Duration;

use super::support::{Model, converge, foreign, instance, names, prefix, spec};
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::ecs::{Deployment, Protection, RolloutState, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::{GitHubRunners, PreflightResult};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::{Capacity, OnDrainTimeout, PoolSpec, TaskSpec};

fn succeeded(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded { .. })
}

fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { reason } => reason,
        Outcome::Succeeded { .. } => panic!("succeeded"),
    }
}

fn built(spec: &PoolSpec) -> Model {
    let mut model = Model::empty();
    assert!(succeeded(&model.run(&mut converge(spec.clone()))));
    model
}

fn refused_by_github() -> RemoteError {
    RemoteError {
        remote: RemoteService::GitHub,
        kind: ErrorKind::Unauthenticated,
        operation: "GET /orgs/acme/actions/runners".to_owned(),
        code: Some("401".to_owned()),
        message: "Bad credentials".to_owned(),
    }
}

#[test]
fn create_lays_the_foundation_before_the_service() {
    let mut model = Model::empty();
    let outcome = model.run(&mut converge(spec()));
    insta::assert_debug_snapshot!(names(&model.taken), @r#"
    [
        "register_task_definition",
        "create_group",
        "create_capacity_provider",
        "attach_capacity_provider",
        "update_group",
        "create_service",
    ]
    "#);
    let Outcome::Succeeded { attributes, notes } = outcome else { panic!("{outcome:?}") };
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(attributes["OnlineRunners"], "2");
    assert_eq!(attributes["DesiredCount"], "2");
    assert_eq!(attributes.len(), 11);
}

#[test]
fn an_unchanged_pool_takes_no_step() {
    let mut model = built(&spec());
    assert!(succeeded(&model.run(&mut converge(spec()))));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn a_larger_count_only_changes_the_service() {
    let mut model = built(&spec());
    let larger = PoolSpec { desired_count: 3, ..spec() };
    assert!(succeeded(&model.run(&mut converge(larger))));
    assert_eq!(names(&model.taken), ["update_service"]);
}

#[test]
fn a_smaller_count_protects_all_and_retires_an_idle_runner() {
    let mut model = built(&spec());
    model.runners()[0].is_busy = true;
    let smaller = PoolSpec { desired_count: 1, ..spec() };
    assert!(succeeded(&model.run(&mut converge(smaller))));
    assert_eq!(names(&model.taken), ["protect_tasks", "update_service", "deregister_runner", "unprotect_tasks"]);
    assert_eq!(model.lost_jobs, 0);
    assert!(model.runners().iter().all(|runner| runner.is_busy));
}

#[test]
fn a_new_image_brings_new_runners_online_before_the_old_ones_leave() {
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
    assert!(succeeded(&outcome));
    assert_eq!(
        names(&model.taken),
        ["register_task_definition", "protect_tasks", "update_service", "deregister_runner", "deregister_runner"]
    );
    assert_eq!(model.lost_jobs, 0);
    assert!(model.now >= job_ends);
}

#[test]
fn a_job_that_outlasts_the_drain_is_cut_off_when_the_template_says_so() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "other".to_owned();
    model.runners()[0].is_busy = true;
    let Outcome::Succeeded { notes, .. } = model.run(&mut converge(newer)) else { panic!("failed") };
    assert_eq!(model.lost_jobs, 1);
    assert_eq!(
        notes,
        ["1 task was stopped with a job that may have been running, because DrainTimeout (30 min) had passed"]
    );
}

#[test]
fn a_job_that_outlasts_the_drain_is_left_alone_when_the_template_says_so() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "other".to_owned();
    newer.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    model.runners()[0].is_busy = true;
    let busy = model.runners()[0].name.clone();
    insta::assert_snapshot!(reason(model.run(&mut converge(newer))).replace(&busy, "RUNNER"), @"1 runner still has a running job (RUNNER) after DrainTimeout (30 min), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs or cancel them in GitHub, then retry; or raise DrainTimeout.");
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn runners_that_do_not_come_online_fail_the_update_and_the_old_ones_stay() {
    let mut model = built(&spec());
    let mut newer = spec();
    newer.task.image = "broken".to_owned();
    let old: Vec<String> = model.runners().iter().map(|runner| runner.name.clone()).collect();
    let outcome = model.run_with(&mut converge(newer), |model| {
        for runner in model.runners() {
            runner.is_online = old.contains(&runner.name);
        }
    });
    let reason = reason(outcome);
    assert!(reason.starts_with("Registered at GitHub but offline: github-runner-"), "{reason}");
    let came = "0 of 2 runners came online within OnlineTimeout (15 min). The 2 old runners still accept jobs.";
    assert!(reason.contains(came), "{reason}");
    assert!(old.iter().all(|name| model.runners().iter().any(|runner| runner.name == *name)));
}

#[test]
fn no_runner_leaves_to_make_room_when_online_timeout_leaves_its_successor_no_time() {
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
                task.container_instance_arn = None;
                task.short_container_id().unwrap_or_default().to_owned()
            })
            .collect();
        model.runners().retain(|runner| !unplaced.iter().any(|id| runner.name.ends_with(id)));
        for runner in model.runners() {
            runner.is_busy = true;
        }
    });
    assert!(reason(outcome).contains("1 of 2 runners came online within OnlineTimeout (15 min)"));
    assert_eq!(model.lost_jobs, 1, "for the new runner that is online one old one was to leave, and no more");
}

#[test]
fn a_deployment_that_ecs_gives_up_fails_at_once() {
    let mut model = Model::empty();
    let began = model.now;
    let outcome = model.run_with(&mut converge(spec()), |model| {
        for runner in model.runners() {
            runner.is_online = false;
        }
        for deployment in model.observed.service.iter_mut().flat_map(|service| &mut service.deployments) {
            deployment.rollout = RolloutState::Failed("tasks failed to start".to_owned());
        }
    });
    assert!(reason(outcome).contains("ECS deployment failed: tasks failed to start"));
    assert!(model.now.since(began) < Duration::from_secs(60));
}

#[test]
fn a_rollback_deploys_the_old_revision_and_registers_nothing() {
    let mut model = built(&spec());
    let old_revision = model.observed.service.as_ref().unwrap().config.task_definition.clone();
    let mut newer = spec();
    newer.task.image = "broken".to_owned();
    newer.wait_policy.online_timeout = Duration::from_secs(60);
    let old: Vec<String> = model.runners().iter().map(|runner| runner.name.clone()).collect();
    let outcome = model.run_with(&mut converge(newer), |model| {
        for runner in model.runners() {
            runner.is_online = old.contains(&runner.name);
        }
    });
    assert!(!succeeded(&outcome));
    for runner in model.runners() {
        runner.is_online = true;
    }
    assert!(succeeded(&model.run(&mut converge(spec()))));
    assert!(!names(&model.taken).contains(&"register_task_definition"));
    assert_eq!(model.observed.service.as_ref().unwrap().config.task_definition, old_revision);
}

#[test]
fn a_bad_token_is_told_before_anything_is_built() {
    let mut model = Model::empty();
    model.observed.preflight_result = Some(PreflightResult::Failed(refused_by_github()));
    model.observed.github = GitHubRunners::Failed(refused_by_github());
    insta::assert_snapshot!(reason(model.run(&mut converge(spec()))), @"AccessTokenParameter /ci/token cannot access the organization acme on https://github.com: GitHub GET /orgs/acme/actions/runners failed (401): Bad credentials");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn nothing_is_built_while_github_is_too_busy_to_say_whether_runners_may_register() {
    let mut model = Model::empty();
    let throttled = RemoteError { kind: ErrorKind::Throttled { retry_after: None }, ..refused_by_github() };
    let granted_at = model.now + Duration::from_secs(300);
    let outcome = model.run_with(&mut converge(spec()), |model| {
        let is_granted = model.now >= granted_at;
        let refused = PreflightResult::Failed(throttled.clone());
        model.observed.preflight_result = Some(if is_granted { PreflightResult::Passed } else { refused });
        assert!(is_granted || model.taken.is_empty());
    });
    assert!(succeeded(&outcome));
}

#[test]
fn a_runner_group_that_does_not_exist_is_told_before_anything_is_built() {
    let mut model = Model::empty();
    let mut spec = spec();
    spec.runner.group = Some("builders".to_owned());
    model.observed.preflight_result = Some(PreflightResult::NoSuchRunnerGroup);
    insta::assert_snapshot!(reason(model.run(&mut converge(spec))), @"RunnerGroup: the organization acme has no runner group named builders. Create it under Settings > Actions > Runner groups, correct the name, or omit RunnerGroup.");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn an_unchanged_pool_succeeds_although_github_lets_nobody_in() {
    let mut model = built(&spec());
    model.observed.github = GitHubRunners::Failed(refused_by_github());
    let mut operation = converge(spec());
    let Decision::Respond(Outcome::Succeeded { notes, .. }) = model.decide(&mut operation) else {
        panic!("not answered")
    };
    assert_eq!(notes.len(), 1);
    let mut changed = converge(PoolSpec { desired_count: 1, ..spec() });
    assert!(matches!(model.decide(&mut changed), Decision::Respond(Outcome::Failed { .. })));
}

#[test]
fn a_group_of_our_name_that_is_not_ours_is_never_written() {
    let mut model = built(&spec());
    model.observed.group.as_mut().unwrap().tags.clear();
    let reason = reason(model.run(&mut converge(PoolSpec { desired_count: 5, ..spec() })));
    assert!(reason.starts_with("An Auto Scaling group named ghr-ci-Runners-"), "{reason}");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn a_new_launch_template_changes_the_group_and_drains_only_empty_old_instances() {
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
    assert!(succeeded(&model.run(&mut converge(newer))));
    assert_eq!(names(&model.taken), ["drain_instance"]);
}

#[test]
fn a_fixed_name_leaves_before_its_successor_comes() {
    let mut spec = spec();
    spec.desired_count = 1;
    spec.runner.name = Some("builder".to_owned());
    let mut model = Model::empty();
    model.fixed_name = Some("builder".to_owned());
    assert!(succeeded(&model.run(&mut converge(spec.clone()))));
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
    assert!(succeeded(&outcome), "{outcome:?}");
    assert_eq!(
        names(&model.taken),
        ["register_task_definition", "protect_tasks", "update_service", "deregister_runner", "update_service"]
    );
    assert_eq!(model.observed.service.as_ref().unwrap().config.desired_count, 1);
    assert_eq!(model.lost_jobs, 0);
}

#[test]
fn a_task_that_ecs_would_replace_keeps_its_protection_until_its_runner_has_left() {
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
fn what_ecs_gave_up_before_is_begun_anew() {
    let mut model = built(&spec());
    model.observed.service.as_mut().unwrap().deployments[0].rollout =
        RolloutState::Failed("tasks failed to start".to_owned());
    let Decision::Act(plan) = model.decide(&mut converge(spec())) else { panic!("no step") };
    assert_eq!(names(&plan), ["register_task_definition"], "only another revision begins another deployment");
}

#[test]
fn a_ghost_is_removed_and_its_neighbours_stay() {
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
    assert!(succeeded(&model.run(&mut operation)));
    assert_eq!(names(&model.taken), ["remove_orphaned_runner"]);
    let left: Vec<u64> = model.runners().iter().map(|runner| runner.id).filter(|id| *id >= 900).collect();
    assert_eq!(left, [901, 902, 903]);
}

#[test]
fn another_organization_is_another_pool() {
    let mut elsewhere = spec();
    elsewhere.github.scope = crate::pool::model::spec::Scope::Organization("umbrella".to_owned());
    assert_ne!(
        PhysicalId::of(&super::support::stack_resource(), &spec()),
        PhysicalId::of(&super::support::stack_resource(), &elsewhere)
    );
}
