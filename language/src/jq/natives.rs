//! The filters that are written in Rust: those of jq on JSON values, and this crate's own.

use bytes::Bytes;
use jaq_core::box_iter::box_once;
use jaq_core::data::JustLut;
use jaq_core::native::{Filter, Fun, bome, run, unary, v};
use jaq_core::{Bind, Error, Exn, Native, RunPtr, ValR, ValXs};
use jaq_json::Num;

use super::budget;
use super::decimal;
use super::from_text;
use super::instrument::TICK;
use super::message;
use super::refused::is_left_out_native;
use super::regex;
use super::scaling;
use super::sorting;
use super::text;
use super::time;
use super::updates;
use super::value::{Array, Value, num_as_f64};
use super::value_traits::character_count;
use super::write;

/// What jaq is parametrised with.
pub(super) type Data = JustLut<Value>;

/// Every native that a filter may use.
pub(super) fn all() -> Vec<Fun<Data>> {
    let standard = jaq_std::funs::<Data>().filter(|(name, ..)| !is_left_out_native(name));
    let own = own().into_vec().into_iter().map(run::<Data>);
    // The first of a name counts, so that ours replace jaq's.
    std::iter::once(tick())
        .chain(updates::all())
        .chain(own)
        .chain(renamed())
        .chain(jaq_core::funs())
        .chain(standard)
        .collect()
}

/// Natives and definitions that only our own definitions can name: there they begin with `_`.
pub(super) const PRIVATE: &[&str] = &[
    "!acosh",
    "!base32",
    "!base32d",
    "!base64",
    "!base64d",
    "!csv",
    "!fail",
    "!groups",
    "!html",
    "!indices",
    "!infinite",
    "!isinfinite",
    "!isnan",
    "!isnormal",
    "!limit",
    "!ltrimstr",
    "!match",
    "!nan",
    "!pattern",
    "!range",
    "!reverse",
    "!rtrimstr",
    "!sh",
    "!skip",
    "!test",
    "!tonumber",
    "!tsv",
    "!uri",
    "!urid",
    "!walk",
];

/// The private name that stands for a name in our own definitions, if one does.
pub(super) fn private(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix('_')?;
    PRIVATE.iter().copied().find(|private| private.strip_prefix('!') == Some(name))
}

/// Filters of jaq that ours of the same name call.
fn renamed() -> Vec<Fun<Data>> {
    let all = jaq_core::funs().chain(jaq_std::funs::<Data>());
    all.filter_map(|(name, args, native)| {
        let is_called = matches!(name, "acosh" | "limit" | "skip" | "range" | "reverse");
        let name = PRIVATE.iter().copied().find(|private| private.strip_prefix('!') == Some(name))?;
        is_called.then_some((name, args, native))
    })
    .collect()
}

/// Spends a step and is otherwise `.`, also in paths and updates.
fn tick() -> Fun<Data> {
    let native = Native::<Data>::new(|cv| if budget::enter() { box_once(Ok(cv.1)) } else { ran_away() })
        .with_paths(|cv| if budget::enter() { box_once(Ok(cv.1)) } else { ran_away() })
        .with_update(|cv, f| if budget::enter() { f(cv.1) } else { ran_away() });
    (TICK, v(0), native)
}

fn ran_away<'a, T: 'a>() -> ValXs<'a, T, Value> {
    box_once(Err(Exn::from(budget::exhausted())))
}

