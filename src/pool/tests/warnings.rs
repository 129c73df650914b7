//! What may soon stand in the way, by image, version and number; and how a pool's age is taken.

use std::time::Duration;

use super::support::{T0, converge, foreign, spec};
use crate::pool::model::ec2::{Ec2View, TemplateVersion, TemplateView};
use crate::pool::model::ecs::{Protection, Task, TaskPhase};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::spec::{GitHubHost, PoolSpec, Scheme};
use crate::pool::model::user_data::clusters;
use crate::pool::policy::inventory::Inventory;
use crate::pool::policy::warnings::{append_to, collect};

const DIGEST: &str = "sha256:0123";

/// The warnings about a pool of this image, with runners of its own and of others of these versions.
fn warned(spec: PoolSpec, own: &[&str], others: &[&str]) -> Vec<String> {
    let operation = converge(spec);
    let runner = |id: u64, name: String, label: &str, version: &str| Runner {
        version: Some(version.to_owned()),
        ..foreign(id, &name, label)
    };
    let named = |short: u64| format!("github-runner-{}-{short:012x}", operation.id.hash());
    let own = (1..).zip(own).map(|(id, version)| runner(id, named(id), operation.id.as_str(), version));
    let others = (100..).zip(others).map(|(id, version)| runner(id, format!("other-{id}"), "default", version));
    let observed = Observed { github: GitHubRunners::Listed(own.chain(others).collect()), ..Observed::default() };
    collect(&operation, &Memory::default(), &observed)
}

fn with_image(image: &str) -> PoolSpec {
    let mut spec = spec();
    spec.task.image = image.to_owned();
    spec
}

/// The image, the versions of the pool's own runners, those of others, and what a warning says.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Option<&'a str>);

#[test]
fn a_version_is_too_old_old_or_as_new_as_any() {
    let pinned = |version: &str| format!("myoung34/github-runner:{version}-ubuntu-noble");
    let cases: &[Case<'_>] = &[
        // Pinned by the image's tag, before any runner is there.
        (&pinned("2.328.0"), &[], &[], Some("no runner older than 2.329.0, and this pool's have 2.328.0")),
        (&pinned("2.329.0"), &[], &[], None),
        (&pinned("2.330.0"), &[], &["2.331.0"], Some("runners have version 2.330.0 and DisableAutoUpdate")),
        (&pinned("2.331.0"), &[], &["2.331.0", "2.330.9"], None),
        ("registry.example:5000/mirror/github-runner:2.328.0", &[], &[], Some("older than 2.329.0")),
        // The tag rules, whatever an old task still has.
        (&pinned("2.336.0"), &["2.320.0"], &[], None),
        // By what GitHub lists of the pool's own runners.
        ("myoung34/github-runner:ubuntu-noble", &["2.336.0", "2.327.1"], &[], Some("this pool's have 2.327.1")),
        ("myoung34/github-runner:ubuntu-noble", &["2.335.0"], &["2.336.0"], Some("GitHub lists one of 2.336.0")),
        ("myoung34/github-runner:ubuntu-noble", &["2.336.0"], &["2.335.0"], None),
        ("myoung34/github-runner", &[], &["2.336.0"], None),
        // A tag of another owner's image is no version of the runner; a digest has no version.
        ("acme/runner:1.2.3", &[], &[], None),
        (&format!("myoung34/github-runner@{DIGEST}"), &["2.336.0"], &[], None),
        // What is no version is not compared.
        ("myoung34/github-runner:ubuntu-noble", &["2.336"], &["soon", "2.336.0.1"], None),
    ];
    for (image, own, others, wanted) in cases {
        let found = warned(with_image(image), own, others);
        match wanted {
            Some(piece) => {
                assert!(found.len() == 1 && found.iter().any(|said| said.contains(piece)), "{image}: {found:?}");
            }
            None => assert_eq!(found, Vec::<String>::new(), "{image} {own:?} {others:?}"),
        }
    }
}

