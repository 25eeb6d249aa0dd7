//! A project: `eventlift.toml` and the folders beside it.

mod check_settings;
mod control_file;
mod cutover_settings;
mod definition_files;
mod quarantine_settings;
mod rebuild_settings;
mod retry_settings;
mod reverse_settings;
mod schedules;
mod take_over_settings;
mod throttle_settings;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use eventlift_transformers::Keys;
use serde::Deserialize;

use crate::checks::CheckSettings;
use crate::pipeline::quarantine::QuarantineLimits;
use crate::pipeline::{Policies, RetryPolicy, Revisions, ThrottleSettings};
use crate::serve::Schedule;
use crate::stores::{InvalidStore, ReadModelConfig, StoreConfig};

pub use control_file::{ControlFile, RunningFile, user_and_host};
pub use cutover_settings::{CutOverSettings, Hook, HookAction, HookStore};
pub use rebuild_settings::RebuildSettings;
pub use reverse_settings::ReverseSettings;
pub use take_over_settings::TakeOverSettings;

/// The file that makes a folder a project.
pub const FILE_NAME: &str = "eventlift.toml";

/// A user's project, read and checked.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder of `eventlift.toml`.
    pub folder: PathBuf,
    /// What it is called among the projects that keep read models in one database; none where it goes by a number.
    pub name: Option<String>,
    /// Where events are read from.
    pub source: StoreConfig,
    /// Where events are written to; none in a project that only builds read models from the source.
    pub target: Option<StoreConfig>,
    /// Where read models are kept; none in a project that only migrates.
    pub read_models: Option<ReadModelConfig>,
    /// What is allowed in the source.
    pub policies: Policies,
    /// How much may be in quarantine before a run stops.
    pub quarantine: QuarantineLimits,
    /// The folder of the transformers' definitions.
    pub transformers: PathBuf,
    /// Whether `eventlift.toml` names that folder itself, so that it has to be there.
    names_transformers: bool,
    /// The folder of the projections' definitions.
    pub projections: PathBuf,
    /// Whether `eventlift.toml` names that folder itself, so that it has to be there.
    names_projections: bool,
    /// How read models are built.
    pub rebuild: RebuildSettings,
    /// How long stores that can't be reached are waited for.
    pub retry: RetryPolicy,
    /// How long whoever writes to a store is waited for.
    pub take_over: TakeOverSettings,
    /// How a cut-over is done.
    pub cutover: CutOverSettings,
    /// How fast a run may be.
    pub throttle: ThrottleSettings,
    /// Whether the way back has to be possible.
    pub reverse: ReverseSettings,
    /// What is checked before and behind a migration.
    pub checks: CheckSettings,
    /// What is built when, in the order of the names.
    pub schedules: Vec<Schedule>,
    /// Named secrets, and the environment variables that hold them.
    pub keys: BTreeMap<String, KeySource>,
}

/// Where a named secret is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// The environment variable that holds it.
    pub env: String,
}

/// `eventlift.toml` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    source: toml::Table,
    target: Option<toml::Table>,
    read_models: Option<toml::Table>,
    #[serde(default)]
    policy: Policies,
    #[serde(default)]
    quarantine: quarantine_settings::Written,
    #[serde(default)]
    transformers: DefinitionsSection,
    #[serde(default)]
    projections: DefinitionsSection,
    #[serde(default)]
    rebuild: rebuild_settings::Written,
    #[serde(default)]
    retry: retry_settings::Written,
    #[serde(default)]
    take_over: take_over_settings::Written,
    #[serde(default)]
    cutover: cutover_settings::Written,
    #[serde(default)]
    throttle: throttle_settings::Written,
    #[serde(default)]
    reverse: ReverseSettings,
    #[serde(default)]
    checks: check_settings::Written,
    #[serde(default)]
    check: Vec<check_settings::WrittenCheck>,
    #[serde(default)]
    schedule: BTreeMap<String, schedules::Written>,
    #[serde(default)]
    keys: BTreeMap<String, KeySource>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DefinitionsSection {
    folder: Option<PathBuf>,
}

