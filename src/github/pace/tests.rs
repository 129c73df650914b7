use super::*;

const GITHUB_POINTS: u32 = 900;
const GITHUB_MINUTE: Duration = Duration::from_secs(60);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_epoch_millis(1_000_000_000_000 + millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A request that was let go.
#[derive(Clone, Copy, Debug)]
struct Gone {
    sent: Timestamp,
    answered: Timestamp,
    cost: Cost,
}

/// Works off `costs` in order, `n_at_once` at a time, each answer taking what `latency` says.
fn work_off(costs: &[Cost], n_at_once: usize, mut latency: impl FnMut() -> Duration) -> Vec<Gone> {
    let mut pace = Pace::default();
    let mut now = at(0);
    let mut under_way: Vec<Gone> = Vec::new();
    let mut gone = Vec::new();
    for cost in costs {
        loop {
            let next_answer = under_way.iter().map(|one| one.answered).min();
            let held = if under_way.len() < n_at_once { pace.ask(now, *cost).err() } else { None };
            let next = match (held, next_answer) {
                (None, _) if under_way.len() < n_at_once => break,
                (None, Some(answer)) => answer,
                (None, None) => unreachable!("somebody is under way"),
                (Some(held), answer) => answer.map_or(held.until, |answer| answer.min(held.until)),
            };
            assert!(next > now || next_answer == Some(now), "time moves on");
            now = now.max(next);
            let (done, still): (Vec<Gone>, Vec<Gone>) = under_way.iter().partition(|one| one.answered <= now);
            done.iter().for_each(|one| pace.done(one.sent, one.answered, one.cost));
            under_way = still;
        }
        let one = Gone { sent: now, answered: now + latency(), cost: *cost };
        under_way.push(one);
        gone.push(one);
    }
    gone
}

/// The most points that any minute of GitHub's can have counted, whichever moment of a request's life counts.
fn most_points_in_a_minute(gone: &[Gone]) -> u32 {
    gone.iter()
        .map(|last| {
            let counts = |one: &&Gone| one.sent <= last.sent && one.answered > last.sent - GITHUB_MINUTE;
            gone.iter().filter(counts).map(|one| one.cost.points()).sum()
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn four_hundred_deletions_keep_below_900_points_in_every_minute_and_above_170_a_minute() {
    for latency_ms in [0, 200, 400] {
        let gone = work_off(&[Cost::Write; 400], 32, || Duration::from_millis(latency_ms));
        let most = most_points_in_a_minute(&gone);
        assert!(most <= GITHUB_POINTS, "{most} points at {latency_ms} ms");

        // Sustained: the burst of the first moment is not counted in its favour.
        let (first, last) = (gone.first().unwrap().sent, gone.last().unwrap().sent);
        assert_eq!(gone.iter().filter(|one| one.sent.since(first) < secs(60)).count(), 176, "a whole burst at once");
        let per_minute = f64::from(176 * 2) / (last.since(first).as_secs_f64() / 60.0);
        assert!(per_minute >= 170.0, "{per_minute} a minute at {latency_ms} ms");
    }
}

#[test]
fn no_minute_sees_more_than_900_points_however_long_answers_take() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let costs: Vec<Cost> = (0..600).map(|_| if random.u8(0..4) == 0 { Cost::Read } else { Cost::Write }).collect();
        let gone = work_off(&costs, 32, || Duration::from_millis(random.u64(0..3_000)));
        let most = most_points_in_a_minute(&gone);
        assert!(most <= GITHUB_POINTS, "{most} points with seed {seed}");
    }
}

#[test]
fn a_poll_can_still_look_while_deletions_wait() {
    let mut pace = Pace::default();
    let now = at(0);
    for _ in 0..176 {
        pace.ask(now, Cost::Write).unwrap();
        pace.done(now, now, Cost::Write);
    }
    assert!(pace.ask(now, Cost::Write).is_err());
    let looks = (0..100).take_while(|_| pace.ask(now, Cost::Read).is_ok()).count();
    assert_eq!(looks, 15);
}

#[test]
fn slow_answers_slow_us_down_before_github_runs_out_of_cpu_time() {
    let gone = work_off(&[Cost::Write; 300], 32, || secs(2));
    let in_first_minute = gone.iter().filter(|one| one.sent < at(60_000)).count();
    assert!((40..=40 + 32).contains(&in_first_minute), "{in_first_minute} answers of 2 s");
}

#[test]
fn what_is_under_way_counts_until_a_minute_after_its_answer() {
    let mut pace = Pace::default();
    for _ in 0..176 {
        pace.ask(at(0), Cost::Write).unwrap();
    }
    let held = pace.ask(at(1_000), Cost::Write).unwrap_err();
    assert_eq!(held, Held { until: at(61_250), by: HeldBy::Ourselves }, "no answer yet: a whole window from now");
    pace.done(at(0), at(9_000), Cost::Write);
    assert_eq!(pace.ask(at(9_000), Cost::Write).unwrap_err().until, at(69_250));
    assert_eq!(pace.ask(at(69_250), Cost::Write), Ok(()));
}

#[test]
fn a_pause_that_github_names_is_kept_to_the_moment() {
    let mut pace = Pace::default();
    assert_eq!(pace.throttled(at(0), at(0), Notice::After(secs(17))), secs(17));
    assert_eq!(pace.ask(at(16_999), Cost::Read), Err(Held { until: at(17_000), by: HeldBy::GitHub }));
    assert_eq!(pace.ask(at(17_000), Cost::Read), Ok(()));

    let mut pace = Pace::default();
    assert_eq!(pace.throttled(at(0), at(0), Notice::UsedUpUntil(at(1_800_000))), secs(1800));
    assert_eq!(pace.ask(at(1_799_999), Cost::Read).unwrap_err().until, at(1_800_000));
}

#[test]
fn a_pause_that_github_does_not_name_is_a_minute_and_doubles() {
    let mut pace = Pace::default();
    let mut now = at(0);
    let pauses: Vec<u64> = (0..7)
        .map(|_| {
            let pause = pace.throttled(now, now, Notice::Unsaid);
            now = now + pause + secs(1);
            pause.as_secs()
        })
        .collect();
    assert_eq!(pauses, [60, 120, 240, 480, 960, 960, 960]);
}

#[test]
fn refusals_of_one_burst_are_one_strike() {
    let mut pace = Pace::default();
    let pauses: Vec<u64> = (1..=32).map(|n| pace.throttled(at(0), at(n), Notice::Unsaid).as_secs()).collect();
    assert_eq!(pauses, [60; 32]);
}

#[test]
fn a_strike_halves_the_pace_until_it_has_been_calm_for_a_while() {
    let burst = |pace: &mut Pace, now: Timestamp| {
        let n = (0..1000).take_while(|_| pace.ask(now, Cost::Write).is_ok()).count();
        (0..n).for_each(|_| pace.done(now, now, Cost::Write));
        n
    };
    let mut pace = Pace::default();
    pace.throttled(at(0), at(0), Notice::After(secs(60)));
    assert_eq!(burst(&mut pace, at(60_000)), 88);
    assert_eq!(burst(&mut pace, at(200_000)), 88);
    assert_eq!(burst(&mut pace, at(360_000)), 176, "five minutes after the pause");
}

#[test]
fn a_pause_of_nothing_is_still_a_second() {
    let mut pace = Pace::default();
    assert_eq!(pace.throttled(at(5_000), at(5_000), Notice::After(Duration::ZERO)), secs(1));
    assert_eq!(pace.throttled(at(5_000), at(5_000), Notice::UsedUpUntil(at(0))), secs(1));
}
