//! EC2 Auto Scaling: groups, their machines, and the launch templates they are started from.

mod machines;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use github_runner_pool::pool::model::auto_scaling::{Group as ObservedGroup, GroupConfig, GroupInstance};
use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::spec::{LaunchTemplate, LaunchTemplateId};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{RemoteCallError, RemoteResult};

use crate::ecs::Tags;
use crate::faults::{Trouble, refuse};
use crate::history::Loss;
use crate::warm_pool::{self, WarmPool};
use crate::world::World;

/// Groups and the newest version of every launch template.
pub(crate) struct Groups {
    pub(crate) all: BTreeMap<String, Group>,
    pub(crate) template_version: u64,
    pub(crate) n_machines: u64,
}

impl Default for Groups {
    fn default() -> Self {
        Self { all: BTreeMap::new(), template_version: 1, n_machines: 0 }
    }
}

pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    pub(crate) protects_new: bool,
    pub(crate) desired: u32,
    pub(crate) tags: Tags,
    pub(crate) machines: Vec<Machine>,
    /// ECS's hook of managed draining, there while its provider is associated.
    has_hook: bool,
    /// The pool's hook, which holds back what comes up.
    pub(crate) has_launch_hook: bool,
    pub(crate) warm_pool: Option<WarmPool>,
    /// On its way out, until then.
    pub(crate) deleted_at: Option<Timestamp>,
    failed_activity: Option<String>,
}

pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) state: State,
    /// When its agent registers with the cluster.
    agent_due: Option<Timestamp>,
    is_protected: bool,
    /// It was in the warm pool before.
    is_warm: bool,
    version: u64,
    empty_since: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending(Timestamp),
    /// Held back by the launch hook, until then at most.
    Held(Timestamp),
    InService,
    /// Held back by the hook.
    WaitReason,
    Terminating(Timestamp),
}

/// The ARN of a group.
pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:autoscaling:eu-central-1:111122223333:autoScalingGroup:0:autoScalingGroupName/{name}")
}

/// Part of the group's capacity.
fn is_there(machine: &&Machine) -> bool {
    matches!(machine.state, State::Pending(_) | State::Held(_) | State::InService)
}

impl Groups {
    /// ECS puts its hook on the group of a provider that is associated, and leaves it there.
    pub(crate) fn hook(&mut self, group: &str, is_associated: bool) {
        if let Some(group) = self.all.get_mut(group).filter(|_| is_associated) {
            group.has_hook = true;
        }
    }

    /// Whether a machine is on its way out.
    pub(crate) fn is_ending(&self, id: &str) -> bool {
        let mut machines = self.all.values().flat_map(|group| &group.machines);
        machines.any(|it| it.id == id && matches!(it.state, State::WaitReason | State::Terminating(_)))
    }
}

impl Group {
    fn new(config: GroupConfig, tags: Tags) -> Self {
        Self {
            config,
            protects_new: true,
            desired: 0,
            tags,
            machines: Vec::new(),
            has_hook: false,
            has_launch_hook: false,
            warm_pool: None,
            deleted_at: None,
            failed_activity: None,
        }
    }
}

/// Whether the group's instances are replaced, protected ones with them: what AWS's page leaves open.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html>
fn buys_otherwise(before: &GroupConfig, after: &GroupConfig) -> bool {
    let share = |config: &GroupConfig| {
        config.mixed_instances_policy.as_ref().map(|mixed_instances_policy| {
            (mixed_instances_policy.on_demand_base_capacity, mixed_instances_policy.on_demand_percentage_above_base)
        })
    };
    share(before) != share(after)
}

pub(crate) fn missing(operation: &str, name: &str) -> RemoteCallError {
    let message = format!("AutoScalingGroup name not found - {name}");
    refuse(RemoteService::AutoScaling, operation, ErrorKind::NotFound, "ValidationError", &message)
}

impl World {
    /// In some runs somebody else has a group of just the first pool's name.
    pub(crate) fn create_foreign_group(&mut self, name: &str) {
        if self.script.has_foreign_group && name.starts_with("ghr-s0-") && !self.groups.all.contains_key(name) {
            let launch_template =
                LaunchTemplate { reference: LaunchTemplateId::Id("lt-build".to_owned()), version: "1".to_owned() };
            let config =
                GroupConfig { launch_template, subnets: Vec::new(), min: 0, max: 3, mixed_instances_policy: None };
            self.groups.all.insert(name.to_owned(), Group::new(config, Tags::new()));
        }
    }

