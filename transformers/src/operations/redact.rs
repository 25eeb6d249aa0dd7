//! Values that must not be seen any more.

use eventlift_language::json::{Node, Place, Pointer};
use eventlift_language::{Condition, Literal, Reason};
use serde::Deserialize;

use crate::operations::constant::constant;
use crate::operations::effects::Effects;
use crate::operations::keys::Keys;
use crate::operations::place::{Conversion, Edit, InPlace, Null};

/// `{ redact = "/email", with = "***" }`: the value, whatever it is, is replaced; by null unless `with` or `json` says
/// otherwise. A missing field fails the event, or stays missing with `optional`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redact {
    redact: Pointer,
    with: Option<Literal>,
    json: Option<String>,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

impl Redact {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.redact, self.optional)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let json = match (self.with, self.json) {
            (None, None) => "null".to_owned(),
            (Some(_), Some(_)) => return Err(Reason::new("it has both `with` and `json`")),
            (with, json) => constant(with, json)?,
        };
        InPlace::edit(&self.redact, self.optional, Null::IsValue, Replacement(json))
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(Reason::new("what it redacts is gone")
            .hint("`down = { data = [], lossy = true }`, or with `metadata = []`, lets the field go back as it is"))
    }
}

#[derive(Debug)]
struct Replacement(String);

impl Conversion for Replacement {
    fn convert<'a>(&'a self, node: &Node<'a>, _: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        if matches!(node, Node::Text(text) if *text == self.0) {
            return Ok(None);
        }
        Ok(Some(Node::text(self.0.as_str())))
    }
}
