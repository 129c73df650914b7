//! Lists and maps. Each item and each entry is read by itself, and has a path of its own, such as `Subnets[2]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::defaults::Constant;
use super::problems::{Problems, redacted_name};
use super::property::{Kind, Shape};
use super::scalars::{Parameter, RawText, Text, scalar};
use crate::pool::model::spec::ParameterRef;

/// Characters around and between items in other notations of a list: JSON, YAML, shells, spreadsheets.
const FOREIGN_MARKS: &[char] = &[';', '|', '[', ']', '{', '}', '"', '\n', '\r', '\t'];

/// A list of strings, or one string with commas, whose items have a format.
pub(super) struct StringList {
    pub(super) expected_item: &'static str,
    pub(super) is_valid_item: fn(&str) -> bool,
    pub(super) min_items: usize,
}

impl StringList {
    const EXPECTED: &'static str = "a list, or a string with commas between its items, such as a,b, none of them \
        empty; an item that contains a space as an item of a list";
    const EXPECTED_ITEM: &'static str =
        "a non-empty string without commas, semicolons, vertical bars, brackets, quotation marks and line breaks";

    fn item(item: &Value) -> Option<String> {
        Text::unvalidated(item).filter(|text| !text.contains(',') && !text.contains(FOREIGN_MARKS))
    }

    /// The items of one string; `None` if it is a list in another notation.
    fn split(text: &str) -> Option<Vec<String>> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        // To some people `gpu big` is a list; to GitHub it is a label that no job asks for.
        let is_spaced = matches!(items.as_slice(), [only] if only.contains(char::is_whitespace));
        let is_foreign = items.contains(&"") || is_spaced || text.trim().contains(FOREIGN_MARKS);
        (!is_foreign).then(|| items.into_iter().map(str::to_owned).collect())
    }
}

impl Kind for StringList {
    type Value = Vec<String>;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<Vec<String>> {
        let items: Vec<Option<String>> = match given {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    let text = Self::item(item);
                    if text.is_none() {
                        problems.invalid(&format!("{path}[{index}]"), item, Self::EXPECTED_ITEM);
                    }
                    text
                })
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                let Some(items) = scalar(given).and_then(|text| Self::split(&text)) else {
                    problems.invalid(path, given, Self::EXPECTED);
                    return None;
                };
                items.into_iter().map(Some).collect()
            }
        };
        if items.len() < self.min_items {
            problems.add(path, "an empty list is invalid", format!("Specify {}.", self.expected()));
        }
        let mut valid = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Some(item) if (self.is_valid_item)(&item) => valid.push(item),
                Some(item) => problems.invalid_text(&format!("{path}[{index}]"), &item, self.expected_item),
                None => {}
            }
        }
        Some(valid)
    }

    fn shape(&self) -> Shape {
        Shape::StringList
    }

    fn expected(&self) -> String {
        if self.min_items == 0 {
            format!("a list, each item {}", self.expected_item)
        } else {
            format!("a list with an item or more, each {}", self.expected_item)
        }
    }
}

impl Constant for StringList {
    type Constant = &'static [&'static str];

    fn value_of(&self, constant: Self::Constant) -> Vec<String> {
        constant.iter().map(|item| (*item).to_owned()).collect()
    }

    fn text_of(&self, constant: Self::Constant) -> String {
        constant.join(",")
    }
}

/// Plain environment variables.
pub(super) struct EnvironmentMap;

/// Environment variables with secret values.
pub(super) struct SecretsMap;

/// Reads the entries of a map of environment variables, each with `value`.
fn variables<K: Kind>(
    kind: &K,
    expected: &str,
    given: &Value,
    path: &str,
    problems: &mut Problems,
) -> Option<BTreeMap<String, K::Value>> {
    let Some(map) = given.as_object() else {
        problems.invalid(path, given, expected);
        return None;
    };
    let mut variables = BTreeMap::new();
    for (name, value) in entries(map) {
        let path = format!("{path}.{}", redacted_name(name));
        if let Some(value) = kind.read(value, &path, problems) {
            variables.insert(name.clone(), value);
        }
    }
    Some(variables)
}

/// The entries that are not null: CloudFormation removes `AWS::NoValue`, other engines send null.
fn entries(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.iter().filter(|(_, value)| !value.is_null())
}

impl Kind for EnvironmentMap {
    type Value = BTreeMap<String, String>;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<Self::Value> {
        let value = RawText { expected: "a string", is_valid: |_| true };
        variables(&value, &self.expected(), given, path, problems)
    }

    fn shape(&self) -> Shape {
        Shape::RawTextMap
    }

    fn expected(&self) -> String {
        "a map from names to values, such as {NAME: value}, and not ECS's list of {Name, Value}".to_owned()
    }
}

impl Kind for SecretsMap {
    type Value = BTreeMap<String, ParameterRef>;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<Self::Value> {
        variables(&Parameter { what: "the value" }, &self.expected(), given, path, problems)
    }

    fn shape(&self) -> Shape {
        Shape::TextMap
    }

    fn expected(&self) -> String {
        "a map from names to parameters, such as {NAME: /parameter}, and not ECS's list of {Name, ValueFrom}".to_owned()
    }
}
