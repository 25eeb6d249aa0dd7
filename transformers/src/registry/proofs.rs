//! The proofs that a set of rules fits together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use eventlift_events::{EventType, SchemaVersion, StreamName};
use eventlift_language::problem::did_you_mean;
use eventlift_language::{Place, Problem};

use super::builder::RegistryBuilder;
use crate::rule::TypePattern;
use crate::schema::JsonSchema;
use crate::upcaster::{Schema, Upcaster};

/// A type's declared current version; none for a retired type.
pub(super) struct Declaration {
    pub(super) event_type: String,
    pub(super) current: Option<u32>,
    pub(super) place: Place,
}

/// What the proofs found out on the way.
pub(super) struct Proved {
    /// The name of every upcaster.
    pub(super) names: Vec<String>,
    /// What every upcaster starts from and yields.
    pub(super) schemas: Vec<(Schema, Vec<Schema>)>,
    /// The current version of every declared type, or the last one of a retired type, ordered by type.
    pub(super) currents: Vec<(EventType, SchemaVersion)>,
    /// The JSON Schemas, ordered by what they are of.
    pub(super) json_schemas: BTreeMap<Schema, JsonSchema>,
}

/// The steps by schema, each with its upcaster's index.
type Steps<'a> = BTreeMap<&'a Schema, Vec<usize>>;

/// Every proof, with all problems at once, ordered by place.
pub(super) fn prove(builder: &RegistryBuilder) -> Result<Proved, Vec<Problem>> {
    let mut problems = Vec::new();
    let schemas = schemas(&builder.upcasters, &mut problems);
    let names = names(&builder.upcasters);
    duplicate_names(builder, &names, &mut problems);
    let declared = declarations(builder, &mut problems);
    let proof = Proof { builder, names: &names, schemas: &schemas, declared: &declared };
    let json_schemas = json_schemas(&builder.schemas, &mut problems);
    let steps = proof.steps();
    proof.ambiguities(&steps, &mut problems);
    proof.undeclared_types(&mut problems);
    proof.undeclared_in_rules(&mut problems);
    proof.matches_of_nothing(&mut problems);
    proof.merges(&mut problems);
    proof.unreachable(&mut problems);
    let in_cycles = proof.cycles(&steps, &mut problems);
    proof.wrong_ends(&steps, &in_cycles, &mut problems);
    proof.missing_old_versions(&steps, &mut problems);
    if !problems.is_empty() {
        problems.sort();
        problems.dedup();
        return Err(problems);
    }
    let currents = proof.currents();
    // No problems, so every upcaster's schemas are there.
    let schemas = schemas.into_iter().flatten().collect();
    Ok(Proved { names, schemas, currents, json_schemas })
}

fn schema(event_type: &str, version: u32) -> Result<Schema, &'static str> {
    let event_type = EventType::new(event_type).map_err(|_| "its event type is empty")?;
    let version = SchemaVersion::new(version).ok_or("there is no version 0; versions count from 1")?;
    Ok(Schema { event_type, version })
}

fn schemas(upcasters: &[Upcaster], problems: &mut Vec<Problem>) -> Vec<Option<(Schema, Vec<Schema>)>> {
    let of_one = |upcaster: &Upcaster| {
        let from = schema(&upcaster.from.0, upcaster.from.1)?;
        let to: Result<_, _> = upcaster.to.iter().map(|(event_type, version)| schema(event_type, *version)).collect();
        Ok::<_, &'static str>((from, to?))
    };
    upcasters
        .iter()
        .map(|upcaster| match of_one(upcaster) {
            Ok(schemas) => Some(schemas),
            Err(message) => {
                let name = upcaster.name.clone().unwrap_or_else(|| upcaster.default_name());
                problems.push(Problem::new(&upcaster.place, format!("{name}: {message}")));
                None
            }
        })
        .collect()
}

