//! One call of one invocation: the time that it takes, and what goes wrong with it.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use github_runner_pool::pool::model::remote_error::RemoteService;
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::RemoteResult;

use crate::faults::Fault;
use crate::history::Fact;
use crate::planted::Bug;
use crate::ports::{PLANTED_PANIC, Port};
use crate::world::{Due, World};

/// How old the response of a stale read may be. ECS says that it is eventually consistent, and no more.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const STALE_MAX: Duration = Duration::from_secs(12);

/// The pool of what is gone.
const GONE: &str = "gone";

/// Passes when its moment has come.
pub(super) struct Wait<'port> {
    port: &'port Port,
    pub(super) until: Timestamp,
    is_known: bool,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.port.world.borrow_mut();
        if world.now >= self.until {
            return Poll::Ready(());
        }
        world.wakes(self.port.invocation, context.waker());
        if !self.is_known {
            world.schedule(self.until, Due::Wake(self.port.invocation));
            drop(world);
            self.is_known = true;
        }
        Poll::Pending
    }
}

impl Port {
    pub(super) fn pass(&self, span: Duration) -> Wait<'_> {
        self.pass_until(self.world.borrow().now + span)
    }

    pub(super) fn pass_until(&self, until: Timestamp) -> Wait<'_> {
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
    pub(super) async fn call<T>(
        &self,
        remote: RemoteService,
        operation: &'static str,
        effect: impl FnOnce(&mut World) -> RemoteResult<T>,
    ) -> RemoteResult<T> {
        let (fault, there, back) = {
            let mut world = self.world.borrow_mut();
            let fault = world.fault_of_call(self.invocation);
            let is_hammering = world.bug == Some(Bug::Hammers);
            world.figures.calls += 1;
            if let Some(invocation) = world.lambda.invocations.get_mut(&self.invocation) {
                invocation.n_calls += if is_hammering { 100 } else { 1 };
                // A response that cannot be sent is sent by another delivery.
                invocation.has_panicked |= fault == Some(Fault::Panic);
                invocation.has_panicked &= fault != Some(Fault::Panic) || operation != "PUT";
            }
            if fault.is_some() {
                world.call_failed(self.invocation);
            }
            if matches!(fault, Some(Fault::Panic | Fault::Denied | Fault::Rejected | Fault::Missing)) {
                world.watch_lost(self.invocation);
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
            Some(Fault::Slow) => {
                let takes = self.world.borrow_mut().between(15_000, 100_000);
                self.pass(takes).await;
            }
            Some(Fault::KillAfter | Fault::LostAnswer | Fault::Stale) | None => {}
            Some(refused) => {
                self.pass(back).await;
                return Err(refused.remote_error(remote, operation).unwrap());
            }
        }
        let outcome = {
            let mut world = self.world.borrow_mut();
            match world.trouble_of(remote, operation) {
                Some(remote_error) => {
                    world.call_failed(self.invocation);
                    Err(remote_error)
                }
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
    pub(super) async fn read<T: Clone + 'static>(
        &self,
        remote: RemoteService,
        operation: &'static str,
        target: &str,
        look: impl FnOnce(&mut World) -> T,
    ) -> RemoteResult<T> {
        let is_stale = {
            let world = self.world.borrow();
            world.next_fault(self.invocation) == Some(Fault::Stale)
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

    /// Shows which call of the background comes next, so that a story can give it a fault.
    pub(super) fn trace_next_call(&self, operation: &str) {
        let mut world = self.world.borrow_mut();
        let call = world.n_background_calls + 1;
        world.trace(|| format!("{operation} is background call {call}"));
    }

    /// A write to something of this name.
    pub(super) async fn write<T>(
        &self,
        remote: RemoteService,
        operation: &'static str,
        target: &str,
        effect: impl FnOnce(&mut World) -> RemoteResult<T>,
    ) -> RemoteResult<T> {
        let invocation = self.invocation;
        let (target, began) = (target.to_owned(), self.world.borrow().now);
        self.call(remote, operation, move |world| {
            let is_foreign = !world.is_of(invocation, &target);
            world.note(&Fact::Wrote { invocation, operation, target, began, is_foreign });
            effect(world)
        })
        .await
    }
}

impl World {
    /// Whether something of this name may be written by this invocation: it is of the pool that its request is about.
    fn is_of(&self, invocation: u64, target: &str) -> bool {
        let invocation = self.lambda.invocations.get(&invocation);
        if let Some(group) = target.strip_prefix("launch ") {
            // No request: a machine of whichever pool.
            return self.groups.all.get(group).is_none_or(|group| group.tags.contains_key("github-runner-pool:id"));
        }
        if invocation.is_some_and(|it| it.ask.is_none()) {
            return self.is_of_some_pool(target);
        }
        let ask = invocation.and_then(|it| it.ask);
        let Some(stack) = ask.map(|ask| &self.stacks.all[self.stacks.asks[ask].stack]) else { return false };
        let (stem, id) = (stack.stem(), stack.id());
        if let Some(task) = self.ecs.tasks.get(target) {
            return task.service.starts_with(&stem);
        }
        if let Some(instance) = self.ecs.instances.get(target) {
            return instance.provider.starts_with(&stem);
        }
        if let Some(pool) = self.pool_at_github(target) {
            return pool.is_some_and(|pool| pool == GONE || pool.starts_with(&stem));
        }
        // By name or ARN; what exists must carry the tags.
        let name = target.rsplit(['/', ' ']).next().unwrap().split(':').next().unwrap();
        let group = self.groups.all.get(name).filter(|_| target.starts_with("group "));
        let is_tagged = group.is_none_or(|group| group.tags.get("github-runner-pool:stack-id") == Some(&id));
        is_tagged && (name.starts_with(&stem) || target.contains(":container-instance/") || target.contains(":task/"))
    }

    /// Whether a background invocation may write something of this name: it is of whichever pool.
    fn is_of_some_pool(&self, target: &str) -> bool {
        if let Some(pool) = self.pool_at_github(target) {
            return pool.is_some();
        }
        let task = self.ecs.tasks.get(target).map(|task| task.service.as_str());
        task.unwrap_or(target).starts_with("ghr-")
    }

    /// Whose a runner or a scale set is: `Some(None)` for somebody else's. What GitHub does not know is of no other's.
    fn pool_at_github(&self, target: &str) -> Option<Option<String>> {
        let gone = || Some(GONE.to_owned());
        if let Some(runner) = target.strip_prefix("runner ") {
            let runner = runner.parse().ok().and_then(|id: u64| self.github.runners.get(&id));
            return Some(runner.map_or_else(gone, |runner| runner.pool.clone()));
        }
        let set = target.strip_prefix("scale set ")?;
        let set = set.parse().ok().and_then(|id: u64| self.scale_sets.all.get(&id));
        Some(set.map_or_else(gone, |set| set.pool.clone()))
    }
}
