//! The calls to GitHub's scale-set service in a vector, by the names of the reference client, and what it observes there.
//!
//! The port has no statuses: each of its results stands for the one that the adapter makes it of.
//! <https://github.com/actions/scaleset>

use std::collections::BTreeSet;

use github_runner_pool::pool::model::scale_set::{JobEvent, MessageSession, ScaleSetMessage, ScaleSetRequest};
use github_runner_pool::reconcile::ports::{
    Deregistration, JitRunner, QueueAnswer, RemoteResult, ScaleSetDeletion, SessionOpening,
};
use serde_json::{Map, Value, json};

use super::Elapse;
use super::driver::{Driver, JOB, NAME, target};
use crate::github::configuration_of;
use crate::scale_sets::{Phase, SESSION_KEPT};
use crate::script::Prints;

/// The invocation that polls.
const LISTENER: u64 = 1;
const RUNNER: &str = "conformance-runner";
const CAPACITY: u32 = 10;

/// A scale set, and what its listener knows.
pub(super) struct ScaleSetState {
    jobs_are_acquired: bool,
    id: u64,
    session: Option<MessageSession>,
    last_message_id: u64,
    /// Numbers by which jobs are acquired.
    available: Vec<i64>,
    runner: u64,
    job: u64,
}

impl ScaleSetState {
    pub(super) fn new(jobs_are_acquired: bool) -> Self {
        Self { jobs_are_acquired, id: 0, session: None, last_message_id: 0, available: Vec::new(), runner: 0, job: 0 }
    }

    fn session(&self) -> MessageSession {
        self.session.clone().unwrap()
    }
}

fn status_of_queue<T>(answer: &QueueAnswer<T>, ok: u32) -> u32 {
    match answer {
        QueueAnswer::Ok(_) => ok,
        QueueAnswer::TokenExpired => 401,
        QueueAnswer::Gone => 404,
    }
}

fn name_of(event: &JobEvent) -> &'static str {
    match event {
        JobEvent::Available { .. } => "JobAvailable",
        JobEvent::Assigned => "JobAssigned",
        JobEvent::Started { .. } => "JobStarted",
        JobEvent::Completed { .. } => "JobCompleted",
    }
}

impl Driver {
    pub(super) fn call_scale_sets(&mut self, call: &str, with: &Map<String, Value>) -> RemoteResult<Value> {
        let world = &mut self.world;
        let status = match call {
            "CreateRunnerScaleSet" => self.create_set(),
            "GetRunnerScaleSet" => {
                let found = world.find_set(&target(), None, NAME);
                return Ok(json!({ "count": u32::from(found.is_some()) }));
            }
            "DeleteRunnerScaleSet" => match world.delete_set(self.scale_set.id) {
                ScaleSetDeletion::Deleted => 204,
                ScaleSetDeletion::Missing => 404,
                ScaleSetDeletion::Busy => 400,
            },
            "CreateMessageSession" => match world.open_session(self.scale_set.id) {
                SessionOpening::Opened { session, .. } => {
                    self.scale_set.session = Some(session);
                    200
                }
                SessionOpening::Conflict => 409,
                SessionOpening::NoSuchSet => 404,
            },
            "RefreshMessageSession" => match world.renew_session(self.scale_set.id, &self.scale_set.session().id) {
                Some(session) => {
                    self.scale_set.session = Some(session);
                    200
                }
                None => 404,
            },
            "DeleteMessageSession" => {
                world.close_session(self.scale_set.id, &self.scale_set.session().id);
                204
            }
            "GetMessage" => {
                let answer = self.poll(with.get("capacity").map_or(CAPACITY, |it| it.as_u64().unwrap() as u32));
                status_of_queue(&answer, if matches!(answer, QueueAnswer::Ok(Some(_))) { 200 } else { 202 })
            }
            "DeleteMessage" => {
                let message = with["message"].as_u64().unwrap_or(self.scale_set.last_message_id);
                status_of_queue(&world.acknowledge(&self.scale_set.session().queue, message), 204)
            }
            "AcquireJobs" => return Ok(self.acquire(with)),
            "GenerateJitRunnerConfig" => self.generate_runner(),
            "GetRunnerByName" => {
                let found = world.find_set_runner(&target(), RUNNER);
                return Ok(json!({ "count": u32::from(found.is_some()) }));
            }
            "RemoveRunner" => match world.deregister(self.scale_set.runner) {
                Deregistration::Deleted => 204,
                Deregistration::Missing => 404,
                Deregistration::Busy => 400,
            },
            "ConnectRunner" => {
                let answer = json!({ "files": { ".credentials": configuration_of(self.scale_set.runner) } });
                world.connect_just_in_time(&answer).unwrap();
                200
            }
            "QueueJob" => {
                world.github.queue(NAME, JOB, Prints::Nothing);
                self.scale_set.job = *world.github.jobs.last_key_value().unwrap().0;
                200
            }
            _ => panic!("unknown call {call}"),
        };
        Ok(json!({ "status": status }))
    }

