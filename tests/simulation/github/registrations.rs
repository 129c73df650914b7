//! GitHub: just-in-time configurations and registration tokens.
//!
//! <https://docs.github.com/en/rest/actions/self-hosted-runners>

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use github_runner_pool::pool::model::runner;
use github_runner_pool::pool::model::secret::Secret;
use github_runner_pool::pool::model::spec::GitHubTarget;
use github_runner_pool::reconcile::ports::{JitRunner, JitRunnerRequest};
use serde_json::Value;

use crate::faults::Trouble;
use crate::history::Fact;
use crate::world::World;

/// How long a registration token is valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// What the content of a just-in-time configuration begins with here: the runner's id follows.
const CONFIGURATION: &str = "PLANTEDCONFIGURATION";

/// The content of the file with a runner's own credentials.
pub(crate) fn configuration_of(runner: u64) -> String {
    format!("{CONFIGURATION}{runner}.")
}

/// The files of a runner's just-in-time configuration.
pub(crate) fn jit_files(runner: u64) -> BTreeMap<String, Secret> {
    let file = |name: &str, content: &str| (name.to_owned(), Secret::new(content.to_owned()));
    BTreeMap::from([file(".runner", "e30="), file(".credentials", &configuration_of(runner))])
}

impl World {
    pub(crate) fn find_runner(&mut self, target: &GitHubTarget, name: &str) -> Option<runner::Runner> {
        self.list_runners(target).into_iter().find(|runner| runner.name == name)
    }

    /// It is listed at once, offline until its container connects.
    pub(crate) fn create_jit_runner(&mut self, target: &GitHubTarget, request: &JitRunnerRequest) -> JitRunner {
        if self.script.has_no_jit {
            self.occur("transition", "server without just-in-time configurations");
            return JitRunner::Unsupported;
        }
        let target = target.scope.api_prefix();
        if !self.is_calm && self.once_in(150) {
            // Somebody else has a runner of just this name.
            let labels = BTreeSet::from(["self-hosted".to_owned(), "default".to_owned()]);
            self.github.register(&target, &request.name, labels, None, false);
        }
        let is_taken =
            self.github.runners.values().any(|runner| runner.target == target && runner.name == request.name);
        if is_taken {
            self.occur("transition", "name of a just-in-time runner taken");
            return JitRunner::NameTaken;
        }
        let pool = request.labels.iter().find(|label| label.starts_with("ghr-")).cloned();
        let labels: BTreeSet<String> = request.labels.iter().cloned().collect();
        let id = self.github.register(&target, &request.name, labels, pool, true);
        let task = self.ecs.tasks.values().find(|task| request.name.ends_with(&format!("-{}", task.short_id())));
        let task = task.map(|task| task.arn.clone());
        let runner = self.github.runners.get_mut(&id).unwrap();
        (runner.is_online, runner.task) = (false, task);
        self.note(&Fact::RunnerCreated { runner: id });
        JitRunner::Registered { id, files: jit_files(id) }
    }

    pub(crate) fn create_registration_token(&mut self, target: &GitHubTarget) -> Secret {
        let token = format!("PLANTEDREGISTRATIONTOKEN{}.", self.hex(8));
        let until = self.now + TOKEN_LIFETIME;
        self.github.tokens.insert(token.clone(), (target.scope.api_prefix(), until));
        Secret::new(token)
    }

    /// The runner of a just-in-time configuration comes online, if GitHub still knows it.
    pub(crate) fn connect_just_in_time(&mut self, answer: &Value) -> Option<u64> {
        let own = answer["files"][".credentials"].as_str().unwrap_or_default();
        let id = own.strip_prefix(CONFIGURATION)?.strip_suffix('.')?.parse().ok()?;
        let runner = self.github.runners.get_mut(&id).filter(|runner| !runner.is_online)?;
        runner.is_online = true;
        Some(id)
    }

    /// `config.sh --replace`, with a registration token.
    pub(crate) fn register_by_token(&mut self, arn: &str, answer: &Value) -> Option<u64> {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (target, until) = self.github.tokens.get(&text("token")).cloned()?;
        let is_reachable = !self.troubles.has(Trouble::GitHubDown, self.now) && !self.github.former.contains(&target);
        let is_of_target = text("url").rsplit('/').next() == target.rsplit('/').next();
        if !is_reachable || !is_of_target || until <= self.now {
            return None;
        }
        let labels = text("labels").split(',').map(str::to_owned).chain(["self-hosted".to_owned()]).collect();
        let pool = self.ecs.tasks[arn].service.clone();
        let is_ephemeral = answer["ephemeral"] == true;
        let id = self.github.register(&target, &text("name"), labels, Some(pool), is_ephemeral);
        self.github.runners.get_mut(&id).unwrap().task = Some(arn.to_owned());
        self.note(&Fact::RunnerCreated { runner: id });
        Some(id)
    }
}
