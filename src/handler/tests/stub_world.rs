//! A world in which nothing works or nothing exists, and events to send into it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::ops::Range;

use serde_json::{Value, json};

use crate::handler::{Invocation, handle};
use crate::pool::model::auto_scaling::{Group, GroupConfig};
use crate::pool::model::ec2::{Room, TemplateView};
use crate::pool::model::ecs::{
    CapacityProvider, Cluster, ContainerInstance, Protection, ProviderConfig, Service, ServiceConfig, StartedTasks,
    Task, TaskDefinition, TaskRun,
};
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::registration::{RegistrationAnswer, RegistrationRequest, TaskArn};
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::runner::{Runner, RunnerGroup};
use crate::pool::model::runner_log::{LogPlace, LogStream};
use crate::pool::model::scale_set::{
    MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, LaunchTemplateId, ParameterRef};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{
    AnswerWrite, AutoScaling, Clock, CloudFormation, Credential, DeliveryError, Deregistration, Ecs, GitHub, JitRunner,
    JitRunnerRequest, LogPage, QueueAnswer, Registrations, RemoteCallError, RemoteResult, ResponseSender, RunnerLogs,
    ScaleSetDeletion, ScaleSets, SecretStore, SelfInvoker, SessionOpening, StateItem, StateStore, StateWrite, Tags,
    World,
};
use crate::settings::Settings;

/// How every remote of a [`StubWorld`] world behaves.
#[derive(Clone, Copy)]
pub(super) enum Behavior {
    Panics,
    Hangs,
    Refuses(ErrorKind),
    /// Refuses until so many seconds after [`NOW`]; then nothing is there.
    RefusesUntil(ErrorKind, u64),
    /// Says that nothing is there.
    IsEmpty,
}

/// A world in which nothing works, or nothing exists.
pub(super) struct StubWorld {
    pub(super) behavior: Behavior,
    pub(super) began: tokio::time::Instant,
    pub(super) answers: RefCell<Vec<Value>>,
    pub(super) continuations: RefCell<Vec<Value>>,
    pub(super) accepts_responses: bool,
    pub(super) accepts_events: RemoteResult<()>,
    pub(super) record: RefCell<Option<StateItem>>,
    /// What another invocation writes just before this one does, by the version that it makes.
    pub(super) written_meanwhile: RefCell<BTreeMap<u64, String>>,
    /// Writes of the record that are denied, counted over all.
    pub(super) denied_writes: Range<u32>,
    pub(super) n_writes: Cell<u32>,
}

impl StubWorld {
    pub(super) fn new(behavior: Behavior) -> Self {
        Self {
            behavior,
            began: tokio::time::Instant::now(),
            answers: RefCell::default(),
            continuations: RefCell::default(),
            accepts_responses: true,
            accepts_events: Ok(()),
            record: RefCell::default(),
            written_meanwhile: RefCell::default(),
            denied_writes: 0..0,
            n_writes: Cell::default(),
        }
    }

    fn write(&self, item: &StateItem) {
        *self.record.borrow_mut() = Some(item.clone());
    }

    async fn react<T>(&self, nothing: T) -> RemoteResult<T> {
        match self.behavior {
            Behavior::Panics => panic!("planted"),
            Behavior::Hangs => pending().await,
            Behavior::RefusesUntil(kind, secs) if self.began.elapsed().as_secs() < secs => Err(remote_error(kind)),
            Behavior::IsEmpty | Behavior::RefusesUntil(..) => Ok(nothing),
            Behavior::Refuses(kind) => Err(remote_error(kind)),
        }
    }
}

pub(super) fn remote_error(kind: ErrorKind) -> RemoteCallError {
    RemoteCallError {
        remote_error: RemoteError {
            remote: RemoteService::Ecs,
            kind,
            operation: "DescribeServices".to_owned(),
            code: Some("Planted".to_owned()),
            message: "no".to_owned(),
        },
        source: None,
    }
}

pub(super) const NOW: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);

impl World for StubWorld {
    type Clock = Self;
    type Ecs = Self;
    type AutoScaling = Self;
    type SecretStore = Self;
    type StateStore = Self;
    type Registrations = Self;
    type CloudFormation = Self;
    type RunnerLogs = Self;
    type GitHub = Self;
    type ScaleSets = Self;
    type SelfInvoker = Self;
    type ResponseSender = Self;

    fn clock(&self) -> &Self {
        self
    }
    fn ecs(&self) -> &Self {
        self
    }
    fn auto_scaling(&self) -> &Self {
        self
    }
    fn secret_store(&self) -> &Self {
        self
    }
    fn state_store(&self) -> &Self {
        self
    }
    fn registrations(&self) -> &Self {
        self
    }
    fn cloudformation(&self) -> &Self {
        self
    }
    fn runner_logs(&self) -> &Self {
        self
    }
    fn github(&self) -> &Self {
        self
    }
    fn scale_sets(&self) -> &Self {
        self
    }
    fn self_invoker(&self) -> &Self {
        self
    }
    fn response_sender(&self) -> &Self {
        self
    }
}

