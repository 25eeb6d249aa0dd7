//! Lifting events.

use std::collections::HashMap;
use std::sync::Arc;

use eventlift_events::{Event, EventType, SchemaVersion};
use eventlift_language::{Place, Reason};

use super::again::Forward;
use super::builder::RegistryBuilder;
use super::took::{Taker, TakesNothing, Took};
use crate::rule::Matches;
use crate::schema::JsonSchema;
use crate::transformer::{Shape, StatefulTransformer, TransformError};
use crate::upcaster::{Body, Guard, Schema};
use crate::way_back::Down;

/// Every rule of a project, proved to fit together. Immutable; share it between threads.
pub struct Registry {
    pub(super) types: Arc<HashMap<EventType, TypeEntry>>,
    pub(super) upcasters: Arc<[Compiled]>,
    pub(super) rules: Arc<[Compiled]>,
    /// The rules that may take types that no rule and no declaration names.
    pub(super) open_rules: Vec<usize>,
    /// Without declarations every type and version is taken for current.
    pub(super) declares_types: bool,
    pub(super) schemas: Arc<HashMap<Schema, JsonSchema>>,
    pub(super) stateful: Vec<Arc<dyn StatefulTransformer>>,
    pub(super) shape: Shape,
    pub(super) fingerprint: String,
    pub(super) parts: Vec<(String, String)>,
    /// Where the stateful transformers were registered.
    pub(super) stateful_places: Vec<Place>,
    /// The versions that the old code reads, where declared.
    pub(super) reads: HashMap<EventType, (SchemaVersion, Place)>,
    /// The types that are not in use any more.
    pub(super) retired: Vec<EventType>,
    /// The rules that it takes back, if it does that: general rules come first then.
    pub(super) forward: Option<Box<Forward>>,
}

/// What is known about one type.
#[derive(Default)]
pub(super) struct TypeEntry {
    /// The current version, or the last one of a retired type; none if undeclared.
    pub(super) current: Option<SchemaVersion>,
    /// The upcasters of each version, in the order they are tried.
    pub(super) steps: Vec<(SchemaVersion, Vec<usize>)>,
    /// The general rules that take the type, in order.
    pub(super) rules: Vec<usize>,
}

impl TypeEntry {
    pub(super) fn add_step(&mut self, version: SchemaVersion, upcaster: usize) {
        match self.steps.iter_mut().find(|(from, _)| *from == version) {
            Some((_, upcasters)) => upcasters.push(upcaster),
            None => self.steps.push((version, vec![upcaster])),
        }
    }

    pub(super) fn steps_from(&self, version: SchemaVersion) -> &[usize] {
        self.steps.iter().find(|(from, _)| *from == version).map_or(&[], |(_, upcasters)| upcasters)
    }
}

/// An upcaster, if it has a `from`, or else a general rule.
pub(super) struct Compiled {
    pub(super) name: String,
    pub(super) place: Place,
    /// Name and place.
    pub(super) label: String,
    pub(super) from: Option<Schema>,
    pub(super) to: Vec<Schema>,
    pub(super) matches: Matches,
    pub(super) shape: Shape,
    pub(super) guard: Option<Guard>,
    pub(super) body: Body,
    pub(super) down: Down,
    pub(super) fingerprint: String,
    pub(super) text: Option<String>,
    /// Its number among the upcasters and general rules of a registry.
    pub(super) number: usize,
    pub(super) takes_nothing: TakesNothing,
}

/// A rule as its definition file says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleText<'r> {
    /// Its name, as in [`Registry::parts`].
    pub name: &'r str,
    /// The file, as it was named when it was loaded.
    pub file: &'r str,
    /// Its table in the file, without comments before it and test cases behind it.
    pub text: &'r str,
}

