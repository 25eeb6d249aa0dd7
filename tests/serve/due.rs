//! Which times are due, from what is known.

use eventlift::Timestamp;
use eventlift::projections::{RebuildOutcome, RebuildRun};
use eventlift::serve::{Decision, Schedule, Seen, Task, decide};
use proptest::prelude::*;

use super::ledger::run;
use super::times::at;

fn both() -> Schedule {
    let task = Task::Rebuild(vec!["customers".to_owned(), "orders".to_owned()]);
    Schedule::new("nightly", "0 2 * * *", "UTC", task).unwrap()
}

fn since(text: &str) -> Seen {
    Seen { since: at(text), done: None }
}

/// The time that is due, and what is left out.
#[track_caller]
fn due(seen: &Seen, runs: &[RebuildRun], now: &str) -> Option<(String, Vec<String>)> {
    match decide(&both(), seen, runs, at(now)) {
        Decision::Due(due) => Some((due.at.to_string(), due.answered)),
        Decision::Wait { until } => {
            assert!(until.unwrap() > at(now));
            None
        }
        Decision::ClockBehind { until } => panic!("the clock is behind {until}"),
    }
}

fn due_at(text: &str, answered: &[&str]) -> Option<(String, Vec<String>)> {
    Some((text.to_owned(), answered.iter().map(|name| (*name).to_owned()).collect()))
}

#[test]
fn nothing_is_due_before_its_first_time() {
    let seen = since("2026-11-20T12:00:00Z");
    assert_eq!(due(&seen, &[], "2026-11-20T12:00:00Z"), None);
    assert_eq!(due(&seen, &[], "2026-11-21T01:59:59.999999Z"), None);
    assert_eq!(due(&seen, &[], "2026-11-21T02:00:00Z"), due_at("2026-11-21T02:00:00Z", &[]));
    // It was seen at the very moment.
    assert_eq!(due(&since("2026-11-20T02:00:00Z"), &[], "2026-11-20T02:00:00Z"), None);
}

#[test]
fn of_the_times_that_were_missed_only_the_last_is_due() {
    let seen = since("2026-11-01T12:00:00Z");
    assert_eq!(due(&seen, &[], "2026-11-20T12:00:00Z"), due_at("2026-11-20T02:00:00Z", &[]));
    let seen = Seen { done: Some(at("2026-11-20T02:00:00Z")), ..seen };
    assert_eq!(due(&seen, &[], "2026-11-20T12:00:00Z"), None);
    assert_eq!(due(&seen, &[], "2026-11-22T12:00:00Z"), due_at("2026-11-22T02:00:00Z", &[]));
}

#[test]
fn what_is_done_or_failed_for_a_time_is_left_out() {
    let (seen, now, last) = (since("2026-11-01T12:00:00Z"), "2026-11-20T02:30:00Z", at("2026-11-20T02:00:00Z"));
    let failed = RebuildOutcome::Failed("overflow".to_owned());
    let one = [run("customers", last, RebuildOutcome::Done)];
    assert_eq!(due(&seen, &one, now), due_at("2026-11-20T02:00:00Z", &["customers"]));
    let two = [run("customers", last, RebuildOutcome::Done), run("orders", last, failed)];
    assert_eq!(due(&seen, &two, now), None);
    // Those that are broken off go on.
    let two = [run("customers", last, RebuildOutcome::Stopped), run("orders", last, RebuildOutcome::Running)];
    assert_eq!(due(&seen, &two, now), due_at("2026-11-20T02:00:00Z", &[]));
    // What somebody else asked for, or another schedule, does not count.
    let mut others = [run("customers", last, RebuildOutcome::Done), run("orders", last, RebuildOutcome::Done)];
    others[0].schedule = None;
    others[1].schedule = Some(("weekly".to_owned(), last));
    assert_eq!(due(&seen, &others, now), due_at("2026-11-20T02:00:00Z", &[]));
}

