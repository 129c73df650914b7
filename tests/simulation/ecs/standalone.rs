//! Standalone tasks: `RunTask` on a capacity provider, and no scheduler behind them.
//!
//! Only `StopTask`, the end of their container and the loss of their instance end one: neither a service nor a draining
//! instance does.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/standalone-tasks.html>

use std::collections::BTreeMap;

use github_runner_pool::pool::model::ecs::{StartedTasks, TaskRun};
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::RemoteResult;

use super::calls::short;
use super::{Phase, Tags, Task, arn};
use crate::containers::Container;
use crate::faults::refuse;
use crate::history::Fact;
use crate::world::World;

/// Tasks of one call.
const TASKS_MAX: u32 = 10;
/// `ListTasks` is eventually consistent: so long a task may be missing there, in milliseconds.
const LISTED_WITHIN_MILLIS: u64 = 4_000;

/// The calls that ECS remembers by their client tokens: each cluster has its own.
pub(crate) type RunTokens = BTreeMap<(String, String), (TaskRun, Tags, Vec<String>)>;

impl World {
    /// Starts standalone tasks in the name of a pool, by a call that began at this moment. A token that ECS knows starts
    /// none.
    pub(crate) fn run_tasks(
        &mut self,
        cluster: &str,
        id: &PhysicalId,
        run: &TaskRun,
        tags: &Tags,
        token: &str,
        began: Timestamp,
    ) -> RemoteResult<StartedTasks> {
        let cluster = short(cluster).to_owned();
        self.check_run(&cluster, run)?;
        let key = (cluster.clone(), token.to_owned());
        if let Some((known, known_tags, arns)) = self.ecs.run_tokens.get(&key) {
            if (known, known_tags) != (run, tags) {
                let message = "The provided clientToken is already in use with a different RunTask request.";
                return Err(refuse(RemoteService::Ecs, "RunTask", ErrorKind::Conflict, "ConflictException", message));
            }
            let arns = arns.clone();
            self.occur("transition", "RunTask repeated");
            return Ok(StartedTasks { arns, failures: Vec::new() });
        }
        let mut started = StartedTasks::default();
        let n_accepted = self.n_accepted(run.count);
        if n_accepted < run.count {
            started.failures.push("Capacity is unavailable at this time. Please try again later".to_owned());
        }
        for _ in 0..n_accepted {
            let task = self.standalone_task(&cluster, id, run, tags);
            started.arns.push(task.arn.clone());
            self.ecs.tasks.insert(task.arn.clone(), task);
        }
        self.ecs.run_tokens.insert(key, (run.clone(), tags.clone(), started.arns.clone()));
        self.trace(|| format!("RunTask of {id}: {:?}", started.arns));
        self.note(&Fact::TasksStarted { pool: id.as_str().to_owned(), began });
        Ok(started)
    }

    fn check_run(&self, cluster: &str, run: &TaskRun) -> RemoteResult<()> {
        let no = |kind, code, message| Err(refuse(RemoteService::Ecs, "RunTask", kind, code, message));
        let Some(cluster) = self.ecs.clusters.get(cluster).filter(|found| found.is_active) else {
            return no(ErrorKind::NotFound, "ClusterNotFoundException", "Cluster not found.");
        };
        if run.count == 0 || run.count > TASKS_MAX {
            return no(ErrorKind::Invalid, "InvalidParameterException", "Count must be between 1 and 10.");
        }
        if self.revision(&run.task_definition).is_none() {
            // RunTask's code for it: <https://github.com/DefangLabs/defang/pull/775>
            return no(ErrorKind::NotFound, "InvalidParameterException", "TaskDefinition is inactive");
        }
        if !cluster.providers.contains(&run.capacity_provider) {
            let message = "The specified capacity provider strategy contains a capacity provider that is not associated with the cluster.";
            return no(ErrorKind::Conflict, "InvalidParameterException", message);
        }
        Ok(())
    }

    /// Now and then ECS takes a part of them, and says so in an answer of 200.
    fn n_accepted(&mut self, count: u32) -> u32 {
        let n_refused = std::mem::take(&mut self.ecs.refused_tasks);
        if self.is_calm || !self.once_in(40) {
            return count.saturating_sub(n_refused);
        }
        self.figures.fault("TasksRefused");
        self.occur("fault", "TasksRefused");
        self.chance.u32(0..count)
    }

    fn standalone_task(&mut self, cluster: &str, id: &PhysicalId, run: &TaskRun, tags: &Tags) -> Task {
        let (container_id, number, now) = (self.hex(64), self.ecs.number(), self.now);
        let listed_at = now + self.between(0, LISTED_WITHIN_MILLIS);
        Task {
            // The name of a runner that the function registers ends in the first digits.
            arn: arn(&format!("task/{cluster}/{number:012x}{number:020x}")),
            cluster: cluster.to_owned(),
            service: id.as_str().to_owned(),
            family: id.as_str().to_owned(),
            revision: run.task_definition.clone(),
            deployment: id.as_str().to_owned(),
            standalone: Some(Standalone { tags: tags.clone(), is_distinct: run.distinct_instances }),
            listed_at,
            provider: run.capacity_provider.clone(),
            phase: Phase::Provisioning,
            stop_cause: None,
            protected_until: None,
            container_id,
            id_told_at: now,
            created_at: now,
            instance: None,
            started_at: None,
            stopped_at: None,
            stop_reason: String::new(),
            exit_code: None,
            due: now,
            never_started: false,
            is_counted: false,
            container: Container::None,
        }
    }

    /// Standalone tasks of a pool that are meant to run.
    pub(crate) fn standalone_tasks(&self, pool: &str) -> Vec<&Task> {
        let is_its = |task: &&Task| task.standalone.is_some() && task.service == pool && task.is_wanted();
        self.ecs.tasks.values().filter(is_its).collect()
    }
}

/// What a task has that no service started.
#[derive(Clone, Debug)]
pub(crate) struct Standalone {
    /// ECS deletes them when the task ends.
    pub(crate) tags: Tags,
    /// At most one task of its family on an instance.
    pub(crate) is_distinct: bool,
}
