//! Sources as other programs leave them, from the first command to the last.

use std::path::Path;

use rusqlite::Connection;

use crate::project::{FILE_TO_FILE, FILE_TO_SQLITE, Project};

fn event(id: &str, stream: &str, revision: u64, sequence: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/field\",\"type\":\"A\",\"subject\":\"{stream}\",\
         \"time\":\"2024-01-01T00:00:0{sequence}Z\",\"streamrevision\":{revision},\"sequence\":\"{sequence}\",\"data\":{{}}}}\n"
    )
}

fn all<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> Vec<T> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Plans, migrates and verifies; the plan.
fn goes_through(project: &Project) -> String {
    let plan = project.run("plan", [] as [&str; 0]);
    assert_eq!((plan.code, &*plan.stderr), (Some(0), ""), "{}", plan.stdout);
    project.migrate().succeeds();
    project.verify().succeeds();
    plan.stdout
}

#[test]
fn gaps_are_allowed_once() {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n[policy]\nrevisions = \"sparse\"\n"));
    project.write("events.ndjson", [event("e1", "a-1", 80, 1), event("e2", "a-1", 81, 2)].concat());
    goes_through(&project);
    assert_eq!(all::<i64>(&project.path("target.db"), "SELECT revision FROM events ORDER BY 1"), [80, 81]);
}

#[test]
fn streams_that_count_from_1_are_recognised() {
    let project = Project::new(FILE_TO_SQLITE);
    let log = [event("e1", "a-1", 1, 1), event("e2", "a-1", 2, 2), event("e3", "b-1", 1, 3)].concat();
    project.write("events.ndjson", &log).migrate();
    let refused = project.migrate();
    assert!(refused.stderr.contains("set revision_base = 1 under [source.attributes]"), "{}", refused.stderr);
    project.write(
        "eventlift.toml",
        FILE_TO_SQLITE.replace("[target]", "[source.attributes]\nrevision_base = 1\n\n[target]"),
    );
    let plan = goes_through(&project);
    assert!(plan.contains("in the source, streams count from 1, and from 0 behind it"), "{plan}");
    assert_eq!(all::<i64>(&project.path("target.db"), "SELECT revision FROM events ORDER BY position"), [0, 1, 0]);
}

#[test]
fn an_id_of_several_streams_is_given_anew_where_that_is_said() {
    let copies =
        [event("e1", "a-1", 0, 1), event("e1", "b-1", 0, 2), event("e2", "b-1", 1, 3), event("e1", "c-1", 0, 4)];
    for toml in [FILE_TO_SQLITE, FILE_TO_FILE] {
        let project = Project::new(toml);
        project.write("events.ndjson", copies.concat());
        let refused = project.migrate();
        assert!(refused.stderr.contains("has the id of another event"), "{}", refused.stderr);
        assert!(refused.stderr.contains("ids = \"per_stream\"` under [policy]"), "{}", refused.stderr);
        project.write("eventlift.toml", format!("{toml}\n[policy]\nids = \"per_stream\"\n"));
        let plan = goes_through(&project);
        assert!(plan.contains("events have the id of an earlier event of another stream"), "{plan}");
        if toml == FILE_TO_SQLITE {
            let ids: Vec<String> = all(&project.path("target.db"), "SELECT id FROM events ORDER BY position");
            assert_eq!((&*ids[0], &*ids[2]), ("e1", "e2"));
            assert_eq!((ids[1].len(), ids[3].len(), ids[1] == ids[3]), (36, 36, false), "{ids:?}");
        }
        // Whoever takes the policy back reads other events, and does not go on with these.
        project.write("eventlift.toml", toml);
        assert_ne!(project.migrate().code, Some(0));
        // What comes is compared with all that was there, however the run goes on.
        project.write("eventlift.toml", format!("{toml}\n[policy]\nids = \"per_stream\"\n"));
        project.write("events.ndjson", copies.concat() + &event("e2", "a-1", 1, 5));
        project.migrate().succeeds();
        project.verify().succeeds();
    }
    // Twice in one stream stays a contradiction.
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n[policy]\nids = \"per_stream\"\n"));
    project.write("events.ndjson", [event("e1", "a-1", 0, 1), event("e1", "a-1", 1, 2)].concat());
    project.migrate().fails(
        4,
        "error: failed to prove file:PROJECT/events.ndjson: event e1 of stream a-1 at position 2 has the id of another event (position 1)\n\
         hint: repair the source: one of the events is not what it claims to be",
    );
}

