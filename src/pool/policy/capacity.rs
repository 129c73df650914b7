//! Determines whether the desired runners have room, from the group's bounds, the registered instances and EC2's
//! instance types.
//!
//! A certain lack of room violates a precondition, which is reported before anything is created; a likely one is a
//! warning. Certain means that it holds under the most favorable assumptions: an instance that has not registered has
//! all the memory that EC2 names for its type, and every instance that may start is of the type with the most room. ECS
//! counts `memoryReservation` where a container has both that and `memory`.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>

use crate::pool::model::auto_scaling::{Group, GroupInstance};
use crate::pool::model::ec2::{Room, instance_types};
use crate::pool::model::ecs::{ContainerInstance, Placement, Service, ServiceState, Task, TaskPhase};
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::{ConvergeGoal, Operation};
use crate::pool::model::spec::{Capacity, OwnCapacity, PoolSpec};
use crate::pool::model::task_definition::TaskDefinitionContent;
use crate::pool::model::text::pluralize;
use crate::pool::policy::infrastructure::revision_with;

/// What an instance registers of its type's memory at most, percent; for a warning alone, since no table says. The
/// kernel keeps a part of it, and the agent what `ECS_RESERVED_MEMORY` says.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/memory-management.html>
const REGISTERED_PERCENT: u32 = 97;

/// An instance that runners may be placed on.
#[derive(Clone, Debug)]
struct Host {
    /// Its type, where that is known.
    name: Option<String>,
    room: Room,
    /// Whether that is what an instance registered, or what EC2 says of its type.
    is_registered: bool,
    /// Whether the group may start more of them.
    may_start: bool,
}

/// Why the desired runners can never run, as a failure reason without its full stop; `None` if they might.
#[must_use]
pub(in crate::pool) fn impossible(spec: &PoolSpec, observed: &Observed) -> Option<String> {
    let Capacity::Own(own) = &spec.capacity else { return None };
    let hosts = hosts(own, observed).filter(|hosts| !hosts.is_empty() && runners_max(spec) > 0)?;
    too_large(spec, own, &hosts).or_else(|| {
        let n_there = observed.group.as_ref().map_or(0, |group| count(present_in(group)));
        too_many(spec, &hosts, own.max_instances.max(n_there), spec.desired_count)
    })
}

/// Warnings about a likely lack of room, each a sentence without its full stop.
#[must_use]
pub(in crate::pool) fn doubts(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
) -> Vec<String> {
    let spec = &goal.spec;
    let Capacity::Own(own) = &spec.capacity else { return Vec::new() };
    let Some(hosts) = hosts(own, observed).filter(|hosts| !hosts.is_empty() && runners_max(spec) > 0) else {
        return Vec::new();
    };
    if impossible(spec, observed).is_some()
        || n_running(observed) >= runners_max(spec) && !deploys(operation, memory, goal, observed)
    {
        return Vec::new();
    }
    let starting: Vec<Host> = hosts.iter().filter(|host| host.may_start).map(Host::as_registered).collect();
    let tight =
        too_large(spec, own, &starting).or_else(|| too_many(spec, &starting, own.max_instances, spec.desired_count));
    let tight = tight.map(|why| format!("{why} (an instance registers a little less than its type has)"));
    let small = starting.iter().find(|host| host.room.slots(need(spec)) == 0);
    let small = small.filter(|_| tight.is_none()).map(|host| {
        format!(
            "InstanceTypes: {} has no room for a runner, and ECS scales the group only for tasks that fit the smallest \
             type; take it out",
            host.described()
        )
    });
    let beyond = spec.task.memory_mib.filter(|memory| hosts.iter().all(|host| host.room.memory_mib < *memory));
    let beyond =
        beyond.map(|memory| format!("Memory: no instance has {memory} MiB, so a runner never gets to that limit"));
    let scarce = tight.is_none().then(|| too_many(spec, &starting, own.max_instances, runners_max(spec))).flatten();
    [tight, scarce, small, beyond].into_iter().flatten().collect()
}

