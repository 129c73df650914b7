//! Pools with as many runners as jobs, and the jobs that come to them: bursts, trickles, jobs longer than a drain, jobs
//! that are cancelled and jobs that are run again. Drawn apart, so that the rest of a seed's script stays as it was.

use super::{Action, Pool, Prints, Script, What};

/// One script in so many has such pools.
const SCRIPTS: u32 = 4;
/// From one burst to the end of what it leaves behind: a pool that is to go back to `MinRunners` needs quiet for it.
const QUIET_SECS: u64 = 2_700;

/// Which stacks get such pools.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stacks {
    All,
    Some,
}

/// Makes such pools of some that the function registers, and sends jobs to all of them.
pub(crate) fn demand(script: &mut Script) {
    let mut chance = fastrand::Rng::with_seed(script.seed ^ 0x2127_599b_f432_5c37);
    if chance.u32(0..SCRIPTS) == 0 {
        pools(script, &mut chance, Stacks::Some);
    }
    jobs(script, &mut chance);
}

impl Script {
    /// The same with such pools in every stack, each with jobs, and with a stranger's set or without one.
    pub(crate) fn with_demand(mut self, has_foreign_set: bool) -> Self {
        let mut chance = fastrand::Rng::with_seed(self.seed ^ 0x6a09_e667_f3bc_c908);
        pools(&mut self, &mut chance, Stacks::All);
        jobs(&mut self, &mut chance);
        for stack in 0..self.pools.len() {
            burst(&mut self, &mut chance, stack, 600);
        }
        self.actions.sort_by_key(|action| action.at_millis);
        if has_foreign_set {
            self.pools.iter_mut().for_each(|pool| pool.has_set_name = true);
        }
        Self { has_foreign_set, ..self }
    }

    /// The same with an idle runner beside the jobs of each pool, long jobs, and nothing that changes a template or goes
    /// wrong at a call.
    pub(crate) fn with_idle_runners(mut self) -> Self {
        for pool in &mut self.pools {
            (pool.max_runners, pool.min_runners, pool.max_instances) = (Some(3), 1, 4);
        }
        let job = |stack| What::Job { label: format!("pool-{stack}"), secs: 2_000, prints: Prints::Nothing };
        let jobs = (0..self.pools.len()).map(|stack| Action { at_millis: 700_000, what: job(stack) });
        self.actions
            .retain(|action| !matches!(action.what, What::Update { .. } | What::Delete { .. } | What::Cancel { .. }));
        self.actions.extend(jobs);
        self.actions.sort_by_key(|action| action.at_millis);
        self.faults.clear();
        self.background_faults.clear();
        self
    }
}

/// The pools of whole stacks: a change from a number to `MaxRunners` is a replacement, and comes now and then.
fn pools(script: &mut Script, chance: &mut fastrand::Rng, stacks: Stacks) {
    let mut are_scaled: Vec<bool> =
        script.pools.iter().map(|_| stacks == Stacks::All || chance.u32(0..4) != 0).collect();
    let has_set_names = chance.u32(0..5) == 0;
    let scale = |pool: &mut Pool, chance: &mut fastrand::Rng| {
        let max_runners = [1, 2, 4, 6, 8][chance.usize(0..5)];
        pool.max_runners = Some(max_runners);
        pool.min_runners = [0, 0, 0, 1, 2][chance.usize(0..5)].min(max_runners);
        pool.has_set_name = has_set_names;
        (pool.is_registered_by_function, pool.is_ephemeral, pool.has_fixed_name) = (true, true, false);
        pool.max_instances = pool.max_instances.max(max_runners.div_ceil(if pool.is_distinct { 1 } else { 2 }));
    };
    for (pool, is_scaled) in script.pools.iter_mut().zip(&are_scaled) {
        if *is_scaled {
            scale(pool, chance);
        }
    }
    for action in &mut script.actions {
        if let What::Update { stack, pool } = &mut action.what {
            are_scaled[*stack] ^= stacks == Stacks::Some && chance.u32(0..8) == 0;
            if are_scaled[*stack] {
                scale(pool, chance);
            }
        }
    }
    script.has_foreign_set = has_set_names && chance.u32(0..3) == 0;
}

