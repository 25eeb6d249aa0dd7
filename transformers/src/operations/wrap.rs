//! Fields into an object of their own, and out of it.

use std::borrow::Cow;

use eventlift_language::json::{Member, Node, Place, Pointer, Segment, only, same_key};
use eventlift_language::{Condition, Reason};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::fields::Each;
use crate::operations::inverse::{MoveBack, lossy, nothing_replaced, only_members};
use crate::operations::keys::Keys;
use crate::operations::place::{Action, Edit, Path, anchored, anchored_all, apart, missing, needs_field, taking_order};
use crate::operations::standing::Standing;

/// `{ wrap = ["/street", "/city"], into = "/address" }`: the fields move into a new object, in the order listed,
/// under the last segments of their paths. With `optional`, missing ones are left out, and where all are missing
/// nothing happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrap {
    wrap: Vec<Pointer>,
    into: Pointer,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

impl Wrap {
    pub(crate) fn effects(&self) -> Effects {
        Effects::moved(&self.wrap, std::slice::from_ref(&self.into), false, self.optional, self.replace)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        if self.wrap.is_empty() {
            return Err(Reason::new("it names no field"));
        }
        let mut pointers: Vec<&Pointer> = self.wrap.iter().collect();
        pointers.push(&self.into);
        let (base, mut paths) = anchored_all(&pointers)?;
        let into = paths.pop().unwrap_or_default();
        needs_field(&into, &self.into)?;
        for (path, pointer) in paths.iter().zip(&self.wrap) {
            needs_field(path, pointer)?;
        }
        apart(&paths.iter().collect::<Vec<_>>())?;
        for (index, path) in paths.iter().enumerate() {
            if paths[..index].iter().any(|other| other.last() == path.last()) {
                return Err(Reason::new(format_args!(
                    "two of the fields would be {} in the new object",
                    self.wrap[index]
                )));
            }
        }
        let order = taking_order(&paths.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (optional, replace) = (self.optional, self.replace);
        Ok(Edit::new(base, optional, WrapFields { paths, order, into, optional, replace }))
    }

    /// The fields go back to where they were. Those of one object stand together then, where the new object stood.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        nothing_replaced(self.replace)?;
        let mut pointers: Vec<&Pointer> = self.wrap.iter().collect();
        pointers.push(&self.into);
        let (base, mut paths) = anchored_all(&pointers)?;
        let into = paths.pop().unwrap_or_default();
        let parent = into.split_last().map(|(_, parent)| parent);
        let optional = self.optional;
        if paths.iter().all(|path| path.split_last().map(|(_, parent)| parent) == parent) {
            return Ok(Edit::new(base, optional, UnwrapObject { path: into, optional }));
        }
        only_members(&paths.iter().chain([&into]).map(Vec::as_slice).collect::<Vec<_>>())?;
        let mut back = Vec::with_capacity(paths.len());
        for path in paths {
            let Some(last) = path.last() else { continue };
            let mut from = into.clone();
            from.push(last.clone());
            if path.starts_with(&into) {
                return Err(lossy("one of its fields has the new object's name", "…"));
            }
            back.push(MoveBack::edit(base.clone(), from, path, optional));
        }
        Ok(Edit::new(Path::new(), optional, Each(back)))
    }
}

#[derive(Debug)]
struct WrapFields {
    paths: Vec<Path>,
    /// In which they are taken.
    order: Vec<usize>,
    into: Path,
    optional: bool,
    replace: bool,
}

impl Action for WrapFields {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let mut standing = Standing::new(&self.into);
        let mut taken = Vec::with_capacity(self.paths.len());
        for index in &self.order {
            let path = &self.paths[*index];
            match (node.take_at(path, place)?, path.last()) {
                (Some((at, value)), Some(Segment::Key(key))) => {
                    standing.took(path, at);
                    taken.push((*index, Member { key: Cow::Borrowed(&key.json), value }));
                }
                _ => {
                    missing(self.optional, &place.within(path))?;
                }
            }
        }
        taken.sort_by_key(|(index, _)| *index);
        let members: Vec<_> = taken.into_iter().map(|(_, member)| member).collect();
        if members.is_empty() {
            return Ok(false);
        }
        standing.all_taken(node, place);
        node.put(&self.into, Node::Object(members), self.replace, place)?;
        standing.settle(node, place);
        Ok(true)
    }
}

/// `{ unwrap = "/address" }`: an object's members take its place among its parent's. A key that the parent has
/// already fails the event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unwrap {
    unwrap: Pointer,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

impl Unwrap {
    pub(crate) fn effects(&self) -> Effects {
        let mut effects = Effects::moved(std::slice::from_ref(&self.unwrap), &[], false, self.optional, false);
        effects.spills.push(self.unwrap.clone());
        effects
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let (base, [path]) = anchored([&self.unwrap])?;
        needs_field(&path, &self.unwrap)?;
        Ok(Edit::new(base, self.optional, UnwrapObject { path, optional: self.optional }))
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(lossy("which fields were in the object is not known", "{ wrap = [\"/a\", \"/b\"], into = \"/object\" }"))
    }
}

#[derive(Debug)]
struct UnwrapObject {
    path: Path,
    optional: bool,
}

impl Action for UnwrapObject {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let here = place.within(&self.path);
        let Some((Segment::Key(key), parent)) = self.path.split_last() else { return Ok(false) };
        let Some(container) = node.get(parent, place)?.filter(|found| !found.is_null()) else {
            return missing(self.optional, &here);
        };
        container.open()?;
        let above = place.within(parent);
        let Node::Object(members) = container else { return Err(above.not(container, "an object")) };
        let Some(index) = only(members, key, &above)? else { return missing(self.optional, &here) };
        if members[index].value.is_null() {
            return crate::operations::place::null(self.optional, &here);
        }
        members[index].value.open()?;
        if !matches!(members[index].value, Node::Object(_)) {
            return Err(here.not(&members[index].value, "an object"));
        }
        let Node::Object(lifted) = members.remove(index).value else { return Ok(false) };
        for member in &lifted {
            if members.iter().any(|other| same_key(&other.key, &member.key)) {
                return Err(Reason::new(format_args!("{} exists already", above.member(&member.key)))
                    .hint(format_args!("it is in {here} as well; rename one of them before")));
            }
        }
        members.splice(index..index, lifted);
        Ok(true)
    }
}
