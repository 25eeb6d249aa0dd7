//! Exact numbers, which SQLite has none of: a number that it compares, and beside it the text of all digits.
//!
//! The column that a table declares holds what SQLite sorts, compares and sums up: an integer where the number is whole
//! and fits into 64 bits, else the nearest double. A second column, `<name>__exact`, holds the digits as text, and is
//! the only one that is read back. Of two numbers, the larger one never has the smaller value in the first column; only
//! numbers that differ behind the 15th digit may have the same.

use eventlift_projections::{Column, ColumnType, Numeric, Table};

use super::tables::quoted;

/// What stands behind a column's name in the name of the column of its digits.
const SUFFIX: &str = "__exact";

/// What SQLite compares of an exact number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Compared {
    Integer(i64),
    Real(f64),
}

impl Compared {
    pub(super) fn of(number: Numeric) -> Self {
        /// Doubles are not finer than whole numbers from here on, and coarser beyond.
        const AS_FINE_AS_INTEGERS: f64 = 9_007_199_254_740_992.0;
        let nearest = number.nearest_double();
        // Beyond, a double that was rounded up would be larger than the next whole number, which is kept exactly.
        if !number.is_whole() && nearest.abs() < AS_FINE_AS_INTEGERS {
            return Self::Real(nearest);
        }
        i64::try_from(number.floor()).map_or(Self::Real(nearest), Self::Integer)
    }
}

/// The columns of exact numbers, each with its place in the table.
pub(super) fn numeric_columns(table: &Table) -> impl Iterator<Item = (usize, &Column)> {
    table.columns.iter().enumerate().filter(|(_, column)| column.column_type == ColumnType::Numeric)
}

/// The name of the column that holds a column's digits.
pub(super) fn digits_name(column: &Column) -> String {
    format!("{}{SUFFIX}", column.name)
}

/// The digits without zeros at their end, as SQL: the same text for numbers of the same value.
pub(super) fn value_of_digits(column: &Column) -> String {
    let digits = quoted(&digits_name(column));
    format!("CASE WHEN instr({digits}, '.') THEN rtrim(rtrim({digits}, '0'), '.') ELSE {digits} END")
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    fn compared(text: &str) -> Compared {
        Compared::of(text.parse().unwrap())
    }

    /// As SQLite compares an integer with a double: exactly.
    fn order(one: Compared, other: Compared) -> Ordering {
        let exact = |value: Compared| match value {
            Compared::Integer(number) => (i128::from(number), 0.0),
            Compared::Real(number) => (number.floor() as i128, number - number.floor()),
        };
        let ((one, one_rest), (other, other_rest)) = (exact(one), exact(other));
        one.cmp(&other).then(one_rest.partial_cmp(&other_rest).unwrap())
    }

    #[test]
    fn whole_numbers_are_integers_and_others_doubles() {
        for (text, expected) in [
            ("10.10", Compared::Real(10.1)),
            ("10.00", Compared::Integer(10)),
            ("-0.5", Compared::Real(-0.5)),
            ("0.00", Compared::Integer(0)),
            ("9007199254740993", Compared::Integer(9_007_199_254_740_993)),
            ("9007199254740993.5", Compared::Integer(9_007_199_254_740_993)),
            ("-9007199254740993.5", Compared::Integer(-9_007_199_254_740_994)),
            ("9223372036854775807", Compared::Integer(i64::MAX)),
            ("9223372036854775808", Compared::Real(9_223_372_036_854_775_808.0)),
            ("-9223372036854775808", Compared::Integer(i64::MIN)),
            ("99999999999999999999999999999999999999", Compared::Real(1e38)),
        ] {
            assert_eq!(compared(text), expected, "{text}");
        }
    }

    #[test]
    fn the_larger_number_never_compares_as_the_smaller() {
        let mut texts = vec!["0".to_owned(), "0.00000000000000000000000000000000000001".to_owned()];
        // Around the powers of two where doubles become coarser, and the end of 64 bits.
        for power in [1_i128 << 52, 1 << 53, 1 << 54, 1 << 55, 1 << 62, 1 << 63, 1 << 64] {
            for whole in power - 5..power + 5 {
                texts.extend(["", ".0", ".1", ".4999", ".5", ".75", ".999999999"].map(|rest| format!("{whole}{rest}")));
            }
        }
        texts.extend(
            ["0.1", "0.10", "0.1000000000000000055511151231257827", "2.5", "10", "9.50", "120.5", "1178.76"]
                .map(str::to_owned),
        );
        let negative: Vec<String> = texts.iter().map(|text| format!("-{text}")).collect();
        texts.extend(negative);
        let mut numbers: Vec<Numeric> = texts.iter().map(|text| text.parse().unwrap()).collect();
        numbers.sort_by(|one, other| one.compare(*other));
        for pair in numbers.windows(2) {
            let found = order(Compared::of(pair[0]), Compared::of(pair[1]));
            assert_ne!(found, Ordering::Greater, "{} and {}", pair[0], pair[1]);
            if pair[0].compare(pair[1]) == Ordering::Equal {
                assert_eq!(found, Ordering::Equal, "{} and {}", pair[0], pair[1]);
            }
        }
    }
}
