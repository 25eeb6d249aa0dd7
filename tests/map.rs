//! `eventlift map`, on the command line.

use super::command_line::{assert_session, eventlift, session};
use super::project::{FILE_TO_SQLITE, Project};

/// Drops B, splits C into two, keeps A.
const RULES: &str = "[current]\nA = 1\nB = 1\nC = 1\n\n[[rule]]\nname = \"drop b\"\nmatch = { types = [\"B\"] }\ndrop = true\n\n[[rule]]\nname = \"split c\"\nmatch = { types = [\"C\"] }\nsplit = [{}, { data = [{ set = \"/part\", value = 2 }] }]\n";

/// Events at positions from 1 on, all of one stream. The last refers to others.
fn migrated() -> Project {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n[read_models]\nstore = \"sqlite\"\npath = \"models.db\"\n"));
    let mut text = String::new();
    for (revision, event_type) in ["B", "A", "C", "B", "A", "A"].into_iter().enumerate() {
        let data = match revision {
            5 => {
                "{\"cause\":3,\"gone\":4,\"as_text\":\"5\",\"at\":{\"stream\":\"cart-1\",\"revision\":4},\"none\":null,\"n\":1.50}"
            }
            _ => "{}",
        };
        text.push_str(&format!(
            "{{\"specversion\":\"1.0\",\"id\":\"event-{revision}\",\"source\":\"/test\",\"type\":\"{event_type}\",\"subject\":\"cart-1\",\"time\":\"2024-01-01T00:00:00Z\",\"sequence\":\"{}\",\"streamrevision\":{revision},\"data\":{data}}}\n",
            revision + 1
        ));
    }
    project.write("events.ndjson", text).write("transformers/rules.toml", RULES);
    project.migrate().succeeds();
    project
}

fn shown(project: &Project, arguments: &[&str]) -> String {
    let folder = project.folder().canonicalize().unwrap();
    let text = session(project.folder(), arguments).replace(folder.to_str().unwrap(), "[folder]");
    text.replace(project.folder().to_str().unwrap(), "[folder]")
}

#[test]
fn positions_and_revisions_are_looked_up() {
    let project = migrated();
    assert_session("map_position", &shown(&project, &["map", "position", "0", "1", "2", "3", "4", "5", "6", "7"]));
    assert_session(
        "map_position_back",
        &shown(&project, &["map", "position", "--back", "0", "1", "2", "3", "4", "5", "6"]),
    );
    assert_session("map_position_json", &shown(&project, &["map", ".", "position", "3", "4", "--json"]));
    assert_session("map_revision", &shown(&project, &["map", "revision", "cart-1", "0", "1", "2", "3", "4"]));
    assert_session("map_revision_json", &shown(&project, &["map", "revision", "cart-1", "2", "--json"]));
    assert_session("map_revision_missing", &shown(&project, &["map", "revision", "cart-1", "9"]));
}

#[test]
fn checkpoints_in_files_are_translated() {
    let project = migrated();
    project.write(
        "positions.csv",
        "name,position,note\nmail,3,\"a, b\"\nnew,,\nstart,0,\nnone,-1,\nstock,4,\"say \"\"x\"\"\"\nend,6,\n",
    );
    assert_session(
        "map_csv",
        &shown(&project, &["map", "checkpoints", "--file", "positions.csv", "--column", "position"]),
    );
    let out = ["map", "checkpoints", "--file", "positions.csv", "--column", "position", "--out", "new.csv"];
    assert_session("map_csv_out", &shown(&project, &out));
    assert_eq!(
        String::from_utf8(project.read("new.csv")).unwrap(),
        "name,position,note\nmail,3,\"a, b\"\nnew,,\nstart,0,\nnone,-1,\nstock,3,\"say \"\"x\"\"\"\nend,5,\n"
    );
    project.write(
        "positions.ndjson",
        "{\"who\" : \"mail\",\"at\":{\"position\":3}}\n{\"at\":{\"position\":\"6\"},\"n\":1.50}\n\n{\"at\":{\"position\":null}}\n",
    );
    assert_session(
        "map_ndjson",
        &shown(&project, &["map", "checkpoints", "--file", "positions.ndjson", "--pointer", "/at/position"]),
    );
}

