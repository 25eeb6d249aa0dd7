//! What a writer promises beyond the suite: odd content, other writers, zombies, crashes in the middle.

use std::num::NonZeroUsize;

use eventlift::events::{
    CheckpointStore, ContentType, Counts, Event, EventId, EventReader, EventType, EventWriter, LoadRange, Payload,
    Position, Progress, ReadRequest, Revision, RunDetails, RunId, RunRecord, RunState, SchemaVersion, Scope,
    StoreError, StoreErrorKind, StreamName, Timestamp,
};
use eventlift::stores::postgres::{PayloadColumn, PostgresConfig, PostgresReader, PostgresWriter};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

use super::database::Database;

fn event(position: u64, stream: &str, revision: u64) -> Event {
    Event {
        id: EventId::text(format!("event-{position}")).unwrap(),
        stream: StreamName::new(stream.to_owned()).unwrap(),
        revision: Revision(revision),
        position: Position::new(position),
        event_type: EventType::new("UserCreated").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(format!(r#"{{ "number" : {position} }}"#)),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

/// Events at positions that start behind one, each revision 0 of a stream of its own.
fn lone_events(after: u64, count: u64) -> Vec<Event> {
    (after + 1..=after + count).map(|position| event(position, &format!("user-{position}"), 0)).collect()
}

async fn open(config: &PostgresConfig) -> PostgresWriter {
    PostgresWriter::open(config.clone()).await.unwrap()
}

async fn read(config: &PostgresConfig) -> Vec<Event> {
    let reader = PostgresReader::open(config.clone()).await.unwrap();
    let batches: Vec<Vec<Event>> = reader.read(ReadRequest::new(Scope::All)).try_collect().await.unwrap();
    batches.concat()
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap()
}

/// Ends all other connections of the database, as a server that is restarted does.
async fn terminate_others(connection: &mut PgConnection) {
    let others = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    number(connection, others).await;
}

fn range(index: u32, after: Option<u64>, until: u64) -> LoadRange {
    let (after, until) = (after.map(Position::new), Position::new(until));
    LoadRange { index, after, until, done: None, counts: Counts::default(), is_complete: false }
}

fn done(range: LoadRange, position: u64) -> LoadRange {
    let done = Position::new(position);
    LoadRange { done: Some(done), is_complete: done == range.until, ..range }
}

fn two() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn bytes_labelled_json_come_back_in_the_middle_of_an_append() {
    let database = Database::create().await;
    for column in [PayloadColumn::Json, PayloadColumn::Jsonb, PayloadColumn::Bytea] {
        let table = format!("events_{}", column.as_str());
        let config = PostgresConfig { table, data: column, metadata: column, ..PostgresConfig::new(database.url()) };
        let mut events = lone_events(0, 2_000);
        events[700].data = Payload::json("{\"a\":");
        events[900].metadata = Payload::json(&b"\"\xff\""[..]);
        events[901].metadata = Payload::json("{\"a\":\"\0\"}");
        events[1_999].data = Payload::new("<a/>", ContentType::parse("application/xml"));
        let mut writer = open(&config).await;
        writer.append(&events[..1_000], None).await.unwrap();
        writer.seal(true).await.unwrap();
        writer.append(&events[1_000..], None).await.unwrap();
        let mut more = lone_events(2_000, 3);
        more[1].data = Payload::json("no JSON");
        writer.append(&more, None).await.unwrap();
        events.extend(more);
        let found = read(&config).await;
        assert_eq!(found.len(), events.len());
        for (found, expected) in found.iter().zip(&events) {
            if column.is_exact() || !expected.data.bytes().starts_with(b"{ ") {
                assert_eq!(found, expected);
            }
        }
    }
    let mut connection = database.connect().await;
    let untyped =
        "SELECT count(*) FROM events_json WHERE data IS NULL AND data_bytes IS NOT NULL AND data_type IS NULL";
    assert_eq!(number(&mut connection, untyped).await, 2);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn sql_sees_json_whatever_label_of_json_it_has() {
    let json = [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.shop.order+json;v=1",
        " application/x+JSON ; a=\"b;c\"",
    ];
    let labelled = |bytes: &'static [u8], label: &str| Payload::new(bytes, ContentType::parse(label.to_owned()));
    let database = Database::create().await;
    let mut connection = database.connect().await;
    for column in [PayloadColumn::Json, PayloadColumn::Jsonb] {
        let table = format!("events_{}", column.as_str());
        let config = PostgresConfig {
            table: table.clone(),
            data: column,
            metadata: column,
            ..PostgresConfig::new(database.url())
        };
        let mut payloads: Vec<Payload> = json.iter().map(|label| labelled(b"{\"price\": 10.10}", label)).collect();
        payloads.extend([
            labelled(b"{\"price\": 10.10}", "text/plain"),
            labelled(b"{\"price\": 10.10}", "application/json-seq"),
            labelled(b"{\"price\"", "application/x+json"),
            labelled(b"{\0}\0", "application/json; charset=utf-16"),
        ]);
        let mut events = lone_events(0, payloads.len() as u64);
        for (event, payload) in events.iter_mut().zip(&payloads) {
            (event.data, event.metadata) = (payload.clone(), payload.clone());
        }
        let mut writer = open(&config).await;
        writer.append(&events, None).await.unwrap();
        writer.seal(true).await.unwrap();
        let seen = format!(
            "SELECT count(*) FROM {table} WHERE data ->> 'price' = '10.10' AND metadata ->> 'price' = '10.10'
             AND data_bytes IS NULL AND metadata_bytes IS NULL"
        );
        assert_eq!(number(&mut connection, &seen).await, json.len() as i64);
        for (found, expected) in read(&config).await.iter().zip(&events) {
            assert_eq!(found.data.content_type(), expected.data.content_type());
            assert_eq!(found.data.bytes(), expected.data.bytes());
        }
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_jsonb_cannot_hold_is_refused_by_name_and_nothing_of_the_append_is_kept() {
    let database = Database::create().await;
    let config = PostgresConfig { data: PayloadColumn::Jsonb, ..PostgresConfig::new(database.url()) };
    let mut writer = open(&config).await;
    let huge = format!("{{\"a\":1{}}}", "0".repeat(140_000));
    for is_sealed in [false, true] {
        if is_sealed {
            writer.seal(true).await.unwrap();
        }
        for text in [r#"{"a":"\u0000"}"#, r#"{"a":"\ud800"}"#, &huge] {
            let mut events = lone_events(0, 40);
            events[17].data = Payload::json(text.to_owned());
            // What is no JSON at all does not hide it.
            events[3].data = Payload::json("{");
            let error = writer.append(&events, None).await.unwrap_err();
            assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains("stream user-18, revision 0, event event-18"), "{text}");
            let hint = error.hint.unwrap();
            assert!(hint.contains("`data = \"json\"`") && hint.contains("\"bytea\""), "{hint}");
            assert!(writer.is_empty().await.unwrap());
        }
    }
    writer.append(&lone_events(0, 40), None).await.unwrap();
    assert_eq!(read(&config).await.len(), 40);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_refused_payload_of_a_repeated_append_is_named_rightly() {
    let database = Database::create().await;
    let config = PostgresConfig { data: PayloadColumn::Jsonb, ..PostgresConfig::new(database.url()) };
    let mut writer = open(&config).await;
    writer.seal(true).await.unwrap();
    let mut events = lone_events(0, 20);
    writer.append(&events[..10], None).await.unwrap();
    events[14].data = Payload::json(r#""\u0000""#);
    // The first ten are not sent again, so the server counts from the eleventh.
    let error = writer.append(&events, None).await.unwrap_err().to_string();
    assert!(error.contains("event event-15"), "{error}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_no_column_can_hold_is_refused_by_name() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut writer = open(&config).await;
    let good = event(1, "user-1", 0);
    let odd = [
        Event { position: Position::pair(1, 2), ..good.clone() },
        Event { position: Position::new(1 << 63), ..good.clone() },
        Event { event_type: EventType::new("User\0Created").unwrap(), ..good.clone() },
        Event { attributes: (&b"{\"a\":\"\xff\"}"[..]).into(), ..good.clone() },
        Event { recorded_at: "-009000-01-01T00:00:00Z".parse().unwrap(), ..good.clone() },
        Event { event_type: EventType::new("n".repeat(3_000)).unwrap(), ..good.clone() },
        Event { data: Payload::new("x", ContentType::parse("text\0")), ..good.clone() },
    ];
    for event in odd {
        let error = writer.append(&[event], None).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("stream user-1, revision 0, event event-1"), "{error}");
    }
    assert!(writer.is_empty().await.unwrap());
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_second_writer_is_told_who_holds_the_store() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let first = open(&config).await;
    let error = PostgresWriter::open(config.clone()).await.err().unwrap();
    let StoreErrorKind::Locked(holder) = &error.kind else { panic!("{error}") };
    assert!(holder.contains("eventlift") && holder.contains("process"), "{holder}");
    // Another table of the same schema is another store.
    let other = PostgresConfig { table: "others".to_owned(), ..config.clone() };
    drop(open(&other).await);
    drop(first);
    drop(open(&config).await);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn an_earlier_writer_cannot_commit_once_a_later_one_opened_the_store() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let mut first = open(&config).await;
    let run = RunId::random();
    first.plan_ranges(run, &[range(0, None, 10)]).await.unwrap();
    let mut zombies = first.range_writers(two()).await.unwrap();
    zombies[0].append(&lone_events(0, 5), run, &done(range(0, None, 10), 5), &[]).await.unwrap();

    // The range writers' connections live on, without the lock of the writer they come from.
    drop(first);
    let mut second = open(&config).await;
    for zombie in &mut zombies {
        let error = zombie.append(&lone_events(5, 5), run, &done(range(0, None, 10), 10), &[]).await.unwrap_err();
        assert!(matches!(&error.kind, StoreErrorKind::Locked(why) if why.contains("taken over")), "{error}");
    }
    assert_eq!(second.load_ranges(run).await.unwrap()[0].done, Some(Position::new(5)));
    assert_eq!(second.last_position().await.unwrap(), Some(Position::new(5)));
    // The epoch is also what a writer with a lock goes by.
    execute(&mut connection, "UPDATE eventlift_stores SET epoch = epoch + 1").await;
    let error = second.append(&lone_events(5, 5), None).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "{error}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_lost_connection_is_made_again() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let mut writer = open(&config).await;
    let events = lone_events(0, 30);
    writer.append(&events[..10], None).await.unwrap();
    for is_sealed in [false, true] {
        if is_sealed {
            writer.seal(true).await.unwrap();
        }
        terminate_others(&mut connection).await;
        let part = if is_sealed { &events[20..] } else { &events[10..20] };
        let error = writer.append(part, None).await.unwrap_err();
        assert!(error.may_pass(), "{error}");
        writer.append(part, None).await.unwrap();
    }
    drop(writer);
    assert_eq!(read(&config).await, events);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_backend_that_ends_during_appends_leaves_whole_appends() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let run = RunId::random();
    const APPEND: u64 = 500;
    let mut writer = open(&config).await;
    let mut at = 0;
    for round in 0..12 {
        let appending = tokio::spawn(async move {
            loop {
                let progress = progress(run, at + APPEND);
                if let Err(error) = writer.append(&lone_events(at, APPEND), Some(&progress)).await {
                    return (writer, error);
                }
                at += APPEND;
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(7 * round)).await;
        terminate_others(&mut connection).await;
        let (ended, error): (_, StoreError) = appending.await.unwrap();
        assert!(error.may_pass(), "{error}");
        writer = ended;
        // The answer of the last one may be lost; the checkpoint tells.
        at = writer.checkpoint(run).await.unwrap().map_or(0, |checkpoint| checkpoint.source.major());
        assert_eq!(number(&mut connection, "SELECT count(*) FROM events").await as u64, at);
    }
    writer.seal(true).await.unwrap();
    assert_eq!(number(&mut connection, "SELECT coalesce(max(position), 0) FROM events").await as u64, at);
}

fn progress(run: RunId, position: u64) -> Progress {
    let source = Position::new(position);
    let checkpoint = eventlift::events::Checkpoint { source, target: Some(source), counts: Counts::default() };
    Progress {
        run,
        checkpoint,
        state: Vec::new(),
        positions: Vec::new(),
        late: Vec::new(),
        notes: Vec::new(),
        origins: Vec::new(),
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn ranges_go_on_where_a_crash_left_them() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let run = RunId::random();
    let (first, second) = (range(0, None, 100), range(1, Some(100), 200));
    let mut writer = open(&config).await;
    writer.plan_ranges(run, &[first, second]).await.unwrap();
    let mut loaders = writer.range_writers(two()).await.unwrap();
    loaders[1].append(&lone_events(100, 60), run, &done(second, 160), &[]).await.unwrap();
    loaders[0].append(&lone_events(0, 100), run, &done(first, 100), &[]).await.unwrap();
    let unplanned = loaders[0].append(&lone_events(200, 1), run, &done(range(7, None, 201), 201), &[]).await;
    assert!(unplanned.is_err());
    terminate_others(&mut connection).await;
    let lost = loaders[1].append(&lone_events(160, 40), run, &done(second, 200), &[]).await.unwrap_err();
    assert!(lost.may_pass(), "{lost}");
    // What became of it is unknown, so this one takes no more.
    assert!(loaders[1].append(&lone_events(160, 40), run, &done(second, 200), &[]).await.is_err());
    drop((loaders, writer));

    let mut writer = open(&config).await;
    let ranges = writer.load_ranges(run).await.unwrap();
    assert_eq!(ranges, [done(first, 100), done(second, 160)]);
    let mut loaders = writer.range_writers(two()).await.unwrap();
    loaders[0].append(&lone_events(160, 40), run, &done(second, 200), &[]).await.unwrap();
    writer.seal(true).await.unwrap();
    assert!(loaders[1].append(&lone_events(200, 1), run, &done(second, 200), &[]).await.is_err());
    assert!(writer.range_writers(two()).await.unwrap().is_empty());
    assert_eq!(read(&config).await, lone_events(0, 200));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn ranges_that_were_all_seen_are_sealed_and_flaws_between_them_are_found() {
    let database = Database::create().await;
    // The same stream in both ranges; a gap, disorder or a repetition lies between them.
    for (number, revision, is_sound) in [(1, 1, true), (2, 2, false), (3, 0, false)] {
        let config = PostgresConfig { table: format!("t{number}"), ..PostgresConfig::new(database.url()) };
        let run = RunId::random();
        let (first, second) = (range(0, None, 1), range(1, Some(1), 2));
        let mut writer = open(&config).await;
        writer.plan_ranges(run, &[first, second]).await.unwrap();
        let mut loaders = writer.range_writers(two()).await.unwrap();
        loaders[1].append(&[event(2, "user-1", revision)], run, &done(second, 2), &[]).await.unwrap();
        loaders[0].append(&[event(1, "user-1", 0)], run, &done(first, 1), &[]).await.unwrap();
        let sealed = writer.seal(true).await;
        assert_eq!(sealed.is_ok(), is_sound, "{sealed:?}");
        if let Err(error) = sealed {
            assert!(error.to_string().contains("stream user-1"), "{error}");
        }
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_others_put_into_a_loading_table_is_checked_as_well() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let mut writer = open(&config).await;
    writer.append(&lone_events(0, 10), None).await.unwrap();
    execute(&mut connection, "INSERT INTO events (position, stream, revision, id, type) VALUES (50, 'x', 5, 'x', 'T')")
        .await;
    let error = writer.seal(true).await.unwrap_err().to_string();
    assert!(error.contains("stream x goes on with revision 5"), "{error}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn sealing_names_the_first_duplicate_and_leaves_the_store_loading() {
    let database = Database::create().await;
    let flaws = [
        (
            "ids",
            Event { id: EventId::text("event-3").unwrap(), ..event(11, "user-11", 0) },
            "event id event-3 occurs 2",
        ),
        ("revisions", event(11, "user-4", 0), "stream user-4 has revision 0 2 times, at positions 4 and 11"),
        ("positions", Event { position: Position::new(5), ..event(11, "user-11", 0) }, "2 events have position 5"),
    ];
    for (table, flaw, expected) in flaws {
        let config = PostgresConfig { table: table.to_owned(), ..PostgresConfig::new(database.url()) };
        let mut writer = open(&config).await;
        writer.append(&lone_events(0, 10), None).await.unwrap();
        writer.append(&[flaw], None).await.unwrap();
        for _ in 0..2 {
            let error = writer.seal(true).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut connection = database.connect().await;
        let loading = format!("SELECT count(*) FROM eventlift_stores WHERE store = '{table}' AND state = 'loading'");
        assert_eq!(number(&mut connection, &loading).await, 1);
        // Repaired by hand, it can be sealed by the next writer.
        execute(&mut connection, &format!("DELETE FROM {table} WHERE id = 'event-11' OR position = 11")).await;
        drop(writer);
        open(&config).await.seal(true).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn sealing_again_after_a_crash_builds_what_is_missing() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    open(&config).await.append(&lone_events(0, 10), None).await.unwrap();
    execute(&mut connection, "CREATE UNIQUE INDEX of_mine ON events (position)").await;
    execute(&mut connection, "CREATE UNIQUE INDEX events_id ON events (id)").await;
    let mut writer = open(&config).await;
    // A table that is sealed by half goes on loading, and repeats are found at once.
    assert!(writer.append(&lone_events(4, 2), None).await.is_err());
    writer.append(&lone_events(10, 10), None).await.unwrap();
    writer.seal(true).await.unwrap();
    let unique = "SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass AND indisunique";
    assert_eq!(number(&mut connection, unique).await, 3);
    let primary = "SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass AND indisprimary";
    assert_eq!(number(&mut connection, primary).await, 1);
    drop(writer);
    assert_eq!(read(&config).await, lone_events(0, 20));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn services_number_on_behind_the_last_position_and_are_heard() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let mut listener = sqlx::postgres::PgListener::connect(&database.url()).await.unwrap();
    listener.listen("eventlift:public.events").await.unwrap();
    let mut writer = open(&config).await;
    writer.append(&lone_events(0, 100), None).await.unwrap();
    writer.seal(true).await.unwrap();
    let insert = |number: u64| {
        format!(
            "INSERT INTO events (stream, revision, id, type, data) VALUES ('s-{number}', 0, 's-{number}', 'T', '{{}}')
             RETURNING position"
        )
    };
    assert_eq!(number(&mut connection, &insert(1)).await, 101);
    assert_eq!(listener.recv().await.unwrap().channel(), "eventlift:public.events");
    // What is appended with positions of its own moves them on as well.
    writer.append(&lone_events(500, 3), None).await.unwrap();
    assert_eq!(number(&mut connection, &insert(2)).await, 504);
    let taken = writer.append(&[Event { position: Position::new(504), ..event(600, "x", 0) }], None).await;
    assert!(taken.unwrap_err().to_string().contains("position 504 is taken"));
    assert_eq!(writer.last_position().await.unwrap(), Some(Position::new(504)));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn odd_names_and_a_search_path_of_the_role_change_nothing() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    let setup = format!(
        "CREATE SCHEMA decoy; CREATE TABLE decoy.events (nothing int); CREATE TABLE decoy.eventlift_stores (x int);
         CREATE TABLE decoy.pg_class (x int);
         ALTER DATABASE {} SET search_path = decoy, pg_catalog",
        number_name(&mut connection).await
    );
    execute(&mut connection, &setup).await;
    for (schema, table) in [("My Schema", "a\"b"), ("public", "Events, line 9"), ("it's", "{schema}\\")] {
        let config = PostgresConfig {
            schema: schema.to_owned(),
            table: table.to_owned(),
            data: PayloadColumn::Jsonb,
            ..PostgresConfig::new(database.url())
        };
        let mut writer = open(&config).await;
        let mut events = lone_events(0, 5);
        for event in &mut events {
            event.data = Payload::json("{}");
        }
        writer.append(&events[..3], None).await.unwrap();
        let refused = Event { data: Payload::json(r#""\u0000""#), ..event(9, "odd", 0) };
        let error = writer.append(&[events[3].clone(), refused], None).await.unwrap_err().to_string();
        assert!(error.contains("event event-9"), "{error}");
        writer.seal(true).await.unwrap();
        writer.append(&events[3..], None).await.unwrap();
        drop(writer);
        assert_eq!(read(&config).await, events);
    }
}

async fn number_name(connection: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT current_database()::text").fetch_one(connection).await.unwrap()
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn other_columns_are_named_and_further_ones_may_stay() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    let config = PostgresConfig::new(database.url());
    execute(
        &mut connection,
        "CREATE TABLE events (position int, stream text, revision bigint, id text, type text, schema_version bigint,
                              recorded_at timestamptz, data json, metadata json, data_bytes bytea,
                              data_type text, metadata_type text, attributes text, tenant int NOT NULL, note text)",
    )
    .await;
    let error = PostgresWriter::open(config.clone()).await.err().unwrap().to_string();
    for part in ["position is integer, not bigint", "metadata_bytes bytea is missing", "tenant must be given"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("note"), "{error}");
    execute(
        &mut connection,
        "ALTER TABLE events DROP tenant, ADD metadata_bytes bytea, ALTER position TYPE bigint, ALTER position SET NOT NULL",
    )
    .await;
    let mut writer = open(&config).await;
    writer.append(&lone_events(0, 2), None).await.unwrap();
    writer.seal(true).await.unwrap();
    assert_eq!(read(&config).await, lone_events(0, 2));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_partitioned_table_that_cannot_be_sealed_is_refused_before_it_is_loaded() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    drop(open(&config).await);
    execute(&mut connection, "CREATE TABLE parted (LIKE events INCLUDING DEFAULTS) PARTITION BY RANGE (position)")
        .await;
    let parted = PostgresConfig { table: "parted".to_owned(), ..config };
    let error = PostgresWriter::open(parted).await.err().unwrap();
    assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
    assert!(
        error.to_string().contains("partitioned by RANGE (\"position\"), so it can't have unique indexes"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_ledger_of_another_program_is_refused() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    drop(open(&config).await);
    let checksum = "UPDATE eventlift_schema SET checksum = reverse(checksum)";
    execute(&mut connection, checksum).await;
    let error = PostgresWriter::open(config.clone()).await.err().unwrap();
    assert!(error.to_string().contains("version 1 (ledger) of its events tables"), "{error}");
    execute(&mut connection, checksum).await;
    execute(&mut connection, "INSERT INTO eventlift_schema VALUES ('events', 99, 'later', 'x')").await;
    let error = PostgresWriter::open(config.clone()).await.err().unwrap();
    assert!(error.to_string().contains("version 99 (later)"), "{error}");
    assert!(error.hint.unwrap().contains("newer"));
    // Other components are none of its business.
    execute(&mut connection, "UPDATE eventlift_schema SET component = 'others' WHERE version = 99").await;
    drop(open(&config).await);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn missing_rights_are_named_with_the_grant_and_few_are_needed() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    let role = format!("role_{}", uuid::Uuid::new_v4().simple());
    execute(&mut connection, &format!("CREATE ROLE {role} LOGIN")).await;
    let url = database.url().replacen("postgres@", &format!("{role}@"), 1);
    let config = PostgresConfig { schema: "shop".to_owned(), ..PostgresConfig::new(url) };
    let error = PostgresWriter::open(config.clone()).await.err().unwrap();
    assert!(matches!(error.kind, StoreErrorKind::Denied(_)), "{error}");
    assert!(error.hint.unwrap().contains("GRANT CREATE ON DATABASE"));

    execute(&mut connection, "CREATE SCHEMA shop").await;
    let error = PostgresWriter::open(config.clone()).await.err().unwrap();
    assert!(error.hint.unwrap().contains("GRANT USAGE, CREATE ON SCHEMA shop"));

    execute(&mut connection, &format!("GRANT USAGE, CREATE ON SCHEMA shop TO {role}")).await;
    let mut writer = open(&config).await;
    writer.append(&lone_events(0, 2), None).await.unwrap();
    writer.seal(true).await.unwrap();
    drop(writer);
    // Nothing is made any more, so the right to is not needed.
    execute(&mut connection, &format!("REVOKE CREATE ON SCHEMA shop FROM {role}")).await;
    open(&config).await.append(&lone_events(2, 2), None).await.unwrap();
    terminate_others(&mut connection).await;
    execute(&mut connection, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn services_that_insert_at_the_same_time_make_no_conflict_and_get_one() {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let mut connection = database.connect().await;
    let mut writer = open(&config).await;
    writer.seal(true).await.unwrap();
    // The service has inserted the same revision, and commits while the append waits for it.
    execute(&mut connection, "BEGIN").await;
    execute(
        &mut connection,
        "INSERT INTO events (position, stream, revision, id, type) VALUES (90, 'user-1', 0, 'other', 'T')",
    )
    .await;
    let appending = tokio::spawn(async move { writer.append(&[event(1, "user-1", 0)], None).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    execute(&mut connection, "COMMIT").await;
    let error = appending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::RevisionConflict { .. }), "{error}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_is_erased_leaves_no_index_and_gives_its_numbers_back() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    let config = PostgresConfig::new(database.url());
    let run = RunRecord {
        id: RunId::random(),
        state: RunState::RolledBack,
        source: "a".to_owned(),
        fingerprint: "b".to_owned(),
        parts: Vec::new(),
        started_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        tool: "0".to_owned(),
        details: RunDetails::default(),
    };
    let insert = |id: &str| {
        format!("INSERT INTO events (stream, revision, id, type) VALUES ('s-{id}', 0, '{id}', 'T') RETURNING position")
    };
    let mut writer = open(&config).await;
    writer.append(&lone_events(0, 10), None).await.unwrap();
    writer.seal(true).await.unwrap();
    assert_eq!(number(&mut connection, &insert("a")).await, 11);
    writer.erase(Some(Position::new(4)), &run).await.unwrap();
    assert_eq!(number(&mut connection, &insert("a")).await, 5);
    let made = "SELECT (SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass)
                + (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'events'::regclass)";
    assert_eq!(number(&mut connection, made).await, 5);
    writer.erase(None, &run).await.unwrap();
    assert_eq!(number(&mut connection, made).await, 0);
    assert_eq!(number(&mut connection, "SELECT count(*) FROM eventlift_stores WHERE state = 'loading'").await, 1);
    // It can be loaded in ranges again, and sealed.
    writer.record_run(&run).await.unwrap();
    let planned = range(0, None, 3);
    writer.plan_ranges(run.id, &[planned]).await.unwrap();
    let mut ranges = writer.range_writers(two()).await.unwrap();
    ranges[0].append(&lone_events(0, 3), run.id, &done(planned, 3), &[]).await.unwrap();
    drop(ranges);
    writer.seal(true).await.unwrap();
    assert_eq!(number(&mut connection, made).await, 5);
    assert_eq!(number(&mut connection, &insert("a")).await, 4);

    // What refers to the table keeps it from being emptied at once, and its indexes where they are.
    execute(&mut connection, "CREATE TABLE refers (position bigint REFERENCES events)").await;
    writer.erase(None, &run).await.unwrap();
    assert!(writer.is_empty().await.unwrap());
    writer.append(&lone_events(0, 3), None).await.unwrap();
    writer.seal(true).await.unwrap();
    assert_eq!(read(&config).await, lone_events(0, 3));
}
