//! How many runners there are, how long the function waits, and CloudFormation's own properties.

use super::super::defaults::{ReadByCloudFormation, WithDefault};
use super::super::formats::is_name;
use super::super::objects::TagList;
use super::super::property::{Property, Required, Row, Update};
use super::super::scalars::{Boolean, Choice, Integer, Seconds, Text, UNBOUNDED};
use crate::pool::model::spec::{OnDeregisterFailure, OnDrainTimeout};

/// Tasks that an ECS service may have.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
const DESIRED_COUNT_MAX: u32 = 5_000;
/// Characters of a scale set's name: those of a runner's.
const SCALE_SET_NAME_CHARS_MAX: usize = 64;
/// The longest that CloudFormation waits, and its default.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html>
const SERVICE_TIMEOUT_SECS_MAX: u32 = 3_600;

pub(in super::super) static DESIRED_COUNT: Property<WithDefault<Integer>> = Property {
    name: "DesiredCount",
    accepts: WithDefault(Integer { min: 0, max: DESIRED_COUNT_MAX, unit: "" }, 1),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The number of runners.",
    notes: "A smaller number drains the surplus runners, idle ones first. It does not follow the number of waiting \
            jobs, as [`MaxRunners`](#maxrunners) does; the instances follow it.",
};

pub(in super::super) static MAX_RUNNERS: Property<Integer> = Property {
    name: "MaxRunners",
    accepts: Integer { min: 1, max: DESIRED_COUNT_MAX, unit: "" },
    required: Required::No,
    update: Update::NoInterruption,
    description: "The most runners that the pool has, which then has as many runners as jobs, instead of DesiredCount.",
    notes: "The function creates a runner scale set at GitHub and starts a runner for each job that GitHub assigns to \
            it. Each runner runs one job, as with `Ephemeral: true`, and the function registers it. Another number is \
            an update without interruption; replacing `DesiredCount` by `MaxRunners` is a replacement. With \
            `MaxRunners`, a change of `Labels`, `RunnerGroup`, `NoDefaultLabels` or `RunnerScaleSetName` is a \
            replacement as well, since GitHub does not change the labels of a scale set.",
};

pub(in super::super) static MIN_RUNNERS: Property<WithDefault<Integer>> = Property {
    name: "MinRunners",
    accepts: WithDefault(Integer { min: 0, max: DESIRED_COUNT_MAX, unit: "" }, 0),
    required: Required::No,
    update: Update::NoInterruption,
    description: "With MaxRunners, the idle runners that are kept in addition to those with jobs.",
    notes: "Its meaning is that of `minRunners` in Actions Runner Controller. With `1` a job starts at once, and GitHub \
            assigns jobs of a workflow that is run again, which it may not assign to a scale set without runners.",
};

pub(in super::super) static RUNNER_SCALE_SET_NAME: Property<Text> = Property {
    name: "RunnerScaleSetName",
    accepts: Text {
        expected: "up to 64 letters, digits, hyphens, underscores and dots",
        is_valid: |text| is_name(text, "-_.", SCALE_SET_NAME_CHARS_MAX),
    },
    required: Required::No,
    update: Update::Replacement,
    description: "With MaxRunners, the name of the runner scale set, which is one of its labels.",
    notes: "The default is the pool's physical ID. A name must be free in its runner group, so a replacement needs \
            another one.",
};

pub(in super::super) static DISTINCT_INSTANCES: Property<WithDefault<Boolean>> = Property {
    name: "DistinctInstances",
    accepts: WithDefault(Boolean, false),
    required: Required::No,
    update: Update::NoInterruption,
    description: "Whether each runner runs on an instance of its own.",
    notes: "",
};

pub(in super::super) static ONLINE_TIMEOUT: Property<WithDefault<Seconds>> = Property {
    name: "OnlineTimeout",
    accepts: WithDefault(Seconds::new(1, UNBOUNDED), 900),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The time in seconds within which new runners must be online in GitHub for a Create or Update to \
                  succeed.",
    notes: "With `MaxRunners`, `MinRunners` of them must be online; if runners of the previous task definition fill \
            `MaxRunners` for that long, an Update succeeds and its reason says so.",
};