#[test]
fn a_file_that_can_not_be_translated_changes_nothing() {
    let project = migrated();
    let mut text = String::new();
    for (name, content, flags) in [
        ("ahead.csv", "position\n3\n99\n", ["--column", "position"]),
        ("word.csv", "position\n3\nsoon\n", ["--column", "position"]),
        ("column.csv", "place\n3\n", ["--column", "position"]),
        ("twice.csv", "position,position\n3,4\n", ["--column", "position"]),
        ("ragged.csv", "a,position\n3\n", ["--column", "position"]),
        ("empty.csv", "", ["--column", "position"]),
        ("broken.ndjson", "{\"p\":3}\n{\"p\":\n", ["--pointer", "/p"]),
        ("missing.ndjson", "{\"q\":3}\n", ["--pointer", "/p"]),
        ("float.ndjson", "{\"p\":3.5}\n", ["--pointer", "/p"]),
        ("pointer.ndjson", "{\"p\":3}\n", ["--pointer", "p"]),
        ("every.ndjson", "{\"p\":3}\n", ["--pointer", "/*"]),
    ] {
        project.write(name, content).write("out", "as it was");
        let arguments = [&["map", "checkpoints", "--file", name, "--out", "out"], &flags[..]].concat();
        text.push_str(&shown(&project, &arguments));
        assert_eq!(project.read("out"), b"as it was");
    }
    text.push_str(&shown(&project, &["map", "checkpoints", "--file", "nothing.csv", "--column", "position"]));
    text.push_str(&shown(&project, &["map", "checkpoints", "--file", "word.csv"]));
    text.push_str(&shown(&project, &["map", "checkpoints"]));
    text.push_str(&shown(&project, &["map", "position", "x"]));
    text.push_str(&shown(&Project::new(FILE_TO_SQLITE), &["map", "position", "1"]));
    assert_session("map_bad_input", &text);
}

fn table(project: &Project, name: &str) {
    let database = rusqlite::Connection::open(project.path(name)).unwrap();
    database
        .execute_batch(
            "CREATE TABLE subs (name TEXT, position, PRIMARY KEY (name));
             INSERT INTO subs VALUES ('end', 6), ('mail', 3), ('new', NULL), ('stock', '4'), ('zero', -1);",
        )
        .unwrap();
}

fn rows(project: &Project, name: &str) -> Vec<(String, Option<String>, String)> {
    let database = rusqlite::Connection::open(project.path(name)).unwrap();
    let mut query =
        database.prepare("SELECT name, CAST(position AS TEXT), typeof(position) FROM subs ORDER BY 1").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn checkpoints_in_a_table_are_translated_once() {
    let project = migrated();
    table(&project, "models.db");
    let before = rows(&project, "models.db");
    let arguments =
        ["map", "checkpoints", "--table", "subs", "--column", "position", "--key", "name", "--store", "read_models"];
    assert_session("map_table", &shown(&project, &arguments));
    assert_eq!(rows(&project, "models.db"), before);
    let apply = [&arguments[..], &["--apply"]].concat();
    assert_session("map_table_apply", &shown(&project, &apply));
    let row = |name: &str, position: &str, kind: &str| (name.to_owned(), Some(position.to_owned()), kind.to_owned());
    let after = vec![
        row("end", "5", "integer"),
        row("mail", "3", "integer"),
        ("new".to_owned(), None, "null".to_owned()),
        row("stock", "3", "text"),
        row("zero", "-1", "integer"),
    ];
    assert_eq!(rows(&project, "models.db"), after);
    assert_session("map_table_apply_again", &shown(&project, &apply));
    assert_eq!(rows(&project, "models.db"), after);
}

#[test]
fn a_table_that_can_not_be_translated_stays_as_it_is() {
    let project = migrated();
    table(&project, "models.db");
    let flags = |table: &'static str, column: &'static str, key: &'static str| {
        ["map", "checkpoints", "--table", table, "--column", column, "--key", key, "--store", "read_models", "--apply"]
    };
    let mut text = String::new();
    text.push_str(&shown(&project, &flags("nothing", "position", "name")));
    text.push_str(&shown(&project, &flags("subs", "nothing", "name")));
    text.push_str(&shown(&project, &flags("subs", "position", "nothing")));
    text.push_str(&shown(&project, &flags("subs\"; DROP TABLE subs; --", "position", "name")));
    text.push_str(&shown(&project, &["map", "checkpoints", "--table", "subs", "--column", "position"]));
    text.push_str(&shown(
        &project,
        &["map", "checkpoints", "--table", "subs", "--column", "p", "--key", "k", "--store", "x"],
    ));
    let database = rusqlite::Connection::open(project.path("models.db")).unwrap();
    let before = rows(&project, "models.db");
    database
        .execute_batch(
            "CREATE TABLE twins (name TEXT, position); INSERT INTO twins VALUES ('a', 6), ('b', 6), ('a', 6)",
        )
        .unwrap();
    text.push_str(&shown(&project, &flags("twins", "position", "name")));
    database
        .execute_batch("CREATE TABLE far (name TEXT, position); INSERT INTO far VALUES ('a', 6), ('b', 99)")
        .unwrap();
    text.push_str(&shown(&project, &flags("far", "position", "name")));
    assert_session("map_table_bad_input", &text);
    assert_eq!(rows(&project, "models.db"), before);
    let untouched: i64 =
        database.query_row("SELECT count(*) FROM twins, far WHERE twins.position = 6", [], |row| row.get(0)).unwrap();
    assert_eq!(untouched, 6);
}

