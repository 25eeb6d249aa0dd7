//! `init`: a starter project, from a store's own contents where given one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use eventlift_transformers::{Operation, Registry};
use serde::Serialize;

use super::arguments::InitArguments;
use super::error::CommandError;
use super::output::{Report, command};
use crate::config::{FILE_NAME, in_this_folder};
use crate::pipeline::{Covered, Policies, Stop, Survey, SurveyOptions, survey};
use crate::stores::file::{Attribute, Attributes, FileConfig, Proposal, propose};
use crate::stores::{Ids, StoreConfig};

/// Events that are looked at to learn the types: enough to find them, not a whole store.
const LOOKED_AT: u64 = 1_000_000;

/// The file that a starter reads.
const EVENTS: &str = "events.ndjson";

/// What was made.
#[derive(Debug, Serialize)]
pub(super) struct InitReport {
    folder: String,
    files: Vec<String>,
    /// Types that stand in more than one version.
    to_lift: Vec<String>,
    /// Whether the URL held a password, which is not written.
    password_left_out: bool,
}

/// Where a starter's events are.
struct Start {
    store: StoreConfig,
    /// The project's `eventlift.toml`.
    text: String,
    has_password: bool,
}

/// Makes a project. Nothing is written unless everything can be.
pub(super) async fn init(arguments: &InitArguments) -> Result<InitReport, CommandError> {
    let folder = &in_this_folder(&arguments.folder);
    let (events, transformers) = (folder.join(EVENTS), folder.join("transformers"));
    // The events that the starter would read are there already: it starts from them.
    let from = arguments.from.clone().or_else(|| events.exists().then(|| events.clone()));
    let (mut to_lift, mut has_password) = (Vec::new(), false);
    let files = match &from {
        Some(path) => {
            let start = start_at(folder, path)?;
            has_password = start.has_password;
            let found = look_at(&start.store).await?;
            let mut files = BTreeMap::from([(folder.join(FILE_NAME), start.text)]);
            for versions in several_versions(&found) {
                let Some(newest) = versions.last() else { continue };
                let name = newest.event_type.to_string();
                insert(&mut files, &transformers, &file_stem(&name), definition_text(&versions));
                to_lift.push(name);
            }
            if let Some(text) = currents_text(&found) {
                insert(&mut files, &transformers, "current", text);
            }
            files
        }
        None => BTreeMap::from([
            (folder.join(FILE_NAME), config_text("file", EVENTS)),
            (transformers.join("user_created.toml"), EXAMPLE.to_owned()),
            (events, EXAMPLE_EVENTS.to_owned()),
        ]),
    };
    Ok(InitReport {
        folder: arguments.folder.display().to_string(),
        files: write_all_new(files)?,
        to_lift,
        password_left_out: has_password,
    })
}

/// What a store holds, as far as it is looked at.
async fn look_at(store: &StoreConfig) -> Result<Survey, CommandError> {
    let options = SurveyOptions {
        scope: eventlift_events::Scope::All,
        after: None,
        samples: 1,
        limit: Some(LOOKED_AT),
        policies: Policies::default(),
        gaps_are_found_later: false,
    };
    let registry = Registry::builder().build()?;
    Ok(survey(&*store.reader().await?, &registry, &options, &Stop::never(), |_| {}).await?)
}

