//! What has to occur somewhere in a run of many seeds: a simulation proves nothing about what never happens in it.

use std::collections::BTreeSet;

use github_runner_pool::pool::model::decision::WaitReason;
use github_runner_pool::pool::model::remote_error::ErrorKind;
use github_runner_pool::pool::model::step::Step;
use strum::VariantNames as _;

use crate::faults::{BACKGROUND_FAULTS, FAULTS, TROUBLES, TROUBLES_OF_WITNESSES};

/// What goes wrong beside the calls and the troubles.
const MISFORTUNES: &[&str] = &[
    "MachineLost",
    "SpotReclaim",
    "AgentLost",
    "DuplicateDelivery",
    "NewToken",
    "ContainerKilled",
    "DuplicateBatch",
    "StreamThrottled",
    "TickDropped",
    "TickLate",
    "SessionEvicted",
    "TasksRefused",
    "LaunchEventLost",
];

/// How requests and invocations go from one to the next.
const TRANSITIONS: &[&str] = &[
    "create succeeded",
    "create failed",
    "update succeeded in place",
    "update succeeded by replacement",
    "update failed",
    "update cancelled",
    "rollback succeeded in place",
    "rollback succeeded by replacement",
    "rollback failed",
    "clean-up done",
    "clean-up before the rollback",
    "rollback skipped",
    "create sent again",
    "clean-up skipped",
    "delete succeeded",
    "delete failed",
    "delete during an operation",
    "event delivered again",
    "event given up",
    "protection blocked",
    "circuit breaker",
    "provisioning given up",
    "provider update failed",
    "purchase options changed",
    "warm start",
    "warm pool deleted",
    "protection of a task that has ended",
    "denied for a task without tags",
    "deletion refused for a busy runner",
    "dispatched job went back to the queue",
    "a runner stayed behind",
    "runner deleted in the middle of its job",
    "job of a deleted runner ran to its end",
    "job printed the listener's words",
    "end of a job not printed",
    "log vetoed a deletion",
    "log agreed to a deletion",
    "container without a log presumed busy",
    "log not configured",
    "log denied",
    "log empty",
];

/// The same of runners that the function registers.
const REGISTRATIONS: &[&str] = &[
    "registration moved to the function",
    "registration moved to the containers",
    "container asked again",
    "container asked twice at once",
    "container gave up asking",
    "answer to a container's put lost",
    "taken answer lost",
    "container withdrew its item",
    "answer to a container that no longer waits",
    "request expired unanswered or untaken",
    "registration refused for now",
    "registration refused for good",
    "job asked for another registration",
    "job asked in another task's name",
    "job was refused",
    "claim taken over",
    "name of a just-in-time runner taken",
    "server without just-in-time configurations",
    "registration removed by the function that made it",
    "registration removed by the sweep",
    "batch delivered again",
    "batch retried from its first failure",
    "batch of the stream given up",
];

/// The same of pools with as many runners as jobs.
const DEMAND: &[&str] = &[
    "RunTask repeated",
    "assignment lapsed",
    "end of a job told late",
    "job not acquired",
    "jobs of a deleted scale set went back to the queue",
    "message redelivered",
    "running job cancelled",
    "waiting job cancelled",
    "session conflict",
    "session expired",
    "session forgotten at its renewal",
    "session renewed",
    "statistics lag",
    "statistics missing",
    "statistics of zero beside an assignment",
    "token of a queue expired",
];

/// What the function says of itself, beside its steps and waits.
const LINES: &[&str] = &[
    "resume",
    "continue",
    "superseded",
    "on_failure",
    "orphaned_pool",
    "respond",
    "registration",
    "sweep",
    "inventory",
    "launch",
];

/// Wait reasons that need not occur: one that only a response names; one for which GitHub would have to keep a job that has
/// no runner any more; and one of a Delete in the moment in which a listener was killed, too rare for so few seeds. The
/// tests of `job_rollout` have the last two.
const NOT_REQUIRED: &[&str] = &["next_step", "scale_set_deletion", "pending_task_start"];

/// Everything that has to occur, as `kind name`. Steps, wait reasons and error kinds are those of the enums.
pub(crate) fn wanted() -> BTreeSet<String> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let steps = names(Step::VARIANTS);
    let waits = WaitReason::VARIANTS.iter().filter(|name| !NOT_REQUIRED.contains(name)).copied().map(str::to_owned);
    let kinds = names(ErrorKind::VARIANTS);
    let faults = FAULTS.iter().chain(BACKGROUND_FAULTS).map(|(fault, _)| format!("{fault:?}"));
    let troubles = TROUBLES.iter().chain(TROUBLES_OF_WITNESSES).map(|trouble| format!("{trouble:?}"));
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let faults = faults.chain(troubles).chain(owned(MISFORTUNES));
    let of =
        |kind: &str, names: Vec<String>| names.into_iter().map(|name| format!("{kind} {name}")).collect::<Vec<_>>();
    [
        of("step", steps),
        of("waiting", waits.collect()),
        of("kind", kinds),
        of("fault", faults.collect()),
        of("transition", owned(TRANSITIONS)),
        of("transition", owned(REGISTRATIONS)),
        of("transition", owned(DEMAND)),
        of("line", owned(LINES)),
    ]
    .concat()
    .into_iter()
    .collect()
}
