//! Moments, to the microsecond.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Serialize};

/// A moment, in microseconds since 1970-01-01T00:00:00Z, from the first one of the year -9999 to the last one of the
/// year 9999.
///
/// Prints and parses as RFC 3339, in UTC. What can't be carried exactly does not parse: a finer fraction than
/// microseconds, and leap seconds, which a count since 1970 has no place for; taken as the second before or behind, one
/// would change places with other moments of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// -009999-01-01T00:00:00Z.
    pub const MIN: Self = Self(-377_705_116_800_000_000);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// Takes microseconds since 1970. Fails outside the years -9999 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self, InvalidTimestamp> {
        match micros {
            _ if !(Self::MIN.0..=Self::MAX.0).contains(&micros) => Err(InvalidTimestamp::Range(format!("{micros} µs"))),
            _ => Ok(Self(micros)),
        }
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The present moment.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_microsecond())
    }
}

/// Where the count begins.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(moment) = jiff::Timestamp::from_microsecond(self.0) {
            return moment.fmt(f);
        }
        // jiff's own moments end a day before the year does, so that they are in it in every time zone.
        match EPOCH.checked_add(SignedDuration::from_micros(self.0)) {
            Ok(moment) => write!(f, "{moment}Z"),
            // Cannot be: every constructor checks the range.
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        if !is_offset_in_a_day(text) {
            return Err(InvalidTimestamp::Offset(text.to_owned()));
        }
        let nanos = match text.parse::<jiff::Timestamp>() {
            Ok(moment) => moment.as_nanosecond(),
            Err(_) => nanos_at_an_end(text).ok_or_else(|| InvalidTimestamp::Text(text.to_owned()))?,
        };
        if is_leap_second(text) {
            return Err(InvalidTimestamp::LeapSecond(text.to_owned()));
        }
        if nanos % 1_000 != 0 {
            return Err(InvalidTimestamp::Precision(text.to_owned()));
        }
        let micros = i64::try_from(nanos / 1_000).ok().and_then(|micros| Self::from_micros(micros).ok());
        micros.ok_or_else(|| InvalidTimestamp::Range(text.to_owned()))
    }
}

/// Nanoseconds since 1970 of a moment in the first or last two days of the years that have four digits, which jiff's own
/// moments leave out. None where the text is no time with an offset.
fn nanos_at_an_end(text: &str) -> Option<i128> {
    let pieces = Pieces::parse(text).ok()?;
    let (time, offset) = (pieces.time()?, pieces.to_numeric_offset()?);
    let local = DateTime::from_parts(pieces.date(), time).duration_since(EPOCH).as_nanos();
    Some(local - i128::from(offset.seconds()) * 1_000_000_000)
}

/// What is written behind the date: the time of the day, and the offset.
fn behind_date(text: &str) -> &[u8] {
    let time = text.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
    time.split_once('[').map_or(time, |(time, _)| time).as_bytes()
}

/// Whether the seconds are written as 60, in a text that is a time.
fn is_leap_second(text: &str) -> bool {
    match behind_date(text) {
        [_, _, b':', _, _, b':', b'6', b'0', ..] => true,
        [_, _, minutes, _, b'6', b'0', ..] => minutes.is_ascii_digit(),
        _ => false,
    }
}

