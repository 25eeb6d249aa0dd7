//! Schedules: what is to be built, and when.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use eventlift_events::Timestamp;
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The fields of a cron line.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31"),
    ("month", "1-12 or JAN-DEC"),
    ("day of the week", "0-7 or SUN-SAT"),
];

/// What a schedule asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// These projections are built anew.
    Rebuild(Vec<String>),
    /// The projections are built anew whose definition or rules differ from what built the live tables.
    RebuildChanged,
    /// Every projection is built anew.
    RebuildAll,
    /// New events are applied to these projections.
    Update(Vec<String>),
    /// New events are applied to every projection.
    UpdateAll,
}

impl Task {
    /// The projections that it names; none where it goes for those that there are.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Self::Rebuild(names) | Self::Update(names) => Some(names),
            Self::RebuildChanged | Self::RebuildAll | Self::UpdateAll => None,
        }
    }
}

impl fmt::Display for Task {
    /// As what is being done: "rebuilding customers, orders".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebuild(names) => write!(f, "rebuilding {}", names.join(", ")),
            Self::RebuildChanged => write!(f, "rebuilding what changed"),
            Self::RebuildAll => write!(f, "rebuilding everything"),
            Self::Update(names) => write!(f, "updating {}", names.join(", ")),
            Self::UpdateAll => write!(f, "updating everything"),
        }
    }
}

/// A task and the times at which it is due, whole minutes by the clocks of a time zone.
///
/// Where clocks are changed: a time that they show twice is due the first time only, and one that they skip is due at
/// the moment of the change. A line with `*` or `*/n` for its minute or hour is due by elapsed time instead, through
/// the hour that comes twice and past the one that is skipped.
#[derive(Clone, Debug)]
pub struct Schedule {
    name: String,
    cron: Cron,
    written: String,
    zone: TimeZone,
    zone_name: String,
    task: Task,
    /// Whether it is due by elapsed time.
    is_interval: bool,
}

/// Why a schedule can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchedule {
    /// The line has more or fewer than five fields.
    #[error("{written:?} has {count} {} instead of five", if *count == 1 { "field" } else { "fields" })]
    FieldCount {
        /// The line.
        written: String,
        /// How many there are.
        count: usize,
    },
    /// A field is wrong.
    #[error("{written:?}: {value:?} is no {field} ({allowed})")]
    Field {
        /// The line.
        written: String,
        /// Which field.
        field: &'static str,
        /// What is written there.
        value: String,
        /// What can be.
        allowed: &'static str,
    },
    /// The line is wrong in another way.
    #[error("{written:?} is no cron line: {problem}")]
    Line {
        /// The line.
        written: String,
        /// The parser's words.
        problem: String,
    },
    /// No day is ever like that.
    #[error("{written:?} never comes: there is no such day")]
    Never {
        /// The line.
        written: String,
    },
    /// No such time zone.
    #[error("there is no time zone {name:?}")]
    TimeZone {
        /// Its name.
        name: String,
    },
}

impl InvalidSchedule {
    /// What to try.
    pub fn hint(&self) -> String {
        match self {
            Self::TimeZone { .. } => "a time zone is a name such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
            _ => "minute, hour, day of the month, month, day of the week: \"0 2 * * *\" is every day at 02:00, \
                  \"*/15 8-18 * * MON-FRI\" every quarter of an hour on working days"
                .to_owned(),
        }
    }
}

impl Schedule {
    /// Takes a cron line of five fields (or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`) and the name of a
    /// time zone. Fails where the line is broken or never comes true, and where there is no such zone.
    pub fn new(name: &str, cron: &str, zone: &str, task: Task) -> Result<Self, InvalidSchedule> {
        let parsed = parse(cron)?;
        let time_zone = TimeZone::get(zone).map_err(|_| InvalidSchedule::TimeZone { name: zone.to_owned() })?;
        let schedule = Self {
            name: name.to_owned(),
            cron: parsed,
            written: cron.to_owned(),
            zone: time_zone,
            zone_name: zone.to_owned(),
            task,
            is_interval: cron.split_whitespace().take(2).any(|field| field.contains('*'))
                || cron.trim().eq_ignore_ascii_case("@hourly"),
        };
        match schedule.next_after(Timestamp::now()) {
            Some(_) => Ok(schedule),
            None => Err(InvalidSchedule::Never { written: cron.to_owned() }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it asks for.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The cron line and the time zone, as written.
    pub fn times(&self) -> String {
        format!("{} {}", self.written, self.zone_name)
    }

    /// The first time that is due after a moment; none after the last one before the year 5000.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let from = self.zoned(moment)?;
        if self.is_interval {
            let next = timestamp(&self.cron.find_next_occurrence(&from, false).ok()?)?;
            return (next > moment).then_some(next);
        }
        let mut shown = from.datetime();
        loop {
            shown = self.cron.find_next_occurrence(&shown, false).ok()?;
            // One that was shown before, in an hour that comes twice, is over.
            if let Some(next) = self.first_moment(shown).filter(|next| *next > moment) {
                return Some(next);
            }
        }
    }

    /// The last time that was due before or at a moment.
    pub fn last_until(&self, moment: Timestamp) -> Option<Timestamp> {
        let from = self.zoned(moment)?;
        let mut last = match self.is_interval {
            true => timestamp(&self.cron.find_previous_occurrence(&from, true).ok()?)?,
            false => self.first_moment(self.cron.find_previous_occurrence(&from.datetime(), true).ok()?)?,
        };
        // In an hour that comes twice, what is shown later may have been before.
        while let Some(next) = self.next_after(last).filter(|next| *next <= moment) {
            last = next;
        }
        (last <= moment).then_some(last)
    }

    /// The moment at which clocks show a time first, or skip it.
    fn first_moment(&self, shown: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_zoned(shown);
        let is_skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let earlier = ambiguous.earlier().ok()?;
        let first = match is_skipped {
            // The change is between the moments that the time would be at by the old and by the new offset.
            true => self.zone.following(earlier.timestamp()).next()?.timestamp(),
            false => earlier.timestamp(),
        };
        Timestamp::from_micros(first.as_microsecond()).ok()
    }

    /// A moment, down to its second, by the clocks of the zone.
    fn zoned(&self, moment: Timestamp) -> Option<Zoned> {
        let second = jiff::Timestamp::from_second(moment.micros().div_euclid(1_000_000)).ok()?;
        Some(second.to_zoned(self.zone.clone()))
    }
}

fn timestamp(zoned: &Zoned) -> Option<Timestamp> {
    Timestamp::from_micros(zoned.timestamp().as_microsecond()).ok()
}

fn parse(written: &str) -> Result<Cron, InvalidSchedule> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let error = match parser.parse(written) {
        Ok(cron) => return Ok(cron),
        Err(error) => error,
    };
    let written = written.to_owned();
    let fields: Vec<&str> = written.split_whitespace().collect();
    if written.trim_start().starts_with('@') {
        let problem = "with @ there are @hourly, @daily, @weekly, @monthly and @yearly".to_owned();
        return Err(InvalidSchedule::Line { written, problem });
    }
    if fields.len() != FIELDS.len() {
        let count = fields.len();
        return Err(InvalidSchedule::FieldCount { written, count });
    }
    // The parser does not say which field is wrong: it is the one that is wrong on its own.
    for (place, (field, allowed)) in FIELDS.into_iter().enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        alone[place] = fields[place];
        if parser.parse(&alone.join(" ")).is_err() {
            let value = fields[place].to_owned();
            return Err(InvalidSchedule::Field { written, field, value, allowed });
        }
    }
    Err(InvalidSchedule::Line { written, problem: error.to_string() })
}
