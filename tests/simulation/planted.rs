//! Bugs that the function could have, planted where it meets the world.
//!
//! Whatever a bug is in the code, in the end the function sends another call, or acts on another response. So each is
//! planted there, and the code itself stays as it is. Each names the invariant that has to fail.

mod demand;

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::auto_scaling::Group;
use github_runner_pool::pool::model::ecs::Protection;
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::runner::Runner;
use github_runner_pool::pool::model::runner_log::{LogLine, LogStream};
use github_runner_pool::pool::model::scaling::LISTENER_KEY;
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{AnswerWrite, LogPage, RemoteResult, StateItem, StateWrite};
use serde_json::Value;

use crate::cloudformation::{Stack, State};
use crate::containers::Container;
use crate::faults::Trouble;
use crate::history::{Fact, Loss};
use crate::registrations::CLAIM;
use crate::script::{Action, AfterDeletion, First, Rollback, Script, What};
use crate::world::{BEGIN, World};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    SkipsTheProtection,
    TrustsOneIdleReading,
    TrustsGitHubAlone,
    ForgetsTheLabel,
    ForgetsTheName,
    ForgetsTheTags,
    ReplacesTheAssociation,
    StopsAllWhenItLowers,
    StopsTheOldFirst,
    LeavesGhosts,
    BelievesEverythingGone,
    RespondsTwice,
    RespondsTooLong,
    EchoesNoId,
    MakesUpAnId,
    SendsTheToken,
    FailsWithoutAWord,
    SucceedsTooSoon,
    DropsTheContinuation,
    CountsNoHops,
    AbortsOnPanic,
    IgnoresNewerRequests,
    NoQueueForWhatIsGivenUp,
    Hammers,
    BelievesEveryStackGoes,
    ForgetsTheSuccess,
    WritesLocksUnconditionally,
    RegistersASecondRunner,
    AnswersUnderAnothersKey,
    NeverTakesOverAClaim,
    WritesClaimsUnconditionally,
    SweepsNothing,
    AnnouncesTheFreeGap,
    AcknowledgesBeforeActing,
    LowersOnOneReading,
    ListensTwice,
    AdoptsAStrangersSet,
    ReadsTheTargetAsATotal,
    ForgetsTheWarmPool,
}

/// Every bug, and the invariant that catches it.
pub(crate) const BUGS: &[(Bug, &str)] = &[
    (Bug::SkipsTheProtection, "no_job_ends_before_its_time"),
    (Bug::TrustsOneIdleReading, "no_job_ends_before_its_time"),
    (Bug::TrustsGitHubAlone, "no_job_ends_before_its_time"),
    (Bug::StopsAllWhenItLowers, "no_job_ends_before_its_time"),
    (Bug::ForgetsTheLabel, "what_is_foreign_is_left_alone"),
    (Bug::ForgetsTheName, "what_is_foreign_is_left_alone"),
    (Bug::ForgetsTheTags, "what_is_foreign_is_left_alone"),
    (Bug::ReplacesTheAssociation, "what_is_foreign_is_left_alone"),
    (Bug::StopsTheOldFirst, "a_failed_update_leaves_the_old_pool_whole"),
    (Bug::LeavesGhosts, "a_deleted_pool_leaves_nothing"),
    (Bug::BelievesEverythingGone, "a_deleted_pool_leaves_nothing"),
    (Bug::RespondsTwice, "no_two_responses_disagree"),
    (Bug::RespondsTooLong, "every_response_is_within_bounds"),
    (Bug::EchoesNoId, "every_response_is_within_bounds"),
    (Bug::MakesUpAnId, "the_physical_id_changes_only_by_the_table"),
    (Bug::SendsTheToken, "no_secret_is_logged_or_sent"),
    (Bug::FailsWithoutAWord, "a_failure_says_what_to_do"),
    (Bug::SucceedsTooSoon, "success_means_online"),
    (Bug::DropsTheContinuation, "every_request_gets_its_response_in_time"),
    (Bug::NoQueueForWhatIsGivenUp, "every_request_gets_its_response_in_time"),
    (Bug::CountsNoHops, "calls_and_hops_are_bounded"),
    (Bug::Hammers, "calls_and_hops_are_bounded"),
    (Bug::AbortsOnPanic, "a_panic_becomes_a_response"),
    (Bug::BelievesEveryStackGoes, "a_live_pool_stays"),
    (Bug::ForgetsTheSuccess, "a_live_pool_stays"),
    (Bug::WritesLocksUnconditionally, "a_lock_is_written_over_the_version_before"),
    (Bug::WritesClaimsUnconditionally, "a_lock_is_written_over_the_version_before"),
    (Bug::RegistersASecondRunner, "a_task_gets_one_registration"),
    (Bug::AnswersUnderAnothersKey, "an_answer_is_for_the_task_of_its_key"),
    (Bug::NeverTakesOverAClaim, "a_container_that_asks_is_answered"),
    (Bug::SweepsNothing, "no_orphaned_registration_outlives_two_sweeps"),
    (Bug::ForgetsTheWarmPool, "everything_comes_to_rest"),
    (Bug::AnnouncesTheFreeGap, "a_job_gets_a_runner_in_time"),
    (Bug::AcknowledgesBeforeActing, "a_message_is_acted_upon_before_it_is_acknowledged"),
    (Bug::LowersOnOneReading, "no_job_ends_before_its_time"),
    (Bug::ListensTwice, "at_most_one_listener_writes"),
    (Bug::AdoptsAStrangersSet, "what_is_foreign_is_left_alone"),
    (Bug::ReadsTheTargetAsATotal, "a_pool_follows_its_jobs"),
    (Bug::IgnoresNewerRequests, "older_request_stops_at_its_next_read_of_the_lock"),
];

