//! `MaxRunners`: Create, Update and Delete of a pool with as many runners as jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::ObservedScaleSet;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::Runner;
use crate::pool::model::scale_set::{ScaleSet, ScaleSetRequest};
use crate::pool::model::scaling::{ScalingMode, ScalingRecord};
use crate::pool::model::spec::{JobScaling, PoolSpec};
use crate::pool::model::step::Step;
use crate::pool::tests::support::{
    Model, converge, delete, later, mixed_instances_spec, names, runner, spec, stack_resource, task,
};

fn scaled(max: u32) -> PoolSpec {
    let mut spec = spec();
    spec.desired_count = 0;
    spec.job_scaling = Some(JobScaling { max_runners: max, scale_set_name: None });
    spec.runner.ephemeral = true;
    spec
}

fn without_set() -> Model {
    let mut model = Model::empty();
    model.observed.scale_set = ObservedScaleSet::Missing;
    model
}

fn built(spec: &PoolSpec) -> Model {
    let mut model = without_set();
    let outcome = model.run(&mut converge(spec.clone()));
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    model
}

fn record(model: &Model) -> &ScalingRecord {
    &model.observed.scaling.as_ref().unwrap().record
}

/// What the steps wrote for the listener.
fn modes(model: &Model) -> Vec<ScalingMode> {
    let mode_of = |step: &Step| if let Step::WriteScaling(record) = step { Some(record.goal.mode) } else { None };
    model.taken.iter().filter_map(mode_of).collect()
}

fn reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { reason } => reason,
        Outcome::Succeeded { notes, .. } => panic!("a success: {notes:?}"),
    }
}

