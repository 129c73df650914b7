//! Delete: the order that AWS requires, and what stays.

use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::observed::GitHubRunners;
use crate::pool::model::operation::Goal;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::{ErrorKind, RemoteError};
use crate::pool::model::spec::{OnDeregisterFailure, OnDrainTimeout, RegisterBy};
use crate::pool::model::step::Step;
use crate::pool::tests::support::{Model, bad_credentials, built, delete, foreign, instance, names, prefix, spec};

fn revoked() -> GitHubRunners {
    GitHubRunners::Failed(bad_credentials())
}

fn unreachable() -> GitHubRunners {
    GitHubRunners::Failed(RemoteError { kind: ErrorKind::Unreachable, ..bad_credentials() })
}

#[test]
fn delete_of_what_was_never_built_waits_two_minutes_for_a_connection_to_github() {
    let mut model = Model::empty();
    let began = model.now;
    let mut operation = delete(&spec());
    let Goal::Delete(goal) = &mut operation.operation.goal else { panic!("a Delete") };
    goal.metadata = Some(PoolMetadata::of(&operation.operation.id, &spec()));
    let outcome = model.run_with(&mut operation, |model| model.observed.github = unreachable());
    let Outcome::Succeeded { notes, .. } = outcome else { panic!("{outcome:?}") };
    assert!(notes.concat().starts_with("GitHub may still list "), "{notes:?}");
    assert!((120..200).contains(&model.now.since(began).as_secs()));
}

#[test]
fn delete_of_a_pool_waits_for_a_connection_to_github() {
    let mut model = built(&spec());
    let (back_at, mut listed) = (model.now + Duration::from_secs(1200), Some(model.observed.github.clone()));
    let outcome = model.run_with(&mut delete(&spec()), |model| {
        if model.now < back_at {
            model.observed.github = unreachable();
        } else if let Some(listed) = listed.take() {
            model.observed.github = listed;
        }
    });
    assert_eq!(outcome, Outcome::Succeeded { attributes: Default::default(), notes: vec![] });
    assert!(model.now >= back_at);
}

