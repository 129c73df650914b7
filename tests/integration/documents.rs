//! The documents against the code: what they list exists, and nothing is missing.

use std::collections::BTreeSet;

use github_runner_pool::cloudformation::properties::{SERVICE_TIMEOUT_MAX, decode, property_names};
use serde_json::{Map, Value, json};

use crate::repository::{files, text};
use crate::templates::pools;

const README: &str = "README.md";
const DEPLOYMENT: &str = "cfn/README.md";
const EXAMPLES: &str = "cfn/examples.md";
const SIZING: &str = "cfn/sizing.md";
const TESTING: &str = "tests/README.md";
const CONTRIBUTING: &str = ".github/CONTRIBUTING.md";
pub(crate) const TROUBLESHOOTING: &str = ".github/TROUBLESHOOTING.md";

/// A section of a document, by its heading.
pub(crate) fn section(document: &str, heading: &str) -> String {
    let document_text = text(document);
    let below = document_text.split(&format!("\n## {heading}\n")).nth(1);
    below.unwrap_or_else(|| panic!("{document}: no section {heading}")).split("\n## ").next().unwrap().to_owned()
}

/// The names in backticks in a column of the tables, counted from 0.
fn names_in_column(tables: &str, column: usize) -> Vec<String> {
    let columns = tables.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").nth(column));
    columns.flat_map(|column| column.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The names in backticks in the first column of the tables.
pub(crate) fn listed(tables: &str) -> Vec<String> {
    names_in_column(tables, 0)
}

#[test]
fn every_environment_variable_is_one_that_the_function_reads() {
    let settings = text("src/settings.rs");
    let listed = listed(&section(DEPLOYMENT, "Environment variables"));
    assert!(listed.len() > 3, "{listed:?}");
    for name in listed {
        assert!(settings.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn every_invariant_of_the_simulation_is_in_the_table_of_guarantees_and_no_other() {
    let of_invariants = |path: &String| path.starts_with("tests/simulation/invariants");
    let code: String =
        files("tests/simulation", "rs").iter().filter(|path| of_invariants(path)).map(|path| text(path)).collect();
    let defined = code.lines().filter_map(|line| {
        let signature = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").strip_prefix("fn ")?;
        let (name, _) = signature.split_once("(").filter(|_| signature.ends_with("-> Result<(), String> {"))?;
        Some(name.to_owned())
    });
    // The function that the invariants share is none itself.
    let defined: BTreeSet<String> = defined.filter(|name| name != "check").collect();
    let listed = names_in_column(&section(TESTING, "The simulation"), 1);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), defined);
}

#[test]
fn the_template_of_the_readme_names_properties_that_the_decoder_knows() {
    let pools = pools(&section(README, "Usage"));
    assert_eq!(pools.len(), 1);
    for name in pools.iter().flat_map(|pool| &pool.properties) {
        assert!(property_names().contains(&name.as_str()), "{name}");
    }
}

#[test]
fn every_command_of_make_exists() {
    let makefile = text("Makefile");
    let documents =
        [README, DEPLOYMENT, EXAMPLES, SIZING, TESTING, CONTRIBUTING, TROUBLESHOOTING, "tests/bench/README.md"];
    let documents: String = documents.map(text).concat();
    let in_prose = documents.split("`make ").skip(1);
    let in_blocks = documents.split("\nmake ").skip(1);
    let targets: BTreeSet<&str> =
        in_prose.chain(in_blocks).filter_map(|rest| rest.split(['`', '\n', ' ']).next()).collect();
    assert!(targets.contains("demo") && targets.contains("check"), "{targets:?}");
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

#[test]
fn ci_runs_the_command_that_the_readme_shows() {
    assert!(section(README, "Contributing").contains("```sh\nmake check\n```"));
    assert!(text(".ci/run").contains("\nmake check "));
}

/// What a recipe changes in a pool: `Name: value`, with lists and maps in one line. What YAML writes without quotation
/// marks is a text, as CloudFormation would send it.
fn setting(text: &str) -> Option<(String, Value)> {
    let (name, value) = text.trim().split_once(": ")?;
    let is_property = property_names().contains(&name) && !value.starts_with('!');
    let inside = |open, close| value.strip_prefix(open)?.strip_suffix(close);
    let value = if let Some(items) = inside('[', ']') {
        json!(items.split(", ").collect::<Vec<_>>())
    } else if let Some(entry) = inside('{', '}') {
        let (key, value) = entry.split_once(": ")?;
        Value::Object(Map::from_iter([(key.to_owned(), json!(value.trim_matches('"')))]))
    } else {
        json!(value)
    };
    is_property.then(|| (name.to_owned(), value))
}

/// The settings of each row of the recipes' table, and of the blocks of YAML below it.
fn recipes() -> Vec<Vec<(String, Value)>> {
    let (table, examples) = (section(EXAMPLES, "Recipes"), text(EXAMPLES));
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1));
    let settings = |row: &str| row.split('`').skip(1).step_by(2).filter_map(setting).collect::<Vec<_>>();
    let blocks = examples.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = |block: &str| block.lines().filter_map(setting).collect::<Vec<_>>();
    rows.map(settings).chain(blocks.map(lines)).filter(|recipe| !recipe.is_empty()).collect()
}

#[test]
fn every_recipe_is_one_that_the_function_takes() {
    let recipes = recipes();
    assert!(recipes.len() > 8, "{recipes:?}");
    for recipe in recipes {
        let mut properties = json!({
            "OrgName": "acme",
            "AccessTokenParameter": "/github-runner-pool/token",
            "ExecutionRoleArn": "arn:aws:iam::111122223333:role/github-runner-pool/execution",
            "DesiredCount": "4",
            "Cluster": "ci",
            "LaunchTemplate": { "LaunchTemplateId": "lt-0a1b2c3d", "Version": "3" },
            "Subnets": "subnet-0a1b2c3d",
            "MaxInstances": "4",
        });
        let pool = properties.as_object_mut().unwrap();
        for (name, value) in &recipe {
            let instead_of: &[&str] = match name.as_str() {
                "EnterpriseName" => &["OrgName"],
                "AppId" => &["AccessTokenParameter"],
                "MaxRunners" => &["DesiredCount"],
                "CapacityProvider" => &["LaunchTemplate", "Subnets", "MaxInstances"],
                _ => &[],
            };
            for other in instead_of {
                pool.remove(*other);
            }
            pool.insert(name.clone(), value.clone());
        }
        let decoded = decode(&properties, SERVICE_TIMEOUT_MAX);
        assert!(decoded.spec().is_ok(), "{recipe:?}: {}", decoded.spec().unwrap_err());
    }
}
