use std::time::Duration;

use super::support::{Model, POLL, converge, delete, foreign, instance, names, prefix, spec};
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::operation::Goal;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::{OnDeregisterFailure, OnDrainTimeout, Scope};
use crate::pool::model::step::Step;
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::reasons::drain_timed_out;

fn built() -> Model {
    let mut model = Model::empty();
    assert!(matches!(model.run(&mut converge(spec())), Outcome::Succeeded { .. }));
    model
}

fn revoked() -> GitHubRunners {
    GitHubRunners::Failed(RemoteError {
        remote: RemoteService::GitHub,
        kind: ErrorKind::Unauthenticated,
        operation: "GET /orgs/acme/actions/runners".to_owned(),
        code: Some("401".to_owned()),
        message: "Bad credentials".to_owned(),
    })
}

#[test]
fn delete_takes_everything_down_in_the_order_that_aws_forces() {
    let mut model = built();
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
fn delete_of_what_never_was_succeeds_at_once() {
    let mut model = Model::empty();
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn delete_of_what_was_never_built_says_nothing_of_runners_whether_or_not_github_lets_us_in() {
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
fn a_pool_whose_credential_was_revoked_is_not_said_to_have_jobs_when_its_delete_fails() {
    let mut model = built();
    model.observed.github = revoked();
    let mut strict = spec();
    strict.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    let Outcome::Failed { reason } = model.run(&mut delete(&strict)) else { panic!("succeeded") };
    assert!(!reason.contains("still has a running job") && !reason.contains("cancel them"), "{reason}");
    insta::assert_snapshot!(reason, @"After DrainTimeout (30 min) 2 tasks may still have a running job (arn:aws:ecs:eu-central-1:111122223333:task/build/3, arn:aws:ecs:eu-central-1:111122223333:task/build/4), which is unknown and so presumed: GitHub GET /orgs/acme/actions/runners failed (401): Bad credentials. OnDrainTimeout is Fail, so no task was stopped. Correct that, then retry; or set OnDrainTimeout to Cancel, which stops them.");
}

#[test]
fn what_is_known_of_jobs_is_told_apart_from_what_is_presumed() {
    let busy = Runner { is_busy: true, is_online: true, ..foreign(1, "runner-1", "x") };
    let observed = Observed { github: GitHubRunners::Listed(vec![busy]), ..Observed::default() };
    let text = |observed: &Observed, left: &[&str]| {
        let left: Vec<String> = left.iter().map(|name| (*name).to_owned()).collect();
        drain_timed_out(&spec().wait_policy, spec().credentials.github_credential.as_ref(), observed, &left)
    };
    insta::assert_snapshot!(text(&observed, &["runner-1"]), @"1 runner still has a running job (runner-1) after DrainTimeout (30 min), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs or cancel them in GitHub, then retry; or raise DrainTimeout.");
    insta::assert_snapshot!(text(&observed, &["runner-1", "arn:task/2"]), @"1 runner still has a running job (runner-1) after DrainTimeout (30 min), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs or cancel them in GitHub, then retry; or raise DrainTimeout. Also, 1 task may still have a running job (arn:task/2), which is unknown and so presumed: no runner on GitHub's list has a name that leads to it. Check in GitHub whether they have jobs, then retry; or set OnDrainTimeout to Cancel, which stops them.");
    insta::assert_snapshot!(text(&observed, &["arn:task/2", "arn:task/3"]), @"After DrainTimeout (30 min) 2 tasks may still have a running job (arn:task/2, arn:task/3), which is unknown and so presumed: no runner on GitHub's list has a name that leads to it. OnDrainTimeout is Fail, so no task was stopped. Check in GitHub whether they have jobs, then retry; or set OnDrainTimeout to Cancel, which stops them.");
    let blind = Observed { github: GitHubRunners::NoCredential, ..Observed::default() };
    insta::assert_snapshot!(text(&blind, &["arn:task/2"]), @"After DrainTimeout (30 min) 1 task may still have a running job (arn:task/2), which is unknown and so presumed: RunnerTokenParameter alone gives no access to GitHub. OnDrainTimeout is Fail, so no task was stopped. Check in GitHub whether they have jobs, then retry; or set OnDrainTimeout to Cancel, which stops them.");
}

#[test]
fn a_newer_way_to_github_takes_the_place_of_the_pool_s_own() {
    let mut model = built();
    let mut operation = delete(&spec());
    let own = operation.metadata(&operation.memory, &model.observed).unwrap();
    let mut newer = own.github_access().unwrap();
    newer.github.scope = Scope::Organization("acme-inc".to_owned());
    model.observed.newer_github_access = Some(newer.clone());
    operation.memory.record_observation(&model.observed, DecisionTime { now: model.now, poll: POLL });
    model.observed.newer_github_access = None;
    let now = operation.metadata(&operation.memory, &model.observed).unwrap();
    assert_eq!((now.github, now.matcher), (newer.github, own.matcher));
}

#[test]
fn a_second_delete_finds_nothing_to_do() {
    let mut model = built();
    model.run(&mut delete(&spec()));
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn a_running_job_ends_before_its_pool_does() {
    let mut model = built();
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
fn foreign_runners_and_resources_survive() {
    let mut model = built();
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
fn a_group_of_our_name_without_our_tags_is_left_alone() {
    let mut model = built();
    model.observed.group.as_mut().unwrap().tags.clear();
    assert!(matches!(model.run(&mut delete(&spec())), Outcome::Succeeded { .. }));
    assert!(model.observed.group.is_some());
    assert!(!model.taken.contains(&Step::DeleteGroup));
}

#[test]
fn a_revoked_token_does_not_keep_a_pool_alive_and_the_reason_names_what_may_be_left() {
    let mut model = built();
    model.observed.github = revoked();
    let mut operation = delete(&spec());
    let began = model.now;
    let Outcome::Succeeded { notes, .. } = model.run(&mut operation) else { panic!("failed") };
    // Without GitHub's word a runner is presumed busy until its task ends or the drain's time is over.
    assert!(model.now.since(began) >= spec().wait_policy.drain_timeout);
    assert!(notes.iter().any(|note| note.contains("GitHub may still list the runners …-")), "{notes:?}");
    assert!(model.observed.group.is_none());
}

#[test]
fn a_revoked_token_fails_a_delete_that_is_to_fail_then() {
    let mut model = built();
    model.observed.github = revoked();
    let mut strict = spec();
    strict.wait_policy.on_deregister_failure = OnDeregisterFailure::Fail;
    let Outcome::Failed { reason } = model.run(&mut delete(&strict)) else { panic!("succeeded") };
    assert!(reason.starts_with("OnDeregisterFailure: it is Fail, and the runners cannot be deregistered"), "{reason}");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn a_registration_that_stays_busy_after_its_task_is_waited_for_and_then_named() {
    let mut model = built();
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