impl Bug {
    /// The script in which it has to show: some need what happens seldom.
    pub(crate) fn provoked(self, script: Script) -> Script {
        match self {
            Self::CountsNoHops => Script { budget_secs: Some(20), ..script },
            Self::BelievesEveryStackGoes => Script { rollback: Rollback::CleanUpFirst, ..script },
            Self::ForgetsTheSuccess => Script { first: First::UpdateOfForeign, ..script },
            Self::ForgetsTheTags => Script { has_foreign_group: true, ..script },
            Self::AnnouncesTheFreeGap
            | Self::AcknowledgesBeforeActing
            | Self::LowersOnOneReading
            | Self::ListensTwice
            | Self::AdoptsAStrangersSet => script.with_demand(self == Self::AdoptsAStrangersSet),
            Self::ReadsTheTargetAsATotal => script.with_demand(false).with_idle_runners(),
            Self::TrustsOneIdleReading => {
                // Without a log, and where the deletion itself ends the job: nothing else would save it.
                let mut script = script.without_logs();
                script.after_deletion = AfterDeletion::Cancelled;
                let at = |place: u64| Action {
                    at_millis: 200_000 + place * 60_000,
                    what: What::Trouble { trouble: Trouble::BusyFlickers, secs: 25 },
                };
                script.actions.extend((0..20).map(at));
                script
            }
            Self::TrustsGitHubAlone => {
                let mut script = script;
                let at = |place: u64| Action {
                    at_millis: 120_000 + place * 400_000,
                    what: What::Trouble { trouble: Trouble::CallsIdle, secs: 400 },
                };
                script.actions.extend((0..10).map(at));
                script
            }
            Self::ForgetsTheWarmPool => script.with_warm_pools(),
            _ => script,
        }
    }
}

impl World {
    pub(crate) fn planted_protections(&self, tasks: &[String]) -> BTreeMap<String, Protection> {
        if self.bug == Some(Bug::SkipsTheProtection) {
            let until = Protection::Until(self.now + Duration::from_secs(86_400));
            return tasks.iter().map(|arn| (arn.clone(), until)).collect();
        }
        self.read_protections(tasks)
    }

    pub(crate) fn planted_protection(&mut self, tasks: &[String]) -> BTreeMap<String, String> {
        if self.bug == Some(Bug::SkipsTheProtection) { BTreeMap::new() } else { self.protect(tasks) }
    }

    pub(crate) fn planted_associate(&mut self, cluster: &str, provider: &str) -> RemoteResult<()> {
        if self.bug == Some(Bug::ReplacesTheAssociation) {
            let name = cluster.rsplit('/').next().unwrap();
            self.ecs.clusters.get_mut(name).unwrap().providers.clear();
        }
        self.attach_provider(cluster, provider, true)
    }

    pub(crate) fn planted_lowering(&mut self, cluster: &str, id: &PhysicalId) {
        if self.bug == Some(Bug::StopsAllWhenItLowers) {
            self.stop_listening(id.as_str(), Loss::Stopped);
        }
        self.lower_service(cluster, id);
    }

