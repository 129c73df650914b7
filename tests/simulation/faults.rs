//! What goes wrong: at one call, or for a while.

use std::time::Duration;

use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::RemoteCallError;
use serde::{Deserialize, Serialize};

use crate::world::World;

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// The process dies before the call has an effect.
    KillBefore,
    /// The process dies after its effect, before the response.
    KillAfter,
    /// The code panics.
    Panic,
    /// No response ever comes.
    Hang,
    /// It takes effect, and the response is lost.
    LostAnswer,
    /// It takes up to longer than the function allows a request of a container. Of background invocations only.
    Slow,
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

/// Those of the calls of background invocations.
pub(crate) const BACKGROUND_FAULTS: &[(Fault, u32)] = &[
    (Fault::KillBefore, 12),
    (Fault::KillAfter, 20),
    (Fault::Panic, 3),
    (Fault::Hang, 1),
    (Fault::Slow, 6),
    (Fault::LostAnswer, 20),
    (Fault::Stale, 20),
    (Fault::Throttled, 12),
    (Fault::Unavailable, 12),
    (Fault::Conflict, 3),
    (Fault::Unexpected, 2),
    (Fault::Denied, 2),
    (Fault::Rejected, 1),
    (Fault::Missing, 2),
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
    /// CloudFormation accepts no response.
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

    pub(crate) fn are_any(&self, now: Timestamp) -> bool {
        self.0.iter().any(|(_, until)| *until > now)
    }

    pub(crate) fn end_all(&mut self) {
        self.0.clear();
    }
}

/// A refusal in a service's own words.
pub(crate) fn refuse(
    remote: RemoteService,
    operation: &str,
    kind: ErrorKind,
    code: &str,
    message: &str,
) -> RemoteCallError {
    RemoteCallError {
        remote_error: RemoteError {
            remote,
            kind,
            operation: operation.to_owned(),
            code: Some(code.to_owned()),
            message: message.to_owned(),
        },
        source: None,
    }
}

impl Fault {
    /// The refusal that it is, if it is one.
    pub(crate) fn remote_error(self, remote: RemoteService, operation: &str) -> Option<RemoteCallError> {
        let (kind, code) = match self {
            Self::Throttled => (ErrorKind::Throttled { retry_after: None }, "ThrottlingException"),
            Self::Unavailable if remote == RemoteService::GitHub => (ErrorKind::Unreachable, "no connection"),
            Self::Unavailable | Self::LostAnswer => (ErrorKind::Unavailable, "ServerException"),
            Self::Conflict => (ErrorKind::Conflict, "ConflictException"),
            Self::Unexpected => (ErrorKind::Unexpected, "SomethingNewException"),
            Self::Denied => (ErrorKind::Denied, "AccessDeniedException"),
            Self::Rejected => (ErrorKind::Invalid, "ValidationException"),
            Self::Missing => (ErrorKind::NotFound, "ServiceNotFoundException"),
            Self::KillBefore | Self::KillAfter | Self::Panic | Self::Hang | Self::Slow | Self::Stale => return None,
        };
        // The client's messages about GitHub's errors say what to do; those of AWS do not.
        let message = match remote {
            RemoteService::GitHub => "The simulation says no. Grant the permission",
            _ => "The simulation says no.",
        };
        Some(refuse(remote, operation, kind, code, message))
    }
}

impl World {
    /// Whether a trouble refuses this call.
    pub(crate) fn trouble_of(&mut self, remote: RemoteService, operation: &'static str) -> Option<RemoteCallError> {
        let now = self.now;
        let remote_error = match remote {
            RemoteService::GitHub if self.troubles.has(Trouble::GitHubDown, now) => {
                ("GitHubDown", ErrorKind::Unavailable, "503", "GitHub is down.")
            }
            RemoteService::GitHub if self.troubles.has(Trouble::GitHubThrottles, now) => {
                let retry_after = Some(Duration::from_secs(60));
                (
                    "GitHubThrottles",
                    ErrorKind::Throttled { retry_after },
                    "403",
                    "You have exceeded a secondary rate limit.",
                )
            }
            RemoteService::Lambda if self.troubles.has(Trouble::SelfInvokeThrottled, now) => {
                let kind = ErrorKind::Throttled { retry_after: None };
                ("SelfInvokeThrottled", kind, "TooManyRequestsException", "Rate Exceeded.")
            }
            RemoteService::Ecs
            | RemoteService::AutoScaling
            | RemoteService::Ec2
            | RemoteService::DynamoDb
            | RemoteService::ParameterStore
            | RemoteService::CloudFormation
            | RemoteService::Logs
                if self.troubles.has(Trouble::AwsThrottles, now) && self.chance.bool() =>
            {
                let kind = ErrorKind::Throttled { retry_after: None };
                ("AwsThrottles", kind, "ThrottlingException", "Rate exceeded")
            }
            RemoteService::GitHub
            | RemoteService::Lambda
            | RemoteService::Ecs
            | RemoteService::AutoScaling
            | RemoteService::Ec2
            | RemoteService::DynamoDb
            | RemoteService::ParameterStore
            | RemoteService::CloudFormation
            | RemoteService::Logs => return None,
        };
        let (name, kind, code, message) = remote_error;
        self.figures.fault(name);
        self.occur("fault", name);
        Some(refuse(remote, operation, kind, code, message))
    }
}
