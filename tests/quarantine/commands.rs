//! The commands, on a project whose rule fails on some events.

use std::fmt::Write as _;

use crate::command_line::{assert_session, session};
use crate::project::Project;

const TOML: &str = r#"
[source]
store = "file"
path = "events.ndjson"

[target]
store = "sqlite"
path = "target.db"

[policy]
failed_events = "quarantine"
"#;

/// Fails on an amount that is no number.
const RULE: &str = r#"
type = "Paid"
current = 2

[[upcast]]
from = 1
jq = 'if (.amount | type) == "number" then {cents: (.amount * 100)} else error("no number: \(.amount)") end'
"#;

fn repaired() -> String {
    RULE.replace(
        "else error(\"no number: \\(.amount)\")",
        "elif .amount == \"free\" then {cents: 0} else error(\"what is \\(.amount)?\")",
    )
}

/// Events of three accounts; of the second one the second event fails, of the third one the first.
fn events(count: usize) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let (account, revision) = (["a", "b", "c"][n % 3], n / 3);
        let amount = match (account, revision) {
            ("b", 1) => "\"free\"".to_owned(),
            ("c", 0) => "\"ten\"".to_owned(),
            _ => n.to_string(),
        };
        writeln!(
            lines,
            r#"{{"specversion":"1.0","id":"e-{n}","source":"/test","type":"Paid","subject":"account-{account}","time":"2024-05-01T12:00:{n:02}Z","streamrevision":{revision},"schemaversion":1,"sequence":"{}","data":{{"amount":{amount}}}}}"#,
            n + 1
        )
        .unwrap();
    }
    lines
}

#[test]
fn a_story() {
    let project = Project::new(TOML);
    project.write("transformers/paid.toml", RULE).write("events.ndjson", events(12));
    let mut said = String::new();
    let mut run = |arguments: &[&str]| said.push_str(&session(project.folder(), arguments));
    run(&["plan", "--show", "0"]);
    run(&["migrate"]);
    run(&["status"]);
    run(&["quarantine", "list"]);
    run(&["quarantine", "list", "--json"]);
    run(&["quarantine", "show", "account-b"]);
    run(&["quarantine", "show", ".", "e-7"]);
    run(&["verify"]);
    // Nothing has changed, so it fails again.
    run(&["quarantine", "retry"]);
    // A repair that would change what is in the target is refused.
    project.write("transformers/paid.toml", repaired().replace("* 100", "* 1000"));
    run(&["quarantine", "retry"]);
    project.write("transformers/paid.toml", repaired());
    run(&["quarantine", "show", "account-b"]);
    run(&["quarantine", "retry", "--stream", "account-b"]);
    run(&["quarantine", "retry", "--json"]);
    run(&["quarantine", "discard", "account-c"]);
    run(&["quarantine", "discard", "account-c", "--reason", ""]);
    run(&["quarantine", "discard", "account-x", "--reason", "why not"]);
    run(&["quarantine", "show", "account-x"]);
    run(&["quarantine", "retry", "--stream", "account-x"]);
    run(&["quarantine", "discard", "account-c", "--reason", "nobody knows what ten is"]);
    run(&["quarantine", "retry"]);
    run(&["migrate"]);
    run(&["verify"]);
    run(&["verify", "--json"]);
    let said = regex_free(&said);
    assert_session("quarantine_story", &said);
}

/// Without what differs from run to run and is no run's id: moments, and who it was.
fn regex_free(said: &str) -> String {
    let lines = said.lines().map(|line| {
        if let Some((before, rest)) = line.split_once("was given up by ") {
            let why = rest.rsplit_once(": ").map_or("", |(_, why)| why);
            return format!("{before}was given up by [who] at [time]: {why}");
        }
        let cut = |line: &str, mark: &str| match line.split_once(mark) {
            Some((before, rest)) => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-:.".contains(c))).unwrap_or(rest.len());
                format!("{before}{mark}[time]{}", &rest[end..])
            }
            None => line.to_owned(),
        };
        let line = cut(&cut(line, "of what run "), "since ");
        cut(&line, "\"since\": \"")
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn what_is_not_there_or_not_understood() {
    let project = Project::new(TOML);
    project.write("transformers/paid.toml", RULE).write("events.ndjson", events(3));
    let mut said = String::new();
    let mut run = |arguments: &[&str]| said.push_str(&session(project.folder(), arguments));
    run(&["quarantine", "list"]);
    run(&["quarantine", "retry"]);
    run(&["quarantine", "discard", "account-c", "--reason", "why not"]);
    project.write("eventlift.toml", TOML.replace("\"quarantine\"", "\"quarantined\""));
    run(&["migrate"]);
    project.write("eventlift.toml", format!("{TOML}\n[quarantine]\nstream = 1\n"));
    run(&["migrate"]);
    project.write("eventlift.toml", format!("{TOML}\n[quarantine]\nevents = -1\n"));
    run(&["migrate"]);
    project.write("eventlift.toml", format!("{TOML}\n[quarantine]\nstreams = 0\n"));
    run(&["migrate"]);
    assert_session("quarantine_bad_input", &said);
}

const SUMS: &str = r#"
[table.sums]
key = "account"
columns = { account = "text", cents = "numeric" }

[[on]]
event = "Paid"
version = 2
key = "/account"
add = { cents = { data = "/cents" } }
"#;

#[test]
fn read_models_are_built_anew_once_events_were_released_between_others() {
    let project = Project::new(&format!("{TOML}\n[read_models]\nstore = \"sqlite\"\npath = \"read.db\"\n"));
    let with_account = |rule: String| rule.replace("{cents:", "{account: .account, cents:");
    let events = events(12).replace("\"data\":{", "\"data\":{\"account\":\"all\",");
    project.write("transformers/paid.toml", with_account(RULE.to_owned())).write("events.ndjson", &events);
    project.write("projections/sums.toml", SUMS);
    let sum = || -> i64 {
        let database = rusqlite::Connection::open(project.path("read.db")).unwrap();
        database.query_row("SELECT CAST(cents AS INTEGER) FROM sums", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(project.migrate().code, Some(10));
    assert_eq!(sum(), (1 + 3 + 6 + 9) * 100);
    project.write(
        "transformers/paid.toml",
        with_account(repaired()).replace("== \"free\"", "== \"free\" or .amount == \"ten\""),
    );
    let said = session(project.folder(), &["quarantine", "retry"]);
    assert!(said.contains("2 streams go on: 7 held events"), "{said}");
    // An update would not see them, and says so.
    assert_eq!(project.run("rebuild", ["--since"]).code, Some(5));
    let said = project.migrate().succeeds();
    assert!(said.contains("the run that filled the store has changed"), "{said}");
    assert_eq!(sum(), (1 + 3 + 6 + 9 + 7 + 10 + 5 + 8 + 11) * 100);
    project.verify().succeeds();
}
