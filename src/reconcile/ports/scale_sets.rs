//! The port of GitHub's runner scale sets. The API is a public preview, so nothing outside the adapter depends on the
//! format of its responses, and an unexpected response is an error that changes nothing.

#![expect(async_fn_in_trait, reason = "no caller needs `Send`: the Lambda runtime here is single-threaded")]

use super::call_error::RemoteResult;
use super::github::{Credential, Deregistration, JitRunner};
use crate::pool::model::scale_set::{
    JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use crate::pool::model::spec::GitHubTarget;

/// GitHub's scale-set service.
pub trait ScaleSets {
    /// The set with this name in this runner group; `None` is the default group.
    async fn scale_set_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        group: Option<&str>,
        name: &str,
    ) -> RemoteResult<Option<ScaleSet>>;
    /// Creates a set. Returns the set as GitHub created it, which may have fewer labels.
    async fn create_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        request: &ScaleSetRequest,
    ) -> RemoteResult<ScaleSet>;
    /// Deletes a set. GitHub returns its waiting jobs to the queue.
    async fn delete_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
    ) -> RemoteResult<ScaleSetDeletion>;

    /// Opens the session of a set, in the name of `owner`.
    async fn open_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        owner: &str,
    ) -> RemoteResult<SessionOpening>;
    /// Refreshes the queue token of a session; `None` if the session does not exist any more.
    async fn renew_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<Option<MessageSession>>;
    /// Closes a session; one that is gone or has expired is done.
    async fn close_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<()>;

    /// Waits about 50 seconds for the message after `last_message_id`, 0 for the first. `max_capacity` is how many runners
    /// the set may ever have: a job that is queued while less is announced may never be assigned.
    async fn next_message(
        &self,
        queue: &MessageQueue,
        last_message_id: u64,
        max_capacity: u32,
    ) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>>;
    /// Acknowledges a message, which would be delivered again otherwise. A missing message is no error.
    async fn acknowledge(&self, queue: &MessageQueue, message_id: u64) -> RemoteResult<QueueAnswer<()>>;
    /// Acquires available jobs. Returns those that the set got.
    async fn acquire_jobs(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        queue: &MessageQueue,
        request_ids: &[i64],
    ) -> RemoteResult<QueueAnswer<Vec<i64>>>;

    /// Registers a runner of the set for one job.
    async fn create_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        name: &str,
        workdir: &str,
    ) -> RemoteResult<JitRunner>;
    /// The runner with this name, of any set.
    async fn scale_set_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<ScaleSetRunner>>;
    /// Deletes a runner's registration. GitHub refuses while it has a job.
    async fn deregister_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration>;
}

/// The result of deleting a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleSetDeletion {
    /// GitHub deleted it.
    Deleted,
    /// It does not exist any more.
    Missing,
    /// GitHub refused, because a job runs in it.
    Busy,
}

/// The result of opening a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOpening {
    /// The session is open.
    Opened {
        /// The session.
        session: MessageSession,
        /// The statistics of the set, if GitHub reports them.
        statistics: Option<JobStatistics>,
    },
    /// The set has another session, or had one until a moment ago.
    Conflict,
    /// The set does not exist any more.
    NoSuchSet,
}

/// The result of a call to a message queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAnswer<T> {
    /// The call succeeded.
    Ok(T),
    /// The queue's token has expired, so the session must be refreshed.
    TokenExpired,
    /// The queue does not exist any more, so a new session must be opened.
    Gone,
}
