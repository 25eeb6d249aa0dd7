//! Several texts to one.

use eventlift_language::json::{Kind, Node, Place, Pointer, encode, inner};
use eventlift_language::{Condition, Reason};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::inverse::lossy;
use crate::operations::keys::Keys;
use crate::operations::place::{Action, Edit, Path, anchored_all, apart, missing, needs_field, null, taking_order};
use crate::operations::standing::Standing;

/// `{ join = ["/first", "/last"], with = " ", into = "/full" }`: one string of several values, which are gone then
/// unless `keep = true`. Within one object the string stands where the first of them stood.
///
/// Strings are joined escape for escape, numbers and booleans by their text. A missing or null field fails the event;
/// with `optional = true` it is left out together with its separator (a null is gone as well), and where all are left
/// out nothing happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    join: Vec<Pointer>,
    with: String,
    into: Pointer,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

impl Join {
    pub(crate) fn effects(&self) -> Effects {
        Effects::moved(&self.join, std::slice::from_ref(&self.into), self.keep, self.optional, self.replace)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        if self.join.is_empty() {
            return Err(Reason::new("it names no field"));
        }
        let mut pointers: Vec<&Pointer> = self.join.iter().collect();
        pointers.push(&self.into);
        let (base, mut paths) = anchored_all(&pointers)?;
        let into = paths.pop().unwrap_or_default();
        needs_field(&into, &self.into)?;
        for (path, pointer) in paths.iter().zip(&self.join) {
            needs_field(path, pointer)?;
        }
        apart(&paths.iter().collect::<Vec<_>>())?;
        let mut order = taking_order(&paths.iter().map(Vec::as_slice).collect::<Vec<_>>());
        order.retain(|index| paths[*index] != into);
        let separator = inner(&encode(&self.with)).to_owned();
        let (keep, optional, replace) = (self.keep, self.optional, self.replace);
        Ok(Edit::new(base, optional, JoinTexts { paths, order, into, separator, keep, optional, replace }))
    }

    /// What puts the parts of a text together again.
    pub(crate) fn again(join: Vec<Pointer>, with: String, into: Pointer, optional: bool) -> Result<Edit, Reason> {
        let join = Self { join, with, into, keep: false, optional, replace: false, when: None };
        join.compile(&Keys::new())
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(lossy(
            "where one text ended and the next began is gone",
            "{ split = \"/full\", on = \" \", into = [\"/first\", \"/last\"], rest = \"last\" }",
        ))
    }
}

#[derive(Debug)]
struct JoinTexts {
    paths: Vec<Path>,
    /// In which all but the target are taken away.
    order: Vec<usize>,
    into: Path,
    /// As it is written in a JSON string, without quotes.
    separator: String,
    keep: bool,
    optional: bool,
    replace: bool,
}

impl JoinTexts {
    /// Appends a value's text, behind a separator unless it is the first; false when it is null.
    fn push(&self, joined: &mut String, first: bool, value: &Node<'_>, place: &Place<'_>) -> Result<bool, Reason> {
        let text = match (value.kind(), value) {
            (Some(Kind::String), Node::Text(json)) => inner(json),
            (Some(Kind::Number | Kind::Boolean), Node::Text(text)) => text,
            (Some(Kind::Null), _) => return null(self.optional, place),
            _ => return Err(place.not(value, "text, a number or a boolean to join")),
        };
        if !first {
            joined.push_str(&self.separator);
        }
        joined.push_str(text);
        Ok(true)
    }
}

impl JoinTexts {
    fn take_sources(&self, node: &mut Node<'_>, place: &Place<'_>) -> Result<Standing<'_>, Reason> {
        let mut standing = Standing::new(&self.into);
        for path in self.order.iter().map(|index| &self.paths[*index]).filter(|_| !self.keep) {
            if let Some((index, _)) = node.take_at(path, place)? {
                standing.took(path, index);
            }
        }
        Ok(standing)
    }
}

impl Action for JoinTexts {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let mut joined = String::from("\"");
        let mut any = false;
        for path in &self.paths {
            let here = place.within(path);
            match node.get(path, place)? {
                Some(value) => any |= self.push(&mut joined, !any, value, &here)?,
                None => any |= missing(self.optional, &here)?,
            }
        }
        if !any {
            return Ok(false);
        }
        joined.push('"');
        let joined = Node::text(joined);
        if self.paths.contains(&self.into) {
            // Before the other sources go, since that may move an item.
            node.put(&self.into, joined, true, place)?;
            self.take_sources(node, place)?;
        } else {
            let mut standing = self.take_sources(node, place)?;
            standing.all_taken(node, place);
            node.put(&self.into, joined, self.replace, place)?;
            standing.settle(node, place);
        }
        Ok(true)
    }
}
