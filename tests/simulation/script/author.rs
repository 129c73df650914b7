//! The script of a seed.

use std::collections::BTreeMap;

use crate::faults::{BACKGROUND_FAULTS, FAULTS, Fault, TROUBLES, Trouble};
use crate::script::demand::demand;
use crate::script::{Action, AfterDeletion, First, Pool, Prints, Rollback, Script, What};

/// Draws a script.
pub(crate) struct Author {
    chance: fastrand::Rng,
    actions: Vec<Action>,
}

impl Author {
    /// The script of a seed.
    pub(crate) fn write(seed: u64) -> Script {
        let mut author = Self { chance: fastrand::Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15), actions: Vec::new() };
        let n_stacks = [1, 1, 1, 1, 1, 1, 2, 2, 3][author.chance.usize(0..9)];
        let pools: Vec<Pool> = (0..n_stacks).map(|_| author.pool()).collect();
        let mut end = 0;
        for (stack, pool) in pools.iter().enumerate() {
            end = end.max(author.life(stack, pool));
        }
        let calm_secs = end + author.chance.u64(60..600);
        author.jobs(calm_secs, n_stacks);
        author.fate(calm_secs);
        let poll_secs = [5, 10, 10, 10, 15][author.chance.usize(0..5)];
        let budget_secs = [None, None, Some(300), Some(600), Some(840)][author.chance.usize(0..5)];
        let has_foreign_group = author.chance.u32(0..25) == 0;
        let faults = author.faults();
        let first = match author.chance.u32(0..12) {
            0 => First::UpdateOfForeign,
            1 => First::CreateUnanswered,
            _ => First::Create,
        };
        let rollback =
            author.pick(&[Rollback::ByTheBook, Rollback::ByTheBook, Rollback::CleanUpFirst, Rollback::Skipped]);
        if first == First::CreateUnanswered {
            author.cancel_creates();
        }
        author.actions.sort_by_key(|action| action.at_millis);
        let mut script = Script {
            seed,
            pools,
            poll_secs,
            budget_secs,
            has_foreign_group,
            has_foreign_set: false,
            first,
            rollback,
            after_deletion: AfterDeletion::LivesOn,
            ends_are_lost: false,
            actions: author.actions,
            faults,
            background_faults: BTreeMap::new(),
            has_no_jit: false,
            calm_secs,
        };
        witnesses(&mut script);
        registrations(&mut script);
        warm_pools(&mut script);
        demand(&mut script);
        script
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.chance.u32(0..n) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.chance.usize(0..choices.len())]
    }

    fn pool(&mut self) -> Pool {
        let has_fixed_name = self.one_in(12);
        let count = if has_fixed_name { 1 } else { self.pick(&[0, 1, 1, 2, 2, 3, 4, 5, 8]) };
        Pool {
            count,
            has_fixed_name,
            is_ephemeral: self.one_in(3),
            is_distinct: self.one_in(6),
            is_on_named: self.one_in(8),
            min_instances: self.pick(&[0, 0, 0, 1]),
            max_instances: self.pick(&[2, 4, 6, 10]).max(count),
            online_secs: self.pick(&[600, 900]),
            idle_secs: self.pick(&[45, 60, 90]),
            drain_secs: self.pick(&[60, 300, 900, 1800]),
            fails_on_drain: self.one_in(4),
            fails_on_deregister: self.one_in(6),
            ..Pool::plain()
        }
    }

    /// What the template of a stack says next.
    fn changed(&mut self, pool: &Pool) -> Pool {
        let mut next = pool.clone();
        for _ in 0..self.pick(&[1, 1, 2]) {
            match self.chance.u32(0..15) {
                0..=2 => next.image += 1,
                3..=5 if !next.has_fixed_name => next.count = self.pick(&[0, 1, 2, 3, 5, 8]),
                6 => next.is_ephemeral = !next.is_ephemeral,
                7 => next.max_instances = self.pick(&[2, 4, 8]),
                8 => next.team += 1,
                9 => next.drain_secs = self.pick(&[30, 600, 1200]),
                10 => next.org = if next.org == "acme" { "globex".to_owned() } else { "acme".to_owned() },
                11 if !next.is_on_named => {
                    next.cluster = if next.cluster == "build" { "other".to_owned() } else { "build".to_owned() };
                }
                13 => next.target_percent = self.pick(&[80, 90, 100]),
                12 => next.is_distinct = !next.is_distinct,
                // Those whose runners may all leave before new ones come.
                14 if !next.is_on_named && (next.is_ephemeral || next.has_fixed_name) => {
                    next.on_demand_percent = self.pick(&[None, Some(0), Some(50)]);
                }
                _ => next.image = 1,
            }
        }
        next.max_instances = next.max_instances.max(next.count.div_ceil(if next.is_distinct { 1 } else { 2 }));
        next
    }

    fn at(&mut self, secs: u64, what: What) {
        let at_millis = secs * 1000 + self.chance.u64(0..1000);
        self.actions.push(Action { at_millis, what });
    }

    /// What becomes of a stack; when the last of it begins, in seconds.
    fn life(&mut self, stack: usize, first: &Pool) -> u64 {
        let mut at = self.chance.u64(0..60);
        self.at(at, What::Create { stack });
        let mut pool = first.clone();
        for _ in 0..self.chance.u32(1..5) {
            at += self.chance.u64(20..700);
            if self.one_in(10) {
                self.at(at, What::Delete { stack });
                break;
            }
            pool = self.changed(&pool);
            self.at(at, What::Update { stack, pool: Box::new(pool.clone()) });
            if self.one_in(6) {
                let soon = at + self.chance.u64(2..120);
                self.at(soon, What::Cancel { stack });
            }
        }
        at
    }

    /// Ends the wait for each Create a little after it was sent.
    fn cancel_creates(&mut self) {
        let creates: Vec<(usize, u64)> = self
            .actions
            .iter()
            .filter_map(|action| match action.what {
                What::Create { stack } => Some((stack, action.at_millis / 1000)),
                _ => None,
            })
            .collect();
        for (stack, at) in creates {
            let soon = at + self.chance.u64(2..90);
            self.at(soon, What::Cancel { stack });
        }
    }

    fn jobs(&mut self, until: u64, n_stacks: usize) {
        let gap = self.pick(&[8, 20, 60, 200]);
        let mut at = self.chance.u64(60..200);
        while at < until {
            let secs = match self.chance.u32(0..20) {
                0..=13 => self.chance.u64(5..120),
                14..=18 => self.chance.u64(120..900),
                _ => self.chance.u64(900..2700),
            };
            let label =
                if self.one_in(3) { "default".to_owned() } else { format!("pool-{}", self.chance.usize(0..n_stacks)) };
            self.at(at, What::Job { label, secs, prints: Prints::Nothing });
            at += self.chance.u64(1..=2 * gap);
        }
    }

    /// What happens to the world.
    fn fate(&mut self, until: u64) {
        for _ in 0..self.pick(&[0, 0, 1, 2, 4, 8]) {
            let at = self.chance.u64(30..until);
            let what = match self.chance.u32(0..12) {
                0 => What::MachineLost,
                1 => What::SpotReclaim,
                2 => What::AgentLost { secs: self.chance.u64(20..300) },
                3 => What::Duplicate,
                4 => What::NewTemplate,
                5 => What::NewToken,
                _ => {
                    let trouble = self.pick(TROUBLES);
                    What::Trouble { trouble, secs: self.chance.u64(10..=trouble.secs_max()) }
                }
            };
            self.at(at, what);
        }
        // Every request is sent twice now and then.
        if self.one_in(4) {
            self.at(0, What::Duplicate);
        }
    }

    fn faults(&mut self) -> BTreeMap<u32, Fault> {
        let mean = self.pick(&[0, 600, 200, 80, 30, 15]);
        draw_faults(&mut self.chance, FAULTS, mean)
    }
}

