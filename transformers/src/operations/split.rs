//! One text to several.

use eventlift_language::json::{Kind, Node, Place, Pointer, decode, encode};
use eventlift_language::{Condition, Reason, Shown};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::inverse::{lossy, nothing_replaced};
use crate::operations::join::Join;
use crate::operations::keys::Keys;
use crate::operations::place::{Action, Edit, Path, anchored_all, apart, missing, needs_field, null};
use crate::operations::standing::Standing;

/// `{ split = "/name", on = " ", into = ["/first", "/last"] }`: the parts of a string as fields of their own; the
/// string is gone then unless `keep = true`. `into = "/words"` makes an array of all parts.
///
/// More parts than fields fail the event, unless `rest` says which field takes what is left, separators included:
/// `"last"`, `"first"`, or `"drop"` to lose the last parts. Fewer parts fail it as well, unless `fewer` says what the
/// fields at the end become: `"null"`, or `"omit"` to leave them out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Split {
    split: Pointer,
    on: String,
    into: Into,
    #[serde(default)]
    rest: Rest,
    #[serde(default)]
    fewer: Fewer,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Into {
    Array(String),
    Fields(Vec<String>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rest {
    #[default]
    Fail,
    Last,
    First,
    Drop,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fewer {
    #[default]
    Fail,
    Null,
    Omit,
}

impl Split {
    pub(crate) fn effects(&self) -> Effects {
        let targets = match &self.into {
            Into::Array(target) => std::slice::from_ref(target),
            Into::Fields(targets) => targets,
        };
        let targets: Vec<Pointer> = targets.iter().filter_map(|text| Pointer::parse(text).ok()).collect();
        let mut effects =
            Effects::moved(std::slice::from_ref(&self.split), &targets, self.keep, self.optional, self.replace);
        if self.fewer == Fewer::Omit {
            // The first one is always there.
            effects.makes.truncate(1);
            effects.free.truncate(1);
        }
        effects
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        if self.on.is_empty() {
            return Err(Reason::new("`on` is empty, so there is nothing to split on"));
        }
        let (array, targets) = match self.into {
            Into::Array(target) => (true, vec![target]),
            Into::Fields(targets) => (false, targets),
        };
        if targets.is_empty() {
            return Err(Reason::new("`into` names no field"));
        }
        if array && (self.rest, self.fewer) != (Rest::Fail, Fewer::Fail) {
            return Err(Reason::new("an array takes all parts, so `rest` and `fewer` say nothing")
                .hint("`into = [\"/a\", \"/b\"]` makes fields"));
        }
        let targets: Vec<Pointer> =
            targets.iter().map(|text| Pointer::parse(text)).collect::<Result<_, _>>().map_err(Reason::new)?;
        let pointers: Vec<&Pointer> = std::iter::once(&self.split).chain(&targets).collect();
        let (base, mut paths) = anchored_all(&pointers)?;
        let from = paths.remove(0);
        for (path, pointer) in paths.iter().zip(&targets) {
            needs_field(path, pointer)?;
        }
        apart(&paths.iter().collect::<Vec<_>>())?;
        if !self.keep || paths.contains(&from) {
            needs_field(&from, &self.split)?;
        }
        let (optional, replace, on) = (self.optional, self.replace, self.on);
        let parts = Parts { on, array, rest: self.rest, fewer: self.fewer, count: paths.len() };
        let targets = Targets { from, paths, keep: self.keep, replace };
        Ok(Edit::new(base, optional, SplitText { parts, targets, optional }))
    }

    /// The parts, joined again.
    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        nothing_replaced(self.replace)?;
        let Into::Fields(fields) = &self.into else {
            return Err(lossy("no operation joins the items of an array", "…"));
        };
        if self.keep {
            return Err(lossy("the parts were added to the text", "{ remove = [\"/first\", \"/last\"] }"));
        }
        if self.rest == Rest::Drop {
            return Err(lossy(
                "the parts that it drops are gone",
                "{ join = [\"/first\", \"/last\"], with = \" \", into = \"/full\" }",
            ));
        }
        let fields = fields.iter().map(|text| Pointer::parse(text)).collect::<Result<_, _>>().map_err(Reason::new)?;
        let optional = self.optional || self.fewer != Fewer::Fail;
        Join::again(fields, self.on.clone(), self.split.clone(), optional)
    }
}

#[derive(Debug)]
struct SplitText {
    parts: Parts,
    targets: Targets,
    optional: bool,
}

#[derive(Debug)]
struct Parts {
    on: String,
    array: bool,
    rest: Rest,
    fewer: Fewer,
    /// How many fields there are.
    count: usize,
}

impl Parts {
    /// The JSON values of the fields; `None` where the text has too many or too few parts.
    fn of(&self, text: &str) -> Option<Vec<String>> {
        let encoded = |parts: Vec<&str>| parts.into_iter().map(encode).collect::<Vec<_>>();
        if self.array {
            return Some(vec![format!("[{}]", encoded(text.split(&self.on).collect()).join(","))]);
        }
        let parts: Vec<&str> = text.split(&self.on).collect();
        if parts.len() < self.count {
            let mut values = encoded(parts);
            match self.fewer {
                Fewer::Fail => return None,
                Fewer::Null => values.resize(self.count, "null".to_owned()),
                Fewer::Omit => {}
            }
            return Some(values);
        }
        if parts.len() == self.count {
            return Some(encoded(parts));
        }
        match self.rest {
            Rest::Fail => None,
            Rest::Drop => Some(encoded(parts.into_iter().take(self.count).collect())),
            Rest::Last => Some(encoded(text.splitn(self.count, &self.on).collect())),
            Rest::First => {
                let mut from_the_end: Vec<&str> = text.rsplitn(self.count, &self.on).collect();
                from_the_end.reverse();
                Some(encoded(from_the_end))
            }
        }
    }
}

impl Action for SplitText {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let Some(text) = self.targets.read(node, self.optional, place)? else { return Ok(false) };
        let Some(values) = self.parts.of(&text) else {
            let here = place.within(&self.targets.from);
            let (count, fields) = (text.split(&self.parts.on).count(), self.parts.count);
            return Err(Reason::new(format_args!(
                "{here} is {}, which has {count} part{} for {fields} fields when split on {:?}",
                Shown(encode(&text)),
                if count == 1 { "" } else { "s" },
                self.parts.on
            ))
            .hint("`rest` says what becomes of further parts, `fewer` of fields without one"));
        };
        let values = values.into_iter().enumerate().collect();
        self.targets.write(node, values, place)?;
        Ok(true)
    }
}

/// A string and the fields that its parts become.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) from: Path,
    pub(crate) paths: Vec<Path>,
    pub(crate) keep: bool,
    pub(crate) replace: bool,
}

