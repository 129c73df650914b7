//! The service and its runners: new ones come online, then old ones leave, and no job dies.

use std::time::Duration;

use super::foundation::{Foundation, all_tags};
use super::success::{n_online, online_among};
use crate::pool::causes;
use crate::pool::continuation::{Continuation, Present};
use crate::pool::decision::{Decision, Look, Moment, Outcome, Waiting};
use crate::pool::evidence::{EmptyInstance, Ghost, OwnedTask};
use crate::pool::observed::{
    Deployment, GitHubView, Observed, Protection, Rollout, Service, ServiceShape, ServiceState, Task,
};
use crate::pool::plan::{Plan, Step};
use crate::pool::record::PoolRecord;
use crate::pool::report;
use crate::pool::retirement::{Leavers, Progress, retire};
use crate::pool::spec::{Capacity, OnDrainTimeout};

/// `maximumPercent`: old and new runners live side by side, since an old one may have to finish its job first.
const MAXIMUM_PERCENT: u32 = 200;
/// The least `maximumPercent` that ECS takes beside a `minimumHealthyPercent` of 100.
const NARROWEST_MAXIMUM_PERCENT: u32 = 101;
/// How ECS begins to say that it protects no more tasks, since the deployment could not end.
const BLOCKED: &str = "DEPLOYMENT_BLOCKED";
/// What must be left of `OnlineTimeout` for a runner to leave before its successor comes: time to start on an instance that
/// runs and has the image, and to register. With less the Update would fail with a runner fewer than before.
const SUCCESSOR_TIME_MIN: Duration = Duration::from_secs(60);
/// How long protection must still last to be relied on for a drain. Ours is asked for 48 hours.
const PROTECTION_LEFT_MIN: Duration = Duration::from_secs(2 * 3600);

/// The next step for the service, `None` when there is none to take.
pub(super) fn advance(
    held: &mut Continuation,
    goal: &Present,
    seen: &Observed,
    foundation: &Foundation,
    at: Moment,
) -> Option<Decision> {
    let service = match &seen.service {
        Some(service) if service.state == ServiceState::Active => service,
        Some(service) if service.state == ServiceState::Draining => {
            return Some(at.wait(Waiting::ServiceDeletion, Look::Tasks));
        }
        Some(_) | None => {
            let shape = wanted_shape(goal, foundation, 0);
            let tags = all_tags(held, goal);
            return Some(Decision::Act(vec![Step::CreateService { shape, tags }]));
        }
    };
    let record = PoolRecord::of(&held.id, &goal.spec);
    reshape(held, goal, seen, service, foundation, &record, at)
        .or_else(|| bring_online(held, goal, seen, service, at))
        .or_else(|| retire_old(held, goal, seen, service, &record, at))
        .or_else(|| tidy(held, goal, seen, &record, at))
}

pub(super) fn wanted_shape(goal: &Present, foundation: &Foundation, n_live: u32) -> ServiceShape {
    // A fixed name can be held by one runner at a time: the old one leaves before the new one comes.
    let one_at_a_time = goal.spec.runner.name.is_some();
    ServiceShape {
        task_definition: foundation.task_definition.clone(),
        desired_count: goal.spec.desired_count,
        capacity_provider: Some(foundation.provider.clone()),
        distinct_instances: goal.spec.distinct_instances,
        maximum_percent: if one_at_a_time { 100 } else { maximum_percent(goal.spec.desired_count, n_live) },
        minimum_healthy_percent: if one_at_a_time { 0 } else { 100 },
        breaks_circuit_without_rollback: true,
        rebalances_zones: false,
    }
}

/// Room for every wanted runner beside those that live now: protected ones of a larger pool must not keep the smaller
/// pool's new ones from starting.
fn maximum_percent(desired: u32, n_live: u32) -> u32 {
    let needed = n_live.saturating_add(desired).saturating_mul(100).div_ceil(desired.max(1));
    needed.max(MAXIMUM_PERCENT)
}

