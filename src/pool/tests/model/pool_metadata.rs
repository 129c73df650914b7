use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::task_definition::{METADATA_LABEL, TaskDefinitionContent};
use crate::pool::tests::support::{spec, stack_resource};

#[test]
fn pool_metadata_reads_the_label_of_the_task_definition() {
    let id = PhysicalId::of(&stack_resource(), &spec());
    let label = TaskDefinitionContent::of(&id, &spec()).docker_labels[METADATA_LABEL].clone();
    assert_eq!(PoolMetadata::from_label(&label), Some(PoolMetadata::of(&id, &spec())));
    assert_eq!(PoolMetadata::from_label("{}"), None);
}
