//! CloudFormation: one stack with one pool each, its operations, their rollbacks and their clean-up.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html>

use std::time::Duration;

use github_runner_pool::pool::time::Timestamp;
use github_runner_pool::reconcile::ports::Record;
use serde_json::{Value, json};

use crate::history::Fact;
use crate::script::{Pool, Script};
use crate::world::World;

/// Clean-up Deletes that are tried before CloudFormation lets the old resource be.
const CLEANUP_TRIES: u32 = 3;

/// Every stack, and every request that was sent.
pub(crate) struct Stacks {
    pub(crate) all: Vec<Stack>,
    pub(crate) asks: Vec<Ask>,
    /// Pools that CloudFormation gave up, and that no Delete can tell from the one that a stack holds, since no answer of
    /// that one could be written down. They stay, as CloudFormation's event says.
    pub(crate) forgotten: Vec<String>,
}

pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) state: State,
    /// What the stack holds: the properties and the physical id.
    pub(crate) pool: Pool,
    pub(crate) physical_id: Option<String>,
    /// What was wanted before the update that is under way.
    pub(crate) before: Option<Pool>,
    /// The request that it waits for.
    pub(crate) waits_for: Option<usize>,
    /// The last request id, for a deployment that is tried again.
    pub(crate) last_request_id: Option<String>,
    /// Pools whose clean-up CloudFormation has given up.
    pub(crate) skipped: Vec<String>,
}

/// Where a stack stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    NotYet,
    Creating,
    /// The Delete after a failed Create.
    UndoingCreate,
    Complete,
    Updating,
    RollingBack,
    /// The Delete of what an update, or its rollback, replaced.
    CleaningUp {
        old_id: String,
        old: Box<Pool>,
        tries: u32,
    },
    RollbackFailed,
    Deleting,
    DeleteFailed,
    Gone,
}

/// A request that CloudFormation sent.
pub(crate) struct Ask {
    pub(crate) stack: usize,
    pub(crate) kind: &'static str,
    pub(crate) event: Value,
    /// The properties that are wanted, or that were.
    pub(crate) pool: Pool,
    pub(crate) sent_at: Timestamp,
    pub(crate) signed_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) answers: Vec<Vec<u8>>,
    /// Cancelled: another request was sent, and nobody waits for this one.
    pub(crate) is_obsolete: bool,
    /// Nobody waits any more, whether it was answered or not.
    pub(crate) is_settled: bool,
    /// Runners of the pool that were online when it was sent.
    pub(crate) n_working_before: usize,
    /// Runners lost to machines since it was sent.
    pub(crate) n_lost_since: usize,
    pub(crate) n_hops: u32,
    /// An Update that wants nothing new of the pool.
    pub(crate) is_unchanged: bool,
    /// Its first answer has been written down.
    pub(crate) is_recorded: bool,
}

impl Stacks {
    pub(crate) fn new(script: &Script) -> Self {
        let stack = |(number, pool): (usize, &Pool)| Stack {
            name: format!("s{number}"),
            state: State::NotYet,
            pool: pool.clone(),
            physical_id: None,
            before: None,
            waits_for: None,
            last_request_id: None,
            skipped: Vec::new(),
        };
        Self { all: script.pools.iter().enumerate().map(stack).collect(), asks: Vec::new(), forgotten: Vec::new() }
    }
}

/// The name of the record of a stack's resource.
pub(crate) fn record_name(stack: usize) -> String {
    format!("/github-runner-pool-requests/s{stack}/0000-s{stack}/Runners")
}

impl Stack {
    pub(crate) fn id(&self) -> String {
        format!("arn:aws:cloudformation:eu-central-1:111122223333:stack/{}/0000-{}", self.name, self.name)
    }

    /// What every physical id of its pool begins with.
    pub(crate) fn stem(&self) -> String {
        format!("ghr-{}-Runners-", self.name)
    }

    /// Whether no operation is under way.
    pub(crate) fn rests(&self) -> bool {
        self.waits_for.is_none()
    }
}

