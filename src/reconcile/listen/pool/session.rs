//! The session of a pool's scale set, and what its messages say.

use super::PoolListener;
use crate::pool::model::scale_set::{JobStatistics, MessageSession, ScaleSet, ScaleSetMessage};
use crate::pool::model::time::Timestamp;
use crate::pool::policy::demand;
use crate::reconcile::listen::interruption::Interruption;
use crate::reconcile::log_error;
use crate::reconcile::ports::{Clock, ScaleSets, World};

impl<W: World> PoolListener<W> {
    pub(in crate::reconcile::listen) async fn begin_session(
        &mut self,
        world: &W,
        session: MessageSession,
        statistics: Option<JobStatistics>,
    ) -> Result<(), Interruption> {
        self.unacknowledged.clear();
        demand::begin_session(&mut self.record.progress, session, statistics, world.clock().now());
        tracing::info!(step = "listen", physical_id = self.id.as_str(), "session opened");
        self.store(world).await
    }

    pub(in crate::reconcile::listen) async fn renew_session(
        &mut self,
        world: &W,
        session: MessageSession,
    ) -> Result<(), Interruption> {
        self.record.progress.session = Some(session);
        self.store(world).await
    }

    pub(in crate::reconcile::listen) async fn forget_session(&mut self, world: &W) -> Result<(), Interruption> {
        self.record.progress.session = None;
        self.credential = None;
        self.store(world).await
    }

    pub(in crate::reconcile::listen) async fn replace_set(
        &mut self,
        world: &W,
        scale_set: u64,
    ) -> Result<(), Interruption> {
        self.record.goal.scale_set = scale_set;
        self.record.progress.session = None;
        self.store(world).await
    }

    pub(in crate::reconcile::listen) fn record_message(&mut self, message: &ScaleSetMessage) {
        demand::record_statistics(&mut self.record.progress, message);
        self.demand.record_message(message);
        self.start_delay.record_message(message);
    }

    /// Reads the set's statistics again, where those of the session's opening wait for it. A reading that fails changes
    /// nothing.
    pub(super) async fn confirm_statistics(&mut self, world: &W) -> Result<(), Interruption> {
        let now = world.clock().now();
        if !demand::is_confirmation_due(&self.record.progress, now) {
            return Ok(());
        }
        match self.read_set(world).await {
            Ok(found) => {
                let reading = found.filter(|found| found.id == self.record.goal.scale_set);
                demand::confirm_statistics(&mut self.record.progress, reading.and_then(|found| found.statistics));
            }
            Err(Interruption::Failed(error)) => {
                log_error(&error);
                demand::postpone_confirmation(&mut self.record.progress, now);
            }
            Err(interruption) => return Err(interruption),
        }
        self.store(world).await
    }

    async fn read_set(&mut self, world: &W) -> Result<Option<ScaleSet>, Interruption> {
        let credential = self.credential(world).await?;
        let metadata = &self.record.goal.metadata;
        let Some(request) = &metadata.scale_set else { return Ok(None) };
        let (port, group) = (world.scale_sets(), request.group.as_deref());
        Ok(port.scale_set_named(&metadata.github, &credential, group, &request.name).await?)
    }

    /// Messages that were read are acted upon by the next act.
    pub(in crate::reconcile::listen) fn begin_message(&mut self, message_id: u64) {
        self.unacknowledged.push(message_id);
    }

    pub(in crate::reconcile::listen) fn has_read(&self, message_id: u64) -> bool {
        self.unacknowledged.contains(&message_id)
    }

    /// The last message that was read: the next poll asks for later ones.
    pub(in crate::reconcile::listen) fn last_read_id(&self) -> u64 {
        let last = self.unacknowledged.iter().max().copied().unwrap_or_default();
        last.max(self.record.progress.last_message_id)
    }

    /// Writes down that everything that was read was acted upon. Returns the messages that can be acknowledged.
    pub(in crate::reconcile::listen) async fn end_messages(&mut self, world: &W) -> Result<Vec<u64>, Interruption> {
        self.retry_at = None;
        if self.unacknowledged.is_empty() {
            return Ok(Vec::new());
        }
        self.record.progress.last_message_id = self.last_read_id();
        self.store(world).await?;
        Ok(std::mem::take(&mut self.unacknowledged))
    }

    /// Until when nothing is done after an act that failed.
    pub(in crate::reconcile::listen) fn backs_off_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.retry_at.filter(|retry_at| now < *retry_at)
    }

    pub(in crate::reconcile::listen) const fn back_off(&mut self, retry_at: Timestamp) {
        self.retry_at = Some(retry_at);
    }
}
