//! The runner inside the container.

use super::super::formats::{is_variable, normalize};
use super::super::given::Given;
use super::super::problems::{Problems, redacted_name};
use super::super::table::property_names;
use super::super::table::registration::REPO_URL;
use super::super::table::runner::{
    DISABLE_AUTO_UPDATE, ENVIRONMENT, EPHEMERAL, LABELS, NO_DEFAULT_LABELS, RUNNER_GROUP, RUNNER_NAME,
    RUNNER_NAME_PREFIX, RUNNER_WORKDIR, SECRETS,
};
use super::super::table::scaling::DESIRED_COUNT;
use crate::pool::model::secret::Variables;
use crate::pool::model::spec::RunnerSpec;
use crate::pool::model::task_definition::RESERVED_VARIABLES;

pub(super) fn runner(given: &Given<'_>, problems: &mut Problems) -> RunnerSpec {
    let count = given.get(&DESIRED_COUNT).unwrap_or_default();
    if given.has(&RUNNER_NAME) && count > 1 {
        let problem = format!("DesiredCount is {count}, but two runners cannot share a name");
        problems.add(RUNNER_NAME.name, problem, "Specify RunnerNamePrefix instead.");
    }
    if given.has(&RUNNER_GROUP) && given.has(&REPO_URL) {
        let remedy = "Remove it, or specify OrgName instead of RepoUrl.";
        problems.add(RUNNER_GROUP.name, "a repository has no runner groups", remedy);
    }
    check_variable_names(ENVIRONMENT.name, given.names_in(&ENVIRONMENT), problems);
    check_variable_names(SECRETS.name, given.names_in(&SECRETS), problems);
    for name in given.names_in(&SECRETS).filter(|name| given.names_in(&ENVIRONMENT).any(|other| other == *name)) {
        let path = path_of(SECRETS.name, name);
        problems.add(&path, "specified in Environment as well", "Specify it in one of the two.");
    }
    RunnerSpec {
        name: given.get(&RUNNER_NAME),
        name_prefix: given.get_or_default(&RUNNER_NAME_PREFIX),
        labels: distinct_labels(given.get_or_default(&LABELS)),
        group: given.get(&RUNNER_GROUP),
        workdir: given.get_or_default(&RUNNER_WORKDIR).trim_end_matches('/').to_owned(),
        ephemeral: given.get_or_default(&EPHEMERAL),
        disable_auto_update: given.get_or_default(&DISABLE_AUTO_UPDATE),
        no_default_labels: given.get_or_default(&NO_DEFAULT_LABELS),
        environment: Variables(given.get(&ENVIRONMENT).unwrap_or_default()),
        secrets: given.get(&SECRETS).unwrap_or_default(),
    }
}

/// GitHub ignores the case of labels.
fn distinct_labels(given: Vec<String>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in given {
        if !labels.iter().any(|known| known.to_lowercase() == label.to_lowercase()) {
            labels.push(label);
        }
    }
    labels
}

fn path_of(property: &str, variable: &str) -> String {
    format!("{property}.{}", redacted_name(variable))
}

fn check_variable_names<'name>(property: &str, names: impl Iterator<Item = &'name str>, problems: &mut Problems) {
    for name in names {
        let path = path_of(property, name);
        if !is_variable(name) {
            let remedy = "Specify a name of letters, digits and underscores that does not begin with a digit.";
            problems.add(&path, "not a name of an environment variable", remedy);
        } else if RESERVED_VARIABLES.contains(&name) {
            let remedy = property_of_variable(name).map_or_else(
                || "Remove it; its value follows from other properties.".to_owned(),
                |property| format!("Specify the property {property} instead."),
            );
            problems.add(&path, "reserved, because the resource sets it", remedy);
        }
    }
}

/// The property that sets a variable: it has the variable's name in Pascal case, and may go on (`…Parameter`).
fn property_of_variable(variable: &str) -> Option<&'static str> {
    let variable = normalize(variable);
    let names = property_names().iter().copied();
    names.filter(|name| normalize(name).starts_with(&variable)).min_by_key(|name| name.len())
}
