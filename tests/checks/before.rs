//! Checks before a migration: one that fails means that nothing is written.

use crate::project::{FILE_TO_SQLITE, Project};

/// Two users, the second of whom has no name.
const EVENTS: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"UserCreated","subject":"user-1","time":"2026-01-01T00:00:00Z","streamrevision":0,"sequence":1,"data":{"name":"Ada"}}
{"specversion":"1.0","id":"2","source":"s","type":"UserCreated","subject":"user-2","time":"2026-01-01T00:00:01Z","streamrevision":0,"sequence":2,"data":{"name":null}}
{"specversion":"1.0","id":"3","source":"s","type":"UserRenamed","subject":"user-3","time":"2036-01-01T00:00:01Z","streamrevision":0,"sequence":3,"data":{"name":"Bo"}}
"#;

fn project(checks: &str) -> Project {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n{checks}"));
    project.write("events.ndjson", EVENTS);
    project
}

/// The lines of a report about checks that did not pass.
fn found(output: &str) -> Vec<&str> {
    output.lines().filter(|line| ["FAILED", "warning", "skipped"].iter().any(|word| line.contains(word))).collect()
}

#[test]
fn missing_fields_orphans_and_times_are_found_in_one_scan() {
    let project = project("[checks]\nfirst_types = { user = [\"UserCreated\"] }\n");
    let schema = r#"{ "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } }"#;
    project.write("transformers/user_created.1.json", schema);
    project.write(
        "transformers/user_created.toml",
        "type = \"UserCreated\"\ncurrent = 1\n[schema]\n1 = \"user_created.1.json\"\n",
    );
    project.write("transformers/renamed.toml", "[current]\nUserRenamed = 1\n");
    let output = project.run("check", ["--stores"]);
    assert_eq!(output.code, Some(5), "{}{}", output.stdout, output.stderr);
    assert_eq!(
        found(&output.stdout),
        [
            "  FAILED  schemas: 1 event; the first is event 2 (stream user-2, revision 0): the event breaks the JSON \
             Schema of UserCreated version 1 at /name: null is not of type \"string\"",
            "  FAILED  first-events: 1 event; the first is event 3 (stream user-3, revision 0): the stream begins with \
             UserRenamed",
            "  warning times: 1 event; the first is event 3 (stream user-3, revision 0): it was recorded at \
             2036-01-01T00:00:01Z",
        ]
    );
    let refused = project.migrate();
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("refused to run: 2 of 8 checks failed"), "{}", refused.stderr);
    assert_eq!(project.run("runs", [] as [&str; 0]).succeeds().lines().count(), 1);

    let skipping = project.run("migrate", ["--skip-check", "schemas", "--skip-check", "first-events"]);
    let said = skipping.succeeds();
    assert_eq!(found(&said).len(), 3, "{said}");
    project.run("migrate", ["--skip-check", "shemas"]).fails(
        2,
        "error: failed to find a check named \"shemas\": there are covered, consistent, schemas, first-events, times, \
         room, privileges, clocks\nhint: did you mean `schemas`?",
    );
}

#[test]
fn a_filter_over_every_event_says_which_one_it_does_not_like() {
    let check = |jq: &str, rest: &str| {
        format!("[[check]]\nname = \"mine\"\nwhen = \"before\"\non = \"source\"\njq = '''{jq}'''\n{rest}\n")
    };
    let first = |text: &str| {
        let output = project(text).run("check", ["--stores"]);
        let line = output.stdout.lines().find(|line| line.contains(" mine"));
        (output.code, line.unwrap_or_default().to_owned())
    };
    let failed = |why: &str| (Some(5), format!("  FAILED  mine: {why}"));
    let (code, line) = first(&check(".data.name != null", ""));
    assert_eq!(
        (code, line),
        failed("1 event; the first is event 2 (stream user-2, revision 0): the filter yielded false, and not true")
    );
    let (code, line) = first(&check(".data.name != null", "severity = \"warn\""));
    assert_eq!((code, line.starts_with("  warning mine: 1 event")), (Some(0), true), "{line}");
    let (code, _) = first(&check(".data.name != null", "types = [\"UserRenamed\"]"));
    assert_eq!(code, Some(0));
    let (code, line) = first(&check("empty", ""));
    assert_eq!((code, line.ends_with("the filter yielded nothing, and not true")), (Some(5), true), "{line}");
    let (code, line) = first(&check("true, true", ""));
    assert_eq!((code, line.ends_with("the jq filter yielded more than 1 value")), (Some(5), true), "{line}");
    let (code, line) = first(&check("[range(1e12)] | length > 0", ""));
    assert_eq!(code, Some(5));
    assert!(line.starts_with("  FAILED  mine: 3 events; the first is event 1"), "{line}");
    let (code, line) = first(&check("error(\"no\") # and a comment", ""));
    assert_eq!((code, line.ends_with(": no")), (Some(5), true), "{line}");
}

