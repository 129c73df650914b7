//! Applies steps: the only module that changes the resources of a pool. Each step is one call, and nothing is decided
//! here. Registrations are written in `registration`, `claims` and `sweep`, the record of periodic work in `due_work`, and
//! the runners of scale sets are started and stopped in `listen`. Writing a lock, with or without the recorded response, is
//! not a step, since it may follow the last one.

use futures_util::future::join_all;

use super::claims::withdraw_registration;
use super::deregister;
use super::log_error;
use super::ports::{
    AutoScaling, Clock, Credential, Deregistration, Ecs, RemoteCallError, RemoteResult, ScaleSetDeletion, ScaleSets,
    SelfInvoker, StateItem, StateStore, StateWrite, World,
};
use super::remains::change_remains;
use super::scaling::{LISTEN_EVENT, conflict, publish};
use super::session::Session;
use crate::pool::model::continuation::Continuation;
use crate::pool::model::evidence::{OwnedScaleSet, OwnedTask, StopReason};
use crate::pool::model::memory::StepResult;
use crate::pool::model::operation_lock::{ObservedLock, OperationLock};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remains::RemainsRecord;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::GitHubTarget;
use crate::pool::model::step::{Step, Steps, TaggedResource};
use crate::pool::policy::locking::{lock_key, preempts_pending_request};

/// Maximum concurrent deletions at GitHub, each with its own connection. It equals the number of logs that one
/// observation reads, so that each deletion immediately follows its reading. The GitHub client limits the rate over
/// longer periods (`.github/adr/0006-github-request-pace.md`).
const CONCURRENT_DELETIONS_MAX: usize = 8;

/// Applies the steps in order and returns their results. Stops at the first error, since later steps depend on earlier
/// ones.
pub async fn apply<W: World>(
    world: &W,
    continuation: &Continuation,
    session: &Session,
    steps: Steps,
) -> (Vec<StepResult>, RemoteResult<()>) {
    let mut applied = Vec::new();
    let mut rest = steps.into_iter().peekable();
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
        let outcomes = join_all(batch.into_iter().map(|step| apply_step(world, continuation, session, step))).await;
        if let Err(error) = collect_results(&mut applied, outcomes.into_iter().zip(subjects)) {
            return (applied, Err(error));
        }
    }
    (applied, Ok(()))
}

/// Writes a lock over the one that was read. Returns its version, or `None` if another invocation has written the lock
/// since.
///
/// # Errors
/// When the call failed.
pub async fn write_lock<W: World>(
    world: &W,
    key: &str,
    found: Option<&ObservedLock>,
    lock: &OperationLock,
) -> RemoteResult<Option<u64>> {
    let now = world.clock().now();
    let item = StateItem {
        text: lock.to_record(),
        version: found.map_or(0, |found| found.version).saturating_add(1),
        expires_at: lock.expires_at(key, now),
    };
    let write = world.state_store().write_item(key, &item, now).await?;
    Ok((write == StateWrite::Stored).then_some(item.version))
}

/// Records the results of concurrent steps, each with the tasks that it affects. A deletion at GitHub is recorded even
/// if an earlier one in the list failed; otherwise its container would be presumed busy.
///
/// # Errors
/// The first one.
fn collect_results(
    applied: &mut Vec<StepResult>,
    outcomes: impl Iterator<Item = (RemoteResult<StepResult>, Vec<String>)>,
) -> RemoteResult<()> {
    let mut ended = Ok(());
    for (outcome, tasks) in outcomes {
        match outcome {
            Ok(result) => applied.push(result),
            Err(error) => {
                if error.kind() == ErrorKind::Denied && !tasks.is_empty() {
                    applied.push(StepResult::Denied { tasks });
                }
                ended = ended.and(Err(error));
            }
        }
    }
    ended
}

/// The tasks that a step affects, by ARN.
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
    matches!(step, Step::DeregisterRunner(_) | Step::RemoveOrphanedRunner(_))
}