#[test]
fn create_makes_the_scale_set_and_writes_the_goal_and_no_service() {
    let mut model = without_set();
    let outcome = model.run(&mut converge(scaled(20)));
    assert_eq!(
        names(&model.taken),
        [
            "register_task_definition",
            "create_group",
            "create_capacity_provider",
            "attach_capacity_provider",
            "update_group",
            "create_scale_set",
            "write_scaling",
            "start_listener",
        ]
    );
    let id = PhysicalId::of(&stack_resource(), &scaled(20));
    let Outcome::Succeeded { attributes, .. } = outcome else { panic!("{outcome:?}") };
    for (name, value) in
        [("ServiceName", ""), ("ServiceArn", ""), ("DesiredCount", "0"), ("RunnerScaleSetName", id.as_str())]
    {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert_eq!(attributes["TaskDefinitionArn"], record(&model).goal.task_definition);
    let goal = &record(&model).goal;
    assert_eq!((goal.mode, goal.min_runners, goal.max_runners), (ScalingMode::Active, 0, 20));
    assert!(id.owns(&goal.tags), "{:?}", goal.tags);
}

#[test]
fn max_runners_changes_in_place_and_an_unchanged_pool_writes_nothing() {
    let mut model = built(&scaled(20));
    assert!(matches!(model.run(&mut later(converge(scaled(20)), "request-2", 10)), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), Vec::<&str>::new());
    assert!(matches!(model.run(&mut later(converge(scaled(30)), "request-3", 20)), Outcome::Succeeded { .. }));
    assert_eq!(names(&model.taken), ["write_scaling"]);
    assert_eq!(record(&model).goal.max_runners, 30);
    assert!(record(&model).progress.session.is_some(), "the listener's progress is kept");
}

#[test]
fn max_runners_of_a_deployment_that_is_repeated_with_the_same_request_id_is_another_goal() {
    let mut model = built(&scaled(20));
    let before = record(&model).goal.request_id.clone();
    let mut repeated = later(converge(scaled(1)), "request-1", 10);
    repeated.request.request_id.clone_from(&converge(scaled(20)).request.request_id);
    assert!(matches!(model.run(&mut repeated), Outcome::Succeeded { .. }));
    assert_eq!(record(&model).goal.max_runners, 1);
    assert_ne!(record(&model).goal.request_id, before, "a start that the first one wanted is not made again");
}

#[test]
fn what_github_does_not_change_of_a_scale_set_makes_another_pool() {
    let id = |change: &dyn Fn(&mut PoolSpec)| {
        let mut spec = scaled(20);
        change(&mut spec);
        PhysicalId::of(&stack_resource(), &spec)
    };
    let unchanged = id(&|_| {});
    let name = |spec: &mut PoolSpec| spec.job_scaling.as_mut().unwrap().scale_set_name = Some("builders".to_owned());
    let replacing: [&dyn Fn(&mut PoolSpec); 5] = [
        &|spec| spec.runner.labels.push("gpu".to_owned()),
        &|spec| spec.runner.group = Some("Trusted".to_owned()),
        &|spec| spec.runner.no_default_labels = true,
        &name,
        &|spec| spec.job_scaling = None,
    ];
    let ids: BTreeSet<PhysicalId> = replacing.iter().map(|change| id(*change)).chain([unchanged.clone()]).collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(id(&|spec| spec.job_scaling.as_mut().unwrap().max_runners = 7), unchanged);
    assert_eq!(id(&|spec| spec.desired_count = 3), unchanged);
    let of_fixed = |change: &dyn Fn(&mut PoolSpec)| {
        id(&|spec| {
            spec.job_scaling = None;
            change(spec);
        })
    };
    assert_eq!(of_fixed(&|_| {}), of_fixed(&|spec| spec.runner.labels.push("gpu".to_owned())), "as ever");
}

#[test]
fn a_scale_set_of_the_same_name_that_is_not_the_pools_fails_the_request_before_anything_is_built() {
    let mut spec = scaled(20);
    spec.job_scaling = Some(JobScaling { max_runners: 20, scale_set_name: Some("builders".to_owned()) });
    let labels = BTreeSet::from(["builders".to_owned()]);
    let foreign = ScaleSet { id: 9, name: "builders".to_owned(), group_id: 1, labels, statistics: None };
    let mut model = Model::empty();
    model.observed.scale_set = ObservedScaleSet::Found(foreign);
    insta::assert_snapshot!(reason(model.run(&mut converge(spec.clone()))), @"RunnerScaleSetName: the default runner group has a runner scale set builders (id 9) that is not this pool's, so it is left alone. Specify another name, or delete that set.");
    assert_eq!(names(&model.taken), Vec::<&str>::new());

    // The pool's own of that name carries its label.
    let id = PhysicalId::of(&stack_resource(), &spec);
    let request = ScaleSetRequest::of(&id, &spec).unwrap();
    assert!(request.labels.is_superset(&BTreeSet::from(["builders".to_owned(), id.as_str().to_owned()])));
    let own = ScaleSet { id: 9, name: request.name, group_id: 1, labels: request.labels, statistics: None };
    model.observed.scale_set = ObservedScaleSet::Found(own);
    assert!(matches!(model.run(&mut converge(spec)), Outcome::Succeeded { .. }));
    assert!(!names(&model.taken).contains(&"create_scale_set"));
}

#[test]
fn a_server_that_drops_the_labels_of_a_scale_set_lets_one_with_a_runner_scale_set_name_be_created() {
    let mut spec = scaled(20);
    spec.job_scaling = Some(JobScaling { max_runners: 20, scale_set_name: Some("builders".to_owned()) });
    let mut model = without_set();
    let outcome = model.run_with(&mut converge(spec.clone()), |model| {
        if let ObservedScaleSet::Found(scale_set) = &mut model.observed.scale_set {
            scale_set.labels.clear();
        }
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    // The listener's item names it from then on.
    assert!(matches!(model.run(&mut later(converge(spec), "request-2", 10)), Outcome::Succeeded { .. }));
}

#[test]
fn online_timeout_fails_a_create_whose_listener_opens_no_session() {
    let mut model = without_set();
    let outcome = model.run_with(&mut converge(scaled(20)), |model| {
        if let Some(found) = &mut model.observed.scaling {
            found.record.progress.session = None;
        }
    });
    insta::assert_snapshot!(reason(outcome), @r#"MaxRunners: the listener opened no session of the runner scale set within OnlineTimeout (15 min). Check that the function's reserved concurrency leaves room for one more invocation, and its log for lines with step "listen"; then deploy again."#);
    let n_started = names(&model.taken).iter().filter(|name| **name == "start_listener").count();
    assert_eq!(n_started, 1, "a listener that is at work is not started again");
}

#[test]
fn purchase_options_change_while_the_listener_starts_no_tasks() {
    let mut model = built(&scaled(20));
    let mut mixed = scaled(20);
    mixed.capacity = mixed_instances_spec(&["m7i.large"], 100).capacity;
    let outcome = model.run_with(&mut later(converge(mixed), "request-2", 10), |model| {
        if names(&model.taken).contains(&"scale_group_to_zero") {
            model.observed.group.as_mut().unwrap().instances.clear();
        }
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert_eq!(
        names(&model.taken),
        ["write_scaling", "scale_group_to_zero", "unprotect_instances", "update_group", "write_scaling"]
    );
    assert_eq!(modes(&model), [ScalingMode::Paused, ScalingMode::Active]);
}

#[test]
fn min_runners_of_a_new_revision_have_the_room_that_runners_with_jobs_leave() {
    let outcome_beside = |n_busy: u64| {
        let mut model = built(&scaled(2));
        let id = PhysicalId::of(&stack_resource(), &scaled(2));
        for number in 1..=n_busy {
            let digits = format!("{number:012x}");
            model.observed.tasks.push(task(&id, &digits));
            model.runners().push(Runner { is_busy: true, ..runner(&id, number, &digits) });
        }
        let mut newer = scaled(2);
        newer.desired_count = 1;
        newer.task.image = "myoung34/github-runner:2".to_owned();
        let began = model.now;
        let outcome = model.run(&mut later(converge(newer), "request-2", 10));
        assert_eq!((model.now.since(began) >= Duration::from_secs(900), model.lost_jobs), (true, 0));
        outcome
    };
    let Outcome::Succeeded { notes, .. } = outcome_beside(2) else { panic!("a full pool fails its Update") };
    insta::assert_snapshot!(notes.join("; "), @"MinRunners: 0 of 1 runners of the new task definition are online, because runners of the previous one fill MaxRunners until their jobs end");
    assert!(matches!(outcome_beside(1), Outcome::Failed { .. }), "there is room for one");
}

#[test]
fn delete_pauses_the_listener_first_and_deletes_the_scale_set_before_its_record() {
    let mut model = built(&scaled(20));
    let outcome = model.run(&mut later(delete(&scaled(20)), "request-2", 10));
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    let taken = names(&model.taken);
    assert_eq!(taken[..3], ["write_scaling", "delete_scale_set", "write_scaling"]);
    assert_eq!(modes(&model), [ScalingMode::Paused, ScalingMode::Deleted]);
    assert_eq!(taken.last(), Some(&"delete_task_definitions"));
}

#[test]
fn delete_waits_for_the_tasks_of_a_start_that_was_under_way() {
    let mut model = built(&scaled(20));
    let began = model.now;
    let found = model.observed.scaling.as_mut().unwrap();
    let ScalingRecord { goal, progress, .. } = &mut found.record;
    progress.begin_start(goal, 3, model.now);
    let mut deleted_at = None;
    let outcome = model.run_with(&mut later(delete(&scaled(20)), "request-2", 10), |model| {
        if names(&model.taken).contains(&"delete_scale_set") {
            deleted_at.get_or_insert(model.now);
        }
    });
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert!(deleted_at.unwrap().since(began) >= Duration::from_secs(90));
}

#[test]
fn delete_names_a_scale_set_that_github_does_not_let_go() {
    let mut model = built(&scaled(20));
    let mut operation = later(delete(&scaled(20)), "request-2", 10);
    let outcome = model.run_with(&mut operation, |model| {
        model.refuses_scale_set_deletion = true;
    });
    let Outcome::Succeeded { notes, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("the runner scale set ghr-") && notes[0].contains("seven days"), "{notes:?}");
}
