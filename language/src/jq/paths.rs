//! Values at paths: looking, changing and deleting as jq's `getpath`, `setpath` and `delpaths` do.

use std::ops::Range;

use jaq_core::{Error, ValR};
use jaq_json::Num;

use super::budget;
use super::value::{Array, Key, Map, Object, Value, num_as_f64};

/// Longer arrays are not made only because somebody assigns to an index.
const MAX_INDEX: usize = 1 << 29;

/// A number as an index: cut to an integer. Too large ones count as the largest, and what is not a number as nowhere.
fn as_index(num: &Num) -> Option<isize> {
    match num {
        Num::Int(int) => Some(*int),
        num => {
            let float = num_as_f64(num);
            // The cast saturates.
            (!float.is_nan()).then_some(float as isize)
        }
    }
}

/// A position from the start, or from the end where negative.
fn absolute(index: isize, len: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => len.checked_sub(index.unsigned_abs()),
    }
}

/// Where an index is in an array of so many items; it may be behind them, but not in front.
pub(super) fn position(num: &Num, len: usize) -> Option<usize> {
    as_index(num).and_then(|index| absolute(index, len))
}

/// The bounds of a slice, clipped, `from <= upto`. Fractions are cut at the start and count as whole at the end.
pub(super) fn slice_bounds(range: &Range<Option<&Value>>, len: usize) -> Result<(usize, usize), Error<Value>> {
    let bound = |value: Option<&Value>, default: usize, round: fn(f64) -> f64| match value {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Num(Num::Int(int))) => Ok(absolute(*int, len).unwrap_or(0).min(len)),
        Some(Value::Num(num)) => {
            let float = num_as_f64(num);
            let float = if float < 0.0 { float + len as f64 } else { float };
            // The cast saturates.
            Ok(if float.is_nan() { default } else { (round(float) as usize).min(len) })
        }
        Some(value) => Err(Error::str(format_args!("start and end of a slice are numbers, not {value}"))),
    };
    let (from, upto) = (bound(range.start, 0, f64::floor)?, bound(range.end, len, f64::ceil)?);
    Ok((from, upto.max(from)))
}

/// The bounds that `{"start": …, "end": …}` stands for; both have to be there, if only as null.
pub(super) fn range_of(object: &Object) -> Result<Range<Option<&Value>>, Error<Value>> {
    match (object.map().get(&b"start"[..]), object.map().get(&b"end"[..])) {
        (Some(start), Some(end)) => Ok(Some(start)..Some(end)),
        _ => Err(Error::str("a slice is an object with start and end")),
    }
}

/// The steps of a path.
pub(super) fn steps(path: &Value) -> Result<&[Value], Error<Value>> {
    match path {
        Value::Arr(array) => Ok(array.items()),
        _ => Err(Error::str(format_args!("a path is an array, not {path}"))),
    }
}

/// What is at a path; null where nothing is.
pub(super) fn get(value: &Value, path: &[Value]) -> ValR<Value> {
    let mut found = value.clone();
    for step in path {
        if matches!(found, Value::Null) {
            break;
        }
        if !budget::spend(1) {
            return Err(budget::exhausted());
        }
        found = found.at(step)?.unwrap_or(Value::Null);
    }
    Ok(found)
}

/// Whether something is at a path of keys and indices.
pub(super) fn exists(value: &Value, path: &[Value]) -> bool {
    let mut found = value;
    for step in path {
        let next = match (found, step) {
            (Value::Obj(object), Value::Str(key)) => object.map().get(&key.bytes[..]),
            (Value::Arr(array), Value::Num(num)) => {
                position(num, array.items().len()).and_then(|at| array.items().get(at))
            }
            _ => None,
        };
        let Some(next) = next else { return false };
        found = next;
    }
    true
}

