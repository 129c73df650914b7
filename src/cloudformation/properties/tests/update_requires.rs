//! What the table says of updates, against the identity and the task definition that follow from the properties.

use serde_json::{Value, json};

use super::super::pool_properties_equal;
use super::super::property::Update;
use super::super::table::ROWS;
use super::{properties, spec_of};
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::task_definition::TaskDefinitionContent;

/// Another value of each property, and what else has to change with it.
fn changed(name: &str) -> Value {
    match name {
        "OrgName" => json!({ "OrgName": "other" }),
        "RepoUrl" => json!({ "OrgName": null, "RepoUrl": "https://github.com/acme/app" }),
        "EnterpriseName" => json!({ "OrgName": null, "EnterpriseName": "acme" }),
        "OrgRunner" => json!({ "OrgRunner": "true" }),
        "GitHubUrl" => json!({ "GitHubUrl": "https://acme.ghe.com" }),
        "AccessTokenParameter" => json!({ "AccessTokenParameter": "/ci/other" }),
        "AppId" => json!({ "AccessTokenParameter": null, "AppId": "1", "AppPrivateKeyParameter": "/ci/key" }),
        "AppPrivateKeyParameter" => {
            json!({ "AccessTokenParameter": null, "AppId": "1", "AppPrivateKeyParameter": "/ci/other" })
        }
        "AppLogin" => json!({
            "AccessTokenParameter": null, "AppId": "1", "AppPrivateKeyParameter": "/ci/key", "AppLogin": "other",
        }),
        "RunnerTokenParameter" => json!({ "RunnerTokenParameter": "/ci/registration" }),
        "RegisterBy" => json!({ "RegisterBy": "Container" }),
        "RunnerName" => json!({ "RunnerName": "solo" }),
        "RunnerNamePrefix" => json!({ "RunnerNamePrefix": "other" }),
        "Labels" => json!({ "Labels": "gpu" }),
        "RunnerGroup" => json!({ "RunnerGroup": "Trusted" }),
        "RunnerWorkdir" => json!({ "RunnerWorkdir": "/mnt/work" }),
        "Ephemeral" => json!({ "Ephemeral": "true" }),
        "DisableAutoUpdate" => json!({ "DisableAutoUpdate": "false" }),
        "NoDefaultLabels" => json!({ "NoDefaultLabels": "true" }),
        "Environment" => json!({ "Environment": { "A": "1" } }),
        "Secrets" => json!({ "Secrets": { "A": "/a" } }),
        "Image" => json!({ "Image": "ghcr.io/acme/runner:1" }),
        "RepositoryCredentialsParameter" => json!({ "RepositoryCredentialsParameter": "registry" }),
        "MemoryReservation" => json!({ "MemoryReservation": "600" }),
        "Memory" => json!({ "Memory": "700" }),
        "Cpu" => json!({ "Cpu": "512" }),
        "Gpus" => json!({ "Gpus": "1" }),
        "Privileged" => json!({ "Privileged": "false" }),
        "DockerSocket" => json!({ "DockerSocket": "false" }),
        "ReadonlyRootFilesystem" => json!({ "ReadonlyRootFilesystem": "true", "RegisterBy": "Container" }),
        "StopTimeout" => json!({ "StopTimeout": "60" }),
        "LogGroup" => json!({ "LogGroup": "ci" }),
        "LogStreamPrefix" => json!({ "LogGroup": "ci", "LogStreamPrefix": "runner" }),
        "ExecutionRoleArn" => json!({ "ExecutionRoleArn": "arn:aws:iam::111122223333:role/other" }),
        "TaskRoleArn" => json!({ "TaskRoleArn": "arn:aws:iam::111122223333:role/job" }),
        "Cluster" => json!({ "Cluster": "other" }),
        "LaunchTemplate" => json!({ "LaunchTemplate": { "LaunchTemplateId": "lt-0a1b2c3d", "Version": "2" } }),
        "Subnets" => json!({ "Subnets": "subnet-1" }),
        "MinInstances" => json!({ "MinInstances": "1" }),
        "MaxInstances" => json!({ "MaxInstances": "5" }),
        "WarmInstances" => json!({ "WarmInstances": "2" }),
        "InstanceTypes" => json!({ "InstanceTypes": "m7i.large" }),
        "OnDemandBaseCapacity" => json!({ "OnDemandBaseCapacity": "1" }),
        "OnDemandPercentageAboveBaseCapacity" => json!({ "OnDemandPercentageAboveBaseCapacity": "0" }),
        "SpotAllocationStrategy" => json!({ "SpotAllocationStrategy": "lowest-price" }),
        "TargetCapacity" => json!({ "TargetCapacity": "90" }),
        "InstanceWarmupPeriod" => json!({ "InstanceWarmupPeriod": "100" }),
        "CapacityProvider" => json!({ "LaunchTemplate": null, "Subnets": null, "CapacityProvider": "shared" }),
        "DesiredCount" => json!({ "DesiredCount": "2" }),
        "MaxRunners" => json!({ "MaxRunners": "11" }),
        "MinRunners" => json!({ "MaxRunners": "10", "MinRunners": "2" }),
        "RunnerScaleSetName" => json!({ "MaxRunners": "10", "RunnerScaleSetName": "other" }),
        "DistinctInstances" => json!({ "DistinctInstances": "true" }),
        "OnlineTimeout" => json!({ "OnlineTimeout": "100" }),
        "IdleConfirmation" => json!({ "IdleConfirmation": "30" }),
        "DrainTimeout" => json!({ "DrainTimeout": "100" }),
        "OnDrainTimeout" => json!({ "OnDrainTimeout": "Fail" }),
        "OnDeregisterFailure" => json!({ "OnDeregisterFailure": "Fail" }),
        "Tags" => json!({ "Tags": [{ "Key": "a", "Value": "b" }] }),
        "ServiceToken" => json!({ "ServiceToken": "arn:aws:sns:eu-west-1:123456789012:topic" }),
        "ServiceTimeout" => json!({ "ServiceTimeout": "3000" }),
        other => panic!("{other} has no other value here"),
    }
}

