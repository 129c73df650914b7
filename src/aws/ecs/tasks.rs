//! Tasks of the pool's family and their protection.

use std::collections::BTreeMap;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::update_task_protection::UpdateTaskProtectionOutput;
use aws_sdk_ecs::types::{Container, DesiredStatus, Task};
use futures_util::future::try_join;

use super::super::convert::moment;
use super::super::errors::found;
use super::{ECS, once, only_missing, reason_of};
use crate::pool::model::ecs;
use crate::pool::model::ecs::{Placement, Protection, StopInfo, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::registration::TaskArn;
use crate::pool::model::task_definition::CONTAINER;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::RemoteResult;

/// What `DescribeTasks` and `GetTaskProtection` take at once.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const READ_BATCH: usize = 100;
/// What `UpdateTaskProtection` takes at once.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html>
const PROTECT_BATCH: usize = 10;
/// The longest protection, two days (same page). Once a service is lowered, ECS refuses to renew one.
const PROTECTION_MINUTES: i32 = 2880;
/// Maximum characters of the reason that ECS stores in a stopped task.
const REASON_CHARS_MAX: usize = 255;

/// Both lists: the default one leaves out tasks whose desired status is STOPPED and that still run.
pub(super) async fn all(sdk: &Client, cluster: &str, id: &PhysicalId) -> RemoteResult<Vec<ecs::Task>> {
    let (running, stopping) =
        try_join(list(sdk, cluster, id, DesiredStatus::Running), list(sdk, cluster, id, DesiredStatus::Stopped))
            .await?;
    describe(sdk, cluster, [running, stopping].concat()).await
}

/// The tasks that are to run, and those known from an earlier observation: one `ListTasks` less than [`all`].
pub(super) async fn incremental(
    sdk: &Client,
    cluster: &str,
    id: &PhysicalId,
    known: Vec<String>,
) -> RemoteResult<Vec<ecs::Task>> {
    let running = list(sdk, cluster, id, DesiredStatus::Running).await?;
    describe(sdk, cluster, [running, known].concat()).await
}

/// One task, whatever has become of it. A cluster that does not exist has none.
pub(super) async fn one(sdk: &Client, task: &TaskArn) -> RemoteResult<Option<ecs::Task>> {
    let tasks = found(describe(sdk, task.cluster(), vec![task.as_str().to_owned()]).await)?;
    Ok(tasks.unwrap_or_default().into_iter().next())
}

async fn describe(sdk: &Client, cluster: &str, mut arns: Vec<String>) -> RemoteResult<Vec<ecs::Task>> {
    const OPERATION: &str = "DescribeTasks";
    // A task whose desired status changed between the two lists is in both.
    arns.sort_unstable();
    arns.dedup();
    let mut tasks = Vec::with_capacity(arns.len());
    for batch in arns.chunks(READ_BATCH) {
        let call = sdk.describe_tasks().cluster(cluster).set_tasks(Some(batch.to_vec()));
        let response = call.send().await.map_err(|error| ECS.refused(OPERATION, error))?;
        only_missing(OPERATION, response.failures())?;
        tasks.extend(response.tasks().iter().filter_map(self::observed));
    }
    Ok(tasks)
}

async fn list(sdk: &Client, cluster: &str, id: &PhysicalId, desired: DesiredStatus) -> RemoteResult<Vec<String>> {
    let call = sdk.list_tasks().cluster(cluster).family(id.as_str()).desired_status(desired);
    let pages = ECS.all_pages("ListTasks", call.into_paginator().send()).await?;
    Ok(pages.into_iter().flat_map(|page| page.task_arns.unwrap_or_default()).collect())
}

fn observed(task: &Task) -> Option<ecs::Task> {
    let container = runner(task);
    let desired_stopped = task.desired_status() == Some("STOPPED");
    let phase = phase(task.last_status(), desired_stopped);
    Some(ecs::Task {
        arn: task.task_arn()?.to_owned(),
        task_definition: task.task_definition_arn().unwrap_or_default().to_owned(),
        group: task.group().unwrap_or_default().to_owned(),
        started_by: task.started_by().map(str::to_owned),
        phase,
        desired_stopped,
        protection: Protection::Unknown,
        runtime_id: container.and_then(Container::runtime_id).filter(|id| !id.is_empty()).map(str::to_owned),
        placement: Placement::of(task.container_instance_arn().map(str::to_owned)),
        created_at: task.created_at().map(moment),
        started_at: task.started_at().map(moment),
        ending: (phase == TaskPhase::Stopped).then(|| ending(task, container)),
    })
}

fn runner(task: &Task) -> Option<&Container> {
    task.containers().iter().find(|container| container.name() == Some(CONTAINER))
}

fn phase(last_status: Option<&str>, desired_stopped: bool) -> TaskPhase {
    match last_status {
        Some("PROVISIONING" | "PENDING" | "ACTIVATING") => TaskPhase::Starting,
        Some("RUNNING") => TaskPhase::Running,
        Some("DEACTIVATING" | "STOPPING" | "DEPROVISIONING") => TaskPhase::Stopping,
        Some("STOPPED" | "DELETED") => TaskPhase::Stopped,
        // The container of a task with an unknown status may still be working.
        _ if desired_stopped => TaskPhase::Stopping,
        _ => TaskPhase::Running,
    }
}

fn ending(task: &Task, container: Option<&Container>) -> StopInfo {
    let of_task = task.stopped_reason().unwrap_or("ECS gives no reason");
    StopInfo {
        reason: match container.and_then(Container::reason) {
            // The task's reason often repeats the container's.
            Some(of_container) if !of_task.contains(of_container) => format!("{of_task}: {of_container}"),
            Some(_) | None => of_task.to_owned(),
        },
        exit_code: container.and_then(Container::exit_code),
        at: task.stopped_at().map(moment),
    }
}

pub(super) async fn protections(
    sdk: &Client,
    cluster: &str,
    tasks: &[String],
) -> RemoteResult<BTreeMap<String, Protection>> {
    let mut protections = BTreeMap::new();
    for batch in tasks.chunks(READ_BATCH) {
        let call = sdk.get_task_protection().cluster(cluster).set_tasks(Some(batch.to_vec()));
        // `failures[]` is not read: the protection of such a task is unknown, for whatever reason.
        let response = call.send().await.map_err(|error| ECS.refused("GetTaskProtection", error))?;
        for task in response.protected_tasks() {
            let Some(arn) = task.task_arn() else { continue };
            let until = task.expiration_date().map_or(Timestamp::from_epoch_millis(u64::MAX), moment);
            let protection = if task.protection_enabled() { Protection::Until(until) } else { Protection::Off };
            protections.insert(arn.to_owned(), protection);
        }
    }
    Ok(protections)
}

/// Returns the tasks that stay unprotected, with ECS's reasons. A refused call is an error even for a missing cluster: no
/// caller may take a task for protected that is not.
pub(super) async fn protect(sdk: &Client, cluster: &str, tasks: &[String]) -> RemoteResult<BTreeMap<String, String>> {
    const OPERATION: &str = "UpdateTaskProtection";
    let mut unprotected = BTreeMap::new();
    for batch in tasks.chunks(PROTECT_BATCH) {
        let call = sdk
            .update_task_protection()
            .cluster(cluster)
            .set_tasks(Some(batch.to_vec()))
            .protection_enabled(true)
            .expires_in_minutes(PROTECTION_MINUTES);
        let response = call.customize().config_override(once()).send().await;
        let response = response.map_err(|error| ECS.refused(OPERATION, error))?;
        for failure in response.failures() {
            if failure.reason() == Some("MISSING") {
                continue;
            }
            let Some(arn) = failure.arn() else { return Err(super::refusal_of(OPERATION, failure)) };
            unprotected.insert(arn.to_owned(), reason_of(failure));
        }
    }
    Ok(unprotected)
}

/// What ECS passes over is no refusal: a task that ended a moment ago belongs to no service any more, or is not found.
/// If one still runs, the next observation shows its protection.
pub(super) async fn unprotect(sdk: &Client, cluster: &str, tasks: &[String]) -> RemoteResult<()> {
    const OPERATION: &str = "UpdateTaskProtection";
    for batch in tasks.chunks(PROTECT_BATCH) {
        let call =
            sdk.update_task_protection().cluster(cluster).set_tasks(Some(batch.to_vec())).protection_enabled(false);
        let response = call.customize().config_override(once()).send().await;
        let response = found(response.map_err(|error| ECS.refused(OPERATION, error)))?;
        for failure in response.iter().flat_map(UpdateTaskProtectionOutput::failures) {
            tracing::info!(step = "unprotect_tasks", passed_over = %super::refusal_of(OPERATION, failure));
        }
    }
    Ok(())
}

pub(super) async fn stop(sdk: &Client, cluster: &str, task: &str, reason: &str) -> RemoteResult<()> {
    let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
    let call = sdk.stop_task().cluster(cluster).task(task).reason(reason);
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| ECS.refused("StopTask", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_a_task_has_a_phase() {
        for (status, desired, expected) in [
            ("PROVISIONING", false, TaskPhase::Starting),
            ("PENDING", false, TaskPhase::Starting),
            ("ACTIVATING", false, TaskPhase::Starting),
            ("RUNNING", false, TaskPhase::Running),
            ("RUNNING", true, TaskPhase::Running),
            ("DEACTIVATING", true, TaskPhase::Stopping),
            ("STOPPING", true, TaskPhase::Stopping),
            ("DEPROVISIONING", true, TaskPhase::Stopping),
            ("STOPPED", true, TaskPhase::Stopped),
            ("DELETED", true, TaskPhase::Stopped),
            ("SOMETHING_NEW", false, TaskPhase::Running),
            ("SOMETHING_NEW", true, TaskPhase::Stopping),
        ] {
            assert_eq!(phase(Some(status), desired), expected, "{status}");
        }
    }

    #[test]
    fn stopped_task_has_the_reasons_of_task_and_container() {
        let container = Container::builder().name(CONTAINER).exit_code(137).reason("OutOfMemoryError").build();
        let task = Task::builder()
            .task_arn("arn")
            .last_status("STOPPED")
            .desired_status("STOPPED")
            .stopped_reason("Essential container in task exited")
            .containers(Container::builder().name("sidecar").exit_code(1).build())
            .containers(container);
        let ending = observed(&task.build()).unwrap().ending.unwrap();
        assert_eq!(ending.reason, "Essential container in task exited: OutOfMemoryError");
        assert_eq!(ending.exit_code, Some(137));
    }

    #[test]
    fn a_container_that_the_agent_has_not_reported_has_no_runtime_id() {
        let task = |id: &str| {
            let container = Container::builder().name(CONTAINER).runtime_id(id).build();
            observed(&Task::builder().task_arn("arn").last_status("PENDING").containers(container).build()).unwrap()
        };
        assert_eq!(task("").runtime_id, None);
        assert_eq!(task("0123456789abcdef").runtime_id.as_deref(), Some("0123456789abcdef"));
    }
}
