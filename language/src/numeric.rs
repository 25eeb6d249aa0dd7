//! Exact decimal numbers of up to 38 digits.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An exact decimal number: an integer of up to 38 digits, and how many of them stand behind the point.
///
/// Prints with exactly as many decimals as it was written with, so `10.10` stays `10.10`; `==` tells `10.10` from
/// `10.1`, [`compare`](Self::compare) does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Numeric {
    digits: i128,
    decimals: u32,
}

/// The most digits that a number may have.
const MOST_DIGITS: u32 = 38;

/// A number that can't be held exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumeric {
    /// No number as JSON writes it.
    #[error("{0:?} is not a number")]
    Text(String),
    /// More than 38 digits.
    #[error("{0} has more than 38 digits, the most that an exact number holds")]
    TooLong(String),
}

impl Numeric {
    /// Zero, without decimals.
    pub const ZERO: Self = Self { digits: 0, decimals: 0 };

    /// The sum, with the decimals of whichever has more. None where it takes more than 38 digits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let decimals = self.decimals.max(other.decimals);
        let sum = self.scaled_to(decimals)?.checked_add(other.scaled_to(decimals)?)?;
        Self::of(sum, decimals)
    }

    /// The difference, likewise.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { digits: -other.digits, ..other })
    }

    /// The same value with as few decimals as it takes.
    pub fn shortest(self) -> Self {
        let mut shortest = self;
        while shortest.decimals > 0 && shortest.digits % 10 == 0 {
            shortest = Self { digits: shortest.digits / 10, decimals: shortest.decimals - 1 };
        }
        shortest
    }

    /// The order of the values: `10.1` and `10.10` are equal.
    pub fn compare(self, other: Self) -> Ordering {
        let whole = |number: Self| number.digits / power(number.decimals);
        let fraction = |number: Self| (number.digits % power(number.decimals)) * power(MOST_DIGITS - number.decimals);
        whole(self).cmp(&whole(other)).then_with(|| fraction(self).cmp(&fraction(other)))
    }

    /// The largest whole number that is not above it.
    pub const fn floor(self) -> i128 {
        self.digits.div_euclid(power(self.decimals))
    }

    /// Whether nothing but zeros stands behind the point.
    pub const fn is_whole(self) -> bool {
        self.digits % power(self.decimals) == 0
    }

    /// The nearest double. Of two numbers, the larger one never has the smaller double.
    pub fn nearest_double(self) -> f64 {
        /// Whole numbers below it, and powers of ten up to this one, are doubles, so that dividing rounds once.
        const EXACT: u128 = 1 << 53;
        const EXACT_POWER: u32 = 22;
        if self.digits.unsigned_abs() <= EXACT && self.decimals <= EXACT_POWER {
            return self.digits as f64 / power(self.decimals) as f64;
        }
        // Digits and a point always parse.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    fn of(digits: i128, decimals: u32) -> Option<Self> {
        (digits.unsigned_abs() < power(MOST_DIGITS).unsigned_abs()).then_some(Self { digits, decimals })
    }

    fn scaled_to(self, decimals: u32) -> Option<i128> {
        self.digits.checked_mul(power(decimals - self.decimals))
    }
}

/// Ten to a power of 38 at most, which 127 bits hold.
const fn power(exponent: u32) -> i128 {
    10_i128.pow(exponent)
}

impl From<i64> for Numeric {
    fn from(number: i64) -> Self {
        Self { digits: number.into(), decimals: 0 }
    }
}

impl FromStr for Numeric {
    type Err = InvalidNumeric;

