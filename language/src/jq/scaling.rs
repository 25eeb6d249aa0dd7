//! Numbers times powers of two, as the C library has them: `ldexp`, `scalb`, `scalbln`.

use jaq_core::{Error, ValR};

use super::budget;
use super::value::{Value, num_as_f64};

/// No float is that large, or that close to zero.
const MAX_EXPONENT: f64 = 5000.0;

/// How floats are made of bits.
const DIGITS: u32 = 52;
const EXPONENT_BITS: u64 = 0x7FF;
const EXPONENT_OF_ONE: i32 = 1023;

fn operand(value: &Value) -> Result<f64, Error<Value>> {
    match value {
        Value::Num(num) => Ok(num_as_f64(num)),
        _ => Err(Error::typ(value.clone(), "number")),
    }
}

/// The power of two with an exponent that normal floats have.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + EXPONENT_OF_ONE) as u64) << DIGITS)
}

/// `number * 2^exponent` of a whole exponent, rounded once where it gets too small for all its digits.
fn scaled(number: f64, exponent: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let is_subnormal = number.abs() < f64::MIN_POSITIVE;
    let (normal, lifted) = if is_subnormal { (number * power_of_two(64), 64) } else { (number, 0) };
    let bits = normal.to_bits();
    let own = (bits >> DIGITS & EXPONENT_BITS) as i32 - EXPONENT_OF_ONE;
    // Between 1 and 2.
    let digits = f64::from_bits(bits & !(EXPONENT_BITS << DIGITS) | (EXPONENT_OF_ONE as u64) << DIGITS);
    match own - lifted + exponent.clamp(-MAX_EXPONENT, MAX_EXPONENT) as i32 {
        1024.. => digits * f64::INFINITY,
        power @ -1000..1024 => digits * power_of_two(power),
        power @ -1100..-1000 => digits * power_of_two(-1000) * power_of_two(power + 1000),
        _ => digits * 0.0,
    }
}

/// `ldexp`: the exponent is cut to an integer.
pub(super) fn ldexp(number: &Value, exponent: &Value) -> ValR<Value> {
    let (number, exponent) = (operand(number)?, operand(exponent)?.trunc());
    if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&exponent) {
        return Err(budget::refuse(
            "jq has exponents of ldexp beyond 32 bits, each machine its own; eventlift has not",
        ));
    }
    Ok(Value::from(scaled(number, exponent)))
}

/// `scalbln`: the exponent is cut to a longer integer.
pub(super) fn scalbln(number: &Value, exponent: &Value) -> ValR<Value> {
    let (number, exponent) = (operand(number)?, operand(exponent)?.trunc());
    if exponent.is_nan() || exponent.abs() >= 2_f64.powi(63) {
        return Err(budget::refuse(
            "jq has exponents of scalbln beyond 64 bits, each machine its own; eventlift has not",
        ));
    }
    Ok(Value::from(scaled(number, exponent)))
}

/// `scalb`: an exponent with a fraction makes no number.
pub(super) fn scalb(number: &Value, exponent: &Value) -> ValR<Value> {
    let (number, exponent) = (operand(number)?, operand(exponent)?);
    Ok(Value::from(match exponent {
        _ if number.is_nan() || exponent.is_nan() => f64::NAN,
        f64::INFINITY => number * exponent,
        f64::NEG_INFINITY => number / -exponent,
        _ if exponent.fract() != 0.0 => f64::NAN,
        _ => scaled(number, exponent),
    }))
}