/// Makes the call of a step.
#[expect(clippy::too_many_lines, reason = "one match, one arm for each step")]
async fn apply_step<W: World>(
    world: &W,
    continuation: &Continuation,
    session: &Session,
    step: Step,
) -> RemoteResult<StepResult> {
    tracing::info!(step = step.name(), detail = ?step.details(), "apply");
    let (operation, memory, observed) = (&continuation.operation, &continuation.memory, &session.observed);
    let (ecs, groups, id) = (world.ecs(), world.auto_scaling(), &operation.id);
    let (operation_name, name) = (step.name(), id.as_str());
    let metadata = || observed.metadata.as_ref().ok_or_else(|| unknown_cluster(operation_name));
    let cluster = || metadata().map(|metadata| metadata.cluster.as_str());
    match step {
        Step::AcquireLock(lock) => {
            let key = lock_key(operation, observed);
            return Ok(match write_lock(world, &key, observed.lock.as_ref(), &lock).await? {
                Some(version) => {
                    StepResult::LockAcquired { version, is_preemption: preempts_pending_request(operation, observed) }
                }
                None => StepResult::LockLost,
            });
        }
        Step::CreateGroup { config, tags } => groups.create_group(name, &config, &tags).await?,
        Step::UpdateGroup(config) => {
            groups.update_group(name, &config).await?;
            return Ok(StepResult::GroupUpdated);
        }
        Step::PutLaunchHook => groups.put_launch_hook(name).await?,
        Step::PutWarmPool(size) => groups.put_warm_pool(name, size).await?,
        Step::DeleteLaunchHook => groups.delete_launch_hook(name).await?,
        Step::DeleteWarmPool => groups.delete_warm_pool(name).await?,
        Step::CreateCapacityProvider { group_arn, config, tags } => {
            ecs.create_capacity_provider(name, &group_arn, &config, &tags).await?;
        }
        Step::UpdateCapacityProvider(config) => {
            ecs.update_capacity_provider(name, &config).await?;
            return Ok(StepResult::ProviderUpdated);
        }
        Step::AttachCapacityProvider => ecs.attach_provider(cluster()?, name).await?,
        Step::RegisterTaskDefinition { content, tags } => {
            let arn = ecs.register_task_definition(id, &content, &tags).await?;
            tracing::info!(step = operation_name, task_definition = arn);
        }
        Step::CreateService { config, tags } => {
            let token = client_token(&operation.request.request_id, id.hash(), memory.n_services_created);
            ecs.create_service(cluster()?, id, &config, &tags, &token).await?;
            return Ok(StepResult::ServiceCreated);
        }
        Step::UpdateService(config) => ecs.update_service(cluster()?, id, &config).await?,
        Step::UpdateTags { resource: TaggedResource::Group, set, remove } => {
            groups.tag_group(name, &set, &remove).await?;
        }
        Step::UpdateTags { resource: TaggedResource::Ecs(arn), set, remove } => ecs.tag(&arn, &set, &remove).await?,
        Step::ProtectTasks(tasks) => {
            let requested = arns(&tasks);
            let failures = ecs.protect(cluster()?, &requested).await?;
            return Ok(StepResult::Protected { requested, failures });
        }
        Step::UnprotectTasks(tasks) => {
            let tasks = arns(&tasks);
            ecs.unprotect(cluster()?, &tasks).await?;
            return Ok(StepResult::Unprotected { tasks });
        }
        Step::DeregisterRunner(runner) => {
            return deregister_runner(world, session.credential(), metadata()?, runner.id(), runner.name()).await;
        }
        Step::RemoveOrphanedRunner(orphan) => {
            let result =
                deregister_runner(world, session.credential(), metadata()?, orphan.id(), orphan.name()).await?;
            let is_gone = matches!(result, StepResult::Deregistered { .. });
            return Ok(if is_gone { StepResult::OrphanRemoved } else { result });
        }
        Step::WithdrawRegistration(task) => {
            if !withdraw_registration(world, task.arn()).await? {
                return Err(conflict("PutItem"));
            }
        }
        Step::StopTask(task) => {
            ecs.stop_task(cluster()?, task.arn(), stop_reason(task.why())).await?;
            if task.why() == StopReason::DrainTimedOut {
                return Ok(StepResult::JobCancelled);
            }
        }
        Step::DrainInstance(instance) => {
            ecs.drain_instance(cluster()?, instance.arn()).await?;
            return Ok(StepResult::DrainRequested { instance: instance.arn().to_owned() });
        }
        Step::CreateScaleSet(request) => {
            let Some(credential) = session.credential() else { return Ok(StepResult::Done) };
            let made = world.scale_sets().create_scale_set(&metadata()?.github, credential, &request).await?;
            tracing::info!(step = operation_name, scale_set = made.id, n_labels = made.labels.len());
            return Ok(StepResult::ScaleSetCreated { id: made.id });
        }
        Step::WriteScaling(record) => publish(world, id, &record).await?,
        Step::StartListener => {
            world.self_invoker().invoke(&session.function, LISTEN_EVENT.to_vec()).await?;
            return Ok(StepResult::ListenerStarted);
        }
        Step::DeleteScaleSet { scale_set, session: message_session } => {
            let Some(credential) = session.credential() else { return Ok(StepResult::Done) };
            let target = &metadata()?.github;
            return delete_scale_set(world, target, credential, &scale_set, message_session.as_deref()).await;
        }
        Step::ScaleServiceToZero => ecs.scale_service_to_zero(cluster()?, id).await?,
        Step::DeleteService => ecs.delete_service(cluster()?, id).await?,
        Step::RecordRemains(metadata) => {
            let record = |record: RemainsRecord, now| record.with(id.clone(), *metadata, now);
            change_remains(world, &operation.request.stack_resource, record).await?;
        }
        Step::ForgetRemains => {
            let forget = |record: RemainsRecord, _| record.without(id);
            change_remains(world, &operation.request.stack_resource, forget).await?;
        }
        Step::DeleteTaskDefinitions => {
            let revisions = ecs.task_definitions(id).await?;
            ecs.delete_task_definitions(&revisions).await?;
        }
        Step::DetachCapacityProvider => ecs.detach_provider(cluster()?, name).await?,
        Step::DeleteCapacityProvider => ecs.delete_capacity_provider(name).await?,
        Step::DeleteDrainingHook => groups.delete_draining_hook(name).await?,
        Step::ScaleGroupToZero => groups.scale_group_to_zero(name).await?,
        Step::UnprotectInstances(instances) => groups.unprotect_instances(name, &instances).await?,
        Step::DeregisterInstance(instance) => ecs.deregister_instance(cluster()?, &instance).await?,
        Step::DeleteGroup => groups.delete_group(name).await?,
    }
    Ok(StepResult::Done)
}

