//! The table of properties: one row for each, in the order of the reference.
//!
//! The decoder, the defaults, the failure reasons, cfn/properties.schema.json and cfn/resource-reference.md follow from
//! it.
//! What two properties mean together is not in it: the parts of the decoder check that, and for editors the rules in
//! `tests/integration/properties_schema.rs`.

pub(super) mod capacity;
pub(super) mod registration;
pub(super) mod runner;
pub(super) mod scaling;
pub(super) mod task;

use std::sync::LazyLock;

use super::property::Row;

/// Rows under a heading of the reference.
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The rows, in order.
    pub rows: &'static [&'static dyn Row],
}

/// The table.
pub static SECTIONS: &[Section] = &[
    Section { title: "Registration", rows: registration::TARGET },
    Section { title: "Credentials", rows: registration::CREDENTIALS },
    Section { title: "Runner", rows: runner::RUNNER },
    Section { title: "Container and task", rows: task::TASK },
    Section { title: "Capacity", rows: capacity::CAPACITY },
    Section { title: "Scaling and timeouts", rows: scaling::SCALING },
    Section { title: "CloudFormation", rows: scaling::CLOUDFORMATION },
];

/// CloudFormation's own properties: they say how to reach the function and how long to wait, not what the pool is.
pub(super) fn is_cloudformations(name: &str) -> bool {
    scaling::CLOUDFORMATION.iter().any(|row| row.name() == name)
}

/// Every row, in order.
pub(super) static ROWS: LazyLock<Vec<&'static dyn Row>> =
    LazyLock::new(|| SECTIONS.iter().flat_map(|section| section.rows.iter().copied()).collect());

/// The name of every property, in order; CloudFormation's own are the last.
#[must_use]
pub fn property_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| ROWS.iter().map(|row| row.name()).collect());
    &NAMES
}
