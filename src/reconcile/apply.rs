//! Effects: one call per step, and nothing decided here.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::observe::Session;
use super::overwrite::{Written, overwrite};
use super::ports::{AutoScaling, Call, Credential, Deregistration, Ecs, GitHub, Succession, World};
use crate::pool::continuation::{Applied, Continuation};
use crate::pool::evidence::{OwnedTask, Spent};
use crate::pool::plan::{Plan, Step, Tagged};
use crate::pool::record::PoolRecord;
use crate::pool::refusal::Class;
use crate::pool::succession::{gives_way_to, record_of, records_of};

/// Deletions at GitHub under way at once, a connection each. GitHub admits a hundred concurrent requests and 180 of these
/// a minute: at a fifth of a second each, eight use up that minute's worth in five seconds.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits>
const CONCURRENT_DELETIONS_MAX: usize = 8;

/// Takes the steps in order and tells what came of each. The first refusal ends it: later steps rest on earlier ones.
pub async fn apply<W: World>(
    world: &W,
    held: &Continuation,
    session: &Session,
    plan: Plan,
) -> (Vec<Applied>, Call<()>) {
    let mut applied = Vec::new();
    let mut rest = plan.into_iter().peekable();
    while let Some(step) = rest.next() {
        let mut batch = vec![step];
        // Deletions at GitHub do not depend on each other.
        while batch.len() < CONCURRENT_DELETIONS_MAX
            && batch.last().is_some_and(is_deletion_at_github)
            && let Some(next) = rest.next_if(is_deletion_at_github)
        {
            batch.push(next);
        }
        let subjects: Vec<Vec<String>> = batch.iter().map(tasks_of).collect();
        let outcomes = join_all(batch.into_iter().map(|step| take(world, held, session, step))).await;
        for (outcome, tasks) in outcomes.into_iter().zip(subjects) {
            match outcome {
                Ok(told) => applied.push(told),
                Err(error) => {
                    if error.class() == Class::Denied && !tasks.is_empty() {
                        applied.push(Applied::Denied { tasks });
                    }
                    return (applied, Err(error));
                }
            }
        }
    }
    (applied, Ok(()))
}

/// The tasks that a step is about, by ARN.
fn tasks_of(step: &Step) -> Vec<String> {
    if let Step::ProtectTasks(tasks) | Step::UnprotectTasks(tasks) = step {
        arns(tasks)
    } else if let Step::StopTask(task) = step {
        vec![task.arn().to_owned()]
    } else {
        Vec::new()
    }
}

const fn is_deletion_at_github(step: &Step) -> bool {
    matches!(step, Step::DeregisterRunner(_) | Step::RemoveGhost(_))
}

