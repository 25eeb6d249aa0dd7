//! Where a result stands: in the place of its earliest source, not behind the last key.

use crate::json::{Member, Node, Place, Segment};
use crate::operations::place::Path;

/// The place of a field that is about to be taken out of an object, for what is put into the same object.
pub(crate) struct Standing<'p> {
    parent: &'p [Segment],
    index: usize,
}

impl<'p> Standing<'p> {
    /// The place of the earliest of the sources that are in the object that `into` leads into. `None` where no source
    /// is, and where it is no object.
    pub(crate) fn of<'s>(
        node: &mut Node<'_>,
        sources: impl Iterator<Item = &'s Path>,
        into: &'p Path,
        place: &Place<'_>,
    ) -> Option<Self> {
        let (_, parent) = into.split_last()?;
        let members = members(node, parent, place)?;
        let keys = sources.filter_map(|source| match source.split_last() {
            Some((Segment::Key(key), of)) if of == parent => Some(key),
            _ => None,
        });
        let index = keys.filter_map(|key| members.iter().position(|member| member.is(key))).min()?;
        Some(Self { parent, index })
    }

    /// How many members the object has now.
    pub(crate) fn members(&self, node: &mut Node<'_>, place: &Place<'_>) -> usize {
        members(node, self.parent, place).map_or(0, |members| members.len())
    }

    /// Moves the members behind the first `before` to the place, which no longer holds the source.
    pub(crate) fn settle(&self, node: &mut Node<'_>, before: usize, place: &Place<'_>) {
        if let Some(members) = members(node, self.parent, place)
            && self.index < before
            && before < members.len()
        {
            let new = members.len() - before;
            members[self.index..].rotate_right(new);
        }
    }
}

fn members<'n, 'a>(node: &'n mut Node<'a>, path: &[Segment], place: &Place<'_>) -> Option<&'n mut Vec<Member<'a>>> {
    let found = node.get(path, place).ok()??;
    found.open().ok()?;
    match found {
        Node::Object(members) => Some(members),
        _ => None,
    }
}