/// Policy never decides on such a step without the pool's metadata, so this is a defect, reported as an error.
fn unknown_cluster(operation: &str) -> RemoteCallError {
    RemoteCallError {
        remote_error: RemoteError {
            remote: RemoteService::Ecs,
            kind: ErrorKind::Invalid,
            operation: operation.to_owned(),
            code: None,
            message: "the pool's cluster is not known".to_owned(),
        },
        source: None,
    }
}

/// Closes the session of a set, so that no listener reads from it any more, then deletes the set.
async fn delete_scale_set<W: World>(
    world: &W,
    target: &GitHubTarget,
    credential: &Credential,
    scale_set: &OwnedScaleSet,
    session: Option<&str>,
) -> RemoteResult<StepResult> {
    if let Some(session) = session
        && let Err(error) = world.scale_sets().close_session(target, credential, scale_set.id(), session).await
    {
        // The deletion closes the session as well, so this error does not matter.
        log_error(&error);
    }
    Ok(match world.scale_sets().delete_scale_set(target, credential, scale_set.id()).await? {
        ScaleSetDeletion::Deleted | ScaleSetDeletion::Missing => StepResult::Done,
        ScaleSetDeletion::Busy => StepResult::ScaleSetBusy,
    })
}

pub(super) async fn deregister_runner<W: World>(
    world: &W,
    credential: Option<&Credential>,
    metadata: &PoolMetadata,
    runner: u64,
    name: &str,
) -> RemoteResult<StepResult> {
    let Some(credential) = credential else { return Ok(StepResult::Done) };
    let outcome = deregister::deregister(world, metadata, credential, runner).await?;
    tracing::info!(step = "deregister", runner = name, outcome = ?outcome);
    Ok(match outcome {
        Deregistration::Deleted | Deregistration::Missing => {
            StepResult::Deregistered { key: metadata.matcher.runner_key(name).to_owned() }
        }
        Deregistration::Busy => StepResult::RunnerBusy { runner },
    })
}

