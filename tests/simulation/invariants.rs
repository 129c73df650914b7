//! What must hold, whatever happens. One function each.

mod demand;
mod registrations;

use std::time::Duration;

use github_runner_pool::pool::model::operation::CONTINUATIONS_MAX;
use github_runner_pool::pool::model::scaling::{LISTENER_KEY, SCALED_POOLS_KEY};
use github_runner_pool::pool::model::tick_record::TICK_KEY;
use serde_json::Value;

use crate::cloudformation::{Ask, State};
use crate::ecs::{FOREIGN_PROVIDERS, ServiceStatus};
use crate::history::{Ending, Fact, Loss};
use crate::script::Prints;
use crate::world::World;

/// Calls of one invocation: fifteen minutes of looks every five seconds, of eight calls each, and as much again.
const CALLS_MAX: u32 = 3_000;
/// Bytes of a response.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>
const BODY_BYTES_MAX: usize = 4_096;
/// Characters of the shortest failure reason.
const REASON_CHARS_MIN: usize = 30;
/// What to do, in every failure reason at least one of them.
const REMEDIES: &[&str] = &[
    "Allow ",
    "Associate ",
    "Check ",
    "Correct ",
    "Create ",
    "Delete ",
    "Give ",
    "Grant ",
    "Lower ",
    "Raise ",
    "Remove ",
    "Rename ",
    "Retry",
    "See ",
    "Specify ",
    "Store ",
    "Update ",
    "Wait ",
    " must ",
    "again",
    "retry",
    "stop the ECS task",
];

