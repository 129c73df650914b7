//! Properties of the decoder that hold for every template.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{decode, pool_properties_equal, property_names};
use super::{HOUR, properties, spec_of};

/// A value of any shape, often one that is valid somewhere.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..5_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("true"),
            Just("4"),
            Just("acme"),
            Just("/ci/x"),
            Just("https://github.com/a/b"),
            Just("subnet-1"),
            Just("m7i.large"),
            Just("Cancel"),
            Just("ghp_PLANTED"),
            Just("arn:aws:iam::1:role/x"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let name =
            prop_oneof![Just("Key".to_owned()), Just("Value".to_owned()), Just("Version".to_owned()), "\\PC{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The minimal properties with a few replaced by anything.
fn any_properties() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        8 => prop::sample::select(property_names().to_vec()).prop_map(str::to_owned),
        1 => "[A-Za-z.\\[]{0,12}",
    ];
    prop::collection::btree_map(name, any_value(), 0..8).prop_map(|changes| {
        let changes: Map<String, Value> = changes.into_iter().collect();
        properties(&Value::Object(changes))
    })
}

/// Every scalar as CloudFormation would send it.
fn with_string_scalars(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(value.to_string()),
        Value::Number(value) => json!(value.to_string()),
        Value::Array(items) => items.iter().map(with_string_scalars).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(name, value)| (name.clone(), with_string_scalars(value))).collect())
        }
        Value::Null | Value::String(_) => value.clone(),
    }
}

fn typed_template() -> impl Strategy<Value = Value> {
    (
        (0_u32..6, any::<bool>(), any::<bool>(), 6_u32..9_000, 0_u32..4_096),
        (1_u32..1_000, 0_u32..60, 0_u32..2_000, 0_u32..=100, 1_u32..=100),
    )
        .prop_map(|((count, ephemeral, privileged, memory, cpu), (online, idle, drain, percent, target))| {
            properties(&json!({
                "DesiredCount": count, "Ephemeral": ephemeral, "Privileged": privileged, "MemoryReservation": memory,
                "Cpu": cpu, "OnlineTimeout": online, "IdleConfirmation": idle, "DrainTimeout": drain,
                "OnDemandPercentageAboveBaseCapacity": percent, "TargetCapacity": target,
                "Environment": { "COUNT": count, "FLAG": ephemeral },
                "Tags": [{ "Key": "count", "Value": count }],
                "LaunchTemplate": { "LaunchTemplateName": "runners", "Version": 7 },
            }))
        })
}

proptest! {
    #[test]
    fn strings_and_typed_values_are_equivalent(typed in typed_template()) {
        let strings = with_string_scalars(&typed);
        let spec = spec_of(&typed);
        prop_assert!(spec.is_ok(), "{:?}", spec);
        prop_assert_eq!(&spec, &spec_of(&strings));
        prop_assert!(pool_properties_equal(&typed, &strings));
    }

    #[test]
    fn decode_returns_a_spec_or_problems_at_known_or_given_properties(properties in any_properties()) {
        match spec_of(&properties) {
            Ok(spec) => {
                prop_assert_eq!(decode(&properties, HOUR).tags, spec.tags);
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                let given = properties.as_object().unwrap();
                for problem in problems.as_slice() {
                    let root = problem.path().split(['.', '[']).next().unwrap();
                    let is_known = property_names().contains(&root);
                    let is_given = given.keys().any(|name| problem.path() == name || name.starts_with(root));
                    prop_assert!(is_known || is_given, "{}", problem);
                }
            }
        }
    }

    #[test]
    fn failure_reason_contains_no_token(properties in any_properties()) {
        if let Err(problems) = spec_of(&properties) {
            let shown = format!("{problems} {problems:?}");
            prop_assert!(!shown.contains("PLANTED"), "{}", shown);
        }
    }

    #[test]
    fn decode_never_panics(properties in any_value()) {
        let decoded = decode(&properties, HOUR);
        prop_assert!(decoded.deployed_spec().is_none() || properties.is_object());
    }

    #[test]
    fn order_of_subnets_is_ignored(mut subnets in prop::collection::vec("subnet-[0-9a-f]{8}", 1..6)) {
        let spec = spec_of(&properties(&json!({ "Subnets": &subnets })));
        subnets.reverse();
        prop_assert_eq!(spec, spec_of(&properties(&json!({ "Subnets": subnets.join(", ") }))));
    }
}
