//! How many runners, how patiently, and the tags on what is made for them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::model::spec::WaitPolicy;

use super::problems::{Problems, shown_name};
use super::raw::Raw;
use super::stringly::Text;

/// Kept free of CloudFormation's patience: for the calls that a wait begins and ends with, for one hand-over to the
/// next invocation, and for the answer with its retries.
pub const RESERVE: Duration = Duration::from_secs(120);
/// The longest that CloudFormation waits, and what it waits unless told otherwise.
pub const SERVICE_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Tags that a resource can have, and those of them that are ours: three of ownership and one of content, or ECS's own
/// `AmazonECSManaged` on the group.
const TAGS_MAX: usize = 50 - 4;
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;
/// Beginnings of keys that are not the template's to use.
const RESERVED_TAG_PREFIXES: &[&str] = &["aws:", "github-runner-pool:"];

/// The manners, each by itself: what cannot be read has its default.
pub(super) fn wait_policy(raw: &Raw) -> WaitPolicy {
    let default = WaitPolicy::default();
    WaitPolicy {
        online_timeout: raw.online_timeout.get().map_or(default.online_timeout, |span| span.0),
        idle_confirmation: raw.idle_confirmation.get().map_or(default.idle_confirmation, |span| span.0),
        drain_timeout: raw.drain_timeout.get().map_or(default.drain_timeout, |span| span.0),
        on_drain_timeout: raw.on_drain_timeout.get().copied().unwrap_or(default.on_drain_timeout),
        on_deregister_failure: raw.on_deregister_failure.get().copied().unwrap_or(default.on_deregister_failure),
    }
}

/// One request may wait for runners to come and for jobs to end: both must fit before CloudFormation gives up.
pub(super) fn check_patience(wait_policy: &WaitPolicy, service_timeout: Duration, problems: &mut Problems) {
    let (online, drain, idle) = (wait_policy.online_timeout, wait_policy.drain_timeout, wait_policy.idle_confirmation);
    let wanted = online.saturating_add(drain).saturating_add(idle);
    let there_is = service_timeout.saturating_sub(RESERVE);
    let Some(excess) = wanted.checked_sub(there_is).filter(|excess| !excess.is_zero()) else { return };
    let fault = format!(
        "of {} s, OnlineTimeout of {} s and IdleConfirmation of {} s make {} s, while ServiceTimeout of {} s leaves {} s \
         (its last {} s are for the answer)",
        drain.as_secs(),
        online.as_secs(),
        idle.as_secs(),
        wanted.as_secs(),
        service_timeout.as_secs(),
        there_is.as_secs(),
        RESERVE.as_secs(),
    );
    let advice = if service_timeout < SERVICE_TIMEOUT_MAX {
        format!("lower them by {} s in all, or raise ServiceTimeout (3600 s at most)", excess.as_secs())
    } else {
        format!("lower them by {} s in all", excess.as_secs())
    };
    problems.add("DrainTimeout", fault, advice);
}

/// The tags that can be read, whatever is wrong with the others.
pub(super) fn readable_tags(raw: &Raw) -> BTreeMap<String, String> {
    let tags = raw.tags.get().into_iter().flatten();
    tags.filter_map(|tag| Some((tag.get()?.key.get()?.0.clone(), tag.get()?.value.get()?.0.clone()))).collect()
}

/// The tags, checked.
pub(super) fn tags(raw: &Raw, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let given = raw.tags.get().map_or(&[][..], Vec::as_slice);
    for (index, tag) in given.iter().enumerate().filter_map(|(index, tag)| Some((index, tag.get()?))) {
        let at = format!("Tags[{index}]");
        if !tag.key.is_present() {
            problems.missing(&format!("{at}.Key"), "the tag's key");
        }
        if !tag.value.is_present() {
            problems.missing(&format!("{at}.Value"), "the tag's value, which may be empty");
        }
        let Some(Text(key)) = tag.key.get() else { continue };
        check_key(&format!("{at}.Key"), key, problems);
        let Some(value) = tag.value.get() else { continue };
        if value.0.chars().count() > TAG_VALUE_CHARS_MAX || !value.0.chars().all(is_tag_char) {
            let accepted = "up to 256 letters, digits, spaces and _ . : / = + - @";
            problems.unfit_text(&format!("{at}.Value"), &value.0, accepted);
        }
        if tags.insert(key.clone(), value.0.clone()).is_some() {
            problems.add(&format!("{at}.Key"), format!("repeats \"{}\"", shown_name(key)), "give every key once");
        }
    }
    if given.len() > TAGS_MAX {
        let advice = format!("give at most {TAGS_MAX}: AWS allows 50, and the pool's own are among them");
        problems.add("Tags", format!("has {} tags", given.len()), advice);
    }
    tags
}

fn check_key(path: &str, key: &str, problems: &mut Problems) {
    let lower = key.to_ascii_lowercase();
    if RESERVED_TAG_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        problems.unfit_text(path, key, "a key that begins neither with aws: nor with github-runner-pool:");
    } else if key.chars().count() > TAG_KEY_CHARS_MAX || !key.chars().all(is_tag_char) {
        problems.unfit_text(path, key, "up to 128 letters, digits, spaces and _ . : / = + - @");
    }
}

/// What every service takes in a tag.
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html>
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}
