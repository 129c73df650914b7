//! CloudFormation: one stack with one pool each, its operations, their rollbacks and their clean-up.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html>

mod settling;

use std::collections::BTreeSet;
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;
use serde_json::{Value, json};

use crate::containers::Container;
use crate::ecs::Phase;
use crate::history::Fact;
use crate::script::{First, Pool, Script};
use crate::world::World;

/// Clean-up Deletes that are tried before CloudFormation lets the old resource be.
const CLEANUP_TRIES: u32 = 3;
/// The physical id that a resource has from other code, which served it before this function.
const FOREIGN_ID: &str = "2021/01/01/[$LATEST]0123abcd";

/// Every stack, and every request that was sent.
pub(crate) struct Stacks {
    pub(crate) all: Vec<Stack>,
    pub(crate) asks: Vec<Ask>,
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
    /// Pools of which a SUCCESS was accepted, and which no Delete has named since.
    pub(crate) live: BTreeSet<String>,
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
    /// The Delete of what a failed update has built, before the Update back.
    CleaningUpFailed,
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
    pub(crate) responses: Vec<Vec<u8>>,
    /// When the first of them came.
    pub(crate) responded_at: Option<Timestamp>,
    /// Cancelled: another request was sent, and nobody waits for this one.
    pub(crate) is_obsolete: bool,
    /// Nobody waits any more, whether it got a response or not.
    pub(crate) is_settled: bool,
    /// Runners of the pool that were online when it was sent.
    pub(crate) n_working_before: usize,
    /// Runners lost to machines since it was sent.
    pub(crate) n_lost_since: usize,
    /// When the function last let a runner go while ECS had yet to start the task of its successor.
    pub(crate) made_room_at: Option<Timestamp>,
    pub(crate) n_hops: u32,
    /// An Update that wants nothing new of the pool.
    pub(crate) is_unchanged: bool,
    /// Its first response has been written down.
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
            live: BTreeSet::new(),
        };
        Self { all: script.pools.iter().enumerate().map(stack).collect(), asks: Vec::new() }
    }
}

impl Stack {
    pub(crate) fn id(&self) -> String {
        format!("arn:aws:cloudformation:eu-central-1:111122223333:stack/{}/0000-{}", self.name, self.name)
    }

    /// What every physical id of its pool begins with.
    pub(crate) fn stem(&self) -> String {
        format!("ghr-{}-Runners-", self.name)
    }

    /// Its status, as `DescribeStacks` gives it.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
    pub(crate) fn status(&self) -> &'static str {
        match self.state {
            State::NotYet => "REVIEW_IN_PROGRESS",
            State::Creating => "CREATE_IN_PROGRESS",
            State::UndoingCreate => "ROLLBACK_IN_PROGRESS",
            State::Complete => "UPDATE_COMPLETE",
            State::Updating => "UPDATE_IN_PROGRESS",
            State::CleaningUp { .. } => "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
            State::RollingBack | State::CleaningUpFailed => "UPDATE_ROLLBACK_IN_PROGRESS",
            State::RollbackFailed => "UPDATE_ROLLBACK_FAILED",
            State::Deleting => "DELETE_IN_PROGRESS",
            State::DeleteFailed => "DELETE_FAILED",
            State::Gone => "DELETE_COMPLETE",
        }
    }

    /// Whether no operation is under way.
    pub(crate) fn rests(&self) -> bool {
        self.waits_for.is_none()
    }
}

