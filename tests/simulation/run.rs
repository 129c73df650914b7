//! One run: the real handler in the world of a script, on virtual time and a single thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use github_runner_pool::handler::{HandleError, Invocation, handle};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::settings::Settings;
use serde_json::Value;

use crate::captured_log;
use crate::cloudformation::State;
use crate::containers::Container;
use crate::github::JobState;
use crate::history::{Ending, Fact, Figures, Loss, Violation};
use crate::invariants::everything_comes_to_rest;
use crate::lambda::FUNCTION;
use crate::planted::Bug;
use crate::ports::{PLANTED_PANIC, Port};
use crate::script::{Pool, Script, What};
use crate::world::{BEGIN, Due, Shared, World};

/// How long everything may take to come to rest, once nothing goes wrong any more: each of the requests that may follow
/// upon each other has its hour.
const REST: Duration = Duration::from_secs(6 * 3600);
/// Deletes that a person tries before giving up.
const DELETES: u32 = 8;
/// What they wait between two of them: jobs end meanwhile.
const PAUSE: Duration = Duration::from_secs(600);

/// What the function says of what it makes of the runners' logs.
const LOG_TRANSITIONS: &[(&str, &str)] = &[
    ("busy by their own log", "log vetoed a deletion"),
    ("did not stop after deregistration", "container without a log presumed busy"),
    ("shows no job", "log agreed to a deletion"),
    ("so give the pool one", "log not configured"),
    ("may not read its log", "log denied"),
    ("no line of the runner's listener", "log empty"),
];

type Working = Pin<Box<dyn Future<Output = Result<Value, HandleError>>>>;

/// What a run came to.
pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) violations: Vec<Violation>,
    pub(crate) occurred: BTreeSet<String>,
    pub(crate) trace: Vec<String>,
}

/// Panics that are planted are nobody's news; every other one is.
fn keep_quiet_about_planted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|text| text.starts_with(PLANTED_PANIC)) {
                usual(panic);
            }
        }));
    });
}

/// Runs a script.
pub(crate) fn run(script: Script, bug: Option<Bug>, is_telling: bool) -> Report {
    keep_quiet_about_planted_panics();
    captured_log::capture(|| {
        let settings = settings(&script);
        let mut world = World::new(script, bug);
        world.is_telling = is_telling;
        let mut run = Run {
            world: Rc::new(RefCell::new(world)),
            working: BTreeMap::new(),
            settings,
            n_deletes: 0,
            next_delete: BEGIN,
        };
        run.go();
        let mut world = run.world.borrow_mut();
        world.figures.seeds = 1;
        world.figures.virtual_hours = world.now.since(BEGIN).as_secs_f64() / 3600.0;
        Report {
            figures: std::mem::take(&mut world.figures),
            violations: std::mem::take(&mut world.violations),
            occurred: std::mem::take(&mut world.occurred),
            trace: std::mem::take(&mut world.trace),
        }
    })
}

fn settings(script: &Script) -> Settings {
    let variables = [
        ("POLL_INTERVAL_SECS", Some(script.poll_secs.to_string())),
        ("INVOCATION_BUDGET_SECS", script.budget_secs.map(|secs| secs.to_string())),
        ("RUNNER_ROLE_ARN", Some("arn:aws:iam::111122223333:role/runner".to_owned())),
        ("AWS_LAMBDA_LOG_GROUP_NAME", Some("/aws/lambda/github-runner-pool".to_owned())),
        ("AWS_LAMBDA_LOG_STREAM_NAME", Some("2027/01/15/[$LATEST]0".to_owned())),
    ];
    let variables = variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Settings::from_variables(&variables).unwrap()
}

struct Run {
    world: Shared,
    working: BTreeMap<u64, Working>,
    settings: Settings,
    n_deletes: u32,
    next_delete: Timestamp,
}

impl Run {
    fn go(&mut self) {
        loop {
            let due = self.world.borrow_mut().next().unwrap();
            match due {
                Due::Wake(invocation) => self.poll(invocation),
                Due::Deadline(invocation) => {
                    if self.working.remove(&invocation).is_some() {
                        self.world.borrow_mut().invocation_over(invocation, Ending::TimedOut, &Value::Null);
                    }
                }
                Due::Deliver(delivery) => {
                    let begun = self.world.borrow_mut().begin_invocation(*delivery);
                    if let Some((invocation, event)) = begun {
                        self.begin(invocation, event);
                    }
                }
                Due::Act(place) => {
                    let action = self.world.borrow().script.actions[place].what.clone();
                    self.world.borrow_mut().act(place, action);
                }
                Due::Heartbeat => {
                    self.world.borrow_mut().heartbeat();
                    if self.is_over() {
                        return;
                    }
                }
            }
        }
    }

