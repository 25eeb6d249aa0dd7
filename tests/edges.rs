//! Edges: drops without end, links, odd names, other stores in the source's place, streams that nobody reads.

use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::Arc;

use eventlift::events::faults::{Call, Fault, Faulty, Script};
use eventlift::events::{Event, EventReader, EventWriter, MemoryStore, Position, ReadRequest, Revision, Scope};
use eventlift::pipeline::{
    Audit, Migration, MigrationOptions, Outcome, PipelineError, Policies, Rehearsing, Stop, StopHandle, verify,
};
use eventlift::stores::Prospect;
use eventlift::stores::StoreConfig;
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use eventlift::transformers::{Registry, Rule};
use futures_util::StreamExt;
use rusqlite::Connection;

use crate::content::events_of;
use crate::project::{FILE_TO_FILE, FILE_TO_SQLITE, Project};
use crate::rulebook::event;

async fn filled(events: &[Event]) -> MemoryStore {
    let store = MemoryStore::new();
    store.writer().unwrap().append(events, None).await.unwrap();
    store
}

fn nothing_stays() -> Registry {
    let rule = Rule::new("nothing stays", "1", |_| Ok(None::<Event>));
    Registry::builder().rule(rule).build().unwrap()
}

fn no_rules() -> Arc<Registry> {
    Arc::new(Registry::builder().build().unwrap())
}

async fn migrate(
    source: &MemoryStore,
    target: &MemoryStore,
    registry: Arc<Registry>,
    options: MigrationOptions,
) -> Result<Outcome, PipelineError> {
    Migration::new(Arc::new(source.reader()), Box::new(target.writer().unwrap()), registry, options).run().await
}

/// A line of a log: the numbered event of a stream of its own.
fn line(number: u64, data: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"urn:test\",\"type\":\"UserCreated\",\
         \"subject\":\"user-{number}\",\"time\":\"2024-05-01T12:00:00Z\",\"sequence\":{number},\
         \"streamrevision\":0,\"data\":{data}}}\n"
    )
}

fn log(count: u64) -> String {
    (1..=count).map(|number| line(number, "{\"name\":\"Ada\"}")).collect()
}

const NAME: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ rename = "/name", to = "/full_name" }]
"#;

#[tokio::test]
async fn events_that_all_become_nothing_are_committed_on_the_way() {
    let events: Vec<Event> =
        (1..=5_000).map(|number| event(number, "Ping", &format!("user-{number}"), 0, "{}")).collect();
    let script = Script::new();
    let target = Faulty::new(MemoryStore::new().writer().unwrap(), script.clone());
    let options = MigrationOptions {
        batch_events: NonZeroUsize::new(100).unwrap(),
        transaction_events: NonZeroUsize::new(500).unwrap(),
        ..MigrationOptions::default()
    };
    let source = Arc::new(filled(&events).await.reader());
    let outcome = Migration::new(source, Box::new(target), Arc::new(nothing_stays()), options).run().await.unwrap();
    assert_eq!((outcome.counts.read, outcome.counts.dropped), (5_000, 5_000));
    assert_eq!(script.seen(Call::Append), 10, "what is remembered of dropped events must not grow with their number");
}

#[tokio::test]
async fn what_is_dropped_counts_towards_the_bytes_of_a_transaction() {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 20));
    let events: Vec<Event> = (1..=40).map(|number| event(number, "Ping", "user-1", number - 1, text.clone())).collect();
    let script = Script::new();
    let target = Faulty::new(MemoryStore::new().writer().unwrap(), script.clone());
    let source = Arc::new(filled(&events).await.reader());
    let registry = Arc::new(nothing_stays());
    Migration::new(source, Box::new(target), registry, MigrationOptions::default()).run().await.unwrap();
    assert!(script.seen(Call::Append) >= 4, "{} transactions for 40 MiB", script.seen(Call::Append));
}