fn arns(tasks: &[OwnedTask]) -> Vec<String> {
    tasks.iter().map(|task| task.arn().to_owned()).collect()
}

/// The client token of `CreateService`: unique for the request, and for each further service that the same request
/// creates, since ECS rejects the token of a deleted service. The limit is 36 characters, which a request id (a UUID)
/// uses up; removing its hyphens makes room for digits of the pool's id.
fn client_token(request_id: &str, digits: &str, n_before: u32) -> String {
    let nth = if n_before == 0 { String::new() } else { format!("{n_before}x") };
    let id = request_id.chars().filter(char::is_ascii_alphanumeric);
    digits.chars().chain(nth.chars()).chain(id).take(36).collect()
}

pub(super) const fn stop_reason(why: StopReason) -> &'static str {
    match why {
        StopReason::Deregistered(_) => "github-runner-pool: the runner was deregistered while idle",
        StopReason::NeverRegistered => "github-runner-pool: the container never registered a runner",
        StopReason::DrainTimedOut => "github-runner-pool: DrainTimeout has passed",
        StopReason::NotPlaced => "github-runner-pool: no job waits any more, and no instance had room",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::model::evidence::STOPPED_BY_POOL;
    use crate::pool::model::runner_log::{LogLine, LogState, read};
    use crate::pool::model::time::Timestamp;

    #[test]
    fn delete_runners_that_succeeds_is_remembered_although_another_one_of_its_batch_fails() {
        let deleted = |key: &str| Ok(StepResult::Deregistered { key: key.to_owned() });
        let failed = |operation: &str| {
            let (remote, kind, operation) = (RemoteService::GitHub, ErrorKind::Unavailable, operation.to_owned());
            Err(RemoteCallError {
                remote_error: RemoteError { remote, kind, operation, code: None, message: String::new() },
                source: None,
            })
        };
        let outcomes = [deleted("a"), failed("first"), deleted("b"), failed("second"), deleted("c")];
        let mut applied = Vec::new();
        let error =
            collect_results(&mut applied, outcomes.into_iter().map(|outcome| (outcome, Vec::new()))).unwrap_err();
        assert_eq!(error.remote_error.operation, "first");
        assert_eq!(applied, ["a", "b", "c"].map(|key| StepResult::Deregistered { key: key.to_owned() }));
    }

    #[test]
    fn a_task_that_the_pool_stops_says_so_in_its_stopped_reason() {
        let text = "2026-09-16 15:14:46Z: Listening for Jobs".to_owned();
        let line = LogLine { at: Timestamp::from_epoch_millis(0), text };
        let Some(LogState::Idle(idle)) = read(&[line]) else { panic!("no job is in it") };
        for why in [
            StopReason::Deregistered(idle),
            StopReason::NeverRegistered,
            StopReason::DrainTimedOut,
            StopReason::NotPlaced,
        ] {
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