    fn begin(&mut self, invocation: u64, mut event: Value) {
        let deadline = self.world.borrow().lambda.invocations[&invocation].deadline;
        self.world.borrow().planted_event(&mut event);
        let port = Port { world: Rc::clone(&self.world), invocation, earlier: RefCell::default() };
        let settings = self.settings.clone();
        let of_lambda = Invocation { deadline, function: FUNCTION.to_owned() };
        let working: Working = Box::pin(async move { handle(&port, &settings, &event, &of_lambda).await });
        self.working.insert(invocation, working);
        self.poll(invocation);
    }

    fn poll(&mut self, invocation: u64) {
        let Some(working) = self.working.get_mut(&invocation) else { return };
        let is_killed = self.world.borrow().lambda.invocations[&invocation].is_killed;
        let mut response = Value::Null;
        let wakers = self.world.borrow_mut().take_wakers(invocation);
        wakers.into_iter().for_each(Waker::wake);
        let how = if is_killed {
            Some(Ending::Killed)
        } else {
            let is_background = self.world.borrow().is_background(invocation);
            let swap = || is_background.then(|| self.world.borrow_mut().swap_chance());
            swap();
            let mut context = Context::from_waker(Waker::noop());
            let polled = catch_unwind(AssertUnwindSafe(|| working.as_mut().poll(&mut context)));
            swap();
            match polled {
                Ok(Poll::Pending) => None,
                Ok(Poll::Ready(Ok(returned))) => {
                    response = returned;
                    Some(Ending::Returned)
                }
                Ok(Poll::Ready(Err(_))) => Some(Ending::Failed),
                Err(_panic) => Some(Ending::Crashed),
            }
        };
        let mut world = self.world.borrow_mut();
        for line in captured_log::take() {
            if let Some(name) = line.occurred {
                world.occur(line.kind, &name);
            }
            for (words, transition) in LOG_TRANSITIONS {
                if line.text.contains(words) {
                    world.occur("transition", transition);
                }
            }
            world.note(&Fact::Logged { line: line.text });
        }
        if let Some(how) = how {
            world.invocation_over(invocation, how, &response);
            drop(world);
            self.working.remove(&invocation);
        }
    }

    /// Once it is calm, people delete what there is; and when that is gone, it is over.
    fn is_over(&mut self) -> bool {
        let mut world = self.world.borrow_mut();
        let calm = BEGIN + Duration::from_secs(world.script.calm_secs);
        if world.now < calm {
            return false;
        }
        if world.now > calm + REST {
            let states: Vec<State> = world.stacks.all.iter().map(|stack| stack.state.clone()).collect();
            world.violate("everything_comes_to_rest", format!("after six hours the stacks are {states:?}"));
            return true;
        }
        world.calm_down();
        if !world.stacks.all.iter().all(crate::cloudformation::Stack::rests) {
            return false;
        }
        let is_there = |state: &State| !matches!(state, State::NotYet | State::Gone);
        let there: Vec<usize> =
            (0..world.stacks.all.len()).filter(|stack| is_there(&world.stacks.all[*stack].state)).collect();
        if !there.is_empty() && world.now < self.next_delete {
            return false;
        }
        if !there.is_empty() && self.n_deletes < DELETES {
            self.next_delete = world.now + PAUSE;
            self.n_deletes += 1;
            for stack in there {
                world.stop_named_tasks(stack);
                if world.stacks.all[stack].state == State::RollbackFailed {
                    world.continue_rollback(stack);
                } else {
                    world.delete_stack(stack);
                }
            }
            return false;
        }
        // What is still under way has to end as well: a delivery, an invocation, a group that is being deleted.
        if !self.working.is_empty() || world.has_deliveries() {
            return false;
        }
        if !there.is_empty() {
            world.violate("everything_comes_to_rest", format!("{DELETES} Deletes failed"));
        } else if let Err(what) = everything_comes_to_rest(&world) {
            world.violate("everything_comes_to_rest", what);
        }
        true
    }
}

