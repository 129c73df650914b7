//! The port of runner scale sets: a service behind GitHub's API, with addresses and tokens of its own.
//!
//! GitHub's client is its documentation: <https://github.com/actions/scaleset>. `service` connects and makes calls,
//! `queue` reads messages, `wire` has the types of the bodies, and `errors` the table of errors.
//!
//! It must never misinterpret a response: an unexpected status, an unknown exception and a body in another format are
//! errors that change nothing.

mod errors;
mod queue;
mod service;
mod wire;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::errors::{CallContext, ServiceErrorKind};
use self::queue::is_expired;
use self::service::{ServiceCall, ServiceResponse, address, service_bearer};
use self::wire::{CreatedRunner, GroupEntry, List, RunnerEntry, ScaleSetEntry, SessionEntry};
use super::client::GitHubClient;
use super::registration;
use super::registration::DEFAULT_GROUP;
use super::response::ApiResponse;
use crate::pool::model::scale_set::{
    JobStatistics, MessageQueue, MessageSession, ScaleSet, ScaleSetMessage, ScaleSetRequest, ScaleSetRunner,
};
use crate::pool::model::spec::GitHubTarget;
use crate::reconcile::ports::{
    Clock, Credential, Deregistration, JitRunner, QueueAnswer, RemoteResult, ScaleSetDeletion, ScaleSets,
    SessionOpening,
};

const GROUPS: [&str; 3] = ["_apis", "runtime", "runnergroups"];
const SCALE_SETS: [&str; 3] = ["_apis", "runtime", "runnerscalesets"];
/// Every runner is in this pool, whatever its group.
const RUNNERS: [&str; 5] = ["_apis", "distributedtask", "pools", "0", "agents"];

/// What GitHub's client calls the group of that id.
const DEFAULT_GROUP_NAME: &str = "default";

/// The type of labels that are given and not found out by the runner.
const LABEL_TYPE: &str = "System";

impl<C: Clock> ScaleSets for GitHubClient<C> {
    async fn scale_set_named(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        group: Option<&str>,
        name: &str,
    ) -> RemoteResult<Option<ScaleSet>> {
        let group_id = self.group_id(target, credential, group).await?;
        let call = ServiceCall::new(target, credential, Method::GET, &SCALE_SETS)
            .with_query("runnerGroupId", group_id)
            .with_query("name", name);
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        let List { value } = context.decode::<List<ScaleSetEntry>>(response, StatusCode::OK)?;
        let found = only(&context, value, |entry| entry.name.eq_ignore_ascii_case(name))?;
        Ok(found.map(|entry| entry.into_scale_set(group_id)))
    }

