//! What comes of a response, or of none: rollbacks, clean-ups and rest.

use super::{CLEANUP_TRIES, FOREIGN_ID, State};
use crate::script::{Pool, Rollback};
use crate::world::World;

impl World {
    /// Nobody waits for its request any more.
    pub(super) fn obsolete(&mut self, stack: usize) {
        if let Some(ask) = self.stacks.all[stack].waits_for.take() {
            self.stacks.asks[ask].is_obsolete = true;
            self.stacks.asks[ask].is_settled = true;
        }
    }

    /// Back to the properties before, with the id that the stack holds: the one of a FAILED response, if it named one.
    pub(super) fn roll_back(&mut self, stack: usize, failed_id: Option<String>) {
        let entry = &mut self.stacks.all[stack];
        let before = entry.before.clone().unwrap();
        let failed = std::mem::replace(&mut entry.pool, before.clone());
        entry.before = Some(failed.clone());
        if let Some(id) = failed_id {
            entry.physical_id = Some(id);
        }
        let id = entry.physical_id.clone();
        entry.state = State::RollingBack;
        self.ask(stack, "Update", &before, Some(&failed), id.as_deref());
    }

    /// What came of the request that a stack waits for; `None` if no response came in time.
    pub(super) fn settle(&mut self, ask: usize, response: Option<(bool, String)>) {
        let stack = self.stacks.asks[ask].stack;
        self.stacks.asks[ask].is_settled = true;
        self.stacks.all[stack].waits_for = None;
        let (state, id) = (self.stacks.all[stack].state.clone(), self.stacks.all[stack].physical_id.clone());
        if let Some((true, new)) =
            response.as_ref().filter(|_| matches!(state, State::Creating | State::Updating | State::RollingBack))
        {
            self.stacks.all[stack].live.insert(new.clone());
        }
        match (state, response) {
            (State::Creating, Some((true, new))) => self.rest(stack, State::Complete, Some(new), "create succeeded"),
            (State::Creating, failed) => {
                let made_up = || format!("{}-Runners-0", self.stacks.all[stack].name);
                let id = failed.map_or_else(made_up, |(_, id)| id);
                let pool = self.stacks.all[stack].pool.clone();
                self.occur("transition", "create failed");
                self.stacks.all[stack].physical_id = Some(id.clone());
                self.stacks.all[stack].state = State::UndoingCreate;
                self.ask(stack, "Delete", &pool, None, Some(&id));
            }
            (State::Updating, Some((true, new))) => self.updated(stack, id, new, "update"),
            (State::RollingBack, Some((true, new))) => self.updated(stack, id, new, "rollback"),
            (State::Updating, failed) => self.update_failed(stack, id, failed.map(|(_, id)| id)),
            (State::CleaningUpFailed, _) => {
                let (pool, failed) = (self.stacks.all[stack].pool.clone(), self.stacks.all[stack].before.clone());
                self.stacks.all[stack].state = State::RollingBack;
                self.ask(stack, "Update", &pool, failed.as_ref(), id.as_deref());
            }
            (State::RollingBack, failed) if self.script.rollback == Rollback::Skipped => {
                let other = failed.map(|(_, id)| id).filter(|failed| Some(failed) != id.as_ref());
                let (pool, before) = (self.stacks.all[stack].pool.clone(), self.stacks.all[stack].before.take());
                self.occur("transition", "rollback failed");
                self.stacks.all[stack].before = before.map(|_| pool);
                self.skip(stack, id, other);
            }
            (State::RollingBack, failed) => {
                let before = self.stacks.all[stack].before.clone();
                let id = failed.map_or(id, |(_, id)| Some(id));
                self.rest(stack, State::RollbackFailed, id, "rollback failed");
                self.stacks.all[stack].before = before;
            }
            (State::CleaningUp { .. }, Some((true, _))) => self.rest(stack, State::Complete, id, "clean-up done"),
            (State::CleaningUp { old_id, old, tries }, _) if tries < CLEANUP_TRIES => {
                self.clean_up(stack, old_id, *old, tries + 1);
            }
            (State::CleaningUp { old_id, .. }, _) => {
                self.stacks.all[stack].skipped.push(old_id);
                self.rest(stack, State::Complete, id, "clean-up skipped");
            }
            (State::Deleting | State::UndoingCreate, Some((true, _))) => {
                self.rest(stack, State::Gone, None, "delete succeeded");
            }
            (State::Deleting | State::UndoingCreate, _) => self.rest(stack, State::DeleteFailed, id, "delete failed"),
            (State::NotYet | State::Complete | State::RollbackFailed | State::DeleteFailed | State::Gone, _) => {}
        }
    }

