//! GitHub, by what a newer request of the resource knows: a target may get another name, and a credential be replaced.

use super::{Session, credential, log_refusal};
use crate::pool::continuation::{Continuation, Goal};
use crate::pool::observed::{GitHubView, Reading};
use crate::pool::record::{PoolRecord, Reach};
use crate::reconcile::locate::pools_of;
use crate::reconcile::ports::{Call, Clock, Ecs, GitHub, World};

/// Where a pool that is deleted no longer reaches GitHub, the other pools of its resource may: the Update that gave the
/// resource the present name of its organization, or a working credential, made one. Only a list with this pool's runners
/// in it counts, since an empty one of another place would pass for a pool whose runners are gone.
pub(super) async fn github<W: World>(world: &W, held: &Continuation, record: &PoolRecord, session: &mut Session) {
    let is_refused = matches!(&session.seen.github, GitHubView::Refused(no) if !no.class.may_pass());
    if !is_refused || matches!(held.goal, Goal::Present(_)) || session.has_asked_others {
        return;
    }
    let others = match reaches_of_others(world, held, record).await {
        Ok(others) => others,
        Err(error) => return log_refusal(&error),
    };
    session.has_asked_others = true;
    for reach in others {
        let Ok(credential) = credential(world, &reach.administrator).await else { continue };
        let began_at = world.clock().now();
        match world.github().runners(&reach.github, &credential).await {
            Ok(runners) if runners.iter().any(|runner| record.mark.owns(runner)) => {
                tracing::info!(step = "observe", "the runners are found at the {} now", reach.github.scope);
                session.credential = Some(credential);
                session.seen.github_read = Some(Reading { began_at, ended_at: world.clock().now() });
                session.seen.github = GitHubView::Runners(runners);
                session.seen.newer_reach = Some(reach);
                return;
            }
            Ok(_) => {}
            Err(error) => log_refusal(&error),
        }
    }
}

/// How the other pools of the resource reach GitHub, each way once.
async fn reaches_of_others<W: World>(world: &W, held: &Continuation, record: &PoolRecord) -> Call<Vec<Reach>> {
    let mut reaches: Vec<Reach> = Vec::new();
    for id in pools_of(world, &held.request.origin).await?.iter().filter(|id| **id != held.id) {
        let newest = world.ecs().task_definition(id).await?.filter(|revision| id.owns(&revision.tags));
        let other = newest.and_then(|revision| PoolRecord::from_label(revision.record.as_deref()?));
        let reach = other.and_then(|other| other.reach()?.beside(record));
        reaches.extend(reach.filter(|reach| !reaches.contains(reach)));
    }
    Ok(reaches)
}
