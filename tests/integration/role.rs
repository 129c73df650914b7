//! The role of `cfn/provider.yaml` against the operations that the adapters name, whether a scenario calls them or not.
//!
//! `tests/sandbox/test_role.py` shows more of those that are called: on what they are allowed, and that nothing else is.

use std::collections::BTreeSet;

use crate::repository::{production, text};

/// The adapters, and the prefix of their service's actions.
const SERVICES: &[(&str, &str)] = &[
    ("src/aws/ecs", "ecs"),
    ("src/aws/auto_scaling", "autoscaling"),
    ("src/aws/launch_templates", "ec2"),
    ("src/aws/ec2", "ec2"),
    ("src/aws/cloudformation", "cloudformation"),
    ("src/aws/parameters", "ssm"),
    ("src/aws/state_store", "dynamodb"),
    ("src/aws/registrations", "dynamodb"),
    ("src/aws/runner_logs", "logs"),
];

/// What operations begin with; it tells their names from other literals.
const VERBS: &[&str] = &[
    "Create",
    "Delete",
    "Deregister",
    "Describe",
    "Get",
    "List",
    "Put",
    "Register",
    "Set",
    "Stop",
    "Tag",
    "Untag",
    "Update",
];

/// The actions of the function's role. The tables' policies deny others by the same names.
fn allowed() -> BTreeSet<String> {
    let template = text("cfn/provider.yaml");
    let role = template.split("\n  Role:\n").nth(1).unwrap().split("\n  StateTable:\n").next().unwrap();
    let items = role.lines().map(|line| line.trim().trim_start_matches("- ").trim_start_matches("Action: "));
    let is_action = |item: &&str| {
        item.split_once(':').is_some_and(|(service, action)| {
            service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && action.starts_with(|c: char| c.is_ascii_uppercase())
                && action.chars().all(|c| c.is_ascii_alphanumeric())
        })
    };
    items.filter(is_action).map(str::to_owned).collect()
}

/// The operations that the adapters name, as IAM's actions.
fn called() -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    for source in production() {
        let Some((_, service)) = SERVICES.iter().find(|(path, _)| source.path.starts_with(path)) else { continue };
        for literal in source.code.split('"').skip(1).step_by(2) {
            let is_operation = VERBS.iter().any(|verb| {
                literal.strip_prefix(verb).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
            });
            let is_word = literal.chars().all(|c| c.is_ascii_alphanumeric());
            if is_operation && is_word && !literal.ends_with("Exception") && !literal.ends_with("Fault") {
                called.insert(format!("{service}:{literal}"));
            }
        }
    }
    called
}

#[test]
fn the_role_allows_every_operation_of_the_adapters() {
    let (allowed, called) = (allowed(), called());
    assert!(called.len() > 30, "the operations are not where this looks for them: {called:?}");
    let forbidden: Vec<&String> = called.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}
