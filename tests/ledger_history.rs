//! What the ledger says of a run: what it was made of, how each start of it went, and what changed since.

use std::path::Path;

use eventlift::events::{CheckpointStore, RunRecord};
use eventlift::ledger::{LedgerDatabase, who};

use super::command_line::{assert_session, eventlift, session};
use super::project::{FILE_TO_SQLITE, Project};

const RULE: &str = "type = \"UserCreated\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/full_name\" }]\n\n[[upcast.test]]\nname = \"renames\"\ngiven = '{\"name\":\"Ada\"}'\nthen = '{\"full_name\":\"Ada\"}'\n";
const OTHER: &str = "[current]\nPing = 1\n\n[[rule]]\nname = \"mark\"\nmatch = { types = [\"Ping\"] }\ndata = [{ set = \"/marked\", value = true }]\n";

fn line(number: u64, revision: u64, event_type: &str, version: u32, data: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"event-{number}\",\"source\":\"/test\",\"type\":\"{event_type}\",\"subject\":\"user-1\",\"time\":\"2024-01-01T00:00:00Z\",\"sequence\":\"{number}\",\"streamrevision\":{revision},\"dataschema\":\"urn:schema:{event_type}:{version}\",\"data\":{data}}}\n"
    )
}

/// A project with a user, created in version 1.
fn project() -> Project {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", line(1, 0, "UserCreated", 1, "{\"name\":\"Ada\"}"));
    project.write("transformers/user_created.toml", RULE);
    project
}

fn record(project: &Project) -> RunRecord {
    let ledger = LedgerDatabase::look_at(&project.path("target.db"), "test").unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.runs()).unwrap().pop().unwrap()
}

/// A session in the project's folder, without what differs from run to run.
fn shown(project: &Project, arguments: &[&str]) -> String {
    let text = session(project.folder(), arguments);
    let folder = project.folder().canonicalize().unwrap();
    let text = text.replace(folder.to_str().unwrap(), "[folder]").replace(&who(), "[who]");
    let text = match project.path("target.db").exists() {
        true => text.replace(&record(project).id.to_string(), "[run]"),
        false => text,
    };
    without_times(&text.replace(project.folder().to_str().unwrap(), "[folder]"))
}

/// Times, durations and rates replaced.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n', '"', ',']) {
        let bare = word.trim_end_matches([' ', '\n', '"', ',', ':']);
        let is_time = bare.len() >= 20 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T';
        out.push_str(&if is_time { word.replace(bare, "[time]") } else { word.to_owned() });
    }
    out
}

#[test]
fn a_run_says_what_it_was_made_of_and_how_it_went() {
    let project = project();
    project.migrate().succeeds();
    project.migrate().succeeds();
    let details = record(&project).details;
    assert!(details.source.starts_with("file:") && details.source.ends_with("events.ndjson"), "{}", details.source);
    assert!(details.target.starts_with("sqlite:"), "{}", details.target);
    let [rule] = &details.rules[..] else { panic!("{:?}", details.rules) };
    assert_eq!(rule.file.as_deref().map(Path::new), Some(Path::new("transformers/user_created.toml")));
    let text = rule.text.as_deref().unwrap();
    assert_eq!(text, "[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/full_name\" }]");
    let sessions: Vec<_> = details.sessions.iter().map(|s| (&*s.command, &*s.result, s.counts.read)).collect();
    assert_eq!(sessions, [("migrate", "done", 1), ("migrate", "done", 0)]);
    assert!(details.sessions.iter().all(|session| session.by == who() && session.ended_at.is_some()));
}

#[test]
fn a_session_without_an_end_was_broken_off() {
    let project = project();
    project.migrate().succeeds();
    // What a killed process leaves behind.
    let database = rusqlite::Connection::open(project.path("target.db")).unwrap();
    let killed = "UPDATE eventlift_runs SET details =
        json_set(details, '$.sessions[0].ended_at', NULL, '$.sessions[0].result', '')";
    assert_eq!(database.execute(killed, []).unwrap(), 1);
    drop(database);
    project.migrate().succeeds();
    let text = project.run("runs", ["show"]).succeeds();
    let states: Vec<&str> = text.lines().filter_map(|line| line.rsplit_once("): ")).map(|(_, state)| state).collect();
    assert_eq!(states, ["broken off", "done"], "{text}");
}

