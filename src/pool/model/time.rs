//! Moments and spans, without a clock: only the live clock port reads the time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

    /// How long ago `earlier` was, seen from here; zero if it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// As RFC 3339 has it, in UTC: `2026-11-01T12:00:00.250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = civil(secs / 86_400);
        let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The Gregorian date so many days after 1970-01-01. Years are counted from March, so that a leap day is the last of
/// its year: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
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
    /// How long to wait between looks.
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
    }

    #[test]
    fn a_moment_in_the_future_was_no_time_ago() {
        let now = Timestamp::from_epoch_millis(5);
        assert_eq!(now.since(now + Duration::from_secs(1)), Duration::ZERO);
    }
}
