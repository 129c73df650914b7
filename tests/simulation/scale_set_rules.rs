//! The rules of the simulated scale-set service and of standalone tasks, each driven directly in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use github_runner_pool::pool::model::ecs::TaskRun;
use github_runner_pool::pool::model::identity::PhysicalId;
use github_runner_pool::pool::model::scale_set::{
    JobEvent, MessageQueue, MessageSession, ScaleSetMessage, ScaleSetRequest,
};
use github_runner_pool::pool::model::spec::{GitHubHost, GitHubTarget, Scope};
use github_runner_pool::reconcile::ports::{Deregistration, JitRunner, QueueAnswer, ScaleSetDeletion, SessionOpening};
use serde_json::json;

use crate::conformance::content;
use crate::ecs::{Phase, Tags};
use crate::github::JobState;
use crate::history::Loss;
use crate::scale_sets::{ASSIGNMENT_KEPT, REDELIVERED_AFTER, SESSION_KEPT, SET_KEPT, TOKEN_LIFETIME};
use crate::script::{Pool, Prints};
use crate::stories::script;
use crate::world::World;

const POOL: &str = "ghr-s0-Runners-0123456789";
const SECOND: Duration = Duration::from_secs(1);
/// The invocation that polls.
const LISTENER: u64 = 1;

fn target() -> GitHubTarget {
    GitHubTarget { host: GitHubHost::github_com(), scope: Scope::Organization("acme".to_owned()) }
}

/// A set in a world in which nothing goes wrong; `acquires` as on an Enterprise Server.
struct Service {
    world: World,
    set: u64,
}

impl Service {
    fn new(acquires: bool) -> Self {
        let mut world = World::new(script(Pool::plain(), 60, Vec::new()), None);
        world.is_calm = true;
        let labels = BTreeSet::from(["pool-0".to_owned(), POOL.to_owned()]);
        let request = ScaleSetRequest { name: "linux".to_owned(), group: None, labels, disable_auto_update: true };
        let set = world.create_set(&target(), &request).unwrap().id;
        world.scale_sets.all.get_mut(&set).unwrap().acquires = acquires;
        assert!(world.create_set(&target(), &request).is_err(), "a name is unique in its group");
        Self { world, set }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.world.now + span;
        while self.world.now < until {
            self.world.now = (self.world.now + 2 * SECOND).min(until);
            self.world.containers_step();
            self.world.scale_sets_step();
        }
    }

    fn open(&mut self) -> MessageSession {
        match self.world.open_session(self.set) {
            SessionOpening::Opened { session, .. } => session,
            other => panic!("{other:?}"),
        }
    }

    fn job(&mut self, secs: u64) -> u64 {
        self.world.github.queue("pool-0", Duration::from_secs(secs), Prints::Nothing);
        *self.world.github.jobs.last_key_value().unwrap().0
    }

