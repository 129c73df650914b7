//! One look at the world, as wide as the decision asked for.

mod newer;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{join, try_join};

use super::locate::{Deleted, turn_of};
use super::ports::{AutoScaling, Call, Clock, Credential, Ecs, GitHub, Parameters, World};
use super::runner_logs::{LogPlaces, read_logs};
use crate::pool::continuation::{Continuation, Goal, Preflight, Wish};
use crate::pool::decision::Look;
use crate::pool::ec2::instance_types;
use crate::pool::identity::{PhysicalId, TAG_CONTENT};
use crate::pool::observed::{GitHubView, Observed, Permission, Protection, Reading, ServiceState, Task};
use crate::pool::record::PoolRecord;
use crate::pool::refusal::{Class, Refusal, Remote};
use crate::pool::spec::{Administrator, Capacity, OwnCapacity};
use crate::pool::succession::covers_resource;

/// What an invocation knows beside its continuation: the last look, and the credential that it read.
#[derive(Debug, Default)]
pub struct Session {
    /// The last look; a narrower one brings part of it up to date.
    pub seen: Observed,
    credential: Option<Credential>,
    /// Whether the last look at the tasks went well, so that the next one may rest on it.
    has_listed_tasks: bool,
    has_asked_ec2: bool,
    has_counted_room: bool,
    /// Whether the other pools of the resource were asked for how they reach GitHub.
    has_asked_others: bool,
    log_places: LogPlaces,
}

impl Session {
    /// Forgets the credential, so that the next look reads it anew: GitHub no longer accepts it.
    fn forget_credential(&mut self) {
        self.credential = None;
    }

    /// The credential, for a call outside a look.
    #[must_use]
    pub const fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }
}

/// Looks. What was seen is in `session.seen` afterwards, also in part when a call was refused.
///
/// # Errors
/// The first call that was refused, save GitHub's: that one is part of what is seen.
pub async fn observe<W: World>(world: &W, held: &Continuation, session: &mut Session, look: Look) -> Call<()> {
    let is_whole = matches!(look, Look::Everything | Look::Diagnosis);
    session.seen.refusal = None;
    // A deletion rests on a log of its own look only.
    session.seen.logs.clear();
    if look == Look::Turn {
        return turn(world, held, session).await;
    }
    session.seen.is_complete = false;
    session.seen.is_diagnosis = false;

    if is_whole {
        session.seen.task_definition = world.ecs().task_definition(&held.id).await?;
        group(world, held, session, look).await?;
    }
    if look == Look::Group {
        session.seen.group = world.auto_scaling().group(held.id.as_str()).await?;
    }
    let record = held.record(&session.seen);
    if matches!(look, Look::Everything | Look::Diagnosis | Look::Association) {
        association(world, &held.id, record.as_ref(), session).await?;
    }
    if let Some(record) = &record {
        if matches!(look, Look::Everything | Look::Diagnosis | Look::Runners | Look::RunnerLogs | Look::Tasks) {
            service_and_tasks(world, held, &record.cluster, session, look).await?;
        }
        if is_whole {
            protections(world, &record.cluster, session).await?;
            instances(world, held, record, session).await?;
        }
        if matches!(look, Look::Everything | Look::Diagnosis | Look::Runners | Look::RunnerLogs) {
            github(world, held, record, session).await;
            // Rarely taken, and large.
            Box::pin(newer::github(world, held, record, session)).await;
        }
        // After the list, which may be long: a runner goes by both, and the log is to be as new as can be.
        if look == Look::RunnerLogs {
            let asked = &held.memory.logs.asked;
            let tasks: Vec<&Task> =
                session.seen.tasks.iter().filter(|task| task.is_running() && asked.contains(&task.arn)).collect();
            // Boxed, since it is seldom needed and would make every look's future larger.
            session.seen.logs = Box::pin(read_logs(world, &mut session.log_places, &tasks)).await?;
        }
    }
    // Last, so that it is as fresh as can be when a step rests on it.
    turn(world, held, session).await?;
    session.seen.is_complete = look == Look::Everything;
    session.seen.is_diagnosis = look == Look::Diagnosis;
    Ok(())
}

