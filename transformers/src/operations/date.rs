//! Moments and dates, written in another way.

use eventlift_events::InvalidTimestamp;
use eventlift_language::json::{Decimal, Kind, Node, Place, Pointer, decode, encode};
use eventlift_language::{Condition, Reason, Shown, hides_values};
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::inverse::lossy;
use crate::operations::keys::Keys;
use crate::operations::place::{Conversion, Edit, InPlace, Null};

/// `{ date = "/at", from = "%d.%m.%Y %H:%M", to = "rfc3339", zone = "Europe/Berlin" }`: the same moment in another
/// spelling.
///
/// `from` and `to` are `rfc3339`, `unix_seconds`, `unix_millis`, `unix_micros` (numbers) or a pattern of strftime's
/// directives. `zone` is the time zone of text that names none, read or written; `to_zone` is another one to write.
/// RFC 3339 is written in UTC unless `to_zone` is given. A date without a time is its midnight. Zones come from a
/// database that is part of the program, so results don't depend on the machine.
///
/// What can't be read back as the same moment fails the event (a dropped time of day, a fraction of a second), unless
/// `lossy = true`. A local time that its zone has twice or never fails it too, unless `ambiguous` is `"earlier"` or
/// `"later"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Date {
    date: Pointer,
    from: String,
    to: String,
    zone: Option<String>,
    to_zone: Option<String>,
    #[serde(default)]
    ambiguous: Ambiguous,
    #[serde(default)]
    lossy: bool,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ambiguous {
    #[default]
    Fail,
    Earlier,
    Later,
}

impl Date {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.date, self.optional)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let database = TimeZoneDatabase::bundled();
        let from = Style::parse(&self.from);
        let to = Style::parse(&self.to);
        from.check(true)?;
        to.check(!self.lossy)?;
        let zone = self.zone.as_deref().map(|name| zone_of(&database, name)).transpose()?;
        let to_zone = self.to_zone.as_deref().map(|name| zone_of(&database, name)).transpose()?;
        let needs_zone = match (from.names_instant(), to.names_instant()) {
            (false, true) => zone.is_none(),
            (true, false) => zone.is_none() && to_zone.is_none(),
            (false, false) => zone.is_none() && to_zone.is_some(),
            (true, true) => false,
        };
        if needs_zone {
            let which = if from.names_instant() { &self.to } else { &self.from };
            return Err(Reason::new(format_args!("{which:?} names no time zone, so the moment is not certain"))
                .hint("`zone = \"Europe/Berlin\"` says which"));
        }
        let rewrite = Rewrite { from, to, zone, to_zone, ambiguous: self.ambiguous, lossy: self.lossy, database };
        InPlace::edit(&self.date, self.optional, Null::IsMissing, rewrite)
    }

    /// The same moment in the old spelling; RFC 3339 in UTC.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        if self.lossy {
            return Err(lossy("it is declared as lossy", "{ date = \"/at\", from = \"…\", to = \"…\" }"));
        }
        let written_in = self.to_zone.clone().or_else(|| self.zone.clone());
        let is_pattern = matches!(Style::parse(&self.from), Style::Pattern { .. });
        let back = Self {
            date: self.date.clone(),
            from: self.to.clone(),
            to: self.from.clone(),
            zone: written_in,
            to_zone: self.zone.clone().filter(|_| is_pattern),
            ambiguous: self.ambiguous,
            lossy: false,
            optional: self.optional,
            when: None,
        };
        back.compile(&Keys::new())
    }
}

fn zone_of(database: &TimeZoneDatabase, name: &str) -> Result<TimeZone, Reason> {
    database.get(name).map_err(|_| {
        Reason::new(format_args!("there is no time zone {name:?}"))
            .hint("zones have IANA's names, such as UTC or Europe/Berlin")
    })
}

/// How a moment is spelt.
#[derive(Debug)]
enum Style {
    Rfc3339,
    /// A number of units since 1970, so many decimal places above a nanosecond.
    Unix {
        places: u32,
    },
    Pattern {
        text: String,
        names_instant: bool,
    },
}

impl Style {
    fn parse(text: &str) -> Self {
        match text {
            "rfc3339" => Style::Rfc3339,
            "unix_seconds" => Style::Unix { places: 9 },
            "unix_millis" => Style::Unix { places: 6 },
            "unix_micros" => Style::Unix { places: 3 },
            pattern => {
                let names_instant = directives(pattern).any(|directive| matches!(directive, 'z' | 'Q' | 's'));
                Style::Pattern { text: pattern.to_owned(), names_instant }
            }
        }
    }

    /// Whether the spelling says which moment it is, whatever the zone.
    fn names_instant(&self) -> bool {
        match self {
            Style::Rfc3339 | Style::Unix { .. } => true,
            Style::Pattern { names_instant, .. } => *names_instant,
        }
    }

