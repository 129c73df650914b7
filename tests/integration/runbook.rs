//! The README's runbook: complete, and about texts that the code gives.

use std::collections::BTreeSet;

use github_runner_pool::metrics::UNITS;

use crate::operations::alarms;
use crate::readme::{listed, section};
use crate::repository::{Source, production};

/// Where the texts are written that people read in a Reason, or as what is waited for. What GitHub says is explained
/// beside its own words (`src/github/messages.rs`), and what is wrong with a property beside its path: the runbook does
/// not say either again.
const WRITERS: &[&str] = &[
    "src/pool/model/decision.rs",
    "src/pool/policy/capacity.rs",
    "src/pool/policy/causes.rs",
    "src/pool/policy/infrastructure.rs",
    "src/pool/policy/orphaned_pools.rs",
    "src/pool/policy/preconditions.rs",
    "src/pool/policy/reasons.rs",
    "src/pool/policy/reasons/credential.rs",
    "src/pool/policy/reasons/draining.rs",
    "src/pool/policy/warnings.rs",
    "src/handler/deletion.rs",
    "src/handler/operation.rs",
    "src/reconcile/run.rs",
];

/// Texts of those files that are no Reason.
const NO_REASONS: &[&str] = &[
    // Of the log alone.
    "taking down another pool of this resource",
    "nothing to delete",
    // Words of AWS by which a denial is recognized.
    "ciphertext refers to",
    "customer master key",
    // Cannot be: told so that no case is left out.
    "A Delete has no attributes",
    "the property decoder admits at most 10,000",
    // What other services say, to be found in their sentences.
    "unable to scale in",
    "not supported in your requested",
];

/// Below this a piece of text is no sentence, but a word or two between others.
const PIECE_CHARS_MIN: usize = 16;

/// How much of a piece the runbook has to show, so that a search for the beginning of a Reason finds it.
const BEGINNING_CHARS: usize = 32;

/// Code with its literals in one piece: they are wrapped with a backslash.
fn unwrapped(code: &str) -> String {
    let mut lines = code.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |before, line| before + line.trim_start())
}

/// The literals of a file, each as its pieces between what is filled in.
fn texts(source: &Source) -> Vec<Vec<String>> {
    let code = unwrapped(&source.code);
    let literals = code.split('"').skip(1).step_by(2);
    let pieces = literals.map(|literal| literal.split(['{', '}']).step_by(2).map(str::to_owned).collect());
    pieces.collect()
}

/// What a table of the runbook lists: the texts in backticks in its first column.
fn told() -> Vec<String> {
    listed("Runbook").into_iter().filter(|text| text.contains(' ')).collect()
}

/// What of a piece can stand in a table: no dots, commas and brackets at its ends.
fn bare(piece: &str) -> &str {
    piece.trim_matches(|c: char| c.is_whitespace() || ".,:;()".contains(c))
}

#[test]
fn every_reason_is_in_the_runbook() {
    let runbook = section("Runbook");
    let mut missing = Vec::new();
    for source in production().iter().filter(|source| WRITERS.contains(&source.path.as_str())) {
        for text in texts(source) {
            let pieces: Vec<&str> =
                text.iter().map(|piece| bare(piece)).filter(|piece| piece.len() >= PIECE_CHARS_MIN).collect();
            let sentences: Vec<&str> = pieces.into_iter().filter(|piece| piece.contains(' ')).collect();
            // `1 task stopped` stands beside `tasks stopped`.
            let is_singular = text.first().is_some_and(|piece| piece.starts_with("1 "));
            let is_told = sentences.iter().any(|sentence| {
                // A beginning will do: the rest of a sentence is its advice, which the runbook gives in its own words.
                let beginning: String = sentence.chars().take(BEGINNING_CHARS).collect();
                runbook.contains(beginning.trim()) || NO_REASONS.contains(sentence)
            });
            if !sentences.is_empty() && !is_singular && !is_told {
                missing.push(format!("{}: {}", source.path, sentences.join(" … ")));
            }
        }
    }
    assert!(missing.is_empty(), "not in the runbook:\n{}", missing.join("\n"));
}

#[test]
fn every_text_of_the_runbook_is_one_that_the_code_gives() {
    let code: String = production().iter().map(|source| unwrapped(&source.text)).collect();
    let told = told();
    assert!(told.len() > 40, "{told:?}");
    for text in &told {
        for piece in text.split('…').map(str::trim).filter(|piece| piece.contains(' ')) {
            // A sentence may be put together from several literals: `within OnlineTimeout (` is one of its own.
            let pieces = piece.split(": ").flat_map(|part| part.split(" within "));
            for piece in pieces.map(bare).filter(|piece| piece.contains(' ')) {
                assert!(code.contains(piece), "the code does not say: {piece}");
            }
        }
    }
}

#[test]
fn what_is_no_reason_is_in_the_code() {
    for text in NO_REASONS {
        let is_there = |source: &Source| WRITERS.contains(&source.path.as_str()) && source.code.contains(text);
        assert!(production().iter().any(is_there), "{text}");
    }
}

#[test]
fn every_alarm_has_a_row_in_the_runbook_and_no_other() {
    let rows: BTreeSet<String> = section("Runbook")
        .split("\n### Alarms\n")
        .nth(1)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(rows, alarms());
}

#[test]
fn every_metric_has_a_row() {
    let written: BTreeSet<&str> = UNITS.iter().map(|(name, _)| *name).collect();
    let rows = listed("Metrics and alarms");
    assert_eq!(rows.iter().map(String::as_str).collect::<BTreeSet<_>>(), written);
}
