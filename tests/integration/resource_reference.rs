//! cfn/resource-reference.md, in the form of CloudFormation's own reference: generated from the table of properties.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use github_runner_pool::cloudformation::properties::property::{DefaultValue, Required, Row, Shape, Update};
use github_runner_pool::cloudformation::properties::table::SECTIONS;

use crate::repository::assert_generated;
use crate::templates::attributes;

/// What `Fn::GetAtt` returns.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("ServiceArn", "The ARN of the ECS service; empty with `MaxRunners`."),
    ("ServiceName", "The name of the ECS service; empty with `MaxRunners`."),
    ("ClusterName", "The name of the ECS cluster, also where `Cluster` is an ARN."),
    ("TaskDefinitionArn", "The ARN of the task definition, with the revision from which new runners start."),
    ("CapacityProviderName", "The name of the pool's own capacity provider, or `CapacityProvider`."),
    ("AutoScalingGroupName", "The name of the Auto Scaling group; empty with `CapacityProvider`."),
    ("AutoScalingGroupArn", "The ARN of the Auto Scaling group; empty with `CapacityProvider`."),
    (
        "RunnerLabel",
        "The label that all runners of this pool have and no others, for \
         `runs-on: [self-hosted, ghr-ci-Runners-0a1b2c3d4e]`.",
    ),
    ("RunnerNamePrefix", "The prefix of the runners' names in GitHub, or `RunnerName`."),
    (
        "DesiredCount",
        "The number of runners that the template specifies; with `MaxRunners`, `MinRunners` and the jobs of that moment \
         at the end of the last Create or Update.",
    ),
    ("RunnerScaleSetName", "The name of the runner scale set, which is one of its labels; empty without `MaxRunners`."),
    ("OnlineRunners", "The number of runners that were online at the end of the last Create or Update."),
];

const INTRODUCTION: &str = "\
<!-- Generated from src/cloudformation/properties/table by tests/integration/resource_reference.rs. Edit those. -->

# Custom::GitHubRunnerPool

A pool of self-hosted GitHub Actions runners: containers on Amazon ECS on EC2 instances, either a fixed number
(`DesiredCount`) or as many as jobs (`MaxRunners`). The resource creates a task definition, an ECS service or a runner
scale set and, unless `CapacityProvider` names an existing one, an Auto Scaling group with a capacity provider. Updates
and deletions drain running jobs first. [examples.md](examples.md) shows the resource in use, and [README.md](README.md)
how the function that serves it is deployed.

## Syntax
";

const PROPERTIES: &str = r#"
## Properties

- **Required** properties are `ServiceToken`, `Cluster`, exactly one of `OrgName`, `RepoUrl` and `EnterpriseName`, a
  credential, and either `LaunchTemplate` with `Subnets`, or `CapacityProvider`.
- **Values** may be typed or strings, and lists may be strings with commas, since CloudFormation sends every scalar as a
  string.
- **Invalid properties** fail the request before anything is created or changed. The failure reason names all of them,
  each with what is accepted. An unknown name is an error, and so is an empty string; specify
  `!Ref AWS::NoValue` to omit a property.
- **Names** are those of the image's environment variables in Pascal case: `RUNNER_GROUP` is `RunnerGroup`.
- **Update requires** is in the words of
  [CloudFormation](https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html).
  *No interruption*: runners keep running. *Some interruptions*: new runners come online, then the old ones are drained
  and removed; a running job ends first, within `DrainTimeout`. *Replacement*: a new pool is created, then CloudFormation
  deletes the old one, which drains its runners.

