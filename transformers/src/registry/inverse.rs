//! The way back: a registry that takes events of the new schema to what the old code reads.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use eventlift_events::{EventType, SchemaVersion};
use eventlift_language::{Fingerprint, Place, Reason};

use super::again::Forward;
use super::builder::index;
use super::lift::{Compiled, Registry};
use super::took::TakesNothing;
use crate::rule::Matches;
use crate::transformer::Shape;
use crate::upcaster::{Guard, Schema};
use crate::way_back::{Down, Missing, Way};

/// What the names of steps back end in.
const BACK: &str = ", back";

/// A step of a rule that can't be taken back. Prints as `file:line: rule: step: why`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoWayBack {
    /// Where the rule is defined.
    pub place: Place,
    /// The rule's name.
    pub rule: String,
    /// Which step of it: `data, operation 2 (remove)`; empty where it is the whole rule.
    pub step: String,
    /// Why.
    pub why: String,
    /// What to try.
    pub hint: Option<String>,
}

impl NoWayBack {
    fn new(rule: &str, place: &Place, step: &str, reason: Reason) -> Self {
        let rule = rule.strip_suffix(BACK).unwrap_or(rule).to_owned();
        let (place, step) = (place.clone(), step.to_owned());
        Self { place, rule, step, why: reason.message, hint: reason.hint }
    }
}

impl fmt::Display for NoWayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.place, self.rule)?;
        if !self.step.is_empty() {
            write!(f, "{}: ", self.step)?;
        }
        f.write_str(&self.why)
    }
}

/// Everything that stands in the way of an inverse. Prints one below the other, ordered by place, each with its hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotInvertible(pub Vec<NoWayBack>);

impl fmt::Display for NotInvertible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = if self.0.len() == 1 { "step has" } else { "steps have" };
        write!(f, "{} {steps} no way back", self.0.len())?;
        for missing in &self.0 {
            write!(f, "\n  {missing}")?;
            missing.hint.iter().try_for_each(|hint| write!(f, "\n    hint: {hint}"))?;
        }
        Ok(())
    }
}

impl Error for NotInvertible {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.step.is_empty() {
            write!(f, "{}: ", self.step)?;
        }
        write!(f, "{}", self.reason)
    }
}

impl Registry {
    /// The registry for the way back: it takes an event of a type's current version to what the old code reads, with
    /// the inverses of all general rules, the last one first, and then those of the upcasters.
    ///
    /// From a schema on, the way back goes through the rule that yields it, again and again, to a schema that no rule
    /// yields or that the old code [reads](crate::RegistryBuilder::reads). What was renamed from A to B goes back as
    /// A. Where several rules yield a schema, all but one of them must have a condition for the way back, or none.
    ///
    /// Fails with every step that has no way back, ordered by place: those that lose something (see
    /// [`Operations::inverse`](crate::Operations::inverse)) and declare nothing, drops, stateful rules, and schemas from
    /// which several ways lead back.
    pub fn inverse(&self) -> Result<Registry, NotInvertible> {
        let mut missing = Vec::new();
        for (rule, place) in self.stateful.iter().zip(&self.stateful_places) {
            let reason = Reason::new("a rule that remembers earlier events can't be taken back")
                .hint("do without a reverse stream, or without the rule");
            missing.push(NoWayBack::new(rule.name(), place, "", reason));
        }
        self.check_reads(&mut missing);
        let rules = self.rules_back(&mut missing);
        let steps = self.steps_back(&mut missing);
        if !missing.is_empty() {
            missing.sort();
            missing.dedup();
            return Err(NotInvertible(missing));
        }
        Ok(self.assemble_back(steps, rules))
    }