/// Brings the service to its shape. What would let ECS choose tasks to stop comes only after all are protected.
fn reshape(
    held: &mut Continuation,
    goal: &Present,
    seen: &Observed,
    service: &Service,
    foundation: &Foundation,
    record: &PoolRecord,
    at: Moment,
) -> Option<Decision> {
    let live: Vec<&Task> = seen.tasks.iter().filter(|task| task.is_live()).collect();
    let mut wanted = wanted_shape(goal, foundation, u32::try_from(live.len()).unwrap_or(u32::MAX));
    let deploys = service.shape.task_definition != wanted.task_definition
        || service.shape.capacity_provider != wanted.capacity_provider;
    if !deploys {
        // More room than needed does no harm, and taking it back would be a write for nothing.
        wanted.maximum_percent = wanted
            .maximum_percent
            .min(service.shape.maximum_percent)
            .max(if goal.spec.runner.name.is_some() { 100 } else { MAXIMUM_PERCENT });
    }
    let has_fixed_name = goal.spec.runner.name.is_some();
    if foundation.retires_all || deploys && has_fixed_name && !live.is_empty() {
        let lowered = ServiceShape { desired_count: 0, ..service.shape.clone() };
        if service.shape != lowered {
            return Some(protected_first(held, seen, lowered, at));
        }
        return match retire(held, record, seen, Leavers { tasks: &live, quota: live.len() }, at) {
            Progress::Gone => None,
            Progress::Next(decision) => Some(decision),
            Progress::Overdue { left } => Some(overdue(goal, seen, &left)),
        };
    }
    let lowers = wanted.desired_count < service.shape.desired_count;
    let raised = service.shape.maximum_percent >= wanted.maximum_percent && !deploys;
    let seen_shape = ServiceShape {
        maximum_percent: if raised { wanted.maximum_percent } else { service.shape.maximum_percent },
        ..service.shape.clone()
    };
    if seen_shape == wanted {
        return None;
    }
    if deploys || lowers {
        return Some(protected_first(held, seen, wanted, at));
    }
    Some(Decision::Act(vec![Step::UpdateService(wanted)]))
}

/// The change, once every running task is protected from being chosen for it.
fn protected_first(held: &mut Continuation, seen: &Observed, shape: ServiceShape, at: Moment) -> Decision {
    match unprotected(held, seen, at) {
        Some(decision) => decision,
        // A look at something else, such as a provider that changes, leaves the tasks as they were before it.
        None if !seen.is_complete => at.look_again(Waiting::LastLook, Look::Everything),
        None => Decision::Act(vec![Step::UpdateService(shape)]),
    }
}

/// Protects what runs and is not protected; `None` once all are.
pub(in crate::pool) fn unprotected(held: &mut Continuation, seen: &Observed, at: Moment) -> Option<Decision> {
    let is_open = |task: &&Task| {
        task.is_running()
            && match task.protection {
                Protection::Until(end) => end.since(at.now) < PROTECTION_LEFT_MIN,
                Protection::Off | Protection::Unknown => true,
            }
    };
    let open: Vec<OwnedTask> =
        seen.tasks.iter().filter(is_open).filter_map(|task| OwnedTask::of(&held.id, task)).collect();
    if open.is_empty() {
        return None;
    }
    let refused = open.iter().find_map(|task| held.memory.unprotectable.get(task.arn())).cloned();
    let Some(reason) = refused else { return Some(Decision::Act(vec![Step::ProtectTasks(open)])) };
    held.memory.unprotectable.clear();
    if reason.starts_with(BLOCKED)
        && let Some(shape) = seen.service.as_ref().and_then(|service| widened(service, seen))
    {
        // Both in one round: the one task that a large service may start takes longer than that to displace another.
        return Some(Decision::Act(vec![Step::UpdateService(shape), Step::ProtectTasks(open)]));
    }
    // Until the drain's time is over, a task that cannot be protected is not put at risk.
    let began = *held.memory.drain_began.get_or_insert(at.now);
    if at.now < began + held.manners().drain_timeout {
        return Some(at.wait(Waiting::TaskProtection { n_tasks: open.len(), reason }, Look::Everything));
    }
    match held.manners().on_drain_timeout {
        OnDrainTimeout::Cancel => None,
        OnDrainTimeout::Fail => {
            let reason = report::cannot_protect(held.manners(), open.len(), &reason);
            Some(Decision::Answer(Outcome::failed(reason)))
        }
    }
}

