//! The world as one invocation of the function reaches it. Every call takes time, and may go wrong.

mod compute;

use std::any::Any;
use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::runner::{Runner, RunnerGroup};
use github_runner_pool::pool::model::runner_log::LogStream;
use github_runner_pool::pool::model::secret::Secret;
use github_runner_pool::pool::model::spec::{GitHubTarget, ParameterRef};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{
    Clock, CloudFormation, Credential, DeliveryError, Deregistration, GitHub, LogPage, RemoteCallError, RemoteResult,
    ResponseSender, RunnerLogs, SecretStore, SelfInvoker, StateItem, StateStore, StateWrite, World as Ports,
};

use crate::faults::{Fault, Trouble};
use crate::history::Fact;
use crate::planted::Bug;
use crate::world::{Due, Shared, World};

/// How a planted panic begins.
pub(crate) const PLANTED_PANIC: &str = "a planted panic";
/// How old the answer of a stale read may be. ECS says that it is eventually consistent, and no more.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const STALE_MAX: Duration = Duration::from_secs(12);

/// What reads told before.
pub(crate) type Earlier = BTreeMap<String, (Timestamp, Box<dyn Any>)>;

/// One invocation's way into the world.
pub(crate) struct Port {
    pub(crate) world: Shared,
    pub(crate) invocation: u64,
    pub(crate) earlier: std::cell::RefCell<Earlier>,
}

/// Passes when its moment has come.
struct Wait<'port> {
    port: &'port Port,
    until: Timestamp,
    is_known: bool,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let mut world = self.port.world.borrow_mut();
        if world.now >= self.until {
            return Poll::Ready(());
        }
        if !self.is_known {
            world.schedule(self.until, Due::Wake(self.port.invocation));
            drop(world);
            self.is_known = true;
        }
        Poll::Pending
    }
}

impl Port {
    fn pass(&self, span: Duration) -> Wait<'_> {
        let until = self.world.borrow().now + span;
        Wait { port: self, until, is_known: false }
    }

    /// The process dies: by fate, or by a bug of its own.
    async fn die(&self, is_fate: bool) {
        {
            let mut world = self.world.borrow_mut();
            let now = world.now;
            if let Some(invocation) = world.lambda.invocations.get_mut(&self.invocation) {
                invocation.is_killed = true;
                invocation.has_panicked &= !is_fate;
            }
            world.schedule(now, Due::Wake(self.invocation));
        }
        pending().await
    }

    /// One call: it takes time, it may be refused, and the process may die at either end of it.
    async fn call<T>(
        &self,
        remote: RemoteService,
        operation: &'static str,
        effect: impl FnOnce(&mut World) -> RemoteResult<T>,
    ) -> RemoteResult<T> {
        let (fault, there, back) = {
            let mut world = self.world.borrow_mut();
            let fault = world.fault_of_call();
            let is_hammering = world.bug == Some(Bug::Hammers);
            world.figures.calls += 1;
            if let Some(invocation) = world.lambda.invocations.get_mut(&self.invocation) {
                invocation.n_calls += if is_hammering { 100 } else { 1 };
                // An answer that cannot be sent is sent by another delivery.
                invocation.has_panicked |= fault == Some(Fault::Panic);
                invocation.has_panicked &= fault != Some(Fault::Panic) || operation != "PUT";
            }
            if let Some(fault) = fault.filter(|fault| *fault != Fault::Stale) {
                let name = format!("{fault:?}");
                world.figures.fault(&name);
                world.occur("fault", &name);
                world.trace(|| format!("{name} at {operation}"));
            }
            (fault, world.between(10, 300), world.between(10, 300))
        };
        self.pass(there).await;
        match fault {
            Some(Fault::KillBefore) => self.die(true).await,
            Some(Fault::Panic) if self.world.borrow().bug == Some(Bug::AbortsOnPanic) => self.die(false).await,
            Some(Fault::Panic) => panic!("{PLANTED_PANIC} at {operation}"),
            Some(Fault::Hang) => pending().await,
            Some(Fault::KillAfter | Fault::LostAnswer | Fault::Stale) | None => {}
            Some(refused) => {
                self.pass(back).await;
                return Err(refused.remote_error(remote, operation).unwrap());
            }
        }
        let outcome = {
            let mut world = self.world.borrow_mut();
            match world.trouble_of(remote, operation) {
                Some(remote_error) => Err(remote_error),
                None => effect(&mut world),
            }
        };
        match fault {
            Some(Fault::KillAfter) => self.die(true).await,
            Some(lost @ Fault::LostAnswer) => {
                self.pass(back).await;
                return Err(lost.remote_error(remote, operation).unwrap());
            }
            Some(_) | None => self.pass(back).await,
        }
        outcome
    }

    /// A read, which may tell what an earlier one told.
    async fn read<T: Clone + 'static>(
        &self,
        remote: RemoteService,
        operation: &'static str,
        target: &str,
        look: impl FnOnce(&mut World) -> T,
    ) -> RemoteResult<T> {
        let is_stale = {
            let world = self.world.borrow();
            world.script.faults.get(&(world.n_calls + 1)) == Some(&Fault::Stale)
        };
        let key = format!("{operation} {target}");
        let value = self.call(remote, operation, |world| Ok(look(world))).await?;
        let now = self.world.borrow().now;
        let mut earlier = self.earlier.borrow_mut();
        if is_stale
            && let Some((at, value)) = earlier.get(&key)
            && now.since(*at) <= STALE_MAX
            && let Some(value) = value.downcast_ref::<T>()
        {
            let mut world = self.world.borrow_mut();
            world.figures.fault("Stale");
            world.occur("fault", "Stale");
            world.trace(|| format!("stale {key}"));
            return Ok(value.clone());
        }
        earlier.insert(key, (now, Box::new(value.clone())));
        Ok(value)
    }

    /// A write to something of this name.
    async fn write<T>(
        &self,
        remote: RemoteService,
        operation: &'static str,
        target: &str,
        effect: impl FnOnce(&mut World) -> RemoteResult<T>,
    ) -> RemoteResult<T> {
        let invocation = self.invocation;
        let target = target.to_owned();
        self.call(remote, operation, move |world| {
            let is_foreign = !world.is_of(invocation, &target);
            world.note(&Fact::Wrote { invocation, operation, target, is_foreign });
            effect(world)
        })
        .await
    }
}