/// Why an Update cannot start its first new runner: the old ones fill every instance that there may be, and an old one
/// leaves only once a new one was online.
#[must_use]
pub(super) fn no_room_beside_old(
    operation: &Operation,
    memory: &Memory,
    goal: &ConvergeGoal,
    observed: &Observed,
) -> Option<String> {
    let spec = &goal.spec;
    let Capacity::Own(own) = &spec.capacity else { return None };
    let group = observed.group.as_ref()?;
    // A fixed name leaves first, and a job ends an ephemeral runner.
    if spec.runner.name.is_some()
        || spec.runner.ephemeral
        || spec.job_scaling.is_some()
        || !deploys(operation, memory, goal, observed)
    {
        return None;
    }
    let live: Vec<&Task> = observed.tasks.iter().filter(|task| task.is_live()).collect();
    let stays = |task: &&Task| {
        matches!(task.placement, Placement::On(_)) && task.phase != TaskPhase::Stopping && !task.desired_stopped
    };
    let lock = operation.lock(observed.lock.as_ref().map(|observed| &observed.lock));
    let is_proven = lock.has_succeeded_before() || live.iter().any(|task| is_wanted(operation, goal, observed, task));
    let leaves_first = is_proven || count(&live) > spec.desired_count;
    if live.is_empty() || leaves_first || !live.iter().all(stays) {
        return None;
    }
    let members = present_in(group);
    let joined: Option<Vec<_>> = members
        .iter()
        .map(|member| {
            let joined = observed.instances.iter().find(|it| it.ec2_instance_id.as_ref() == Some(&member.id))?;
            Some((joined, joined.remaining.filter(|_| joined.is_active && joined.is_connected)?))
        })
        .collect();
    let joined = joined?;
    let is_full = |(instance, remaining): &(&ContainerInstance, Room)| {
        let is_taken = spec.distinct_instances && instance.n_tasks > 0;
        is_taken || remaining.slots(need(spec)) == 0
    };
    let n_tasks = joined.iter().fold(0_u32, |sum, (instance, _)| sum.saturating_add(instance.n_tasks));
    // Tasks of other services may stop at any time.
    let are_ours = n_tasks == count(&live);
    (count(&members) >= own.max_instances && are_ours && joined.iter().all(is_full)).then(|| {
        format!(
            "MaxInstances: {} no room for a new runner in addition to the {} there now, and an Update retires an old \
             runner only once a new one is online. Raise MaxInstances by one, or lower DesiredCount by one with this \
             Update",
            pluralize(size(count(&members)), "1 instance has", "instances have"),
            live.len(),
        )
    })
}

impl Host {
    /// The instance with the most that it can register.
    fn as_registered(&self) -> Self {
        let registered = u64::from(self.room.memory_mib) * u64::from(REGISTERED_PERCENT) / 100;
        let memory_mib = u32::try_from(registered).unwrap_or(u32::MAX);
        let room = if self.is_registered { self.room } else { Room { memory_mib, ..self.room } };
        Self { room, ..self.clone() }
    }

    fn described(&self) -> String {
        match &self.name {
            Some(name) => format!("an instance of {name}"),
            None => "an instance".to_owned(),
        }
    }
}

/// The instances that runners may be placed on; `None` where those that the group may start are unknown.
fn hosts(own: &OwnCapacity, observed: &Observed) -> Option<Vec<Host>> {
    let version_of = |id: Option<&String>| {
        let members = observed.group.iter().flat_map(|group| &group.instances);
        members.filter(|member| Some(&member.id) == id).find_map(|member| member.template_version)
    };
    let registered = || observed.instances.iter().filter(|it| it.is_active).filter_map(|it| Some((it, it.registered?)));
    let of_version = || {
        registered().filter(|(it, _)| {
            let version = version_of(it.ec2_instance_id.as_ref());
            version.is_some() && version == observed.template_version
        })
    };
    let mut hosts: Vec<Host> = registered()
        .map(|(it, room)| Host { name: it.instance_type.clone(), room, is_registered: true, may_start: false })
        .collect();
    let types = instance_types(own, &observed.ec2.template);
    if types.is_empty() {
        let chooses = observed.ec2.version().is_some_and(|version| version.has_requirements);
        let (it, room) = of_version().next().filter(|_| !chooses)?;
        hosts.push(Host { name: it.instance_type.clone(), room, is_registered: true, may_start: true });
    }
    for name in types {
        let joined = of_version().find(|(it, _)| it.instance_type.as_ref() == Some(&name));
        let of_type = observed.ec2.instance_types.get(&name).copied();
        let room = match joined {
            // An instance without the drivers registers no GPUs, and the next image may have them.
            Some((_, room)) => {
                Some(Room { gpus: room.gpus.max(of_type.flatten().map_or(0, |room| room.gpus)), ..room })
            }
            None => of_type?,
        };
        // A type that EC2 does not offer never starts.
        let host = |room| Host { name: Some(name), room, is_registered: joined.is_some(), may_start: true };
        hosts.extend(room.map(host));
    }
    Some(hosts)
}

/// A runner that fits on no instance.
fn too_large(spec: &PoolSpec, own: &OwnCapacity, hosts: &[Host]) -> Option<String> {
    let need = need(spec);
    if hosts.iter().any(|host| host.room.slots(need) > 0) {
        return None;
    }
    let (types, larger) = match &own.mixed_instances_policy {
        Some(mixed_instances_policy) if !mixed_instances_policy.instance_types.is_empty() => {
            ("InstanceTypes", "larger InstanceTypes")
        }
        Some(_) | None => ("an InstanceType", "a larger InstanceType"),
    };
    let verb = |host: &Host| if host.is_registered { "registers" } else { "has" };
    let most_gpus = hosts.iter().max_by_key(|host| host.room.gpus)?;
    if most_gpus.room.gpus < need.gpus {
        let advice = match most_gpus.room.gpus {
            0 => format!("Take {types} with GPUs, such as g6.xlarge, or remove Gpus"),
            _ => format!("Lower it, or take {types} with more GPUs"),
        };
        return Some(format!(
            "Gpus: {} is more than {} {} ({}). {advice}",
            need.gpus,
            most_gpus.described(),
            verb(most_gpus),
            most_gpus.room.gpus
        ));
    }
    let hosts: Vec<&Host> = hosts.iter().filter(|host| host.room.gpus >= need.gpus).collect();
    let most_memory = hosts.iter().max_by_key(|host| host.room.memory_mib)?;
    if most_memory.room.memory_mib < need.memory_mib {
        return Some(format!(
            "MemoryReservation: {} MiB is more than {} {} ({} MiB). Lower it, or take {larger}",
            need.memory_mib,
            most_memory.described(),
            verb(most_memory),
            grouped(most_memory.room.memory_mib)
        ));
    }
    let most_cpu = hosts.iter().max_by_key(|host| host.room.cpu_units)?;
    Some(format!(
        "Cpu: {} units with {} MiB of memory are more than {} {} ({} units, {} MiB). Lower it, or take {larger}",
        need.cpu_units,
        need.memory_mib,
        most_cpu.described(),
        verb(most_cpu),
        grouped(most_cpu.room.cpu_units),
        grouped(most_cpu.room.memory_mib)
    ))
}

