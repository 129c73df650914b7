//! What a good template becomes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::spec::fixtures::minimal_spec;
use crate::pool::model::spec::{
    Capacity, GitHubCredential, MixedInstances, OnDrainTimeout, OwnCapacity, ParameterRef, PoolSpec, Scheme, WaitPolicy,
};

use super::super::{decode, hints, pool_properties_equal, property_names, user_tags};
use super::{HOUR, properties};

fn spec(changes: &Value) -> PoolSpec {
    decode(&properties(changes), HOUR).unwrap_or_else(|problems| panic!("{problems}"))
}

fn own(changes: &Value) -> OwnCapacity {
    match spec(changes).capacity {
        Capacity::Own(own) => *own,
        Capacity::Existing(name) => panic!("{name}"),
    }
}

#[test]
fn the_least_template_has_the_documented_defaults() {
    assert_eq!(spec(&json!({})), minimal_spec());
}

#[test]
fn each_github_has_its_host() {
    let target = |changes: Value| {
        let target = spec(&changes).github;
        format!("{:?} {} {}", target.host.scheme, target.host, target.scope)
    };
    let repository = |url: &str| target(json!({ "OrgName": null, "RepoUrl": url }));
    assert_eq!(repository("https://GitHub.com/acme/widgets"), "Https https://github.com repository acme/widgets");
    assert_eq!(repository("https://www.github.com/a/b.git/"), "Https https://github.com repository a/b");
    assert_eq!(repository("https://acme.ghe.com/a/b"), "Https https://acme.ghe.com repository a/b");
    assert_eq!(repository("http://127.0.0.1:8080/a/b"), "HttpOnLoopback http://127.0.0.1:8080 repository a/b");
    assert_eq!(
        target(json!({ "OrgName": null, "RepoUrl": "https://ghe.example/a/b", "GitHubUrl": "https://ghe.example/" })),
        "Https https://ghe.example repository a/b"
    );
    let enterprise = json!({ "OrgName": null, "EnterpriseName": "acme-inc", "GitHubUrl": "https://ghe.example:443" });
    assert_eq!(target(enterprise), "Https https://ghe.example enterprise acme-inc");
    assert_eq!(spec(&json!({ "GitHubUrl": "http://localhost:9" })).github.host.scheme, Scheme::HttpOnLoopback);
}

#[test]
fn an_app_signs_in_where_the_runners_register_unless_told_otherwise() {
    let login = |changes: Value| {
        let mut all = json!({ "AccessTokenParameter": null, "AppId": 12, "AppPrivateKeyParameter": "/ci/key" });
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        match spec(&all).credentials.github_credential {
            Some(GitHubCredential::App { id, login, .. }) => format!("{id} {login}"),
            other @ (Some(GitHubCredential::AccessToken(_)) | None) => panic!("{other:?}"),
        }
    };
    assert_eq!(login(json!({})), "12 acme");
    assert_eq!(login(json!({ "OrgName": null, "RepoUrl": "https://github.com/octo/cat" })), "12 octo");
    assert_eq!(login(json!({ "AppLogin": "other" })), "12 other");
}

#[test]
fn a_registration_token_alone_administers_nothing() {
    let credentials =
        spec(&json!({ "AccessTokenParameter": null, "RunnerTokenParameter": "registration" })).credentials;
    assert_eq!(credentials.github_credential, None);
    assert_eq!(credentials.runner_token, Some(ParameterRef("registration".to_owned())));
}

#[test]
fn every_credential_may_be_a_key_or_a_version_of_a_secret_as_ecs_takes_it() {
    let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:github-runner-pool/x-AbCdEf";
    for behind in ["", ":token::", ":token:AWSCURRENT:", "::AWSPREVIOUS:", ":::0a1b", ":token::0a1b"] {
        let given = format!("{arn}{behind}");
        let reference = ParameterRef(given.clone());
        let by_token = spec(&json!({ "AccessTokenParameter": given, "Secrets": { "NPM": given } }));
        assert_eq!(by_token.credentials.github_credential, Some(GitHubCredential::AccessToken(reference.clone())));
        assert_eq!(by_token.runner.secrets["NPM"], reference);
        let by_app = spec(&json!({ "AccessTokenParameter": null, "AppId": "1", "AppPrivateKeyParameter": given }));
        let Some(GitHubCredential::App { private_key, .. }) = by_app.credentials.github_credential else {
            panic!("no App")
        };
        assert_eq!(private_key, reference);
        let by_registration = spec(&json!({ "AccessTokenParameter": null, "RunnerTokenParameter": given }));
        assert_eq!(by_registration.credentials.runner_token, Some(reference));
    }
}

#[test]
fn the_registry_s_credentials_are_a_secret_s_arn_or_its_name() {
    for given in ["arn:aws:secretsmanager:eu-west-1:1:secret:registry-AbCdEf", "registry", "ci/registry@docker.io"] {
        let spec = spec(&json!({ "RepositoryCredentialsParameter": given }));
        assert_eq!(spec.task.repository_credentials.as_deref(), Some(given));
    }
}

#[test]
fn lists_come_as_lists_or_with_commas() {
    let labels = |value: Value| spec(&json!({ "Labels": value })).runner.labels;
    assert_eq!(labels(json!(["gpu", "Big one", "GPU"])), ["gpu", "Big one"]);
    assert_eq!(labels(json!(" gpu , Big one,gpu")), ["gpu", "Big one"]);
    assert_eq!(labels(json!(7)), ["7"]);
    assert_eq!(labels(json!([])), [""; 0]);
    assert_eq!(own(&json!({ "Subnets": "subnet-b,subnet-a,subnet-b" })).subnets, ["subnet-a", "subnet-b"]);
}

