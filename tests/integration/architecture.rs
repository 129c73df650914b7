//! The code's own rules: who may name whom, and what no file may have.
//!
//! The tables are the architecture. A change to one of them is a decision; a test that fails without one is an import
//! that points the wrong way.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{Source, files, files_named, production, sources, text};

/// Each part, and the other parts that it may name. What is not listed may not be named.
const MODULES: &[(&str, &[&str])] = &[
    ("pool", &[]),
    ("reconcile", &["pool"]),
    ("version", &[]),
    ("http", &["pool", "version"]),
    ("log", &["metrics", "pool"]),
    ("metrics", &["pool"]),
    ("cloudformation", &["pool", "reconcile"]),
    ("aws", &["http", "pool", "reconcile", "version"]),
    ("github", &["http", "pool", "reconcile", "version"]),
    // Reads how AWS is reached, and by which proxies, into types of those that use them.
    ("settings", &["aws", "http", "pool"]),
    // Generic over the world: it names no adapter.
    ("handler", &["cloudformation", "metrics", "pool", "reconcile", "settings", "version"]),
    // Puts the real world together.
    ("clients", &["aws", "cloudformation", "github", "http", "pool", "reconcile", "settings"]),
    ("main", &["clients", "handler", "log", "metrics", "pool", "reconcile", "settings"]),
    ("lib", &[]),
];

/// Crates that belong to one part, and the files that may name them. A name that ends in `_` stands for all that begin
/// so.
const CRATES: &[(&str, &[&str])] = &[
    ("aws_sdk_", &["src/aws"]),
    ("aws_smithy_", &["src/aws"]),
    ("aws_credential_types", &["src/aws"]),
    ("aws_sigv4", &["src/aws"]),
    ("aws_types", &["src/aws"]),
    ("roxmltree", &["src/aws"]),
    (
        "reqwest",
        &[
            "src/http",
            "src/github",
            "src/cloudformation/response_sender",
            // Takes the one client.
            "src/aws.rs",
            "src/aws/http_client.rs",
        ],
    ),
    // Beside the one client: an App's key is PEM, and a certificate that is refused has its own sentence.
    ("rustls", &["src/http.rs", "src/github/error_kind.rs", "src/github/jwt.rs"]),
    ("webpki_roots", &["src/http.rs"]),
    ("ring", &["src/github"]),
    ("aws_lambda_events", &["src/cloudformation"]),
    ("time", &["src/pool"]),
    ("strsim", &["src/cloudformation"]),
    ("lambda_runtime", &["src/main.rs"]),
    ("tracing_subscriber", &["src/log.rs"]),
];

/// What the heart may name of what others wrote: values and their forms.
const CRATES_OF_THE_HEART: &[&str] = &["serde", "serde_json", "sha2", "strum", "thiserror", "time"];

/// The layers inside the parts that have some, from the bottom up: a file names only files before it in its list. A
/// file that is not listed belongs to the layer of the file whose folder it is in.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "pool::model",
        &[
            "time",
            "text",
            "secret",
            "attribute",
            "remote_error",
            "user_data",
            "spec",
            "github_access",
            "identity",
            "outcome",
            "request",
            "operation_lock",
            "ec2",
            "runner_log",
            "auto_scaling",
            "ecs",
            "runner",
            "scale_set",
            "runner_matching",
            "registration",
            "pool_metadata",
            "remains",
            "scaling",
            "observed",
            "evidence",
            "task_definition",
            "log_memory",
            "memory",
            "step",
            "decision",
            "operation",
            "continuation",
            "tick_record",
        ],
    ),
    (
        "pool::policy",
        &[
            "inventory",
            "status",
            "deployments",
            "runner_counts",
            "locking",
            "orphaned_pools",
            "reasons",
            "registration",
            "task_protection",
            "retirement",
            "demand",
            "start_delay",
            "purchasing",
            "warm_pool",
            "infrastructure",
            "capacity",
            "causes",
            "warnings",
            "preconditions",
            "outcome",
            "online_wait",
            "rollout",
            "job_rollout",
            "deletion",
            "convergence",
            "preview",
            "decide",
        ],
    ),
    (
        "github",
        &[
            "jwt",
            "rate_limit",
            "request",
            "response",
            "error_kind",
            "messages",
            "errors",
            "session",
            "client",
            "auth",
            "registration",
            "runners",
            "scale_sets",
        ],
    ),
    (
        "handler",
        &[
            "budget",
            "context",
            "error",
            "respond",
            "completion",
            "goal",
            "deletion",
            "operation",
            "guard",
            "preview",
            "inventory",
            "status",
            "event",
            "launch",
            "registration",
            "listen",
            "tick",
            "on_failure",
        ],
    ),
];

/// Lines of a Rust file, tests included: what is longer has more than one subject.
const LINES_MAX: usize = 400;

/// Fails with everything that was found, one a line.
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The crates of Cargo.toml, as code spells them.
fn crates() -> Vec<String> {
    let manifest = text("Cargo.toml");
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name.replace('-', "_")));
    names.filter(|name| !name.starts_with('#')).collect()
}

#[test]
fn every_part_of_the_code_is_in_the_table() {
    let known = |source: &Source| MODULES.iter().any(|(module, _)| source.is_in(module));
    let strays: Vec<String> = sources().into_iter().filter(|source| !known(source)).map(|source| source.path).collect();
    assert_none(&strays);
}

