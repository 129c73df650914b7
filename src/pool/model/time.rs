//! Moments and spans, without a clock: only the live clock port reads the time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last second that has a date of four digits.
const LAST_DATED_SEC: i64 = 253_402_300_799;

/// A moment, in milliseconds since the Unix epoch.
///
/// Milliseconds are what Lambda's deadline is given in; nothing here needs finer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_epoch_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn epoch_millis(self) -> u64 {
        self.0
    }

    /// The moment that a text by RFC 3339 names, such as `2016-07-11T22:14:10Z`, with any offset; `None` if it is no
    /// such text, or before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        u64::try_from(nanos / 1_000_000).ok().map(Self)
    }

    /// The time since `earlier`; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// As RFC 3339 has it, in UTC: `2026-11-01T12:00:00.250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = i64::try_from(self.0 / 1000).unwrap_or(LAST_DATED_SEC).min(LAST_DATED_SEC);
        let moment = OffsetDateTime::from_unix_timestamp(secs).map_err(|_| fmt::Error)?;
        let (year, month, day) = moment.to_calendar_date();
        let ((hour, minute, second), millis) = (moment.to_hms(), self.0 % 1000);
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", u8::from(month))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A span as people say it: `45 s`, `12 min`, `1 h 5 min`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        match (secs / 3600, secs / 60 % 60, secs % 60) {
            (0, 0, s) => write!(f, "{s} s"),
            (0, m, 0) => write!(f, "{m} min"),
            (0, m, s) if m < 10 => write!(f, "{m} min {s} s"),
            (0, m, _) => write!(f, "{m} min"),
            (h, 0, _) => write!(f, "{h} h"),
            (h, m, _) => write!(f, "{h} h {m} min"),
        }
    }
}

/// The moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct DecisionTime {
    /// Now.
    pub now: Timestamp,
    /// How long to wait between observations.
    pub poll: Duration,
}

impl DecisionTime {
    /// When the next poll is due.
    #[must_use]
    pub fn next_poll(self) -> Timestamp {
        self.now + self.poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_spoken_as_people_say_them() {
        let said: Vec<String> =
            [0, 45, 60, 61, 725, 3600, 3900].map(|secs| HumanDuration(Duration::from_secs(secs)).to_string()).into();
        assert_eq!(said, ["0 s", "45 s", "1 min", "1 min 1 s", "12 min", "1 h", "1 h 5 min"]);
    }

    #[test]
    fn a_moment_is_written_as_a_date() {
        let written = |millis| Timestamp::from_epoch_millis(millis).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(1_793_534_400_250), "2026-11-01T12:00:00.250Z");
        assert_eq!(written(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(written(u64::MAX), "9999-12-31T23:59:59.615Z", "no date of four digits");
    }

    #[test]
    fn rfc3339_is_parsed_with_any_offset() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2016-07-11T22:14:10Z", 1_468_275_250_000),
            ("2016-07-11T22:14:10.123Z", 1_468_275_250_123),
            ("2016-07-11T15:14:10-07:00", 1_468_275_250_000),
            ("2016-07-12T03:44:10+05:30", 1_468_275_250_000),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("2026-12-31T23:59:59Z", 1_798_761_599_000),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Some(Timestamp(millis)), "{text}");
        }
        for text in [
            "",
            "soon",
            "2016-07-11",
            "2016-07-11T22:14:10",
            "2016-13-11T22:14:10Z",
            "2100-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_in_the_future_was_no_time_ago() {
        let now = Timestamp::from_epoch_millis(5);
        assert_eq!(now.since(now + Duration::from_secs(1)), Duration::ZERO);
    }
}
