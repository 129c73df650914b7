use crate::pool::model::identity::{PhysicalId, StackResource, cluster_name};
use crate::pool::model::spec::{Capacity, GitHubHost, PoolSpec, Scheme, Scope};
use crate::pool::tests::support::{spec, stack_resource};

#[test]
fn physical_id_is_readable_and_the_same_on_every_delivery() {
    let id = PhysicalId::of(&stack_resource(), &spec());
    assert_eq!(id, PhysicalId::of(&stack_resource(), &spec()));
    assert!(id.as_str().starts_with("ghr-ci-Runners-"), "{id}");
    assert_eq!(PhysicalId::parse_for(&stack_resource(), id.as_str()), Some(id));
}

/// The replacement table: each row says whether a change of it makes another pool.
#[test]
fn physical_id_changes_with_exactly_the_properties_that_require_replacement() {
    type Row = (&'static str, fn(&mut PoolSpec), bool);
    let rows: [Row; 12] = [
        ("Cluster", |spec| spec.cluster = "other".to_owned(), true),
        ("Cluster, as an ARN", |spec| spec.cluster = "arn:aws:ecs:eu-central-1:1:cluster/build".to_owned(), false),
        ("OrgName", |spec| spec.github.scope = Scope::Organization("umbrella".to_owned()), true),
        ("OrgName, in capitals", |spec| spec.github.scope = Scope::Organization("ACME".to_owned()), false),
        ("EnterpriseName", |spec| spec.github.scope = Scope::Enterprise("acme".to_owned()), true),
        (
            "GitHubUrl",
            |spec| {
                spec.github.host = GitHubHost { scheme: Scheme::Https, authority: "ghe.acme.example".to_owned() };
            },
            true,
        ),
        ("CapacityProvider", |spec| spec.capacity = Capacity::Existing("shared".to_owned()), true),
        ("DesiredCount", |spec| spec.desired_count = 9, false),
        ("Image", |spec| spec.task.image = "other".to_owned(), false),
        ("Labels", |spec| spec.runner.labels = vec!["gpu".to_owned()], false),
        ("RunnerNamePrefix", |spec| spec.runner.name_prefix = "gpu".to_owned(), false),
        ("AccessTokenParameter", |spec| spec.credentials.github_credential = None, false),
    ];
    let before = PhysicalId::of(&stack_resource(), &spec());
    for (what, change, replaces) in rows {
        let mut changed = spec();
        change(&mut changed);
        assert_eq!(PhysicalId::of(&stack_resource(), &changed) != before, replaces, "{what}");
    }
}

#[test]
fn physical_id_differs_between_stacks_of_one_name() {
    let again = StackResource { stack_id: stack_resource().stack_id.replace("0001", "0002"), ..stack_resource() };
    assert_ne!(PhysicalId::of(&stack_resource(), &spec()), PhysicalId::of(&again, &spec()));
}

#[test]
fn physical_id_of_the_longest_names_fits_every_service() {
    let long = StackResource {
        stack_id: format!("arn:aws:cloudformation:eu-central-1:1:stack/{}/guid", "s".repeat(128)),
        logical_id: "L".repeat(255),
    };
    let id = PhysicalId::of(&long, &spec());
    assert!(id.as_str().len() < 128, "{}", id.as_str().len());
    assert_eq!(PhysicalId::parse_for(&long, id.as_str()), Some(id));
}

#[test]
fn parse_for_rejects_a_physical_id_of_another_resource() {
    let id = PhysicalId::of(&stack_resource(), &spec()).as_str().to_owned();
    for text in [
        String::new(),
        "ci-Runners-1ABCDEFGHIJKL".to_owned(),
        "2026/11/23/[$LATEST]0123456789abcdef".to_owned(),
        id.replace("ghr-", "gha-"),
        id.replace("Runners", "Runner"),
        id.replace("Runners", "Runners-Extra"),
        id.to_uppercase(),
        format!("{id}0"),
    ] {
        assert_eq!(PhysicalId::parse_for(&stack_resource(), &text), None, "{text}");
    }
}

#[test]
fn cluster_name_from_name_or_arn() {
    assert_eq!(cluster_name("arn:aws:ecs:eu-central-1:111122223333:cluster/build"), "build");
    assert_eq!(cluster_name("build"), "build");
}
