use std::time::Duration;

use crate::pool::model::ecs::{Task, TaskPhase};
use crate::pool::policy::inventory::Inventory;
use crate::pool::tests::support::{T0, converge, spec, task};

#[test]
fn inventory_has_the_age_of_the_oldest_running_task() {
    let day = Duration::from_secs(86_400);
    let now = T0 + day * 40;
    let task = |phase: TaskPhase, started_days_ago: Option<u32>| Task {
        phase,
        started_at: started_days_ago.map(|days| now - day * days),
        ..task(&converge(spec()).id, "0123456789ab")
    };
    let tasks: Vec<Task> = vec![
        task(TaskPhase::Running, Some(3)),
        task(TaskPhase::Running, Some(31)),
        task(TaskPhase::Running, None),
        task(TaskPhase::Stopped, Some(39)),
        task(TaskPhase::Starting, None),
    ];
    let found = Inventory::of(&tasks, now);
    assert_eq!(found, Inventory { n_pools: 1, n_running: 3, oldest_days: 31 });
    assert_eq!(Inventory::of(&[], now), Inventory { n_pools: 1, n_running: 0, oldest_days: 0 });
    let both = found.and(Inventory { n_pools: 1, n_running: 2, oldest_days: 7 });
    assert_eq!(both, Inventory { n_pools: 2, n_running: 5, oldest_days: 31 });
}
