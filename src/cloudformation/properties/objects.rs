//! The property types: objects in properties, with a table of fields of their own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::formats::{is_aws_id, is_name};
use super::given::Given;
use super::problems::{Problems, redacted_name};
use super::property::{Kind, Property, Required, Row, Shape, Update};
use super::scalars::{RawText, Text, scalar};
use crate::pool::model::spec::{LaunchTemplate, LaunchTemplateId};

const LAUNCH_TEMPLATE_NAME_CHARS_MAX: usize = 128;
/// AWS accepts 50 tags. The pool adds four: three of ownership, and one of content or ECS's own `AmazonECSManaged`.
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html>
const TAGS_MAX: usize = 50 - 4;
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;
/// The prefixes of keys that a template cannot use.
const RESERVED_TAG_PREFIXES: &[&str] = &["aws:", "github-runner-pool:"];

static LAUNCH_TEMPLATE_ID: Property<Text> = Property {
    name: "LaunchTemplateId",
    accepts: Text { expected: "the ID of a launch template, lt-…", is_valid: |text| is_aws_id(text, "lt") },
    required: Required::Conditional("Specify either `LaunchTemplateId` or `LaunchTemplateName`."),
    update: Update::NoInterruption,
    description: "The ID of the launch template, such as lt-0a1b2c3d4e5f60718.",
    notes: "",
};

static LAUNCH_TEMPLATE_NAME: Property<Text> = Property {
    name: "LaunchTemplateName",
    accepts: Text {
        expected: "the name of a launch template",
        is_valid: |text| is_name(text, "-_./()", LAUNCH_TEMPLATE_NAME_CHARS_MAX),
    },
    required: Required::Conditional("Specify either `LaunchTemplateId` or `LaunchTemplateName`."),
    update: Update::NoInterruption,
    description: "The name of the launch template.",
    notes: "",
};

static LAUNCH_TEMPLATE_VERSION: Property<Text> = Property {
    name: "Version",
    accepts: Text {
        expected: "the number of a version, $Latest or $Default (with Fn::GetAtt LatestVersionNumber each new version \
                   updates the pool)",
        is_valid: is_version,
    },
    required: Required::Yes,
    update: Update::NoInterruption,
    description: "The version of the launch template: a number, $Latest or $Default.",
    notes: "Specify `!GetAtt LaunchTemplate.LatestVersionNumber` for a launch template of the same template, so that \
            each new version updates the pool. With `$Latest` and `$Default` CloudFormation notices no change, and \
            the pool uses the new version from its next update on.",
};

pub(super) static LAUNCH_TEMPLATE_FIELDS: &[&dyn Row] =
    &[&LAUNCH_TEMPLATE_ID, &LAUNCH_TEMPLATE_NAME, &LAUNCH_TEMPLATE_VERSION];

fn is_version(text: &str) -> bool {
    text == "$Latest" || text == "$Default" || text.parse::<u64>().is_ok_and(|number| number > 0)
}

static TAG_KEY: Property<Text> = Property {
    name: "Key",
    accepts: Text {
        expected: "up to 128 letters, digits, spaces and _ . : / = + - @, beginning neither with aws: nor with \
                   github-runner-pool:",
        is_valid: is_tag_key,
    },
    required: Required::Yes,
    update: Update::NoInterruption,
    description: "The key of the tag.",
    notes: "",
};

static TAG_VALUE: Property<RawText> = Property {
    name: "Value",
    accepts: RawText { expected: "up to 256 letters, digits, spaces and _ . : / = + - @", is_valid: is_tag_value },
    required: Required::Yes,
    update: Update::NoInterruption,
    description: "The value of the tag, which may be empty.",
    notes: "",
};

pub(super) static TAG_FIELDS: &[&dyn Row] = &[&TAG_KEY, &TAG_VALUE];

fn is_tag_key(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_reserved = RESERVED_TAG_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    !is_reserved && text.chars().count() <= TAG_KEY_CHARS_MAX && text.chars().all(is_tag_char)
}

fn is_tag_value(text: &str) -> bool {
    text.chars().count() <= TAG_VALUE_CHARS_MAX && text.chars().all(is_tag_char)
}

