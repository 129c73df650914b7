//! Capacity that cannot be enough fails a request before anything is built, and only where it is certain.

use crate::pool::model::decision::Decision;
use crate::pool::model::ec2::{Ec2View, Room};
use crate::pool::model::ecs::{ContainerInstance, Placement};
use crate::pool::model::memory::Memory;
use crate::pool::model::operation::Goal;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::spec::{JobScaling, MixedInstances, PoolSpec};
use crate::pool::policy::preview::preview;
use crate::pool::policy::warnings;
use crate::pool::tests::support::{
    Model, converge, ec2_view_of, instance, mixed_instances_spec, names, own_capacity, spec,
};

const LARGE: Room = Room { memory_mib: 8192, cpu_units: 2048, gpus: 0 };
const REGISTERED: Room = Room { memory_mib: 7600, cpu_units: 2048, gpus: 0 };
const NONE: Room = Room { memory_mib: 0, cpu_units: 0, gpus: 0 };

/// A world with nothing of ours in it, in which EC2 says this.
fn world(ec2: Ec2View) -> Model {
    let mut world = Model::empty();
    world.observed.ec2 = ec2;
    world
}

/// What the first observation shows to be impossible, if anything.
fn obstacle(world: &mut Model, spec: PoolSpec) -> Option<String> {
    let mut operation = converge(spec.clone());
    let found = match world.decide(&mut operation) {
        Decision::Respond(Outcome::Failed { reason }) => Some(reason),
        Decision::Act(_) | Decision::Wait { .. } | Decision::Respond(_) | Decision::Stop(_) => None,
    };
    // The plan says the same.
    let Goal::Converge(goal) = converge(spec).operation.goal else { panic!("a Delete") };
    assert_eq!(preview(&operation, &operation.memory, &goal, &world.observed, &[]).obstacle, found);
    found
}

fn sized(memory: u32, cpu: u32, desired: u32, max: u32) -> PoolSpec {
    let mut spec = PoolSpec { desired_count: desired, ..spec() };
    (spec.task.memory_reservation_mib, spec.task.cpu_units) = (memory, cpu);
    own_capacity(&mut spec).max_instances = max;
    spec
}

#[test]
fn runner_that_no_instance_has_room_for_names_memory_reservation_or_cpu() {
    let large = || world(ec2_view_of("t3.large", Some(LARGE)));
    insta::assert_snapshot!(obstacle(&mut large(), sized(30_000, 0, 2, 4)).unwrap(), @"MemoryReservation: 30000 MiB is more than an instance of t3.large has (8,192 MiB). Lower it, or take a larger InstanceType.");
    insta::assert_snapshot!(obstacle(&mut large(), sized(500, 4096, 2, 4)).unwrap(), @"Cpu: 4096 units with 500 MiB of memory are more than an instance of t3.large has (2,048 units, 8,192 MiB). Lower it, or take a larger InstanceType.");
    assert_eq!(obstacle(&mut large(), sized(8192, 2048, 2, 4)), None, "what just fits is no certain mistake");
    assert_eq!(
        obstacle(&mut world(Ec2View::default()), sized(30_000, 0, 2, 4)),
        None,
        "nothing is known of the instances"
    );
}

fn with_gpus(gpus: u32, desired: u32, max: u32) -> PoolSpec {
    let mut spec = sized(3500, 0, desired, max);
    spec.task.gpus = gpus;
    spec
}

#[test]
fn gpus_that_no_instance_type_has_name_gpus() {
    let of = |gpus| world(ec2_view_of("g6.12xlarge", Some(Room { memory_mib: 196_608, cpu_units: 49_152, gpus })));
    insta::assert_snapshot!(obstacle(&mut world(ec2_view_of("t3.large", Some(LARGE))), with_gpus(1, 2, 4)).unwrap(), @"Gpus: 1 is more than an instance of t3.large has (0). Take an InstanceType with GPUs, such as g6.xlarge, or remove Gpus.");
    insta::assert_snapshot!(obstacle(&mut of(4), with_gpus(8, 2, 4)).unwrap(), @"Gpus: 8 is more than an instance of g6.12xlarge has (4). Lower it, or take an InstanceType with more GPUs.");
    insta::assert_snapshot!(obstacle(&mut of(4), with_gpus(2, 5, 2)).unwrap(), @"MaxInstances: 2 instances have room for 4 of the 5 runners: 2 with 3500 MiB each (MemoryReservation) and 2 GPUs (Gpus) fit on an instance of g6.12xlarge (196,608 MiB). Raise MaxInstances to 3, lower DesiredCount, or let more runners fit on an instance.");
    assert_eq!(obstacle(&mut of(4), with_gpus(2, 4, 2)), None);
    assert_eq!(obstacle(&mut of(0), with_gpus(0, 4, 2)), None);
}