#[tokio::test]
async fn a_rehearsal_keeps_a_bounded_number_of_bytes() {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 20));
    let events: Vec<Event> = (1..=80).map(|number| event(number, "Note", "user-1", number - 1, text.clone())).collect();
    let rehearsing = Rehearsing {
        source: Arc::new(filled(&events).await.reader()),
        target: Prospect::nowhere(),
        registry: no_rules(),
        options: MigrationOptions::default(),
        limit: None,
        keep: 20_000,
    };
    let rehearsal = rehearsing.run(&Stop::never(), |_| {}).await.unwrap();
    assert_eq!(rehearsal.counts.written, 80);
    let kept: usize = rehearsal.first.iter().map(Event::size).sum();
    assert!((1..=36 << 20).contains(&kept), "{kept} bytes are kept");
}

#[tokio::test]
async fn any_number_of_workers_reads_ahead_by_a_bounded_number_of_batches() {
    let events: Vec<Event> =
        (1..=2_000).map(|number| event(number, "Ping", &format!("user-{number}"), 0, "{}")).collect();
    let (reading, writing) = (Script::new(), Script::new());
    let options = MigrationOptions {
        batch_events: NonZeroUsize::MIN,
        transaction_events: NonZeroUsize::MIN,
        workers: NonZeroUsize::MAX,
        ..MigrationOptions::default()
    };
    let source = Faulty::new(filled(&events).await.reader(), reading.clone());
    writing.on(Call::Append, 1, Fault::Hold);
    let target = Box::new(Faulty::new(MemoryStore::new().writer().unwrap(), writing.clone()));
    let migration = Migration::new(Arc::new(source), target, no_rules(), options);
    let running = tokio::spawn(migration.run());
    while writing.held() == 0 {
        tokio::task::yield_now().await;
    }
    let read = reading.seen(Call::Batch);
    writing.release();
    running.await.unwrap().unwrap();
    assert!(read < 1_000, "{read} batches were read before the first was appended");
}

#[tokio::test]
async fn a_verification_that_is_stopped_while_it_looks_for_the_difference_names_no_wrong_one() {
    let events: Vec<Event> = (0..3).map(|number| event(number, "Note", "user-1", number, "{}")).collect();
    let (source, target) = (filled(&events).await, MemoryStore::new());
    let mut changed = events.clone();
    changed[2] = event(2, "Other", "user-1", 2, "{}");
    target.writer().unwrap().append(&changed, None).await.unwrap();

    let script = Script::new();
    // Three batches and the end, the first batch again, and then it waits.
    script.on(Call::Batch, 6, Fault::Hold);
    let (handle, stop) = StopHandle::new();
    let options =
        MigrationOptions { batch_events: NonZeroUsize::MIN, workers: NonZeroUsize::MIN, ..MigrationOptions::default() };
    let source = Arc::new(Faulty::new(source.reader(), script.clone()));
    let verifying = tokio::spawn(verify(source, Arc::new(target.reader()), no_rules(), options, None, stop, |_| {}));
    while script.held() == 0 {
        tokio::task::yield_now().await;
    }
    handle.stop();
    let found = verifying.await.unwrap().unwrap();
    script.release();
    assert!(!found.agrees() && found.differing_buckets == 1);
    assert_eq!(found.first, None, "the events before the one that differs are the same");
}

#[test]
fn verify_sees_rows_before_the_first_position() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", log(20)).migrate().succeeds();
    let target = Connection::open(project.path("target.db")).unwrap();
    target
        .execute(
            "INSERT INTO events SELECT -7, 'user-smuggled', 0, 'smuggled', type, schema_version, recorded_at, data,
                                       metadata, data_type, metadata_type, attributes FROM events WHERE position = 1",
            [],
        )
        .unwrap();
    drop(target);
    assert!(matches!(project.verify().code, Some(4 | 6)), "a row at a negative position is not seen");
}

#[test]
fn verify_sees_a_second_number_in_a_position() {
    let project = Project::new(FILE_TO_FILE);
    project.write("events.ndjson", log(60)).migrate().succeeds();
    let text = String::from_utf8(project.read("target.ndjson")).unwrap();
    project.write("target.ndjson", text.replacen("00000000000000000001", "000000000000000001/0", 1));
    assert_eq!(project.verify().code, Some(6));
}

