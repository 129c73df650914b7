//! What runs inside the tasks: the image's entrypoint, its runner, and the jobs that come to it.

use std::collections::BTreeSet;
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;

use crate::asking::Asking;
use crate::ecs::Phase;
use crate::faults::Trouble;
use crate::github::JobState;
use crate::history::Loss;
use crate::script::AfterDeletion;
use crate::world::World;

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    None,
    /// Signs in and registers at this moment.
    Registering(Timestamp),
    /// Asks the function for the registration of its runner.
    Asking(Asking),
    /// Configures its runner at this moment, by the answer with this number.
    Configuring(Timestamp, usize),
    /// Its runner listens for jobs.
    Listening(u64),
    /// Ends at this moment, with this exit code.
    Exiting(Timestamp, i32),
    /// Got its SIGTERM: takes its runner off GitHub's list at this moment, if it can, and ends.
    Terminating(Timestamp, Option<u64>),
}

impl World {
    pub(crate) fn start_container(&mut self, arn: &str) {
        let at = self.now + self.between(3_000, 15_000);
        let container = if self.asks(arn) { self.asks_from(at) } else { Container::Registering(at) };
        self.ecs.tasks.get_mut(arn).unwrap().container = container;
    }

    fn image_of(&self, task: &crate::ecs::Task) -> Option<String> {
        self.revision(&task.revision).map(|revision| revision.content.image.clone())
    }

    /// Whether the instance of a task has its image: the agent then starts it, though it cannot be pulled.
    pub(crate) fn has_image(&self, arn: &str) -> bool {
        let task = &self.ecs.tasks[arn];
        let instance = task.instance.as_ref().and_then(|instance| self.ecs.instances.get(instance));
        let image = self.image_of(task);
        instance.zip(image).is_some_and(|(instance, image)| instance.images.contains(&image))
    }

    pub(crate) fn keep_image(&mut self, arn: &str) {
        let task = &self.ecs.tasks[arn];
        let (image, instance) = (self.image_of(task), task.instance.clone());
        if let Some((image, instance)) = image.zip(instance)
            && let Some(instance) = self.ecs.instances.get_mut(&instance)
        {
            instance.images.insert(image);
        }
    }

    /// SIGTERM: a job that runs is cancelled at once.
    pub(crate) fn terminate_container(&mut self, arn: &str) {
        let at = self.now + self.between(1_000, 12_000);
        let task = self.ecs.tasks.get_mut(arn).unwrap();
        let why = task.stop_cause.unwrap_or(Loss::Stopped);
        let runner = match task.container {
            Container::Listening(runner) => Some(runner),
            Container::None
            | Container::Registering(_)
            | Container::Asking(_)
            | Container::Configuring(..)
            | Container::Exiting(..)
            | Container::Terminating(..) => None,
        };
        let before = std::mem::replace(&mut task.container, Container::Terminating(at, runner));
        if let Container::Asking(asking) = before {
            self.withdraw(arn, asking);
        }
        // It takes no more jobs.
        if let Some(runner) = runner.and_then(|id| self.github.runner_mut(id)) {
            runner.offline_at = Some(at + Duration::from_secs(60));
        }
        if let Some(job) = runner.and_then(|id| self.github.runner_mut(id)?.job.take()) {
            let pool = self.ecs.tasks[arn].service.clone();
            if matches!(self.github.jobs[&job].state, JobState::Running { .. }) {
                self.lose_job(job, &pool, why);
            } else {
                self.github.jobs.get_mut(&job).unwrap().state = JobState::Queued;
            }
        }
    }

    /// The machine is gone from under it.
    pub(crate) fn kill_container(&mut self, arn: &str, why: Loss) {
        let task = self.ecs.tasks.get_mut(arn).unwrap();
        let container = std::mem::replace(&mut task.container, Container::None);
        match container {
            Container::Listening(runner) | Container::Terminating(_, Some(runner)) => self.runner_dies(runner, why),
            Container::None
            | Container::Registering(_)
            | Container::Asking(_)
            | Container::Configuring(..)
            | Container::Exiting(..)
            | Container::Terminating(_, None) => {}
        }
    }