/// What the properties are before one is changed: some are of a pool with as many runners as jobs.
fn before(name: &str) -> Value {
    match name {
        "MaxRunners" | "MinRunners" | "RunnerScaleSetName" => json!({ "MaxRunners": "10" }),
        _ => json!({}),
    }
}

#[test]
fn update_requires_replacement_or_some_interruptions_as_the_table_says() {
    let stack_resource = StackResource {
        stack_id: "arn:aws:cloudformation:eu-west-1:123456789012:stack/ci/guid".to_owned(),
        logical_id: "Runners".to_owned(),
    };
    let identity = |changes: &Value| {
        let spec = spec_of(&properties(changes)).unwrap_or_else(|problems| panic!("{changes}: {problems}"));
        let id = PhysicalId::of(&stack_resource, &spec);
        let fingerprint = TaskDefinitionContent::of(&id, &spec).fingerprint();
        (id, fingerprint)
    };
    for row in ROWS.iter() {
        let name = row.name();
        let (id, fingerprint) = identity(&before(name));
        let (changed_id, changed_fingerprint) = identity(&changed(name));
        // Their task definition is the same, but EC2 Auto Scaling may replace instances that run: see `purchasing`.
        let replaces_instances = ["OnDemandBaseCapacity", "OnDemandPercentageAboveBaseCapacity"].contains(&name);
        let update = if changed_id != id {
            Update::Replacement
        } else if changed_fingerprint != fingerprint || replaces_instances {
            Update::SomeInterruptions
        } else if name == "ServiceToken" {
            Update::Unsupported
        } else {
            Update::NoInterruption
        };
        assert!(row.update() == update, "{name}");
        let is_only_cloudformations = ["ServiceToken", "ServiceTimeout"].contains(&name);
        let equal = pool_properties_equal(&properties(&before(name)), &properties(&changed(name)));
        assert_eq!(equal, is_only_cloudformations, "{name}");
    }
}