async fn turn<W: World>(world: &W, held: &Continuation, session: &mut Session) -> Call<()> {
    let is_of_one_pool = matches!(held.goal, Goal::Absent(_)) && !covers_resource(held);
    let deleted = is_of_one_pool.then(|| Deleted {
        id: &held.id,
        held_pool: held.held_pool(),
        has_own_record: session.seen.has_own_record,
    });
    let found = turn_of(world, &held.request.origin, deleted).await?;
    session.seen.has_own_record = found.is_own;
    session.seen.turn = found.turn;
    Ok(())
}

async fn group<W: World>(world: &W, held: &Continuation, session: &mut Session, look: Look) -> Call<()> {
    let own = match &held.goal {
        Goal::Present(present) => match &present.spec.capacity {
            Capacity::Own(own) => Some(own),
            Capacity::Named(_) => return Ok(()),
        },
        Goal::Absent(_) => None,
    };
    session.seen.group = world.auto_scaling().group(held.id.as_str()).await?;
    if let Some(own) = own {
        let template = &own.launch_template;
        session.seen.template_version = match template.version.parse() {
            Ok(number) => Some(number),
            Err(_) => world.auto_scaling().template_version(&template.reference, &template.version).await?,
        };
        ec2(world, held, own, session).await;
    }
    if look == Look::Diagnosis {
        session.seen.failed_activity = world.auto_scaling().last_failed_activity(held.id.as_str()).await?;
    }
    Ok(())
}

/// What EC2 knows of the things that instances are started from. Asked once, by a request that changes something, so that
/// a mistake is told before anything is built. A role that may not ask is no obstacle: Auto Scaling then tells it later.
async fn ec2<W: World>(world: &W, held: &Continuation, own: &OwnCapacity, session: &mut Session) {
    if !is_changed(held) || std::mem::replace(&mut session.has_asked_ec2, true) {
        return;
    }
    let (port, template) = (world.auto_scaling(), &own.launch_template);
    let is_accepted = session.seen.group.as_ref().is_some_and(|group| group.shape.subnets == own.subnets);
    let subnets = async { if is_accepted { Ok(None) } else { port.subnets(&own.subnets).await } };
    let (template, subnets) = join!(port.template(&template.reference, &template.version), subnets);
    let view = &mut session.seen.ec2;
    view.template = told(template).unwrap_or_default();
    if let Some(found) = told(subnets).flatten() {
        view.missing_subnets = own.subnets.iter().filter(|id| !found.contains(*id)).cloned().collect();
    }
    let types = instance_types(own, &view.template);
    if !types.is_empty()
        && let Some(found) = told(port.instance_types(&types).await).flatten()
    {
        view.instance_types = types.into_iter().map(|name| (name.clone(), found.get(&name).copied())).collect();
    }
}

/// What a question that may stay open was answered.
fn told<T>(answer: Call<T>) -> Option<T> {
    answer.inspect_err(log_refusal).ok()
}

fn is_changed(held: &Continuation) -> bool {
    matches!(&held.goal, Goal::Present(present) if present.wish == Wish::Changed)
}

async fn association<W: World>(
    world: &W,
    id: &PhysicalId,
    record: Option<&PoolRecord>,
    session: &mut Session,
) -> Call<()> {
    let provider = record.and_then(|record| record.named_provider.as_deref()).unwrap_or(id.as_str());
    let cluster = async {
        match record {
            Some(record) => world.ecs().cluster(&record.cluster).await,
            None => Ok(None),
        }
    };
    (session.seen.provider, session.seen.cluster) = try_join!(world.ecs().capacity_provider(provider), cluster)?;
    Ok(())
}

