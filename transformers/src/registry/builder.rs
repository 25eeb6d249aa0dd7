//! Collecting rules and making a registry of them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use eventlift_events::{EventType, SchemaVersion};
use eventlift_language::{Fingerprint, Place, Problem, problem};

use super::lift::{Compiled, Registry, TypeEntry};
use super::proofs::{self, Declaration, Proved};
use crate::merge::Merge;
use crate::rule::{Matches, Rule, TypePattern};
use crate::schema::JsonSchema;
use crate::transformer::{Shape, StatefulTransformer};
use crate::upcaster::{Schema, Upcaster};

/// Collects rules in the order they are tried. Nothing is checked before [`build`](RegistryBuilder::build).
#[derive(Default)]
pub struct RegistryBuilder {
    pub(super) declarations: Vec<Declaration>,
    pub(super) oldest: Vec<(String, u32, Place)>,
    pub(super) reads: Vec<(String, u32, Place)>,
    pub(super) upcasters: Vec<Upcaster>,
    pub(super) rules: Vec<Rule>,
    pub(super) schemas: Vec<JsonSchema>,
    pub(super) stateful: Vec<(Arc<dyn StatefulTransformer>, Place)>,
    pub(super) merges: Vec<(Arc<Merge>, Place)>,
}

impl RegistryBuilder {
    /// Declares the current version of a type: what every chain of that type has to end in. A type that was never
    /// changed has version 1.
    #[track_caller]
    pub fn current(self, event_type: impl Into<String>, version: u32) -> Self {
        self.declare(event_type.into(), Some(version), Place::of_caller())
    }

    /// Declares that a type is no longer in use: all its events become others, or are dropped.
    #[track_caller]
    pub fn retired(self, event_type: impl Into<String>) -> Self {
        self.declare(event_type.into(), None, Place::of_caller())
    }

    /// Declares the oldest version of a type that a store may hold; every version from there on needs an upcaster.
    /// Without it, the oldest version is the lowest one that an upcaster starts from.
    #[track_caller]
    pub fn oldest(self, event_type: impl Into<String>, version: u32) -> Self {
        self.declare_oldest(event_type.into(), version, Place::of_caller())
    }

    /// Declares which version of a type the old code reads: on the way back, events of that version stay what they are.
    /// Without it they go back as far as rules lead. See [`Registry::inverse`].
    #[track_caller]
    pub fn reads(self, event_type: impl Into<String>, version: u32) -> Self {
        self.declare_reads(event_type.into(), version, Place::of_caller())
    }

    /// Adds an upcaster.
    pub fn upcaster(mut self, upcaster: impl Into<Upcaster>) -> Self {
        self.upcasters.push(upcaster.into());
        self
    }

    /// Adds a general rule: a [`Rule`], or any [`Transformer`](crate::Transformer). General rules run after all
    /// upcasters, in the order they are added, each on what the earlier ones yielded.
    #[track_caller]
    pub fn rule(mut self, rule: impl Into<Rule>) -> Self {
        let mut rule = rule.into();
        if rule.place.is_unknown() {
            rule.place = Place::of_caller();
        }
        self.rules.push(rule);
        self
    }

    /// Adds a stateful transformer. The registry only names and orders them; the pipeline runs them, after the rest.
    #[track_caller]
    pub fn stateful(mut self, transformer: Arc<dyn StatefulTransformer>) -> Self {
        self.stateful.push((transformer, Place::of_caller()));
        self
    }

    /// Adds a JSON Schema: whatever a rule yields in its type and version has to follow it.
    pub fn schema(mut self, schema: JsonSchema) -> Self {
        self.schemas.push(schema);
        self
    }

    pub(crate) fn declare(mut self, event_type: String, current: Option<u32>, place: Place) -> Self {
        self.declarations.push(Declaration { event_type, current, place });
        self
    }

    pub(crate) fn declare_oldest(mut self, event_type: String, version: u32, place: Place) -> Self {
        self.oldest.push((event_type, version, place));
        self
    }

