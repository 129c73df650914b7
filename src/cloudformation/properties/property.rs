//! What a row of the table of properties says.
//!
//! A row is a `Property` with a kind of values, which reads them. The decoder asks rows for names, values and defaults;
//! the schema and the reference are generated from [`Row`], which is a row of any kind.

use serde_json::Value;

use super::problems::Problems;

/// A property of the resource, or a field of an object in one.
pub(super) struct Property<K> {
    /// In Pascal case. A property that sets a variable of the image has the variable's name.
    pub(super) name: &'static str,
    /// The kind of its values.
    pub(super) accepts: K,
    /// Whether a template must have it.
    pub(super) required: Required,
    /// What happens to the pool when its value changes.
    pub(super) update: Update,
    /// One sentence that can stand alone, as an editor shows it.
    pub(super) description: &'static str,
    /// What else the reference says, in Markdown; may be empty.
    pub(super) notes: &'static str,
}

/// Whether a template must have a property.
#[derive(Clone, Copy)]
pub enum Required {
    /// Always.
    Yes,
    /// Never.
    No,
    /// It depends on other properties: on which, as a sentence.
    Conditional(&'static str),
}

/// What an Update that changes a property does, in the words of CloudFormation's own reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Running runners stay.
    NoInterruption,
    /// Runners are drained and replaced.
    SomeInterruptions,
    /// A new pool replaces the pool.
    Replacement,
    /// CloudFormation rejects the change.
    Unsupported,
}

/// The shape of a kind's values, for the reference and the schema.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A string that is not empty, surrounding white space ignored.
    Text,
    /// A string to the letter.
    RawText,
    /// `true` or `false`.
    Boolean,
    /// An integer.
    Integer {
        /// The least.
        min: u32,
        /// The greatest, if there is one.
        max: Option<u32>,
        /// What it counts; empty if the description says so.
        unit: &'static str,
    },
    /// One of a few strings.
    Choice(&'static [&'static str]),
    /// A list of strings, or one string with commas.
    StringList,
    /// A map from names to strings to the letter.
    RawTextMap,
    /// A map from names to strings.
    TextMap,
    /// An object, by its name in the reference, with its fields.
    Object(&'static str, &'static [&'static dyn Row]),
    /// A list of such objects.
    ObjectList(&'static str, &'static [&'static dyn Row]),
}

/// The value of a property that a template does not have.
pub enum DefaultValue {
    /// This one, as a template would have it.
    Value(String),
    /// One that follows from other properties: in words.
    Derived(&'static str),
}

/// A kind of values.
pub(super) trait Kind: Sync {
    /// A value that is valid.
    type Value;

    /// Reads a value that the template gives, and adds what is wrong with it under `path`.
    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<Self::Value>;

    /// The shape, for documentation.
    fn shape(&self) -> Shape;

    /// The values that are accepted, as a failure reason says it after `Specify`.
    fn expected(&self) -> String;

    /// The value of a property that the template does not have, for documentation.
    fn default_value(&self) -> Option<DefaultValue> {
        None
    }
}

/// A row of the table, whatever the kind of its values.
pub trait Row: Sync {
    /// The property's name.
    fn name(&self) -> &'static str;
    /// Whether a template must have it.
    fn required(&self) -> Required;
    /// What happens when its value changes.
    fn update(&self) -> Update;
    /// One sentence that can stand alone.
    fn description(&self) -> &'static str;
    /// What else the reference says, in Markdown; may be empty.
    fn notes(&self) -> &'static str;
    /// The shape of its values.
    fn shape(&self) -> Shape;
    /// The values that are accepted, as a failure reason says it after `Specify`.
    fn expected(&self) -> String;
    /// The value of a property that the template does not have.
    fn default_value(&self) -> Option<DefaultValue>;
    /// Adds what is wrong with a value that the template gives.
    fn check(&self, given: &Value, path: &str, problems: &mut Problems);
}

impl<K: Kind> Row for Property<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn required(&self) -> Required {
        self.required
    }

    fn update(&self) -> Update {
        self.update
    }

    fn description(&self) -> &'static str {
        self.description
    }

    fn notes(&self) -> &'static str {
        self.notes
    }

    fn shape(&self) -> Shape {
        self.accepts.shape()
    }

    fn expected(&self) -> String {
        self.accepts.expected()
    }

    fn default_value(&self) -> Option<DefaultValue> {
        self.accepts.default_value()
    }

    fn check(&self, given: &Value, path: &str, problems: &mut Problems) {
        drop(self.accepts.read(given, path, problems));
    }
}
