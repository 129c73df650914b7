//! The queue of a session: long polls, redelivery, acknowledgement.

use std::time::Duration;

use github_runner_pool::pool::model::scale_set::{JobEvent, JobStatistics, MessageQueue, ScaleSetMessage};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::QueueAnswer;

use super::Message;
use crate::history::Fact;
use crate::world::World;

/// How long a poll waits for a message.
const POLL_MAX: Duration = Duration::from_secs(50);
/// After this time a message that was not acknowledged comes again.
pub(crate) const REDELIVERED_AFTER: Duration = Duration::from_secs(30);
/// Events of one message.
const EVENTS_MAX: usize = 50;

/// How a poll begins.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) session: String,
    pub(crate) until: Timestamp,
}

impl World {
    /// The set whose queue this is, if its token is valid. That of a session that has ended is not: the reference client
    /// knows 401 alone.
    /// <https://github.com/actions/scaleset/blob/main/session_client.go>
    fn set_of_queue(&self, queue: &MessageQueue) -> QueueAnswer<u64> {
        let session = |set: &super::Set| set.session.as_ref().filter(|it| it.queue().url == queue.url).is_some();
        let Some(set) = self.scale_sets.all.values().find(|set| session(set)) else { return QueueAnswer::TokenExpired };
        let session = set.session.as_ref().unwrap();
        if session.token != queue.token.expose() || session.token_until <= self.now {
            return QueueAnswer::TokenExpired;
        }
        QueueAnswer::Ok(set.id)
    }

    /// The set whose queue this is, whether or not its token is valid.
    pub(crate) fn set_behind(&self, queue: &MessageQueue) -> Option<u64> {
        let is_its = |set: &&super::Set| set.session.as_ref().is_some_and(|it| it.queue().url == queue.url);
        self.scale_sets.all.values().find(is_its).map(|set| set.id)
    }

    /// A poll begins, and announces how many runners there may be.
    pub(crate) fn begin_poll(&mut self, invocation: u64, queue: &MessageQueue, capacity: u32) -> QueueAnswer<Polled> {
        let id = match self.set_of_queue(queue) {
            QueueAnswer::Ok(id) => id,
            QueueAnswer::TokenExpired => {
                self.occur("transition", "token of a queue expired");
                return QueueAnswer::TokenExpired;
            }
            QueueAnswer::Gone => return QueueAnswer::Gone,
        };
        if !self.is_calm && self.once_in(150) {
            self.figures.fault("SessionEvicted");
            self.occur("fault", "SessionEvicted");
            self.end_session(id);
            return QueueAnswer::Gone;
        }
        let now = self.now;
        let set = self.scale_sets.all.get_mut(&id).unwrap();
        set.polled_at = now;
        let session = set.session.as_mut().unwrap();
        session.capacity = Some(capacity);
        session.polling.insert(invocation);
        QueueAnswer::Ok(Polled { session: session.id.clone(), until: now + POLL_MAX })
    }

    /// The connection of a poll is closed, by whichever side.
    pub(crate) fn end_poll(&mut self, invocation: u64, session: &str) {
        let now = self.now;
        let sessions = self.scale_sets.all.values_mut().filter_map(|set| set.session.as_mut());
        for session in sessions.filter(|it| it.id == session) {
            session.polling.remove(&invocation);
            session.polled_until = now;
        }
    }

    /// The message that a poll of this session gets now, if there is one. `Gone` once the session has ended.
    pub(crate) fn message_after(&mut self, session: &str, last_id: u64) -> QueueAnswer<Option<ScaleSetMessage>> {
        let now = self.now;
        let is_its = |set: &&mut super::Set| set.session.as_ref().is_some_and(|it| it.id == session);
        let Some(set) = self.scale_sets.all.values_mut().find(is_its) else { return QueueAnswer::Gone };
        let is_next = |message: &Message| message.id > last_id && !message.is_hidden(now);
        let next = set.messages.iter_mut().find(|message| is_next(message) || message.is_due_again(now));
        let Some(message) = next else { return QueueAnswer::Ok(None) };
        let is_again = message.delivered_at.replace(now).is_some();
        let message =
            ScaleSetMessage { id: message.id, statistics: message.statistics, events: message.events.clone() };
        if is_again {
            self.occur("transition", "message redelivered");
        }
        self.trace(|| format!("message of {session}: {message:?}"));
        QueueAnswer::Ok(Some(message))
    }

