//! `|=` and `=`: all paths are looked up in the value as it was, then it is changed at one after the other.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, bome, v};
use jaq_core::{Bind, Cv, Error, Exn, Native, ValX, ValXs};

use super::budget;
use super::desugar::{ASSIGN, NEXT_STATE, UPDATE};
use super::natives::Data;
use super::paths;
use super::value::{Array, Map, Value};

/// `walk(f)`, which would take much stack if it were written in jq.
const WALK: &str = "!walk";

/// The filters that updates are made of.
pub(super) fn all() -> Vec<Fun<Data>> {
    let two = || -> Box<[Bind]> { [Bind::Fun(()), Bind::Fun(())].into() };
    let one = || -> Box<[Bind]> { [Bind::Fun(())].into() };
    vec![
        (UPDATE, two(), Native::<Data>::new(|cv| box_once(update(cv)))),
        (ASSIGN, two(), Native::<Data>::new(assign)),
        (
            NEXT_STATE,
            one(),
            Native::<Data>::new(next_state).with_paths(|mut cv| {
                let (filter, context) = cv.0.pop_fun();
                let last = filter.paths((context, cv.1)).try_fold(None, |_, found| found.map(Some));
                Box::new(last.transpose().into_iter())
            }),
        ),
        (
            "getpath",
            v(1),
            Native::<Data>::new(get).with_paths(|mut cv| {
                let path = cv.0.pop_var();
                let (value, before) = cv.1;
                let found = paths::steps(&path).and_then(|steps| {
                    let found = paths::get(&value, steps)?;
                    Ok((found, steps.iter().cloned().fold(before, |path, step| path.cons(step))))
                });
                box_once(found.map_err(Exn::from))
            }),
        ),
        ("setpath", v(2), Native::<Data>::new(set)),
        (WALK, one(), Native::<Data>::new(walk)),
        ("delpaths", v(1), Native::<Data>::new(delete)),
    ]
}

/// The paths that a filter yields, the last step first as the interpreter keeps them.
fn collected<'a>(cv: &mut Cv<'a, Data>) -> ValX<'a, Vec<Vec<Value>>, Value> {
    let (filter, context) = cv.0.pop_fun();
    let mut held = budget::Held::nothing();
    let mut bytes = 0;
    let mut paths = Vec::new();
    for path in filter.paths((context, (cv.1.clone(), Default::default()))) {
        let (_, path) = path?;
        let mut steps: Vec<Value> = path.iter().cloned().collect();
        steps.reverse();
        bytes += size_of::<Vec<Value>>() + steps.len() * size_of::<Value>();
        held.set(bytes);
        if !budget::spend(1 + steps.len() as u64) {
            return Err(budget::exhausted().into());
        }
        paths.push(steps);
    }
    Ok(paths)
}

/// Each value becomes the first that the filter yields; where it yields none, the value is deleted in the end.
fn update(mut cv: Cv<'_, Data>) -> ValX<'_, Value> {
    let (filter, context) = cv.0.pop_fun();
    let paths = collected(&mut cv)?;
    let mut value = cv.1;
    let mut deleted = Vec::new();
    // What no later path looks at is handed over, so that it need not be copied to be changed.
    let is_only = paths.len() == 1;
    for path in paths {
        if !paths::exists(&value, &path) {
            value = put(value, path, &|old| filter.run((context.clone(), old)).next(), &mut deleted)?;
            continue;
        }
        let mut is_deleted = false;
        value = paths::change(value, &path, &mut |old| {
            let kept = if is_only { Value::Null } else { old.clone() };
            let Some(new) = filter.run((context.clone(), old)).next() else {
                is_deleted = true;
                return Ok(kept);
            };
            new
        })?;
        if is_deleted {
            deleted.push(Value::array(path));
        }
    }
    if deleted.is_empty() { Ok(value) } else { paths::delete(value, deleted).map_err(Exn::from) }
}

/// Puts the first value that the filter yields at a path where nothing is, or at a slice. Where it yields none, nothing
/// is made on the way there.
fn put<'a>(
    value: Value,
    path: Vec<Value>,
    filter: &dyn Fn(Value) -> Option<ValX<'a, Value>>,
    deleted: &mut Vec<Value>,
) -> ValX<'a, Value> {
    let old = paths::get(&value, &path)?;
    let Some(new) = filter(old) else {
        deleted.push(Value::array(path));
        return Ok(value);
    };
    let mut new = Some(new?);
    paths::change(value, &path, &mut |_| Ok::<_, Exn<'_, Value>>(new.take().unwrap_or(Value::Null)))
}

