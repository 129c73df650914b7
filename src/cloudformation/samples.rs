//! The sample events of `events/`: each is parsed, and is what its name says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::spec::{Capacity, GitHubCredential, PoolSpec};

use super::envelope;
use super::properties::{DecodedProperties, property_names};
use super::request::{CustomResourceRequest, ParsedEvent, PropertiesChange, RequestKind, parse};

/// Every sample, and a summary of what it is parsed to.
const EXPECTED: &[(&str, &str)] = &[
    (
        "create.json",
        "Create: 1 × organization acme on https://github.com by token, own t3 0..4 subnets 2, default, 900+60+1800",
    ),
    (
        "create-full.json",
        "Create: 1 × organization acme on https://github.com by token, own t$Latest 1..10 subnets 2 mixed 2 types 25 %, \
         linux+big+gpu, 600+30+1200",
    ),
    (
        "create-app.json",
        "Create: 1 × repository acme/widgets on https://github.com by App 123456 at acme, own t3 0..4 subnets 2, \
         default, 900+60+1800",
    ),
    (
        "create-enterprise-server.json",
        "Create: 1 × enterprise acme-inc on https://github.acme.example:8443 by token, own t3 0..4 subnets 2, default, \
         900+60+1800",
    ),
    (
        "create-spot.json",
        "Create: 8 × organization acme on https://github.com by token, own t3 0..8 subnets 2 mixed 3 types 0 %, \
         default, 900+60+1800",
    ),
    (
        "create-max-runners.json",
        "Create: 1 to 20 of the scale set ci-large × organization acme on https://github.com by token, own t3 0..8 \
         subnets 2, large+docker, 900+60+1800",
    ),
    (
        "create-named-provider.json",
        "Create: 2 × organization acme on https://github.com by token, on shared-instances, default, 900+60+1800",
    ),
    (
        "create-sns.json",
        "Create: 1 × organization acme on https://github.com by token, own t3 0..4 subnets 2, default, 900+60+1800",
    ),
    (
        "create-local-engine.json",
        "Create: 1 × organization acme on https://github.com by token, own t3 0..4 subnets 2, default, 900+60+1800",
    ),
    (
        "create-secret-key.json",
        "Create: 1 × organization acme on https://github.com by token, own t3 0..4 subnets 2, default, 900+60+1800",
    ),
    ("plain-http-response-url.json", "NoResponseUrl: the event's ResponseURL is neither https nor on this machine"),
    ("create-seven-problems.json", "Create: 7 problems"),
    ("update-image.json", "Update in place of ghr-ci-Runners-0a1b2c3d4e: Image"),
    ("update-count.json", "Update in place of ghr-ci-Runners-0a1b2c3d4e: DesiredCount"),
    ("update-housekeeping.json", "Update without effect of ghr-ci-Runners-0a1b2c3d4e: ServiceTimeout"),
    ("update-replacement.json", "Update by replacement of ghr-ci-Runners-0a1b2c3d4e: OrgName"),
    ("delete.json", "Delete of ours: whole spec, drains 1800 s"),
    ("delete-without-properties.json", "Delete of ours: no spec, no record, drains 1800 s"),
    ("delete-null-properties.json", "Delete of ours: no spec, no record, drains 1800 s"),
    ("delete-string-properties.json", "Delete of ours: no spec, no record, drains 1800 s"),
    ("delete-wrong-types.json", "Delete of ours: no spec, no record, drains 60 s"),
    ("delete-foreign-id.json", "Delete of another resource: whole spec, drains 1800 s"),
    ("unknown-request-type.json", r#"Unknown: RequestType: "Upsert" is invalid. Specify Create, Update or Delete."#),
    ("listen.json", "not a request"),
    ("no-response-url.json", "NoResponseUrl: the event has no ResponseURL"),
    // `handler::event` parses these.
    ("launch.json", "not a request"),
    ("registrations-batch.json", "not a request"),
    ("registrations-insert.json", "not a request"),
    ("registrations-modify.json", "not a request"),
    ("registrations-remove.json", "not a request"),
    ("tick.json", "not a request"),
];

fn samples() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&fs::read(&path).unwrap()).unwrap())
        })
        .collect()
}

#[test]
fn every_sample_is_parsed_as_its_name_says() {
    let expected: BTreeMap<String, String> =
        EXPECTED.iter().map(|(name, summary)| ((*name).to_owned(), (*summary).to_owned())).collect();
    let parsed: BTreeMap<String, String> = samples().into_iter().map(|(name, event)| (name, summary(&event))).collect();
    assert_eq!(parsed, expected);
}

#[test]
fn no_sample_shows_its_response_url_or_a_planted_secret() {
    for (name, event) in samples() {
        let parsed = parse(envelope::unwrap(&event).first().unwrap());
        let mut shown = format!("{parsed:?} {parsed:#?}");
        if let ParsedEvent::Request(request) = parsed
            && let Err(problems) = request.properties.spec()
        {
            shown = format!("{shown} {problems} {problems:?}");
        }
        for planted in ["PLANTED", "X-Amz", "127.0.0.1", "amazonaws", "ghp_", "/github-runner-pool/ci-token"] {
            assert!(!shown.contains(planted), "{name} shows {planted}: {shown}");
        }
    }
}