#[tokio::test]
async fn an_event_that_must_be_covered_is_refused_even_where_a_rule_drops_it() {
    let rule = Rule::new("no legacy", "1", |_| Ok(None::<Event>)).types(["Legacy*"]);
    let registry = Arc::new(Registry::builder().current("Known", 1).rule(rule).build().unwrap());
    let policies: Policies = toml::from_str("unknown_types = \"fail\"").unwrap();
    for before in [0, 1] {
        let mut events = vec![event(1, "Known", "user-1", 0, "{}")];
        events.truncate(before);
        events.push(event(7, "Legacy1", "user-2", 0, "{}"));
        let options = MigrationOptions { policies, ..MigrationOptions::default() };
        let outcome = migrate(&filled(&events).await, &MemoryStore::new(), Arc::clone(&registry), options).await;
        let Err(PipelineError::Uncovered { id, event_type, .. }) = outcome else { panic!("{before}: {outcome:?}") };
        assert_eq!((event_type.as_str(), *id), ("Legacy1", event(7, "Legacy1", "user-2", 0, "{}").id));
    }
}

#[test]
fn folders_that_lead_back_to_themselves_are_read_once() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("transformers/name.toml", NAME);
    for link in ["again", "once_more"] {
        std::os::unix::fs::symlink(".", project.path("transformers").join(link)).unwrap();
    }
    let said = project.run("check", [] as [&str; 0]).succeeds();
    assert!(said.contains("1 rule compiled"), "{said}");
}

#[test]
fn a_folder_of_transformers_that_is_named_but_not_there_is_refused() {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n[transformers]\nfolder = \"transfomers\"\n"));
    project.write("transformers/name.toml", NAME).write("events.ndjson", log(3));
    project.migrate().fails(
        3,
        "error: failed to read PROJECT/transfomers: it does not exist\n\
         hint: correct `folder` under [transformers] in eventlift.toml",
    );

    let project = Project::new(FILE_TO_SQLITE);
    std::os::unix::fs::symlink("nowhere", project.path("transformers")).unwrap();
    project.write("events.ndjson", log(3));
    assert_eq!(project.migrate().code, Some(3), "a link that leads nowhere is no folder without rules");
}

#[test]
fn an_output_that_takes_nothing_changes_no_exit_code() {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", "broken\n");
    for arguments in [&["--json"][..], &[]] {
        let status = project.command("migrate").args(arguments).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(4), "{arguments:?}");
    }
}

#[test]
fn an_error_in_json_does_not_get_into_a_log_on_standard_output() {
    let project = Project::new(&FILE_TO_FILE.replace("events.ndjson", "-").replace("target.ndjson", "-"));
    let log = log(3) + "broken\n";
    let mut command = project.command("migrate");
    let mut child =
        command.arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), log.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(out.lines().filter(|line| line.contains("\"specversion\"")).count(), 3, "{out}");
    assert_eq!(out.lines().count(), 3, "{out}");
    let error: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!(error["error"]["exit_code"], 4);
}

#[test]
fn a_source_that_is_read_in_another_way_does_not_continue_a_run() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", log(30).replace("\"sequence\":", "\"sequence\":10")).migrate().succeeds();
    let by_line = FILE_TO_SQLITE.replace("events.ndjson\"", "events.ndjson\"\nattributes = { order = \"none\" }");
    project.write("eventlift.toml", by_line);
    for command in ["migrate", "verify"] {
        let output = project.run(command, [] as [&str; 0]);
        assert_eq!(output.code, Some(5), "{}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains("how the source is read was changed"), "{}", output.stderr);
    }
}