    /// Refuses patterns that can't be written, or read if they must be, by trying.
    fn check(&self, must_be_read: bool) -> Result<(), Reason> {
        let Style::Pattern { text, .. } = self else { return Ok(()) };
        if directives(text).next().is_none() {
            return Err(Reason::new(format_args!("{text:?} is no way to write a date"))
                .hint("it is rfc3339, unix_seconds, unix_millis, unix_micros or a pattern such as %d.%m.%Y %H:%M"));
        }
        let sample = Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC);
        let bad = |error: jiff::Error| Reason::new(format_args!("the pattern {text:?} can't be used: {error}"));
        let written = BrokenDownTime::from(&sample).to_string(text).map_err(bad)?;
        if must_be_read {
            let read = BrokenDownTime::parse(text, &written).map_err(bad)?;
            if read.timestamp().is_none() {
                read.to_datetime().map_err(bad)?;
            }
        }
        Ok(())
    }
}

/// The letters of a pattern's directives.
fn directives(pattern: &str) -> impl Iterator<Item = char> {
    let mut characters = pattern.chars();
    std::iter::from_fn(move || {
        loop {
            if characters.next()? != '%' {
                continue;
            }
            let letter = characters.by_ref().find(|c| !matches!(c, '_' | '-' | '0'..='9' | '^' | '#' | ':' | '.'))?;
            if letter != '%' {
                return Some(letter);
            }
        }
    })
}

#[derive(Debug)]
struct Rewrite {
    from: Style,
    to: Style,
    zone: Option<TimeZone>,
    to_zone: Option<TimeZone>,
    ambiguous: Ambiguous,
    lossy: bool,
    database: TimeZoneDatabase,
}

/// What text says: a moment, or a date and time somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Instant(Timestamp),
    Civil(DateTime),
}

impl Conversion for Rewrite {
    fn convert<'a>(&'a self, node: &Node<'a>, place: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        let read = self.read_node(node, place)?;
        let fail = |why: String| Reason::new(format_args!("{place} is {}{}", Shown(node.json()), said(&why)));
        let moment = self
            .located(read, self.ambiguous)
            .map_err(|why| fail(why).hint("`ambiguous = \"earlier\"` or `\"later\"` takes one of the two"))?;
        let written = self.write(moment).map_err(fail)?;
        if !self.lossy && !self.reads_back(moment, &written) {
            let (given, written) = (Shown(node.json()), Shown(&written));
            return Err(Reason::new(format_args!("{place} is {given}: {written} would not be the same moment"))
                .hint("`lossy = true` allows what the new format can't hold to be lost"));
        }
        Ok(Some(Node::text(written)))
    }
}

/// What the library says of a date, which may quote it.
fn said(why: &str) -> String {
    if hides_values() { String::new() } else { format!(": {why}") }
}

impl Rewrite {
    fn read_node(&self, node: &Node<'_>, place: &Place<'_>) -> Result<Moment, Reason> {
        let Node::Text(json) = node else { return Err(place.not(node, "a date")) };
        let expected = if matches!(self.from, Style::Unix { .. }) { Kind::Number } else { Kind::String };
        if node.kind() != Some(expected) {
            return Err(place.not(node, &format!("{expected} to read a date from")));
        }
        let text = if expected == Kind::String { decode(json) } else { Some((&**json).into()) };
        let read = match text {
            Some(text) => read(&self.from, &text, &self.database),
            None => Err("it holds an unpaired surrogate".to_owned()),
        };
        let unreadable =
            |why: String| Reason::new(format_args!("{place} is {}, which can't be read{}", Shown(json), said(&why)));
        read.map_err(unreadable)
    }

    /// A local time at its place, where what is to be written needs one.
    fn located(&self, moment: Moment, ambiguous: Ambiguous) -> Result<Moment, String> {
        let (Moment::Civil(local), Some(zone)) = (moment, &self.zone) else { return Ok(moment) };
        if !self.to.names_instant() && self.to_zone.is_none() {
            return Ok(moment);
        }
        let found = zone.to_ambiguous_timestamp(local);
        let is_ambiguous = found.is_ambiguous();
        let chosen = match ambiguous {
            Ambiguous::Fail if is_ambiguous => return Err("its zone has this time twice or never".to_owned()),
            Ambiguous::Fail | Ambiguous::Earlier => found.earlier(),
            Ambiguous::Later => found.later(),
        };
        chosen.map(Moment::Instant).map_err(|error| error.to_string())
    }

    /// The zone that a pattern is written in.
    fn target_zone(&self) -> TimeZone {
        self.to_zone.clone().or_else(|| self.zone.clone()).unwrap_or(TimeZone::UTC)
    }

