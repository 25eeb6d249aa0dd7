//! Whole fields, whatever they hold: rename, copy, move, remove.

use std::borrow::Cow;

use eventlift_language::json::{Node, Place, Pointer, Segment, only, path_text};
use eventlift_language::{Condition, Reason};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::inverse::{Given, MoveBack, TakeAway, lossy, nothing_replaced, only_members};
use crate::operations::keys::Keys;
use crate::operations::place::{Action, Edit, Path, anchored, missing, needs_field, taking_order};

/// `{ rename = "/first", to = "/given" }`: another key for a value. Within one object the field keeps its place among
/// the others; to another object it moves behind the last key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    rename: Pointer,
    to: Pointer,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

impl Rename {
    pub(crate) fn effects(&self) -> Effects {
        Effects::moved(
            std::slice::from_ref(&self.rename),
            std::slice::from_ref(&self.to),
            false,
            self.optional,
            self.replace,
        )
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let (base, [from, to]) = from_to(&self.rename, &self.to)?;
        let (optional, replace) = (self.optional, self.replace);
        if let (Some((Segment::Key(_), from_parent)), Some((Segment::Key(_), to_parent))) =
            (from.split_last(), to.split_last())
            && from_parent == to_parent
        {
            return Ok(Edit::new(base, optional, RenameInPlace { from, to, optional, replace }));
        }
        Ok(Edit::new(base, optional, MoveField { from, to, optional, replace }))
    }

    /// The field gets its old key again. Between objects it goes behind the last key, as a move does.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        nothing_replaced(self.replace)?;
        let (base, [from, to]) = from_to(&self.rename, &self.to)?;
        let optional = self.optional;
        if let (Some((Segment::Key(_), from_parent)), Some((Segment::Key(_), to_parent))) =
            (from.split_last(), to.split_last())
            && from_parent == to_parent
        {
            return Ok(Edit::new(base, optional, RenameInPlace { from: to, to: from, optional, replace: false }));
        }
        only_members(&[&from, &to])?;
        Ok(MoveBack::edit(base, to, from, optional))
    }
}

/// `{ copy = "/a", to = "/b" }`: the value at a second place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    copy: Pointer,
    to: Pointer,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

impl Copy {
    pub(crate) fn effects(&self) -> Effects {
        Effects::moved(
            std::slice::from_ref(&self.copy),
            std::slice::from_ref(&self.to),
            true,
            self.optional,
            self.replace,
        )
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let (base, [from, to]) = anchored([&self.copy, &self.to])?;
        needs_field(&to, &self.to)?;
        if from == to {
            return Err(same(&self.copy));
        }
        let (optional, replace) = (self.optional, self.replace);
        Ok(Edit::new(base, optional, CopyField { from, to, optional, replace }))
    }

    /// The copy is gone again, as long as it is one.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        nothing_replaced(self.replace)?;
        let (base, [from, to]) = anchored([&self.copy, &self.to])?;
        only_members(&[&to])?;
        Ok(Edit::new(base, self.optional, TakeAway { path: to, given: Given::CopyOf(from) }))
    }
}

/// `{ move = "/a", to = "/b/c" }`: the value at another place, behind the last key there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    #[serde(rename = "move")]
    from: Pointer,
    to: Pointer,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

impl Move {
    pub(crate) fn effects(&self) -> Effects {
        Effects::moved(
            std::slice::from_ref(&self.from),
            std::slice::from_ref(&self.to),
            false,
            self.optional,
            self.replace,
        )
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let (base, [from, to]) = from_to(&self.from, &self.to)?;
        let (optional, replace) = (self.optional, self.replace);
        Ok(Edit::new(base, optional, MoveField { from, to, optional, replace }))
    }

    /// The value goes back, behind the last key there.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        nothing_replaced(self.replace)?;
        let (base, [from, to]) = from_to(&self.from, &self.to)?;
        only_members(&[&from, &to])?;
        Ok(MoveBack::edit(base, to, from, self.optional))
    }
}

/// `{ remove = "/a" }`, or a list of paths: the fields are gone. A last segment `*` empties an array or object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remove {
    remove: OneOrMany,
    #[serde(default)]
    optional: bool,
    pub(crate) when: Option<Condition>,
}

/// One path, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Remove {
    pub(crate) fn effects(&self) -> Effects {
        let pointers = match &self.remove {
            OneOrMany::One(pointer) => std::slice::from_ref(pointer),
            OneOrMany::Many(pointers) => pointers,
        };
        let removed: Vec<Pointer> = pointers.iter().filter_map(|text| Pointer::parse(text).ok()).collect();
        Effects::moved(&removed, &[], false, self.optional, false)
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let pointers = match self.remove {
            OneOrMany::One(pointer) => vec![pointer],
            OneOrMany::Many(pointers) if pointers.is_empty() => return Err(Reason::new("it names no field")),
            OneOrMany::Many(pointers) => pointers,
        };
        let pointers: Vec<Pointer> =
            pointers.iter().map(|text| Pointer::parse(text)).collect::<Result<_, _>>().map_err(Reason::new)?;
        let mut fields = Vec::with_capacity(pointers.len());
        for index in taking_order(&pointers.iter().map(Pointer::segments).collect::<Vec<_>>()) {
            fields.push(RemoveField::edit(&pointers[index], self.optional)?);
        }
        Ok(Edit::new(Path::new(), self.optional, Each(fields)))
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(lossy("what it removes is gone", "{ set = \"/field\", json = 'null' }"))
    }
}