    /// Reads a JSON number. One with an exponent gets the decimals it takes to write it without.
    fn from_str(text: &str) -> Result<Self, InvalidNumeric> {
        let invalid = || InvalidNumeric::Text(text.to_owned());
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().map_err(|_| invalid())?),
            None => (text, 0),
        };
        let (negative, unsigned) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return Err(invalid()),
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let is_whole = !whole.is_empty() && (whole.len() == 1 || !whole.starts_with('0'));
        if !is_whole || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let too_long = || InvalidNumeric::TooLong(text.to_owned());
        let mut digits: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits =
                digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(digit - b'0'))).ok_or_else(too_long)?;
        }
        let decimals = i64::try_from(fraction.len()).ok().and_then(|d| d.checked_sub(exponent)).ok_or_else(too_long)?;
        if digits == 0 {
            let decimals = u32::try_from(decimals.max(0)).ok().filter(|d| *d <= MOST_DIGITS).ok_or_else(too_long)?;
            return Ok(Self { digits, decimals });
        }
        let raised = u32::try_from((-decimals).max(0)).ok().filter(|r| *r <= MOST_DIGITS).ok_or_else(too_long)?;
        let decimals = u32::try_from(decimals.max(0)).ok().filter(|d| *d <= MOST_DIGITS).ok_or_else(too_long)?;
        let digits = digits.checked_mul(power(raised)).ok_or_else(too_long)?;
        Self::of(if negative { -digits } else { digits }, decimals).ok_or_else(too_long)
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.decimals == 0 {
            return write!(f, "{}", self.digits);
        }
        let sign = if self.digits < 0 { "-" } else { "" };
        let (magnitude, power) = (self.digits.unsigned_abs(), power(self.decimals).unsigned_abs());
        let (whole, fraction) = (magnitude / power, magnitude % power);
        write!(f, "{sign}{whole}.{fraction:0width$}", width = self.decimals as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Numeric {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_print_as_they_were_written() {
        for text in ["0", "-1", "10.10", "0.00", "-0.05", "99999999999999999999999999999999999999"] {
            assert_eq!(numeric(text).to_string(), text);
        }
        for (text, plain) in [("1e3", "1000"), ("1.50e-2", "0.0150"), ("-0", "0"), ("0e5", "0"), ("12.5E1", "125")] {
            assert_eq!(numeric(text).to_string(), plain);
        }
        for text in ["", "-", ".5", "1.", "01", "+1", "1e", "NaN", "1_0", " 1", "0x1", "1e+-2"] {
            assert!(matches!(text.parse::<Numeric>(), Err(InvalidNumeric::Text(_))), "{text}");
        }
        for text in ["100000000000000000000000000000000000000", "1e38", "1e-39", "1e999999999999"] {
            assert!(matches!(text.parse::<Numeric>(), Err(InvalidNumeric::TooLong(_))), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        assert_eq!(numeric("10.10").checked_add(numeric("0.2")).unwrap().to_string(), "10.30");
        assert_eq!(numeric("0.1").checked_sub(numeric("0.30")).unwrap().to_string(), "-0.20");
        let largest = numeric("99999999999999999999999999999999999999");
        assert!(largest.checked_add(numeric("1")).is_none());
        assert!(largest.checked_add(numeric("0.1")).is_none());
        assert_eq!(numeric("-10.500").shortest().to_string(), "-10.5");
        assert_eq!(numeric("0.00").shortest().to_string(), "0");
    }

    #[test]
    fn order_is_of_values() {
        let ascending = ["-10.2", "-10.1", "-0.5", "0", "0.1", "0.11", "1", "99999999999999999999999999999999999999"];
        for pair in ascending.windows(2) {
            assert_eq!(numeric(pair[0]).compare(numeric(pair[1])), Ordering::Less, "{pair:?}");
        }
        assert_eq!(numeric("10.1").compare(numeric("10.100")), Ordering::Equal);
    }

    #[test]
    fn doubles_are_the_nearest() {
        for text in [
            "0",
            "10.10",
            "-0.1",
            "1178.76",
            "9007199254740992",
            "9007199254740993",
            "0.1000000000000000055511151231257827",
            "99999999999999999999999999999999999999",
            "0.00000000000000000000000000000000000001",
            "-123456789.123456789123456789",
            "0.3",
            "2.675",
            "1.005",
            "9007199254740991.5",
        ] {
            assert_eq!(numeric(text).nearest_double(), text.parse::<f64>().unwrap(), "{text}");
        }
        for (text, floor, is_whole) in [
            ("1.5", 1, false),
            ("-1.5", -2, false),
            ("-2.00", -2, true),
            ("0", 0, true),
            ("-0.1", -1, false),
            ("7", 7, true),
        ] {
            assert_eq!((numeric(text).floor(), numeric(text).is_whole()), (floor, is_whole), "{text}");
        }
    }
}
