//! The remedy for an unknown property: the closest name, what to specify instead, or that there is no such setting.
//!
//! People bring properties from ECS task definitions, ECS services and Auto Scaling groups. For those the closest name
//! means nothing, so they have a table.

use super::formats::normalize;
use super::problems::redacted_name;

/// A known name of this length that is a part of the unknown one is likely: `RunnerLabels` means `Labels`.
const PART_CHARS_MIN: usize = 5;

/// How similar a name has to be, from 0 to 1, to be suggested. Typing errors and other spellings reach 0.8; two names
/// that share no more than a word stay below 0.7.
const SIMILARITY_MIN: f64 = 0.72;

/// The remedies for names that other resources have.
const NAMES_OF_OTHER_RESOURCES: &[(&[&str], &str)] = &[
    (
        &["Volumes", "MountPoints", "VolumesFrom"],
        "Remove it; the container has no mounts other than RunnerWorkdir and, with DockerSocket, Docker's socket.",
    ),
    (
        &["ContainerDefinitions", "TaskDefinition", "Essential"],
        "Remove it; the task definition follows from Image, Environment, Secrets and the other properties.",
    ),
    (
        &["Name", "ContainerName", "Family", "ServiceName", "AutoScalingGroupName"],
        "Remove it; the pool's names follow from the stack's name.",
    ),
    (
        &["EntryPoint", "Command", "User", "WorkingDirectory", "Interactive", "PseudoTerminal"],
        "Remove it; the container starts as Image defines, with the variables in Environment.",
    ),
    (&["EnvironmentFiles"], "Specify the variables in Environment or Secrets."),
    (&["LogConfiguration", "LogDriver", "FirelensConfiguration"], "Specify LogGroup, and LogStreamPrefix if needed."),
    (&["RepositoryCredentials"], "Specify RepositoryCredentialsParameter, the name or ARN of the secret."),
    (&["TaskExecutionRoleArn", "ExecutionRole"], "Did you mean ExecutionRoleArn?"),
    (&["TaskRole"], "Did you mean TaskRoleArn?"),
    (
        &[
            "NetworkMode",
            "NetworkConfiguration",
            "AwsvpcConfiguration",
            "AssignPublicIp",
            "PortMappings",
            "Links",
            "Hostname",
            "DnsServers",
            "DnsSearchDomains",
            "ExtraHosts",
            "DisableNetworking",
        ],
        "Remove it; runners use the bridge network mode, on instances whose network follows from Subnets and the \
         launch template.",
    ),
    (
        &["RequiresCompatibilities", "LaunchType", "PlatformVersion", "EphemeralStorage"],
        "Remove it; runners are ECS tasks on EC2 instances.",
    ),
    (
        &["RuntimePlatform", "CpuArchitecture", "OperatingSystemFamily", "Architecture"],
        "Remove it; it follows from Image and from the AMI of the launch template.",
    ),
    (
        &[
            "Ulimits",
            "LinuxParameters",
            "ShmSize",
            "Tmpfs",
            "SystemControls",
            "DockerSecurityOptions",
            "PidMode",
            "IpcMode",
            "ProxyConfiguration",
            "ResourceRequirements",
            "InferenceAccelerators",
            "HealthCheck",
            "DependsOn",
            "StartTimeout",
            "RestartPolicy",
            "EnableExecuteCommand",
            "EnableFaultInjection",
            "CredentialSpecs",
        ],
        "Remove it; the pool's task definition has no such setting.",
    ),
    (&["DockerLabels"], "Remove it; Labels are the runners' labels in GitHub, and Tags the tags in AWS."),
    (
        &["PlacementConstraints"],
        "Specify DistinctInstances for one runner per instance; other placement constraints are not available.",
    ),
    (
        &[
            "PlacementStrategy",
            "PlacementStrategies",
            "DeploymentConfiguration",
            "DeploymentController",
            "SchedulingStrategy",
            "AvailabilityZoneRebalancing",
            "HealthCheckGracePeriodSeconds",
            "LoadBalancers",
            "ServiceRegistries",
            "PropagateTags",
            "EnableECSManagedTags",
        ],
        "Remove it; the pool configures its ECS service itself, so that no job is interrupted.",
    ),
    (&["CapacityProviderStrategy", "CapacityProviders"], "Specify CapacityProvider, the name of one."),
    (&["MinSize", "MinCapacity"], "Did you mean MinInstances?"),
    (&["MaxSize", "MaxCapacity"], "Did you mean MaxInstances?"),
    (&["WarmPool", "WarmPoolSize", "MaxGroupPreparedCapacity"], "Did you mean WarmInstances?"),
    (&["DesiredCapacity", "Count", "Replicas", "RunnerCount"], "Specify DesiredCount, the number of runners."),
    (&["VPCZoneIdentifier", "AvailabilityZones", "VpcId", "VpcSubnets"], "Specify Subnets."),
    (
        &["MixedInstancesPolicy", "Overrides", "InstancesDistribution", "SpotPrice"],
        "Specify InstanceTypes, OnDemandBaseCapacity, OnDemandPercentageAboveBaseCapacity and SpotAllocationStrategy.",
    ),
    (
        &[
            "SecurityGroups",
            "SecurityGroupIds",
            "ImageId",
            "KeyName",
            "UserData",
            "IamInstanceProfile",
            "BlockDeviceMappings",
            "MetadataOptions",
            "EbsOptimized",
        ],
        "Specify it in the launch template.",
    ),
    (&["ReadOnly"], "Did you mean ReadonlyRootFilesystem?"),
];

/// The remedy for a name that is not one of `known` in the object at `path`; the path of the properties is empty.
pub(super) fn remedy(name: &str, path: &str, known: &[&str]) -> String {
    let normal = normalize(name);
    let is_listed = |names: &[&str]| names.iter().any(|other| normalize(other) == normal);
    let entry = NAMES_OF_OTHER_RESOURCES.iter().filter(|_| path.is_empty()).find(|(names, _)| is_listed(names));
    if let Some((_, remedy)) = entry {
        return (*remedy).to_owned();
    }
    match closest_name(name, known) {
        Some(closest) => format!("Did you mean {closest}?"),
        None if path.is_empty() => format!("Remove it; no property has a name similar to {}.", redacted_name(name)),
        None => format!("Remove it; known are {}.", known.join(", ")),
    }
}

/// The known name that was most likely meant, if one is similar enough.
fn closest_name<'known>(name: &str, known: &[&'known str]) -> Option<&'known str> {
    let normal = normalize(name);
    let similarity = |candidate: &str| {
        let candidate = normalize(candidate);
        let is_part = candidate.len() >= PART_CHARS_MIN && normal.contains(&candidate);
        let by_edits = strsim::normalized_damerau_levenshtein(&normal, &candidate);
        // The second prefers a common beginning, the first a common length.
        let mean = f64::midpoint(by_edits, strsim::jaro_winkler(&normal, &candidate));
        // `RunnerToken` is the credential of which the property names the parameter.
        let is_credential = candidate.strip_suffix("parameter") == Some(normal.as_str());
        if is_part || is_credential { mean.max(0.9) } else { mean }
    };
    let scored = known.iter().copied().map(|candidate| (candidate, similarity(candidate)));
    let best = scored.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (best.1 >= SIMILARITY_MIN).then_some(best.0)
}
