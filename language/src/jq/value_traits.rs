//! What jaq asks of values: comparing, printing, making and reaching into them.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use jaq_core::path::Opt;
use jaq_core::{Error, Exn, ValR, ValX};
use jaq_json::Num;

use super::budget;
use super::message;
use super::paths::{self, range_of, slice_bounds};
use super::read;
use super::value::{Array, Key, Map, Object, Text, Value, num_as_f64};
use super::write;

const ITERABLE: &str = "iterable (array or object)";

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<isize> for Value {
    fn from(int: isize) -> Self {
        Self::Num(Num::Int(int))
    }
}

impl From<usize> for Value {
    fn from(int: usize) -> Self {
        Self::Num(Num::from_integral(int))
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::Num(Num::Float(float))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Range<Option<Value>>> for Value {
    fn from(range: Range<Option<Value>>) -> Self {
        let bounds = [("start", range.start), ("end", range.end)];
        let entries = bounds.into_iter().map(|(name, bound)| (Key(Text::new(name)), bound.unwrap_or(Self::Null)));
        Self::object(entries.collect())
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        const ITEMS_BETWEEN_LOOKS: usize = 1024;
        let mut items = Vec::new();
        for value in values {
            let looks = items.len() % ITEMS_BETWEEN_LOOKS == ITEMS_BETWEEN_LOOKS - 1;
            // Stopped here, or an endless generator would never come to an end; the evaluation fails afterwards.
            if !budget::spend(1) || (looks && !budget::fits(items.len() * size_of::<Value>())) {
                break;
            }
            items.push(value);
        }
        Self::array(items)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        message::write_value(self, f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Num(a), Self::Num(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a.bytes == b.bytes,
            (Self::Arr(a), Self::Arr(b)) => budget::spend(1) && (Rc::ptr_eq(a, b) || a.items() == b.items()),
            (Self::Obj(a), Self::Obj(b)) => budget::spend(1) && (Rc::ptr_eq(a, b) || a.map() == b.map()),
            _ => false,
        }
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Num(a), Self::Num(b)) => a.cmp(b),
            (Self::Str(a), Self::Str(b)) => a.bytes.cmp(&b.bytes),
            // Shared values can take exponential time to compare; once the budget is spent, the order is any.
            (Self::Arr(_), Self::Arr(_)) | (Self::Obj(_), Self::Obj(_)) if !budget::spend(1) => Ordering::Equal,
            (Self::Arr(a), Self::Arr(b)) => a.items().cmp(b.items()),
            (Self::Obj(a), Self::Obj(b)) => compare_objects(a, b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Num(_) => 2,
        Value::Str(_) => 3,
        Value::Arr(_) => 4,
        Value::Obj(_) => 5,
    }
}

/// First by the keys in order, then by the values in the order of the keys, as jq does.
fn compare_objects(a: &Object, b: &Object) -> Ordering {
    let sorted = |object: &Object| {
        let mut entries: Vec<_> = object.map().iter().map(|(k, v)| (k.0.bytes.clone(), v.clone())).collect();
        entries.sort_by(|x, y| x.0.cmp(&y.0));
        entries
    };
    let (a, b) = (sorted(a), sorted(b));
    let keys = a.iter().map(|entry| &entry.0).cmp(b.iter().map(|entry| &entry.0));
    keys.then_with(|| a.iter().map(|entry| &entry.1).cmp(b.iter().map(|entry| &entry.1)))
}

fn counted<T>(value: T) -> ValR<T, Value> {
    if budget::spend(1) { Ok(value) } else { Err(budget::exhausted()) }
}

fn starts_character(byte: &u8) -> bool {
    byte & 0xC0 != 0x80
}

/// The number of characters; an unpaired surrogate counts as one.
pub(super) fn character_count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| starts_character(byte)).count()
}

/// The bytes of a slice whose bounds are characters.
fn text_bounds(range: &Range<Option<&Value>>, bytes: &[u8]) -> Result<(usize, usize), Error<Value>> {
    let (from, upto) = slice_bounds(range, character_count(bytes))?;
    let mut starts = bytes.iter().enumerate().filter(|(_, byte)| starts_character(byte)).map(|(at, _)| at);
    let start = starts.nth(from).unwrap_or(bytes.len());
    let end = match upto - from {
        0 => start,
        characters => starts.nth(characters - 1).unwrap_or(bytes.len()),
    };
    Ok((start, end))
}

impl Value {
    /// What is at an index, if anything is; fails where there can't be anything.
    pub(super) fn at(&self, index: &Self) -> Result<Option<Self>, Error<Self>> {
        Ok(match (self, index) {
            (Self::Null, Self::Str(_) | Self::Num(_) | Self::Obj(_)) => None,
            (Self::Obj(object), Self::Str(key)) => object.map().get(&key.bytes[..]).cloned(),
            (Self::Arr(array), Self::Num(num)) => {
                paths::position(num, array.items().len()).and_then(|index| array.items().get(index).cloned())
            }
            (Self::Arr(_), Self::Arr(part)) => {
                let found = super::natives::indices_in_array(self, part)?;
                Some(Self::array(found.into_iter().map(Self::from).collect()))
            }
            (Self::Str(_) | Self::Arr(_), Self::Obj(bounds)) => {
                return jaq_core::ValT::range(self.clone(), range_of(bounds)?).map(Some);
            }
            _ => return Err(Error::index(self.clone(), index.clone())),
        })
    }
}

impl jaq_core::ValT for Value {
    fn from_num(text: &str) -> ValR<Self> {
        if read::is_json_number(text) {
            return Ok(Self::Num(read::number(text)));
        }
        match text.parse::<f64>() {
            Ok(float) => Ok(Self::from(float)),
            Err(_) => Err(Error::str(format_args!("{text:?} is not a number"))),
        }
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(entries: I) -> ValR<Self> {
        let mut map = Map::default();
        for (key, value) in entries {
            let Self::Str(key) = key else {
                return Err(Error::str(format_args!("cannot use {key} as an object key, which is text")));
            };
            map.insert(Key(key), value);
        }
        Ok(Self::object(map))
    }

    fn key_values(self) -> Box<dyn Iterator<Item = ValR<(Self, Self), Self>>> {
        match self {
            Self::Arr(array) => {
                Box::new((0..array.items().len()).map(move |i| counted((Self::from(i), array.items()[i].clone()))))
            }
            Self::Obj(object) => Box::new((0..object.map().len()).filter_map(move |i| {
                let (key, value) = object.map().get_index(i)?;
                Some(counted((Self::Str(key.0.clone()), value.clone())))
            })),
            _ => Box::new(std::iter::once(Err(Error::typ(self, ITERABLE)))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        match self {
            Self::Arr(array) => Box::new((0..array.items().len()).map(move |i| counted(array.items()[i].clone()))),
            Self::Obj(object) => Box::new((0..object.map().len()).map(move |i| counted(object.map()[i].clone()))),
            _ => Box::new(std::iter::once(Err(Error::typ(self, ITERABLE)))),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        Ok(self.at(index)?.unwrap_or(Self::Null))
    }

    fn range(self, range: Range<Option<&Self>>) -> ValR<Self> {
        match &self {
            Self::Str(text) => {
                let (start, end) = text_bounds(&range, &text.bytes)?;
                copied_text(&text.bytes[start..end])
            }
            Self::Arr(array) => {
                let (from, upto) = slice_bounds(&range, array.items().len())?;
                if !budget::afford((upto - from) * size_of::<Self>()) {
                    return Err(budget::exhausted());
                }
                Ok(Self::array(array.items()[from..upto].to_vec()))
            }
            Self::Null => Ok(Self::Null),
            _ => Err(Error::typ(self, "rangeable (array or string)")),
        }
    }

    // Updates are natives of ours (`updates.rs`), so that the interpreter never asks for these.

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, _: Opt, _: impl Fn(Self) -> I) -> ValX<'a, Self> {
        Err(never_asked())
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        _: &Self,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        Err(never_asked())
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        _: Range<Option<&Self>>,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        Err(never_asked())
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Str(_) => self,
            _ => Self::text(write::interpolated(&self)),
        }
    }
}

fn never_asked<'a>() -> Exn<'a, Value> {
    Exn::from(Error::str("the jq interpreter changed a value by itself"))
}

/// New text with the same bytes, so that it never keeps a much larger text alive uncounted.
fn copied_text(bytes: &[u8]) -> ValR<Value> {
    if !budget::afford(bytes.len()) {
        return Err(budget::exhausted());
    }
    Ok(Value::text(Bytes::copy_from_slice(bytes)))
}

impl jaq_std::ValT for Value {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self {
            Self::Arr(array) => {
                budget::afford(size_of_val(array.items()));
                Ok(Array::into_items(array).into_iter().collect())
            }
            _ => Err(self),
        }
    }

    fn is_int(&self) -> bool {
        matches!(self, Self::Num(Num::Int(_) | Num::BigInt(_)))
    }

    fn as_isize(&self) -> Option<isize> {
        match self {
            Self::Num(num) => num.as_isize(),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Num(num) => Some(num_as_f64(num)),
            _ => None,
        }
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self, Self::Str(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str(text) => Some(&text.bytes),
            _ => None,
        }
    }

    fn as_sub_str(&self, sub: &[u8]) -> Self {
        budget::afford(sub.len());
        Self::text(Bytes::copy_from_slice(sub))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        budget::afford(bytes.as_ref().len());
        Self::text(Bytes::copy_from_slice(bytes.as_ref()))
    }
}