    /// An update of the service begins: who does it badly stops the old runners that are idle.
    pub(crate) fn planted_update(&mut self, id: &PhysicalId) {
        if self.bug == Some(Bug::StopsTheOldFirst) {
            self.stop_listening(id.as_str(), Loss::Stopped);
        }
    }

    fn stop_listening(&mut self, service: &str, why: Loss) {
        let works = |task: &&crate::ecs::Task| {
            task.service == service && task.is_wanted() && matches!(task.container, Container::Listening(_))
        };
        let tasks: Vec<String> = self.ecs.tasks.values().filter(works).map(|task| task.arn.clone()).collect();
        for task in tasks {
            self.stop_task(&task, why, "a planted bug");
        }
    }

    pub(crate) fn planted_group(&self, name: &str) -> Option<Group> {
        let mut group = self.read_group(name);
        if self.bug == Some(Bug::ForgetsTheTags)
            && let Some(group) = &mut group
        {
            group.tags.insert("github-runner-pool:id".to_owned(), name.to_owned());
        }
        let is_going = |stack: &Stack| {
            name.starts_with(&stack.stem())
                && !matches!(stack.state, State::Creating | State::Complete | State::Updating)
        };
        if self.bug == Some(Bug::ForgetsTheWarmPool) && self.stacks.all.iter().any(is_going) {
            group.as_mut()?.warm_pool = None;
        }
        if self.bug == Some(Bug::BelievesEverythingGone) && group.as_ref().is_some_and(|group| group.config.max == 0) {
            return None;
        }
        group
    }

    pub(crate) fn planted_runners(&mut self, target: &GitHubTarget) -> Vec<Runner> {
        let mut runners = self.list_runners(target);
        for runner in &mut runners {
            let truth = &self.github.runners[&runner.id];
            if truth.pool.is_some() {
                continue;
            }
            if self.bug == Some(Bug::ForgetsTheLabel)
                && let Some(label) = truth.looks_like.clone()
            {
                runner.labels.insert(label);
            }
            if self.bug == Some(Bug::ForgetsTheName)
                && let Some(name) = truth.would_be_called.clone()
            {
                runner.name = name;
            }
        }
        if matches!(self.bug, Some(Bug::LeavesGhosts | Bug::SweepsNothing)) {
            runners.retain(|runner| runner.is_online);
        }
        runners
    }

    /// What code would make of a log that it does not heed.
    pub(crate) fn planted_log(&mut self, stream: &LogStream, earlier: Option<&str>) -> RemoteResult<Option<LogPage>> {
        if self.bug == Some(Bug::TrustsGitHubAlone) {
            let text = "2027-01-15 08:00:00Z: Listening for Jobs".to_owned();
            return Ok(Some(LogPage { lines: vec![LogLine { at: BEGIN, text }], earlier: None }));
        }
        self.read_log(stream, earlier)
    }

    pub(crate) fn planted_turn(&mut self, invocation: u64, name: &str) -> Option<StateItem> {
        let mut record = self.read_turn(invocation, name);
        let is_claim = name.starts_with(CLAIM);
        if name == LISTENER_KEY && self.bug == Some(Bug::ListensTwice) {
            return None;
        }
        if is_claim && self.bug == Some(Bug::RegistersASecondRunner) {
            return None;
        }
        if is_claim && self.bug == Some(Bug::NeverTakesOverAClaim) {
            record = record.map(|item| StateItem { text: renewed(&item.text, self.now), ..item });
        }
        if self.bug == Some(Bug::ForgetsTheSuccess)
            && let Some(record) = &mut record
        {
            record.text = forgetful(&record.text);
        }
        if self.bug == Some(Bug::IgnoresNewerRequests) {
            let own = self.lambda.invocations.get(&invocation).and_then(|it| it.own_record.clone());
            return own.or(record);
        }
        record
    }

    pub(crate) fn planted_write(&mut self, key: &str, item: &StateItem, now: Timestamp) -> StateWrite {
        let is_unconditional = match self.bug {
            Some(Bug::WritesLocksUnconditionally) => true,
            Some(Bug::ListensTwice) => key == LISTENER_KEY,
            Some(Bug::WritesClaimsUnconditionally | Bug::RegistersASecondRunner) => key.starts_with(CLAIM),
            Some(_) | None => false,
        };
        if !is_unconditional {
            return self.state_table.write(key, item, now);
        }
        let replaced = self.state_table.items.insert(key.to_owned(), item.clone());
        if let Some(replaced) = replaced.filter(|replaced| replaced.version >= item.version) {
            let what = format!("{key}: version {} over version {}", item.version, replaced.version);
            self.violate("a_lock_is_written_over_the_version_before", what);
        }
        StateWrite::Stored
    }

