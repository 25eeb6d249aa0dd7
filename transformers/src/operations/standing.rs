//! Where a result stands: in the place of its earliest source, not behind the last key.

use eventlift_language::json::{Member, Node, Place, Segment};

use crate::operations::place::Path;

/// The place that sources leave in the object that a result is put into.
pub(crate) struct Standing<'p> {
    parent: Option<&'p [Segment]>,
    index: Option<usize>,
    members: usize,
}

impl<'p> Standing<'p> {
    /// No place yet, in the object that `into` leads into.
    pub(crate) fn new(into: &'p Path) -> Self {
        Self { parent: into.split_last().map(|(_, parent)| parent), index: None, members: 0 }
    }

    /// Hears that a source was taken from an index.
    pub(crate) fn took(&mut self, source: &Path, index: usize) {
        if source.split_last().map(|(_, parent)| parent) == self.parent {
            self.index = Some(self.index.map_or(index, |before| before.min(index)));
        }
    }

    /// Hears that all sources are gone, and the result comes next.
    pub(crate) fn all_taken(&mut self, node: &mut Node<'_>, place: &Place<'_>) {
        if self.index.is_some() {
            self.members = self.object(node, place).map_or(0, |members| members.len());
        }
    }

    /// Moves what was put behind the last key to the place.
    pub(crate) fn settle(&self, node: &mut Node<'_>, place: &Place<'_>) {
        let Some(index) = self.index.filter(|index| *index < self.members) else { return };
        if let Some(members) = self.object(node, place) {
            let new = members.len().saturating_sub(self.members);
            members[index..].rotate_right(new);
        }
    }

    fn object<'n, 'a>(&self, node: &'n mut Node<'a>, place: &Place<'_>) -> Option<&'n mut Vec<Member<'a>>> {
        let found = node.get(self.parent?, place).ok()??;
        found.open().ok()?;
        match found {
            Node::Object(members) => Some(members),
            _ => None,
        }
    }
}
