//! `WarmInstances`: the warm pool of the group, made, changed, replaced and deleted.

use crate::pool::model::auto_scaling::{GroupInstance, WarmPool};
use crate::pool::model::decision::{Decision, ObserveScope, WaitReason};
use crate::pool::model::ec2::{Ec2View, TemplateVersion, TemplateView};
use crate::pool::model::spec::{LaunchTemplate, LaunchTemplateId, PoolSpec};
use crate::pool::model::step::Step;
use crate::pool::policy::preview::preview;
use crate::pool::policy::status::PoolStatus;
use crate::pool::policy::warnings;
use crate::pool::tests::support::{
    Model, built, converge, delete, is_success, mixed_instances_spec, names, own_capacity, reason_of, spec,
};

fn warm(size: u32) -> PoolSpec {
    let mut spec = spec();
    own_capacity(&mut spec).warm_instances = size;
    spec
}

/// The pool with these stopped instances, each of a version of the launch template.
fn with_instances(size: u32, versions: &[u64]) -> Model {
    let mut model = built(&warm(size));
    let instance = |version: &u64| GroupInstance {
        id: format!("i-warm-{version}"),
        lifecycle_state: "Warmed:Stopped".to_owned(),
        protected_from_scale_in: true,
        template_version: Some(*version),
    };
    warm_pool(&mut model).as_mut().unwrap().instances = versions.iter().map(instance).collect();
    model
}

fn warm_pool(model: &mut Model) -> &mut Option<WarmPool> {
    &mut model.observed.group.as_mut().unwrap().warm_pool
}

/// Auto Scaling ends the instances of a group that is scaled to zero.
fn empties(model: &mut Model) {
    let group = model.observed.group.as_mut().unwrap();
    if group.config.max == 0 {
        group.instances.clear();
    }
}

fn changes(model: &Model, spec: PoolSpec) -> Vec<String> {
    let operation = converge(spec);
    let crate::pool::model::operation::Goal::Converge(goal) = &operation.goal else { panic!("an Update") };
    preview(&operation, &operation.memory, goal, &model.observed, &[]).changes
}

