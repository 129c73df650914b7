//! What has to occur somewhere in a run of many seeds: a simulation proves nothing about what never happens in it.

use std::collections::BTreeSet;

use crate::faults::{FAULTS, TROUBLES, TROUBLES_OF_WITNESSES};

/// What goes wrong beside the calls and the troubles.
const MISFORTUNES: &[&str] = &["MachineLost", "SpotReclaim", "AgentLost", "DuplicateDelivery", "NewToken"];

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

/// What the function says of itself, beside its steps and waits.
const LINES: &[&str] = &["go_on", "hand_on", "yield", "given_up", "abandoned", "answer"];

/// What the steps' descriptions name beside the steps.
const DETAILS: &[&str] =
    &["desired", "image", "instance", "launch_template", "log", "n", "runner", "task", "task_definition", "why"];

/// A reason to wait that is only ever told in an answer.
const TOLD_ONLY: &[&str] = &["step"];

/// Everything that has to occur, as `kind name`. Steps, waiting reasons and classes are read off the code itself.
pub(crate) fn wanted() -> BTreeSet<String> {
    let steps = names(include_str!("../../src/pool/plan.rs"), "pub fn describe", "(\"");
    let waits = names(include_str!("../../src/pool/decision.rs"), "pub const fn name", "=> \"");
    let classes = names(include_str!("../../src/pool/refusal.rs"), "pub const fn name", "=> \"");
    assert!(steps.len() > 25 && waits.len() > 10 && classes.len() == 8, "the names are not where this looks for them");
    let steps = steps.into_iter().filter(|name| !DETAILS.contains(&name.as_str())).collect();
    let waits = waits.into_iter().filter(|name| !TOLD_ONLY.contains(&name.as_str()));
    let faults = FAULTS.iter().map(|(fault, _)| format!("{fault:?}"));
    let troubles = TROUBLES.iter().chain(TROUBLES_OF_WITNESSES).map(|trouble| format!("{trouble:?}"));
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let faults = faults.chain(troubles).chain(owned(MISFORTUNES));
    let of =
        |kind: &str, names: Vec<String>| names.into_iter().map(|name| format!("{kind} {name}")).collect::<Vec<_>>();
    [
        of("step", steps),
        of("waiting", waits.collect()),
        of("class", classes),
        of("fault", faults.collect()),
        of("transition", owned(TRANSITIONS)),
        of("line", owned(LINES)),
    ]
    .concat()
    .into_iter()
    .collect()
}

/// The names that stand behind `mark` in the function that begins with `head`.
fn names(code: &str, head: &str, mark: &str) -> Vec<String> {
    let function = code.split(head).nth(1).unwrap().split("\n    }\n").next().unwrap();
    let behind = function.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let names: BTreeSet<String> = behind.filter(is_name).map(str::to_owned).collect();
    names.into_iter().collect()
}
