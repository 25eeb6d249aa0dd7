//! General rules: over events of many types, after upcasting, in their current versions.

use std::fmt;
use std::sync::Arc;

use eventlift_events::{Event, EventType, SchemaVersion};
use eventlift_language::{CompiledCondition, Fingerprint, Place, Reason};

use crate::registry::TakesNothing;
use crate::transformer::{Shape, Transformer};
use crate::upcaster::{Body, Guard, Yielded, body, keeping_attributes};
use crate::way_back::Down;

/// A rule over the events of many types that keeps their versions: a redaction, a filter, a rename, a move.
///
/// It takes every event until told otherwise with [`types`](Rule::types), [`categories`](Rule::categories),
/// [`versions`](Rule::versions) and [`when`](Rule::when), which all have to hold.
pub struct Rule {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) fingerprint: String,
    /// As it is written in a file of definitions.
    pub(crate) text: Option<String>,
    pub(crate) shape: Shape,
    pub(crate) matches: Matches,
    /// What was restricted to nothing, which is a mistake.
    pub(crate) restricted_to_none: Option<&'static str>,
    /// The types it may yield apart from the event's own.
    pub(crate) into_types: Vec<String>,
    pub(crate) guard: Option<Guard>,
    pub(crate) body: Body,
    pub(crate) down: Down,
    pub(crate) takes_nothing: TakesNothing,
}

impl Rule {
    /// A rule from a closure that returns an event, an `Option<Event>` or a `Vec<Event>`. `fingerprint` is whatever
    /// the author changes when, and only when, the rule may yield something else.
    #[track_caller]
    pub fn new<Y: Yielded>(
        name: impl Into<String>,
        fingerprint: impl Into<String>,
        function: impl Fn(Event) -> Result<Y, Reason> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            place: Place::of_caller(),
            fingerprint: Fingerprint::of("rust").field(&fingerprint.into()).finish(),
            text: None,
            shape: Y::SHAPE,
            matches: Matches::default(),
            restricted_to_none: None,
            into_types: Vec::new(),
            guard: None,
            body: body(function),
            down: Down::not_said(),
            takes_nothing: TakesNothing::default(),
        }
    }

    /// Takes only events of these types. `*` at the end of a name stands for anything.
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.matches.types = types.into_iter().map(|pattern| TypePattern::parse(pattern.into())).collect();
        let is_empty = self.matches.types.is_empty();
        self.expect_some(is_empty, "types")
    }

    /// Takes only events of streams in these categories.
    pub fn categories<T: Into<String>>(mut self, categories: impl IntoIterator<Item = T>) -> Self {
        self.matches.categories = categories.into_iter().map(Into::into).collect();
        let is_empty = self.matches.categories.is_empty();
        self.expect_some(is_empty, "categories")
    }

    /// Takes only events in these versions.
    pub fn versions(mut self, versions: impl IntoIterator<Item = u32>) -> Self {
        self.matches.versions = versions.into_iter().collect();
        let is_empty = self.matches.versions.is_empty();
        self.expect_some(is_empty, "versions")
    }

    /// Remembers a list that is empty: the registry refuses the rule, since no list is no restriction.
    fn expect_some(mut self, is_empty: bool, what: &'static str) -> Self {
        self.restricted_to_none = if is_empty { Some(what) } else { self.restricted_to_none };
        self
    }

    /// Takes only events for which this holds.
    pub fn when(mut self, guard: impl Fn(&Event) -> Result<bool, Reason> + Send + Sync + 'static) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    /// Declares which other types its results may have, so that the registry can prove that they are declared.
    pub fn into_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.into_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Gives it a way back, for the [`inverse`](crate::Registry::inverse) of a registry: `function` gets every event in
    /// the new schema that has one of these types (all, where none is named) and makes of it what it was before this
    /// rule. `fingerprint` as for [`new`](Self::new). What goes back is lifted again by this rule, and fails where that
    /// does not give the event, unless it is declared to be [lossy](Self::lossy_down).
    pub fn with_down<Y: Yielded, T: Into<String>>(
        mut self,
        types: impl IntoIterator<Item = T>,
        fingerprint: impl Into<String>,
        function: impl Fn(Event) -> Result<Y, Reason> + Send + Sync + 'static,
    ) -> Self {
        let types = types.into_iter().map(|pattern| TypePattern::parse(pattern.into())).collect();
        let matches = Matches { types, ..Matches::default() };
        self.down = Down::function(fingerprint.into(), self.shape, matches, function);
        self
    }

    /// Declares that the way back may lose something: what went back may be lifted to something else than it was.
    /// Without a way back it says nothing.
    pub fn lossy_down(mut self) -> Self {
        self.down.lose();
        self
    }

    /// Declares that nothing is to be taken back: on the way back events pass it as they are.
    pub fn without_down(mut self) -> Self {
        self.down = Down::Never;
        self
    }

    /// Declares what it means that it takes no event of a store: see [`Registry::takers`](crate::Registry::takers).
    pub fn taking_nothing(mut self, takes_nothing: TakesNothing) -> Self {
        self.takes_nothing = takes_nothing;
        self
    }

    /// Declares that it may change the stream.
    pub fn moves_streams(mut self) -> Self {
        self.shape = Shape::Moving;
        self
    }
}