#[test]
fn delete_removes_everything_in_the_order_that_aws_requires() {
    let mut model = built(&spec());
    model.observed.instances = vec![instance(1)];
    let began = model.now;
    let outcome = model.run(&mut delete(&spec()));
    assert_eq!(outcome, Outcome::Succeeded { attributes: Default::default(), notes: vec![] });
    insta::assert_debug_snapshot!(names(&model.taken), @r#"
    [
        "protect_tasks",
        "scale_service_to_zero",
        "deregister_runner",
        "deregister_runner",
        "delete_service",
        "detach_capacity_provider",
        "delete_capacity_provider",
        "delete_draining_hook",
        "scale_group_to_zero",
        "unprotect_instances",
        "deregister_instance",
        "delete_group",
        "delete_task_definitions",
    ]
    "#);
    // The confirmation window and fifteen seconds: nothing else of ours takes time.
    assert!(model.now.since(began) <= Duration::from_secs(75), "{:?}", model.now.since(began));
}

#[test]
fn delete_of_a_missing_pool_succeeds_at_once() {
    let mut model = Model::empty();
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn delete_of_a_pool_without_a_task_definition_has_no_notes_about_runners() {
    for github in [revoked(), GitHubRunners::NoCredential] {
        let mut model = Model::empty();
        model.observed.github = github;
        let mut operation = delete(&spec());
        let Goal::Delete(goal) = &mut operation.operation.goal else { panic!("a Delete") };
        goal.metadata = Some(PoolMetadata::of(&operation.operation.id, &spec()));
        assert_eq!(model.run(&mut operation), Outcome::Succeeded { attributes: Default::default(), notes: vec![] });
    }
}

#[test]
fn on_drain_timeout_fail_with_a_revoked_credential_claims_no_running_job() {
    let mut model = built(&spec());
    model.observed.github = revoked();
    let mut strict = spec();
    strict.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    let Outcome::Failed { reason } = model.run(&mut delete(&strict)) else { panic!("succeeded") };
    assert!(!reason.contains("still has a running job") && !reason.contains("cancel them"), "{reason}");
    insta::assert_snapshot!(reason, @"After DrainTimeout (30 min) 2 tasks may still have a running job (arn:aws:ecs:eu-central-1:111122223333:task/build/3, arn:aws:ecs:eu-central-1:111122223333:task/build/4), which is unknown and so presumed: GitHub GET /orgs/acme/actions/runners failed (401): Bad credentials. OnDrainTimeout is Fail, so no task was stopped. Correct that, then retry; or set OnDrainTimeout to Cancel, which stops them.");
}

#[test]
fn second_delete_takes_no_step() {
    let mut model = built(&spec());
    model.run(&mut delete(&spec()));
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn delete_waits_for_a_running_job() {
    let mut model = built(&spec());
    let job_ends = model.now + Duration::from_secs(900);
    model.runners()[1].is_busy = true;
    let outcome = model.run_with(&mut delete(&spec()), |model| {
        let over = model.now >= job_ends;
        for runner in model.runners() {
            runner.is_busy &= !over;
        }
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }));
    assert_eq!(model.lost_jobs, 0);
    assert!(model.now >= job_ends);
}

#[test]
fn delete_spares_runners_and_capacity_providers_of_others() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    let ours = prefix(&operation, &spec());
    let label = operation.id.as_str().to_owned();
    model.runners().extend([
        foreign(901, &format!("{ours}-x"), &label),
        foreign(902, "foreign", &label),
        foreign(903, &format!("{ours}-abcdefabcdef"), "another"),
    ]);
    assert!(matches!(model.run(&mut operation), Outcome::Succeeded { .. }));
    assert_eq!(model.runners().iter().map(|runner| runner.id).collect::<Vec<_>>(), [901, 902, 903]);
    assert_eq!(model.observed.cluster.unwrap().providers, ["FARGATE"]);
}

#[test]
fn delete_spares_an_auto_scaling_group_without_the_pool_s_tags() {
    let mut model = built(&spec());
    model.observed.group.as_mut().unwrap().tags.clear();
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert!(model.observed.group.is_some());
    assert!(!model.taken.contains(&Step::DeleteGroup));
}

#[test]
fn on_deregister_failure_warn_deletes_the_pool_and_names_what_may_remain() {
    let mut spec = spec();
    spec.credentials.register_by = RegisterBy::Container;
    let mut model = built(&spec);
    model.observed.github = revoked();
    let mut operation = delete(&spec);
    let began = model.now;
    let Outcome::Succeeded { notes, .. } = model.run(&mut operation) else { panic!("failed") };
    // Without GitHub's word a runner is presumed busy until its task ends or the drain's time is over.
    assert!(model.now.since(began) >= spec.wait_policy.drain_timeout);
    assert!(notes.iter().any(|note| note.contains("GitHub may still list the runners …-")), "{notes:?}");
    assert!(model.observed.group.is_none());
}

#[test]
fn on_deregister_failure_fail_fails_before_the_first_step() {
    let mut model = built(&spec());
    model.observed.github = revoked();
    let mut strict = spec();
    strict.wait_policy.on_deregister_failure = OnDeregisterFailure::Fail;
    let Outcome::Failed { reason } = model.run(&mut delete(&strict)) else { panic!("succeeded") };
    assert!(reason.starts_with("OnDeregisterFailure: it is Fail, and the runners cannot be deregistered"), "{reason}");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn busy_registration_without_a_task_is_waited_for_and_then_named() {
    let mut model = built(&spec());
    let mut operation = delete(&spec());
    let ours = prefix(&operation, &spec());
    let mut stale = foreign(900, &format!("{ours}-0123456789ab"), operation.id.as_str());
    stale.is_busy = true;
    model.runners().push(stale);
    let began = model.now;
    let Outcome::Succeeded { notes, .. } = model.run(&mut operation) else { panic!("failed") };
    assert!(notes[0].starts_with(&format!("GitHub still lists {ours}-0123456789ab as busy")), "{notes:?}");
    assert!(model.now.since(began) >= Duration::from_secs(600));
}

/// A Delete whose properties describe another pool, as after a replacement that was cancelled.
fn delete_without_metadata() -> Continuation {
    let mut operation = delete(&spec());
    let Goal::Delete(goal) = &mut operation.operation.goal else { panic!("a Delete") };
    goal.metadata = None;
    operation
}

#[test]
fn delete_task_definitions_comes_after_the_record_of_what_may_remain_at_github() {
    let mut model = built(&spec());
    model.observed.github = revoked();
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert!(names(&model.taken).ends_with(&["record_remains", "delete_task_definitions"]), "{:?}", names(&model.taken));
}

#[test]
fn delete_whose_predecessor_s_response_was_lost_names_what_may_remain_at_github() {
    let mut model = built(&spec());
    model.observed.github = revoked();
    model.run(&mut delete(&spec()));
    let Outcome::Succeeded { notes, .. } = model.run(&mut delete_without_metadata()) else { panic!("failed") };
    assert_eq!(names(&model.taken), Vec::<&str>::new());
    assert!(notes.len() == 1 && notes[0].contains("GitHub may still list runners with the label ghr-"), "{notes:?}");
}

#[test]
fn delete_with_a_credential_that_works_again_removes_what_remained_at_github() {
    let mut model = built(&spec());
    let runners = std::mem::replace(&mut model.observed.github, revoked());
    model.run(&mut delete(&spec()));
    model.observed.github = runners;
    let outcome = model.run(&mut delete_without_metadata());
    assert_eq!(outcome, Outcome::Succeeded { attributes: Default::default(), notes: vec![] });
    assert_eq!(names(&model.taken), ["remove_orphaned_runner", "remove_orphaned_runner", "forget_remains"]);
    assert_eq!(model.runners().len(), 0);
}
