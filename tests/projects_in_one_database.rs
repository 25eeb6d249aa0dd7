//! Two projects that keep read models in one database: none touches what the other has made.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::project::Project;

const TABLES: &str = r#"
projection = "customers"

[table.customers]
key = "id"
columns = { id = "text", name = "text" }

[table.names]
of = "customers"
key = "name"
columns = { name = "text", customers = "integer" }
count = "customers"

[[on]]
event = "Named"
version = 1
table = "customers"
key = "/id"
set = { name = "/name" }
"#;

const AGGREGATE: &str = r#"
aggregate = "people"
state = { name = "text" }

[[on]]
event = "Named"
version = 1
set = { name = "/name" }
"#;

/// A log in which somebody gets some names, one after the other.
fn log(stream: &str, names: &[&str]) -> String {
    let line = |(number, name): (usize, &&str)| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{stream}-{number}\",\"source\":\"urn:test\",\"type\":\"Named\",\
             \"subject\":\"{stream}\",\"time\":\"2024-05-01T12:00:00Z\",\"sequence\":{},\"streamrevision\":{number},\
             \"data\":{{\"id\":\"{stream}\",\"name\":\"{name}\"}}}}\n",
            number + 1
        )
    };
    names.iter().enumerate().map(line).collect()
}

fn project(database: &Path, more: &str, stream: &str) -> Project {
    let project = Project::new(&format!(
        "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n\n[target]\nstore = \"sqlite\"\npath = \"out.db\"\n\n\
         [read_models]\nstore = \"sqlite\"\npath = {:?}\n{more}\n\n\
         [schedule.yearly]\ncron = \"0 0 1 1 *\"\nrebuild = \"all\"\n",
        database.to_str().unwrap()
    ));
    project.write("events.ndjson", log(stream, &["Ada"]));
    project.write("projections/customers.toml", TABLES);
    project.write("projections/people.toml", AGGREGATE);
    project
}

/// Everything in the database but when it was done.
fn content(database: &Path) -> Vec<String> {
    let connection = Connection::open(database).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut lines = texts("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name");
    for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let columns: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        lines.extend(texts(&format!("SELECT '{table} ' || {} FROM \"{table}\"", columns.join(" || ' ' || "))));
    }
    lines
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn another_project_changes_nothing_whatever_it_is_asked_for() {
    let shared = tempfile::tempdir().unwrap();
    let database = shared.path().join("shared.db");
    let first = project(&database, "", "u-1");
    assert_eq!(first.migrate().code, Some(0));
    assert_eq!(first.run("rebuild", ["--all"]).code, Some(0));
    let before = content(&database);

    let second = project(&database, "", "u-2");
    // A new target is built beside; one that is there, behind it.
    let beside = second.migrate();
    assert!(beside.code != Some(0) && beside.stderr.contains("another project"), "{}", beside.stderr);
    assert_eq!(content(&database), before);
    fs::remove_dir_all(second.path("projections")).unwrap();
    assert_eq!(second.migrate().code, Some(0));
    second.write("projections/customers.toml", TABLES).write("projections/people.toml", AGGREGATE);
    let refused = |command: &str, arguments: &[&str]| {
        let output = second.run(command, arguments);
        assert_ne!(output.code, Some(0), "{command} {arguments:?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("another project, the one in "), "{command} {arguments:?}: {said}");
        assert_eq!(content(&database), before, "{command} {arguments:?}");
    };
    refused("migrate", &[]);
    for arguments in [&["--all"][..], &["customers"], &["--since"], &["--undo"], &["--drop-old"], &["--from", "source"]]
    {
        refused("rebuild", arguments);
    }
    // As if it had been there for long, and never been run.
    let missed = r#"{"yearly":{"times":"0 0 1 1 * UTC","since":"2020-01-01T00:00:00Z","done":null}}"#;
    second.write(".eventlift/schedules.json", missed);
    refused("serve", &["--once"]);
    // Looking is free.
    assert_eq!(second.run("status", [] as [&str; 0]).code, Some(0));
    assert_eq!(second.run("rebuild", ["--dry-run"]).code, Some(0));
    assert_eq!(content(&database), before);

    // Told to, it takes them, and then they are the other's.
    let taken = second.run("rebuild", ["--take-over"]);
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    assert_eq!(second.run("rebuild", ["--all"]).code, Some(0));
    let output = first.run("rebuild", ["--all"]);
    assert!(output.code != Some(0) && output.stderr.contains("another project"), "{}", output.stderr);
}

#[test]
fn a_project_stays_itself_where_it_is_moved_and_is_another_where_it_is_copied() {
    let shared = tempfile::tempdir().unwrap();
    let database = shared.path().join("shared.db");
    let first = project(&database, "", "u-1");
    assert_eq!(first.migrate().code, Some(0));

    // A copy that has come to hold other events.
    let second = Project::new("");
    copy(first.folder(), second.folder());
    second.write("events.ndjson", log("u-2", &["Emmy"]));
    let refused = second.run("rebuild", ["--all", "--from", "source"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("another project"), "{}", refused.stderr);

    // Moved, with its files.
    let third = Project::new("");
    copy(first.folder(), third.folder());
    fs::remove_dir_all(first.path(".eventlift")).unwrap();
    let rebuilt = third.run("rebuild", ["--all"]);
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);

    // And with another source in its place, it is the same project all the same.
    third.write("events.ndjson", log("u-3", &["Mary", "Maria"]));
    let rebuilt = third.run("rebuild", ["--all", "--from", "source"]);
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
}

#[test]
fn a_name_is_the_project_wherever_it_is() {
    let shared = tempfile::tempdir().unwrap();
    let database = shared.path().join("shared.db");
    let first = project(&database, "project = \"shop\"", "u-1");
    assert_eq!(first.migrate().code, Some(0));
    assert!(!first.path(".eventlift/project").exists());
    let clone = project(&database, "project = \"shop\"", "u-1");
    let migrated = clone.migrate();
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let other = project(&database, "project = \"office\"", "u-1");
    let refused = other.migrate();
    assert!(refused.stderr.contains("another project, \"shop\""), "{}", refused.stderr);
    // The same store, and yet another project: the names say so.
    let toml = fs::read_to_string(other.path("eventlift.toml")).unwrap();
    let source = clone.path("events.ndjson");
    other.write("eventlift.toml", toml.replace("\"events.ndjson\"", &format!("{:?}", source.to_str().unwrap())));
    let refused = other.run("rebuild", ["--all", "--from", "source"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("another project"), "{}", refused.stderr);
    let nameless = project(&database, "project = 7", "u-1").migrate();
    assert!(nameless.stderr.contains("project is no name"), "{}", nameless.stderr);
}
