//! `{"Tick": {}}`: runs the periodic work. The provider stack's rule invokes the function with it each minute. Of
//! concurrent or late ticks, one does the work.

use super::context::Context;
use super::inventory::inventory;
use super::listen::watch;
use crate::metrics;
use crate::reconcile::due_work::begin_due_work;
use crate::reconcile::log_error;
use crate::reconcile::ports::World;
use crate::reconcile::sweep::sweep;

/// Runs the work that is due. An error is logged and does not prevent other work; the next tick follows in a minute.
pub(super) async fn tick<W: World>(context: &Context<'_, W>) {
    let world = context.world;
    watch(context).await;
    let due = match begin_due_work(world).await {
        Ok(Some(due)) => due,
        Ok(None) => return,
        Err(error) => return log_error(&error),
    };
    if due.sweep {
        match sweep(world).await {
            Ok(n_removed) => metrics::sweep(n_removed),
            Err(error) => log_error(&error),
        }
    }
    if due.inventory {
        inventory(world).await;
    }
}
