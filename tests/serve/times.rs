//! The times of a schedule.

use eventlift::Timestamp;
use eventlift::serve::{InvalidSchedule, Schedule, Task};
use proptest::prelude::*;

pub(super) fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::new("nightly", cron, zone, Task::Rebuild(vec!["customers".to_owned()])).unwrap()
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The times between two moments.
#[track_caller]
fn times(cron: &str, zone: &str, from: &str, until: &str, expected: &[&str]) {
    let schedule = schedule(cron, zone);
    let mut found = Vec::new();
    let mut last = at(from);
    while let Some(next) = schedule.next_after(last).filter(|next| *next <= at(until)) {
        assert!(next > last);
        assert_eq!(schedule.last_until(next), Some(next), "it is due at its own time");
        found.push(next.to_string());
        last = next;
    }
    assert_eq!(found, expected, "{cron} {zone}");
    let last_found = expected.last().map(|last| at(last));
    assert_eq!(schedule.last_until(at(until)).filter(|last| *last > at(from)), last_found);
}

#[test]
fn a_time_that_is_shown_twice_is_due_once() {
    // Clocks go back from 03:00 to 02:00 at 01:00 UTC.
    let (from, until) = ("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    let expected = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    times("30 2 * * *", "Europe/Berlin", from, until, &expected);
    times(
        "0 2,3 * * *",
        "Europe/Berlin",
        from,
        "2026-10-25T12:00:00Z",
        &["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"],
    );
    times(
        "0 0-3 * * *",
        "Europe/Berlin",
        "2026-10-24T22:30:00Z",
        "2026-10-25T12:00:00Z",
        &["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"],
    );
    // From 01:59:59 to 01:30:00 on Lord Howe: half an hour comes twice.
    times(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        "2026-04-05T00:00:00Z",
        &["2026-04-04T14:45:00Z"],
    );
}

#[test]
fn a_time_that_is_skipped_is_due_at_the_change() {
    // Clocks go forward from 02:00 to 03:00 at 01:00 UTC.
    let (from, until) = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    times("30 2 * * *", "Europe/Berlin", from, until, &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    times(
        "15,45 2,4 * * *",
        "Europe/Berlin",
        from,
        "2026-03-29T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T02:15:00Z", "2026-03-29T02:45:00Z"],
    );
    times("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-24T12:00:00Z", &["2026-04-23T22:00:00Z"]);
    // The hour before the change is an hour like any other.
    times("0 1 * * *", "Europe/Berlin", from, until, &["2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"]);
}

#[test]
fn what_goes_by_elapsed_time_goes_on_through_a_change() {
    times(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:45:00Z",
        "2026-10-25T02:00:00Z",
        &[
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:00:00Z",
        ],
    );
    times(
        "0 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:00:00Z",
        "2026-03-29T02:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"],
    );
}

#[test]
fn rare_days() {
    times("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-12-31T00:00:00Z", &["2104-02-29T00:00:00Z"]);
    times(
        "0 0 31 * *",
        "UTC",
        "2026-01-31T00:00:00Z",
        "2026-05-31T00:00:00Z",
        &["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"],
    );
    times("@daily", "UTC", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z", &["2026-02-01T00:00:00Z"]);
}

#[test]
fn days_with_letters_and_days_of_both_kinds() {
    let (from, until) = ("2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z");
    times("0 0 * * 5L", "UTC", from, until, &["2026-02-27T00:00:00Z"]);
    times("0 0 * * 5#2", "UTC", from, until, &["2026-02-13T00:00:00Z"]);
    times("0 0 15W * *", "UTC", from, until, &["2026-02-16T00:00:00Z"]);
    times("0 0 L * *", "UTC", from, until, &["2026-02-28T00:00:00Z"]);
    // The 15th, and every Monday.
    let both = [
        "2026-02-02T00:00:00Z",
        "2026-02-09T00:00:00Z",
        "2026-02-15T00:00:00Z",
        "2026-02-16T00:00:00Z",
        "2026-02-23T00:00:00Z",
    ];
    times("0 0 15 * MON", "UTC", from, until, &both);
}

#[test]
fn days_that_never_come_are_refused() {
    for cron in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        let refused = Schedule::new("nightly", cron, "UTC", Task::RebuildAll).unwrap_err();
        assert_eq!(refused, InvalidSchedule::Never { written: cron.to_owned() });
    }
}

proptest! {
    /// From any moment, the last time and the next one have nothing between them, and neither is skipped.
    #[test]
    fn the_last_and_the_next_time_are_neighbours(
        minute in prop_oneof![Just("*".to_owned()), Just("*/7".to_owned()), (0..60u8).prop_map(|m| m.to_string())],
        hour in prop_oneof![Just("*".to_owned()), Just("*/5".to_owned()), Just("0-3".to_owned()), Just("0,2".to_owned()), (0..4u8).prop_map(|h| h.to_string())],
        day in prop_oneof![Just("*"), Just("29"), Just("L"), Just("1-7")],
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York"), Just("Africa/Cairo"), Just("Australia/Lord_Howe")],
        micros in 1_770_000_000_000_000i64..1_810_000_000_000_000,
    ) {
        let schedule = schedule(&format!("{minute} {hour} {day} * *"), zone);
        let now = Timestamp::from_micros(micros).unwrap();
        let (last, next) = (schedule.last_until(now).unwrap(), schedule.next_after(now).unwrap());
        prop_assert!(last <= now && now < next);
        prop_assert_eq!(schedule.next_after(last), Some(next));
        prop_assert_eq!(schedule.last_until(next), Some(next));
        let just_before = Timestamp::from_micros(next.micros() - 1).unwrap();
        prop_assert_eq!(schedule.last_until(just_before), Some(last));
        prop_assert_eq!(next.micros() % 60_000_000, 0);
    }

    /// Whatever is written, there is an answer.
    #[test]
    fn no_line_breaks_the_parser(cron in "[0-9*/,#LW?@+A-Z -]{0,24}") {
        if let Err(invalid) = Schedule::new("nightly", &cron, "UTC", Task::RebuildAll) {
            prop_assert!(invalid.to_string().starts_with(&format!("{cron:?}")), "{}", invalid);
        }
    }
}
