//! Everything that is invalid in a template's properties, as one failure reason.
//!
//! A problem quotes the value, unless it may be secret: in [`SECRET_PROPERTIES`], and wherever it looks like a
//! credential. Every problem is made here, so that no other code needs to consider that.

use std::fmt;

use serde_json::Value;

/// Properties whose values are never quoted, at any depth.
pub(super) const SECRET_PROPERTIES: &[&str] = &[
    "AccessTokenParameter",
    "AppPrivateKeyParameter",
    "RunnerTokenParameter",
    "RepositoryCredentialsParameter",
    "Environment",
    "Secrets",
];
/// Of GitHub's tokens, PEM keys, AWS access keys and JSON Web Tokens.
const CREDENTIAL_PREFIXES: &[&str] =
    &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "-----BEGIN", "AKIA", "ASIA", "eyJ"];
/// Hexadecimal digits of GitHub's tokens before 2021.
const OLD_TOKEN_DIGITS: usize = 40;
const REGISTRATION_TOKEN_CHARS: usize = 29;
/// Enough of a value or a name to find it in the template.
const QUOTED_CHARS_MAX: usize = 60;
/// A response has 4 KiB. A template with more problems is not one for this resource.
const PROBLEMS_LISTED_MAX: usize = 40;

/// One thing that is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    problem: String,
    remedy: String,
}

impl Problem {
    /// The property, or a place in it such as `Tags[2].Key`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn property(&self) -> &str {
        property_of(&self.path)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.path, self.problem, self.remedy)
    }
}

/// Everything that is invalid in a set of properties; its text is a failure reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// In the order of the table of properties.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// Whether everything is valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a problem whose texts quote no value. `remedy` is a whole sentence.
    pub(super) fn add(&mut self, path: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Problem { path: path.to_owned(), problem: problem.into(), remedy: remedy.into() });
    }

    /// Adds an invalid value, and quotes it if it cannot be secret.
    pub(super) fn invalid(&mut self, path: &str, given: &Value, expected: &str) {
        let problem = match given {
            Value::Null => "null is invalid".to_owned(),
            Value::Array(_) => "a list is invalid".to_owned(),
            Value::Object(_) => "a map is invalid".to_owned(),
            Value::Bool(value) => invalid_text(path, &value.to_string()),
            Value::Number(value) => invalid_text(path, &value.to_string()),
            Value::String(text) => invalid_text(path, text),
        };
        self.add(path, problem, format!("Specify {expected}."));
    }

    /// Adds an invalid string.
    pub(super) fn invalid_text(&mut self, path: &str, given: &str, expected: &str) {
        self.add(path, invalid_text(path, given), format!("Specify {expected}."));
    }

    /// Adds a property that is required.
    pub(super) fn missing(&mut self, path: &str, expected: &str) {
        self.add(path, "required", format!("Specify {expected}."));
    }

    /// Sorts by the properties in which the problems are.
    pub(super) fn sort_by_property(&mut self, names: &[&str]) {
        let rank = |problem: &Problem| names.iter().position(|name| *name == problem.property()).unwrap_or(names.len());
        self.0.sort_by_key(rank);
    }
}

/// The property in which a path begins.
fn property_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "1 invalid property: {only}")?,
            all => {
                write!(f, "{} invalid properties:", all.len())?;
                for (number, problem) in all.iter().take(PROBLEMS_LISTED_MAX).enumerate() {
                    write!(f, " ({}) {problem}", number.saturating_add(1))?;
                }
                let n_more = all.len().saturating_sub(PROBLEMS_LISTED_MAX);
                if n_more > 0 {
                    write!(f, " … and {n_more} more.")?;
                }
            }
        }
        f.write_str(" Correct the template and deploy it again.")
    }
}

impl std::error::Error for Problems {}

/// Whether a text is a credential, rather than the name of one.
pub(super) fn is_credential_itself(text: &str) -> bool {
    let is_old_token = text.len() == OLD_TOKEN_DIGITS && text.chars().all(|c| c.is_ascii_hexdigit());
    let is_registration_token = text.len() == REGISTRATION_TOKEN_CHARS
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        && text.chars().any(|c| c.is_ascii_digit());
    is_old_token || is_registration_token || CREDENTIAL_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a text may contain a credential anywhere.
pub(super) fn may_contain_credential(text: &str) -> bool {
    // Only where a word begins: `keyJson` contains no JSON Web Token.
    let begins_word = |at: usize| !text.get(..at).is_some_and(|before| before.ends_with(char::is_alphabetic));
    let has_word_with = |prefix: &&str| text.match_indices(*prefix).any(|(at, _)| begins_word(at));
    is_credential_itself(text.trim()) || CREDENTIAL_PREFIXES.iter().any(has_word_with)
}

/// A name from the template, shortened, or redacted if it may contain a credential.
pub(super) fn redacted_name(name: &str) -> String {
    if may_contain_credential(name) { "[redacted]".to_owned() } else { shortened(name) }
}

fn invalid_text(path: &str, text: &str) -> String {
    if text.trim().is_empty() {
        "an empty string is invalid".to_owned()
    } else if may_contain_credential(text) {
        "contains a secret (redacted)".to_owned()
    } else if SECRET_PROPERTIES.contains(&property_of(path)) || has_user_info(text) {
        "invalid value (redacted)".to_owned()
    } else {
        format!("\"{}\" is invalid", shortened(text))
    }
}

/// Whether a text is a URL with something before an `@`: `https://user:password@host`.
fn has_user_info(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

fn shortened(text: &str) -> String {
    let without_control = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= QUOTED_CHARS_MAX {
        return text.chars().map(without_control).collect();
    }
    text.chars().take(QUOTED_CHARS_MAX).map(without_control).chain(['…']).collect()
}
