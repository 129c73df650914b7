//! `{"Plan": {…properties…}}`: what a request with these properties would do, told to whoever invokes the function.
//!
//! Nothing is written, to AWS or to GitHub; so whether the credential may register runners, which only trying tells,
//! stays open. Beside the properties an event may have:
//! - `StackId` and `LogicalResourceId` of a resource that exists, and the plan is about its pool; without them it is
//!   about one that is to be made.
//! - `Before`, the properties that the resource has now: what the template drops, such as a tag, shows only by them.
//! - `Coming`, a list of places such as `LaunchTemplate.Version` that hold what the deployment is expected to make.
//! - `"RequestType": "Delete"`: the plan is that of the resource's deletion, and its properties are those that it has.
//!
//! Properties may leave open what is known only after a deployment: see `open`.

mod open;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::open::Open;
use super::goal;
use crate::cloudformation::properties;
use crate::cloudformation::request::{Decoded, Request, decode};
use crate::pool::continuation::{Continuation, Goal, Preflight, Present};
use crate::pool::convergence::preview::{Action, Doing, Other, Preview, preview, removal};
use crate::pool::decision::Look;
use crate::pool::evidence::DeletionEvidence;
use crate::pool::identity::Origin;
use crate::pool::observed::Permission;
use crate::pool::{report, warnings};
use crate::reconcile::locate::pools_of;
use crate::reconcile::observe::{Session, observe};
use crate::reconcile::ports::{Call, Clock, GitHub, World};

/// Stands for the stack of a resource that does not exist yet. No stack has it.
const NO_STACK: &str = "arn:aws:cloudformation:::stack/STACK/00000000-0000-0000-0000-000000000000";
/// What only a write could find out.
const UNTRIED: &str = "Not tried, since trying makes a registration token: whether the credential may register runners";

/// What the caller reads.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    /// `Create`, `Update`, `Replacement`, `Deletion` or `Nothing`; `Unknown` where an obstacle hides it.
    action: &'static str,
    /// The pool's id, if its stack and all that it follows from are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    changes: Vec<String>,
    retires: BTreeMap<String, &'static str>,
    /// What would fail the request, each thing for itself.
    obstacles: Vec<String>,
    /// What else a reviewer wants to know: warnings, and what cannot be told.
    notes: Vec<String>,
}

/// What is asked for.
struct Asked {
    origin: Value,
    /// Whether the resource is one of a stack that is there.
    is_known: bool,
    properties: Map<String, Value>,
    before: Option<Map<String, Value>>,
    open: Open,
}

impl Asked {
    fn of(event: &Value) -> Option<Self> {
        let (properties, mut open) = Open::settle(event.get("Plan")?.as_object()?);
        open.expect(event.get("Coming"));
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let (stack_id, logical_id) = (text("StackId"), text("LogicalResourceId"));
        let is_known = stack_id.is_some() && logical_id.is_some();
        Some(Self {
            origin: json!({
                "StackId": stack_id.filter(|_| is_known).unwrap_or(NO_STACK),
                "LogicalResourceId": logical_id.filter(|_| is_known).unwrap_or("LOGICALID"),
            }),
            is_known,
            properties,
            before: event.get("Before").and_then(Value::as_object).map(|before| Open::settle(before).0),
            open,
        })
    }

    /// What CloudFormation would send, with nowhere to answer to.
    fn request(
        &self,
        kind: &str,
        physical_id: Option<&str>,
        properties: &Map<String, Value>,
    ) -> Result<Request, String> {
        let event = json!({
            "RequestType": kind,
            "RequestId": "plan",
            "ResponseURL": "https://plan.invalid/",
            "StackId": self.origin.get("StackId"),
            "LogicalResourceId": self.origin.get("LogicalResourceId"),
            "PhysicalResourceId": physical_id,
            "ResourceType": "Custom::GitHubRunnerPool",
            "ResourceProperties": properties,
            "OldResourceProperties": self.before,
        });
        match decode(&event) {
            Decoded::Request(request) => Ok(*request),
            Decoded::Unanswerable(why) => Err(why.to_owned()),
            Decoded::NoRequest => Err("the event is no request".to_owned()),
        }
    }
}

/// The plan that an event asks for; `None` if it asks for none.
pub(super) async fn answer<W: World>(world: &W, event: &Value) -> Option<Value> {
    let asked = Asked::of(event)?;
    let is_deletion = event.get("RequestType").and_then(Value::as_str) == Some("Delete");
    let found = if is_deletion { deletion(world, &asked).await } else { presence(world, &asked).await };
    let told = found.unwrap_or_else(|obstacles| Told { action: "Unknown", obstacles, ..Told::default() });
    tracing::info!(step = "plan", action = told.action, n_changes = told.changes.len());
    Some(json!({ "Plan": told }))
}

