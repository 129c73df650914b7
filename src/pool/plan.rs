//! What can be done to the world: one value per effect.
//!
//! Whether, in what order and how often is decided elsewhere in `pool`; `reconcile::apply` makes one call of each.
//! The steps that can end a job take evidence that only a decision over an observation can make.

use std::collections::BTreeMap;

use super::evidence::{EmptyInstance, Ghost, IdleRunner, LogWitness, OwnedTask, SpentTask};
use super::observed::{GroupShape, ProviderShape, ServiceShape};
use super::succession::Turn;
use super::task_definition::TaskDefinitionContent;

/// Steps in order. They depend on each other: the first refusal ends the round, and the next look starts another.
pub type Plan = Vec<Step>;

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write down that this invocation works for the resource from now on.
    TakeTurn(Turn),
    /// Remove what that wrote: there is nothing left to work for.
    ReleaseTurn,

    /// Make the Auto Scaling group: empty, its minimum 0, new instances protected from scale-in.
    CreateGroup {
        /// What the template decides.
        shape: GroupShape,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change the group. Never sets the desired capacity, which belongs to managed scaling.
    UpdateGroup(GroupShape),
    /// Make the capacity provider on the group.
    CreateCapacityProvider {
        /// The group's ARN.
        group_arn: String,
        /// What the template decides.
        shape: ProviderShape,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change the provider's managed scaling.
    UpdateCapacityProvider(ProviderShape),
    /// Add the provider to the cluster's list, every other one kept.
    AssociateCapacityProvider,
    /// Register a revision of the pool's family.
    RegisterTaskDefinition {
        /// What the revision says.
        content: Box<TaskDefinitionContent>,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Make the service.
    CreateService {
        /// What the template decides.
        shape: ServiceShape,
        /// All its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change the service; another task definition starts a deployment.
    UpdateService(ServiceShape),
    /// Set and remove tags, on a resource that carries our ownership.
    Tag {
        /// Which one.
        resource: Tagged,
        /// Keys to set.
        set: BTreeMap<String, String>,
        /// Keys to remove.
        remove: Vec<String>,
    },
    /// Keep ECS from choosing these tasks when it scales in or deploys, for the longest time it allows.
    ProtectTasks(Vec<OwnedTask>),
    /// Let ECS choose them again.
    UnprotectTasks(Vec<OwnedTask>),
    /// Take an idle runner off GitHub's list. GitHub refuses when it has a job after all.
    DeregisterRunner(IdleRunner),
    /// Take off GitHub's list a runner that has no task behind it.
    RemoveGhost(Ghost),
    /// Stop a task: SIGTERM, `StopTimeout`, SIGKILL.
    StopTask(SpentTask),
    /// Let no more tasks onto an instance that runs none.
    DrainInstance(EmptyInstance),

    /// Lower the service to no task at all.
    LowerServiceToZero,
    /// Delete the service, which must be lowered.
    DeleteService,
    /// Deregister every revision of the pool's family, then delete them.
    DeleteTaskDefinitions,
    /// Take the provider off the cluster's list, every other one kept.
    DissociateCapacityProvider,
    /// Delete the capacity provider; failure shows later, in its state.
    DeleteCapacityProvider,
    /// Delete the hook that holds terminating instances back, which lets them go.
    DeleteDrainingHook,
    /// Bring the group's bounds and size to zero, new instances unprotected.
    EmptyGroup,
    /// Let scale-in end these instances; ECS never clears the protection that it asked for.
    UnprotectInstances(Vec<String>),
    /// Take a container instance off the cluster, whether or not its agent still answers.
    DeregisterInstance(String),
    /// Delete the group with what is left in it.
    DeleteGroup,
}

/// A resource whose tags can be changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tagged {
    /// The Auto Scaling group, and its instances from now on.
    Group,
    /// An ECS resource, by its ARN.
    Ecs(String),
}

impl Step {
    /// The step's name, and the things it is about, for the log.
    #[must_use]
    pub fn describe(&self) -> (&'static str, BTreeMap<&'static str, String>) {
        let nothing = BTreeMap::new();
        let about = |key: &'static str, value: String| BTreeMap::from([(key, value)]);
        match self {
            Self::TakeTurn(_) => ("take_turn", nothing),
            Self::ReleaseTurn => ("release_turn", nothing),
            Self::CreateGroup { .. } => ("create_group", nothing),
            Self::UpdateGroup(shape) => {
                ("update_group", about("launch_template", shape.launch_template.version.clone()))
            }
            Self::CreateCapacityProvider { .. } => ("create_capacity_provider", nothing),
            Self::UpdateCapacityProvider(_) => ("update_capacity_provider", nothing),
            Self::AssociateCapacityProvider => ("associate_capacity_provider", nothing),
            Self::RegisterTaskDefinition { content, .. } => {
                ("register_task_definition", about("image", content.image.clone()))
            }
            Self::CreateService { shape, .. } => ("create_service", about("desired", shape.desired_count.to_string())),
            Self::UpdateService(shape) => (
                "update_service",
                BTreeMap::from([
                    ("desired", shape.desired_count.to_string()),
                    ("task_definition", shape.task_definition.clone()),
                ]),
            ),
            Self::Tag { set, remove, .. } => ("tag", about("n", (set.len() + remove.len()).to_string())),
            Self::ProtectTasks(tasks) => ("protect_tasks", about("n", tasks.len().to_string())),
            Self::UnprotectTasks(tasks) => ("unprotect_tasks", about("n", tasks.len().to_string())),
            Self::DeregisterRunner(runner) => {
                ("deregister_runner", BTreeMap::from([("runner", runner.name().to_owned()), ("log", log_of(runner))]))
            }
            Self::RemoveGhost(ghost) => ("remove_ghost", about("runner", ghost.name().to_owned())),
            Self::StopTask(task) => {
                ("stop_task", BTreeMap::from([("task", task.arn().to_owned()), ("why", task.why().name().to_owned())]))
            }
            Self::DrainInstance(instance) => ("drain_instance", about("instance", instance.arn().to_owned())),
            Self::LowerServiceToZero => ("lower_service_to_zero", nothing),
            Self::DeleteService => ("delete_service", nothing),
            Self::DeleteTaskDefinitions => ("delete_task_definitions", nothing),
            Self::DissociateCapacityProvider => ("dissociate_capacity_provider", nothing),
            Self::DeleteCapacityProvider => ("delete_capacity_provider", nothing),
            Self::DeleteDrainingHook => ("delete_draining_hook", nothing),
            Self::EmptyGroup => ("empty_group", nothing),
            Self::UnprotectInstances(ids) => ("unprotect_instances", about("n", ids.len().to_string())),
            Self::DeregisterInstance(arn) => ("deregister_instance", about("instance", arn.clone())),
            Self::DeleteGroup => ("delete_group", nothing),
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
