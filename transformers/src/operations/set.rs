//! Constants: set and default.

use eventlift_language::json::{Node, Place, Pointer};
use eventlift_language::{Condition, Literal, Reason};
use serde::Deserialize;

use crate::operations::constant::constant;
use crate::operations::effects::Effects;
use crate::operations::inverse::{Given, TakeAway, lossy, only_members};
use crate::operations::keys::Keys;
use crate::operations::place::{Action, Edit, Path, anchored, needs_field};

/// `{ set = "/source", value = "import" }` or `{ set = "/source", json = 'null' }`: the field has this value, whatever
/// it had before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    set: Pointer,
    value: Option<Literal>,
    json: Option<String>,
    /// Nothing happens where what a `*` is below is missing.
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

impl Set {
    pub(crate) fn effects(&self) -> Effects {
        Effects {
            makes: vec![self.set.clone()],
            alters: vec![self.set.clone()],
            optional: self.optional,
            ..Effects::default()
        }
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let (base, [path]) = anchored([&self.set])?;
        let json = constant(self.value, self.json)?;
        Ok(Edit::new(base, self.optional, SetField { path, json }))
    }

    /// The field is gone again, as long as it has the constant.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        let (base, [path]) = anchored([&self.set])?;
        needs_field(&path, &self.set).map_err(|_| lossy("the value before is gone", "…"))?;
        only_members(&[&path])?;
        let json = constant(self.value.clone(), self.json.clone())?;
        Ok(Edit::new(base, self.optional, TakeAway { path, given: Given::Constant(json) }))
    }
}

#[derive(Debug)]
struct SetField {
    path: Path,
    json: String,
}

impl Action for SetField {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        node.put(&self.path, Node::text(self.json.as_str()), true, place)?;
        Ok(true)
    }
}

/// `{ default = "/currency", value = "EUR" }`: the field has this value where it is missing. Null is a value as any
/// other, unless `or_null = true` fills it as well.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Default {
    default: Pointer,
    value: Option<Literal>,
    json: Option<String>,
    #[serde(default)]
    or_null: bool,
    /// Nothing happens where what a `*` is below is missing.
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

impl Default {
    pub(crate) fn effects(&self) -> Effects {
        Effects {
            makes: vec![self.default.clone()],
            alters: vec![self.default.clone()],
            optional: self.optional,
            ..Effects::default()
        }
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let (base, [path]) = anchored([&self.default])?;
        let json = constant(self.value, self.json)?;
        Ok(Edit::new(base, self.optional, FillField { path, json, or_null: self.or_null }))
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(Reason::new("nobody knows any more whether the field was there before")
            .hint("`down = { data = [], lossy = true }` lets it be there"))
    }
}

#[derive(Debug)]
struct FillField {
    path: Path,
    json: String,
    or_null: bool,
}

impl Action for FillField {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        if node.get(&self.path, place)?.is_some_and(|found| !(self.or_null && found.is_null())) {
            return Ok(false);
        }
        node.put(&self.path, Node::text(self.json.as_str()), true, place)?;
        Ok(true)
    }
}