async fn take<W: World>(world: &W, held: &Continuation, session: &Session, step: Step) -> Call<Applied> {
    log(&step);
    let Some(record) = held.record(&session.seen) else {
        return take_unplaced(world, held, session, step).await;
    };
    let (ecs, cluster, id) = (world.ecs(), record.cluster.as_str(), &held.id);
    match step {
        Step::AssociateCapacityProvider => ecs.associate(cluster, id.as_str()).await?,
        Step::DissociateCapacityProvider => ecs.dissociate(cluster, id.as_str()).await?,
        Step::CreateService { shape, tags } => {
            let token = client_token(&held.request.request_id, id.digits(), held.memory.n_services_created);
            ecs.create_service(cluster, id, &shape, &tags, &token).await?;
            return Ok(Applied::ServiceCreated);
        }
        Step::UpdateService(shape) => ecs.update_service(cluster, id, &shape).await?,
        Step::ProtectTasks(tasks) => {
            let asked = arns(&tasks);
            let left_out = ecs.protect(cluster, &asked).await?;
            return Ok(Applied::Protected { asked, left_out });
        }
        Step::UnprotectTasks(tasks) => {
            let tasks = arns(&tasks);
            ecs.unprotect(cluster, &tasks).await?;
            return Ok(Applied::Unprotected { tasks });
        }
        Step::DeregisterRunner(runner) => {
            return deregister(world, session, &record, runner.id(), runner.name()).await;
        }
        Step::RemoveGhost(ghost) => {
            let told = deregister(world, session, &record, ghost.id(), ghost.name()).await?;
            return Ok(if matches!(told, Applied::Deregistered { .. }) { Applied::GhostRemoved } else { told });
        }
        Step::StopTask(task) => {
            ecs.stop_task(cluster, task.arn(), stop_reason(task.why())).await?;
            return Ok(if task.why() == Spent::DrainTimedOut { Applied::CutOff } else { Applied::Done });
        }
        Step::DrainInstance(instance) => {
            ecs.drain_instance(cluster, instance.arn()).await?;
            return Ok(Applied::DrainAsked { instance: instance.arn().to_owned() });
        }
        Step::LowerServiceToZero => ecs.lower_service_to_zero(cluster, id).await?,
        Step::DeleteService => ecs.delete_service(cluster, id).await?,
        Step::DeregisterInstance(instance) => ecs.deregister_instance(cluster, &instance).await?,
        placeless @ (Step::TakeTurn(_)
        | Step::ReleaseTurn
        | Step::CreateGroup { .. }
        | Step::UpdateGroup(_)
        | Step::CreateCapacityProvider { .. }
        | Step::UpdateCapacityProvider(_)
        | Step::RegisterTaskDefinition { .. }
        | Step::Tag { .. }
        | Step::DeleteTaskDefinitions
        | Step::DeleteCapacityProvider
        | Step::DeleteDrainingHook
        | Step::EmptyGroup
        | Step::UnprotectInstances(_)
        | Step::DeleteGroup) => return take_unplaced(world, held, session, placeless).await,
    }
    Ok(Applied::Done)
}

/// The steps that need no cluster; a step that does, without one known, has nothing to act on.
async fn take_unplaced<W: World>(world: &W, held: &Continuation, session: &Session, step: Step) -> Call<Applied> {
    let (ecs, groups, id) = (world.ecs(), world.auto_scaling(), &held.id);
    let name = id.as_str();
    match step {
        Step::TakeTurn(turn) => {
            let (name, found) = (record_of(held, &session.seen), session.seen.turn.as_ref());
            return Ok(match overwrite(world, &name, found, &turn, |earlier| gives_way_to(held, earlier)).await? {
                Written::Ours(version) => Applied::TurnTaken { version },
                Written::PutBack(_) => Applied::TurnGivenUp,
            });
        }
        Step::ReleaseTurn => {
            for name in records_of(held, &session.seen) {
                world.succession().release_turn(&name).await?;
            }
            return Ok(Applied::TurnReleased);
        }
        Step::CreateGroup { shape, tags } => groups.create_group(name, &shape, &tags).await?,
        Step::UpdateGroup(shape) => {
            groups.update_group(name, &shape).await?;
            return Ok(Applied::GroupUpdated);
        }
        Step::CreateCapacityProvider { group_arn, shape, tags } => {
            ecs.create_capacity_provider(name, &group_arn, &shape, &tags).await?;
        }
        Step::UpdateCapacityProvider(shape) => {
            ecs.update_capacity_provider(name, &shape).await?;
            return Ok(Applied::ProviderUpdated);
        }
        Step::RegisterTaskDefinition { content, tags } => {
            let arn = ecs.register_task_definition(id, &content, &tags).await?;
            tracing::info!(step = "register_task_definition", task_definition = arn);
        }
        Step::Tag { resource: Tagged::Group, set, remove } => groups.tag_group(name, &set, &remove).await?,
        Step::Tag { resource: Tagged::Ecs(arn), set, remove } => ecs.tag(&arn, &set, &remove).await?,
        Step::DeleteTaskDefinitions => {
            let revisions = ecs.task_definitions(id).await?;
            ecs.delete_task_definitions(&revisions).await?;
        }
        Step::DeleteCapacityProvider => ecs.delete_capacity_provider(name).await?,
        Step::DeleteDrainingHook => groups.delete_draining_hook(name).await?,
        Step::EmptyGroup => groups.empty_group(name).await?,
        Step::UnprotectInstances(instances) => groups.unprotect_instances(name, &instances).await?,
        Step::DeleteGroup => groups.delete_group(name).await?,
        Step::AssociateCapacityProvider
        | Step::DissociateCapacityProvider
        | Step::CreateService { .. }
        | Step::UpdateService(_)
        | Step::ProtectTasks(_)
        | Step::UnprotectTasks(_)
        | Step::DeregisterRunner(_)
        | Step::RemoveGhost(_)
        | Step::StopTask(_)
        | Step::DrainInstance(_)
        | Step::LowerServiceToZero
        | Step::DeleteService
        | Step::DeregisterInstance(_) => {}
    }
    Ok(Applied::Done)
}

