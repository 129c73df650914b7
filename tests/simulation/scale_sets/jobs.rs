//! The jobs of scale sets: how they are assigned, lapse and end, and what the statistics make of them.
//!
//! No job belongs to a runner: whichever idle one of the set takes the oldest that is assigned.

use std::collections::BTreeMap;
use std::time::Duration;

use github_runner_pool::pool::model::scale_set::{JobEvent, JobStatistics};
use github_runner_pool::pool::model::time::Timestamp;

use crate::github::JobState;
use crate::world::World;

/// An assigned job that no runner takes for so long is assigned anew: three times, each a little later.
/// <https://github.com/actions/scaleset#readme>,
/// <https://github.com/actions/actions-runner-controller/issues/4602>
pub(crate) const ASSIGNMENT_KEPT: Duration = Duration::from_secs(300);
const LAPSES_MAX: u32 = 3;
/// How late the end of a job may be told, in milliseconds.
/// <https://github.com/rhobuild/runpool/tree/main/docs/adrs>
const TOLD_WITHIN_MILLIS: u64 = 360_000;

/// A job that is for the runners of a set.
#[derive(Clone, Debug)]
pub(crate) struct SetJob {
    pub(crate) set: u64,
    pub(crate) phase: Phase,
    /// Assignments of it that have lapsed.
    lapses: u32,
}

/// Where such a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for room in the set, from this moment on.
    Waits(Timestamp),
    /// Waits until the listener acquires it.
    Available,
    /// It was queued while the listener announced no room at all: it is never assigned.
    /// <https://github.com/rhobuild/runpool/blob/main/docs/adrs/2026-08-11-advertised-capacity.md>
    Excluded,
    Assigned(Timestamp),
    /// On this runner.
    Runs(String),
    /// Over, and told to be at this moment.
    Over(Timestamp),
}

impl SetJob {
    pub(crate) fn is_assigned(&self) -> bool {
        matches!(self.phase, Phase::Assigned(_) | Phase::Runs(_) | Phase::Over(_))
    }
}

impl World {
    /// Everything of the jobs of sets that happens by itself.
    pub(super) fn set_jobs_step(&mut self) {
        if self.scale_sets.all.is_empty() {
            return;
        }
        self.route_jobs();
        let mut held: BTreeMap<u64, usize> = BTreeMap::new();
        for job in self.scale_sets.jobs.values().filter(|job| job.is_assigned() || job.phase == Phase::Available) {
            *held.entry(job.set).or_default() += 1;
        }
        for id in self.scale_sets.jobs.keys().copied().collect::<Vec<_>>() {
            let state = self.github.jobs.get(&id).map(|job| job.state);
            match (self.scale_sets.jobs[&id].phase.clone(), state) {
                (Phase::Over(at), _) if at <= self.now => drop(self.scale_sets.jobs.remove(&id)),
                (Phase::Over(_), _) => {}
                (phase, Some(JobState::Done | JobState::Lost) | None) => self.job_over(id, &phase),
                (Phase::Runs(_), Some(JobState::Running { .. })) => {}
                (_, Some(JobState::Running { .. })) => self.job_started(id),
                (Phase::Waits(from), Some(JobState::Queued)) if from <= self.now => self.offer(id, &mut held),
                (Phase::Assigned(since), Some(JobState::Queued)) => self.lapse(id, since),
                (_, Some(JobState::Queued | JobState::Dispatched { .. })) => {}
            }
        }
    }

    /// A queued job that nobody has goes to a set with its label that somebody listens to.
    fn route_jobs(&mut self) {
        let queued = self
            .github
            .jobs
            .iter()
            .filter(|(id, job)| job.state == JobState::Queued && !self.scale_sets.jobs.contains_key(id));
        let queued: Vec<(u64, String)> = queued.map(|(id, job)| (*id, job.label.clone())).collect();
        for (id, label) in queued {
            let capacity = |set: &super::Set| set.session.as_ref().and_then(|session| session.capacity);
            let mut sets = self.scale_sets.all.values().filter(|set| set.labels.contains(&label));
            let Some(set) = sets.find(|set| capacity(set).is_some()) else { continue };
            let is_excluded = capacity(set) == Some(0);
            let phase = if is_excluded { Phase::Excluded } else { Phase::Waits(self.now) };
            self.scale_sets.jobs.insert(id, SetJob { set: set.id, phase, lapses: 0 });
            if is_excluded {
                self.occur("transition", "job excluded for good");
            }
        }
    }

