use proptest::prelude::*;

use super::*;

fn lines(texts: &[&str]) -> Vec<LogLine> {
    let line = |(place, text): (u64, &&str)| LogLine {
        at: Timestamp::from_epoch_millis(place * 1000),
        text: (*text).to_owned(),
    };
    (0..).zip(texts).map(line).collect()
}

/// `idle`, `unknown`, or the job that runs.
fn said(texts: &[&str]) -> String {
    match read(&lines(texts)) {
        Some(LogState::Idle(_)) => "idle".to_owned(),
        Some(LogState::Busy(job)) => job.to_string(),
        None => "unknown".to_owned(),
    }
}

const LISTENS: &str = "2026-09-16 15:14:46Z: Listening for Jobs";
const BEGAN_A: &str = "2026-09-16 15:15:02Z: Running job: A";
const ENDED_A: &str = "2026-09-16 15:21:40Z: Job A completed with result: Succeeded";
const BEGAN_B: &str = "2026-09-16 15:22:02Z: Running job: B";
const ENDED_B: &str = "2026-09-16 15:23:02Z: Job B completed with result: Canceled";

#[test]
fn a_start_without_its_end_is_a_busy_runner() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "unknown"),
        (&["Current runner version: '2.336.0'", "√ Connected to GitHub"], "unknown"),
        (&[LISTENS], "idle"),
        (&[LISTENS, BEGAN_A], "A"),
        (&[LISTENS, BEGAN_A, ENDED_A], "idle"),
        (&[BEGAN_A, ENDED_A, BEGAN_B], "B"),
        (&[BEGAN_A, "2026-09-16 15:16:02Z: Runner reconnected.", "√ Connected to GitHub"], "A"),
        // The beginning was cut off, and the end of a job that was overtaken says nothing of the next.
        (&[ENDED_A], "unknown"),
        (&[ENDED_A, LISTENS], "idle"),
        // The end of one job is printed after the start of the next.
        (&[BEGAN_A, BEGAN_B, ENDED_A], "B"),
        (&[BEGAN_A, BEGAN_B, ENDED_A, ENDED_B], "idle"),
        (&[BEGAN_A, BEGAN_A, ENDED_A], "A"),
        (&[BEGAN_A, BEGAN_A, ENDED_A, ENDED_A], "idle"),
        // An end is missing.
        (&[BEGAN_A, BEGAN_B, ENDED_B], "idle"),
        (&[BEGAN_A, ENDED_B], "A"),
        (&[BEGAN_A, LISTENS], "idle"),
        // Copies of the trace.
        (
            &[
                BEGAN_A,
                "[RUNNER 2026-09-16 15:21:40Z INFO Terminal] WRITE LINE: 2026-09-16 15:21:40Z: Job A completed with result: Succeeded",
            ],
            "A",
        ),
        (&[LISTENS, "[WORKER 2026-09-16 15:21:40Z INFO X] 2026-09-16 15:21:40Z: Running job: A"], "idle"),
        // A job that prints the words itself, and one that does so with the time.
        (&[BEGAN_A, "Job A completed with result: Succeeded", "Listening for Jobs"], "A"),
        (&[BEGAN_A, " 2026-09-16 15:21:40Z: Job A completed with result: Succeeded"], "A"),
        (&[BEGAN_A, "2026-09-16 15:20:00Z: Running job: forged", ENDED_A], "forged"),
        (&[BEGAN_A, ENDED_A, ENDED_A], "idle"),
        // A pseudo terminal, a name that is like an end, a name that is empty.
        (&["2026-09-16 15:15:02Z: Running job: A\r", ENDED_A], "idle"),
        (
            &[
                "2026-09-16 15:15:02Z: Running job: A completed with result: Succeeded",
                "2026-09-16 15:15:02Z: Job A completed with result: Succeeded completed with result: Failed",
            ],
            "idle",
        ),
        (&["2026-09-16 15:15:02Z: Running job: "], ""),
        // No result is no end.
        (&[BEGAN_A, "2026-09-16 15:21:40Z: Job A completed with result: "], "A"),
        (&[BEGAN_A, "2026-09-16 15:21:40Z: Job A completed with result: Succeeded, it says"], "A"),
    ];
    for (texts, wanted) in cases {
        assert_eq!(said(texts), *wanted, "{texts:#?}");
    }
}