    pub(crate) fn read_group(&self, name: &str) -> Option<ObservedGroup> {
        let group = self.groups.all.get(name)?;
        let machine = |machine: &Machine| GroupInstance {
            id: machine.id.clone(),
            lifecycle_state: match machine.state {
                State::Pending(_) => "Pending",
                State::Held(_) => "Pending:Wait",
                State::InService => "InService",
                State::WaitReason => "Terminating:Wait",
                State::Terminating(_) => "Terminating",
            }
            .to_owned(),
            protected_from_scale_in: machine.is_protected,
            template_version: Some(machine.version),
        };
        Some(ObservedGroup {
            arn: arn(name),
            config: group.config.clone(),
            launch_template_name: Some("template".to_owned()),
            desired: group.desired,
            protects_new_instances: group.protects_new,
            tags: group.tags.clone(),
            instances: group.machines.iter().map(machine).collect(),
            warm_pool: group.warm_pool.as_ref().map(|warm_pool| warm_pool.observed(self.now)),
            is_being_deleted: group.deleted_at.is_some(),
        })
    }

    pub(crate) fn failed_activity(&self, name: &str) -> Option<String> {
        self.groups.all.get(name)?.failed_activity.clone()
    }

    pub(crate) fn create_group(&mut self, name: &str, config: &GroupConfig, tags: &Tags) -> RemoteResult<()> {
        if self.groups.all.contains_key(name) {
            let message = "AutoScalingGroup by this name already exists";
            let operation = "CreateAutoScalingGroup";
            return Err(refuse(RemoteService::AutoScaling, operation, ErrorKind::Conflict, "AlreadyExists", message));
        }
        let config = GroupConfig { min: 0, ..config.clone() };
        self.groups.all.insert(name.to_owned(), Group::new(config, tags.clone()));
        Ok(())
    }

    pub(crate) fn update_group(&mut self, name: &str, config: &GroupConfig) -> RemoteResult<()> {
        let takes = self.between(10_000, 120_000);
        let Some(group) = self.groups.all.get(name) else {
            return Err(missing("UpdateAutoScalingGroup", name));
        };
        warm_pool::allows(group, config)?;
        if buys_otherwise(&group.config, config) {
            self.occur("transition", "purchase options changed");
            let (now, group) = (self.now, self.groups.all.get_mut(name).unwrap());
            for machine in &mut group.machines {
                machine.state = State::Terminating(now + takes);
            }
        }
        let group = self.groups.all.get_mut(name).unwrap();
        group.config = config.clone();
        group.protects_new = true;
        group.desired = group.desired.clamp(config.min, config.max);
        Ok(())
    }

    pub(crate) fn scale_group_to_zero(&mut self, name: &str) {
        if let Some(group) = self.groups.all.get_mut(name) {
            (group.config.min, group.config.max, group.desired, group.protects_new) = (0, 0, 0, false);
        }
    }

    pub(crate) fn unprotect_machines(&mut self, name: &str, ids: &[String]) {
        if let Some(group) = self.groups.all.get_mut(name) {
            for machine in group.machines.iter_mut().filter(|machine| ids.contains(&machine.id)) {
                machine.is_protected = false;
            }
        }
    }

    pub(crate) fn delete_hook(&mut self, name: &str) {
        let now = self.now;
        if let Some(group) = self.groups.all.get_mut(name) {
            group.has_hook = false;
            for machine in group.machines.iter_mut().filter(|machine| machine.state == State::WaitReason) {
                machine.state = State::Terminating(now + Duration::from_secs(10));
            }
        }
    }

    /// By force: its machines end at once, and their registrations stay behind.
    pub(crate) fn delete_group(&mut self, name: &str) -> RemoteResult<()> {
        if self.groups.all.get(name).is_some_and(|group| group.warm_pool.is_some()) {
            let (operation, code) = ("DeleteAutoScalingGroup", "ScalingActivityInProgress");
            let message = "There are activities in progress for the warm pool of that group.";
            return Err(refuse(RemoteService::AutoScaling, operation, ErrorKind::Conflict, code, message));
        }
        let ends = self.now + self.between(10_000, 90_000);
        let Some(group) = self.groups.all.get_mut(name).filter(|group| group.deleted_at.is_none()) else {
            return Ok(());
        };
        group.deleted_at = Some(ends);
        let ids: Vec<String> = group.machines.drain(..).map(|machine| machine.id).collect();
        for id in ids {
            self.machine_gone(&id, Loss::InstanceTaken, true);
        }
        Ok(())
    }

