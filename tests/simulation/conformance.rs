//! The simulation's ECS, Auto Scaling and GitHub against the vectors of tests/conformance, as the sandbox's are.

mod driver;
mod observation;
mod scale_sets;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use self::driver::Driver;
pub(crate) use self::driver::content;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    source: Vec<String>,
    state: State,
    steps: Vec<Step>,
    #[serde(default)]
    note: Option<String>,
    /// By engine, the reason.
    #[serde(default)]
    not_modelled: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct State {
    level: Level,
    #[serde(default)]
    desired_count: u32,
    #[serde(default)]
    job: bool,
    /// So many tasks of the first `RunTask` are not started.
    #[serde(default)]
    refused_tasks: u32,
    /// Jobs wait until the listener acquires them, as on a GitHub Enterprise Server.
    #[serde(default)]
    jobs_are_acquired: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Level {
    Empty,
    Group,
    Provider,
    Associated,
    Service,
}

/// What a step lets expire.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Elapse {
    MessageSession,
    QueueToken,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Call {
        call: String,
        #[serde(default)]
        with: Map<String, Value>,
        expect: Value,
    },
    Now {
        now: Map<String, Value>,
    },
    Eventually {
        eventually: Map<String, Value>,
    },
    Elapse {
        elapse: Elapse,
    },
}

fn take(driver: &mut Driver, step: &Step) {
    match step {
        Step::Now { now } => {
            for (name, value) in now {
                assert_eq!(driver.observe(name), *value, "{name}");
            }
        }
        Step::Eventually { eventually } => {
            for (name, value) in eventually {
                driver.eventually(name, value);
            }
        }
        Step::Elapse { elapse } => driver.elapse(*elapse),
        Step::Call { call, with, expect } => match (driver.make(call, with), expect.get("error")) {
            (Ok(returned), None) => assert!(expect == "ok" || returned == *expect, "{call}: {returned}"),
            (Err(error), Some(code)) => {
                assert_eq!(error.remote_error.code.as_deref(), code.as_str(), "{call}");
                let message = expect["message"].as_str().unwrap();
                assert!(error.remote_error.message.contains(message), "{call}: {}", error.remote_error.message);
            }
            (Ok(returned), Some(code)) => panic!("{call} returned {returned}, not {code}"),
            (Err(error), None) => panic!("{call} failed: {:?}", error.remote_error),
        },
    }
}

#[test]
fn conformance_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut n_run = 0;
    let mut failed = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vectors: Vec<Vector> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for vector in vectors.iter().filter(|vector| !vector.not_modelled.contains_key("simulation")) {
            assert!(!vector.source.is_empty(), "{} has no source", vector.name);
            let outcome = std::panic::catch_unwind(|| {
                let mut driver = Driver::new(&vector.state);
                vector.steps.iter().for_each(|step| take(&mut driver, step));
            });
            if outcome.is_err() {
                failed.push(format!("{} ({:?})", vector.name, vector.note));
            }
            n_run += 1;
        }
    }
    assert!(n_run >= 40, "only {n_run} vectors");
    assert!(failed.is_empty(), "{failed:#?}");
}