/// The given name, or type and versions, numbered where guards make several from one version.
fn names(upcasters: &[Upcaster]) -> Vec<String> {
    let mut alike: HashMap<String, usize> = HashMap::new();
    let unnamed = || upcasters.iter().filter(|upcaster| upcaster.name.is_none());
    for upcaster in unnamed() {
        *alike.entry(upcaster.default_name()).or_default() += 1;
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    upcasters
        .iter()
        .map(|upcaster| {
            let Some(name) = &upcaster.name else {
                let name = upcaster.default_name();
                if alike.get(&name).is_none_or(|count| *count == 1) {
                    return name;
                }
                let number = numbers.entry(name.clone()).or_default();
                *number += 1;
                return format!("{name}, case {number}");
            };
            name.clone()
        })
        .collect()
}

fn duplicate_names(builder: &RegistryBuilder, names: &[String], problems: &mut Vec<Problem>) {
    let upcasters = names.iter().map(String::as_str).zip(builder.upcasters.iter().map(|upcaster| &upcaster.place));
    let rules = builder.rules.iter().map(|rule| (rule.name.as_str(), &rule.place));
    let stateful = builder.stateful.iter().map(|(transformer, place)| (transformer.name(), place));
    let mut first: HashMap<&str, &Place> = HashMap::new();
    for (name, place) in upcasters.chain(rules).chain(stateful) {
        if name.is_empty() {
            problems.push(Problem::new(place, "the rule's name is empty"));
            continue;
        }
        if let Some(earlier) = first.insert(name, place) {
            let message = format!("the name `{name}` is taken by the rule at {earlier}");
            problems.push(Problem::new(place, message).hint("give one of them another name"));
        }
    }
}

fn json_schemas(given: &[JsonSchema], problems: &mut Vec<Problem>) -> BTreeMap<Schema, JsonSchema> {
    let mut by_schema: BTreeMap<Schema, JsonSchema> = BTreeMap::new();
    for json in given {
        match schema(&json.event_type, json.version) {
            Err(what) => problems.push(Problem::new(&json.place, format!("JSON Schema: {what}"))),
            Ok(schema) => {
                if let Some(earlier) = by_schema.get(&schema) {
                    let message = format!("{schema} has a JSON Schema already, at {}", earlier.place);
                    problems.push(Problem::new(&json.place, message).hint("remove one of them"));
                }
                by_schema.insert(schema, json.clone());
            }
        }
    }
    by_schema
}

struct Declared<'a> {
    retired: bool,
    current: Option<SchemaVersion>,
    oldest: Option<(SchemaVersion, &'a Place)>,
    place: &'a Place,
}

fn declarations<'a>(builder: &'a RegistryBuilder, problems: &mut Vec<Problem>) -> BTreeMap<EventType, Declared<'a>> {
    let mut declared: BTreeMap<EventType, Declared<'a>> = BTreeMap::new();
    for Declaration { event_type: name, current, place } in &builder.declarations {
        let Ok(event_type) = EventType::new(name.as_str()) else {
            problems.push(Problem::new(place, "the declared event type is empty"));
            continue;
        };
        let version = current.and_then(SchemaVersion::new);
        if current.is_some() && version.is_none() {
            problems.push(Problem::new(place, format!("{name}: there is no version 0; versions count from 1")));
        }
        if let Some(earlier) = declared.get(&event_type) {
            let message = format!("{name} is declared already at {}", earlier.place);
            problems.push(Problem::new(place, message).hint("declare each type once"));
            continue;
        }
        declared.insert(event_type, Declared { retired: current.is_none(), current: version, oldest: None, place });
    }
    for (name, version, place) in &builder.oldest {
        let entry = declared.iter_mut().find(|(event_type, _)| event_type.as_str() == name);
        let version = SchemaVersion::new(*version);
        match (entry, version) {
            (Some((_, entry)), Some(version)) => entry.oldest = Some((version, place)),
            (None, _) => {
                problems.push(Problem::new(place, format!("{name} has an oldest version, but no declared current one")))
            }
            (_, None) => {
                problems.push(Problem::new(place, format!("{name}: there is no version 0; versions count from 1")));
            }
        }
    }
    declared
}

