//! Text of a known shape to its parts.

use eventlift_language::json::{Node, Place, Pointer, encode, path_text};
use eventlift_language::{Condition, Reason, Shown};
use serde::Deserialize;

use crate::operations::effects::Effects;
use crate::operations::inverse::lossy;
use crate::operations::keys::Keys;
use crate::operations::place::{Action, Edit, anchored_all, apart, needs_field};
use crate::operations::split::Targets;

/// `{ extract = "/change", pattern = "+{additions} -{deletions}" }`: the parts of a string that placeholders stand
/// for, as string fields beside it, or where `into = { additions = "/stats/added" }` says. The string is gone then
/// unless `keep = true`.
///
/// The pattern describes the whole string. Every placeholder takes at least one character, up to the first occurrence
/// of the text behind it in the pattern; the last one takes what is left. `{_}` drops its part, `{{` and `}}` are
/// braces. A string of another shape fails the event, or stays with `otherwise = "keep"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extract {
    extract: Pointer,
    pattern: String,
    #[serde(default)]
    into: toml::Table,
    #[serde(default)]
    otherwise: Otherwise,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    replace: bool,
    pub(crate) when: Option<Condition>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Otherwise {
    #[default]
    Fail,
    Keep,
}

impl Extract {
    pub(crate) fn effects(&self) -> Effects {
        // Where the parts go is known once the pattern is read.
        let mut effects = Effects::in_place(&self.extract, self.optional);
        effects.optional |= self.otherwise == Otherwise::Keep;
        if !self.keep {
            effects.takes.push(self.extract.clone());
        }
        effects.spills.push(self.extract.clone());
        let targets = self.into.values().filter_map(|target| Pointer::parse(target.as_str()?).ok());
        effects.spills.extend(targets);
        effects
    }

    pub(crate) fn compile(self, _: &Keys) -> Result<Edit, Reason> {
        let pattern = Pattern::parse(&self.pattern)?;
        let names: Vec<&String> = pattern.names().collect();
        if let Some(unknown) = self.into.keys().find(|name| !names.contains(name)) {
            return Err(Reason::new(format_args!("`into` names {unknown:?}, which is no placeholder of the pattern")));
        }
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            targets.push(self.target(name)?);
        }
        if targets.is_empty() {
            return Err(Reason::new("the pattern has no named placeholder, so nothing is extracted"));
        }
        let pointers: Vec<&Pointer> = std::iter::once(&self.extract).chain(&targets).collect();
        let (base, mut paths) = anchored_all(&pointers)?;
        let from = paths.remove(0);
        needs_field(&from, &self.extract)?;
        for (path, pointer) in paths.iter().zip(&targets) {
            needs_field(path, pointer)?;
        }
        apart(&paths.iter().collect::<Vec<_>>())?;
        let targets = Targets { from, paths, keep: self.keep, replace: self.replace };
        let (optional, otherwise) = (self.optional, self.otherwise);
        Ok(Edit::new(base, optional, ExtractParts { pattern, targets, optional, otherwise }))
    }

    pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
        Err(lossy("no operation fills a pattern", "{ join = [\"/a\", \"/b\"], with = \" \", into = \"/text\" }"))
    }

    /// Where a placeholder's part goes: where `into` says, or beside the string.
    fn target(&self, name: &str) -> Result<Pointer, Reason> {
        let text = match self.into.get(name) {
            Some(toml::Value::String(text)) => text.clone(),
            Some(other) => {
                return Err(Reason::new(format_args!(
                    "`into` has no path for {name:?}, but a TOML {}",
                    other.type_str()
                )));
            }
            None => {
                let segments = self.extract.segments();
                let parent = segments.split_last().map_or(segments, |(_, parent)| parent);
                format!("{}/{}", path_text(parent), name.replace('~', "~0").replace('/', "~1"))
            }
        };
        Pointer::parse(&text).map_err(Reason::new)
    }
}

/// Text and placeholders in turn.
#[derive(Debug)]
struct Pattern {
    text: String,
    /// What the string starts with.
    start: String,
    /// Every placeholder and the text behind it, which is empty only for the last.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    /// None for `{_}`.
    name: Option<String>,
    behind: String,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, Reason> {
        let mut start = String::new();
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while let Some(found) = rest.find(['{', '}']) {
            let at = text.len() - rest.len() + found;
            let (literal, brace) = rest.split_at(found);
            let literal_text = parts.last_mut().map_or(&mut start, |part| &mut part.behind);
            literal_text.push_str(literal);
            if brace.starts_with("{{") || brace.starts_with("}}") {
                literal_text.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let (Some(name), Some(end)) = (brace.strip_prefix('{'), brace.find('}')) else {
                return Err(Reason::new(format_args!("the pattern {text:?} has a lone brace at byte {at}"))
                    .hint("`{{` and `}}` stand for braces"));
            };
            let name = &name[..end - 1];
            if name.is_empty() || name.contains('{') {
                return Err(Reason::new(format_args!(
                    "the pattern {text:?} has no name for the placeholder at byte {at}"
                ))
                .hint("`{name}` becomes a field, `{_}` is dropped"));
            }
            if parts.last().is_some_and(|part| part.behind.is_empty()) {
                return Err(Reason::new(format_args!(
                    "the pattern {text:?} has two placeholders with nothing between them at byte {at}"
                )));
            }
            let name = (name != "_").then(|| name.to_owned());
            if name.is_some() && parts.iter().any(|part| part.name == name) {
                return Err(Reason::new(format_args!("the pattern {text:?} names a placeholder twice, at byte {at}")));
            }
            parts.push(Part { name, behind: String::new() });
            rest = &brace[end + 1..];
        }
        parts.last_mut().map_or(&mut start, |part| &mut part.behind).push_str(rest);
        Ok(Self { text: text.to_owned(), start, parts })
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| part.name.as_ref())
    }

    /// What the named placeholders stand for, in order; `None` for text of another shape.
    fn matches<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut rest = text.strip_prefix(self.start.as_str())?;
        let mut found = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let is_last = index + 1 == self.parts.len();
            let taken = if is_last { rest.strip_suffix(part.behind.as_str())? } else { up_to(rest, &part.behind)? };
            if taken.is_empty() {
                return None;
            }
            if part.name.is_some() {
                found.push(taken);
            }
            rest = if is_last { "" } else { &rest[taken.len() + part.behind.len()..] };
        }
        rest.is_empty().then_some(found)
    }
}

/// The text before the first occurrence of `end` that leaves at least one character before it.
fn up_to<'t>(text: &'t str, end: &str) -> Option<&'t str> {
    let first = text.chars().next()?.len_utf8();
    text[first..].find(end).map(|at| &text[..first + at])
}

#[derive(Debug)]
struct ExtractParts {
    pattern: Pattern,
    targets: Targets,
    optional: bool,
    otherwise: Otherwise,
}

impl Action for ExtractParts {
    fn apply<'a>(&'a self, node: &mut Node<'a>, place: &Place<'_>) -> Result<bool, Reason> {
        let Some(text) = self.targets.read(node, self.optional, place)? else { return Ok(false) };
        let Some(parts) = self.pattern.matches(&text) else {
            if self.otherwise == Otherwise::Keep {
                return Ok(false);
            }
            let here = place.within(&self.targets.from);
            return Err(Reason::new(format_args!(
                "{here} is {}, which does not have the shape {:?}",
                Shown(encode(&text)),
                self.pattern.text
            ))
            .hint("`otherwise = \"keep\"` keeps strings of another shape"));
        };
        let values = parts.into_iter().map(encode).enumerate().collect();
        self.targets.write(node, values, place)?;
        Ok(true)
    }
}