impl World {
    /// Sends a request, and waits for its answer.
    fn ask(&mut self, stack: usize, kind: &'static str, pool: &Pool, old: Option<&Pool>, physical_id: Option<&str>) {
        let place = self.stacks.asks.len();
        // A deployment that is tried again may come with the request id of the one that failed.
        let reused = self.stacks.all[stack].last_request_id.clone().filter(|_| self.chance.u32(0..6) == 0);
        let request_id = reused.unwrap_or_else(|| format!("{:08x}-0000-4000-8000-{}", place + 1, self.hex(12)));
        let stamp: String = self.now.to_string().chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
        let url = format!(
            "https://cloudformation-custom-resource-response-eucentral1.s3.eu-central-1.amazonaws.com/ask-{place}\
             ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={stamp}Z&X-Amz-Expires=7200&X-Amz-Signature=PLANTEDSIGNATURE{place}"
        );
        let mut event = json!({
            "RequestType": kind,
            "ServiceToken": crate::lambda::FUNCTION,
            "ResponseURL": url,
            "StackId": self.stacks.all[stack].id(),
            "RequestId": request_id,
            "LogicalResourceId": "Runners",
            "ResourceType": "Custom::GitHubRunnerPool",
            "ResourceProperties": pool.properties(stack),
        });
        if let Some(physical_id) = physical_id {
            event["PhysicalResourceId"] = json!(physical_id);
        }
        if let Some(old) = old {
            event["OldResourceProperties"] = old.properties(stack);
        }
        self.stacks.all[stack].last_request_id = Some(request_id);
        let signed_at = Timestamp::from_epoch_millis(self.now.epoch_millis() / 1000 * 1000);
        self.stacks.asks.push(Ask {
            stack,
            kind,
            event: event.clone(),
            pool: pool.clone(),
            sent_at: self.now,
            signed_at,
            expires_at: self.now + Duration::from_secs(pool.service_timeout_secs),
            answers: Vec::new(),
            is_obsolete: false,
            is_settled: false,
            n_working_before: self.n_working(stack),
            n_lost_since: 0,
            n_hops: 0,
            is_unchanged: old.is_some_and(|old| old.shape() == pool.shape()),
            is_recorded: false,
        });
        self.figures.requests += 1;
        self.stacks.all[stack].waits_for = Some(place);
        self.tell(|| format!("{kind} {place} of stack s{stack} ({physical_id:?})"));
        self.send_event(event);
    }

    pub(crate) fn create_stack(&mut self, stack: usize) {
        let pool = self.stacks.all[stack].pool.clone();
        self.stacks.all[stack].state = State::Creating;
        self.ask(stack, "Create", &pool, None, None);
    }

    pub(crate) fn update_stack(&mut self, stack: usize, pool: Pool) {
        let old = std::mem::replace(&mut self.stacks.all[stack].pool, pool.clone());
        let id = self.stacks.all[stack].physical_id.clone();
        self.stacks.all[stack].state = State::Updating;
        self.ask(stack, "Update", &pool, Some(&old), id.as_deref());
        self.stacks.all[stack].before = Some(old);
    }

    /// Another resource of the stack failed: this one's update is cancelled, and nobody tells the function. It takes
    /// longer than the second in which CloudFormation signed the request: signatures are dated in whole ones.
    pub(crate) fn cancel_update(&mut self, stack: usize) {
        let sent = self.stacks.asks.iter().rev().find(|ask| ask.stack == stack).map(|ask| ask.sent_at);
        let is_sent = sent.is_some_and(|sent_at| self.now.since(sent_at) >= Duration::from_secs(1));
        if self.stacks.all[stack].state == State::Updating && is_sent {
            self.occur("transition", "update cancelled");
            self.obsolete(stack);
            self.roll_back(stack, None);
        }
    }

    /// A person has it try the rollback again.
    pub(crate) fn continue_rollback(&mut self, stack: usize) {
        let held = &mut self.stacks.all[stack];
        let (pool, failed, id) = (held.pool.clone(), held.before.clone(), held.physical_id.clone());
        held.state = State::RollingBack;
        self.ask(stack, "Update", &pool, failed.as_ref(), id.as_deref());
    }