/// ECS protects no task of a service that has more protected ones than it wants, as after an Update that failed half
/// way. It is made to want all that live, and to stop none of them.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>
///
/// ECS refuses 100 for both bounds, since no deployment could get anywhere. The upper one is rounded down to whole
/// tasks, so that 101 % allows none more below a hundred tasks, and one more in each hundred from there on. Such a task
/// displaces an older one only once it runs itself, and by then those that run are protected.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
fn widened(service: &Service, seen: &Observed) -> Option<ServiceShape> {
    let n_live = u32::try_from(seen.tasks.iter().filter(|task| task.is_live()).count()).unwrap_or(u32::MAX);
    (service.shape.desired_count < n_live).then(|| ServiceShape {
        desired_count: n_live,
        maximum_percent: NARROWEST_MAXIMUM_PERCENT,
        minimum_healthy_percent: 100,
        ..service.shape.clone()
    })
}

/// Waits until the wanted number of runners is online.
fn bring_online(
    held: &mut Continuation,
    goal: &Present,
    seen: &Observed,
    service: &Service,
    at: Moment,
) -> Option<Decision> {
    let wanted = goal.spec.desired_count;
    let online = n_online(held, goal, seen);
    // Of any deployment: after a rollback, tasks of an earlier one run just what is wanted.
    let running = seen.tasks.iter().filter(|task| task.is_running() && is_current(service, task)).count();
    let is_steady = primary(service).is_none() || u32::try_from(running).is_ok_and(|running| running >= wanted);
    // Without a word of GitHub the count of containers has to do.
    let are_online = match online {
        Some(n) => n >= wanted,
        None => !matches!(&seen.github, GitHubView::Refused(no) if no.class.may_pass()),
    };
    if is_steady && are_online {
        return None;
    }
    let decision = await_runners(held, goal, seen, service, online.unwrap_or(0), at);
    // Old runners may leave as new ones come, so that a group without room for both makes progress; but not any more once
    // it is only to be found out why the new ones do not come.
    if matches!(decision, Decision::Wait { look: Look::Runners, .. })
        && online.is_some()
        && let Some(decision @ (Decision::Act(_) | Decision::Wait { look: Look::RunnerLogs, .. })) =
            retire_old(held, goal, seen, service, &PoolRecord::of(&held.id, &goal.spec), at)
    {
        return Some(decision);
    }
    Some(decision)
}

/// Waits for runners to come online, for `OnlineTimeout` at the longest.
fn await_runners(
    held: &mut Continuation,
    goal: &Present,
    seen: &Observed,
    service: &Service,
    online: u32,
    at: Moment,
) -> Decision {
    let since = *held.memory.online_awaited_since.get_or_insert(at.now);
    let deadline = since + goal.spec.manners.online_timeout;
    let is_given_up = matches!(primary(service), Some(Deployment { rollout: Rollout::Failed(_), .. }));
    let why = Waiting::RunnersOnline { online, wanted: goal.spec.desired_count };
    let is_over = at.now >= deadline.min(held.answer_by);
    if !is_given_up && !is_over {
        return Decision::Wait { why, until: at.next_look().min(deadline), look: Look::Runners };
    }
    // A failure is told with what stands in the way, which takes one more look.
    if !seen.is_diagnosis {
        return at.look_again(why, Look::Diagnosis);
    }
    if !is_over && let Some(id) = given_up_for_want_of_room(seen) {
        // Begun anew as any other that ECS had given up: a full group is no fault of the template's, and OnlineTimeout
        // is the time that it has to make room.
        held.memory.given_up_before.get_or_insert_default().insert(id.to_owned());
        return at.look_again(why, Look::Everything);
    }
    Decision::Answer(Outcome::failed(causes::not_online(held, goal, seen)))
}

/// The newest deployment, if ECS gave it up and every task of it that never started had found no instance. ECS stops a
/// task that waits for one after ten minutes or more, and the circuit breaker counts it.
/// <https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/>,
/// <https://github.com/aws/containers-roadmap/issues/1273>
pub(in crate::pool) fn given_up_for_want_of_room(seen: &Observed) -> Option<&str> {
    let primary = primary(seen.service.as_ref()?).filter(|it| matches!(it.rollout, Rollout::Failed(_)))?;
    let never_started =
        |task: &&Task| !task.is_live() && task.started_at.is_none() && task.started_by.as_ref() == Some(&primary.id);
    let mut failures = seen.tasks.iter().filter(never_started).peekable();
    failures.peek()?;
    failures.all(|task| task.container_instance_arn.is_none()).then_some(&primary.id)
}