/// What comes to each stack that ever has such a pool.
fn jobs(script: &mut Script, chance: &mut fastrand::Rng) {
    let updated = script.actions.iter().filter_map(|action| match &action.what {
        What::Update { stack, pool } => Some((*stack, &**pool)),
        _ => None,
    });
    let mut all: Vec<(usize, &Pool)> = script.pools.iter().enumerate().chain(updated).collect();
    all.retain(|(_, pool)| pool.max_runners.is_some());
    let mut stacks: Vec<usize> = all.into_iter().map(|(stack, _)| stack).collect();
    stacks.sort_unstable();
    stacks.dedup();
    if stacks.is_empty() {
        return;
    }
    // The jobs of every script would keep a small pool at its limit for ever.
    script.actions.retain(|action| !matches!(action.what, What::Job { .. }) || chance.u32(0..5) == 0);
    let is_quiet_after = chance.bool();
    for stack in stacks {
        for at in bursts(chance, script.calm_secs) {
            burst(script, chance, stack, at);
        }
    }
    if is_quiet_after {
        script.calm_secs += QUIET_SECS;
    }
    script.actions.sort_by_key(|action| action.at_millis);
}

/// When they begin, in seconds.
fn bursts(chance: &mut fastrand::Rng, until: u64) -> Vec<u64> {
    (0..chance.u32(0..4)).map(|_| chance.u64(100..until.max(101))).collect()
}

fn burst(script: &mut Script, chance: &mut fastrand::Rng, stack: usize, at: u64) {
    let gap_millis = [0, 200, 10_000, 60_000][chance.usize(0..4)];
    let mut at_millis = at * 1000;
    for _ in 0..chance.u32(1..16) {
        let secs = match chance.u32(0..10) {
            0..=6 => chance.u64(5..200),
            7 | 8 => chance.u64(200..900),
            // Longer than any drain.
            _ => chance.u64(1_900..2_700),
        };
        let label = format!("pool-{stack}");
        script
            .actions
            .push(Action { at_millis, what: What::Job { label: label.clone(), secs, prints: Prints::Nothing } });
        match chance.u32(0..12) {
            0 | 1 => {
                let soon = at_millis + chance.u64(1_000..300_000);
                script.actions.push(Action { at_millis: soon, what: What::CancelJob { label } });
            }
            2 => {
                let later = at_millis + secs * 1000 + chance.u64(1_000..300_000);
                script
                    .actions
                    .push(Action { at_millis: later, what: What::Job { label, secs, prints: Prints::Nothing } });
            }
            _ => {}
        }
        at_millis += chance.u64(0..=gap_millis * 2);
    }
}

#[test]
fn a_seed_with_max_runners_has_bursts_cancelled_jobs_and_jobs_longer_than_a_drain() {
    let scripts: Vec<Script> = (0..40).map(super::Author::write).collect();
    let scaled = |script: &&Script| script.pools.iter().any(|pool| pool.max_runners.is_some());
    let n_scaled = scripts.iter().filter(scaled).count();
    assert!((4..30).contains(&n_scaled), "{n_scaled} of 40 scripts have such pools");
    let whats = || scripts.iter().filter(scaled).flat_map(|script| &script.actions).map(|action| &action.what);
    assert!(whats().any(|what| matches!(what, What::CancelJob { .. })));
    assert!(whats().any(|what| matches!(what, What::Job { secs, .. } if *secs > 1_800)));
    for pool in scripts.iter().flat_map(|script| &script.pools) {
        assert!(pool.max_runners.is_none_or(|max_runners| pool.min_runners <= max_runners));
    }
}
