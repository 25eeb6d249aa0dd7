//! `sort_by`, and `bsearch` in what is sorted.

use jaq_core::{Error, ValR, ValX};

use super::budget;
use super::value::{Array, Value, num_as_f64};

/// `sort_by`: the items in the order of what the filter makes of them.
pub(super) fn sorted_by<'a>(value: Value, key: &dyn Fn(Value) -> ValX<'a, Vec<Value>, Value>) -> ValX<'a, Value> {
    let Value::Arr(array) = value else {
        return Err(Error::typ(value, "array").into());
    };
    let mut held = budget::Held::nothing();
    let mut bytes = 0;
    let mut keyed = Vec::new();
    for item in Array::into_items(array) {
        let keys = key(item.clone())?;
        bytes += (keys.len() + 2) * size_of::<Value>();
        held.set(bytes);
        if !budget::spend(1) {
            return Err(budget::exhausted().into());
        }
        keyed.push((keys, item));
    }
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Value::array(keyed.into_iter().map(|(_, item)| item).collect()))
}

/// `bsearch`: where an item is, or `-1 - ` where it would have to be put in. What is not sorted is searched in the
/// same steps as jq's, and what has no items is nowhere.
pub(super) fn bsearch(value: &Value, wanted: &Value) -> ValR<Value> {
    let items = match value {
        Value::Arr(array) => array.items(),
        Value::Null => &[],
        Value::Str(text) if text.bytes.is_empty() => &[],
        Value::Obj(object) if object.map().is_empty() => &[],
        Value::Num(num) if num_as_f64(num) == 0.0 => &[],
        _ => return Err(Error::typ(value.clone(), "array")),
    };
    // Where it may be: from the first on, in front of the second.
    let (mut from, mut upto) = (0, items.len());
    while from < upto {
        let middle = from + (upto - 1 - from) / 2;
        if items[middle] == *wanted {
            return Ok(Value::from(middle));
        }
        if items[middle] < *wanted {
            from = middle + 1;
        } else {
            upto = middle;
        }
    }
    Ok(Value::from(-1 - from as isize))
}
