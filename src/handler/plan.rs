//! `{"Plan": {…properties…}}`: what a request with these properties would do, told to whoever invokes the function.
//!
//! Nothing is written, to AWS or to GitHub; so whether the credential may register runners, which only trying tells,
//! stays open. With the `StackId` and the `LogicalResourceId` of a resource that exists beside it, the plan is about its
//! pool; without them it is about one that is to be made.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::work;
use crate::cloudformation::properties;
use crate::cloudformation::request::{Decoded, Request, decode};
use crate::pool::continuation::{Continuation, Goal, Preflight};
use crate::pool::convergence::preview::{Action, Doing, Other, Preview, preview};
use crate::pool::decision::Look;
use crate::pool::report;
use crate::reconcile::locate::pools_of;
use crate::reconcile::observe::{Session, observe};
use crate::reconcile::ports::{Call, Clock, World};

/// Stands for the stack of a resource that does not exist yet. No stack has it.
const NO_STACK: &str = "arn:aws:cloudformation:::stack/STACK/00000000-0000-0000-0000-000000000000";

/// What the caller reads.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    /// `Create`, `Update`, `Replacement` or `Nothing`.
    action: &'static str,
    /// The pool's id, if its stack is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    changes: Vec<String>,
    retires: BTreeMap<String, &'static str>,
    /// What would fail the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
}

/// The plan that an event asks for; `None` if it asks for none.
pub(super) async fn answer<W: World>(world: &W, event: &Value) -> Option<Value> {
    let properties = event.get("Plan")?.as_object()?;
    let text = |key: &str| event.get(key).and_then(Value::as_str);
    let (stack_id, logical_id) = (text("StackId"), text("LogicalResourceId"));
    let is_known = stack_id.is_some() && logical_id.is_some();
    let origin = json!({
        "StackId": stack_id.filter(|_| is_known).unwrap_or(NO_STACK),
        "LogicalResourceId": logical_id.filter(|_| is_known).unwrap_or("LOGICALID"),
    });
    let told = match plan(world, &origin, properties).await {
        Ok((held, found)) => told(found, is_known.then(|| held.id.as_str().to_owned())),
        Err(obstacle) => Told {
            action: "Nothing",
            pool: None,
            changes: Vec::new(),
            retires: BTreeMap::new(),
            obstacle: Some(obstacle),
        },
    };
    tracing::info!(step = "plan", action = told.action, n_changes = told.changes.len());
    Some(json!({ "Plan": told }))
}

async fn plan<W: World>(
    world: &W,
    origin: &Value,
    properties: &serde_json::Map<String, Value>,
) -> Result<(Continuation, Preview), String> {
    let request = request(origin, "Create", properties, None)?;
    let spec =
        properties::decode(&request.properties, request.service_timeout).map_err(|problems| problems.to_string())?;
    let mut held = work::present(&request, spec, world.clock().now());
    if let Goal::Present(goal) = &mut held.goal {
        goal.preflight = Preflight::Skip;
    }
    let looked = look(world, &held, &request, origin).await;
    let (session, others) = looked.map_err(|error| report::refused(&held, &error.refusal))?;
    let Goal::Present(goal) = held.goal.clone() else { return Err("A plan is about a pool that is to be.".to_owned()) };
    let found = preview(&held, &goal, &session.seen, &others);
    Ok((held, found))
}

async fn look<W: World>(
    world: &W,
    held: &Continuation,
    request: &Request,
    origin: &Value,
) -> Call<(Session, Vec<Other>)> {
    let mut session = Session::default();
    observe(world, held, &mut session, Look::Everything).await?;
    let mut others = Vec::new();
    for id in pools_of(world, &request.origin).await?.into_iter().filter(|id| *id != held.id) {
        let Ok(deletion) = self::request(origin, "Delete", &serde_json::Map::new(), Some(id.as_str())) else {
            continue;
        };
        let Ok(other) = work::absent(world, &deletion, id.as_str(), held.accepted_at).await else { continue };
        let mut session = Session::default();
        observe(world, &other, &mut session, Look::Everything).await?;
        others.push((other, session.seen));
    }
    Ok((session, others))
}

/// What CloudFormation would send, with nowhere to answer to.
fn request(
    origin: &Value,
    kind: &str,
    properties: &serde_json::Map<String, Value>,
    physical_id: Option<&str>,
) -> Result<Request, String> {
    let event = json!({
        "RequestType": kind,
        "RequestId": "plan",
        "ResponseURL": "https://plan.invalid/",
        "StackId": origin.get("StackId"),
        "LogicalResourceId": origin.get("LogicalResourceId"),
        "PhysicalResourceId": physical_id,
        "ResourceType": "Custom::GitHubRunnerPool",
        "ResourceProperties": properties,
    });
    match decode(&event) {
        Decoded::Request(request) => Ok(*request),
        Decoded::Unanswerable(why) => Err(why.to_string()),
    }
}

fn told(found: Preview, pool: Option<String>) -> Told {
    Told {
        action: match found.action {
            Action::Create => "Create",
            Action::Update => "Update",
            Action::Replacement => "Replacement",
            Action::Nothing => "Nothing",
        },
        pool,
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
        obstacle: found.obstacle,
    }
}
