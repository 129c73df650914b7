//! The world as one invocation of the function reaches it. Every call takes time, and may go wrong.

mod call;
mod compute;
mod github;
mod registrations;
mod scale_sets;

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::runner_log::LogStream;
use github_runner_pool::pool::model::secret::Secret;
use github_runner_pool::pool::model::spec::ParameterRef;
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{
    Clock, CloudFormation, DeliveryError, LogPage, RemoteCallError, RemoteResult, ResponseSender, RunnerLogs,
    SecretStore, SelfInvoker, StateItem, StateStore, StateWrite, World as Ports,
};

use crate::faults::Trouble;
use crate::history::Fact;
use crate::scale_sets::without_queue_secrets;
use crate::world::{Shared, World};

/// How a planted panic begins.
pub(crate) const PLANTED_PANIC: &str = "a planted panic";

/// What reads returned before.
pub(crate) type Earlier = BTreeMap<String, (Timestamp, Box<dyn Any>)>;

/// One invocation's way into the world.
pub(crate) struct Port {
    pub(crate) world: Shared,
    pub(crate) invocation: u64,
    pub(crate) earlier: std::cell::RefCell<Earlier>,
}

impl Ports for Port {
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

impl Clock for Port {
    fn now(&self) -> Timestamp {
        self.world.borrow().now
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.pass_until(moment).await;
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
                world.note(&Fact::Logged { line: without_queue_secrets(&item.text) });
                world.lock_written(invocation, item);
                world.tick_recorded(invocation, key, &item.text);
                world.claim_written(key, item);
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
                world.planted_response(url.expose(), &body);
                Ok(())
            };
            // Nobody but the response's own trouble stands in its way: the self-invocation's is somebody else's.
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
        let has_response = item.text.lines().nth(1).is_some();
        if let Some(ask) = invocation.ask.filter(|_| has_response).map(|ask| &mut self.stacks.asks[ask]) {
            ask.is_recorded |= ask.responses.is_empty();
        }
    }

    /// The item with this key; what an invocation learns from it is remembered.
    pub(crate) fn read_turn(&mut self, invocation: u64, name: &str) -> Option<StateItem> {
        let record = self.state_table.items.get(name).cloned()?;
        let head: serde_json::Value = serde_json::from_str(record.text.lines().next().unwrap_or_default()).ok()?;
        let signed_at = head["signed_at"].as_u64().unwrap_or(0);
        let Some(ask) = self.lambda.invocations.get(&invocation)?.ask else { return Some(record) };
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
