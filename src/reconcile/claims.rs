//! The claims of tasks on their registrations, items of the state table: [`crate::pool::model::registration`].

use super::lookup::read_unexpired;
use super::ports::{Clock, RemoteResult, StateItem, StateStore, StateWrite, World};
use crate::pool::model::registration::{ClaimState, ObservedClaim, RegistrationClaim, TaskArn};
use crate::pool::policy::registration::{ClaimWithdrawal, withdraw_claim};

/// The claim of a task; `None` if it has not asked.
///
/// # Errors
/// When the call was refused.
pub async fn read_claim<W: World>(world: &W, task: &TaskArn) -> RemoteResult<Option<ObservedClaim>> {
    let item = read_unexpired(world, &RegistrationClaim::key(task)).await?;
    Ok(item.map(|item| ObservedClaim { claim: RegistrationClaim::from_record(&item.text), version: item.version }))
}

/// Writes a claim over the version before.
///
/// # Errors
/// When the call was refused.
pub async fn write_claim<W: World>(
    world: &W,
    key: &str,
    claim: RegistrationClaim,
    version: u64,
) -> RemoteResult<StateWrite> {
    let item = StateItem { text: claim.to_record(), version, expires_at: Some(claim.expires_at()) };
    world.state_store().write_item(key, &item, world.clock().now()).await
}

/// Withdraws the claim of a task that is stopped for want of a runner. Returns whether the task gets no runner any more.
///
/// # Errors
/// When a call was refused.
pub async fn withdraw_registration<W: World>(world: &W, task_arn: &str) -> RemoteResult<bool> {
    // A task by another name cannot ask.
    let Some(task) = TaskArn::parse(task_arn) else { return Ok(true) };
    let now = world.clock().now();
    let found = read_claim(world, &task).await?;
    match withdraw_claim(found.as_ref(), now) {
        ClaimWithdrawal::Unnecessary => Ok(true),
        ClaimWithdrawal::TooLate => Ok(false),
        ClaimWithdrawal::Write(version) => {
            let attempt = found.map_or(0, |found| found.claim.attempt);
            let claim = RegistrationClaim::new(ClaimState::Withdrawn, attempt, now);
            let write = write_claim(world, &RegistrationClaim::key(&task), claim, version).await?;
            Ok(write == StateWrite::Stored)
        }
    }
}