#[test]
fn a_property_that_a_pinned_image_does_not_know_is_warned_of_with_the_oldest_that_does() {
    let workdir = |image: &str, workdir: &str| {
        let mut with_workdir = with_image(image);
        with_workdir.runner.workdir = workdir.to_owned();
        warned(with_workdir, &[], &[])
    };
    assert_eq!(
        workdir("myoung34/github-runner:2.335.1-ubuntu-jammy", "/srv/runner/work"),
        [
            "RunnerWorkdir: the image myoung34/github-runner:2.335.1-ubuntu-jammy does not support RUNNER_WORKDIR_ROOT, so \
          jobs work in /_work of the container and not in /srv/runner/work; take an image of 2.336.0 or newer, or leave \
          RunnerWorkdir out"
        ]
    );
    for (image, folder) in [
        ("myoung34/github-runner:2.335.1-ubuntu-jammy", "/_work"),
        ("myoung34/github-runner:2.336.0-ubuntu-jammy", "/srv/runner/work"),
        ("myoung34/github-runner:ubuntu-noble", "/srv/runner/work"),
        ("acme/runner:1.2.3", "/srv/runner/work"),
    ] {
        assert_eq!(workdir(image, folder), Vec::<String>::new(), "{image} {folder}");
    }

    let host = |image: &str, authority: &str| {
        let mut elsewhere = with_image(image);
        elsewhere.github.host = GitHubHost { scheme: Scheme::Https, authority: authority.to_owned() };
        warned(elsewhere, &[], &[])
    };
    assert_eq!(
        host("myoung34/github-runner:2.334.0", "acme.ghe.com"),
        [
            "GitHubUrl: the image myoung34/github-runner:2.334.0 does not support GITHUB_API_HOST, so its runners do not find \
          api.acme.ghe.com; take an image of 2.335.0 or newer"
        ]
    );
    for (image, authority) in [
        ("myoung34/github-runner:2.335.0", "acme.ghe.com"),
        ("myoung34/github-runner:2.334.0", "github.example"),
        ("myoung34/github-runner:2.334.0", "github.com"),
    ] {
        assert_eq!(host(image, authority), Vec::<String>::new(), "{image} {authority}");
    }
}

#[test]
fn a_runner_that_updates_itself_is_not_warned_of() {
    let mut updating = with_image("myoung34/github-runner:2.330.0");
    updating.runner.disable_auto_update = false;
    assert_eq!(warned(updating, &[], &["2.336.0"]), Vec::<String>::new());
}

#[test]
fn an_enterprise_server_has_its_own_oldest_version() {
    let mut server = with_image("myoung34/github-runner:2.320.0");
    server.github.host = GitHubHost { scheme: Scheme::Https, authority: "github.example".to_owned() };
    assert_eq!(warned(server.clone(), &[], &[]), Vec::<String>::new());
    server.github.host.authority = "acme.ghe.com".to_owned();
    let found = warned(server, &[], &[]);
    assert_eq!(found.iter().filter(|said| said.starts_with("Image: GitHub registers no runner older")).count(), 1);
}

#[test]
fn a_group_is_nearly_full_from_nine_thousand_runners_on() {
    let mut large = spec();
    large.desired_count = 100;
    let others = |n: usize| vec!["2.336.0"; n];
    // The pool's own runners are those that it asks for, whether they are there or not.
    assert_eq!(warned(large.clone(), &["2.336.0"; 50], &others(8_899)), Vec::<String>::new());
    let found = warned(large, &[], &others(8_900));
    assert_eq!(found.len(), 1);
    assert!(found.iter().all(|said| said.contains("the organization acme has 9000 runners")), "{found:?}");
}

#[test]
fn the_clusters_that_user_data_names_are_found_where_they_stand_as_they_are() {
    let cases: &[(&str, &[&str])] = &[
        ("#!/bin/bash\necho ECS_CLUSTER=build >> /etc/ecs/ecs.config\n", &["build"]),
        ("cat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=a_b-1\nECS_ENABLE_TASK_IAM_ROLE=true\nEOF", &["a_b-1"]),
        ("ECS_CLUSTER=\"quoted\"\nexport ECS_CLUSTER='other'", &["other", "quoted"]),
        ("if x; then echo ECS_CLUSTER=one; else echo ECS_CLUSTER=two; fi", &["one", "two"]),
        ("[settings.host]\ncluster = \"no\"\n[settings.ecs]\ncluster = \"rocket\"\n[x]\ncluster = \"no\"", &["rocket"]),
        // What is filled in later is unknown, and a comment is no setting.
        ("echo ECS_CLUSTER=$NAME >> f; echo ECS_CLUSTER=${NAME}; echo ECS_CLUSTER=ci-$STAGE; ECS_CLUSTER=`name`", &[]),
        ("# ECS_CLUSTER=example\nECS_CLUSTER=\n", &[]),
        // By its ARN, as the agent takes it.
        ("echo ECS_CLUSTER=arn:aws:ecs:us-east-1:012345678901:cluster/ci >> /etc/ecs/ecs.config", &["ci"]),
        ("ECS_CLUSTER='arn:aws-cn:ecs:cn-north-1:1:cluster/a_b'", &["a_b"]),
        ("[settings.ecs]\ncluster = \"arn:aws:ecs:us-east-1:1:cluster/rocket\"", &["rocket"]),
        ("ECS_CLUSTER=arn:aws:ecs:us-east-1:1:cluster/$NAME\nECS_CLUSTER=arn:aws:ecs:$REGION:1:cluster/x", &[]),
        // A line that only looks for the setting, or edits a text, sets nothing.
        ("grep -q ECS_CLUSTER=default /etc/ecs/ecs.config || echo ECS_CLUSTER=ci >> /etc/ecs/ecs.config", &["ci"]),
        ("if ! grep -q '^ECS_CLUSTER=default' /etc/ecs/ecs.config; then exit 1; fi", &[]),
        ("if [ \"$LINE\" = ECS_CLUSTER=default ]; then true; fi; [[ $X == *ECS_CLUSTER=a* ]] && exit", &[]),
        ("/usr/bin/test x = ECS_CLUSTER=a; while grep -c 'ECS_CLUSTER=b' f; do sleep 1; done", &[]),
        ("sudo sed -i 's|ECS_CLUSTER=default|ECS_CLUSTER=build|' f", &[]),
        ("cat f | awk '/ECS_CLUSTER=default/ { print; }'; (grep ECS_CLUSTER=c f)", &[]),
        ("MY_ECS_CLUSTER=other; echo $ECS_CLUSTER=x; echo ECS_CLUSTER=ci # was ECS_CLUSTER=default", &["ci"]),
        ("echo \"ECS_CLUSTER=ci; for x in grep\" > f", &["ci"]),
        ("yum install -y docker", &[]),
    ];
    for (text, wanted) in cases {
        assert_eq!(clusters(text).iter().map(String::as_str).collect::<Vec<_>>(), *wanted, "{text}");
    }
}