/// Changes what is at a path, making arrays and objects on the way where there is nothing. The change gets what was
/// there, which nobody else then holds, unless somebody did before.
pub(super) fn change<E: From<Error<Value>>>(
    value: Value,
    path: &[Value],
    change: &mut dyn FnMut(Value) -> Result<Value, E>,
) -> Result<Value, E> {
    if path.len() > budget::MAX_DEPTH * 2 {
        budget::exhaust_depth();
        return Err(budget::exhausted().into());
    }
    change_inside(value, path, change)
}

fn change_inside<E: From<Error<Value>>>(
    value: Value,
    path: &[Value],
    change: &mut dyn FnMut(Value) -> Result<Value, E>,
) -> Result<Value, E> {
    let Some((step, rest)) = path.split_first() else { return change(value) };
    if !budget::enter() {
        return Err(budget::exhausted().into());
    }
    match (value, step) {
        (Value::Null, Value::Str(key)) => {
            let new = change_inside(Value::Null, rest, change)?;
            Ok(Value::object(Map::from_iter([(Key(key.clone()), new)])))
        }
        (Value::Obj(mut object), Value::Str(key)) => {
            let at = object.map().get_index_of(&key.bytes[..]);
            let mut old = Value::Null;
            if let Some(at) = at {
                Object::edit(&mut object, |map| {
                    old = std::mem::replace(&mut map[at], Value::Null);
                    0
                });
            }
            let new = change_inside(old, rest, change)?;
            Object::edit(&mut object, |map| {
                let depth = new.depth();
                match at {
                    Some(at) => map[at] = new,
                    None => drop(map.insert(Key(key.clone()), new)),
                }
                depth
            });
            Ok(Value::Obj(object))
        }
        (Value::Null, Value::Num(num)) => change_item(Array::new(Vec::new()), num, rest, change),
        (Value::Arr(array), Value::Num(num)) => change_item(array, num, rest, change),
        (Value::Null, Value::Obj(bounds)) => change_slice(Array::new(Vec::new()), true, bounds, rest, change),
        (Value::Arr(array), Value::Obj(bounds)) => change_slice(array, false, bounds, rest, change),
        (value, step) => Err(Error::str(format_args!("cannot update {step} of {value}")).into()),
    }
}

fn change_item<E: From<Error<Value>>>(
    mut array: std::rc::Rc<Array>,
    num: &Num,
    rest: &[Value],
    change: &mut dyn FnMut(Value) -> Result<Value, E>,
) -> Result<Value, E> {
    let len = array.items().len();
    let Some(at) = position(num, len) else {
        return Err(Error::str(format_args!("index {num} out of bounds: there are {len} items")).into());
    };
    let mut old = Value::Null;
    if at < len {
        Array::edit(&mut array, |items| {
            old = std::mem::replace(&mut items[at], Value::Null);
            0
        });
    }
    let new = change_inside(old, rest, change)?;
    if at >= MAX_INDEX {
        return Err(Error::str(format_args!("index {num} out of bounds: arrays have at most {MAX_INDEX} items")).into());
    }
    if at >= len && !budget::afford((at + 1 - len) * size_of::<Value>()) {
        return Err(budget::exhausted().into());
    }
    Array::edit(&mut array, |items| {
        if at >= items.len() {
            items.resize_with(at + 1, || Value::Null);
        }
        let depth = new.depth();
        items[at] = new;
        depth
    });
    Ok(Value::Arr(array))
}