/// What lifting did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lift {
    /// No rule took it; it was pushed as it was.
    Untouched,
    /// At least one rule took it; what takes its place, perhaps nothing, was pushed.
    Lifted,
    /// No chain of upcasters leads from its version to the current one. It was pushed as it was, except for general
    /// rules that take it: a redaction of every type also holds for those nobody knows.
    Uncovered(Uncovered),
}

/// Why an event has no chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Uncovered {
    /// Its type is not declared, while others are.
    UnknownType,
    /// Its type is declared, but nothing leads from its version to the current one.
    UnknownVersion {
        /// The current version, or the last one of a retired type.
        current: SchemaVersion,
    },
}

impl Registry {
    /// Begins a registry without rules.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Pushes what takes the event's place, in order: first its chain of upcasters is followed to current versions,
    /// then every general rule that takes the result is applied.
    ///
    /// A single result keeps the event's id; of several, the `i`-th has the id [`EventId::of_part`] of the event as it was. Revision,
    /// position and time are those of the event, and attributes, but for what definitions change of them. Fails with the rule that could not take the event; then
    /// nothing is pushed. An event that no rule takes costs one look-up.
    ///
    /// [`EventId::of_part`]: eventlift_events::EventId::of_part
    pub fn lift(&self, event: Event, out: &mut Vec<Event>) -> Result<Lift, TransformError> {
        self.lift_into(event, out, &mut None)
    }

    /// The same, and notes which rules took the event.
    pub fn lift_counting(&self, event: Event, out: &mut Vec<Event>, took: &mut Took) -> Result<Lift, TransformError> {
        let lifted = self.lift_into(event, out, &mut Some(&mut *took));
        took.settle(lifted.is_ok());
        lifted
    }