fn own() -> Box<[Filter<RunPtr<Data>>]> {
    Box::new([
        ("need", [Bind::Fun(())].into(), |mut cv| {
            let (f, context) = cv.0.pop_fun();
            let path_text = {
                let (context, input) = (context.clone(), cv.1.clone());
                move || {
                    let first = f.paths((context.clone(), (input.clone(), Default::default()))).next();
                    match first {
                        Some(Ok((_, path))) => {
                            let steps: Vec<Value> = path.iter().cloned().collect();
                            path_text(steps.iter().rev())
                        }
                        _ => "the value".to_owned(),
                    }
                }
            };
            let mut values = f.run((context, cv.1)).peekable();
            if values.peek().is_none() {
                return bome(Err(Error::str(format_args!("{} is needed, but there is none", path_text()))));
            }
            Box::new(values.map(move |value| match value? {
                Value::Null => Err(Error::str(format_args!("{} is needed, but missing or null", path_text())).into()),
                value => Ok(value),
            }))
        }),
        ("error_empty", v(0), |cv| {
            message::raised(&cv.1);
            bome(Err(Error::new(cv.1)))
        }),
        ("!fail", v(1), |mut cv| bome(Err(Error::new(cv.0.pop_var())))),
        ("dec_add", v(2), |cv| decimals(cv, decimal::add)),
        ("dec_sub", v(2), |cv| decimals(cv, decimal::sub)),
        ("dec_mul", v(2), |cv| decimals(cv, decimal::mul)),
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("tojson", v(0), |cv| bome(write::json(&cv.1).map(Value::text).map_err(budget::refuse))),
        ("length", v(0), |cv| bome(length(&cv.1))),
        ("contains", v(1), |cv| {
            unary(cv, |a, b| {
                let comparable = a.type_name() == b.type_name() && (!matches!(a, Value::Bool(_)) || a == b);
                if comparable {
                    return Ok(Value::from(contains(&a, &b)));
                }
                Err(Error::str(format_args!("{a} and {b} cannot have their containment checked")))
            })
        }),
        ("has", v(1), |cv| unary(cv, |value, key| has(&value, &key))),
        ("indices", v(1), |cv| unary(cv, |value, part| indices(&value, &part))),
        // The interpreter's has paths, and jq's has none.
        ("last", [Bind::Fun(())].into(), |mut cv| {
            let (f, context) = cv.0.pop_fun();
            let last = f.run((context, cv.1)).try_fold(None, |_, value| value.map(Some));
            Box::new(last.transpose().into_iter())
        }),
        ("!nan", v(0), |_| bome(Ok(Value::from(f64::NAN)))),
        ("!infinite", v(0), |_| bome(Ok(Value::from(f64::INFINITY)))),
        ("!isnan", v(0), |cv| bome(is_such(&cv.1, f64::is_nan))),
        ("!isinfinite", v(0), |cv| bome(is_such(&cv.1, f64::is_infinite))),
        ("!isnormal", v(0), |cv| bome(is_such(&cv.1, f64::is_normal))),
        ("!tonumber", v(0), |cv| bome(text::to_number(&cv.1))),
        ("!ltrimstr", v(1), |cv| unary(cv, |value, part| Ok(text::trimmed(value, &part, true)))),
        ("!rtrimstr", v(1), |cv| unary(cv, |value, part| Ok(text::trimmed(value, &part, false)))),
        ("!match", v(2), |cv| matched(cv, false)),
        ("!test", v(2), |cv| matched(cv, true)),
        ("!csv", v(0), |cv| bome(text::line(&cv.1, "csv", b',', text::csv_text))),
        ("!tsv", v(0), |cv| bome(text::line(&cv.1, "tsv", b'\t', text::tsv_text))),
        ("!html", v(0), |cv| bome(text::html(&cv.1))),
        ("!sh", v(0), |cv| bome(text::sh(&cv.1))),
        ("implode", v(0), |cv| bome(text::imploded(&cv.1))),
        ("gmtime", v(0), |cv| bome(time::gmtime(&cv.1))),
        ("mktime", v(0), |cv| bome(time::mktime(&cv.1))),
        ("strftime", v(1), |cv| unary(cv, |value, format| time::strftime(&value, &format))),
        ("strptime", v(1), |cv| unary(cv, |value, format| time::strptime(&value, &format))),
        ("ldexp", v(2), |cv| scaled(cv, scaling::ldexp)),
        ("scalb", v(2), |cv| scaled(cv, scaling::scalb)),
        ("scalbln", v(2), |cv| scaled(cv, scaling::scalbln)),
        ("sort_by", [Bind::Fun(())].into(), |mut cv| {
            let (f, context) = cv.0.pop_fun();
            box_once(sorting::sorted_by(cv.1, &|value| f.run((context.clone(), value)).collect()))
        }),
        ("!uri", v(0), |cv| bome(text::uri(&cv.1))),
        ("!urid", v(0), |cv| bome(text::uri_decoded(&cv.1))),
        ("!base32", v(0), |cv| bome(text::base32(&cv.1))),
        ("!base32d", v(0), |cv| bome(text::base32_decoded(&cv.1))),
        ("!base64", v(0), |cv| bome(text::base64(&cv.1))),
        ("!base64d", v(0), |cv| bome(text::base64_decoded(&cv.1))),
        ("bsearch", v(1), |cv| unary(cv, |value, wanted| sorting::bsearch(&value, &wanted))),
    ])
}

fn decimals<'a>(mut cv: jaq_core::Cv<'a, Data>, calculate: fn(&Value, &Value) -> ValR<Value>) -> ValXs<'a, Value> {
    let b = cv.0.pop_var();
    let a = cv.0.pop_var();
    if !budget::spend(4) {
        return ran_away();
    }
    bome(calculate(&a, &b))
}

fn scaled<'a>(mut cv: jaq_core::Cv<'a, Data>, scale: fn(&Value, &Value) -> ValR<Value>) -> ValXs<'a, Value> {
    let exponent = cv.0.pop_var();
    let number = cv.0.pop_var();
    bome(scale(&number, &exponent))
}

/// A path as it is written in jq.
fn path_text<'v>(steps: impl Iterator<Item = &'v Value>) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Value::Str(key) if is_plain_key(&key.bytes) => {
                text.push('.');
                text.push_str(&String::from_utf8_lossy(&key.bytes));
            }
            _ if text.is_empty() => text.push_str(&format!(".[{step}]")),
            _ => text.push_str(&format!("[{step}]")),
        }
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