impl Clock for StubWorld {
    fn now(&self) -> Timestamp {
        NOW + self.began.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "time is paused: it passes only when everybody waits for it")]
    async fn sleep_until(&self, moment: Timestamp) {
        tokio::time::sleep(moment.since(self.now())).await;
    }
}

impl ResponseSender for StubWorld {
    async fn deliver(&self, _: &Secret, body: Vec<u8>, _: Timestamp) -> Result<(), DeliveryError> {
        if !self.accepts_responses {
            return Err(DeliveryError { tries: 3, last: "HTTP 503".to_owned() });
        }
        self.answers.borrow_mut().push(serde_json::from_slice(&body).unwrap());
        Ok(())
    }
}

impl RunnerLogs for StubWorld {
    async fn page(&self, _: &LogStream, _: Timestamp, _: Option<&str>) -> RemoteResult<Option<LogPage>> {
        self.react(None).await
    }
}

impl SelfInvoker for StubWorld {
    async fn invoke(&self, _: &str, event: Vec<u8>) -> RemoteResult<()> {
        if let Err(error) = &self.accepts_events {
            return Err(remote_error(error.kind()));
        }
        self.continuations.borrow_mut().push(serde_json::from_slice(&event).unwrap());
        Ok(())
    }
}

/// The one thing that works everywhere.
impl StateStore for StubWorld {
    async fn read_item(&self, _: &str) -> RemoteResult<Option<StateItem>> {
        assert!(!matches!(self.behavior, Behavior::Panics), "planted");
        Ok(self.record.borrow().clone())
    }

    async fn write_item(&self, _: &str, item: &StateItem, _: Timestamp) -> RemoteResult<StateWrite> {
        self.n_writes.set(self.n_writes.get() + 1);
        if self.denied_writes.contains(&self.n_writes.get()) {
            return Err(remote_error(ErrorKind::Denied));
        }
        if let Some(text) = self.written_meanwhile.borrow_mut().remove(&item.version) {
            self.write(&StateItem { text, ..item.clone() });
        }
        let current = self.record.borrow().as_ref().map_or(0, |record| record.version);
        if item.version != current + 1 {
            return Ok(StateWrite::Conflict);
        }
        self.write(item);
        Ok(StateWrite::Stored)
    }
}

macro_rules! stub_world {
    ($port:ident { $($name:ident($($arg:ty),*) -> $out:ty = $nothing:expr;)* }) => {
        impl $port for StubWorld {
            $(async fn $name(&self, $(_: $arg),*) -> RemoteResult<$out> { self.react($nothing).await })*
        }
    };
}

stub_world!(Ecs {
    cluster(&str) -> Option<Cluster> = None;
    capacity_provider(&str) -> Option<CapacityProvider> = None;
    task_definition(&PhysicalId) -> Option<TaskDefinition> = None;
    revision(&str) -> Option<TaskDefinition> = None;
    log_place(&str) -> Option<LogPlace> = None;
    task_definitions(&PhysicalId) -> Vec<String> = Vec::new();
    families_with_prefix(&str) -> Vec<String> = Vec::new();
    service(&str, &PhysicalId) -> Option<Service> = None;
    tasks(&str, &PhysicalId) -> Vec<Task> = Vec::new();
    task(&TaskArn) -> Option<Task> = None;
    tasks_incremental(&str, &PhysicalId, Vec<String>) -> Vec<Task> = Vec::new();
    protections(&str, &[String]) -> BTreeMap<String, Protection> = BTreeMap::new();
    container_instances(&str, &str, &[String]) -> Vec<ContainerInstance> = Vec::new();
    create_capacity_provider(&str, &str, &ProviderConfig, &Tags) -> () = ();
    update_capacity_provider(&str, &ProviderConfig) -> () = ();
    delete_capacity_provider(&str) -> () = ();
    attach_provider(&str, &str) -> () = ();
    detach_provider(&str, &str) -> () = ();
    register_task_definition(&PhysicalId, &TaskDefinitionContent, &Tags) -> String = String::new();
    delete_task_definitions(&[String]) -> () = ();
    create_service(&str, &PhysicalId, &ServiceConfig, &Tags, &str) -> () = ();
    update_service(&str, &PhysicalId, &ServiceConfig) -> () = ();
    scale_service_to_zero(&str, &PhysicalId) -> () = ();
    delete_service(&str, &PhysicalId) -> () = ();
    protect(&str, &[String]) -> BTreeMap<String, String> = BTreeMap::new();
    unprotect(&str, &[String]) -> () = ();
    run_tasks(&str, &PhysicalId, &TaskRun, &Tags, &str) -> StartedTasks = StartedTasks::default();
    stop_task(&str, &str, &str) -> () = ();
    drain_instance(&str, &str) -> () = ();
    deregister_instance(&str, &str) -> () = ();
    tag(&str, &Tags, &[String]) -> () = ();
});