    /// The job is assigned, or offered, if the set may have one more.
    fn offer(&mut self, id: u64, held: &mut BTreeMap<u64, usize>) {
        let set = self.scale_sets.jobs[&id].set;
        let capacity = self.scale_sets.all[&set].session.as_ref().and_then(|session| session.capacity);
        let n_held = held.entry(set).or_default();
        if capacity.is_none_or(|capacity| *n_held >= capacity as usize) {
            return;
        }
        *n_held += 1;
        if self.scale_sets.all[&set].acquires {
            self.set_phase(id, Phase::Available);
            self.tell(set, JobEvent::Available { request_id: request_id(id) });
        } else {
            self.assign(id);
        }
    }

    fn assign(&mut self, id: u64) {
        self.set_phase(id, Phase::Assigned(self.now));
        self.tell(self.scale_sets.jobs[&id].set, JobEvent::Assigned);
        self.trace(|| format!("job {id} is assigned"));
    }

    /// A new session hears of the jobs that wait to be acquired.
    pub(super) fn offer_again(&mut self, set: u64) {
        let available = |(_, job): &(&u64, &super::SetJob)| job.set == set && job.phase == Phase::Available;
        let available: Vec<u64> = self.scale_sets.jobs.iter().filter(available).map(|(id, _)| *id).collect();
        for id in available {
            self.tell(set, JobEvent::Available { request_id: request_id(id) });
        }
    }

    pub(super) fn assign_acquired(&mut self, set: u64, request_ids: &[i64]) -> Vec<i64> {
        let mut acquired = Vec::new();
        for request in request_ids {
            let is_it = |(id, job): &(&u64, &SetJob)| {
                request_id(**id) == *request && job.set == set && job.phase == Phase::Available
            };
            let Some(id) = self.scale_sets.jobs.iter().find(is_it).map(|(id, _)| *id) else { continue };
            if !self.is_calm && self.once_in(30) {
                // Left out of this answer, and offered anew.
                self.occur("transition", "job not acquired");
                self.set_phase(id, Phase::Waits(self.now));
                continue;
            }
            self.assign(id);
            acquired.push(*request);
        }
        acquired
    }

    /// Nobody has taken the job: the assignment is cancelled, and made again a little later.
    fn lapse(&mut self, id: u64, since: Timestamp) {
        let job = &self.scale_sets.jobs[&id];
        if self.now.since(since) < ASSIGNMENT_KEPT || job.lapses >= LAPSES_MAX {
            return;
        }
        let (set, lapses) = (job.set, job.lapses + 1);
        self.scale_sets.jobs.get_mut(&id).unwrap().lapses = lapses;
        self.set_phase(id, Phase::Waits(self.now + Duration::from_secs(5 * u64::from(lapses))));
        self.tell(set, JobEvent::Completed { runner: None });
        self.occur("transition", "assignment lapsed");
    }

    fn job_started(&mut self, id: u64) {
        let runner = self.github.runners.values().find(|runner| runner.job == Some(id));
        let runner = runner.map(|runner| runner.name.clone()).unwrap_or_default();
        self.set_phase(id, Phase::Runs(runner.clone()));
        self.tell(self.scale_sets.jobs[&id].set, JobEvent::Started { runner });
    }