    pub(crate) fn acknowledge(&mut self, queue: &MessageQueue, message: u64) -> QueueAnswer<()> {
        match self.set_of_queue(queue) {
            QueueAnswer::Ok(id) => {
                let set = self.scale_sets.all.get_mut(&id).unwrap();
                let place = set.messages.iter().position(|it| it.id == message);
                let statistics = place.and_then(|place| set.messages.remove(place)?.statistics);
                if let Some((pool, statistics)) = set.pool.clone().zip(statistics) {
                    self.note(&Fact::Acknowledged { pool, assigned: statistics.assigned });
                }
                QueueAnswer::Ok(())
            }
            QueueAnswer::TokenExpired => QueueAnswer::TokenExpired,
            QueueAnswer::Gone => QueueAnswer::Gone,
        }
    }

    /// Acquires those of these jobs that still wait; their numbers.
    pub(crate) fn acquire_jobs(&mut self, queue: &MessageQueue, request_ids: &[i64]) -> QueueAnswer<Vec<i64>> {
        match self.set_of_queue(queue) {
            QueueAnswer::Ok(id) => QueueAnswer::Ok(self.assign_acquired(id, request_ids)),
            QueueAnswer::TokenExpired => QueueAnswer::TokenExpired,
            QueueAnswer::Gone => QueueAnswer::Gone,
        }
    }

    /// What is due becomes a message, if there is a session.
    pub(super) fn messages_step(&mut self, id: u64) {
        let now = self.now;
        let set = self.scale_sets.all.get_mut(&id).unwrap();
        if set.session.is_none() {
            return;
        }
        let is_correction = set.corrects_at.take_if(|at| *at <= now).is_some();
        let mut events: Vec<JobEvent> = Vec::new();
        set.events.retain(|(at, event)| {
            let is_taken = *at <= now && events.len() < EVENTS_MAX;
            if is_taken {
                events.push(event.clone());
            }
            !is_taken
        });
        if !events.is_empty() || is_correction {
            let is_assignment = events.contains(&JobEvent::Assigned);
            let statistics = match (is_correction, is_assignment) {
                (true, _) => Some(self.corrected_statistics(id)),
                (false, true) if self.gives_zero() => Some(self.zero_statistics(id)),
                (false, _) => self.given_statistics(id),
            };
            let number = self.scale_sets.number();
            let message = Message { id: number, statistics, events, delivered_at: None };
            self.scale_sets.all.get_mut(&id).unwrap().messages.push_back(message);
        }
        let messages = &self.scale_sets.all[&id].messages;
        if messages.iter().any(|message| message.delivered_at.is_none() || message.is_due_again(now)) {
            self.wake_pollers(id);
        }
    }

    fn gives_zero(&mut self) -> bool {
        !self.is_calm && self.once_in(25)
    }

    fn zero_statistics(&mut self, id: u64) -> JobStatistics {
        self.occur("transition", "statistics of zero beside an assignment");
        self.correct_soon(id);
        JobStatistics::default()
    }
}

impl Message {
    /// It is with somebody who has yet to acknowledge it.
    fn is_hidden(&self, now: Timestamp) -> bool {
        self.delivered_at.is_some_and(|at| now.since(at) < REDELIVERED_AFTER)
    }

    fn is_due_again(&self, now: Timestamp) -> bool {
        self.delivered_at.is_some() && !self.is_hidden(now)
    }
}