    /// Everything of containers, runners and jobs that happens by itself.
    pub(crate) fn containers_step(&mut self) {
        let live: Vec<(String, Container)> = self
            .ecs
            .tasks
            .values()
            .filter(|task| matches!(task.phase, Phase::Running | Phase::Stopping))
            .map(|task| (task.arn.clone(), task.container))
            .collect();
        for (arn, container) in live {
            match container {
                Container::Registering(at) if at <= self.now => self.register(&arn),
                Container::Asking(asking) => self.ask_step(&arn, asking),
                Container::Configuring(at, place) if at <= self.now => self.configure_step(&arn, place),
                Container::Listening(runner) => self.listen(&arn, runner),
                Container::Exiting(at, code) if at <= self.now => {
                    self.end_task(&arn, code, "Essential container in task exited");
                }
                Container::Terminating(at, runner) if at <= self.now => self.terminated(&arn, runner),
                Container::None
                | Container::Registering(_)
                | Container::Configuring(..)
                | Container::Exiting(..)
                | Container::Terminating(..) => {}
            }
        }
        self.jobs_step();
        self.asking_jobs_step();
        let now = self.now;
        for runner in self.github.runners.values_mut() {
            if runner.offline_at.is_some_and(|at| at <= now) {
                runner.is_online = false;
            }
        }
    }

    fn register(&mut self, arn: &str) {
        let task = &self.ecs.tasks[arn];
        let cannot = self.troubles.has(Trouble::TokenRevoked, self.now)
            || self.troubles.has(Trouble::GitHubDown, self.now)
            || self.github.kept != self.github.accepted;
        let Some(revision) = self.revision(&task.revision).filter(|_| !cannot) else {
            // The entrypoint's config fails, and so does the container.
            let ends = self.now + Duration::from_secs(4);
            self.ecs.tasks.get_mut(arn).unwrap().container = Container::Exiting(ends, 1);
            return;
        };
        let of = |name: &str| revision.content.environment.get(name).cloned();
        let labels: BTreeSet<String> =
            of("LABELS").unwrap_or_default().split(',').map(str::to_owned).chain(["self-hosted".to_owned()]).collect();
        let name = of("RUNNER_NAME").unwrap_or_else(|| {
            format!("{}-{}", of("RUNNER_NAME_PREFIX").unwrap_or_default(), task.short_container_id())
        });
        let target = format!("/orgs/{}", of("ORG_NAME").unwrap_or_default());
        let (pool, is_ephemeral) = (task.service.clone(), of("EPHEMERAL").is_some());
        let runner = self.github.register(&target, &name, labels, Some(pool), is_ephemeral);
        self.ecs.tasks.get_mut(arn).unwrap().container = Container::Listening(runner);
        self.trace(|| format!("runner {name} is online"));
        self.print(arn, "Listening for Jobs");
    }

    /// A runner whose registration was deleted finds out at its next poll, and its container ends; one with a job goes on
    /// until its end, or cancels it at the next poll.
    fn listen(&mut self, arn: &str, runner: u64) {
        if let Some(detached) = self.github.detached.get(&runner)
            && let Some(job) = detached.job
        {
            let is_polled = detached.polls_at.is_some_and(|at| at <= self.now);
            if self.script.after_deletion == AfterDeletion::LivesOn || !is_polled {
                return;
            }
            let pool = detached.pool.clone().unwrap_or_default();
            self.lose_job(job, &pool, Loss::Deregistered);
            self.print_end(runner, job);
            self.github.detached.remove(&runner);
        }
        if !self.github.runners.contains_key(&runner) {
            let ends = self.now + self.between(1_000, 50_000);
            self.ecs.tasks.get_mut(arn).unwrap().container = Container::Exiting(ends, 0);
        }
    }

    fn terminated(&mut self, arn: &str, runner: Option<u64>) {
        if let Some(runner) = runner {
            // A container that the function registered has nothing to do so with.
            let cannot = self.asks(arn)
                || self.troubles.has(Trouble::TokenRevoked, self.now)
                || self.troubles.has(Trouble::GitHubDown, self.now)
                || self.once_in(8);
            if cannot {
                self.occur("transition", "a runner stayed behind");
                self.runner_dies(runner, Loss::Stopped);
            } else {
                self.github.runners.remove(&runner);
            }
        }
        self.end_task(arn, 1, "Essential container in task exited");
    }