    /// A job has ended, or was cancelled before it began. Now and then GitHub finds out late.
    fn job_over(&mut self, id: u64, phase: &Phase) {
        let set = self.scale_sets.jobs[&id].set;
        let runner = match phase {
            Phase::Runs(runner) => Some(runner.clone()),
            Phase::Waits(_) | Phase::Available | Phase::Excluded => {
                self.scale_sets.jobs.remove(&id);
                return;
            }
            Phase::Assigned(_) | Phase::Over(_) => None,
        };
        let is_late = !self.is_calm && self.once_in(6);
        let within = if is_late { TOLD_WITHIN_MILLIS } else { 4_000 };
        if is_late {
            self.occur("transition", "end of a job told late");
        }
        let at = self.now + self.between(0, within);
        self.set_phase(id, Phase::Over(at));
        self.tell_at(set, at, JobEvent::Completed { runner });
    }

    fn set_phase(&mut self, id: u64, phase: Phase) {
        self.scale_sets.jobs.get_mut(&id).unwrap().phase = phase;
    }

    fn tell(&mut self, set: u64, event: JobEvent) {
        let at = self.now + self.between(0, 2_000);
        self.tell_at(set, at, event);
    }

    fn tell_at(&mut self, set: u64, at: Timestamp, event: JobEvent) {
        if let Some(set) = self.scale_sets.all.get_mut(&set) {
            set.events.push((at, event));
        }
    }

    /// Gives an assigned job to whichever runner of its set is idle, and whether the job is one of a set.
    pub(crate) fn dispatch_in_set(&mut self, id: u64) -> bool {
        let Some(job) = self.scale_sets.jobs.get(&id) else { return false };
        if !matches!(job.phase, Phase::Assigned(_)) {
            return true;
        }
        let set = job.set;
        let is_idle = |runner: &&crate::github::Runner| runner.scale_set == Some(set) && runner.is_idle();
        let idle: Vec<u64> = self.github.runners.values().filter(is_idle).map(|runner| runner.id).collect();
        if !idle.is_empty() {
            let runner = idle[self.chance.usize(0..idle.len())];
            let at = self.now + self.between(500, 5_000);
            self.github.runners.get_mut(&runner).unwrap().job = Some(id);
            self.github.jobs.get_mut(&id).unwrap().state = JobState::Dispatched { runner, at };
        }
        true
    }

    /// The truth.
    pub(crate) fn statistics(&self, set: u64) -> JobStatistics {
        let jobs = || self.scale_sets.jobs.values().filter(|job| job.set == set);
        let runners = || self.github.runners.values().filter(|runner| runner.scale_set == Some(set));
        JobStatistics {
            available: jobs().filter(|job| job.phase == Phase::Available).count() as u32,
            acquired: 0,
            assigned: jobs().filter(|job| job.is_assigned()).count() as u32,
            running: jobs().filter(|job| matches!(job.phase, Phase::Runs(_))).count() as u32,
            registered_runners: runners().count() as u32,
            busy_runners: runners().filter(|runner| runner.job.is_some()).count() as u32,
            idle_runners: runners().filter(|runner| runner.is_idle()).count() as u32,
        }
    }

    /// What a message or a new session says: now and then what the last one said, or nothing.
    pub(super) fn given_statistics(&mut self, set: u64) -> Option<JobStatistics> {
        if !self.is_calm && self.once_in(12) {
            self.correct_soon(set);
            if self.once_in(4) {
                self.occur("transition", "statistics missing");
                return None;
            }
            self.occur("transition", "statistics lag");
            return Some(self.scale_sets.all[&set].given);
        }
        Some(self.corrected_statistics(set))
    }

    pub(super) fn corrected_statistics(&mut self, set: u64) -> JobStatistics {
        let statistics = self.statistics(set);
        self.scale_sets.all.get_mut(&set).unwrap().given = statistics;
        statistics
    }

    /// Statistics that were wrong are put right by another message.
    pub(super) fn correct_soon(&mut self, set: u64) {
        let at = self.now + self.between(15_000, 60_000);
        self.scale_sets.all.get_mut(&set).unwrap().corrects_at = Some(at);
    }
}

fn request_id(job: u64) -> i64 {
    i64::try_from(job).unwrap() + 1_000
}
