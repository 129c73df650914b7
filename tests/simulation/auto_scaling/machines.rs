//! What becomes of a group's machines: they come up, join the cluster, and end.

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::spec::LaunchTemplateId;

use super::State;
use crate::history::Loss;
use crate::world::World;

impl World {
    pub(super) fn machines_step(&mut self, name: &str) {
        let now = self.now;
        let (mut agents, mut gone, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let takes = self.between(5_000, 40_000);
        let holds: BTreeMap<String, bool> = self
            .ecs
            .instances
            .values()
            .map(|instance| (instance.ec2_id.clone(), self.ecs.tasks_on(&instance.arn) > 0))
            .collect();
        let manages = self.ecs.providers.contains_key(name);
        let Some(group) = self.groups.all.get_mut(name) else { return };
        let is_emptied = group.config.max == 0;
        for machine in &mut group.machines {
            match machine.state {
                State::Pending(at) if at <= now && group.has_launch_hook => {
                    held.push((machine.id.clone(), machine.is_warm));
                }
                State::Pending(at) | State::Held(at) if at <= now => {
                    machine.state = State::InService;
                    machine.agent_due = Some(now + takes);
                }
                State::InService if is_emptied && !machine.is_protected => {
                    machine.state = if group.has_hook { State::WaitReason } else { State::Terminating(now) };
                }
                // Managed draining lets it go once it holds nothing, while there is a provider to do so.
                State::WaitReason if manages && !holds.get(&machine.id).copied().unwrap_or(false) => {
                    machine.state = State::Terminating(now + Duration::from_secs(10));
                }
                State::Terminating(at) if at <= now => gone.push(machine.id.clone()),
                State::Pending(_) | State::Held(_) | State::InService | State::WaitReason | State::Terminating(_) => {}
            }
            if machine.agent_due.is_some_and(|at| at <= now) && machine.state == State::InService {
                machine.agent_due = None;
                agents.push(machine.id.clone());
            }
        }
        group.machines.retain(|machine| !gone.contains(&machine.id));
        // The launch template's user data names the cluster.
        let cluster = match &group.config.launch_template.reference {
            LaunchTemplateId::Id(id) => id.trim_start_matches("lt-").to_owned(),
            LaunchTemplateId::Name(name) => name.clone(),
        };
        for (id, is_warm) in held {
            let until = self.held_back(name, &id, is_warm);
            let machines = &mut self.groups.all.get_mut(name).unwrap().machines;
            machines.iter_mut().filter(|machine| machine.id == id).for_each(|it| it.state = State::Held(until));
        }
        for id in agents {
            self.ecs.register(&cluster, &id, name);
        }
        for id in gone {
            self.machine_gone(&id, Loss::InstanceTaken, false);
        }
    }

    /// A machine of ours fails: one that works, if there is one.
    pub(crate) fn lose_machine(&mut self, is_sudden: bool) {
        let ours: Vec<(String, String)> = self
            .groups
            .all
            .iter()
            .flat_map(|(name, group)| group.machines.iter().map(|machine| (name.clone(), machine)))
            .filter(|(_, machine)| machine.state == State::InService)
            .map(|(name, machine)| (name, machine.id.clone()))
            .collect();
        if ours.is_empty() {
            return;
        }
        let (group, id) = ours[self.chance.usize(0..ours.len())].clone();
        let name = if is_sudden { "MachineLost" } else { "SpotReclaim" };
        self.figures.fault(name);
        self.occur("fault", name);
        let group = self.groups.all.get_mut(&group).unwrap();
        group.machines.retain(|machine| machine.id != id);
        group.desired = group.desired.saturating_sub(1);
        self.machine_gone(&id, Loss::MachineLost, is_sudden);
    }
}
