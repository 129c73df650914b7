//! The failure reasons of invalid properties.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::decode;
use super::{failure_reason, properties, spec_of};

/// The problems, one a line.
fn each(changes: &Value) -> String {
    let problems = spec_of(&properties(changes)).unwrap_err();
    problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_invalid_properties_are_in_one_failure_reason() {
    let text = failure_reason(&json!({
        "Cluster": null,
        "Clutser": "ci",
        "AccessTokenParameter": "ghp_PLANTED",
        "DesiredCount": "many",
        "Ephemeral": "yes",
        "LaunchTemplate": { "LaunchTemplateId": "lt-0a1b2c3d" },
        "Tags": [{ "Key": "team", "Value": "x" }, { "Key": "aws:owner", "Value": "me" }],
    }));
    assert!(!text.contains("PLANTED"), "{text}");
    insta::assert_snapshot!(text, @r#"
    7 invalid properties: (1) AccessTokenParameter: contains a secret (redacted). Put the access token into Parameter Store as a SecureString and specify the parameter's name. (2) Ephemeral: "yes" is invalid. Specify true or false. (3) Cluster: required. Specify the name or ARN of an ECS cluster. (4) LaunchTemplate.Version: required. Specify the number of a version, $Latest or $Default (with Fn::GetAtt LatestVersionNumber each new version updates the pool). (5) DesiredCount: "many" is invalid. Specify an integer from 0 to 5000. (6) Tags[1].Key: "aws:owner" is invalid. Specify up to 128 letters, digits, spaces and _ . : / = + - @, beginning neither with aws: nor with github-runner-pool:. (7) Clutser: unknown property. Did you mean Cluster? Correct the template and deploy it again.
    "#);
}

#[test]
fn missing_properties_name_every_required_one() {
    insta::assert_snapshot!(spec_of(&json!({})).unwrap_err(), @r"
    5 invalid properties: (1) OrgName: required. Specify exactly one of OrgName, RepoUrl and EnterpriseName. (2) AccessTokenParameter: required. Specify it, or AppId with AppPrivateKeyParameter, or at least RunnerTokenParameter. (3) Cluster: required. Specify the name or ARN of an ECS cluster. (4) LaunchTemplate: required. Specify a map with Version, and LaunchTemplateId or LaunchTemplateName, or CapacityProvider instead. (5) Subnets: required. Specify a list with an item or more, each a subnet ID, subnet-…. Correct the template and deploy it again.
    ");
    assert_eq!(spec_of(&json!(null)), spec_of(&json!({})));
}

#[test]
fn resource_properties_must_be_a_map() {
    let text = spec_of(&json!("PLANTED")).unwrap_err().to_string();
    assert!(text.contains("ResourceProperties: not a map. ") && !text.contains("PLANTED"), "{text}");
}

#[test]
fn org_name_repo_url_and_enterprise_name_exclude_each_other() {
    insta::assert_snapshot!(each(&json!({ "RepoUrl": "https://github.com/acme/widgets" })), @r"
    OrgName: cannot be combined with RepoUrl. Specify exactly one of OrgName, RepoUrl and EnterpriseName.
    ");
    insta::assert_snapshot!(each(&json!({ "OrgName": "https://github.com/acme" })), @r#"
    OrgName: "https://github.com/acme" is invalid. Specify only the name of the organization, such as acme.
    "#);
    insta::assert_snapshot!(each(&json!({ "OrgName": null, "RepoUrl": "http://github.com/acme" })), @r#"
    RepoUrl: "http://github.com/acme" is invalid. Specify the URL of the repository, https://HOST/OWNER/REPO.
    "#);
    insta::assert_snapshot!(
        each(&json!({ "OrgName": null, "RepoUrl": "https://github.com/acme/x", "GitHubUrl": "https://ghe.example" })), @r"
    RepoUrl: its host is https://github.com, but GitHubUrl is https://ghe.example. Specify the same host in both, or remove GitHubUrl.
    ");
    insta::assert_snapshot!(each(&json!({ "OrgRunner": "false" })), @r"
    OrgRunner: false excludes OrgName. Remove OrgRunner, or specify true with OrgName and false without it.
    ");
    insta::assert_snapshot!(each(&json!({ "GitHubUrl": "https://api.github.com" })), @r#"
    GitHubUrl: "https://api.github.com" is invalid. Specify the URL of GitHub's web site (not of its API), https://HOST without a path.
    "#);
    insta::assert_snapshot!(each(&json!({ "GitHubUrl": "http://ghe.example" })), @r#"
    GitHubUrl: "http://ghe.example" is invalid. Specify the URL of GitHub's web site (not of its API), https://HOST without a path.
    "#);
}

#[test]
fn access_token_parameter_and_app_id_exclude_each_other() {
    let app = json!({ "AppId": "12", "AppPrivateKeyParameter": "/ci/key" });
    let with_app = |changes: Value| {
        let mut all = app.clone();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        each(&all)
    };
    insta::assert_snapshot!(with_app(json!({})), @r"
    AccessTokenParameter: cannot be combined with a GitHub App. Specify either AccessTokenParameter, or AppId with AppPrivateKeyParameter.
    ");
    insta::assert_snapshot!(with_app(json!({ "AccessTokenParameter": null, "OrgName": null, "EnterpriseName": "acme" })), @r"
    AppId: GitHub lets no App administer the runners of an enterprise. Specify AccessTokenParameter, with a classic token that has the scope manage_runners:enterprise.
    ");
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": null, "AppId": "my-app" })), @r#"
    AppId: "my-app" is invalid. Specify the numeric ID of the GitHub App.
    AppPrivateKeyParameter: required. Specify the parameter that stores the App's private key.
    "#);
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": null })), @r"
    AccessTokenParameter: required. Specify it, or AppId with AppPrivateKeyParameter, or at least RunnerTokenParameter.
    ");
    insta::assert_snapshot!(each(&json!({ "AppLogin": "acme" })), @r"
    AppLogin: requires a GitHub App. Specify AppId and AppPrivateKeyParameter as well, or remove AppLogin.
    ");
    insta::assert_snapshot!(each(&json!({ "RegisterBy": "Container", "ExecutionRoleArn": null })), @r"
    ExecutionRoleArn: required. Specify the role with which ECS reads the container's secrets (ssm:GetParameters or secretsmanager:GetSecretValue).
    ");
    let both = json!({ "RegisterBy": "Function", "RunnerTokenParameter": "/ci/registration" });
    insta::assert_snapshot!(each(&both), @"RegisterBy: Function cannot be combined with RunnerTokenParameter. Remove RunnerTokenParameter, or specify RegisterBy: Container.");
    insta::assert_snapshot!(each(&json!({ "ReadonlyRootFilesystem": "true" })), @"ReadonlyRootFilesystem: true requires RegisterBy: Container, because otherwise the task writes below /actions-runner. Specify false, or RegisterBy: Container with an image that needs no writable root.");
    assert_eq!(failure_reason(&json!({ "ExecutionRoleArn": null })), "valid", "the containers have no secret");
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": "ci/token" })), @r"
    AccessTokenParameter: invalid value (redacted). Specify the name (from its leading slash on) or ARN of a Parameter Store parameter, or the ARN of a Secrets Manager secret.
    ");
}

#[test]
fn runner_properties_and_environment_are_checked() {
    insta::assert_snapshot!(each(&json!({ "RunnerName": "solo", "DesiredCount": 2 })), @r"
    RunnerName: DesiredCount is 2, but two runners cannot share a name. Specify RunnerNamePrefix instead.
    ");
    insta::assert_snapshot!(each(&json!({ "RunnerNamePrefix": "a".repeat(37) })), @r#"
    RunnerNamePrefix: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is invalid. Specify up to 36 letters, digits, hyphens, underscores and dots.
    "#);
    insta::assert_snapshot!(each(&json!({ "Labels": ["ok", "a,b", ""] })), @r#"
    Labels[1]: "a,b" is invalid. Specify a non-empty string without commas, semicolons, vertical bars, brackets, quotation marks and line breaks.
    Labels[2]: an empty string is invalid. Specify a non-empty string without commas, semicolons, vertical bars, brackets, quotation marks and line breaks.
    "#);
    insta::assert_snapshot!(each(&json!({ "Labels": "a,,b" })), @r#"
    Labels: "a,,b" is invalid. Specify a list, or a string with commas between its items, such as a,b, none of them empty; an item that contains a space as an item of a list.
    "#);
    insta::assert_snapshot!(
        each(&json!({ "OrgName": null, "RepoUrl": "https://github.com/a/b", "RunnerGroup": "Trusted" })), @r"
    RunnerGroup: a repository has no runner groups. Remove it, or specify OrgName instead of RepoUrl.
    ");
    insta::assert_snapshot!(each(&json!({ "RunnerWorkdir": "work" })), @r#"
    RunnerWorkdir: "work" is invalid. Specify an absolute path other than /, such as /_work.
    "#);
    insta::assert_snapshot!(
        each(&json!({
            "Environment": { "ACCESS_TOKEN": "PLANTED", "RUNNER_SCOPE": "org", "9x": "1", "BOTH": "1", "LIST": ["PLANTED"] },
            "Secrets": { "BOTH": "/x", "TOKEN": "github_pat_PLANTED", "BAD": "PLANTED value" },
        })),
        @r"
    Environment.LIST: a list is invalid. Specify a string.
    Environment.9x: not a name of an environment variable. Specify a name of letters, digits and underscores that does not begin with a digit.
    Environment.ACCESS_TOKEN: reserved, because the resource sets it. Specify the property AccessTokenParameter instead.
    Environment.RUNNER_SCOPE: reserved, because the resource sets it. Remove it; its value follows from other properties.
    Secrets.BAD: invalid value (redacted). Specify the name (from its leading slash on) or ARN of a Parameter Store parameter, or the ARN of a Secrets Manager secret.
    Secrets.TOKEN: contains a secret (redacted). Put the value into Parameter Store as a SecureString and specify the parameter's name.
    Secrets.BOTH: specified in Environment as well. Specify it in one of the two.
    ");
}

#[test]
fn memory_must_be_above_memory_reservation() {
    let with = |memory: &str| failure_reason(&json!({ "Memory": memory, "MemoryReservation": "500" }));
    assert!(with("500").contains("Memory: 500 MiB is not above MemoryReservation (500 MiB)"), "{}", with("500"));
    assert_eq!(with("501"), "valid");
}

#[test]
fn warm_instances_are_no_more_than_max_instances_and_none_of_them_is_spot() {
    insta::assert_snapshot!(each(&json!({ "WarmInstances": 5 })), @"WarmInstances: 5 is more than MaxInstances (4). Reduce it, since no more instances than that can be in use.");
    insta::assert_snapshot!(each(&json!({ "WarmInstances": "1", "OnDemandPercentageAboveBaseCapacity": "99" })), @"WarmInstances: cannot be combined with OnDemandPercentageAboveBaseCapacity (99). Set that to 100 or remove WarmInstances; a warm pool has no Spot Instances.");
    for valid in [
        json!({ "WarmInstances": "4", "InstanceTypes": "m7i.large" }),
        json!({ "WarmInstances": "0", "OnDemandPercentageAboveBaseCapacity": "0" }),
    ] {
        assert!(spec_of(&properties(&valid)).is_ok(), "{valid}");
    }
}

#[test]
fn task_and_capacity_properties_are_checked() {
    insta::assert_snapshot!(each(&json!({ "Image": "docker pull x", "Memory": "256", "LogStreamPrefix": "x" })), @r#"
    Image: "docker pull x" is invalid. Specify an image with a tag or a sha256 digest, such as myoung34/github-runner:ubuntu-noble.
    Memory: 256 MiB is not above MemoryReservation (500 MiB, its default). Increase it, or reduce MemoryReservation.
    LogStreamPrefix: requires LogGroup. Specify LogGroup as well, or remove LogStreamPrefix.
    "#);
    insta::assert_snapshot!(each(&json!({ "CapacityProvider": "shared" })), @r"
    CapacityProvider: cannot be combined with LaunchTemplate, Subnets. Remove CapacityProvider or the other properties; an existing capacity provider is never modified.
    ");
    insta::assert_snapshot!(
        each(&json!({ "CapacityProvider": "FARGATE_SPOT", "LaunchTemplate": null, "Subnets": null })), @r#"
    CapacityProvider: "FARGATE_SPOT" is invalid. Specify the name of a capacity provider of EC2 instances.
    "#);
    insta::assert_snapshot!(each(&json!({ "Subnets": "subnet-1,vpc-2" })), @r#"
    Subnets[1]: "vpc-2" is invalid. Specify a subnet ID, subnet-….
    "#);
    insta::assert_snapshot!(each(&json!({ "Subnets": [], "InstanceTypes": ["large"] })), @r#"
    Subnets: an empty list is invalid. Specify a list with an item or more, each a subnet ID, subnet-….
    InstanceTypes[0]: "large" is invalid. Specify an instance type, such as m7i.large.
    "#);
    insta::assert_snapshot!(each(&json!({ "MinInstances": 5, "TargetCapacity": 101 })), @r#"
    MaxInstances: 4 (its default) is less than MinInstances (5). Increase it, or reduce MinInstances.
    TargetCapacity: "101" is invalid. Specify an integer (percent) from 1 to 100.
    "#);
    insta::assert_snapshot!(each(&json!({ "DistinctInstances": true, "DesiredCount": 5 })), @r"
    MaxInstances: 4 (its default) is less than DesiredCount (5), and DistinctInstances is true. Increase it, since each runner needs an instance of its own.
    ");
    insta::assert_snapshot!(each(&json!({ "SpotAllocationStrategy": "cheapest", "OnDrainTimeout": "Wait" })), @r#"
    SpotAllocationStrategy: "cheapest" is invalid. Specify price-capacity-optimized, capacity-optimized, capacity-optimized-prioritized or lowest-price.
    OnDrainTimeout: "Wait" is invalid. Specify Cancel or Fail.
    "#);
    insta::assert_snapshot!(
        each(&json!({ "LaunchTemplate": { "LaunchTemplateID": "lt-1", "LaunchTemplateName": "x", "Version": "newest" } })), @r#"
    LaunchTemplate.Version: "newest" is invalid. Specify the number of a version, $Latest or $Default (with Fn::GetAtt LatestVersionNumber each new version updates the pool).
    LaunchTemplate.LaunchTemplateID: unknown property. Did you mean LaunchTemplateId?
    "#);
    insta::assert_snapshot!(each(&json!({ "LaunchTemplate": "lt-0a1b2c3d" })), @r#"
    LaunchTemplate: "lt-0a1b2c3d" is invalid. Specify a map with Version, and LaunchTemplateId or LaunchTemplateName.
    "#);
}

#[test]
fn tags_are_checked_one_by_one() {
    insta::assert_snapshot!(
        each(&json!({ "Tags": [
            { "Key": "a", "Value": "1" },
            { "Key": "a", "Value": "2" },
            { "key": "b", "Value": "" },
            "c=d",
            { "Key": "github-runner-pool:id", "Value": "x" },
        ] })),
        @r#"
    Tags[1].Key: duplicate key "a". Specify each key once.
    Tags[2].key: unknown property. Did you mean Key?
    Tags[2].Key: required. Specify the tag's key.
    Tags[3]: "c=d" is invalid. Specify a map with Key, Value.
    Tags[4].Key: "github-runner-pool:id" is invalid. Specify up to 128 letters, digits, spaces and _ . : / = + - @, beginning neither with aws: nor with github-runner-pool:.
    "#);
    let many: Vec<Value> = (0..47).map(|n| json!({ "Key": format!("k{n}"), "Value": "" })).collect();
    insta::assert_snapshot!(each(&json!({ "Tags": many })), @r"
    Tags: 47 tags are too many. Specify at most 46; AWS accepts 50, which include those that the pool adds.
    ");
    insta::assert_snapshot!(each(&json!({ "Tags": { "team": "x" } })), @r"
    Tags: a map is invalid. Specify a list of maps, such as [{Key: team, Value: ci}].
    ");
}

#[test]
fn drain_timeout_must_fit_into_service_timeout() {
    insta::assert_snapshot!(each(&json!({ "DrainTimeout": "3000" })), @r"
    DrainTimeout: 3000 s, OnlineTimeout (900 s) and IdleConfirmation (60 s) are 3960 s in total, but ServiceTimeout (3600 s) leaves 3480 s (its last 120 s are for the response). Reduce them by 480 s in total.
    ");
    let short = decode(&properties(&json!({})), Duration::from_secs(600)).spec().cloned().unwrap_err().clone();
    insta::assert_snapshot!(short, @r"
    1 invalid property: DrainTimeout: 1800 s, OnlineTimeout (900 s) and IdleConfirmation (60 s) are 2760 s in total, but ServiceTimeout (600 s) leaves 480 s (its last 120 s are for the response). Reduce them by 2280 s in total, or increase ServiceTimeout (up to 3600 s). Correct the template and deploy it again.
    ");
    // 3480 s to the second.
    assert_eq!(failure_reason(&json!({ "OnlineTimeout": 900, "IdleConfirmation": 60, "DrainTimeout": 2520 })), "valid");
}

#[test]
fn unknown_property_suggests_the_closest_name() {
    for (given, meant) in [
        ("Clutser", "Cluster"),
        ("ORG_NAME", "OrgName"),
        ("AccessToken", "AccessTokenParameter"),
        ("RunnerLabels", "Labels"),
        ("Desiredcount", "DesiredCount"),
        ("MaxInstance", "MaxInstances"),
        ("SubnetIds", "Subnets"),
        ("GithubUrl", "GitHubUrl"),
        ("RepoURL", "RepoUrl"),
        ("ServiceTimout", "ServiceTimeout"),
        ("InstanceType", "InstanceTypes"),
        ("Lables", "Labels"),
        ("MemoryLimit", "Memory"),
        ("RUNNER_WORKDIR_ROOT", "RunnerWorkdir"),
        ("EphemeralRunner", "Ephemeral"),
        ("ExecutionRole", "ExecutionRoleArn"),
        ("MaxSize", "MaxInstances"),
        ("RunnerPrefix", "RunnerNamePrefix"),
        ("LaunchTemplateSpecification", "LaunchTemplate"),
        ("DrainTime", "DrainTimeout"),
        ("RunnerToken", "RunnerTokenParameter"),
        ("AppPrivateKey", "AppPrivateKeyParameter"),
    ] {
        let text = failure_reason(&json!({ given: "PLANTED" }));
        assert!(text.contains(&format!("{given}: unknown property. Did you mean {meant}?")), "{text}");
        assert!(!text.contains("PLANTED"), "{text}");
    }
}

#[test]
fn unknown_property_without_a_similar_name_suggests_none() {
    for given in ["Foo", "Colour", "Schedule", "Webhook", "Vault", "Rotation", "Notes", "X", "Étoile"] {
        let text = failure_reason(&json!({ given: "PLANTED" }));
        assert!(
            text.contains(&format!("{given}: unknown property. Remove it; no property has a name similar to {given}.")),
            "{text}"
        );
        assert!(!text.contains("PLANTED"), "{text}");
    }
    insta::assert_snapshot!(each(&json!({ "Tags": [{ "Key": "a", "Value": "b", "PropagateAtLaunch": "true" }] })), @r"
    Tags[0].PropagateAtLaunch: unknown property. Remove it; known are Key, Value.
    ");
}

#[test]
fn properties_of_other_resources_have_a_remedy() {
    insta::assert_snapshot!(each(&json!({
        "Volumes": [{ "Name": "cache", "Host": { "SourcePath": "/cache" } }],
        "MountPoints": [],
        "LogConfiguration": {},
        "RequiresCompatibilities": ["FARGATE"],
        "PlacementConstraints": [],
        "EntryPoint": ["sh"],
        "network_mode": "host",
        "SecurityGroupIds": ["sg-1"],
    })), @r"
    EntryPoint: unknown property. Remove it; the container starts as Image defines, with the variables in Environment.
    LogConfiguration: unknown property. Specify LogGroup, and LogStreamPrefix if needed.
    MountPoints: unknown property. Remove it; the container has no mounts other than RunnerWorkdir and, with DockerSocket, Docker's socket.
    PlacementConstraints: unknown property. Specify DistinctInstances for one runner per instance; other placement constraints are not available.
    RequiresCompatibilities: unknown property. Remove it; runners are ECS tasks on EC2 instances.
    SecurityGroupIds: unknown property. Specify it in the launch template.
    Volumes: unknown property. Remove it; the container has no mounts other than RunnerWorkdir and, with DockerSocket, Docker's socket.
    network_mode: unknown property. Remove it; runners use the bridge network mode, on instances whose network follows from Subnets and the launch template.
    ");
}

#[test]
fn labels_subnets_and_instance_types_reject_other_list_notations() {
    for given in [
        "gpu;big",
        "gpu|big",
        "[gpu, big]",
        "[\"gpu\",\"big\"]",
        "gpu\nbig",
        "- gpu\n- big",
        "gpu big",
        "{gpu}",
        "gpu\tbig",
        "${Label}",
        "\"gpu\"",
        "gpu;big,linux",
    ] {
        for name in ["Labels", "Subnets", "InstanceTypes"] {
            let text = each(&json!({ name: given }));
            assert!(text.starts_with(&format!("{name}: \"")), "{text}");
            assert!(text.contains("Specify a list, or a string with commas between its items, such as a,b"), "{text}");
        }
    }
    insta::assert_snapshot!(each(&json!({ "Labels": ["gpu;big", "[x]", "big one"] })), @r#"
    Labels[0]: "gpu;big" is invalid. Specify a non-empty string without commas, semicolons, vertical bars, brackets, quotation marks and line breaks.
    Labels[1]: "[x]" is invalid. Specify a non-empty string without commas, semicolons, vertical bars, brackets, quotation marks and line breaks.
    "#);
    insta::assert_snapshot!(each(&json!({
        "Environment": [{ "Name": "A", "Value": "1" }],
        "Secrets": [{ "Name": "B", "ValueFrom": "/b" }],
        "Tags": "team=ci",
        "Labels": { "gpu": "true" },
    })), @r#"
    Labels: a map is invalid. Specify a list, or a string with commas between its items, such as a,b, none of them empty; an item that contains a space as an item of a list.
    Environment: a list is invalid. Specify a map from names to values, such as {NAME: value}, and not ECS's list of {Name, Value}.
    Secrets: a list is invalid. Specify a map from names to parameters, such as {NAME: /parameter}, and not ECS's list of {Name, ValueFrom}.
    Tags: "team=ci" is invalid. Specify a list of maps, such as [{Key: team, Value: ci}].
    "#);
}

#[test]
fn secret_arn_has_no_or_three_parts_after_the_name() {
    let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf";
    for behind in [":token", ":token:", ":token:::", ":"] {
        let text = each(&json!({ "AccessTokenParameter": format!("{arn}{behind}") }));
        assert!(text.contains("a number of colons other than three") && text.contains(":KEY::"), "{text}");
    }
    insta::assert_snapshot!(each(&json!({ "RepositoryCredentialsParameter": format!("{arn}:password::") })), @r"
    RepositoryCredentialsParameter: invalid value (redacted). Specify the name or ARN of the Secrets Manager secret with the registry's username and password.
    ");
}

#[test]
fn failure_reason_never_contains_a_secret() {
    for token in [
        "ghp_PLANTED",
        "github_pat_PLANTED",
        "ghs_PLANTED",
        "-----BEGIN RSA PRIVATE KEY-----\nPLANTED\n-----END RSA PRIVATE KEY-----",
        "  ghp_PLANTED ",
    ] {
        for name in super::super::property_names() {
            for value in
                [json!(token), json!([token]), json!({ token: token }), json!({ "Key": [token], "NAME": token })]
            {
                let text = spec_of(&properties(&json!({ *name: value })));
                let shown = text.map_or_else(|problems| format!("{problems} {problems:?}"), |_| String::new());
                assert!(!shown.contains("PLANTED"), "{name}: {shown}");
            }
        }
    }
    for (name, value) in [
        ("RepoUrl", json!("https://me:PLANTED@github.com/acme/widgets")),
        ("GitHubUrl", json!("https://PLANTED@github.com/")),
        ("AppPrivateKeyParameter", json!("PLANTED key")),
        ("RepositoryCredentialsParameter", json!("user:PLANTED")),
        ("RunnerTokenParameter", json!({ "x": "PLANTED" })),
    ] {
        let text = failure_reason(&json!({ name: value }));
        assert!(text.contains(name) && !text.contains("PLANTED"), "{text}");
    }
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": "ghp_PLANTED" })), @r"
    AccessTokenParameter: contains a secret (redacted). Put the access token into Parameter Store as a SecureString and specify the parameter's name.
    ");
}
