//! A world with one pool with `MaxRunners`, one message for it, and a table whose answers a test chooses.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use super::stub_world::{Behavior, NOW, StubWorld, remote_error};
use crate::pool::model::identity::{PhysicalId, StackResource};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::{
    JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use crate::pool::model::scaling::{
    LISTENER_KEY, ListenerLease, ListenerProgress, SCALED_POOLS_KEY, ScaledPools, ScalingGoal, ScalingMode,
    ScalingRecord,
};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::fixtures::minimal_spec;
use crate::pool::model::spec::{GitHubTarget, JobScaling, ParameterRef};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{
    Clock as _, Credential, Deregistration, JitRunner, QueueAnswer, RemoteResult, ScaleSetDeletion, ScaleSets,
    SecretStore, SessionOpening, StateItem, StateStore, StateWrite, World,
};

/// How DynamoDB takes an operation on the listener's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Works,
    Never,
    /// After so many seconds.
    Takes(u64),
    /// An error, until so many seconds after [`NOW`].
    FailsUntil(u64),
}

pub(super) struct ListenerWorld {
    pub(super) stub: StubWorld,
    pub(super) items: RefCell<BTreeMap<String, StateItem>>,
    /// How the second and every later write of the lease is answered.
    pub(super) renewals: Answer,
    /// How the second and every later read of the list of pools is answered.
    pub(super) lists: Answer,
    /// Whether a request lists a pool just before the lease is given back.
    pub(super) lists_a_pool_late: bool,
    pub(super) n_lists: Cell<u32>,
    pub(super) n_lease_writes: Cell<u32>,
    /// When GitHub has the message, in seconds after [`NOW`].
    pub(super) message_at_secs: u64,
    /// When it was acknowledged.
    pub(super) acknowledged_at_secs: Cell<Option<u64>>,
    /// Whether the queue delivers it again at once, whatever the poll says, until it is acknowledged.
    pub(super) redelivers: bool,
    /// When each poll began, and after which message.
    pub(super) polls: RefCell<Vec<(u64, u64)>>,
    /// When the scale set was read.
    pub(super) set_read_at_secs: RefCell<Vec<u64>>,
}

impl ListenerWorld {
    /// Whose message comes after so many seconds.
    pub(super) fn new(message_at_secs: u64) -> Self {
        let world = Self {
            stub: StubWorld::new(Behavior::IsEmpty),
            items: RefCell::default(),
            renewals: Answer::Works,
            lists: Answer::Works,
            lists_a_pool_late: false,
            n_lists: Cell::default(),
            n_lease_writes: Cell::default(),
            message_at_secs,
            acknowledged_at_secs: Cell::default(),
            redelivers: false,
            polls: RefCell::default(),
            set_read_at_secs: RefCell::default(),
        };
        world.change_progress(|_| ());
        world.list_pool(pool().0);
        world
    }

    /// How far the listener before was.
    pub(super) fn change_progress(&self, change: impl FnOnce(&mut ListenerProgress)) {
        let (id, mut record) = pool();
        change(&mut record.progress);
        self.put(&ScalingRecord::key(&id), record.to_record());
    }

    /// How far the listener is.
    pub(super) fn progress(&self) -> ListenerProgress {
        let key = ScalingRecord::key(&pool().0);
        ScalingRecord::from_record(&self.items.borrow()[&key].text).unwrap().progress
    }

    fn secs(&self) -> u64 {
        self.stub.now().since(NOW).as_secs()
    }

    /// Without the pool in its list.
    pub(super) fn without_pools() -> Self {
        let world = Self::new(0);
        world.items.borrow_mut().remove(SCALED_POOLS_KEY);
        world
    }

    /// Whose pool is in the list and has no item.
    pub(super) fn without_item() -> Self {
        let world = Self::new(0);
        world.items.borrow_mut().remove(&ScalingRecord::key(&pool().0));
        world
    }

