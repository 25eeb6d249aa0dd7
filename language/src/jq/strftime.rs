//! Dates as text: what `strftime` of the C library makes of its conversions, in English.

use super::calendar::Moment;
use super::time::Failure;

pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// jq gives its library so many bytes more than the format has.
const ROOM: usize = 100;

/// How numbers are filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Zeros,
    Spaces,
    Nothing,
}

/// A date in a format; fails where jq does, and at what eventlift has not.
pub(super) fn formatted(moment: &Moment, format: &[u8]) -> Result<Vec<u8>, Failure> {
    if format.contains(&0) {
        let message = "jq reads a format up to a nul character, eventlift has not what it reads";
        return Err(Failure::Refused(message.to_owned()));
    }
    let mut out = Vec::with_capacity(format.len() + ROOM);
    let mut rest = format.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut fill = None;
        let mut letter = rest.next();
        while let Some(flag @ (b'-' | b'_' | b'0')) = letter {
            fill = Some(match flag {
                b'-' => Fill::Nothing,
                b'_' => Fill::Spaces,
                _ => Fill::Zeros,
            });
            letter = rest.next();
        }
        let letter = letter.ok_or_else(|| {
            Failure::Refused(
                "jq has a format that ends with %, eventlift has not: write %% for a percent sign".to_owned(),
            )
        })?;
        convert(&mut out, moment, letter, fill)?;
    }
    if out.is_empty() || out.len() >= format.len() + ROOM {
        return Err(Failure::Wrong("strftime fails where nothing or too much comes out, as jq's does".to_owned()));
    }
    Ok(out)
}

fn convert(out: &mut Vec<u8>, moment: &Moment, letter: u8, fill: Option<Fill>) -> Result<(), Failure> {
    if let Some((number, width, usual)) = number(moment, letter) {
        push_number(out, number, width, fill.unwrap_or(usual));
        return Ok(());
    }
    if fill.is_some() {
        let message = format!("jq has flags at %{} in strftime, eventlift has not", shown(letter));
        return Err(Failure::Refused(message));
    }
    let parts = match letter {
        b'c' => "%a %b %e %H:%M:%S %Y",
        b'D' | b'x' => "%m/%d/%y",
        b'F' => "%Y-%m-%d",
        b'R' => "%H:%M",
        b'T' | b'X' => "%H:%M:%S",
        b'r' => "%I:%M:%S %p",
        _ => {
            out.extend_from_slice(text(moment, letter)?.as_bytes());
            return Ok(());
        }
    };
    out.extend_from_slice(&formatted(moment, parts.as_bytes())?);
    Ok(())
}

/// What is a number: the number, its digits, and how it is filled up to them.
fn number(moment: &Moment, letter: u8) -> Option<(i64, usize, Fill)> {
    let hour_of_12 = match moment.hour {
        0 => 12,
        hour @ ..=12 => hour,
        hour => hour - 12,
    };
    let zeros = |number, width| Some((number, width, Fill::Zeros));
    match letter {
        b'C' => zeros(moment.year.div_euclid(100), 1),
        b'd' => zeros(moment.day, 2),
        b'e' => Some((moment.day, 2, Fill::Spaces)),
        b'G' => zeros(moment.iso_week().0, 1),
        b'g' => zeros(moment.iso_week().0.rem_euclid(100), 2),
        b'H' => zeros(moment.hour, 2),
        b'I' => zeros(hour_of_12, 2),
        b'j' => zeros(moment.day_of_year + 1, 3),
        b'k' => Some((moment.hour, 2, Fill::Spaces)),
        b'l' => Some((hour_of_12, 2, Fill::Spaces)),
        b'M' => zeros(moment.minute, 2),
        b'm' => zeros(moment.month + 1, 2),
        b'S' => zeros(moment.second, 2),
        b's' => zeros(moment.seconds(), 1),
        b'U' => zeros((moment.day_of_year - moment.weekday + 7) / 7, 2),
        b'u' => zeros((moment.weekday - 1 + 7) % 7 + 1, 1),
        b'V' => zeros(moment.iso_week().1, 2),
        b'W' => zeros((moment.day_of_year - (moment.weekday - 1 + 7) % 7 + 7) / 7, 2),
        b'w' => zeros(moment.weekday, 1),
        b'Y' => zeros(moment.year, 1),
        b'y' => zeros(moment.year.rem_euclid(100), 2),
        _ => None,
    }
}

fn push_number(out: &mut Vec<u8>, number: i64, width: usize, fill: Fill) {
    let text = match fill {
        Fill::Zeros => format!("{number:0width$}"),
        Fill::Spaces => format!("{number:width$}"),
        Fill::Nothing => number.to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn text(moment: &Moment, letter: u8) -> Result<&'static str, Failure> {
    let is_afternoon = moment.hour > 11;
    Ok(match letter {
        b'A' => name(&WEEKDAYS, moment.weekday),
        b'a' => shortened(name(&WEEKDAYS, moment.weekday)),
        b'B' => name(&MONTHS, moment.month),
        b'b' | b'h' => shortened(name(&MONTHS, moment.month)),
        b'n' => "\n",
        b'P' if is_afternoon => "pm",
        b'P' => "am",
        b'p' if is_afternoon => "PM",
        b'p' => "AM",
        b't' => "\t",
        b'Z' => "UTC",
        b'z' => "+0000",
        b'%' => "%",
        _ => {
            let message = format!("jq has %{} in strftime, if only as text; eventlift has not", shown(letter));
            return Err(Failure::Refused(message));
        }
    })
}

/// A letter of a format in messages.
pub(super) fn shown(letter: u8) -> char {
    if letter.is_ascii_graphic() { char::from(letter) } else { char::REPLACEMENT_CHARACTER }
}

fn name(names: &[&'static str], number: i64) -> &'static str {
    usize::try_from(number).ok().and_then(|number| names.get(number)).copied().unwrap_or("?")
}

/// The first three letters.
pub(super) fn shortened(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}
