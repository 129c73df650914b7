//! Converts numbers, times and tags between AWS's types and those of the model.

use std::collections::BTreeMap;

use aws_smithy_types::DateTime;

use crate::pool::model::time::Timestamp;

/// The prefix of tag keys that AWS reserves: no one else can set or remove them.
const RESERVED_TAG_PREFIX: &str = "aws:";

/// A count for AWS, whose integers are signed. What does not fit is far above every quota.
pub(super) fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count from AWS; a negative one has no meaning in any response.
pub(super) fn count(int: i32) -> u32 {
    u32::try_from(int).unwrap_or(0)
}

/// A moment from AWS.
pub(super) fn moment(at: &DateTime) -> Timestamp {
    let millis = at.to_millis().ok().and_then(|millis| u64::try_from(millis).ok());
    Timestamp::from_epoch_millis(millis.unwrap_or(0))
}

/// Tags from AWS, without AWS's own.
pub(super) fn tags<'tags>(
    pairs: impl Iterator<Item = (Option<&'tags str>, Option<&'tags str>)>,
) -> BTreeMap<String, String> {
    pairs
        .filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned())))
        .filter(|(key, _)| !key.starts_with(RESERVED_TAG_PREFIX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_belong_to_aws_are_left_out() {
        let pairs = [(Some("a"), Some("1")), (Some("aws:ecs:serviceName"), Some("x")), (Some("b"), None), (None, None)];
        let expected = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        assert_eq!(tags(pairs.into_iter()), expected);
    }

    #[test]
    fn a_moment_keeps_its_milliseconds() {
        assert_eq!(moment(&DateTime::from_millis(1_700_000_000_123)).epoch_millis(), 1_700_000_000_123);
        assert_eq!(moment(&DateTime::from_millis(-1)).epoch_millis(), 0);
    }

    #[test]
    fn counts_never_wrap() {
        assert_eq!((int(u32::MAX), count(-1), count(7)), (i32::MAX, 0, 7));
    }
}