/// The characters that every service accepts in a tag.
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html>
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// `LaunchTemplate`.
pub(super) struct LaunchTemplateObject;

impl Kind for LaunchTemplateObject {
    type Value = LaunchTemplate;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<LaunchTemplate> {
        if !given.is_object() {
            problems.invalid(path, given, &self.expected());
            return None;
        }
        let fields = Given::object(given, path, LAUNCH_TEMPLATE_FIELDS, problems)?;
        match (fields.has(&LAUNCH_TEMPLATE_ID), fields.has(&LAUNCH_TEMPLATE_NAME)) {
            (true, false) | (false, true) => {}
            (true, true) => problems.add(
                path,
                "LaunchTemplateId and LaunchTemplateName exclude each other",
                "Specify one of the two.",
            ),
            (false, false) => problems.missing(
                &format!("{path}.{}", LAUNCH_TEMPLATE_ID.name),
                &format!("{} or {}", LAUNCH_TEMPLATE_ID.name, LAUNCH_TEMPLATE_NAME.name),
            ),
        }
        if !fields.has(&LAUNCH_TEMPLATE_VERSION) {
            problems.missing(&format!("{path}.Version"), LAUNCH_TEMPLATE_VERSION.accepts.expected);
        }
        let id = fields.get(&LAUNCH_TEMPLATE_ID).map(LaunchTemplateId::Id);
        let reference = id.or_else(|| fields.get(&LAUNCH_TEMPLATE_NAME).map(LaunchTemplateId::Name))?;
        Some(LaunchTemplate { reference, version: fields.get(&LAUNCH_TEMPLATE_VERSION)? })
    }

    fn shape(&self) -> Shape {
        Shape::Object("LaunchTemplate", LAUNCH_TEMPLATE_FIELDS)
    }

    fn expected(&self) -> String {
        "a map with Version, and LaunchTemplateId or LaunchTemplateName".to_owned()
    }
}

/// `Tags`.
pub(super) struct TagList;

impl Kind for TagList {
    type Value = BTreeMap<String, String>;

    fn read(&self, given: &Value, path: &str, problems: &mut Problems) -> Option<Self::Value> {
        let Some(items) = given.as_array() else {
            problems.invalid(path, given, &self.expected());
            return None;
        };
        let mut tags = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(fields) = Given::object(item, &path, TAG_FIELDS, problems) else { continue };
            for (name, is_given, expected) in [
                (TAG_KEY.name, fields.has(&TAG_KEY), "the tag's key"),
                (TAG_VALUE.name, fields.has(&TAG_VALUE), "the tag's value, which may be empty"),
            ] {
                if !is_given {
                    problems.missing(&format!("{path}.{name}"), expected);
                }
            }
            let (Some(key), Some(value)) = (fields.get(&TAG_KEY), fields.get(&TAG_VALUE)) else { continue };
            if tags.insert(key.clone(), value).is_some() {
                let problem = format!("duplicate key \"{}\"", redacted_name(&key));
                problems.add(&format!("{path}.Key"), problem, "Specify each key once.");
            }
        }
        if items.len() > TAGS_MAX {
            let remedy = format!("Specify at most {TAGS_MAX}; AWS accepts 50, which include those that the pool adds.");
            problems.add(path, format!("{} tags are too many", items.len()), remedy);
        }
        Some(tags)
    }

    fn shape(&self) -> Shape {
        Shape::ObjectList("Tag", TAG_FIELDS)
    }

    fn expected(&self) -> String {
        "a list of maps, such as [{Key: team, Value: ci}]".to_owned()
    }
}

/// The tags that have a key and a value, whatever is wrong with them or with others.
pub(super) fn tags_unvalidated(given: &Value) -> BTreeMap<String, String> {
    let items = given.as_array().into_iter().flatten();
    let tag = |item: &Value| {
        let key = Text::unvalidated(item.get(TAG_KEY.name)?)?;
        Some((key, scalar(item.get(TAG_VALUE.name)?)?))
    };
    items.filter_map(tag).collect()
}
