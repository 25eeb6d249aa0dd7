//! Loading definition files.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eventlift_language::{Given, Literal, Place, Problem, Reader, Table, TestResult, problem, showing_values};
use toml::de::DeValue;

use super::merge::{self, DefinedMerge};
use super::rule::{self, Definition};
use super::test_case::{TestCase, TestDefaults};
use crate::operations::Keys;
use crate::registry::{Registry, RegistryBuilder};
use crate::schema::JsonSchema;

const TYPED_KEYS: &[&str] = &["type", "current", "retired", "oldest", "reads", "upcast", "schema", "test"];
const GENERAL_KEYS: &[&str] = &["current", "reads", "rule", "merge", "test"];

/// What definition files say: types with their versions, upcasters, general rules, JSON Schemas and test cases.
///
/// The file of a type says which version is `current` (or that the type is `retired = true`), optionally the `oldest`
/// one, and has one `[[upcast]]` for every step:
///
/// ```toml
/// type = "UserCreated"
/// current = 2
///
/// [[upcast]]
/// from = 1        # to = from + 1
/// data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
///
/// [[upcast.test]]
/// name = "joins the names"
/// given = '{"first_name":"Ada","last_name":"Lovelace"}'
/// then = '{"full_name":"Ada Lovelace"}'
///
/// [schema]        # JSON Schemas of what rules yield, by version: a file beside this one, or a table
/// 2 = "user_created.2.json"
/// ```
///
/// Any other file may declare types without a file of their own in `[current]` (`FileAdded = 1`), and has one `[[rule]]` for
/// every rule over many types, which has a `name` and takes the events that
/// `match = { types = ["User*"], categories = ["user"], versions = [1] }` says, or all.
///
/// | key of `[[upcast]]` and `[[rule]]` | |
/// |---|---|
/// | `name` | its name; upcasters are named after their type and versions |
/// | `when` | a [`Condition`](crate::Condition); the last upcaster of a version must not have one |
/// | `data`, `metadata` | lists of [`Operation`](crate::Operation)s |
/// | `jq` | a filter from data to data, after `data` |
/// | `type` | another type; `to` is a version of that one |
/// | `stream`, `category` | another stream, or the same id in another category: `"customer-{stream.id}"`, with `{stream}`, `{stream.id}`, `{stream.category}`, `{/path/in/data}`, `{metadata:/path}` of the event as it came |
/// | `drop = true` | no event |
/// | `split = [{ … }, …]` | one event for each part that takes it: `type`, `version`, `when`, `data`, `metadata`, `jq`, `stream`, `category` |
/// | `down` | the way back, for [`Registry::inverse`]: operations on the data, or a table, or `false` |
/// | `jq_events` | a filter from event to events; `yields = [{ type, version }, …]` names other schemas, `moves_streams = true` allows other streams |
///
/// A `[[merge]]` collects `events` of a stream and makes one of them. Its `[[merge.test]]`s are given a list of events
/// in their order, and `then` is all that comes out: what passes, and what was merged.
///
/// Test cases have a `name`, a `given` (the data's exact text, or a table of `type`, `version`, `stream`, `id`, `data`,
/// `metadata`) and either `then` (the same for what is expected; an array for several events, `[]` for none; only what
/// is said is compared, byte by byte) or `fails_with` (a part of the reason). A `[[test]]` of the file runs through
/// all rules, one of a rule through that rule alone.
#[derive(Default)]
pub struct Definitions {
    types: Vec<Declared>,
    rules: Vec<Definition>,
    schemas: Vec<JsonSchema>,
    merges: Vec<DefinedMerge>,
    /// The versions that the old code reads.
    reads: Vec<(String, u32, Place)>,
    tests: Vec<TestCase>,
}

/// A type as a file declares it; one without a current version is retired.
struct Declared {
    event_type: String,
    current: Option<u32>,
    oldest: Option<(u32, Place)>,
    place: Place,
}

