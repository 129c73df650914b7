//! What a person reads who wrote something that cannot be. These texts are the product.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::decode;
use super::{HOUR, properties, reason};

/// The problems, one a line.
fn each(changes: &Value) -> String {
    let problems = decode(&properties(changes), HOUR).unwrap_err();
    problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn seven_wrong_properties_are_named_in_one_reason() {
    let told = reason(&json!({
        "Cluster": null,
        "Clutser": "ci",
        "AccessTokenParameter": "ghp_PLANTED",
        "DesiredCount": "many",
        "Ephemeral": "yes",
        "LaunchTemplate": { "LaunchTemplateId": "lt-0a1b2c3d" },
        "Tags": [{ "Key": "team", "Value": "x" }, { "Key": "aws:owner", "Value": "me" }],
    }));
    assert!(!told.contains("PLANTED"), "{told}");
    insta::assert_snapshot!(told, @r#"
    7 properties need attention: 1) AccessTokenParameter looks like a token or key itself (not repeated here): put the access token into Parameter Store as a SecureString and give the parameter's name; 2) Ephemeral is "yes": give true or false; 3) Cluster is missing: give the ECS cluster's name or ARN; 4) LaunchTemplate.Version is missing: give a version's number, $Latest or $Default (Fn::GetAtt LatestVersionNumber makes an update of each new version); 5) DesiredCount is "many": give a whole number from 0 to 5000; 6) Tags[1].Key is "aws:owner": give a key that begins neither with aws: nor with github-runner-pool:; 7) Clutser is unknown: the nearest known name is Cluster. Correct the template and deploy it again.
    "#);
}

#[test]
fn nothing_at_all_names_everything_that_is_needed() {
    insta::assert_snapshot!(decode(&json!({}), HOUR).unwrap_err(), @r"
    5 properties need attention: 1) OrgName is missing: give exactly one of OrgName, RepoUrl and EnterpriseName; 2) AccessTokenParameter is missing: give it, or AppId and AppPrivateKeyParameter, or at least RunnerTokenParameter; 3) Cluster is missing: give the ECS cluster's name or ARN; 4) LaunchTemplate is missing: give {LaunchTemplateId or LaunchTemplateName, Version}, or name a CapacityProvider instead; 5) Subnets is missing: give at least one subnet's id, subnet-…. Correct the template and deploy it again.
    ");
    assert_eq!(decode(&json!(null), HOUR), decode(&json!({}), HOUR));
}

#[test]
fn properties_that_are_no_map_are_told_apart_from_missing_ones() {
    let told = decode(&json!("PLANTED"), HOUR).unwrap_err().to_string();
    assert!(told.contains("ResourceProperties is no map") && !told.contains("PLANTED"), "{told}");
}