    async fn create_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        request: &ScaleSetRequest,
    ) -> RemoteResult<ScaleSet> {
        let group_id = self.group_id(target, credential, request.group.as_deref()).await?;
        let labels: Vec<Value> =
            request.labels.iter().map(|label| json!({ "name": label, "type": LABEL_TYPE })).collect();
        let call = ServiceCall::new(target, credential, Method::POST, &SCALE_SETS).with_body(&json!({
            "name": request.name,
            "runnerGroupId": group_id,
            "labels": labels,
            "RunnerSetting": { "disableUpdate": request.disable_auto_update },
        }));
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        let created: ScaleSetEntry = context.decode(response, StatusCode::OK)?;
        if request.disable_auto_update && !created.disables_update() {
            tracing::warn!(scale_set = request.name, "DisableAutoUpdate: GitHub did not apply it to the scale set");
        }
        Ok(created.into_scale_set(group_id))
    }

    async fn delete_scale_set(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
    ) -> RemoteResult<ScaleSetDeletion> {
        let call = of_scale_set(target, credential, Method::DELETE, scale_set, &[]);
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        match (response.status, ServiceErrorKind::of(&response)) {
            (StatusCode::NO_CONTENT, _) => Ok(ScaleSetDeletion::Deleted),
            (_, ServiceErrorKind::ScaleSetNotFound | ServiceErrorKind::NotFound) => Ok(ScaleSetDeletion::Missing),
            (_, ServiceErrorKind::JobStillRunning) => Ok(ScaleSetDeletion::Busy),
            _ => Err(context.api_error(&response)),
        }
    }

    async fn open_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        owner: &str,
    ) -> RemoteResult<SessionOpening> {
        let call = of_scale_set(target, credential, Method::POST, scale_set, &["sessions"])
            .with_body(&json!({ "ownerName": owner }));
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        let kind = ServiceErrorKind::of(&response);
        if matches!(kind, ServiceErrorKind::SessionConflict | ServiceErrorKind::Conflict) {
            return Ok(SessionOpening::Conflict);
        }
        if matches!(kind, ServiceErrorKind::ScaleSetNotFound | ServiceErrorKind::NotFound) {
            return Ok(SessionOpening::NoSuchSet);
        }
        let (session, statistics) = session(target, &context, response)?;
        Ok(SessionOpening::Opened { session, statistics })
    }

    async fn renew_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<Option<MessageSession>> {
        let call = of_scale_set(target, credential, Method::PATCH, scale_set, &["sessions"]).below(session);
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        if is_session_gone(&response) {
            return Ok(None);
        }
        self::session(target, &context, response).map(|(session, _)| Some(session))
    }

    async fn close_session(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        session: &str,
    ) -> RemoteResult<()> {
        let call = of_scale_set(target, credential, Method::DELETE, scale_set, &["sessions"]).below(session);
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        if is_session_gone(&response) {
            return Ok(());
        }
        context.require(response, StatusCode::NO_CONTENT).map(drop)
    }

    async fn next_message(
        &self,
        queue: &MessageQueue,
        last_message_id: u64,
        max_capacity: u32,
    ) -> RemoteResult<QueueAnswer<Option<ScaleSetMessage>>> {
        queue::next_message(self, queue, last_message_id, max_capacity).await
    }

    async fn acknowledge(&self, queue: &MessageQueue, message_id: u64) -> RemoteResult<QueueAnswer<()>> {
        queue::acknowledge(self, queue, message_id).await
    }

    /// At the service's address, but with the token of the queue.
    async fn acquire_jobs(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        queue: &MessageQueue,
        request_ids: &[i64],
    ) -> RemoteResult<QueueAnswer<Vec<i64>>> {
        if request_ids.is_empty() {
            return Ok(QueueAnswer::Ok(Vec::new()));
        }
        let call =
            of_scale_set(target, credential, Method::POST, scale_set, &["acquirejobs"]).with_body(&json!(request_ids));
        let connection = self.connect(target, credential).await?;
        let sent = self.send_to_service(&call, &connection, &service_bearer(&queue.token)).await?;
        let ServiceResponse { response, context } = sent;
        match response.status {
            StatusCode::UNAUTHORIZED => Ok(QueueAnswer::TokenExpired),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(QueueAnswer::Gone),
            _ if is_expired(&response) => Ok(QueueAnswer::Gone),
            _ => Ok(QueueAnswer::Ok(context.decode::<List<i64>>(response, StatusCode::OK)?.value)),
        }
    }

    async fn create_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        scale_set: u64,
        name: &str,
        workdir: &str,
    ) -> RemoteResult<JitRunner> {
        let call = of_scale_set(target, credential, Method::POST, scale_set, &["generatejitconfig"])
            .with_body(&json!({ "name": name, "workFolder": workdir }));
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        if ServiceErrorKind::of(&response) == ServiceErrorKind::RunnerExists {
            return Ok(JitRunner::NameTaken);
        }
        let created: CreatedRunner = context.decode(response, StatusCode::OK)?;
        // Whether the runner updates itself, the set says.
        match registration::files(created.encoded_jit_config.expose(), false) {
            Some(files) => Ok(JitRunner::Registered { id: created.runner.id, files }),
            None => Err(context.unreadable()),
        }
    }

    async fn scale_set_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        name: &str,
    ) -> RemoteResult<Option<ScaleSetRunner>> {
        let call = ServiceCall::new(target, credential, Method::GET, &RUNNERS).with_query("agentName", name);
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        if ServiceErrorKind::of(&response) == ServiceErrorKind::RunnerNotFound {
            return Ok(None);
        }
        // A list is never missing.
        if ServiceErrorKind::of(&response) == ServiceErrorKind::NotFound {
            return Err(context.unreadable());
        }
        let List { value } = context.decode::<List<RunnerEntry>>(response, StatusCode::OK)?;
        let found = only(&context, value, |entry| entry.name.eq_ignore_ascii_case(name))?;
        Ok(found.map(RunnerEntry::into_runner))
    }

    /// Missing only where the service says so: a 404 of any other kind is no evidence.
    async fn deregister_runner(
        &self,
        target: &GitHubTarget,
        credential: &Credential,
        runner: u64,
    ) -> RemoteResult<Deregistration> {
        let call = ServiceCall::new(target, credential, Method::DELETE, &RUNNERS).below(&runner.to_string());
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        match (response.status, ServiceErrorKind::of(&response)) {
            (StatusCode::NO_CONTENT, _) => Ok(Deregistration::Deleted),
            (_, ServiceErrorKind::RunnerNotFound) => Ok(Deregistration::Missing),
            (_, ServiceErrorKind::JobStillRunning) => Ok(Deregistration::Busy),
            (_, ServiceErrorKind::NotFound) => Err(context.unreadable()),
            _ => Err(context.api_error(&response)),
        }
    }
}

