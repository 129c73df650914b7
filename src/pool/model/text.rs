//! Words for numbers and lists, as people read them.

/// Names that a sentence lists before it only counts.
const NAMES_MAX: usize = 5;

/// The words for one, or the number and the words for more.
#[must_use]
pub fn pluralize(n: usize, one: &str, more: &str) -> String {
    if n == 1 { one.to_owned() } else { format!("{n} {more}") }
}

/// The first few, and how many more.
#[must_use]
pub fn abbreviated_list(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