impl World {
    fn act(&mut self, place: usize, action: What) {
        let is_calm = self.now >= BEGIN + Duration::from_secs(self.script.calm_secs);
        self.trace(|| format!("{action:?}"));
        match action {
            What::Create { stack } => self.create_stack(stack),
            What::Update { stack, pool } => self.act_update(place, stack, *pool, is_calm),
            What::Cancel { stack } => self.cancel_update(stack),
            // Signatures are dated in whole seconds, and CloudFormation takes longer from one operation to the next.
            What::Delete { stack } if self.has_just_sent(stack) => {
                self.schedule(self.now + Duration::from_secs(1), Due::Act(place));
            }
            What::Delete { stack } => self.delete_stack(stack),
            What::Job { label, secs, prints } => self.github.queue(&label, Duration::from_secs(secs), prints),
            What::CancelJob { label } => self.cancel_job(&label),
            What::MachineLost => self.lose_machine(true),
            What::SpotReclaim => self.lose_machine(false),
            What::AgentLost { secs } => self.lose_agent(secs),
            What::Trouble { trouble, secs } if !is_calm => {
                let until = self.now + Duration::from_secs(secs);
                self.troubles.begin(trouble, until);
            }
            What::Trouble { .. } => {}
            What::Duplicate => self.lambda.duplicates += 1,
            What::Rename { from, to } => self.rename(&from, &to),
            What::NewTemplate => self.groups.template_version += 1,
            What::NewToken => {
                let token = format!("ghp_PLANTEDTOKEN{}", self.chance.u32(2..u32::MAX));
                (self.github.accepted, self.github.kept) = (token.clone(), token);
                self.occur("fault", "NewToken");
                self.figures.fault("NewToken");
            }
        }
    }

    /// People wait until a stack can be updated.
    fn act_update(&mut self, place: usize, stack: usize, pool: Pool, is_calm: bool) {
        match self.stacks.all[stack].state {
            State::Complete => self.update_stack(stack, pool),
            State::NotYet | State::Gone | State::Deleting | State::UndoingCreate | State::DeleteFailed => {}
            State::Creating
            | State::Updating
            | State::RollingBack
            | State::CleaningUp { .. }
            | State::CleaningUpFailed
            | State::RollbackFailed => {
                if !is_calm {
                    self.schedule(self.now + Duration::from_secs(30), Due::Act(place));
                }
            }
        }
    }

    /// A person stops the tasks that the last failure reason asks to stop, where the job in their log is over.
    fn stop_named_tasks(&mut self, stack: usize) {
        let asks = self.stacks.asks.iter().filter(|ask| ask.stack == stack);
        let Some(response) = asks.filter_map(|ask| ask.responses.last()).next_back() else { return };
        let response = String::from_utf8_lossy(response).into_owned();
        for part in response.split("stop the ECS task ").skip(1) {
            let id: String = part.chars().take_while(char::is_ascii_hexdigit).collect();
            let Some(task) = self.ecs.tasks.values().find(|task| task.arn.ends_with(&format!("/{id}"))) else {
                continue;
            };
            let Container::Listening(runner) = task.container else { continue };
            let arn = task.arn.clone();
            if self.github.runner_mut(runner).is_some_and(|runner| runner.job.is_none()) {
                self.occur("transition", "task stopped by a person");
                self.stop_task(&arn, Loss::Stopped, "stopped by a person");
            }
        }
    }

    fn lose_agent(&mut self, secs: u64) {
        let ours: Vec<String> = self
            .ecs
            .instances
            .values()
            .filter(|instance| instance.provider.starts_with("ghr-") && instance.is_connected)
            .map(|instance| instance.arn.clone())
            .collect();
        if ours.is_empty() {
            return;
        }
        let arn = ours[self.chance.usize(0..ours.len())].clone();
        self.ecs.instances.get_mut(&arn).unwrap().is_connected = false;
        self.ecs.agents_back.insert(arn, self.now + Duration::from_secs(secs));
        self.figures.fault("AgentLost");
        self.occur("fault", "AgentLost");
    }

    /// From here on nothing goes wrong, and no job comes.
    fn calm_down(&mut self) {
        self.troubles.end_all();
        self.is_calm = true;
        self.script.faults.clear();
        self.script.background_faults.clear();
        self.lambda.duplicates = 0;
        self.github.jobs.retain(|_, job| job.state != JobState::Queued);
    }
}