type Invariant = (&'static str, fn(&World, &Fact) -> Result<(), String>);

/// Those that are asked about everything that happens.
pub(crate) const OF_FACTS: &[Invariant] = &[
    ("no_job_ends_before_its_time", no_job_ends_before_its_time),
    ("what_is_foreign_is_left_alone", what_is_foreign_is_left_alone),
    ("every_request_gets_its_response_in_time", every_request_gets_its_response_in_time),
    ("no_two_responses_disagree", no_two_responses_disagree),
    ("every_response_is_within_bounds", every_response_is_within_bounds),
    ("a_failure_says_what_to_do", a_failure_says_what_to_do),
    ("the_physical_id_changes_only_by_the_table", the_physical_id_changes_only_by_the_table),
    ("success_means_online", success_means_online),
    ("a_failed_update_leaves_the_old_pool_whole", a_failed_update_leaves_the_old_pool_whole),
    ("a_deleted_pool_leaves_nothing", a_deleted_pool_leaves_nothing),
    ("a_live_pool_stays", a_live_pool_stays),
    ("older_request_stops_at_its_next_read_of_the_lock", older_request_stops_at_its_next_read_of_the_lock),
    ("a_panic_becomes_a_response", a_panic_becomes_a_response),
    ("calls_and_hops_are_bounded", calls_and_hops_are_bounded),
    ("no_secret_is_logged_or_sent", no_secret_is_logged_or_sent),
    ("a_task_gets_one_registration", registrations::a_task_gets_one_registration),
    ("an_answer_is_for_the_task_of_its_key", registrations::an_answer_is_for_the_task_of_its_key),
    ("a_task_gets_no_credential", registrations::a_task_gets_no_credential),
    ("no_orphaned_registration_outlives_two_sweeps", registrations::no_orphaned_registration_outlives_two_sweeps),
    ("a_container_that_asks_is_answered", registrations::a_container_that_asks_is_answered),
    ("a_job_gets_a_runner_in_time", demand::a_job_gets_a_runner_in_time),
    ("a_pool_follows_its_jobs", demand::a_pool_follows_its_jobs),
    ("a_message_is_acted_upon_before_it_is_acknowledged", demand::a_message_is_acted_upon_before_it_is_acknowledged),
    ("max_runners_is_never_exceeded", demand::max_runners_is_never_exceeded),
    ("at_most_one_listener_writes", demand::at_most_one_listener_writes),
];

/// A response, and the request that it is to.
fn response<'world>(world: &'world World, fact: &Fact) -> Option<(&'world Ask, Value)> {
    let Fact::Responded { ask, body } = fact else { return None };
    let body = serde_json::from_slice(body).unwrap_or_default();
    Some((&world.stacks.asks[*ask], body))
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// A job ends by itself, by a machine that fails, or because the template's own `DrainTimeout` has passed.
fn no_job_ends_before_its_time(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::JobLost { pool, job, why } = fact else { return Ok(()) };
    let asks = world.stacks.asks.iter();
    let mut of_pool = asks.filter(|ask| pool.starts_with(&world.stacks.all[ask.stack].stem()));
    // The drain began when its request was sent, or later.
    let may_cut_off = of_pool.any(|ask| {
        !ask.pool.fails_on_drain && world.now.since(ask.sent_at) >= Duration::from_secs(ask.pool.drain_secs)
    });
    // A job that has printed its own end into its log has nobody but itself to blame. Once its runner was deleted for that,
    // ECS may stop its task in the moment between the end of its protection and the function's own call.
    let job_lost = world.github.jobs.get(job);
    let forged_its_end = job_lost.is_some_and(|job| job.prints == Prints::End);
    let was_deleted_for_it = forged_its_end && job_lost.is_some_and(|job| job.is_deregistered);
    match why {
        Loss::MachineLost => Ok(()),
        Loss::Stopped | Loss::Deregistered if forged_its_end => Ok(()),
        Loss::ChosenByEcs if was_deleted_for_it => Ok(()),
        Loss::DrainTimedOut | Loss::ChosenByEcs if may_cut_off => Ok(()),
        Loss::DrainTimedOut | Loss::ChosenByEcs | Loss::Stopped | Loss::Deregistered | Loss::InstanceTaken => {
            Err(format!("job {job} of {pool} was lost: {why:?}"))
        }
    }
}

/// Tasks, instances, groups, runners and associations of others.
fn what_is_foreign_is_left_alone(_: &World, fact: &Fact) -> Result<(), String> {
    match fact {
        Fact::Wrote { operation, target, is_foreign: true, .. } => Err(format!("{operation} of {target}")),
        Fact::Deregistered { pool, .. } if pool.is_empty() => Err("a foreign runner was deleted".to_owned()),
        Fact::ClusterChanged { providers } => {
            let are_there = FOREIGN_PROVIDERS.iter().all(|name| providers.iter().any(|there| there == name));
            check(are_there, || format!("the cluster's providers are {providers:?}"))
        }
        _ => Ok(()),
    }
}

/// CloudFormation never has to find out by itself that no response comes.
fn every_request_gets_its_response_in_time(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Expired { ask } = fact else { return Ok(()) };
    let ask = &world.stacks.asks[*ask];
    Err(format!("{} of {} expired", ask.kind, world.stacks.all[ask.stack].name))
}

/// Every response to a request is the same to the letter, as long as anybody may read it: until CloudFormation has sent the
/// resource's next request. A request that wants nothing new is not written down, and neither is a Delete that is done, or
/// that fails before it has acquired the lock.
fn no_two_responses_disagree(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Responded { ask, body } = fact else { return Ok(()) };
    let record = &world.stacks.asks[*ask];
    let has_succeeded = String::from_utf8_lossy(&record.responses[0]).contains(r#""Status":"SUCCESS""#);
    let is_over = world.stacks.asks[ask + 1..].iter().any(|newer| newer.stack == record.stack);
    let is_unwritten = record.kind == "Delete" && (has_succeeded || !record.is_recorded);
    if record.is_obsolete || is_over || record.is_unchanged || is_unwritten {
        return Ok(());
    }
    check(record.responses.iter().all(|earlier| earlier == body), || {
        let first = String::from_utf8_lossy(&record.responses[0]);
        format!("request {ask} got the response {first}, then with {}", String::from_utf8_lossy(body))
    })
}

fn every_response_is_within_bounds(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Responded { body: bytes, .. } = fact else { return Ok(()) };
    check(bytes.len() <= BODY_BYTES_MAX, || format!("a body of {} bytes", bytes.len()))?;
    let Some((ask, body)) = response(world, fact) else { return Ok(()) };
    let echoes = ["RequestId", "StackId", "LogicalResourceId"].iter().all(|id| body[*id] == ask.event[*id]);
    check(echoes, || format!("ids are not echoed: {body}"))?;
    let has_id = body["PhysicalResourceId"].as_str().is_some_and(|id| !id.is_empty() && id.len() <= 1_024);
    check(has_id, || format!("no physical id: {body}"))?;
    let data = body["Data"].as_object();
    check(data.is_none_or(|data| data.values().all(Value::is_string)), || format!("attributes are no strings: {body}"))
}

fn a_failure_says_what_to_do(world: &World, fact: &Fact) -> Result<(), String> {
    let Some((_, body)) = response(world, fact) else { return Ok(()) };
    let reason = body["Reason"].as_str().unwrap_or_default();
    let is_readable = reason.len() >= REASON_CHARS_MIN && !reason.contains("Some(") && !reason.contains("None");
    let has_remedy = REMEDIES.iter().any(|remedy| reason.contains(remedy));
    check(body["Status"] == "SUCCESS" || (is_readable && has_remedy), || format!("a failure reason of {reason:?}"))
}

/// The same properties that cannot change in place have the same id; the response to a Delete repeats its id.
fn the_physical_id_changes_only_by_the_table(world: &World, fact: &Fact) -> Result<(), String> {
    let Some((ask, body)) = response(world, fact) else { return Ok(()) };
    let id = body["PhysicalResourceId"].as_str().unwrap_or_default();
    if ask.kind == "Delete" {
        return check(ask.event["PhysicalResourceId"] == id, || format!("the response to a Delete has {id}"));
    }
    let known = world.stacks.asks.iter().filter(|other| {
        other.stack == ask.stack && other.kind != "Delete" && other.pool.identity() == ask.pool.identity()
    });
    let said = known.flat_map(|other| &other.responses).filter_map(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    // The template was wrong, or the code was before it could read it.
    let is_nothing = id == "ghr-was-not-created" && ask.kind == "Create" && body["Status"] == "FAILED";
    if is_nothing && said.clone().count() == 0 {
        return Ok(());
    }
    check(id.starts_with(&world.stacks.all[ask.stack].stem()), || format!("{id} is not of this stack"))?;
    check(said.map(|body| body["PhysicalResourceId"].clone()).all(|other| other == id), || {
        format!("the same pool has had another id than {id}")
    })
}

/// Create and Update succeed when the wanted number of runners is online, or when nobody can count them.
fn success_means_online(world: &World, fact: &Fact) -> Result<(), String> {
    let Some((ask, body)) = response(world, fact) else { return Ok(()) };
    if ask.kind == "Delete" || body["Status"] != "SUCCESS" {
        return Ok(());
    }
    let number = |name: &str| body["Data"][name].as_str().and_then(|text| text.parse::<u32>().ok());
    let (online, wanted) = (number("OnlineRunners"), number("DesiredCount"));
    let could_not_count = body["Reason"].as_str().is_some_and(|reason| reason.contains("could not be counted"));
    if let Some(max_runners) = ask.pool.max_runners {
        // As many as the jobs at that moment want.
        let least = ask.pool.min_runners;
        check(wanted >= Some(least) && wanted <= Some(max_runners), || format!("{wanted:?} runners of {max_runners}"))?;
        // Runners of the previous revision may fill the pool until their jobs end, and one may just have ended.
        let id = body["PhysicalResourceId"].as_str().unwrap_or_default();
        let fills = body["Reason"].as_str().is_some_and(|reason| reason.contains("fill MaxRunners"));
        let is_full = fills && world.n_recent_tasks(id) >= max_runners;
        let is_met = online >= Some(least) || could_not_count || is_full;
        return check(is_met, || format!("{online:?} of {least} runners are online"));
    }
    check(wanted == Some(ask.pool.count), || format!("{wanted:?} instead of {} runners", ask.pool.count))?;
    check(online >= wanted || could_not_count, || format!("{online:?} of {wanted:?} runners are online"))
}

/// A failed Update has taken away no runner that was there before, but those that the new template does not want.
fn a_failed_update_leaves_the_old_pool_whole(world: &World, fact: &Fact) -> Result<(), String> {
    let Some((ask, body)) = response(world, fact) else { return Ok(()) };
    let stack = &world.stacks.all[ask.stack];
    if ask.kind != "Update" || body["Status"] != "FAILED" || ask.is_settled {
        return Ok(());
    }
    let Some(before) = &stack.before else { return Ok(()) };
    // A runner of one job ends by itself, and a fixed name has to be given up before it can be taken. Other purchase options
    // empty the pool first: EC2 Auto Scaling may replace running instances for them.
    // https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups.html
    let is_emptied = ask.pool.on_demand_percent != before.on_demand_percent;
    if before.is_ephemeral || ask.pool.is_ephemeral || before.has_fixed_name || is_emptied {
        return Ok(());
    }
    let wanted = ask.n_working_before.min(ask.pool.count as usize).min(before.count as usize);
    // Where there is no room for one more, one at a time leaves before its successor comes. What keeps that one from
    // coming may begin only then: ECS gives up a task that has waited ten minutes for an instance, and a new instance
    // pulls the image anew. So a task counts that ECS gave up after a runner had left to make room for it.
    // https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/
    let n_failed = ask.made_room_at.map_or(0, |since| world.n_failed_to_start(ask.stack, since));
    let successor = (world.n_starting(ask.stack) + n_failed).min(1);
    let there = world.n_working(ask.stack) + ask.n_lost_since + successor;
    check(there >= wanted, || format!("{there} runners of {} are left, {wanted} should be", ask.n_working_before))
}

/// SUCCESS of a Delete means that nothing is left, or that the Reason names it.
fn a_deleted_pool_leaves_nothing(world: &World, fact: &Fact) -> Result<(), String> {
    let Some((ask, body)) = response(world, fact) else { return Ok(()) };
    if ask.kind != "Delete" || body["Status"] != "SUCCESS" || ask.is_settled {
        return Ok(());
    }
    let sent = ask.event["PhysicalResourceId"].as_str().unwrap_or_default();
    let stem = world.stacks.all[ask.stack].stem();
    let is_whole = matches!(world.stacks.all[ask.stack].state, State::Deleting | State::UndoingCreate);
    let name = match (sent.starts_with(&stem), is_whole) {
        (_, true) => &stem,
        (true, false) => sent,
        // An id of nothing's, in the clean-up of a stack that goes on.
        (false, false) => return Ok(()),
    };
    let left = left_of(world, name);
    let reason = body["Reason"].as_str().unwrap_or_default();
    // What the Delete of another pool of the stack has named may still be there.
    let others = world.stacks.asks.iter().filter(|other| other.stack == ask.stack).flat_map(|other| &other.responses);
    let reasons: Vec<String> = others.map(|body| String::from_utf8_lossy(body).into_owned()).collect();
    let is_known = |what: &String| is_named(reason, what) || reasons.iter().any(|reason| is_named(reason, what));
    let unnamed: Vec<String> = left.into_iter().filter(|what| !is_known(what)).collect();
    check(unnamed.is_empty(), || format!("after a Delete of {sent} there is {}; Reason: {reason}", unnamed.join(", ")))
}

/// A pool of which a SUCCESS was accepted lives until a Delete names it or its stack goes.
fn a_live_pool_stays(world: &World, fact: &Fact) -> Result<(), String> {
    const ENDS: &[&str] = &[
        "DeleteService",
        "DeleteAutoScalingGroup",
        "DeleteCapacityProvider",
        "DeleteTaskDefinitions",
        "DELETE runnerscalesets",
    ];
    let Fact::Wrote { operation, target, .. } = fact else { return Ok(()) };
    let pool = world.pool_of_write(target).unwrap_or_default();
    let name = pool.rsplit(['/', ' ']).next().unwrap().split(':').next().unwrap();
    let is_live = world.stacks.all.iter().any(|stack| stack.live.contains(name));
    check(!is_live || !ENDS.contains(operation), || format!("{operation} of {target}"))
}

/// Whether a Reason says that this may be left.
fn is_named(reason: &str, what: &str) -> bool {
    let set = what.strip_prefix("scale set ").and_then(|rest| rest.split_whitespace().next());
    let runner = what.strip_prefix("runner ").and_then(|rest| rest.split_once(" of "));
    runner.is_some_and(|(name, _)| reason.contains(name) || reason.contains("GitHub may still list"))
        || set.is_some_and(|name| reason.contains(&format!("runner scale set {name}")))
        || reason.contains("nothing was deleted")
}

/// Everything of the pools whose name begins so.
pub(crate) fn left_of(world: &World, name: &str) -> Vec<String> {
    let is_its = |other: &str| other.starts_with(name);
    let ecs = &world.ecs;
    let is_there = |status: ServiceStatus| status != ServiceStatus::Inactive;
    let services = ecs.services.iter().filter(|((_, name), it)| is_its(name) && is_there(it.status));
    let tasks = ecs.tasks.values().filter(|task| is_its(&task.service) && task.is_live());
    let families = ecs.families.iter().filter(|(name, family)| is_its(name) && !family.revisions.is_empty());
    let instances = ecs.instances.values().filter(|instance| is_its(&instance.provider));
    let is_owned = |tags: &crate::ecs::Tags| tags.contains_key("github-runner-pool:id");
    let groups = world.groups.all.iter().filter(|(name, group)| is_its(name) && is_owned(&group.tags));
    let runners = world.github.runners.values().filter(|runner| runner.pool.as_deref().is_some_and(is_its));
    let clusters = ecs.clusters.values().flat_map(|cluster| &cluster.providers).filter(|name| is_its(name));
    let mut left: Vec<String> = services.map(|((_, name), _)| format!("service {name}")).collect();
    left.extend(tasks.map(|task| format!("task {} of {}", task.arn, task.service)));
    left.extend(families.map(|(name, _)| format!("task definition {name}")));
    left.extend(instances.map(|instance| format!("container instance {} of {}", instance.ec2_id, instance.provider)));
    left.extend(ecs.providers.keys().filter(|name| is_its(name)).map(|name| format!("provider {name}")));
    left.extend(groups.map(|(name, _)| format!("group {name}")));
    let pool = |runner: &crate::github::Runner| runner.pool.clone().unwrap_or_default();
    left.extend(runners.map(|runner| format!("runner {} of {}", runner.name, pool(runner))));
    let sets = world.scale_sets.all.values().filter(|set| set.pool.as_deref().is_some_and(is_its));
    let session = |set: &crate::scale_sets::Set| if set.session.is_some() { " with a session" } else { "" };
    left.extend(
        sets.map(|set| format!("scale set {}{} of {}", set.name, session(set), set.pool.clone().unwrap_or_default())),
    );
    left.extend(clusters.map(|name| format!("association of {name}")));
    left
}

/// Whoever has read that a newer request is at work changes nothing any more.
fn older_request_stops_at_its_next_read_of_the_lock(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Wrote { invocation, operation, target, .. } = fact else { return Ok(()) };
    let saw_newer = world.lambda.invocations.get(invocation).is_some_and(|it| it.saw_newer);
    check(!saw_newer, || format!("{operation} of {target}, with a newer request at work"))
}

/// The process lives on, and CloudFormation gets its response from this invocation.
fn a_panic_becomes_a_response(world: &World, fact: &Fact) -> Result<(), String> {
    let Fact::Ended { invocation, how } = fact else { return Ok(()) };
    // Of one that no request is behind, the next tick or the container's next request makes up for it.
    let has_panicked = world.lambda.invocations.get(invocation).is_some_and(|it| it.has_panicked && it.ask.is_some());
    check(!has_panicked || !matches!(how, Ending::Crashed | Ending::Killed), || format!("it ended as {how:?}"))
}

fn calls_and_hops_are_bounded(world: &World, fact: &Fact) -> Result<(), String> {
    match fact {
        Fact::Ended { invocation, .. } => {
            let n = world.lambda.invocations.get(invocation).map_or(0, |it| it.n_calls);
            check(n <= CALLS_MAX, || format!("{n} calls in one invocation"))
        }
        Fact::ParsedContinuation { ask: Some(ask), .. } => {
            let n = world.stacks.asks[*ask].n_hops;
            // Each of Lambda's deliveries of one event may hand on.
            check(n <= CONTINUATIONS_MAX * 4, || format!("request {ask} was handed on {n} times"))
        }
        _ => Ok(()),
    }
}

/// Neither the token nor the signature of a response URL is in a response, a record or a line of the log.
fn no_secret_is_logged_or_sent(_: &World, fact: &Fact) -> Result<(), String> {
    let told = match fact {
        Fact::Responded { body, .. } => String::from_utf8_lossy(body).into_owned(),
        Fact::Logged { line } => return check(!line.contains("PLANTED"), || line.clone()),
        _ => return Ok(()),
    };
    check(!told.contains("PLANTED"), || told)
}

/// When everything has come to rest, nothing of ours is anywhere.
pub(crate) fn everything_comes_to_rest(world: &World) -> Result<(), String> {
    let mut left: Vec<String> = world.stacks.all.iter().flat_map(|stack| left_of(world, &stack.stem())).collect();
    // A runner that GitHub could not be asked about was named in a Reason.
    left.retain(|what| {
        !world
            .stacks
            .asks
            .iter()
            .flat_map(|ask| &ask.responses)
            .any(|body| is_named(&String::from_utf8_lossy(body), what))
    });
    // One each for the function, whatever pools there are.
    let is_lock = |key: &str| ![TICK_KEY, SCALED_POOLS_KEY, LISTENER_KEY].contains(&key);
    let items = world.state_table.items.iter().filter(|(key, item)| item.expires_at.is_none() && is_lock(key));
    left.extend(items.map(|(key, _)| format!("lock {key}, which does not expire")));
    check(left.is_empty(), || format!("there is {}", left.join(", ")))
}