/// Whether the hours of the offset are below 24, if there is one.
fn is_offset_in_a_day(text: &str) -> bool {
    let time = behind_date(text);
    if time.last().is_some_and(|last| matches!(last, b'Z' | b'z')) {
        return true;
    }
    match time.iter().rposition(|byte| matches!(byte, b'+' | b'-')).and_then(|sign| time.get(sign + 1..sign + 3)) {
        Some([tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => (tens - b'0') * 10 + (ones - b'0') < 24,
        _ => true,
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

/// A moment that cannot be taken without changing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// No RFC 3339 text.
    #[error("{0:?} is not a time such as 2024-05-01T12:00:00Z")]
    Text(String),
    /// More digits than microseconds hold.
    #[error("{0:?} is finer than a microsecond")]
    Precision(String),
    /// A second that a count of seconds has no place for.
    #[error("{0:?} is in a leap second, which a count of microseconds since 1970 has no place for")]
    LeapSecond(String),
    /// An offset that is no time of a day.
    #[error("{0:?} has an offset of 24 hours or more")]
    Offset(String),
    /// Outside the calendar.
    #[error("{0} is outside the years -9999 to 9999")]
    Range(String),
}

impl InvalidTimestamp {
    /// The same about another text: the one that the moment was taken from.
    pub fn about(self, text: &str) -> Self {
        let text = text.to_owned();
        match self {
            Self::Text(_) => Self::Text(text),
            Self::Precision(_) => Self::Precision(text),
            Self::LeapSecond(_) => Self::LeapSecond(text),
            Self::Offset(_) => Self::Offset(text),
            Self::Range(_) => Self::Range(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        text.parse()
    }

    #[test]
    fn times_keep_their_microseconds_or_are_refused() {
        let moment: Timestamp = "2023-03-22T08:31:11.123456Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2023-03-22T08:31:11.123456Z");
        assert_eq!("2023-03-22T09:31:11+01:00".parse::<Timestamp>().unwrap().to_string(), "2023-03-22T08:31:11Z");
        assert!(matches!(parse("2023-03-22T08:31:11.1234567Z"), Err(InvalidTimestamp::Precision(_))));
        assert!(matches!(parse("yesterday"), Err(InvalidTimestamp::Text(_))));
        assert!(Timestamp::from_micros(i64::MAX).is_err());
    }

    #[test]
    fn both_ends_of_the_calendar_are_moments() {
        for (text, micros, printed) in [
            ("9999-12-31T23:59:59.999999Z", Timestamp::MAX.0, "9999-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59Z", Timestamp::MAX.0 - 999_999, "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59.5-00:00", Timestamp::MAX.0 - 499_999, "9999-12-31T23:59:59.5Z"),
            ("9999-12-30T22:00:01Z", 253_402_207_201_000_000, "9999-12-30T22:00:01Z"),
            ("9999-12-31T23:59:59.999999+02:00", 253_402_293_599_999_999, "9999-12-31T21:59:59.999999Z"),
            ("-009999-01-01T00:00:00Z", Timestamp::MIN.0, "-009999-01-01T00:00:00Z"),
            ("-009999-01-01T00:00:00-01:00", Timestamp::MIN.0 + 3_600_000_000, "-009999-01-01T01:00:00Z"),
            ("0001-01-01T00:00:00+02:00", -62_135_604_000_000_000, "0000-12-31T22:00:00Z"),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
            ("-000001-12-31T23:59:59.999999Z", -62_167_219_200_000_001, "-000001-12-31T23:59:59.999999Z"),
        ] {
            let moment = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((moment.micros(), moment.to_string()), (micros, printed.to_owned()), "{text}");
            assert_eq!(parse(printed), Ok(moment));
            assert_eq!(Timestamp::from_micros(micros), Ok(moment));
        }
        for text in ["9999-12-31T23:59:59-00:01", "-009999-01-01T00:00:00+00:01"] {
            assert!(matches!(parse(text), Err(InvalidTimestamp::Range(_))), "{text}: {:?}", parse(text));
        }
        for micros in [Timestamp::MAX.0 + 1, Timestamp::MIN.0 - 1, i64::MIN] {
            assert!(matches!(Timestamp::from_micros(micros), Err(InvalidTimestamp::Range(_))), "{micros}");
        }
        for text in [
            "10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59",
            "9999-12-31",
            "9999-12-31T24:00:00Z",
            "9999-12-32T00:00:00Z",
        ] {
            assert!(matches!(parse(text), Err(InvalidTimestamp::Text(_))), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn a_leap_second_is_not_taken_for_another_second() {
        for text in [
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.1Z",
            "2016-12-31 23:59:60.999999Z",
            "2017-01-01t00:59:60+01:00",
            "2016-12-31T18:59:60-05:00",
            "20161231T235960Z",
            "9999-12-31T23:59:60Z",
        ] {
            assert!(matches!(parse(text), Err(InvalidTimestamp::LeapSecond(_))), "{text}: {:?}", parse(text));
        }
        for text in ["2016-12-31T23:59:06Z", "2016-12-31T23:59:59.60Z", "2016-12-31T06:00:00Z", "20161231T235906Z"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        assert!(matches!(parse("2016-12-31T23:59:61Z"), Err(InvalidTimestamp::Text(_))));
    }

    #[test]
    fn an_offset_is_less_than_a_day() {
        for text in [
            "2024-05-01T12:00:00+24:00",
            "2024-05-01T12:00:00+25:00",
            "2024-05-01T12:00:00-25:59",
            "2024-05-01T12:00:00+9900",
        ] {
            assert!(matches!(parse(text), Err(InvalidTimestamp::Offset(_))), "{text}: {:?}", parse(text));
        }
        let moment = |text: &str| parse(text).unwrap().to_string();
        assert_eq!(moment("2024-05-01T12:00:00+23:59"), "2024-04-30T12:01:00Z");
        assert_eq!(moment("2024-05-01T12:00:00-23:59"), "2024-05-02T11:59:00Z");
        assert!(matches!(parse("2024-05-01T12:00:00+01:60"), Err(InvalidTimestamp::Text(_))));
    }
}