    fn check_reads(&self, missing: &mut Vec<NoWayBack>) {
        for (event_type, (version, place)) in &self.reads {
            let current = self.types.get(event_type).and_then(|entry| entry.current);
            let schema = Schema { event_type: event_type.clone(), version: *version };
            let starts = self.upcasters.iter().any(|upcaster| upcaster.from.as_ref() == Some(&schema));
            let yielded = self.upcasters.iter().any(|upcaster| upcaster.to.contains(&schema));
            if current == Some(*version) || starts || yielded {
                continue;
            }
            let reason = Reason::new(format_args!("no rule knows {schema}, which the old code is said to read"))
                .hint("correct `reads`");
            missing.push(NoWayBack::new(event_type.as_str(), place, "reads", reason));
        }
    }

    fn rules_back(&self, missing: &mut Vec<NoWayBack>) -> Vec<Undoing> {
        let mut rules = Vec::new();
        for (index, rule) in self.rules.iter().enumerate().rev() {
            match &rule.down {
                Down::Never => {}
                Down::Missing(steps) => rule.note_missing(steps, missing),
                Down::Way(_) => rules.extend(rule.back().into_iter().map(|step| Undoing { of: index, step })),
            }
        }
        rules
    }

    /// The steps back from every current schema, as far as the old code needs them.
    fn steps_back(&self, missing: &mut Vec<NoWayBack>) -> Vec<Undoing> {
        for drop in self.upcasters.iter().filter(|upcaster| upcaster.to.is_empty()) {
            if let Down::Missing(steps) = &drop.down {
                drop.note_missing(steps, missing);
            }
        }
        let mut open: VecDeque<Schema> = self.current_schemas().into();
        let mut seen: BTreeSet<Schema> = open.iter().cloned().collect();
        let mut steps = Vec::new();
        while let Some(schema) = open.pop_front() {
            if self.reads.get(&schema.event_type).is_some_and(|(version, _)| schema.version <= *version) {
                continue;
            }
            let mut ways: Vec<Undoing> = Vec::new();
            let yielding = self.upcasters.iter().enumerate().filter(|(_, upcaster)| upcaster.to.contains(&schema));
            for (index, upcaster) in yielding {
                match &upcaster.down {
                    Down::Never => continue,
                    Down::Missing(steps) => upcaster.note_missing(steps, missing),
                    Down::Way(_) => {
                        let back = upcaster.back().into_iter().filter(|way| way.from.as_ref() == Some(&schema));
                        ways.extend(back.map(|step| Undoing { of: index, step }));
                    }
                }
                open.extend(upcaster.from.iter().filter(|from| seen.insert((*from).clone())).cloned());
            }
            if ways.is_empty() {
                self.note_dead_end(&schema, missing);
            }
            ambiguous(&schema, &ways, missing);
            steps.extend(ways);
        }
        steps
    }

    /// Notes that every rule that yields a schema says that nothing goes back through it, so that events would stay in a
    /// version that perhaps only new code reads.
    fn note_dead_end(&self, schema: &Schema, missing: &mut Vec<NoWayBack>) {
        let yields = |upcaster: &&Compiled| upcaster.to.contains(schema);
        let mut rules = self.upcasters.iter().filter(yields);
        if rules.clone().any(|rule| !matches!(rule.down, Down::Never)) {
            return;
        }
        let Some(first) = rules.next() else { return };
        let reason = Reason::new(format_args!(
            "{schema} would stay what it is: nothing goes back through the rules that yield it"
        ))
        .hint(format_args!(
            "`reads = {}` says that the old code reads it; otherwise give `down` operations",
            schema.version
        ));
        missing.push(NoWayBack::new(&first.name, &first.place, "", reason));
    }

    /// What new code writes: every current schema, or, where nothing is declared, whatever no rule starts from.
    fn current_schemas(&self) -> Vec<Schema> {
        let mut schemas: Vec<Schema> = Vec::new();
        for (event_type, entry) in self.types.iter().filter(|(event_type, _)| !self.retired.contains(event_type)) {
            let current = entry.current.map(|version| Schema { event_type: event_type.clone(), version });
            schemas.extend(current);
        }
        if !self.declares_types {
            let starts = |schema: &Schema| self.upcasters.iter().any(|other| other.from.as_ref() == Some(schema));
            let ends = self.upcasters.iter().flat_map(|upcaster| &upcaster.to).filter(|schema| !starts(schema));
            schemas.extend(ends.cloned());
        }
        schemas.sort();
        schemas.dedup();
        schemas
    }