#[test]
fn where_the_runners_register_is_said_exactly_once() {
    insta::assert_snapshot!(each(&json!({ "RepoUrl": "https://github.com/acme/widgets" })), @r"
    OrgName is given together with RepoUrl: give exactly one of OrgName, RepoUrl and EnterpriseName
    ");
    insta::assert_snapshot!(each(&json!({ "OrgName": "https://github.com/acme" })), @r#"
    OrgName is "https://github.com/acme": give the organization's name alone, such as acme
    "#);
    insta::assert_snapshot!(each(&json!({ "OrgName": null, "RepoUrl": "http://github.com/acme" })), @r#"
    RepoUrl is "http://github.com/acme": give the repository's address, https://HOST/OWNER/REPO
    "#);
    insta::assert_snapshot!(
        each(&json!({ "OrgName": null, "RepoUrl": "https://github.com/acme/x", "GitHubUrl": "https://ghe.example" })), @r"
    RepoUrl is on https://github.com, and GitHubUrl is https://ghe.example: give both the same host, or leave GitHubUrl out
    ");
    insta::assert_snapshot!(each(&json!({ "OrgRunner": "false" })), @r"
    OrgRunner is false with OrgName: take it out, or give true with OrgName and false with the others
    ");
    insta::assert_snapshot!(each(&json!({ "GitHubUrl": "https://api.github.com" })), @r#"
    GitHubUrl is "https://api.github.com": give GitHub's web address (not its API's), https://HOST without a path
    "#);
    insta::assert_snapshot!(each(&json!({ "GitHubUrl": "http://ghe.example" })), @r#"
    GitHubUrl is "http://ghe.example": give GitHub's web address (not its API's), https://HOST without a path
    "#);
}

#[test]
fn credentials_that_do_not_go_together_are_told_apart() {
    let app = json!({ "AppId": "12", "AppPrivateKeyParameter": "/ci/key" });
    let with_app = |changes: Value| {
        let mut all = app.clone();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        each(&all)
    };
    insta::assert_snapshot!(with_app(json!({})), @r"
    AccessTokenParameter is given together with a GitHub App: give one of the two: it, or AppId and AppPrivateKeyParameter
    ");
    insta::assert_snapshot!(with_app(json!({ "AccessTokenParameter": null, "OrgName": null, "EnterpriseName": "acme" })), @r"
    AppId is given for an enterprise, whose runners GitHub lets no App administer: use AccessTokenParameter, with a classic token that has the scope manage_runners:enterprise
    ");
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": null, "AppId": "my-app" })), @r#"
    AppId is "my-app": give the App's numeric id
    AppPrivateKeyParameter is missing: give the parameter that holds the App's private key
    "#);
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": null })), @r"
    AccessTokenParameter is missing: give it, or AppId and AppPrivateKeyParameter, or at least RunnerTokenParameter
    ");
    insta::assert_snapshot!(each(&json!({ "AppLogin": "acme" })), @r"
    AppLogin is given without an App: give AppId and AppPrivateKeyParameter too, or take it out
    ");
    insta::assert_snapshot!(each(&json!({ "ExecutionRoleArn": null })), @r"
    ExecutionRoleArn is missing: give the role with which ECS reads the container's secrets (ssm:GetParameters or secretsmanager:GetSecretValue)
    ");
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": "ci/token" })), @r"
    AccessTokenParameter does not fit (its value is not repeated here): give a Parameter Store parameter's name (from its leading slash on) or ARN, or a Secrets Manager secret's ARN
    ");
}

#[test]
fn the_runner_and_its_variables_are_checked() {
    insta::assert_snapshot!(each(&json!({ "RunnerName": "solo", "DesiredCount": 2 })), @r"
    RunnerName is given for 2 runners (DesiredCount): use RunnerNamePrefix, since two runners cannot share a name
    ");
    insta::assert_snapshot!(each(&json!({ "RunnerNamePrefix": "a".repeat(37) })), @r#"
    RunnerNamePrefix is "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": give up to 36 letters, digits, hyphens, underscores and dots
    "#);
    insta::assert_snapshot!(each(&json!({ "Labels": ["ok", "a,b", ""] })), @r#"
    Labels[1] is "a,b": give a text without commas, semicolons, vertical bars, brackets, quotation marks and line breaks
    Labels[2] is empty: give a text without commas, semicolons, vertical bars, brackets, quotation marks and line breaks
    "#);
    insta::assert_snapshot!(each(&json!({ "Labels": "a,,b" })), @r#"
    Labels is "a,,b": give a list, or one text with commas between its items, such as a,b, none of them empty; an item with a space in it as an item of a list
    "#);
    insta::assert_snapshot!(
        each(&json!({ "OrgName": null, "RepoUrl": "https://github.com/a/b", "RunnerGroup": "Trusted" })), @r"
    RunnerGroup is given for a repository (RepoUrl): take it out, or register with OrgName, since a repository has no runner groups
    ");
    insta::assert_snapshot!(each(&json!({ "RunnerWorkdir": "work" })), @r#"
    RunnerWorkdir is "work": give an absolute path other than /, such as /_work
    "#);
    insta::assert_snapshot!(
        each(&json!({
            "Environment": { "ACCESS_TOKEN": "PLANTED", "RUNNER_SCOPE": "org", "9x": "1", "BOTH": "1", "LIST": ["PLANTED"] },
            "Secrets": { "BOTH": "/x", "TOKEN": "github_pat_PLANTED", "BAD": "PLANTED value" },
        })),
        @r"
    Environment.LIST is a list: give a text
    Environment.9x is no variable's name: give a name of letters, digits and underscores that does not begin with a digit
    Environment.ACCESS_TOKEN is set by the resource itself: use the property AccessTokenParameter
    Environment.RUNNER_SCOPE is set by the resource itself: take it out, it follows from the other properties
    Secrets.BAD does not fit (its value is not repeated here): give a Parameter Store parameter's name (from its leading slash on) or ARN, or a Secrets Manager secret's ARN
    Secrets.BOTH is given in Environment too: give it in one of the two
    Secrets.TOKEN looks like a token or key itself (not repeated here): put the value into Parameter Store as a SecureString and give the parameter's name
    ");
}

#[test]
fn memory_is_more_than_memory_reservation() {
    let with = |memory: &str| reason(&json!({ "Memory": memory, "MemoryReservation": "500" }));
    assert!(with("500").contains("Memory is 500 MiB, not above MemoryReservation (500)"), "{}", with("500"));
    assert_eq!(with("501"), "fine");
}

#[test]
fn the_task_and_its_capacity_are_checked() {
    insta::assert_snapshot!(each(&json!({ "Image": "docker pull x", "Memory": "256", "LogStreamPrefix": "x" })), @r#"
    Image is "docker pull x": give an image with a tag or a sha256 digest, such as myoung34/github-runner:ubuntu-noble
    Memory is 256 MiB, not above MemoryReservation (500, its default): raise it, or lower MemoryReservation
    LogStreamPrefix is given without LogGroup: give LogGroup too, or take it out
    "#);
    insta::assert_snapshot!(each(&json!({ "CapacityProvider": "shared" })), @r"
    CapacityProvider is given together with LaunchTemplate, Subnets: take those out, or it, since a provider that somebody else owns is never changed
    ");
    insta::assert_snapshot!(
        each(&json!({ "CapacityProvider": "FARGATE_SPOT", "LaunchTemplate": null, "Subnets": null })), @r#"
    CapacityProvider is "FARGATE_SPOT": give the name of a capacity provider on EC2 instances
    "#);
    insta::assert_snapshot!(each(&json!({ "Subnets": "subnet-1,vpc-2" })), @r#"
    Subnets[1] is "vpc-2": give a subnet's id, subnet-…
    "#);
    insta::assert_snapshot!(each(&json!({ "Subnets": [], "InstanceTypes": ["large"] })), @r#"
    Subnets is empty: give at least one subnet's id, subnet-…
    InstanceTypes[0] is "large": give a type such as m7i.large
    "#);
    insta::assert_snapshot!(each(&json!({ "MinInstances": 5, "TargetCapacity": 101 })), @r#"
    MaxInstances is 4, its default, below MinInstances (5): raise it, or lower MinInstances
    TargetCapacity is "101": give a whole number from 1 to 100
    "#);
    insta::assert_snapshot!(each(&json!({ "DistinctInstances": true, "DesiredCount": 5 })), @r"
    MaxInstances is 4, its default, below DesiredCount (5) with DistinctInstances: raise it, since every runner needs an instance of its own
    ");
    insta::assert_snapshot!(each(&json!({ "SpotAllocationStrategy": "cheapest", "OnDrainTimeout": "Wait" })), @r#"
    SpotAllocationStrategy is "cheapest": give price-capacity-optimized, capacity-optimized, capacity-optimized-prioritized or lowest-price
    OnDrainTimeout is "Wait": give Cancel or Fail
    "#);
    insta::assert_snapshot!(
        each(&json!({ "LaunchTemplate": { "LaunchTemplateID": "lt-1", "LaunchTemplateName": "x", "Version": "newest" } })), @r#"
    LaunchTemplate.LaunchTemplateID is unknown: the nearest known name is LaunchTemplateId
    LaunchTemplate.Version is "newest": give a version's number, $Latest or $Default (Fn::GetAtt LatestVersionNumber makes an update of each new version)
    "#);
    insta::assert_snapshot!(each(&json!({ "LaunchTemplate": "lt-0a1b2c3d" })), @r#"
    LaunchTemplate is "lt-0a1b2c3d": give a map with LaunchTemplateId, LaunchTemplateName, Version
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
    Tags[2].key is unknown: the nearest known name is Key
    Tags[3] is "c=d": give a map with Key, Value
    Tags[1].Key repeats "a": give every key once
    Tags[2].Key is missing: give the tag's key
    Tags[4].Key is "github-runner-pool:id": give a key that begins neither with aws: nor with github-runner-pool:
    "#);
    let many: Vec<Value> = (0..47).map(|n| json!({ "Key": format!("k{n}"), "Value": "" })).collect();
    insta::assert_snapshot!(each(&json!({ "Tags": many })), @r"
    Tags has 47 tags: give at most 46: AWS allows 50, and the pool's own are among them
    ");
    insta::assert_snapshot!(each(&json!({ "Tags": { "team": "x" } })), @"Tags is a map: give a list of maps, such as [{Key: team, Value: ci}]");
}

#[test]
fn waits_that_outlast_cloudformation_are_refused_with_the_numbers() {
    insta::assert_snapshot!(each(&json!({ "DrainTimeout": "3000" })), @r"
    DrainTimeout of 3000 s, OnlineTimeout of 900 s and IdleConfirmation of 60 s make 3960 s, while ServiceTimeout of 3600 s leaves 3480 s (its last 120 s are for the answer): lower them by 480 s in all
    ");
    let short = decode(&properties(&json!({})), Duration::from_secs(600)).unwrap_err();
    insta::assert_snapshot!(short, @r"
    1 property needs attention: DrainTimeout of 1800 s, OnlineTimeout of 900 s and IdleConfirmation of 60 s make 2760 s, while ServiceTimeout of 600 s leaves 480 s (its last 120 s are for the answer): lower them by 2280 s in all, or raise ServiceTimeout (3600 s at most). Correct the template and deploy it again.
    ");
    // 3480 s to the second.
    assert_eq!(reason(&json!({ "OnlineTimeout": 900, "IdleConfirmation": 60, "DrainTimeout": 2520 })), "fine");
}

#[test]
fn an_unknown_property_names_the_nearest_known_one() {
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
        let told = reason(&json!({ given: "PLANTED" }));
        assert!(told.contains(&format!("{given} is unknown: the nearest known name is {meant}")), "{told}");
        assert!(!told.contains("PLANTED"), "{told}");
    }
}

#[test]
fn an_unknown_property_that_is_like_none_names_none() {
    for given in ["Foo", "Colour", "Schedule", "Webhook", "Vault", "Rotation", "Notes", "X", "Étoile"] {
        let told = reason(&json!({ given: "PLANTED" }));
        assert!(
            told.contains(&format!("{given} is unknown: take it out: no property has a name like {given}")),
            "{told}"
        );
        assert!(!told.contains("PLANTED"), "{told}");
    }
    insta::assert_snapshot!(each(&json!({ "Tags": [{ "Key": "a", "Value": "b", "PropagateAtLaunch": "true" }] })), @r"
    Tags[0].PropagateAtLaunch is unknown: take it out: known are Key, Value
    ");
}

#[test]
fn a_property_of_an_ecs_task_definition_is_told_what_takes_its_place_or_that_nothing_does() {
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
    EntryPoint is unknown: nothing takes its place: the container starts as its Image says, with the variables of Environment
    LogConfiguration is unknown: give LogGroup, and LogStreamPrefix if need be
    MountPoints is unknown: nothing takes its place: the pool mounts RunnerWorkdir and, with DockerSocket, Docker's socket, and no other path
    PlacementConstraints is unknown: give DistinctInstances for one runner on an instance; nothing takes the place of others
    RequiresCompatibilities is unknown: take it out: runners are tasks on EC2 instances
    SecurityGroupIds is unknown: write it into the launch template that LaunchTemplate names
    Volumes is unknown: nothing takes its place: the pool mounts RunnerWorkdir and, with DockerSocket, Docker's socket, and no other path
    network_mode is unknown: nothing takes its place: runners have ECS's bridge network, and the network of their instances follows from Subnets and the launch template
    ");
}

#[test]
fn a_list_in_another_notation_is_told_the_accepted_one() {
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
            let told = each(&json!({ name: given }));
            assert!(told.starts_with(&format!("{name} is \"")), "{told}");
            assert!(told.contains("give a list, or one text with commas between its items, such as a,b"), "{told}");
        }
    }
    insta::assert_snapshot!(each(&json!({ "Labels": ["gpu;big", "[x]", "big one"] })), @r#"
    Labels[0] is "gpu;big": give a text without commas, semicolons, vertical bars, brackets, quotation marks and line breaks
    Labels[1] is "[x]": give a text without commas, semicolons, vertical bars, brackets, quotation marks and line breaks
    "#);
    insta::assert_snapshot!(each(&json!({
        "Environment": [{ "Name": "A", "Value": "1" }],
        "Secrets": [{ "Name": "B", "ValueFrom": "/b" }],
        "Tags": "team=ci",
        "Labels": { "gpu": "true" },
    })), @r#"
    Labels is a map: give a list, or one text with commas between its items, such as a,b, none of them empty; an item with a space in it as an item of a list
    Environment is a list: give a map from names to values, such as {NAME: value}, and not ECS's list of {Name, Value}
    Secrets is a list: give a map from names to parameters, such as {NAME: /parameter}, and not ECS's list of {Name, ValueFrom}
    Tags is "team=ci": give a list of maps, such as [{Key: team, Value: ci}]
    "#);
}

#[test]
fn a_secret_arn_has_nothing_or_three_parts_behind_the_name() {
    let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf";
    for behind in [":token", ":token:", ":token:::", ":"] {
        let told = each(&json!({ "AccessTokenParameter": format!("{arn}{behind}") }));
        assert!(told.contains("another number of colons") && told.contains(":KEY::"), "{told}");
    }
    insta::assert_snapshot!(each(&json!({ "RepositoryCredentialsParameter": format!("{arn}:password::") })), @r"
    RepositoryCredentialsParameter does not fit (its value is not repeated here): give the name or the ARN of the Secrets Manager secret with the registry's username and password
    ");
}

#[test]
fn what_may_be_a_secret_is_never_repeated() {
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
                let told = decode(&properties(&json!({ *name: value })), HOUR);
                let shown = told.map_or_else(|problems| format!("{problems} {problems:?}"), |_| String::new());
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
        let told = reason(&json!({ name: value }));
        assert!(told.contains(name) && !told.contains("PLANTED"), "{told}");
    }
    insta::assert_snapshot!(each(&json!({ "AccessTokenParameter": "ghp_PLANTED" })), @r"
    AccessTokenParameter looks like a token or key itself (not repeated here): put the access token into Parameter Store as a SecureString and give the parameter's name
    ");
}