/// The maximum number of runners of the pool.
fn runners_max(spec: &PoolSpec) -> u32 {
    spec.job_scaling.as_ref().map_or(spec.desired_count, |job_scaling| job_scaling.max_runners)
}

/// The sentence about more runners than `n_instances` have room for.
fn too_many(spec: &PoolSpec, hosts: &[Host], n_instances: u32, n_runners: u32) -> Option<String> {
    let slots = |host: &Host| {
        let slots = host.room.slots(need(spec));
        if spec.distinct_instances { slots.min(1) } else { slots }
    };
    let best = hosts.iter().max_by_key(|host| slots(host)).filter(|host| slots(host) > 0)?;
    let n_placeable = n_instances.saturating_mul(slots(best));
    let property = match &spec.job_scaling {
        Some(_) if n_runners > spec.desired_count => "MaxRunners",
        Some(_) => "MinRunners",
        None => "DesiredCount",
    };
    (n_runners > n_placeable).then(|| {
        format!(
            "MaxInstances: {} {n_placeable} of the {} runners: {} with {} fit on {} ({} MiB). Raise MaxInstances to {}, lower {property}, or let more runners fit on an instance",
            pluralize(size(n_instances), "1 instance has room for", "instances have room for"),
            n_runners,
            slots(best),
            reservation(spec),
            best.described(),
            grouped(best.room.memory_mib),
            n_runners.div_ceil(slots(best)),
        )
    })
}

/// What a runner reserves, as the properties name it.
fn reservation(spec: &PoolSpec) -> String {
    let cpu = (spec.task.cpu_units > 0).then(|| format!(" and {} units (Cpu)", spec.task.cpu_units));
    let gpus =
        (spec.task.gpus > 0).then(|| format!(" and {} (Gpus)", pluralize(size(spec.task.gpus), "1 GPU", "GPUs")));
    let [cpu, gpus] = [cpu, gpus].map(Option::unwrap_or_default);
    format!("{} MiB each (MemoryReservation){cpu}{gpus}", spec.task.memory_reservation_mib)
}

/// The resources that ECS reserves on an instance for a runner.
const fn need(spec: &PoolSpec) -> Room {
    Room { memory_mib: spec.task.memory_reservation_mib, cpu_units: spec.task.cpu_units, gpus: spec.task.gpus }
}

/// Whether the request is about to start a deployment.
fn deploys(operation: &Operation, memory: &Memory, goal: &ConvergeGoal, observed: &Observed) -> bool {
    let fingerprint = TaskDefinitionContent::of(&operation.id, &goal.spec).fingerprint();
    let Some(service) = active(observed) else { return true };
    revision_with(memory, observed, &fingerprint).is_none_or(|revision| revision != service.config.task_definition)
}

/// Whether a task already runs the desired revision, which shows that its runners come online.
fn is_wanted(operation: &Operation, goal: &ConvergeGoal, observed: &Observed, task: &Task) -> bool {
    let fingerprint = TaskDefinitionContent::of(&operation.id, &goal.spec).fingerprint();
    observed.deployed_content.get(&task.task_definition).is_none_or(|content| *content == fingerprint)
}

fn active(observed: &Observed) -> Option<&Service> {
    observed.service.as_ref().filter(|service| service.state == ServiceState::Active)
}

fn n_running(observed: &Observed) -> u32 {
    u32::try_from(observed.tasks.iter().filter(|task| task.is_running()).count()).unwrap_or(u32::MAX)
}

/// The group's instances that are not terminating.
fn present_in(group: &Group) -> Vec<&GroupInstance> {
    group.instances.iter().filter(|member| !member.lifecycle_state.starts_with("Terminat")).collect()
}

fn count<T>(items: impl AsRef<[T]>) -> u32 {
    u32::try_from(items.as_ref().len()).unwrap_or(u32::MAX)
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// `7,600`.
fn grouped(n: u32) -> String {
    let digits = n.to_string();
    let is_break = |index: usize| index > 0 && digits.len().saturating_sub(index).is_multiple_of(3);
    digits.char_indices().flat_map(|(index, digit)| is_break(index).then_some(',').into_iter().chain([digit])).collect()
}