/// The path as a project's file names it: from the folder on where the store is in it, so that both can be moved.
fn path_from(folder: &Path, store: &Path) -> String {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or(path.to_owned());
    let folder = real(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let store = real(store);
    store.strip_prefix(folder).unwrap_or(&store).display().to_string()
}

fn start_at(folder: &Path, from: &Path) -> Result<Start, CommandError> {
    #[cfg(feature = "postgres")]
    if let Some(url) = from.to_str().filter(|from| ["postgres:", "postgresql:"].iter().any(|s| from.starts_with(s))) {
        return start_at_server(folder, url);
    }
    let path = path_from(folder, from);
    #[cfg(feature = "sqlite")]
    if from.extension().is_some_and(|e| e == "db" || e == "sqlite" || e == "sqlite3") {
        let store = StoreConfig::Sqlite(crate::stores::sqlite::SqliteConfig::new(from));
        return Ok(Start { store, text: config_text("sqlite", &path), has_password: false });
    }
    start_at_file(from, &path)
}

/// A file of events, with the attributes that it seems to have.
fn start_at_file(from: &Path, path: &str) -> Result<Start, CommandError> {
    let mut config = FileConfig::new(from);
    // A pipe could not be read again.
    let proposal = if from.is_file() { propose(&config)? } else { Proposal::default() };
    if !proposal.missing.is_empty() {
        let names: Vec<String> = proposal.names.iter().map(|name| format!("`{name}`")).collect();
        let problem =
            format!("none of its attributes ({}) looks like {}", names.join(", "), proposal.missing.join(", "));
        return Err(CommandError::FromFile { path: path.to_owned(), problem });
    }
    config.attributes = proposal.attributes.clone();
    let mut store = StoreConfig::File(Box::new(config));
    if proposal.has_gaps {
        store.allow_gaps();
    }
    if proposal.has_copies {
        store.set_ids(Ids::PerStream);
    }
    let attributes = attributes_text(&proposal.attributes);
    let attributes = if attributes.is_empty() { ATTRIBUTES.to_owned() } else { attributes };
    let sections = file_sections(&toml::Value::String(path.to_owned()), &attributes);
    Ok(Start { store, text: config_of(&sections, &policy_text(&proposal)), has_password: false })
}

/// The attributes that are not the usual ones.
fn attributes_text(attributes: &Attributes) -> String {
    let usual = Attributes::default();
    let name = |attribute: &Attribute| attribute.name().unwrap_or("none").to_owned();
    let named = [
        ("id", &attributes.id, &usual.id),
        ("type", &attributes.event_type, &usual.event_type),
        ("time", &attributes.time, &usual.time),
        ("stream", &attributes.stream, &usual.stream),
        ("revision", &name(&attributes.revision), &name(&usual.revision)),
        ("version", &name(&attributes.version), &name(&usual.version)),
        ("order", &name(&attributes.order), &name(&usual.order)),
        ("metadata", &name(&attributes.metadata), &name(&usual.metadata)),
        ("data", &attributes.data, &usual.data),
    ]
    .map(|(key, found, usual)| (key, found.clone(), found == usual));
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let mut lines: Vec<String> = named
        .iter()
        .filter(|(.., is_usual)| !is_usual)
        .map(|(key, found, _)| format!("{key} = {}", text(found)))
        .collect();
    if attributes.revision_base != usual.revision_base {
        lines.push(format!("revision_base = {}", attributes.revision_base));
    }
    lines.extend(attributes.version_pattern.iter().map(|pattern| format!("version_pattern = {}", text(pattern))));
    if !attributes.versions.is_empty() {
        let versions: Vec<String> =
            attributes.versions.iter().map(|(said, version)| format!("{} = {version}", text(said))).collect();
        lines.push(format!("versions = {{ {} }}", versions.join(", ")));
    }
    if let Some(absent) = attributes.absent_version {
        lines.push(format!(
            "absent_version = {absent}        # of events that say none, as others of their type say it: see to it"
        ));
    }
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "
# Which attribute of a line holds what, by their names and by what is in them. Look over it.
[source.attributes]
{}
",
        lines.join("\n")
    )
}

fn file_sections(path: &toml::Value, attributes: &str) -> String {
    format!(
        "[source]
store = \"file\"
path = {path}
{attributes}
[target]
store = \"sqlite\"
path = \"lifted.db\"
"
    )
}

/// What has to be allowed in a file.
fn policy_text(proposal: &Proposal) -> String {
    let mut text = String::new();
    if proposal.has_gaps || proposal.has_copies {
        text.push_str("[policy]\n");
    }
    if proposal.has_gaps {
        text.push_str("revisions = \"sparse\"        # streams have gaps\n");
    }
    if proposal.has_copies {
        text.push_str("ids = \"per_stream\"          # copies of events in other streams get ids of their own\n");
    }
    text
}

#[cfg(feature = "postgres")]
fn start_at_server(folder: &Path, url: &str) -> Result<Start, CommandError> {
    let table = toml::Table::from_iter([("url".to_owned(), toml::Value::String(url.to_owned()))]);
    let wrong = |problem: &dyn fmt::Display| CommandError::From { problem: problem.to_string() };
    let store = StoreConfig::from_table(table, folder).map_err(|invalid| wrong(&invalid))?;
    let server = crate::stores::postgres::PostgresServer::new(url);
    let (bare, has_password) = server.url_without_password().map_err(|invalid| wrong(&invalid))?;
    let text = config_of(&postgres_sections(&toml::Value::String(bare).to_string()), "");
    Ok(Start { store, text, has_password })
}

