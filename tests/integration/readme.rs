//! The README against the code: what it lists is all there is.

use std::collections::BTreeSet;

use github_runner_pool::cloudformation::properties::{SERVICE_TIMEOUT_MAX, decode, property_names};
use serde_json::{Map, Value, json};

use crate::repository::text;
use crate::templates::{attributes, pools};

/// The text of a section, by its heading.
pub(crate) fn section(heading: &str) -> String {
    let readme = text("README.md");
    let below = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    below.split("\n## ").next().unwrap().to_owned()
}

/// The names in backticks in the first column of a section's tables.
pub(crate) fn listed(heading: &str) -> Vec<String> {
    let section = section(heading);
    let first_columns = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    first_columns.flat_map(|column| column.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_property_has_a_row_in_the_decoders_order() {
    assert_eq!(listed("Properties"), property_names());
}

#[test]
fn every_attribute_has_a_row() {
    assert_eq!(listed("Attributes").into_iter().collect::<BTreeSet<_>>(), attributes());
}

#[test]
fn every_setting_is_one_that_is_read() {
    let settings = text("src/settings.rs");
    for name in listed("Settings") {
        assert!(settings.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn the_template_to_copy_names_properties_that_the_decoder_knows() {
    let pools = pools(&section("A template to copy"));
    assert_eq!(pools.len(), 1);
    for name in pools.iter().flat_map(|pool| &pool.properties) {
        assert!(property_names().contains(&name.as_str()), "{name}");
    }
}

#[test]
fn every_command_of_make_exists() {
    let (readme, makefile) = (text("README.md"), text("Makefile"));
    let in_prose = readme.split("`make ").skip(1);
    let in_blocks = readme.split("\nmake ").skip(1);
    let targets: BTreeSet<&str> =
        in_prose.chain(in_blocks).filter_map(|rest| rest.split(['`', '\n', ' ']).next()).collect();
    assert!(targets.contains("demo") && targets.contains("check"), "{targets:?}");
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
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
    let section = section("Recipes");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1));
    let settings = |row: &str| row.split('`').skip(1).step_by(2).filter_map(setting).collect::<Vec<_>>();
    let blocks = section.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
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
                "CapacityProvider" => &["LaunchTemplate", "Subnets", "MaxInstances"],
                _ => &[],
            };
            for other in instead_of {
                pool.remove(*other);
            }
            pool.insert(name.clone(), value.clone());
        }
        let decoded = decode(&properties, SERVICE_TIMEOUT_MAX);
        assert!(decoded.is_ok(), "{recipe:?}: {}", decoded.unwrap_err());
    }
}