    fn assemble_back(&self, steps: Vec<Undoing>, rules: Vec<Undoing>) -> Registry {
        let split = |undoings: Vec<Undoing>| undoings.into_iter().map(|undoing| (undoing.step, undoing.of)).unzip();
        let (upcasters, of_steps): (Vec<Compiled>, Vec<usize>) = split(steps);
        let (rules, of_rules): (Vec<Compiled>, Vec<usize>) = split(rules);
        let mut currents: Vec<(EventType, SchemaVersion)> =
            self.types.iter().filter_map(|(event_type, entry)| Some((event_type.clone(), entry.current?))).collect();
        currents.sort();
        let parts: Vec<(String, String)> =
            upcasters.iter().chain(&rules).map(|rule| (rule.name.clone(), rule.fingerprint.clone())).collect();
        let fingerprint =
            parts.iter().fold(Fingerprint::of("inverse").field(&self.fingerprint), |all, (_, part)| all.field(part));
        Registry {
            types: Arc::new(index(&upcasters, &rules, &currents)),
            open_rules: (0..rules.len()).filter(|&rule| !rules[rule].matches.only_names()).collect(),
            declares_types: self.declares_types,
            schemas: Arc::clone(&self.schemas),
            stateful: Vec::new(),
            shape: upcasters.iter().chain(&rules).map(|rule| rule.shape).max().unwrap_or_default(),
            fingerprint: fingerprint.finish(),
            parts,
            stateful_places: Vec::new(),
            reads: HashMap::new(),
            retired: Vec::new(),
            forward: Some(Box::new(Forward { registry: self.shared(), steps: of_steps, rules: of_rules })),
            upcasters: upcasters.into(),
            rules: rules.into(),
        }
    }

    /// The same rules once more.
    fn shared(&self) -> Registry {
        Registry {
            types: Arc::clone(&self.types),
            upcasters: Arc::clone(&self.upcasters),
            rules: Arc::clone(&self.rules),
            open_rules: self.open_rules.clone(),
            declares_types: self.declares_types,
            schemas: Arc::clone(&self.schemas),
            stateful: self.stateful.clone(),
            shape: self.shape,
            fingerprint: self.fingerprint.clone(),
            parts: self.parts.clone(),
            stateful_places: self.stateful_places.clone(),
            reads: self.reads.clone(),
            retired: self.retired.clone(),
            forward: None,
        }
    }

    /// Whether an event of a schema, lifted and lowered, has to be the event again: no rule on its way loses anything,
    /// and the old code reads it.
    pub(crate) fn is_exact_from(&self, schema: &Schema, inverse: &Registry) -> bool {
        let coverage = self.coverage(&schema.event_type, schema.version);
        let steps = match &coverage.outcome {
            super::Outcome::Lifted(steps) => &steps[..],
            _ => &[],
        };
        let on_its_way =
            |rule: &&Compiled| steps.iter().any(|step| step.rule == rule.name) || coverage.rules.contains(&rule.name);
        let is_old =
            inverse.types.get(&schema.event_type).is_none_or(|entry| entry.steps_from(schema.version).is_empty());
        is_old && self.upcasters.iter().chain(&*self.rules).filter(on_its_way).all(Compiled::is_exact_back)
    }
}

/// A step back, and the index of the rule that it takes back.
struct Undoing {
    of: usize,
    step: Compiled,
}