/// The service, and its tasks: all of them in a wide look, in a narrow one those that may still change.
async fn service_and_tasks<W: World>(
    world: &W,
    held: &Continuation,
    cluster: &str,
    session: &mut Session,
    look: Look,
) -> Call<()> {
    let is_first = !std::mem::replace(&mut session.has_listed_tasks, false);
    let live = session.seen.tasks.iter().filter(|task| task.is_live()).map(|task| task.arn.clone()).collect();
    let tasks = async {
        match look {
            Look::Runners | Look::RunnerLogs | Look::Tasks if !is_first => {
                world.ecs().tasks_beside(cluster, &held.id, live).await
            }
            Look::Everything
            | Look::Turn
            | Look::Runners
            | Look::RunnerLogs
            | Look::Tasks
            | Look::Association
            | Look::Group
            | Look::Diagnosis => world.ecs().tasks(cluster, &held.id).await,
        }
    };
    let (service, tasks) = try_join!(world.ecs().service(cluster, &held.id), tasks)?;
    session.has_listed_tasks = true;
    let before: BTreeMap<String, Protection> =
        session.seen.tasks.drain(..).map(|task| (task.arn, task.protection)).collect();
    session.seen.tasks = tasks
        .into_iter()
        .map(|task| Task { protection: before.get(&task.arn).copied().unwrap_or(task.protection), ..task })
        .collect();
    session.seen.service = service;
    deployed_content(world, session).await
}

/// The content of every revision that the service deploys, each read once: a revision never changes.
async fn deployed_content<W: World>(world: &W, session: &mut Session) -> Call<()> {
    let mut deployed: BTreeSet<String> = BTreeSet::new();
    if let Some(service) = session.seen.service.as_ref().filter(|service| service.state == ServiceState::Active) {
        deployed.extend(service.deployments.iter().map(|deployment| deployment.task_definition.clone()));
        deployed.insert(service.shape.task_definition.clone());
    }
    session.seen.deployed_content.retain(|arn, _| deployed.contains(arn));
    for arn in deployed {
        if session.seen.deployed_content.contains_key(&arn) {
            continue;
        }
        let revision = match &session.seen.task_definition {
            Some(newest) if newest.arn == arn => Some(newest.clone()),
            Some(_) | None => world.ecs().revision(&arn).await?,
        };
        let content = revision.and_then(|revision| revision.tags.get(TAG_CONTENT).cloned()).unwrap_or_default();
        session.seen.deployed_content.insert(arn, content);
    }
    Ok(())
}

async fn protections<W: World>(world: &W, cluster: &str, session: &mut Session) -> Call<()> {
    let running: Vec<String> =
        session.seen.tasks.iter().filter(|task| task.is_running()).map(|task| task.arn.clone()).collect();
    if running.is_empty() {
        return Ok(());
    }
    let protections = world.ecs().protections(cluster, &running).await?;
    for task in &mut session.seen.tasks {
        if let Some(protection) = protections.get(&task.arn) {
            task.protection = *protection;
        }
    }
    Ok(())
}

/// Container instances matter where some may have to leave: on Delete, for a diagnosis, and when some run on another
/// version of the launch template; and once, before a change, for what room they have.
async fn instances<W: World>(world: &W, held: &Continuation, record: &PoolRecord, session: &mut Session) -> Call<()> {
    if record.named_provider.is_some() {
        return Ok(());
    }
    let in_group: Vec<String> =
        session.seen.group.iter().flat_map(|group| &group.instances).map(|instance| instance.id.clone()).collect();
    let is_outdated = session.seen.group.iter().flat_map(|group| &group.instances).any(|instance| {
        instance.template_version.is_some() && instance.template_version != session.seen.template_version
    });
    let awaits_runners = held.memory.online_awaited_since.is_some();
    let is_before_change = is_changed(held) && !std::mem::replace(&mut session.has_counted_room, true);
    let has_instances = is_before_change && !in_group.is_empty();
    let matters = matches!(held.goal, Goal::Absent(_)) || is_outdated || awaits_runners || has_instances;
    session.seen.instances = if matters {
        world.ecs().container_instances(&record.cluster, held.id.as_str(), &in_group).await?
    } else {
        Vec::new()
    };
    Ok(())
}