#[test]
fn a_changed_mapping_does_not_go_on_with_a_run() {
    let versions =
        |settings: &str| FILE_TO_SQLITE.replace("[target]", &format!("[source.attributes]\n{settings}\n\n[target]"));
    let line = event("e1", "a-1", 0, 1).replace("\"data\"", "\"v\":\"x\",\"data\"").replace("00:01Z", "00:01.1234567Z");
    let project = Project::new(&versions("version = \"v\"\nversions = { x = 1 }"));
    project.write("events.ndjson", &line).migrate().succeeds();
    for settings in [
        "version = \"v\"\nversions = { x = 2 }",
        "version = \"v\"\nversions = { x = 1 }\nabsent_version = 2",
        "version = \"v\"\nversions = { x = 1 }\nfiner_times = \"truncate\"",
        "version = \"v\"\nversions = { x = 1 }\ntime_unit = \"s\"",
    ] {
        let refused = project.write("eventlift.toml", versions(settings)).migrate();
        assert!(refused.stderr.contains("how the source is read was changed"), "{settings}: {}", refused.stderr);
    }
    // What says what is so by default changes nothing.
    project.write(
        "eventlift.toml",
        versions("version = \"v\"\nversions = { x = 1 }\nabsent_version = 1\nfiner_times = \"keep\""),
    );
    project.migrate().succeeds();
}

#[test]
fn a_project_from_a_log_with_other_names_goes_all_the_way() {
    let logs: [(&str, &str); 3] = [
        (
            "events.ndjson",
            "{\"eventId\":\"1\",\"eventType\":\"A\",\"streamId\":\"a-1\",\"eventNumber\":0,\"created\":\"2024-01-01T00:00:00.123Z\",\"data\":{}}\n",
        ),
        (
            "batch.json",
            "[{\"id\":1,\"event_type\":\"Placed_v1\",\"aggregate_id\":7,\"version\":1,\"timestamp\":1714564800123,\"payload\":{\"a\":1}},\n\
              {\"id\":2,\"event_type\":\"Placed_v2\",\"aggregate_id\":7,\"version\":3,\"timestamp\":1714564800124,\"payload\":{\"a\":2}}]",
        ),
        (
            "copies.ndjson",
            "{\"messageId\":\"x\",\"type\":\"A\",\"stream\":\"a\",\"position\":0,\"time\":\"2024-01-01T00:00:00.1234567Z\",\"payloadRevision\":\"2.0.1\"}\n\
             {\"messageId\":\"x\",\"type\":\"A\",\"stream\":\"b\",\"position\":0,\"time\":\"2024-01-01T00:00:00.1234568Z\"}\n",
        ),
    ];
    for (name, log) in logs {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, log).unwrap();
        let project = Project::new("");
        std::fs::remove_file(project.path("eventlift.toml")).unwrap();
        let made = project.run("init", ["--from", file.to_str().unwrap()]);
        assert_eq!(made.code, Some(0), "{name}: {}", made.stderr);
        let toml = String::from_utf8(project.read("eventlift.toml")).unwrap();
        assert!(toml.contains("[source.attributes]"), "{toml}");
        for step in std::fs::read_dir(project.path("transformers")).unwrap() {
            let path = step.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("# from = 1") {
                std::fs::write(
                    &path,
                    "type = \"Placed\"\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata = [{ set = \"/b\", value = 1 }]\n",
                )
                .unwrap();
            }
        }
        let check = project.run("check", [] as [&str; 0]);
        assert_eq!(check.code, Some(0), "{name}: {}{}\n{toml}", check.stdout, check.stderr);
        goes_through(&project);
    }
}