    pub(crate) fn tag_group(&mut self, name: &str, set: &Tags, remove: &[String]) -> RemoteResult<()> {
        let Some(group) = self.groups.all.get_mut(name) else { return Err(missing("CreateOrUpdateTags", name)) };
        group.tags.extend(set.clone());
        group.tags.retain(|key, _| !remove.contains(key));
        Ok(())
    }

    /// Managed scaling wants so many machines more than those that hold a task. It lets the last one of a group go only
    /// where there is no service that would start another task there.
    pub(crate) fn scale(&mut self, name: &str, n_more: usize, kept: Duration) {
        let now = self.now;
        let empty: BTreeSet<String> = self
            .ecs
            .instances
            .values()
            .filter(|instance| self.ecs.tasks_on(&instance.arn) == 0)
            .map(|instance| instance.ec2_id.clone())
            .collect();
        let draining = self.ecs.instances.values().filter(|instance| instance.is_draining);
        let draining: BTreeSet<String> = draining.map(|instance| instance.ec2_id.clone()).collect();
        let Some(group) = self.groups.all.get_mut(name).filter(|group| group.deleted_at.is_none()) else { return };
        let (min, max) = (group.config.min as usize, group.config.max as usize);
        let n_kept = usize::from(self.scale_sets.of_pool(name).is_none());
        let n_there = group.machines.iter().filter(is_there).count();
        let is_useless = |machine: &&Machine| empty.contains(&machine.id) && draining.contains(&machine.id);
        let n_useless = group.machines.iter().filter(is_there).filter(is_useless).count();
        let is_busy = |machine: &&Machine| machine.state == State::InService && !empty.contains(&machine.id);
        let n_busy = group.machines.iter().filter(is_busy).count();
        let wanted = (n_busy + n_more).max(min) + n_useless;
        group.desired = wanted.max(n_there).min(max.max(n_there)) as u32;
        let mut surplus = n_there.saturating_sub(n_busy + n_more.max(if n_busy == 0 { n_kept } else { 0 }).max(min));
        for machine in &mut group.machines {
            let is_idle = machine.state == State::InService && empty.contains(&machine.id);
            machine.empty_since = is_idle.then(|| machine.empty_since.unwrap_or(now));
            let has_waited = machine.empty_since.is_some_and(|since| now.since(since) >= kept);
            if (surplus > 0 || draining.contains(&machine.id)) && has_waited {
                surplus = surplus.saturating_sub(1);
                group.desired = group.desired.saturating_sub(1);
                machine.is_protected = false;
                machine.state = if group.has_hook { State::WaitReason } else { State::Terminating(now) };
            }
        }
    }

    /// Everything of Auto Scaling that happens by itself.
    pub(crate) fn groups_step(&mut self) {
        let now = self.now;
        self.groups.all.retain(|_, group| group.deleted_at.is_none_or(|at| at > now));
        let names: Vec<String> = self.groups.all.keys().cloned().collect();
        for name in names {
            self.launch(&name);
            self.warm_pool_step(&name);
            self.machines_step(&name);
        }
    }

    fn launch(&mut self, name: &str) {
        let (now, fails) = (self.now, self.troubles.has(Trouble::LaunchesFail, self.now));
        let takes = self.between(15_000, 60_000);
        let version = self.groups.template_version;
        let number = self.groups.n_machines;
        let Some(group) = self.groups.all.get_mut(name).filter(|group| group.deleted_at.is_none()) else { return };
        let n_there = group.machines.iter().filter(is_there).count() as u32;
        if n_there >= group.desired.max(group.config.min) {
            return;
        }
        if fails {
            group.failed_activity = Some("InsufficientInstanceCapacity: no capacity in this zone".to_owned());
            self.figures.fault("LaunchesFail");
            self.occur("fault", "LaunchesFail");
            return;
        }
        group.failed_activity = None;
        group.desired = group.desired.max(group.config.min);
        let warm = group.warm_pool.as_mut().and_then(|warm_pool| warm_pool.take(now));
        let is_warm = warm.is_some();
        let (id, version) = warm.unwrap_or_else(|| {
            (format!("i-{number:017x}"), group.config.launch_template.version.parse().unwrap_or(version))
        });
        group.machines.push(Machine {
            id,
            state: State::Pending(now + if is_warm { takes / 2 } else { takes }),
            agent_due: None,
            is_protected: group.protects_new,
            is_warm,
            version,
            empty_since: None,
        });
        self.groups.n_machines += 1;
        if is_warm {
            self.occur("transition", "warm start");
        }
    }
}
