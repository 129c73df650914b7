use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_epoch_millis(1_000_000_000_000 + millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// When each of `n` deletions is sent if all of them are due at once and try again as soon as they may.
fn sent_at(n: usize) -> Vec<Timestamp> {
    let (mut limiter, mut now) = (RateLimiter::default(), at(0));
    (0..n)
        .map(|_| {
            while let Err(delay) = limiter.try_acquire(now, Pacing::Deletion) {
                assert_eq!(delay.cause, DelayCause::Client);
                assert!(delay.until > now, "time passes");
                now = delay.until;
            }
            now
        })
        .collect()
}

#[test]
fn delete_runners_is_paced_at_one_a_second_in_windows_of_eight() {
    let sent = sent_at(100);
    let in_window = |window: u64| sent.iter().filter(|sent| **sent == at(window * 8_000)).count();
    assert_eq!((0..13).map(in_window).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 4]);
}

#[test]
fn delete_runners_stays_far_below_900_points_a_minute() {
    // A DELETE costs five points, and lists share the rest:
    // https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#calculating-points-for-the-secondary-rate-limit
    let sent = sent_at(400);
    let busiest = sent.iter().map(|from| sent.iter().filter(|at| (*from..*from + secs(60)).contains(at)).count()).max();
    assert_eq!(busiest, Some(64));
}

#[test]
fn deletion_window_begins_with_its_first_deletion() {
    let mut limiter = RateLimiter::default();
    for millis in [5_000, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000, 12_999] {
        limiter.try_acquire(at(millis), Pacing::Deletion).unwrap();
    }
    let delay = limiter.try_acquire(at(12_999), Pacing::Deletion).unwrap_err();
    assert_eq!(delay, Delay { until: at(13_000), cause: DelayCause::Client });
    assert_eq!(limiter.try_acquire(at(13_000), Pacing::Deletion), Ok(()));
}

#[test]
fn list_runners_is_not_paced_by_deletions() {
    let mut limiter = RateLimiter::default();
    while limiter.try_acquire(at(0), Pacing::Deletion).is_ok() {}
    assert!((0..1000).all(|_| limiter.try_acquire(at(0), Pacing::Unpaced).is_ok()));
}

#[test]
fn retry_after_and_ratelimit_reset_are_kept_to_the_moment() {
    for pacing in [Pacing::Unpaced, Pacing::Deletion] {
        let mut limiter = RateLimiter::default();
        assert_eq!(limiter.record_rate_limit(at(0), at(0), ThrottleHint::RetryAfter(secs(17))), secs(17));
        let delay = limiter.try_acquire(at(16_999), pacing).unwrap_err();
        assert_eq!(delay, Delay { until: at(17_000), cause: DelayCause::GitHub });
        assert_eq!(limiter.try_acquire(at(17_000), pacing), Ok(()));

        let mut limiter = RateLimiter::default();
        assert_eq!(limiter.record_rate_limit(at(0), at(0), ThrottleHint::ResetAt(at(1_800_000))), secs(1800));
        assert_eq!(limiter.try_acquire(at(1_799_999), pacing).unwrap_err().until, at(1_800_000));
    }
}

#[test]
fn shorter_retry_after_does_not_end_a_longer_pause() {
    let mut limiter = RateLimiter::default();
    limiter.record_rate_limit(at(0), at(0), ThrottleHint::RetryAfter(secs(60)));
    limiter.record_rate_limit(at(0), at(1_000), ThrottleHint::RetryAfter(secs(2)));
    assert_eq!(limiter.try_acquire(at(59_999), Pacing::Unpaced).unwrap_err().until, at(60_000));
}

#[test]
fn secondary_rate_limit_without_retry_after_pauses_a_minute_and_doubles_until_a_success() {
    let mut limiter = RateLimiter::default();
    let mut now = at(0);
    let mut pauses = |limiter: &mut RateLimiter| -> Vec<u64> {
        (0..7)
            .map(|_| {
                let pause = limiter.record_rate_limit(now, now, ThrottleHint::None);
                now = now + pause + secs(1);
                pause.as_secs()
            })
            .collect()
    };
    assert_eq!(pauses(&mut limiter), [60, 120, 240, 480, 960, 960, 960]);
    limiter.record_success(at(0));
    assert_eq!(pauses(&mut limiter)[0], 960, "sent before the last limit: proves nothing");
    limiter.record_success(at(100_000_000));
    assert_eq!(pauses(&mut limiter)[0], 60);
}

#[test]
fn secondary_rate_limit_of_concurrent_requests_counts_once() {
    let mut limiter = RateLimiter::default();
    let hint = ThrottleHint::None;
    let pauses: Vec<u64> = (1..=8).map(|n| limiter.record_rate_limit(at(0), at(n), hint).as_secs()).collect();
    assert_eq!(pauses, [60; 8]);
}

#[test]
fn retry_after_of_zero_pauses_a_second() {
    let mut limiter = RateLimiter::default();
    assert_eq!(limiter.record_rate_limit(at(5_000), at(5_000), ThrottleHint::RetryAfter(Duration::ZERO)), secs(1));
    assert_eq!(limiter.record_rate_limit(at(5_000), at(5_000), ThrottleHint::ResetAt(at(0))), secs(1));
}
