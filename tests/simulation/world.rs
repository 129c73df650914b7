//! The world as one value: everything outside the function, what is due in it, and what has happened.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use github_runner_pool::pool::model::time::Timestamp;

use crate::asking::Askers;
use crate::auto_scaling::Groups;
use crate::cloudformation::Stacks;
use crate::demand::Demand;
use crate::ecs::Ecs;
use crate::event_source::EventSource;
use crate::faults::{Fault, Troubles};
use crate::github::GitHub;
use crate::history::{Fact, Figures, Violation};
use crate::invariants;
use crate::lambda::{Delivery, Lambda};
use crate::logs::Logs;
use crate::planted::Bug;
use crate::registrations::Registrations;
use crate::scale_sets::ScaleSets;
use crate::script::Script;
use crate::state_table::StateTable;
use crate::ticks::Ticks;

/// The first moment of every run.
pub(crate) const BEGIN: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);
/// How often ECS, Auto Scaling, the containers and CloudFormation look at what they have to do.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// The world, shared by the ports of every invocation. Nobody holds a borrow across an await.
pub(crate) type Shared = Rc<RefCell<World>>;

/// Everything outside the function.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) chance: fastrand::Rng,
    /// That of background invocations, so that a request's run is the same whatever they do.
    other_chance: fastrand::Rng,
    pub(crate) script: Script,
    pub(crate) ecs: Ecs,
    pub(crate) groups: Groups,
    pub(crate) github: GitHub,
    pub(crate) scale_sets: ScaleSets,
    pub(crate) demand: Demand,
    pub(crate) state_table: StateTable,
    pub(crate) registrations: Registrations,
    pub(crate) event_source: EventSource,
    pub(crate) ticks: Ticks,
    pub(crate) askers: Askers,
    pub(crate) logs: Logs,
    pub(crate) lambda: Lambda,
    pub(crate) stacks: Stacks,
    pub(crate) troubles: Troubles,
    /// From here on nothing goes wrong.
    pub(crate) is_calm: bool,
    /// The bug that this run pretends the function to have.
    pub(crate) bug: Option<Bug>,
    /// Whom an invocation wakes inside, beside itself: futures that it polls only once they were woken.
    wakers: BTreeMap<u64, Vec<Waker>>,
    /// What is due, in order.
    due: BTreeMap<(Timestamp, u64), Due>,
    n_due: u64,
    /// Calls of the function so far, in this run.
    pub(crate) n_calls: u32,
    /// The same of background invocations.
    pub(crate) n_background_calls: u32,
    /// What happened, newest last; the whole of it only where somebody will read it.
    pub(crate) trace: Vec<String>,
    pub(crate) is_telling: bool,
    pub(crate) figures: Figures,
    pub(crate) violations: Vec<Violation>,
    /// Names of everything that occurred: steps, waiting reasons, classes, faults, transitions.
    pub(crate) occurred: BTreeSet<String>,
}

/// Something that is due.
pub(crate) enum Due {
    /// A call or a wait of this invocation is over.
    Wake(u64),
    /// Lambda ends this invocation.
    Deadline(u64),
    /// Lambda delivers an event.
    Deliver(Box<Delivery>),
    /// An action of the script, by its place there.
    Act(usize),
    /// Everybody looks at what they have to do.
    Heartbeat,
}

impl World {
    pub(crate) fn new(script: Script, bug: Option<Bug>) -> Self {
        let mut world = Self {
            now: BEGIN,
            chance: fastrand::Rng::with_seed(script.seed),
            other_chance: fastrand::Rng::with_seed(script.seed ^ 0x2545_f491_4f6c_dd1d),
            ecs: Ecs::new(),
            groups: Groups::default(),
            github: GitHub::new(),
            scale_sets: ScaleSets::default(),
            demand: Demand::default(),
            state_table: StateTable::default(),
            registrations: Registrations::default(),
            event_source: EventSource::default(),
            ticks: Ticks::default(),
            askers: Askers::default(),
            logs: Logs::default(),
            lambda: Lambda::default(),
            stacks: Stacks::new(&script),
            troubles: Troubles::default(),
            is_calm: false,
            bug,
            wakers: BTreeMap::new(),
            due: BTreeMap::new(),
            n_due: 0,
            n_calls: 0,
            n_background_calls: 0,
            trace: Vec::new(),
            is_telling: false,
            figures: Figures::default(),
            violations: Vec::new(),
            occurred: BTreeSet::new(),
            script,
        };
        for (place, action) in world.script.actions.clone().iter().enumerate() {
            world.schedule(BEGIN + Duration::from_millis(action.at_millis), Due::Act(place));
        }
        world.schedule(BEGIN, Due::Heartbeat);
        world
    }

    pub(crate) fn schedule(&mut self, at: Timestamp, due: Due) {
        self.n_due += 1;
        self.due.insert((at.max(self.now), self.n_due), due);
    }

    /// A future of this invocation waits, and is woken whenever the invocation is.
    pub(crate) fn wakes(&mut self, invocation: u64, waker: &Waker) {
        if !waker.will_wake(Waker::noop()) {
            self.wakers.entry(invocation).or_default().push(waker.clone());
        }
    }

    pub(crate) fn take_wakers(&mut self, invocation: u64) -> Vec<Waker> {
        self.wakers.remove(&invocation).unwrap_or_default()
    }

    /// What comes next; time has come that far.
    pub(crate) fn next(&mut self) -> Option<Due> {
        let ((at, _), due) = self.due.pop_first()?;
        self.now = at;
        self.figures.events += 1;
        Some(due)
    }

