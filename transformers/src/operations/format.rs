//! Numbers, booleans and JSON to text.

use eventlift_language::json::{Decimal, Kind, Node, Place, Pointer, compact, encode};
use eventlift_language::{Condition, Reason, Shown};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::inverse::lossy;
use crate::operations::keys::Keys;
use crate::operations::place::{Conversion, Edit, InPlace, Null};

/// `{ format = "/amount", decimals = 2 }`: a number or boolean becomes text, digit for digit as it is written or with
/// exactly so many decimals (never rounded: a number with more fails). A string stays as it is. With `as = "json"`
/// any value, strings and null too, becomes its JSON text without white space.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Format {
    format: Pointer,
    decimals: Option<usize>,
    #[serde(rename = "as")]
    target: Option<Target>,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    Text,
    Json,
}

impl Format {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.format, self.optional)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        const MOST_DECIMALS: usize = 1_000;
        if self.decimals.is_some_and(|decimals| decimals > MOST_DECIMALS) {
            return Err(Reason::new("a number has at most 1,000 decimals"));
        }
        match (self.target.unwrap_or(Target::Text), self.decimals) {
            (Target::Text, decimals) => {
                InPlace::edit(&self.format, self.optional, Null::IsMissing, AsText { decimals })
            }
            (Target::Json, None) => InPlace::edit(&self.format, self.optional, Null::IsValue, AsJson),
            (Target::Json, Some(_)) => Err(Reason::new("`decimals` does not go with `as = \"json\"`")),
        }
    }

    /// A number or boolean to text, digit for digit.
    pub(crate) fn text(field: &Pointer, optional: bool) -> Result<Edit, Reason> {
        InPlace::edit(field, optional, Null::IsMissing, AsText { decimals: None })
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(lossy("what kind of value the text was is not known", "{ parse = \"/field\", to = \"decimal\" }"))
    }
}

#[derive(Debug)]
struct AsText {
    decimals: Option<usize>,
}

impl Conversion for AsText {
    fn convert<'a>(&'a self, node: &Node<'a>, place: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        match (node.kind(), node, self.decimals) {
            (Some(Kind::String), ..) if self.decimals.is_none() => Ok(None),
            (Some(Kind::Number), Node::Text(number), Some(decimals)) => {
                let fixed = match Decimal::parse(number) {
                    Some(decimal) => decimal.fixed(decimals),
                    None => Err("its exponent is too large"),
                };
                match fixed {
                    Ok(text) => Ok(Some(Node::text(format!("\"{text}\"")))),
                    Err(why) => Err(Reason::new(format_args!(
                        "{place} is {}, which can't be written with {decimals} decimals: {why}",
                        Shown(number)
                    ))),
                }
            }
            (Some(Kind::Number | Kind::Boolean), Node::Text(text), None) => Ok(Some(Node::text(format!("\"{text}\"")))),
            (.., None) => Err(place.not(node, "a number or boolean").hint("`as = \"json\"` makes text of any value")),
            (.., Some(_)) => Err(place.not(node, "a number")),
        }
    }
}

#[derive(Debug)]
struct AsJson;

impl Conversion for AsJson {
    fn convert<'a>(&'a self, node: &Node<'a>, _: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        Ok(Some(Node::text(encode(&compact(&node.json())))))
    }
}