    /// How many events each upcaster and general rule took, by name; those that took none are left out.
    pub fn took<'r>(&'r self, took: &'r Took) -> impl Iterator<Item = (&'r str, u64)> {
        let rules = self.upcasters.iter().chain(&*self.rules);
        rules.map(move |rule| (&*rule.name, took.of(rule.number))).filter(|(_, events)| *events > 0)
    }

    /// Every rule that takes events: upcasters, general rules, then stateful transformers.
    pub fn takers(&self) -> impl Iterator<Item = Taker<'_>> {
        let rules = self.upcasters.iter().chain(&*self.rules);
        let rules = rules.map(|rule| Taker { name: &rule.name, place: &rule.place, takes_nothing: rule.takes_nothing });
        let stateful = self.stateful.iter().zip(&self.stateful_places).map(|(transformer, place)| Taker {
            name: transformer.name(),
            place,
            takes_nothing: if transformer.may_match_nothing() { TakesNothing::Meant } else { TakesNothing::Said },
        });
        rules.chain(stateful)
    }

    fn lift_into(
        &self,
        event: Event,
        out: &mut Vec<Event>,
        took: &mut Option<&mut Took>,
    ) -> Result<Lift, TransformError> {
        let entry = self.types.get(&event.event_type);
        let uncovered = self.uncovered_in(entry, event.version);
        let has_steps = uncovered.is_none() && entry.is_some_and(|entry| !entry.steps_from(event.version).is_empty());
        let rules = entry.map_or(&self.open_rules, |entry| &entry.rules);
        if !has_steps && self.forward.is_none() && (rules.is_empty() || !self.may_take(rules, &event)) {
            out.push(event);
            return Ok(uncovered.map_or(Lift::Untouched, Lift::Uncovered));
        }
        let original = event.clone();
        let start = out.len();
        let outcome = match (&self.forward, has_steps) {
            (Some(forward), _) => self.descend(forward, event, out, took),
            (None, true) => self.climb(event, out, took).map(|()| true),
            (None, false) => self.apply_rules(event, 0, out, took),
        };
        match outcome {
            Ok(touched) => {
                restore_envelopes(&original, &mut out[start..]);
                Ok(uncovered.map_or(if touched { Lift::Lifted } else { Lift::Untouched }, Lift::Uncovered))
            }
            Err((rule, reason)) => {
                out.truncate(start);
                Err(TransformError { rule: rule.label.clone(), event: Box::new(original), reason })
            }
        }
    }

    /// What the rules may do to numbering. A stateful transformer that is not one-to-one may do anything.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// A hash of the whole set, in 64 hexadecimal digits: it changes when, and only when, some rule, the order of
    /// general rules or a declared version does. Names, comments and test cases don't count.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The name and fingerprint of every part that decides a result: upcasters by type and version, general rules and
    /// stateful transformers in order, JSON Schemas by type and version.
    pub fn parts(&self) -> Vec<(String, String)> {
        self.parts.clone()
    }

    /// What each of the [`parts`](Self::parts) that are rules of definition files says, by the part's name.
    pub fn rule_texts(&self) -> impl Iterator<Item = RuleText<'_>> {
        let rules = self.upcasters.iter().chain(&*self.rules);
        rules.filter_map(|rule| {
            let text = rule.text.as_deref()?;
            Some(RuleText { name: &rule.name, file: &rule.place.file, text })
        })
    }

    /// The stateful transformers, in order.
    pub fn stateful(&self) -> &[Arc<dyn StatefulTransformer>] {
        &self.stateful
    }

    /// The first rule that may split, drop, merge or move events, or that keeps state: its name and place. None where
    /// every event stays where it is.
    pub fn first_that_moves(&self) -> Option<String> {
        let moves = self.upcasters.iter().chain(&*self.rules).find(|rule| rule.shape != Shape::OneToOne);
        let label = moves.map(|rule| rule.label.clone());
        label.or_else(|| self.stateful.first().map(|transformer| transformer.name().to_owned()))
    }

    /// The number of rules: upcasters, general rules and stateful transformers.
    pub fn rule_count(&self) -> usize {
        self.upcasters.len() + self.rules.len() + self.stateful.len()
    }

    /// Whether there are general rules, which may make any event of any other.
    pub fn has_general_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The number of JSON Schemas.
    pub fn schema_count(&self) -> usize {
        self.schemas.len()
    }

    /// Why an event, as it is, breaks the JSON Schema of its type and version; none where it follows it, or where there
    /// is none.
    pub fn broken_schema(&self, event: &Event) -> Option<Reason> {
        self.schemas.get(&Schema::of(event))?.follow("the event", event).err()
    }

    /// Whether there are no rules at all. Types may still be declared.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Why no chain leads from this type and version to a current one; none where one does, or where it is current.
    /// Costs one look-up.
    pub fn uncovered(&self, event_type: &EventType, version: SchemaVersion) -> Option<Uncovered> {
        self.uncovered_in(self.types.get(event_type), version)
    }

    pub(super) fn uncovered_in(&self, entry: Option<&TypeEntry>, version: SchemaVersion) -> Option<Uncovered> {
        if !self.declares_types {
            return None;
        }
        let Some((entry, current)) = entry.and_then(|entry| Some((entry, entry.current?))) else {
            return Some(Uncovered::UnknownType);
        };
        let has_steps = !entry.steps_from(version).is_empty();
        let is_known = has_steps || version == current;
        (!is_known).then_some(Uncovered::UnknownVersion { current })
    }

    fn may_take(&self, rules: &[usize], event: &Event) -> bool {
        rules.iter().any(|&rule| self.rules[rule].may_take(event))
    }

    /// Follows the upcasters of an event and then applies the general rules. The proofs bound the depth.
    fn climb(&self, mut event: Event, out: &mut Vec<Event>, took: &mut Option<&mut Took>) -> Result<(), Failure<'_>> {
        let start = out.len();
        while let Some((_, step)) = self.step_for(&event)? {
            self.run(step, event, out, took)?;
            match pop_single(out, start) {
                Some(single) => event = single,
                None => {
                    let parts: Vec<Event> = out.drain(start..).collect();
                    return parts.into_iter().try_for_each(|part| self.climb(part, out, took));
                }
            }
        }
        self.apply_rules(event, 0, out, took).map(|_| ())
    }

    /// The upcaster that takes an event, with its index.
    pub(super) fn step_for(&self, event: &Event) -> Result<Option<(usize, &Compiled)>, Failure<'_>> {
        let Some(entry) = self.types.get(&event.event_type) else { return Ok(None) };
        for &index in entry.steps_from(event.version) {
            let step = &self.upcasters[index];
            if step.guard_holds(event)? {
                return Ok(Some((index, step)));
            }
        }
        Ok(None)
    }

    /// Applies the general rules from `first` on. Whether any took the event.
    fn apply_rules(
        &self,
        mut event: Event,
        first: usize,
        out: &mut Vec<Event>,
        took: &mut Option<&mut Took>,
    ) -> Result<bool, Failure<'_>> {
        let start = out.len();
        let mut next = first;
        while let Some((index, rule)) = self.rule_for(&event, next)? {
            self.run(rule, event, out, took)?;
            next = index + 1;
            match pop_single(out, start) {
                Some(single) => event = single,
                None => {
                    let parts: Vec<Event> = out.drain(start..).collect();
                    parts.into_iter().try_for_each(|part| self.apply_rules(part, next, out, took).map(|_| ()))?;
                    return Ok(true);
                }
            }
        }
        out.push(event);
        Ok(next > first)
    }

    /// Runs a rule, and checks what it yields against the JSON Schemas.
    pub(super) fn run<'a>(
        &'a self,
        rule: &'a Compiled,
        event: Event,
        out: &mut Vec<Event>,
        took: &mut Option<&mut Took>,
    ) -> Result<(), Failure<'a>> {
        let start = out.len();
        rule.run(event, out)?;
        if let Some(took) = took {
            took.note(rule.number);
        }
        if self.schemas.is_empty() {
            return Ok(());
        }
        out[start..]
            .iter()
            .filter_map(|result| Some((self.schemas.get(&Schema::of(result))?, result)))
            .try_for_each(|(schema, result)| schema.check(result))
            .map_err(|reason| (rule, reason))
    }

    /// Runs the one rule that is defined at a place, for test cases. Fails when the rule does not take the event.
    pub(crate) fn run_rule_at(&self, place: &Place, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        let Some(rule) = self.upcasters.iter().chain(&*self.rules).find(|rule| rule.place == *place) else {
            return Err(no_rule_of(place));
        };
        if let Some(from) = rule.from.as_ref().filter(|from| !from.is_of(&event)) {
            return Err(Reason::new(format_args!("the rule takes {from}, not {}", Schema::of(&event))));
        }
        if !rule.may_take(&event) || !rule.guard_holds(&event).map_err(|(_, reason)| reason)? {
            return Err(Reason::new("the rule does not take the event"));
        }
        let (original, start) = (event.clone(), out.len());
        self.run(rule, event, out, &mut None).map_err(|(_, reason)| reason)?;
        restore_envelopes(&original, &mut out[start..]);
        Ok(())
    }

    /// The first rule from `first` on that takes the event, whose type an earlier one may have changed.
    fn rule_for(&self, event: &Event, first: usize) -> Result<Option<(usize, &Compiled)>, Failure<'_>> {
        let rules = self.types.get(&event.event_type).map_or(&self.open_rules, |entry| &entry.rules);
        for &index in rules.iter().filter(|&&index| index >= first) {
            let rule = &self.rules[index];
            if rule.may_take(event) && rule.guard_holds(event)? {
                return Ok(Some((index, rule)));
            }
        }
        Ok(None)
    }
}

