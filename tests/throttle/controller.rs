//! The controller in simulated time: whatever appends cost, a limit holds, and a latency is kept.

use std::time::Duration;

use eventlift::pipeline::{Controller, Limits, LoadQuery, Moment, Size, StoreSide, ThrottleSettings, Wish};
use jiff::Timestamp;
use proptest::prelude::*;

fn moment(elapsed: Duration) -> Moment {
    Moment { elapsed, clock: Timestamp::UNIX_EPOCH }
}

/// A run with one writer in simulated time.
struct Run {
    controller: Controller,
    now: Duration,
    committed: u64,
    bytes: u64,
}

impl Run {
    fn new(settings: ThrottleSettings) -> Self {
        Self { controller: Controller::new(settings), now: Duration::ZERO, committed: 0, bytes: 0 }
    }

    /// Commits one transaction; `cost`: how long its append takes, of so many events.
    fn commit(&mut self, most: u64, event_bytes: u64, cost: impl FnOnce(u64) -> Duration) -> Size {
        let by_events = self.controller.transaction_events(Timestamp::UNIX_EPOCH).unwrap_or(most).min(most);
        let by_bytes = self.controller.transaction_bytes(Timestamp::UNIX_EPOCH).map(|bytes| bytes / event_bytes);
        let events = by_events.min(by_bytes.unwrap_or(most)).max(1);
        let size = Size { events, bytes: events * event_bytes };
        while let Some(wait) = self.controller.ask(moment(self.now), size) {
            assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
            self.now += wait.max(Duration::from_micros(1));
        }
        let took = cost(events);
        self.now += took;
        self.controller.appended(moment(self.now), took, size);
        self.committed += size.events;
        self.bytes += size.bytes;
        size
    }
}

