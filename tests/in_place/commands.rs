//! `eventlift rewrite`, and what it refuses.

use eventlift::events::EventWriter;
use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};
use rusqlite::Connection;

use crate::project::Project;
use crate::rulebook;

const SQLITE: &str = "[source]\nstore = \"sqlite\"\npath = \"events.db\"\n";
const RULE: &str = "type = \"UserRenamed\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/full_name\" }]\n";
const NOTHING: [&str; 0] = [];

/// Ten events of two streams; every second one is to be rewritten.
fn scene() -> Project {
    let project = Project::new(SQLITE);
    project.write("transformers/user_renamed.toml", RULE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut writer = SqliteWriter::open(SqliteConfig::new(project.path("events.db"))).unwrap();
        let events: Vec<_> = (0..10)
            .map(|n| {
                let event_type = if n % 2 == 0 { "UserRenamed" } else { "Ping" };
                rulebook::event(
                    n + 1,
                    event_type,
                    &format!("user-{}", n % 2),
                    n / 2,
                    format!("{{\"name\":  \"N{n}\"}}"),
                )
            })
            .collect();
        writer.append(&events, None).await.unwrap();
        writer.seal(true).await.unwrap();
    });
    project
}

fn rows(project: &Project) -> Vec<String> {
    let database = Connection::open(project.path("events.db")).unwrap();
    let mut select = database
        .prepare(
            "SELECT format('%s %s %s %s %s %s %s', position, type, schema_version, typeof(data), data, metadata, data_type)
             FROM events ORDER BY 1",
        )
        .unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn change(project: &Project, sql: &str) {
    assert_eq!(Connection::open(project.path("events.db")).unwrap().execute(sql, []).unwrap(), 1);
}

/// The output without the store's name, the run's id and how long it took.
fn said(output: &str) -> String {
    let lines = output.lines().skip(1);
    let words = |line: &str| {
        let words = line.split(' ').map(|word| if uuid::Uuid::try_parse(word).is_ok() { "RUN" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let text = lines.map(words).collect::<Vec<_>>().join("\n");
    let seconds = text.rfind(" (").filter(|_| text.ends_with(" s)"));
    seconds.map_or(text.clone(), |at| text[..at].to_owned())
}

#[test]
fn the_whole_way_there_and_back() {
    let project = scene();
    let before = rows(&project);
    let look = project.run("rewrite", NOTHING);
    assert_eq!(look.code, Some(5), "{}", look.stderr);
    assert_eq!(
        said(&look.stdout),
        "  UserRenamed version 1 → UserRenamed version 2: 5 events\n\
         this rewrites 5 of 10 events where they are; nothing was written\n\
         hint: add --yes to have it done; stop nobody, and keep a backup"
    );
    assert_eq!(rows(&project), before);

    let done = project.run("rewrite", ["--yes"]).succeeds();
    assert_eq!(said(&done), "5 of 10 events rewritten; what they were is in the undo log\nrun RUN is done");
    let after = rows(&project);
    assert_eq!(after[0], r#"1 UserRenamed 2 text {"full_name":"N0"} {"correlation": "c-1"} "#);
    let verified = project.run("rewrite", ["--verify"]).succeeds();
    assert_eq!(said(&verified), "5 events compared with what the rules make of their originals, 5 others\nverified");
    let look = project.run("rewrite", NOTHING).succeeds();
    assert_eq!(said(&look), "0 events; the rules leave all of them as they are");

    let asked = project.run("rewrite", ["--undo"]);
    asked.fails(
        5,
        "error: refused to run: this puts back what run RUN has rewritten in sqlite:PROJECT/events.db\n\
         hint: add --yes to have it done",
    );
    assert_eq!(rows(&project), after);
    let undone = project.run("rewrite", ["--undo", "--yes"]).succeeds();
    assert_eq!(said(&undone), "5 events were put back\nrun RUN is taken back");
    assert_eq!(rows(&project), before);
    let again = project.run("rewrite", ["--undo", "--yes"]).succeeds();
    assert_eq!(said(&again), "nothing was left to do: run RUN was taken back before");

    project.run("rewrite", ["--yes"]).succeeds();
    assert_eq!(rows(&project), after);
    project.run("rewrite", ["--drop-undo"]).fails(
        5,
        "error: refused to run: this drops the undo log of run RUN, which can't be taken back then\n\
         hint: add --yes to have it done",
    );
    let dropped = project.run("rewrite", ["--drop-undo", "--yes"]).succeeds();
    assert_eq!(said(&dropped), "the undo log of run RUN is dropped, with 5 events");
    project
        .run("rewrite", ["--undo", "--yes"])
        .fails(5, "error: refused to run: the undo log of run RUN was dropped\nhint: restore a backup");
    assert_eq!(rows(&project), after);
}

#[test]
fn events_that_were_changed_since_are_left_and_named() {
    let project = scene();
    project.run("rewrite", ["--yes"]).succeeds();
    change(&project, "UPDATE events SET data = '{}' WHERE position = 5");
    let differs = project.run("rewrite", ["--verify"]);
    assert_eq!(differs.code, Some(6), "{}", differs.stdout);
    assert!(differs.stdout.contains("the first difference, at position 5"), "{}", differs.stdout);
    let undone = project.run("rewrite", ["--undo", "--yes"]);
    assert_eq!(undone.code, Some(5), "{}", undone.stdout);
    assert!(
        undone.stdout.contains("4 events were put back\n1 are not what run")
            && undone.stdout.contains("  position 5, event"),
        "{}",
        undone.stdout
    );
    assert!(rows(&project).contains(&r#"5 UserRenamed 2 text {} {"correlation": "c-5"} "#.to_owned()));
    project.run("rewrite", ["--yes"]).fails(
        5,
        "error: refused to run: run RUN is being taken back\nhint: end that first: `eventlift rewrite --undo --yes`",
    );
    change(&project, "UPDATE events SET data = '{\"full_name\":\"N4\"}' WHERE position = 5");
    project.run("rewrite", ["--undo", "--yes"]).succeeds();
    assert!(rows(&project).contains(&r#"5 UserRenamed 1 text {"name":  "N4"} {"correlation": "c-5"} "#.to_owned()));
}

#[test]
fn an_event_that_is_gone_is_a_difference() {
    let project = scene();
    project.run("rewrite", ["--yes"]).succeeds();
    change(&project, "DELETE FROM events WHERE position = 9");
    let differs = project.run("rewrite", ["--verify"]);
    assert_eq!(differs.code, Some(6), "{}", differs.stdout);
    assert!(differs.stdout.contains("events that were rewritten are gone\n1 events differ"), "{}", differs.stdout);
}

#[test]
fn rules_that_move_events_are_named() {
    let project = scene();
    let before = rows(&project);
    project.write("transformers/ping.toml", "type = \"Ping\"\nretired = true\n\n[[upcast]]\nfrom = 1\ndrop = true\n");
    for arguments in [&[][..], &["--yes"]] {
        project.run("rewrite", arguments).fails(
            5,
            "error: refused to run: Ping 1 → nothing (transformers/ping.toml:4) may split, drop, merge or move events, or \
             keeps state, and in place none can be added or taken away\n\
             hint: migrate into a new target instead, with `eventlift migrate`",
        );
    }
    assert_eq!(rows(&project), before);
}

#[test]
fn a_trigger_of_the_stores_is_heard() {
    let project = scene();
    let before = rows(&project);
    let trigger =
        "CREATE TRIGGER immutable BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events never change'); END";
    Connection::open(project.path("events.db")).unwrap().execute_batch(trigger).unwrap();
    project.run("rewrite", ["--yes"]).fails(
        5,
        "error: failed to rewrite events in sqlite:PROJECT/events.db: events never change\n\
         hint: the table has a say in that itself (trigger immutable); take it away for as long as events are rewritten",
    );
    let runs: i64 = Connection::open(project.path("events.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM eventlift_runs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(runs, 0);
    assert_eq!(rows(&project), before);
}

#[test]
fn a_file_is_an_append_only_log() {
    let project = Project::new("[source]\nstore = \"file\"\npath = \"events.ndjson\"\n");
    project.write("events.ndjson", "");
    for arguments in [&[][..], &["--yes"], &["--undo", "--yes"], &["--verify"]] {
        project.run("rewrite", arguments).fails(
            5,
            "error: failed to rewrite events in file:PROJECT/events.ndjson: it is an append-only log\n\
             hint: migrate into a new target instead, with `eventlift migrate`",
        );
    }
}

#[test]
fn without_a_run_there_is_nothing_to_take_back() {
    let project = scene();
    for arguments in [&["--undo", "--yes"][..], &["--drop-undo", "--yes"], &["--verify"]] {
        project.run("rewrite", arguments).fails(
            5,
            "error: refused to run: no run has rewritten events of sqlite:PROJECT/events.db\n\
             hint: `eventlift rewrite` shows what one would do",
        );
    }
}
