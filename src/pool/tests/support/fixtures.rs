//! A pool, its requests, and single observed values.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::Decision;
use crate::pool::model::ec2::{Ec2View, Room, TemplateVersion, TemplateView};
use crate::pool::model::ecs::{ContainerInstance, Placement, Protection, Task, TaskPhase};
use crate::pool::model::evidence::DeletionEvidence;
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{ConvergeGoal, DeleteGoal, Goal, Operation, Preflight, SpecChange};
use crate::pool::model::operation_lock::OperationLock;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::request::{RequestInfo, RequestType};
use crate::pool::model::runner::Runner;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::fixtures::minimal_spec;
use crate::pool::model::spec::{Capacity, MixedInstances, OwnCapacity, PoolSpec};
use crate::pool::model::step::Step;
use crate::pool::model::time::{DecisionTime, Timestamp};
use crate::pool::policy::decide::decide;

pub(crate) const T0: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);
pub(crate) const POLL: Duration = Duration::from_secs(10);

pub(crate) fn stack_resource() -> StackResource {
    StackResource {
        stack_id: "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001"
            .to_owned(),
        logical_id: "Runners".to_owned(),
    }
}

/// Two runners, on at least one instance.
pub(crate) fn spec() -> PoolSpec {
    let mut spec = minimal_spec();
    spec.desired_count = 2;
    own_capacity(&mut spec).min_instances = 1;
    spec
}

pub(crate) fn converge(spec: PoolSpec) -> Continuation {
    let goal = ConvergeGoal {
        spec,
        previous_tags: BTreeSet::new(),
        previous_runner_name: None,
        preflight: Preflight::Skip,
        change: SpecChange::Changed,
        previous_pool: None,
    };
    let id = PhysicalId::of(&stack_resource(), &goal.spec);
    operation(id, Goal::Converge(Box::new(goal)))
}

pub(crate) fn delete(spec: &PoolSpec) -> Continuation {
    let id = PhysicalId::of(&stack_resource(), spec);
    let evidence = DeletionEvidence::named(&stack_resource(), id.as_str()).expect("the pool's own id names it");
    let goal = DeleteGoal::single_pool(evidence, None, spec.wait_policy.clone(), None);
    operation(id, Goal::Delete(Box::new(goal)))
}

/// One decision, whose memory is kept.
pub(crate) fn decide_on(continuation: &mut Continuation, observed: &Observed, at: DecisionTime) -> Decision {
    let (memory, decision) = decide(&continuation.operation, &continuation.memory, observed, at);
    continuation.memory = memory;
    decision
}

/// The tests read an operation through what carries it.
impl Deref for Continuation {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        &self.operation
    }
}

impl DerefMut for Continuation {
    fn deref_mut(&mut self) -> &mut Operation {
        &mut self.operation
    }
}

/// The same, in an invocation that has the lock in this version.
pub(crate) fn locked(mut continuation: Continuation, version: u64) -> Continuation {
    continuation.memory.lock_version = Some(version);
    continuation
}

/// The same, after so many invocations.
pub(crate) fn continued(mut continuation: Continuation, count: u32) -> Continuation {
    continuation.continuation_count = count;
    continuation
}

fn operation(id: PhysicalId, goal: Goal) -> Continuation {
    Continuation::new(Operation {
        request: RequestInfo {
            request_type: RequestType::Create,
            request_id: "request-1".to_owned(),
            stack_resource: stack_resource(),
            response_url: Secret::new("https://planted.example/?X-Amz-Signature=planted"),
        },
        id,
        goal,
        signed_at: T0,
        respond_by: T0 + Duration::from_secs(3480),
        continuation_count: 0,
    })
}

/// The names of the steps that were taken.
pub(crate) fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.name()).collect()
}

/// A runner of another owner's, as near to ours as can be.
pub(crate) fn foreign(id: u64, name: &str, label: &str) -> Runner {
    Runner {
        id,
        name: name.to_owned(),
        is_online: false,
        is_busy: false,
        labels: BTreeSet::from([label.to_owned()]),
        version: None,
    }
}

