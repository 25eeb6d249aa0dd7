//! What the registry would do with the events of a type and version, without one at hand.

use std::collections::HashSet;

use eventlift_events::{EventType, SchemaVersion};

use super::lift::{Registry, Uncovered};
use crate::upcaster::Schema;

/// What happens to the events of one type and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// What the upcasters do.
    pub outcome: Outcome,
    /// The names of the general rules that may take what comes out, in order. Whether one does may depend on the
    /// stream's category and on what is in the event.
    pub rules: Vec<String>,
    /// The stateful rules that make one event of what comes out and others, as far as general rules leave its type alone.
    pub merges: Vec<MergedInto>,
}

/// What a stateful rule makes of several events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedInto {
    /// The rule's name.
    pub rule: String,
    /// What it takes.
    pub from: Schema,
    /// What it makes of it.
    pub into: Schema,
}

/// What the upcasters do with a type and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The version is the current one.
    Current,
    /// Every upcaster that may be involved, in the order of their first use. Splits and guards branch.
    Lifted(Vec<Step>),
    /// There is no chain.
    Uncovered(Uncovered),
}

/// One upcaster of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The rule's name.
    pub rule: String,
    /// What it starts from.
    pub from: Schema,
    /// What it yields, any number of each; nothing if it always drops.
    pub to: Vec<Schema>,
    /// Whether a condition decides if it is used.
    pub guarded: bool,
}

impl Registry {
    /// What happens to the events of a type and version.
    pub fn coverage(&self, event_type: &EventType, version: SchemaVersion) -> Coverage {
        let schema = Schema { event_type: event_type.clone(), version };
        let entry = self.types.get(event_type);
        if let Some(uncovered) = self.uncovered_in(entry, version) {
            let ends = [schema];
            let (rules, merges) = (self.rules_for(&ends), self.merges_of(&ends));
            return Coverage { outcome: Outcome::Uncovered(uncovered), rules, merges };
        }
        let (steps, ends) = self.chain(schema);
        let outcome = if steps.is_empty() { Outcome::Current } else { Outcome::Lifted(steps) };
        Coverage { outcome, rules: self.rules_for(&ends), merges: self.merges_of(&ends) }
    }

    /// The steps from a schema on, and where they end.
    fn chain(&self, schema: Schema) -> (Vec<Step>, Vec<Schema>) {
        let mut steps = Vec::new();
        let mut ends = Vec::new();
        let mut seen = HashSet::from([schema.clone()]);
        let mut open = std::collections::VecDeque::from([schema]);
        while let Some(schema) = open.pop_front() {
            let upcasters =
                self.types.get(&schema.event_type).map_or(&[][..], |entry| entry.steps_from(schema.version));
            if upcasters.is_empty() {
                ends.push(schema);
                continue;
            }
            for &index in upcasters {
                let upcaster = &self.upcasters[index];
                steps.push(Step {
                    rule: upcaster.name.clone(),
                    from: schema.clone(),
                    to: upcaster.to.clone(),
                    guarded: upcaster.guard.is_some(),
                });
                open.extend(upcaster.to.iter().filter(|target| seen.insert((*target).clone())).cloned());
            }
        }
        (steps, ends)
    }

    fn merges_of(&self, schemas: &[Schema]) -> Vec<MergedInto> {
        let merged = |schema: &Schema| {
            self.stateful.iter().find_map(|rule| {
                let into = rule.makes_of(&schema.event_type, schema.version)?;
                Some(MergedInto { rule: rule.name().to_owned(), from: schema.clone(), into })
            })
        };
        schemas.iter().filter_map(merged).collect()
    }

    fn rules_for(&self, schemas: &[Schema]) -> Vec<String> {
        let takes = |schema: &Schema, index: usize| {
            let matches = &self.rules[index].matches;
            matches.takes_type(&schema.event_type) && matches.takes_version(schema.version)
        };
        (0..self.rules.len())
            .filter(|&index| schemas.iter().any(|schema| takes(schema, index)))
            .map(|index| self.rules[index].name.clone())
            .collect()
    }
}