#[test]
fn gpus_and_memory_reservation_must_fit_the_same_instance_type() {
    let mut two = ec2_view_of("g6.xlarge", Some(Room { memory_mib: 16_384, cpu_units: 4096, gpus: 1 }));
    two.instance_types.insert("r7i.4xlarge".to_owned(), Some(Room { memory_mib: 131_072, cpu_units: 16_384, gpus: 0 }));
    let mut spec = with_gpus(1, 1, 4);
    spec.task.memory_reservation_mib = 30_000;
    spec.capacity = mixed_instances_spec(&["g6.xlarge", "r7i.4xlarge"], 100).capacity;
    insta::assert_snapshot!(obstacle(&mut world(two), spec).unwrap(), @"MemoryReservation: 30000 MiB is more than an instance of g6.xlarge has (16,384 MiB). Lower it, or take larger InstanceTypes.");
}

#[test]
fn gpus_of_the_instance_type_count_where_an_instance_registers_none() {
    let (mut world, spec) = filled();
    let mut larger = newer(&spec);
    (larger.task.gpus, larger.desired_count) = (1, 1);
    own_capacity(&mut larger).max_instances = 2;
    world.observed.ec2 = ec2_view_of("t3.large", Some(LARGE));
    assert!(obstacle(&mut world, larger.clone()).unwrap().starts_with("Gpus: 1 is more than"));
    world.observed.ec2 = ec2_view_of("t3.large", Some(Room { gpus: 1, ..LARGE }));
    assert_eq!(obstacle(&mut world, larger), None, "the next image may have the drivers");
}

#[test]
fn desired_count_beyond_max_instances_says_how_many_fit() {
    let large = || world(ec2_view_of("t3.large", Some(LARGE)));
    insta::assert_snapshot!(obstacle(&mut large(), sized(3500, 0, 5, 2)).unwrap(), @"MaxInstances: 2 instances have room for 4 of the 5 runners: 2 with 3500 MiB each (MemoryReservation) fit on an instance of t3.large (8,192 MiB). Raise MaxInstances to 3, lower DesiredCount, or let more runners fit on an instance.");
    assert_eq!(obstacle(&mut large(), sized(3500, 0, 4, 2)), None);
}

#[test]
fn distinct_instances_counts_one_runner_on_each_instance() {
    let large = || world(ec2_view_of("t3.large", Some(LARGE)));
    let distinct = |desired| PoolSpec { distinct_instances: true, ..sized(500, 0, desired, 2) };
    assert!(
        obstacle(&mut large(), distinct(3)).unwrap().starts_with("MaxInstances: 2 instances have room for 2 of the 3")
    );
    assert_eq!(obstacle(&mut large(), distinct(2)), None);
}

#[test]
fn largest_of_instance_types_decides_and_a_smaller_one_is_a_warning() {
    let mut two = ec2_view_of("t3.large", Some(LARGE));
    two.instance_types.insert("r7i.large".to_owned(), Some(Room { memory_mib: 16_384, cpu_units: 2048, gpus: 0 }));
    let mut spec = sized(10_000, 0, 2, 2);
    own_capacity(&mut spec).mixed_instances_policy = Some(MixedInstances {
        instance_types: vec!["t3.large".to_owned(), "r7i.large".to_owned()],
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base: 100,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
    });
    let mut world = world(two);
    assert_eq!(obstacle(&mut world, spec.clone()), None);
    let warned = warnings::collect(&converge(spec.clone()), &Memory::default(), &world.observed).join("\n");
    assert!(warned.starts_with("InstanceTypes: an instance of t3.large has no room for a runner"), "{warned}");
    spec.task.memory_reservation_mib = 20_000;
    let reason = obstacle(&mut world, spec).unwrap();
    assert!(
        reason.contains("more than an instance of r7i.large has (16,384 MiB). Lower it, or take larger InstanceTypes")
    );
}

#[test]
fn memory_reservation_that_nearly_fills_an_instance_is_a_warning() {
    let world = world(ec2_view_of("t3.large", Some(LARGE)));
    let warned = warnings::collect(&converge(sized(8100, 0, 2, 4)), &Memory::default(), &world.observed).join("\n");
    assert!(warned.starts_with("MemoryReservation: 8100 MiB is more than an instance of t3.large has"), "{warned}");
    assert_eq!(
        warnings::collect(&converge(sized(7000, 0, 2, 4)), &Memory::default(), &world.observed),
        Vec::<String>::new()
    );
}

/// A pool of two runners that fill the one instance that there may be.
fn filled() -> (Model, PoolSpec) {
    let mut world = Model::empty();
    let spec = sized(3500, 0, 2, 1);
    assert!(matches!(world.run(&mut converge(spec.clone())), Outcome::Succeeded { .. }));
    let full = ContainerInstance {
        n_tasks: 2,
        instance_type: Some("t3.large".to_owned()),
        registered: Some(REGISTERED),
        remaining: Some(Room { memory_mib: 600, cpu_units: 2048, gpus: 0 }),
        ..instance(1)
    };
    for task in &mut world.observed.tasks {
        task.placement = Placement::On(full.arn.clone());
    }
    world.observed.instances = vec![full];
    (world, spec)
}

