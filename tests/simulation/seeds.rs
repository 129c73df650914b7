//! Which seeds a run takes: those that have failed once, a few that are always the same, and fresh ones.
//!
//! Seeds that are run again and again pass in the end because each was mended once. So a run begins where no run has
//! begun before: the commit says where.

use std::process::Command;

/// Seeds of every run, beside the fresh ones: enough for everything to occur that has to.
const STEADY: u64 = 260;
/// Fresh seeds begin above those that were run before there were any; just here where there is no git to tell the commit.
const FRESH_MIN: u64 = 10_000_000;
/// From one commit's start to another's: more than any run takes.
const STRIDE: u64 = 100_000;

/// The seeds of a run.
pub(crate) struct Seeds {
    /// Each once, in the order in which they are run.
    pub(crate) all: Vec<u64>,
    /// How many of them are fresh.
    pub(crate) n_fresh: u64,
    /// The first fresh one.
    pub(crate) from: u64,
}

impl Seeds {
    /// So many fresh seeds from this start, or from the commit's, and those of every run.
    pub(crate) fn of(n_fresh: u64, from: Option<u64>) -> Self {
        let from = from.unwrap_or_else(|| start_of(&commit()));
        let kept = kept();
        let steady = (0..STEADY).filter(|seed| !kept.contains(seed));
        let fresh: Vec<u64> = (from..from + n_fresh).filter(|seed| *seed >= STEADY && !kept.contains(seed)).collect();
        let n_fresh = fresh.len() as u64;
        Self { all: kept.iter().copied().chain(steady).chain(fresh).collect(), n_fresh, from }
    }
}

/// Seeds that have failed once.
fn kept() -> Vec<u64> {
    let lines = include_str!("kept_seeds.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(|seed| seed.parse().unwrap()).collect()
}

/// The commit that is checked out; nothing where there is no git to ask.
fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Where the fresh seeds of a commit begin.
fn start_of(commit: &str) -> u64 {
    let digits: String = commit.chars().take(8).collect();
    FRESH_MIN + u64::from_str_radix(&digits, 16).unwrap_or(0) * STRIDE
}

#[test]
fn each_commit_begins_elsewhere_and_beyond_the_last_seed_of_another() {
    let (one, next) = (start_of("0a58c086aaaa"), start_of("0a58c087bbbb"));
    assert!(one >= FRESH_MIN && next - one == STRIDE);
    assert_eq!(start_of(""), FRESH_MIN, "where there is no git");
}

#[test]
fn a_run_has_the_kept_seeds_the_steady_ones_and_the_fresh_ones_each_once() {
    let seeds = Seeds::of(10, Some(5_000_000));
    let each: std::collections::BTreeSet<u64> = seeds.all.iter().copied().collect();
    assert_eq!(each.len(), seeds.all.len());
    assert!(kept().iter().all(|seed| each.contains(seed)));
    assert!((5_000_000..5_000_010).all(|seed| each.contains(&seed)));
    assert_eq!(seeds.n_fresh, 10);
    assert_eq!(Seeds::of(STEADY + 10, Some(0)).n_fresh, 10, "those of every run are not fresh");
}
