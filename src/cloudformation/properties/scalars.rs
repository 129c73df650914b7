//! Kinds of scalar values: how each is read, and what is said of a value that is invalid.
//!
//! CloudFormation sends every scalar as a string, at any depth; typed values are accepted as well.

use std::time::Duration;

use serde_json::Value;

use super::defaults::Constant;
use super::formats::{is_parameter, is_secret_arn, is_whole_reference};
use super::problems::{Problems, is_credential_itself};
use super::property::{Kind, Shape};
use crate::pool::model::spec::ParameterRef;

/// The largest integer that ECS and Auto Scaling accept: to people, no bound.
pub(super) const UNBOUNDED: u32 = 2_147_483_647;

/// A scalar as the string that CloudFormation makes of it; `None` of a list, a map or null.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => number
            .as_u64()
            .map(|whole| whole.to_string())
            .or_else(|| number.as_i64().map(|whole| whole.to_string()))
            .or_else(|| number.as_f64().map(|fraction| fraction.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A string that is not empty, without surrounding white space, in a format.
pub(super) struct Text {
    pub(super) expected: &'static str,
    pub(super) is_valid: fn(&str) -> bool,
}

impl Text {
    /// The string, whatever its format.
    pub(super) fn unvalidated(given: &Value) -> Option<String> {
        scalar(given).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

impl Kind for Text {
    type Value = String;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<String> {
        let text = Self::unvalidated(given).filter(|text| (self.is_valid)(text));
        if text.is_none() {
            problems.invalid(path, given, self.expected);
        }
        text
    }

    fn shape(&self) -> Shape {
        Shape::Text
    }

    fn expected(&self) -> String {
        self.expected.to_owned()
    }
}

impl Constant for Text {
    type Constant = &'static str;

    fn value_of(&self, constant: &'static str) -> String {
        constant.to_owned()
    }

    fn text_of(&self, constant: &'static str) -> String {
        constant.to_owned()
    }
}

/// A string to the letter, empty or with white space around it, in a format.
pub(super) struct RawText {
    pub(super) expected: &'static str,
    pub(super) is_valid: fn(&str) -> bool,
}

impl Kind for RawText {
    type Value = String;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<String> {
        let text = scalar(given).filter(|text| (self.is_valid)(text));
        if text.is_none() {
            problems.invalid(path, given, self.expected);
        }
        text
    }

    fn shape(&self) -> Shape {
        Shape::RawText
    }

    fn expected(&self) -> String {
        self.expected.to_owned()
    }
}

/// `true` or `false`.
pub(super) struct Boolean;

impl Kind for Boolean {
    type Value = bool;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<bool> {
        match scalar(given).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) | None => {
                problems.invalid(path, given, &self.expected());
                None
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape::Boolean
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }
}

impl Constant for Boolean {
    type Constant = bool;

    fn value_of(&self, constant: bool) -> bool {
        constant
    }

    fn text_of(&self, constant: bool) -> String {
        constant.to_string()
    }
}

/// An integer from `min` to `max`.
pub(super) struct Integer {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) unit: &'static str,
}

impl Kind for Integer {
    type Value = u32;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<u32> {
        let number = scalar(given).and_then(|text| text.trim().parse::<u32>().ok());
        let number = number.filter(|number| (self.min..=self.max).contains(number));
        if number.is_none() {
            problems.invalid(path, given, &self.expected());
        }
        number
    }

    fn shape(&self) -> Shape {
        Shape::Integer { min: self.min, max: Some(self.max).filter(|max| *max != UNBOUNDED), unit: self.unit }
    }

    fn expected(&self) -> String {
        let Self { min, max, unit } = self;
        let what = if unit.is_empty() { "an integer".to_owned() } else { format!("an integer ({unit})") };
        if *max == UNBOUNDED { format!("{what} of {min} or more") } else { format!("{what} from {min} to {max}") }
    }
}

impl Constant for Integer {
    type Constant = u32;

    fn value_of(&self, constant: u32) -> u32 {
        constant
    }

    fn text_of(&self, constant: u32) -> String {
        constant.to_string()
    }
}

/// A duration in whole seconds.
pub(super) struct Seconds(Integer);

impl Seconds {
    pub(super) const fn new(min: u32, max: u32) -> Self {
        Self(Integer { min, max, unit: "seconds" })
    }
}

impl Kind for Seconds {
    type Value = Duration;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<Duration> {
        self.0.read(given, path, problems).map(|secs| Duration::from_secs(secs.into()))
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn expected(&self) -> String {
        self.0.expected()
    }
}

impl Constant for Seconds {
    type Constant = u32;

    fn value_of(&self, constant: u32) -> Duration {
        Duration::from_secs(constant.into())
    }

    fn text_of(&self, constant: u32) -> String {
        constant.to_string()
    }
}

/// One of a few values, each by its name.
pub(super) struct Choice<T: 'static> {
    pub(super) names: &'static [&'static str],
    /// In the order of the names.
    pub(super) values: &'static [T],
}

impl<T: Copy + Sync> Kind for Choice<T> {
    type Value = T;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<T> {
        let name = given.as_str().map(str::trim);
        let mut pairs = self.names.iter().zip(self.values);
        let value = pairs.find(|(known, _)| name == Some(**known)).map(|(_, value)| *value);
        if value.is_none() {
            problems.invalid(path, given, &self.expected());
        }
        value
    }

    fn shape(&self) -> Shape {
        Shape::Choice(self.names)
    }

    fn expected(&self) -> String {
        match self.names {
            [] => String::new(),
            [only] => (*only).to_owned(),
            [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
        }
    }
}

impl<T: Copy + Sync + PartialEq> Constant for Choice<T> {
    type Constant = T;

    fn value_of(&self, constant: T) -> T {
        constant
    }

    fn text_of(&self, constant: T) -> String {
        let mut pairs = self.names.iter().zip(self.values);
        pairs.find(|(_, value)| **value == constant).map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }
}

/// Where a secret value is stored; never the value itself.
pub(super) struct Parameter {
    /// The value, as the failure reason calls it.
    pub(super) what: &'static str,
}

impl Parameter {
    const EXPECTED: &'static str = "the name (from its leading slash on) or ARN of a Parameter Store parameter, or \
        the ARN of a Secrets Manager secret";
}

impl Kind for Parameter {
    type Value = ParameterRef;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<ParameterRef> {
        let Some(text) = Text::unvalidated(given) else {
            problems.invalid(path, given, Self::EXPECTED);
            return None;
        };
        if is_credential_itself(&text) {
            let what = self.what;
            let remedy = format!("Put {what} into Parameter Store as a SecureString and specify the parameter's name.");
            problems.add(path, "contains a secret (redacted)", remedy);
            return None;
        }
        if !is_parameter(&text) && !is_secret_arn(&text) {
            problems.invalid(path, given, Self::EXPECTED);
            return None;
        }
        if is_secret_arn(&text) && !is_whole_reference(&text) {
            let remedy = "End it with :KEY:: for a key of a JSON secret, with :KEY:STAGE: or :KEY::VERSION-ID for a \
                version of it, or with the secret's name for the whole secret, as ECS accepts it.";
            problems.add(path, "the secret's name is followed by a number of colons other than three", remedy);
            return None;
        }
        Some(ParameterRef(text))
    }

    fn shape(&self) -> Shape {
        Shape::Text
    }

    fn expected(&self) -> String {
        Self::EXPECTED.to_owned()
    }
}