fn newer(spec: &PoolSpec) -> PoolSpec {
    let mut newer = spec.clone();
    newer.task.image = "myoung34/github-runner:ubuntu-jammy".to_owned();
    newer
}

#[test]
fn max_instances_without_room_for_the_first_new_runner_fails_an_update_at_once() {
    let (mut world, spec) = filled();
    world.taken.clear();
    insta::assert_snapshot!(obstacle(&mut world, newer(&spec)).unwrap(), @"MaxInstances: 1 instance has no room for a new runner in addition to the 2 there now, and an Update retires an old runner only once a new one is online. Raise MaxInstances by one, or lower DesiredCount by one with this Update. The 2 old runners still accept jobs.");
    assert_eq!(names(&world.taken), Vec::<&str>::new());
}

#[test]
fn update_proceeds_where_something_may_make_room() {
    type Change = fn(&mut Model, &mut PoolSpec);
    let rooms: &[(&str, Change)] = &[
        ("another instance may start", |_, spec| own_capacity(spec).max_instances = 2),
        ("fewer runners: a surplus one leaves first", |_, spec| spec.desired_count = 1),
        ("a job ends an ephemeral runner", |_, spec| spec.runner.ephemeral = true),
        ("room beside the old ones", |world, _| world.observed.instances[0].remaining = Some(REGISTERED)),
        ("another service's task may end", |world, _| world.observed.instances[0].n_tasks = 3),
        ("an old one ends already", |world, _| world.observed.tasks[0].desired_stopped = true),
        ("nothing is known of the instance", |world, _| world.observed.instances.clear()),
        ("an instance that leaves", |world, _| world.observed.instances[0].is_active = false),
        ("a new runner needs less", |_, spec| spec.task.memory_reservation_mib = 600),
    ];
    for (why, change) in rooms {
        let (mut world, spec) = filled();
        let mut newer = newer(&spec);
        change(&mut world, &mut newer);
        assert_eq!(obstacle(&mut world, newer), None, "{why}");
    }
    let (mut world, spec) = filled();
    assert_eq!(obstacle(&mut world, spec), None, "nothing is deployed");
}

#[test]
fn registered_memory_of_an_instance_takes_precedence_over_that_of_its_type() {
    let (mut world, spec) = filled();
    world.observed.ec2 = ec2_view_of("t3.large", Some(LARGE));
    let larger = PoolSpec { desired_count: 1, ..spec };
    let mut larger = newer(&larger);
    larger.task.memory_reservation_mib = 7700;
    let reason = obstacle(&mut world, larger).unwrap();
    assert!(
        reason.starts_with("MemoryReservation: 7700 MiB is more than an instance of t3.large registers (7,600 MiB).")
    );
    assert!(reason.ends_with("The 2 old runners still accept jobs."), "{reason}");
}

#[test]
fn running_pool_is_never_an_obstacle() {
    let (mut world, spec) = filled();
    world.observed.ec2 = ec2_view_of("t3.small", Some(NONE));
    assert_eq!(obstacle(&mut world, spec), None);
}

fn as_many_as_jobs(memory: u32, min: u32, max_runners: u32, max_instances: u32) -> PoolSpec {
    let mut spec = sized(memory, 0, min, max_instances);
    spec.job_scaling = Some(JobScaling { max_runners, scale_set_name: None });
    spec
}

#[test]
fn max_runners_beyond_max_instances_is_a_warning_and_min_runners_an_obstacle() {
    let large = || world(ec2_view_of("t3.large", Some(LARGE)));
    let spec = as_many_as_jobs(3500, 0, 5, 2);
    assert_eq!(obstacle(&mut large(), spec.clone()), None);
    let operation = converge(spec);
    let found = warnings::collect(&operation, &operation.memory, &large().observed);
    insta::assert_snapshot!(found.join("\n"), @"MaxInstances: 2 instances have room for 4 of the 5 runners: 2 with 3500 MiB each (MemoryReservation) fit on an instance of t3.large (7,946 MiB). Raise MaxInstances to 3, lower MaxRunners, or let more runners fit on an instance");
    let enough = converge(as_many_as_jobs(3500, 0, 4, 2));
    assert_eq!(warnings::collect(&enough, &enough.memory, &large().observed), [""; 0]);

    let reason = obstacle(&mut large(), as_many_as_jobs(3500, 5, 5, 2)).unwrap();
    assert!(reason.contains("lower MinRunners"), "{reason}");
    let reason = obstacle(&mut large(), as_many_as_jobs(30_000, 0, 5, 2)).unwrap();
    assert!(reason.starts_with("MemoryReservation: 30000 MiB is more"), "{reason}");
}