fn assign(mut cv: Cv<'_, Data>) -> ValXs<'_, Value> {
    let (values, context) = cv.0.pop_fun();
    let values: Vec<ValX<'_, Value>> = {
        let mut failed = false;
        let values = values.run((context, cv.1.clone()));
        values.take_while(|value| !std::mem::replace(&mut failed, value.is_err()) && budget::spend(1)).collect()
    };
    let paths = match collected(&mut cv) {
        Ok(paths) => paths,
        Err(error) => return box_once(Err(error)),
    };
    let mut input = Some(cv.1);
    let mut values = values.into_iter().peekable();
    Box::new(std::iter::from_fn(move || {
        let new = match values.next()? {
            Ok(new) => new,
            Err(error) => return Some(Err(error)),
        };
        // The last one gets the input itself, so that nothing is copied where nobody else holds it.
        let input = if values.peek().is_some() { input.clone() } else { input.take() };
        let assigned = paths
            .iter()
            .try_fold(input?, |value, path| paths::change(value, path, &mut |_| Ok::<_, Error<Value>>(new.clone())));
        Some(assigned.map_err(Exn::from))
    }))
}

/// The last value, or null where there is none.
fn next_state(mut cv: Cv<'_, Data>) -> ValXs<'_, Value> {
    let (filter, context) = cv.0.pop_fun();
    box_once(filter.run((context, cv.1)).try_fold(Value::Null, |_, value| value))
}

fn walk(mut cv: Cv<'_, Data>) -> ValXs<'_, Value> {
    let (filter, context) = cv.0.pop_fun();
    match walked(cv.1, &|value| filter.run((context.clone(), value)).collect()) {
        Ok(values) => Box::new(values.into_iter().map(Ok)),
        Err(error) => box_once(Err(error)),
    }
}

/// What a filter makes of a value whose parts it was run on before: all outputs in arrays, the first in objects.
fn walked<'a>(value: Value, filter: &dyn Fn(Value) -> ValX<'a, Vec<Value>, Value>) -> ValX<'a, Vec<Value>, Value> {
    if !budget::enter() {
        return Err(budget::exhausted().into());
    }
    match value {
        Value::Arr(array) => {
            let mut items = Vec::new();
            for item in Array::into_items(array) {
                items.append(&mut walked(item, filter)?);
            }
            filter(Value::array(items))
        }
        Value::Obj(object) => {
            if object.has_duplicates() {
                budget::note_opened_duplicates();
            }
            let mut map = Map::default();
            for (key, value) in object.map().clone() {
                if let Some(first) = walked(value, filter)?.into_iter().next() {
                    map.insert(key, first);
                }
            }
            filter(Value::object(map))
        }
        value => filter(value),
    }
}

fn get(mut cv: Cv<'_, Data>) -> ValXs<'_, Value> {
    let path = cv.0.pop_var();
    bome(paths::steps(&path).and_then(|steps| paths::get(&cv.1, steps)))
}

fn set(mut cv: Cv<'_, Data>) -> ValXs<'_, Value> {
    let new = cv.0.pop_var();
    let path = cv.0.pop_var();
    let changed =
        paths::steps(&path).and_then(|steps| paths::change(cv.1, steps, &mut |_| Ok::<_, Error<Value>>(new.clone())));
    bome(changed)
}

fn delete(mut cv: Cv<'_, Data>) -> ValXs<'_, Value> {
    let paths = cv.0.pop_var();
    bome(match paths {
        Value::Arr(paths) => paths::delete(cv.1, paths.items().to_vec()),
        other => Err(Error::str(format_args!("paths must be an array of paths, not {other}"))),
    })
}