    pub(crate) fn delete_stack(&mut self, stack: usize) {
        let held = &self.stacks.all[stack];
        let (pool, id) = match held.state {
            State::NotYet | State::Gone | State::Deleting | State::UndoingCreate => return,
            // It never answered, so CloudFormation makes up an id.
            State::Creating => {
                let made_up = format!("{}-Runners-{}", held.name, self.chance.u32(0..u32::MAX));
                (self.stacks.all[stack].pool.clone(), made_up)
            }
            State::Updating | State::RollingBack => {
                (held.before.clone().unwrap_or(held.pool.clone()), held.physical_id.clone().unwrap())
            }
            State::Complete | State::CleaningUp { .. } | State::RollbackFailed | State::DeleteFailed => {
                (held.pool.clone(), held.physical_id.clone().unwrap())
            }
        };
        if !self.stacks.all[stack].rests() {
            self.occur("transition", "delete during an operation");
            self.obsolete(stack);
        }
        let record = record_name(stack);
        let is_answered = |record: &Record| record.text.lines().count() > 1 && record.text.contains(&id);
        if !self.parameters.records.get(&record).is_some_and(is_answered) {
            let skipped = self.stacks.all[stack].skipped.clone();
            self.stacks.forgotten.extend(skipped);
        }
        self.stacks.all[stack].physical_id = Some(id.clone());
        self.stacks.all[stack].state = State::Deleting;
        self.ask(stack, "Delete", &pool, None, Some(&id));
    }

    /// Nobody waits for its request any more.
    fn obsolete(&mut self, stack: usize) {
        if let Some(ask) = self.stacks.all[stack].waits_for.take() {
            self.stacks.asks[ask].is_obsolete = true;
            self.stacks.asks[ask].is_settled = true;
        }
    }

    /// Back to the properties before, with the id that the stack holds: the one of a FAILED answer, if it named one.
    fn roll_back(&mut self, stack: usize, failed_id: Option<String>) {
        let held = &mut self.stacks.all[stack];
        let before = held.before.clone().unwrap();
        let failed = std::mem::replace(&mut held.pool, before.clone());
        held.before = Some(failed.clone());
        if let Some(id) = failed_id {
            held.physical_id = Some(id);
        }
        let id = held.physical_id.clone();
        held.state = State::RollingBack;
        self.ask(stack, "Update", &before, Some(&failed), id.as_deref());
    }

    /// What came of the request that a stack waits for; `None` if no answer came in time.
    fn settle(&mut self, ask: usize, answer: Option<(bool, String)>) {
        let stack = self.stacks.asks[ask].stack;
        self.stacks.asks[ask].is_settled = true;
        self.stacks.all[stack].waits_for = None;
        let (state, id) = (self.stacks.all[stack].state.clone(), self.stacks.all[stack].physical_id.clone());
        let made_up = || format!("{}-Runners-0", self.stacks.all[stack].name);
        match (state, answer) {
            (State::Creating, Some((true, new))) => self.rest(stack, State::Complete, Some(new), "create succeeded"),
            (State::Creating, failed) => {
                let id = failed.map_or_else(made_up, |(_, id)| id);
                let pool = self.stacks.all[stack].pool.clone();
                self.occur("transition", "create failed");
                self.stacks.all[stack].physical_id = Some(id.clone());
                self.stacks.all[stack].state = State::UndoingCreate;
                self.ask(stack, "Delete", &pool, None, Some(&id));
            }
            (State::Updating, Some((true, new))) => self.updated(stack, id, new, "update"),
            (State::RollingBack, Some((true, new))) => self.updated(stack, id, new, "rollback"),
            (State::Updating, failed) => {
                self.occur("transition", "update failed");
                self.roll_back(stack, failed.map(|(_, id)| id));
            }
            (State::RollingBack, failed) => {
                let before = self.stacks.all[stack].before.clone();
                let id = failed.map_or(id, |(_, id)| Some(id));
                self.rest(stack, State::RollbackFailed, id, "rollback failed");
                self.stacks.all[stack].before = before;
            }
            (State::CleaningUp { .. }, Some((true, _))) => self.rest(stack, State::Complete, id, "clean-up done"),
            (State::CleaningUp { old_id, old, tries }, _) if tries < CLEANUP_TRIES => {
                self.clean_up(stack, old_id, *old, tries + 1);
            }
            (State::CleaningUp { old_id, .. }, _) => {
                self.stacks.all[stack].skipped.push(old_id);
                self.rest(stack, State::Complete, id, "clean-up skipped");
            }
            (State::Deleting | State::UndoingCreate, Some((true, _))) => {
                self.rest(stack, State::Gone, None, "delete succeeded");
            }
            (State::Deleting | State::UndoingCreate, _) => self.rest(stack, State::DeleteFailed, id, "delete failed"),
            (State::NotYet | State::Complete | State::RollbackFailed | State::DeleteFailed | State::Gone, _) => {}
        }
    }