    /// The answer of the function to what waits under this key.
    pub(crate) fn planted_registration(&mut self, key: &str, answer: &str) -> AnswerWrite {
        let mut others = self.waiting_keys().into_iter().filter(|other| other != key);
        match others.next_back().filter(|_| self.bug == Some(Bug::AnswersUnderAnothersKey)) {
            Some(other) => self.write_answer(&other, answer),
            None => self.write_answer(key, answer),
        }
    }

    pub(crate) fn planted_stack_status(&self, stack_id: &str) -> Option<String> {
        let stack = self.stacks.all.iter().find(|stack| stack.id() == stack_id)?;
        match self.bug {
            Some(Bug::BelievesEveryStackGoes) => Some("DELETE_IN_PROGRESS".to_owned()),
            // The stack's success says the same as the record that is forgotten.
            Some(Bug::ForgetsTheSuccess) => None,
            Some(_) | None => Some(stack.status().to_owned()),
        }
    }

    pub(crate) fn planted_handing_on(&mut self, event: &[u8]) {
        let mut event: Value = serde_json::from_slice(event).unwrap();
        if !event["rest"].is_object() {
            return self.send_own_event(event);
        }
        let hop = event["rest"]["operation"]["continuation_count"].as_u64().unwrap_or(0);
        self.figures.hops += 1;
        self.figures.hops_max = self.figures.hops_max.max(hop);
        let ask = crate::lambda::ask_of(&event);
        if let Some(ask) = ask {
            self.stacks.asks[ask].n_hops += 1;
        }
        self.note(&Fact::ParsedContinuation { ask });
        match self.bug {
            Some(Bug::DropsTheContinuation) => return,
            Some(Bug::CountsNoHops) => event["rest"]["operation"]["continuation_count"] = 0.into(),
            Some(_) | None => {}
        }
        self.send_event(event);
    }

    pub(crate) fn planted_response(&mut self, url: &str, body: &[u8]) {
        let mut response: Value = serde_json::from_slice(body).unwrap();
        match self.bug {
            Some(Bug::RespondsTooLong) => response["Reason"] = "long ".repeat(1_000).into(),
            Some(Bug::EchoesNoId) => response["RequestId"] = "".into(),
            Some(Bug::SendsTheToken) => response["Reason"] = self.github.kept.clone().into(),
            Some(Bug::FailsWithoutAWord) if response["Status"] == "FAILED" => response["Reason"] = "error".into(),
            Some(Bug::MakesUpAnId) => {
                let id = format!("{}{}", response["PhysicalResourceId"].as_str().unwrap(), self.chance.u32(0..10));
                response["PhysicalResourceId"] = id.into();
            }
            Some(Bug::SucceedsTooSoon) if response["Data"].is_object() => {
                response["Data"]["OnlineRunners"] = "0".into()
            }
            Some(Bug::RespondsTwice) => {
                self.responded(url, body);
                response["Status"] = "FAILED".into();
                response["Reason"] = "Something else went wrong afterwards; try again.".into();
            }
            Some(_) | None => return self.responded(url, body),
        }
        self.responded(url, response.to_string().as_bytes());
    }

    /// What the function is told of its properties.
    pub(crate) fn planted_event(&self, event: &mut Value) {
        if self.bug == Some(Bug::TrustsOneIdleReading) && event["ResourceProperties"].is_object() {
            event["ResourceProperties"]["IdleConfirmation"] = "0".into();
        }
    }
}

/// A claim that is always of this moment.
fn renewed(text: &str, now: Timestamp) -> String {
    let mut claim: Value = serde_json::from_str(text).unwrap();
    claim["at"] = now.epoch_millis().into();
    claim.to_string()
}

/// A record as code would read it that takes every request for a Create without a SUCCESS.
fn forgetful(text: &str) -> String {
    let (head, body) = text.split_once('\n').unwrap_or((text, ""));
    let mut head: Value = serde_json::from_str(head).unwrap();
    head["is_of_create"] = true.into();
    head.as_object_mut().unwrap().remove("live_pool");
    format!("{head}\n{body}")
}
