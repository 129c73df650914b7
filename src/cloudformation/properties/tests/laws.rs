//! What holds for every template.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{decode, hints, pool_properties_equal, property_names, user_tags};
use super::{HOUR, properties};

/// A value of any shape, often one that means something.
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

/// The least template with a few properties replaced by anything.
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
fn stringly(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(value.to_string()),
        Value::Number(value) => json!(value.to_string()),
        Value::Array(items) => items.iter().map(stringly).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(name, value)| (name.clone(), stringly(value))).collect()),
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
    fn strings_and_typed_values_mean_the_same(typed in typed_template()) {
        let stringly = stringly(&typed);
        let spec = decode(&typed, HOUR);
        prop_assert!(spec.is_ok(), "{:?}", spec);
        prop_assert_eq!(&spec, &decode(&stringly, HOUR));
        prop_assert!(pool_properties_equal(&typed, &stringly));
    }

    #[test]
    fn any_template_is_a_pool_or_a_reason_that_names_its_properties(properties in any_properties()) {
        match decode(&properties, HOUR) {
            Ok(spec) => {
                prop_assert_eq!(hints(&properties).spec, Some(spec.clone()));
                prop_assert_eq!(user_tags(&properties), spec.tags);
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
    fn no_reason_repeats_a_token(properties in any_properties()) {
        if let Err(problems) = decode(&properties, HOUR) {
            let shown = format!("{problems} {problems:?}");
            prop_assert!(!shown.contains("PLANTED"), "{}", shown);
        }
    }

    #[test]
    fn a_delete_reads_any_properties_without_failing(properties in any_value()) {
        let hints = hints(&properties);
        prop_assert!(hints.spec.is_none() || properties.is_object());
        drop(user_tags(&properties));
    }

    #[test]
    fn the_order_of_subnets_means_nothing(mut subnets in prop::collection::vec("subnet-[0-9a-f]{8}", 1..6)) {
        let spec = decode(&properties(&json!({ "Subnets": &subnets })), HOUR);
        subnets.reverse();
        prop_assert_eq!(spec, decode(&properties(&json!({ "Subnets": subnets.join(", ") })), HOUR));
    }
}
