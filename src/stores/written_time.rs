//! How a moment is written where events come from: as text, or as a number since 1970.

use std::fmt;

use eventlift_events::{InvalidTimestamp, Timestamp};
use serde::Deserialize;

/// What a number of a time counts, from 1970-01-01T00:00:00Z on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum TimeUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Thousandths.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Millionths.
    #[serde(rename = "us")]
    Microseconds,
    /// Billionths.
    #[serde(rename = "ns")]
    Nanoseconds,
}

impl TimeUnit {
    /// All of them, the coarsest first.
    pub(crate) const ALL: [Self; 4] = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    /// The name in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }

    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    /// So many tens go into a second.
    const fn digits(self) -> i64 {
        match self {
            Self::Seconds => 0,
            Self::Milliseconds => 3,
            Self::Microseconds => 6,
            Self::Nanoseconds => 9,
        }
    }

    /// A moment as a number of this unit, with a fraction where the unit is too coarse: read back as the same moment.
    pub(crate) fn write(self, moment: Timestamp) -> String {
        let micros = i128::from(moment.micros());
        let Ok(shift) = u32::try_from(6 - self.digits()) else { return format!("{micros}000") };
        let one = 10_i128.pow(shift);
        let sign = if micros < 0 { "-" } else { "" };
        let (whole, rest) = (micros.abs() / one, micros.abs() % one);
        match rest {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{rest:0width$}", width = shift as usize).trim_end_matches('0').to_owned(),
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of the digits of a second beyond the sixth, which no store of ours counts in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinerTimes {
    /// The moment is the microsecond it falls in, and the time as it was written is carried with the event's other
    /// attributes, so that no digit is lost.
    #[default]
    Keep,
    /// The moment is the microsecond it falls in, and nothing else is kept of it.
    Truncate,
    /// Such a time is an error.
    Refuse,
}

/// A time that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WrittenTime {
    /// The microsecond that it falls in.
    pub(crate) moment: Timestamp,
    /// Whether there is more of it, beyond the microsecond.
    pub(crate) is_finer: bool,
    /// What it counts, where it is a number.
    pub(crate) unit: Option<TimeUnit>,
}

/// Why a text or number is no time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NoTime {
    #[error(transparent)]
    Text(#[from] InvalidTimestamp),
    #[error("{0} is a number, and it can't be told whether of seconds, milliseconds, microseconds or nanoseconds")]
    Unit(String),
    #[error("{0} {1} since 1970 is outside the years -9999 to 9999")]
    Range(String, &'static str),
}

/// Reads a time: RFC 3339, or a number since 1970 with or without a fraction. Where the unit is not said, it is the one
/// that makes the number a moment between 1990 and 2100; no two units do.
pub(crate) fn read_time(text: &str, unit: Option<TimeUnit>) -> Result<WrittenTime, NoTime> {
    if let Some(number) = Number::parse(text) {
        let unit = unit.or_else(|| number.likely_unit()).ok_or_else(|| NoTime::Unit(text.to_owned()))?;
        let outside = || NoTime::Range(text.to_owned(), unit.name());
        let (micros, is_finer) = number.micros(unit).ok_or_else(outside)?;
        let moment = Timestamp::from_micros(micros).map_err(|_| outside())?;
        return Ok(WrittenTime { moment, is_finer, unit: Some(unit) });
    }
    match shortened(text) {
        None => Ok(WrittenTime { moment: text.parse()?, is_finer: false, unit: None }),
        Some((shorter, is_finer)) => {
            // The message is about what is written.
            let moment = shorter.parse().map_err(|error: InvalidTimestamp| error.about(text))?;
            Ok(WrittenTime { moment, is_finer, unit: None })
        }
    }
}

/// The text with six digits of a second, where it has more, and whether those left out say anything.
fn shortened(text: &str) -> Option<(String, bool)> {
    const KEPT: usize = 6;
    // Behind the time of the day: a date has no fraction.
    let point = text.find([',', '.'])?;
    let fraction = &text[point + 1..];
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if digits <= KEPT {
        return None;
    }
    let is_finer = fraction[KEPT..digits].bytes().any(|digit| digit != b'0');
    Some((format!("{}{}{}", &text[..=point], &fraction[..KEPT], &fraction[digits..]), is_finer))
}

/// A decimal number as it is written.
struct Number<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Number<'t> {
    /// The longest one that is looked at: no time has as many digits.
    const LONGEST: usize = 60;

    fn parse(text: &'t str) -> Option<Self> {
        if text.len() > Self::LONGEST {
            return None;
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok().filter(|e: &i64| e.abs() < 100)?),
            None => (text, 0),
        };
        let (is_negative, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (is_digits(whole) && is_digits(fraction)).then_some(Self { is_negative, whole, fraction, exponent })
    }

    /// The digits, and how many of them are in front of the point once it is moved to the right.
    fn moved(&self, by: i64) -> (String, i64) {
        (format!("{}{}", self.whole, self.fraction), self.whole.len() as i64 + self.exponent + by)
    }

    /// So many whole ones, without the sign, once the point is moved to the right; and whether there is a rest.
    fn shifted(&self, by: i64) -> Option<(i128, bool)> {
        let (digits, point) = self.moved(by);
        let kept = usize::try_from(point.max(0)).ok()?;
        let (front, rest) = digits.split_at(kept.min(digits.len()));
        let front = front.trim_start_matches('0');
        let zeros = kept.saturating_sub(digits.len());
        if front.len() + zeros > 30 && !front.is_empty() {
            return None;
        }
        let whole: i128 = if front.is_empty() { 0 } else { format!("{front}{}", "0".repeat(zeros)).parse().ok()? };
        Some((whole, rest.bytes().any(|digit| digit != b'0')))
    }

    /// The microsecond that so many of a unit fall in, and whether they go beyond it.
    fn micros(&self, unit: TimeUnit) -> Option<(i64, bool)> {
        let (whole, has_rest) = self.shifted(6 - unit.digits())?;
        let micros = match self.is_negative {
            // A moment before 1970 falls in the microsecond that begins before it.
            true => -whole - i128::from(has_rest),
            false => whole,
        };
        Some((i64::try_from(micros).ok()?, has_rest))
    }

    fn likely_unit(&self) -> Option<TimeUnit> {
        /// 1990 to 2100: less than a thousandfold, so that it is one unit at most.
        const LIKELY: std::ops::Range<i128> = 631_152_000..4_102_444_800;
        TimeUnit::ALL.into_iter().find(|unit| {
            !self.is_negative && self.shifted(-unit.digits()).is_some_and(|(seconds, _)| LIKELY.contains(&seconds))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (String, bool, Option<TimeUnit>) {
        let read = read_time(text, None).unwrap();
        (read.moment.to_string(), read.is_finer, read.unit)
    }

    #[test]
    fn a_number_is_taken_in_the_unit_that_makes_it_a_moment_of_these_years() {
        for (text, moment, unit) in [
            ("1714564800", "2024-05-01T12:00:00Z", TimeUnit::Seconds),
            ("1714564800.123", "2024-05-01T12:00:00.123Z", TimeUnit::Seconds),
            ("1714564800.123000000", "2024-05-01T12:00:00.123Z", TimeUnit::Seconds),
            ("1714564800123", "2024-05-01T12:00:00.123Z", TimeUnit::Milliseconds),
            ("1.714564800123E12", "2024-05-01T12:00:00.123Z", TimeUnit::Milliseconds),
            ("1714564800123456", "2024-05-01T12:00:00.123456Z", TimeUnit::Microseconds),
            ("1714564800123456000", "2024-05-01T12:00:00.123456Z", TimeUnit::Nanoseconds),
        ] {
            assert_eq!(read(text), (moment.to_owned(), false, Some(unit)), "{text}");
        }
        assert_eq!(
            read("1714564800123456789"),
            ("2024-05-01T12:00:00.123456Z".to_owned(), true, Some(TimeUnit::Nanoseconds))
        );
        for text in ["0", "7", "-1714564800", "20240501", "63852000000000000000", "1e99"] {
            assert_eq!(read_time(text, None), Err(NoTime::Unit(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_unit_that_is_said_is_right_for_every_number() {
        let read = |text: &str, unit| read_time(text, Some(unit)).map(|read| (read.moment.micros(), read.is_finer));
        assert_eq!(read("0", TimeUnit::Seconds), Ok((0, false)));
        assert_eq!(read("-1", TimeUnit::Nanoseconds), Ok((-1, true)));
        assert_eq!(read("-1.5", TimeUnit::Milliseconds), Ok((-1_500, false)));
        assert_eq!(read("12345", TimeUnit::Nanoseconds), Ok((12, true)));
        assert!(matches!(read("1714564800123", TimeUnit::Seconds), Err(NoTime::Range(_, "seconds"))));
        assert!(matches!(read("9e90", TimeUnit::Nanoseconds), Err(NoTime::Range(..))));
    }

    #[test]
    fn digits_beyond_the_sixth_are_told_of() {
        let moment = "2023-04-12T12:50:04.212110Z".to_owned();
        let moment = moment.replace("0Z", "Z");
        assert_eq!(read("2023-04-12T12:50:04.2121108Z"), (moment.clone(), true, None));
        assert_eq!(read("2023-04-12T14:50:04.212110800+02:00"), (moment.clone(), true, None));
        assert_eq!(read("2023-04-12T12:50:04.2121100Z"), (moment.clone(), false, None));
        assert_eq!(read("2023-04-12T12:50:04.212110000000000Z"), (moment, false, None));
        assert_eq!(read("1969-12-31T23:59:59.9999999Z"), ("1969-12-31T23:59:59.999999Z".to_owned(), true, None));
        for text in ["2023-04-12T12:50:04.2121108", "yesterday.1234567", "", ".", "1.", "2023-04-12"] {
            assert!(matches!(read_time(text, None), Err(NoTime::Text(InvalidTimestamp::Text(_)))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_number_is_read_back(micros in -200_000_000_000_000_000_i64..200_000_000_000_000_000) {
            let moment = Timestamp::from_micros(micros).unwrap();
            for unit in TimeUnit::ALL {
                let read = read_time(&unit.write(moment), Some(unit)).unwrap();
                prop_assert_eq!((read.moment, read.is_finer), (moment, false), "{}", unit.write(moment));
            }
        }

        #[test]
        fn no_text_panics(text in "[-0-9.,eETZ:+]{0,40}") {
            let _ = read_time(&text, None);
            let _ = read_time(&text, Some(TimeUnit::Nanoseconds));
        }
    }
}