    /// What follows upon a failed update, by the book or as other engines and people have it.
    fn update_failed(&mut self, stack: usize, id: Option<String>, failed_id: Option<String>) {
        self.occur("transition", "update failed");
        let is_first = id.as_deref().is_none_or(|id| id == FOREIGN_ID || !id.starts_with("ghr-"));
        if is_first {
            // There is nothing of this function's to go back to.
            let id = failed_id.or(id);
            let pool = self.stacks.all[stack].pool.clone();
            self.stacks.all[stack].physical_id.clone_from(&id);
            self.stacks.all[stack].state = State::Deleting;
            self.stacks.all[stack].live.clear();
            return self.ask(stack, "Delete", &pool, None, id.as_deref());
        }
        let other = failed_id.clone().filter(|failed| Some(failed) != id.as_ref());
        match (self.script.rollback, other) {
            (Rollback::CleanUpFirst, Some(other)) => {
                self.occur("transition", "clean-up before the rollback");
                let entry = &mut self.stacks.all[stack];
                let before = entry.before.clone().unwrap();
                let failed = std::mem::replace(&mut entry.pool, before);
                entry.before = Some(failed.clone());
                entry.state = State::CleaningUpFailed;
                self.ask(stack, "Delete", &failed, None, Some(&other));
            }
            (Rollback::Skipped, other) => self.skip(stack, id, other),
            (Rollback::ByTheBook | Rollback::CleanUpFirst, _) => self.roll_back(stack, failed_id),
        }
    }

    /// A person has the rollback skip the resource: the stack has its old properties, and one of the two ids.
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html>
    fn skip(&mut self, stack: usize, id: Option<String>, other: Option<String>) {
        let before = self.stacks.all[stack].before.clone().unwrap();
        self.stacks.all[stack].pool = before;
        let id = if self.chance.bool() { other.or(id) } else { id };
        self.rest(stack, State::Complete, id, "rollback skipped");
    }

    fn rest(&mut self, stack: usize, state: State, id: Option<String>, what: &str) {
        self.occur("transition", what);
        self.trace(|| format!("stack s{stack}: {what}"));
        let entry = &mut self.stacks.all[stack];
        entry.state = state;
        entry.physical_id = id;
        entry.before = None;
    }

    fn updated(&mut self, stack: usize, old_id: Option<String>, new_id: String, what: &str) {
        let old = self.stacks.all[stack].before.clone().unwrap();
        match old_id.filter(|old_id| *old_id != new_id) {
            None => {
                let what = format!("{what} succeeded in place");
                self.rest(stack, State::Complete, Some(new_id), &what);
            }
            Some(old_id) => {
                let what = format!("{what} succeeded by replacement");
                self.rest(stack, State::Complete, Some(new_id), &what);
                self.clean_up(stack, old_id, old, 1);
            }
        }
    }

    fn clean_up(&mut self, stack: usize, old_id: String, old: Pool, tries: u32) {
        self.stacks.all[stack].state = State::CleaningUp { old_id: old_id.clone(), old: Box::new(old.clone()), tries };
        self.ask(stack, "Delete", &old, None, Some(&old_id));
    }
}
