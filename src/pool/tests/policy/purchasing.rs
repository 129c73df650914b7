//! A change of purchase options, which takes the pool down to nothing first.

use std::time::Duration;

use crate::pool::model::decision::{Decision, ObserveScope};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::model::time::DecisionTime;
use crate::pool::tests::support::{POLL, built, converge, decide_on, mixed_instances_spec, names, spec};

#[test]
fn purchase_options_change_on_a_group_without_runners_and_instances() {
    for (before, after) in [
        (spec(), mixed_instances_spec(&["m7i.large"], 100)),
        (mixed_instances_spec(&["m7i.large"], 100), spec()),
        (mixed_instances_spec(&["m7i.large"], 100), mixed_instances_spec(&["m7i.large"], 0)),
    ] {
        let mut model = built(&before);
        let job_ends = model.now + Duration::from_secs(600);
        model.runners()[0].is_busy = true;
        let busy = model.runners()[0].name.clone();
        let outcome = model.run_with(&mut converge(after), |model| {
            let is_over = model.now >= job_ends;
            for runner in model.runners().iter_mut().filter(|runner| runner.name == busy) {
                runner.is_busy = !is_over;
            }
            if names(&model.taken).contains(&"scale_group_to_zero") {
                model.observed.group.as_mut().unwrap().instances.clear();
            }
        });
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        assert_eq!(
            names(&model.taken),
            [
                "protect_tasks",
                "update_service",
                "deregister_runner",
                "deregister_runner",
                "scale_group_to_zero",
                "unprotect_instances",
                "update_group",
                "update_service"
            ]
        );
        assert_eq!(model.lost_jobs, 0);
        assert!(model.now >= job_ends);
    }
}

/// The group launched an instance while the last runner was retired, which observations of tasks alone do not show.
#[test]
fn purchase_options_change_only_by_an_observation_of_the_group() {
    let mut model = built(&spec());
    model.observed.tasks.clear();
    model.observed.service.as_mut().unwrap().config.desired_count = 0;
    let group = model.observed.group.as_mut().unwrap();
    group.instances.clear();
    group.desired = 0;
    let mut operation = converge(mixed_instances_spec(&["m7i.large"], 100));
    let Decision::Act(steps) = model.decide(&mut operation) else { panic!("no step") };
    assert_eq!(names(&steps), ["update_group"]);
    model.observed.is_complete = false;
    let decision = decide_on(&mut operation, &model.observed, DecisionTime { now: model.now, poll: POLL });
    let now = model.now;
    assert!(
        matches!(decision, Decision::Wait { until, scope: ObserveScope::Full, .. } if until == now),
        "{decision:?}"
    );
}

#[test]
fn instance_types_without_other_purchase_options_change_at_once() {
    let mut model = built(&mixed_instances_spec(&["m7i.large"], 0));
    assert!(matches!(
        model.run(&mut converge(mixed_instances_spec(&["m7i.large", "m7a.large"], 0))),
        Outcome::Succeeded { .. }
    ));
    assert_eq!(names(&model.taken), ["update_group"]);
}

#[test]
fn purchase_options_do_not_change_while_a_job_outlasts_drain_timeout() {
    let mut model = built(&spec());
    model.runners()[0].is_busy = true;
    let mut after = mixed_instances_spec(&[], 0);
    after.wait_policy.on_drain_timeout = OnDrainTimeout::Fail;
    assert!(matches!(model.run(&mut converge(after)), Outcome::Failed { .. }));
    assert_eq!(model.lost_jobs, 0);
    assert!(!names(&model.taken).contains(&"update_group") && !names(&model.taken).contains(&"scale_group_to_zero"));
    // The rollback finds its group as it was, and takes the runner with the job back.
    assert!(matches!(model.run(&mut converge(spec())), Outcome::Succeeded { .. }));
    assert_eq!((names(&model.taken).contains(&"update_group"), model.lost_jobs), (false, 0));
}
