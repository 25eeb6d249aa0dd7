//! Numbers as the text they are: grammar, exact comparison, fixed decimals.

use std::cmp::Ordering;

/// Whether the text is a JSON number: no `+`, no leading zeros, no `NaN`.
pub fn is_number(text: &str) -> bool {
    parts(text).is_some()
}

/// Whether the text is a JSON number without fraction and exponent.
pub fn is_integer(text: &str) -> bool {
    parts(text).is_some_and(|parts| parts.fraction.is_empty() && parts.exponent.is_empty())
}

struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    /// Digits behind the point, empty if there is no point.
    fraction: &'t str,
    /// With its sign, empty if there is none.
    exponent: &'t str,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, rest) = digits(rest)?;
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest)?,
        None => ("", rest),
    };
    let exponent = match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let (_, end) = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
            if !end.is_empty() {
                return None;
            }
            exponent
        }
        None if rest.is_empty() => "",
        None => return None,
    };
    Some(Parts { negative, whole, fraction, exponent })
}

/// The leading digits, at least one, and what follows them.
fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 { None } else { Some(text.split_at(end)) }
}

/// The exact value of a JSON number: ±0.d₁d₂d₃… × 10^`scale`, without leading or trailing zeros; zero has no digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    scale: i64,
}

impl Decimal {
    /// Reads a JSON number. `None` for other text and for exponents past ±10^18.
    pub fn parse(text: &str) -> Option<Self> {
        const LARGEST_EXPONENT: i64 = 1_000_000_000_000_000_000;
        let parts = parts(text)?;
        let mut digits: Vec<u8> = parts.whole.bytes().chain(parts.fraction.bytes()).collect();
        let leading = digits.iter().take_while(|d| **d == b'0').count();
        digits.drain(..leading);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self { negative: false, digits, scale: 0 });
        }
        let exponent: i64 = if parts.exponent.is_empty() { 0 } else { parts.exponent.parse().ok()? };
        if exponent.abs() > LARGEST_EXPONENT {
            return None;
        }
        let scale = exponent + parts.whole.len() as i64 - leading as i64;
        Some(Self { negative: parts.negative, digits, scale })
    }

    /// The value as a text of its own: sign, digits, and the power of ten that they are a fraction of.
    pub fn normal_text(&self) -> String {
        let sign = if self.negative { "-" } else { "+" };
        // Only digits are in it.
        format!("{sign}{}e{}", String::from_utf8_lossy(&self.digits), self.scale)
    }

    /// Plain digits, as few as it takes: the same for the same value. None where they are more than 10,000.
    pub fn plain(&self) -> Option<String> {
        let decimals = (self.digits.len() as i64).checked_sub(self.scale)?.max(0);
        usize::try_from(decimals)
            .ok()
            .filter(|decimals| *decimals <= 10_000)
            .and_then(|decimals| self.fixed(decimals).ok())
    }

    /// Plain digits with exactly so many behind the point, or why that can't be.
    pub fn fixed(&self, decimals: usize) -> Result<String, &'static str> {
        const MOST_DIGITS: i64 = 10_000;
        if self.scale > MOST_DIGITS {
            return Err("it has more than 10,000 digits");
        }
        let needed = (self.digits.len() as i64 - self.scale).max(0);
        if needed > decimals as i64 {
            return Err("it has more decimals");
        }
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        let digit = |index: i64| {
            let found = usize::try_from(index).ok().and_then(|index| self.digits.get(index));
            found.map_or('0', |d| char::from(*d))
        };
        if self.scale <= 0 {
            text.push('0');
        }
        text.extend((0..self.scale).map(digit));
        if decimals > 0 {
            text.push('.');
            text.extend((0..decimals as i64).map(|index| digit(self.scale + index)));
        }
        Ok(text)
    }

    /// The value times 10^`places` as an integer. `None` if it has a fraction then, or does not fit.
    pub fn scaled(&self, places: i64) -> Option<i128> {
        let shifted = Self { scale: self.scale + places, ..self.clone() };
        if shifted.scale > 38 {
            return None;
        }
        shifted.fixed(0).ok()?.parse().ok()
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Digits without trailing zeros compare as fractions do: lexicographically.
            (false, false) => self.scale.cmp(&other.scale).then_with(|| self.digits.cmp(&other.digits)),
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn only_the_grammar_of_json_is_a_number() {
        for text in ["0", "-0", "10.10", "1e400", "1E+2", "-1.5e-3", "12345678901234567890"] {
            assert!(is_number(text), "{text}");
        }
        for text in ["", "-", "+1", "01", "1.", ".5", "NaN", "1e", "1e+", "0x1", "1 ", "1_0", "-01", "1e5x"] {
            assert!(!is_number(text), "{text}");
        }
        assert!(is_integer("-12") && !is_integer("1.0") && !is_integer("1e2"));
    }

    #[test]
    fn order_is_exact() {
        let ascending = [
            "-1e400",
            "-10.2",
            "-10.1",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.11",
            "9007199254740992",
            "9007199254740993",
            "1e400",
        ];
        for pair in ascending.windows(2) {
            assert!(decimal(pair[0]) < decimal(pair[1]), "{pair:?}");
        }
        for (a, b) in [("1.0", "1"), ("100", "1e2"), ("0.00", "-0"), ("0.010", "1e-2"), ("0e99", "0")] {
            assert_eq!(decimal(a), decimal(b));
        }
        assert!(Decimal::parse("1e99999999999999999999").is_none());
    }

    #[test]
    fn fixed_decimals_lose_nothing() {
        for (text, decimals, fixed) in [
            ("10.1", 2, "10.10"),
            ("1e3", 0, "1000"),
            ("-0.5", 2, "-0.50"),
            ("0", 2, "0.00"),
            ("10.100", 1, "10.1"),
            ("1e-2", 2, "0.01"),
            ("5e-3", 4, "0.0050"),
        ] {
            assert_eq!(decimal(text).fixed(decimals).unwrap(), fixed);
        }
        assert!(decimal("10.125").fixed(2).is_err());
        assert!(decimal("1e999999").fixed(2).is_err());
        assert_eq!(decimal("1.5").scaled(3), Some(1500));
        assert_eq!(decimal("1.5").scaled(0), None);
    }
}
