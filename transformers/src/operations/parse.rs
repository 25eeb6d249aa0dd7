//! Text to numbers, booleans and JSON.

use eventlift_language::json::{Kind, Node, Place, Pointer, decode, is_integer, is_number, strict};
use eventlift_language::{Condition, Reason, Shown};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::format::Format;
use crate::operations::inverse::lossy;
use crate::operations::keys::Keys;
use crate::operations::place::{Conversion, Edit, InPlace, Null};

/// `{ parse = "/amount", to = "decimal" }`: a string becomes what it says. Numbers keep every digit as written:
/// nothing is rounded and nothing overflows. A value that is of the kind already stays as it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parse {
    parse: Pointer,
    to: Target,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

/// What to make of text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    /// Digits, perhaps after a `-`; no leading zeros.
    Integer,
    /// Any JSON number.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// Any JSON.
    Json,
}

impl Parse {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.parse, self.optional)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        InPlace::edit(&self.parse, self.optional, Null::IsMissing, self.to)
    }

    /// The number or boolean as text again.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        if let Target::Json = self.to {
            return Err(lossy("how the JSON was written is gone", "{ format = \"/field\", as = \"json\" }"));
        }
        Format::text(&self.parse, self.optional)
    }
}

impl Target {
    fn noun(self) -> &'static str {
        match self {
            Target::Integer => "an integer",
            Target::Decimal => "a decimal number",
            Target::Boolean => "a boolean",
            Target::Json => "JSON",
        }
    }

    /// Whether the value is what it should become.
    fn is_met_by(self, node: &Node<'_>) -> bool {
        match (self, node) {
            (Target::Integer, Node::Text(text)) => is_integer(text),
            (Target::Decimal, Node::Text(text)) => is_number(text),
            (Target::Boolean, node) => node.kind() == Some(Kind::Boolean),
            _ => false,
        }
    }

    fn read(self, text: &str) -> Option<&str> {
        match self {
            Target::Integer => is_integer(text).then_some(text),
            Target::Decimal => is_number(text).then_some(text),
            Target::Boolean => matches!(text, "true" | "false").then_some(text),
            Target::Json => strict(text).ok(),
        }
    }
}

impl Conversion for Target {
    fn convert<'a>(&'a self, node: &Node<'a>, place: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        if self.is_met_by(node) {
            return Ok(None);
        }
        let (Some(Kind::String), Node::Text(json)) = (node.kind(), node) else {
            return Err(place.not(node, "a string to parse"));
        };
        let content = decode(json);
        match content.as_deref().and_then(|text| self.read(text)) {
            Some(parsed) => Ok(Some(Node::text(parsed.to_owned()))),
            None => Err(Reason::new(format_args!("{place} is {}, which is not {}", Shown(json), self.noun()))),
        }
    }
}