fn is_plain_key(key: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    key.iter().all(is_word) && !key.first().is_none_or(u8::is_ascii_digit)
}

fn from_json(value: &Value) -> ValR<Value> {
    /// Values take more memory than the shortest text they can be read from, `0,`.
    const BYTES_PER_BYTE: usize = 12;
    let Value::Str(text) = value else {
        return Err(Error::typ(value.clone(), "string"));
    };
    if !budget::afford(text.bytes.len().saturating_mul(BYTES_PER_BYTE)) {
        return Err(budget::exhausted());
    }
    let copy = Bytes::copy_from_slice(&text.bytes);
    from_text::value(&copy)
}

fn is_such(value: &Value, test: fn(f64) -> bool) -> ValR<Value> {
    match value {
        Value::Num(num) => Ok(Value::from(test(num_as_f64(num)))),
        _ => Ok(Value::from(false)),
    }
}

fn length(value: &Value) -> ValR<Value> {
    Ok(match value {
        Value::Null => Value::from(0usize),
        Value::Num(num @ (Num::Int(_) | Num::BigInt(_))) if *num < Num::Int(0) => Value::Num(-num.clone()),
        Value::Num(num @ (Num::Int(_) | Num::BigInt(_))) => Value::Num(num.clone()),
        Value::Num(num) => Value::from(num_as_f64(num).abs()),
        Value::Str(text) => Value::from(character_count(&text.bytes)),
        Value::Arr(array) => Value::from(array.items().len()),
        Value::Obj(object) => Value::from(object.map().len()),
        Value::Bool(_) => return Err(Error::str(format_args!("{value} has no length"))),
    })
}

/// jq's `contains`: text by part, arrays and objects by what each of `b`'s items is contained in.
fn contains(a: &Value, b: &Value) -> bool {
    if !budget::spend(1) {
        return false;
    }
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => find(&a.bytes, &b.bytes).is_some(),
        (Value::Arr(a), Value::Arr(b)) => b.items().iter().all(|b| a.items().iter().any(|a| contains(a, b))),
        (Value::Obj(a), Value::Obj(b)) => {
            b.map().iter().all(|(key, b)| a.map().get(key).is_some_and(|a| contains(a, b)))
        }
        _ => a == b,
    }
}

/// Where `part` first occurs; an empty one occurs at the start.
pub(super) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    match part.first() {
        None => Some(0),
        Some(first) => {
            let last_start = bytes.len().checked_sub(part.len())?;
            (0..=last_start).find(|&at| bytes[at] == *first && bytes[at..].starts_with(part))
        }
    }
}

fn matched<'a>(mut cv: jaq_core::Cv<'a, Data>, only_test: bool) -> ValXs<'a, Value> {
    let flags = cv.0.pop_var();
    let pattern = cv.0.pop_var();
    bome(regex::matches(&cv.1, &pattern, &flags, only_test))
}

fn has(value: &Value, key: &Value) -> ValR<Value> {
    match (value, key) {
        (Value::Null, _) => Ok(Value::from(false)),
        (Value::Obj(object), Value::Str(key)) => Ok(Value::from(object.map().contains_key(&key.bytes[..]))),
        (Value::Arr(array), Value::Num(num)) => {
            let float = num_as_f64(num);
            Ok(Value::from(float > -1.0 && float.trunc() < array.items().len() as f64))
        }
        _ => Err(Error::str(format_args!("cannot check whether {value} has the key {key}"))),
    }
}

/// Where a part occurs in text, counted in characters, or in an array.
fn indices(value: &Value, part: &Value) -> ValR<Value> {
    let found: Vec<usize> = match (value, part) {
        (Value::Str(_), Value::Str(part)) if part.bytes.is_empty() => Vec::new(),
        (Value::Str(text), Value::Str(part)) => {
            let starts = (0..text.bytes.len()).filter(|&at| text.bytes[at] & 0xC0 != 0x80);
            let found = starts.enumerate().filter(|&(_, at)| text.bytes[at..].starts_with(&part.bytes));
            found.map(|(index, _)| index).collect()
        }
        (Value::Arr(_), Value::Arr(part)) => indices_in_array(value, part)?,
        (Value::Arr(array), _) => {
            array.items().iter().enumerate().filter(|(_, item)| *item == part).map(|(at, _)| at).collect()
        }
        _ => return jaq_core::ValT::index(value.clone(), part),
    };
    Ok(Value::array(found.into_iter().map(Value::from).collect()))
}

/// Where the items of `part` follow each other in an array; nowhere if there are none.
pub(super) fn indices_in_array(array: &Value, part: &Array) -> Result<Vec<usize>, Error<Value>> {
    match array {
        Value::Arr(_) if part.items().is_empty() => Ok(Vec::new()),
        Value::Arr(array) => {
            let windows = array.items().windows(part.items().len()).enumerate();
            Ok(windows.filter(|(_, window)| *window == part.items()).map(|(at, _)| at).collect())
        }
        _ => Err(Error::typ(array.clone(), "array")),
    }
}
