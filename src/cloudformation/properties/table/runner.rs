//! The runner inside the container.

use super::super::collections::{EnvironmentMap, SecretsMap, StringList};
use super::super::defaults::WithDefault;
use super::super::formats::{has_space, is_name};
use super::super::property::{Property, Required, Row, Update};
use super::super::scalars::{Boolean, Text};

/// Characters of a runner's name that GitHub accepts.
const RUNNER_NAME_CHARS_MAX: usize = 64;
/// With a hyphen, the pool's 10 digits, a hyphen and the 12 of the container's ID it makes 60.
const RUNNER_NAME_PREFIX_CHARS_MAX: usize = 36;
/// Characters of a label that GitHub accepts.
const LABEL_CHARS_MAX: usize = 256;
const RUNNER_GROUP_CHARS_MAX: usize = 256;

pub(in super::super) static RUNNER_NAME: Property<Text> = Property {
    name: "RunnerName",
    accepts: Text {
        expected: "up to 64 letters, digits, hyphens, underscores and dots",
        is_valid: |text| is_name(text, "-_.", RUNNER_NAME_CHARS_MAX),
    },
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "A fixed name for the only runner of a pool whose DesiredCount is 1 or 0.",
    notes: "In an update that replaces the runner, the old one leaves before the new one registers, since two runners \
            cannot share a name.",
};

pub(in super::super) static RUNNER_NAME_PREFIX: Property<WithDefault<Text>> = Property {
    name: "RunnerNamePrefix",
    accepts: WithDefault(
        Text {
            expected: "up to 36 letters, digits, hyphens, underscores and dots",
            is_valid: |text| is_name(text, "-_.", RUNNER_NAME_PREFIX_CHARS_MAX),
        },
        "github-runner",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The prefix of the runners' names, which are PREFIX-DIGITS-TASK.",
    notes: "DIGITS are the ten digits at the end of the pool's physical ID, so that two pools never share names. \
            TASK is the first twelve digits of the ID of the runner's ECS task, or with `RegisterBy: Container` of its \
            container. Ignored with `RunnerName`.",
};

pub(in super::super) static LABELS: Property<WithDefault<StringList>> = Property {
    name: "Labels",
    accepts: WithDefault(
        StringList {
            expected_item: "a label of up to 256 characters",
            is_valid_item: |text| text.chars().count() <= LABEL_CHARS_MAX && !text.chars().any(char::is_control),
            min_items: 0,
        },
        &["default"],
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The labels by which jobs select the runners in runs-on.",
    notes: "The pool adds a label of its own, which `Fn::GetAtt` returns as `RunnerLabel`. GitHub ignores case. \
            Specify a label that contains a space as an item of a list.",
};

pub(in super::super) static RUNNER_GROUP: Property<Text> = Property {
    name: "RunnerGroup",
    accepts: Text {
        expected: "the name of a runner group, up to 256 characters",
        is_valid: |text| text.chars().count() <= RUNNER_GROUP_CHARS_MAX && !text.chars().any(char::is_control),
    },
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The runner group that the runners join, which must exist in the organization or enterprise.",
    notes: "A repository has no runner groups. A group that the organization inherits from its enterprise is \
            accepted; GitHub decides whether the runners may join it.",
};

pub(in super::super) static RUNNER_WORKDIR: Property<WithDefault<Text>> = Property {
    name: "RunnerWorkdir",
    accepts: WithDefault(
        Text { expected: "an absolute path other than /, such as /_work", is_valid: is_workdir },
        "/_work",
    ),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "The absolute path below which each runner has a folder in which its jobs run.",
    notes: "With `DockerSocket` the path is mounted from the instance, at the same path. On Bottlerocket it must be \
            below `/var` or `/mnt`, because [other paths are \
            read-only](https://github.com/bottlerocket-os/bottlerocket/blob/develop/SECURITY_FEATURES.md). A path \
            other than the default requires version 2.336.0 of the image or newer: [older \
            ones](https://github.com/myoung34/docker-github-actions-runner/commit/c7dcf55d778be98fe0e69848d933b59b4a146dec) \
            always use `/_work/NAME`. A path contains no space, colon, comma or `..`.",
};

pub(in super::super) static EPHEMERAL: Property<WithDefault<Boolean>> = Property {
    name: "Ephemeral",
    accepts: WithDefault(Boolean, false),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Whether each runner runs a single job, after which a new runner takes its place.",
    notes: "",
};

pub(in super::super) static DISABLE_AUTO_UPDATE: Property<WithDefault<Boolean>> = Property {
    name: "DisableAutoUpdate",
    accepts: WithDefault(Boolean, true),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Whether the runner never updates itself, so that the image alone determines its version.",
    notes: "An update inside a container ends the container.",
};

pub(in super::super) static NO_DEFAULT_LABELS: Property<WithDefault<Boolean>> = Property {
    name: "NoDefaultLabels",
    accepts: WithDefault(Boolean, false),
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Whether the runners register without the labels self-hosted, Linux and the architecture.",
    notes: "",
};

pub(in super::super) static ENVIRONMENT: Property<EnvironmentMap> = Property {
    name: "Environment",
    accepts: EnvironmentMap,
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Additional environment variables of the container, by their names.",
    notes: "A variable that the resource sets itself is rejected; specify the property of that name instead.",
};

pub(in super::super) static SECRETS: Property<SecretsMap> = Property {
    name: "Secrets",
    accepts: SecretsMap,
    required: Required::No,
    update: Update::SomeInterruptions,
    description: "Additional environment variables with secret values: from the variable's name to the name or ARN of \
                  a Parameter Store parameter, or the ARN of a Secrets Manager secret.",
    notes: "Every job of the pool can read the values. The ARN of a secret may end as that of `AccessTokenParameter`. \
            A variable is in one of `Environment` and `Secrets`.",
};

pub(super) static RUNNER: &[&dyn Row] = &[
    &RUNNER_NAME,
    &RUNNER_NAME_PREFIX,
    &LABELS,
    &RUNNER_GROUP,
    &RUNNER_WORKDIR,
    &EPHEMERAL,
    &DISABLE_AUTO_UPDATE,
    &NO_DEFAULT_LABELS,
    &ENVIRONMENT,
    &SECRETS,
];

/// The path is mounted from the instance: Docker and the scripts would end it at a colon, a comma or a space.
fn is_workdir(text: &str) -> bool {
    text.starts_with('/')
        && text.chars().any(|c| c != '/')
        && !has_space(text)
        && !text.contains([':', ','])
        && !text.split('/').any(|part| part == "..")
}
