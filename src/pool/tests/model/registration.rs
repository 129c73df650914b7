//! What a task asks with, and what it is answered.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::registration::{Architecture, Refusal, RegistrationAnswer, RegistrationSettings, TaskArn};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::PoolSpec;
use crate::pool::tests::support::{spec, stack_resource};

const TASK: &str = "arn:aws:ecs:eu-central-1:111122223333:task/build/0123456789abcdef0123456789abcdef";

fn settings(spec: &PoolSpec) -> RegistrationSettings {
    RegistrationSettings::of(&PhysicalId::of(&stack_resource(), spec), spec).unwrap()
}

#[test]
fn task_arn_has_to_name_its_cluster() {
    let task = TaskArn::parse(TASK).unwrap();
    assert_eq!((task.as_str(), task.cluster(), task.short_id()), (TASK, "build", "0123456789ab"));
    assert_eq!(task.id(), "0123456789abcdef0123456789abcdef");
    for other in [
        "arn:aws:ecs:eu-central-1:111122223333:task/0123456789abcdef0123456789abcdef",
        "arn:aws:ecs:eu-central-1:111122223333:service/build/0123456789abcdef0123456789abcdef",
        "arn:aws:iam:eu-central-1:111122223333:task/build/0123456789abcdef0123456789abcdef",
        "arn:aws:ecs:eu-central-1:111122223333:task/build/0123",
        "arn:aws:ecs:eu-central-1:111122223333:task/build/../0123456789abcdef",
        "0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(TaskArn::parse(other), None, "{other}");
    }
    assert!(TaskArn::parse(&TASK.replace("arn:aws:", "arn:aws-cn:")).is_some());
}

#[test]
fn runner_name_and_work_folder_follow_from_the_task_unless_runner_name_is_given() {
    let task = TaskArn::parse(TASK).unwrap();
    let by_task = settings(&spec());
    let name = by_task.runner_name(&task);
    assert!(name.starts_with("github-runner-") && name.ends_with("-0123456789ab"), "{name}");
    assert_eq!(by_task.workdir(&name), format!("/_work/{name}"));
    let mut named = spec();
    named.runner.name = Some("solo".to_owned());
    assert_eq!(settings(&named).runner_name(&task), "solo");
}

#[test]
fn labels_of_a_just_in_time_runner_are_those_that_its_configuration_would_add() {
    let labels = |no_default_labels, machine| {
        let mut spec = spec();
        spec.runner.no_default_labels = no_default_labels;
        settings(&spec).all_labels(Architecture::of_machine(machine)).join(",")
    };
    let own = format!("default,{}", PhysicalId::of(&stack_resource(), &spec()));
    assert_eq!(labels(false, "x86_64"), format!("self-hosted,Linux,X64,{own}"));
    assert_eq!(labels(false, "aarch64"), format!("self-hosted,Linux,ARM64,{own}"));
    assert_eq!(labels(false, "riscv64"), format!("self-hosted,Linux,{own}"));
    assert_eq!(labels(true, "x86_64"), own);
}

#[test]
fn only_an_ephemeral_runner_without_runner_name_is_registered_just_in_time() {
    let is_jit = |ephemeral, name: Option<&str>| {
        let mut spec = spec();
        (spec.runner.ephemeral, spec.runner.name) = (ephemeral, name.map(str::to_owned));
        settings(&spec).is_just_in_time()
    };
    assert!(is_jit(true, None));
    assert!(!is_jit(false, None) && !is_jit(true, Some("solo")));
}

#[test]
fn registration_answers_are_json_and_never_printed() {
    let token = RegistrationAnswer::Token {
        name: "ci-1".to_owned(),
        workdir: "/_work/ci-1".to_owned(),
        url: spec().github.url(),
        token: Secret::new("PLANTED"),
        labels: "a,b".to_owned(),
        group: None,
        ephemeral: false,
        disable_update: true,
        no_default_labels: false,
    };
    let jit = RegistrationAnswer::Jit {
        name: "ci-1".to_owned(),
        workdir: "/_work/ci-1".to_owned(),
        files: [(".runner".to_owned(), Secret::new("PLANTED"))].into(),
    };
    let refused = RegistrationAnswer::Refused(Refusal { message: "No. Ask later.".to_owned(), retry: true });
    insta::assert_snapshot!(token.to_text().expose(), @"{\"kind\":\"token\",\"name\":\"ci-1\",\"workdir\":\"/_work/ci-1\",\"url\":\"https://github.com/acme\",\"token\":\"PLANTED\",\"labels\":\"a,b\",\"ephemeral\":false,\"disable_update\":true,\"no_default_labels\":false}");
    insta::assert_snapshot!(jit.to_text().expose(), @"{\"kind\":\"jit\",\"name\":\"ci-1\",\"workdir\":\"/_work/ci-1\",\"files\":{\".runner\":\"PLANTED\"}}");
    insta::assert_snapshot!(refused.to_text().expose(), @"{\"kind\":\"refused\",\"message\":\"No. Ask later.\",\"retry\":true}");
    assert!(!format!("{token:?} {jit:?} {:?}", token.to_text()).contains("PLANTED"));
}