#[test]
fn references_inside_events_are_translated() {
    let project = migrated();
    let arguments = [
        "map",
        "references",
        "--data",
        "/cause",
        "--data",
        "/gone",
        "--data",
        "/as_text",
        "--data",
        "/at",
        "--data",
        "/none",
    ];
    let output = eventlift(project.folder(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    let expected = "{\"cause\":2,\"gone\":null,\"as_text\":\"4\",\"at\":{\"stream\":\"cart-1\",\"revision\":3},\"none\":null,\"n\":1.50}";
    assert!(last.contains(expected), "{last}");
    assert_eq!(text.lines().count(), 5);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "5 events, 4 references: 4 translated, 1 of them to dropped events\n");

    let mut text = String::new();
    for flags in [&["--data", "/n"][..], &["--data", "x"], &["--data", "/*"], &[]] {
        text.push_str(&shown(&project, &[&["map", "references"], flags].concat()).replace(last, "[event]"));
    }
    assert_session("map_references_bad_input", &text);
}

/// Five events at positions from 1 on, the third of which waits in quarantine; the fifth refers to it, to the fourth and to
/// a revision.
fn with_quarantine(target: &str) -> Project {
    let project = Project::new(&format!(
        "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n\n[target]\n{target}\n\n[policy]\nfailed_events = \"quarantine\"\n"
    ));
    let data = [
        "{\"x\":1}",
        "{\"x\":1}",
        "{\"z\":1}",
        "{\"x\":1}",
        "{\"x\":1,\"held\":3,\"cause\":4,\"at\":{\"stream\":\"s-3\",\"revision\":0}}",
    ];
    let lines = data.iter().enumerate().map(|(index, data)| {
        let number = index + 1;
        format!("{{\"specversion\":\"1.0\",\"id\":\"e{number}\",\"source\":\"/test\",\"type\":\"A\",\"subject\":\"s-{number}\",\"time\":\"2024-01-01T00:00:00Z\",\"dataschema\":\"urn:schema:A:1\",\"streamrevision\":0,\"sequence\":\"{number}\",\"data\":{data}}}\n")
    });
    project.write("events.ndjson", lines.collect::<String>()).write("transformers/a.toml", renaming(""));
    assert_eq!(project.migrate().code, Some(10));
    project
}

fn renaming(optional: &str) -> String {
    format!(
        "type = \"A\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{{ rename = \"/x\", to = \"/y\"{optional} }}]\n"
    )
}

#[test]
fn what_waits_in_quarantine_has_no_position_yet() {
    let project = with_quarantine("store = \"sqlite\"\npath = \"out.db\"");
    assert_eq!(project.run("map", ["position", "3"]).succeeds(), "3 → not there yet: it waits in quarantine\n");
    let json = project.run("map", ["position", "3", "--json"]).succeeds();
    assert!(json.contains("\"state\":\"quarantined\""), "{json}");
    assert_eq!(project.run("map", ["position", "--back", "3"]).succeeds(), "3 → no event of the run is there\n");
    for pointer in ["/held", "/at"] {
        let output = project.run("map", ["references", "--data", pointer]);
        assert_ne!(output.code, Some(0));
        assert!(output.stderr.contains("the event at position 3 waits in quarantine"), "{}", output.stderr);
    }
    // What was given up is gone for good.
    let given_up = eventlift(project.folder(), &["quarantine", "discard", ".", "s-3", "--reason", "a test"]);
    assert!(given_up.status.success(), "{}", String::from_utf8_lossy(&given_up.stderr));
    assert_eq!(project.run("map", ["position", "3"]).succeeds(), "3 → dropped; the event before it is at 2\n");
    let references = project.run("map", ["references", "--data", "/held", "--data", "/at"]).succeeds();
    assert!(references.contains("\"held\":null") && references.contains("\"at\":null"), "{references}");
}

#[test]
fn what_was_released_behind_the_others_is_found_there_and_skips_nothing() {
    let project = with_quarantine("store = \"file\"\npath = \"out.ndjson\"");
    project.write("transformers/a.toml", renaming(", optional = true"));
    let retried = eventlift(project.folder(), &["quarantine", "retry"]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    let positions = project.run("map", ["position", "1", "2", "3", "4", "5"]).succeeds();
    assert_eq!(positions, "1 → 1\n2 → 2\n3 → 6\n4 → 4\n5 → 5\n");
    let back = project.run("map", ["position", "--back", "2", "3", "4", "5", "6"]).succeeds();
    assert_eq!(back, "2 → 2\n3 → no event of the run is there\n4 → 4\n5 → 5\n6 → 3\n");
    project.write("positions.csv", "at\n1\n2\n3\n4\n5\n");
    let file = project.path("positions.csv");
    let file = file.to_str().unwrap();
    let checkpoints = project.run("map", ["checkpoints", "--file", file, "--column", "at"]).succeeds();
    assert_eq!(checkpoints, "at\n1\n2\n2\n4\n6\n");
    let revisions = project.run("map", ["revision", "s-3", "0"]).succeeds();
    assert!(revisions.contains("s-3 revision 0 (position 6, A)"), "{revisions}");
    let references =
        project.run("map", ["references", "--data", "/held", "--data", "/cause", "--data", "/at"]).succeeds();
    assert!(references.contains("\"held\":6,\"cause\":4,\"at\":{\"stream\":\"s-3\",\"revision\":0}"), "{references}");
}
