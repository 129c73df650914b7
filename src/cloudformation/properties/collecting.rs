//! A serde deserializer over JSON that does not stop at the first problem.
//!
//! Plain serde, with or without a path-tracking helper, ends at the first value that does not fit; a person who wrote
//! seven wrong properties would deploy seven times. Here a problem is written down where it occurs, with its path, and
//! reading goes on at the next [`Field`]. A key that a struct does not declare is a problem too and names the nearest
//! one that it does. So a struct's declaration is the only list of its names.
//!
//! A null is as good as absent: CloudFormation removes `AWS::NoValue`, other engines send null.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess, Unexpected};
use serde::de::{IntoDeserializer as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::problems::{Problems, shown_name};
use super::raw::FORMS;
use super::unknown;

/// What became of one property: the place at which reading goes on after a problem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Field<T> {
    /// Not in the template.
    #[default]
    Absent,
    /// There, and wrong: its problem is written down already.
    Unreadable,
    /// There, and readable.
    Given(T),
}

impl<T> Field<T> {
    /// The value, if it could be read.
    pub(super) const fn get(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }

    /// Whether the template has it, readable or not.
    pub(super) const fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through the deserializer, not around it: so it sees every error, even one that `T` finds in what it was given.
        let read = deserializer.deserialize_newtype_struct("Field", FieldVisitor(PhantomData));
        Ok(read.map_or(Self::Unreadable, Self::Given))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// Reads a struct whose fields are all [`Field`]s with a default, and writes down what is wrong with it under `at`.
pub(super) fn read<'de, T: Deserialize<'de> + Default>(value: &'de Value, at: &str, problems: &mut Problems) -> T {
    let found = RefCell::new(std::mem::take(problems));
    let read = T::deserialize(Reader { value, at: at.to_owned(), problems: &found }).unwrap_or_default();
    *problems = found.into_inner();
    read
}

/// The names that a struct declares, in the order of its declaration.
pub(super) fn names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The reader refuses to go on once it has seen the names: an error by design.
    drop(T::deserialize(NamesReader(&mut names)));
    names
}

/// `A, B or C`.
fn either(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// A name without its spelling: the image's `RUNNER_GROUP` is our `RunnerGroup`.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// What a deserializer here fails with.
#[derive(Debug)]
pub(super) enum Unfit {
    /// What would have been accepted; not written down yet, since a visitor does not know where it is.
    Wanted(String),
    /// Written down.
    Noted,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wanted(accepted) => accepted,
            Self::Noted => "noted",
        })
    }
}

impl std::error::Error for Unfit {}

impl serde::de::Error for Unfit {
    fn custom<T: fmt::Display>(accepted: T) -> Self {
        Self::Wanted(accepted.to_string())
    }

    // serde's own texts for these two quote the value, which may be a secret.
    fn invalid_type(_: Unexpected<'_>, accepted: &dyn Expected) -> Self {
        // serde's word for what CloudFormation's people call a list.
        Self::Wanted(accepted.to_string().replace("a sequence", "a list"))
    }

    fn invalid_value(_: Unexpected<'_>, accepted: &dyn Expected) -> Self {
        Self::Wanted(accepted.to_string())
    }
}

/// Reads one value at one path.
struct Reader<'de, 'found> {
    value: &'de Value,
    at: String,
    problems: &'found RefCell<Problems>,
}

impl<'de> Reader<'de, '_> {
    /// Writes down an error that nobody below has written down.
    fn noted<T>(&self, read: Result<T, Unfit>) -> Result<T, Unfit> {
        read.map_err(|unfit| {
            if let Unfit::Wanted(accepted) = unfit {
                let form = FORMS.iter().find(|(at, _)| *at == self.at).map_or(accepted.as_str(), |(_, form)| form);
                self.problems.borrow_mut().unfit(&self.at, self.value, form);
            }
            Unfit::Noted
        })
    }

    fn below(&self, name: &str) -> String {
        let name = shown_name(name);
        if self.at.is_empty() { name } else { format!("{}.{name}", self.at) }
    }

    /// Visits the map's entries that are not null; only the `known` ones if they are for a struct.
    fn entries<V: Visitor<'de>>(&self, visitor: V, known: Option<&'static [&'static str]>) -> Result<V::Value, Unfit> {
        let entries: Vec<(&'de String, &'de Value)> = self
            .value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, value)| !value.is_null() && known.is_none_or(|known| known.contains(&name.as_str())))
            .collect();
        visitor.visit_map(Entries { entries: entries.into_iter(), value: None, map: self })
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let read = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), _, _) => visitor.visit_u64(whole),
                (None, Some(whole), _) => visitor.visit_i64(whole),
                (None, None, Some(fraction)) => visitor.visit_f64(fraction),
                (None, None, None) => Err(Unfit::custom("a number of a usual size")),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), index: 0, list: &self }),
            Value::Object(_) => self.entries(visitor, None),
        };
        self.noted(read)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let Some(map) = self.value.as_object() else {
            return self.noted(Err(Unfit::Wanted(format!("a map with {}", fields.join(", ")))));
        };
        for name in map.keys().filter(|name| !fields.contains(&name.as_str())) {
            let advice = unknown::advice(name, &self.at, fields);
            self.problems.borrow_mut().add(&self.below(name), "is unknown", advice);
        }
        let read = self.entries(visitor, Some(fields));
        self.noted(read)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unfit> {
        let inner = Reader { value: self.value, at: self.at.clone(), problems: self.problems };
        let read = visitor.visit_newtype_struct(inner);
        self.noted(read)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let given = self.value.as_str().map(str::trim);
        let read = match variants.iter().find(|variant| given == Some(**variant)) {
            Some(variant) => {
                let variant: StrDeserializer<'_, Unfit> = variant.into_deserializer();
                visitor.visit_enum(variant)
            }
            None => Err(Unfit::Wanted(either(variants))),
        };
        self.noted(read)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// A list's items.
struct Items<'de, 'found, 'list> {
    items: std::slice::Iter<'de, Value>,
    index: usize,
    list: &'list Reader<'de, 'found>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_, '_> {
    type Error = Unfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unfit> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let at = format!("{}[{}]", self.list.at, self.index);
        self.index = self.index.saturating_add(1);
        seed.deserialize(Reader { value, at, problems: self.list.problems }).map(Some)
    }
}

/// A map's entries.
struct Entries<'de, 'found, 'map> {
    entries: std::vec::IntoIter<(&'de String, &'de Value)>,
    value: Option<(&'de String, &'de Value)>,
    map: &'map Reader<'de, 'found>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_, '_> {
    type Error = Unfit;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unfit> {
        self.value = self.entries.next();
        let Some((name, _)) = self.value else { return Ok(None) };
        let name: StrDeserializer<'_, Unfit> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Unfit> {
        let Some((name, value)) = self.value.take() else {
            return Err(Unfit::custom("a value after its name"));
        };
        seed.deserialize(Reader { value, at: self.map.below(name), problems: self.map.problems })
    }
}

/// Learns a struct's declared names from its derived code, and goes no further.
struct NamesReader<'names>(&'names mut &'static [&'static str]);

impl<'de> Deserializer<'de> for NamesReader<'_> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unfit> {
        Err(Unfit::Noted)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unfit> {
        *self.0 = fields;
        Err(Unfit::Noted)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
