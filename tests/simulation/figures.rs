//! The figures of a run, as the README shows them.

use crate::history::Figures;
use crate::seeds::Seeds;

const BEGIN: &str = "<!-- figures of the simulation: written by `make simulate`, not by hand -->\n";
const END: &str = "<!-- end of the figures of the simulation -->";

/// The table.
pub(crate) fn table(figures: &Figures, seeds: &Seeds) -> String {
    let n_faults: u64 = figures.faults.values().sum();
    let rows = [
        ("seeds", grouped(figures.seeds)),
        ("fresh ones, which no run had before", grouped(seeds.n_fresh)),
        ("the first of them", seeds.from.to_string()),
        ("hours of virtual time", grouped(figures.virtual_hours as u64)),
        ("events", grouped(figures.events)),
        ("calls of the function", grouped(figures.calls)),
        ("faults", grouped(n_faults)),
        ("requests of CloudFormation", grouped(figures.requests)),
        ("answers", grouped(figures.answers)),
        ("requests that got no answer in time", grouped(figures.answers_late)),
        ("invocations", grouped(figures.invocations)),
        (
            "continuations handed on; the most of one request",
            format!("{}; {}", grouped(figures.hops), figures.hops_max),
        ),
        ("jobs that ran", grouped(figures.jobs)),
        ("jobs lost by the function", grouped(figures.jobs_lost)),
        ("jobs ended because their template's `DrainTimeout` had passed", grouped(figures.jobs_cut_off)),
        ("jobs ended by a machine that failed or was reclaimed", grouped(figures.jobs_of_lost_machines)),
        ("events delivered again too late to be told from new ones", grouped(figures.too_late)),
    ];
    let rows: String = rows.iter().map(|(what, n)| format!("| {what} | {n} |\n")).collect();
    let faults: Vec<String> = figures.faults.iter().map(|(name, n)| format!("{name} {}", grouped(*n))).collect();
    format!("| | |\n|---|--:|\n{rows}\nFaults by kind: {}.\n", faults.join(", "))
}

/// The README with this table in place of the one that is there.
pub(crate) fn put_into(readme: &str, table: &str) -> String {
    let (before, _, after) = around(readme);
    format!("{before}{BEGIN}\n{table}\n{END}{after}")
}

/// The table that the README has.
pub(crate) fn of(readme: &str) -> String {
    around(readme).1.trim().to_owned()
}

fn around(readme: &str) -> (&str, &str, &str) {
    let (before, rest) = readme.split_once(BEGIN).expect("the README has a place for the figures");
    let (within, after) = rest.split_once(END).expect("the place has an end");
    (before, within, after)
}

/// A table without its numbers.
pub(crate) fn form(table: &str) -> String {
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
fn a_form_is_the_same_whatever_the_numbers() {
    assert_eq!(form("| seeds | 500 |"), form("| seeds | 10,000 |"));
    assert_ne!(form("| seeds | 500 |"), form("| jobs | 500 |"));
}

#[test]
fn thousands_are_grouped() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}
