//! The template's properties: strings in, a [`PoolSpec`] out, or one text that names everything that is wrong.
//!
//! CloudFormation sends every scalar as a string, at any depth; typed values are taken as well. Reading has two stages:
//! `raw` gives each property its shape, and the files beside it say, part by part, what the values mean and whether
//! they go together. Both write what is wrong into the same list and go on, so that one failed deployment tells all.
//!
//! Values that may be secret are never repeated: see `problems`.

mod capacity;
mod collecting;
mod github;
mod hints;
mod problems;
mod raw;
mod runner;
mod service;
mod shapes;
mod stringly;
mod task;
mod unknown;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

pub use hints::{Hints, hints, user_tags};
pub use problems::{Problem, Problems};
pub use service::{RESERVE, SERVICE_TIMEOUT_MAX};

use crate::pool::model::spec::PoolSpec;

use raw::Raw;

/// CloudFormation's own two properties: they say how to reach us and how long to wait, not what the pool is.
const HOUSEKEEPING: &[&str] = &["ServiceToken", "ServiceTimeout"];

/// Reads and checks the properties of a Create or an Update. `service_timeout` is what CloudFormation waits in all.
///
/// # Errors
/// All that is wrong, in the order of [`property_names`].
pub fn decode(properties: &Value, service_timeout: Duration) -> Result<PoolSpec, Problems> {
    let mut problems = Problems::default();
    let raw = Raw::read(properties, &mut problems);
    let spec = spec(&raw, &mut problems);
    service::check_patience(&service::wait_policy(&raw), service_timeout, &mut problems);
    problems.sort_as(property_names());
    match spec {
        Some(spec) if problems.is_empty() => Ok(spec),
        Some(_) | None => Err(problems),
    }
}

/// The name of every property, in the order in which they are documented; CloudFormation's own two are the last.
#[must_use]
pub fn property_names() -> &'static [&'static str] {
    collecting::names::<Raw>()
}

/// Whether two sets of properties ask for the same pool, text for text: at most `ServiceToken` and `ServiceTimeout`
/// differ. `"4"` and `4` are the same, so are `"true"` and `true`.
#[must_use]
pub fn pool_properties_equal(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return false };
    let wanted = |map: &serde_json::Map<String, Value>| -> BTreeMap<String, Value> {
        let entries = map.iter().filter(|(name, value)| !HOUSEKEEPING.contains(&name.as_str()) && !value.is_null());
        entries.map(|(name, value)| (name.clone(), as_text(value))).collect()
    };
    wanted(old) == wanted(new)
}

/// The value with every scalar as the string that CloudFormation makes of it.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        Value::Bool(value) => Value::String(value.to_string()),
        Value::Number(value) => Value::String(value.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(as_text).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(name, value)| (name.clone(), as_text(value))).collect()),
    }
}

/// The spec, without regard to how long CloudFormation waits; `None` as soon as anything is wrong.
fn spec(raw: &Raw, problems: &mut Problems) -> Option<PoolSpec> {
    let github = github::target(raw, problems);
    let credentials = github::credentials(raw, github.as_ref(), problems);
    let runner = runner::runner(raw, problems);
    let task = task::task(raw, problems);
    let cluster = capacity::cluster(raw, problems);
    let capacity = capacity::capacity(raw, problems);
    let tags = service::tags(raw, problems);
    let spec = PoolSpec {
        github: github?,
        credentials: credentials?,
        runner,
        task,
        cluster: cluster?,
        capacity: capacity?,
        desired_count: raw.desired_count.get().map_or(1, |count| count.0),
        distinct_instances: raw.distinct_instances.get().is_some_and(|flag| flag.0),
        wait_policy: service::wait_policy(raw),
        tags,
    };
    problems.is_empty().then_some(spec)
}

#[cfg(test)]
mod tests;
