//! The templates of `cfn/` against the code: names of properties and attributes, and what an instance must have.

use std::collections::BTreeSet;

use github_runner_pool::cloudformation::properties::property_names;
use github_runner_pool::pool::model::attribute::Attribute;
use strum::VariantNames as _;

use crate::repository::{files, text};

const TYPE: &str = "Type: Custom::GitHubRunnerPool";

/// A pool in a template: its logical id, and the names of its properties.
pub(crate) struct Pool {
    pub(crate) logical_id: String,
    pub(crate) properties: Vec<String>,
}

/// Every pool of a template, or of a piece of one.
///
/// By indentation, which is enough for templates in block style: below the resource's name stand `Type` and
/// `Properties` on one level, and the properties' names one level deeper. `every_pool_is_found` guards it.
pub(crate) fn pools(template: &str) -> Vec<Pool> {
    let lines: Vec<&str> = template.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let pool = |at: usize| {
        let indent = indent_of(lines[at]);
        let name = lines[..at].iter().rev().find(|line| !line.trim().is_empty() && indent_of(line) < indent).unwrap();
        let below = lines[at + 1..].iter().take_while(|line| line.trim().is_empty() || indent_of(line) >= indent);
        let in_properties = below.skip_while(|line| line.trim() != "Properties:").skip(1);
        let keys = in_properties.take_while(|line| line.trim().is_empty() || indent_of(line) > indent);
        let keys = keys.filter(|line| indent_of(line) == indent + 2);
        Pool {
            logical_id: name.trim().trim_end_matches(':').to_owned(),
            properties: keys.filter_map(|line| Some(line.trim().split_once(':')?.0.to_owned())).collect(),
        }
    };
    (0..lines.len()).filter(|at| lines[*at].trim() == TYPE).map(pool).collect()
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The names that the code gives to `Fn::GetAtt`.
pub(crate) fn attributes() -> BTreeSet<String> {
    Attribute::VARIANTS.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_pool_is_found() {
    let found: Vec<String> =
        files("cfn", "yaml").iter().flat_map(|path| pools(&text(path))).map(|pool| pool.logical_id).collect();
    assert_eq!(
        found,
        ["Runners", "Runners", "Small", "Large", "Spot", "Plain", "Runners", "Runners", "Runners", "Runners"],
        "enterprise-server, existing-provider, four-pools, github-app, jobs, pool, spot-arm64"
    );
}

#[test]
fn a_template_names_properties_that_the_decoder_knows() {
    for path in files("cfn", "yaml") {
        for pool in pools(&text(&path)) {
            for name in &pool.properties {
                assert!(property_names().contains(&name.as_str()), "{path}: {}: {name}", pool.logical_id);
            }
            let has = |name: &str| pool.properties.iter().any(|given| given == name);
            for name in ["ServiceToken", "Cluster", "ExecutionRoleArn"] {
                assert!(has(name), "{path}: {} lacks {name}", pool.logical_id);
            }
            let own = has("LaunchTemplate") && has("Subnets");
            assert!(own != has("CapacityProvider"), "{path}: {} has no capacity, or two", pool.logical_id);
        }
    }
}

#[test]
fn a_template_asks_for_attributes_that_are_answered() {
    let attributes = attributes();
    let mut n_asked = 0;
    for path in files("cfn", "yaml") {
        let template = text(&path);
        for pool in pools(&template) {
            for (_, rest) in template.split(&format!("!GetAtt {}.", pool.logical_id)).skip(1).map(|rest| ((), rest)) {
                let name = rest.lines().next().unwrap_or_default().trim();
                assert!(attributes.contains(name), "{path}: {}.{name}", pool.logical_id);
                n_asked += 1;
            }
        }
    }
    assert!(n_asked >= attributes.len());
}

#[test]
fn the_complete_templates_show_every_attribute() {
    // One has a service and the other a runner scale set; the other's attribute is empty.
    let (fixed, as_many_as_jobs) = (text("cfn/pool.yaml"), text("cfn/jobs.yaml"));
    for name in attributes() {
        let shows = |template: &str| template.contains(&format!("!GetAtt Runners.{name}\n"));
        let of_jobs = !["ServiceName", "ServiceArn"].contains(&name.as_str());
        assert_eq!(shows(&fixed), name != "RunnerScaleSetName", "pool.yaml: {name}");
        assert_eq!(shows(&as_many_as_jobs), of_jobs, "jobs.yaml: {name}");
    }
}

#[test]
fn an_instance_guards_its_credentials_and_its_disk_and_joins_the_cluster() {
    for path in files("cfn", "yaml") {
        let template = text(&path);
        let n_templates = template.matches("Type: AWS::EC2::LaunchTemplate").count();
        for wanted in
            ["HttpTokens: required", "HttpPutResponseHopLimit: 1", "Encrypted: true", "ECS_CLUSTER=${Cluster} >>"]
        {
            assert_eq!(template.matches(wanted).count(), n_templates, "{path}: {wanted}");
        }
    }
}

#[test]
fn on_failure_queue_is_encrypted_and_its_records_come_back_to_the_function() {
    let template = text("cfn/provider.yaml");
    // A record holds a response URL.
    for wanted in ["SqsManagedSseEnabled: true", "aws:PrincipalArn: !GetAtt Role.Arn", "aws:SecureTransport: \"false\""]
    {
        assert!(template.contains(wanted), "{wanted}");
    }
    for wanted in ["Destination: !GetAtt OnFailureQueue.Arn", "EventSourceArn: !GetAtt OnFailureQueue.Arn"] {
        assert_eq!(template.matches(wanted).count(), 1, "{wanted}");
    }
}

#[test]
fn the_state_table_has_the_name_and_the_attributes_that_the_function_uses() {
    let template = text("cfn/provider.yaml");
    let adapter = [text("src/aws/dynamo_db.rs"), text("src/aws/state_store.rs")].concat();
    let stack_table = template.split("\n  StateTable:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(stack_table.contains("      TableName: !Sub ${FunctionName}-state\n"));
    assert!(text("src/settings.rs").contains(r#"owned("STATE_TABLE").unwrap_or_else(|| format!("{function}-state"))"#));
    for (constant, in_template) in [
        ("KEY", "KeySchema:\n        - AttributeName: "),
        ("KEY", "AttributeDefinitions:\n        - AttributeName: "),
        ("TTL", "TimeToLiveSpecification:\n        AttributeName: "),
    ] {
        let declared = adapter.split(&format!("const {constant}: &str = \"")).nth(1).unwrap();
        let attribute = declared.split('"').next().unwrap();
        assert!(stack_table.contains(&format!("{in_template}{attribute}\n")), "{constant}: {attribute}");
    }
}

#[test]
fn a_registration_is_in_no_stream_and_its_table_is_named_after_the_function() {
    let template = text("cfn/provider.yaml");
    let resource = |name: &str| {
        let block = template.split(&format!("\n  {name}:\n")).nth(1).unwrap();
        block.split("\n\n").next().unwrap().to_owned()
    };
    let table = resource("RegistrationsTable");
    for wanted in ["TableName: !Sub ${FunctionName}-registrations\n", "StreamViewType: KEYS_ONLY\n"] {
        assert!(table.contains(wanted), "{wanted}");
    }
    let mapping = resource("RegistrationsMapping");
    for wanted in ["StartingPosition: TRIM_HORIZON\n", "- ReportBatchItemFailures"] {
        assert!(mapping.contains(wanted), "{wanted}");
    }
    assert!(!mapping.contains("DestinationConfig"), "a container asks anew");
}

#[test]
fn a_credential_is_read_by_no_role_of_a_pools_template() {
    for path in files("cfn", "yaml") {
        let template = text(&path);
        if !pools(&template).is_empty() {
            // The managed policy allows ssm:GetParameter on everything. A comment may name it.
            let attached = template.matches("policy/AmazonSSMManagedInstanceCore").count();
            assert_eq!(attached, 0, "{path}: AmazonSSMManagedInstanceCore");
            for action in ["ssm:GetParameter", "secretsmanager:GetSecretValue", "kms:Decrypt"] {
                assert!(!template.contains(action), "{path}: {action}");
            }
        }
    }
}

#[test]
fn a_function_from_a_bucket_has_the_settings_of_a_deployed_one() {
    let template = text("cfn/provider.yaml");
    let deployed = ["cfn/deploy/provider.py", "cfn/deploy/upload.py"].map(text).concat();
    for (property, constant) in [("Timeout", "TIMEOUT_SECS"), ("MemorySize", "MEMORY_MIB"), ("Runtime", "RUNTIME")] {
        let value = |text: &str, head: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(head)).map(str::to_owned);
            line.unwrap_or_else(|| panic!("no {head}"))
        };
        let (made, given) = (value(&template, &format!("{property}: ")), value(&deployed, &format!("{constant} = ")));
        assert_eq!(made, given.trim_matches('"'), "{property}");
    }
    assert!(template.contains("RUNNER_ROLE_ARN: !GetAtt RunnerRole.Arn"));
    assert!(deployed.contains(r#""RUNNER_ROLE_ARN": outputs["RunnerRoleArn"]"#));
    assert!(template.contains("RecursiveLoop: Allow") && deployed.contains("RecursiveLoop=\"Allow\""));
}
