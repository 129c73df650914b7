//! The README against the code: what it lists is all there is.

use std::collections::BTreeSet;

use github_runner_pool::cloudformation::properties::property_names;

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