pub(in super::super) static IDLE_CONFIRMATION: Property<WithDefault<Seconds>> = Property {
    name: "IdleConfirmation",
    accepts: WithDefault(Seconds::new(0, UNBOUNDED), 60),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The time in seconds for which GitHub must report a runner as idle before the runner is deleted.",
    notes: "GitHub reports a runner as busy some time after its job began.",
};

pub(in super::super) static DRAIN_TIMEOUT: Property<WithDefault<Seconds>> = Property {
    name: "DrainTimeout",
    accepts: WithDefault(Seconds::new(0, UNBOUNDED), 1_800),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The time in seconds that an Update or Delete waits for running jobs to end.",
    notes: "What happens afterwards, [`OnDrainTimeout`](#ondraintimeout) determines. `OnlineTimeout`, \
            `IdleConfirmation` and `DrainTimeout` together must leave 120 seconds of \
            [`ServiceTimeout`](#servicetimeout); otherwise the template is rejected at once.",
};

pub(in super::super) static ON_DRAIN_TIMEOUT: Property<WithDefault<Choice<OnDrainTimeout>>> = Property {
    name: "OnDrainTimeout",
    accepts: WithDefault(
        Choice { names: &["Cancel", "Fail"], values: &[OnDrainTimeout::Cancel, OnDrainTimeout::Fail] },
        OnDrainTimeout::Cancel,
    ),
    required: Required::No,
    update: Update::NoInterruption,
    description: "Whether jobs that still run after DrainTimeout are cancelled, or continue while the request fails.",
    notes: "`Cancel` stops the runners that are left. `Fail` responds FAILED and stops no runner that has a job.",
};

pub(in super::super) static ON_DEREGISTER_FAILURE: Property<WithDefault<Choice<OnDeregisterFailure>>> = Property {
    name: "OnDeregisterFailure",
    accepts: WithDefault(
        Choice { names: &["Warn", "Fail"], values: &[OnDeregisterFailure::Warn, OnDeregisterFailure::Fail] },
        OnDeregisterFailure::Warn,
    ),
    required: Required::No,
    update: Update::NoInterruption,
    description: "Whether a Delete that GitHub does not let deregister the runners succeeds with a warning or fails.",
    notes: "GitHub denies access after the credential was revoked or the organization was deleted, for instance. \
            `Warn` continues and names what may be left; `Fail` responds FAILED.",
};

pub(in super::super) static TAGS: Property<TagList> = Property {
    name: "Tags",
    accepts: TagList,
    required: Required::No,
    update: Update::NoInterruption,
    description: "Tags for every AWS resource that the pool creates.",
    notes: "At most 46, because the pool adds tags of its own.",
};

static SERVICE_TOKEN: Property<ReadByCloudFormation<Text>> = Property {
    name: "ServiceToken",
    accepts: ReadByCloudFormation(Text { expected: "the ARN of the function or of an SNS topic", is_valid: |_| true }),
    required: Required::Yes,
    update: Update::Unsupported,
    description: "The ARN of the function, without a version, or of an SNS topic that invokes it.",
    notes: "",
};

static SERVICE_TIMEOUT: Property<ReadByCloudFormation<WithDefault<Seconds>>> = Property {
    name: "ServiceTimeout",
    accepts: ReadByCloudFormation(WithDefault(Seconds::new(1, SERVICE_TIMEOUT_SECS_MAX), SERVICE_TIMEOUT_SECS_MAX)),
    required: Required::No,
    update: Update::NoInterruption,
    description: "The time in seconds for which CloudFormation waits for the response to a request.",
    notes: "`OnlineTimeout`, `IdleConfirmation` and `DrainTimeout` together must leave 120 seconds of it.",
};

pub(super) static SCALING: &[&dyn Row] = &[
    &DESIRED_COUNT,
    &MAX_RUNNERS,
    &MIN_RUNNERS,
    &RUNNER_SCALE_SET_NAME,
    &DISTINCT_INSTANCES,
    &ONLINE_TIMEOUT,
    &IDLE_CONFIRMATION,
    &DRAIN_TIMEOUT,
    &ON_DRAIN_TIMEOUT,
    &ON_DEREGISTER_FAILURE,
    &TAGS,
];

pub(super) static CLOUDFORMATION: &[&dyn Row] = &[&SERVICE_TOKEN, &SERVICE_TIMEOUT];