    /// Whose pool has an item that another version of the function has written.
    pub(super) fn with_unreadable_item() -> Self {
        let world = Self::new(0);
        world.put(&ScalingRecord::key(&pool().0), "of another version".to_owned());
        world
    }

    pub(super) fn listed_pools(&self) -> ScaledPools {
        ScaledPools::from_record(&self.items.borrow()[SCALED_POOLS_KEY].text).unwrap()
    }

    pub(super) fn put(&self, key: &str, text: String) {
        self.items.borrow_mut().insert(key.to_owned(), StateItem { text, version: 1, expires_at: None });
    }

    fn list_pool(&self, id: PhysicalId) {
        self.put(SCALED_POOLS_KEY, ScaledPools { pools: [id].into() }.to_record());
    }

    pub(super) fn lease(&self) -> ListenerLease {
        ListenerLease::from_record(&self.items.borrow()[LISTENER_KEY].text)
    }

    async fn answer(&self, answer: Answer) -> RemoteResult<()> {
        match answer {
            Answer::Works => Ok(()),
            Answer::Never => pending().await,
            Answer::Takes(secs) => {
                self.stub.sleep_until(self.stub.now() + Duration::from_secs(secs)).await;
                Ok(())
            }
            Answer::FailsUntil(secs) if self.stub.now() >= NOW + Duration::from_secs(secs) => Ok(()),
            Answer::FailsUntil(_) => Err(remote_error(ErrorKind::Unavailable)),
        }
    }
}

/// The pool, whose session is open. It has no runners and no jobs.
pub(super) fn pool() -> (PhysicalId, ScalingRecord) {
    let mut spec = minimal_spec();
    spec.job_scaling = Some(JobScaling { max_runners: 1, scale_set_name: None });
    let stack_id = "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001";
    let resource = StackResource { stack_id: stack_id.to_owned(), logical_id: "Runners".to_owned() };
    let id = PhysicalId::of(&resource, &spec);
    let goal = ScalingGoal {
        request_id: "request-1".to_owned(),
        mode: ScalingMode::Active,
        scale_set: 1,
        metadata: PoolMetadata::of(&id, &spec),
        min_runners: 0,
        max_runners: 1,
        task_definition: "arn:aws:ecs:eu-central-1:111122223333:task-definition/pool:1".to_owned(),
        capacity_provider: id.as_str().to_owned(),
        distinct_instances: false,
        tags: BTreeMap::new(),
        wait_policy: spec.wait_policy.clone(),
    };
    let mut record = ScalingRecord::new(goal, NOW);
    record.progress.session = Some(session());
    (id, record)
}

fn session() -> MessageSession {
    let queue = MessageQueue { url: Secret::new("https://queue.example"), token: Secret::new("planted") };
    MessageSession { id: "session-1".to_owned(), queue }
}

impl SecretStore for ListenerWorld {
    async fn read(&self, _: &ParameterRef) -> RemoteResult<Option<Secret>> {
        Ok(Some(Secret::new("planted")))
    }
}

impl StateStore for ListenerWorld {
    async fn read_item(&self, key: &str) -> RemoteResult<Option<StateItem>> {
        if key == SCALED_POOLS_KEY {
            self.n_lists.set(self.n_lists.get() + 1);
            if self.n_lists.get() > 1 {
                self.answer(self.lists).await?;
            }
        }
        Ok(self.items.borrow().get(key).cloned())
    }

    async fn write_item(&self, key: &str, item: &StateItem, _: Timestamp) -> RemoteResult<StateWrite> {
        if key == LISTENER_KEY {
            self.n_lease_writes.set(self.n_lease_writes.get() + 1);
            if self.n_lease_writes.get() > 1 {
                self.answer(self.renewals).await?;
            }
            if self.lists_a_pool_late && ListenerLease::from_record(&item.text) == ListenerLease::default() {
                self.list_pool(pool().0);
            }
        }
        let current = self.items.borrow().get(key).map_or(0, |found| found.version);
        if item.version != current + 1 {
            return Ok(StateWrite::Conflict);
        }
        self.items.borrow_mut().insert(key.to_owned(), item.clone());
        Ok(StateWrite::Stored)
    }
}