#[test]
fn imports_point_one_way() {
    let mut found = Vec::new();
    for source in production() {
        for (module, allowed) in MODULES.iter().filter(|(module, _)| source.is_in(module)) {
            let parts = source.modules().into_iter().filter(|name| MODULES.iter().any(|(part, _)| part == name));
            for named in parts.filter(|named| named != module && !allowed.contains(&named.as_str())) {
                found.push(format!("{}: {module} names {named}", source.path));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn a_file_names_only_files_of_the_layers_below_it() {
    let mut found = Vec::new();
    for (file, named) in files_named() {
        for (part, layers) in LAYERS {
            let layer = |module: &str| {
                let name = module.strip_prefix(part)?.strip_prefix("::")?.split("::").next()?.to_owned();
                Some(
                    layers.iter().position(|layer| *layer == name).unwrap_or_else(|| panic!("{module} is in no layer")),
                )
            };
            let Some(own) = layer(&file) else { continue };
            let above = named.iter().filter(|other| layer(other).is_some_and(|other| other > own));
            found.extend(above.map(|other| format!("{file} names {other}, which is above it")));
        }
        if file.starts_with("pool::model") {
            let policy = named.iter().filter(|other| other.starts_with("pool::policy"));
            found.extend(policy.map(|other| format!("{file} names {other}")));
        }
    }
    assert_none(&found);
}

#[test]
fn no_two_files_name_each_other_directly_or_around_a_corner() {
    let mut files: BTreeMap<String, BTreeSet<String>> = files_named().into_iter().collect();
    // What names nothing that is left is at the bottom; what stays in the end names itself around a corner.
    loop {
        let bottom: Vec<String> =
            files.iter().filter(|(_, named)| named.is_empty()).map(|(file, _)| file.clone()).collect();
        if bottom.is_empty() {
            break;
        }
        for file in bottom {
            files.remove(&file);
            for named in files.values_mut() {
                named.remove(&file);
            }
        }
    }
    let left =
        files.iter().map(|(file, named)| format!("{file}: {}", named.iter().cloned().collect::<Vec<_>>().join(", ")));
    assert_none(&left.collect::<Vec<_>>());
}

/// Whether an entry of [`CRATES`] is about a crate.
fn is_about(entry: &str, name: &str) -> bool {
    entry == name || (entry.ends_with('_') && name.starts_with(entry))
}

#[test]
fn a_crate_is_named_where_it_belongs() {
    let (crates, mut found) = (crates(), Vec::new());
    for source in production() {
        for name in crates.iter().filter(|name| source.names(name)) {
            let entry = CRATES.iter().find(|(entry, _)| is_about(entry, name));
            if entry.is_some_and(|(_, places)| !places.iter().any(|place| source.path.starts_with(place))) {
                found.push(format!("{}: {name}", source.path));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_entry_and_every_place_in_the_table_is_needed() {
    let (crates, sources, mut found) = (crates(), production(), Vec::new());
    for (entry, places) in CRATES {
        for place in *places {
            let names_it = |source: &Source| crates.iter().any(|name| is_about(entry, name) && source.names(name));
            if !sources.iter().any(|source| source.path.starts_with(place) && names_it(source)) {
                found.push(format!("{place} does not name {entry}"));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn the_heart_names_nothing_that_does_something() {
    let mut found = Vec::new();
    for source in production().iter().filter(|source| source.is_in("pool")) {
        for name in crates().iter().filter(|name| !CRATES_OF_THE_HEART.contains(&name.as_str())) {
            if source.names(name) {
                found.push(format!("{}: {name}", source.path));
            }
        }
        for word in ["async ", ".await", "std::fs", "std::env", "std::net", "std::thread", "std::process", "::now()"] {
            if source.code.contains(word) {
                found.push(format!("{}: {word}", source.path));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn one_place_reads_the_clock() {
    let reading = production().into_iter().filter(|source| source.code.contains("SystemTime::now"));
    let n_lines = |source: Source| (source.code.matches("SystemTime::now").count(), source.path);
    assert_eq!(reading.map(n_lines).collect::<Vec<_>>(), [(1, "src/clients.rs".to_owned())]);
    // A stopwatch, for the log: nothing is decided by it.
    let timing = production().into_iter().filter(|source| source.code.contains("Instant::now"));
    assert_eq!(timing.map(|source| source.path).collect::<Vec<_>>(), ["src/aws/http_client.rs"]);
}

#[test]
fn one_place_reads_the_environment() {
    let reading = production().into_iter().filter(|source| source.code.contains("env::var"));
    let places: Vec<String> = reading.map(|source| source.path).collect();
    assert_eq!(places, ["src/main.rs"]);
}

#[test]
fn one_place_reads_the_version_of_cargo_toml() {
    let reading = production().into_iter().filter(|source| source.code.contains("CARGO_PKG_VERSION"));
    let places: Vec<String> = reading.map(|source| source.path).collect();
    assert_eq!(places, ["src/version.rs"]);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let silent = production().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none(&silent.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long_to_read() {
    let paths = ["src", "tests"].into_iter().flat_map(|folder| files(folder, "rs"));
    let lengths = paths.map(|path| (text(&path).lines().count(), path));
    assert_none(&lengths.filter(|(n, _)| *n > LINES_MAX).map(|(n, path)| format!("{path}: {n}")).collect::<Vec<_>>());
}

#[test]
fn a_lint_is_expected_with_a_reason_and_never_allowed() {
    // Clippy finds them.
    let manifest = text("Cargo.toml");
    for lint in ["allow_attributes", "allow_attributes_without_reason"] {
        assert!(manifest.contains(&format!("\n{lint} = \"deny\"\n")), "{lint}");
    }
}
