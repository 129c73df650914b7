//! Warm pools: stopped machines of a group, and the launch hook that gives them time to be set up.
//!
//! Harsher than AWS where its pages leave room: a group is not deleted while it has a warm pool, forced or not, and one in
//! seven events of a launch is lost.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-warm-pools.html>

use std::time::Duration;

use github_runner_pool::pool::model::auto_scaling::{
    GroupConfig, GroupInstance, LAUNCH_HOOK, WarmPool as ObservedWarmPool,
};
use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{RemoteCallError, RemoteResult};
use serde_json::json;

use crate::auto_scaling::{Group, State, missing};
use crate::faults::refuse;
use crate::lambda::{Delivery, Origin};
use crate::world::{Due, World};

/// How long the launch hook holds a machine back on which nobody completes its action.
const HOOK_MAX: Duration = Duration::from_secs(600);

/// A group's warm pool.
pub(crate) struct WarmPool {
    pub(crate) size: u32,
    /// On its way out, until then.
    ends: Option<Timestamp>,
    machines: Vec<WarmMachine>,
}

struct WarmMachine {
    id: String,
    version: u64,
    /// When it is set up, and is stopped.
    ready: Timestamp,
}

fn refused(operation: &str, kind: ErrorKind, code: &str, message: &str) -> RemoteCallError {
    refuse(RemoteService::AutoScaling, operation, kind, code, message)
}

fn may_start_spot(config: &GroupConfig) -> bool {
    config.mixed_instances_policy.as_ref().is_some_and(|policy| policy.on_demand_percentage_above_base < 100)
}

/// Whether a group with a warm pool may become this.
pub(crate) fn allows(group: &Group, config: &GroupConfig) -> RemoteResult<()> {
    if group.warm_pool.is_some() && may_start_spot(config) {
        let message = "A group with a warm pool cannot have a mixed instances policy with Spot Instances.";
        return Err(refused("UpdateAutoScalingGroup", ErrorKind::Invalid, "ValidationError", message));
    }
    Ok(())
}

impl WarmPool {
    pub(crate) fn observed(&self, now: Timestamp) -> ObservedWarmPool {
        let machine = |machine: &WarmMachine| GroupInstance {
            id: machine.id.clone(),
            lifecycle_state: if machine.ready > now { "Warmed:Pending:Wait" } else { "Warmed:Stopped" }.to_owned(),
            protected_from_scale_in: true,
            template_version: Some(machine.version),
        };
        ObservedWarmPool {
            size: Some(self.size),
            is_being_deleted: self.ends.is_some(),
            instances: self.machines.iter().map(machine).collect(),
        }
    }

    /// A machine that is ready leaves for the group: its id and its version.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<(String, u64)> {
        let place = self.machines.iter().position(|machine| self.ends.is_none() && machine.ready <= now)?;
        let machine = self.machines.remove(place);
        Some((machine.id, machine.version))
    }
}

impl World {
    pub(crate) fn put_launch_hook(&mut self, name: &str) -> RemoteResult<()> {
        let Some(group) = self.groups.all.get_mut(name) else { return Err(missing("PutLifecycleHook", name)) };
        group.has_launch_hook = true;
        Ok(())
    }

    /// Machines that it holds back are abandoned.
    pub(crate) fn delete_launch_hook(&mut self, name: &str) {
        let now = self.now;
        let Some(group) = self.groups.all.get_mut(name) else { return };
        group.has_launch_hook = false;
        for machine in group.machines.iter_mut().filter(|machine| matches!(machine.state, State::Held(_))) {
            machine.state = State::Terminating(now);
        }
    }

    pub(crate) fn complete_launch(&mut self, name: &str, id: &str) {
        let now = self.now;
        let Some(group) = self.groups.all.get_mut(name) else { return };
        for machine in group.machines.iter_mut().filter(|machine| machine.id == id) {
            if matches!(machine.state, State::Held(_)) {
                machine.state = State::Held(now);
            }
        }
    }