#[test]
fn what_a_log_lacks_is_said_at_once() {
    let project = Project::new("");
    std::fs::remove_file(project.path("eventlift.toml")).unwrap();
    project.write("log.ndjson", "{\"foo\":\"x\",\"bar\":1}\n");
    let refused = project.run("init", ["--from", project.path("log.ndjson").to_str().unwrap()]);
    assert_eq!(refused.code, Some(3));
    for part in ["`foo`", "`bar`", "the stream", "the type", "the id", "the time", "[source.attributes]"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert!(!project.path("eventlift.toml").exists());
}

const FOREIGN: &str = r#"
[source]
store = "sqlite"
path = "theirs.db"
table = "as_events"

[target]
store = "sqlite"
path = "target.db"
"#;

/// Another program's database, and a view of it with columns of our names.
fn theirs(project: &Project, rows: &str) {
    let connection = Connection::open(project.path("theirs.db")).unwrap();
    connection
        .execute_batch(&format!(
            "DROP VIEW IF EXISTS as_events; DROP TABLE IF EXISTS messages;
             CREATE TABLE messages (seq, msg, aggregate, version, kind, at, body, extra);
             INSERT INTO messages VALUES {rows};
             CREATE VIEW as_events AS SELECT seq AS position, aggregate AS stream, version AS revision, msg AS id, kind AS type,
                at AS recorded_at, body AS data, extra AS attributes FROM messages"
        ))
        .unwrap();
}

#[test]
fn a_view_in_sqlite_is_read_and_proved() {
    let project = Project::new(&FOREIGN.replace("[target]", "[source.columns]\nrevision_base = 1\n\n[target]"));
    let rows = "(2, 11, 7, 2, 'A', '2024-05-01T12:00:01Z', '{\"n\": 10.10}', '{\"tenant\":\"x\"}'),
                (1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), (9, 12, 8, 1, 'B', '2024-05-01T12:00:02Z', x'ff', NULL)";
    theirs(&project, rows);
    let plan = goes_through(&project);
    assert!(plan.contains("in the source, as_events is read as it is: no constraint of it says"), "{plan}");
    assert!(plan.contains("streams count from 1"), "{plan}");
    let seen: Vec<String> = all(
        &project.path("target.db"),
        "SELECT id || ' ' || stream || ' ' || revision || ' ' || recorded_at FROM events ORDER BY position",
    );
    assert_eq!(seen, ["10 7 0 1714564800123000", "11 7 1 1714564801000000", "12 8 0 1714564802000000"]);
    let followed = project.run("migrate", ["--follow"]);
    assert!(followed.stderr.contains("can't be followed"), "{}", followed.stderr);
    let rewritten = project.run("rewrite", [] as [&str; 0]);
    assert_ne!(rewritten.code, Some(0));

    for (rows, problem) in [
        (
            "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), (1, 11, 7, 2, 'A', 1714564800123, '{}', NULL)",
            "two rows have this position",
        ),
        (
            "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), (NULL, 11, 7, 2, 'A', 1714564800123, '{}', NULL)",
            "the position of a row is null",
        ),
        (
            "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), ('2', 11, 7, 2, 'A', 1714564800123, '{}', NULL)",
            "the position of a row is text",
        ),
        (
            "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), (2, 10, 7, 2, 'A', 1714564800123, '{}', NULL)",
            "has the id of another event",
        ),
        (
            "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), (2, 11, 7, 1, 'A', 1714564800123, '{}', NULL)",
            "has revision 0, as another event",
        ),
        (
            "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL), (2, 11, 7, 3, 'A', 1714564800123, '{}', NULL)",
            "goes on with 1",
        ),
        ("(1, 10, 7, 1, 'A', 'noon', '{}', NULL)", "column recorded_at holds no valid value"),
        ("(1, 10, 7, 0, 'A', 1714564800123, '{}', NULL)", "revision_base is 1"),
    ] {
        let other = Project::new(&String::from_utf8(project.read("eventlift.toml")).unwrap());
        theirs(&other, rows);
        let refused = other.run("plan", [] as [&str; 0]);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains(problem) && refused.code != Some(0), "{rows}: {said}");
        assert_ne!(other.migrate().code, Some(0));
    }
}

#[test]
fn a_table_of_somebody_elses_has_to_be_named_and_to_have_our_columns() {
    let project = Project::new(&FOREIGN.replace("table = \"as_events\"\n", ""));
    theirs(&project, "(1, 10, 7, 1, 'A', 1714564800123, '{}', NULL)");
    let refused = project.migrate();
    assert!(refused.stderr.contains("name a table or view of it with `table`"), "{}", refused.stderr);
    project.write("eventlift.toml", FOREIGN.replace("as_events", "messages"));
    let refused = project.migrate();
    assert!(
        refused.stderr.contains("it lacks position, stream, revision, id, type, recorded_at, data"),
        "{}",
        refused.stderr
    );
    project.write("eventlift.toml", FOREIGN.replace("as_events", "nothing"));
    assert!(project.migrate().stderr.contains("it has no table or view \"nothing\""));
    project
        .write("eventlift.toml", FOREIGN.replace("path = \"target.db\"", "path = \"target.db\"\ntable = \"events\""));
    assert!(project.migrate().stderr.contains("[target]: `table` is for a source"));
}
