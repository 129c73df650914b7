//! The schema of a template's pools, for editors: generated from the table of properties.
//!
//! An editor reads `!Ref Name` as the text `Name`, and `!If [...]` as a list. So texts and lists are valid wherever an
//! intrinsic function may stand, and only what can be none is invalid: an unknown property, a number out of its range.

use github_runner_pool::cloudformation::properties::property::{DefaultValue, Required, Row, Shape};
use github_runner_pool::cloudformation::properties::table::SECTIONS;
use serde_json::{Map, Value, json};

use crate::repository::assert_generated;

const INTRINSIC: &str = "#/definitions/Intrinsic";

fn property(row: &dyn Row) -> Value {
    let mut schema = with_intrinsic(shape(row.shape()));
    let default = match row.default_value() {
        Some(DefaultValue::Value(text)) => format!(" Default: {text}."),
        Some(DefaultValue::Derived(words)) => format!(" Default: {}.", words.replace('`', "")),
        None => String::new(),
    };
    schema["description"] = json!(format!("{}{default}", row.description()));
    schema
}

fn with_intrinsic(mut kinds: Vec<Value>) -> Value {
    kinds.push(json!({ "$ref": INTRINSIC }));
    json!({ "anyOf": kinds })
}

/// What a template may give for a shape, in addition to an intrinsic function.
fn shape(shape: Shape) -> Vec<Value> {
    let text = || json!({ "type": "string", "minLength": 1 });
    let scalar = || json!({ "type": ["string", "number", "boolean"] });
    match shape {
        Shape::Text => vec![text(), json!({ "type": ["number", "boolean"] })],
        Shape::RawText => vec![scalar()],
        Shape::Boolean => vec![json!({ "type": "boolean" }), json!({ "enum": ["true", "false"] })],
        Shape::Integer { min, max, .. } => {
            let mut integer = json!({ "type": "integer", "minimum": min });
            if let Some(max) = max {
                integer["maximum"] = json!(max);
            }
            vec![integer, json!({ "type": "string", "pattern": "^[0-9]+$" })]
        }
        Shape::Choice(names) => vec![json!({ "enum": names })],
        Shape::StringList => {
            vec![text(), json!({ "type": "array", "items": { "type": ["string", "number", "object"] } })]
        }
        Shape::RawTextMap => {
            vec![json!({ "type": "object", "additionalProperties": with_intrinsic(vec![scalar()]) })]
        }
        Shape::TextMap => {
            let values = with_intrinsic(vec![text(), json!({ "type": ["number", "boolean"] })]);
            vec![json!({ "type": "object", "additionalProperties": values })]
        }
        Shape::Object(_, fields) => vec![object(fields)],
        Shape::ObjectList(_, fields) => {
            vec![json!({ "type": "array", "items": with_intrinsic(vec![object(fields)]) })]
        }
    }
}

fn object(rows: &[&dyn Row]) -> Value {
    let properties: Map<String, Value> = rows.iter().map(|row| (row.name().to_owned(), property(*row))).collect();
    let is_required = |row: &&&dyn Row| matches!(row.required(), Required::Yes);
    let required: Vec<&str> = rows.iter().filter(is_required).map(|row| row.name()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
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

/// Which properties require each other, and which exclude each other: what the decoder checks of several properties, as far as
/// an editor can see it.
fn rules() -> Value {
    let one = |name: &str| json!({ "required": [name] });
    json!([
        { "anyOf": [one("OrgName"), one("RepoUrl"), one("EnterpriseName")] },
        exclude("OrgName", "RepoUrl"),
        exclude("OrgName", "EnterpriseName"),
        exclude("RepoUrl", "EnterpriseName"),
        { "anyOf": [one("AccessTokenParameter"), one("AppId"), one("RunnerTokenParameter")] },
        exclude("AccessTokenParameter", "AppId"),
        { "anyOf": [{ "required": ["LaunchTemplate", "Subnets"] }, one("CapacityProvider")] },
        exclude("LaunchTemplate", "CapacityProvider"),
        exclude("DesiredCount", "MaxRunners"),
    ])
}

/// Of two that are chosen between with `!If`, one turns out to be `AWS::NoValue`; so such a value does not count.
fn exclude(one: &str, other: &str) -> Value {
    let chosen = json!({ "anyOf": [{ "type": "array" }, { "type": "object", "required": ["Fn::If"] }] });
    json!({ "not": { "required": [one, other], "properties": { one: { "not": chosen }, other: { "not": chosen } } } })
}

fn pool() -> Value {
    let rows: Vec<&dyn Row> = SECTIONS.iter().flat_map(|section| section.rows.iter().copied()).collect();
    let mut pool = object(&rows);
    pool["description"] = json!("A pool of self-hosted GitHub Actions runners on Amazon ECS.");
    pool["dependencies"] = json!({
        "AppId": ["AppPrivateKeyParameter"],
        "AppPrivateKeyParameter": ["AppId"],
        "MinRunners": ["MaxRunners"],
        "RunnerScaleSetName": ["MaxRunners"],
    });
    pool["allOf"] = rules();
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
fn properties_schema_is_generated_from_the_table_of_properties() {
    let schema = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    assert_generated("cfn/properties.schema.json", &schema);
}
