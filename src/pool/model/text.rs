//! Formats numbers and lists for people.

/// The maximum number of names that a sentence lists before it counts the others.
const NAMES_MAX: usize = 5;

/// The singular for one, or the number and the plural.
#[must_use]
pub fn pluralize(n: usize, one: &str, more: &str) -> String {
    if n == 1 { one.to_owned() } else { format!("{n} {more}") }
}

/// The first few names, and the number of others.
#[must_use]
pub fn abbreviated_list(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