    pub(crate) fn merge(mut self, merge: Arc<Merge>, place: Place) -> Self {
        self.stateful.push((Arc::clone(&merge) as Arc<dyn StatefulTransformer>, place.clone()));
        self.merges.push((merge, place));
        self
    }

    pub(crate) fn declare_reads(mut self, event_type: String, version: u32, place: Place) -> Self {
        self.reads.push((event_type, version, place));
        self
    }

    /// Proves that the rules fit together. Fails with everything that is wrong, ordered by place: a missing step to
    /// the current version, two rules for one version, guarded rules without a fallback, cycles, rules that can't be
    /// reached, chains that end in another version than the current one or in an undeclared type, duplicate names
    /// and declarations.
    pub fn build(self) -> Result<Registry, RegistryErrors> {
        let proved = proofs::prove(&self).map_err(RegistryErrors)?;
        Ok(assemble(self, proved))
    }
}

fn assemble(builder: RegistryBuilder, proved: Proved) -> Registry {
    let Proved { names, schemas, currents, json_schemas } = proved;
    let mut upcasters: Vec<Compiled> = Vec::with_capacity(builder.upcasters.len());
    for ((upcaster, name), (from, to)) in builder.upcasters.into_iter().zip(names).zip(schemas) {
        let mut fingerprint = Fingerprint::of("upcaster").field(&upcaster.fingerprint).field(&from.to_string());
        for target in &to {
            fingerprint = fingerprint.field(&target.to_string());
        }
        fingerprint = guard_and_shape(fingerprint, upcaster.guard.is_some(), upcaster.shape);
        upcasters.push(Compiled {
            label: format!("{name} ({})", upcaster.place),
            place: upcaster.place,
            name,
            from: Some(from),
            to,
            matches: Matches::default(),
            shape: upcaster.shape,
            guard: upcaster.guard,
            body: upcaster.body,
            text: upcaster.text,
            down: upcaster.down,
            fingerprint: fingerprint.finish(),
            number: upcasters.len(),
            takes_nothing: upcaster.takes_nothing,
        });
    }
    let retired: Vec<EventType> = builder
        .declarations
        .iter()
        .filter(|declared| declared.current.is_none())
        .filter_map(|declared| EventType::new(declared.event_type.as_str()).ok())
        .collect();
    let first = upcasters.len();
    let rules: Vec<Compiled> =
        builder.rules.into_iter().zip(first..).map(|(rule, number)| compile_rule(rule, number)).collect();
    let (stateful, stateful_places): (Vec<_>, Vec<_>) = builder.stateful.into_iter().unzip();
    let reads = builder.reads.into_iter().filter_map(|(event_type, version, place)| {
        Some((EventType::new(event_type).ok()?, (SchemaVersion::new(version)?, place)))
    });
    let types = index(&upcasters, &rules, &currents);
    let mut parts = parts(&upcasters, &rules, &stateful);
    let schema_name = |schema: &Schema| format!("JSON Schema of {schema}");
    parts.extend(json_schemas.iter().map(|(schema, json)| (schema_name(schema), json.fingerprint.clone())));
    let fingerprint = whole_fingerprint(&upcasters, &parts, &currents);
    let one_to_one_state = stateful.iter().all(|transformer| transformer.is_one_to_one());
    let shape = upcasters.iter().chain(&rules).map(|rule| rule.shape).max().unwrap_or_default();
    Registry {
        open_rules: (0..rules.len()).filter(|&rule| !rules[rule].matches.only_names()).collect(),
        declares_types: !currents.is_empty(),
        schemas: Arc::new(json_schemas.into_iter().collect()),
        shape: if one_to_one_state { shape } else { Shape::Moving },
        types: Arc::new(types),
        upcasters: upcasters.into(),
        rules: rules.into(),
        stateful,
        fingerprint,
        parts,
        reads: reads.collect(),
        retired,
        stateful_places,
        forward: None,
    }
}

