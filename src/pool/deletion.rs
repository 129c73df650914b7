//! Delete: until nothing of the pool is left, in AWS or in GitHub.
//!
//! The order is forced by what each service refuses: a service must be lowered and empty before it can be deleted, a
//! provider cannot leave a cluster while tasks use it, cannot be deleted while it is associated, and its group is left
//! with a lifecycle hook and with scale-in protection that ECS never takes back. The task definitions go last, because
//! the newest one carries the record by which a Delete without properties finds everything else.
//!
//! Missing is done. What is not the pool's is passed by, however similar its name.

use super::continuation::{Absent, Continuation, Goal};
use super::convergence::unprotected;
use super::decision::{Decision, Look, Moment, Outcome, Waiting};
use super::evidence::Ghost;
use super::observed::{GitHubView, Group, Observed, ProviderState, ServiceState, Task};
use super::plan::{Plan, Step};
use super::record::PoolRecord;
use super::report;
use super::retirement::{Leavers, Progress, retire};
use super::spec::OnDeregisterFailure;
use super::succession::{fenced_until, leaves_record};

use std::collections::BTreeMap;
use std::time::Duration;

/// How long registrations are waited for that GitHub holds to be busy after their tasks ended. A killed job's lease
/// runs out ten minutes after its last renewal; what is left after that GitHub drops by itself within 14 days.
const STALE_REGISTRATION_PATIENCE: Duration = Duration::from_secs(600);

/// Decides the next step of a Delete.
pub fn decide(held: &mut Continuation, goal: &Absent, seen: &Observed, at: Moment) -> Decision {
    let record = held.record(seen);
    // What the pool told of itself is kept, for the telling goes before the last look.
    if let Goal::Absent(absent) = &mut held.goal {
        absent.record.clone_from(&record);
    }
    // Without a task definition no runner was ever started, so there is nothing to deregister.
    if let GitHubView::Refused(refusal) = &seen.github
        && seen.task_definition.is_some()
        && !refusal.class.may_pass()
        && goal.manners.on_deregister_failure == OnDeregisterFailure::Fail
    {
        let administrator = record.as_ref().and_then(|record| record.administrator.as_ref());
        return Decision::Answer(Outcome::failed(report::cannot_deregister(administrator, refusal)));
    }
    service_gone(held, seen, record.as_ref(), at)
        .or_else(|| capacity_gone(held, seen, record.as_ref(), at))
        .or_else(|| registrations_gone(held, seen, record.as_ref(), at))
        .or_else(|| task_definitions_gone(held, seen))
        .unwrap_or_else(|| {
            if seen.is_complete && leaves_record(held, seen) {
                match fenced_until(held).filter(|until| at.now < (*until).min(held.answer_by)) {
                    Some(until) => Decision::Wait {
                        why: Waiting::Redelivery,
                        until: at.next_look().min(until),
                        look: Look::Everything,
                    },
                    None => Decision::Act(vec![Step::ReleaseTurn]),
                }
            } else if seen.is_complete {
                let notes = report::notes_of_deletion(held, seen);
                Decision::Answer(Outcome::Succeeded { attributes: BTreeMap::new(), notes })
            } else {
                at.look_again(Waiting::LastLook, Look::Everything)
            }
        })
}

/// Runners first, then the service that would start new ones.
fn service_gone(held: &mut Continuation, seen: &Observed, record: Option<&PoolRecord>, at: Moment) -> Option<Decision> {
    let record = record?;
    let service =
        seen.service.as_ref().filter(|service| held.id.owns(&service.tags) && service.state != ServiceState::Inactive);
    if let Some(service) = service
        && service.state == ServiceState::Active
        && service.shape.desired_count > 0
    {
        return Some(unprotected(held, seen, at).unwrap_or_else(|| Decision::Act(vec![Step::LowerServiceToZero])));
    }
    let live: Vec<&Task> = seen
        .tasks
        .iter()
        .filter(|task| task.is_live() && super::evidence::OwnedTask::of(&held.id, task).is_some())
        .collect();
    match retire(held, record, seen, Leavers { tasks: &live, quota: live.len() }, at) {
        Progress::Gone => {}
        Progress::Next(decision) => return Some(decision),
        Progress::Overdue { left } => {
            let reason = report::drain_overdue(held.manners(), record.administrator.as_ref(), seen, &left);
            return Some(Decision::Answer(Outcome::failed(reason)));
        }
    }
    service.map(|service| match service.state {
        ServiceState::Active => Decision::Act(vec![Step::DeleteService]),
        ServiceState::Draining | ServiceState::Inactive => at.wait(Waiting::ServiceDeletion, Look::Tasks),
    })
}