/// GitHub's side. What it refuses is part of what is seen: policy decides what that means.
async fn github<W: World>(world: &W, held: &Continuation, record: &PoolRecord, session: &mut Session) {
    let Some(administrator) = &record.administrator else {
        session.seen.github = GitHubView::NoCredential;
        return;
    };
    if session.credential.is_none() {
        match credential(world, administrator).await {
            Ok(credential) => session.credential = Some(credential),
            Err(refusal) => {
                if asks_permission(held) {
                    session.seen.permission = Some(Permission::Refused(refusal.clone()));
                }
                session.seen.github = GitHubView::Refused(refusal);
                return;
            }
        }
    }
    let Some(credential) = session.credential.clone() else { return };
    if session.seen.permission != Some(Permission::Granted) {
        session.seen.permission = permission(world, held, session, &credential).await;
    }
    let began_at = world.clock().now();
    session.seen.github = match world.github().runners(&record.github, &credential).await {
        Ok(runners) => {
            session.seen.github_read = Some(Reading { began_at, ended_at: world.clock().now() });
            GitHubView::Runners(runners)
        }
        Err(error) => {
            log_refusal(&error);
            if error.class() == Class::Unauthenticated {
                session.forget_credential();
            }
            GitHubView::Refused(error.refusal)
        }
    };
}

async fn credential<W: World>(world: &W, administrator: &Administrator) -> Result<Credential, Refusal> {
    let parameter = match administrator {
        Administrator::AccessToken(parameter) | Administrator::App { private_key: parameter, .. } => parameter,
    };
    let value = world.parameters().read(parameter).await.map_err(|error| {
        log_refusal(&error);
        error.refusal
    })?;
    let value = value.ok_or_else(|| Refusal {
        remote: Remote::ParameterStore,
        class: Class::Missing,
        operation: "GetParameter".to_owned(),
        code: None,
        message: format!("there is no parameter {parameter}"),
    })?;
    Ok(match administrator {
        Administrator::AccessToken(_) => Credential::AccessToken(value),
        Administrator::App { id, .. } => Credential::App { id: id.clone(), private_key: value },
    })
}

/// Asks GitHub whether runners may register, where the goal wants that asked.
async fn permission<W: World>(
    world: &W,
    held: &Continuation,
    session: &mut Session,
    credential: &Credential,
) -> Option<Permission> {
    let Goal::Present(present) = &held.goal else { return None };
    if !asks_permission(held) {
        return None;
    }
    let target = &present.spec.github;
    match world.github().check_administration(target, credential).await {
        Ok(Some(login)) if present.spec.credentials.app_login().is_some_and(|ours| *ours != login) => {
            return Some(Permission::OtherAppLogin(login));
        }
        Ok(_) => {}
        Err(error) => {
            log_refusal(&error);
            return Some(Permission::Refused(error.refusal));
        }
    }
    let Some(group) = &present.spec.runner.group else { return Some(Permission::Granted) };
    Some(match world.github().runner_group(target, credential, group).await {
        Ok(None) => Permission::NoSuchRunnerGroup,
        Ok(found) => {
            session.seen.runner_group = found;
            Permission::Granted
        }
        Err(error) => {
            log_refusal(&error);
            Permission::Refused(error.refusal)
        }
    })
}

fn asks_permission(held: &Continuation) -> bool {
    matches!(&held.goal, Goal::Present(present) if present.preflight == Preflight::Ask)
}

pub(super) fn log_refusal(error: &super::ports::CallError) {
    tracing::warn!(step = "observe", class = error.class().name(), refusal = %super::chain(error));
}