pub(super) fn no_rule_of(place: &Place) -> Reason {
    Reason::new(format_args!("the registry holds no rule of {place}"))
}

/// Takes back what was pushed after `start`, if it is exactly one event.
pub(super) fn pop_single(out: &mut Vec<Event>, start: usize) -> Option<Event> {
    if out.len() == start + 1 { out.pop() } else { None }
}

pub(super) type Failure<'a> = (&'a Compiled, Reason);

impl Compiled {
    /// Whether it takes the event, its guard apart.
    pub(super) fn may_take(&self, event: &Event) -> bool {
        self.matches.takes_version(event.version)
            && self.matches.takes_type(&event.event_type)
            && self.matches.takes_category(event.stream.category())
    }

    pub(super) fn guard_holds(&self, event: &Event) -> Result<bool, Failure<'_>> {
        match &self.guard {
            None => Ok(true),
            Some(guard) => guard(event).map_err(|reason| (self, reason)),
        }
    }

    /// Pushes what takes the event's place, having checked that it is what the rule declares.
    fn run(&self, event: Event, out: &mut Vec<Event>) -> Result<(), Failure<'_>> {
        let schema = Schema::of(&event);
        let stream = event.stream.clone();
        let start = out.len();
        (self.body)(event, out).map_err(|reason| (self, reason))?;
        let results = &mut out[start..];
        if self.shape == Shape::OneToOne && results.len() != 1 {
            let reason = format!("it yields {} events, but says that it is one-to-one", results.len());
            return Err((self, Reason::new(reason)));
        }
        if self.shape == Shape::Splitting && results.is_empty() {
            return Err((self, Reason::new("it yields no event, but says that it only splits")));
        }
        for result in results {
            if self.shape != Shape::Moving && result.stream != stream {
                let reason = format!("it moves the event to stream {} without declaring that it moves", result.stream);
                return Err((self, Reason::new(reason).hint("declare it with `moves_streams`")));
            }
            self.check_schema(&schema, result).map_err(|reason| (self, reason))?;
        }
        Ok(())
    }

    fn check_schema(&self, schema: &Schema, result: &mut Event) -> Result<(), Reason> {
        if self.from.is_none() {
            let keeps_version = result.event_type != schema.event_type || result.version == schema.version;
            return if keeps_version {
                Ok(())
            } else {
                Err(Reason::new(format_args!("it changes the version to {}", result.version))
                    .hint("use an upcaster for that"))
            };
        }
        if self.to.iter().any(|target| target.is_of(result)) {
            return Ok(());
        }
        let left_alone = schema.is_of(result);
        let meant = match &self.to[..] {
            [only] if left_alone => Some(only),
            several if left_alone => several.iter().find(|target| target.event_type == result.event_type),
            // Another type in the version it came in: what is left alone is the version.
            several if result.version == schema.version => {
                let mut of_type = several.iter().filter(|target| target.event_type == result.event_type);
                of_type.next().filter(|_| of_type.next().is_none())
            }
            _ => None,
        };
        let Some(target) = meant else {
            let declared: Vec<String> = self.to.iter().map(Schema::to_string).collect();
            let declared = if declared.is_empty() { "nothing".to_owned() } else { declared.join(", ") };
            return Err(Reason::new(format_args!("it yields {}, but declares {declared}", Schema::of(result)))
                .hint("declare it with `into_schemas`, or `yields` in a definition"));
        };
        result.event_type = target.event_type.clone();
        result.version = target.version;
        Ok(())
    }
}

/// Gives results the identity and place of the event they come from.
///
/// Ids count over everything that one event becomes, however many splits that took: were they derived split by split,
/// the second part of a split and that of its first part's split would share an id.
pub(super) fn restore_envelopes(original: &Event, results: &mut [Event]) {
    let split = if results.len() > 1 { format!("{} {}", original.event_type, original.version) } else { String::new() };
    for (index, result) in results.iter_mut().enumerate() {
        result.id = original.id.of_part(index, &split);
        result.revision = original.revision;
        result.position = original.position;
        result.recorded_at = original.recorded_at;
    }
}