async fn presence<W: World>(world: &W, asked: &Asked) -> Result<Told, Vec<String>> {
    let kind = if asked.before.is_some() { "Update" } else { "Create" };
    let request =
        asked.request(kind, asked.before.as_ref().map(|_| "plan"), &asked.properties).map_err(|why| vec![why])?;
    let spec = properties::decode(&request.properties, request.service_timeout)
        .map_err(|problems| problems.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let mut held = goal::present(&request, spec, world.clock().now());
    if let Goal::Present(goal) = &mut held.goal {
        goal.preflight = Preflight::Skip;
        if asked.open.hides_github() {
            goal.spec.credentials.administrator = None;
        }
    }
    let Goal::Present(mut goal) = held.goal.clone() else { return Err(Vec::new()) };
    let looked = look(world, asked, &held, &goal, &request.origin).await;
    let (mut session, others) = looked.map_err(|error| vec![report::refused(&held, &error.refusal)])?;
    asked.open.assume(&mut goal, &mut session.seen);
    let found = preview(&held, &goal, &session.seen, &others);
    let mut notes = asked.open.notes();
    notes.extend(warnings::of(&held, &session.seen));
    if matches!(found.action, Action::Create | Action::Replacement) && goal.spec.credentials.administrator.is_some() {
        notes.push(UNTRIED.to_owned());
    }
    notes.extend(found.patience(&goal.spec.manners));
    let is_named = asked.is_known && !asked.open.hides_identity();
    let pool = is_named.then(|| held.id.as_str().to_owned());
    Ok(Told { pool, notes, ..told(found) })
}

/// The end of a resource: all of its pools, and all of their runners.
async fn deletion<W: World>(world: &W, asked: &Asked) -> Result<Told, Vec<String>> {
    let request = asked.request("Delete", None, &asked.properties).map_err(|why| vec![why])?;
    let pools = async {
        let mut pools = Vec::new();
        for id in pools_of(world, &request.origin).await? {
            pools.extend(other(world, asked, id.as_str(), &asked.properties).await?);
        }
        Call::Ok(pools)
    };
    let pools = pools.await.map_err(|error| vec![error.refusal.to_string()])?;
    let found = removal(&pools);
    let manners = pools.first().map(|(pool, _)| pool.manners().clone()).unwrap_or_default();
    let note = found.patience(&manners);
    let pool = pools.first().map(|(pool, _)| pool.id.as_str().to_owned());
    Ok(Told { pool, notes: note.into_iter().collect(), ..told(found) })
}

async fn look<W: World>(
    world: &W,
    asked: &Asked,
    held: &Continuation,
    goal: &Present,
    origin: &Origin,
) -> Call<(Session, Vec<Other>)> {
    let mut session = Session::default();
    observe(world, held, &mut session, Look::Everything).await?;
    if let (Some(group), Some(credential)) = (&goal.spec.runner.group, session.credential())
        && !asked.open.hides_github()
        && let Ok(found) = world.github().runner_group(&goal.spec.github, credential, group).await
    {
        session.seen.runner_group = found;
        if found.is_none() {
            session.seen.permission = Some(Permission::NoSuchRunnerGroup);
        }
    }
    let before = asked.before.clone().unwrap_or_default();
    let mut others = Vec::new();
    for id in pools_of(world, origin).await?.into_iter().filter(|id| *id != held.id) {
        others.extend(other(world, asked, id.as_str(), &before).await?);
    }
    Ok((session, others))
}

/// A pool of the resource, as its Delete would look at it.
async fn other<W: World>(world: &W, asked: &Asked, id: &str, properties: &Map<String, Value>) -> Call<Option<Other>> {
    let Ok(request) = asked.request("Delete", Some(id), properties) else { return Ok(None) };
    let Some(evidence) = DeletionEvidence::named(&request.origin, id) else { return Ok(None) };
    let held = goal::absent(&request, evidence, world.clock().now());
    let mut session = Session::default();
    observe(world, &held, &mut session, Look::Everything).await?;
    Ok(Some((held, session.seen)))
}

fn told(found: Preview) -> Told {
    Told {
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
                    Doing::Idle => "idle",
                    Doing::Busy => "busy",
                    Doing::Unknown => "unknown",
                };
                (name, doing)
            })
            .collect(),
        obstacles: found.obstacle.into_iter().collect(),
        ..Told::default()
    }
}
