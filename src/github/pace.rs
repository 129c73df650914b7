//! How fast one credential may speak to one GitHub: pure arithmetic over a sliding minute.
//!
//! GitHub allows 900 points a minute for REST, 1 for a read and 5 for a write, and 90 seconds of its CPU time in 60
//! seconds, which it tells callers to estimate by the time that answers take. Past that it answers 403 or 429, asks for
//! a pause, and may ban an integration that goes on regardless.
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
//!
//! Whether GitHub's minute slides, and when in a request's life it is counted, is not written down. So a request is
//! counted from the moment it is allowed to go until a minute after its answer came: whatever moment GitHub takes lies
//! between the two, and no minute of GitHub's sees more than what is allowed here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::pool::model::time::Timestamp;

/// How long a request counts after its answer: GitHub's minute, and a quarter of a second for a clock that counts
/// coarsely. 176 deletions in such a window are 175 a minute.
const WINDOW: Duration = Duration::from_millis(60_250);

/// Reads go up to here, of GitHub's 900.
const READ_CEILING: u32 = 895;

/// Writes leave these points to the reads: a poll must see what became of a burst of deletions while the burst lasts.
const WRITE_CEILING: u32 = 880;

/// Of the 90 seconds of CPU time in 60, measured as GitHub advises by the time that answers took.
const ANSWER_TIME_CEILING: Duration = Duration::from_secs(80);

/// The pause after a secondary limit that names none: "wait for at least one minute", then ever longer.
const UNSAID_PAUSE: Duration = Duration::from_secs(60);

/// No pause of our own making is longer: a stack has an hour.
const UNSAID_PAUSE_MAX: Duration = Duration::from_secs(16 * 60);

/// No pause is shorter, whatever `retry-after: 0` or a reset that has just passed says.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// This long after a pause without a further secondary limit, all is forgiven.
const CALM: Duration = Duration::from_secs(5 * 60);

/// Each secondary limit halves the ceilings, up to this often: somebody else spends from the same points, and
/// an eighth still carries 22 deletions a minute.
const HALVINGS_MAX: u32 = 3;

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// GET.
    Read,
    /// POST, PATCH, PUT, DELETE.
    Write,
}

impl Cost {
    /// In GitHub's points.
    pub(super) const fn points(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::Write => 5,
        }
    }

    const fn ceiling(self) -> u32 {
        match self {
            Self::Read => READ_CEILING,
            Self::Write => WRITE_CEILING,
        }
    }
}

/// How GitHub said that it is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The primary limit is used up until this moment.
    UsedUpUntil(Timestamp),
    /// `retry-after`.
    After(Duration),
    /// A secondary limit without a word about how long.
    Unsaid,
}

/// Not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// When to ask again.
    pub(super) until: Timestamp,
    /// Whose wish it is.
    pub(super) by: HeldBy,
}

/// Who holds a request back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldBy {
    /// We, so that GitHub need not.
    Ourselves,
    /// GitHub asked for a pause.
    GitHub,
}

/// The account of one credential at one host.
#[derive(Debug, Default)]
pub(super) struct Pace {
    spent: VecDeque<StopReason>,
    points_under_way: u32,
    held_until: Option<Timestamp>,
    strikes: u32,
    struck_at: Option<Timestamp>,
}

#[derive(Debug)]
struct StopReason {
    answered_at: Timestamp,
    points: u32,
    took: Duration,
}

impl Pace {
    /// Lets one request go and counts it, or says when to ask again. Whoever was let go calls [`Pace::done`].
    pub(super) fn ask(&mut self, now: Timestamp, cost: Cost) -> Result<(), Held> {
        self.forget(now);
        let own = self.room_at(now, cost).max(self.quick_answers_at(now));
        let asked = self.held_until.unwrap_or(now);
        if own <= now && asked <= now {
            self.points_under_way = self.points_under_way.saturating_add(cost.points());
            return Ok(());
        }
        let by = if asked > now { HeldBy::GitHub } else { HeldBy::Ourselves };
        Err(Held { until: own.max(asked), by })
    }

    /// The answer to a request that was let go at `sent` has come, or never will.
    pub(super) fn done(&mut self, sent: Timestamp, now: Timestamp, cost: Cost) {
        self.points_under_way = self.points_under_way.saturating_sub(cost.points());
        self.spent.push_back(StopReason { answered_at: now, points: cost.points(), took: now.since(sent) });
    }

    /// GitHub refused a request sent at `sent` for pace: nothing goes until the pause that this tells is over.
    pub(super) fn throttled(&mut self, sent: Timestamp, now: Timestamp, notice: Notice) -> Duration {
        let pause = match notice {
            Notice::UsedUpUntil(reset) => reset.since(now),
            Notice::After(pause) => {
                self.strike(sent, now);
                pause
            }
            Notice::Unsaid => {
                self.strike(sent, now);
                let doublings = self.strikes.saturating_sub(1).min(8);
                UNSAID_PAUSE.saturating_mul(1 << doublings).min(UNSAID_PAUSE_MAX)
            }
        };
        let pause = pause.max(PAUSE_MIN);
        self.hold_until(now + pause);
        pause
    }

    /// Nothing goes before `moment`: the last request of the primary limit has been answered.
    pub(super) fn hold_until(&mut self, moment: Timestamp) {
        self.held_until = self.held_until.max(Some(moment));
    }

    /// Whether it carries nothing that matters any more.
    pub(super) fn is_blank(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        self.spent.is_empty() && self.points_under_way == 0 && self.held_until.is_none() && self.strikes == 0
    }

    /// A request that was already under way when the last strike fell is part of the same incident.
    fn strike(&mut self, sent: Timestamp, now: Timestamp) {
        if self.struck_at.is_none_or(|struck_at| sent > struck_at) {
            self.strikes = self.strikes.saturating_add(1);
            self.struck_at = Some(now);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.spent.retain(|spent| spent.answered_at + WINDOW > now);
        if let Some(held_until) = self.held_until
            && held_until <= now
        {
            let calm_since = self.struck_at.map_or(held_until, |struck_at| struck_at.max(held_until));
            if self.strikes == 0 || calm_since + CALM <= now {
                self.held_until = None;
                self.strikes = 0;
                self.struck_at = None;
            }
        }
    }

    /// The first moment with room for `cost` below its ceiling; `now` if there is room.
    fn room_at(&self, now: Timestamp, cost: Cost) -> Timestamp {
        let ceiling = cost.ceiling() >> self.strikes.min(HALVINGS_MAX);
        let spent = self.spent.iter().map(|spent| spent.points).fold(self.points_under_way, u32::saturating_add);
        let mut excess = spent.saturating_add(cost.points()).saturating_sub(ceiling);
        if excess == 0 {
            return now;
        }
        for spent in &self.spent {
            excess = excess.saturating_sub(spent.points);
            if excess == 0 {
                return spent.answered_at + WINDOW;
            }
        }
        // The rest is under way, and counts for a window from an answer that is still to come.
        now + WINDOW
    }

    /// The first moment at which the answers of the last window took no longer than allowed in all.
    fn quick_answers_at(&self, now: Timestamp) -> Timestamp {
        let took = self.spent.iter().map(|spent| spent.took).fold(Duration::ZERO, Duration::saturating_add);
        let mut excess = took.saturating_sub(ANSWER_TIME_CEILING);
        for spent in &self.spent {
            if excess.is_zero() {
                break;
            }
            excess = excess.saturating_sub(spent.took);
            if excess.is_zero() {
                return spent.answered_at + WINDOW;
            }
        }
        now
    }
}

#[cfg(test)]
mod tests;
