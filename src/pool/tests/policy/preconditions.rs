//! What fails a request before anything is built.

use crate::pool::model::decision::Decision;
use crate::pool::model::ec2::{Ec2View, TemplateVersion, TemplateView};
use crate::pool::model::observed::{GitHubRunners, PreflightResult};
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{GitHubCredential, ParameterRef, PoolSpec, RegisterBy};
use crate::pool::tests::support::{Model, bad_credentials, built, converge, ec2_view_of, names, reason_of, spec};

#[test]
fn launch_template_subnets_and_instance_types_that_ec2_does_not_have_fail_at_once() {
    let nothing = || Ec2View { template: TemplateView::Version(TemplateVersion::default()), ..Ec2View::default() };
    let cases: &[(Ec2View, &str)] = &[
        (
            Ec2View { template: TemplateView::NoTemplate, ..Ec2View::default() },
            "LaunchTemplate: there is no launch template lt-0a1b2c3d in this Region and account.",
        ),
        (
            Ec2View { template: TemplateView::NoVersion, ..Ec2View::default() },
            "LaunchTemplate.Version: the launch template lt-0a1b2c3d has no version 1.",
        ),
        (nothing(), "LaunchTemplate: version 1 of lt-0a1b2c3d has no image (ImageId)."),
        (
            Ec2View {
                template: TemplateView::Version(TemplateVersion { has_image: true, ..TemplateVersion::default() }),
                ..Ec2View::default()
            },
            "LaunchTemplate: version 1 of lt-0a1b2c3d has no InstanceType, and the pool specifies no InstanceTypes.",
        ),
        (ec2_view_of("x99.large", None), "LaunchTemplate: EC2 offers no x99.large in this Region (InstanceType of"),
        (
            Ec2View { missing_subnets: ["subnet-0a1b2c3d".to_owned()].into(), ..Ec2View::default() },
            "Subnets: there is no subnet-0a1b2c3d in this Region and account.",
        ),
    ];
    for (ec2, wanted) in cases {
        let reason = violation(ec2.clone(), spec()).unwrap();
        assert!(reason.starts_with(wanted), "{reason}");
    }
}

#[test]
fn launch_template_version_that_the_group_has_is_not_checked() {
    let mut model = built(&spec());
    model.observed.ec2.template = TemplateView::NoVersion;
    let decision = model.decide(&mut converge(PoolSpec { desired_count: 1, ..spec() }));
    assert!(matches!(decision, Decision::Act(_)), "{decision:?}");
}

#[test]
fn access_token_that_github_rejects_fails_before_anything_is_built() {
    let mut model = Model::empty();
    model.observed.preflight_result = Some(PreflightResult::Failed(bad_credentials()));
    model.observed.github = GitHubRunners::Failed(bad_credentials());
    insta::assert_snapshot!(reason_of(model.run(&mut converge(spec()))), @"AccessTokenParameter /ci/token cannot access the organization acme on https://github.com: GitHub GET /orgs/acme/actions/runners failed (401): Bad credentials");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn missing_runner_group_fails_before_anything_is_built() {
    let mut model = Model::empty();
    let mut spec = spec();
    spec.runner.group = Some("builders".to_owned());
    model.observed.preflight_result = Some(PreflightResult::NoSuchRunnerGroup);
    insta::assert_snapshot!(reason_of(model.run(&mut converge(spec))), @"RunnerGroup: the organization acme has no runner group named builders. Create it under Settings > Actions > Runner groups, correct the name, or omit RunnerGroup.");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn auto_scaling_group_without_the_pool_s_tags_is_never_written() {
    let mut model = built(&spec());
    model.observed.group.as_mut().unwrap().tags.clear();
    let reason = reason_of(model.run(&mut converge(PoolSpec { desired_count: 5, ..spec() })));
    assert!(reason.starts_with("An Auto Scaling group named ghr-ci-Runners-"), "{reason}");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

#[test]
fn app_login_of_another_capitalization_fails_before_anything_is_built() {
    let mut model = Model::empty();
    model.observed.preflight_result = Some(PreflightResult::AppLoginMismatch("acme".to_owned()));
    let mut spec = spec();
    spec.credentials.register_by = RegisterBy::Container;
    spec.credentials.github_credential = Some(GitHubCredential::App {
        id: "1234".to_owned(),
        private_key: ParameterRef("/ci/key".to_owned()),
        login: "Acme".to_owned(),
    });
    let Outcome::Failed { reason } = model.run(&mut converge(spec)) else { panic!("succeeded") };
    insta::assert_snapshot!(reason, @"AppLogin: the App is installed on acme, and the image would look for Acme, case-sensitively. Specify acme with this capitalization in AppLogin, or in the property that it is derived from; the pool stays the same.");
    assert_eq!(names(&model.taken), Vec::<&str>::new());
}

/// What the first observation of a pool that is not there shows to be wrong.
fn violation(ec2: Ec2View, spec: PoolSpec) -> Option<String> {
    let mut model = Model::empty();
    model.observed.ec2 = ec2;
    match model.decide(&mut converge(spec)) {
        Decision::Respond(Outcome::Failed { reason }) => Some(reason),
        Decision::Act(_) | Decision::Wait { .. } | Decision::Respond(_) | Decision::Stop(_) => None,
    }
}