#[test]
fn any_part_of_a_mixed_policy_makes_one() {
    let default = MixedInstances {
        instance_types: Vec::new(),
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base: 100,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
    };
    let mixed_instances_policy =
        |name: &str, value: Value| own(&json!({ name: value })).mixed_instances_policy.unwrap();
    assert_eq!(
        mixed_instances_policy("InstanceTypes", json!(["m7i.large", "u-6tb1.metal"])),
        MixedInstances { instance_types: vec!["m7i.large".to_owned(), "u-6tb1.metal".to_owned()], ..default.clone() }
    );
    assert_eq!(mixed_instances_policy("OnDemandBaseCapacity", json!("2")).on_demand_base_capacity, 2);
    assert_eq!(
        mixed_instances_policy("OnDemandPercentageAboveBaseCapacity", json!("0")).on_demand_percentage_above_base,
        0
    );
    assert_eq!(
        mixed_instances_policy("SpotAllocationStrategy", json!("lowest-price")).spot_allocation_strategy,
        "lowest-price"
    );
    assert_eq!(mixed_instances_policy("OnDemandBaseCapacity", json!(0)), default);
}

#[test]
fn variables_keep_their_values_to_the_letter() {
    let spec = spec(&json!({ "Environment": { "A": " x ", "B": "", "C": true, "D": 4 }, "Secrets": { "E": "/e" } }));
    let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(*spec.runner.environment, text(&[("A", " x "), ("B", ""), ("C", "true"), ("D", "4")]));
    assert_eq!(spec.runner.secrets, BTreeMap::from([("E".to_owned(), ParameterRef("/e".to_owned()))]));
}

#[test]
fn housekeeping_alone_is_no_change() {
    let old = properties(&json!({ "DesiredCount": "4", "Ephemeral": "true", "Environment": { "A": "1" } }));
    let same = properties(&json!({
        "DesiredCount": 4, "Ephemeral": true, "Environment": { "A": 1 }, "ServiceTimeout": 9, "ServiceToken": "other"
    }));
    assert!(pool_properties_equal(&old, &same));
    assert!(pool_properties_equal(&old, &old));
    assert!(!pool_properties_equal(&old, &properties(&json!({ "DesiredCount": "5" }))));
    assert!(!pool_properties_equal(&json!(null), &json!({})));
    assert!(!pool_properties_equal(&json!("x"), &json!("x")));
}

#[test]
fn a_delete_learns_what_it_can_from_broken_properties() {
    let id = PhysicalId::try_from("ghr-ci-Runners-0a1b2c3d4e".to_owned()).unwrap();
    let broken = properties(&json!({
        "LaunchTemplate": null, "DrainTimeout": "30", "OnlineTimeout": "soon", "OnDrainTimeout": "Fail", "Bogus": {}
    }));
    let hints = hints(&broken);
    assert_eq!(hints.spec, None);
    assert_eq!(hints.wait_policy.drain_timeout, Duration::from_secs(30));
    assert_eq!(hints.wait_policy.online_timeout, WaitPolicy::default().online_timeout);
    assert_eq!(hints.wait_policy.on_drain_timeout, OnDrainTimeout::Fail);
    // All that a record holds was readable, so it is the one of the whole pool.
    assert_eq!(hints.metadata(&id), Some(PoolMetadata::of(&id, &spec(&json!({})))));

    let solo = super::super::hints(&properties(&json!({ "LaunchTemplate": null, "RunnerName": "solo" })));
    assert_eq!(solo.metadata(&id).unwrap().matcher.fixed_names.into_iter().collect::<Vec<_>>(), ["solo"]);
    let shared = super::super::hints(&json!({ "Cluster": "ci", "OrgName": "acme", "CapacityProvider": "shared" }));
    assert_eq!(shared.metadata(&id).unwrap().external_capacity_provider.as_deref(), Some("shared"));
    assert_eq!(shared.metadata(&id).unwrap().github_credential, None);
    assert_eq!(super::super::hints(&json!({ "OrgName": "acme" })).metadata(&id), None);
}

#[test]
fn on_drain_timeout_of_a_delete_without_a_cluster_is_fail_unless_it_is_given() {
    let of = |properties: Value| hints(&properties).wait_policy.on_drain_timeout;
    for foreign in [json!(null), json!({}), json!("x"), json!({ "Region": "us-east-1" })] {
        assert_eq!(of(foreign.clone()), OnDrainTimeout::Fail, "{foreign}");
    }
    assert_eq!(of(json!({ "OnDrainTimeout": "Cancel" })), OnDrainTimeout::Cancel);
    assert_eq!(of(json!({ "Cluster": "ci" })), OnDrainTimeout::Cancel, "the default");
}

#[test]
fn waits_that_no_longer_fit_do_not_keep_a_delete_from_knowing_its_pool() {
    assert!(hints(&properties(&json!({ "DrainTimeout": "99999" }))).spec.is_some());
}

#[test]
fn tags_that_can_be_read_are_read() {
    let tags = user_tags(
        &json!({ "Tags": [{ "Key": "a", "Value": "1" }, 7, { "Key": "b" }, { "Key": "aws:c", "Value": "" }] }),
    );
    assert_eq!(tags, BTreeMap::from([("a".to_owned(), "1".to_owned()), ("aws:c".to_owned(), String::new())]));
    assert_eq!(user_tags(&json!("x")), BTreeMap::new());
}

#[test]
fn every_property_is_known_by_its_name_and_once() {
    let names = property_names();
    let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert_eq!(names.len(), 55);
    assert!(names.starts_with(&["OrgName", "RepoUrl", "EnterpriseName", "OrgRunner", "GitHubUrl"]));
    for hidden in super::super::problems::NEVER_SHOWN.iter().chain(super::super::HOUSEKEEPING) {
        assert!(names.contains(hidden), "{hidden}");
    }
}
