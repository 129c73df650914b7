//! The figures of a run, as tests/README.md shows them.

use crate::history::Figures;
use crate::seeds::Seeds;

/// The file in `target` that `make docs` pastes into the document.
pub(crate) const FILE: &str = "simulation-figures.md";
const BEGIN: &str = "<!-- target/simulation-figures.md: ";
const END: &str = "<!-- end of target/simulation-figures.md -->";

/// The table.
pub(crate) fn table(figures: &Figures, seeds: &Seeds) -> String {
    let n_faults: u64 = figures.faults.values().sum();
    let rows = [
        ("seeds", grouped(figures.seeds)),
        ("fresh seeds, which no run had before", grouped(seeds.n_fresh)),
        ("the first fresh seed", seeds.from.to_string()),
        ("hours of virtual time", grouped(figures.virtual_hours as u64)),
        ("events", grouped(figures.events)),
        ("API calls of the function", grouped(figures.calls)),
        ("faults", grouped(n_faults)),
        ("requests from CloudFormation", grouped(figures.requests)),
        ("responses", grouped(figures.responses)),
        ("requests without a response in time", grouped(figures.responses_late)),
        ("invocations", grouped(figures.invocations)),
        ("continuations; the most of one request", format!("{}; {}", grouped(figures.hops), figures.hops_max)),
        ("registrations by the function", grouped(figures.registrations)),
        ("jobs that ran", grouped(figures.jobs)),
        ("jobs lost by the function", grouped(figures.jobs_lost)),
        ("jobs ended after their template's `DrainTimeout`", grouped(figures.jobs_cut_off)),
        ("jobs ended by a failed or reclaimed machine", grouped(figures.jobs_of_lost_machines)),
    ];
    let rows: String = rows.iter().map(|(what, n)| format!("| {what} | {n} |\n")).collect();
    format!("| | |\n|---|--:|\n{rows}")
}

/// How often each kind of fault occurred.
pub(crate) fn faults(figures: &Figures) -> String {
    let faults: Vec<String> = figures.faults.iter().map(|(name, n)| format!("{name} {}", grouped(*n))).collect();
    format!("Faults by kind: {}.", faults.join(", "))
}

/// The table that a document shows.
fn of(document: &str) -> String {
    let (_, rest) = document.split_once(BEGIN).expect("the document has a place for the figures");
    let (_, rest) = rest.split_once("-->\n").expect("the place begins with a comment");
    rest.split_once(END).expect("the place has an end").0.trim().to_owned()
}

/// A table without its numbers.
fn form(table: &str) -> String {
    let mut form = String::new();
    for c in table.trim().chars() {
        match c {
            '0'..='9' if form.ends_with('#') => {}
            '0'..='9' => form.push('#'),
            ',' if form.ends_with('#') => {}
            other => form.push(other),
        }
    }
    form.replace("##", "#")
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_document_shows_the_rows_of_this_table() {
    let document = include_str!("../README.md");
    let new = table(&Figures::default(), &Seeds { all: Vec::new(), n_fresh: 0, from: 0 });
    assert_eq!(form(&of(document)), form(&new), "make simulate SEEDS=10000, then make docs");
}

#[test]
fn a_form_is_the_same_whatever_the_numbers() {
    assert_eq!(form("| seeds | 500 |"), form("| seeds | 10,000 |"));
    assert_ne!(form("| seeds | 500 |"), form("| jobs | 500 |"));
}

#[test]
fn thousands_are_grouped() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}
