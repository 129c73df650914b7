//! The life of tasks and of the instances that they run on.

use std::time::Duration;

use crate::ecs::{Instance, Phase, ROOM, Task};
use crate::history::Loss;
use crate::world::World;

/// How long a task may wait for an instance: the least of the ten to thirty minutes that AWS speaks of.
/// <https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/>
const PROVISIONING_MAX: Duration = Duration::from_secs(600);

impl World {
    /// Tells a task to stop: its container gets its SIGTERM now, and what has not started ends at once.
    pub(crate) fn stop_task(&mut self, arn: &str, why: Loss, reason: &str) {
        let now = self.now;
        let Some(task) = self.ecs.tasks.get_mut(arn).filter(|task| task.is_wanted()) else { return };
        task.stop_cause = Some(why);
        reason.clone_into(&mut task.stop_reason);
        if task.phase == Phase::Running {
            task.phase = Phase::Stopping;
            self.terminate_container(arn);
        } else {
            task.never_started = true;
            task.is_counted = true;
            task.phase = Phase::Stopped;
            task.stopped_at = Some(now);
        }
        let reason = reason.to_owned();
        self.trace(|| format!("task {arn} is told to stop: {reason}"));
    }

    /// A task's container is no more.
    pub(crate) fn end_task(&mut self, arn: &str, exit_code: i32, reason: &str) {
        let now = self.now;
        let Some(task) = self.ecs.tasks.get_mut(arn).filter(|task| task.is_live()) else { return };
        task.phase = Phase::Stopped;
        task.stopped_at = Some(now);
        task.protected_until = None;
        task.exit_code = Some(exit_code);
        if task.stop_cause.is_none() {
            reason.clone_into(&mut task.stop_reason);
        }
        self.trace(|| format!("task {arn} stopped"));
    }

    /// A machine is gone, and with it whatever ran there.
    pub(crate) fn machine_gone(&mut self, ec2_id: &str, why: Loss, leaves_registration: bool) {
        let Some(instance) = self.ecs.instances.values().find(|instance| instance.ec2_id == ec2_id) else { return };
        let arn = instance.arn.clone();
        if why == Loss::MachineLost {
            self.count_lost(&arn);
        }
        let on_it = |task: &&Task| task.is_live() && task.instance.as_ref() == Some(&arn);
        let tasks: Vec<String> = self.ecs.tasks.values().filter(on_it).map(|task| task.arn.clone()).collect();
        for task in tasks {
            self.kill_container(&task, why);
            self.end_task(&task, 137, &format!("Host EC2 (instance {ec2_id}) terminated."));
        }
        if leaves_registration {
            self.ecs.instances.get_mut(&arn).unwrap().is_connected = false;
        } else {
            self.ecs.instances.remove(&arn);
        }
    }

    /// Runners that a failing machine takes along are nobody's fault.
    fn count_lost(&mut self, instance: &str) {
        let on_it = |task: &&Task| task.is_wanted() && task.instance.as_deref() == Some(instance);
        let services: Vec<String> = self.ecs.tasks.values().filter(on_it).map(|task| task.service.clone()).collect();
        for service in services {
            let stacks = &self.stacks.all;
            let is_its = |ask: &&mut crate::cloudformation::Ask| service.starts_with(&stacks[ask.stack].stem());
            for ask in self.stacks.asks.iter_mut().filter(is_its) {
                ask.n_lost_since += 1;
            }
        }
    }

    pub(super) fn tasks_step(&mut self) {
        let (now, is_broken) = (self.now, self.troubles.has(crate::faults::Trouble::ImageBroken, self.now));
        self.place();
        let due: Vec<String> = self
            .ecs
            .tasks
            .values()
            .filter(|task| task.phase == Phase::Pending && task.due <= now)
            .map(|task| task.arn.clone())
            .collect();
        for arn in due {
            let connected = |instance: &String| self.ecs.instances.get(instance).is_some_and(|it| it.is_connected);
            if !self.ecs.tasks[&arn].instance.as_ref().is_some_and(connected) {
                continue;
            }
            let told_in = self.between(0, 12_000);
            let is_cached = self.has_image(&arn);
            let task = self.ecs.tasks.get_mut(&arn).unwrap();
            if is_broken && !is_cached {
                task.phase = Phase::Stopped;
                task.stopped_at = Some(now);
                task.never_started = true;
                task.stop_reason = "CannotPullContainerError: the image cannot be pulled".to_owned();
                self.figures.fault("ImageBroken");
                self.occur("fault", "ImageBroken");
                continue;
            }
            task.phase = Phase::Running;
            task.started_at = Some(now);
            task.id_told_at = now + told_in;
            self.keep_image(&arn);
            self.start_container(&arn);
        }
    }

    /// ECS stops a task that found no instance, and the circuit breaker counts it.
    fn give_up_placing(&mut self, arn: &str) {
        let now = self.now;
        let task = self.ecs.tasks.get_mut(arn).unwrap();
        task.phase = Phase::Stopped;
        task.stopped_at = Some(now);
        task.never_started = true;
        task.stop_reason = "TaskFailedToStart: RESOURCE:MEMORY".to_owned();
        self.occur("transition", "provisioning given up");
        self.trace(|| format!("task {arn} found no instance"));
    }

    /// Finds an instance for each task that waits for one.
    fn place(&mut self) {
        let waiting = |task: &&Task| task.phase == Phase::Provisioning;
        let waiting: Vec<String> = self.ecs.tasks.values().filter(waiting).map(|task| task.arn.clone()).collect();
        for arn in waiting {
            let task = &self.ecs.tasks[&arn];
            let distinct = self
                .ecs
                .services
                .get(&(task.cluster.clone(), task.service.clone()))
                .is_some_and(|service| service.config.distinct_instances);
            let room = if distinct || task.is_distinct() { 1 } else { ROOM };
            let fits = |instance: &&Instance| {
                instance.cluster == task.cluster
                    && instance.provider == task.provider
                    && instance.is_connected
                    && !instance.is_draining
                    && self.ecs.tasks_on(&instance.arn) < room
            };
            let Some(instance) = self.ecs.instances.values().find(fits).map(|instance| instance.arn.clone()) else {
                if self.now.since(task.due) >= PROVISIONING_MAX {
                    self.give_up_placing(&arn);
                }
                continue;
            };
            let takes = self.between(2_000, 20_000);
            let task = self.ecs.tasks.get_mut(&arn).unwrap();
            task.instance = Some(instance);
            task.phase = Phase::Pending;
            task.due = self.now + takes;
        }
    }
}
