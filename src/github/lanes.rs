//! One [`Pace`] for each credential at each host, and the permits that concurrent callers hold.
//!
//! GitHub counts by user and by installation. Two pools that a warm function serves one after the other share a lane
//! when they share a credential, and one pool's used-up limit says nothing about another's credential.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ring::digest;

use super::pace::{Cost, Held, HeldBy, Notice, Pace};
use crate::pool::model::spec::GitHubHost;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, Credential};

/// More lanes than a warm function meets pools in a minute; blank ones are dropped beyond it.
const LANES_MAX: usize = 64;

/// A credential's digest: tells two apart without keeping either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Principal([u8; digest::SHA256_OUTPUT_LEN]);

impl Principal {
    /// Whose credential it is.
    ///
    /// An App's key is part of it: a wrong key in the parameter must show at once, and not hide behind a token that
    /// the right one got earlier in the same warm process.
    pub(super) fn of(credential: &Credential) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        match credential {
            Credential::AccessToken(token) => {
                context.update(b"token\0");
                context.update(token.expose().as_bytes());
            }
            Credential::App { id, private_key } => {
                context.update(b"app\0");
                context.update(id.as_bytes());
                context.update(b"\0");
                context.update(private_key.expose().as_bytes());
            }
        }
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Even a digest lets a guess be checked.
        f.write_str("Principal(..)")
    }
}

/// Which lane a request takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    api_authority: String,
    principal: Principal,
}

impl Lane {
    /// The lane of this credential at this host.
    pub(super) fn of(host: &GitHubHost, principal: Principal) -> Self {
        Self { api_authority: host.api_authority(), principal }
    }
}

/// Every lane of this process. No borrow of it outlives a call of one of its functions.
#[derive(Debug, Default)]
pub(super) struct Lanes(RefCell<BTreeMap<Lane, Pace>>);

impl Lanes {
    /// Waits for its turn, up to `give_up_at`, and tells who held it back where that is not enough.
    pub(super) async fn enter<'a, C: Clock>(
        &'a self,
        clock: &'a C,
        lane: &'a Lane,
        cost: Cost,
        give_up_at: Timestamp,
    ) -> Result<Permit<'a, C>, Held> {
        loop {
            let now = clock.now();
            match self.with(lane, now, |pace| pace.ask(now, cost)) {
                Ok(()) => return Ok(Permit { lanes: self, clock, lane, cost, sent: now }),
                Err(held) if held.until > give_up_at => return Err(held),
                Err(held) => {
                    if held.by == HeldBy::Ourselves {
                        tracing::debug!(wait_ms = millis(held.until, now), "held back to stay below GitHub's limits");
                    }
                    clock.sleep_until(held.until).await;
                }
            }
        }
    }

    /// GitHub refused a request sent at `sent` for pace. Tells the pause.
    pub(super) fn throttled(&self, lane: &Lane, sent: Timestamp, now: Timestamp, notice: Notice) -> Duration {
        self.with(lane, now, |pace| pace.throttled(sent, now, notice))
    }

    /// The primary limit is used up.
    pub(super) fn hold_until(&self, lane: &Lane, now: Timestamp, moment: Timestamp) {
        self.with(lane, now, |pace| pace.hold_until(moment));
    }

    fn with<T>(&self, lane: &Lane, now: Timestamp, work: impl FnOnce(&mut Pace) -> T) -> T {
        let mut lanes = self.0.borrow_mut();
        if lanes.len() >= LANES_MAX && !lanes.contains_key(lane) {
            lanes.retain(|_, pace| !pace.is_blank(now));
        }
        work(lanes.entry(lane.clone()).or_default())
    }
}

fn millis(until: Timestamp, now: Timestamp) -> u64 {
    until.epoch_millis().saturating_sub(now.epoch_millis())
}

/// Leave to send one request. Dropping it, answered or not, starts the request's minute.
pub(super) struct Permit<'a, C: Clock> {
    lanes: &'a Lanes,
    clock: &'a C,
    lane: &'a Lane,
    cost: Cost,
    /// When the request was let go.
    pub(super) sent: Timestamp,
}

impl<C: Clock> Drop for Permit<'_, C> {
    fn drop(&mut self) {
        let now = self.clock.now();
        self.lanes.with(self.lane, now, |pace| pace.done(self.sent, now, self.cost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::testing::{JumpClock, app, token};
    use crate::pool::model::secret::Secret;

    #[tokio::test]
    async fn a_request_that_is_given_up_counts_for_its_minute_and_no_longer() {
        let (lanes, clock) = (Lanes::default(), JumpClock::new());
        let lane = Lane::of(&GitHubHost::github_com(), Principal::of(&token()));
        let mut permits = Vec::new();
        for _ in 0..1000 {
            permits.extend(lanes.enter(&clock, &lane, Cost::Write, clock.now()).await.ok());
        }
        assert_eq!(permits.len(), 176);
        clock.pass(Duration::from_secs(100));
        let still_under_way = lanes.enter(&clock, &lane, Cost::Write, clock.now()).await.err();
        assert_eq!(still_under_way.map(|held| held.by), Some(HeldBy::Ourselves));
        drop(permits);
        assert!(lanes.enter(&clock, &lane, Cost::Write, clock.now() + Duration::from_secs(60)).await.is_err());
        assert!(lanes.enter(&clock, &lane, Cost::Write, clock.now() + Duration::from_secs(61)).await.is_ok());
    }

    #[test]
    fn a_principal_tells_credentials_apart_and_shows_nothing() {
        let other_key = Credential::App { id: "1234".to_owned(), private_key: Secret::new("other") };
        let principals = [token(), app(), other_key].map(|credential| Principal::of(&credential));
        assert!(principals.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(format!("{:?}", principals[0]), "Principal(..)");
    }
}