/// Of several ways back from a schema, all but the last need a condition.
fn ambiguous(schema: &Schema, ways: &[Undoing], missing: &mut Vec<NoWayBack>) {
    let Some((Undoing { step: last, .. }, before)) = ways.split_last() else { return };
    for way in before.iter().map(|way| &way.step).filter(|way| way.guard.is_none()) {
        let reason = Reason::new(format_args!("{schema} may come from this rule or from the one at {}", last.place))
            .hint("say `down = false` in all but one of them, give their `down` a `when`, or stop there with `reads`");
        missing.push(NoWayBack::new(&way.name, &way.place, "", reason));
    }
    if last.guard.is_some() {
        let reason =
            Reason::new(format_args!("every way back from {schema} has a condition, so an event may fit none"))
                .hint("let the last one's `down` have no `when`");
        missing.push(NoWayBack::new(&last.name, &last.place, "", reason));
    }
}

impl Compiled {
    /// The steps back through a rule that has a way back: for an upcaster one for every schema it yields, in which the
    /// event is dropped where another part of a split carries it; none where it has no way back.
    pub(super) fn back(&self) -> Vec<Compiled> {
        let Down::Way(way) = &self.down else { return Vec::new() };
        let Some(from) = &self.from else { return self.rule_back(way) };
        let mut steps = Vec::new();
        for schema in &self.to {
            let carries = way.keep.as_ref().is_none_or(|keep| keep == schema.event_type.as_str());
            if carries {
                steps.push(self.step_back(way, Some(schema.clone()), vec![from.clone()]));
            }
            if !carries {
                steps.push(self.dropped(way, Some(schema.clone()), Matches::default()));
            }
        }
        steps
    }

    fn rule_back(&self, way: &Way) -> Vec<Compiled> {
        let Some(keep) = &way.keep else { return vec![self.step_back(way, None, Vec::new())] };
        // Of the parts of a split, those that don't carry the event back are dropped.
        let (carrying, others): (Vec<_>, Vec<_>) =
            way.matches.types.iter().cloned().partition(|pattern| pattern.to_string() == *keep);
        let mut steps = Vec::new();
        // Before the other one, which may make events of their type.
        if !others.is_empty() {
            steps.push(self.dropped(way, None, Matches { types: others, ..way.matches.clone() }));
        }
        let step = self.step_back(way, None, Vec::new());
        steps.push(Compiled { matches: Matches { types: carrying, ..way.matches.clone() }, ..step });
        steps
    }

    fn step_back(&self, way: &Way, from: Option<Schema>, to: Vec<Schema>) -> Compiled {
        let body = Arc::clone(&way.body);
        // The parts of a split that don't carry the event back are dropped, those for which the condition does not
        // hold among them.
        let (guard, carries) = if way.keep.is_some() { (None, way.guard.clone()) } else { (way.guard.clone(), None) };
        let guard = guard.map(|guard| Box::new(move |event: &_| guard(event)) as Guard);
        let takes = move |event: &_| carries.as_ref().map_or(Ok(true), |carries| carries(event));
        let fingerprint = Fingerprint::of("back").field(&self.fingerprint).field(&way.fingerprint);
        Compiled {
            name: format!("{}{BACK}", self.name),
            label: format!("{}{BACK} ({})", self.name, self.place),
            place: self.place.clone(),
            from,
            to,
            matches: way.matches.clone(),
            shape: way.shape,
            guard,
            body: Box::new(move |event, out| if takes(&event)? { body(event, out) } else { Ok(()) }),
            text: None,
            down: Down::missing(Reason::new("it is a way back itself")),
            fingerprint: fingerprint.finish(),
            number: self.number,
            takes_nothing: TakesNothing::Meant,
        }
    }

    fn dropped(&self, way: &Way, from: Option<Schema>, matches: Matches) -> Compiled {
        Compiled {
            matches,
            guard: None,
            shape: Shape::Shifting,
            body: Box::new(|_, _| Ok(())),
            ..self.step_back(way, from, Vec::new())
        }
    }

    fn note_missing(&self, steps: &[Missing], missing: &mut Vec<NoWayBack>) {
        for Missing { step, reason } in steps {
            missing.push(NoWayBack::new(&self.name, &self.place, step, reason.clone()));
        }
    }

    /// Whether it has a way back that loses nothing.
    pub(super) fn is_exact_back(&self) -> bool {
        matches!(&self.down, Down::Way(way) if way.exact)
    }
}
