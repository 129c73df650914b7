//! The role of `cfn/provider.yaml` against the calls that the code makes: none is forbidden, and nothing else allowed.

use std::collections::BTreeSet;

use crate::repository::{production, text};

/// The adapters, and the prefix of their service's actions.
const SERVICES: &[(&str, &str)] =
    &[("src/aws/ecs", "ecs"), ("src/aws/auto_scaling", "autoscaling"), ("src/aws/launch_templates", "ec2")];

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

/// Actions that no call of ours is named after, each with who needs it.
const CHECKED_BESIDE: &[(&str, &str)] = &[
    ("ec2:RunInstances", "Auto Scaling, of the caller that makes or changes a group"),
    ("ec2:CreateTags", "Auto Scaling, for a launch template with tags"),
    ("ssm:GetParameters", "Auto Scaling, for a launch template with resolve:ssm"),
    ("ssm:GetParameter", "the credential, and the record of who is at work; the adapters have no table of operations"),
    ("ssm:PutParameter", "the record of who is at work"),
    ("ssm:DeleteParameter", "the record of who is at work"),
    ("sqs:SendMessage", "Lambda, for an event that it gave up"),
    ("sqs:ReceiveMessage", "Lambda, which has the queue invoke the function"),
    ("sqs:DeleteMessage", "Lambda, which has the queue invoke the function"),
    ("sqs:GetQueueAttributes", "Lambda, which has the queue invoke the function"),
    ("secretsmanager:GetSecretValue", "Systems Manager, for a secret"),
    ("kms:Decrypt", "Systems Manager, for a key of one's own"),
    ("iam:PassRole", "ECS and Auto Scaling, for the roles of tasks and instances"),
    ("iam:CreateServiceLinkedRole", "ECS and Auto Scaling, at their first use"),
    ("lambda:InvokeFunction", "the continuation; IAM's name for the operation Invoke"),
    ("logs:CreateLogStream", "Lambda"),
    ("logs:PutLogEvents", "Lambda"),
    ("sts:AssumeRole", "Lambda; this one stands in the trust policy"),
];

fn allowed() -> BTreeSet<String> {
    let template = text("cfn/provider.yaml");
    let items = template.lines().map(|line| line.trim().trim_start_matches("- ").trim_start_matches("Action: "));
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
fn the_role_allows_every_call() {
    let (allowed, called) = (allowed(), called());
    assert!(called.len() > 25, "the operations are not where this looks for them: {called:?}");
    let forbidden: Vec<&String> = called.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

#[test]
fn the_role_allows_nothing_else() {
    let (allowed, called) = (allowed(), called());
    let beside: BTreeSet<String> = CHECKED_BESIDE.iter().map(|(action, _)| (*action).to_owned()).collect();
    let needed: BTreeSet<String> = called.union(&beside).cloned().collect();
    let surplus: Vec<&String> = allowed.difference(&needed).collect();
    assert!(surplus.is_empty(), "{surplus:?}");
}

#[test]
fn nothing_is_written_outside_the_pools_names() {
    let template = text("cfn/provider.yaml");
    let own = template.split("- Sid: PoolsOwn").skip(1);
    let statements: Vec<&str> = own.map(|rest| rest.split("- Sid:").next().unwrap_or_default()).collect();
    assert_eq!(statements.len(), 2);
    for statement in statements {
        let resources: Vec<&str> = statement.lines().filter(|line| line.contains("arn:")).collect();
        assert!(!resources.is_empty());
        assert!(resources.iter().all(|resource| resource.contains("ghr-*")), "{resources:?}");
    }
}

#[test]
fn the_records_may_be_written_where_they_are_and_nowhere_else() {
    let code = text("src/pool/succession.rs");
    let path = code.split_once("const RECORDS_PATH: &str = \"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    let template = text("cfn/provider.yaml");
    let writes = template.split("- Sid:").filter(|statement| statement.contains("- ssm:PutParameter"));
    let resources: Vec<&str> =
        writes.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("Resource: ")).collect();
    let [resource] = resources[..] else { panic!("{resources:?}") };
    assert!(resource.ends_with(&format!(":parameter{path}/*")), "{resource}");
}
