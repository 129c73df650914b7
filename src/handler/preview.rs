//! `{"Plan": {…properties…}}`: what a request with these properties would do, as the response of the invocation.
//!
//! Nothing is written, to AWS or to GitHub; so the preview cannot say whether the credential may register runners,
//! which only an attempt shows. With the properties an event may have:
//! - `StackId` and `LogicalResourceId` of an existing resource: the plan is about its pool. Without them, it is about a
//!   new pool.
//! - `Before`, the current properties of the resource: only they show what the template drops, such as a tag.
//! - `Coming`, a list of places such as `LaunchTemplate.Version` that hold what the deployment is expected to make.
//! - `"RequestType": "Delete"`: the plan is that of the resource's deletion, and the properties are its current ones.
//!
//! Properties may leave open what is known only after a deployment: see `unresolved`.

mod unresolved;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::unresolved::Unresolved;
use super::context::Context;
use super::goal;
use crate::cloudformation::request::{self, CustomResourceRequest, ParsedEvent};
use crate::pool::model::continuation::Continuation;
use crate::pool::model::decision::ObserveScope;
use crate::pool::model::evidence::DeletionEvidence;
use crate::pool::model::identity::StackResource;
use crate::pool::model::memory::Memory;
use crate::pool::model::observed::PreflightResult;
use crate::pool::model::operation::{ConvergeGoal, Goal, Operation, Preflight};
use crate::pool::policy::preview::{self, Action, PoolState, Preview, RunnerActivity};
use crate::pool::policy::{reasons, warnings};
use crate::reconcile::lookup::pools_of;
use crate::reconcile::observe::observe;
use crate::reconcile::ports::{Clock, GitHub, RemoteResult, World};
use crate::reconcile::session::Session;

/// A placeholder for the stack of a resource that does not exist yet. No real stack has this ARN.
const PLACEHOLDER_STACK_ID: &str = "arn:aws:cloudformation:::stack/STACK/00000000-0000-0000-0000-000000000000";
/// What only a write could show.
const REGISTRATION_NOT_TESTED: &str =
    "Not tried, since trying makes a registration token: whether the credential may register runners";

/// The response to the caller.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PreviewResponse {
    /// `Create`, `Update`, `Replacement`, `Deletion` or `Nothing`; `Unknown` if a problem prevents the preview.
    action: &'static str,
    /// The pool's id, if everything that it is derived from is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    changes: Vec<String>,
    retires: BTreeMap<String, &'static str>,
    /// The problems that would fail the request.
    obstacles: Vec<String>,
    /// Notes for the reviewer: warnings, and what is unknown.
    notes: Vec<String>,
}

/// What the deployment does to the resource.
enum Deployment {
    /// It creates or updates it.
    Present,
    /// It deletes it.
    Deleted,
}

/// A request for a preview.
pub(super) struct PreviewRequest {
    deployment: Deployment,
    stack_resource: Value,
    /// Whether the resource belongs to an existing stack.
    is_known: bool,
    properties: Map<String, Value>,
    before: Option<Map<String, Value>>,
    open: Unresolved,
}

impl PreviewRequest {
    /// `None` if the event asks for no plan.
    pub(super) fn parse(event: &Value) -> Option<Self> {
        let (properties, mut open) = Unresolved::settle(event.get("Plan")?.as_object()?);
        open.expect(event.get("Coming"));
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let (stack_id, logical_id) = (text("StackId"), text("LogicalResourceId"));
        let is_known = stack_id.is_some() && logical_id.is_some();
        let is_deletion = text("RequestType") == Some("Delete");
        Some(Self {
            deployment: if is_deletion { Deployment::Deleted } else { Deployment::Present },
            stack_resource: json!({
                "StackId": stack_id.filter(|_| is_known).unwrap_or(PLACEHOLDER_STACK_ID),
                "LogicalResourceId": logical_id.filter(|_| is_known).unwrap_or("LOGICALID"),
            }),
            is_known,
            properties,
            before: event.get("Before").and_then(Value::as_object).map(|before| Unresolved::settle(before).0),
            open,
        })
    }

    /// The request that CloudFormation would send, without a response URL.
    fn request(
        &self,
        kind: &str,
        physical_id: Option<&str>,
        properties: &Map<String, Value>,
    ) -> Result<CustomResourceRequest, String> {
        let event = json!({
            "RequestType": kind,
            "RequestId": "plan",
            "ResponseURL": "https://plan.invalid/",
            "StackId": self.stack_resource.get("StackId"),
            "LogicalResourceId": self.stack_resource.get("LogicalResourceId"),
            "PhysicalResourceId": physical_id,
            "ResourceType": "Custom::GitHubRunnerPool",
            "ResourceProperties": properties,
            "OldResourceProperties": self.before,
        });
        match request::parse(&event) {
            ParsedEvent::Request(request) => Ok(*request),
            ParsedEvent::NoResponseUrl(why) => Err(why.to_owned()),
            ParsedEvent::NotARequest => Err("the event is no request".to_owned()),
        }
    }
}

/// The plan, as the response of the invocation.
pub(super) async fn preview<W: World>(context: &Context<'_, W>, asked: &PreviewRequest) -> Value {
    let world = context.world;
    let found = match asked.deployment {
        Deployment::Present => preview_convergence(context, asked).await,
        Deployment::Deleted => preview_deletion(world, asked).await,
    };
    let response = found.unwrap_or_else(|obstacles| PreviewResponse {
        action: "Unknown",
        obstacles,
        ..PreviewResponse::default()
    });
    tracing::info!(step = "preview", action = response.action, n_changes = response.changes.len());
    json!({ "Plan": response })
}