/// Faults at every so many calls, on an average; none with 0.
fn draw_faults(chance: &mut fastrand::Rng, choices: &[(Fault, u32)], mean: u32) -> BTreeMap<u32, Fault> {
    let mut faults = BTreeMap::new();
    if mean == 0 {
        return faults;
    }
    let all: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut at = chance.u32(1..=mean);
    while at < 20_000 {
        let mut draw = chance.u32(0..all);
        let drawn = choices.iter().find(|(_, weight)| {
            let is_it = draw < *weight;
            draw = draw.saturating_sub(*weight);
            is_it
        });
        faults.insert(at, drawn.unwrap().0);
        at += chance.u32(1..=2 * mean);
    }
    faults
}

/// Who registers the runners, and what goes wrong with that: drawn apart likewise.
fn registrations(script: &mut Script) {
    let mut chance = fastrand::Rng::with_seed(script.seed ^ 0x1405_7b7e_f767_814f);
    let mut are_by_function: Vec<bool> = Vec::new();
    for pool in &mut script.pools {
        pool.is_registered_by_function = chance.u32(0..4) != 0;
        are_by_function.push(pool.is_registered_by_function);
    }
    for action in &mut script.actions {
        if let What::Update { stack, pool } = &mut action.what {
            are_by_function[*stack] ^= chance.u32(0..8) == 0;
            pool.is_registered_by_function = are_by_function[*stack];
        }
    }
    script.has_no_jit = chance.u32(0..8) == 0;
    let mean = [0, 200, 60, 25, 10][chance.usize(0..5)];
    script.background_faults = draw_faults(&mut chance, BACKGROUND_FAULTS, mean);
}

