//! The leaves of the properties: values that may come typed or, as CloudFormation sends them, as text.
//!
//! Each says in `expecting` what it accepts; that text reaches the person who gave something else.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::collecting::Field;

/// What stands between items in notations other than ours, or around a list in them: JSON, YAML, shells, spreadsheets.
const FOREIGN_MARKS: &[char] = &[';', '|', '[', ']', '{', '}', '"', '\n', '\r', '\t'];

/// The forms of a list that are accepted.
const LIST_FORMS: &str = "a list, or one text with commas between its items, such as a,b, none of them empty; an item \
    with a space in it as an item of a list";

/// A bound that is no bound for people: what ECS and Auto Scaling take at most is a signed 32-bit number.
pub(super) const UNBOUNDED: u32 = 2_147_483_647;

/// A text that is not empty, surrounding white space removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(ScalarVisitor { accepted: "a text" })?;
        match text.trim() {
            "" => Err(D::Error::custom("a text, or leave the property out")),
            trimmed => Ok(Self(trimmed.to_owned())),
        }
    }
}

/// A text as it stands: empty or with white space around it, it is a value too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verbatim(pub(super) String);

impl<'de> Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor { accepted: "a text" }).map(Self)
    }
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let accepted = "true or false";
        let text = deserializer.deserialize_any(ScalarVisitor { accepted })?;
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(D::Error::custom(accepted)),
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ranged(deserializer, "a whole number", MIN, MAX).map(Self)
    }
}

/// A span given in whole seconds, from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds<const MIN: u32, const MAX: u32>(pub(super) Duration);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Seconds<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secs = ranged(deserializer, "a whole number of seconds", MIN, MAX)?;
        Ok(Self(Duration::from_secs(u64::from(secs))))
    }
}

/// A list of texts, or one text with commas between its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Texts(Vec<Field<Item>>);

impl Texts {
    /// Whether the template gave no item at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items that could be read, each with its place in the template.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().enumerate().filter_map(|(index, item)| item.get().map(|item| (index, item.0.as_str())))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

fn ranged<'de, D: Deserializer<'de>>(deserializer: D, what: &str, min: u32, max: u32) -> Result<u32, D::Error> {
    let accepted =
        if max == UNBOUNDED { format!("{what}, {min} or more") } else { format!("{what} from {min} to {max}") };
    let text = deserializer.deserialize_any(ScalarVisitor { accepted: &accepted })?;
    match text.trim().parse::<u32>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(D::Error::custom(accepted)),
    }
}

/// Takes any scalar as the text that CloudFormation would have made of it.
struct ScalarVisitor<'accepted> {
    accepted: &'accepted str,
}

impl Visitor<'_> for ScalarVisitor<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.accepted)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item(String);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let accepted = "a text without commas, semicolons, vertical bars, brackets, quotation marks and line breaks";
        let text = deserializer.deserialize_any(ScalarVisitor { accepted })?;
        match text.trim() {
            "" => Err(D::Error::custom(accepted)),
            trimmed if trimmed.contains(',') || trimmed.contains(FOREIGN_MARKS) => Err(D::Error::custom(accepted)),
            trimmed => Ok(Self(trimmed.to_owned())),
        }
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LIST_FORMS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        // `gpu big` is a list to some, and a label that no job asks for to GitHub.
        let is_spaced = matches!(items.as_slice(), [only] if only.contains(char::is_whitespace));
        if items.contains(&"") || is_spaced || text.trim().contains(FOREIGN_MARKS) {
            return Err(E::invalid_value(Unexpected::Str(text), &self));
        }
        Ok(Texts(items.into_iter().map(|item| Field::Given(Item(item.to_owned()))).collect()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Texts, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Texts, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Texts(items))
    }
}
