//! What to do next, given what is wanted, what is seen and what time it is. Pure and total.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::continuation::{Continuation, Goal};
use super::observed::Observed;
use super::plan::{Plan, Step};
use super::refusal::{Class, Refusal};
use super::runner_log::{JobName, NoLog};
use super::succession::{self, Before, Yield};
use super::time::Timestamp;
use super::{convergence, deletion, report};

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take these steps, then look at everything again.
    Act(Plan),
    /// Nothing useful can be done now.
    Wait {
        /// What for.
        why: Waiting,
        /// When to look again.
        until: Timestamp,
        /// What to look at.
        look: Look,
    },
    /// Tell CloudFormation.
    Answer(Outcome),
    /// End, because somebody else goes on or has answered.
    Yield(Yield),
}

/// How much of the world the next look takes in. Narrow looks keep the calls of a long wait few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All of it.
    Everything,
    /// Who has the turn, and nothing else. Every other look takes that in, too.
    Turn,
    /// The service, its tasks, and the runners at GitHub.
    Runners,
    /// The same, and the logs of those tasks that [`super::log_memory::LogMemory::asked`] names, read last.
    RunnerLogs,
    /// The service and its tasks.
    Tasks,
    /// The capacity provider and the cluster's association with it.
    Association,
    /// The group.
    Group,
    /// All of it, and what stands in the way of new instances: before a failure is told.
    Diagnosis,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The pool is as it should be.
    Succeeded {
        /// `Fn::GetAtt`; empty after a Delete.
        attributes: BTreeMap<String, String>,
        /// What a person should know all the same.
        notes: Vec<String>,
    },
    /// It is not.
    Failed {
        /// What, where, and what to do next.
        reason: String,
    },
}

impl Outcome {
    /// A failure for this reason.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into() }
    }
}

/// What is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The capacity provider is being made or changed.
    ProviderChange,
    /// The cluster's attachments are busy with somebody's association.
    BusyCluster,
    /// A group of this name is still being deleted.
    GroupDeletion,
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
    Dissociation,
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
    RunnersLeaving {
        /// With a job, by name.
        busy: Vec<String>,
        /// Those that GitHub calls idle or does not list, and whose log shows this job.
        busy_by_log: Vec<(String, JobName)>,
        /// Idle for less than the confirmation window.
        unconfirmed: usize,
        /// Of which we cannot tell: GitHub does not let us in, or their name leads to no task.
        unclear: usize,
        /// Deregistered ones whose containers have not ended, for each the reason why no log tells if they have a job.
        lingering: Vec<NoLog>,
        /// Containers that are ending.
        ending: usize,
    },
    /// Registrations that GitHub still holds to be busy after their tasks ended.
    StaleRegistrations {
        /// How many.
        n_runners: usize,
    },
    /// Registrations without a task, which have to be offline for a while before they are removed.
    Ghosts {
        /// How many.
        n_runners: usize,
    },
    /// The event of a request that this one interrupted, which Lambda may deliver again.
    Redelivery,
    /// A last look before the answer.
    LastLook,
    /// The time to take this step, which is over.
    Step(&'static str),
    /// A call was refused and may pass.
    Passing(Refusal),
}

