//! What must hold of the runners that the function registers.

use std::time::Duration;

use serde_json::Value;

use super::check;
use crate::github::configuration_of;
use crate::history::Fact;
use crate::registrations::{is_grant, key_of};
use crate::world::World;

/// After so long without anything that fails, a container that asks has had an answer.
const ANSWER_MAX: Duration = Duration::from_secs(240);

/// A task is granted one registration, ever, and no two of its runners are registered at the same time.
pub(super) fn a_task_gets_one_registration(world: &World, fact: &Fact) -> Result<(), String> {
    match fact {
        Fact::RegistrationAnswered { key, .. } => {
            let n = world.registrations.n_granted.get(key).copied().unwrap_or(0);
            check(n <= 1, || format!("{n} registrations were granted to {key}"))
        }
        Fact::RunnerCreated { runner } => {
            let Some(task) = &world.github.runners[runner].task else { return Ok(()) };
            let is_its = |other: &&crate::github::Runner| other.task.as_ref() == Some(task) && other.id != *runner;
            let other = world.github.runners.values().find(is_its);
            check(other.is_none(), || format!("{task} has a second runner"))
        }
        _ => Ok(()),
    }
}

/// What a key's answer grants is the registration of its own task's runner.
pub(super) fn an_answer_is_for_the_task_of_its_key(world: &World, fact: &Fact) -> Result<(), String> {
    let (Fact::RegistrationAnswered { key, answer } | Fact::RegistrationTaken { key, answer }) = fact else {
        return Ok(());
    };
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    if !is_grant(&answer) {
        return Ok(());
    }
    let Some(task) = world.ecs.tasks.values().find(|task| key_of(&task.arn) == *key) else {
        return Err(format!("a registration for {key}, which is no task's key"));
    };
    let name = answer["name"].as_str().unwrap_or_default();
    // A fixed name leads to its pool alone.
    let is_its = name.ends_with(&format!("-{}", task.short_id())) || name.starts_with("solo-");
    check(is_its, || format!("{key} got the registration of {name}"))
}

/// Nothing that administers runners is in an answer or in the task definition of a pool whose runners the function
/// registers, and an answer has no other runner's registration.
pub(super) fn a_task_gets_no_credential(world: &World, fact: &Fact) -> Result<(), String> {
    match fact {
        Fact::RegistrationAnswered { key, answer } => {
            let body: Value = serde_json::from_str(answer).unwrap_or_default();
            let is_of_name = |runner: &&crate::github::Runner| body["name"].as_str() == Some(runner.name.as_str());
            let mut own = body["token"].as_str().unwrap_or_default().to_owned();
            if body["kind"] == "jit" {
                let runner = world.github.runners.values().find(is_of_name);
                own = runner.map(|runner| configuration_of(runner.id)).unwrap_or_default();
            }
            let rest = if own.is_empty() { answer.clone() } else { answer.replace(&own, "") };
            // A runner that was deleted since has had its registration with it.
            let is_gone = body["kind"] == "jit" && own.is_empty();
            check(is_gone || !rest.contains("PLANTED"), || format!("the answer for {key} is {answer}"))
        }
        Fact::RevisionRegistered { content } if content.contains("REGISTRATIONS_TABLE") => {
            let found = ["PLANTED", "ACCESS_TOKEN", "APP_PRIVATE_KEY", "RUNNER_TOKEN"];
            // The label with the pool's metadata names the credential's parameter, for the function.
            let found = found.iter().find(|word| content.contains(*word));
            check(found.is_none(), || format!("a task definition with {}", found.unwrap_or(&"")))
        }
        _ => Ok(()),
    }
}

/// A registration whose task has ended is removed by the second sweep that nothing went wrong with.
pub(super) fn no_orphaned_registration_outlives_two_sweeps(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Swept = fact else { return Ok(()) };
    let overdue = world.github.runners.values().find(|runner| runner.n_passed_by >= 2);
    check(overdue.is_none(), || {
        let runner = overdue.map(|runner| (&runner.name, &runner.task, runner.orphaned_since));
        format!("two sweeps have passed by {runner:?}")
    })
}

/// A container that asks for ten minutes gives up for a reason: it was refused, or something failed.
pub(super) fn a_container_that_asks_is_answered(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::GaveUpAsking { task, was_refused } = fact else { return Ok(()) };
    let since = world.askers.undisturbed_since.unwrap_or(crate::world::BEGIN);
    check(*was_refused || world.now.since(since) < ANSWER_MAX, || format!("{task} asked for ten minutes in vain"))
}
