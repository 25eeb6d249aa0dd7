//! `init`: a starter project, from a store's own contents where given one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use eventlift_transformers::Registry;
use serde::Serialize;

use super::arguments::InitArguments;
use super::error::CommandError;
use super::output::Report;
use crate::config::FILE_NAME;
use crate::pipeline::{Covered, Policies, Stop, Survey, SurveyOptions, survey};
use crate::stores::StoreConfig;

/// Events that are looked at to learn the types: enough to find them, not a whole store.
const LOOKED_AT: u64 = 1_000_000;

/// What was made.
#[derive(Debug, Serialize)]
pub(super) struct InitReport {
    folder: String,
    files: Vec<String>,
    /// Types that stand in more than one version.
    to_lift: Vec<String>,
}

/// Makes a project.
pub(super) async fn init(arguments: &InitArguments) -> Result<InitReport, CommandError> {
    let folder = &arguments.folder;
    let config = folder.join(FILE_NAME);
    if config.exists() {
        return Err(CommandError::Exists(config.display().to_string()));
    }
    let (source, found) = match &arguments.from {
        Some(path) => {
            let (store, kind) = store_at(path);
            let reader = store.reader()?;
            let options = SurveyOptions {
                scope: eventlift_events::Scope::All,
                after: None,
                samples: 1,
                limit: Some(LOOKED_AT),
                policies: Policies::default(),
            };
            let registry = Registry::builder().build()?;
            let found = survey(&*reader, &registry, &options, &Stop::never(), |_| {}).await?;
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            (source_section(kind, &path.display().to_string()), Some(found))
        }
        None => (source_section("file", "events.ndjson"), None),
    };
    let mut files = BTreeMap::from([(config, config_text(&source))]);
    let mut to_lift = Vec::new();
    for versions in found.iter().flat_map(several_versions) {
        let Some(newest) = versions.last() else { continue };
        let name = newest.event_type.to_string();
        files.insert(folder.join("transformers").join(file_name(&name)), definition_text(&versions));
        to_lift.push(name);
    }
    if found.is_none() {
        files.insert(folder.join("transformers/user_created.toml"), EXAMPLE.to_owned());
    }
    let mut written = Vec::new();
    for (path, text) in files {
        write_new(&path, &text)?;
        written.push(path.display().to_string());
    }
    Ok(InitReport { folder: folder.display().to_string(), files: written, to_lift })
}

fn store_at(path: &Path) -> (StoreConfig, &'static str) {
    #[cfg(feature = "sqlite")]
    if path.extension().is_some_and(|e| e == "db" || e == "sqlite" || e == "sqlite3") {
        return (StoreConfig::Sqlite(crate::stores::sqlite::SqliteConfig::new(path)), "sqlite");
    }
    (StoreConfig::File(Box::new(crate::stores::file::FileConfig::new(path))), "file")
}

fn source_section(kind: &str, path: &str) -> String {
    format!("[source]\nstore = \"{kind}\"\npath = {}\n", toml::Value::String(path.to_owned()))
}

fn config_text(source: &str) -> String {
    format!(
        "# Where events come from and where they go. Relative paths start at this folder.
{source}
# For a file of CloudEvents lines: which attribute holds what, where it is not the usual one.
# attributes = {{ stream = \"subject\", revision = \"streamrevision\", version = \"dataschema\", order = \"sequence\" }}

[target]
store = \"sqlite\"
path = \"lifted.db\"

# [policy]
# unknown_types = \"pass\"      # or \"fail\": events of types that no definition names
# unknown_versions = \"fail\"   # or \"pass\": versions without a chain to the current one
# revisions = \"dense\"         # or \"sparse\": streams may have gaps
"
    )
}

const EXAMPLE: &str = r#"# UserCreated 1 → 2: two fields become one.
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]

[[upcast.test]]
name = "joins the names"
given = '{"id":7,"first_name":"Ada","last_name":"Lovelace"}'
then = '{"id":7,"full_name":"Ada Lovelace"}'
"#;

/// The versions of each type that has several, ascending.
fn several_versions(found: &Survey) -> Vec<Vec<&Covered>> {
    let mut types: BTreeMap<&str, Vec<&Covered>> = BTreeMap::new();
    for covered in &found.types {
        types.entry(covered.event_type.as_str()).or_default().push(covered);
    }
    types.into_values().filter(|versions| versions.len() > 1).collect()
}

/// A definition with a step from each version to the next, which changes nothing yet.
fn definition_text(versions: &[&Covered]) -> String {
    let Some(newest) = versions.last() else { return String::new() };
    let mut text = format!(
        "# What makes older events look like the current ones. `eventlift check` runs the test cases.
type = {}
current = {}
",
        toml::Value::String(newest.event_type.to_string()),
        newest.version
    );
    for pair in versions.windows(2) {
        let [older, newer] = pair else { continue };
        let example = |covered: &Covered| {
            let sample = covered.samples.first().map(|event| String::from_utf8_lossy(event.data.bytes()).into_owned());
            sample.unwrap_or_default().lines().collect::<Vec<_>>().join(" ")
        };
        text.push_str(&format!(
            "
# An event of version {}: {}
# An event of version {}: {}
# Operations to choose from: rename, set, default, copy, move, remove, join, split, extract, parse, format, map, date,
# wrap, unwrap, redact, hash. This one does nothing yet:
[[upcast]]
from = {}
to = {}
data = []
",
            older.version,
            example(older),
            newer.version,
            example(newer),
            older.version,
            newer.version,
        ));
    }
    text
}

/// `UserCreated` → `user_created.toml`, whatever characters the type has.
fn file_name(event_type: &str) -> PathBuf {
    let mut name = String::new();
    for character in event_type.chars() {
        if character.is_uppercase() && name.chars().last().is_some_and(|last| last.is_ascii_lowercase()) {
            name.push('_');
        }
        match character.to_lowercase().next() {
            Some(lower) if lower.is_alphanumeric() => name.push(lower),
            _ => name.push('_'),
        }
    }
    PathBuf::from(name).with_added_extension("toml")
}

fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed = |source| CommandError::Write { path: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    match std::fs::File::create_new(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(CommandError::Exists(path.display().to_string()))
        }
        Err(error) => Err(failed(error)),
    }
}

impl Report for InitReport {}

impl fmt::Display for InitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "created {file}")?;
        }
        if !self.to_lift.is_empty() {
            writeln!(f, "in several versions, so write their steps first: {}", self.to_lift.join(", "))?;
        }
        write!(f, "next: `eventlift check {0}`, then `eventlift plan {0}`", self.folder)
    }
}
