//! Warnings by image, version and number.

use crate::pool::model::ec2::{Ec2View, TemplateVersion, TemplateView};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::spec::{GitHubHost, PoolSpec, Scheme};
use crate::pool::policy::warnings::{append_to, collect};
use crate::pool::tests::support::{converge, foreign, spec};

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
fn runner_version_older_than_github_accepts_or_than_others_is_warned_of() {
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
fn image_too_old_for_runner_workdir_or_github_url_is_warned_of() {
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
fn disable_auto_update_false_has_no_version_warning() {
    let mut updating = with_image("myoung34/github-runner:2.330.0");
    updating.runner.disable_auto_update = false;
    assert_eq!(warned(updating, &[], &["2.336.0"]), Vec::<String>::new());
}

#[test]
fn enterprise_server_has_no_minimum_runner_version() {
    let mut server = with_image("myoung34/github-runner:2.320.0");
    server.github.host = GitHubHost { scheme: Scheme::Https, authority: "github.example".to_owned() };
    assert_eq!(warned(server.clone(), &[], &[]), Vec::<String>::new());
    server.github.host.authority = "acme.ghe.com".to_owned();
    let found = warned(server, &[], &[]);
    assert_eq!(found.iter().filter(|said| said.starts_with("Image: GitHub registers no runner older")).count(), 1);
}

#[test]
fn runner_group_of_nine_thousand_runners_is_warned_of() {
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
fn launch_template_user_data_with_another_cluster_is_warned_of() {
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
fn warnings_follow_a_failure_reason_and_join_the_notes_of_a_success() {
    let warning = || vec!["one thing".to_owned(), "another".to_owned()];
    let failed = append_to(Outcome::failed("Nothing came."), warning());
    assert_eq!(failed, Outcome::failed("Nothing came. Warnings: one thing; another."));
    assert_eq!(append_to(Outcome::failed("Nothing came."), Vec::new()), Outcome::failed("Nothing came."));
    let made = Outcome::Succeeded { attributes: [].into(), notes: vec!["a note".to_owned()] };
    let Outcome::Succeeded { notes, .. } = append_to(made, warning()) else { panic!("it succeeded") };
    assert_eq!(notes, ["a note", "one thing", "another"]);
}

#[test]
fn runner_group_that_the_organization_inherits_is_warned_of() {
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