    /// Everybody looks at what they have to do.
    pub(crate) fn heartbeat(&mut self) {
        self.ecs_step();
        self.groups_step();
        self.containers_step();
        self.scale_sets_step();
        self.demand_step();
        self.stacks_step();
        self.registrations_step();
        self.event_source_step();
        self.ticks_step();
        let after = HEARTBEAT;
        self.schedule(self.now + after, Due::Heartbeat);
    }

    /// A span between these two, both in milliseconds.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.chance.u64(least..=most))
    }

    /// True once in `n`.
    pub(crate) fn once_in(&mut self, n: u32) -> bool {
        self.chance.u32(0..n) == 0
    }

    /// A name nobody else has: hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from_digit(self.chance.u32(0..16), 16).unwrap()).collect()
    }

    /// Something happened: the invariants look at it.
    pub(crate) fn note(&mut self, fact: &Fact) {
        self.trace(|| format!("{fact:?}"));
        self.remember_writer(fact);
        for (name, holds) in invariants::OF_FACTS {
            if let Err(what) = holds(self, fact) {
                self.violate(name, what);
            }
        }
    }

    pub(crate) fn violate(&mut self, invariant: &'static str, what: String) {
        match invariant {
            "no_job_ends_before_its_time" => self.figures.jobs_lost += 1,
            "every_request_gets_its_response_in_time" => self.figures.responses_late += 1,
            _ => {}
        }
        let at = self.now.since(BEGIN);
        self.trace(|| format!("VIOLATED {invariant}: {what}"));
        for line in if self.is_telling { self.what_there_is() } else { Vec::new() } {
            self.trace(|| line);
        }
        self.violations.push(Violation { invariant, at, what });
    }

    /// What there is, for people who wonder why.
    fn what_there_is(&self) -> Vec<String> {
        let services = self.ecs.services.iter().map(|((_, name), it)| {
            let rollouts: Vec<String> = it.deployments.iter().map(|it| format!("{} {:?}", it.id, it.rollout)).collect();
            format!("  service {name} {:?} {rollouts:?}", it.config)
        });
        let groups = self.groups.all.iter().map(|(name, it)| {
            format!(
                "  group {name} wants {} of {} to {}, has {}",
                it.desired,
                it.config.min,
                it.config.max,
                it.machines.len()
            )
        });
        let tasks = self.ecs.tasks.values().filter(|task| task.is_live()).map(|it| {
            let (phase, container) = (it.phase, it.container);
            format!(
                "  {} of {} {phase:?} {container:?} on {:?}, told {:?}",
                it.arn, it.deployment, it.instance, it.stop_cause
            )
        });
        let instances = self.ecs.instances.values().filter(|it| it.provider.starts_with("ghr-")).map(|it| {
            let (n_tasks, is_draining, is_connected) = (self.ecs.tasks_on(&it.arn), it.is_draining, it.is_connected);
            format!(
                "  {} of {}: {n_tasks} tasks, draining {is_draining}, connected {is_connected}",
                it.ec2_id, it.provider
            )
        });
        services.chain(groups).chain(tasks).chain(instances).collect()
    }

    /// For people who read what a seed did.
    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.is_telling {
            let secs = self.now.since(BEGIN).as_secs_f64();
            self.trace.push(format!("{secs:>9.2} {}", line()));
        }
    }

    /// Remembers that this occurred: `kind` is one of step, waiting, class, fault, transition.
    pub(crate) fn occur(&mut self, kind: &str, name: &str) {
        self.disturb(kind, name);
        let name = format!("{kind} {name}");
        if !self.occurred.contains(&name) {
            self.occurred.insert(name);
        }
    }

    /// Whether an event is still on its way.
    pub(crate) fn has_deliveries(&self) -> bool {
        let is_request = |due: &Due| matches!(due, Due::Deliver(delivery) if !delivery.origin.is_background());
        self.due.values().any(is_request) || !self.event_source.is_empty()
    }

    /// Does this with the chance of background invocations.
    pub(crate) fn in_background<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.swap_chance();
        let done = work(self);
        self.swap_chance();
        done
    }

    pub(crate) fn swap_chance(&mut self) {
        std::mem::swap(&mut self.chance, &mut self.other_chance);
    }

    /// Whether no request of CloudFormation is behind this invocation.
    pub(crate) fn is_background(&self, invocation: u64) -> bool {
        self.lambda.invocations.get(&invocation).is_some_and(|it| it.delivery.origin.is_background())
    }

    /// The fault that the script has for the call that begins now.
    pub(crate) fn fault_of_call(&mut self, invocation: u64) -> Option<Fault> {
        let fault = self.next_fault(invocation);
        if self.is_background(invocation) {
            self.n_background_calls += 1;
        } else {
            self.n_calls += 1;
        }
        fault
    }

    pub(crate) fn next_fault(&self, invocation: u64) -> Option<Fault> {
        if self.is_background(invocation) {
            self.script.background_faults.get(&(self.n_background_calls + 1)).copied()
        } else {
            self.script.faults.get(&(self.n_calls + 1)).copied()
        }
    }

    /// A call of this invocation has failed, or the invocation itself.
    pub(crate) fn call_failed(&mut self, invocation: u64) {
        if self.is_background(invocation) {
            self.askers.undisturbed_since = Some(self.now);
        }
        if let Some(invocation) = self.lambda.invocations.get_mut(&invocation) {
            invocation.n_failed += 1;
        }
    }
}