/// A project that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file or folder it is about.
    pub path: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to read {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    fn new(path: &Path, message: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), line: None, message: message.to_string(), hint: None }
    }

    fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }
}

impl Project {
    /// Reads the project in a folder.
    pub fn load(folder: &Path) -> Result<Self, ConfigError> {
        let folder = in_this_folder(folder);
        let path = folder.join(FILE_NAME);
        if std::fs::metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Err(ConfigError::new(&path, "it does not exist")
                .hint("name a project's folder, or make one with `eventlift init FOLDER`"));
        }
        let text = definition_files::text_of(&path)?;
        Self::parse(&folder, &text)
    }

    /// Reads the text of an `eventlift.toml` in `folder`.
    pub fn parse(folder: &Path, text: &str) -> Result<Self, ConfigError> {
        let path = folder.join(FILE_NAME);
        let written: Written = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_at(text, span.start));
            ConfigError { line, hint: misspelt(error.message()), ..ConfigError::new(&path, error.message()) }
        })?;
        let invalid_store = |section: &str, invalid: InvalidStore| {
            let message = format!("[{section}]: {invalid}");
            let line = store_line(text, section, &invalid);
            ConfigError { line, hint: misspelt(&message), ..ConfigError::new(&path, message) }
        };
        let store = |section: &str, table: toml::Table| {
            StoreConfig::from_table(table, folder).map_err(|invalid| invalid_store(section, invalid))
        };
        let mut read_models_section = written.read_models;
        let name = read_models_section.as_mut().and_then(|table| table.remove("project"));
        let name = name.map(|name| match name {
            toml::Value::String(name) if !name.trim().is_empty() => Ok(name),
            _ => Err(ConfigError {
                line: line_of(text, &["read_models", "project"]),
                ..ConfigError::new(&path, "[read_models] project is no name")
                    .hint("it is what the project is called among those in one database: project = \"shop\"")
            }),
        });
        let read_models = |table: toml::Table| {
            ReadModelConfig::from_table(table, folder).map_err(|invalid| invalid_store("read_models", invalid))
        };
        let wrong_value = |wrong: WrongValue| {
            let keys: Vec<&str> = wrong.keys.iter().map(String::as_str).collect();
            let line = line_of(text, &keys);
            ConfigError { line, hint: wrong.hint, ..ConfigError::new(&path, wrong.message) }
        };
        let mut source = store("source", written.source)?;
        let mut target = written.target.map(|table| store("target", table)).transpose()?;
        if let Some(key) = target.as_ref().and_then(StoreConfig::source_key) {
            let message = format!("[target]: `{key}` is for a source, whose table may be one of somebody else's");
            return Err(ConfigError { line: line_of(text, &["target", key]), ..ConfigError::new(&path, message) });
        }
        let policies = written.policy;
        // What the project allows need not be allowed by its source once more.
        if policies.revisions == Revisions::Sparse {
            source.allow_gaps();
        }
        source.set_ids(policies.ids);
        source.beside(target.as_ref());
        if let Some(target) = &mut target {
            target.beside(Some(&source));
        }
        Ok(Self {
            folder: folder.to_owned(),
            name: name.transpose()?,
            source,
            target,
            read_models: read_models_section.map(read_models).transpose()?,
            policies,
            quarantine: written.quarantine.limits(),
            names_transformers: written.transformers.folder.is_some(),
            transformers: folder.join(written.transformers.folder.as_deref().unwrap_or(Path::new("transformers"))),
            names_projections: written.projections.folder.is_some(),
            projections: folder.join(written.projections.folder.as_deref().unwrap_or(Path::new("projections"))),
            rebuild: written.rebuild.settings(folder).map_err(wrong_value)?,
            reverse: written.reverse,
            retry: written.retry.policy().map_err(wrong_value)?,
            take_over: written.take_over.settings().map_err(wrong_value)?,
            cutover: written.cutover.settings().map_err(wrong_value)?,
            throttle: written.throttle.settings().map_err(wrong_value)?,
            checks: written.checks.settings(written.check).map_err(wrong_value)?,
            schedules: schedules::read(written.schedule).map_err(wrong_value)?,
            keys: written.keys,
        })
    }

    /// Where events are written to. Fails where the project has no target.
    pub fn require_target(&self) -> Result<&StoreConfig, ConfigError> {
        self.target.as_ref().ok_or_else(|| {
            ConfigError::new(&self.folder.join(FILE_NAME), "there is no [target]")
                .hint("name the store that lifted events are written to; only read models can be built without one")
        })
    }

    /// Where read models are kept. Fails where the project keeps none.
    pub fn require_read_models(&self) -> Result<&ReadModelConfig, ConfigError> {
        self.read_models.as_ref().ok_or_else(|| {
            ConfigError::new(&self.folder.join(FILE_NAME), "there is no [read_models]")
                .hint("name the database that read models are kept in: store = \"sqlite\", path = \"read_models.db\"")
        })
    }

    /// What is built when. Fails where the project has no schedule.
    pub fn require_schedules(&self) -> Result<&[Schedule], ConfigError> {
        match self.schedules.is_empty() {
            false => Ok(&self.schedules),
            true => Err(ConfigError::new(&self.folder.join(FILE_NAME), "there is no [schedule.NAME]")
                .hint("for example [schedule.nightly] with cron = \"0 2 * * *\" and rebuild = \"changed\"")),
        }
    }

    /// The names of the projections that schedules name, each with the schedule's name, in the order of the schedules.
    pub fn scheduled_projections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.schedules.iter().flat_map(|schedule| {
            schedule.task().names().unwrap_or_default().iter().map(|name| (schedule.name(), name.as_str()))
        })
    }

    /// What is wrong with the schedules, where the project has projections of these names: every name that is not
    /// among them.
    pub fn wrong_schedules(&self, projections: &[&str]) -> Vec<ConfigError> {
        let path = self.folder.join(FILE_NAME);
        // Where it can't be read again, only the lines are not known.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let unknown = self.scheduled_projections().filter(|(_, name)| !projections.contains(name));
        let problem = |(schedule, name): (&str, &str)| {
            let message = format!("[schedule.{schedule}]: there is no projection {name:?}");
            let line = ["rebuild", "update"].iter().find_map(|key| exact_line_of(&text, &["schedule", schedule, key]));
            let known = || match projections.is_empty() {
                true => "the project has no projections".to_owned(),
                false => format!("the project has {}", projections.join(", ")),
            };
            let hint = did_you_mean(name, projections.iter().copied()).unwrap_or_else(known);
            ConfigError { line, hint: Some(hint), ..ConfigError::new(&path, message) }
        };
        unknown.map(problem).collect()
    }

    /// The file in which `serve` remembers its schedules.
    pub fn seen_schedules_file(&self) -> PathBuf {
        self.folder.join(".eventlift").join("schedules.json")
    }

    /// The file that says what is asked of a run while it runs.
    pub fn control_file(&self) -> PathBuf {
        self.folder.join(".eventlift").join("control.json")
    }

    /// The file that says how the run is that a process is at.
    pub fn running_file(&self) -> PathBuf {
        self.folder.join(".eventlift").join("running.json")
    }

    /// The definition files (`.toml`) and the schemas that they may refer to (`.json`), path and text each, in the
    /// order of their paths, from the transformers' folder and the folders in it. Paths start at the project's
    /// folder. No folder means no definitions, unless `eventlift.toml` names it. Each folder is read once, whatever
    /// links lead to it. What editors and operating systems leave beside a file is left alone.
    pub fn definitions(&self) -> Result<Vec<(PathBuf, String)>, ConfigError> {
        self.require_folder(&self.transformers, self.names_transformers, "transformers")?;
        self.texts_in(&self.transformers, &["toml", "json"])
    }

    /// The projections' definition files (`.toml`), in the same way, from the projections' folder and the folders in
    /// it.
    pub fn projections(&self) -> Result<Vec<(PathBuf, String)>, ConfigError> {
        self.require_folder(&self.projections, self.names_projections, "projections")?;
        self.texts_in(&self.projections, &["toml"])
    }

    fn require_folder(&self, folder: &Path, is_named: bool, section: &str) -> Result<(), ConfigError> {
        if is_named && is_missing(folder) {
            return Err(ConfigError::new(folder, "it does not exist")
                .hint(format_args!("correct `folder` under [{section}] in eventlift.toml")));
        }
        Ok(())
    }

    /// The files with these extensions in a folder and the folders in it; none where there is no such folder.
    fn texts_in(&self, folder: &Path, extensions: &[&str]) -> Result<Vec<(PathBuf, String)>, ConfigError> {
        if is_missing(folder) {
            return Ok(Vec::new());
        }
        let paths = definition_files::paths_in(folder, extensions)?;
        let read = |path: PathBuf| {
            let text = definition_files::text_of(&path)?;
            Ok((path.strip_prefix(&self.folder).map(Path::to_owned).unwrap_or(path), text))
        };
        paths.into_iter().map(read).collect()
    }

    /// The named secrets, read from the environment.
    pub fn read_keys(&self) -> Result<Keys, ConfigError> {
        let mut keys = Keys::new();
        for (name, source) in &self.keys {
            let secret = std::env::var_os(&source.env).filter(|secret| !secret.is_empty()).ok_or_else(|| {
                let path = self.folder.join(FILE_NAME);
                ConfigError::new(
                    &path,
                    format_args!("[keys] {name}: the environment variable {} is not set", source.env),
                )
                .hint(format_args!("export {}=… with the secret; it is never written anywhere", source.env))
            })?;
            keys.insert(name, secret.into_encoded_bytes());
        }
        Ok(keys)
    }
}