fn limited(events: Option<f64>, bytes: Option<f64>) -> ThrottleSettings {
    let limits = Limits { events_per_second: events, bytes_per_second: bytes };
    ThrottleSettings { limits, ..ThrottleSettings::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Appends that the server could do in time, of any cost: the limit is reached within 5 %, and never passed by more.
    #[test]
    fn a_limit_is_kept_over_any_schedule_of_costs(
        rate in 20.0..200_000.0_f64,
        event_bytes in 1..5_000_u64,
        costs in prop::collection::vec(0.0..0.5_f64, 1..50),
        by_bytes: bool,
    ) {
        let settings = match by_bytes {
            false => limited(Some(rate), None),
            true => limited(None, Some(rate * event_bytes as f64)),
        };
        let mut run = Run::new(settings);
        let mut costs = costs.into_iter().cycle();
        while run.now < Duration::from_secs(30) {
            // A part of the time that the events are worth.
            let part = costs.next().unwrap_or_default();
            run.commit(1_000_000, event_bytes, |events| Duration::from_secs_f64(events as f64 / rate * part));
        }
        let expected = rate * run.now.as_secs_f64();
        let ratio = run.committed as f64 / expected;
        prop_assert!((0.95..=1.05).contains(&ratio), "{} events of {expected}", run.committed);
    }

    /// However long some appends take: what was not used up is not made up for.
    #[test]
    fn no_stretch_of_time_gets_more_than_its_share(
        rate in 100.0..50_000.0_f64,
        costs in prop::collection::vec(0.0..3.0_f64, 1..40),
    ) {
        let mut run = Run::new(limited(Some(rate), None));
        let mut marks = vec![(0.0, 0_u64)];
        for cost in costs {
            run.commit(1_000_000, 100, |_| Duration::from_secs_f64(cost));
            marks.push((run.now.as_secs_f64(), run.committed));
        }
        for (index, (from, before)) in marks.iter().enumerate() {
            for (until, after) in &marks[index + 1..] {
                // What an append takes counts: its events were paid for when it began. One transaction is a second's worth
                // at most, and 50 ms are kept.
                let room = rate * (until - from + 1.1) + 2.0;
                prop_assert!((after - before) as f64 <= room, "{} in {} s", after - before, until - from);
            }
        }
    }

    /// A server whose appends take a fixed time and some for each event, more of both while others load it.
    #[test]
    fn a_latency_is_kept_while_others_load_the_server(
        fixed in 0.0005..0.004_f64,
        each in 0.000_005..0.000_1_f64,
        load in 1.5..6.0_f64,
        target in 0.03..0.2_f64,
    ) {
        let settings = ThrottleSettings {
            target_latency: Some(Duration::from_secs_f64(target)),
            ..ThrottleSettings::default()
        };
        let mut run = Run::new(settings);
        let phase = |run: &mut Run, load: f64, seconds: u64| {
            let end = run.now + Duration::from_secs(seconds);
            let mut seen = Vec::new();
            while run.now < end {
                let mut took = 0.0;
                let size = run.commit(100_000, 100, |events| {
                    took = (fixed + each * events as f64) * load;
                    Duration::from_secs_f64(took)
                });
                seen.push((took, size.events));
            }
            let half = seen.split_off(seen.len() / 2);
            let mean = half.iter().map(|(took, _)| took).sum::<f64>() / half.len() as f64;
            let events = half.iter().map(|(_, events)| events).sum::<u64>() as f64 / half.len() as f64;
            (mean, events)
        };
        let (alone, before) = phase(&mut run, 1.0, 30);
        let (loaded, during) = phase(&mut run, load, 30);
        let (after, recovered) = phase(&mut run, 1.0, 30);
        // Where no transaction is too small, or too large for the source's batches, to be at it.
        for (mean, events) in [(alone, before), (loaded, during), (after, recovered)] {
            prop_assert!(mean <= target * 1.05, "{mean} s, wanted {target}, {events} events");
            let is_at_an_end = events <= 11.0 || events >= 99_000.0;
            prop_assert!(mean >= target * 0.75 || is_at_an_end, "{mean} s, wanted {target}, {events} events");
        }
        prop_assert!(during < before);
        prop_assert!((recovered / before - 1.0).abs() < 0.15, "{before} before, {recovered} after");
    }
}

#[test]
fn a_latency_that_nothing_keeps_slows_down_to_rare_small_transactions_and_says_so() {
    let target_latency = Some(Duration::from_millis(20));
    let mut run = Run::new(ThrottleSettings { target_latency, ..ThrottleSettings::default() });
    while run.now < Duration::from_secs(120) {
        run.commit(10_000, 100, |_| Duration::from_millis(60));
    }
    let state = run.controller.state(Timestamp::UNIX_EPOCH);
    assert_eq!((state.transaction_events, state.paused), (Some(10), false));
    let why = state.why.unwrap();
    assert_eq!(why, "even the smallest appends take 60 ms, and 20 ms are wanted");
    let before = run.committed;
    let end = run.now + Duration::from_secs(100);
    while run.now < end {
        run.commit(10_000, 100, |_| Duration::from_millis(60));
    }
    assert!(run.committed - before <= 120, "{}", run.committed - before);
    // Once the server is quick again, it is used again.
    let end = run.now + Duration::from_secs(120);
    while run.now < end {
        run.commit(10_000, 100, |_| Duration::from_millis(2));
    }
    assert_eq!(run.controller.state(Timestamp::UNIX_EPOCH).transaction_events.map(|events| events > 1000), Some(true));
}

fn by_query() -> Run {
    let query =
        LoadQuery { sql: "SELECT 1".to_owned(), at_most: 5.0, every: Duration::from_secs(1), store: StoreSide::Target };
    Run::new(ThrottleSettings { query: Some(query), ..limited(Some(1000.0), None) })
}

#[test]
fn a_query_above_its_bound_slows_down_to_a_pause_and_below_it_the_run_recovers() {
    let mut run = by_query();
    let mut limits = Vec::new();
    for _ in 0..12 {
        run.controller.answered(Ok(9.0));
        limits.push(run.controller.state(Timestamp::UNIX_EPOCH).events_per_second.unwrap());
    }
    assert!(limits.is_sorted_by(|earlier, later| earlier > later || *later == 0.0), "{limits:?}");
    let state = run.controller.state(Timestamp::UNIX_EPOCH);
    assert_eq!(
        (state.paused, state.why.as_deref()),
        (true, Some("the query of [throttle] yielded 9, and at most 5 is wanted"),)
    );
    assert!(run.controller.ask(moment(Duration::from_secs(500)), Size { events: 1, bytes: 1 }).is_some());
    for _ in 0..12 {
        run.controller.answered(Ok(5.0));
    }
    let state = run.controller.state(Timestamp::UNIX_EPOCH);
    assert_eq!((state.events_per_second, state.paused), (Some(1000.0), false));
}

#[test]
fn a_query_that_fails_again_and_again_leaves_the_least_and_says_why() {
    let mut run = by_query();
    for _ in 0..2 {
        run.controller.answered(Err("no such table: lag".to_owned()));
    }
    assert_eq!(run.controller.state(Timestamp::UNIX_EPOCH).events_per_second, Some(1000.0));
    run.controller.answered(Ok(f64::NAN));
    let state = run.controller.state(Timestamp::UNIX_EPOCH);
    assert_eq!((state.events_per_second, state.paused), (Some(50.0), false));
    assert_eq!(state.why.as_deref(), Some("the query of [throttle] failed 3 times: it yielded NaN"));
    // A pause is not ended by an answer that nobody got.
    let mut run = by_query();
    (0..12).for_each(|_| run.controller.answered(Ok(1e9)));
    (0..5).for_each(|_| run.controller.answered(Err("gone".to_owned())));
    assert!(run.controller.state(Timestamp::UNIX_EPOCH).paused);
}

#[test]
fn what_is_wished_for_counts_before_what_is_configured() {
    let mut run = Run::new(limited(Some(10.0), None));
    let limit = |run: &Run| run.controller.state(Timestamp::UNIX_EPOCH).events_per_second;
    run.controller.wish(Wish { events_per_second: Some(700.0), ..Wish::default() });
    assert_eq!(limit(&run), Some(700.0));
    run.controller.wish(Wish { off: true, ..Wish::default() });
    assert_eq!(limit(&run), None);
    let one = Size { events: 1_000_000, bytes: 1 };
    assert_eq!(run.controller.ask(moment(Duration::from_secs(1)), one), None);
    run.controller.wish(Wish { off: true, paused: true, ..Wish::default() });
    assert!(run.controller.ask(moment(Duration::from_secs(900)), one).is_some());
    assert!(run.controller.state(Timestamp::UNIX_EPOCH).paused);
    run.controller.wish(Wish::default());
    assert_eq!(limit(&run), Some(10.0));
}
