//! The properties of the resource: JSON in, a [`crate::pool::model::spec::PoolSpec`] or all that is invalid out.
//!
//! In reading order: `problems` collects what is invalid and never shows a value that may be secret; [`property`] is a
//! row of the table; `scalars`, `defaults`, `collections` and `objects` are the kinds of values; [`table`] has the rows;
//! `given` reads a template's values by them; `decode` checks what they mean together.
//!
//! A failed deployment reports every problem at once, since each costs a deployment.

mod collections;
mod decode;
mod defaults;
mod formats;
mod github_urls;
mod given;
mod objects;
mod problems;
pub mod property;
mod scalars;
pub mod table;
mod unknown_names;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use decode::scaling::{RESPONSE_MARGIN, SERVICE_TIMEOUT_MAX};
pub use decode::{DecodedProperties, decode};
pub use problems::{Problem, Problems};
pub use table::property_names;

/// Whether two sets of properties describe the same pool: they differ at most in `ServiceToken` and `ServiceTimeout`.
/// `"4"` and `4` are the same, and so are `"true"` and `true`.
#[must_use]
pub fn pool_properties_equal(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return false };
    pool_properties(old) == pool_properties(new)
}

fn pool_properties(map: &Map<String, Value>) -> BTreeMap<&str, Value> {
    let entries = map.iter().filter(|(name, value)| !table::is_cloudformations(name) && !value.is_null());
    entries.map(|(name, value)| (name.as_str(), with_string_scalars(value))).collect()
}

/// The value as CloudFormation sends it: every scalar is a string.
fn with_string_scalars(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        Value::Bool(value) => Value::String(value.to_string()),
        Value::Number(value) => Value::String(value.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(with_string_scalars).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(name, value)| (name.clone(), with_string_scalars(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests;
