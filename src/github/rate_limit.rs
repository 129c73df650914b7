//! The rate limit of one credential at one GitHub: pure arithmetic.
//!
//! GitHub's pauses are kept to the moment, and deletions are paced as its best practices ask, one a second on average:
//! <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>. Not each of them waits its
//! second: `.github/adr/0006-github-request-pace.md` says why.

use std::time::Duration;

use crate::pool::model::time::Timestamp;

/// Deletions that may be sent together. As many runners' logs are read at a time.
const DELETIONS_PER_WINDOW: u32 = 8;

/// From the first deletion of a window to the first one of the next: a second for each.
const DELETION_WINDOW: Duration = Duration::from_secs(8);

/// The pause after a secondary rate limit without `retry-after`: "wait for at least one minute", doubled each time.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const SECONDARY_PAUSE: Duration = Duration::from_secs(60);

/// Doubled no further: CloudFormation waits an hour for the whole request.
const SECONDARY_PAUSE_MAX: Duration = Duration::from_secs(16 * 60);

/// No pause is shorter, even after `retry-after: 0` or a reset that has just passed.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// What a rate-limited response says about the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThrottleHint {
    /// `x-ratelimit-reset`: the primary limit is used up until then.
    ResetAt(Timestamp),
    /// `retry-after`.
    RetryAfter(Duration),
    /// A secondary rate limit without either header.
    None,
}

/// A request may not be sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delay {
    pub(super) until: Timestamp,
    pub(super) cause: DelayCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DelayCause {
    /// The pace of deletions.
    Client,
    /// GitHub asked for a pause.
    GitHub,
}

/// Whether a request counts towards the pace of deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pacing {
    Deletion,
    Unpaced,
}

#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    paused_until: Option<Timestamp>,
    window_began_at: Option<Timestamp>,
    n_deletions: u32,
    /// Secondary rate limits in a row, without a successful request between them.
    n_secondary_limits: u32,
    /// When the last of them was received.
    limited_at: Option<Timestamp>,
}

impl RateLimiter {
    /// Counts a request that is sent now.
    ///
    /// # Errors
    /// Until when it has to wait.
    pub(super) fn try_acquire(&mut self, now: Timestamp, pacing: Pacing) -> Result<(), Delay> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Delay { until, cause: DelayCause::GitHub });
        }
        if pacing == Pacing::Unpaced {
            return Ok(());
        }
        match self.window_began_at.map(|began_at| began_at + DELETION_WINDOW).filter(|ends_at| *ends_at > now) {
            None => {
                self.window_began_at = Some(now);
                self.n_deletions = 1;
            }
            Some(_) if self.n_deletions < DELETIONS_PER_WINDOW => self.n_deletions += 1,
            Some(until) => return Err(Delay { until, cause: DelayCause::Client }),
        }
        Ok(())
    }

    /// GitHub answered a request sent at `sent` with a rate limit. Nothing is sent during the returned pause.
    pub(super) fn record_rate_limit(&mut self, sent: Timestamp, now: Timestamp, hint: ThrottleHint) -> Duration {
        let pause = match hint {
            ThrottleHint::ResetAt(reset) => reset.since(now),
            ThrottleHint::RetryAfter(pause) => pause,
            ThrottleHint::None => {
                // Requests that were in flight together met the same limit.
                if self.limited_at.is_none_or(|limited_at| sent > limited_at) {
                    self.n_secondary_limits = self.n_secondary_limits.saturating_add(1);
                    self.limited_at = Some(now);
                }
                let n_doublings = self.n_secondary_limits.saturating_sub(1).min(4);
                SECONDARY_PAUSE.saturating_mul(1 << n_doublings).min(SECONDARY_PAUSE_MAX)
            }
        };
        let pause = pause.max(PAUSE_MIN);
        self.pause_until(now + pause);
        pause
    }

    /// GitHub answered a request sent at `sent`, and not with a rate limit.
    pub(super) fn record_success(&mut self, sent: Timestamp) {
        if self.limited_at.is_some_and(|limited_at| sent > limited_at) {
            self.n_secondary_limits = 0;
            self.limited_at = None;
        }
    }

    /// Nothing is sent before `moment`.
    pub(super) fn pause_until(&mut self, moment: Timestamp) {
        self.paused_until = self.paused_until.max(Some(moment));
    }
}

#[cfg(test)]
mod tests;