    fn rest(&mut self, stack: usize, state: State, id: Option<String>, what: &str) {
        self.occur("transition", what);
        self.tell(|| format!("stack s{stack}: {what}"));
        let held = &mut self.stacks.all[stack];
        held.state = state;
        held.physical_id = id;
        held.before = None;
    }

    fn updated(&mut self, stack: usize, old_id: Option<String>, new_id: String, what: &str) {
        let old = self.stacks.all[stack].before.clone().unwrap();
        match old_id.filter(|old_id| *old_id != new_id) {
            None => {
                let what = format!("{what} succeeded in place");
                self.rest(stack, State::Complete, Some(new_id), &what);
            }
            Some(old_id) => {
                let what = format!("{what} succeeded by replacement");
                self.rest(stack, State::Complete, Some(new_id), &what);
                self.clean_up(stack, old_id, old, 1);
            }
        }
    }

    fn clean_up(&mut self, stack: usize, old_id: String, old: Pool, tries: u32) {
        self.stacks.all[stack].state = State::CleaningUp { old_id: old_id.clone(), old: Box::new(old.clone()), tries };
        self.ask(stack, "Delete", &old, None, Some(&old_id));
    }

    /// A body was PUT to a response URL.
    pub(crate) fn answered(&mut self, url: &str, body: &[u8]) {
        let place = url.split_once("/ask-").and_then(|(_, rest)| rest.split_once('?')?.0.parse::<usize>().ok());
        let Some(ask) = place else {
            self.violate("every_answer_goes_where_it_is_waited_for", "an answer to nobody".to_owned());
            return;
        };
        self.stacks.asks[ask].answers.push(body.to_vec());
        self.figures.answers += 1;
        self.tell(|| format!("answer to {ask}: {}", String::from_utf8_lossy(body)));
        self.note(&Fact::Answered { ask, body: body.to_vec() });
        if self.stacks.asks[ask].is_settled {
            return;
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let id = body["PhysicalResourceId"].as_str().unwrap_or_default().to_owned();
        self.settle(ask, Some((body["Status"] == "SUCCESS", id)));
    }

    /// Stops waiting where the time is over.
    pub(crate) fn stacks_step(&mut self) {
        for stack in 0..self.stacks.all.len() {
            let Some(ask) = self.stacks.all[stack].waits_for else { continue };
            if self.now >= self.stacks.asks[ask].expires_at {
                self.occur("transition", "request expired");
                self.note(&Fact::Expired { ask });
                self.settle(ask, None);
            }
        }
    }

    /// Tasks of a stack's pools whose runner has not come yet.
    pub(crate) fn n_starting(&self, stack: usize) -> usize {
        let stem = self.stacks.all[stack].stem();
        let wanted = self.ecs.tasks.values().filter(|task| task.service.starts_with(&stem) && task.is_wanted());
        wanted.filter(|task| !matches!(task.container, crate::containers::Container::Listening(_))).count()
    }

    /// Runners of a stack's pools that are online and were not told to stop.
    pub(crate) fn n_working(&self, stack: usize) -> usize {
        let stem = self.stacks.all[stack].stem();
        let wanted = self.ecs.tasks.values().filter(|task| task.service.starts_with(&stem) && task.is_wanted());
        wanted.filter(|task| matches!(task.container, crate::containers::Container::Listening(_))).count()
    }
}