/// Who has a warm pool, and its changes: drawn apart as well. None beside Spot.
fn warm_pools(script: &mut Script) {
    let mut chance = fastrand::Rng::with_seed(script.seed ^ 0x27d4_eb2f_1656_67c5);
    let mut sizes: Vec<u32> = script.pools.iter().map(|_| [0, 0, 0, 0, 1, 2][chance.usize(0..6)]).collect();
    let set = |pool: &mut Pool, size: u32| {
        let may_have = !pool.is_on_named && pool.on_demand_percent.is_none();
        pool.warm_instances = if may_have { size } else { 0 };
    };
    for (pool, size) in script.pools.iter_mut().zip(&sizes) {
        set(pool, *size);
    }
    for action in &mut script.actions {
        if let What::Update { stack, pool } = &mut action.what {
            if chance.u32(0..4) == 0 {
                sizes[*stack] = [0, 1, 2][chance.usize(0..3)];
            }
            set(pool, sizes[*stack]);
        }
    }
}

/// Who tells of jobs, and what goes wrong with that: drawn apart, so that the rest of a seed's script stays as it was.
fn witnesses(script: &mut Script) {
    let mut chance = fastrand::Rng::with_seed(script.seed ^ 0x5851_f42d_4c95_7f2d);
    let (has_logs, has_some) = [(false, false), (true, true), (true, true), (false, true)][chance.usize(0..4)];
    if has_logs && chance.bool() {
        script.after_deletion = AfterDeletion::Cancelled;
    }
    let mut never_fails = true;
    let updated = script.actions.iter_mut().filter_map(|action| match &mut action.what {
        What::Update { pool, .. } => Some(&mut **pool),
        _ => None,
    });
    for pool in script.pools.iter_mut().chain(updated) {
        pool.has_log = has_logs || (has_some && chance.bool());
        never_fails &= !pool.fails_on_drain;
    }
    // A log that shows a job for ever ends in `DrainTimeout`, and with `OnDrainTimeout: Fail` only by somebody's hand.
    script.ends_are_lost = never_fails && chance.u32(0..6) == 0;
    for action in &mut script.actions {
        if let What::Job { prints, .. } = &mut action.what {
            *prints = match chance.u32(0..30) {
                0 => Prints::Mentions,
                1 if never_fails => Prints::Start,
                2 => Prints::End,
                _ => Prints::Nothing,
            };
        }
    }
    for _ in 0..[0, 1, 1, 2][chance.usize(0..4)] {
        let trouble = match (script.after_deletion, chance.u32(0..6)) {
            (AfterDeletion::LivesOn, 0) => Trouble::LogsDenied,
            (AfterDeletion::LivesOn, 1) => Trouble::LogsEmpty,
            _ => Trouble::CallsIdle,
        };
        let at_millis = chance.u64(60_000..script.calm_secs * 1000);
        let secs = chance.u64(60..=trouble.secs_max());
        script.actions.push(Action { at_millis, what: What::Trouble { trouble, secs } });
    }
    script.actions.sort_by_key(|action| action.at_millis);
}