stub_world!(AutoScaling {
    group(&str) -> Option<Group> = None;
    groups_owned_by(&StackResource) -> Vec<String> = Vec::new();
    last_failed_activity(&str) -> Option<String> = None;
    template_version(&LaunchTemplateId, &str) -> Option<u64> = None;
    template(&LaunchTemplateId, &str) -> TemplateView = TemplateView::NoTemplate;
    instance_types(&[String]) -> Option<BTreeMap<String, Room>> = None;
    subnets(&[String]) -> Option<BTreeSet<String>> = None;
    create_group(&str, &GroupConfig, &Tags) -> () = ();
    update_group(&str, &GroupConfig) -> () = ();
    put_launch_hook(&str) -> () = ();
    delete_launch_hook(&str) -> () = ();
    complete_launch(&str, &str) -> () = ();
    put_warm_pool(&str, u32) -> () = ();
    delete_warm_pool(&str) -> () = ();
    scale_group_to_zero(&str) -> () = ();
    unprotect_instances(&str, &[String]) -> () = ();
    delete_draining_hook(&str) -> () = ();
    delete_group(&str) -> () = ();
    tag_group(&str, &Tags, &[String]) -> () = ();
});

stub_world!(CloudFormation { stack_status(&str) -> Option<String> = None; });

stub_world!(Registrations {
    request(&str) -> Option<RegistrationRequest> = None;
    answer(&RegistrationRequest, &RegistrationAnswer) -> AnswerWrite = AnswerWrite::Withdrawn;
});

stub_world!(SecretStore { read(&ParameterRef) -> Option<Secret> = None; });

stub_world!(GitHub {
    runners(&GitHubTarget, &Credential) -> Vec<Runner> = Vec::new();
    check_administration(&GitHubTarget, &Credential) -> Option<String> = None;
    runner_group(&GitHubTarget, &Credential, &str) -> Option<RunnerGroup> = None;
    runner_named(&GitHubTarget, &Credential, &str) -> Option<Runner> = None;
    create_jit_runner(&GitHubTarget, &Credential, &JitRunnerRequest) -> JitRunner = JitRunner::Unsupported;
    create_registration_token(&GitHubTarget, &Credential) -> Secret = Secret::new("planted");
    deregister(&GitHubTarget, &Credential, u64) -> Deregistration = Deregistration::Missing;
});

fn scale_set() -> ScaleSet {
    ScaleSet { id: 1, name: String::new(), group_id: 1, labels: BTreeSet::new(), statistics: None }
}

stub_world!(ScaleSets {
    scale_set_named(&GitHubTarget, &Credential, Option<&str>, &str) -> Option<ScaleSet> = None;
    create_scale_set(&GitHubTarget, &Credential, &ScaleSetRequest) -> ScaleSet = scale_set();
    delete_scale_set(&GitHubTarget, &Credential, u64) -> ScaleSetDeletion = ScaleSetDeletion::Missing;
    open_session(&GitHubTarget, &Credential, u64, &str) -> SessionOpening = SessionOpening::NoSuchSet;
    renew_session(&GitHubTarget, &Credential, u64, &str) -> Option<MessageSession> = None;
    close_session(&GitHubTarget, &Credential, u64, &str) -> () = ();
    next_message(&MessageQueue, u64, u32) -> QueueAnswer<Option<ScaleSetMessage>> = QueueAnswer::Gone;
    acknowledge(&MessageQueue, u64) -> QueueAnswer<()> = QueueAnswer::Gone;
    acquire_jobs(&GitHubTarget, &Credential, u64, &MessageQueue, &[i64]) -> QueueAnswer<Vec<i64>> = QueueAnswer::Gone;
    create_runner(&GitHubTarget, &Credential, u64, &str, &str) -> JitRunner = JitRunner::Unsupported;
    scale_set_runner(&GitHubTarget, &Credential, &str) -> Option<ScaleSetRunner> = None;
    deregister_runner(&GitHubTarget, &Credential, u64) -> Deregistration = Deregistration::Missing;
});

pub(super) fn event(request_type: &str) -> Value {
    let properties = json!({
        "ServiceToken": "arn:aws:lambda:eu-central-1:111122223333:function:github-runner-pool",
        "OrgName": "acme",
        "AccessTokenParameter": "/ci/token",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution",
        "Cluster": "build",
        "LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "1"},
        "Subnets": ["subnet-0123456789abcdef0"],
    });
    json!({
        "RequestType": request_type,
        "RequestId": "request-1",
        "ResponseURL": "https://answers.example/planted?X-Amz-Signature=planted",
        "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001",
        "LogicalResourceId": "Runners",
        "PhysicalResourceId": "made-up-by-cloudformation",
        "ResourceType": "Custom::GitHubRunnerPool",
        "ResourceProperties": properties,
        "OldResourceProperties": properties,
    })
}

pub(super) fn invocation() -> Invocation {
    Invocation { deadline: NOW + std::time::Duration::from_secs(900), function: "github-runner-pool".to_owned() }
}

pub(super) fn settings() -> Settings {
    let role = ("RUNNER_ROLE_ARN".to_owned(), "arn:aws:iam::111122223333:role/github-runner-pool/runner".to_owned());
    Settings::from_variables(&BTreeMap::from([role])).unwrap()
}

pub(super) async fn run(world: &StubWorld, event: &Value) -> Value {
    handle(world, &settings(), event, &invocation()).await.unwrap();
    let mut answers = world.answers.take();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}
