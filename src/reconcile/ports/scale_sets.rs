//! The port of GitHub's runner scale sets, which GitHub calls a public preview: nothing beyond it depends on the shape
//! of an answer, and an answer that is not understood is an error that changes nothing.

#![expect(async_fn_in_trait, reason = "no caller needs `Send`: the Lambda runtime here is single-threaded")]

use super::call_error::RemoteResult;
use super::github::{Credential, Deregistration, JitRunner};
use crate::pool::model::scale_set::{
    JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use crate::pool::model::spec::GitHubTarget;

/// GitHub's scale-set service.
pub trait ScaleSets {
    /// The set of this name in this runner group, the default one for `None`.
    async fn scale_set_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        group: Option<&str>,
        name: &str,
    ) -> RemoteResult<Option<ScaleSet>>;
    /// Makes a set. What it returns is what GitHub made, which may have fewer labels.
    async fn create_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        request: &ScaleSetRequest,
    ) -> RemoteResult<ScaleSet>;
    /// Deletes a set. GitHub assigns its waiting jobs elsewhere.
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
    /// A session with a new queue token; `None` if GitHub does not know the session any more.
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
    /// Takes a message off the queue, which delivers it again otherwise. One that is gone is done.
    async fn acknowledge(&self, queue: &MessageQueue, message_id: u64) -> RemoteResult<QueueAnswer<()>>;
    /// Acquires jobs that wait for it. Returns those that this set has.
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
    /// The runner of this name, of whatever set.
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

/// What became of the deletion of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleSetDeletion {
    /// GitHub deleted it.
    Deleted,
    /// GitHub did not know it any more.
    Missing,
    /// GitHub refused: a job runs in it.
    Busy,
}

/// What became of the opening of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOpening {
    /// It is open.
    Opened {
        /// The session.
        session: MessageSession,
        /// The set at this moment, where GitHub says.
        statistics: Option<JobStatistics>,
    },
    /// The set has another session, or had one until a moment ago.
    Conflict,
    /// GitHub does not know the set any more.
    NoSuchSet,
}

/// The answer of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAnswer<T> {
    /// This.
    Ok(T),
    /// The queue's token has expired; the session is to be renewed.
    TokenExpired,
    /// There is no such queue any more; a session is to be opened.
    Gone,
}
