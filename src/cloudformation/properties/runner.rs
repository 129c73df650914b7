//! The runner inside the container.

use std::collections::BTreeMap;

use crate::pool::model::secret::Variables;
use crate::pool::model::spec::{ParameterRef, RunnerSpec};
use crate::pool::model::task_definition::RESERVED_VARIABLES;

use super::collecting::plain;
use super::github::parameter;
use super::problems::{Problems, shown_name};
use super::raw::Raw;
use super::shapes::{has_space, is_name, is_variable, optional};

/// Characters of a runner's name that GitHub takes.
const RUNNER_NAME_CHARS_MAX: usize = 64;
/// Characters of the prefix: with a hyphen, the pool's 10 digits, a hyphen and the container's 12 it makes 60.
const PREFIX_CHARS_MAX: usize = 36;
/// Characters of a label that GitHub takes.
const LABEL_CHARS_MAX: usize = 256;
/// Characters of a runner group's name.
const GROUP_CHARS_MAX: usize = 256;

/// The template's prefix where it names none.
pub(super) const DEFAULT_PREFIX: &str = "github-runner";
const DEFAULT_LABEL: &str = "default";
const DEFAULT_WORKDIR: &str = "/_work";

/// The runner. Where a property is wrong its default stands in: the problem is written down, and nothing is built.
pub(super) fn runner(raw: &Raw, problems: &mut Problems) -> RunnerSpec {
    let is_runner_name = |text: &str| is_name(text, "-_.", RUNNER_NAME_CHARS_MAX);
    let accepted = "up to 64 letters, digits, hyphens, underscores and dots";
    let name = optional("RunnerName", &raw.runner_name, is_runner_name, accepted, problems);
    if let Some(count) = raw.desired_count.get().map(|count| count.0).filter(|count| *count > 1)
        && raw.runner_name.is_present()
    {
        let advice = "use RunnerNamePrefix, since two runners cannot share a name";
        problems.add("RunnerName", format!("is given for {count} runners (DesiredCount)"), advice);
    }
    let is_prefix = |text: &str| is_name(text, "-_.", PREFIX_CHARS_MAX);
    let accepted = "up to 36 letters, digits, hyphens, underscores and dots";
    let name_prefix = optional("RunnerNamePrefix", &raw.runner_name_prefix, is_prefix, accepted, problems);

    let is_group = |text: &str| text.chars().count() <= GROUP_CHARS_MAX && !text.chars().any(char::is_control);
    let accepted = "a runner group's name, up to 256 characters";
    let group = optional("RunnerGroup", &raw.runner_group, is_group, accepted, problems);
    if raw.runner_group.is_present() && raw.repo_url.is_present() {
        let advice = "take it out, or register with OrgName, since a repository has no runner groups";
        problems.add("RunnerGroup", "is given for a repository (RepoUrl)", advice);
    }
    let (environment, secrets) = variables(raw, problems);
    RunnerSpec {
        name,
        name_prefix: name_prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        labels: labels(raw, problems),
        group,
        workdir: workdir(raw, problems),
        ephemeral: raw.ephemeral.get().is_some_and(|flag| flag.0),
        disable_auto_update: raw.disable_auto_update.get().is_none_or(|flag| flag.0),
        no_default_labels: raw.no_default_labels.get().is_some_and(|flag| flag.0),
        environment: Variables(environment),
        secrets,
    }
}

/// The labels in the template's order; GitHub ignores case, so a repetition in another case is one too.
fn labels(raw: &Raw, problems: &mut Problems) -> Vec<String> {
    let Some(given) = raw.labels.get() else { return vec![DEFAULT_LABEL.to_owned()] };
    let mut labels: Vec<String> = Vec::new();
    for (index, label) in given.iter() {
        if label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control) {
            problems.unfit_text(&format!("Labels[{index}]"), label, "a label of up to 256 characters");
        } else if !labels.iter().any(|known| known.to_lowercase() == label.to_lowercase()) {
            labels.push(label.to_owned());
        }
    }
    labels
}

fn workdir(raw: &Raw, problems: &mut Problems) -> String {
    // It is mounted from the host, and a colon or a space would end it in Docker's and in the scripts' eyes.
    let is_path = |text: &str| {
        text.starts_with('/')
            && text.chars().any(|c| c != '/')
            && !has_space(text)
            && !text.contains([':', ','])
            && !text.split('/').any(|part| part == "..")
    };
    let accepted = "an absolute path other than /, such as /_work";
    optional("RunnerWorkdir", &raw.runner_workdir, is_path, accepted, problems)
        .map_or_else(|| DEFAULT_WORKDIR.to_owned(), |path| path.trim_end_matches('/').to_owned())
}

fn variables(raw: &Raw, problems: &mut Problems) -> (BTreeMap<String, String>, BTreeMap<String, ParameterRef>) {
    let mut environment = BTreeMap::new();
    for (name, value) in raw.environment.get().into_iter().flatten() {
        check_variable("Environment", name, problems);
        if let Some(value) = value.get() {
            environment.insert(name.clone(), value.0.clone());
        }
    }
    let mut secrets = BTreeMap::new();
    for (name, value) in raw.secrets.get().into_iter().flatten() {
        let path = check_variable("Secrets", name, problems);
        if raw.environment.get().is_some_and(|environment| environment.contains_key(name)) {
            problems.add(&path, "is given in Environment too", "give it in one of the two");
        }
        if let Some(parameter) = parameter(&path, "the value", value, problems) {
            secrets.insert(name.clone(), parameter);
        }
    }
    (environment, secrets)
}

/// Checks a variable's name and tells its path.
fn check_variable(root: &str, name: &str, problems: &mut Problems) -> String {
    let path = format!("{root}.{}", shown_name(name));
    if !is_variable(name) {
        let advice = "give a name of letters, digits and underscores that does not begin with a digit";
        problems.add(&path, "is no variable's name", advice);
    } else if RESERVED_VARIABLES.contains(&name) {
        let advice = match property_for(name) {
            Some(property) => format!("use the property {property}"),
            None => "take it out, it follows from the other properties".to_owned(),
        };
        problems.add(&path, "is set by the resource itself", advice);
    }
    path
}

/// The property that sets a variable: it has the variable's name in Pascal case, and may go on (`…Parameter`).
fn property_for(variable: &str) -> Option<&'static str> {
    let variable = plain(variable);
    let names = super::property_names().iter().copied();
    names.filter(|name| plain(name).starts_with(&variable)).min_by_key(|name| name.len())
}
