//! The steps of a decision: one value per write.
//!
//! Whether, in what order and how often is decided elsewhere in `pool`; `reconcile::apply` makes one call of each.
//! The steps that can end a job take evidence that only a decision over an observation can make.

use std::collections::BTreeMap;

use strum::{IntoStaticStr, VariantNames};

use crate::pool::model::auto_scaling::GroupConfig;
use crate::pool::model::ecs::{ProviderConfig, ServiceConfig};
use crate::pool::model::evidence::{
    EmptyInstance, IdleRunner, LogWitness, OrphanedRunner, OwnedScaleSet, OwnedTask, StoppableTask,
};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::scale_set::ScaleSetRequest;
use crate::pool::model::scaling::ScalingRecord;
use crate::pool::model::task_definition::TaskDefinitionContent;

/// Steps in order. They depend on each other: the first refusal ends the round, and the next observation starts
/// another.
pub type Steps = Vec<Step>;

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    /// Acquire the operation lock for this invocation.
    AcquireLock(OperationLock),

    /// Create the Auto Scaling group, empty, with a minimum of 0 and new instances protected from scale-in.
    CreateGroup {
        /// What the template decides.
        config: GroupConfig,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change the group. Never sets the desired capacity, which belongs to managed scaling.
    UpdateGroup(GroupConfig),
    /// Create or replace the launch hook, which gives an instance time to set itself up before it is stopped in the
    /// warm pool.
    PutLaunchHook,
    /// Create or update the group's warm pool with this number of stopped instances.
    PutWarmPool(u32),
    /// Delete the launch hook.
    DeleteLaunchHook,
    /// Delete the group's warm pool by force, its instances with it.
    DeleteWarmPool,
    /// Create the capacity provider on the group.
    CreateCapacityProvider {
        /// The group's ARN.
        group_arn: String,
        /// What the template decides.
        config: ProviderConfig,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change the provider's managed scaling.
    UpdateCapacityProvider(ProviderConfig),
    /// Add the provider to the cluster's list, and keep all others.
    AttachCapacityProvider,
    /// Register a revision of the pool's family.
    RegisterTaskDefinition {
        /// What the revision says.
        content: Box<TaskDefinitionContent>,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Create the service.
    CreateService {
        /// What the template decides.
        config: ServiceConfig,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change the service; another task definition starts a deployment.
    UpdateService(ServiceConfig),
    /// Set and remove tags, on a resource that carries our ownership.
    UpdateTags {
        /// Which one.
        resource: TaggedResource,
        /// Keys to set.
        set: BTreeMap<String, String>,
        /// Keys to remove.
        remove: Vec<String>,
    },
    /// Keep ECS from choosing these tasks when it scales in or deploys, for the longest time it allows.
    ProtectTasks(Vec<OwnedTask>),
    /// Let ECS choose them again.
    UnprotectTasks(Vec<OwnedTask>),
    /// Deregister an idle runner. GitHub refuses if it has a job.
    DeregisterRunner(IdleRunner),
    /// Deregister a runner that has no task.
    RemoveOrphanedRunner(OrphanedRunner),
    /// Withdraw the claim of a task without a runner on its registration, so that it gets none before it is stopped.
    WithdrawRegistration(OwnedTask),
    /// Stop a task: SIGTERM, `StopTimeout`, SIGKILL.
    StopTask(StoppableTask),
    /// Set a container instance without tasks to DRAINING.
    DrainInstance(EmptyInstance),
    /// Create the runner scale set.
    CreateScaleSet(ScaleSetRequest),
    /// Write the pool's goal for the listener, and add the pool to its list.
    WriteScaling(Box<ScalingRecord>),
    /// Start a listener.
    StartListener,

    /// Close the session of the runner scale set, and delete the set.
    DeleteScaleSet {
        /// The set.
        scale_set: OwnedScaleSet,
        /// Its session, if there is one.
        session: Option<String>,
    },
    /// Set the service's desired count to 0.
    ScaleServiceToZero,
    /// Delete the service, whose desired count must be 0.
    DeleteService,
    /// Record that something of the pool may be left at GitHub, for the next Delete of the pool or its stack.
    RecordRemains(Box<PoolMetadata>),
    /// Remove that from the record: nothing is left.
    ForgetRemains,
    /// Deregister every revision of the pool's family, then delete them.
    DeleteTaskDefinitions,
    /// Remove the provider from the cluster's list, and keep all others.
    DetachCapacityProvider,
    /// Delete the capacity provider; failure shows later, in its state.
    DeleteCapacityProvider,
    /// Delete ECS's managed-draining hook, which releases terminating instances.
    DeleteDrainingHook,
    /// Set the group's minimum, maximum and desired capacity to 0, with new instances unprotected.
    ScaleGroupToZero,
    /// Let scale-in end these instances; ECS never clears the protection that it asked for.
    UnprotectInstances(Vec<String>),
    /// Deregister a container instance from the cluster, even if its agent is disconnected.
    DeregisterInstance(String),
    /// Delete the group with what is left in it.
    DeleteGroup,
}

/// A resource whose tags can be changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaggedResource {
    /// The Auto Scaling group, and its instances from now on.
    Group,
    /// An ECS resource, by its ARN.
    Ecs(String),
}

impl Step {
    /// The name under which logs count it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// The resources of the step, for the log.
    #[must_use]
    pub fn details(&self) -> BTreeMap<&'static str, String> {
        let one = |key, value| BTreeMap::from([(key, value)]);
        match self {
            Self::UpdateGroup(config) => one("launch_template", config.launch_template.version.clone()),
            Self::RegisterTaskDefinition { content, .. } => one("image", content.image.clone()),
            Self::CreateService { config, .. } => one("desired", config.desired_count.to_string()),
            Self::UpdateService(config) => BTreeMap::from([
                ("desired", config.desired_count.to_string()),
                ("task_definition", config.task_definition.clone()),
            ]),
            Self::UpdateTags { set, remove, .. } => one("n", set.len().saturating_add(remove.len()).to_string()),
            Self::ProtectTasks(tasks) | Self::UnprotectTasks(tasks) => one("n", tasks.len().to_string()),
            Self::DeregisterRunner(runner) => {
                BTreeMap::from([("runner", runner.name().to_owned()), ("log", log_of(runner))])
            }
            Self::RemoveOrphanedRunner(runner) => one("runner", runner.name().to_owned()),
            Self::StopTask(task) => {
                BTreeMap::from([("task", task.arn().to_owned()), ("reason", task.why().name().to_owned())])
            }
            Self::WithdrawRegistration(task) => one("task", task.arn().to_owned()),
            Self::DrainInstance(instance) => one("instance", instance.arn().to_owned()),
            Self::CreateScaleSet(request) => one("scale_set", request.name.clone()),
            Self::WriteScaling(record) => BTreeMap::from([
                ("max_runners", record.goal.max_runners.to_string()),
                ("mode", format!("{:?}", record.goal.mode)),
            ]),
            Self::DeleteScaleSet { scale_set, .. } => one("scale_set", scale_set.name().to_owned()),
            Self::UnprotectInstances(ids) => one("n", ids.len().to_string()),
            Self::PutWarmPool(size) => one("n", size.to_string()),
            Self::DeregisterInstance(arn) => one("instance", arn.clone()),
            Self::AcquireLock(_)
            | Self::CreateGroup { .. }
            | Self::PutLaunchHook
            | Self::DeleteLaunchHook
            | Self::DeleteWarmPool
            | Self::CreateCapacityProvider { .. }
            | Self::UpdateCapacityProvider(_)
            | Self::AttachCapacityProvider
            | Self::StartListener
            | Self::ScaleServiceToZero
            | Self::DeleteService
            | Self::RecordRemains(_)
            | Self::ForgetRemains
            | Self::DeleteTaskDefinitions
            | Self::DetachCapacityProvider
            | Self::DeleteCapacityProvider
            | Self::DeleteDrainingHook
            | Self::ScaleGroupToZero
            | Self::DeleteGroup => BTreeMap::new(),
        }
    }
}

/// What a runner's log says, in a few words.
fn log_of(runner: &IdleRunner) -> String {
    match runner.log() {
        LogWitness::Agrees(_) => "shows no job".to_owned(),
        LogWitness::Absent(why) => why.to_string(),
    }
}