    pub(crate) fn put_warm_pool(&mut self, name: &str, size: u32) -> RemoteResult<()> {
        const OPERATION: &str = "PutWarmPool";
        let is_associated = self.ecs.clusters.values().any(|cluster| cluster.providers.iter().any(|it| it == name));
        let Some(group) = self.groups.all.get_mut(name) else { return Err(missing(OPERATION, name)) };
        if may_start_spot(&group.config) {
            let message = "A warm pool cannot be added to a group with Spot Instances.";
            return Err(refused(OPERATION, ErrorKind::Invalid, "ValidationError", message));
        }
        match &mut group.warm_pool {
            Some(warm_pool) if warm_pool.ends.is_some() => {
                let message = "The warm pool is being deleted.";
                return Err(refused(OPERATION, ErrorKind::Conflict, "ResourceContention", message));
            }
            Some(warm_pool) => warm_pool.size = size,
            None => group.warm_pool = Some(WarmPool { size, ends: None, machines: Vec::new() }),
        }
        let has_hook = group.has_launch_hook;
        if !has_hook || !is_associated {
            let what = format!("{name}: launch hook {has_hook}, association {is_associated}");
            self.violate("a_warm_pool_comes_last", what);
        }
        Ok(())
    }

    pub(crate) fn delete_warm_pool(&mut self, name: &str) {
        let ends = self.now + self.between(10_000, 120_000);
        let Some(warm_pool) = self.groups.all.get_mut(name).and_then(|group| group.warm_pool.as_mut()) else { return };
        warm_pool.ends = warm_pool.ends.or(Some(ends));
    }

    /// Keeps the warm pool of a group at its size.
    pub(crate) fn warm_pool_step(&mut self, name: &str) {
        let (now, version, number) = (self.now, self.groups.template_version, self.groups.n_machines);
        let Some(group) = self.groups.all.get_mut(name) else { return };
        if group.warm_pool.as_ref().is_some_and(|warm_pool| warm_pool.ends.is_some_and(|at| at <= now)) {
            group.warm_pool = None;
            self.occur("transition", "warm pool deleted");
            return;
        }
        let version = group.config.launch_template.version.parse().unwrap_or(version);
        let Some(warm_pool) = &mut group.warm_pool else { return };
        if warm_pool.ends.is_none() && warm_pool.machines.len() < warm_pool.size as usize {
            warm_pool.machines.push(WarmMachine { id: format!("i-{number:017x}"), version, ready: now + HOOK_MAX });
            self.groups.n_machines += 1;
        }
    }

    /// A machine that came up is held back: `EventBridge` tells the function, as best it can.
    pub(crate) fn held_back(&mut self, name: &str, id: &str, is_warm: bool) -> Timestamp {
        self.in_background(|world| world.send_launch_event(name, id, is_warm));
        self.now + HOOK_MAX
    }

    fn send_launch_event(&mut self, name: &str, id: &str, is_warm: bool) {
        if !self.is_calm && self.once_in(7) {
            self.occur("fault", "LaunchEventLost");
            self.figures.fault("LaunchEventLost");
            return;
        }
        let event = json!({
            "version": "0", "id": "0", "detail-type": "EC2 Instance-launch Lifecycle Action",
            "source": "aws.autoscaling", "account": "111122223333", "time": "2027-01-15T08:00:00Z",
            "region": "eu-central-1", "resources": [crate::auto_scaling::arn(name)],
            "detail": {
                "LifecycleActionToken": "71514b9d-6a40-4b26-8523-05e7ee35fa40", "AutoScalingGroupName": name, "LifecycleHookName": LAUNCH_HOOK,
                "EC2InstanceId": id, "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                "Origin": if is_warm { "WarmPool" } else { "EC2" }, "Destination": "AutoScalingGroup",
            },
        });
        let delivery = Delivery { event, tries: 0, first_at: self.now, origin: Origin::Launch };
        let soon = self.now + self.between(20, 2_000);
        self.schedule(soon, Due::Deliver(Box::new(delivery)));
    }
}