#[test]
fn a_launch_template_that_names_another_cluster_and_not_the_pools_is_warned_of() {
    let warned = |clusters: &[&str]| {
        let mut named = spec();
        named.cluster = "arn:aws:ecs:eu-central-1:111122223333:cluster/build".to_owned();
        let clusters = clusters.iter().map(|name| (*name).to_owned()).collect();
        let version = TemplateVersion { clusters, ..TemplateVersion::default() };
        let ec2 = Ec2View { template: TemplateView::Version(version), ..Ec2View::default() };
        collect(&converge(named), &Memory::default(), &Observed { ec2, ..Observed::default() })
    };
    for clusters in [&[][..], &["build"], &["build", "default"]] {
        assert_eq!(warned(clusters), Vec::<String>::new(), "{clusters:?}");
    }
    assert_eq!(
        warned(&["default"]),
        ["LaunchTemplate: its user data has the instances join the cluster default, and not build; write \
          ECS_CLUSTER=build to /etc/ecs/ecs.config there"]
    );
}

#[test]
fn a_warning_stands_behind_the_reason_of_a_failure_and_among_the_notes_of_a_success() {
    let warning = || vec!["one thing".to_owned(), "another".to_owned()];
    let failed = append_to(Outcome::failed("Nothing came."), warning());
    assert_eq!(failed, Outcome::failed("Nothing came. Warnings: one thing; another."));
    assert_eq!(append_to(Outcome::failed("Nothing came."), Vec::new()), Outcome::failed("Nothing came."));
    let made = Outcome::Succeeded { attributes: [].into(), notes: vec!["a note".to_owned()] };
    let Outcome::Succeeded { notes, .. } = append_to(made, warning()) else { panic!("it succeeded") };
    assert_eq!(notes, ["a note", "one thing", "another"]);
}

fn a_task() -> Task {
    Task {
        arn: "arn:aws:ecs:eu-central-1:111122223333:task/build/1".to_owned(),
        task_definition: String::new(),
        group: String::new(),
        started_by: None,
        phase: TaskPhase::Running,
        desired_stopped: false,
        protection: Protection::Off,
        runtime_id: None,
        container_instance_arn: None,
        started_at: None,
        ending: None,
    }
}

#[test]
fn a_pool_is_as_old_as_its_oldest_running_task() {
    let day = Duration::from_secs(86_400);
    let now = T0 + day * 40;
    let task = |phase: TaskPhase, started_days_ago: Option<u32>| Task {
        phase,
        started_at: started_days_ago.map(|days| now - day * days),
        ..a_task()
    };
    let tasks: Vec<Task> = vec![
        task(TaskPhase::Running, Some(3)),
        task(TaskPhase::Running, Some(31)),
        task(TaskPhase::Running, None),
        task(TaskPhase::Stopped, Some(39)),
        task(TaskPhase::Starting, None),
    ];
    let found = Inventory::of(&tasks, now);
    assert_eq!(found, Inventory { n_pools: 1, n_running: 3, oldest_days: 31 });
    assert_eq!(Inventory::of(&[], now), Inventory { n_pools: 1, n_running: 0, oldest_days: 0 });
    let both = found.and(Inventory { n_pools: 1, n_running: 2, oldest_days: 7 });
    assert_eq!(both, Inventory { n_pools: 2, n_running: 5, oldest_days: 31 });
}

#[test]
fn a_runner_group_that_the_organization_inherits_is_warned_of() {
    let mut spec = spec();
    spec.runner.group = Some("shared".to_owned());
    let operation = converge(spec);
    let with = |runner_group: Option<RunnerGroup>| {
        collect(&operation, &Memory::default(), &Observed { runner_group, ..Observed::default() })
    };
    assert_eq!(with(Some(RunnerGroup::Own)), Vec::<String>::new());
    let text = with(Some(RunnerGroup::Inherited));
    assert!(text[0].starts_with("RunnerGroup: the organization acme inherits shared from its enterprise"), "{text:?}");
}