impl World {
    /// Sends a request, and waits for its response.
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
        if let Some(old) = old {
            event["OldResourceProperties"] = old.properties(stack);
        }
        if let Some(physical_id) = physical_id {
            event["PhysicalResourceId"] = json!(physical_id);
            // The properties of a resource that other code served are its own.
            let theirs = if kind == "Delete" { "ResourceProperties" } else { "OldResourceProperties" };
            if physical_id == FOREIGN_ID {
                event[theirs] = json!({ "Region": "us-east-1" });
            }
        }
        if kind == "Delete" {
            self.stacks.all[stack].live.retain(|pool| Some(pool.as_str()) != physical_id);
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
            responses: Vec::new(),
            responded_at: None,
            is_obsolete: false,
            is_settled: false,
            n_working_before: self.n_working(stack),
            n_lost_since: 0,
            made_room_at: None,
            n_hops: 0,
            is_unchanged: old.is_some_and(|old| old.config() == pool.config()),
            is_recorded: false,
        });
        self.figures.requests += 1;
        self.stacks.all[stack].waits_for = Some(place);
        self.trace(|| format!("{kind} {place} of stack s{stack} ({physical_id:?})"));
        self.send_event(event);
    }

    pub(crate) fn create_stack(&mut self, stack: usize) {
        let pool = self.stacks.all[stack].pool.clone();
        if self.script.first == First::UpdateOfForeign {
            self.stacks.all[stack].physical_id = Some(FOREIGN_ID.to_owned());
            return self.update_stack(stack, pool);
        }
        self.stacks.all[stack].state = State::Creating;
        self.ask(stack, "Create", &pool, None, None);
    }

    /// A Create without a response, with rollback disabled: the stack is updated, which begins with another Create. The
    /// id that CloudFormation made up for the first is cleaned up once that has succeeded.
    fn create_again(&mut self, stack: usize) {
        self.obsolete(stack);
        self.occur("transition", "create sent again");
        let made_up = format!("{}-Runners-{}", self.stacks.all[stack].name, self.chance.u32(0..u32::MAX));
        let pool = self.stacks.all[stack].pool.clone();
        let entry = &mut self.stacks.all[stack];
        (entry.state, entry.before, entry.physical_id) = (State::Updating, Some(pool.clone()), Some(made_up));
        self.ask(stack, "Create", &pool, None, None);
    }

    pub(crate) fn update_stack(&mut self, stack: usize, pool: Pool) {
        let old = std::mem::replace(&mut self.stacks.all[stack].pool, pool.clone());
        let id = self.stacks.all[stack].physical_id.clone();
        self.take_up_abandoned(stack, &pool);
        match (old.is_registered_by_function, pool.is_registered_by_function) {
            (false, true) => self.occur("transition", "registration moved to the function"),
            (true, false) => self.occur("transition", "registration moved to the containers"),
            (_, _) => {}
        }
        self.stacks.all[stack].state = State::Updating;
        self.ask(stack, "Update", &pool, Some(&old), id.as_deref());
        self.stacks.all[stack].before = Some(old);
    }

    /// An update to the properties of a pool that the stack has left behind begins with that pool, and is undone with it.
    fn take_up_abandoned(&mut self, stack: usize, pool: &Pool) {
        let entry = &self.stacks.all[stack];
        let Some(current) = entry.physical_id.clone().filter(|id| entry.live.contains(id)) else { return };
        let asks = self.stacks.asks.iter().filter(|ask| ask.stack == stack && ask.pool.identity() == pool.identity());
        let ids = asks.flat_map(|ask| &ask.responses).filter_map(|body| serde_json::from_slice::<Value>(body).ok());
        let abandoned: Vec<String> =
            ids.filter_map(|body| Some(body["PhysicalResourceId"].as_str()?.to_owned())).collect();
        self.stacks.all[stack].live.retain(|id| *id == current || !abandoned.contains(id));
    }

    /// Another resource of the stack failed: this one's update is cancelled, and nobody tells the function. It takes
    /// longer than the second in which CloudFormation signed the request: signatures are dated in whole ones.
    pub(crate) fn cancel_update(&mut self, stack: usize) {
        if self.script.first == First::CreateUnanswered && self.stacks.all[stack].state == State::Creating {
            return self.create_again(stack);
        }
        let is_sent = !self.has_just_sent(stack);
        let is_ours = self.stacks.all[stack].physical_id.as_ref().is_some_and(|id| id.starts_with("ghr-"));
        if self.stacks.all[stack].state == State::Updating && is_sent && is_ours {
            self.occur("transition", "update cancelled");
            self.obsolete(stack);
            self.roll_back(stack, None);
        }
    }

    /// Whether the stack's last request was signed within the last second.
    pub(crate) fn has_just_sent(&self, stack: usize) -> bool {
        let last = self.stacks.asks.iter().rev().find(|ask| ask.stack == stack);
        last.is_some_and(|ask| self.now.since(ask.sent_at) < Duration::from_secs(1))
    }

    /// A person has it try the rollback again.
    pub(crate) fn continue_rollback(&mut self, stack: usize) {
        let entry = &mut self.stacks.all[stack];
        let (pool, failed, id) = (entry.pool.clone(), entry.before.clone(), entry.physical_id.clone());
        entry.state = State::RollingBack;
        self.ask(stack, "Update", &pool, failed.as_ref(), id.as_deref());
    }

    pub(crate) fn delete_stack(&mut self, stack: usize) {
        let entry = &self.stacks.all[stack];
        let (pool, id) = match entry.state {
            State::NotYet | State::Gone | State::Deleting | State::UndoingCreate => return,
            // It got no response, so CloudFormation makes up an id.
            State::Creating => {
                let made_up = format!("{}-Runners-{}", entry.name, self.chance.u32(0..u32::MAX));
                (self.stacks.all[stack].pool.clone(), made_up)
            }
            State::Updating | State::RollingBack | State::CleaningUpFailed => {
                (entry.before.clone().unwrap_or(entry.pool.clone()), entry.physical_id.clone().unwrap())
            }
            State::Complete | State::CleaningUp { .. } | State::RollbackFailed | State::DeleteFailed => {
                (entry.pool.clone(), entry.physical_id.clone().unwrap())
            }
        };
        if !self.stacks.all[stack].rests() {
            self.occur("transition", "delete during an operation");
            self.obsolete(stack);
        }
        self.stacks.all[stack].live.clear();
        self.stacks.all[stack].physical_id = Some(id.clone());
        self.stacks.all[stack].state = State::Deleting;
        self.ask(stack, "Delete", &pool, None, Some(&id));
    }

    /// A body was PUT to a response URL.
    pub(crate) fn responded(&mut self, url: &str, body: &[u8]) {
        let place = url.split_once("/ask-").and_then(|(_, rest)| rest.split_once('?')?.0.parse::<usize>().ok());
        let Some(ask) = place else {
            self.violate("every_response_goes_where_it_is_waited_for", "a response that nobody waits for".to_owned());
            return;
        };
        self.stacks.asks[ask].responses.push(body.to_vec());
        self.stacks.asks[ask].responded_at.get_or_insert(self.now);
        self.figures.responses += 1;
        self.trace(|| format!("answer to {ask}: {}", String::from_utf8_lossy(body)));
        self.note(&Fact::Responded { ask, body: body.to_vec() });
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

    /// The function lets a runner of this pool go.
    pub(crate) fn note_leaving(&mut self, pool: &str) {
        let is_unstarted = |task: &crate::ecs::Task| {
            task.service == pool && task.is_wanted() && matches!(task.phase, Phase::Provisioning | Phase::Pending)
        };
        if !self.ecs.tasks.values().any(is_unstarted) {
            return;
        }
        let stacks = &self.stacks.all;
        for ask in self.stacks.asks.iter_mut().filter(|ask| pool.starts_with(&stacks[ask.stack].stem())) {
            ask.made_room_at = Some(self.now);
        }
    }

    /// Tasks of a stack's pools that ECS has given up since then, without an instance or without their image.
    pub(crate) fn n_failed_to_start(&self, stack: usize, since: Timestamp) -> usize {
        let stem = self.stacks.all[stack].stem();
        let failed = |task: &&crate::ecs::Task| {
            task.never_started && task.stop_cause.is_none() && task.stopped_at.is_some_and(|at| at >= since)
        };
        self.ecs.tasks.values().filter(|task| task.service.starts_with(&stem)).filter(failed).count()
    }

    /// Runners of a stack's pools that are online and were not told to stop.
    pub(crate) fn n_working(&self, stack: usize) -> usize {
        let stem = self.stacks.all[stack].stem();
        let wanted = self.ecs.tasks.values().filter(|task| task.service.starts_with(&stem) && task.is_wanted());
        let detached = &self.github.detached;
        let works = |container: Container| matches!(container, Container::Listening(id) if !detached.contains_key(&id));
        wanted.filter(|task| works(task.container)).count()
    }
}