/// Everything that is wrong with definition files. Prints one problem below the other, each with file, line and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionErrors(pub Vec<Problem>);

impl fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        problem::list(f, "the definitions", &self.0)
    }
}

impl Error for DefinitionErrors {}

impl Definitions {
    /// Compiles files: paths, as they are to be named in errors, with their contents. Files that end in `.json` are
    /// JSON Schemas that definitions may refer to, relative to their own folder. Rules of different files are ordered
    /// as the files are. Fails with everything that is wrong in all of them.
    pub fn load(files: impl IntoIterator<Item = (PathBuf, String)>, keys: &Keys) -> Result<Self, DefinitionErrors> {
        let (schemas, definitions): (BTreeMap<PathBuf, String>, Vec<_>) = sort_files(files);
        let mut loaded = Self::default();
        let mut problems = Vec::new();
        for (path, text) in &definitions {
            let mut reader = Reader::new(path.display().to_string(), text);
            let table = reader.document();
            // After a syntax error, what else seems wrong may be its consequence.
            if reader.problems.is_empty() {
                let folder = path.parent().unwrap_or(Path::new(""));
                let files = SchemaFiles { folder, schemas: &schemas };
                showing_values(|| loaded.read_file(&mut reader, table, &files, keys));
            }
            reader.problems.sort();
            problems.append(&mut reader.problems);
        }
        if problems.is_empty() { Ok(loaded) } else { Err(DefinitionErrors(problems)) }
    }

    /// Adds everything to a registry to be built.
    pub fn register(&self, mut builder: RegistryBuilder) -> RegistryBuilder {
        for declared in &self.types {
            builder = builder.declare(declared.event_type.clone(), declared.current, declared.place.clone());
            if let Some((oldest, place)) = &declared.oldest {
                builder = builder.declare_oldest(declared.event_type.clone(), *oldest, place.clone());
            }
        }
        for (event_type, version, place) in &self.reads {
            builder = builder.declare_reads(event_type.clone(), *version, place.clone());
        }
        for DefinedMerge { merge, place, .. } in &self.merges {
            builder = builder.merge(Arc::clone(merge), place.clone());
        }
        for definition in &self.rules {
            if let Some(upcaster) = definition.upcaster() {
                builder = builder.upcaster(upcaster);
            }
            if let Some(rule) = definition.rule() {
                builder = builder.rule(rule);
            }
        }
        self.schemas.iter().cloned().fold(builder, RegistryBuilder::schema)
    }

    /// Runs every test case: those of a rule through that rule, those of a merge through that merge, those of a file
    /// through the whole registry, which has to hold these definitions. In the order of files, those of rules first, then
    /// those of merges.
    pub fn test(&self, registry: &Registry) -> Vec<TestResult> {
        let (of_rules, of_files): (Vec<_>, Vec<_>) = self.cases().partition(|(_, rule)| rule.is_some());
        let run = |(test, rule): (&TestCase, Option<&Place>)| test.run(registry, rule);
        let merged = self.merges.iter().flat_map(|defined| defined.tests.iter().map(|test| test.run(&defined.merge)));
        showing_values(|| of_rules.into_iter().map(run).chain(merged).chain(of_files.into_iter().map(run)).collect())
    }

    /// Lifts what test cases give and lowers it again, through the rule of the test case or through everything, and
    /// compares that with what was given, byte by byte. Test cases that fail on the way there, that are about the way
    /// back themselves, or that lead through rules whose `down` is false or lossy say nothing about that and are left
    /// out. `inverse` is the [inverse](Registry::inverse) of `registry`. In the order of [`test`](Self::test).
    pub fn test_there_and_back(&self, registry: &Registry, inverse: &Registry) -> Vec<TestResult> {
        let run = |(test, rule): (&TestCase, Option<&Place>)| test.run_there_and_back(registry, inverse, rule);
        showing_values(|| self.cases().filter_map(run).collect())
    }

