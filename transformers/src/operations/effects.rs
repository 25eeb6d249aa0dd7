//! What operations one after another make of each other: a path that an earlier one took away, or put something at.

use eventlift_language::Reason;
use eventlift_language::json::{Pointer, Segment};

/// What an operation needs, takes away and makes, as far as that is the same for every payload. Paths with `*` are left
/// out.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// What has to be there.
    pub(crate) needs: Vec<Pointer>,
    /// What is gone afterwards.
    pub(crate) takes: Vec<Pointer>,
    /// What is there afterwards.
    pub(crate) makes: Vec<Pointer>,
    /// What may not be there before.
    pub(crate) free: Vec<Pointer>,
    /// Objects whose members come to stand beside them, whatever those are.
    pub(crate) spills: Vec<Pointer>,
    /// What is another value afterwards, whatever is in it.
    pub(crate) alters: Vec<Pointer>,
    /// Whether it may do nothing.
    pub(crate) optional: bool,
}

/// What is known about paths between two operations.
#[derive(Default)]
pub(crate) struct Known {
    gone: Vec<(Pointer, usize)>,
    there: Vec<(Pointer, usize)>,
}

impl Known {
    /// Refuses an operation that fails for every payload, since an earlier one has taken away what it needs, or made
    /// what may not be there; notes what it does itself. `certain` is whether it does so whenever it is reached.
    pub(crate) fn follow(&mut self, index: usize, effects: &Effects, guarded: bool) -> Result<(), Reason> {
        let certain = !guarded && !effects.optional;
        for path in &effects.needs {
            if let Some((gone, earlier)) = self.gone.iter().find(|(gone, _)| leads_into(path, gone)) {
                return Err(Reason::new(format_args!(
                    "{path} is never there: operation {} has taken {gone} away",
                    earlier + 1
                ))
                .hint("change the order, or name the field by its new path"));
            }
        }
        for path in &effects.free {
            if effects.takes.contains(path) {
                continue;
            }
            if let Some((_, earlier)) = self.there.iter().find(|(there, _)| there == path) {
                return Err(Reason::new(format_args!("{path} is always there: operation {} makes it", earlier + 1))
                    .hint("`replace = true` overwrites it"));
            }
        }
        for path in &effects.alters {
            let outside = |(other, _): &(Pointer, usize)| !leads_into(other, path);
            self.gone.retain(outside);
            self.there.retain(outside);
        }
        for path in &effects.takes {
            self.forget(path);
            if certain {
                self.gone.push((path.clone(), index));
            }
        }
        for path in &effects.makes {
            self.forget(path);
            if certain {
                self.there.push((path.clone(), index));
            }
        }
        for path in &effects.spills {
            let parent = path.segments().split_last().map_or(&[][..], |(_, parent)| parent);
            self.gone.retain(|(other, _)| !other.segments().starts_with(parent));
        }
        Ok(())
    }

    /// Forgets what is known about a path, what leads to it and what is in it.
    fn forget(&mut self, path: &Pointer) {
        let unrelated = |(other, _): &(Pointer, usize)| !leads_into(path, other) && !leads_into(other, path);
        self.gone.retain(unrelated);
        self.there.retain(unrelated);
    }
}

/// Whether a path is another one, or leads into it.
fn leads_into(path: &Pointer, into: &Pointer) -> bool {
    path.segments().starts_with(into.segments())
}

/// Whether a path leads to the same place in every payload: items of arrays move.
pub(crate) fn is_plain(path: &Pointer) -> bool {
    let is_member = |segment: &Segment| match segment {
        Segment::Key(key) => key.index.is_none() && !key.is_end(),
        Segment::Every => false,
    };
    !path.segments().is_empty() && path.segments().iter().all(is_member)
}

impl Effects {
    /// A change of one value in its place.
    pub(crate) fn in_place(path: &Pointer, optional: bool) -> Self {
        Self {
            needs: if optional { Vec::new() } else { vec![path.clone()] },
            alters: vec![path.clone()],
            optional,
            ..Self::default()
        }
    }

    /// Sources that become something at other paths.
    pub(crate) fn moved(from: &[Pointer], to: &[Pointer], keeps: bool, optional: bool, replace: bool) -> Self {
        let others = |path: &&Pointer| !from.contains(path);
        Self {
            needs: if optional { Vec::new() } else { from.to_vec() },
            takes: if keeps { Vec::new() } else { from.iter().filter(|path| !to.contains(path)).cloned().collect() },
            makes: to.to_vec(),
            free: if replace || optional { Vec::new() } else { to.iter().filter(others).cloned().collect() },
            spills: Vec::new(),
            alters: to.to_vec(),
            optional,
        }
    }

    /// The same, without paths that lead to another place in every payload.
    pub(crate) fn plain(mut self) -> Self {
        for paths in [&mut self.needs, &mut self.takes, &mut self.makes, &mut self.free] {
            paths.retain(is_plain);
        }
        self
    }
}
