//! Arithmetic on values: numbers, and what jq makes of `+ - * / %` on text, arrays and objects.

use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::rc::Rc;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::num_traits::FromPrimitive;
use bytes::{Bytes, BytesMut};
use jaq_core::ops::Math;
use jaq_core::{Error, ValR};
use jaq_json::Num;

use super::budget;
use super::value::{Array, Map, Object, Text, Value, num_as_f64};

/// Integers of more bits than this are refused: calculating and printing them takes a time of its own.
const MAX_BITS: u64 = 1 << 17;

fn spend() -> Result<(), Error<Value>> {
    if budget::spend(1) { Ok(()) } else { Err(budget::exhausted()) }
}

fn afford(bytes: usize) -> Result<(), Error<Value>> {
    if budget::afford(bytes) { Ok(()) } else { Err(budget::exhausted()) }
}

impl Add for Value {
    type Output = ValR<Self>;

    fn add(self, other: Self) -> ValR<Self> {
        spend()?;
        match (self, other) {
            (Self::Null, value) | (value, Self::Null) => Ok(value),
            (Self::Num(a), Self::Num(b)) => Ok(Self::Num(a + b)),
            (Self::Str(a), Self::Str(b)) => concat(a, &b.bytes),
            (Self::Arr(mut a), Self::Arr(b)) => {
                afford(size_of_val(b.items()))?;
                Array::edit(&mut a, |items| {
                    items.extend_from_slice(b.items());
                    b.items().iter().map(Self::depth).max().unwrap_or(0)
                });
                Ok(Self::Arr(a))
            }
            (Self::Obj(mut a), Self::Obj(b)) => {
                afford(b.map().len() * size_of::<Self>())?;
                Object::edit(&mut a, |map| {
                    map.extend(b.map().iter().map(|(key, value)| (key.clone(), value.clone())));
                    b.map().values().map(Self::depth).max().unwrap_or(0)
                });
                Ok(Self::Obj(a))
            }
            (a, b) => Err(Error::math(a, Math::Add, b)),
        }
    }
}

/// Appends in place where nobody else has the text, or building text piece by piece would take quadratic time.
fn concat(text: Rc<Text>, more: &[u8]) -> ValR<Value> {
    afford(more.len())?;
    let bytes = match Rc::try_unwrap(text) {
        Ok(text) => text.bytes,
        Err(text) => text.bytes.clone(),
    };
    let mut bytes = match bytes.try_into_mut() {
        Ok(owned) => owned,
        Err(shared) => {
            afford(shared.len())?;
            BytesMut::from(&shared[..])
        }
    };
    bytes.extend_from_slice(more);
    Ok(Value::text(bytes.freeze()))
}

impl Sub for Value {
    type Output = ValR<Self>;

    fn sub(self, other: Self) -> ValR<Self> {
        spend()?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => Ok(Self::Num(a - b)),
            (Self::Arr(a), Self::Arr(b)) => {
                let removed: BTreeSet<&Self> = b.items().iter().collect();
                Ok(a.items().iter().filter(|item| !removed.contains(item)).cloned().collect())
            }
            (a, b) => Err(Error::math(a, Math::Sub, b)),
        }
    }
}

impl Mul for Value {
    type Output = ValR<Self>;

    fn mul(self, other: Self) -> ValR<Self> {
        spend()?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => multiply(a, b),
            (Self::Str(text), Self::Num(times)) | (Self::Num(times), Self::Str(text)) => repeat(&text, &times),
            (Self::Obj(a), Self::Obj(b)) => {
                afford((a.map().len() + b.map().len()) * size_of::<Self>())?;
                Ok(Self::Obj(merge(a, &b)))
            }
            (a, b) => Err(Error::math(a, Math::Mul, b)),
        }
    }
}

fn bits(num: &Num) -> u64 {
    match num {
        Num::BigInt(big) => big.bits(),
        Num::Int(_) => 64,
        Num::Float(_) | Num::Dec(_) => 0,
    }
}

fn multiply(a: Num, b: Num) -> ValR<Value> {
    let (bits_a, bits_b) = (bits(&a), bits(&b));
    if bits_a + bits_b > MAX_BITS && bits_a > 0 && bits_b > 0 {
        return Err(budget::refuse("jq has integers of that size as floats, eventlift has not"));
    }
    if !budget::spend((bits_a / 64) * (bits_b / 64) / 64) {
        return Err(budget::exhausted());
    }
    Ok(Value::Num(a * b))
}

