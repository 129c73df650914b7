use crate::pool::model::spec::Scope;
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::{POLL, built, delete, spec};

#[test]
fn metadata_of_a_delete_takes_newer_github_access() {
    let mut model = built(&spec());
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