/// The source and, in a schema of its own, the target.
#[cfg(feature = "postgres")]
fn postgres_sections(url: &str) -> String {
    format!(
        "# Passwords are no part of a URL here: PGPASSWORD, ~/.pgpass, or one of
# password_env = \"NAME\"        # the environment variable that holds it
# password_file = \"FILE\"       # the file that holds it, and that nobody else can read

[source]
url = {url}
schema = \"public\"
table = \"events\"
# writers = \"stopped\"         # nobody appends while it is read; or \"live\"

[target]
url = {url}
schema = \"lifted\"
data = \"json\"                 # to the byte; or \"jsonb\", normalised, or \"bytea\"
metadata = \"json\"
"
    )
}

fn config_text(kind: &str, path: &str) -> String {
    let path = toml::Value::String(path.to_owned());
    if kind == "file" {
        return config_of(&file_sections(&path, ATTRIBUTES), "");
    }
    let sections = format!(
        "[source]
store = \"{kind}\"
path = {path}

[target]
store = \"sqlite\"
path = \"lifted.db\"
"
    );
    config_of(&sections, "")
}

/// A project's file: its stores, and what of the policy is not as it is by default.
fn config_of(sections: &str, policy: &str) -> String {
    let header = if policy.is_empty() { "# [policy]\n".to_owned() } else { policy.to_owned() };
    format!(
        "# Where events come from and where they go. Relative paths start at this folder.

{sections}
{header}# unknown_types = \"pass\"      # or \"fail\": events of types that no definition names
# unknown_versions = \"fail\"   # or \"pass\": versions without a chain to the current one
# revisions = \"dense\"         # or \"sparse\": streams may have gaps
"
    )
}

const ATTRIBUTES: &str = r#"# Which attribute of a line holds what, where it is not the usual one.
# attributes = { stream = "subject", revision = "streamrevision", version = "dataschema", order = "sequence" }
"#;

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

const EXAMPLE_EVENTS: &str = r#"{"specversion":"1.0","id":"cbe326da-5260-4f9d-88a8-a35a0b819073","source":"/users","type":"UserCreated","subject":"user-7","time":"2024-05-01T12:00:00Z","dataschema":"urn:schema:UserCreated:1","streamrevision":0,"sequence":"1","data":{"id":7,"first_name":"Ada","last_name":"Lovelace"}}
{"specversion":"1.0","id":"0d9c5f0e-3d0b-4f6c-9a53-6f1d6f6c2b11","source":"/users","type":"UserCreated","subject":"user-8","time":"2024-06-01T12:00:00Z","dataschema":"urn:schema:UserCreated:2","streamrevision":0,"sequence":"2","data":{"id":8,"full_name":"Grace Hopper"}}
"#;

/// The versions of each type that has several, ascending.
fn several_versions(found: &Survey) -> Vec<Vec<&Covered>> {
    let mut types: BTreeMap<&str, Vec<&Covered>> = BTreeMap::new();
    for covered in &found.types {
        types.entry(covered.event_type.as_str()).or_default().push(covered);
    }
    types.into_values().filter(|versions| versions.len() > 1).collect()
}

/// The types that stand in one version only, which is taken for the current one.
fn currents_text(found: &Survey) -> Option<String> {
    let mut versions: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for covered in &found.types {
        versions.entry(covered.event_type.as_str()).or_default().push(covered.version.number());
    }
    let mut text = "# Types that stand in one version only. One that is to be changed gets a file of its own instead.
[current]
"
    .to_owned();
    versions.retain(|_, versions| versions.len() == 1);
    for (event_type, versions) in &versions {
        for version in versions {
            text.push_str(&format!("{} = {version}\n", toml::Value::String((*event_type).to_owned())));
        }
    }
    (!versions.is_empty()).then_some(text)
}

/// A definition whose steps are still to be written. A step that does nothing would pass for one that is right, so
/// they are comments, and `check` fails until they are there.
fn definition_text(versions: &[&Covered]) -> String {
    let (Some(oldest), Some(newest)) = (versions.first(), versions.last()) else { return String::new() };
    let mut text = format!(
        "# What makes older events look like the current ones. `eventlift check` says which steps are still missing,
# and runs the test cases.
type = {}
current = {}
",
        toml::Value::String(newest.event_type.to_string()),
        newest.version
    );
    let is_without_gap = versions.windows(2).all(|pair| pair[0].version.number() + 1 == pair[1].version.number());
    if is_without_gap {
        text.push_str(&format!("oldest = {}\n", oldest.version));
    }
    for pair in versions.windows(2) {
        let [older, newer] = pair else { continue };
        text.push_str(&step_text(older, newer));
    }
    text
}