fn change_slice<E: From<Error<Value>>>(
    mut array: std::rc::Rc<Array>,
    was_null: bool,
    bounds: &Object,
    rest: &[Value],
    change: &mut dyn FnMut(Value) -> Result<Value, E>,
) -> Result<Value, E> {
    let (from, upto) = slice_bounds(&range_of(bounds)?, array.items().len())?;
    if !budget::afford((upto - from) * size_of::<Value>()) {
        return Err(budget::exhausted().into());
    }
    let old = if was_null { Value::Null } else { Value::array(array.items()[from..upto].to_vec()) };
    let new = match change_inside(old, rest, change)? {
        Value::Arr(new) => Array::into_items(new),
        other => {
            return Err(Error::str(format_args!("a slice of an array can only become an array, not {other}")).into());
        }
    };
    if !budget::afford(new.len() * size_of::<Value>()) {
        return Err(budget::exhausted().into());
    }
    let depth = new.iter().map(Value::depth).max().unwrap_or(0);
    Array::edit(&mut array, |items| {
        items.splice(from..upto, new);
        depth
    });
    Ok(Value::Arr(array))
}

/// Deletes what is at these paths, all seen from the value as it was.
pub(super) fn delete(value: Value, mut paths: Vec<Value>) -> ValR<Value> {
    paths.sort();
    let paths: Vec<&[Value]> = paths.iter().map(steps).collect::<Result<_, _>>()?;
    if paths.iter().any(|path| path.len() > budget::MAX_DEPTH * 2) {
        budget::exhaust_depth();
        return Err(budget::exhausted());
    }
    match paths.first() {
        None => Ok(value),
        Some([]) => Ok(Value::Null),
        Some(_) => delete_sorted(value, &paths),
    }
}

/// None of the paths is empty.
fn delete_sorted(mut value: Value, paths: &[&[Value]]) -> ValR<Value> {
    if !budget::enter() {
        return Err(budget::exhausted());
    }
    let mut whole = Vec::new();
    // From the last to the first, so that what is before keeps its place.
    for group in paths.chunk_by(|a, b| a[0] == b[0]).rev() {
        let step = &group[0][0];
        // The shortest path sorts first, and takes everything below with it.
        if group.iter().any(|path| path.len() == 1) {
            whole.push(step);
            continue;
        }
        if value.at(step)?.is_none_or(|below| matches!(below, Value::Null)) {
            continue;
        }
        let below: Vec<&[Value]> = group.iter().map(|path| &path[1..]).collect();
        value = change(value, std::slice::from_ref(step), &mut |below_value| delete_sorted(below_value, &below))?;
    }
    if whole.is_empty() { Ok(value) } else { delete_steps(value, &whole) }
}

fn delete_steps(value: Value, steps: &[&Value]) -> ValR<Value> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Arr(mut array) => {
            let len = array.items().len();
            let mut ranges = Vec::new();
            for step in steps {
                match step {
                    Value::Num(num) => {
                        ranges.extend(position(num, len).filter(|at| *at < len).map(|at| (at, at + 1)));
                    }
                    Value::Obj(bounds) => ranges.push(slice_bounds(&range_of(bounds)?, len)?),
                    _ => return Err(Error::str(format_args!("cannot delete {step} of an array"))),
                }
            }
            ranges.sort_unstable();
            if !budget::afford(size_of_val(array.items())) {
                return Err(budget::exhausted());
            }
            Array::edit(&mut array, |items| {
                let (mut at, mut next) = (0, ranges.iter().peekable());
                let mut deleted_up_to = 0;
                items.retain(|_| {
                    while let Some((_, upto)) = next.next_if(|(from, _)| *from <= at) {
                        deleted_up_to = deleted_up_to.max(*upto);
                    }
                    at += 1;
                    at > deleted_up_to
                });
                0
            });
            Ok(Value::Arr(array))
        }
        Value::Obj(mut object) => {
            for step in steps {
                let Value::Str(key) = step else {
                    return Err(Error::str(format_args!("cannot delete {step} of an object")));
                };
                if object.map().contains_key(&key.bytes[..]) {
                    Object::edit(&mut object, |map| {
                        // Not `swap_remove`: the other keys keep their order.
                        map.shift_remove(&key.bytes[..]);
                        0
                    });
                }
            }
            Ok(Value::Obj(object))
        }
        value => Err(Error::str(format_args!("cannot delete something of {value}"))),
    }
}
