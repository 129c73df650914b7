//! One narrow trait per remote service, in the terms of the pool. Each has two implementations: the adapter, and the
//! simulation.
//!
//! - Absent is data: a read that finds nothing is `None` or empty; deleting what is gone is `Ok`.
//! - A list is complete: every page is read, up to the adapter's bound.
//! - A write is one call of the service (or one batch), and is not retried if its outcome is unknown: the next
//!   observation shows what happened. Adapters retry throttled calls and connections that failed before the request was
//!   sent.
//! - The runtime has one thread, so no future needs to be `Send`.

#![expect(async_fn_in_trait, reason = "no caller needs `Send`: the Lambda runtime here is single-threaded")]

mod call_error;
mod github;
mod scale_sets;

use std::collections::{BTreeMap, BTreeSet};

pub use self::call_error::{RemoteCallError, RemoteResult};
pub use self::github::{Credential, Deregistration, GitHub, JitRunner, JitRunnerRequest};
pub use self::scale_sets::{QueueAnswer, ScaleSetDeletion, ScaleSets, SessionOpening};
use crate::pool::model::auto_scaling::{Group, GroupConfig};
use crate::pool::model::ec2::{Room, TemplateView};
use crate::pool::model::ecs::{
    CapacityProvider, Cluster, ContainerInstance, Protection, ProviderConfig, Service, ServiceConfig, StartedTasks,
    Task, TaskDefinition, TaskRun,
};
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::registration::{RegistrationAnswer, RegistrationRequest, TaskArn};
use crate::pool::model::runner_log::{LogLine, LogPlace, LogStream};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{LaunchTemplateId, ParameterRef};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::time::Timestamp;

/// Tags as a map.
pub type Tags = BTreeMap<String, String>;

/// All ports, as one value.
pub trait World {
    /// Time.
    type Clock: Clock;
    /// Amazon ECS.
    type Ecs: Ecs;
    /// EC2 Auto Scaling, and what EC2 says of the things that its groups use.
    type AutoScaling: AutoScaling;
    /// Parameter Store, where credentials are.
    type SecretStore: SecretStore;
    /// DynamoDB, where the operation locks are.
    type StateStore: StateStore;
    /// DynamoDB, where tasks ask for the registrations of their runners.
    type Registrations: Registrations;
    /// CloudFormation, asked about a stack.
    type CloudFormation: CloudFormation;
    /// CloudWatch Logs, where runners write.
    type RunnerLogs: RunnerLogs;
    /// GitHub.
    type GitHub: GitHub;
    /// GitHub's runner scale sets.
    type ScaleSets: ScaleSets;
    /// This function itself, later.
    type SelfInvoker: SelfInvoker;
    /// Where CloudFormation waits for the response.
    type ResponseSender: ResponseSender;

    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// Amazon ECS.
    fn ecs(&self) -> &Self::Ecs;
    /// EC2 Auto Scaling.
    fn auto_scaling(&self) -> &Self::AutoScaling;
    /// Parameter Store, where credentials are.
    fn secret_store(&self) -> &Self::SecretStore;
    /// DynamoDB, where the operation locks are.
    fn state_store(&self) -> &Self::StateStore;
    /// DynamoDB, where tasks ask for the registrations of their runners.
    fn registrations(&self) -> &Self::Registrations;
    /// CloudFormation, asked about a stack.
    fn cloudformation(&self) -> &Self::CloudFormation;
    /// CloudWatch Logs, where runners write.
    fn runner_logs(&self) -> &Self::RunnerLogs;
    /// GitHub.
    fn github(&self) -> &Self::GitHub;
    /// GitHub's runner scale sets.
    fn scale_sets(&self) -> &Self::ScaleSets;
    /// This function itself, later.
    fn self_invoker(&self) -> &Self::SelfInvoker;
    /// The response URL of CloudFormation.
    fn response_sender(&self) -> &Self::ResponseSender;
}

/// The clock: the only way to read the time and to wait.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns once `moment` has come; at once if it has passed.
    async fn sleep_until(&self, moment: Timestamp);
}

