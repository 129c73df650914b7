//! Many seeds at once, one thread to each core; what fails is cut down, and written to a file that can be replayed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::history::Figures;
use crate::planted::Bug;
use crate::run::{Report, run};
use crate::script::{Author, Script};

/// Runs at the most to find a shorter script that fails the same way.
const CUTS_MAX: usize = 60;

/// What many seeds came to.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) figures: Figures,
    pub(crate) occurred: BTreeSet<String>,
    /// A line for each seed that failed.
    pub(crate) failed: Vec<String>,
}

/// Runs these seeds.
pub(crate) fn run_all(seeds: &[u64]) -> Sum {
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let script = Author::write(*seed);
                    let report = run(script.clone(), None, false);
                    let failed = (!report.violations.is_empty()).then(|| describe(&script, &report));
                    let mut sum = sum.lock().unwrap();
                    sum.figures.add(&report.figures);
                    sum.occurred.extend(report.occurred);
                    sum.failed.extend(failed);
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

/// Writes down what failed, cut down, and says where.
fn describe(script: &Script, report: &Report) -> String {
    let first = &report.violations[0];
    let shorter = cut_down(script, first.invariant);
    let path = folder().join(format!("seed-{}.json", script.seed));
    fs::write(&path, serde_json::to_string_pretty(&shorter).unwrap()).unwrap();
    format!(
        "seed {} at {} s: {}: {}\n    make simulate SEED={}, or, cut down to {} actions and {} faults: make simulate SCRIPT={}",
        script.seed,
        first.at.as_secs(),
        first.invariant,
        first.what,
        script.seed,
        shorter.actions.len(),
        shorter.faults.len(),
        path.display(),
    )
}

/// Leaves out whatever is not needed for the same invariant to fail.
fn cut_down(script: &Script, invariant: &str) -> Script {
    let fails =
        |script: &Script| run(script.clone(), None, false).violations.iter().any(|it| it.invariant == invariant);
    let mut best = script.clone();
    let mut n_runs = 0;
    let length = |it: &Script| it.actions.len().max(it.faults.len()).max(it.background_faults.len());
    let mut size = length(&best).div_ceil(2);
    while size > 0 && n_runs < CUTS_MAX {
        let mut from = 0;
        while from < length(&best) && n_runs < CUTS_MAX {
            n_runs += 1;
            let mut shorter = best.clone();
            let kept = |place: usize| place < from || place >= from + size;
            shorter.actions =
                best.actions.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, it)| it.clone()).collect();
            shorter.faults =
                best.faults.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, (n, it))| (*n, *it)).collect();
            let faults = best.background_faults.iter().enumerate().filter(|(at, _)| kept(*at));
            shorter.background_faults = faults.map(|(_, (n, it))| (*n, *it)).collect();
            if fails(&shorter) {
                best = shorter;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    best
}

/// Which invariants fail with this bug, over these seeds; it ends with the first seed in which `wanted` does.
pub(crate) fn caught(bug: Bug, wanted: &str, seeds: impl Iterator<Item = u64>) -> Result<u64, BTreeSet<&'static str>> {
    let mut others = BTreeSet::new();
    for seed in seeds {
        let report = run(bug.provoked(Author::write(seed)), Some(bug), false);
        if report.violations.iter().any(|it| it.invariant == wanted) {
            return Ok(seed);
        }
        others.extend(report.violations.iter().map(|it| it.invariant));
    }
    Err(others)
}

/// Where scripts and figures are written.
pub(crate) fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/simulation");
    fs::create_dir_all(&folder).unwrap();
    folder
}
