//! Tasks that have an instance and do not start there. ECS shows one as PENDING for as long as its instance is gone, or the
//! agent there is disconnected: <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html>.

use std::collections::BTreeMap;

use super::look::Look;
use crate::pool::model::ecs::{Placement, Task, TaskPhase};
use crate::pool::model::time::Timestamp;

/// Since when tasks have had an instance without starting there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PlacedStarts {
    /// By the task's ARN; `None` before the first look.
    since: Option<BTreeMap<String, Timestamp>>,
}

impl PlacedStarts {
    /// Takes in the pool's tasks. An earlier listener may have seen those of the first look get their instance, so that the
    /// time since they were made counts for them.
    pub(super) fn record_tasks(&mut self, owned: &[&Task], now: Timestamp) {
        let since_of = |task: &Task| match &self.since {
            Some(since) => since.get(&task.arn).copied().unwrap_or(now),
            None => task.created_at.unwrap_or(now),
        };
        let placed = owned.iter().filter(|task| is_placed_start(task));
        self.since = Some(placed.map(|task| (task.arn.clone(), since_of(task))).collect());
    }

    /// Whether it should have started by `OnlineTimeout`. Its instance may come back, and the container may even run there:
    /// `MaxRunners` counts it, no runner is expected of it, and it is never stopped for this.
    pub(super) fn is_overdue(&self, look: Look<'_>, task: &Task) -> bool {
        let since = self.since.as_ref().and_then(|since| since.get(&task.arn));
        since.is_some_and(|since| look.at.now.since(*since) >= look.goal.wait_policy.online_timeout)
    }
}

fn is_placed_start(task: &Task) -> bool {
    task.phase == TaskPhase::Starting && matches!(task.placement, Placement::On(_))
}