impl World {
    /// Whether something of this name may be written by this invocation: it is of the pool that its request is about.
    fn is_of(&self, invocation: u64, target: &str) -> bool {
        let ask = self.lambda.invocations.get(&invocation).and_then(|it| it.ask);
        let Some(stack) = ask.map(|ask| &self.stacks.all[self.stacks.asks[ask].stack]) else { return false };
        let (stem, id) = (stack.stem(), stack.id());
        if let Some(task) = self.ecs.tasks.get(target) {
            return task.service.starts_with(&stem);
        }
        if let Some(instance) = self.ecs.instances.get(target) {
            return instance.provider.starts_with(&stem);
        }
        if let Some(runner) = target.strip_prefix("runner ") {
            let runner = runner.parse().ok().and_then(|id: u64| self.github.runners.get(&id));
            return runner.is_none_or(|runner| runner.pool.as_ref().is_some_and(|pool| pool.starts_with(&stem)));
        }
        // By name or ARN; what exists must carry the tags.
        let name = target.rsplit(['/', ' ']).next().unwrap().split(':').next().unwrap();
        let group = self.groups.all.get(name).filter(|_| target.starts_with("group "));
        let is_tagged = group.is_none_or(|group| group.tags.get("github-runner-pool:stack-id") == Some(&id));
        is_tagged && (name.starts_with(&stem) || target.contains(":container-instance/") || target.contains(":task/"))
    }
}

impl Ports for Port {
    type Clock = Self;
    type Ecs = Self;
    type AutoScaling = Self;
    type SecretStore = Self;
    type StateStore = Self;
    type CloudFormation = Self;
    type RunnerLogs = Self;
    type GitHub = Self;
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
    fn cloudformation(&self) -> &Self {
        self
    }
    fn runner_logs(&self) -> &Self {
        self
    }
    fn github(&self) -> &Self {
        self
    }
    fn self_invoker(&self) -> &Self {
        self
    }
    fn response_sender(&self) -> &Self {
        self
    }
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        self.world.borrow().now
    }

    async fn sleep_until(&self, moment: Timestamp) {
        Wait { port: self, until: moment, is_known: false }.await;
    }
}

impl SecretStore for Port {
    async fn read(&self, _: &ParameterRef) -> RemoteResult<Option<Secret>> {
        let look = |world: &mut World| Ok(Some(Secret::new(world.github.kept.clone())));
        self.call(RemoteService::ParameterStore, "GetParameter", look).await
    }
}

impl StateStore for Port {
    async fn read_item(&self, name: &str) -> RemoteResult<Option<StateItem>> {
        let invocation = self.invocation;
        let look = |world: &mut World| Ok(world.planted_turn(invocation, name));
        self.call(RemoteService::DynamoDb, "GetItem", look).await
    }

    async fn write_item(&self, key: &str, item: &StateItem, now: Timestamp) -> RemoteResult<StateWrite> {
        let invocation = self.invocation;
        let effect = |world: &mut World| {
            let written = world.planted_write(key, item, now);
            if written == StateWrite::Stored {
                world.note(&Fact::Logged { line: item.text.clone() });
                world.lock_written(invocation, item);
            }
            Ok(written)
        };
        self.call(RemoteService::DynamoDb, "PutItem", effect).await
    }
}