    /// The JSON text of a moment.
    fn write(&self, moment: Moment) -> Result<String, String> {
        match (&self.to, moment) {
            (Style::Rfc3339, Moment::Instant(instant)) => {
                let text = match &self.to_zone {
                    None => instant.to_string(),
                    Some(zone) => instant.display_with_offset(zone.to_offset(instant)).to_string(),
                };
                Ok(encode(&text))
            }
            (Style::Unix { places }, Moment::Instant(instant)) => {
                Ok(instant.as_nanosecond().div_euclid(10_i128.pow(*places)).to_string())
            }
            (Style::Pattern { text, .. }, moment) => {
                let parts = match moment {
                    Moment::Instant(instant) => BrokenDownTime::from(&Zoned::new(instant, self.target_zone())),
                    Moment::Civil(local) => BrokenDownTime::from(local),
                };
                parts.to_string(text).map(|text| encode(&text)).map_err(|error| error.to_string())
            }
            // Compiling refuses a local time without a zone where a moment is written.
            (_, Moment::Civil(_)) => Err("its zone is not known".to_owned()),
        }
    }

    /// Whether the JSON text that was written says the same moment.
    fn reads_back(&self, moment: Moment, written: &str) -> bool {
        let text = decode(written).unwrap_or_default();
        match (read(&self.to, &text, &self.database), moment) {
            (Ok(Moment::Civil(local)), Moment::Instant(instant)) => {
                self.target_zone().to_ambiguous_timestamp(local).unambiguous().is_ok_and(|found| found == instant)
            }
            (Ok(found), moment) => found == moment,
            (Err(_), _) => false,
        }
    }
}

fn read(style: &Style, text: &str, database: &TimeZoneDatabase) -> Result<Moment, String> {
    const LEAP_SECOND: &str = "there are no leap seconds here";
    const LONG_OFFSET: &str = "its offset is 24 hours or more";
    match style {
        Style::Rfc3339 if !has_shape_of_rfc3339(text) => Err("RFC 3339 looks like 2024-05-01T12:00:00Z".to_owned()),
        Style::Rfc3339 if text.get(17..19) == Some("60") => Err(LEAP_SECOND.to_owned()),
        Style::Rfc3339 => match text.parse::<eventlift_events::Timestamp>() {
            Err(InvalidTimestamp::Offset(_)) => Err(LONG_OFFSET.to_owned()),
            _ => text.parse().map(Moment::Instant).map_err(|error: jiff::Error| error.to_string()),
        },
        Style::Unix { places } => {
            let nanoseconds = Decimal::parse(text).and_then(|number| number.scaled(i64::from(*places)));
            let nanoseconds = nanoseconds.ok_or("it is finer than a nanosecond, or too large")?;
            Timestamp::from_nanosecond(nanoseconds).map(Moment::Instant).map_err(|error| error.to_string())
        }
        Style::Pattern { text: pattern, names_instant } => {
            let parts = BrokenDownTime::parse(pattern, text).map_err(|error| error.to_string())?;
            if is_leap_second(&parts, pattern, text) {
                return Err(LEAP_SECOND.to_owned());
            }
            if parts.offset().is_some_and(|offset| offset.seconds().abs() >= 24 * 60 * 60) {
                return Err(LONG_OFFSET.to_owned());
            }
            read_pattern(&parts, *names_instant, database).map_err(|error| error.to_string())
        }
    }
}

/// Whether the text starts as RFC 3339 does and names no zone: the parser takes more of ISO 8601.
fn has_shape_of_rfc3339(text: &str) -> bool {
    let separators = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    separators.iter().all(|(at, separator)| text.get(*at..at + 1) == Some(separator)) && !text.contains('[')
}

/// Whether a 60th second was read as the 59th.
fn is_leap_second(parts: &BrokenDownTime, pattern: &str, text: &str) -> bool {
    if parts.second() != Some(59) || !text.contains("60") {
        return false;
    }
    let Ok(written) = parts.to_string(pattern) else { return false };
    let numbers =
        |text: &str| -> Vec<String> { text.split(|c: char| !c.is_ascii_digit()).map(str::to_owned).collect() };
    numbers(text).iter().zip(&numbers(&written)).any(|(read, written)| read.ends_with("60") && written.ends_with("59"))
}

fn read_pattern(
    parts: &BrokenDownTime,
    names_instant: bool,
    database: &TimeZoneDatabase,
) -> Result<Moment, jiff::Error> {
    if !names_instant {
        return parts.to_datetime().map(Moment::Civil);
    }
    if let (None, None, Some(name)) = (parts.timestamp(), parts.offset(), parts.iana_time_zone()) {
        let zone = database.get(name)?;
        return zone.to_ambiguous_timestamp(parts.to_datetime()?).unambiguous().map(Moment::Instant);
    }
    parts.to_zoned_with(database).map(|zoned| Moment::Instant(zoned.timestamp()))
}