#[test]
fn a_target_that_is_written_in_another_way_does_not_continue_a_run() {
    let project = Project::new(FILE_TO_FILE);
    project.write("events.ndjson", log(30)).migrate().succeeds();
    let other = FILE_TO_FILE.replace("target.ndjson\"", "target.ndjson\"\nattributes = { revision_base = 1 }");
    project.write("eventlift.toml", other).write("events.ndjson", log(40));
    let output = project.migrate();
    assert_eq!(output.code, Some(5), "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("how the target is written was changed"), "{}", output.stderr);
}

#[test]
fn a_source_without_the_event_a_run_ended_at_does_not_continue_it() {
    let sources: [(&str, String); 2] = [
        ("sequence", FILE_TO_SQLITE.to_owned()),
        ("none", { FILE_TO_SQLITE.replace("events.ndjson\"", "events.ndjson\"\nattributes = { order = \"none\" }") }),
    ];
    for (order, toml) in sources {
        let project = Project::new(&toml);
        project.write("events.ndjson", log(30)).migrate().succeeds();
        // The log was begun anew: what is in it now must not pass for what is done.
        project.write("events.ndjson", log(20).replace("e-", "new-").replace("user-", "other-"));
        project.migrate().fails(
            5,
            "error: refused to run: file:PROJECT/events.ndjson holds no event at position 30, where run RUN ended\n\
             hint: is it the same store? if its old events were only taken away, add --accept-changes; otherwise \
             migrate into a new target",
        );
        let accepted = project.run("migrate", ["--accept-changes"]);
        assert_eq!(accepted.code, Some(0), "{order}: {}", accepted.stderr);
    }
}

#[tokio::test]
async fn a_target_is_locked_under_all_its_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, link) in [("target.db", "link.db"), ("target.ndjson", "link.ndjson")] {
        let (real, link) = (folder.path().join(name), folder.path().join(link));
        let config = |path: &std::path::Path| {
            let kind = if name.ends_with("db") { "sqlite" } else { "file" };
            let table = toml::from_str(&format!("store = \"{kind}\"\npath = {path:?}")).unwrap();
            StoreConfig::from_table(table, folder.path()).unwrap()
        };
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let held = config(&real).writer().await.unwrap();
        assert!(config(&link).is_being_written().await);
        let error = config(&link).writer().await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("another run holds it"), "{error}");
        drop(held);
        config(&link).writer().await.unwrap();
    }
}

#[test]
fn a_file_is_read_up_to_what_is_committed_under_all_its_names() {
    let project = Project::new(FILE_TO_FILE);
    project.write("events.ndjson", log(30)).migrate().succeeds();
    let link = project.path("link.ndjson");
    std::os::unix::fs::symlink("target.ndjson", &link).unwrap();
    let ledger = Connection::open(project.path("target.ndjson.eventlift")).unwrap();
    ledger.execute("UPDATE eventlift_file SET writing = 1", []).unwrap();
    drop(ledger);
    let mut text = project.read("target.ndjson");
    text.extend(line(99, "{}").bytes());
    project.write("target.ndjson", text);
    let reader = eventlift::stores::file::FileReader::open(eventlift::stores::file::FileConfig::new(link)).unwrap();
    let events = tokio::runtime::Runtime::new().unwrap().block_on(events_of(&reader));
    assert_eq!(events.len(), 30);
}

#[test]
fn names_that_sqlite_would_take_for_addresses_are_files() {
    for target in ["file:target.db", "target ?mode=memory's \"ü\".db", ":memory:"] {
        let path = toml::Value::String(target.to_owned()).to_string();
        let project = Project::new(&FILE_TO_SQLITE.replace("\"target.db\"", &path));
        project.write("events.ndjson", log(3));
        for command in ["migrate", "verify", "status"] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_eventlift"));
            let output = project.output(program.arg(command).current_dir(project.folder()));
            assert_eq!(output.code, Some(0), "{command} {target}: {}", output.stderr);
        }
        assert!(project.path(target).is_file(), "{target}");
    }
}

