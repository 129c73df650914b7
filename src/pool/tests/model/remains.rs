use std::time::Duration;

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remains::RemainsRecord;
use crate::pool::tests::support::{T0, converge, spec};

fn id(number: u32) -> PhysicalId {
    PhysicalId::try_from(format!("ghr-ci-Runners-{number:010x}")).unwrap()
}

fn metadata() -> PoolMetadata {
    PoolMetadata::of(&converge(spec()).id, &spec())
}

fn ids(record: &RemainsRecord) -> Vec<PhysicalId> {
    record.pools().map(|(id, _)| id.clone()).collect()
}

#[test]
fn remains_of_a_pool_are_in_the_record_until_they_are_removed() {
    let record = RemainsRecord::default().with(id(1), metadata(), T0).with(id(2), metadata(), T0);
    let read = RemainsRecord::from_record(&record.to_record());
    assert_eq!(read.metadata(&id(1)), Some(&metadata()));
    assert_eq!(ids(&read.without(&id(1))), [id(2)]);
}

#[test]
fn remains_record_drops_pools_that_github_has_removed_by_itself() {
    let fortnight = Duration::from_secs(14 * 86_400);
    let record = RemainsRecord::default().with(id(1), metadata(), T0).with(id(2), metadata(), T0 + fortnight);
    assert_eq!(ids(&record), [id(2)]);
    assert_eq!(RemainsRecord::expires_at(T0), T0 + fortnight);
}

#[test]
fn remains_record_keeps_the_newest_of_many_pools() {
    let at = |number: u32| T0 + Duration::from_secs(u64::from(number));
    let record = (0..105).fold(RemainsRecord::default(), |record, n| record.with(id(n), metadata(), at(n)));
    assert_eq!(ids(&record), (5..105).map(id).collect::<Vec<_>>());
    assert!(record.to_record().len() < 400_000);
}

#[test]
fn remains_record_of_another_format_names_no_pool() {
    let record = RemainsRecord::default().with(id(1), metadata(), T0).to_record();
    let newer = record.replacen("\"format\":1", "\"format\":2", 1);
    assert_ne!(newer, record);
    assert_eq!(RemainsRecord::from_record(&newer), RemainsRecord::default());
}
