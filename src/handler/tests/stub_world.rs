//! A world in which nothing works or nothing exists, and events to send into it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use serde_json::{Value, json};

use super::state_table::StateTable;
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
    JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, LaunchTemplateId, ParameterRef};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{
    AnswerWrite, AutoScaling, Clock, CloudFormation, Credential, DeliveryError, Deregistration, Ecs, GitHub, JitRunner,
    JitRunnerRequest, LogPage, QueueAnswer, Registrations, RemoteCallError, RemoteResult, ResponseSender, RunnerLogs,
    ScaleSetDeletion, ScaleSets, SecretStore, SelfInvoker, SessionOpening, Tags, World,
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
    pub(super) responses: RefCell<Vec<Value>>,
    pub(super) continuations: RefCell<Vec<Value>>,
    pub(super) accepts_responses: bool,
    pub(super) accepts_events: RemoteResult<()>,
    pub(super) table: StateTable,
    /// When GitHub has a message, in seconds after [`NOW`]; without one it has no queue.
    pub(super) message_at_secs: Option<u64>,
    /// Whether the queue delivers the message again at once, whatever the poll says, until it is acknowledged.
    pub(super) redelivers: bool,
    /// When each poll began, and after which message.
    pub(super) polls: RefCell<Vec<(u64, u64)>>,
    /// When the message was acknowledged.
    pub(super) acknowledged_at_secs: Cell<Option<u64>>,
    /// When the scale set was read.
    pub(super) set_read_at_secs: RefCell<Vec<u64>>,
}

impl StubWorld {
    pub(super) fn new(behavior: Behavior) -> Self {
        Self {
            behavior,
            began: tokio::time::Instant::now(),
            responses: RefCell::default(),
            continuations: RefCell::default(),
            accepts_responses: true,
            accepts_events: Ok(()),
            table: StateTable::default(),
            message_at_secs: None,
            redelivers: false,
            polls: RefCell::default(),
            acknowledged_at_secs: Cell::default(),
            set_read_at_secs: RefCell::default(),
        }
    }