#[tokio::test]
async fn a_category_is_the_same_in_every_store() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("events.db"));
    let streams = ["user", "user-", "user-1", "user-1-2", "users-1", "User-1"];
    let events: Vec<Event> = (1..).zip(streams).map(|(number, name)| event(number, "Note", name, 0, "{}")).collect();
    let mut writer = SqliteWriter::open(config.clone()).unwrap();
    writer.append(&events, None).await.unwrap();
    writer.seal(true).await.unwrap();
    let reader = SqliteReader::open(config).unwrap();
    for category in ["user", "user-", "user-1", "users", "", "%"] {
        let scope = Scope::Category(category.to_owned());
        let mut found = Vec::new();
        let mut batches = reader.read(ReadRequest::new(scope.clone()));
        while let Some(batch) = batches.next().await {
            found.extend(batch.unwrap());
        }
        let expected: Vec<Event> = events.iter().filter(|event| scope.contains(event)).cloned().collect();
        assert_eq!(found, expected, "{category:?}");
    }
}

#[tokio::test]
async fn the_last_positions_there_are_can_be_carried() {
    let mut events = vec![event(1, "Note", "user-1", 0, "{}"), event(2, "Note", "user-1", 1, "{}")];
    events[0].position = Position::new(u64::MAX - 1);
    events[1].position = Position::new(u64::MAX);
    let (source, target) = (filled(&events).await, MemoryStore::new());
    migrate(&source, &target, no_rules(), MigrationOptions::default()).await.unwrap();
    assert_eq!(events_of(&target.reader()).await, events);
}

#[test]
fn the_audit_takes_every_revision() {
    let mut events = vec![event(1, "Note", "user-1", 0, "{}"), event(2, "Note", "user-1", 1, "{}")];
    events[1].revision = Revision(u64::MAX);
    let mut audit = Audit::new().unwrap();
    audit.add(&events).unwrap();
    assert_eq!(audit.finish(true).unwrap().unwrap().position, Position::new(2));
    let mut audit = Audit::new().unwrap();
    audit.add(&events).unwrap();
    assert_eq!(audit.finish(false).unwrap(), None);
}

/// A source in SQLite whose constraints allow gaps, with one in user-1, and the rules of a general migration.
fn with_a_gap(rule: &str) -> Project {
    let project = Project::new(
        "[source]\nstore = \"sqlite\"\npath = \"source.db\"\n\n[target]\nstore = \"sqlite\"\npath = \"target.db\"\n",
    );
    project.write("transformers/user.toml", rule);
    let events: Vec<Event> = [("user-1", 0), ("user-2", 0), ("user-1", 2)]
        .into_iter()
        .zip(1..)
        .map(|((stream, revision), number)| event(number, "UserCreated", stream, revision, "{}"))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut writer = SqliteWriter::open(SqliteConfig::new(project.path("source.db"))).unwrap();
    runtime.block_on(writer.append(&events, None)).unwrap();
    runtime.block_on(writer.seal(false)).unwrap();
    project
}

#[test]
fn a_gap_is_found_before_rules_that_drop_and_when_sealing_behind_those_that_only_split() {
    let split = "[[rule]]\nname = \"two\"\nmatch = { types = [\"UserCreated\"] }\n\
                 split = [{ type = \"UserCreated\" }, { type = \"UserWelcomed\" }]\n";
    let drop = "[[rule]]\nname = \"none\"\nmatch = { types = [\"UserCreated\"] }\nwhen = { stream = \"user-1\" }\ndrop = true\n";
    for (rule, is_written) in [(split, true), (drop, false)] {
        let project = with_a_gap(rule);
        let output = project.migrate();
        assert_eq!(output.code, Some(4), "{}", output.stderr);
        assert!(output.stderr.contains("user-1") && output.stderr.contains("sparse"), "{}", output.stderr);
        let target = Connection::open(project.path("target.db")).unwrap();
        let events = target.query_row("SELECT count(*) FROM events", [], |row| row.get::<_, i64>(0));
        assert_eq!(events.unwrap_or(0) > 0, is_written, "{rule}");
        // Asking again does not make it good.
        assert_eq!(project.migrate().code, Some(4));
    }
}
