//! Where an operation happens: once, or for every item that its paths' wildcards stand for.

use std::cmp::Ordering;
use std::fmt;

use eventlift_language::Reason;
use eventlift_language::json::{Kind, Node, Place, Pointer, Segment, path_text};

/// The segments of a pointer behind the last wildcard.
pub(crate) type Path = Vec<Segment>;

/// What an operation does at one place.
pub(crate) trait Action: fmt::Debug + Send + Sync {
    /// Changes the value at a place; false when there was nothing to do.
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason>;
}

/// An operation that is ready: which places, and what to do there.
#[derive(Debug)]
pub(crate) struct Edit {
    /// The part of the paths up to the last wildcard; empty when they have none.
    pub(crate) base: Path,
    /// Whether nothing happens where the base leads nowhere.
    pub(crate) optional: bool,
    /// What to do at every place.
    pub(crate) action: Box<dyn Action>,
    /// Which key it uses.
    pub(crate) key: Option<String>,
}

impl Edit {
    pub(crate) fn new(base: Path, optional: bool, action: impl Action + 'static) -> Self {
        Self { base, optional, action: Box::new(action), key: None }
    }

    /// Does it everywhere; false when there was nothing to do anywhere.
    pub(crate) fn apply<'a>(&'a self, root: &mut Node<'a>) -> Result<bool, Reason> {
        self.descend(&self.base, root, &Place::ROOT)
    }

    fn descend<'a>(&'a self, base: &'a [Segment], node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let Some(wildcard) = base.iter().position(|segment| *segment == Segment::Every) else {
            return self.action.apply(node, place);
        };
        let (before, rest) = (&base[..wildcard], &base[wildcard + 1..]);
        let here = place.within(before);
        let Some(node) = node.get(before, place)?.filter(|node| !node.is_null()) else {
            return if self.optional { Ok(false) } else { Err(here.missing()) };
        };
        node.open()?;
        let mut changed = false;
        match node {
            Node::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    changed |= self.descend(rest, item, &here.item(index))?;
                }
            }
            Node::Object(members) => {
                for member in members {
                    changed |= self.descend(rest, &mut member.value, &here.member(&member.key))?;
                }
            }
            other => return Err(here.not(other, "an array or object")),
        }
        Ok(changed)
    }
}

/// Splits an operation's pointers into the part up to the last wildcard, which all of them share, and the rest.
pub(crate) fn anchored<const N: usize>(pointers: [&Pointer; N]) -> Result<(Path, [Path; N]), Reason> {
    let (base, paths) = anchored_all(&pointers)?;
    match paths.try_into() {
        Ok(paths) => Ok((base, paths)),
        // Cannot be: there is one path for every pointer.
        Err(_) => Err(Reason::new("its paths can't be told apart")),
    }
}

/// The same for any number of pointers.
pub(crate) fn anchored_all(pointers: &[&Pointer]) -> Result<(Path, Vec<Path>), Reason> {
    let Some(first) = pointers.first() else { return Ok((Path::new(), Vec::new())) };
    let base = base_of(first.segments());
    let mut paths = Vec::with_capacity(pointers.len());
    for pointer in pointers {
        let segments = pointer.segments();
        let own = base_of(segments);
        if own != base {
            return Err(Reason::new(format_args!("the paths {first} and {pointer} differ before their last `*`"))
                .hint("an operation moves values within one item: both paths start with the same `/lines/*`"));
        }
        paths.push(segments[own.len()..].to_vec());
    }
    Ok((base.to_vec(), paths))
}

fn base_of(segments: &[Segment]) -> &[Segment] {
    let end = segments.iter().rposition(|segment| *segment == Segment::Every).map_or(0, |index| index + 1);
    &segments[..end]
}

/// Refuses the empty path, for operations that need a field.
pub(crate) fn needs_field(path: &Path, pointer: &Pointer) -> Result<(), Reason> {
    if path.is_empty() {
        return Err(Reason::new(format_args!("the path {:?} names no field", pointer.as_str()))
            .hint("a path ends with the name of a field, as in /address/city"));
    }
    Ok(())
}

/// Refuses paths of which one leads into another, since reading one would then change the other.
pub(crate) fn apart(paths: &[&Path]) -> Result<(), Reason> {
    for (index, path) in paths.iter().enumerate() {
        for other in &paths[index + 1..] {
            if path.starts_with(other) || other.starts_with(path) {
                let (path, other) = (path_text(path), path_text(other));
                return Err(Reason::new(format_args!(
                    "the paths {path} and {other} are the same or lead into one another"
                )));
            }
        }
    }
    Ok(())
}

/// The paths in an order in which taking the value of one does not move that of another: of two items of one array,
/// the later first. Indexes into the given paths.
pub(crate) fn taking_order(paths: &[&[Segment]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_by(|a, b| compare(paths[*b], paths[*a]));
    order
}

fn compare(path: &[Segment], other: &[Segment]) -> Ordering {
    let differing = path.iter().zip(other).find(|(a, b)| a != b);
    match differing {
        Some((Segment::Key(a), Segment::Key(b))) => a.index.cmp(&b.index).then_with(|| a.text.cmp(&b.text)),
        // Before any item is taken, every item is still there.
        Some((Segment::Every, _)) => Ordering::Greater,
        Some((_, Segment::Every)) => Ordering::Less,
        None => path.len().cmp(&other.len()),
    }
}

/// Whether a missing, or perhaps null, value is there to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Null {
    /// Null is a value as any other.
    IsValue,
    /// Null counts as missing.
    IsMissing,
}

/// What turns one value into another, whatever is around it.
pub(crate) trait Conversion: fmt::Debug + Send + Sync {
    /// The new value, or none when the value is right already.
    fn convert<'a>(&'a self, node: &Node<'a>, place: &Place<'_>) -> Result<Option<Node<'a>>, Reason>;
}

/// Converts a value where it stands.
#[derive(Debug)]
pub(crate) struct InPlace<C> {
    pub(crate) path: Path,
    pub(crate) optional: bool,
    pub(crate) null: Null,
    pub(crate) conversion: C,
}

impl<C: Conversion + 'static> InPlace<C> {
    /// An operation with one path.
    pub(crate) fn edit(pointer: &Pointer, optional: bool, null: Null, conversion: C) -> Result<Edit, Reason> {
        let (base, [path]) = anchored([pointer])?;
        Ok(Edit::new(base, optional, Self { path, optional, null, conversion }))
    }
}

impl<C: Conversion> Action for InPlace<C> {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let here = place.within(&self.path);
        let Some(value) = node.get(&self.path, place)? else { return missing(self.optional, &here) };
        if self.null == Null::IsMissing && value.is_null() {
            return null(self.optional, &here);
        }
        match self.conversion.convert(value, &here)? {
            Some(converted) => {
                *value = converted;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// What a missing field means: nothing to do, or a failure.
pub(crate) fn missing(optional: bool, place: &Place<'_>) -> Result<bool, Reason> {
    if optional { Ok(false) } else { Err(place.missing()) }
}

/// What a null means where it counts as missing.
pub(crate) fn null(optional: bool, place: &Place<'_>) -> Result<bool, Reason> {
    if optional {
        return Ok(false);
    }
    Err(Reason::new(format_args!("{place} is {}", Kind::Null))
        .hint("`optional = true` skips the operation where the field is missing or null"))
}