    pub(super) fn secs(&self) -> u64 {
        self.now().since(NOW).as_secs()
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

macro_rules! world_of_one {
    ($($port:ident $name:ident;)*) => {
        impl World for StubWorld {
            $(type $port = Self;)*
            $(fn $name(&self) -> &Self { self })*
        }
    };
}

world_of_one! {
    Clock clock;
    Ecs ecs;
    AutoScaling auto_scaling;
    SecretStore secret_store;
    StateStore state_store;
    Registrations registrations;
    CloudFormation cloudformation;
    RunnerLogs runner_logs;
    GitHub github;
    ScaleSets scale_sets;
    SelfInvoker self_invoker;
    ResponseSender response_sender;
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
        self.responses.borrow_mut().push(serde_json::from_slice(&body).unwrap());
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

macro_rules! stub_world {
    ($port:ident { $($name:ident($($arg:ty),*) -> $out:ty = $nothing:expr;)* } $($written_out:tt)*) => {
        impl $port for StubWorld {
            $(async fn $name(&self, $(_: $arg),*) -> RemoteResult<$out> { self.react($nothing).await })*
            $($written_out)*
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

impl SecretStore for StubWorld {
    async fn read(&self, _: &ParameterRef) -> RemoteResult<Option<Secret>> {
        match self.message_at_secs {
            Some(_) => Ok(Some(Secret::new("planted"))),
            None => self.react(None).await,
        }
    }
}

stub_world!(GitHub {
    runners(&GitHubTarget, &Credential) -> Vec<Runner> = Vec::new();
    check_administration(&GitHubTarget, &Credential) -> Option<String> = None;
    runner_group(&GitHubTarget, &Credential, &str) -> Option<RunnerGroup> = None;
    runner_named(&GitHubTarget, &Credential, &str) -> Option<Runner> = None;
    create_jit_runner(&GitHubTarget, &Credential, &JitRunnerRequest) -> JitRunner = JitRunner::Unsupported;
    create_registration_token(&GitHubTarget, &Credential) -> Secret = Secret::new("planted");
    deregister(&GitHubTarget, &Credential, u64) -> Deregistration = Deregistration::Missing;
});

pub(super) fn session() -> MessageSession {
    let queue = MessageQueue { url: Secret::new("https://queue.example"), token: Secret::new("planted") };
    MessageSession { id: "session-1".to_owned(), queue }
}

fn scale_set() -> ScaleSet {
    ScaleSet { id: 1, name: String::new(), group_id: 1, labels: BTreeSet::new(), statistics: None }
}

stub_world!(ScaleSets {
    create_scale_set(&GitHubTarget, &Credential, &ScaleSetRequest) -> ScaleSet = scale_set();
    delete_scale_set(&GitHubTarget, &Credential, u64) -> ScaleSetDeletion = ScaleSetDeletion::Missing;
    renew_session(&GitHubTarget, &Credential, u64, &str) -> Option<MessageSession> = None;
    close_session(&GitHubTarget, &Credential, u64, &str) -> () = ();
    acquire_jobs(&GitHubTarget, &Credential, u64, &MessageQueue, &[i64]) -> QueueAnswer<Vec<i64>> = QueueAnswer::Gone;
    create_runner(&GitHubTarget, &Credential, u64, &str, &str) -> JitRunner = JitRunner::Unsupported;
    scale_set_runner(&GitHubTarget, &Credential, &str) -> Option<ScaleSetRunner> = None;
    deregister_runner(&GitHubTarget, &Credential, u64) -> Deregistration = Deregistration::Missing;
}
    async fn scale_set_named(
        &self,
        _: &GitHubTarget,
        _: &Credential,
        _: Option<&str>,
        _: &str,
    ) -> RemoteResult<Option<ScaleSet>> {
        self.set_read_at_secs.borrow_mut().push(self.secs());
        self.react(None).await
    }

    async fn open_session(&self, _: &GitHubTarget, _: &Credential, _: u64, _: &str) -> RemoteResult<SessionOpening> {
        match self.message_at_secs {
            Some(_) => Ok(SessionOpening::Opened { session: session(), statistics: Some(JobStatistics::default()) }),
            None => self.react(SessionOpening::NoSuchSet).await,
        }
    }

    async fn next_message(
        &self,
        _: &MessageQueue,
        last_message_id: u64,
        _: u32,
    ) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>> {
        let Some(secs) = self.message_at_secs else { return self.react(QueueAnswer::Gone).await };
        self.polls.borrow_mut().push((self.secs(), last_message_id));
        let is_acknowledged = self.acknowledged_at_secs.get().is_some();
        if last_message_id > 0 && (is_acknowledged || !self.redelivers) {
            return pending().await;
        }
        self.sleep_until(NOW + Duration::from_secs(secs)).await;
        let message = ScaleSetMessage { id: 1, statistics: Some(JobStatistics::default()), events: Vec::new() };
        Ok(QueueAnswer::Ok(Some(message)))
    }

    async fn acknowledge(&self, _: &MessageQueue, _: u64) -> RemoteResult<QueueAnswer<()>> {
        self.acknowledged_at_secs.set(Some(self.secs()));
        Ok(QueueAnswer::Ok(()))
    }
);

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
    Invocation { deadline: NOW + Duration::from_secs(900), function: "github-runner-pool".to_owned() }
}

pub(super) fn settings() -> Settings {
    let role = ("RUNNER_ROLE_ARN".to_owned(), "arn:aws:iam::111122223333:role/github-runner-pool/runner".to_owned());
    Settings::from_variables(&BTreeMap::from([role])).unwrap()
}

pub(super) async fn run(world: &StubWorld, event: &Value) -> Value {
    handle(world, &settings(), event, &invocation()).await.unwrap();
    let mut responses = world.responses.take();
    assert_eq!(responses.len(), 1, "{responses:?}");
    responses.remove(0)
}