/// Runners of older deployments, and those beyond the wanted count, leave.
fn retire_old(
    held: &mut Continuation,
    goal: &Present,
    seen: &Observed,
    service: &Service,
    record: &PoolRecord,
    at: Moment,
) -> Option<Decision> {
    let wanted = usize::try_from(goal.spec.desired_count).unwrap_or(usize::MAX);
    let live = seen.tasks.iter().filter(|task| task.is_live());
    let (current, old): (Vec<&Task>, Vec<&Task>) = live.partition(|task| is_current(service, task));
    // After a rollback, tasks of the wanted revision may belong to an earlier deployment. ECS starts the revision's tasks
    // anew and stops those as soon as nothing protects them, even where it rolls back itself, so they go like old ones:
    // https://github.com/aws/containers-roadmap/issues/117, https://github.com/aws/copilot-cli/issues/4838
    let (earlier, newest): (Vec<&Task>, Vec<&Task>) = current.iter().partition(|task| is_of_earlier(service, task));
    let online = |tasks: &[&Task]| {
        let n = online_among(held, goal, seen, tasks.iter().copied()).and_then(|n| usize::try_from(n).ok());
        // Without a word of GitHub the count of containers has to do.
        n.unwrap_or_else(|| tasks.iter().filter(|task| task.is_running()).count())
    };
    let (n_online, n_newest, n_old) = (online(&current), online(&newest), online(&old));
    // Where a group has no room for one more, one leaves before its successor comes; an old one only once it has been
    // shown that those come online.
    let is_full = seen.group.as_ref().is_none_or(|group| group.desired >= group.shape.max)
        && newest.iter().any(|task| causes::has_no_instance(task));
    let online_by = held.memory.online_awaited_since.map(|since| since + goal.spec.manners.online_timeout);
    let has_time = online_by.is_none_or(|by| at.now + SUCCESSOR_TIME_MIN <= by.min(held.answer_by));
    let makes_room = |n_there: usize| usize::from(is_full && has_time && n_there >= wanted);
    // Or, in a rollback, once they have come online for an earlier request.
    let is_proven = n_online > 0
        || old.iter().any(|task| runs_the_same(seen, service, task))
        || seen.turn.as_ref().is_some_and(|seen| seen.turn.has_succeeded_before());
    let old_makes_room = if is_proven { makes_room(n_online.saturating_add(n_old)) } else { 0 };
    let beyond = |tasks: &[&Task], n_there: usize| tasks.len().saturating_sub(wanted.saturating_sub(n_there));
    let surplus = if earlier.is_empty() { newest.len().saturating_sub(wanted) } else { 0 };
    let stages = [
        (&old, beyond(&old, n_online).max(old_makes_room).min(old.len())),
        (&earlier, beyond(&earlier, n_newest).max(makes_room(n_online)).min(earlier.len())),
        (&newest, surplus),
    ];
    for (tasks, quota) in stages {
        match retire(held, record, seen, Leavers { tasks, quota }, at) {
            Progress::Gone => {}
            Progress::Next(decision) => {
                if n_online >= wanted {
                    // Whoever is waited for from here on makes up for one that leaves.
                    held.memory.online_awaited_since = None;
                }
                return Some(decision);
            }
            Progress::Overdue { left } => return Some(overdue(goal, seen, &left)),
        }
    }
    let n_newest = u32::try_from(n_newest).unwrap_or(u32::MAX);
    (!earlier.is_empty()).then(|| await_runners(held, goal, seen, service, n_newest, at))
}

/// Whether a task of another revision runs just what is wanted.
fn runs_the_same(seen: &Observed, service: &Service, task: &Task) -> bool {
    let content = |revision: &str| seen.deployed_content.get(revision).filter(|content| !content.is_empty());
    content(&task.task_definition).is_some_and(|mine| content(&service.shape.task_definition) == Some(mine))
}

/// Whether a task belongs to a deployment that ECS works away from, though it runs what is wanted.
fn is_of_earlier(service: &Service, task: &Task) -> bool {
    service.deployments.iter().any(|other| !other.is_primary && task.started_by.as_ref() == Some(&other.id))
}

/// Whether a task runs what the service works towards.
pub(super) fn is_current(service: &Service, task: &Task) -> bool {
    primary(service).is_some_and(|primary| task.task_definition == primary.task_definition)
}

fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments.iter().find(|deployment| deployment.is_primary)
}

fn overdue(goal: &Present, seen: &Observed, left: &[String]) -> Decision {
    let administrator = goal.spec.credentials.administrator.as_ref();
    Decision::Answer(Outcome::failed(report::drain_overdue(&goal.spec.manners, administrator, seen, left)))
}

/// The protection that a failed request leaves behind is lifted where ECS has no task to stop: every one is of the newest
/// deployment, and there are no more than wanted. Elsewhere it stays, for it is what keeps the jobs alive; it ends with
/// the request that follows, or after two days.
pub(in crate::pool) fn last_lift(held: &Continuation, seen: &Observed) -> Option<Step> {
    let service = seen.service.as_ref().filter(|service| service.state == ServiceState::Active)?;
    let live: Vec<&Task> = seen.tasks.iter().filter(|task| task.is_live()).collect();
    let wanted = usize::try_from(service.shape.desired_count).unwrap_or(usize::MAX);
    if live.len() > wanted || service.deployments.len() > 1 || !live.iter().all(|task| is_current(service, task)) {
        return None;
    }
    let lifted: Vec<OwnedTask> = live
        .into_iter()
        .filter(|task| held.memory.protected.contains(&task.arn))
        .filter_map(|task| OwnedTask::of(&held.id, task))
        .collect();
    (!lifted.is_empty()).then_some(Step::UnprotectTasks(lifted))
}

/// What is left to put in order once everybody is where they belong.
fn tidy(held: &Continuation, goal: &Present, seen: &Observed, record: &PoolRecord, at: Moment) -> Option<Decision> {
    let mut plan = Plan::new();
    let guarded: Vec<OwnedTask> = seen
        .tasks
        .iter()
        .filter(|task| task.is_live() && matches!(task.protection, Protection::Until(_)))
        .filter_map(|task| OwnedTask::of(&held.id, task))
        .collect();
    if !guarded.is_empty() {
        plan.push(Step::UnprotectTasks(guarded));
    }
    let ghosts = ghosts(seen, record);
    let window = goal.spec.manners.idle_confirmation;
    let read_at = seen.github_read.map_or(at.now, |reading| reading.began_at);
    let is_settled =
        |ghost: &Ghost| held.memory.offline_since.get(&ghost.id()).is_some_and(|since| read_at.since(*since) >= window);
    plan.extend(ghosts.iter().filter(|ghost| is_settled(ghost)).cloned().map(Step::RemoveGhost));
    if matches!(goal.spec.capacity, Capacity::Own(_)) {
        // Once each: ECS drains instances by itself as well, and refuses one that is no longer ACTIVE.
        let to_drain = outdated_and_empty(seen).filter(|instance| !held.memory.drain_asked.contains(instance.arn()));
        plan.extend(to_drain.map(Step::DrainInstance));
    }
    if !plan.is_empty() {
        return Some(Decision::Act(plan));
    }
    // One offline reading proves nothing: a runner is offline between its registration and its first poll.
    (!ghosts.is_empty()).then(|| at.wait(Waiting::Ghosts { n_runners: ghosts.len() }, Look::Runners))
}

/// Registrations of ours that are offline with no task behind them.
fn ghosts(seen: &Observed, record: &PoolRecord) -> Vec<Ghost> {
    let GitHubView::Runners(runners) = &seen.github else { return Vec::new() };
    runners
        .iter()
        .filter(|runner| !runner.is_online)
        .filter_map(|runner| Ghost::of(&record.mark, runner, &seen.tasks))
        .collect()
}

/// Instances of an older launch-template version that hold no task.
fn outdated_and_empty(seen: &Observed) -> impl Iterator<Item = EmptyInstance> + '_ {
    let is_outdated = |id: &str| {
        seen.group.as_ref().is_some_and(|group| {
            group.instances.iter().any(|instance| {
                instance.id == id
                    && instance.template_version.is_some()
                    && instance.template_version != seen.template_version
            })
        })
    };
    seen.instances
        .iter()
        .filter(|instance| instance.is_active)
        .filter(move |instance| instance.ec2_instance_id.as_deref().is_some_and(is_outdated))
        .filter_map(|instance| EmptyInstance::of(instance, &seen.tasks))
}
