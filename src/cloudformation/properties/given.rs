//! The properties that a template gives, or the fields of an object among them.
//!
//! [`Given::properties`] checks every value against its row of the table, and adds every problem, so that one failed
//! deployment reports all of them. Afterwards a value is read by its row: [`Given::get`].
//!
//! A null is the same as a missing property: CloudFormation removes `AWS::NoValue`, other engines send null.

use serde_json::{Map, Value};

use super::defaults::{Constant, WithDefault};
use super::problems::{Problems, redacted_name};
use super::property::{Kind, Property, Row};
use super::scalars::Text;
use super::unknown_names;

/// Properties or fields by their names.
pub(super) struct Given<'json>(Option<&'json Map<String, Value>>);

impl<'json> Given<'json> {
    /// The properties of a request, checked one by one. No properties at all are an empty map.
    pub(super) fn properties(properties: &'json Value, rows: &[&dyn Row], problems: &mut Problems) -> Self {
        match properties {
            Value::Null => Self(None),
            Value::Object(map) => {
                check(map, "", rows, problems);
                Self(Some(map))
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                problems.add("ResourceProperties", "not a map", "Specify the properties by their names.");
                Self(None)
            }
        }
    }

    /// The fields of an object at `path`, checked one by one.
    pub(super) fn object(
        object: &'json Value,
        path: &str,
        fields: &[&dyn Row],
        problems: &mut Problems,
    ) -> Option<Self> {
        let Some(map) = object.as_object() else {
            let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
            problems.invalid(path, object, &format!("a map with {}", names.join(", ")));
            return None;
        };
        check(map, path, fields, problems);
        Some(Self(Some(map)))
    }

    /// Whether the template gives it, valid or not.
    pub(super) fn has<K>(&self, property: &Property<K>) -> bool {
        self.json(property).is_some()
    }

    /// The value, if the template gives a valid one.
    pub(super) fn get<K: Kind>(&self, property: &Property<K>) -> Option<K::Value> {
        // What is wrong has been added to the problems when all values were checked.
        property.accepts.read(self.json(property)?, property.name, &mut Problems::default())
    }

    /// The value, or the default if the template gives none or an invalid one.
    pub(super) fn get_or_default<K: Constant>(&self, property: &Property<WithDefault<K>>) -> K::Value {
        self.get(property).unwrap_or_else(|| property.accepts.default())
    }

    /// The text, whatever its format.
    pub(super) fn text_unvalidated(&self, property: &Property<Text>) -> Option<String> {
        Text::unvalidated(self.json(property)?)
    }

    /// The names in a map, whatever their values.
    pub(super) fn names_in<K>(&self, property: &Property<K>) -> impl Iterator<Item = &'json str> {
        let map = self.json(property).and_then(Value::as_object).into_iter().flatten();
        map.filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// The JSON that the template gives.
    pub(super) fn json<K>(&self, property: &Property<K>) -> Option<&'json Value> {
        self.0?.get(property.name).filter(|value| !value.is_null())
    }
}

/// Checks every entry of a map: its name, and its value by the row of that name.
fn check(map: &Map<String, Value>, path: &str, rows: &[&dyn Row], problems: &mut Problems) {
    let names: Vec<&str> = rows.iter().map(|row| row.name()).collect();
    let path_of = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for row in rows {
        if let Some(value) = map.get(row.name()).filter(|value| !value.is_null()) {
            row.check(value, &path_of(row.name()), problems);
        }
    }
    for name in map.keys().filter(|name| !names.contains(&name.as_str())) {
        let remedy = unknown_names::remedy(name, path, &names);
        problems.add(&path_of(&redacted_name(name)), "unknown property", remedy);
    }
}
