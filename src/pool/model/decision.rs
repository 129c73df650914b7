//! What to do next: steps, a wait, a response, or the end of this invocation.

use std::fmt;

use strum::{IntoStaticStr, VariantNames};

use crate::pool::model::operation_lock::Superseded;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::RemoteError;
use crate::pool::model::runner_log::{JobName, NoLog};
use crate::pool::model::step::Steps;
use crate::pool::model::text::{abbreviated_list, pluralize};
use crate::pool::model::time::{DecisionTime, Timestamp};

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take these steps, then observe everything again.
    Act(Steps),
    /// Wait: there is nothing to do now.
    Wait {
        /// What for.
        why: WaitReason,
        /// When to observe again.
        until: Timestamp,
        /// What to observe.
        scope: ObserveScope,
    },
    /// Respond to CloudFormation.
    Respond(Outcome),
    /// Stop, because another request or invocation has taken over or has responded.
    Stop(Superseded),
}

/// The scope of the next observation. A narrow scope saves calls during a long wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserveScope {
    /// All of it.
    Full,
    /// The operation lock only. Every other scope includes it.
    Lock,
    /// The service, its tasks, and the runners at GitHub.
    Runners,
    /// The same, and the logs of those tasks that [`crate::pool::model::log_memory::LogMemory::asked`] names, read
    /// last.
    RunnerLogs,
    /// The service and its tasks.
    Tasks,
    /// The capacity provider and the cluster's association with it.
    CapacityProvider,
    /// The group.
    AutoScalingGroup,
    /// Everything, and why instances do not start; used before a failure is reported.
    Diagnostics,
}

/// What is being waited for.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum WaitReason {
    /// The capacity provider is being made or changed.
    ProviderChange,
    /// The cluster's attachments are busy with another association.
    ClusterUpdateInProgress,
    /// A group of this name is still being deleted.
    GroupDeletion,
    /// The group's warm pool is still being deleted.
    WarmPoolDeletion,
    /// Instances of a group without runners, which leave before its purchase options change.
    InstancesLeaving {
        /// How many.
        n_instances: usize,
    },
    /// A service of this name is still being deleted.
    ServiceDeletion,
    /// The capacity provider is still being deleted.
    ProviderDeletion,
    /// The provider is still on the cluster's list.
    ProviderDetachment,
    /// ECS does not protect these many tasks yet.
    TaskProtection {
        /// How many.
        n_tasks: usize,
        /// ECS's reason for one of them.
        reason: String,
    },
    /// Runners that are not online yet.
    RunnersOnline {
        /// How many are.
        online: u32,
        /// How many are wanted.
        wanted: u32,
    },
    /// Runners on their way out.
    RunnersDraining {
        /// With a job, by name.
        busy: Vec<String>,
        /// Those that GitHub calls idle or does not list, and whose log shows this job.
        busy_by_log: Vec<(String, JobName)>,
        /// Idle for less than the confirmation window.
        unconfirmed: usize,
        /// Of which nothing is known: GitHub denies access, or their name leads to no task.
        unknown: usize,
        /// Deregistered ones whose containers have not ended, with the reason why no log shows whether they have a job.
        presumed_busy: Vec<NoLog>,
        /// Containers that are ending.
        ending: usize,
    },
    /// Registrations that GitHub still considers busy after their tasks ended.
    StaleRegistrations {
        /// How many.
        n_runners: usize,
    },
    /// Registrations without a task, which have to be offline for a while before they are removed.
    OrphanedRunners {
        /// How many.
        n_runners: usize,
    },
    /// The listener of the pool's runner scale set has no session yet.
    ListenerSession,
    /// Tasks that the listener was about to start when the Delete came may still appear.
    PendingTaskStart,
    /// GitHub does not delete the runner scale set while a job runs in it.
    ScaleSetDeletion,
    /// A call of the request that this one preempted may still be under way.
    PreemptedCalls,
    /// The final observation before the response.
    FinalCheck,
    /// The response is due before this step.
    NextStep(&'static str),
    /// A call was refused and may pass.
    RetryableError(RemoteError),
}

impl WaitReason {
    /// The name under which logs count it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProviderChange => f.write_str("the capacity provider to be ready"),
            Self::ClusterUpdateInProgress => f.write_str("the cluster to finish a capacity provider association"),
            Self::GroupDeletion => f.write_str("the Auto Scaling group to be deleted"),
            Self::WarmPoolDeletion => f.write_str("the warm pool to be deleted"),
            Self::InstancesLeaving { n_instances } => {
                let instances = pluralize(*n_instances, "1 instance", "instances");
                write!(f, "{instances} to leave, so that the purchase options can change")
            }
            Self::ServiceDeletion => f.write_str("the service to be deleted"),
            Self::ProviderDeletion => f.write_str("the capacity provider to be deleted"),
            Self::ProviderDetachment => f.write_str("the capacity provider to be detached from the cluster"),
            Self::TaskProtection { n_tasks, reason } => {
                write!(f, "ECS to protect {n_tasks} tasks ({reason})")
            }
            Self::RunnersOnline { online, wanted } => {
                write!(f, "runners to come online ({online}/{wanted})")
            }
            Self::RunnersDraining { busy, busy_by_log, unconfirmed, unknown, presumed_busy, ending } => {
                let with_a_job = (!busy.is_empty())
                    .then(|| format!("{} with a running job ({})", busy.len(), abbreviated_list(busy)));
                let by_log = busy_by_log.first().map(|(name, job)| {
                    let n = busy_by_log.len();
                    format!("{n} busy by their own log, though idle in GitHub's list (first: {name} runs {job})")
                });
                let presumed_busy = presumed_busy.first().map(|why| {
                    format!("{} that did not stop after deregistration, so presumed busy ({why})", presumed_busy.len())
                });
                let others = [
                    (unconfirmed, "idle but not yet for the confirmation window"),
                    (unknown, "whose state cannot be read, so presumed busy"),
                    (ending, "ending"),
                ]
                .into_iter()
                .filter(|(n, _)| **n > 0)
                .map(|(n, what)| format!("{n} {what}"));
                let parts: Vec<String> =
                    with_a_job.into_iter().chain(by_log).chain(presumed_busy).chain(others).collect();
                write!(f, "runners to leave: {}", parts.join(", "))
            }
            Self::StaleRegistrations { n_runners } => {
                write!(f, "GitHub to clear the busy state of {n_runners} runners whose tasks have stopped")
            }
            Self::OrphanedRunners { n_runners } => {
                write!(f, "{n_runners} registrations without a task to stay offline, so that they can be removed")
            }
            Self::ListenerSession => f.write_str("the listener to open the runner scale set's session"),
            Self::PendingTaskStart => f.write_str("tasks to appear that were being started"),
            Self::ScaleSetDeletion => f.write_str("GitHub to let the runner scale set be deleted, in which a job runs"),
            Self::PreemptedCalls => f.write_str("calls of the preempted request to end"),
            Self::FinalCheck => f.write_str("a final observation"),
            Self::NextStep(name) => write!(f, "the next step: {name}"),
            Self::RetryableError(remote_error) => write!(f, "a retryable error: {remote_error}"),
        }
    }
}

impl DecisionTime {
    /// Waits for one poll interval.
    #[must_use]
    pub fn wait(self, why: WaitReason, scope: ObserveScope) -> Decision {
        Decision::Wait { why, until: self.next_poll(), scope }
    }

    /// Observes again at once.
    #[must_use]
    pub fn requeue_now(self, why: WaitReason, scope: ObserveScope) -> Decision {
        Decision::Wait { why, until: self.now, scope }
    }
}
