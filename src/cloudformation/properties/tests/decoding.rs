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

use super::super::{DecodedProperties, decode, pool_properties_equal, property_names};
use super::{HOUR, properties, spec_of};

fn decoded(properties: &Value) -> DecodedProperties {
    decode(properties, HOUR)
}

fn spec(changes: &Value) -> PoolSpec {
    spec_of(&properties(changes)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn own(changes: &Value) -> OwnCapacity {
    match spec(changes).capacity {
        Capacity::Own(own) => *own,
        Capacity::Existing(name) => panic!("{name}"),
    }
}

#[test]
fn minimal_properties_have_the_defaults() {
    assert_eq!(spec(&json!({})), minimal_spec());
}

#[test]
fn github_url_and_repo_url_determine_the_host() {
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
fn app_login_defaults_to_the_owner() {
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
fn runner_token_parameter_only_has_no_administrator() {
    let credentials =
        spec(&json!({ "AccessTokenParameter": null, "RunnerTokenParameter": "registration" })).credentials;
    assert_eq!(credentials.github_credential, None);
    assert_eq!(credentials.runner_token, Some(ParameterRef("registration".to_owned())));
}

#[test]
fn credential_parameters_accept_a_key_or_a_version_of_a_secret() {
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
fn repository_credentials_parameter_is_the_name_or_arn_of_a_secret() {
    for given in ["arn:aws:secretsmanager:eu-west-1:1:secret:registry-AbCdEf", "registry", "ci/registry@docker.io"] {
        let spec = spec(&json!({ "RepositoryCredentialsParameter": given }));
        assert_eq!(spec.task.repository_credentials.as_deref(), Some(given));
    }
}

#[test]
fn labels_and_subnets_are_lists_or_strings_with_commas() {
    let labels = |value: Value| spec(&json!({ "Labels": value })).runner.labels;
    assert_eq!(labels(json!(["gpu", "Big one", "GPU"])), ["gpu", "Big one"]);
    assert_eq!(labels(json!(" gpu , Big one,gpu")), ["gpu", "Big one"]);
    assert_eq!(labels(json!(7)), ["7"]);
    assert_eq!(labels(json!([])), [""; 0]);
    assert_eq!(own(&json!({ "Subnets": "subnet-b,subnet-a,subnet-b" })).subnets, ["subnet-a", "subnet-b"]);
}

#[test]
fn any_property_of_a_mixed_instances_policy_makes_one() {
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
fn environment_keeps_values_to_the_letter() {
    let spec = spec(&json!({ "Environment": { "A": " x ", "B": "", "C": true, "D": 4 }, "Secrets": { "E": "/e" } }));
    let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(*spec.runner.environment, text(&[("A", " x "), ("B", ""), ("C", "true"), ("D", "4")]));
    assert_eq!(spec.runner.secrets, BTreeMap::from([("E".to_owned(), ParameterRef("/e".to_owned()))]));
}

#[test]
fn service_token_and_service_timeout_do_not_change_the_pool() {
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
fn invalid_properties_are_decoded_as_far_as_they_are_valid() {
    let id = PhysicalId::try_from("ghr-ci-Runners-0a1b2c3d4e".to_owned()).unwrap();
    let broken = properties(&json!({
        "LaunchTemplate": null, "DrainTimeout": "30", "OnlineTimeout": "soon", "OnDrainTimeout": "Fail", "Bogus": {}
    }));
    let invalid = decoded(&broken);
    assert_eq!(invalid.deployed_spec(), None);
    assert_eq!(invalid.wait_policy.drain_timeout, Duration::from_secs(30));
    assert_eq!(invalid.wait_policy.online_timeout, WaitPolicy::default().online_timeout);
    assert_eq!(invalid.wait_policy.on_drain_timeout, OnDrainTimeout::Fail);
    // Everything that a Delete has to know was valid, so it is that of the whole pool.
    let whole = PoolMetadata::of(&id, &spec(&json!({})));
    assert_eq!(invalid.metadata(&id), Some(PoolMetadata { registration: None, ..whole }));

    let solo = decoded(&properties(&json!({ "LaunchTemplate": null, "RunnerName": "solo" })));
    assert_eq!(solo.metadata(&id).unwrap().matcher.fixed_names.into_iter().collect::<Vec<_>>(), ["solo"]);
    let shared = decoded(&json!({ "Cluster": "ci", "OrgName": "acme", "CapacityProvider": "shared" }));
    assert_eq!(shared.metadata(&id).unwrap().external_capacity_provider.as_deref(), Some("shared"));
    assert_eq!(shared.metadata(&id).unwrap().github_credential, None);
    assert_eq!(decoded(&json!({ "OrgName": "acme" })).metadata(&id), None);
}

#[test]
fn deployed_spec_ignores_service_timeout() {
    let outdated = decoded(&properties(&json!({ "DrainTimeout": "99999" })));
    assert!(outdated.spec().is_err() && outdated.deployed_spec().is_some());
}

#[test]
fn on_drain_timeout_of_a_delete_without_a_cluster_is_fail_unless_it_is_given() {
    let of = |properties: Value| decoded(&properties).wait_policy.on_drain_timeout;
    for foreign in [json!(null), json!({}), json!("x"), json!({ "Region": "us-east-1" })] {
        assert_eq!(of(foreign.clone()), OnDrainTimeout::Fail, "{foreign}");
    }
    assert_eq!(of(json!({ "OnDrainTimeout": "Cancel" })), OnDrainTimeout::Cancel);
    assert_eq!(of(json!({ "Cluster": "ci" })), OnDrainTimeout::Cancel, "the default");
}

#[test]
fn tags_are_decoded_one_by_one() {
    let tags =
        decoded(&json!({ "Tags": [{ "Key": "a", "Value": "1" }, 7, { "Key": "b" }, { "Key": "aws:c", "Value": "" }] }))
            .tags;
    assert_eq!(tags, BTreeMap::from([("a".to_owned(), "1".to_owned()), ("aws:c".to_owned(), String::new())]));
    assert_eq!(decoded(&json!("x")).tags, BTreeMap::new());
}

#[test]
fn property_names_are_unique_and_in_order() {
    let names = property_names();
    let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert_eq!(names.len(), 61);
    assert!(names.starts_with(&["OrgName", "RepoUrl", "EnterpriseName", "OrgRunner", "GitHubUrl"]));
    for secret in super::super::problems::SECRET_PROPERTIES {
        assert!(names.contains(secret), "{secret}");
    }
}
