//! GitHub's scale-set service, as the function reaches it.

use std::pin::Pin;
use std::task::{Context, Poll};

use github_runner_pool::pool::model::remote_error::RemoteService;
use github_runner_pool::pool::model::scale_set::{
    MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::reconcile::ports::{
    Credential, Deregistration, JitRunner, QueueAnswer, RemoteResult, ScaleSetDeletion, ScaleSets, SessionOpening,
};

use super::Port;
use crate::scale_sets::Polled;
use crate::world::{Due, World};

/// A poll that waits for a message. However it ends, the service then knows that its connection is closed.
struct LongPoll<'port> {
    port: &'port Port,
    polled: Polled,
    last_message_id: u64,
    is_scheduled: bool,
}

impl Future for LongPoll<'_> {
    type Output = QueueAnswer<Option<ScaleSetMessage>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut world = self.port.world.borrow_mut();
        match world.message_after(&self.polled.session, self.last_message_id) {
            QueueAnswer::Ok(None) if world.now < self.polled.until => {}
            answer => return Poll::Ready(answer),
        }
        world.wakes(self.port.invocation, context.waker());
        if !self.is_scheduled {
            world.schedule(self.polled.until, Due::Wake(self.port.invocation));
            drop(world);
            self.is_scheduled = true;
        }
        Poll::Pending
    }
}

impl Drop for LongPoll<'_> {
    fn drop(&mut self) {
        if let Ok(mut world) = self.port.world.try_borrow_mut() {
            world.end_poll(self.port.invocation, &self.polled.session);
        }
    }
}

impl Port {
    /// A call with the credential of the pool.
    async fn administer<T>(
        &self,
        operation: &'static str,
        (target, credential): (&GitHubTarget, &Credential),
        effect: impl FnOnce(&mut World) -> RemoteResult<T>,
    ) -> RemoteResult<T> {
        let effect = |world: &mut World| {
            world.sign_in_at(operation, target, credential)?;
            effect(world)
        };
        self.call(RemoteService::GitHub, operation, effect).await
    }

    /// The same that changes this set, or something in it.
    async fn administer_set<T>(
        &self,
        operation: &'static str,
        (target, credential): (&GitHubTarget, &Credential),
        set: u64,
        effect: impl FnOnce(&mut World) -> RemoteResult<T>,
    ) -> RemoteResult<T> {
        let effect = |world: &mut World| {
            world.sign_in_at(operation, target, credential)?;
            effect(world)
        };
        self.write(RemoteService::GitHub, operation, &format!("scale set {set}"), effect).await
    }
}

impl ScaleSets for Port {
    async fn scale_set_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        group: Option<&str>,
        name: &str,
    ) -> RemoteResult<Option<ScaleSet>> {
        let look = |world: &mut World| Ok(world.planted_set(target, group, name));
        self.administer("GET runnerscalesets", (target, credential), look).await
    }

    async fn create_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        request: &ScaleSetRequest,
    ) -> RemoteResult<ScaleSet> {
        let effect = |world: &mut World| world.create_set(target, request);
        self.administer("POST runnerscalesets", (target, credential), effect).await
    }

    async fn delete_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
    ) -> RemoteResult<ScaleSetDeletion> {
        let effect = |world: &mut World| Ok(world.delete_set(scale_set));
        self.administer_set("DELETE runnerscalesets", (target, credential), scale_set, effect).await
    }

    async fn open_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        _: &str,
    ) -> RemoteResult<SessionOpening> {
        let effect = |world: &mut World| Ok(world.open_session(scale_set));
        self.administer_set("POST sessions", (target, credential), scale_set, effect).await
    }

    async fn renew_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<Option<MessageSession>> {
        let effect = |world: &mut World| Ok(world.renew_session(scale_set, session));
        self.administer_set("PATCH sessions", (target, credential), scale_set, effect).await
    }

    async fn close_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<()> {
        let effect = |world: &mut World| {
            world.close_session(scale_set, session);
            Ok(())
        };
        self.administer_set("DELETE sessions", (target, credential), scale_set, effect).await
    }

    async fn next_message(
        &self,
        queue: &MessageQueue,
        last_message_id: u64,
        max_capacity: u32,
    ) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>> {
        let invocation = self.invocation;
        let begin = |world: &mut World| {
            let capacity = world.planted_capacity(queue, max_capacity);
            Ok(world.begin_poll(invocation, queue, capacity))
        };
        let polled = match self.call(RemoteService::GitHub, "GET message", begin).await? {
            QueueAnswer::Ok(polled) => polled,
            QueueAnswer::TokenExpired => return Ok(QueueAnswer::TokenExpired),
            QueueAnswer::Gone => return Ok(QueueAnswer::Gone),
        };
        let answer = LongPoll { port: self, polled, last_message_id, is_scheduled: false }.await;
        Ok(self.world.borrow_mut().planted_message(queue, answer))
    }

    async fn acknowledge(&self, queue: &MessageQueue, message_id: u64) -> RemoteResult<QueueAnswer<()>> {
        let set = self.world.borrow().set_behind(queue);
        let effect = |world: &mut World| Ok(world.acknowledge(queue, message_id));
        match set {
            Some(set) => self.write(RemoteService::GitHub, "DELETE message", &format!("scale set {set}"), effect).await,
            None => self.call(RemoteService::GitHub, "DELETE message", effect).await,
        }
    }

    async fn acquire_jobs(
        &self,
        _: &GitHubTarget,
        _: &Credential,
        scale_set: u64,
        queue: &MessageQueue,
        request_ids: &[i64],
    ) -> RemoteResult<QueueAnswer<Vec<i64>>> {
        let effect = |world: &mut World| Ok(world.acquire_jobs(queue, request_ids));
        self.write(RemoteService::GitHub, "POST acquirejobs", &format!("scale set {scale_set}"), effect).await
    }

    async fn create_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        name: &str,
        _: &str,
    ) -> RemoteResult<JitRunner> {
        let effect = |world: &mut World| world.create_set_runner(target, scale_set, name);
        self.administer_set("POST generatejitconfig", (target, credential), scale_set, effect).await
    }

    async fn scale_set_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<ScaleSetRunner>> {
        let look = |world: &mut World| Ok(world.find_set_runner(target, name));
        self.administer("GET agents", (target, credential), look).await
    }

    async fn deregister_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        const OPERATION: &str = "DELETE agents";
        let invocation = self.invocation;
        let effect = |world: &mut World| {
            world.sign_in_at(OPERATION, target, credential)?;
            let result = world.deregister(runner);
            world.note_background_deregistration(invocation, result);
            Ok(result)
        };
        self.write(RemoteService::GitHub, OPERATION, &format!("runner {runner}"), effect).await
    }
}
