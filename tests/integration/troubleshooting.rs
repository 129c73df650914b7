//! `.github/TROUBLESHOOTING.md`: complete, and about texts that the code contains.

use std::collections::BTreeSet;

use github_runner_pool::metrics::Metric;
use strum::VariantNames as _;

use crate::documents::{TROUBLESHOOTING, listed, section};
use crate::operations::alarms;
use crate::repository::{Source, production, text};

/// Where the texts are written that people read in a failure reason, or as a wait state. GitHub's errors are explained
/// next to GitHub's own message (`src/github/messages.rs`), and what is wrong with a property next to its path: the page
/// repeats neither.
const WRITERS: &[&str] = &[
    "src/pool/model/decision.rs",
    "src/pool/model/spec.rs",
    "src/pool/policy/capacity.rs",
    "src/pool/policy/causes.rs",
    "src/pool/policy/infrastructure.rs",
    "src/pool/policy/orphaned_pools.rs",
    "src/pool/policy/preconditions.rs",
    "src/pool/policy/reasons.rs",
    "src/pool/policy/reasons/credential.rs",
    "src/pool/policy/reasons/draining.rs",
    "src/pool/policy/reasons/scale_set.rs",
    "src/pool/policy/registration.rs",
    "src/pool/policy/warnings.rs",
    "src/handler/deletion.rs",
    "src/handler/operation.rs",
    "src/reconcile/run.rs",
];

/// Texts of those files that are not failure reasons.
const NO_REASONS: &[&str] = &[
    // Only in the log.
    "taking down another pool of this resource",
    "nothing to delete",
    "another invocation registers this task's runner",
    // Words of AWS by which a denial is recognized.
    "ciphertext refers to",
    "customer master key",
    // Cannot occur; written so that no case is left out.
    "A Delete has no attributes",
    "the property decoder admits at most 10,000",
    // Searched for in other services' messages.
    "unable to scale in",
    "not supported in your requested",
];

/// What a container prints while it waits for its registration.
const SCRIPT: &str = "src/pool/model/start_runner.sh";

/// The script's functions that print a message.
const PRINTERS: &[&str] = &["fail \"", "note \"", "note_or_fail \"", "log \""];

/// Messages of the script that are no problem.
const NO_PROBLEMS: &[&str] = &["Registered as "];

/// Below this a piece of text is no sentence, but a word or two between others.
const PIECE_CHARS_MIN: usize = 16;

/// How much of a piece the page has to show, so that a search for the beginning of a failure reason finds it.
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

/// The script with its messages in one piece: they go over several lines as several arguments.
fn unwrapped_script() -> String {
    let script = text(SCRIPT);
    let lines = script.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n").replace("\" \\\n\"", " ")
}

/// The script's messages, each as its pieces between the variables.
fn messages() -> Vec<Vec<String>> {
    let script = unwrapped_script();
    let found = PRINTERS.iter().flat_map(|printer| script.match_indices(printer));
    let starts: BTreeSet<usize> = found.map(|(at, printer)| at + printer.len()).collect();
    let messages = starts.iter().filter_map(|start| script.get(*start..)?.split('"').next());
    let pieces = messages.map(|message| {
        let (first, variables) = message.split_once('$').unwrap_or((message, ""));
        let behind = variables.split('$').map(|rest| match rest.strip_prefix('(') {
            Some(command) => command.split_once(')').map_or("", |(_, behind)| behind),
            None => rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
        });
        [first].into_iter().chain(behind).map(str::to_owned).collect::<Vec<_>>()
    });
    // `"$*"` and `"$message"` pass on what another line says.
    pieces.filter(|pieces| pieces.iter().any(|piece| piece.contains(' '))).collect()
}

/// The texts in backticks in the first column of the page's tables.
fn documented() -> Vec<String> {
    listed(&text(TROUBLESHOOTING)).into_iter().filter(|text| text.contains(' ')).collect()
}

/// What of a piece can stand in a table: no dots, commas and brackets at its ends.
fn bare(piece: &str) -> &str {
    piece.trim_matches(|c: char| c.is_whitespace() || ".,:;()".contains(c))
}

#[test]
fn every_failure_reason_is_documented() {
    let page = text(TROUBLESHOOTING);
    let mut missing = Vec::new();
    for source in production().iter().filter(|source| WRITERS.contains(&source.path.as_str())) {
        for text in texts(source) {
            let pieces: Vec<&str> =
                text.iter().map(|piece| bare(piece)).filter(|piece| piece.len() >= PIECE_CHARS_MIN).collect();
            let sentences: Vec<&str> = pieces.into_iter().filter(|piece| piece.contains(' ')).collect();
            // The page shows the plural, `tasks stopped`, for `1 task stopped` as well.
            let is_singular = text.first().is_some_and(|piece| piece.starts_with("1 "));
            let is_documented = sentences.iter().any(|sentence| {
                // A beginning will do: the rest of a sentence is its advice, which the page gives in its own words.
                let beginning: String = sentence.chars().take(BEGINNING_CHARS).collect();
                page.contains(beginning.trim()) || NO_REASONS.contains(sentence)
            });
            if !sentences.is_empty() && !is_singular && !is_documented {
                missing.push(format!("{}: {}", source.path, sentences.join(" … ")));
            }
        }
    }
    assert!(missing.is_empty(), "not in {TROUBLESHOOTING}:\n{}", missing.join("\n"));
}

#[test]
fn every_message_of_the_start_script_is_documented() {
    let page = section(TROUBLESHOOTING, "Registration messages");
    let messages = messages();
    assert!(messages.len() > 12, "the messages are not where this looks for them: {messages:?}");
    for message in &messages {
        let first = message.first().unwrap();
        let beginning: String = bare(first).chars().take(BEGINNING_CHARS).collect();
        assert!(
            page.contains(&beginning) || NO_PROBLEMS.contains(&first.as_str()),
            "not in {TROUBLESHOOTING}: {message:?}"
        );
    }
}

#[test]
fn every_documented_text_is_in_the_code() {
    let rust: String = production().iter().map(|source| unwrapped(&source.text)).collect();
    let code = rust + &unwrapped_script();
    let documented = documented();
    assert!(documented.len() > 40, "{documented:?}");
    for text in &documented {
        for piece in text.split('…').map(str::trim).filter(|piece| piece.contains(' ')) {
            // A sentence may be put together from several literals: `within OnlineTimeout (` is one of its own.
            let pieces = piece.split(": ").flat_map(|part| part.split(" within "));
            for piece in pieces.map(bare).filter(|piece| piece.contains(' ')) {
                assert!(code.contains(piece), "not in the code: {piece}");
            }
        }
    }
}

#[test]
fn what_is_no_failure_reason_is_in_the_code() {
    for text in NO_REASONS {
        let is_there = |source: &Source| WRITERS.contains(&source.path.as_str()) && source.code.contains(text);
        assert!(production().iter().any(is_there), "{text}");
    }
}

#[test]
fn every_alarm_has_a_row_and_no_other() {
    let rows: BTreeSet<String> = section(TROUBLESHOOTING, "Alarms")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(rows, alarms());
}

#[test]
fn every_metric_has_a_row() {
    let written: BTreeSet<&str> = Metric::VARIANTS.iter().copied().collect();
    let rows = listed(&section("cfn/README.md", "Metrics"));
    assert_eq!(rows.iter().map(String::as_str).collect::<BTreeSet<_>>(), written);
}
