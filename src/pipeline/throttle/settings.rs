//! What limits a run, as it was configured.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

/// How much may be committed a second. 0 is a pause; none is no limit.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limits {
    /// Events, read or written, whichever are more.
    pub events_per_second: Option<f64>,
    /// Bytes of them.
    pub bytes_per_second: Option<f64>,
}

impl Limits {
    /// The lower ones of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            events_per_second: lower(self.events_per_second, other.events_per_second),
            bytes_per_second: lower(self.bytes_per_second, other.bytes_per_second),
        }
    }

    /// These, and where they say nothing the others.
    pub fn or(self, other: Self) -> Self {
        Self {
            events_per_second: self.events_per_second.or(other.events_per_second),
            bytes_per_second: self.bytes_per_second.or(other.bytes_per_second),
        }
    }

    /// Whether nothing may be committed.
    pub fn is_pause(&self) -> bool {
        [self.events_per_second, self.bytes_per_second].into_iter().flatten().any(|limit| limit <= 0.0)
    }

    pub(super) fn scaled(self, factor: f64) -> Self {
        Self {
            events_per_second: self.events_per_second.map(|limit| limit * factor),
            bytes_per_second: self.bytes_per_second.map(|limit| limit * factor),
        }
    }
}

fn lower(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Everything that is configured to limit a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ThrottleSettings {
    /// At all times that no window is about.
    pub limits: Limits,
    /// How long the append of one transaction is to take: transactions get smaller, and then rarer, until it holds.
    pub target_latency: Option<Duration>,
    /// A number that must not get too high.
    pub query: Option<LoadQuery>,
    /// Times with limits of their own. Where several hold, the lower ones count.
    pub windows: Vec<Window>,
}

/// A query whose answer, a number, says whether a server has too much to do.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadQuery {
    /// The query. Its first column of its only row is the number.
    pub sql: String,
    /// Above this, the run slows down with every answer, up to a pause.
    pub at_most: f64,
    /// How often it is asked.
    pub every: Duration,
    /// Where it is asked.
    pub store: StoreSide,
}

/// One of a project's two stores of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreSide {
    /// Where events are read.
    Source,
    /// Where they are written.
    #[default]
    Target,
}

/// A time of the day, on some days, with limits of its own in place of the general ones.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    /// It begins with this time.
    pub from: Time,
    /// It ends before this time, of the next day where that is not later. Where both are the same, it is a whole day.
    pub to: Time,
    /// The days that it begins on.
    pub days: Vec<Weekday>,
    /// Where these times are.
    pub zone: TimeZone,
    /// What holds then; where it says nothing, the general limit does.
    pub limits: Limits,
}

impl Window {
    /// Whether it is that time now.
    pub fn holds(&self, now: Timestamp) -> bool {
        let local = now.to_zoned(self.zone.clone()).datetime();
        let (time, today) = (local.time(), local.date().weekday());
        let begins_on = |day: Weekday| self.days.contains(&day);
        if self.from < self.to {
            return begins_on(today) && self.from <= time && time < self.to;
        }
        let began_today = begins_on(today) && self.from <= time;
        let began_yesterday = begins_on(today.previous()) && time < self.to;
        began_today || began_yesterday
    }
}

impl ThrottleSettings {
    /// Whether nothing is limited, ever.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// What holds at a moment, and whether a window is why.
    pub fn limits_at(&self, now: Timestamp) -> (Limits, bool) {
        let windows = self.windows.iter().filter(|window| window.holds(now));
        match windows.map(|window| window.limits.or(self.limits)).reduce(Limits::and) {
            Some(limits) => (limits, true),
            None => (self.limits, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn window(from: Time, to: Time, days: &[Weekday], zone: &str) -> Window {
        let zone = TimeZone::get(zone).unwrap();
        let limits = Limits { events_per_second: Some(5.0), bytes_per_second: None };
        Window { from, to, days: days.to_vec(), zone, limits }
    }

    #[test]
    fn windows_hold_on_their_days_in_their_zone_and_over_midnight() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // 2026-03-02 is a Monday; Berlin is an hour ahead.
        let office = window(time(8, 0, 0, 0), time(18, 0, 0, 0), &[Weekday::Monday], "Europe/Berlin");
        for (moment, holds) in [
            ("2026-03-02T06:59:59Z", false),
            ("2026-03-02T07:00:00Z", true),
            ("2026-03-02T16:59:59.9Z", true),
            ("2026-03-02T17:00:00Z", false),
            ("2026-03-03T12:00:00Z", false),
        ] {
            assert_eq!(office.holds(at(moment)), holds, "{moment}");
        }
        let night = window(time(22, 0, 0, 0), time(6, 0, 0, 0), &[Weekday::Monday], "UTC");
        for (moment, holds) in [
            ("2026-03-02T05:00:00Z", false),
            ("2026-03-02T22:00:00Z", true),
            ("2026-03-03T05:59:59Z", true),
            ("2026-03-03T06:00:00Z", false),
            ("2026-03-03T23:00:00Z", false),
        ] {
            assert_eq!(night.holds(at(moment)), holds, "{moment}");
        }
        let day = window(Time::MIN, Time::MIN, &[Weekday::Monday], "UTC");
        assert!(day.holds(at("2026-03-02T23:59:59Z")) && !day.holds(at("2026-03-03T00:00:00Z")));
    }

    #[test]
    fn a_window_replaces_what_it_names_and_of_several_the_lowest_counts() {
        let all = [
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
        ];
        let general = Limits { events_per_second: Some(1.0), bytes_per_second: Some(9.0) };
        let mut settings = ThrottleSettings { limits: general, ..ThrottleSettings::default() };
        assert_eq!(settings.limits_at(Timestamp::UNIX_EPOCH), (general, false));
        settings.windows.push(window(Time::MIN, Time::MIN, &all, "UTC"));
        let wider = Limits { events_per_second: Some(5.0), bytes_per_second: Some(9.0) };
        assert_eq!(settings.limits_at(Timestamp::UNIX_EPOCH), (wider, true));
        let pause = Limits { events_per_second: Some(0.0), bytes_per_second: None };
        settings.windows.push(Window { limits: pause, ..settings.windows[0].clone() });
        assert!(settings.limits_at(Timestamp::UNIX_EPOCH).0.is_pause());
    }
}
