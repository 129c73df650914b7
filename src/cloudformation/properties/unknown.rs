//! What is said of a name that is no property: the nearest one that is, what takes its place, or that nothing does.
//!
//! People bring properties along from ECS task definitions, from ECS services and from Auto Scaling groups. The nearest
//! name says nothing of those, so they have a table.

use super::collecting::plain;
use super::problems::shown_name;

/// Letters of a known name that make it likely when all of them stand in the given one: `RunnerLabels` means `Labels`.
const PART_CHARS_MIN: usize = 5;

/// How like a known name has to be before it is named, from 0 to 1. Typing errors and other spellings reach 0.8; two
/// names that share no more than a word stay below 0.7.
const LIKENESS_MIN: f64 = 0.72;

/// What takes the place of a name that other resources have.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["Volumes", "MountPoints", "VolumesFrom"],
        "nothing takes its place: the pool mounts RunnerWorkdir and, with DockerSocket, Docker's socket, and no other path",
    ),
    (
        &["ContainerDefinitions", "TaskDefinition", "Essential"],
        "nothing takes its place: the pool writes its task definition itself, from Image, Environment, Secrets and the \
         other properties of the task",
    ),
    (
        &["Name", "ContainerName", "Family", "ServiceName", "AutoScalingGroupName"],
        "take it out: the pool's names follow from the stack's",
    ),
    (
        &["EntryPoint", "Command", "User", "WorkingDirectory", "Interactive", "PseudoTerminal"],
        "nothing takes its place: the container starts as its Image says, with the variables of Environment",
    ),
    (&["EnvironmentFiles"], "give the variables in Environment, or in Secrets"),
    (&["LogConfiguration", "LogDriver", "FirelensConfiguration"], "give LogGroup, and LogStreamPrefix if need be"),
    (&["RepositoryCredentials"], "give RepositoryCredentialsParameter, the secret's name or ARN"),
    (&["TaskExecutionRoleArn", "ExecutionRole"], "the nearest known name is ExecutionRoleArn"),
    (&["TaskRole"], "the nearest known name is TaskRoleArn"),
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
        "nothing takes its place: runners have ECS's bridge network, and the network of their instances follows from Subnets \
         and the launch template",
    ),
    (
        &["RequiresCompatibilities", "LaunchType", "PlatformVersion", "EphemeralStorage"],
        "take it out: runners are tasks on EC2 instances",
    ),
    (
        &["RuntimePlatform", "CpuArchitecture", "OperatingSystemFamily", "Architecture"],
        "take it out: the Image and the launch template's AMI decide it",
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
        "nothing takes its place: the pool's task definition has no such setting",
    ),
    (&["DockerLabels"], "take it out: the pool's own are the only ones; Labels are GitHub's, and Tags are AWS's"),
    (
        &["PlacementConstraints"],
        "give DistinctInstances for one runner on an instance; nothing takes the place of others",
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
        "nothing takes its place: the pool shapes its ECS service itself, so that no job is cut off",
    ),
    (&["CapacityProviderStrategy", "CapacityProviders"], "give CapacityProvider, the name of one"),
    (&["MinSize", "MinCapacity"], "the nearest known name is MinInstances"),
    (&["MaxSize", "MaxCapacity"], "the nearest known name is MaxInstances"),
    (&["DesiredCapacity", "Count", "Replicas", "RunnerCount"], "give DesiredCount, the number of runners"),
    (&["VPCZoneIdentifier", "AvailabilityZones", "VpcId", "VpcSubnets"], "give Subnets"),
    (
        &["MixedInstancesPolicy", "Overrides", "InstancesDistribution", "SpotPrice"],
        "give InstanceTypes, OnDemandBaseCapacity, OnDemandPercentageAboveBaseCapacity and SpotAllocationStrategy",
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
        "write it into the launch template that LaunchTemplate names",
    ),
    (&["ReadOnly"], "the nearest known name is ReadonlyRootFilesystem"),
];

/// What to do about a name that is not `known` at this place; the properties themselves are at the empty one.
pub(super) fn advice(name: &str, at: &str, known: &[&str]) -> String {
    let given = plain(name);
    let is_there = |names: &[&str]| names.iter().any(|other| plain(other) == given);
    let elsewhere = ELSEWHERE.iter().filter(|_| at.is_empty()).find(|(names, _)| is_there(names));
    if let Some((_, advice)) = elsewhere {
        return (*advice).to_owned();
    }
    match nearest(name, known) {
        Some(nearest) => format!("the nearest known name is {nearest}"),
        None if at.is_empty() => format!("take it out: no property has a name like {}", shown_name(name)),
        None => format!("take it out: known are {}", known.join(", ")),
    }
}

/// The known name that was most likely meant, if there is one near enough.
fn nearest<'known>(name: &str, known: &[&'known str]) -> Option<&'known str> {
    let given = plain(name);
    let likeness = |candidate: &str| {
        let candidate = plain(candidate);
        let is_part = candidate.len() >= PART_CHARS_MIN && given.contains(&candidate);
        let typo = strsim::normalized_damerau_levenshtein(&given, &candidate);
        // The second likes a common beginning, the first a common length.
        let score = f64::midpoint(typo, strsim::jaro_winkler(&given, &candidate));
        // `RunnerToken` names the credential where the property names its parameter.
        let is_credential = candidate.strip_suffix("parameter") == Some(given.as_str());
        if is_part || is_credential { score.max(0.9) } else { score }
    };
    let scored = known.iter().copied().map(|candidate| (candidate, likeness(candidate)));
    let best = scored.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (best.1 >= LIKENESS_MIN).then_some(best.0)
}