impl Targets {
    /// The string's content; `None` when it is missing or null and may be.
    pub(crate) fn read(
        &self,
        node: &mut Node<'_>,
        optional: bool,
        place: &Place<'_>,
    ) -> Result<Option<String>, Reason> {
        let here = place.within(&self.from);
        let Some(found) = node.get(&self.from, place)? else { return missing(optional, &here).map(|_| None) };
        if found.is_null() {
            return null(optional, &here).map(|_| None);
        }
        let (Some(Kind::String), Node::Text(json)) = (found.kind(), &*found) else {
            return Err(here.not(found, "a string to take apart"));
        };
        match decode(json) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(Reason::new(format_args!("{here} holds an unpaired surrogate, so it can't be taken apart"))),
        }
    }

    /// Puts JSON values where the paths with their indexes lead, in the place of the string unless it is kept.
    pub(crate) fn write<'a>(
        &'a self,
        node: &mut Node<'a>,
        values: Vec<(usize, String)>,
        place: &Place<'_>,
    ) -> Result<(), Reason> {
        let into_itself = values.iter().any(|(index, _)| self.paths[*index] == self.from);
        let mut standing = Standing::new(&self.from);
        if !self.keep
            && !into_itself
            && let Some((index, _)) = node.take_at(&self.from, place)?
        {
            standing.took(&self.from, index);
        }
        standing.all_taken(node, place);
        for (index, value) in values {
            let path = &self.paths[index];
            node.put(path, Node::text(value), self.replace || *path == self.from, place)?;
        }
        standing.settle(node, place);
        Ok(())
    }
}