    /// Every test case, with the place of its rule if it is of one.
    fn cases(&self) -> impl Iterator<Item = (&TestCase, Option<&Place>)> {
        let of_rules = self.rules.iter().flat_map(|rule| rule.tests.iter().map(|test| (test, Some(&rule.place))));
        of_rules.chain(self.tests.iter().map(|test| (test, None)))
    }

    fn read_file<'i>(&mut self, reader: &mut Reader<'i>, mut table: Table<'i>, files: &SchemaFiles<'_>, keys: &Keys) {
        let tests = reader.tables(&mut table, "test");
        let mut given = TestDefaults { up: Given::untyped(None), down: Given::untyped(None) };
        if table.has("type") {
            if let Some(event_type) = self.read_type(reader, &mut table) {
                let current = self.types.last().and_then(|declared| declared.current).unwrap_or(1);
                given = TestDefaults { up: Given::of(&event_type, 1), down: Given::of(&event_type, current) };
                let first = self.rules.len();
                for upcast in reader.tables(&mut table, "upcast") {
                    let span = upcast.span.clone();
                    let upcast = rule::upcast(reader, upcast, &event_type, keys);
                    if let Some(earlier) = self.rules[first..].iter().find(|earlier| earlier.takes_what(&upcast)) {
                        let message =
                            format!("[[upcast]] takes no event: its `when` is that of the one at {}", earlier.place);
                        reader.note(&span, message, Some("they are tried in the order of the file".to_owned()));
                    }
                    self.rules.push(upcast);
                }
                self.read_schemas(reader, &mut table, &event_type, files);
                misplaced(reader, &mut table, "rule", "put general rules into a file without `type`");
                misplaced(reader, &mut table, "merge", "put merges into a file without `type`");
                reader.finish(table, "the file of a type", TYPED_KEYS);
            }
        } else {
            self.read_currents(reader, &mut table);
            self.read_reads(reader, &mut table);
            for general in reader.tables(&mut table, "rule") {
                self.rules.push(rule::general(reader, general, keys));
            }
            for table in reader.tables(&mut table, "merge") {
                self.merges.extend(merge::merge(reader, table));
            }
            misplaced(reader, &mut table, "upcast", "name the event type with `type = \"…\"` at the top of the file");
            reader.finish(table, "the file of general rules", GENERAL_KEYS);
        }
        self.tests.extend(tests.into_iter().filter_map(|test| TestCase::read(reader, test, &given)));
    }

    /// Reads `type`, `current` or `retired`, and `oldest`.
    fn read_type<'i>(&mut self, reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<String> {
        let span = table.entries.get("type").map(|value| value.span()).unwrap_or(0..0);
        let event_type = reader.text(table, "type")?;
        let is_declared = table.has("current");
        let retired = reader.get::<bool>(table, "retired") == Some(true);
        let current = reader.version(table, "current");
        if is_declared == retired {
            let hint = format!("write the version {event_type} is in now, or `retired = true` if it is not in use");
            reader.note(&span, format!("{event_type} needs either `current` or `retired`"), Some(hint));
        }
        let oldest_span = table.entries.get("oldest").map(|value| value.span());
        let oldest = reader.version(table, "oldest");
        let place = reader.line(&span);
        let oldest = oldest.zip(oldest_span.map(|span| reader.line(&span)));
        let reads_span = table.entries.get("reads").map(|value| value.span());
        if let Some((version, span)) = reader.version(table, "reads").zip(reads_span) {
            self.reads.push((event_type.clone(), version, reader.line(&span)));
        }
        self.types.push(Declared { event_type: event_type.clone(), current, oldest, place });
        Some(event_type)
    }

    /// Reads `[current]`: types that have no file of their own.
    fn read_currents<'i>(&mut self, reader: &mut Reader<'i>, table: &mut Table<'i>) {
        let Some(value) = table.take("current") else { return };
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let hint = "add `type = \"…\"`, or write a table [current] of types and their versions";
            reader.note(&value.span(), "`current` of which type?", Some(hint.to_owned()));
            return;
        }
        let Some(mut types) = reader.table(value, "`current`") else { return };
        let names: Vec<(String, _)> =
            types.entries.keys().map(|key| (key.get_ref().clone().into_owned(), key.span())).collect();
        for (event_type, span) in names {
            let current = reader.version(&mut types, &event_type);
            self.types.push(Declared { event_type, current, oldest: None, place: reader.line(&span) });
        }
    }

    /// Reads `[reads]`: the versions that the old code reads, of types that have no file of their own.
    fn read_reads<'i>(&mut self, reader: &mut Reader<'i>, table: &mut Table<'i>) {
        let Some(value) = table.take("reads") else { return };
        let Some(mut types) = reader.table(value, "`reads`") else { return };
        let names: Vec<(String, _)> =
            types.entries.keys().map(|key| (key.get_ref().clone().into_owned(), key.span())).collect();
        for (event_type, span) in names {
            let place = reader.line(&span);
            self.reads.extend(reader.version(&mut types, &event_type).map(|version| (event_type, version, place)));
        }
    }

    /// Reads `[schema]`: by version, a JSON Schema in a table, or the path of a file that holds it.
    fn read_schemas<'i>(
        &mut self,
        reader: &mut Reader<'i>,
        table: &mut Table<'i>,
        event_type: &str,
        files: &SchemaFiles<'_>,
    ) {
        let Some(value) = table.take("schema") else { return };
        let Some(versions) = reader.table(value, "`schema`") else { return };
        for (key, value) in versions.entries {
            let span = key.span();
            let Some(version) = key.get_ref().parse().ok().filter(|version: &u32| *version > 0) else {
                reader.note(&span, format!("`schema` has a key `{}` that is no version", key.get_ref()), None);
                continue;
            };
            let text = match value.get_ref() {
                DeValue::String(path) => match files.find(path) {
                    Some(text) => text.to_owned(),
                    None => {
                        let hint = "the path is relative to this file, and ends in .json";
                        reader.note(&value.span(), format!("there is no schema file {path}"), Some(hint.to_owned()));
                        continue;
                    }
                },
                _ => {
                    let Some(schema) = reader.deserialize::<Literal>(value, "`schema`") else { continue };
                    match schema.json() {
                        Ok(json) => json,
                        Err(reason) => {
                            reader.note(&span, format!("`schema`: {reason}"), reason.hint);
                            continue;
                        }
                    }
                }
            };
            match JsonSchema::compile(event_type, version, &text, reader.line(&span)) {
                Ok(schema) => self.schemas.push(schema),
                Err(reason) => {
                    let message = format!("the JSON Schema of {event_type} version {version}: {reason}");
                    reader.note(&span, message, reason.hint);
                }
            }
        }
    }
}

struct SchemaFiles<'a> {
    folder: &'a Path,
    schemas: &'a BTreeMap<PathBuf, String>,
}

impl SchemaFiles<'_> {
    fn find(&self, path: &str) -> Option<&str> {
        let path = self.folder.join(path);
        self.schemas.get(&path).map(String::as_str)
    }
}

fn sort_files(
    files: impl IntoIterator<Item = (PathBuf, String)>,
) -> (BTreeMap<PathBuf, String>, Vec<(PathBuf, String)>) {
    let is_json = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let (schemas, definitions): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| is_json(path));
    (schemas.into_iter().collect(), definitions)
}

fn misplaced<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, key: &str, hint: &str) {
    if let Some((name, value)) = table.entries.remove_entry(key) {
        // The span of an array of tables covers its first table.
        let span = if name.span().is_empty() { value.span() } else { name.span() };
        reader.note(&span, format!("[[{key}]] does not belong here"), Some(hint.to_owned()));
    }
}
