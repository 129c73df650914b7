//! Create and Update as a whole, and access to GitHub on the way.

use std::time::Duration;

use crate::pool::model::decision::Decision;
use crate::pool::model::observed::{GitHubRunners, PreflightResult};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError};
use crate::pool::model::spec::PoolSpec;
use crate::pool::tests::support::{Model, bad_credentials, built, converge, is_success, names, spec};

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
