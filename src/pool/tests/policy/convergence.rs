//! Create and Update as a whole, and access to GitHub on the way.

use std::time::Duration;

use crate::pool::model::decision::Decision;
use crate::pool::model::observed::{GitHubRunners, PreflightResult};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError};
use crate::pool::model::spec::PoolSpec;
use crate::pool::tests::support::{Model, bad_credentials, built, converge, is_success, names, reason_of, spec};

#[test]
fn unchanged_pool_takes_no_step() {
    let mut model = built(&spec());
    assert!(is_success(&model.run(&mut converge(spec()))));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn throttled_preflight_is_retried_before_anything_is_built() {
    let mut model = Model::empty();
    let throttled = RemoteError { kind: ErrorKind::Throttled { retry_after: None }, ..bad_credentials() };
    let granted_at = model.now + Duration::from_secs(300);
    let outcome = model.run_with(&mut converge(spec()), |model| {
        let is_granted = model.now >= granted_at;
        let refused = PreflightResult::Failed(throttled.clone());
        model.observed.preflight_result = Some(if is_granted { PreflightResult::Passed } else { refused });
        assert!(is_granted || model.taken.is_empty());
    });
    assert!(is_success(&outcome));
}

fn unreachable() -> RemoteError {
    RemoteError {
        kind: ErrorKind::Unreachable,
        code: None,
        message:
            "DNS lookup for api.github.com failed. Check GitHubUrl and, in a VPC, whether its DNS resolves the name"
                .to_owned(),
        ..bad_credentials()
    }
}

/// Runs a Create or an Update whose preflight fails with this error for so long.
fn run_with_failing_preflight(model: &mut Model, error: &RemoteError, secs: u64) -> Outcome {
    let granted_at = model.now + Duration::from_secs(secs);
    let larger = PoolSpec { desired_count: 3, ..spec() };
    model.run_with(&mut converge(larger), |model| {
        let is_granted = model.now >= granted_at;
        let failed = PreflightResult::Failed(error.clone());
        model.observed.preflight_result = Some(if is_granted { PreflightResult::Passed } else { failed });
        assert!(is_granted || model.taken.is_empty());
    })
}

#[test]
fn github_url_without_a_connection_fails_a_new_pool_after_two_minutes() {
    let mut model = Model::empty();
    let began_at = model.now;
    let reason = reason_of(run_with_failing_preflight(&mut model, &unreachable(), 3600));
    insta::assert_snapshot!(reason, @"GitHubUrl: no connection to https://github.com in 2 min: DNS lookup for api.github.com failed. Check GitHubUrl and, in a VPC, whether its DNS resolves the name. Nothing was built.");
    assert!((120..150).contains(&model.now.since(began_at).as_secs()));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn github_url_without_a_connection_for_a_minute_is_retried() {
    assert!(is_success(&run_with_failing_preflight(&mut Model::empty(), &unreachable(), 100)));
}

#[test]
fn github_url_of_a_pool_that_was_built_is_retried_until_the_response_is_due() {
    assert!(is_success(&run_with_failing_preflight(&mut built(&spec()), &unreachable(), 1200)));
}

#[test]
fn server_error_of_github_is_retried_until_the_response_is_due() {
    let down = RemoteError { kind: ErrorKind::Unavailable, ..unreachable() };
    assert!(is_success(&run_with_failing_preflight(&mut Model::empty(), &down, 1200)));
}

#[test]
fn unchanged_pool_succeeds_without_access_to_github() {
    let mut model = built(&spec());
    model.observed.github = GitHubRunners::Failed(bad_credentials());
    let mut operation = converge(spec());
    let Decision::Respond(Outcome::Succeeded { notes, .. }) = model.decide(&mut operation) else {
        panic!("no response")
    };
    assert_eq!(notes.len(), 1);
    let mut changed = converge(PoolSpec { desired_count: 1, ..spec() });
    assert!(matches!(model.decide(&mut changed), Decision::Respond(Outcome::Failed { .. })));
}
