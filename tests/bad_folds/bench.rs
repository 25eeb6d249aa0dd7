//! A project with read models, the commands run on it, and what they said.

use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use crate::command_line::{assert_session, eventlift, session};

/// Read models straight from a file of events.
pub(super) const FROM_FILE: &str = r#"
[source]
store = "file"
path = "events.ndjson"

[read_models]
store = "sqlite"
path = "read.db"
"#;

/// Read models from the target of a migration.
pub(super) const FROM_TARGET: &str = r#"
[source]
store = "file"
path = "events.ndjson"

[target]
store = "sqlite"
path = "target.db"

[read_models]
store = "sqlite"
path = "read.db"
"#;

pub(super) const ACCOUNTS: &str = r#"
[table.accounts]
key = "id"
columns = { id = "text", name = "text", moves = "integer", balance = "numeric", opened = "time", notes = "json" }

[[on]]
event = "Opened"
version = 1
key = "/id"
set = { name = "/name", opened = { data = "/at" } }
append = { notes = "/note" }

[[on]]
event = "Moved"
version = 1
key = "/id"
add = { moves = { data = "/count", default = 1 }, balance = { data = "/amount", default = 0 } }
"#;

/// A line of a log.
pub(super) fn line(number: u64, event_type: &str, revision: u64, data: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"urn:test\",\"type\":\"{event_type}\",\
         \"subject\":\"account-1\",\"time\":\"2024-05-01T12:00:00Z\",\"sequence\":{number},\
         \"streamrevision\":{revision},\"data\":{data}}}\n"
    )
}

/// A log of one stream.
pub(super) fn log(events: &[(&str, &str)]) -> String {
    (1..).zip(events).map(|(number, (event_type, data))| line(number, event_type, number - 1, data)).collect()
}

