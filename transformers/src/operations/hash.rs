//! Keyed hashes: the same person stays the same, but is not named any more.

use eventlift_language::json::{Kind, Node, Place, Pointer, bytes_of, compact};
use eventlift_language::{Condition, Reason};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::operations::effects::Effects;
use crate::operations::keys::{Keys, hex};
use crate::operations::place::{Conversion, Edit, InPlace, Null};

/// `{ hash = "/email", key = "people" }`: HMAC-SHA256 of a string's content, or of any other value's JSON text
/// without white space, as 64 hex digits. The key is looked up by its name when the rules are compiled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hash {
    hash: Pointer,
    key: String,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

impl Hash {
    pub(crate) fn effects(&self) -> Effects {
        Effects::in_place(&self.hash, self.optional)
    }

    pub(crate) fn compile(self, keys: &Keys) -> Result<Edit, Reason> {
        let Some(mac) = keys.mac(&self.key) else {
            return Err(
                Reason::new(format_args!("there is no key {:?}, or it is empty", self.key)).hint(known_keys(keys))
            );
        };
        let mut edit = InPlace::edit(&self.hash, self.optional, Null::IsMissing, Keyed(mac))?;
        edit.key = Some(self.key);
        Ok(edit)
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(Reason::new("what it hashes is gone")
            .hint("`down = { data = [], lossy = true }`, or with `metadata = []`, lets the field go back as it is"))
    }
}

fn known_keys(keys: &Keys) -> String {
    let names: Vec<&str> = keys.names().collect();
    if names.is_empty() {
        return "keys are given to the run by name, outside the definition; none was given".to_owned();
    }
    format!("keys are given to the run by name, outside the definition; given were {}", names.join(", "))
}

#[derive(Debug)]
struct Keyed(Hmac<Sha256>);

impl Conversion for Keyed {
    fn convert<'a>(&'a self, node: &Node<'a>, _: &Place<'_>) -> Result<Option<Node<'a>>, Reason> {
        let mut mac = self.0.clone();
        let json = node.json();
        match node.kind() {
            Some(Kind::String) => mac.update(&bytes_of(&json)),
            _ => mac.update(compact(&json).as_bytes()),
        }
        Ok(Some(Node::text(format!("\"{}\"", hex(&mac.finalize().into_bytes())))))
    }
}