#[test]
fn a_clock_that_is_set_back_runs_nothing() {
    let seen = Seen { since: at("2026-11-01T12:00:00Z"), done: Some(at("2026-11-20T02:00:00Z")) };
    let behind = |now: &str, runs: &[RebuildRun]| decide(&both(), &seen, runs, at(now));
    let until = at("2026-11-20T02:00:00Z");
    assert_eq!(behind("2026-11-19T02:00:00Z", &[]), Decision::ClockBehind { until });
    assert_eq!(behind("2026-11-20T01:59:58.9Z", &[]), Decision::ClockBehind { until });
    // A second is no more than two clocks differ by.
    assert!(matches!(behind("2026-11-20T01:59:59Z", &[]), Decision::Wait { .. }));
    let mut long = run("customers", until, RebuildOutcome::Done);
    long.updated_at = at("2026-11-20T03:00:00Z");
    let decision = behind("2026-11-20T02:30:00Z", &[long]);
    assert_eq!(decision, Decision::ClockBehind { until: at("2026-11-20T03:00:00Z") });
}

/// What happens to a service.
#[derive(Clone, Debug)]
enum Event {
    /// Seconds pass, or the clock is set.
    Clock(i64),
    /// A task that is due is done, fails, or is broken off after its first projection.
    Run(u8),
    /// The file is lost; the ledger is not.
    Forget,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0..200_000i64).prop_map(Event::Clock),
        1 => (-400_000..400_000i64).prop_map(Event::Clock),
        8 => (0..3u8).prop_map(Event::Run),
        1 => Just(Event::Forget),
    ]
}

proptest! {
    /// However the clock is set, each projection is run at most once for a time, and the latest time is always run when
    /// the clock is right.
    #[test]
    fn every_time_is_run_at_most_once_and_a_gap_at_least_once(events in prop::collection::vec(event(), 1..60)) {
        let schedule = both();
        let mut now = at("2026-11-20T12:00:00Z");
        let mut seen = Seen { since: now, done: None };
        let mut runs: Vec<RebuildRun> = Vec::new();
        let mut answered: Vec<(String, Timestamp)> = Vec::new();
        for event in events {
            match event {
                Event::Clock(seconds) => now = Timestamp::from_micros(now.micros() + seconds * 1_000_000).unwrap(),
                // As the service does: from just before the last time in the ledger on.
                Event::Forget => if let Some(last) = runs.iter().map(|run| run.schedule.as_ref().unwrap().1).max() {
                    seen = Seen { since: Timestamp::from_micros(last.micros() - 1).unwrap(), done: None };
                },
                Event::Run(how) => {
                    let Decision::Due(due) = decide(&schedule, &seen, &runs, now) else { continue };
                    prop_assert!(due.at <= now && schedule.last_until(now) == Some(due.at));
                    for name in ["customers", "orders"].into_iter().filter(|name| !due.answered.iter().any(|a| a == name)) {
                        let outcome = if how == 1 { RebuildOutcome::Failed("overflow".to_owned()) } else { RebuildOutcome::Done };
                        let run = RebuildRun { begun_at: now, updated_at: now, ..run(name, due.at, outcome) };
                        let once = (name.to_owned(), due.at);
                        prop_assert!(!answered.contains(&once), "{name} twice for {}", due.at);
                        answered.push(once);
                        runs.push(run);
                        if how == 2 { break }
                    }
                    if how < 2 { seen.done = Some(due.at) }
                }
            }
            match decide(&schedule, &seen, &runs, now) {
                Decision::Due(due) => prop_assert!(due.at > seen.since),
                Decision::ClockBehind { until } => prop_assert!(until > now),
                // Nothing to do means that the last time is before the first one, or was run.
                Decision::Wait { until } => {
                    let last = schedule.last_until(now).unwrap();
                    let is_run = ["customers", "orders"].iter().all(|name| answered.contains(&((*name).to_owned(), last)));
                    let later = answered.iter().any(|(_, due)| *due > last);
                    prop_assert!(last <= seen.since || is_run || later, "{last} was not run");
                    prop_assert_eq!(until, schedule.next_after(now));
                }
            }
        }
    }
}
