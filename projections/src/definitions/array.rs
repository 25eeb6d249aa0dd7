//! JSON arrays in columns: items put behind the last, and taken out.

use eventlift_language::Reason;
use eventlift_language::json::{Decimal, Node, bytes_of, compact};

/// The array of these JSON texts.
pub(super) fn array_of<'t>(items: impl IntoIterator<Item = &'t str>) -> Box<str> {
    let mut out = String::from("[");
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(item);
    }
    out.push(']');
    out.into()
}

/// The array with the items of `more`, an array as well, behind its own, which stay as they are written.
pub(super) fn appended(array: Box<str>, more: &str) -> Result<Box<str>, Reason> {
    let Some(more) = inside(more).filter(|more| !more.is_empty()) else { return Ok(array) };
    let is_empty = inside(&array).ok_or_else(|| not_an_array(&array))?.is_empty();
    let mut out = String::from(array);
    out.pop();
    if !is_empty {
        out.push(',');
    }
    out.push_str(more);
    out.push(']');
    Ok(out.into())
}

/// The array without those of its items that equal one of `others`, an array as well. Texts are equal by their content,
/// numbers by their value, everything else as it is written without white space.
pub(super) fn without(array: &str, others: &str) -> Result<Box<str>, Reason> {
    let others = items(others)?;
    let kept = items(array)?.into_iter().filter(|item| !others.iter().any(|other| equal(item, other)));
    let kept: Vec<String> = kept.collect();
    Ok(array_of(kept.iter().map(String::as_str)))
}

fn items(array: &str) -> Result<Vec<String>, Reason> {
    match Node::parse(array)? {
        Node::Array(items) => Ok(items.iter().map(|item| item.json().into_owned()).collect()),
        _ => Err(not_an_array(array)),
    }
}

fn equal(one: &str, other: &str) -> bool {
    if one.starts_with('"') && other.starts_with('"') {
        return bytes_of(one) == bytes_of(other);
    }
    match (Decimal::parse(one), Decimal::parse(other)) {
        (Some(one), Some(other)) => one == other,
        _ => compact(one) == compact(other),
    }
}

fn inside(array: &str) -> Option<&str> {
    Some(array.strip_prefix('[')?.strip_suffix(']')?.trim())
}

fn not_an_array(found: &str) -> Reason {
    const MOST: usize = 60;
    match found.char_indices().nth(MOST) {
        Some((end, _)) => Reason::new(format_args!("it is {}…, not an array", &found[..end])),
        None => Reason::new(format_args!("it is {found}, not an array")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_and_go() {
        assert_eq!(&*appended("[]".into(), r#"["a"]"#).unwrap(), r#"["a"]"#);
        assert_eq!(&*appended("[ 1.0 ]".into(), "[2,3]").unwrap(), "[ 1.0 ,2,3]");
        assert_eq!(&*appended("[1]".into(), "[]").unwrap(), "[1]");
        assert!(appended("{}".into(), "[1]").is_err());
        assert_eq!(&*without(r#"[1, "a", 1.0, {"b": 2}, "\u0061"]"#, r#"["a",1]"#).unwrap(), r#"[{"b": 2}]"#);
        assert_eq!(&*without(r#"[{"b": 2}]"#, r#"[{"b":2}]"#).unwrap(), "[]");
        assert!(without("1", "[1]").is_err());
    }
}