/// A folder as paths in it are to be shown: without `./` in front.
pub(crate) fn in_this_folder(folder: &Path) -> PathBuf {
    folder.strip_prefix(".").unwrap_or(folder).to_owned()
}

fn is_missing(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// A value in `eventlift.toml` that is wrong.
struct WrongValue {
    /// The keys that lead to it, the outermost first.
    keys: Vec<String>,
    message: String,
    hint: Option<String>,
}

/// The line of the last of these keys that is there, each in the table of the one before it.
fn line_of(text: &str, keys: &[&str]) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut offset = None;
    for key in keys {
        let Some((found, value)) = table.get_key_value(*key) else { break };
        offset = Some(found.span().start);
        let Some(inner) = value.get_ref().as_table() else { break };
        table = inner;
    }
    offset.map(|offset| line_at(text, offset))
}

/// The line of the last of these keys; none where one of them is not there.
fn exact_line_of(text: &str, keys: &[&str]) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let (last, outer) = keys.split_last()?;
    let mut table = document.get_ref();
    for key in outer {
        table = table.get(*key)?.get_ref().as_table()?;
    }
    let (found, _) = table.get_key_value(*last)?;
    Some(line_at(text, found.span().start))
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The line of the key that is wrong with a store, or of its section.
fn store_line(text: &str, section: &str, invalid: &InvalidStore) -> Option<usize> {
    let key = match invalid {
        InvalidStore::UnknownKind(_) | InvalidStore::NoReadModels(_) => Some("store"),
        InvalidStore::Key(message) => quoted(message),
        InvalidStore::Scheme(_) | InvalidStore::WithoutKurrent | InvalidStore::NoScheme | InvalidStore::UrlAndPath => {
            Some("url")
        }
        InvalidStore::NoKind => None,
    };
    let keys: Vec<&str> = std::iter::once(section).chain(key).collect();
    line_of(text, &keys)
}