impl<C: Clock> GitHubClient<C> {
    /// The id of a runner group by the service, which lets a credential read it that may administer scale sets.
    async fn group_id(&self, target: &GitHubTarget, credential: &Credential, group: Option<&str>) -> RemoteResult<u64> {
        let Some(name) = group.filter(|name| !name.eq_ignore_ascii_case(DEFAULT_GROUP_NAME)) else {
            return Ok(DEFAULT_GROUP);
        };
        // The client of GitHub's ends the path with a slash.
        let call = ServiceCall::new(target, credential, Method::GET, &GROUPS).below("").with_query("groupName", name);
        let ServiceResponse { response, context } = self.call_service(&call).await?;
        let List { value } = context.decode::<List<GroupEntry>>(response, StatusCode::OK)?;
        let lower = name.to_lowercase();
        let found = only(&context, value, |entry| entry.name.to_lowercase() == lower)?;
        found.map(|entry| entry.id).ok_or_else(|| context.no_such_group(&target.scope, name))
    }
}

/// A call of a set, or of what is below it.
fn of_scale_set<'a>(
    target: &'a GitHubTarget,
    credential: &'a Credential,
    method: Method,
    scale_set: u64,
    below: &[&str],
) -> ServiceCall<'a> {
    let id = scale_set.to_string();
    let path = [&SCALE_SETS, [id.as_str()].as_slice(), below].concat();
    ServiceCall::new(target, credential, method, &path)
}

/// The one entry of a list that is meant. The service filters as well; of several none is taken.
fn only<T>(context: &CallContext<'_>, list: Vec<T>, is_meant: impl Fn(&T) -> bool) -> RemoteResult<Option<T>> {
    let mut meant = list.into_iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(context.unreadable()),
    }
}

/// A session from a response. A service that is unwell has opened sessions without an address:
/// <https://github.com/actions/actions-runner-controller/issues/4370>.
fn session(
    target: &GitHubTarget,
    context: &CallContext<'_>,
    response: ApiResponse,
) -> RemoteResult<(MessageSession, Option<JobStatistics>)> {
    let entry: SessionEntry = context.decode(response, StatusCode::OK)?;
    let opened = address(entry.queue_url(), target.host.scheme).and_then(|_| entry.into_session());
    opened.ok_or_else(|| context.unreadable())
}

/// A session that is gone answers in several ways: <https://github.com/actions/scaleset/issues/123>,
/// <https://github.com/actions/actions-runner-controller/issues/4285>.
fn is_session_gone(response: &ApiResponse) -> bool {
    matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE) || is_expired(response)
}

#[cfg(test)]
mod tests;