#[test]
fn a_ledger_of_before_tells_only_what_it_knows() {
    let project = project();
    project.migrate().succeeds();
    let database = rusqlite::Connection::open(project.path("target.db")).unwrap();
    assert_eq!(database.execute("UPDATE eventlift_runs SET details = '{}'", []).unwrap(), 1);
    drop(database);
    project.run("check", ["--strict"]).succeeds();
    project.run("runs", ["show"]).succeeds();
    project.run("map", ["position", "1"]).succeeds();
    project.write(
        "transformers/user_created.toml",
        RULE.replace("\"/full_name\" }", "\"/whole_name\" }").replace("{\"full", "{\"whole"),
    );
    let output = project.run("check", ["--strict"]);
    assert_eq!(output.code, Some(5));
    assert!(output.stdout.contains("changed  UserCreated 1 → 2"), "{}", output.stdout);
    assert!(!output.stdout.contains("full_name"), "{}", output.stdout);
}

#[test]
fn a_run_that_fails_says_why_in_one_line() {
    let project = project();
    let bad = line(2, 1, "UserCreated", 1, "{\"no\":1}");
    project.write("events.ndjson", line(1, 0, "UserCreated", 1, "{\"name\":\"Ada\"}") + &bad);
    assert_eq!(project.migrate().code, Some(7));
    let details = record(&project).details;
    let [session] = &details.sessions[..] else { panic!("{:?}", details.sessions) };
    assert!(session.result.starts_with("failed to ") && !session.result.contains('\n'), "{}", session.result);
    assert_eq!((session.counts.read, session.ended_at.is_some()), (1, true));
}

#[test]
fn rules_that_change_are_told_and_their_old_text_is_kept() {
    let project = project();
    project.migrate().succeeds();
    project.write(
        "transformers/user_created.toml",
        RULE.replace("\"/full_name\" }", "\"/whole_name\" }").replace("{\"full", "{\"whole"),
    );
    project.write("transformers/other.toml", OTHER);
    assert_session("history_check", &shown(&project, &["check"]));
    assert_session("history_check_strict", &shown(&project, &["check", "--strict"]));
    assert_session("history_check_json", &shown(&project, &["check", "--json"]));

    assert_eq!(project.migrate().code, Some(5));
    project.run("migrate", ["--accept-changes"]).succeeds();
    let details = record(&project).details;
    assert_eq!((details.rules.len(), details.superseded.len()), (2, 1));
    assert!(details.superseded[0].rule.text.as_deref().unwrap().contains("\"/full_name\""));
    assert_session("history_check_accepted", &shown(&project, &["check"]));
    assert_session("history_show", &shown(&project, &["runs", "show", "--text"]));
    assert_session("history_show_unknown", &shown(&project, &["runs", "show", "nothing"]));
}

#[test]
fn white_space_comments_and_test_cases_are_no_change() {
    let project = project();
    project.migrate().succeeds();
    project.write(
        "transformers/user_created.toml",
        RULE.replace("from = 1", "# first\nfrom   =   1").replace("renames", "x"),
    );
    let text = project.run("check", ["--strict"]).succeeds();
    assert!(!text.contains("applied"), "{text}");
}

#[test]
fn a_target_that_can_not_be_looked_at_fails_no_check() {
    let project = project();
    project.write("target.db", "this is no database, and no ledger can be looked at in it");
    let text = project.run("check", ["--strict"]).succeeds();
    assert!(text.contains("note: what was applied is not known: failed to open sqlite:"), "{text}");
}

