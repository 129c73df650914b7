use crate::pool::model::identity::PhysicalId;
use crate::pool::model::spec::{
    GitHubCredential, GitHubHost, LogSpec, ParameterRef, PoolSpec, RegisterBy, RegistrationDefaults, Scheme, Scope,
};
use crate::pool::model::task_definition::{RESERVED_VARIABLES, TaskDefinitionContent, Volume};
use crate::pool::tests::support::{spec, stack_resource};

fn content(change: impl FnOnce(&mut PoolSpec)) -> TaskDefinitionContent {
    let mut spec = spec();
    change(&mut spec);
    TaskDefinitionContent::of(&PhysicalId::of(&stack_resource(), &spec), &spec)
}

#[test]
fn defaults_of_the_container_definition() {
    let content = content(|_| {});
    let id = PhysicalId::of(&stack_resource(), &spec());
    let variable = |name: &str| content.environment.get(name).map(String::as_str);
    assert_eq!(variable("RUNNER_SCOPE"), Some("org"));
    assert_eq!(variable("ORG_NAME"), Some("acme"));
    assert_eq!(variable("RUNNER_NAME_PREFIX"), Some(format!("github-runner-{}", id.hash()).as_str()));
    assert_eq!(variable("RANDOM_RUNNER_SUFFIX"), Some("false"));
    assert_eq!(variable("LABELS"), Some(format!("default,{id}").as_str()));
    assert_eq!(variable("RUNNER_WORKDIR_ROOT"), Some("/_work"));
    assert_eq!(variable("DISABLE_AUTO_UPDATE"), Some("true"));
    for absent in ["EPHEMERAL", "NO_DEFAULT_LABELS", "GITHUB_HOST", "RUNNER_GROUP", "RUNNER_NAME", "ORG_RUNNER"] {
        assert_eq!(variable(absent), None, "{absent}");
    }
    assert!(content.secrets.is_empty());
    assert!(content.privileged && !content.readonly_root_filesystem && !content.resolves_image_once);
    assert_eq!((content.memory_reservation_mib, content.memory_mib, content.cpu_units), (500, None, 0));
    assert_eq!(content.stop_timeout_secs, 120);
    let volume = |name: &str, path: &str| Volume { name: name.to_owned(), path: path.to_owned() };
    assert_eq!(content.volumes, [volume("docker", "/var/run/docker.sock"), volume("work", "/_work")]);
    assert_eq!(content.log, None);
}

#[test]
fn github_url_and_scope_become_the_variables_of_the_image() {
    let repository = content(|spec| {
        spec.github.scope = Scope::Repository { owner: "acme".to_owned(), name: "web".to_owned() };
    });
    assert_eq!(repository.environment["RUNNER_SCOPE"], "repo");
    assert_eq!(repository.environment["REPO_URL"], "https://github.com/acme/web");

    let tenant = content(|spec| {
        spec.github.host = GitHubHost { scheme: Scheme::Https, authority: "acme.ghe.com".to_owned() };
        spec.github.scope = Scope::Enterprise("acme".to_owned());
    });
    assert_eq!(tenant.environment["RUNNER_SCOPE"], "ent");
    assert_eq!(tenant.environment["ENTERPRISE_NAME"], "acme");
    assert_eq!(tenant.environment["GITHUB_HOST"], "acme.ghe.com");
    assert_eq!(tenant.environment["GITHUB_API_HOST"], "api.acme.ghe.com");
    assert_eq!(tenant.environment["GITHUB_API_PATH"], "/");

    let server = content(|spec| {
        spec.github.host = GitHubHost { scheme: Scheme::Https, authority: "git.acme.example".to_owned() };
    });
    assert_eq!(server.environment["GITHUB_API_HOST"], "git.acme.example");
    assert_eq!(server.environment["GITHUB_API_PATH"], "/api/v3");
}

#[test]
fn container_definition_with_every_property_set() {
    let content = content(|spec| {
        spec.runner.group = Some("builders".to_owned());
        spec.runner.workdir = "/mnt/work".to_owned();
        spec.runner.labels = vec!["linux".to_owned(), "gpu".to_owned()];
        (spec.runner.ephemeral, spec.runner.no_default_labels, spec.runner.disable_auto_update) = (true, true, false);
        spec.runner.environment.insert("TZ".to_owned(), "UTC".to_owned());
        spec.runner.secrets.insert("NPM_TOKEN".to_owned(), ParameterRef("/ci/npm".to_owned()));
        spec.task.image = "registry.example/runner@sha256:0123".to_owned();
        spec.task.log = Some(LogSpec { group: "/ci/runners".to_owned(), stream_prefix: None });
    });
    assert_eq!(content.environment["RUNNER_GROUP"], "builders");
    assert_eq!(content.environment["RUNNER_WORKDIR_ROOT"], "/mnt/work");
    assert!(content.environment["LABELS"].starts_with("linux,gpu,ghr-ci-Runners-"));
    assert_eq!(content.environment["EPHEMERAL"], "true");
    assert_eq!(content.environment["NO_DEFAULT_LABELS"], "true");
    assert!(!content.environment.contains_key("DISABLE_AUTO_UPDATE"), "any text would switch it on");
    assert_eq!(content.environment["TZ"], "UTC");
    assert_eq!(content.secrets["NPM_TOKEN"], "/ci/npm");
    assert_eq!(content.volumes[1].path, "/mnt/work");
    assert!(content.resolves_image_once, "a digest never moves");
    let (group, prefix) = content.log.unwrap();
    assert_eq!(group, "/ci/runners");
    assert!(prefix.starts_with("ghr-ci-Runners-"));
}