    fn create_set(&mut self) -> u32 {
        let labels = BTreeSet::from([NAME.to_owned()]);
        let request = ScaleSetRequest { name: NAME.to_owned(), group: None, labels, disable_auto_update: true };
        match self.world.create_set(&target(), &request) {
            Ok(set) => {
                self.scale_set.id = set.id;
                self.world.scale_sets.all.get_mut(&set.id).unwrap().acquires = self.scale_set.jobs_are_acquired;
                200
            }
            Err(error) => {
                assert_eq!(error.remote_error.code.as_deref(), Some("RunnerScaleSetExistsException"));
                400
            }
        }
    }

    fn generate_runner(&mut self) -> u32 {
        match self.world.create_set_runner(&target(), self.scale_set.id, RUNNER) {
            Ok(JitRunner::Registered { id, .. }) => {
                self.scale_set.runner = id;
                200
            }
            Ok(JitRunner::NameTaken) => 409,
            Ok(JitRunner::Unsupported) => panic!("a scale set has just-in-time configurations"),
            Err(error) => {
                assert_eq!(error.remote_error.code.as_deref(), Some("RunnerScaleSetNotFoundException"));
                404
            }
        }
    }

    /// A poll that ends at once.
    fn poll(&mut self, capacity: u32) -> QueueAnswer<Option<ScaleSetMessage>> {
        let polled = match self.world.begin_poll(LISTENER, &self.scale_set.session().queue, capacity) {
            QueueAnswer::Ok(polled) => polled,
            QueueAnswer::TokenExpired => return QueueAnswer::TokenExpired,
            QueueAnswer::Gone => return QueueAnswer::Gone,
        };
        self.world.end_poll(LISTENER, &polled.session);
        let answer = self.world.message_after(&polled.session, 0);
        if let QueueAnswer::Ok(Some(message)) = &answer {
            self.scale_set.last_message_id = message.id;
            self.scale_set.available.extend(message.events.iter().filter_map(|event| match event {
                JobEvent::Available { request_id } => Some(*request_id),
                JobEvent::Assigned | JobEvent::Started { .. } | JobEvent::Completed { .. } => None,
            }));
        }
        answer
    }

    fn acquire(&mut self, with: &Map<String, Value>) -> Value {
        let jobs = with["jobs"].as_array().unwrap();
        let number = |job: &Value| if job == "available" { *self.scale_set.available.last().unwrap() } else { -1 };
        let request_ids: Vec<i64> = jobs.iter().map(number).collect();
        match self.world.acquire_jobs(&self.scale_set.session().queue, &request_ids) {
            QueueAnswer::Ok(acquired) => json!({ "status": 200, "acquired": acquired.len() }),
            answer => json!({ "status": status_of_queue(&answer, 200) }),
        }
    }

    /// Lets a session or its queue's token expire.
    pub(super) fn elapse(&mut self, elapse: Elapse) {
        match elapse {
            Elapse::MessageSession => {
                self.world.now = self.world.now + SESSION_KEPT;
                self.world.scale_sets_step();
            }
            Elapse::QueueToken => self.world.expire_queue_token(self.scale_set.id),
        }
    }

    pub(super) fn observe_scale_set(&mut self, name: &str) -> Value {
        match name {
            "message" => match self.poll(CAPACITY) {
                QueueAnswer::Ok(Some(message)) => json!(message.events.iter().map(name_of).collect::<Vec<_>>()),
                QueueAnswer::Ok(None) | QueueAnswer::TokenExpired | QueueAnswer::Gone => Value::Null,
            },
            "job" => json!(self.world.scale_sets.jobs.get(&self.scale_set.job).map(|job| match job.phase {
                Phase::Waits(_) => "waiting",
                Phase::Available => "available",
                Phase::Excluded => "excluded",
                Phase::Assigned(_) => "assigned",
                Phase::Runs(_) => "running",
                Phase::Over(_) => "ended",
            })),
            "assigned_jobs" => json!(self.world.statistics(self.scale_set.id).assigned),
            _ => panic!("unknown observation {name}"),
        }
    }
}