struct Proof<'a> {
    builder: &'a RegistryBuilder,
    names: &'a [String],
    schemas: &'a [Option<(Schema, Vec<Schema>)>],
    declared: &'a BTreeMap<EventType, Declared<'a>>,
}

impl<'a> Proof<'a> {
    fn steps(&self) -> Steps<'a> {
        let mut steps = Steps::new();
        for (index, (from, _)) in self.valid() {
            steps.entry(from).or_default().push(index);
        }
        steps
    }

    /// The upcasters whose schemas are well-formed.
    fn valid(&self) -> impl Iterator<Item = (usize, &'a (Schema, Vec<Schema>))> {
        self.schemas.iter().enumerate().filter_map(|(index, schemas)| Some((index, schemas.as_ref()?)))
    }

    fn place(&self, upcaster: usize) -> &'a Place {
        &self.builder.upcasters[upcaster].place
    }

    fn guarded(&self, upcaster: usize) -> bool {
        self.builder.upcasters[upcaster].guard.is_some()
    }

    fn problem(&self, upcaster: usize, message: impl AsRef<str>) -> Problem {
        Problem::new(self.place(upcaster), format!("{}: {}", self.names[upcaster], message.as_ref()))
    }

    /// Of one version, guarded upcasters come first and exactly one without a guard comes last.
    fn ambiguities(&self, steps: &Steps<'_>, problems: &mut Vec<Problem>) {
        for (schema, upcasters) in steps {
            let Some(fallback) = upcasters.iter().position(|&upcaster| !self.guarded(upcaster)) else {
                let last = upcasters[upcasters.len() - 1];
                let message = format!("every upcaster of {schema} has a condition, so an event may fit none");
                problems.push(self.problem(last, message).hint("add a last one without a condition"));
                continue;
            };
            for &behind in &upcasters[fallback + 1..] {
                let place = self.place(upcasters[fallback]);
                let problem = if self.guarded(behind) {
                    let message = format!("it is never reached: the one at {place} takes every {schema}");
                    self.problem(behind, message).hint("put the one without a condition last")
                } else {
                    let message = format!("it is ambiguous: the one at {place} takes every {schema}, too");
                    self.problem(behind, message).hint("give one of them a condition, or remove it")
                };
                problems.push(problem);
            }
        }
    }

    fn undeclared_types(&self, problems: &mut Vec<Problem>) {
        let known = || self.declared.keys().map(EventType::as_str);
        let mut reported: BTreeSet<&EventType> = BTreeSet::new();
        for (index, (from, _)) in self.valid() {
            let event_type = &from.event_type;
            if !self.declared.contains_key(event_type) && reported.insert(event_type) {
                let message = format!("the current version of {event_type} is not declared");
                let hint = did_you_mean(event_type.as_str(), known())
                    .unwrap_or_else(|| "declare it with `current`, or as `retired`".to_owned());
                problems.push(self.problem(index, message).hint(hint));
            }
        }
        for (index, (from, to)) in self.valid() {
            for target in to.iter().filter(|target| target.event_type != from.event_type) {
                if !self.declared.contains_key(&target.event_type) && !reported.contains(&target.event_type) {
                    let message = format!("it yields {target}, but {} is not declared", target.event_type);
                    let hint = did_you_mean(target.event_type.as_str(), known())
                        .unwrap_or_else(|| format!("declare the current version of {}", target.event_type));
                    problems.push(self.problem(index, message).hint(hint));
                }
            }
        }
    }

    /// The types that general rules name are declared, if any type is: a misspelt one would never match.
    fn undeclared_in_rules(&self, problems: &mut Vec<Problem>) {
        for rule in self.builder.rules.iter().filter(|_| !self.declared.is_empty()) {
            let taken = rule.matches.types.iter().filter_map(|pattern| match pattern {
                TypePattern::Name(name) => Some(("takes", name)),
                TypePattern::Prefix(_) => None,
            });
            for (verb, event_type) in taken.chain(rule.into_types.iter().map(|name| ("yields", name))) {
                let known = || self.declared.keys().map(EventType::as_str);
                if known().any(|one| one == event_type) {
                    continue;
                }
                let message = format!("{}: it {verb} {event_type}, which is not declared", rule.name);
                let hint = did_you_mean(event_type, known())
                    .unwrap_or_else(|| format!("declare the current version of {event_type}"));
                problems.push(Problem::new(&rule.place, message).hint(hint));
            }
        }
    }

    /// Rules are restricted to something that an event may be.
    fn matches_of_nothing(&self, problems: &mut Vec<Problem>) {
        for rule in &self.builder.rules {
            if let Some(what) = rule.restricted_to_none {
                let message = format!("{}: it takes no event, since its {what} are none", rule.name);
                problems
                    .push(Problem::new(&rule.place, message).hint(format!("leave `{what}` out where all are meant")));
            }
            for category in &rule.matches.categories {
                if let Err(invalid) = StreamName::check_category(category) {
                    let message = format!("{}: it takes a category that no stream is in: {invalid}", rule.name);
                    problems.push(Problem::new(&rule.place, message));
                }
            }
        }
    }

    /// Merges collect types that are in use, each by one merge, and make a current version of one.
    fn merges(&self, problems: &mut Vec<Problem>) {
        let mut collected: BTreeMap<&EventType, &Place> = BTreeMap::new();
        for (merge, place) in &self.builder.merges {
            let (into, version) = &merge.into;
            let mut note = |message: String, hint: &str| {
                problems.push(Problem::new(place, format!("{}: {message}", merge.name)).hint(hint));
            };
            for (event_type, takes) in merge.types() {
                match self.declared.get(event_type) {
                    None if self.declared.is_empty() => {}
                    Some(declared) if !declared.retired => {}
                    None => {
                        note(format!("it collects {event_type}, which is not declared"), "declare its current version")
                    }
                    Some(_) => note(
                        format!("it collects {event_type}, which no chain ends at: the type is retired"),
                        "name the types that its events become",
                    ),
                }
                let Some(other) = collected.insert(event_type, place).filter(|_| takes) else { continue };
                note(format!("{event_type} is collected already by the merge at {other}"), "collect each type once");
            }
            let current = self.declared.get(into).map(|declared| declared.current);
            match current {
                None if self.declared.is_empty() => {}
                None => note(format!("it makes {into}, which is not declared"), "declare its current version"),
                Some(current) if current == Some(*version) => {}
                Some(_) => note(
                    format!("it makes {into} version {version}, which is not the current one"),
                    "merges come after all upcasters, so they make current versions",
                ),
            }
        }
    }

    fn unreachable(&self, problems: &mut Vec<Problem>) {
        for (index, (from, _)) in self.valid() {
            let Some(declared) = self.declared.get(&from.event_type) else { continue };
            if let Some((oldest, _)) = declared.oldest.filter(|(oldest, _)| from.version < *oldest) {
                let message = format!("it is never reached: the oldest version of {} is {oldest}", from.event_type);
                problems.push(self.problem(index, message).hint("lower `oldest`, or remove the rule"));
            }
            if let Some(current) = declared.current.filter(|current| from.version >= *current) {
                let message = format!("it is never reached: version {current} of {} is current", from.event_type);
                problems.push(self.problem(index, message).hint("raise `current`, or remove the rule"));
            }
        }
    }

    /// Reports every cycle once, and says which schemas are in one.
    fn cycles(&self, steps: &Steps<'a>, problems: &mut Vec<Problem>) -> BTreeSet<&'a Schema> {
        let mut in_cycles = BTreeSet::new();
        let mut done = BTreeSet::new();
        for start in steps.keys() {
            let mut path = Vec::new();
            self.follow(steps, start, &mut path, &mut done, &mut in_cycles, problems);
        }
        in_cycles
    }

    fn follow(
        &self,
        steps: &Steps<'a>,
        schema: &'a Schema,
        path: &mut Vec<(&'a Schema, usize)>,
        done: &mut BTreeSet<&'a Schema>,
        in_cycles: &mut BTreeSet<&'a Schema>,
        problems: &mut Vec<Problem>,
    ) {
        if let Some(back) = path.iter().position(|(earlier, _)| *earlier == schema) {
            let round: Vec<String> = path[back..].iter().map(|(earlier, _)| earlier.to_string()).collect();
            let message = format!("it goes round in a circle: {} → {schema}", round.join(" → "));
            in_cycles.extend(path[back..].iter().map(|(earlier, _)| *earlier));
            if let Some((_, closing)) = path.last() {
                problems.push(self.problem(*closing, message).hint("let every upcaster lead to a later version"));
            }
            return;
        }
        if done.contains(schema) {
            return;
        }
        for &upcaster in steps.get(schema).into_iter().flatten() {
            for target in self.schemas[upcaster].iter().flat_map(|(_, to)| to) {
                path.push((schema, upcaster));
                self.follow(steps, target, path, done, in_cycles, problems);
                path.pop();
            }
        }
        done.insert(schema);
    }

    /// Whatever an upcaster yields is current or has an upcaster.
    fn wrong_ends(&self, steps: &Steps<'_>, in_cycles: &BTreeSet<&Schema>, problems: &mut Vec<Problem>) {
        let reachable = |from: &Schema| {
            let current = self.declared.get(&from.event_type).and_then(|declared| declared.current);
            current.is_none_or(|current| from.version < current)
        };
        for (index, (_, to)) in self.valid().filter(|(_, (from, _))| reachable(from)) {
            for target in to.iter().filter(|target| !in_cycles.contains(target) && !steps.contains_key(target)) {
                let Some(declared) = self.declared.get(&target.event_type) else { continue };
                let problem = match declared.current {
                    Some(current) if current == target.version => continue,
                    Some(current) if current < target.version => {
                        let message = format!("it ends in {target}, but the current version is {current}");
                        self.problem(index, message).hint(format!("see {}", declared.place))
                    }
                    Some(current) => {
                        let message =
                            format!("it ends in {target}: no upcaster leads on to the current version {current}");
                        self.problem(index, message).hint(format!("add an upcaster from version {}", target.version))
                    }
                    // The declared version is impossible, which is reported already.
                    None if !declared.retired => continue,
                    None => {
                        let message = format!("it ends in {target}, but {} is retired", target.event_type);
                        self.problem(index, message).hint(format!("see {}", declared.place))
                    }
                };
                problems.push(problem);
            }
        }
    }

    /// From a declared oldest version on, every version before the current one has an upcaster.
    fn missing_old_versions(&self, steps: &Steps<'_>, problems: &mut Vec<Problem>) {
        for (event_type, last) in self.currents() {
            let Some(declared) = self.declared.get(&event_type) else { continue };
            if declared.retired && !steps.keys().any(|schema| schema.event_type == event_type) {
                let message = format!("{event_type} is retired, but no upcaster turns its events into others");
                problems.push(Problem::new(declared.place, message).hint("add one, or let it drop them"));
                continue;
            }
            let Some((oldest, place)) = declared.oldest else { continue };
            if oldest > last {
                let message = format!("the oldest version of {event_type}, {oldest}, is later than the last, {last}");
                problems.push(Problem::new(place, message));
            }
            for version in (oldest.number()..last.number()).filter_map(SchemaVersion::new) {
                let schema = Schema { event_type: event_type.clone(), version };
                if !steps.contains_key(&schema) {
                    let message = format!("no upcaster starts from {schema}, between the oldest and the current one");
                    problems.push(Problem::new(place, message).hint("add it, or raise `oldest`"));
                }
            }
        }
    }

    /// The current version of every type, or the last one of a retired type.
    fn currents(&self) -> Vec<(EventType, SchemaVersion)> {
        let last_from = |event_type: &EventType| {
            let versions = self.valid().map(|(_, (from, _))| from).filter(|from| from.event_type == *event_type);
            versions.map(|from| from.version).max()
        };
        self.declared
            .iter()
            .map(|(event_type, declared)| {
                let last = declared.current.or_else(|| last_from(event_type)).unwrap_or(SchemaVersion::FIRST);
                (event_type.clone(), last)
            })
            .collect()
    }
}
