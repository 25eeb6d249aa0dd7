//! One set of values to another.

use std::collections::BTreeMap;

use eventlift_language::json::{Kind, Node, Place, Pointer, decode, encode, is_number};
use eventlift_language::{Condition, Literal, Reason, Shown};
use serde::Deserialize;

use crate::operations::constant::constant;
use crate::operations::effects::Effects;
use crate::operations::inverse::lossy;
use crate::operations::keys::Keys;
use crate::operations::place::{Conversion, Edit, InPlace, Null};

/// `{ map = "/status", values = { A = "active", I = "inactive" } }`: a value becomes another.
///
/// A string is looked up by its content; a number by its digits, a boolean and null by their text, all as they are
/// written. A value that is not listed fails the event; `otherwise = "keep"` keeps it, `otherwise = { value = … }`
/// (or `{ json = '…' }`) gives it that value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    map: Pointer,
    values: Literal,
    otherwise: Option<Literal>,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

impl Map {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.map, self.optional)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let mut values = BTreeMap::new();
        for (from, to) in self.listed()? {
            values.insert(from.clone(), listed(to)?);
        }
        let otherwise = match &self.otherwise {
            None => Otherwise::Fail,
            Some(Literal::Text(text)) if text == "fail" => Otherwise::Fail,
            Some(Literal::Text(text)) if text == "keep" => Otherwise::Keep,
            Some(Literal::Table(entries)) => Otherwise::Become(fallback(entries)?),
            Some(other) => {
                return Err(Reason::new(format_args!("`otherwise` can't be this TOML {}", other.type_name()))
                    .hint("it is \"fail\", \"keep\", { value = … } or { json = '…' }"));
            }
        };
        InPlace::edit(&self.map, self.optional, Null::IsValue, Mapping { values, otherwise })
    }

    /// What is listed, old values and new ones.
    fn listed(&self) -> Result<&[(String, Literal)], Reason> {
        match &self.values {
            Literal::Table(entries) => Ok(entries),
            other => Err(Reason::new(format_args!("`values` is a table, not this TOML {}", other.type_name()))),
        }
    }

    /// The same table, read from right to left, where each value is there once and nothing else is let through.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        const TABLE: &str = "{ map = \"/field\", values = { new = \"old\" } }";
        match &self.otherwise {
            None => {}
            Some(Literal::Text(text)) if text == "fail" => {}
            Some(_) => return Err(lossy("values that are not listed are let through, or are gone", TABLE)),
        }
        let mut values = BTreeMap::new();
        for (from, to) in self.listed()? {
            if is_number(from) || matches!(&**from, "true" | "false" | "null") {
                let why = format!("{from:?} stands for the text as well as for the value");
                return Err(lossy(&why, TABLE));
            }
            let to = listed(to)?;
            let Some(seen_as) = seen_as(&to) else {
                return Err(lossy(&format!("the new value {to} can't be looked up"), TABLE));
            };
            if values.insert(seen_as, encode(from)).is_some() {
                return Err(lossy(&format!("several values become {to}"), TABLE));
            }
        }
        InPlace::edit(&self.map, self.optional, Null::IsValue, Mapping { values, otherwise: Otherwise::Fail })
    }
}

/// What a value of this JSON text is looked up by; none for objects and arrays.
fn seen_as(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => decode(json).map(|text| text.into_owned()),
        b'{' | b'[' => None,
        _ => Some(json.to_owned()),
    }
}

/// A value as it is, or `{ json = '…' }` for exact JSON text.
fn listed(value: &Literal) -> Result<String, Reason> {
    match value {
        Literal::Table(entries) if matches!(&entries[..], [(key, _)] if key == "json") => fallback(entries),
        other => other.json(),
    }
}

/// The JSON text of `{ value = … }` or `{ json = '…' }`.
fn fallback(entries: &[(String, Literal)]) -> Result<String, Reason> {
    let (mut value, mut json) = (None, None);
    for (key, given) in entries {
        match (&**key, given) {
            ("value", given) => value = Some(given.clone()),
            ("json", Literal::Text(text)) => json = Some(text.clone()),
            ("json", other) => {
                return Err(Reason::new(format_args!("`json` is text, not this TOML {}", other.type_name())));
            }
            (other, _) => {
                return Err(Reason::new(format_args!("unknown field `{other}`, expected `value` or `json`")));
            }
        }
    }
    constant(value, json)
}

#[derive(Debug)]
struct Mapping {
    /// Old value to the new one's JSON text.
    values: BTreeMap<String, String>,
    otherwise: Otherwise,
}

#[derive(Debug)]
enum Otherwise {
    Fail,
    Keep,
    Become(String),
}

impl Conversion for Mapping {
    fn convert<'a>(&'a self, node: &Node<'a>, place: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        let found = match (node.kind(), node) {
            (Some(Kind::String), Node::Text(json)) => decode(json).and_then(|text| self.values.get(&*text)),
            (_, Node::Text(json)) => self.values.get(&**json),
            _ => None,
        };
        match (found, &self.otherwise) {
            (Some(new), _) | (None, Otherwise::Become(new)) => Ok(Some(Node::text(new.as_str()))),
            (None, Otherwise::Keep) => Ok(None),
            (None, Otherwise::Fail) => {
                Err(Reason::new(format_args!("{place} is {}, which is not listed", Shown(node.json())))
                    .hint("`otherwise = \"keep\"` keeps values that are not listed"))
            }
        }
    }
}
