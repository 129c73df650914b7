//! Reads the ends of runners' logs for the next decision.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::log_error;
use super::ports::{Ecs, RemoteResult, RunnerLogs, World};
use crate::pool::model::ecs::Task;
use crate::pool::model::log_memory::LOGS_READ_MAX;
use crate::pool::model::observed::LogReading;
use crate::pool::model::runner_log::{LogLine, LogPlace, LogStream, read};
use crate::pool::model::task_definition::CONTAINER;
use crate::pool::model::time::Timestamp;

/// Maximum pages of one log. One page is enough, except where `ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT` adds thousands of
/// lines, or where the runner has said nothing for so long that CloudWatch hands out empty pages first.
const PAGES_MAX: u32 = 5;
/// How far the clock of an instance may differ from that of ECS.
const CLOCK_SLACK: Duration = Duration::from_secs(3600);

/// The log configuration of each revision, by ARN. A revision never changes.
pub type LogPlaces = BTreeMap<String, Option<LogPlace>>;

/// Reads the logs of the first [`LOGS_READ_MAX`] of these tasks that have one.
///
/// # Errors
/// When a task definition could not be read. An error of CloudWatch Logs is part of the reading.
pub async fn read_logs<W: World>(
    world: &W,
    places: &mut LogPlaces,
    tasks: &[&Task],
) -> RemoteResult<BTreeMap<String, LogReading>> {
    let mut readings = BTreeMap::new();
    let mut streams = Vec::new();
    for task in tasks {
        if !places.contains_key(&task.task_definition) {
            let place = world.ecs().log_place(&task.task_definition).await?;
            places.insert(task.task_definition.clone(), place);
        }
        match places.get(&task.task_definition).and_then(Option::as_ref) {
            Some(place) if streams.len() < LOGS_READ_MAX => streams.push((*task, place.stream(CONTAINER, &task.arn))),
            Some(_) => {}
            None => drop(readings.insert(task.arn.clone(), LogReading::NotConfigured)),
        }
    }
    let read = streams.iter().map(|(task, stream)| async {
        let from = task.started_at.map_or(Timestamp::from_epoch_millis(0), |at| at - CLOCK_SLACK);
        (task.arn.clone(), read_log(world, stream, from).await)
    });
    readings.extend(join_all(read).await);
    Ok(readings)
}

/// Reads one log backward until it shows the runner's state.
async fn read_log<W: World>(world: &W, stream: &LogStream, from: Timestamp) -> LogReading {
    let (mut lines, mut earlier): (Vec<LogLine>, Option<String>) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let mut page = match world.runner_logs().page(stream, from, earlier.as_deref()).await {
            Ok(Some(page)) => page,
            Ok(None) => return LogReading::Missing,
            Err(error) => {
                log_error(&error);
                return LogReading::Failed(error.remote_error);
            }
        };
        page.lines.append(&mut lines);
        lines = page.lines;
        if let Some(state) = read(&lines) {
            return LogReading::State(state);
        }
        if page.earlier.is_none() {
            return LogReading::Silent { is_whole: !lines.is_empty() };
        }
        earlier = page.earlier;
    }
    LogReading::Silent { is_whole: false }
}
