//! `{"Status": {}}`: reports to the caller what runs in all pools of this account and Region or, with `"Stack"`, in
//! those of one stack.
//!
//! It reads AWS and GitHub and writes nothing. What cannot be read of a pool is an error in that pool's entry, next to
//! what could be read.

use futures_util::join;
use serde_json::{Value, json};

use crate::pool::model::ecs::TaskDefinition;
use crate::pool::model::identity::{PREFIX, PhysicalId, StackResource, TAG_LOGICAL_ID, TAG_STACK_ID};
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::policy::status::PoolStatus;
use crate::reconcile::log_error;
use crate::reconcile::lookup::{DeletedPool, lock_of};
use crate::reconcile::observe::{credential, with_members};
use crate::reconcile::ports::{AutoScaling, Clock, Ecs, RemoteResult, World};
use crate::reconcile::runner_lists::RunnerLists;
use crate::reconcile::scaling::{read_lease, read_scaling};
use crate::reconcile::session::KnownMembers;
use crate::version::VERSION;

const UNREADABLE: &str = "Task definition: it does not say how the pool is reached, or a newer version of the function \
                          wrote it. Deploy the version that the pool was last changed with.";

/// A request for the status.
pub(super) struct StatusScope {
    /// The name or ARN of a stack; without it, the pools of all stacks.
    stack: Option<String>,
}

impl StatusScope {
    /// `None` if the event asks for no status.
    pub(super) fn parse(event: &Value) -> Option<Self> {
        let status = event.get("Status")?.as_object()?;
        Some(Self { stack: status.get("Stack").and_then(Value::as_str).map(str::to_owned) })
    }

    /// Whether the request includes the pools of this resource.
    pub(super) fn has(&self, stack_resource: &StackResource) -> bool {
        self.stack
            .as_ref()
            .is_none_or(|stack| *stack == stack_resource.stack_id || stack.as_str() == stack_resource.stack_name())
    }
}

/// The errors of reading one pool.
#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    /// The value that was read, or the default after an error.
    fn or_nothing<T: Default>(&mut self, result: RemoteResult<T>) -> T {
        result.unwrap_or_else(|error| {
            log_error(&error);
            self.0.push(error.remote_error.to_string());
            T::default()
        })
    }
}

/// The status, as the response of the invocation.
pub(super) async fn status<W: World>(world: &W, scope: &StatusScope) -> Value {
    let families = match world.ecs().families_with_prefix(&format!("{PREFIX}-")).await {
        Ok(families) => families,
        Err(error) => {
            log_error(&error);
            let errors = [error.remote_error.to_string()];
            return json!({ "Status": { "Version": VERSION, "Pools": [], "Errors": errors } });
        }
    };
    let (mut pools, mut lists) = (Vec::new(), RunnerLists::default());
    for id in families.into_iter().filter_map(|name| PhysicalId::try_from(name).ok()) {
        let mut errors = Errors::default();
        match world.ecs().task_definition(&id).await {
            Ok(Some(revision)) if id.owns(&revision.tags) => {
                let stack_resource = stack_resource(&revision);
                if scope.has(&stack_resource) {
                    let observed =
                        Box::pin(read_pool(world, &id, revision, &stack_resource, &mut lists, &mut errors)).await;
                    pools.push(PoolStatus::of(&id, &observed, errors.0, world.clock().now()));
                }
            }
            Ok(_) => {}
            // The stack that it belongs to is unknown as well.
            Err(error) => {
                errors.or_nothing::<()>(Err(error));
                pools.push(PoolStatus::of(&id, &Observed::default(), errors.0, world.clock().now()));
            }
        }
    }
    tracing::info!(step = "status", n_pools = pools.len());
    json!({ "Status": { "Version": VERSION, "Pools": pools, "Errors": [] } })
}

fn stack_resource(revision: &TaskDefinition) -> StackResource {
    let tag = |name: &str| revision.tags.get(name).cloned().unwrap_or_default();
    StackResource { stack_id: tag(TAG_STACK_ID), logical_id: tag(TAG_LOGICAL_ID) }
}

async fn read_pool<W: World>(
    world: &W,
    id: &PhysicalId,
    revision: TaskDefinition,
    stack_resource: &StackResource,
    lists: &mut RunnerLists,
    errors: &mut Errors,
) -> Observed {
    let metadata = revision.metadata.as_deref().and_then(PoolMetadata::from_label);
    let this_pool = DeletedPool { id, current_pool: id.as_str(), has_pool_lock: false };
    let (lock, group) = join!(
        async { lock_of(world, stack_resource, Some(this_pool)).await.map(|found| found.lock) },
        world.auto_scaling().group(id.as_str()),
    );
    let mut observed = Observed {
        task_definition: Some(revision),
        metadata: metadata.clone(),
        lock: errors.or_nothing(lock),
        group: errors.or_nothing(group),
        ..Observed::default()
    };
    let Some(metadata) = metadata else {
        errors.0.push(UNREADABLE.to_owned());
        return observed;
    };
    let in_group: Vec<String> =
        observed.group.iter().flat_map(|group| &group.instances).map(|instance| instance.id.clone()).collect();
    let provider = metadata.external_capacity_provider.as_deref().unwrap_or(id.as_str());
    // GitHub before the tasks: a task that starts in between is shown without its runner, not a runner without its task.
    observed.github = lists.of(world, &metadata).await;
    if let GitHubRunners::Failed(error) = &observed.github {
        errors.0.push(error.to_string());
    }
    let (service, tasks, instances) = join!(
        world.ecs().service(&metadata.cluster, id),
        world.ecs().tasks(&metadata.cluster, id),
        world.ecs().container_instances(&metadata.cluster, provider, &in_group),
    );
    observed.service = errors.or_nothing(service);
    observed.tasks = errors.or_nothing(tasks);
    observed.instances = errors.or_nothing(instances);
    if metadata.scale_set.is_some() {
        read_job_scaling(world, id, &metadata, &mut observed, errors).await;
    }
    observed
}

/// Reads the listener's item, and determines which of GitHub's runners belong to the pool's scale set.
async fn read_job_scaling<W: World>(
    world: &W,
    id: &PhysicalId,
    metadata: &PoolMetadata,
    observed: &mut Observed,
    errors: &mut Errors,
) {
    observed.scaling = errors.or_nothing(read_scaling(world, id).await);
    let (lease, _) = errors.or_nothing(read_lease(world).await);
    observed.is_listening = lease.is_current(world.clock().now());
    let (Some(found), GitHubRunners::Listed(runners), Some(github_credential)) =
        (&observed.scaling, &observed.github, &metadata.github_credential)
    else {
        return;
    };
    // The list of runners was read with the same credential, and already reports its errors.
    let Ok(credential) = credential(world, github_credential).await else { return };
    let (scale_set, mut known) = (found.record.goal.scale_set, KnownMembers::default());
    let runners = runners.clone();
    let members = with_members(world, metadata, &credential, scale_set, &observed.tasks, runners, &mut known);
    match members.await {
        Ok(runners) => observed.github = GitHubRunners::Listed(runners),
        Err(error) => errors.or_nothing(Err(error)),
    }
}