#[test]
fn warm_instances_come_after_the_association_of_the_capacity_provider_and_their_hook_before_them() {
    let mut model = Model::empty();
    assert!(is_success(&model.run(&mut converge(warm(2)))));
    insta::assert_debug_snapshot!(names(&model.taken), @r#"
    [
        "register_task_definition",
        "create_group",
        "create_capacity_provider",
        "attach_capacity_provider",
        "update_group",
        "put_launch_hook",
        "put_warm_pool",
        "create_service",
    ]
    "#);
    assert!(is_success(&model.run(&mut converge(warm(2)))));
    assert_eq!(names(&model.taken), Vec::<&str>::new(), "an unchanged warm pool");
}

#[test]
fn warm_instances_that_get_more_change_the_warm_pool_and_fewer_replace_it() {
    let mut model = built(&warm(1));
    assert!(is_success(&model.run(&mut converge(warm(3)))));
    assert_eq!(model.taken, [Step::PutLaunchHook, Step::PutWarmPool(3)]);
    assert!(is_success(&model.run(&mut converge(warm(2)))));
    assert_eq!(model.taken, [Step::DeleteWarmPool, Step::PutLaunchHook, Step::PutWarmPool(2)]);
    warm_pool(&mut model).as_mut().unwrap().size = None;
    assert!(is_success(&model.run(&mut converge(warm(2)))));
    assert_eq!(names(&model.taken), ["delete_warm_pool", "put_launch_hook", "put_warm_pool"]);
}

#[test]
fn warm_instances_of_0_delete_the_hook_and_then_the_warm_pool() {
    let mut model = built(&warm(2));
    assert!(is_success(&model.run(&mut converge(warm(0)))));
    assert_eq!(model.taken, [Step::DeleteLaunchHook, Step::DeleteWarmPool]);
    assert_eq!(*warm_pool(&mut model), None);
}

#[test]
fn warm_pool_on_its_way_out_is_waited_for_before_anything_else() {
    let mut model = built(&warm(2));
    warm_pool(&mut model).as_mut().unwrap().is_being_deleted = true;
    let decision = model.decide(&mut converge(warm(2)));
    let Decision::Wait { why: WaitReason::WarmPoolDeletion, scope: ObserveScope::AutoScalingGroup, .. } = decision
    else {
        panic!("{decision:?}")
    };
}

#[test]
fn launch_template_that_changes_replaces_outdated_warm_instances_before_new_runners_start() {
    let mut model = with_instances(2, &[1, 1]);
    let mut newer = warm(2);
    newer.task.image = "other".to_owned();
    let reference = own_capacity(&mut newer).launch_template.reference.clone();
    own_capacity(&mut newer).launch_template = LaunchTemplate { reference, version: "2".to_owned() };
    model.observed.template_version = Some(2);
    assert!(is_success(&model.run(&mut converge(newer))));
    let of_capacity = ["delete_warm_pool", "update_group", "put_launch_hook", "put_warm_pool", "update_service"];
    let taken: Vec<&str> = names(&model.taken).into_iter().filter(|name| of_capacity.contains(name)).collect();
    assert_eq!(taken[..5], of_capacity);
}

#[test]
fn launch_template_of_another_name_replaces_warm_instances_although_its_version_is_the_same() {
    let mut model = with_instances(1, &[1]);
    let mut other = warm(1);
    own_capacity(&mut other).launch_template.reference = LaunchTemplateId::Id("lt-other".to_owned());
    assert!(is_success(&model.run(&mut converge(other))));
    assert_eq!(names(&model.taken), ["delete_warm_pool", "update_group", "put_launch_hook", "put_warm_pool"]);
    let mut named = warm(1);
    own_capacity(&mut named).launch_template.reference = LaunchTemplateId::Name("template".to_owned());
    assert!(is_success(&model.run(&mut converge(named))));
    assert_eq!(names(&model.taken), Vec::<&str>::new(), "the same one by its name");
}

#[test]
fn warm_instances_are_not_outdated_while_a_version_is_unknown() {
    let mut model = with_instances(1, &[1]);
    warm_pool(&mut model).as_mut().unwrap().instances[0].template_version = None;
    assert!(is_success(&model.run(&mut converge(warm(1)))));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn spot_instances_come_only_once_the_warm_pool_is_gone() {
    let mut model = built(&warm(2));
    assert!(is_success(&model.run_with(&mut converge(mixed_instances_spec(&["m7i.large"], 0)), empties)));
    let taken = names(&model.taken);
    let place = |name: &str| taken.iter().position(|taken| *taken == name).unwrap();
    assert!(place("delete_warm_pool") < place("update_group"), "{taken:?}");
    assert!(!taken.contains(&"put_warm_pool"), "{taken:?}");
}

#[test]
fn purchase_options_that_change_beside_warm_instances_replace_the_warm_pool() {
    let mut model = built(&warm(1));
    let mut mixed = mixed_instances_spec(&["m7i.large"], 100);
    own_capacity(&mut mixed).warm_instances = 1;
    assert!(is_success(&model.run_with(&mut converge(mixed), empties)));
    let taken = names(&model.taken);
    let place = |name: &str| taken.iter().position(|taken| *taken == name).unwrap();
    assert!(place("delete_warm_pool") < place("update_group"), "{taken:?}");
    assert!(place("update_group") < place("put_warm_pool"), "{taken:?}");
}

#[test]
fn delete_waits_for_the_warm_pool_before_it_deletes_the_group() {
    let mut model = with_instances(1, &[1]);
    let mut operation = delete(&warm(1));
    assert!(is_success(&model.run(&mut operation)));
    let taken = names(&model.taken);
    let place = |name: &str| taken.iter().position(|taken| *taken == name).unwrap();
    assert!(place("delete_service") < place("delete_warm_pool"), "{taken:?}");
    assert!(place("delete_warm_pool") < place("detach_capacity_provider"), "{taken:?}");

    let mut model = with_instances(1, &[1]);
    let mut operation = delete(&warm(1));
    let mut n_looks = 0;
    let outcome = model.run_with(&mut operation, |model| {
        let Some(group) = &mut model.observed.group else { return };
        n_looks += u32::from(group.warm_pool.is_none());
        let leaving = WarmPool { size: None, is_being_deleted: true, instances: Vec::new() };
        group.warm_pool = (n_looks > 0 && n_looks < 9).then_some(leaving).or(group.warm_pool.take());
        n_looks += u32::from(n_looks > 0);
        if n_looks >= 9 {
            group.warm_pool = None;
        }
    });
    assert!(is_success(&outcome));
    assert!(names(&model.taken).contains(&"delete_group"));
}

#[test]
fn plan_shows_warm_instances() {
    assert_eq!(changes(&built(&spec()), warm(2)), ["+ warm pool: 2 stopped instances"]);
    assert_eq!(changes(&built(&warm(2)), warm(1)), ["~ warm pool: WarmInstances 2 -> 1"]);
    assert_eq!(changes(&built(&warm(2)), spec()), ["- warm pool: WarmInstances 2 -> 0"]);
    assert_eq!(
        changes(&with_instances(1, &[7]), warm(1)),
        ["~ warm pool: 1 stopped instance of an older launch template, replaced before new runners start"]
    );
    assert_eq!(changes(&with_instances(1, &[1]), warm(1)), Vec::<String>::new());
}

#[test]
fn status_lists_warm_instances_last_and_by_their_state() {
    let model = with_instances(1, &[1]);
    let status = PoolStatus::of(&converge(warm(1)).id, &model.observed, Vec::new(), model.now);
    let states: Vec<&str> = status.instances.iter().filter_map(|it| it.lifecycle_state.as_deref()).collect();
    assert_eq!(states, ["InService", "Warmed:Stopped"]);
}

/// What EC2 says of the launch template.
fn view(version: TemplateVersion) -> Ec2View {
    Ec2View { template: TemplateView::Version(TemplateVersion { has_image: true, ..version }), ..Ec2View::default() }
}

fn joins_cluster(checks_warm_pool: Option<bool>) -> TemplateVersion {
    let instance_type = Some("m7i.large".to_owned());
    TemplateVersion {
        clusters: ["build".to_owned()].into(),
        instance_type,
        checks_warm_pool,
        ..TemplateVersion::default()
    }
}

#[test]
fn warm_instances_are_refused_if_the_user_data_lacks_ecs_warm_pools_check() {
    for mut model in [Model::empty(), built(&spec())] {
        model.observed.ec2 = view(joins_cluster(Some(false)));
        insta::allow_duplicates! {
            insta::assert_snapshot!(reason_of(model.run(&mut converge(warm(1)))), @"WarmInstances: the user data of the launch template lt-0a1b2c3d does not contain ECS_WARM_POOLS_CHECK=true, so that instances would join the cluster and be stopped with their jobs. Write it to /etc/ecs/ecs.config there, or remove WarmInstances.");
        }
        assert_eq!(names(&model.taken), Vec::<&str>::new());
        assert!(is_success(&model.run(&mut converge(warm(0)))));
        model.observed.ec2 = view(joins_cluster(Some(true)));
        assert!(is_success(&model.run(&mut converge(warm(1)))));
    }
}

#[test]
fn warm_instances_are_refused_for_a_launch_template_that_requests_spot_instances() {
    let mut model = Model::empty();
    model.observed.ec2 = view(TemplateVersion { requests_spot: true, ..joins_cluster(Some(true)) });
    insta::assert_snapshot!(reason_of(model.run(&mut converge(warm(1)))), @"WarmInstances: the launch template lt-0a1b2c3d requests Spot Instances, and a warm pool has none. Remove InstanceMarketOptions there, or remove WarmInstances.");
}

#[test]
fn warm_instances_are_warned_of_if_the_user_data_does_not_show_ecs_warm_pools_check() {
    let found = |size, version| {
        let mut model = built(&warm(size));
        model.observed.ec2 = view(version);
        let operation = converge(warm(size));
        let warnings = warnings::collect(&operation, &operation.memory, &model.observed);
        warnings.into_iter().filter(|warning| warning.starts_with("WarmInstances: ")).count()
    };
    assert_eq!(found(1, joins_cluster(None)), 1);
    assert_eq!(found(1, TemplateVersion { clusters: [].into(), ..joins_cluster(Some(false)) }), 1);
    assert_eq!(found(1, joins_cluster(Some(true))), 0);
    assert_eq!(found(0, joins_cluster(None)), 0);
}
