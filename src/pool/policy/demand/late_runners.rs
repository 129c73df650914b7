//! Runners that should have connected long ago, and containers that have none any more.

use std::time::Duration;

use super::look::{Look, count};
use super::memory::DemandMemory;
use crate::pool::model::ecs::Task;
use crate::pool::model::memory::{Memory, REGISTRATION_GRACE, reading_gap_max};
use crate::pool::model::observed::GitHubRunners;
use crate::pool::model::runner::Runner;

/// Between two readings of GitHub's list for such runners. The statistics are as old as the last message, so that a pool that
/// rests may look for long as if it had some; and a list is a call of GitHub's API, of which a credential has 5,000 an hour
/// for all pools. <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
const CHECK_INTERVAL: Duration = Duration::from_secs(300);

/// Tasks whose runners should have connected long ago.
pub(super) enum LateRunners<'look> {
    /// None, as far as the statistics show.
    None,
    /// GitHub's list has to say which.
    Ask,
    /// The tasks of these.
    Tasks(Vec<&'look Task>),
}

/// The tasks that have run for longer than `OnlineTimeout`, and whose runners are offline, or not on GitHub's list.
pub(super) fn late_runners<'look>(
    look: Look<'look>,
    demand: &mut DemandMemory,
    memory: &Memory,
    current: &[&'look Task],
) -> LateRunners<'look> {
    let now = look.at.now;
    let late: Vec<&Task> = current.iter().filter(|task| is_late(look, task)).copied().collect();
    let n_connected = look.statistics.busy_runners.saturating_add(look.statistics.idle_runners);
    if count(late.len()) <= n_connected {
        return LateRunners::None;
    }
    let Some(runners) = listed_runners(look) else {
        let is_due = demand.late_checked_at.is_none_or(|last| now.since(last) >= CHECK_INTERVAL);
        if is_due {
            demand.late_checked_at = Some(now);
            return LateRunners::Ask;
        }
        return LateRunners::None;
    };
    let is_offline = |task: &Task| {
        runners.iter().any(|runner| {
            let leads_here = task.short_ids().any(|id| runner.name.ends_with(id));
            leads_here && !runner.is_online && memory.offline_since.contains_key(&runner.id)
        })
    };
    let is_unlisted = |task: &Task| memory.unregistered_since.contains_key(&task.arn);
    LateRunners::Tasks(late.into_iter().filter(|task| is_offline(task) || is_unlisted(task)).collect())
}

/// Whether no reading of GitHub's list has had its runner for [`REGISTRATION_GRACE`], although that should have connected
/// long ago: no job comes to it any more, whatever its container does.
pub(super) fn has_no_runner(look: Look<'_>, memory: &Memory, task: &Task) -> bool {
    let unlisted_for = memory.unregistered_since.get(&task.arn).zip(memory.listed_at);
    is_late(look, task) && unlisted_for.is_some_and(|(since, listed_at)| listed_at.since(*since) >= REGISTRATION_GRACE)
}

fn is_late(look: Look<'_>, task: &Task) -> bool {
    let online_timeout = look.goal.wait_policy.online_timeout;
    task.is_running() && task.started_at.is_some_and(|started| look.at.now.since(started) >= online_timeout)
}

/// GitHub's list, unless it is of an earlier observation.
fn listed_runners(look: Look<'_>) -> Option<&[Runner]> {
    let GitHubRunners::Listed(runners) = &look.observed.github else { return None };
    let read_at = look.observed.github_read?.ended_at;
    (look.at.now.since(read_at) <= reading_gap_max(look.at.poll)).then_some(runners)
}
