//! The schema of a template's pools, for editors: read off the types that decode them, worded by the reference.
//!
//! An editor reads `!Ref Name` as the text `Name`, and `!If [...]` as a list. So texts and lists pass wherever an
//! intrinsic function may stand, and only what can be none is refused: an unknown property, a number out of its range.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::super::collecting::Field;
use super::super::property_names;
use super::super::raw::Raw;
use super::super::stringly::{Flag, Seconds, Text, Texts, UNBOUNDED, Verbatim, Whole};

/// Where it is, below the repository's root.
const PLACE: &str = "cfn/properties.schema.json";
/// Where a newer one is written to when that is not current.
const NEWER: &str = "target/properties.schema.json";

const INTRINSIC: &str = "#/definitions/Intrinsic";

/// Every property may be left out, and may be an intrinsic function.
impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        match schema.get_mut("anyOf").and_then(Value::as_array_mut) {
            Some(kinds) => kinds.push(json!({ "$ref": INTRINSIC })),
            None => schema = json_schema!({ "anyOf": [schema, { "$ref": INTRINSIC }] }),
        }
        schema
    }
}

/// A leaf of the properties: the JSON that a template may give for it.
macro_rules! leaf {
    ($leaf:ty $([$($generics:tt)*])? = $kinds:tt) => {
        impl$(<$($generics)*>)? JsonSchema for $leaf {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($leaf).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": $kinds })
            }
        }
    };
}

leaf!(Text = [{ "type": "string", "minLength": 1 }, { "type": ["number", "boolean"] }]);
leaf!(Verbatim = [{ "type": ["string", "number", "boolean"] }]);
leaf!(Flag = [{ "type": "boolean" }, { "enum": ["true", "false"] }]);
leaf!(Texts = [{ "type": "string", "minLength": 1 }, { "type": "array", "items": { "type": ["string", "number", "object"] } }]);
leaf!(Whole<MIN, MAX> [const MIN: u32, const MAX: u32] = [whole(MIN, MAX), { "type": "string", "pattern": "^[0-9]+$" }]);
leaf!(Seconds<MIN, MAX> [const MIN: u32, const MAX: u32] = [whole(MIN, MAX), { "type": "string", "pattern": "^[0-9]+$" }]);

fn whole(min: u32, max: u32) -> Value {
    match max {
        UNBOUNDED => json!({ "type": "integer", "minimum": min }),
        max => json!({ "type": "integer", "minimum": min, "maximum": max }),
    }
}

/// What a template may say instead of a value, in full and in the short form as an editor sees it.
fn intrinsic() -> Value {
    json!({
        "anyOf": [
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": { "pattern": "^(Ref|Fn::[A-Za-z0-9]+)$" },
            },
            { "type": "string", "pattern": r"^[A-Za-z]|\$\{", "not": { "enum": ["yes", "no", "on", "off"] } },
            { "type": "array", "minItems": 2 },
        ],
    })
}

fn from_root(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(place)
}

/// What the reference's tables say of each property: its type and default, and its meaning.
fn wording() -> BTreeMap<String, String> {
    let reference = fs::read_to_string(from_root("cfn/resource-reference.md")).unwrap();
    let section = reference.split("\n## Properties\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let mut columns = row.splitn(3, " | ").map(|column| column.replace('`', ""));
        let mut column = || columns.next().unwrap_or_default();
        (column(), format!("{}: {}.", column(), column()))
    })
    .collect()
}

/// Which properties belong together, and which exclude each other.
fn rules() -> Value {
    let one = |name: &str| json!({ "required": [name] });
    json!([
        { "anyOf": [one("OrgName"), one("RepoUrl"), one("EnterpriseName")] },
        never_both("OrgName", "RepoUrl"),
        never_both("OrgName", "EnterpriseName"),
        never_both("RepoUrl", "EnterpriseName"),
        { "anyOf": [one("AccessTokenParameter"), one("AppId"), one("RunnerTokenParameter")] },
        never_both("AccessTokenParameter", "AppId"),
        { "anyOf": [{ "required": ["LaunchTemplate", "Subnets"] }, one("CapacityProvider")] },
        never_both("LaunchTemplate", "CapacityProvider"),
    ])
}

/// Of two that are chosen between with `!If`, one turns out to be `AWS::NoValue`; so such a value does not count.
fn never_both(one: &str, other: &str) -> Value {
    let chosen = json!({ "anyOf": [{ "type": "array" }, { "type": "object", "required": ["Fn::If"] }] });
    json!({ "not": { "required": [one, other], "properties": { one: { "not": chosen }, other: { "not": chosen } } } })
}

fn pool() -> Value {
    let mut pool = Value::from(SchemaSettings::draft07().into_generator().into_root_schema_for::<Raw>());
    let wording = wording();
    for (name, property) in pool["properties"].as_object_mut().unwrap() {
        let words = wording.get(name).unwrap_or_else(|| panic!("{name} has no row in the reference"));
        property["description"] = json!(words);
        property.as_object_mut().unwrap().remove("default");
    }
    let pool_map = pool.as_object_mut().unwrap();
    pool_map.remove("$schema");
    pool_map.remove("title");
    pool_map.insert("description".to_owned(), json!("A pool of self-hosted GitHub Actions runners on Amazon ECS."));
    pool_map.insert("additionalProperties".to_owned(), json!(false));
    pool_map.insert("required".to_owned(), json!(["ServiceToken", "Cluster"]));
    pool_map.insert(
        "dependencies".to_owned(),
        json!({ "AppId": ["AppPrivateKeyParameter"], "AppPrivateKeyParameter": ["AppId"] }),
    );
    pool_map.insert("allOf".to_owned(), rules());
    pool
}

/// Of a whole template, since an editor asks for that; the pools' properties stand in it by name.
fn schema() -> Value {
    let is_pool = json!({ "required": ["Type"], "properties": { "Type": { "const": "Custom::GitHubRunnerPool" } } });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A CloudFormation template with Custom::GitHubRunnerPool",
        "type": "object",
        "required": ["Resources"],
        "properties": {
            "Resources": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "if": is_pool,
                    "then": { "required": ["Properties"], "properties": { "Properties": { "$ref": "#/definitions/Pool" } } },
                },
            },
        },
        "definitions": { "Pool": pool(), "Intrinsic": intrinsic() },
    })
}

#[test]
fn the_schema_for_editors_is_current() {
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if fs::read_to_string(from_root(PLACE)).is_ok_and(|kept| kept == current) {
        return;
    }
    fs::create_dir_all(from_root("target")).unwrap();
    fs::write(from_root(NEWER), current).unwrap();
    panic!("{PLACE} is not what the types say. Look at {NEWER}, then: mv {NEWER} {PLACE}");
}

#[test]
fn the_schema_has_every_property_and_no_other() {
    let pool = pool();
    let mut named: Vec<&str> = pool["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut known = property_names().to_vec();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}