/// Amazon ECS. `cluster` is the cluster's name or ARN as the template gave it; `id` names service and family.
pub trait Ecs {
    /// The cluster with its attachments' state.
    async fn cluster(&self, cluster: &str) -> RemoteResult<Option<Cluster>>;
    /// A capacity provider with its tags; an INACTIVE one counts as absent.
    async fn capacity_provider(&self, name: &str) -> RemoteResult<Option<CapacityProvider>>;
    /// The newest active revision of the family, with its tags.
    async fn task_definition(&self, id: &PhysicalId) -> RemoteResult<Option<TaskDefinition>>;
    /// The revision with this ARN, with its tags.
    async fn revision(&self, arn: &str) -> RemoteResult<Option<TaskDefinition>>;
    /// Where the container of this revision writes; `None` without the `awslogs` driver, or without such a revision.
    async fn log_place(&self, revision: &str) -> RemoteResult<Option<LogPlace>>;
    /// The ARN of every revision of the family that is still ACTIVE.
    async fn task_definitions(&self, id: &PhysicalId) -> RemoteResult<Vec<String>>;
    /// Every family with an active revision whose name begins with `stem`.
    async fn families_with_prefix(&self, stem: &str) -> RemoteResult<Vec<String>>;
    /// The service with its tags; `None` if ECS does not know it. One that is INACTIVE is reported as such.
    async fn service(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<Option<Service>>;
    /// Every task of the family that ECS still describes, with desired status RUNNING or STOPPED. [`Task::protection`]
    /// is left unknown. A cluster that does not exist has none.
    async fn tasks(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<Vec<Task>>;
    /// One task of any family, without [`Task::protection`]; `None` if ECS does not know it.
    async fn task(&self, task: &TaskArn) -> RemoteResult<Option<Task>>;
    /// The tasks of the family with desired status RUNNING, and the tasks in `known`, by ARN, whatever their status.
    /// This needs one call fewer than all tasks, for an observation that follows another.
    async fn tasks_incremental(&self, cluster: &str, id: &PhysicalId, known: Vec<String>) -> RemoteResult<Vec<Task>>;
    /// The protection of these tasks, by ARN; a task that ECS does not know any more is left out.
    async fn protections(&self, cluster: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, Protection>>;
    /// The container instances on this capacity provider, and those on these EC2 instances.
    async fn container_instances(
        &self,
        cluster: &str,
        provider: &str,
        ec2_instance_ids: &[String],
    ) -> RemoteResult<Vec<ContainerInstance>>;

    /// Creates a capacity provider with managed scaling on a group.
    async fn create_capacity_provider(
        &self,
        name: &str,
        group_arn: &str,
        config: &ProviderConfig,
        tags: &Tags,
    ) -> RemoteResult<()>;
    /// Changes managed scaling, termination protection and draining.
    async fn update_capacity_provider(&self, name: &str, config: &ProviderConfig) -> RemoteResult<()>;
    /// Deletes the capacity provider. A failure shows later, in its status.
    async fn delete_capacity_provider(&self, name: &str) -> RemoteResult<()>;
    /// Reads the cluster's list and default strategy, adds the provider, and writes both back at once.
    async fn attach_provider(&self, cluster: &str, provider: &str) -> RemoteResult<()>;
    /// The same, with the provider removed from both. A cluster that is gone is done.
    async fn detach_provider(&self, cluster: &str, provider: &str) -> RemoteResult<()>;
    /// Registers a revision and returns its ARN.
    async fn register_task_definition(
        &self,
        id: &PhysicalId,
        content: &TaskDefinitionContent,
        tags: &Tags,
    ) -> RemoteResult<String>;
    /// Deregisters these revisions, then deletes them. Both are done as soon as ECS has accepted them.
    async fn delete_task_definitions(&self, arns: &[String]) -> RemoteResult<()>;
    /// Creates the service. Calls with the same `token` (36 characters at most) create it once.
    async fn create_service(
        &self,
        cluster: &str,
        id: &PhysicalId,
        config: &ServiceConfig,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<()>;
    /// Updates the service to this configuration.
    async fn update_service(&self, cluster: &str, id: &PhysicalId, config: &ServiceConfig) -> RemoteResult<()>;
    /// Sets the desired count to 0 and zone rebalancing off, nothing else.
    async fn scale_service_to_zero(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<()>;
    /// Deletes the service, without force.
    async fn delete_service(&self, cluster: &str, id: &PhysicalId) -> RemoteResult<()>;
    /// Protects these tasks for 2,880 minutes, in batches of 10. Returns, by ARN, those that ECS left unprotected and its
    /// reason; a task that is gone is not among them.
    async fn protect(&self, cluster: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, String>>;
    /// Lifts the protection of these tasks, in batches of 10; tasks that are gone are done.
    async fn unprotect(&self, cluster: &str, tasks: &[String]) -> RemoteResult<()>;
    /// Starts up to 10 standalone tasks with the pool's id as `startedBy`. Calls with the same `token` (64 characters
    /// at most) and content start them once.
    async fn run_tasks(
        &self,
        cluster: &str,
        id: &PhysicalId,
        run: &TaskRun,
        tags: &Tags,
        token: &str,
    ) -> RemoteResult<StartedTasks>;
    /// Stops a task; ECS shows the reason.
    async fn stop_task(&self, cluster: &str, task: &str, reason: &str) -> RemoteResult<()>;
    /// Sets a container instance to DRAINING.
    async fn drain_instance(&self, cluster: &str, instance: &str) -> RemoteResult<()>;
    /// Deregisters a container instance by force.
    async fn deregister_instance(&self, cluster: &str, instance: &str) -> RemoteResult<()>;
    /// Sets and removes tags on an ECS resource.
    async fn tag(&self, arn: &str, set: &Tags, remove: &[String]) -> RemoteResult<()>;
}

/// EC2 Auto Scaling, and the launch templates that its groups use.
pub trait AutoScaling {
    /// The group of this name, with its warm pool.
    async fn group(&self, name: &str) -> RemoteResult<Option<Group>>;
    /// The names of every group with these ownership tags.
    async fn groups_owned_by(&self, stack_resource: &StackResource) -> RemoteResult<Vec<String>>;
    /// What the newest failed scaling activity said; `None` if the newest activities went well.
    async fn last_failed_activity(&self, name: &str) -> RemoteResult<Option<String>>;
    /// The number that a launch template's `$Latest` or `$Default` stands for now; `None` if there is no such template.
    async fn template_version(&self, template: &LaunchTemplateId, version: &str) -> RemoteResult<Option<u64>>;
    /// What this version of a launch template says. What it does not find is in the response, never an error.
    async fn template(&self, template: &LaunchTemplateId, version: &str) -> RemoteResult<TemplateView>;
    /// Those of the instance types that EC2 offers in this Region, with what an instance of each has; `None` if the
    /// response is about others.
    async fn instance_types(&self, types: &[String]) -> RemoteResult<Option<BTreeMap<String, Room>>>;
    /// Those of the subnets that there are in this Region; `None` if the response is about others.
    async fn subnets(&self, subnets: &[String]) -> RemoteResult<Option<BTreeSet<String>>>;

    /// Makes the group: minimum 0, empty, new instances protected from scale-in, tags propagated to instances.
    async fn create_group(&self, name: &str, config: &GroupConfig, tags: &Tags) -> RemoteResult<()>;
    /// Changes the group to this shape, its desired capacity left alone.
    async fn update_group(&self, name: &str, config: &GroupConfig) -> RemoteResult<()>;
    /// Makes or replaces the launch hook: an instance that comes up, to be stopped in the warm pool or to join the group, is
    /// made to wait for a while. The time for the warm pool is let run out; [`Self::complete_launch`] ends the other one.
    async fn put_launch_hook(&self, name: &str) -> RemoteResult<()>;
    /// Deletes the launch hook; one that is not there is done.
    async fn delete_launch_hook(&self, name: &str) -> RemoteResult<()>;
    /// Lets an instance that waits for the launch hook go on; one that does not wait is done.
    async fn complete_launch(&self, name: &str, instance: &str) -> RemoteResult<()>;
    /// Makes or changes the warm pool: always so many stopped instances.
    async fn put_warm_pool(&self, name: &str, size: u32) -> RemoteResult<()>;
    /// Deletes the warm pool by force, its instances with it; one that is not there is done.
    async fn delete_warm_pool(&self, name: &str) -> RemoteResult<()>;
    /// Minimum, maximum and desired capacity 0, new instances unprotected.
    async fn scale_group_to_zero(&self, name: &str) -> RemoteResult<()>;
    /// Removes scale-in protection, 50 instances a call; instances that left the group are done.
    async fn unprotect_instances(&self, name: &str, instances: &[String]) -> RemoteResult<()>;
    /// Deletes ECS's managed-draining hook; one that is not there is done.
    async fn delete_draining_hook(&self, name: &str) -> RemoteResult<()>;
    /// Deletes the group by force, its instances with it. A group that is gone is done.
    async fn delete_group(&self, name: &str) -> RemoteResult<()>;
    /// Sets and removes tags on the group, propagated at launch.
    async fn tag_group(&self, name: &str, set: &Tags, remove: &[String]) -> RemoteResult<()>;
}

/// Parameter Store, and Secrets Manager through it.
pub trait SecretStore {
    /// The decrypted value; `None` if the parameter or secret does not exist.
    async fn read(&self, parameter: &ParameterRef) -> RemoteResult<Option<Secret>>;
}

/// The state table: the operation lock and the recorded response of each resource.
pub trait StateStore {
    /// The item with this key as its last write left it, expired or not; `None` if there is none.
    async fn read_item(&self, key: &str) -> RemoteResult<Option<StateItem>>;
    /// Writes an item, over the version before its own and no other. Version 1 replaces no item, or one that has expired
    /// by `now`.
    async fn write_item(&self, key: &str, item: &StateItem, now: Timestamp) -> RemoteResult<StateWrite>;
}

/// An item of the state table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateItem {
    /// At most 400 KB.
    pub text: String,
    /// From 1, one more with each write: the fencing token of the lock.
    pub version: u64,
    /// When it counts as deleted, in whole seconds.
    pub expires_at: Option<Timestamp>,
}

/// The result of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateWrite {
    /// The item was written.
    Stored,
    /// Nothing was written: the item has another version.
    Conflict,
}

/// The registrations table: one item for each task that asks for the registration of its runner.
pub trait Registrations {
    /// The request under this key; `None` if there is none that waits for an answer.
    async fn request(&self, key: &str) -> RemoteResult<Option<RegistrationRequest>>;
    /// Answers a request, if its container still waits.
    async fn answer(&self, request: &RegistrationRequest, answer: &RegistrationAnswer) -> RemoteResult<AnswerWrite>;
}

/// The result of answering a request for a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerWrite {
    /// The answer was written, and the container will find it.
    Stored,
    /// Nothing was written: the container has stopped or already has an answer, which may be this one if the response
    /// to an earlier attempt was lost.
    Withdrawn,
}

/// CloudFormation, asked about a stack.
pub trait CloudFormation {
    /// The status of the stack with this ARN, such as `DELETE_IN_PROGRESS`; `None` if there is no such stack.
    async fn stack_status(&self, stack_id: &str) -> RemoteResult<Option<String>>;
}

/// CloudWatch Logs, where runners write.
pub trait RunnerLogs {
    /// One page of a stream: the newest one, or the one before the page that named it as `earlier`. What is older than
    /// `from` may be left out. `None` if there is no such stream or group.
    async fn page(&self, stream: &LogStream, from: Timestamp, earlier: Option<&str>) -> RemoteResult<Option<LogPage>>;
}

/// A page of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Oldest first; may be empty though there are lines before it.
    pub lines: Vec<LogLine>,
    /// What names the page before it; `None` at the stream's beginning.
    pub earlier: Option<String>,
}

/// Invokes this function again, to continue a long request.
pub trait SelfInvoker {
    /// Queues an asynchronous invocation of `function`, an ARN or a name, with this event.
    async fn invoke(&self, function: &str, event: Vec<u8>) -> RemoteResult<()>;
}

/// Where CloudFormation waits for the response.
pub trait ResponseSender {
    /// PUTs `body` to the pre-signed URL, retrying inside the given time.
    ///
    /// # Errors
    /// When no attempt succeeded by `give_up_at`. The text never contains the URL.
    async fn deliver(&self, url: &Secret, body: Vec<u8>, give_up_at: Timestamp) -> Result<(), DeliveryError>;
}

/// A response that CloudFormation did not accept.
#[derive(Debug, thiserror::Error)]
#[error("CloudFormation did not accept the response after {tries} tries: {last}")]
pub struct DeliveryError {
    /// The number of attempts.
    pub tries: u32,
    /// The error of the last attempt, without the URL.
    pub last: String,
}
