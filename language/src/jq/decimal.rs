//! Exact decimal arithmetic, for money.

use std::rc::Rc;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use jaq_core::{Error, ValR};
use jaq_json::Num;

use super::read::is_json_number;
use super::value::Value;

/// Longer numbers, or numbers with a larger exponent, are refused: they would be written out digit by digit.
const MAX_DIGITS: usize = 1000;

/// `a + b` with the larger scale of the two.
pub(super) fn add(a: &Value, b: &Value) -> ValR<Value> {
    written(&(operand(a, "dec_add")? + operand(b, "dec_add")?))
}

/// `a - b` with the larger scale of the two.
pub(super) fn sub(a: &Value, b: &Value) -> ValR<Value> {
    written(&(operand(a, "dec_sub")? - operand(b, "dec_sub")?))
}

/// `a * b` with the sum of both scales.
pub(super) fn mul(a: &Value, b: &Value) -> ValR<Value> {
    written(&(operand(a, "dec_mul")? * operand(b, "dec_mul")?))
}

fn written(number: &BigDecimal) -> ValR<Value> {
    Ok(Value::Num(super::read::number(&number.to_plain_string())))
}

fn operand(value: &Value, filter: &str) -> Result<BigDecimal, Error<Value>> {
    let text = match value {
        Value::Num(num) => num.to_string(),
        Value::Str(text) => String::from_utf8_lossy(&text.bytes).into_owned(),
        _ => return Err(Error::str(format_args!("{filter} takes numbers, not {}", value.type_name()))),
    };
    parse(&text).ok_or_else(|| Error::str(format_args!("{filter} takes decimal numbers, not {value}")))
}

/// Reads a JSON number exactly, unless it is too long to calculate with.
fn parse(text: &str) -> Option<BigDecimal> {
    if text.len() > MAX_DIGITS || !is_json_number(text) {
        return None;
    }
    let number = BigDecimal::from_str(text).ok()?;
    let scale = number.fractional_digit_count().unsigned_abs();
    (scale <= MAX_DIGITS as u64).then_some(number)
}

/// Whether two numbers written as text have the same value, exactly.
pub(super) fn same_value(a: &str, b: &Rc<String>) -> bool {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// A finite float as the shortest text that reads back as it, laid out as jq does: `1e+17`, `1e-05`, `0.0001`.
pub(super) fn float_text(float: f64) -> Option<String> {
    if !float.is_finite() {
        return None;
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let count = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
    // Where the point is, counted from the first digit.
    let point = exponent + 1;
    if point > -4 && point <= count + 15 {
        return Some(format!("{float}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{digits}e{sign}{:02}", exponent.unsigned_abs()))
}

/// A number as JSON text; none for those that JSON does not have.
pub(super) fn number_text(num: &Num) -> Option<String> {
    match num {
        Num::Float(float) => float_text(*float),
        _ => Some(num.to_string()),
    }
}