fn repeat(text: &Text, times: &Num) -> ValR<Value> {
    let times = match times {
        Num::Int(times) => *times,
        Num::BigInt(_) => times.as_isize().unwrap_or(isize::MAX),
        Num::Float(_) | Num::Dec(_) => {
            let times = super::value::num_as_f64(times);
            // Beside the text itself, so many more; the cast saturates.
            let more = times - 1.0;
            if more > -1.0 { (more as isize).saturating_add(1) } else { 0 }
        }
    };
    let Ok(times @ 1..) = usize::try_from(times) else {
        return Ok(Value::Null);
    };
    afford(text.bytes.len().saturating_mul(times))?;
    Ok(Value::text(Bytes::from(text.bytes.repeat(times))))
}

fn merge(mut a: Rc<Object>, b: &Object) -> Rc<Object> {
    Object::edit(&mut a, |map: &mut Map| {
        for (key, theirs) in b.map() {
            let merged = match (map.get(key), theirs) {
                (Some(Value::Obj(ours)), Value::Obj(theirs)) => Value::Obj(merge(ours.clone(), theirs)),
                _ => theirs.clone(),
            };
            map.insert(key.clone(), merged);
        }
        map.values().map(Value::depth).max().unwrap_or(0)
    });
    a
}

impl Div for Value {
    type Output = ValR<Self>;

    fn div(self, other: Self) -> ValR<Self> {
        spend()?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) if num_as_f64(&b) != 0.0 => Ok(Self::Num(a / b)),
            (Self::Num(a), Self::Num(b)) => {
                Err(Error::str(format_args!("cannot divide {} by {}, which is zero", Self::Num(a), Self::Num(b))))
            }
            (Self::Str(text), Self::Str(separator)) => {
                afford(text.bytes.len())?;
                let parts = split(&text.bytes, &separator.bytes);
                Ok(parts.into_iter().map(|part| Self::text(Bytes::copy_from_slice(part))).collect())
            }
            (a, b) => Err(Error::math(a, Math::Div, b)),
        }
    }
}

/// Splits text; by characters where the separator is empty, into nothing where the text is.
fn split<'t>(text: &'t [u8], separator: &[u8]) -> Vec<&'t [u8]> {
    if text.is_empty() {
        return Vec::new();
    }
    if separator.is_empty() {
        let starts_character = |byte: u8| byte & 0xC0 != 0x80;
        return text.chunk_by(|_, next| !starts_character(*next)).collect();
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = super::natives::find(rest, separator) {
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest);
    parts
}

impl Rem for Value {
    type Output = ValR<Self>;

    fn rem(self, other: Self) -> ValR<Self> {
        spend()?;
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => match remainder(&a, &b) {
                Some(remainder) => Ok(Self::Num(remainder)),
                None => Err(Error::math(Self::Num(a), Math::Rem, Self::Num(b))),
            },
            (a, b) => Err(Error::math(a, Math::Rem, b)),
        }
    }
}

/// The remainder of both numbers cut to integers, with the sign of the first; none where the second becomes zero.
fn remainder(a: &Num, b: &Num) -> Option<Num> {
    let cut = |num: &Num| match num {
        Num::Int(int) => Some(BigInt::from(*int)),
        Num::BigInt(big) => Some((**big).clone()),
        num => BigInt::from_f64(num_as_f64(num).trunc()),
    };
    match (a, b) {
        (Num::Int(a), Num::Int(b)) if *b != 0 => return Some(Num::Int(a.checked_rem(*b).unwrap_or(0))),
        _ => {}
    }
    let (float_a, float_b) = (num_as_f64(a), num_as_f64(b));
    if float_a.is_nan() || float_b.is_nan() {
        return Some(Num::Float(f64::NAN));
    }
    match (cut(a), cut(b)) {
        (_, Some(b)) if b == BigInt::from(0) => None,
        (Some(a), Some(b)) => Some(integer(a % b)),
        // Whatever is finite is less than what is infinite.
        (Some(a), None) => Some(integer(a)),
        (None, _) => Some(Num::Int(0)),
    }
}

fn integer(big: BigInt) -> Num {
    isize::try_from(&big).map_or_else(|_| Num::big_int(big), Num::Int)
}

impl Neg for Value {
    type Output = ValR<Self>;

    fn neg(self) -> ValR<Self> {
        match self {
            Self::Num(num) => Ok(Self::Num(-num)),
            value => Err(Error::typ(value, "number")),
        }
    }
}
