//! Bugs of pools that have as many runners as jobs, planted where the function meets the scale-set service.

use github_runner_pool::pool::model::scale_set::{JobEvent, JobStatistics, MessageQueue, ScaleSet, ScaleSetMessage};
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::reconcile::ports::QueueAnswer;

use super::Bug;
use crate::history::Loss;
use crate::world::World;

impl World {
    fn pool_of_queue(&self, queue: &MessageQueue) -> Option<String> {
        self.scale_sets.all[&self.set_behind(queue)?].pool.clone()
    }

    /// The set of this name: who adopts a stranger's takes it for its own.
    pub(crate) fn planted_set(&mut self, target: &GitHubTarget, group: Option<&str>, name: &str) -> Option<ScaleSet> {
        let mut found = self.find_set(target, group, name)?;
        if self.bug == Some(Bug::AdoptsAStrangersSet) {
            let pools = self.stacks.all.iter().filter_map(|stack| stack.physical_id.clone());
            found.labels.extend(pools);
        }
        Some(found)
    }

    /// What a poll announces.
    pub(crate) fn planted_capacity(&self, queue: &MessageQueue, capacity: u32) -> u32 {
        let pool = self.pool_of_queue(queue).filter(|_| self.bug == Some(Bug::AnnouncesTheFreeGap));
        let n_tasks = pool.map_or(0, |pool| self.standalone_tasks(&pool).len());
        capacity.saturating_sub(n_tasks as u32)
    }

    /// What a poll returns.
    pub(crate) fn planted_message(
        &mut self,
        queue: &MessageQueue,
        mut answer: QueueAnswer<Option<ScaleSetMessage>>,
    ) -> QueueAnswer<Option<ScaleSetMessage>> {
        let QueueAnswer::Ok(Some(message)) = &mut answer else { return answer };
        let Some(pool) = self.pool_of_queue(queue) else { return answer };
        match self.bug {
            Some(Bug::AcknowledgesBeforeActing) => drop(self.acknowledge(queue, message.id)),
            Some(Bug::ReadsTheTargetAsATotal) => {
                let min_runners = self.pool_at_rest(&pool).map_or(0, |pool| pool.min_runners);
                if let Some(statistics) = &mut message.statistics {
                    statistics.assigned = statistics.assigned.saturating_sub(min_runners);
                }
            }
            Some(Bug::LowersOnOneReading)
                if message.statistics == Some(JobStatistics::default())
                    && message.events.contains(&JobEvent::Assigned) =>
            {
                let tasks: Vec<String> = self.standalone_tasks(&pool).iter().map(|task| task.arn.clone()).collect();
                for task in tasks {
                    self.stop_task(&task, Loss::Stopped, "no job is assigned");
                }
            }
            Some(_) | None => {}
        }
        answer
    }
}
