//! `import-replicator`: a project from the configuration of the Kurrent (EventStore) Replicator.
//!
//! The file is read as the Replicator reads it: keys in any case, unknown ones ignored, but here named. What has a
//! counterpart becomes `eventlift.toml` and rules; what has none is named, and where leaving it out would copy more or
//! less than before, a rule that is `undecided` keeps the project from being run.

mod connection;
mod filter;
mod finding;
mod project;
mod regex;
mod section;
mod settings;
mod stores;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use super::arguments::ImportReplicatorArguments;
use super::error::CommandError;
use super::init::write_all_new;
use crate::config::{FILE_NAME, in_this_folder};

use finding::ImportReport;
use project::Project;

/// The file of rules, in the project's folder.
const RULES: &str = "transformers/replicator.toml";

/// Why a configuration can't be imported. Holds no value of the file: any could be a password.
#[derive(Debug)]
struct Problem {
    /// From 1, where it is known.
    line: Option<usize>,
    message: String,
    hint: Option<String>,
}

impl Problem {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Makes a project of a configuration. Nothing is written unless everything can be.
pub(super) fn import_replicator(arguments: &ImportReplicatorArguments) -> Result<ImportReport, CommandError> {
    let path = arguments.file.display().to_string();
    let text = read(&arguments.file)?;
    let project = import(&text).map_err(|problem| CommandError::Import {
        path: path.clone(),
        line: problem.line,
        message: problem.message,
        hint: problem.hint,
    })?;
    let folder = in_this_folder(&arguments.folder);
    let mut files = BTreeMap::from([(folder.join(FILE_NAME), project.config_text(&file_name(&arguments.file)))]);
    if let Some(rules) = project.rules_text(&file_name(&arguments.file)) {
        files.insert(folder.join(RULES), rules);
    }
    let files = write_all_new(files)?;
    Ok(ImportReport::new(path, arguments.folder.display().to_string(), files, project))
}

fn import(text: &str) -> Result<Project, Problem> {
    settings::translate(&yaml::parse(text)?)
}

fn read(path: &Path) -> Result<String, CommandError> {
    let failed = |source| CommandError::Read { path: path.display().to_string(), source };
    let bytes = std::fs::read(path).map_err(failed)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).to_vec();
    String::from_utf8(bytes).map_err(|_| CommandError::Import {
        path: path.display().to_string(),
        line: None,
        message: "it is not UTF-8 text".to_owned(),
        hint: None,
    })
}

/// The name of the file alone: where it lay is nothing to keep in a project.
fn file_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.chars().filter(|character| !character.is_control()).collect()
}