impl<T: Transformer + 'static> From<Arc<T>> for Rule {
    fn from(transformer: Arc<T>) -> Self {
        Self {
            name: transformer.name().to_owned(),
            place: Place::unknown(),
            fingerprint: transformer.fingerprint().to_owned(),
            text: None,
            shape: transformer.shape(),
            matches: Matches::default(),
            restricted_to_none: None,
            into_types: Vec::new(),
            guard: None,
            body: Box::new(move |event, out| {
                keeping_attributes(event, out, |event, out| transformer.transform(event, out))
            }),
            down: Down::not_said(),
            takes_nothing: TakesNothing::default(),
        }
    }
}

impl<T: Transformer + 'static> From<T> for Rule {
    fn from(transformer: T) -> Self {
        Self::from(Arc::new(transformer))
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({} at {})", self.name, self.place)
    }
}

/// Which events a general rule is about, as far as can be said without looking into them. An empty list is no
/// restriction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Matches {
    pub(crate) types: Vec<TypePattern>,
    pub(crate) categories: Vec<String>,
    pub(crate) versions: Vec<u32>,
}

impl Matches {
    pub(crate) fn takes_type(&self, event_type: &EventType) -> bool {
        self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type.as_str()))
    }

    pub(crate) fn takes_version(&self, version: SchemaVersion) -> bool {
        self.versions.is_empty() || self.versions.contains(&version.number())
    }

    pub(crate) fn takes_category(&self, category: &str) -> bool {
        self.categories.is_empty() || self.categories.iter().any(|one| one == category)
    }

    /// Whether it takes no types but those it names.
    pub(crate) fn only_names(&self) -> bool {
        !self.types.is_empty() && self.types.iter().all(|pattern| matches!(pattern, TypePattern::Name(_)))
    }

    /// Whether a condition holds for none of what is matched, as far as that follows from both.
    pub(crate) fn never_with(&self, condition: &CompiledCondition) -> bool {
        let names: Vec<&str> = match self.only_names() {
            true => self.types.iter().filter_map(TypePattern::name).collect(),
            false => Vec::new(),
        };
        let by_type = names.iter().all(|name| condition.excludes(Some(name), None, None));
        let by_version = self.versions.iter().all(|version| condition.excludes(None, Some(*version), None));
        let by_category = self.categories.iter().all(|category| condition.excludes(None, None, Some(category)));
        !names.is_empty() && by_type
            || !self.versions.is_empty() && by_version
            || !self.categories.is_empty() && by_category
    }

    /// Adds what is matched to a fingerprint.
    pub(crate) fn fingerprint(&self, mut fingerprint: Fingerprint) -> Fingerprint {
        fingerprint = fingerprint.number(self.types.len() as u64);
        for pattern in &self.types {
            fingerprint = fingerprint.field(&pattern.to_string());
        }
        fingerprint = fingerprint.number(self.categories.len() as u64);
        for category in &self.categories {
            fingerprint = fingerprint.field(category);
        }
        self.versions.iter().fold(fingerprint, |fingerprint, version| fingerprint.number(u64::from(*version)))
    }
}

/// A type's name, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypePattern {
    Name(String),
    Prefix(String),
}

impl TypePattern {
    pub(crate) fn parse(mut text: String) -> Self {
        if text.ends_with('*') {
            text.pop();
            return Self::Prefix(text);
        }
        Self::Name(text)
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Prefix(_) => None,
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(one) => one == name,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}