pub(crate) fn instance(number: u32) -> ContainerInstance {
    ContainerInstance {
        arn: format!("arn:aws:ecs:eu-central-1:111122223333:container-instance/build/{number}"),
        ec2_instance_id: Some(format!("i-{number}")),
        is_active: true,
        n_tasks: 0,
        is_connected: true,
        instance_type: None,
        registered: None,
        remaining: None,
    }
}

/// The prefix of a pool's runner names.
pub(crate) fn prefix(operation: &Continuation, spec: &PoolSpec) -> String {
    operation.id.runner_name_prefix(spec)
}

/// What a pool on instances of its own says of them.
pub(crate) fn own_capacity(spec: &mut PoolSpec) -> &mut OwnCapacity {
    match &mut spec.capacity {
        Capacity::Own(own) => own,
        Capacity::Existing(name) => panic!("runs on {name}"),
    }
}

/// The id of a task whose container has these digits.
pub(crate) fn task_id(digits: &str) -> String {
    format!("{}{:020x}", digits.chars().rev().collect::<String>(), 0)
}

/// A running task of the pool's service, with the digits of its container.
pub(crate) fn task(id: &PhysicalId, digits: &str) -> Task {
    Task {
        arn: format!("arn:aws:ecs:eu-central-1:111122223333:task/build/{}", task_id(digits)),
        task_definition: format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/{id}:1"),
        group: format!("service:{id}"),
        started_by: Some("ecs-svc/1".to_owned()),
        phase: TaskPhase::Running,
        desired_stopped: false,
        protection: Protection::Off,
        runtime_id: Some(format!("{digits}{:052x}", 0)),
        placement: Placement::Unplaced,
        created_at: Some(T0),
        started_at: Some(T0),
        ending: None,
    }
}

/// An idle runner of the pool, in the container with these digits.
pub(crate) fn runner(id: &PhysicalId, number: u64, digits: &str) -> Runner {
    Runner { is_online: true, ..foreign(number, &format!("github-runner-{}-{digits}", id.hash()), id.as_str()) }
}

/// A request that CloudFormation signed so many seconds after the first.
pub(crate) fn later(mut operation: Continuation, name: &str, secs: u32) -> Continuation {
    operation.request.request_id = name.to_owned();
    operation.request.response_url = Secret::new(format!("https://planted.example/{name}"));
    operation.signed_at = T0 + Duration::from_secs(1) * secs;
    operation.respond_by = operation.signed_at + Duration::from_secs(3480);
    operation
}

/// A Create that has acquired its lock, by the record's first version.
pub(crate) fn locked_create() -> Continuation {
    locked(converge(spec()), 1)
}

/// The lock that a request acquires where there is none before it.
pub(crate) fn lock_of(operation: &Continuation) -> OperationLock {
    operation.lock(None)
}

pub(crate) fn succeeded() -> Outcome {
    Outcome::Succeeded { attributes: Default::default(), notes: Vec::new() }
}

pub(crate) fn is_success(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded { .. })
}

/// The failure reason.
pub(crate) fn reason_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { reason } => reason,
        Outcome::Succeeded { .. } => panic!("succeeded"),
    }
}

/// GitHub rejects the credential.
pub(crate) fn bad_credentials() -> RemoteError {
    RemoteError {
        remote: RemoteService::GitHub,
        kind: ErrorKind::Unauthenticated,
        operation: "GET /orgs/acme/actions/runners".to_owned(),
        code: Some("401".to_owned()),
        message: "Bad credentials".to_owned(),
    }
}

/// What EC2 knows of a launch template with this instance type, and of the type.
pub(crate) fn ec2_view_of(instance_type: &str, room: Option<Room>) -> Ec2View {
    let version = TemplateVersion {
        instance_type: Some(instance_type.to_owned()),
        has_image: true,
        ..TemplateVersion::default()
    };
    Ec2View {
        template: TemplateView::Version(version),
        instance_types: [(instance_type.to_owned(), room)].into(),
        ..Ec2View::default()
    }
}

/// On a mixed-instances policy of these types and this On-Demand share.
pub(crate) fn mixed_instances_spec(types: &[&str], on_demand_percentage_above_base: u32) -> PoolSpec {
    let mut spec = spec();
    own_capacity(&mut spec).mixed_instances_policy = Some(MixedInstances {
        instance_types: types.iter().map(|name| (*name).to_owned()).collect(),
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
    });
    spec
}