#[test]
fn a_name_in_a_sentence_is_short_and_has_no_control_characters() {
    let long = format!("2026-09-16 15:15:02Z: Running job: a\u{1b}[31m{}", "x".repeat(500));
    let name = said(&[&long]);
    assert!(name.starts_with("a\\u{1b}[31mx") && name.chars().count() < 210, "{name}");
}

#[test]
fn a_stream_is_named_by_prefix_container_and_task() {
    let place = LogPlace { group: "/ci/runners".to_owned(), stream_prefix: "ghr-ci-Runners-0a1b2c3d4e".to_owned() };
    let stream = place.stream("runner", "arn:aws:ecs:eu-west-1:111122223333:task/build/0123abcd");
    assert_eq!(stream.name, "ghr-ci-Runners-0a1b2c3d4e/runner/0123abcd");
    assert_eq!(stream.group, "/ci/runners");
}

#[test]
fn the_evidence_carries_the_moment_of_its_line() {
    let Some(LogState::Idle(idle)) = read(&lines(&[LISTENS, BEGAN_A, ENDED_A, "anything"])) else { panic!("busy") };
    assert_eq!(idle.since(), Timestamp::from_epoch_millis(2000));
}

/// A listener's life: jobs one after the other, by number of their name, each with its end printed or not, before or
/// after the start of the next; and whether the last one still runs.
fn lives() -> impl Strategy<Value = (Vec<(u8, bool, bool)>, bool)> {
    (prop::collection::vec((0_u8..3, prop::bool::weighted(0.8), any::<bool>()), 1..12), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_log_holds_panics(texts in prop::collection::vec(".{0,60}|2026-09-16 15:15:02Z: .{0,40}", 0..20)) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        said(&texts);
    }

    #[test]
    fn a_job_that_runs_is_never_read_as_idle_whatever_went_before(life in lives(), from in 0_usize..30) {
        let (jobs, still_runs) = life;
        let mut texts = vec![LISTENS.to_owned()];
        let mut late: Option<String> = None;
        let (mut overtaken, mut begun_at) = (Vec::new(), 0);
        for (place, (name, prints_end, is_late)) in jobs.iter().enumerate() {
            if late.is_some() {
                overtaken.push(begun_at + 1..=texts.len());
            }
            begun_at = texts.len();
            texts.push(format!("2026-09-16 15:15:02Z: Running job: job {name}"));
            texts.extend(late.take());
            let is_last = place + 1 == jobs.len();
            let end = format!("2026-09-16 15:15:02Z: Job job {name} completed with result: Succeeded");
            match (is_last && still_runs, *prints_end, *is_late && !is_last) {
                (false, true, true) => late = Some(end),
                (false, true, false) => texts.push(end),
                (true, _, _) | (_, false, _) => {}
            }
        }
        // However much of the beginning is cut off, save between the start of a job and that of the next, before which
        // its end was not printed: with one name for both, nothing shows that this end is not the next one's own.
        let from = from.min(texts.len());
        prop_assume!(!overtaken.iter().any(|cut| cut.contains(&from)));
        let texts: Vec<&str> = texts[from..].iter().map(String::as_str).collect();
        let read = said(&texts);
        if still_runs {
            prop_assert_ne!(read, "idle");
        }
    }

    #[test]
    fn a_listener_that_prints_every_end_in_order_reads_as_it_is(names in prop::collection::vec(0_u8..3, 0..12), runs: bool) {
        let mut texts = vec![LISTENS.to_owned()];
        for name in &names {
            texts.push(format!("2026-09-16 15:15:02Z: Running job: job {name}"));
            texts.push(format!("2026-09-16 15:15:02Z: Job job {name} completed with result: Failed"));
        }
        let last = names.last().filter(|_| runs);
        if last.is_some() {
            texts.pop();
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        prop_assert_eq!(said(&texts), last.map_or("idle".to_owned(), |name| format!("job {name}")));
    }
}
