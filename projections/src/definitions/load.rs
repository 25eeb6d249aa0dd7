//! Loading definition files.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eventlift_language::{Place, Problem, Reader, TestResult, problem, showing_values};

use super::read_file::{self, Definition};
use crate::projection::Projection;

/// What definition files say: projections and aggregates, with their test cases.
///
/// The file of a projection has its tables, and one `[[on]]` for everything that events change:
///
/// ```toml
/// projection = "customers"       # the file's name, where it isn't said
/// from = ["customer", "order"]   # categories; all where it isn't said
/// ignore = ["OrderNoted", { type = "OrderPlaced", versions = [1] }]
///
/// [table.customers]
/// key = "id"
/// columns = { id = "text", name = "text", orders = "integer", spent = "numeric" }
/// indexes = [["name"]]
///
/// [[on]]
/// event = "OrderPlaced"
/// version = 2
/// key = "/customer"
/// add = { orders = 1, spent = "/total" }
///
/// [[test]]
/// given = [{ type = "OrderPlaced", version = 2, data = { customer = "c", total = "10.10" } }]
/// then.customers = [{ id = "c", orders = 1, spent = "10.10" }]
/// ```
///
/// A table may instead be summed up from the rows of another one ([`Rollup`](crate::Rollup)): `of` names that table,
/// `count` the column that counts the rows of a group, `sum` the columns that sum up columns there.
///
/// The file of an aggregate has `aggregate = "cart"` and `[state]` with its fields and their types instead of tables;
/// its `[[on]]` change the state of the event's stream, and its snapshots are in `table`, `<name>_snapshots` where it
/// isn't said.
///
/// | key of `[[on]]` | |
/// |---|---|
/// | `event`, `version` | one or several |
/// | `table` | which, where events change several |
/// | `key` | the values of the key's columns |
/// | `each` | a path: the clause is run for every item it leads to |
/// | `optional` | whether the list may be missing that `each` or the key goes over |
/// | `when` | a [`Condition`](eventlift_language::Condition); with `each`, `path` is in the item |
/// | `missing` | `"create"`, `"skip"` or `"fail"`, where the row is not there |
/// | `move_to` | the values of the key that the row gets |
/// | `taken` | `"fail"`, `"skip"` or `"replace"`, where that key has a row |
/// | `set`, `first`, `last`, `add`, `subtract`, `min`, `max`, `append`, `remove` | values by column |
/// | `clear` | columns that become null |
/// | `delete = true` | the row is deleted |
/// | `jq` | a filter from `{event, row}` to the row |
///
/// A value is a path into the data (`"/total"`), a number, a boolean, or a table with one of `data`, `metadata`, `item`,
/// `event`, `value`, `column` and `jq`, and perhaps a `default`.
#[derive(Default)]
pub struct Definitions {
    definitions: Vec<Definition>,
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
    /// Compiles files: paths, as they are to be named in errors, with their contents. Fails with everything that is
    /// wrong in all of them, sorted by place, and where two have the same name or write the same table.
    pub fn load(files: impl IntoIterator<Item = (PathBuf, String)>) -> Result<Self, DefinitionErrors> {
        let mut definitions = Vec::new();
        let mut problems = Vec::new();
        for (path, text) in files {
            definitions.extend(read(&path, &text, &mut problems));
        }
        twice(&definitions, &mut problems);
        problems.sort();
        if problems.is_empty() { Ok(Self { definitions }) } else { Err(DefinitionErrors(problems)) }
    }

    /// The projections, and the aggregates as projections into their snapshots, in the order of the files.
    pub fn projections(&self) -> Vec<Arc<dyn Projection>> {
        self.definitions.iter().map(|definition| Arc::clone(&definition.fold) as Arc<dyn Projection>).collect()
    }

    /// The names of projections and aggregates, in the order of the files.
    pub fn names(&self) -> Vec<&str> {
        self.definitions.iter().map(|definition| definition.fold.name.as_str()).collect()
    }

    /// Runs every test case, in the order of the files.
    pub fn test(&self) -> Vec<TestResult> {
        let tests = |definition: &Definition| {
            definition.tests.iter().map(|test| test.run(&definition.fold)).collect::<Vec<_>>()
        };
        showing_values(|| self.definitions.iter().flat_map(tests).collect())
    }
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Definitions").field(&self.names()).finish()
    }
}

fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Definition> {
    let mut reader = Reader::new(path.display().to_string(), text);
    let file = reader.document();
    // After a syntax error, what else seems wrong may be its consequence.
    let definition = if reader.problems.is_empty() {
        showing_values(|| read_file::definition(&mut reader, file, path))
    } else {
        None
    };
    problems.append(&mut reader.problems);
    definition
}

/// Notes names and tables that are there twice. Databases don't tell names apart by their case.
fn twice(definitions: &[Definition], problems: &mut Vec<Problem>) {
    let mut names: Vec<(&str, &Place)> = Vec::new();
    let mut tables: Vec<(&str, &str, &Place)> = Vec::new();
    for definition in definitions {
        let fold = &definition.fold;
        match names.iter().find(|(name, _)| name.eq_ignore_ascii_case(&fold.name)) {
            Some((_, place)) => {
                let message = format!("the name `{}` is taken by the one at {place}", fold.name);
                problems.push(Problem::new(&fold.place, message).hint("every projection and aggregate has its own"));
            }
            None => names.push((&fold.name, &fold.place)),
        }
        for (table, place) in fold.tables.iter().zip(&definition.tables) {
            match tables.iter().find(|(name, ..)| name.eq_ignore_ascii_case(&table.name)) {
                Some((_, owner, other)) => {
                    let message = format!("the table `{}` is written by `{owner}` already, at {other}", table.name);
                    problems.push(Problem::new(place, message).hint("a table belongs to one projection alone"));
                }
                None => tables.push((&table.name, &fold.name, place)),
            }
        }
    }
}
