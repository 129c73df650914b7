//! CloudWatch Logs: what the listeners of the runners print, and when it can be read.
//!
//! Lines are late, in order, and come in pages, of which some are empty. A job may print the listener's words itself.
//! The line of a start is never lost alone: together with a GitHub that lies, nothing tells of such a job.

use std::collections::BTreeMap;

use github_runner_pool::pool::model::remote_error::{ErrorKind, RemoteService};
use github_runner_pool::pool::model::runner_log::{LogLine, LogPlace, LogStream};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::{LogPage, RemoteResult};

use crate::containers::Container;
use crate::faults::{Trouble, refuse};
use crate::script::Prints;
use crate::world::World;

/// Lines of a page: few, so that several have to be read.
const PAGE: usize = 4;
/// How late a line may be, in milliseconds: Docker hands it on within five seconds, and the rest is CloudWatch's.
const LATE_MILLIS_MAX: u64 = 12_000;

/// Lines by group and stream.
#[derive(Default)]
pub(crate) struct Logs(BTreeMap<LogStream, Vec<Line>>);

struct Line {
    at: Timestamp,
    readable_at: Timestamp,
    text: String,
}

impl World {
    /// Where the container of a revision writes.
    pub(crate) fn read_log_place(&self, revision: &str) -> Option<LogPlace> {
        let (group, stream_prefix) = self.revision(revision)?.content.log.clone()?;
        Some(LogPlace { group, stream_prefix })
    }

    /// The listener in this task prints a line, with the time before it.
    pub(crate) fn print(&mut self, task: &str, words: &str) {
        let text = format!("{}: {words}", self.stamp());
        self.print_raw(task, text);
    }

    /// As .NET's format `u` has it.
    fn stamp(&self) -> String {
        format!("{}Z", &self.now.to_string()[..19]).replacen('T', " ", 1)
    }

    fn print_raw(&mut self, task: &str, text: String) {
        let Some(place) = self.ecs.tasks.get(task).and_then(|task| self.read_log_place(&task.revision)) else { return };
        let late = self.between(1_000, LATE_MILLIS_MAX);
        let lines = self.logs.0.entry(place.stream("runner", task)).or_default();
        let readable_at = lines.last().map_or(self.now + late, |last| last.readable_at.max(self.now + late));
        lines.push(Line { at: self.now, readable_at, text });
    }

    /// The task in which this runner listens.
    pub(crate) fn task_of_runner(&self, runner: u64) -> Option<String> {
        let tasks = self.ecs.tasks.values();
        tasks.filter(|task| task.container == Container::Listening(runner)).map(|task| task.arn.clone()).next()
    }

    /// A job begins: what the listener prints, and what the job does.
    pub(crate) fn print_start(&mut self, runner: u64, id: u64) {
        let Some(task) = self.task_of_runner(runner) else { return };
        let job = &self.github.jobs[&id];
        let (name, prints) = (job.name(id), job.prints);
        self.print(&task, &format!("Running job: {name}"));
        match prints {
            Prints::Nothing => return,
            Prints::Mentions => {
                let stamp = self.stamp();
                self.print_raw(
                    &task,
                    format!("[WORKER {stamp} INFO Terminal] {stamp}: Job {name} completed with result: Succeeded"),
                );
                self.print_raw(&task, "Listening for Jobs".to_owned());
            }
            Prints::Start => self.print(&task, "Running job: nightmare"),
            Prints::End => self.print(&task, &format!("Job {name} completed with result: Succeeded")),
        }
        self.occur("transition", "job printed the listener's words");
    }

    /// A job ends.
    pub(crate) fn print_end(&mut self, runner: u64, id: u64) {
        let Some(task) = self.task_of_runner(runner) else { return };
        if self.script.ends_are_lost && self.once_in(8) {
            self.occur("transition", "end of a job not printed");
            return;
        }
        let name = self.github.jobs[&id].name(id);
        self.print(&task, &format!("Job {name} completed with result: Succeeded"));
    }

    pub(crate) fn read_log(&mut self, stream: &LogStream, earlier: Option<&str>) -> RemoteResult<Option<LogPage>> {
        const OPERATION: &str = "GetLogEvents";
        if self.troubles.has(Trouble::LogsDenied, self.now) {
            self.figures.fault("LogsDenied");
            self.occur("fault", "LogsDenied");
            return Err(refuse(
                RemoteService::Logs,
                OPERATION,
                ErrorKind::Denied,
                "AccessDeniedException",
                "not authorized",
            ));
        }
        if self.troubles.has(Trouble::LogsEmpty, self.now) {
            self.figures.fault("LogsEmpty");
            self.occur("fault", "LogsEmpty");
            return Ok(Some(LogPage::default()));
        }
        let is_empty_page = earlier.is_none() && self.once_in(5);
        let now = self.now;
        // Docker makes the stream before the container starts.
        let lines = self.logs.0.get(stream).map(Vec::as_slice).unwrap_or_default();
        let readable = lines.iter().filter(|line| line.readable_at <= now).count();
        let end = earlier.map_or(readable, |token| token.parse().unwrap());
        let begin = if is_empty_page { end } else { end.saturating_sub(PAGE) };
        let page = lines[begin..end].iter().map(|line| LogLine { at: line.at, text: line.text.clone() });
        let is_beginning = earlier.is_some() && begin == end;
        let earlier = (!is_beginning).then(|| begin.to_string());
        Ok(Some(LogPage { lines: page.collect(), earlier }))
    }
}