#[test]
fn queries_read_or_fail_and_never_write() {
    let text = |sql: &str, expect: &str| {
        format!(
            "[[check]]\nname = \"mine\"\nwhen = \"before\"\non = \"source\"\nsql = '''{sql}'''\nexpect = {expect}\n"
        )
    };
    let project = project("");
    project.migrate().succeeds();
    let before = project.read("target.db");
    let stores =
        "[source]\nstore = \"sqlite\"\npath = \"target.db\"\n[target]\nstore = \"sqlite\"\npath = \"other.db\"\n";
    let made = |sql: &str, expect: &str| {
        project.write("eventlift.toml", format!("{stores}[checks]\nstatement_timeout = \"2s\"\n{}", text(sql, expect)));
        let output = project.run("check", ["--stores"]);
        let line = output.stdout.lines().find(|line| line.contains(" mine")).unwrap_or_default().to_owned();
        (output.code, line)
    };
    for (sql, expect) in [
        ("SELECT count(*) FROM events", "3"),
        ("SELECT count(*) FROM events;", "3"),
        ("SELECT count(*) FROM events -- all of them", "{ at_least = 1, at_most = 3 }"),
        ("WITH some AS (SELECT 1 AS one) SELECT one FROM some", "{ equals = 1 }"),
        ("SELECT id FROM events WHERE stream = 'nobody'", "{ empty = true }"),
    ] {
        assert_eq!(made(sql, expect), (Some(0), "  ok      mine".to_owned()), "{sql}");
    }
    for (sql, expect, problem) in [
        ("SELECT count(*) FROM events", "0", "the query yielded 3, where 0 is expected"),
        (
            "SELECT id FROM events ORDER BY position",
            "{ empty = true }",
            "the query yielded id = \"1\", and more rows, where no row is expected",
        ),
        ("SELECT id FROM events", "1", "the query is no answer: it yielded several rows, where one number is expected"),
        ("SELECT 'three'", "3", "the query is no answer: it yielded \"three\", where a number is expected"),
        ("SELECT NULL", "3", "the query is no answer: it yielded NULL, where a number is expected"),
        ("SELECT 1 WHERE false", "1", "the query is no answer: it yielded no row, where one number is expected"),
        ("SELECT count(*) FROM evnts", "1", "no such table: evnts"),
        ("SELEC 1", "1", "syntax error"),
        ("DELETE FROM events", "1", "syntax error"),
        ("SELECT 1; -- and more", "1", "syntax error"),
        ("SELECT 1) ; DELETE FROM events; SELECT (1", "1", ""),
        ("SELECT 1) AS a; DELETE FROM events; --", "1", ""),
        ("ATTACH 'new.db' AS new", "1", "syntax error"),
        ("PRAGMA journal_mode = DELETE", "1", "syntax error"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "1",
            "the query took longer than 2 s",
        ),
    ] {
        let (code, line) = made(sql, expect);
        assert_eq!(code, Some(5), "{sql}: {line}");
        assert!(line.starts_with("  FAILED  mine: ") && line.contains(problem), "{sql}: {line}");
    }
    assert!(project.read("target.db") == before);
    assert!(!project.path("new.db").exists());
    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}{}", text("SELECT 1", "1")));
    let output = project.run("check", ["--stores"]);
    assert!(output.stdout.contains("there is no SQL in a file"), "{}", output.stdout);
}

#[test]
fn a_folder_that_can_not_be_written_is_found_before() {
    use std::os::unix::fs::PermissionsExt;
    let project = project("");
    project.write("out/.keep", "");
    let out = project.path("out");
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o555)).unwrap();
    // A superuser may write anywhere.
    if std::fs::write(out.join("probe"), "").is_ok() {
        return;
    }
    project.write("eventlift.toml", FILE_TO_SQLITE.replace("target.db", "out/target.db"));
    let output = project.run("check", ["--stores"]);
    assert!(output.stdout.contains("FAILED  privileges: "), "{}", output.stdout);
}