/// A step as a comment, with what is known about both versions.
fn step_text(older: &Covered, newer: &Covered) -> String {
    let (given, then) = (sample_text(older), sample_text(newer));
    let mut text = format!("\n# {} → {}\n", older.version, newer.version);
    for (covered, sample, other) in [(older, &given, &then), (newer, &then, &given)] {
        let version = covered.version;
        text.push_str(&format!(
            "# The first event of version {version}: {}\n",
            sample.as_deref().unwrap_or("not shown")
        ));
        let alone = alone(sample.as_deref(), other.as_deref());
        if !alone.is_empty() {
            text.push_str(&format!("# Only in version {version}: {}\n", alone.join(", ")));
        }
    }
    let to = match older.version.number() + 1 == newer.version.number() {
        true => String::new(),
        false => format!("# to = {}\n", newer.version),
    };
    text.push_str(&format!(
        "# Write the operations, and what the test case yields; then take the `# ` away.
# Operations: {}.
#
# [[upcast]]
# from = {}
{to}# data = [{{ … }}]
#
# [[upcast.test]]
# name = \"the first event of version {}\"
# given = {}
# then = '{{ … }}'
",
        Operation::NAMES.join(", "),
        older.version,
        older.version,
        toml::Value::String(given.unwrap_or_else(|| "{ … }".to_owned())),
    ));
    text
}

/// The data of a version's first event in one line; none where it is not JSON, or too long to look at.
fn sample_text(covered: &Covered) -> Option<String> {
    const LONGEST: usize = 2_000;
    let data = &covered.samples.first()?.data;
    let is_short_json = data.len() <= LONGEST && data.holds_json();
    let text = std::str::from_utf8(data.bytes()).ok().filter(|_| is_short_json)?;
    // Control characters are white space between tokens: in strings they are escaped.
    Some(text.replace(char::is_control, " "))
}

/// The fields at the top of one JSON object that the other has not.
fn alone(one: Option<&str>, other: Option<&str>) -> Vec<String> {
    type Fields = serde_json::Map<String, serde_json::Value>;
    let fields = |text: &str| serde_json::from_str::<Fields>(text).ok();
    let (Some(one), Some(other)) = (one.and_then(fields), other.and_then(fields)) else { return Vec::new() };
    // Written as JSON, a name can't end the comment it stands in.
    let names = one.keys().filter(|name| !other.contains_key(*name));
    names.map(|name| serde_json::Value::from(name.as_str()).to_string()).collect()
}

/// `UserCreated` → `user_created`, whatever characters the type has.
fn file_stem(event_type: &str) -> String {
    /// Well below what file systems take.
    const LONGEST: usize = 60;
    let mut name = String::new();
    for character in event_type.chars().take(LONGEST) {
        if character.is_uppercase() && name.chars().last().is_some_and(|last| last.is_ascii_lowercase()) {
            name.push('_');
        }
        match character.to_lowercase().next() {
            Some(lower) if lower.is_alphanumeric() => name.push(lower),
            _ => name.push('_'),
        }
    }
    name
}

/// Adds a definition file under a name that no other has: several types may come to the same.
fn insert(files: &mut BTreeMap<PathBuf, String>, folder: &Path, stem: &str, text: String) {
    let numbered = (2..).map(|number| folder.join(format!("{stem}_{number}.toml")));
    let mut paths = std::iter::once(folder.join(format!("{stem}.toml"))).chain(numbered);
    if let Some(path) = paths.find(|path| !files.contains_key(path)) {
        files.insert(path, text);
    }
}

/// Writes files by their paths, and their folders; none where one of them is there already. The paths, as text.
pub(super) fn write_all_new(files: BTreeMap<PathBuf, String>) -> Result<Vec<String>, CommandError> {
    if let Some(path) = files.keys().find(|path| path.exists()) {
        return Err(CommandError::Exists(path.display().to_string()));
    }
    let mut written = Vec::new();
    for (path, text) in files {
        write_new(&path, &text)?;
        written.push(path.display().to_string());
    }
    Ok(written)
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
        if self.password_left_out {
            let places = "in PGPASSWORD, in ~/.pgpass, or with `password_env` or `password_file`";
            writeln!(f, "{FILE_NAME} holds no password: give it {places}")?;
        }
        let check = command("check", &self.folder);
        if self.to_lift.is_empty() {
            return write!(f, "next: `{check}`, then `{}`", command("plan", &self.folder));
        }
        writeln!(f, "in several versions, so their steps are to be written: {}", self.to_lift.join(", "))?;
        write!(f, "next: `{check}`, which says what is missing")
    }
}
