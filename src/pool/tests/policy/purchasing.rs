//! A change of purchase options, which takes the pool down to nothing first.

use std::time::Duration;

use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::OnDrainTimeout;
use crate::pool::tests::support::{built, converge, mixed_instances_spec, names, spec};

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
