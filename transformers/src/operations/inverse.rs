//! What takes an operation back: the shapes that several inverses share.

use eventlift_language::json::{Node, Place, Segment, first_difference, path_text};
use eventlift_language::{Reason, Short, Shown};

use crate::operations::place::{Action, Edit, Path, missing};

/// That an operation loses something, and what to declare instead.
pub(crate) fn lossy(why: &str, down: &str) -> Reason {
    Reason::new(why).hint(format_args!("say what the way back does: `down = [{down}]`"))
}

/// Refuses paths through items of arrays: where an item is depends on what else is in the array.
pub(crate) fn only_members(paths: &[&[Segment]]) -> Result<(), Reason> {
    let is_item = |segment: &Segment| match segment {
        Segment::Key(key) => key.index.is_some() || key.is_end(),
        Segment::Every => false,
    };
    match paths.iter().find(|path| path.iter().any(is_item)) {
        None => Ok(()),
        Some(path) => Err(Reason::new(format_args!(
            "{} may be an item of an array, which has no place of its own",
            path_text(path)
        ))
        .hint("say what the way back does: `down = […]`")),
    }
}

/// Refuses an operation that may have replaced something.
pub(crate) fn nothing_replaced(replace: bool) -> Result<(), Reason> {
    if !replace {
        return Ok(());
    }
    Err(Reason::new("what `replace` overwrote is gone")
        .hint("remove `replace`, or say what the way back does: `down = […]`"))
}

/// A value back to where it was, behind the last key there. Objects that were only made for it are gone then.
#[derive(Debug)]
pub(crate) struct MoveBack {
    pub(crate) from: Path,
    pub(crate) to: Path,
    pub(crate) optional: bool,
}

impl MoveBack {
    pub(crate) fn edit(base: Path, from: Path, to: Path, optional: bool) -> Edit {
        Edit::new(base, optional, Self { from, to, optional })
    }
}

impl Action for MoveBack {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let Some(value) = node.take(&self.from, place)? else {
            return missing(self.optional, &place.within(&self.from));
        };
        node.put(&self.to, value, false, place)?;
        remove_emptied(node, &self.from, place)?;
        Ok(true)
    }
}

/// Takes a field away that an operation has added, as long as it holds what the operation gave it.
#[derive(Debug)]
pub(crate) struct TakeAway {
    pub(crate) path: Path,
    pub(crate) given: Given,
}

/// What an operation gave a field.
#[derive(Debug)]
pub(crate) enum Given {
    /// This JSON text.
    Constant(String),
    /// The value of another field.
    CopyOf(Path),
}

impl Action for TakeAway {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let here = place.within(&self.path);
        let Some(found) = node.get(&self.path, place)?.map(|found| found.clone()) else { return Ok(false) };
        let found = found.json();
        let (given, what) = match &self.given {
            Given::Constant(json) => (Some(json.clone()), Short(json).to_string()),
            Given::CopyOf(source) => {
                let value = node.get(source, place)?.map(|value| value.json().into_owned());
                (value, format!("the value of {}", place.within(source)))
            }
        };
        if given.is_none_or(|given| first_difference(&given, &found).is_some()) {
            return Err(Reason::new(format_args!(
                "{here} is {}, not {what}, and the version before has no place for it",
                Shown(found)
            ))
            .hint("`down` says what becomes of it: `down = [{ remove = … }]` loses it"));
        }
        node.take(&self.path, place)?;
        remove_emptied(node, &self.path, place)?;
        Ok(true)
    }
}

/// Removes the objects on the way to a path that have nothing in them.
fn remove_emptied(node: &mut Node<'_>, path: &[Segment], place: &Place<'_>) -> Result<(), Reason> {
    for end in (1..path.len()).rev() {
        let parent = &path[..end];
        let Some(found) = node.get(parent, place)? else { continue };
        found.open()?;
        if !matches!(found, Node::Object(members) if members.is_empty()) {
            return Ok(());
        }
        node.take(parent, place)?;
    }
    Ok(())
}
