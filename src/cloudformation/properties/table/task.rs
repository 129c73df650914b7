//! The container and its task.

use super::super::defaults::{WithDefault, WithDerivedDefault};
use super::super::formats::{has_space, is_name, is_role_arn, is_whole_secret};
use super::super::problems::is_credential_itself;
use super::super::property::{Property, Required, Row, Update};
use super::super::scalars::{Boolean, Integer, Seconds, Text, UNBOUNDED};

/// Docker's minimum for a container.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
const MEMORY_MIB_MIN: u32 = 6;
/// Two days: as long as ECS protects a task or drains an instance.
const STOP_TIMEOUT_SECS_MAX: u32 = 172_800;
/// Characters of an image's name that ECS accepts.
const IMAGE_CHARS_MAX: usize = 255;
/// As many as the largest EC2 instance has.
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html>
const GPUS_MAX: u32 = 16;
const SHA256_HEX_DIGITS: usize = 64;
/// Characters of the name of a log group, and of a log stream.
const LOG_NAME_CHARS_MAX: usize = 512;

const ROLE_ARN: &str = "the ARN of an IAM role, arn:aws:iam::ACCOUNT:role/NAME";

pub(in super::super) static IMAGE: Property<WithDefault<Text>> = Property {
    name: "Image",
    accepts: WithDefault(
        Text {
            expected: "an image with a tag or a sha256 digest, such as myoung34/github-runner:ubuntu-noble",
            is_valid: is_image,
        },
        "myoung34/github-runner:ubuntu-noble",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The container image of the runners: myoung34/github-runner, or an image with its entry point.",
    notes: "Each new task uses the newest image of a tag; specify a digest for an image that never changes. \
            `RunnerWorkdir` requires version 2.336.0 of the image or newer, and `https://SUB.ghe.com` version \
            2.335.0. Docker Hub limits pulls without credentials to [100 in six \
            hours](https://docs.docker.com/docker-hub/usage/) from one address, and every start of a task is one.",
};

pub(in super::super) static REPOSITORY_CREDENTIALS_PARAMETER: Property<Text> = Property {
    name: "RepositoryCredentialsParameter",
    accepts: Text {
        expected: "the name or ARN of the Secrets Manager secret with the registry's username and password",
        // ECS reads the whole secret, a JSON object with two keys of its own.
        is_valid: |text| is_whole_secret(text) && !is_credential_itself(text),
    },
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The name or ARN of the Secrets Manager secret with the username and password of the image's \
                  registry.",
    notes: "For a private registry, and for more pulls from Docker Hub. Specify the whole secret, without `:KEY::`.",
};

pub(in super::super) static MEMORY_RESERVATION: Property<WithDefault<Integer>> = Property {
    name: "MemoryReservation",
    accepts: WithDefault(Integer { min: MEMORY_MIB_MIN, max: UNBOUNDED, unit: "MiB" }, 500),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The memory in MiB that ECS reserves for a runner on an instance.",
    notes: "It determines how many runners an instance has room for. The container may use more.",
};

pub(in super::super) static MEMORY: Property<Integer> = Property {
    name: "Memory",
    accepts: Integer { min: MEMORY_MIB_MIN, max: UNBOUNDED, unit: "MiB" },
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The memory limit of a runner's container in MiB, above which the container is killed.",
    notes: "Must be greater than `MemoryReservation`. Without it there is no limit.",
};

pub(in super::super) static CPU: Property<WithDefault<Integer>> = Property {
    name: "Cpu",
    accepts: WithDefault(Integer { min: 0, max: UNBOUNDED, unit: "CPU units" }, 0),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The CPU units reserved for a runner's container (1024 are one vCPU; 0 reserves none).",
    notes: "",
};

pub(in super::super) static GPUS: Property<WithDefault<Integer>> = Property {
    name: "Gpus",
    accepts: WithDefault(Integer { min: 0, max: GPUS_MAX, unit: "GPUs" }, 0),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The GPUs of the instance that are reserved for a runner's container.",
    notes: "Requires instances with GPUs, and an image of theirs with the drivers, such as that of the public parameter \
            `/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id`. Only the runner's own container \
            gets them: a container that a job starts needs `--gpus` and `DockerSocket`.",
};

pub(in super::super) static PRIVILEGED: Property<WithDefault<Boolean>> = Property {
    name: "Privileged",
    accepts: WithDefault(Boolean, true),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Whether the container has elevated privileges on the instance.",
    notes: "A job of a privileged container is root on the instance. Specify `false` where jobs run no containers.",
};

pub(in super::super) static DOCKER_SOCKET: Property<WithDefault<Boolean>> = Property {
    name: "DockerSocket",
    accepts: WithDefault(Boolean, true),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Whether /var/run/docker.sock of the instance is mounted into the container, so that jobs can run \
                  containers.",
    notes: "A job with the socket is root on the instance. ECS neither counts nor stops the containers that a job \
            starts.",
};

pub(in super::super) static READONLY_ROOT_FILESYSTEM: Property<WithDefault<Boolean>> = Property {
    name: "ReadonlyRootFilesystem",
    accepts: WithDefault(Boolean, false),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Whether the container's root file system is read-only.",
    notes: "",
};

pub(in super::super) static STOP_TIMEOUT: Property<WithDefault<Seconds>> = Property {
    name: "StopTimeout",
    accepts: WithDefault(Seconds::new(1, STOP_TIMEOUT_SECS_MAX), 120),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The time in seconds between SIGTERM and SIGKILL when a container is stopped.",
    notes: "",
};

pub(in super::super) static LOG_GROUP: Property<Text> = Property {
    name: "LogGroup",
    accepts: Text { expected: "the name of a log group", is_valid: |text| is_name(text, "._-/#", LOG_NAME_CHARS_MAX) },
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The CloudWatch log group, of the class Standard, to which the runners' output is written.",
    notes: "Recommended. Before a runner is deleted, its own log is read for a running job, in addition to GitHub, \
            which has [called working runners idle](https://github.com/actions/runner/issues/4422). The function must \
            be allowed to read it, by `RunnerLogGroups` of the provider's template (by default every log group). \
            Without a log group nothing is logged.",
};

pub(in super::super) static LOG_STREAM_PREFIX: Property<WithDerivedDefault<Text>> = Property {
    name: "LogStreamPrefix",
    accepts: WithDerivedDefault(
        Text {
            expected: "a prefix without colons, asterisks and spaces",
            is_valid: |text| text.len() <= LOG_NAME_CHARS_MAX && !text.contains([':', '*']) && !has_space(text),
        },
        "the pool's physical ID",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The prefix of the log streams in LogGroup.",
    notes: "Requires `LogGroup`.",
};

pub(in super::super) static EXECUTION_ROLE_ARN: Property<Text> = Property {
    name: "ExecutionRoleArn",
    accepts: Text { expected: ROLE_ARN, is_valid: is_role_arn },
    required: Required::Conditional(
        "Specify it if ECS reads a secret or a registry's credentials, or writes to a log group.",
    ),
    update: Update::SomeInterruptions,
    description: "The ARN of the IAM role with which ECS reads the container's secrets, pulls the image and writes \
                  the log.",
    notes: "The function passes only roles whose IAM path the provider's template allows, by default \
            `/github-runner-pool/`.",
};

pub(in super::super) static TASK_ROLE_ARN: Property<WithDerivedDefault<Text>> = Property {
    name: "TaskRoleArn",
    accepts: WithDerivedDefault(
        Text { expected: ROLE_ARN, is_valid: is_role_arn },
        "the provider stack's `RunnerRole`; none with `RegisterBy: Container`",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The ARN of the IAM role whose permissions the jobs have in AWS.",
    notes: "Every job of the pool has the role's credentials. The function passes only roles whose IAM path the \
            provider's template allows, by default `/github-runner-pool/`. With `RegisterBy: Function`, the task asks \
            for its registration with this role: attach the provider stack's `RunnerPolicy` to it. The default, the \
            provider stack's `RunnerRole`, has that permission and no other.",
};

pub(super) static TASK: &[&dyn Row] = &[
    &IMAGE,
    &REPOSITORY_CREDENTIALS_PARAMETER,
    &MEMORY_RESERVATION,
    &MEMORY,
    &CPU,
    &GPUS,
    &PRIVILEGED,
    &DOCKER_SOCKET,
    &READONLY_ROOT_FILESYSTEM,
    &STOP_TIMEOUT,
    &LOG_GROUP,
    &LOG_STREAM_PREFIX,
    &EXECUTION_ROLE_ARN,
    &TASK_ROLE_ARN,
];

/// `[HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]`: false if ECS would reject it or Docker could never pull it.
fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let is_digest = |digest: &str| {
        digest.strip_prefix("sha256:").is_some_and(|digits| {
            let is_hex = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
            digits.len() == SHA256_HEX_DIGITS && digits.chars().all(is_hex)
        })
    };
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let ends_well = name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.');
    begins_well
        && ends_well
        && is_name(name, "._-/:", IMAGE_CHARS_MAX)
        && !name.contains("://")
        && !name.contains("//")
        && digest.is_none_or(is_digest)
}