impl Waiting {
    /// The stable name under which logs count it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ProviderChange => "provider_change",
            Self::BusyCluster => "busy_cluster",
            Self::GroupDeletion => "group_deletion",
            Self::InstancesLeaving { .. } => "instances_leaving",
            Self::ServiceDeletion => "service_deletion",
            Self::ProviderDeletion => "provider_deletion",
            Self::Dissociation => "dissociation",
            Self::TaskProtection { .. } => "task_protection",
            Self::RunnersOnline { .. } => "runners_online",
            Self::RunnersLeaving { .. } => "runners_leaving",
            Self::StaleRegistrations { .. } => "stale_registrations",
            Self::Ghosts { .. } => "ghosts",
            Self::Redelivery => "redelivery",
            Self::LastLook => "last_look",
            Self::Step(_) => "step",
            Self::Passing(_) => "passing",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProviderChange => f.write_str("the capacity provider to be ready"),
            Self::BusyCluster => f.write_str("the cluster to finish a capacity provider association"),
            Self::GroupDeletion => f.write_str("the Auto Scaling group to be gone"),
            Self::InstancesLeaving { n_instances } => {
                let instances = report::either(*n_instances, "1 instance", "instances");
                write!(f, "{instances} to leave, so that the purchase options can change")
            }
            Self::ServiceDeletion => f.write_str("the service to be gone"),
            Self::ProviderDeletion => f.write_str("the capacity provider to be gone"),
            Self::Dissociation => f.write_str("the cluster to let go of the capacity provider"),
            Self::TaskProtection { n_tasks, reason } => {
                write!(f, "ECS to protect {n_tasks} tasks ({reason})")
            }
            Self::RunnersOnline { online, wanted } => {
                write!(f, "runners to come online: {online} of {wanted}")
            }
            Self::RunnersLeaving { busy, busy_by_log, unconfirmed, unclear, lingering, ending } => {
                let with_a_job =
                    (!busy.is_empty()).then(|| format!("{} with a running job ({})", busy.len(), report::listed(busy)));
                let by_log = busy_by_log.first().map(|(name, job)| {
                    let n = busy_by_log.len();
                    format!("{n} busy by their own log and not by GitHub's word (first of them: {name} runs {job})")
                });
                let lingering = lingering.first().map(|why| {
                    format!("{} that did not end once deregistered, so presumed busy ({why})", lingering.len())
                });
                let others = [
                    (unconfirmed, "idle but not yet for the confirmation window"),
                    (unclear, "whose state cannot be read, so presumed busy"),
                    (ending, "ending"),
                ]
                .into_iter()
                .filter(|(n, _)| **n > 0)
                .map(|(n, what)| format!("{n} {what}"));
                let parts: Vec<String> = with_a_job.into_iter().chain(by_log).chain(lingering).chain(others).collect();
                write!(f, "runners to leave: {}", parts.join(", "))
            }
            Self::StaleRegistrations { n_runners } => {
                write!(f, "GitHub to release {n_runners} runners that it holds to be busy though their tasks ended")
            }
            Self::Ghosts { n_runners } => {
                write!(f, "{n_runners} registrations without a task to stay offline, so that they can be removed")
            }
            Self::Redelivery => f.write_str("Lambda to deliver the event of the interrupted request for the last time"),
            Self::LastLook => f.write_str("a last look"),
            Self::Step(name) => write!(f, "its next step, {name}"),
            Self::Passing(refusal) => write!(f, "a refusal to pass: {refusal}"),
        }
    }
}

/// The moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// How long to wait between looks.
    pub poll: Duration,
}

impl Moment {
    /// When the next look is due.
    #[must_use]
    pub fn next_look(self) -> Timestamp {
        self.now + self.poll
    }

    /// Waits one poll interval.
    #[must_use]
    pub fn wait(self, why: Waiting, look: Look) -> Decision {
        Decision::Wait { why, until: self.next_look(), look }
    }

    /// Looks again at once.
    #[must_use]
    pub fn look_again(self, why: Waiting, look: Look) -> Decision {
        Decision::Wait { why, until: self.now, look }
    }
}