    fn jobs_step(&mut self) {
        let ids: Vec<u64> = self
            .github
            .jobs
            .iter()
            .filter(|(_, job)| !matches!(job.state, JobState::Done | JobState::Lost))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            match self.github.jobs[&id].state {
                JobState::Queued => self.dispatch(id),
                JobState::Dispatched { runner, at } if at <= self.now => self.acquire(id, runner),
                JobState::Running { since, .. } if self.now.since(since) >= self.github.jobs[&id].length => {
                    self.complete(id);
                }
                JobState::Dispatched { .. } | JobState::Running { .. } | JobState::Done | JobState::Lost => {}
            }
        }
    }

    fn dispatch(&mut self, id: u64) {
        if self.dispatch_in_set(id) {
            return;
        }
        let label = self.github.jobs[&id].label.clone();
        let is_free = |runner: &&crate::github::Runner| {
            runner.pool.is_some() && runner.is_idle() && runner.labels.contains(&label)
        };
        let free: Vec<u64> = self.github.runners.values().filter(is_free).map(|runner| runner.id).collect();
        if free.is_empty() {
            return;
        }
        let runner = free[self.chance.usize(0..free.len())];
        let at = self.now + self.between(500, 5_000);
        self.github.runners.get_mut(&runner).unwrap().job = Some(id);
        self.github.jobs.get_mut(&id).unwrap().state = JobState::Dispatched { runner, at };
    }

    fn acquire(&mut self, id: u64, runner: u64) {
        let has_it = self.github.runners.get(&runner).is_some_and(|runner| runner.job == Some(id));
        let seen_from = self.now + self.between(0, 30_000);
        let state = if has_it { JobState::Running { since: self.now, seen_from } } else { JobState::Queued };
        self.github.jobs.get_mut(&id).unwrap().state = state;
        if has_it {
            self.figures.jobs += 1;
            self.print_start(runner, id);
            self.trace(|| format!("job {id} runs"));
            self.job_may_ask(runner);
        }
    }

    /// A person cancels the newest job of this label that is not over. A runner that has it reports its end.
    pub(crate) fn cancel_job(&mut self, label: &str) {
        let is_it = |(_, job): &(&u64, &crate::github::Job)| {
            job.label == label && matches!(job.state, JobState::Queued | JobState::Running { .. })
        };
        let Some((id, state)) = self.github.jobs.iter().rev().find(is_it).map(|(id, job)| (*id, job.state)) else {
            return;
        };
        let has_begun = state != JobState::Queued;
        self.occur("transition", if has_begun { "running job cancelled" } else { "waiting job cancelled" });
        if has_begun {
            self.complete(id);
        } else {
            self.github.jobs.get_mut(&id).unwrap().state = JobState::Done;
        }
    }

    fn complete(&mut self, id: u64) {
        self.github.jobs.get_mut(&id).unwrap().state = JobState::Done;
        if let Some(detached) = self.github.detached.values().find(|runner| runner.job == Some(id)).map(|it| it.id) {
            self.occur("transition", "job of a deleted runner ran to its end");
            self.print_end(detached, id);
            self.github.detached.remove(&detached);
            return;
        }
        let Some(runner) = self.github.runners.values().find(|it| it.job == Some(id)).map(|it| it.id) else { return };
        self.print_end(runner, id);
        let runner = self.github.runners.get_mut(&runner).unwrap();
        runner.job = None;
        if !runner.is_ephemeral {
            return;
        }
        // Off the list, and its container ends.
        let runner = runner.id;
        self.github.runners.remove(&runner);
        let ends = self.now + Duration::from_secs(3);
        if let Some(task) = self.ecs.tasks.values_mut().find(|task| task.container == Container::Listening(runner)) {
            task.container = Container::Exiting(ends, 0);
        }
    }
}