#[test]
fn app_private_key_stays_out_of_the_container_with_runner_token_parameter() {
    let app = GitHubCredential::App {
        id: "1234".to_owned(),
        private_key: ParameterRef("/ci/key".to_owned()),
        login: "acme".to_owned(),
    };
    let with_app = content(|spec| {
        spec.credentials.github_credential = Some(app.clone());
        spec.credentials.register_by = RegisterBy::Container;
    });
    assert_eq!(with_app.environment["APP_ID"], "1234");
    assert_eq!(with_app.environment["APP_LOGIN"], "acme");
    assert_eq!(with_app.secrets.keys().collect::<Vec<_>>(), ["APP_PRIVATE_KEY"]);

    let by_function = content(|spec| spec.credentials.github_credential = Some(app.clone()));
    assert!(by_function.secrets.is_empty() && !by_function.environment.contains_key("APP_ID"));

    let with_both = content(|spec| {
        spec.credentials.register_by = RegisterBy::Container;
        spec.credentials.github_credential = Some(app);
        spec.credentials.runner_token = Some(ParameterRef("/ci/registration".to_owned()));
    });
    assert!(!with_both.environment.contains_key("APP_ID"));
    assert_eq!(with_both.secrets.keys().collect::<Vec<_>>(), ["RUNNER_TOKEN"]);
}

#[test]
fn log_stream_prefix_is_the_pool_s_name_unless_it_is_given() {
    let prefix = |stream_prefix: Option<&str>| {
        let log = LogSpec { group: "/ci/runners".to_owned(), stream_prefix: stream_prefix.map(str::to_owned) };
        content(|spec| spec.task.log = Some(log)).log.unwrap().1
    };
    assert_eq!(prefix(None), PhysicalId::of(&stack_resource(), &spec()).as_str());
    assert_eq!(prefix(Some("web")), "web");
}

#[test]
fn register_by_function_starts_the_container_with_the_script_and_the_table() {
    let defaults = RegistrationDefaults {
        table: "github-runner-pool-registrations".to_owned(),
        runner_role_arn: Some("arn:aws:iam::111122223333:role/github-runner-pool/runner".to_owned()),
    };
    let of = |spec: PoolSpec| TaskDefinitionContent::of(&PhysicalId::of(&stack_resource(), &spec), &spec);
    let content = of(spec().with_defaults(&defaults).unwrap());
    let start = content.start.unwrap();
    assert_eq!(start.entry_point, ["/usr/bin/dumb-init", "--", "/bin/bash", "-c"]);
    assert_eq!(start.command[1..], ["start-runner", "./bin/Runner.Listener", "run", "--startuptype", "service"]);
    assert_eq!(content.environment["REGISTRATIONS_TABLE"], "github-runner-pool-registrations");
    assert_eq!(content.task_role_arn, defaults.runner_role_arn);

    let mut own_role = spec();
    own_role.task.task_role_arn = Some("arn:aws:iam::111122223333:role/ci/jobs".to_owned());
    let content = of(own_role.clone().with_defaults(&defaults).unwrap());
    assert_eq!(content.task_role_arn, own_role.task.task_role_arn);

    let no_default = RegistrationDefaults { runner_role_arn: None, ..defaults };
    let error = spec().with_defaults(&no_default).unwrap_err().to_string();
    assert!(error.starts_with("TaskRoleArn: missing") && error.contains("Deploy the provider stack again"), "{error}");
    let mut by_container = spec();
    by_container.credentials.register_by = RegisterBy::Container;
    assert_eq!(of(by_container.with_defaults(&no_default).unwrap()).start, None);
}

#[test]
fn reserved_variables_cover_every_variable_that_is_set() {
    let content = content(|spec| {
        spec.github.host = GitHubHost { scheme: Scheme::Https, authority: "git.acme.example".to_owned() };
        spec.runner.group = Some("builders".to_owned());
        (spec.runner.ephemeral, spec.runner.no_default_labels) = (true, true);
    });
    for name in content.environment.keys().chain(content.secrets.keys()) {
        assert!(RESERVED_VARIABLES.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn fingerprint_changes_with_the_content_only() {
    assert_eq!(content(|_| {}).fingerprint(), content(|spec| spec.desired_count = 7).fingerprint());
    assert_eq!(content(|_| {}).fingerprint(), content(|spec| spec.wait_policy.drain_timeout *= 2).fingerprint());
    assert_ne!(content(|_| {}).fingerprint(), content(|spec| spec.task.image.push('x')).fingerprint());
}
