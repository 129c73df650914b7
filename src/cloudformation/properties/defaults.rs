//! Kinds with a default: the value of a property that the template does not have.

use serde_json::Value;

use super::problems::Problems;
use super::property::{DefaultValue, Kind, Shape};

/// A kind whose values have a constant form, which may be a default.
pub(super) trait Constant: Kind {
    /// The constant.
    type Constant: Copy + Sync;

    /// The value of a constant.
    fn value_of(&self, constant: Self::Constant) -> Self::Value;

    /// The text of a constant, as a template has it.
    fn text_of(&self, constant: Self::Constant) -> String;
}

/// A kind with the value of a property that the template does not have.
pub(super) struct WithDefault<K: Constant>(pub(super) K, pub(super) K::Constant);

impl<K: Constant> WithDefault<K> {
    pub(super) fn default(&self) -> K::Value {
        self.0.value_of(self.1)
    }
}

impl<K: Constant> Kind for WithDefault<K> {
    type Value = K::Value;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<K::Value> {
        self.0.read(given, path, problems)
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn default_value(&self) -> Option<DefaultValue> {
        Some(DefaultValue::Value(self.0.text_of(self.1)))
    }
}

/// A kind whose default follows from other properties, in words.
pub(super) struct WithDerivedDefault<K>(pub(super) K, pub(super) &'static str);

impl<K: Kind> Kind for WithDerivedDefault<K> {
    type Value = K::Value;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<K::Value> {
        self.0.read(given, path, problems)
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn default_value(&self) -> Option<DefaultValue> {
        Some(DefaultValue::Derived(self.1))
    }
}

/// A property that CloudFormation reads and checks: here every value is valid.
pub(super) struct ReadByCloudFormation<K>(pub(super) K);

impl<K: Kind> Kind for ReadByCloudFormation<K> {
    type Value = ();

    fn read(&self, _: &Value, _: &str, _: &mut Problems) -> Option<()> {
        Some(())
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn default_value(&self) -> Option<DefaultValue> {
        self.0.default_value()
    }
}
