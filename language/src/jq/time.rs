//! `gmtime`, `mktime`, `strftime` and `strptime`, as jq has them from the C library, in utc and in English.

use jaq_core::{Error, ValR};

use super::budget;
use super::calendar::Moment;
use super::strftime::formatted;
use super::strptime::{Stop, parsed};
use super::value::{Value, num_as_f64};
use crate::shown::Shown;

/// Why a date is not written.
pub(super) enum Failure {
    /// jq fails as well.
    Wrong(String),
    /// jq may do it, and eventlift does not.
    Refused(String),
}

impl Failure {
    fn into_error(self) -> Error<Value> {
        match self {
            Self::Wrong(message) => Error::str(message),
            Self::Refused(message) => budget::refuse(message),
        }
    }
}

/// `gmtime`: seconds since 1970 taken apart, to an array of eight numbers.
pub(super) fn gmtime(value: &Value) -> ValR<Value> {
    let (moment, fraction) = moment_at(value)?;
    Ok(array(&moment, fraction, None))
}

/// The moment that a number of seconds is, and what it has behind the point.
fn moment_at(value: &Value) -> Result<(Moment, f64), Error<Value>> {
    let Value::Num(num) = value else {
        return Err(Error::str(format_args!("gmtime takes a number of seconds, not {value}")));
    };
    let seconds = num_as_f64(num);
    // The cast cuts off the fraction, and saturates, which no year can be.
    let moment = if seconds.is_nan() { None } else { Moment::at(seconds as i64) };
    let moment = moment.ok_or_else(|| Error::str(format_args!("{value} seconds are in no year that there is")))?;
    Ok((moment, seconds - seconds.floor()))
}

/// The eight numbers, and what was left of the text that they were read from.
fn array(moment: &Moment, fraction: f64, rest: Option<Value>) -> Value {
    let number = |number: i64| Value::from(number as isize);
    let second = match fraction {
        0.0 => number(moment.second),
        fraction => Value::from(moment.second as f64 + fraction),
    };
    let numbers = [
        number(moment.year),
        number(moment.month),
        number(moment.day),
        number(moment.hour),
        number(moment.minute),
        second,
        number(moment.weekday),
        number(moment.day_of_year),
    ];
    Value::array(numbers.into_iter().chain(rest).collect())
}

/// The moment that an array of eight numbers is.
fn moment_of(value: &Value, filter: &str) -> Result<Moment, Error<Value>> {
    let refused = || Error::str(format_args!("{filter} takes eight numbers as gmtime yields them, not {value}"));
    let Value::Arr(array) = value else { return Err(refused()) };
    let mut fields = [0; 8];
    for (at, field) in fields.iter_mut().enumerate() {
        let Some(Value::Num(num)) = array.items().get(at) else { return Err(refused()) };
        let float = num_as_f64(num).trunc();
        if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&float) {
            let message =
                format!("jq has {} in a date as each machine cuts it to 32 bits, eventlift has not", Shown(num));
            return Err(budget::refuse(message));
        }
        *field = float as i64;
    }
    let [year, month, day, hour, minute, second, weekday, day_of_year] = fields;
    Ok(Moment { year, month, day, hour, minute, second, weekday, day_of_year })
}

/// `mktime`: seconds since 1970. The second before 1970 fails, as it does in jq.
pub(super) fn mktime(value: &Value) -> ValR<Value> {
    match moment_of(value, "mktime")?.seconds() {
        -1 => Err(Error::str("mktime fails at the second before 1970, as jq's does")),
        seconds => Ok(Value::from(seconds as isize)),
    }
}

/// `strftime`.
pub(super) fn strftime(value: &Value, format: &Value) -> ValR<Value> {
    let Value::Str(format) = format else {
        return Err(Error::str(format_args!("the format of strftime is text, not {format}")));
    };
    let moment = match value {
        Value::Num(_) => moment_at(value)?.0,
        _ => moment_of(value, "strftime")?,
    };
    formatted(&moment, &format.bytes).map(Value::text).map_err(Failure::into_error)
}

/// `strptime`. What white space follows the date is the ninth item.
pub(super) fn strptime(value: &Value, format: &Value) -> ValR<Value> {
    let (Value::Str(text), Value::Str(format)) = (value, format) else {
        return Err(Error::str(format_args!("strptime takes text and a format, not {value} and {format}")));
    };
    let (moment, rest) = parsed(&text.bytes, &format.bytes).map_err(|stop| match stop {
        Stop::Differs => Error::str(format_args!("{value} does not match the format {}", Value::Str(format.clone()))),
        Stop::Refused(message) => budget::refuse(message),
    })?;
    let rest = (!rest.is_empty()).then(|| Value::text(bytes::Bytes::copy_from_slice(rest)));
    Ok(array(&moment, 0.0, rest))
}