#[test]
fn the_full_sample_has_every_property_that_goes_with_the_others() {
    let full = samples().remove("create-full.json").unwrap();
    let given = full["ResourceProperties"].as_object().unwrap();
    let left_out: Vec<&&str> = property_names().iter().filter(|name| !given.contains_key(**name)).collect();
    assert_eq!(
        left_out,
        [
            &"RepoUrl",
            &"EnterpriseName",
            &"AppId",
            &"AppPrivateKeyParameter",
            &"AppLogin",
            // RunnerTokenParameter implies it.
            &"RegisterBy",
            // A warm pool has no Spot Instances.
            &"WarmInstances",
            &"CapacityProvider",
            // They exclude DesiredCount and RunnerName.
            &"MaxRunners",
            &"MinRunners",
            &"RunnerScaleSetName"
        ]
    );
}

fn summary(event: &Value) -> String {
    let events = envelope::unwrap(event);
    let [event] = events.as_slice() else { return format!("{} events", events.len()) };
    match parse(event) {
        ParsedEvent::NoResponseUrl(why) => format!("NoResponseUrl: {why}"),
        ParsedEvent::NotARequest => "not a request".to_owned(),
        ParsedEvent::Request(request) => summary_of_request(event, &request),
    }
}

fn summary_of_request(event: &Value, request: &CustomResourceRequest) -> String {
    match &request.kind {
        RequestKind::Create => match request.properties.spec() {
            Ok(spec) => format!("Create: {}", summary_of_spec(spec)),
            Err(problems) => format!("Create: {} problems", problems.as_slice().len()),
        },
        RequestKind::Update { physical_id, previous, change } => {
            let id =
                |properties: &DecodedProperties| PhysicalId::of(&request.stack_resource, properties.spec().unwrap());
            let how = if *change == PropertiesChange::CloudFormationOnly {
                "without effect"
            } else if id(previous) == id(&request.properties) {
                "in place"
            } else {
                "by replacement"
            };
            let (old, new) = (&event["OldResourceProperties"], &event["ResourceProperties"]);
            let names = property_names().iter().copied();
            let changed: Vec<&str> = names.filter(|name| old.get(name) != new.get(name)).collect();
            format!("Update {how} of {physical_id}: {}", changed.join(", "))
        }
        RequestKind::Delete { physical_id } => {
            let properties = &request.properties;
            let id = PhysicalId::try_from(physical_id.clone());
            let whose = if id.is_ok() { "ours" } else { "another resource" };
            let id = id.unwrap_or_else(|_| PhysicalId::try_from("ghr-a-b-0123456789".to_owned()).unwrap());
            let what = match (properties.deployed_spec().is_some(), properties.metadata(&id).is_some()) {
                (true, _) => "whole spec",
                (false, true) => "a record",
                (false, false) => "no spec, no record",
            };
            format!("Delete of {whose}: {what}, drains {} s", properties.wait_policy.drain_timeout.as_secs())
        }
        RequestKind::Unknown { reason, .. } => format!("Unknown: {reason}"),
    }
}

fn summary_of_spec(spec: &PoolSpec) -> String {
    let by = match &spec.credentials.github_credential {
        Some(GitHubCredential::AccessToken(_)) => "token".to_owned(),
        Some(GitHubCredential::App { id, login, .. }) => format!("App {id} at {login}"),
        None => "none".to_owned(),
    };
    let capacity = match &spec.capacity {
        Capacity::Existing(name) => format!("on {name}"),
        Capacity::Own(own) => {
            let mixed_instances_policy =
                own.mixed_instances_policy.as_ref().map_or_else(String::new, |mixed_instances_policy| {
                    format!(
                        " mixed {} types {} %",
                        mixed_instances_policy.instance_types.len(),
                        mixed_instances_policy.on_demand_percentage_above_base
                    )
                });
            let template = &own.launch_template.version;
            let (min, max, subnets) = (own.min_instances, own.max_instances, own.subnets.len());
            format!("own t{template} {min}..{max} subnets {subnets}{mixed_instances_policy}")
        }
    };
    let count = match &spec.job_scaling {
        Some(job_scaling) => {
            let name = job_scaling.scale_set_name.as_deref().unwrap_or("by its id");
            format!("{} to {} of the scale set {name}", spec.desired_count, job_scaling.max_runners)
        }
        None => spec.desired_count.to_string(),
    };
    format!(
        "{count} × {} on {} by {by}, {capacity}, {}, {}+{}+{}",
        spec.github.scope,
        spec.github.host,
        spec.runner.labels.join("+"),
        spec.wait_policy.online_timeout.as_secs(),
        spec.wait_policy.idle_confirmation.as_secs(),
        spec.wait_policy.drain_timeout.as_secs(),
    )
}