#[test]
fn runs_are_compared_and_exported() {
    let (one, other) = (project(), project());
    one.migrate().succeeds();
    other.write(
        "transformers/user_created.toml",
        RULE.replace("from = 1\n", "from = 1\nmetadata = [{ set = \"/by\", value = 1 }]\n"),
    );
    other.write("transformers/other.toml", OTHER);
    other.migrate().succeeds();
    let with = other.folder().to_str().unwrap();
    let compared = shown(&one, &["runs", "compare", "--with", with])
        .replace(with, "[other]")
        .replace(&record(&other).id.to_string(), "[run]");
    let lines: Vec<&str> = compared.lines().filter(|line| !line.contains("events a second")).collect();
    let real = other.folder().canonicalize().unwrap();
    assert_session("history_compare", &(lines.join("\n").replace(real.to_str().unwrap(), "[other]") + "\n"));
    let same = shown(&one, &["runs", "compare", "latest", "latest"]);
    let lines: Vec<&str> = same.lines().filter(|line| !line.contains("events a second")).collect();
    assert_session("history_compare_same", &(lines.join("\n") + "\n"));
    assert_session("history_compare_one", &shown(&one, &["runs", "compare", "latest"]));

    let id = record(&one).id.to_string();
    for format in [&["runs", "export"][..], &["runs", "export", "--format", "ndjson"], &["runs", "export", "--json"]] {
        let output = eventlift(one.folder(), format);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let run = value.get("run").unwrap_or_else(|| &value["runs"][0]);
        assert_eq!(run["run"], *id);
        assert!(run["rules"][0]["text"].as_str().unwrap().starts_with("[[upcast]]"), "{text}");
        assert_eq!(run["sessions"][0]["state"], "done");
    }
}

#[test]
fn a_repair_is_proved_recorded_and_gone_on_with() {
    let project = project();
    project.migrate().succeeds();
    assert_session("history_repair_nothing", &shown(&project, &["repair"]));
    // Another rule that gives the same.
    let same = RULE.replace("{ rename = \"/name\", to = \"/full_name\" }", "{ move = \"/name\", to = \"/full_name\" }");
    project.write("transformers/user_created.toml", same);
    assert_eq!(project.migrate().code, Some(5));
    assert_session("history_repair", &shown(&project, &["repair"]));
    project.migrate().succeeds();
    let details = record(&project).details;
    let results: Vec<_> = details.sessions.iter().map(|s| (&*s.command, &*s.result)).collect();
    assert_eq!(results, [("migrate", "done"), ("repair", "done, proved (events: 1)"), ("migrate", "done")]);
    assert_eq!(details.superseded.len(), 1);
    project.verify().succeeds();
}

#[test]
fn a_repair_that_breaks_an_event_is_refused_with_it() {
    let project = project();
    project.migrate().succeeds();
    let before = record(&project);
    project.write("transformers/user_created.toml", RULE.replace("\"/full_name\" }", "\"/whole_name\" }"));
    assert_session("history_repair_breaks", &shown(&project, &["repair"]));
    // A rule that fails on what is in already breaks it as well.
    project.write("transformers/user_created.toml", RULE.replace("\"/name\"", "\"/nobody\""));
    let output = project.run("repair", [] as [&str; 0]);
    assert_eq!(output.code, Some(5), "{}", output.stderr);
    assert!(output.stderr.contains("refused to repair: the rules give something else"), "{}", output.stderr);
    assert_eq!(record(&project), before);

    project.run("repair", ["--without-proof"]).succeeds();
    let details = record(&project).details;
    let last = details.sessions.last().unwrap();
    assert_eq!((&*last.command, &*last.result, &*last.by), ("repair", "done, without proof", &*who()));
}

#[test]
fn a_repair_of_one_rule_leaves_the_others_alone() {
    let project = project();
    project.migrate().succeeds();
    let same = RULE.replace("{ rename = \"/name\", to = \"/full_name\" }", "{ move = \"/name\", to = \"/full_name\" }");
    project.write("transformers/user_created.toml", same);
    project.write("transformers/other.toml", OTHER);
    assert_session("history_repair_others", &shown(&project, &["repair", "--rule", "mark"]));
    assert_session("history_repair_misnamed", &shown(&project, &["repair", "--rule", "nothing"]));
    // No event of the target is a Ping.
    project.run("repair", [] as [&str; 0]).succeeds();
    project.migrate().succeeds();
}

#[test]
fn a_repair_that_would_number_events_in_another_way_is_refused() {
    let project = project();
    project.migrate().succeeds();
    project.write(
        "transformers/other.toml",
        "[current]\nPing = 1\n\n[[rule]]\nname = \"move\"\nmatch = { types = [\"Ping\"] }\ncategory = \"ping\"\n",
    );
    let output = project.run("repair", ["--without-proof"]);
    assert_eq!(output.code, Some(5));
    assert!(output.stderr.contains("the rules have come to split, drop or move events"), "{}", output.stderr);
}