    /// A poll that ends at once.
    fn poll(&mut self, queue: &MessageQueue, last_id: u64, capacity: u32) -> Option<ScaleSetMessage> {
        let polled = match self.world.begin_poll(LISTENER, queue, capacity) {
            QueueAnswer::Ok(polled) => polled,
            other => panic!("{other:?}"),
        };
        self.world.end_poll(LISTENER, &polled.session);
        match self.world.message_after(&polled.session, last_id) {
            QueueAnswer::Ok(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Polls until a message comes, or for so long.
    fn wait(&mut self, queue: &MessageQueue, last_id: u64, span: Duration) -> Option<ScaleSetMessage> {
        let until = self.world.now + span;
        loop {
            let message = self.poll(queue, last_id, 4);
            if message.is_some() || self.world.now >= until {
                return message;
            }
            self.pass(2 * SECOND);
        }
    }

    /// A runner that listens.
    fn runner(&mut self, name: &str) -> u64 {
        let made = self.world.create_set_runner(&target(), self.set, name).unwrap();
        let JitRunner::Registered { id, .. } = made else { panic!("{made:?}") };
        let answer = json!({ "files": { ".credentials": crate::github::configuration_of(id) } });
        self.world.connect_just_in_time(&answer).unwrap()
    }

    fn state(&self, job: u64) -> JobState {
        self.world.github.jobs[&job].state
    }
}

#[test]
fn session_conflicts_until_its_last_poll_is_fifty_seconds_old() {
    let mut service = Service::new(false);
    let session = service.open();
    assert_eq!(service.world.open_session(service.set), SessionOpening::Conflict);
    service.pass(SESSION_KEPT - 5 * SECOND);
    assert_eq!(service.poll(&session.queue, 0, 4), None);
    service.pass(SESSION_KEPT - 5 * SECOND);
    assert_eq!(service.world.open_session(service.set), SessionOpening::Conflict, "it was polled since");
    service.pass(10 * SECOND);
    let other = service.open();
    assert!(matches!(service.world.begin_poll(LISTENER, &session.queue, 4), QueueAnswer::TokenExpired));
    service.world.close_session(service.set, &other.id);
    service.open();
    assert_eq!(service.world.open_session(service.set + 100), SessionOpening::NoSuchSet);
}

#[test]
fn session_token_expires_and_is_renewed() {
    let mut service = Service::new(false);
    let session = service.open();
    for _ in 0..TOKEN_LIFETIME.as_secs() / 40 {
        assert_eq!(service.poll(&session.queue, 0, 4), None);
        service.pass(40 * SECOND);
    }
    assert!(matches!(service.world.begin_poll(LISTENER, &session.queue, 4), QueueAnswer::TokenExpired));
    assert_eq!(service.world.acknowledge(&session.queue, 1), QueueAnswer::TokenExpired);
    let renewed = service.world.renew_session(service.set, &session.id).unwrap();
    assert_eq!(service.poll(&renewed.queue, 0, 4), None);
    assert_eq!(service.world.renew_session(service.set, "another"), None);
}

#[test]
fn message_comes_again_until_it_is_acknowledged() {
    let mut service = Service::new(false);
    let queue = service.open().queue;
    service.job(60);
    let first = service.wait(&queue, 0, 20 * SECOND).unwrap();
    assert_eq!((first.events.as_slice(), first.statistics.unwrap().assigned), (&[JobEvent::Assigned][..], 1));
    assert_eq!(service.wait(&queue, first.id, REDELIVERED_AFTER - 6 * SECOND), None);
    let again = service.wait(&queue, first.id, 20 * SECOND).unwrap();
    assert_eq!(again.id, first.id, "whatever the poll says it had");
    assert_eq!(service.world.acknowledge(&queue, first.id), QueueAnswer::Ok(()));
    assert_eq!(service.wait(&queue, 0, 2 * REDELIVERED_AFTER), None);
}

#[test]
fn job_queued_while_no_capacity_is_announced_is_excluded_for_good() {
    let mut service = Service::new(false);
    let queue = service.open().queue;
    assert_eq!(service.poll(&queue, 0, 0), None);
    let excluded = service.job(60);
    service.pass(4 * SECOND);
    assert_eq!(service.wait(&queue, 0, Duration::from_secs(720)), None);
    service.runner("linux-1");
    let other = service.job(60);
    assert!(service.wait(&queue, 0, 20 * SECOND).is_some());
    service.pass(20 * SECOND);
    assert!(matches!(service.state(other), JobState::Running { .. }));
    assert_eq!(service.state(excluded), JobState::Queued);
}

#[test]
fn max_capacity_is_the_total_of_assigned_jobs() {
    let mut service = Service::new(false);
    let queue = service.open().queue;
    assert_eq!(service.poll(&queue, 0, 2), None);
    let jobs: Vec<u64> = (0..3).map(|_| service.job(60)).collect();
    service.pass(6 * SECOND);
    assert_eq!(service.world.statistics(service.set).assigned, 2);
    service.runner("linux-1");
    for _ in 0..60 {
        service.pass(2 * SECOND);
        service.poll(&queue, 0, 2);
    }
    assert_eq!(service.state(jobs[0]), JobState::Done, "the oldest goes first");
    assert_eq!(service.world.statistics(service.set).assigned, 2, "the third has taken its place");
}

#[test]
fn available_job_waits_until_it_is_acquired() {
    let mut service = Service::new(true);
    let queue = service.open().queue;
    service.job(60);
    let message = service.wait(&queue, 0, 20 * SECOND).unwrap();
    let [JobEvent::Available { request_id }] = message.events[..] else { panic!("{message:?}") };
    assert_eq!(service.world.statistics(service.set).assigned, 0);
    let acquired = service.world.acquire_jobs(&queue, &[request_id, -1]);
    assert_eq!(acquired, QueueAnswer::Ok(vec![request_id]));
    assert_eq!(service.world.acquire_jobs(&queue, &[request_id]), QueueAnswer::Ok(Vec::new()));
    assert_eq!(service.world.statistics(service.set).assigned, 1);
}

#[test]
fn assignment_that_no_runner_takes_lapses_and_comes_again() {
    let mut service = Service::new(false);
    let queue = service.open().queue;
    let job = service.job(60);
    let mut events = Vec::new();
    let until = service.world.now + ASSIGNMENT_KEPT + Duration::from_secs(60);
    let mut last_id = 0;
    while service.world.now < until {
        if let Some(message) = service.wait(&queue, last_id, 2 * SECOND) {
            last_id = message.id;
            service.world.acknowledge(&queue, last_id);
            events.extend(message.events);
        }
    }
    assert_eq!(events, [JobEvent::Assigned, JobEvent::Completed { runner: None }, JobEvent::Assigned]);
    service.runner("linux-1");
    service.pass(10 * SECOND);
    assert!(matches!(service.state(job), JobState::Running { .. }));
}

#[test]
fn runner_with_a_job_is_not_deregistered_and_its_set_is_not_deleted() {
    let mut service = Service::new(false);
    let queue = service.open().queue;
    assert_eq!(service.poll(&queue, 0, 1), None);
    let (running, waiting) = (service.job(60), service.job(60));
    let runner = service.runner("linux-1");
    assert!(service.world.list_runners(&target()).iter().any(|it| it.id == runner && it.labels.is_empty()));
    service.pass(14 * SECOND);
    assert!(matches!(service.state(running), JobState::Running { .. }));
    assert_eq!(service.world.deregister(runner), Deregistration::Busy);
    assert_eq!(service.world.delete_set(service.set), ScaleSetDeletion::Busy);
    for _ in 0..40 {
        service.poll(&queue, 0, 1);
        service.pass(2 * SECOND);
    }
    assert_eq!((service.state(running), service.state(waiting)), (JobState::Done, JobState::Queued));
    assert_eq!(service.world.deregister(runner), Deregistration::Missing, "a runner takes one job");
    assert_eq!(service.world.delete_set(service.set), ScaleSetDeletion::Deleted);
    assert!(service.world.scale_sets.jobs.is_empty(), "what waits is anybody's again");
    assert_eq!(service.world.delete_set(service.set), ScaleSetDeletion::Missing);
}

#[test]
fn scale_set_that_is_not_polled_for_seven_days_is_gone() {
    let mut service = Service::new(false);
    service.world.now = service.world.now + SET_KEPT - 10 * SECOND;
    let queue = service.open().queue;
    service.poll(&queue, 0, 4);
    service.world.now = service.world.now + SET_KEPT - 10 * SECOND;
    service.world.scale_sets_step();
    assert!(service.world.scale_sets.all.contains_key(&service.set));
    service.world.now = service.world.now + 10 * SECOND;
    service.world.scale_sets_step();
    assert!(service.world.scale_sets.all.is_empty());
}

#[test]
fn run_task_starts_standalone_tasks_once_for_each_token() {
    let mut world = World::new(script(Pool::plain(), 60, Vec::new()), None);
    world.is_calm = true;
    let now = world.now;
    let id = PhysicalId::try_from(POOL.to_owned()).unwrap();
    let revision = world.register_revision(&id, &content("ubuntu-noble"), &Tags::new());
    let run = |count| TaskRun {
        task_definition: revision.clone(),
        capacity_provider: "team".to_owned(),
        count,
        distinct_instances: false,
    };
    let elsewhere = TaskRun { capacity_provider: "not-associated".to_owned(), ..run(2) };
    assert!(world.run_tasks("build", &id, &elsewhere, &Tags::new(), "one", now).is_err());
    for count in [0, 11] {
        assert!(world.run_tasks("build", &id, &run(count), &Tags::new(), "count", now).is_err());
    }
    let started = world.run_tasks("build", &id, &run(2), &Tags::new(), "one", now).unwrap();
    assert_eq!(world.run_tasks("build", &id, &run(2), &Tags::new(), "one", now).unwrap(), started);
    let other = world.run_tasks("build", &id, &run(3), &Tags::new(), "one", now).unwrap_err();
    assert_eq!(other.remote_error.code.as_deref(), Some("ConflictException"));
    assert_eq!((started.arns.len(), world.ecs.tasks.len()), (2, 2));
    assert_eq!(world.read_tasks_by_arn(&started.arns)[0].group, format!("family:{POOL}"));
    assert!(world.protect(&started.arns).values().all(|reason| reason.starts_with("TASK_NOT_VALID")));
    for _ in 0..60 {
        world.now = world.now + 2 * SECOND;
        world.ecs_step();
        let instances: Vec<String> = world.ecs.instances.keys().cloned().collect();
        instances.iter().for_each(|instance| world.drain_instance(instance));
    }
    assert_eq!(world.read_tasks("build", &id).len(), 2);
    assert!(started.arns.iter().all(|arn| world.ecs.tasks[arn].phase == Phase::Running), "draining ends none");
    world.stop_task(&started.arns[0], Loss::Stopped, "no job");
    assert_eq!(world.standalone_tasks(POOL).len(), 1);
}