/// Three events that nothing is wrong with.
pub(super) const GOOD: [(&str, &str); 3] = [
    ("Opened", r#"{"id":"a","name":"Ada"}"#),
    ("Moved", r#"{"id":"a","amount":10.10}"#),
    ("Moved", r#"{"id":"b","amount":0.20}"#),
];

/// The log that begins with those three.
pub(super) fn good_and(events: &[(&str, &str)]) -> String {
    log(&[&GOOD[..], events].concat())
}

/// A project in the folder `p` of a folder that is deleted when the test ends, and what was said about it.
pub(super) struct Bench {
    folder: TempDir,
    said: String,
}

impl Bench {
    pub(super) fn new(toml: &str) -> Self {
        let mut bench = Self { folder: tempfile::tempdir().unwrap(), said: String::new() };
        bench.write("eventlift.toml", toml);
        bench
    }

    /// The good log and its accounts, built once.
    pub(super) fn built(toml: &str) -> Self {
        let mut bench = Self::new(toml);
        bench.write("events.ndjson", log(&GOOD)).write("projections/accounts.toml", ACCOUNTS);
        bench.quietly(if toml.contains("[target]") { "migrate p" } else { "rebuild p" });
        bench
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("p").join(name)
    }

    pub(super) fn write(&mut self, name: &str, content: impl AsRef<[u8]>) -> &mut Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(super) fn remove(&mut self, name: &str) -> &mut Self {
        std::fs::remove_file(self.path(name)).unwrap();
        self
    }

    /// Says in the snapshot what comes.
    pub(super) fn about(&mut self, what: &str) -> &mut Self {
        self.said.push_str(&format!("# {what}\n"));
        self
    }

    /// Runs a command that has to go through, and leaves no trace in the snapshot.
    #[track_caller]
    pub(super) fn quietly(&mut self, arguments: &str) -> String {
        let said = self.session(arguments);
        assert!(said.ends_with("--- exit code 0\n"), "{said}");
        said
    }

    /// Runs a command that has to go through.
    #[track_caller]
    pub(super) fn works(&mut self, arguments: &str) -> &mut Self {
        let said = self.quietly(arguments);
        self.said.push_str(&said);
        self.said.push('\n');
        assert!(self.left_beside("read.db").is_empty(), "{:?}", self.left_beside("read.db"));
        self
    }

    /// Runs a command that fails, as text and as JSON, which must say the same; the database stays what it is.
    #[track_caller]
    pub(super) fn fails(&mut self, code: i32, arguments: &str) -> &mut Self {
        let before = self.state();
        let said = self.session(arguments);
        let json = self.session(&format!("{arguments} --json"));
        let json: String = json.lines().filter(|line| !line.starts_with("$ ") && !line.starts_with("---")).collect();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let error = &json["error"];
        let hint = error["hint"].as_str().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let text = format!("error: {}{hint}\n", error["message"].as_str().unwrap_or_default());
        assert!(said.contains(&text), "{said}\n{text}");
        assert!(said.ends_with(&format!("--- exit code {code}\n")), "{said}");
        assert_eq!(error["exit_code"], code, "{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(before, self.state(), "the database is not what it was: {said}");
        assert!(self.left_beside("read.db").is_empty(), "{:?}", self.left_beside("read.db"));
        self.said.push_str(&said);
        self.said.push('\n');
        self
    }

    /// Runs a command, whatever comes of it.
    pub(super) fn runs(&mut self, arguments: &str) -> &mut Self {
        let said = self.session(arguments);
        assert!(!said.contains("panicked"), "{said}");
        self.said.push_str(&said);
        self.said.push('\n');
        self
    }

    /// The exit code and what was said, of a command whose traces are somebody else's.
    pub(super) fn raw(&self, arguments: &str) -> (i32, String) {
        let output = eventlift(self.folder.path(), &arguments.split(' ').collect::<Vec<_>>());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn session(&self, arguments: &str) -> String {
        session(self.folder.path(), &arguments.split(' ').collect::<Vec<_>>())
    }

    /// Shows the rows that a query yields.
    pub(super) fn shows(&mut self, query: &str) -> &mut Self {
        let rows = self.query(query).join("\n");
        self.said.push_str(&format!("sqlite> {query}\n{rows}\n\n"));
        self
    }

    pub(super) fn query(&self, query: &str) -> Vec<String> {
        rows(&Connection::open(self.path("read.db")).unwrap(), query)
    }

    pub(super) fn execute(&mut self, sql: &str) -> &mut Self {
        Connection::open(self.path("read.db")).unwrap().execute_batch(sql).unwrap();
        self
    }

    /// Everything in the database but the ledger of the runs, which records failures, and the numbers of builds.
    fn state(&self) -> Vec<String> {
        let path = self.path("read.db");
        if !path.is_file() || std::fs::metadata(&path).unwrap().len() == 0 {
            return Vec::new();
        }
        let Ok(connection) = Connection::open(&path) else { return Vec::new() };
        tables(&connection)
            .iter()
            .filter(|table| !["eventlift_rebuilds", "eventlift_generations"].contains(&&***table))
            .flat_map(|table| {
                let rows = rows(&connection, &format!("SELECT * FROM \"{table}\""));
                // The record is made where there is none, also by what fails.
                let is_told = !rows.is_empty() || !table.starts_with("eventlift_");
                is_told.then(|| table.clone()).into_iter().chain(rows)
            })
            .collect()
    }

    /// Shadow tables, and locks that are still held.
    fn left_beside(&self, name: &str) -> Vec<String> {
        let Ok(true) = self.path(name).try_exists() else { return Vec::new() };
        let mut left = Vec::new();
        if let Ok(connection) = Connection::open(self.path(name)) {
            left.extend(tables(&connection).into_iter().filter(|table| table.ends_with("__next")));
        }
        for entry in std::fs::read_dir(self.path(".")).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.to_string_lossy().ends_with("-lock")
                && std::fs::File::open(&path).is_ok_and(|file| file.try_lock().is_err())
            {
                left.push(path.display().to_string());
            }
        }
        left
    }

    /// Fails unless the tables are those that the same project builds from nothing.
    #[track_caller]
    pub(super) fn is_as_built_anew(&mut self) -> &mut Self {
        let path = self.path("anew.db");
        let _ = std::fs::remove_file(&path);
        let output = eventlift(self.folder.path(), &["rebuild", "p", "--all", "--into", "p/anew.db"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let anew = Connection::open(&path).unwrap();
        let here = Connection::open(self.path("read.db")).unwrap();
        for table in tables(&anew).into_iter().filter(|table| !table.starts_with("eventlift_")) {
            let all = format!("SELECT * FROM \"{table}\" ORDER BY 1");
            assert_eq!(rows(&here, &all), rows(&anew, &all), "{table}");
        }
        self
    }

    /// Compares all that was said with the snapshot of that name.
    pub(super) fn is(&self, name: &str) {
        let text = self.said.replace(self.folder.path().to_str().unwrap(), "[folder]");
        // How far a fold was when it was saved depends on the number of cores.
        let lines = text.lines().filter(|line| !line.starts_with("went on behind the "));
        let lines = lines.filter(|line| !is_progress(line));
        let text: String = lines.map(|line| format!("{}\n", timeless(&hashless(line)))).collect();
        assert_session(&format!("bad_folds_{name}"), &text);
    }
}

fn tables(connection: &Connection) -> Vec<String> {
    let Ok(mut statement) = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    else {
        return Vec::new();
    };
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn rows(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row<'_>| {
        let cells = (0..columns).map(|column| match row.get_ref(column).unwrap() {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(blob) => format!("{blob:?}"),
        });
        Ok(cells.collect::<Vec<_>>().join("|"))
    };
    statement.query_map([], text).unwrap().map(Result::unwrap).collect()
}

/// Folders of rows that were put aside are called by a hash of where the database is.
fn hashless(line: &str) -> String {
    let is_hash = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let shown = |word: &str| {
        let bare = word.trim_end_matches([':', ',']);
        if is_hash(bare) { word.replace(bare, "[hash]") } else { word.to_owned() }
    };
    let words = |part: &str| part.split(' ').map(shown).collect::<Vec<_>>().join(" ");
    line.split('/').map(words).collect::<Vec<_>>().join("/")
}

/// A line that comes only where the machine is slow.
fn is_progress(line: &str) -> bool {
    line.contains(" events, ") && line.contains(" a second")
}

fn timeless(line: &str) -> String {
    for what in ["done in ", "verified in "] {
        if line.starts_with(what) {
            return format!("{what}[time]");
        }
    }
    line.to_owned()
}