/// Association, capacity provider, container instances, group.
fn capacity_gone(held: &Continuation, seen: &Observed, record: Option<&PoolRecord>, at: Moment) -> Option<Decision> {
    if record.is_some_and(|record| record.named_provider.is_some()) {
        return None;
    }
    let provider = seen.provider.as_ref().filter(|provider| held.id.owns(&provider.tags));
    if let Some(cluster) = &seen.cluster
        && provider.is_some()
        && cluster.providers.iter().any(|name| name == held.id.as_str())
    {
        return Some(if cluster.is_busy {
            at.wait(Waiting::BusyCluster, Look::Association)
        } else {
            Decision::Act(vec![Step::DissociateCapacityProvider])
        });
    }
    match provider.map(|provider| &provider.state) {
        Some(ProviderState::Changing) => return Some(at.wait(Waiting::ProviderDeletion, Look::Association)),
        Some(
            ProviderState::Active
            | ProviderState::Failed(_)
            | ProviderState::UpdateFailed(_)
            | ProviderState::DeleteFailed(_),
        ) => {
            return Some(if seen.cluster.as_ref().is_some_and(|cluster| cluster.is_busy) {
                at.wait(Waiting::Dissociation, Look::Association)
            } else {
                Decision::Act(vec![Step::DeleteCapacityProvider])
            });
        }
        None => {}
    }
    // While an instance ends, its agent may put it back on the list; so it is taken off until the group is gone.
    let strays = seen.instances.iter().map(|instance| Step::DeregisterInstance(instance.arn.clone()));
    let Some(group) = seen.group.as_ref().filter(|group| held.id.owns(&group.tags)) else {
        let plan: Plan = strays.collect();
        return (!plan.is_empty()).then_some(Decision::Act(plan));
    };
    if group.is_being_deleted {
        return Some(at.wait(Waiting::GroupDeletion, Look::Group));
    }
    let mut plan = vec![Step::DeleteDrainingHook];
    plan.extend(emptying(group));
    plan.extend(strays);
    plan.push(Step::DeleteGroup);
    Some(Decision::Act(plan))
}

/// What a group needs before it lets go of its instances.
fn emptying(group: &Group) -> Vec<Step> {
    let protected: Vec<String> = group
        .instances
        .iter()
        .filter(|instance| instance.protected_from_scale_in)
        .map(|instance| instance.id.clone())
        .collect();
    let mut steps = Vec::new();
    if group.shape.max > 0 || group.desired > 0 || group.protects_new_instances {
        steps.push(Step::EmptyGroup);
    }
    if !protected.is_empty() {
        steps.push(Step::UnprotectInstances(protected));
    }
    steps
}

/// Registrations that outlived their tasks.
fn registrations_gone(
    held: &mut Continuation,
    seen: &Observed,
    record: Option<&PoolRecord>,
    at: Moment,
) -> Option<Decision> {
    let record = record?;
    match &seen.github {
        GitHubView::Runners(runners) => {
            let ours: Vec<_> = runners.iter().filter(|runner| record.mark.owns(runner)).collect();
            let ghosts = ours.iter().filter_map(|runner| Ghost::of(&record.mark, runner, &seen.tasks));
            let plan: Plan = ghosts.map(Step::RemoveGhost).collect();
            if !plan.is_empty() {
                return Some(Decision::Act(plan));
            }
            if ours.is_empty() {
                return None;
            }
            let since = *held.memory.leftovers_since.get_or_insert(at.now);
            let is_patient = at.now < (since + STALE_REGISTRATION_PATIENCE).min(held.answer_by);
            is_patient.then(|| at.wait(Waiting::StaleRegistrations { n_runners: ours.len() }, Look::Runners))
        }
        GitHubView::Refused(refusal) if refusal.class.may_pass() => {
            Some(at.wait(Waiting::Passing(refusal.clone()), Look::Runners))
        }
        GitHubView::NotAsked => Some(at.look_again(Waiting::LastLook, Look::Everything)),
        GitHubView::NoCredential | GitHubView::Refused(_) => None,
    }
}

fn task_definitions_gone(held: &Continuation, seen: &Observed) -> Option<Decision> {
    let revision = seen.task_definition.as_ref()?;
    held.id.owns(&revision.tags).then(|| Decision::Act(vec![Step::DeleteTaskDefinitions]))
}