fn compile_rule(rule: Rule, number: usize) -> Compiled {
    let fingerprint = rule.matches.fingerprint(Fingerprint::of("rule").field(&rule.fingerprint));
    Compiled {
        label: format!("{} ({})", rule.name, rule.place),
        place: rule.place,
        name: rule.name,
        from: None,
        to: Vec::new(),
        fingerprint: guard_and_shape(fingerprint, rule.guard.is_some(), rule.shape).finish(),
        matches: rule.matches,
        shape: rule.shape,
        guard: rule.guard,
        body: rule.body,
        text: rule.text,
        down: rule.down,
        number,
        takes_nothing: rule.takes_nothing,
    }
}

fn guard_and_shape(fingerprint: Fingerprint, guarded: bool, shape: Shape) -> Fingerprint {
    // What only splits was one with what may drop before the two were told apart: its number stays what it was.
    let shape = match shape {
        Shape::OneToOne => 0,
        Shape::Splitting | Shape::Shifting => 1,
        Shape::Moving => 2,
    };
    fingerprint.number(u64::from(guarded)).number(shape)
}

/// What to do with each type that is declared or named by a rule.
pub(super) fn index(
    upcasters: &[Compiled],
    rules: &[Compiled],
    currents: &[(EventType, SchemaVersion)],
) -> HashMap<EventType, TypeEntry> {
    let mut types: HashMap<EventType, TypeEntry> = HashMap::new();
    for (event_type, current) in currents {
        types.entry(event_type.clone()).or_default().current = Some(*current);
    }
    let named = rules.iter().flat_map(|rule| &rule.matches.types).filter_map(|pattern| match pattern {
        TypePattern::Name(name) => EventType::new(name.as_str()).ok(),
        TypePattern::Prefix(_) => None,
    });
    for event_type in named {
        types.entry(event_type).or_default();
    }
    for (index, from) in upcasters.iter().enumerate().filter_map(|(i, step)| Some((i, step.from.as_ref()?))) {
        types.entry(from.event_type.clone()).or_default().add_step(from.version, index);
    }
    for (event_type, entry) in &mut types {
        entry.rules = (0..rules.len()).filter(|&rule| rules[rule].matches.takes_type(event_type)).collect();
    }
    types
}

fn parts(
    upcasters: &[Compiled],
    rules: &[Compiled],
    stateful: &[Arc<dyn StatefulTransformer>],
) -> Vec<(String, String)> {
    let mut ordered: Vec<&Compiled> = upcasters.iter().collect();
    // By schema: the order of files and of rules for different versions makes no difference to what they yield.
    ordered.sort_by(|a, b| a.from.cmp(&b.from));
    let of_rules = ordered.into_iter().chain(rules).map(|rule| (rule.name.clone(), rule.fingerprint.clone()));
    let of_stateful = stateful.iter().map(|transformer| {
        let fingerprint = Fingerprint::of("stateful").field(transformer.name()).field(transformer.fingerprint());
        (transformer.name().to_owned(), fingerprint.finish())
    });
    of_rules.chain(of_stateful).collect()
}

fn whole_fingerprint(
    upcasters: &[Compiled],
    parts: &[(String, String)],
    currents: &[(EventType, SchemaVersion)],
) -> String {
    let mut fingerprint = Fingerprint::of("registry").number(currents.len() as u64).number(upcasters.len() as u64);
    for (event_type, current) in currents {
        fingerprint = fingerprint.field(event_type.as_str()).number(u64::from(current.number()));
    }
    parts.iter().fold(fingerprint, |fingerprint, (_, part)| fingerprint.field(part)).finish()
}

/// Everything that is wrong with a set of rules. Prints one problem below the other, each with file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryErrors(pub Vec<Problem>);

impl fmt::Display for RegistryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        problem::list(f, "the rules", &self.0)
    }
}

impl Error for RegistryErrors {}