impl ScaleSets for ListenerWorld {
    async fn next_message(
        &self,
        _: &MessageQueue,
        last_message_id: u64,
        _: u32,
    ) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>> {
        self.polls.borrow_mut().push((self.secs(), last_message_id));
        if last_message_id > 0 && !(self.redelivers && self.acknowledged_at_secs.get().is_none()) {
            return pending().await;
        }
        self.stub.sleep_until(NOW + Duration::from_secs(self.message_at_secs)).await;
        let message = ScaleSetMessage { id: 1, statistics: Some(JobStatistics::default()), events: Vec::new() };
        Ok(QueueAnswer::Ok(Some(message)))
    }
    async fn acknowledge(&self, _: &MessageQueue, _: u64) -> RemoteResult<QueueAnswer<()>> {
        self.acknowledged_at_secs.set(Some(self.secs()));
        Ok(QueueAnswer::Ok(()))
    }

    async fn scale_set_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        group: Option<&str>,
        name: &str,
    ) -> RemoteResult<Option<ScaleSet>> {
        self.set_read_at_secs.borrow_mut().push(self.secs());
        self.stub.scale_set_named(target, credential, group, name).await
    }
    async fn create_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        request: &ScaleSetRequest,
    ) -> RemoteResult<ScaleSet> {
        self.stub.create_scale_set(target, credential, request).await
    }
    async fn delete_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
    ) -> RemoteResult<ScaleSetDeletion> {
        self.stub.delete_scale_set(target, credential, scale_set).await
    }
    async fn open_session(&self, _: &GitHubTarget, _: &Credential, _: u64, _: &str) -> RemoteResult<SessionOpening> {
        Ok(SessionOpening::Opened { session: session(), statistics: Some(JobStatistics::default()) })
    }
    async fn renew_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<Option<MessageSession>> {
        self.stub.renew_session(target, credential, scale_set, session).await
    }
    async fn close_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<()> {
        self.stub.close_session(target, credential, scale_set, session).await
    }
    async fn acquire_jobs(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        queue: &MessageQueue,
        request_ids: &[i64],
    ) -> RemoteResult<QueueAnswer<Vec<i64>>> {
        self.stub.acquire_jobs(target, credential, scale_set, queue, request_ids).await
    }
    async fn create_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        name: &str,
        workdir: &str,
    ) -> RemoteResult<JitRunner> {
        self.stub.create_runner(target, credential, scale_set, name, workdir).await
    }
    async fn scale_set_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<ScaleSetRunner>> {
        self.stub.scale_set_runner(target, credential, name).await
    }
    async fn deregister_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        ScaleSets::deregister_runner(&self.stub, target, credential, runner).await
    }
}

macro_rules! world {
    ($($port:ident $name:ident: $world:ty = $get:expr;)*) => {
        impl World for ListenerWorld {
            $(type $port = $world;)*
            $(fn $name(&self) -> &$world { let get: fn(&Self) -> &$world = $get; get(self) })*
        }
    };
}

world! {
    Clock clock: StubWorld = |world| &world.stub;
    Ecs ecs: StubWorld = |world| &world.stub;
    AutoScaling auto_scaling: StubWorld = |world| &world.stub;
    SecretStore secret_store: Self = |world| world;
    StateStore state_store: Self = |world| world;
    Registrations registrations: StubWorld = |world| &world.stub;
    CloudFormation cloudformation: StubWorld = |world| &world.stub;
    RunnerLogs runner_logs: StubWorld = |world| &world.stub;
    GitHub github: StubWorld = |world| &world.stub;
    ScaleSets scale_sets: Self = |world| world;
    SelfInvoker self_invoker: StubWorld = |world| &world.stub;
    ResponseSender response_sender: StubWorld = |world| &world.stub;
}
