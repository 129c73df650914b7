//! All that is wrong with a template's properties, in the words of the person who wrote it.
//!
//! What was given is quoted, save where it may be a secret: below [`NEVER_SHOWN`], and wherever it looks like a
//! credential. Every problem passes through here, so nothing else has to think of it.

use std::fmt;

use serde_json::Value;

/// Properties whose values, at any depth, are never repeated.
pub(super) const NEVER_SHOWN: &[&str] = &[
    "AccessTokenParameter",
    "AppPrivateKeyParameter",
    "RunnerTokenParameter",
    "RepositoryCredentialsParameter",
    "Environment",
    "Secrets",
];
/// What credentials begin with: GitHub's tokens, PEM keys, AWS access keys, JSON Web Tokens.
const CREDENTIAL_MARKS: &[&str] =
    &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "-----BEGIN", "AKIA", "ASIA", "eyJ"];
/// Digits of GitHub's tokens before 2021.
const OLD_TOKEN_DIGITS: usize = 40;
/// Characters of a registration token.
const REGISTRATION_TOKEN_CHARS: usize = 29;
/// Characters of a value or a name that a person needs in order to find it in the template again.
const QUOTED_CHARS_MAX: usize = 60;
/// Problems that are spelled out. An answer holds 4 KiB; past this many, the template is not one for us.
const SPELLED_OUT_MAX: usize = 40;

/// One thing that is wrong: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    fault: String,
    advice: String,
}

impl Problem {
    /// Where: a property, or a place inside it such as `Tags[2].Key`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The property that it lies in.
    pub(super) fn root(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.path, self.fault, self.advice)
    }
}

/// Everything that is wrong with a set of properties, as the text of one `Reason`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One by one, in the order of the properties' table.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a problem in words that quote no value.
    pub(super) fn add(&mut self, path: &str, fault: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Problem { path: path.to_owned(), fault: fault.into(), advice: advice.into() });
    }

    /// Adds a value that is not what it should be, quoting it where that is safe.
    pub(super) fn unfit(&mut self, path: &str, given: &Value, accepted: &str) {
        let fault = match given {
            Value::Null => "is null".to_owned(),
            Value::Array(_) => "is a list".to_owned(),
            Value::Object(_) => "is a map".to_owned(),
            Value::Bool(value) => quoted(path, &value.to_string()),
            Value::Number(value) => quoted(path, &value.to_string()),
            Value::String(text) => quoted(path, text),
        };
        self.add(path, fault, format!("give {accepted}"));
    }

    /// The same for a text.
    pub(super) fn unfit_text(&mut self, path: &str, given: &str, accepted: &str) {
        self.add(path, quoted(path, given), format!("give {accepted}"));
    }

    /// Adds a property that must be there.
    pub(super) fn missing(&mut self, path: &str, accepted: &str) {
        self.add(path, "is missing", format!("give {accepted}"));
    }

    /// Puts the problems into the order of the properties' table.
    pub(super) fn sort_as(&mut self, names: &[&str]) {
        let rank = |problem: &Problem| names.iter().position(|name| *name == problem.root()).unwrap_or(names.len());
        self.0.sort_by_key(rank);
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "1 property needs attention: {only}.")?,
            all => {
                write!(f, "{} properties need attention: ", all.len())?;
                for (number, problem) in all.iter().take(SPELLED_OUT_MAX).enumerate() {
                    let before = if number == 0 { "" } else { "; " };
                    write!(f, "{before}{}) {problem}", number.saturating_add(1))?;
                }
                match all.len().saturating_sub(SPELLED_OUT_MAX) {
                    0 => f.write_str(".")?,
                    more => write!(f, "; and {more} more.")?,
                }
            }
        }
        f.write_str(" Correct the template and deploy it again.")
    }
}

impl std::error::Error for Problems {}

/// Whether a text is a credential itself rather than the name of one.
pub(super) fn is_credential_itself(text: &str) -> bool {
    let is_old_token = text.len() == OLD_TOKEN_DIGITS && text.chars().all(|c| c.is_ascii_hexdigit());
    let is_registration_token = text.len() == REGISTRATION_TOKEN_CHARS
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        && text.chars().any(|c| c.is_ascii_digit());
    is_old_token || is_registration_token || CREDENTIAL_MARKS.iter().any(|mark| text.starts_with(mark))
}

/// Whether a text may have a credential anywhere in it.
pub(super) fn may_hold_credential(text: &str) -> bool {
    // At the beginning of a word: `keyJson` holds no JSON Web Token.
    let begins_word = |at: usize| !text.get(..at).is_some_and(|before| before.ends_with(char::is_alphabetic));
    let holds = |mark: &&str| text.match_indices(*mark).any(|(at, _)| begins_word(at));
    is_credential_itself(text.trim()) || CREDENTIAL_MARKS.iter().any(holds)
}

/// A name out of the template, short enough to be read and free of credentials.
pub(super) fn shown_name(name: &str) -> String {
    if may_hold_credential(name) { "[not shown]".to_owned() } else { shortened(name) }
}

fn quoted(path: &str, text: &str) -> String {
    let root = path.split(['.', '[']).next().unwrap_or_default();
    if text.trim().is_empty() {
        "is empty".to_owned()
    } else if may_hold_credential(text) {
        "looks like a credential (not repeated here)".to_owned()
    } else if NEVER_SHOWN.contains(&root) || holds_password(text) {
        "does not fit (its value is not repeated here)".to_owned()
    } else {
        format!("is \"{}\"", shortened(text))
    }
}

/// Whether a text is a URL with something before an `@`: `https://user:password@host`.
fn holds_password(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

fn shortened(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= QUOTED_CHARS_MAX {
        return text.chars().map(clean).collect();
    }
    text.chars().take(QUOTED_CHARS_MAX).map(clean).chain(['…']).collect()
}
