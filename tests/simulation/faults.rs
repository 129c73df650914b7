//! What goes wrong: at one call, or for a while.

use std::time::Duration;

use github_runner_pool::pool::refusal::{Class, Refusal, Remote};
use github_runner_pool::pool::time::Timestamp;
use github_runner_pool::reconcile::ports::CallError;
use serde::{Deserialize, Serialize};

use crate::world::World;

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// The process dies before the call has an effect.
    KillBefore,
    /// The process dies after its effect, before the answer.
    KillAfter,
    /// The code panics.
    Panic,
    /// No answer ever comes.
    Hang,
    /// It takes effect, and the answer is lost.
    LostAnswer,
    /// A read tells what an earlier one told.
    Stale,
    /// It is refused.
    Throttled,
    Unavailable,
    Conflict,
    Unexpected,
    Denied,
    Rejected,
    Missing,
}

/// All of them, with how often each is drawn.
pub(crate) const FAULTS: &[(Fault, u32)] = &[
    (Fault::KillBefore, 6),
    (Fault::KillAfter, 6),
    (Fault::Panic, 1),
    (Fault::Hang, 1),
    (Fault::LostAnswer, 12),
    (Fault::Stale, 30),
    (Fault::Throttled, 20),
    (Fault::Unavailable, 12),
    (Fault::Conflict, 6),
    (Fault::Unexpected, 3),
    (Fault::Denied, 1),
    (Fault::Rejected, 1),
    (Fault::Missing, 1),
];

/// What goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// Every second call to AWS is throttled.
    AwsThrottles,
    /// GitHub asks for a pause.
    GitHubThrottles,
    /// GitHub is down.
    GitHubDown,
    /// The token is not accepted.
    TokenRevoked,
    /// Nobody takes answers.
    AnswersRefused,
    /// The function cannot invoke itself.
    SelfInvokeThrottled,
    /// No instance starts.
    LaunchesFail,
    /// No container starts.
    ImageBroken,
    /// Somebody else changes the cluster's associations, again and again.
    ClusterBusy,
    /// GitHub calls runners idle that have a job.
    BusyLags,
    /// GitHub would even delete them, if the job is older than two minutes. Shorter than any confirmation window.
    BusyFlickers,
    /// GitHub calls runners idle for the whole of a job, and would delete them.
    CallsIdle,
    /// The function may not read the runners' logs.
    LogsDenied,
    /// The runners' logs read as if they were empty.
    LogsEmpty,
    /// ECS protects no task.
    ProtectionFails,
}

pub(crate) const TROUBLES: &[Trouble] = &[
    Trouble::AwsThrottles,
    Trouble::GitHubThrottles,
    Trouble::GitHubDown,
    Trouble::TokenRevoked,
    Trouble::AnswersRefused,
    Trouble::SelfInvokeThrottled,
    Trouble::LaunchesFail,
    Trouble::ImageBroken,
    Trouble::ClusterBusy,
    Trouble::BusyLags,
    Trouble::BusyFlickers,
    Trouble::ProtectionFails,
];

/// Those of the witnesses of a job, which are drawn apart from the others.
pub(crate) const TROUBLES_OF_WITNESSES: &[Trouble] = &[Trouble::CallsIdle, Trouble::LogsDenied, Trouble::LogsEmpty];

impl Trouble {
    /// How long it may last at the most, in seconds.
    pub(crate) const fn secs_max(self) -> u64 {
        match self {
            Self::BusyFlickers => 25,
            Self::BusyLags => 60,
            Self::AnswersRefused => 90,
            Self::SelfInvokeThrottled => 400,
            Self::AwsThrottles | Self::GitHubThrottles | Self::ProtectionFails => 180,
            Self::GitHubDown | Self::TokenRevoked | Self::LaunchesFail | Self::ImageBroken => 600,
            Self::ClusterBusy => 240,
            Self::CallsIdle | Self::LogsDenied | Self::LogsEmpty => 3_000,
        }
    }
}

/// Which troubles there are, and until when.
#[derive(Default)]
pub(crate) struct Troubles(Vec<(Trouble, Timestamp)>);

impl Troubles {
    pub(crate) fn begin(&mut self, trouble: Trouble, until: Timestamp) {
        self.0.push((trouble, until));
    }

    pub(crate) fn has(&self, trouble: Trouble, now: Timestamp) -> bool {
        self.0.iter().any(|(other, until)| *other == trouble && *until > now)
    }

    pub(crate) fn end_all(&mut self) {
        self.0.clear();
    }
}

/// A refusal in a service's own words.
pub(crate) fn refuse(remote: Remote, operation: &str, class: Class, code: &str, message: &str) -> CallError {
    CallError {
        refusal: Refusal {
            remote,
            class,
            operation: operation.to_owned(),
            code: Some(code.to_owned()),
            message: message.to_owned(),
        },
        source: None,
    }
}

impl Fault {
    /// The refusal that it is, if it is one.
    pub(crate) fn refusal(self, remote: Remote, operation: &str) -> Option<CallError> {
        let (class, code) = match self {
            Self::Throttled => (Class::Throttled { retry_after: None }, "ThrottlingException"),
            Self::Unavailable | Self::LostAnswer => (Class::Unavailable, "ServerException"),
            Self::Conflict => (Class::Conflict, "ConflictException"),
            Self::Unexpected => (Class::Unexpected, "SomethingNewException"),
            Self::Denied => (Class::Denied, "AccessDeniedException"),
            Self::Rejected => (Class::Rejected, "ValidationException"),
            Self::Missing => (Class::Missing, "ServiceNotFoundException"),
            Self::KillBefore | Self::KillAfter | Self::Panic | Self::Hang | Self::Stale => return None,
        };
        Some(refuse(remote, operation, class, code, "The simulation says no."))
    }
}

impl World {
    /// Whether a trouble refuses this call.
    pub(crate) fn trouble_of(&mut self, remote: Remote, operation: &'static str) -> Option<CallError> {
        let now = self.now;
        let refusal = match remote {
            Remote::GitHub if self.troubles.has(Trouble::GitHubDown, now) => {
                ("GitHubDown", Class::Unavailable, "503", "GitHub is down.")
            }
            Remote::GitHub if self.troubles.has(Trouble::GitHubThrottles, now) => {
                let retry_after = Some(Duration::from_secs(60));
                (
                    "GitHubThrottles",
                    Class::Throttled { retry_after },
                    "403",
                    "You have exceeded a secondary rate limit.",
                )
            }
            Remote::Lambda if self.troubles.has(Trouble::SelfInvokeThrottled, now) => {
                let class = Class::Throttled { retry_after: None };
                ("SelfInvokeThrottled", class, "TooManyRequestsException", "Rate Exceeded.")
            }
            Remote::Ecs
            | Remote::AutoScaling
            | Remote::Ec2
            | Remote::ParameterStore
            | Remote::CloudFormation
            | Remote::Logs
                if self.troubles.has(Trouble::AwsThrottles, now) && self.chance.bool() =>
            {
                let class = Class::Throttled { retry_after: None };
                ("AwsThrottles", class, "ThrottlingException", "Rate exceeded")
            }
            Remote::GitHub
            | Remote::Lambda
            | Remote::Ecs
            | Remote::AutoScaling
            | Remote::Ec2
            | Remote::ParameterStore
            | Remote::CloudFormation
            | Remote::Logs => return None,
        };
        let (name, class, code, message) = refusal;
        self.figures.fault(name);
        self.occur("fault", name);
        Some(refuse(remote, operation, class, code, message))
    }
}