In an editor with [yaml-language-server](https://github.com/redhat-developer/yaml-language-server), such as VS Code with
its YAML extension, the first line `# yaml-language-server: $schema=PATH/cfn/properties.schema.json` of a template enables
completion, these descriptions and validation. Add CloudFormation's tags to `yaml.customTags`.
"#;

const REF: &str = "
## Return values

### Ref

`Ref` returns the pool's physical ID, `ghr-STACK-LOGICALID-DIGITS`, such as `ghr-ci-Runners-0a1b2c3d4e`. It is the name of
the ECS service, the task family, the Auto Scaling group and the capacity provider, and a label of every runner. With
`MaxRunners` there is no service, and it is a label of the runner scale set and, by default, its name.

### Fn::GetAtt

Every attribute is a string, and is returned by every Create and Update.

";

const EXAMPLES: &str = r#"
## Examples

### Two runners of an organization

The minimum, with an ECS cluster, a launch template, subnets and an execution role of the same template.

```yaml
Runners:
  Type: Custom::GitHubRunnerPool
  Properties:
    ServiceToken: !Sub arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:github-runner-pool
    OrgName: acme
    AccessTokenParameter: /github-runner-pool/token
    ExecutionRoleArn: !GetAtt ExecutionRole.Arn
    Cluster: !Ref Cluster
    LaunchTemplate:
      LaunchTemplateId: !Ref LaunchTemplate
      Version: !GetAtt LaunchTemplate.LatestVersionNumber
    Subnets: !Ref Subnets
    DesiredCount: 2
```

### As many runners as jobs

Replace `DesiredCount` in the properties above. `MinRunners` may be left out; with `1` the next job does not wait for an
instance.

```yaml
    MaxRunners: 20
    MinRunners: 1
```

### Spot Instances of several types

Add these to the properties above for one On-Demand Instance and otherwise Spot Instances.

```yaml
    InstanceTypes: [m7i.large, m7a.large, m6i.large]
    OnDemandBaseCapacity: 1
    OnDemandPercentageAboveBaseCapacity: 0
    MaxInstances: 10
```

Whole templates to deploy are in the same folder, such as [pool.yaml](pool.yaml) and [jobs.yaml](jobs.yaml) with all that
a pool needs.
"#;

/// The name of the property type of an object.
fn object_of(row: &dyn Row) -> Option<(&'static str, &'static [&'static dyn Row])> {
    match row.shape() {
        Shape::Object(name, fields) | Shape::ObjectList(name, fields) => Some((name, fields)),
        Shape::Text
        | Shape::RawText
        | Shape::Boolean
        | Shape::Integer { .. }
        | Shape::Choice(_)
        | Shape::StringList
        | Shape::RawTextMap
        | Shape::TextMap => None,
    }
}

/// The type in a line of the syntax.
fn syntax_of(row: &dyn Row) -> String {
    match row.shape() {
        Shape::Text | Shape::RawText | Shape::Choice(_) => " String".to_owned(),
        Shape::Boolean => " Boolean".to_owned(),
        Shape::Integer { .. } => " Integer".to_owned(),
        Shape::StringList => "\n    - String".to_owned(),
        Shape::RawTextMap | Shape::TextMap => "\n    Name: String".to_owned(),
        Shape::Object(name, _) => format!("\n    {name}"),
        Shape::ObjectList(name, _) => format!("\n    - {name}"),
    }
}

/// The type, and what narrows it.
fn type_of(row: &dyn Row) -> Vec<String> {
    let list = |kind: &str| vec![format!("**Type:** {kind}"), format!("**Accepts:** {}", row.expected())];
    match row.shape() {
        Shape::Text | Shape::RawText => list("String"),
        Shape::Boolean => vec!["**Type:** Boolean".to_owned()],
        Shape::Integer { min, max, unit } => {
            let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
            let mut lines = vec![format!("**Type:** Integer{unit}"), format!("**Minimum:** `{min}`")];
            lines.extend(max.map(|max| format!("**Maximum:** `{max}`")));
            lines
        }
        Shape::Choice(names) => {
            vec!["**Type:** String".to_owned(), format!("**Allowed values:** `{}`", names.join(" | "))]
        }
        Shape::StringList => list("List of String, or a String with commas"),
        Shape::RawTextMap | Shape::TextMap => list("Map of String"),
        Shape::Object(name, _) => vec![format!("**Type:** [{name}](#{}-properties)", name.to_lowercase())],
        Shape::ObjectList(name, _) => {
            vec![format!("**Type:** List of [{name}](#{}-properties)", name.to_lowercase())]
        }
    }
}

fn entry(row: &dyn Row) -> String {
    let mut text = format!("\n#### `{}`\n\n{}", row.name(), row.description());
    if !row.notes().is_empty() {
        _ = write!(text, " {}", row.notes());
    }
    text.push_str("\n\n");
    let mut lines = vec![match row.required() {
        Required::Yes => "**Required:** Yes".to_owned(),
        Required::No => "**Required:** No".to_owned(),
        Required::Conditional(condition) => format!("**Required:** Conditional. {condition}"),
    }];
    lines.extend(type_of(row));
    lines.extend(row.default_value().map(|default| match default {
        DefaultValue::Value(text) => format!("**Default:** `{text}`"),
        DefaultValue::Derived(words) => format!("**Default:** {words}"),
    }));
    lines.push(match row.update() {
        Update::NoInterruption => "**Update requires:** No interruption".to_owned(),
        Update::SomeInterruptions => {
            "**Update requires:** Some interruptions (runners are drained and replaced)".to_owned()
        }
        Update::Replacement => "**Update requires:** Replacement".to_owned(),
        Update::Unsupported => "**Update requires:** Updates are not supported".to_owned(),
    });
    for line in lines {
        _ = writeln!(text, "- {line}");
    }
    text
}

fn reference() -> String {
    let rows = || SECTIONS.iter().flat_map(|section| section.rows.iter().copied());
    let mut text = format!("{INTRODUCTION}\n```yaml\nType: Custom::GitHubRunnerPool\nProperties:\n");
    for row in rows() {
        _ = writeln!(text, "  {}:{}", row.name(), syntax_of(row));
    }
    _ = write!(text, "```\n{PROPERTIES}");
    for section in SECTIONS {
        _ = write!(text, "\n### {}\n", section.title);
        text.extend(section.rows.iter().map(|row| entry(*row)));
    }
    text.push_str("\n## Property types\n");
    for (name, fields) in rows().filter_map(object_of) {
        _ = write!(text, "\n### {name} properties\n");
        text.extend(fields.iter().map(|field| entry(*field)));
    }
    text.push_str(REF);
    for (name, description) in ATTRIBUTES {
        _ = writeln!(text, "- `{name}`: {description}");
    }
    text.push_str(EXAMPLES);
    text
}

#[test]
fn resource_reference_is_generated_from_the_table_of_properties() {
    assert_generated("cfn/resource-reference.md", &reference());
}

#[test]
fn every_attribute_is_a_return_value() {
    let described: BTreeSet<String> = ATTRIBUTES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(described, attributes());
}

#[test]
fn descriptions_are_single_sentences_without_markdown() {
    let rows = SECTIONS.iter().flat_map(|section| section.rows.iter().copied());
    let fields = rows.clone().filter_map(object_of).flat_map(|(_, fields)| fields.iter().copied());
    for row in rows.chain(fields) {
        let description = row.description();
        let is_sentence = description.ends_with('.') && !description.trim_end_matches('.').contains(". ");
        assert!(is_sentence && !description.contains(['`', '[', '*']), "{}: {description}", row.name());
    }
}
