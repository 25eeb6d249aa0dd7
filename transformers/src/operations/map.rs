//! One set of values to another.

use std::collections::BTreeMap;

use eventlift_language::json::{Kind, Node, Place, Pointer, decode, encode, is_number};
use eventlift_language::{Condition, Reason, Shown};
use serde::Deserialize;
use toml::Value;

use crate::operations::constant::{constant, to_json};
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
    values: toml::Table,
    otherwise: Option<Value>,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Constant {
    value: Option<Value>,
    json: Option<String>,
}

impl Map {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.map, self.optional)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let mut values = BTreeMap::new();
        for (from, to) in self.values {
            values.insert(from, listed(to)?);
        }
        let otherwise = match self.otherwise {
            None => Otherwise::Fail,
            Some(Value::String(text)) if text == "fail" => Otherwise::Fail,
            Some(Value::String(text)) if text == "keep" => Otherwise::Keep,
            Some(Value::Table(table)) => Otherwise::Become(fallback(table)?),
            Some(other) => {
                return Err(Reason::new(format_args!("`otherwise` can't be this TOML {}", other.type_str()))
                    .hint("it is \"fail\", \"keep\", { value = … } or { json = '…' }"));
            }
        };
        InPlace::edit(&self.map, self.optional, Null::IsValue, Mapping { values, otherwise })
    }

    /// The same table, read from right to left, where each value is there once and nothing else is let through.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        const TABLE: &str = "{ map = \"/field\", values = { new = \"old\" } }";
        match &self.otherwise {
            None => {}
            Some(Value::String(text)) if text == "fail" => {}
            Some(_) => return Err(lossy("values that are not listed are let through, or are gone", TABLE)),
        }
        let mut values = BTreeMap::new();
        for (from, to) in &self.values {
            if is_number(from) || matches!(&**from, "true" | "false" | "null") {
                let why = format!("{from:?} stands for the text as well as for the value");
                return Err(lossy(&why, TABLE));
            }
            let to = listed(to.clone())?;
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
fn listed(value: Value) -> Result<String, Reason> {
    match value {
        Value::Table(table) if table.len() == 1 && table.contains_key("json") => fallback(table),
        other => to_json(&other),
    }
}

fn fallback(table: toml::Table) -> Result<String, Reason> {
    let given: Constant = table.try_into().map_err(|error: toml::de::Error| Reason::new(error.message()))?;
    constant(given.value, given.json)
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
