//! Laws that hold for every pool.

use proptest::prelude::*;

use super::support::{Model, converge, delete, foreign, names, prefix, spec};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{Capacity, PoolSpec};

prop_compose! {
    fn any_spec()(
        desired in 0_u32..6,
        min in 0_u32..3,
        max in 3_u32..9,
        version in 1_u32..4,
        image in "[a-z]{1,8}(:[a-z0-9]{1,4})?",
        ephemeral: bool,
        distinct: bool,
        tag in proptest::option::of("[a-z]{1,6}"),
    ) -> PoolSpec {
        let mut spec = spec();
        spec.desired_count = desired;
        spec.task.image = image;
        spec.runner.ephemeral = ephemeral;
        spec.distinct_instances = distinct;
        if let Capacity::Own(own) = &mut spec.capacity {
            (own.min_instances, own.max_instances) = (min, max);
            own.launch_template.version = version.to_string();
        }
        spec.tags = tag.into_iter().map(|value| ("team".to_owned(), value)).collect();
        spec
    }
}

fn model_for(spec: &PoolSpec) -> Model {
    let mut model = Model::empty();
    if let Capacity::Own(own) = &spec.capacity {
        model.observed.template_version = own.launch_template.version.parse().ok();
    }
    model
}

fn version_of(spec: &PoolSpec) -> Option<u64> {
    match &spec.capacity {
        Capacity::Own(own) => own.launch_template.version.parse().ok(),
        Capacity::Existing(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn from_anything_to_anything_and_then_nothing_is_left_to_do(from in any_spec(), to in any_spec()) {
        let mut model = model_for(&from);
        let made = model.run(&mut converge(from));
        let is_success = matches!(made, Outcome::Succeeded { .. });
        prop_assert!(is_success);
        model.observed.template_version = version_of(&to);
        let changed = model.run(&mut converge(to.clone()));
        let is_success = matches!(changed, Outcome::Succeeded { .. });
        prop_assert!(is_success, "{changed:?}");
        prop_assert_eq!(model.lost_jobs, 0);
        model.run(&mut converge(to.clone()));
        prop_assert_eq!(names(&model.taken), Vec::<&str>::new());
        prop_assert_eq!(model.observed.service.as_ref().map(|service| service.config.desired_count), Some(to.desired_count));
    }

    #[test]
    fn what_is_deleted_is_gone_and_what_is_foreign_stays(spec in any_spec(), suffix in "[a-z0-9]{1,11}") {
        let mut model = model_for(&spec);
        model.run(&mut converge(spec.clone()));
        let mut operation = delete(&spec);
        let stranger = format!("{}-{suffix}", prefix(&operation, &spec));
        model.runners().push(foreign(900, &stranger, operation.id.as_str()));
        let gone = model.run(&mut operation);
        let is_success = matches!(gone, Outcome::Succeeded { .. });
        prop_assert!(is_success);
        let observed = &model.observed;
        prop_assert!(observed.group.is_none() && observed.provider.is_none() && observed.service.is_none());
        prop_assert!(observed.task_definition.is_none() && observed.tasks.iter().all(|task| !task.is_live()));
        prop_assert_eq!(model.runners().len(), 1);
    }

    #[test]
    fn the_order_of_lists_changes_nothing(spec in any_spec(), smaller in 0_u32..3) {
        let mut model = model_for(&spec);
        model.run(&mut converge(spec.clone()));
        let goal = PoolSpec { desired_count: smaller, ..spec };
        let one = model.decide(&mut converge(goal.clone()));
        model.observed.instances.reverse();
        model.runners().reverse();
        if let Some(cluster) = &mut model.observed.cluster {
            cluster.providers.reverse();
        }
        prop_assert_eq!(one, model.decide(&mut converge(goal)));
    }
}