impl CloudFormation for Port {
    async fn stack_status(&self, stack_id: &str) -> RemoteResult<Option<String>> {
        let read = |world: &mut World| {
            let call = world.n_calls;
            world.trace(|| format!("DescribeStacks is call {call}"));
            Ok(world.planted_stack_status(stack_id))
        };
        self.call(RemoteService::CloudFormation, "DescribeStacks", read).await
    }
}

impl RunnerLogs for Port {
    async fn page(&self, stream: &LogStream, _: Timestamp, earlier: Option<&str>) -> RemoteResult<Option<LogPage>> {
        self.call(RemoteService::Logs, "GetLogEvents", |world| world.planted_log(stream, earlier)).await
    }
}

impl GitHub for Port {
    async fn runners(&self, target: &GitHubTarget, credential: &Credential) -> RemoteResult<Vec<Runner>> {
        let look = |world: &mut World| {
            world.sign_in_at("GET /actions/runners", target, credential)?;
            Ok(world.planted_runners(target))
        };
        self.call(RemoteService::GitHub, "GET /actions/runners", look).await
    }

    async fn check_administration(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
    ) -> RemoteResult<Option<String>> {
        const OPERATION: &str = "POST /actions/runners/registration-token";
        self.call(RemoteService::GitHub, OPERATION, |world| {
            world.sign_in_at(OPERATION, target, credential).map(|()| None)
        })
        .await
    }

    async fn runner_group(
        &self,
        _: &GitHubTarget,
        credential: &Credential,
        _: &str,
    ) -> RemoteResult<Option<RunnerGroup>> {
        const OPERATION: &str = "GET /actions/runner-groups";
        let look = |world: &mut World| world.sign_in(OPERATION, credential).map(|()| Some(RunnerGroup::Own));
        self.call(RemoteService::GitHub, OPERATION, look).await
    }

    async fn deregister(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        const OPERATION: &str = "DELETE /actions/runners";
        let effect = |world: &mut World| {
            world.sign_in_at(OPERATION, target, credential)?;
            Ok(world.deregister(runner))
        };
        self.write(RemoteService::GitHub, OPERATION, &format!("runner {runner}"), effect).await
    }
}

impl SelfInvoker for Port {
    async fn invoke(&self, _: &str, event: Vec<u8>) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.planted_handing_on(&event);
            Ok(())
        };
        self.call(RemoteService::Lambda, "Invoke", effect).await
    }
}

impl ResponseSender for Port {
    /// As the adapter does: tries again while there is time.
    async fn deliver(&self, url: &Secret, body: Vec<u8>, give_up_at: Timestamp) -> Result<(), DeliveryError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let effect = |world: &mut World| {
                if world.troubles.has(Trouble::AnswersRefused, world.now) {
                    world.figures.fault("AnswersRefused");
                    world.occur("fault", "AnswersRefused");
                    let no =
                        crate::faults::refuse(RemoteService::Lambda, "PUT", ErrorKind::Unavailable, "503", "Slow Down");
                    return Err(no);
                }
                world.planted_answer(url.expose(), &body);
                Ok(())
            };
            // Nobody but the answer's own trouble stands in its way: the self-invocation's is somebody else's.
            let outcome: Result<(), RemoteCallError> = self.call(RemoteService::Ecs, "PUT", effect).await;
            let Err(error) = outcome else { return Ok(()) };
            let again = self.pass(Duration::from_secs(1 << u32::min(tries, 4)));
            if again.until >= give_up_at {
                return Err(DeliveryError { tries, last: error.to_string() });
            }
            again.await;
        }
    }
}

impl World {
    /// An invocation has written a lock, perhaps with a response.
    fn lock_written(&mut self, invocation: u64, item: &StateItem) {
        let Some(invocation) = self.lambda.invocations.get_mut(&invocation) else { return };
        invocation.own_record = Some(item.clone());
        let has_answer = item.text.lines().nth(1).is_some();
        if let Some(ask) = invocation.ask.filter(|_| has_answer).map(|ask| &mut self.stacks.asks[ask]) {
            ask.is_recorded |= ask.answers.is_empty();
        }
    }

    /// The item with this key; what an invocation learns from it is remembered.
    pub(crate) fn read_turn(&mut self, invocation: u64, name: &str) -> Option<StateItem> {
        let record = self.state_table.items.get(name).cloned()?;
        let head: serde_json::Value = serde_json::from_str(record.text.lines().next().unwrap_or_default()).ok()?;
        let signed_at = head["signed_at"].as_u64().unwrap_or(0);
        let ask = self.lambda.invocations.get(&invocation)?.ask?;
        let ask = &self.stacks.asks[ask];
        // A Delete of another pool has a record of its own.
        let is_bystander = ask.kind == "Delete"
            && head["pool"] != ask.event["PhysicalResourceId"]
            && head["covers_resource"] != serde_json::json!(true);
        if signed_at > ask.signed_at.epoch_millis() && !is_bystander {
            self.lambda.invocations.get_mut(&invocation).unwrap().saw_newer = true;
        }
        Some(record)
    }
}
