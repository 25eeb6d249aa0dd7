//! `[throttle]`: how fast a run may be, and when.

use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::WrongValue;
use super::schedules::zone_hint;
use crate::pipeline::{Limits, LoadQuery, StoreSide, ThrottleSettings, Window};

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];
/// Bytes in a megabyte.
const MEGABYTE: f64 = 1e6;
/// How often a query is asked, where nothing is said.
const EVERY: Duration = Duration::from_secs(5);

/// `[throttle]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    events_per_second: Option<f64>,
    megabytes_per_second: Option<f64>,
    target_latency: Option<String>,
    query: Option<WrittenQuery>,
    window: Vec<WrittenWindow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenQuery {
    sql: String,
    at_most: f64,
    every: Option<String>,
    #[serde(default)]
    store: StoreSide,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    from: String,
    to: String,
    days: Option<Vec<String>>,
    time_zone: Option<String>,
    events_per_second: Option<f64>,
    megabytes_per_second: Option<f64>,
}

impl Written {
    pub(super) fn settings(self) -> Result<ThrottleSettings, WrongValue> {
        let limits = limits("[throttle]", self.events_per_second, self.megabytes_per_second)?;
        let target_latency = self.target_latency.map(|text| duration("target_latency", &text)).transpose()?;
        let query = self.query.map(WrittenQuery::query).transpose()?;
        let windows = self.window.into_iter().enumerate();
        let windows = windows.map(|(index, window)| window.window(index + 1)).collect::<Result<_, _>>()?;
        Ok(ThrottleSettings { limits, target_latency, query, windows })
    }
}

impl WrittenQuery {
    fn query(self) -> Result<LoadQuery, WrongValue> {
        if self.sql.trim().is_empty() {
            return Err(wrong("query", "[throttle] query: `sql` is empty".to_owned(), "write a query of one number"));
        }
        if !self.at_most.is_finite() {
            let problem = "[throttle] query: `at_most` is no number".to_owned();
            return Err(wrong("query", problem, "such as at_most = 5.0"));
        }
        let every = self.every.map_or(Ok(EVERY), |text| duration("query", &text))?;
        Ok(LoadQuery { sql: self.sql, at_most: self.at_most, every, store: self.store })
    }
}

impl WrittenWindow {
    /// `number`: its place, from 1.
    fn window(self, number: usize) -> Result<Window, WrongValue> {
        let place = format!("[[throttle.window]] {number}");
        let (from, to) = (time(&place, "from", &self.from)?, time(&place, "to", &self.to)?);
        let days = match self.days {
            None => DAYS.iter().map(|(_, day)| *day).collect(),
            Some(names) => names.iter().map(|name| day(&place, name)).collect::<Result<_, _>>()?,
        };
        let name = self.time_zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(name)
            .map_err(|_| wrong("window", format!("{place}: there is no time zone {name:?}"), &zone_hint(name)))?;
        let limits = limits(&place, self.events_per_second, self.megabytes_per_second)?;
        if limits == Limits::default() {
            let hint = "events_per_second = 0 is a pause";
            return Err(wrong("window", format!("{place}: it limits nothing"), hint));
        }
        Ok(Window { from, to, days, zone, limits })
    }
}

fn limits(place: &str, events: Option<f64>, megabytes: Option<f64>) -> Result<Limits, WrongValue> {
    for (key, limit) in [("events_per_second", events), ("megabytes_per_second", megabytes)] {
        if limit.is_some_and(|limit| !limit.is_finite() || limit < 0.0) {
            let problem = format!("{place} {key}: it is no number of at least 0");
            return Err(wrong(key, problem, "0 is a pause; leave the key out for no limit"));
        }
    }
    Ok(Limits { events_per_second: events, bytes_per_second: megabytes.map(|megabytes| megabytes * MEGABYTE) })
}

fn time(place: &str, key: &str, text: &str) -> Result<Time, WrongValue> {
    if text == "24:00" {
        return Ok(Time::MIN);
    }
    text.parse().map_err(|_| {
        let problem = format!("{place} {key}: {text:?} is no time of the day");
        wrong("window", problem, "a time is text such as \"08:00\" or \"18:30\"")
    })
}

fn day(place: &str, name: &str) -> Result<Weekday, WrongValue> {
    let lower = name.to_lowercase();
    let found = DAYS.iter().find(|(day, _)| *day == lower || day[..3] == lower);
    found.map(|(_, day)| *day).ok_or_else(|| {
        wrong("window", format!("{place} days: {name:?} is no day"), "days are \"monday\" or \"mon\" and so on")
    })
}

fn duration(key: &str, text: &str) -> Result<Duration, WrongValue> {
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        let problem = format!("[throttle] {key}: {text:?} is no length of time");
        wrong(key, problem, "a length of time is text such as \"50ms\", \"5s\" or \"1min\"")
    })
}

fn wrong(key: &str, message: String, hint: &str) -> WrongValue {
    WrongValue { keys: vec!["throttle".to_owned(), key.to_owned()], message, hint: Some(hint.to_owned()) }
}