/// The first name between back quotes.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// A suggestion for serde's "unknown field `x`, expected one of `y`, `z`".
fn misspelt(message: &str) -> Option<String> {
    let (_, names) = message.split_once("unknown field ").or_else(|| message.split_once("there is no store "))?;
    let mut names = names.split('`').skip(1).step_by(2);
    let found = names.next()?;
    let expected: Vec<&str> =
        if message.contains("there is no store") { crate::stores::KINDS.to_vec() } else { names.collect() };
    did_you_mean(found, expected)
}

/// The closest of the names that could be meant, if one is close.
fn did_you_mean<'a>(found: &str, expected: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let closest = expected
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(found, a).total_cmp(&strsim::jaro_winkler(found, b)))?;
    (strsim::jaro_winkler(found, closest) > 0.7).then(|| format!("did you mean `{closest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> ConfigError {
        Project::parse(Path::new("shop"), text).unwrap_err()
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let found =
            error("[source]\nstore = \"sqlite\"\npth = \"a.db\"\n[target]\nstore = \"sqlite\"\npath = \"b.db\"\n");
        assert_eq!(
            found.to_string(),
            "failed to read shop/eventlift.toml:3: [source]: unknown field `pth`, expected `path`"
        );
        assert_eq!(found.hint.as_deref(), Some("did you mean `path`?"));

        let found =
            error("[source]\nstore = \"sqlite\"\npath = \"a.db\"\n[traget]\nstore = \"sqlite\"\npath = \"b.db\"\n");
        assert_eq!(found.line, Some(4));
        assert_eq!(found.hint.as_deref(), Some("did you mean `target`?"));

        let found =
            error("[source]\nstore = \"sqllite\"\npath = \"a.db\"\n[target]\nstore = \"sqlite\"\npath = \"b.db\"\n");
        assert_eq!((found.line, found.hint.as_deref()), (Some(2), Some("did you mean `sqlite`?")));
    }

    #[test]
    fn gaps_that_the_policy_allows_are_read() {
        let project = |source: &str, policy: &str| {
            let text = format!("[source]\nstore = \"file\"\npath = \"a\"\n{source}\n[policy]\n{policy}\n");
            let project = Project::parse(Path::new("shop"), &text).unwrap();
            (project.source.allows_gaps(), project.policies.revisions == Revisions::Sparse)
        };
        for (source, policy, expected) in [
            ("", "", (false, false)),
            ("", "revisions = \"sparse\"", (true, true)),
            ("revisions = \"sparse\"", "", (true, false)),
            ("revisions = \"dense\"", "revisions = \"sparse\"", (false, true)),
        ] {
            assert_eq!(project(source, policy), expected, "{source} {policy}");
        }
    }

    #[test]
    fn what_only_a_source_has_is_refused_in_a_target() {
        let text = "[source]\nstore = \"sqlite\"\npath = \"a.db\"\n[target]\nstore = \"sqlite\"\npath = \"b.db\"\n\
                    [target.columns]\nrevision_base = 1\n";
        assert_eq!(
            error(text).to_string(),
            "failed to read shop/eventlift.toml:7: [target]: `columns` is for a source, whose table may be one of \
             somebody else's"
        );
        let text = text.replace("[target.columns]", "[source.columns]");
        assert!(Project::parse(Path::new("shop"), &text).is_ok());
        assert!(error(&text.replace("= 1", "= 2")).to_string().contains("revision_base is 2"));
    }

    #[test]
    fn paths_start_at_the_project() {
        let text = "[source]\nstore = \"sqlite\"\npath = \"a.db\"\n[target]\nstore = \"sqlite\"\npath = \"/b.db\"\n";
        let project = Project::parse(Path::new("shop"), text).unwrap();
        assert_eq!(project.source.local_file(), Some(Path::new("shop/a.db")));
        assert_eq!(project.target.unwrap().local_file(), Some(Path::new("/b.db")));
    }
}
