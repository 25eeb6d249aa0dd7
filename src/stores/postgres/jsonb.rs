//! What `jsonb` refuses of text that is JSON: characters that text can't hold, and numbers that `numeric` can't.

use memchr::memchr2;

/// A string, or all of the text, may not be longer.
const MOST_BYTES: usize = 0x0fff_ffff;
/// Of `numeric`: digits before the point, digits behind it, and exponents that it parses.
const MOST_WHOLE_DIGITS: i64 = 131_072;
const MOST_DECIMALS: i64 = 16_383;
const MOST_EXPONENT: i64 = (i32::MAX / 2) as i64;

/// Why a column of type `jsonb` can't hold this JSON; none where it can. Of text that is no JSON it says nothing that
/// counts: such text is kept as bytes.
pub(super) fn refuses(json: &[u8]) -> Option<String> {
    if json.len() > MOST_BYTES {
        return Some(format!("it has {} bytes, and jsonb takes {MOST_BYTES}", json.len()));
    }
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at = match byte {
            b'"' => match string_end(json, at + 1) {
                Ok(end) => end,
                Err(problem) => return Some(problem.to_owned()),
            },
            b'-' | b'0'..=b'9' => match number_end(json, at) {
                Ok(end) => end,
                Err(problem) => return Some(problem),
            },
            _ => at + 1,
        };
    }
    None
}

/// The place behind a string that begins at `at`, behind its quotation mark.
fn string_end(json: &[u8], mut at: usize) -> Result<usize, &'static str> {
    let mut high = None;
    loop {
        let Some(next) = memchr2(b'"', b'\\', &json[at..]).map(|offset| at + offset) else { return Ok(json.len()) };
        let is_escape = json[next] == b'\\' && json.get(next + 1) == Some(&b'u');
        let unit = json.get(next + 2..next + 6).filter(|_| is_escape).and_then(hexadecimal);
        if high.is_some() && (next != at || !unit.is_some_and(is_low)) {
            return Err("it holds half of a surrogate pair, which is no character");
        }
        match unit {
            Some(0) => return Err("it holds \\u0000, which PostgreSQL's text can't"),
            Some(unit) if is_low(unit) && high.is_none() => {
                return Err("it holds half of a surrogate pair, which is no character");
            }
            Some(unit) => {
                high = (0xd800..0xdc00).contains(&unit).then_some(unit);
                at = next + 6;
            }
            None if json[next] == b'"' => return Ok(next + 1),
            None => at = (next + 2).min(json.len()),
        }
    }
}

fn is_low(unit: u32) -> bool {
    (0xdc00..0xe000).contains(&unit)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The place behind a number that begins at `at`.
fn number_end(json: &[u8], at: usize) -> Result<usize, String> {
    let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let end = json[at..].iter().position(|byte| !is_of_number(byte)).map_or(json.len(), |length| at + length);
    let text = &json[at..end];
    // Few numbers are that long, or have an exponent.
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    if exponent_at.is_none() && text.len() < 1_000 {
        return Ok(end);
    }
    let (mantissa, exponent) = text.split_at(exponent_at.unwrap_or(text.len()));
    let exponent = exponent_of(exponent.get(1..).unwrap_or_default());
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let whole = mantissa[..point].iter().filter(|byte| byte.is_ascii_digit()).count() as i64;
    let decimals = mantissa.len().saturating_sub(point + 1) as i64;
    let zeros = mantissa.iter().filter(|byte| byte.is_ascii_digit()).take_while(|digit| **digit == b'0').count() as i64;
    let is_zero = zeros == whole + decimals;
    if exponent.abs() >= MOST_EXPONENT {
        return Err("it holds a number with an exponent that numeric does not parse".to_owned());
    }
    if !is_zero && whole - zeros + exponent > MOST_WHOLE_DIGITS {
        return Err(format!("it holds a number of more than {MOST_WHOLE_DIGITS} digits before the point"));
    }
    if decimals - exponent > MOST_DECIMALS {
        return Err(format!("it holds a number of more than {MOST_DECIMALS} digits behind the point"));
    }
    Ok(end)
}

/// The exponent; one that does not fit is as large as one that does not pass.
fn exponent_of(text: &[u8]) -> i64 {
    let (sign, digits) = match text.split_first() {
        Some((b'-', digits)) => (-1, digits),
        Some((b'+', digits)) => (1, digits),
        _ => (1, text),
    };
    let add = |number: i64, digit: &u8| (number * 10 + i64::from(digit.saturating_sub(b'0'))).min(MOST_EXPONENT);
    sign * digits.iter().fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_text_and_numeric_can_t_hold_is_refused() {
        let number = |whole: usize, decimals: usize| format!("{}.{}", "9".repeat(whole), "9".repeat(decimals));
        for (json, is_refused) in [
            (r#"{"a":"x\u0000y"}"#.to_owned(), true),
            (r#"{"a\u0000":1}"#.to_owned(), true),
            (r#"{"a":"\\u0000"}"#.to_owned(), false),
            (r#"{"a":"\\\u0000"}"#.to_owned(), true),
            (r#""\ud83d\ude00""#.to_owned(), false),
            (r#""\ud83d""#.to_owned(), true),
            (r#""\ud83d \ude00""#.to_owned(), true),
            (r#""\ud83d\ud83d\ude00""#.to_owned(), true),
            (r#""\ud83d\n""#.to_owned(), true),
            (r#""\ude00""#.to_owned(), true),
            (r#"["1e999999","\"",1e3]"#.to_owned(), false),
            ("1e131071".to_owned(), false),
            ("1e131072".to_owned(), true),
            ("0.1e131072".to_owned(), false),
            ("0.1e131073".to_owned(), true),
            ("0e999999".to_owned(), false),
            ("0e9999999999999999999999".to_owned(), true),
            ("-1E+131072".to_owned(), true),
            ("1e-16383".to_owned(), false),
            ("1e-16384".to_owned(), true),
            ("0e-16384".to_owned(), true),
            ("1.50e-16381".to_owned(), false),
            ("1.500e-16381".to_owned(), true),
            (number(131_072, 16_383), false),
            (number(131_073, 0), true),
            (number(1, 16_384), true),
        ] {
            let found = refuses(json.as_bytes());
            assert_eq!(found.is_some(), is_refused, "{} {found:?}", &json[..json.len().min(40)]);
        }
    }
}