async fn deregister<W: World>(
    world: &W,
    session: &Session,
    record: &PoolRecord,
    runner: u64,
    name: &str,
) -> Call<Applied> {
    let Some(credential): Option<&Credential> = session.credential() else { return Ok(Applied::Done) };
    let outcome = world.github().deregister(&record.github, credential, runner).await?;
    tracing::info!(step = "deregister", runner = name, outcome = ?outcome);
    Ok(match outcome {
        Deregistration::Deleted | Deregistration::Missing => {
            Applied::Deregistered { key: record.mark.key(name).to_owned() }
        }
        Deregistration::Busy => Applied::FoundBusy { runner },
    })
}

fn arns(tasks: &[OwnedTask]) -> Vec<String> {
    tasks.iter().map(|task| task.arn().to_owned()).collect()
}

/// One service per request, and another one for each that the same request had before: ECS refuses a token that it
/// knows from a service that is gone. 36 characters is ECS's limit, and a request id is a UUID of just that length, so
/// its hyphens make room for the pool's digits.
fn client_token(request_id: &str, digits: &str, n_before: u32) -> String {
    let nth = if n_before == 0 { String::new() } else { format!("{n_before}x") };
    let id = request_id.chars().filter(char::is_ascii_alphanumeric);
    digits.chars().chain(nth.chars()).chain(id).take(36).collect()
}

const fn stop_reason(why: Spent) -> &'static str {
    match why {
        Spent::Deregistered(_) => "github-runner-pool: the runner was deregistered while idle",
        Spent::NeverRegistered => "github-runner-pool: the container never registered a runner",
        Spent::DrainTimedOut => "github-runner-pool: DrainTimeout has passed",
    }
}

fn log(step: &Step) {
    let (name, detail): (&str, BTreeMap<&str, String>) = step.describe();
    tracing::info!(step = name, detail = ?detail, "applying");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::evidence::STOPPED_BY_POOL;
    use crate::pool::runner_log::{LogLine, LogState, read};
    use crate::pool::time::Timestamp;

    #[test]
    fn a_task_that_the_pool_stops_says_so_in_its_stopped_reason() {
        let text = "2026-09-16 15:14:46Z: Listening for Jobs".to_owned();
        let line = LogLine { at: Timestamp::from_epoch_millis(0), text };
        let Some(LogState::Idle(idle)) = read(&[line]) else { panic!("no job is in it") };
        for why in [Spent::Deregistered(idle), Spent::NeverRegistered, Spent::DrainTimedOut] {
            assert!(stop_reason(why).starts_with(STOPPED_BY_POOL), "{why:?}");
        }
    }

    #[test]
    fn the_client_token_of_create_service_is_one_for_each_service_of_a_request() {
        let token = |request_id, n_before| client_token(request_id, "0123456789", n_before);
        let uuid = "5f2a0000-1111-2222-3333-444444444444";
        let tokens = [token(uuid, 0), token(uuid, 1), token(uuid, 2), token("6f2a0000-1111-2222-3333-444444444444", 0)];
        assert!(tokens.iter().all(|token| token.len() == 36), "{tokens:?}");
        let different: std::collections::BTreeSet<&String> = tokens.iter().collect();
        assert_eq!(different.len(), tokens.len());
        assert_eq!(token(uuid, 1), tokens[1]);
    }
}