fn from_to(from: &Pointer, to: &Pointer) -> Result<(Path, [Path; 2]), Reason> {
    let (base, paths) = anchored([from, to])?;
    needs_field(&paths[0], from)?;
    needs_field(&paths[1], to)?;
    if paths[0] == paths[1] {
        return Err(same(from));
    }
    if paths[1].starts_with(&paths[0]) {
        return Err(Reason::new(format_args!("{to} is inside {from}, which is gone then"))
            .hint("`wrap` puts a field into a new object"));
    }
    Ok((base, paths))
}

fn same(pointer: &Pointer) -> Reason {
    Reason::new(format_args!("both paths are {pointer}"))
}

#[derive(Debug)]
struct RenameInPlace {
    from: Path,
    to: Path,
    optional: bool,
    replace: bool,
}

impl Action for RenameInPlace {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let (Some((Segment::Key(from), parent)), Some((Segment::Key(to), _))) =
            (self.from.split_last(), self.to.split_last())
        else {
            return Ok(false);
        };
        let here = place.within(&self.from);
        let Some(container) = node.get(parent, place)? else { return missing(self.optional, &here) };
        container.open()?;
        let Node::Object(members) = container else {
            return match container.is_null() {
                true => missing(self.optional, &here),
                false => Err(place.within(parent).not(container, "an object")),
            };
        };
        let within = place.within(parent);
        let Some(index) = only(members, from, &within)? else { return missing(self.optional, &here) };
        match only(members, to, &within)? {
            None => members[index].key = Cow::Borrowed(&to.json),
            Some(_) if !self.replace => return Err(place.within(&self.to).taken()),
            Some(taken) => {
                members[index].key = Cow::Borrowed(&to.json);
                members.remove(taken);
            }
        }
        Ok(true)
    }
}

#[derive(Debug)]
struct MoveField {
    from: Path,
    to: Path,
    optional: bool,
    replace: bool,
}

impl Action for MoveField {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let Some(value) = node.take(&self.from, place)? else {
            return missing(self.optional, &place.within(&self.from));
        };
        node.put(&self.to, value, self.replace, place)?;
        Ok(true)
    }
}

#[derive(Debug)]
struct CopyField {
    from: Path,
    to: Path,
    optional: bool,
    replace: bool,
}

impl Action for CopyField {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let Some(value) = node.get(&self.from, place)? else {
            return missing(self.optional, &place.within(&self.from));
        };
        let copy = value.clone();
        node.put(&self.to, copy, self.replace, place)?;
        Ok(true)
    }
}

/// Several edits as one.
#[derive(Debug)]
pub(crate) struct Each(pub(crate) Vec<Edit>);

impl Action for Each {
    fn apply<'a>(&'a self, node: &mut Node<'a>, _: &Place<'_>) -> Result<bool, Reason> {
        let mut changed = false;
        for edit in &self.0 {
            changed |= edit.apply(node)?;
        }
        Ok(changed)
    }
}

#[derive(Debug)]
struct RemoveField {
    path: Path,
    optional: bool,
}

impl RemoveField {
    fn edit(pointer: &Pointer, optional: bool) -> Result<Edit, Reason> {
        let segments = pointer.segments();
        let Some((last, parent)) = segments.split_last() else {
            return Err(Reason::new("the whole value can't be removed").hint("`set = \"\"` gives it another value"));
        };
        if *last == Segment::Every {
            let parent = Pointer::parse(&path_text(parent)).map_err(Reason::new)?;
            let (base, [path]) = anchored([&parent])?;
            return Ok(Edit::new(base, optional, Empty { path, optional }));
        }
        let (base, [path]) = anchored([pointer])?;
        Ok(Edit::new(base, optional, RemoveField { path, optional }))
    }
}

impl Action for RemoveField {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        match node.take(&self.path, place)? {
            Some(_) => Ok(true),
            None => missing(self.optional, &place.within(&self.path)),
        }
    }
}

/// Removes every item or member.
#[derive(Debug)]
struct Empty {
    path: Path,
    optional: bool,
}

impl Action for Empty {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let here = place.within(&self.path);
        let Some(value) = node.get(&self.path, place)?.filter(|value| !value.is_null()) else {
            return missing(self.optional, &here);
        };
        value.open()?;
        match value {
            Node::Array(items) => items.clear(),
            Node::Object(members) => members.clear(),
            other => return Err(here.not(other, "an array or object")),
        }
        Ok(true)
    }
}