async fn preview_convergence<W: World>(
    context: &Context<'_, W>,
    asked: &PreviewRequest,
) -> Result<PreviewResponse, Vec<String>> {
    let world = context.world;
    let kind = if asked.before.is_some() { "Update" } else { "Create" };
    let request =
        asked.request(kind, asked.before.as_ref().map(|_| "plan"), &asked.properties).map_err(|why| vec![why])?;
    let spec = request
        .properties
        .spec()
        .map_err(|problems| problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let defaults = &context.settings.registration;
    let mut operation = goal::converge_operation(&request, spec.clone(), defaults, world.clock().now())
        .map_err(|error| vec![error.to_string()])?;
    if let Goal::Converge(goal) = &mut operation.goal {
        goal.preflight = Preflight::Skip;
        if asked.open.hides_github() {
            goal.spec.credentials.github_credential = None;
        }
    }
    let Goal::Converge(mut goal) = operation.goal.clone() else { return Err(Vec::new()) };
    let looked = observe_all(world, asked, &operation, &goal, &request.stack_resource).await;
    let (mut session, others) = looked.map_err(|error| vec![reasons::remote_error(&operation, &error.remote_error)])?;
    let memory = Memory::default();
    asked.open.assume(&mut goal, &mut session.observed);
    let found = preview::preview(&operation, &memory, &goal, &session.observed, &others);
    let mut notes = asked.open.notes();
    notes.extend(warnings::collect(&operation, &memory, &session.observed));
    if matches!(found.action, Action::Create | Action::Replacement) && goal.spec.credentials.github_credential.is_some()
    {
        notes.push(REGISTRATION_NOT_TESTED.to_owned());
    }
    notes.extend(found.drain_note(&goal.spec.wait_policy));
    let is_named = asked.is_known && !asked.open.hides_identity();
    let pool = is_named.then(|| operation.id.as_str().to_owned());
    Ok(PreviewResponse { pool, notes, ..response(found) })
}

/// Previews the deletion of a resource with all of its pools and their runners.
async fn preview_deletion<W: World>(world: &W, asked: &PreviewRequest) -> Result<PreviewResponse, Vec<String>> {
    let request = asked.request("Delete", None, &asked.properties).map_err(|why| vec![why])?;
    let pools = async {
        let mut pools = Vec::new();
        for id in pools_of(world, &request.stack_resource).await? {
            pools.extend(other(world, asked, id.as_str(), &asked.properties).await?);
        }
        RemoteResult::Ok(pools)
    };
    let pools = pools.await.map_err(|error| vec![error.remote_error.to_string()])?;
    let found = preview::deletion(&pools);
    let wait_policy = pools.first().map(|(pool, _)| pool.wait_policy().clone()).unwrap_or_default();
    let note = found.drain_note(&wait_policy);
    let pool = pools.first().map(|(pool, _)| pool.id.as_str().to_owned());
    Ok(PreviewResponse { pool, notes: note.into_iter().collect(), ..response(found) })
}

async fn observe_all<W: World>(
    world: &W,
    asked: &PreviewRequest,
    operation: &Operation,
    goal: &ConvergeGoal,
    stack_resource: &StackResource,
) -> RemoteResult<(Session, Vec<PoolState>)> {
    let mut session = Session::default();
    observe(world, &Continuation::new(operation.clone()), &mut session, ObserveScope::Full).await?;
    if let (Some(group), Some(credential)) = (&goal.spec.runner.group, session.credential())
        && !asked.open.hides_github()
        && let Ok(found) = world.github().runner_group(&goal.spec.github, credential, group).await
    {
        session.observed.runner_group = found;
        if found.is_none() {
            session.observed.preflight_result = Some(PreflightResult::NoSuchRunnerGroup);
        }
    }
    let before = asked.before.clone().unwrap_or_default();
    let mut others = Vec::new();
    for id in pools_of(world, stack_resource).await?.into_iter().filter(|id| *id != operation.id) {
        others.extend(other(world, asked, id.as_str(), &before).await?);
    }
    Ok((session, others))
}

/// A pool of the resource, as its Delete would observe it.
async fn other<W: World>(
    world: &W,
    asked: &PreviewRequest,
    id: &str,
    properties: &Map<String, Value>,
) -> RemoteResult<Option<PoolState>> {
    let Ok(request) = asked.request("Delete", Some(id), properties) else { return Ok(None) };
    let Some(evidence) = DeletionEvidence::named(&request.stack_resource, id) else { return Ok(None) };
    let operation = goal::delete_operation(&request, evidence, world.clock().now());
    let mut session = Session::default();
    observe(world, &Continuation::new(operation.clone()), &mut session, ObserveScope::Full).await?;
    Ok(Some((operation, session.observed)))
}

fn response(found: Preview) -> PreviewResponse {
    PreviewResponse {
        action: match found.action {
            Action::Create => "Create",
            Action::Update => "Update",
            Action::Replacement => "Replacement",
            Action::Deletion => "Deletion",
            Action::Nothing => "Nothing",
        },
        changes: found.changes,
        retires: found
            .retires
            .into_iter()
            .map(|(name, doing)| {
                let doing = match doing {
                    RunnerActivity::Idle => "idle",
                    RunnerActivity::Busy => "busy",
                    RunnerActivity::Unknown => "unknown",
                };
                (name, doing)
            })
            .collect(),
        obstacles: found.obstacle.into_iter().collect(),
        ..PreviewResponse::default()
    }
}
