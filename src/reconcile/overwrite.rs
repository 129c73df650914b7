//! Writing a record over the one that was found.
//!
//! Parameter Store has no conditional write: what somebody else wrote between our look and our write is gone from the
//! record, but not from its history, and the version that a write tells shows whether there was something. A response
//! that stood there is put back, or another delivery of its request would work once more and respond otherwise.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>

use super::ports::{Call, Succession, World};
use crate::pool::succession::{SeenTurn, Turn};

/// Versions that are looked through. A look and the write that rests on it are seconds apart, and so many deliveries of
/// one request do not write in that time.
const MISSED_MAX: u64 = 5;

/// What became of a write.
pub enum Written {
    /// The record says what was written, in this version.
    Ours(u64),
    /// The record says what it said before, which is this.
    PutBack(Turn),
}

/// Writes `turn` over what was `found`, unless a response that `counts` was written meanwhile.
///
/// # Errors
/// The first call that was refused.
pub async fn overwrite<W: World>(
    world: &W,
    name: &str,
    found: Option<&SeenTurn>,
    turn: &Turn,
    counts: impl Fn(&SeenTurn) -> bool,
) -> Call<Written> {
    let version = world.succession().take_turn(name, &turn.to_record()).await?;
    let first_missed = found.map_or(0, |found| found.version).saturating_add(1);
    for missed in (first_missed.max(version.saturating_sub(MISSED_MAX))..version).rev() {
        let Some(record) = world.succession().earlier_turn(name, missed).await? else { continue };
        let earlier = SeenTurn { turn: Turn::from_record(&record.text), version: record.version };
        if earlier.turn.answer().is_some() && counts(&earlier) {
            tracing::info!(step = "put_back", "another invocation has responded meanwhile");
            world.succession().take_turn(name, &record.text).await?;
            return Ok(Written::PutBack(earlier.turn));
        }
    }
    Ok(Written::Ours(version))
}