/// Refusals in a row that are nowhere in our tables, before they are told: enough to outlast a service's bad minute at
/// the default poll interval, few enough that a stack does not wait an hour on a bug.
const UNEXPECTED_REFUSALS_MAX: u32 = 12;
/// How long a task that IAM did not let the function stop or change may still be listed as running before that fails the
/// request.
/// A role may bind both calls to tags, and those go with the task: ECS deletes them when it ends.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>
const DENIED_PATIENCE: Duration = Duration::from_secs(60);
/// How long a service-linked role is waited for. AWS makes it with the first request that needs it, and it spreads within
/// a minute; one that is missing for longer was deleted, or may not be made, and only a person can help.
const ROLE_PATIENCE: Duration = Duration::from_secs(180);
/// The longest pause between two tries of something refused.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Decides. The continuation's memory is brought up to date on the way; nothing else is changed.
pub fn decide(held: &mut Continuation, seen: &Observed, at: Moment) -> Decision {
    if let Some(why) = succession::yields(held, seen) {
        return Decision::Yield(why);
    }
    if let Some(refusal) = &seen.refusal {
        return after_refusal(held, seen, refusal, at);
    }
    if succession::takes_turn_first(held)
        && at.now < held.answer_by
        && let Before::Take(step) = succession::before_effect(held, seen)
    {
        return take_turn(held, seen, step, at);
    }
    let memory = held.memory.clone();
    let decision = match held.goal.clone() {
        Goal::Present(goal) => convergence::decide(held, &goal, seen, at),
        Goal::Absent(goal) => deletion::decide(held, &goal, seen, at),
    };
    if let Decision::Wait { why: Waiting::RunnersLeaving { busy, busy_by_log, .. }, .. } = &decision {
        let by_log = busy_by_log.iter().map(|(name, _)| name);
        held.memory.waited_for.extend(busy.iter().chain(by_log).cloned());
    }
    let is_late = at.now >= held.answer_by;
    let too_late = |why: &Waiting| Decision::Answer(Outcome::failed(report::out_of_time(held, seen, why, at.now)));
    let (decision, before) = match decision {
        // CloudFormation is about to give up, or has: nothing is begun that it would not hear of.
        Decision::Wait { why, .. } if is_late => (too_late(&why), Before::Nothing),
        Decision::Act(plan) if is_late => {
            let next = plan.first().map_or("look again", |step| step.describe().0);
            (too_late(&Waiting::Step(next)), Before::Nothing)
        }
        Decision::Wait { why, until, look } => {
            let is_last_look = why == Waiting::LastLook;
            let before = if is_last_look { Before::Nothing } else { succession::before_effect(held, seen) };
            (Decision::Wait { why, until: until.min(held.answer_by), look }, before)
        }
        act @ Decision::Act(_) => (act, succession::before_effect(held, seen)),
        Decision::Answer(Outcome::Failed { .. })
            if !is_late
                && matches!(held.goal, Goal::Present(_))
                && let Some(lift) = convergence::last_lift(held, seen) =>
        {
            (Decision::Act(vec![lift]), succession::before_effect(held, seen))
        }
        answer @ Decision::Answer(_) if is_late => (answer, Before::Nothing),
        answer @ Decision::Answer(_) => (answer, succession::before_answer(held, seen)),
        end @ Decision::Yield(_) => (end, Before::Nothing),
    };
    match before {
        Before::Nothing => decision,
        Before::Take(step) => {
            // What was decided is decided again, once this is done.
            held.memory = memory;
            take_turn(held, seen, step, at)
        }
        Before::Yield(why) => Decision::Yield(why),
    }
}

/// Takes the turn, and remembers from whom.
fn take_turn(held: &mut Continuation, seen: &Observed, step: Step, at: Moment) -> Decision {
    if succession::interrupts(held, seen) {
        held.memory.interrupted_at.get_or_insert(at.now);
    }
    Decision::Act(vec![step])
}

/// Whether a denial may only say that the task has ended, so that the next look does without the call.
fn may_be_of_an_ended_task(held: &Continuation, refusal: &Refusal, at: Moment) -> bool {
    let denied_since = &held.memory.denied_since;
    refusal.class == Class::Denied
        && matches!(refusal.operation.as_str(), "StopTask" | "UpdateTaskProtection")
        && !denied_since.is_empty()
        && denied_since.values().all(|since| at.now.since(*since) < DENIED_PATIENCE)
}

/// A call was refused: wait for what may pass, tell what will not.
fn after_refusal(held: &Continuation, seen: &Observed, refusal: &Refusal, at: Moment) -> Decision {
    let waiting = Waiting::Passing(refusal.clone());
    if at.now >= held.answer_by {
        return Decision::Answer(Outcome::failed(report::out_of_time(held, seen, &waiting, at.now)));
    }
    let unexpected_for_long = refusal.class == Class::Unexpected && held.memory.n_refusals > UNEXPECTED_REFUSALS_MAX;
    if !refusal.class.may_pass() && !may_be_of_an_ended_task(held, refusal, at) || unexpected_for_long {
        return Decision::Answer(Outcome::failed(report::refused(held, refusal)));
    }
    if let Some(principal) = refusal.missing_role() {
        let since = held.memory.role_awaited_since.get(principal).copied().unwrap_or(at.now);
        let waited = at.now.since(since);
        if waited >= ROLE_PATIENCE {
            let reason = report::no_service_linked_role(held, principal, refusal, waited);
            return Decision::Answer(Outcome::failed(reason));
        }
    }
    let asked = match refusal.class {
        Class::Throttled { retry_after } => retry_after.unwrap_or(at.poll),
        Class::Unavailable
        | Class::Conflict
        | Class::Unauthenticated
        | Class::Denied
        | Class::Rejected
        | Class::Missing
        | Class::Unexpected => at.poll,
    };
    // Each refusal in a row doubles the pause, so that a service in trouble is not hammered.
    let doubled = at.poll.saturating_mul(1 << held.memory.n_refusals.saturating_sub(1).min(6));
    let until = at.now + asked.max(doubled).min(PAUSE_MAX.max(asked));
    Decision::Wait { why: waiting, until: until.min(held.answer_by), look: Look::Everything }
}
