//! The deterministic world: the real handler from raw event to raw response, on virtual time and one thread, against
//! everything that can go wrong between CloudFormation, Lambda, ECS, Auto Scaling and GitHub.
//!
//! A seed gives a script ([`script`]), a script decides a run ([`run`]), and after everything that happens the
//! [`invariants`] are asked. The function reaches the [`world`] by its own ports ([`ports`]): every call takes time, and
//! may be refused, answered late, with old news, or not at all; the process may die at either end of it.
//!
//! What stands here is a model, with AWS's and GitHub's pages as its source and the harsher reading where they are silent.
//! It knows nothing of HTTP: the adapters have tests of their own.
//!
//! `make simulate SEEDS=10000` runs many, `FROM=` says from where, `make simulate SEED=7` prints one, `make simulate SCRIPT=FILE` replays a file.

#![expect(
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a model counts small numbers, stops where it contradicts itself, and prints what it found"
)]

mod asking;
mod auto_scaling;
mod captured_log;
mod cloudformation;
mod conformance;
mod containers;
mod coverage;
mod demand;
mod ecs;
mod event_source;
mod faults;
mod figures;
mod github;
mod history;
mod invariants;
mod lambda;
mod logs;
mod many;
mod planted;
mod ports;
mod registration_stories;
mod registrations;
mod remains_stories;
mod run;
mod scale_set_rules;
mod scale_set_stories;
mod scale_sets;
mod script;
mod seeds;
mod state_table;
mod stories;
mod ticks;
mod warm_pool;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use planted::BUGS;
use script::{Author, Script};
use seeds::Seeds;

/// Fresh seeds of a run of the tests.
const SEEDS: u64 = 500;
/// So many fresh seeds are evidence: their figures go into `target`, and `make docs` pastes them into tests/README.md.
const SEEDS_OF_EVIDENCE: u64 = 10_000;
/// Seeds in which a planted bug has to be caught.
const SEEDS_FOR_A_BUG: u64 = 400;

/// A variable of `make simulate`.
#[expect(clippy::disallowed_methods, reason = "how a person says which seeds to run")]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[test]
fn whatever_happens_no_job_dies_and_no_stack_hangs() {
    let n_seeds = asked("SIMULATION_SEEDS").map_or(SEEDS, |n| n.parse().unwrap());
    let seeds = Seeds::of(n_seeds, asked("SIMULATION_FROM").map(|from| from.parse().unwrap()));
    println!(
        "{} fresh seeds from {}, and {} of every run",
        seeds.n_fresh,
        seeds.from,
        seeds.all.len() as u64 - seeds.n_fresh
    );
    let sum = many::run_all(&seeds.all);
    let table = figures::table(&sum.figures, &seeds);
    println!("{table}\n{}", figures::faults(&sum.figures));
    assert!(
        sum.failed.is_empty(),
        "\n{}\n{} of {} seeds failed",
        sum.failed.join("\n"),
        sum.failed.len(),
        seeds.all.len()
    );
    let wanted = coverage::wanted();
    let missing: BTreeSet<&String> = wanted.difference(&sum.occurred).collect();
    assert!(missing.is_empty(), "never occurred in {} seeds: {missing:#?}", seeds.all.len());
    assert_eq!((sum.figures.jobs_lost, sum.figures.responses_late), (0, 0));
    if n_seeds >= SEEDS_OF_EVIDENCE {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::write(asked("CARGO_TARGET_DIR").map_or(target, PathBuf::from).join(figures::FILE), table).unwrap();
    }
}

/// Scripts that have failed once, cut down. A script stays the run that failed when seeds come to mean other runs.
#[test]
fn every_kept_script_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/kept");
    let mut n = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let report = run::run(serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap(), None, false);
        assert!(report.violations.is_empty(), "{}: {:#?}", path.display(), report.violations);
        n += 1;
    }
    assert!(n > 0, "no script was found");
}

#[test]
fn every_planted_bug_is_caught_by_the_invariant_that_is_about_it() {
    let mut missed = Vec::new();
    std::thread::scope(|scope| {
        let (even, odd): (Vec<_>, Vec<_>) = BUGS.iter().enumerate().partition(|(place, _)| place % 2 == 0);
        let hunts = [even, odd].map(|bugs| {
            scope.spawn(move || {
                let hunt = |(bug, invariant): &(planted::Bug, &'static str)| {
                    let caught = many::caught(*bug, invariant, 0..SEEDS_FOR_A_BUG);
                    match caught {
                        Ok(seed) => println!("{bug:?}: {invariant}, in seed {seed}"),
                        Err(ref others) => println!("{bug:?}: not {invariant}, but {others:?}"),
                    }
                    caught.err().map(|others| format!("{bug:?} is not caught by {invariant}, but by {others:?}"))
                };
                bugs.into_iter().filter_map(|(_, bug)| hunt(bug)).collect::<Vec<_>>()
            })
        });
        missed.extend(hunts.into_iter().flat_map(|hunt| hunt.join().unwrap()));
    });
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

#[test]
fn a_seed_is_the_same_run_every_time_and_a_script_is_its_seed() {
    let trace_of = |script: Script| run::run(script, None, true).trace;
    let script = Author::write(3);
    let written = serde_json::to_string(&script).unwrap();
    let first = trace_of(script);
    assert!(first.len() > 100);
    assert_eq!(first, trace_of(Author::write(3)));
    assert_eq!(first, trace_of(serde_json::from_str(&written).unwrap()));
}

/// Prints one run, event by event; without a seed or a script, that of the first seed.
#[test]
fn one_run() {
    let script = match (asked("SIMULATION_SEED"), asked("SIMULATION_SCRIPT")) {
        (Some(seed), _) => Author::write(seed.parse().unwrap()),
        (None, Some(path)) => serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
        (None, None) => Author::write(0),
    };
    let report = run::run(script, None, true);
    for line in &report.trace {
        println!("{line}");
    }
    assert!(!report.trace.is_empty() && report.violations.is_empty(), "{:#?}", report.violations);
}
