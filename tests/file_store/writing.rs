//! Writing: what is kept to the byte, what is refused, and what is done about files that are not as they were left.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use eventlift::stores::file::{Attribute, FileConfig, FileReader, FileWriter};
use eventlift_events::{
    ByteString, Bytes, Checkpoint, ContentType, Counts, Event, EventId, EventReader, EventType, EventWriter, Payload,
    Position, Progress, ReadRequest, Revision, RunDetails, RunId, RunRecord, RunState, SchemaVersion, Scope,
    StoreError, StoreErrorKind, StreamName, Timestamp,
};
use futures_util::StreamExt;

pub(super) fn event(number: u64) -> Event {
    Event {
        id: EventId::text(format!("id-{number}")).unwrap(),
        stream: StreamName::new(format!("s-{}", number % 3)).unwrap(),
        revision: Revision(number / 3),
        position: Position::new(number),
        event_type: EventType::new("Happened").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(format!("{{\"n\":{number}}}")),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Bytes::new(),
    }
}

pub(super) fn progress(run: RunId, read: u64) -> Progress {
    let counts = Counts { read, written: read, ..Counts::default() };
    let checkpoint = Checkpoint { source: Position::new(read), target: None, counts };
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

pub(super) async fn read(config: &FileConfig) -> Result<Vec<Event>, StoreError> {
    let mut stream = FileReader::open(config.clone())?.read(ReadRequest::new(Scope::All));
    let mut events = Vec::new();
    while let Some(batch) = stream.next().await {
        events.extend(batch?);
    }
    Ok(events)
}

fn beside(path: &Path) -> std::path::PathBuf {
    path.with_file_name(format!("{}.eventlift", path.file_name().unwrap().to_str().unwrap()))
}

fn add(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// A directory with a file of ten events, written and closed.
async fn written(name: &str) -> (tempfile::TempDir, FileConfig) {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new(directory.path().join(name));
    let mut writer = FileWriter::open(config.clone()).unwrap();
    writer.append(&(0..10).map(event).collect::<Vec<_>>(), None).await.unwrap();
    (directory, config)
}

#[tokio::test]
async fn every_payload_and_attribute_is_kept_to_the_byte() {
    let payloads = [
        Payload::empty(),
        Payload::new("", ContentType::Binary),
        Payload::new("", ContentType::parse("text/plain")),
        Payload::json("null"),
        Payload::json("{\n  \"pretty\": true\r\n}"),
        Payload::json("{ \r\t}"),
        Payload::json(" 1"),
        Payload::json("1 "),
        Payload::json("{broken"),
        Payload::json("1 2"),
        Payload::json(r#""\ud800 \u0000 \/""#),
        Payload::json("[".repeat(100_000) + &"]".repeat(100_000)),
        Payload::json(Bytes::from_static(b"\"\xff\"")),
        Payload::json("12345678901234567890.10e5"),
        Payload::binary(Bytes::from_static(b"\0\xff\n")),
        Payload::binary("text"),
        Payload::new("a\nb \"\u{0}\u{2028}", ContentType::parse("text/plain")),
        Payload::new(Bytes::from_static(b"\xff"), ContentType::parse("text/plain")),
        Payload::new("{}", ContentType::parse("application/xml")),
        Payload::new("{\"a\":1}", ContentType::parse("application/x+json; charset=utf-8")),
        Payload::new("{\"a\"", ContentType::parse("application/x+json")),
    ];
    let attributes = [
        "",
        "{}",
        r#"{"source":"x","b":1.0,"a":{"c": [1, 2]}}"#,
        r#"{"source":"urn:eventlift"}"#,
        r#"{ "a":1}"#,
        "{\"a\":{\n}}",
        r#"{"id":7}"#,
        r#"{"\u0061":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"eventliftattributes":"x"}"#,
        r#"{"data_base64":"x"}"#,
        r#"{"metadatabase64":"x"}"#,
        "not even JSON",
    ];
    let mut events = Vec::new();
    for payload in &payloads {
        for attributes in attributes {
            let number = events.len() as u64;
            let (data, metadata) = (payload.clone(), payload.clone());
            let attributes = Bytes::from_static(attributes.as_bytes());
            events.push(Event { data, metadata, attributes, ..event(number) });
        }
    }
    for name in ["a.ndjson", "a.gz", "a.zst"] {
        let directory = tempfile::tempdir().unwrap();
        let config = FileConfig::new(directory.path().join(name));
        FileWriter::open(config.clone()).unwrap().append(&events, None).await.unwrap();
        let found = read(&config).await.unwrap();
        assert_eq!(found.len(), events.len());
        for (found, event) in found.iter().zip(&events) {
            assert_eq!(found, event);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_read_and_written_is_the_same_file() {
    let line = r#"{"specversion":"1.0","id":"1","source":"git:x","trace":{"a":[1.10]},"type":"T","subject":"s","time":"2024-05-01T12:00:00Z","dataschema":"urn:schema:T:2","datacontenttype":"application/json","sequence":"00000000000000000007","streamrevision":0,"data":{"b": 1e400},"metadata":null}"#;
    let directory = tempfile::tempdir().unwrap();
    let source = FileConfig::new(directory.path().join("source"));
    fs::write(&source.path, format!("{line}\n")).unwrap();
    let target = FileConfig::new(directory.path().join("target"));
    let events = read(&source).await.unwrap();
    FileWriter::open(target.clone()).unwrap().append(&events, None).await.unwrap();
    assert_eq!(fs::read_to_string(&target.path).unwrap(), format!("{line}\n"));
}

#[tokio::test]
async fn what_the_mapping_has_no_place_for_is_refused_and_nothing_of_the_append_is_kept() {
    let cases: [(&str, Event, &str); 5] = [
        (
            "version = 'none'",
            Event { version: SchemaVersion::new(2).unwrap(), ..event(1) },
            "the event has version 2, and attributes.version is \"none\"",
        ),
        (
            "metadata = 'none'",
            Event { metadata: Payload::json("1"), ..event(1) },
            "the event has metadata, and attributes.metadata is \"none\"",
        ),
        ("", Event { revision: Revision(u64::MAX), ..event(1) }, "revision 18446744073709551615 is too big"),
        ("", Event { attributes: Bytes::from_static(b"\xff"), ..event(1) }, "its attributes are not UTF-8"),
        (
            "version = 'type'\nversion_pattern = 'v{version}-{type}-x'",
            Event { event_type: EventType::new("A").unwrap(), ..event(1) },
            "",
        ),
    ];
    for (settings, bad, message) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let config: FileConfig = toml::from_str(&format!("path = {path:?}\n[attributes]\n{settings}")).unwrap();
        let mut writer = FileWriter::open(config.clone()).unwrap();
        let outcome = writer.append(&[event(0), bad.clone()], None).await;
        if message.is_empty() {
            outcome.unwrap();
            assert_eq!(read(&config).await.unwrap(), [event(0), bad]);
            continue;
        }
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)));
        assert_eq!(error.kind.to_string(), message);
        assert_eq!(error.place.as_deref(), Some(&*format!("stream s-1, revision {}", bad.revision)));
        assert!(writer.is_empty().await.unwrap());
        writer.append(&[event(0)], None).await.unwrap();
        assert_eq!(read(&config).await.unwrap(), [event(0)]);
    }
}

#[tokio::test]
async fn files_that_are_not_as_they_were_left_are_refused_and_left_alone() {
    type Change = fn(&Path);
    let expectations: [(Change, &str); 5] = [
        (|path| add(path, b"{}\n"), "3 bytes were added to it by something else than eventlift"),
        (|path| OpenOptions::new().write(true).open(path).unwrap().set_len(9).unwrap(), "it has 9 bytes, but"),
        (
            |path| fs::write(path, fs::read_to_string(path).unwrap().replace("id-9", "id-8")).unwrap(),
            "its content is not what was written to it",
        ),
        (|path| fs::write(beside(path), "no database").unwrap(), "it is not a SQLite database"),
        (
            |path| {
                fs::remove_file(beside(path)).unwrap();
                let other = rusqlite::Connection::open(beside(path)).unwrap();
                other.execute_batch("CREATE TABLE mine (x)").unwrap();
            },
            "is a database of something else",
        ),
    ];
    for (change, message) in expectations {
        let (_directory, config) = written("events").await;
        change(&config.path);
        let bytes = fs::read(&config.path).unwrap();
        let writer = FileWriter::open(config.clone()).unwrap_err();
        let reader = read(&config).await.unwrap_err();
        for error in [writer, reader] {
            assert!(matches!(error.kind, StoreErrorKind::Unexpected(_)), "{error}");
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint.is_some());
        }
        assert_eq!(fs::read(&config.path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn events_of_others_are_never_written_to() {
    let (_directory, config) = written("events").await;
    fs::remove_file(beside(&config.path)).unwrap();
    let error = FileWriter::open(config.clone()).unwrap_err();
    assert!(error.to_string().ends_with("events: it holds events that eventlift did not write"), "{error}");
    assert!(!beside(&config.path).exists());
    assert_eq!(read(&config).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_missing_file_beside_its_database_is_named() {
    let (_directory, config) = written("events").await;
    fs::remove_file(&config.path).unwrap();
    let error = FileWriter::open(config.clone()).unwrap_err();
    assert!(error.to_string().contains("it has 0 bytes, but"), "{error}");
}

#[tokio::test]
async fn one_writer_at_a_time_and_no_directories_or_read_only_files() {
    let (directory, config) = written("events").await;
    let held = FileWriter::open(config.clone()).unwrap();
    let error = FileWriter::open(config.clone()).unwrap_err();
    assert_eq!(error.kind.to_string(), format!("another run holds it (process {})", std::process::id()));
    drop(held);
    let mut permissions = fs::metadata(&config.path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&config.path, permissions).unwrap();
    let error = FileWriter::open(config).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::ReadOnly), "{error}");
    let error = FileWriter::open(FileConfig::new(directory.path())).unwrap_err();
    assert!(error.to_string().ends_with("it is a directory"), "{error}");
    let error = FileWriter::open(FileConfig::new(directory.path().join("none/events"))).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Missing), "{error}");
}

#[tokio::test]
async fn the_compression_a_file_has_is_gone_on_with() {
    for (name, other) in [("events.gz", "zstd"), ("events.zst", "gzip"), ("events", "gzip")] {
        let (directory, config) = written(name).await;
        let text = format!("path = {:?}\ncompression = {other:?}", config.path);
        let error = FileWriter::open(toml::from_str(&text).unwrap()).unwrap_err();
        assert!(error.to_string().contains("its compression is "), "{error}");
        let mut writer = FileWriter::open(config.clone()).unwrap();
        writer.append(&[event(10)], None).await.unwrap();
        assert_eq!(read(&config).await.unwrap().len(), 11);
        drop(directory);
    }
}

#[tokio::test]
async fn sealing_names_what_is_there_twice_and_what_is_missing() {
    let cases: [(Event, &str); 3] = [
        (Event { id: event(3).id, ..event(10) }, "event id id-3 occurs 2 times, on lines 4 and 11"),
        (
            Event { revision: Revision(1), stream: event(3).stream, ..event(10) },
            "stream s-0 has revision 1 2 times, on lines 4 and 11",
        ),
        (
            Event { revision: Revision(9), ..event(10) },
            "stream s-1 has no revision 3: revision 9 follows where it should be, on line 11",
        ),
    ];
    for (bad, message) in cases {
        let (_directory, config) = written("events.gz").await;
        let mut writer = FileWriter::open(config).unwrap();
        writer.append(&[bad], None).await.unwrap();
        for _ in 0..2 {
            let error = writer.seal(true).await.unwrap_err();
            assert_eq!(error.kind.to_string(), message);
        }
    }
}

#[tokio::test]
async fn sealing_names_revisions_out_of_order() {
    for dense in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = FileWriter::open(FileConfig::new(directory.path().join("events"))).unwrap();
        let late = Event { position: Position::new(9), ..event(0) };
        writer.append(&[event(3), event(4), late], None).await.unwrap();
        let error = writer.seal(dense).await.unwrap_err();
        assert_eq!(error.kind.to_string(), "stream s-0 has revision 1 on line 1, before revision 0 on line 3");
    }
}

#[tokio::test]
async fn a_sparse_target_is_read_without_complaint() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new(directory.path().join("events"));
    let mut writer = FileWriter::open(config.clone()).unwrap();
    let sparse = [event(4), event(10)];
    writer.append(&sparse, None).await.unwrap();
    writer.seal(false).await.unwrap();
    assert_eq!(read(&config).await.unwrap(), sparse);
    assert_eq!(FileReader::open(config).unwrap().head().await.unwrap(), Some(Position::new(10)));
}

#[tokio::test]
async fn revisions_of_the_target_have_an_attribute() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = FileConfig::new(directory.path().join("events"));
    config.attributes.revision = Attribute::NONE;
    assert!(matches!(FileWriter::open(config).unwrap_err().kind, StoreErrorKind::Unsupported(_)));
}

#[tokio::test]
#[ignore = "needs a small disk of its own: EVENTLIFT_SMALL_DISK names a folder on it with less than 8 MiB of room"]
async fn a_full_disk_is_named_and_what_was_committed_stays() {
    let folder = std::env::var("EVENTLIFT_SMALL_DISK").unwrap();
    let config = FileConfig::new(Path::new(&folder).join("events.ndjson"));
    let run = RunId::random();
    let mut writer = FileWriter::open(config.clone()).unwrap();
    let big = ByteString::from(format!("\"{}\"", "x".repeat(1 << 20)));
    let mut committed = 0;
    let error = loop {
        let next = Event { data: Payload::json(big.clone().into_bytes()), ..event(committed) };
        match writer.append(&[next], Some(&progress(run, committed + 1))).await {
            Ok(()) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 8);
    };
    assert!(matches!(error.kind, StoreErrorKind::Full), "{error}");
    drop(writer);
    assert_eq!(read(&config).await.unwrap().len() as u64, committed);
    let mut writer = FileWriter::open(config.clone()).unwrap();
    let reached = eventlift_events::CheckpointStore::checkpoint(&writer, run).await.unwrap().unwrap();
    assert_eq!(reached.counts.written, committed);
    writer.append(&[event(committed)], None).await.unwrap();
    assert_eq!(read(&config).await.unwrap().len() as u64, committed + 1);
}

#[tokio::test]
#[ignore = "measures, with the file named by EVENTLIFT_FILE"]
async fn how_fast_a_file_is_written() {
    let source = FileReader::open(FileConfig::new(std::env::var("EVENTLIFT_FILE").unwrap())).unwrap();
    for name in ["copy.ndjson", "copy.ndjson.gz", "copy.ndjson.zst"] {
        let directory = tempfile::tempdir().unwrap();
        let config = FileConfig::new(directory.path().join(name));
        let mut writer = FileWriter::open(config).unwrap();
        let mut stream = source.read(ReadRequest::new(Scope::All).batch_events(10_000.try_into().unwrap()));
        let started = std::time::Instant::now();
        let mut count = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap();
            count += batch.len();
            writer.append(&batch, Some(&progress(RunId::random(), 1))).await.unwrap();
        }
        let loaded = started.elapsed();
        writer.seal(true).await.unwrap();
        let sealed = started.elapsed() - loaded;
        let rate = count as f64 / loaded.as_secs_f64();
        println!("{name}: {count} events in {loaded:?}, {rate:.0} a second; sealed in {sealed:?}");
    }
}

fn rolled_back() -> RunRecord {
    RunRecord {
        id: RunId::random(),
        state: RunState::RolledBack,
        source: "a".to_owned(),
        fingerprint: "b".to_owned(),
        parts: Vec::new(),
        started_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        tool: "0".to_owned(),
        details: RunDetails::default(),
    }
}

#[tokio::test]
async fn a_compressed_file_is_cut_where_an_append_ended_and_nowhere_else() {
    for name in ["events.ndjson.gz", "events.ndjson.zst"] {
        let folder = tempfile::tempdir().unwrap();
        let config = FileConfig::new(folder.path().join(name));
        let all: Vec<Event> = (0..30).map(event).collect();
        let mut writer = FileWriter::open(config.clone()).unwrap();
        for portion in all.chunks(10) {
            writer.append(portion, None).await.unwrap();
        }
        let error = writer.erase(Some(Position::new(14)), &rolled_back()).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
        let says = "position 14 lies within a compressed part of it, which can't be cut";
        assert!(error.to_string().ends_with(says), "{error}");
        assert_eq!(read(&config).await.unwrap(), all);
        writer.erase(Some(Position::new(19)), &rolled_back()).await.unwrap();
        assert_eq!(read(&config).await.unwrap(), all[..20]);
        writer.append(&all[20..], None).await.unwrap();
        drop(writer);
        assert_eq!(read(&config).await.unwrap(), all);
    }
}

#[tokio::test]
async fn a_plain_file_is_cut_behind_any_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = FileConfig::new(folder.path().join("events.ndjson"));
    let all: Vec<Event> = (0..30).map(event).collect();
    let mut writer = FileWriter::open(config.clone()).unwrap();
    writer.append(&all, None).await.unwrap();
    for kept in (1..30).rev() {
        writer.erase(Some(all[kept - 1].position), &rolled_back()).await.unwrap();
        assert_eq!(read(&config).await.unwrap(), all[..kept]);
    }
    let from = [(StreamName::new("s-0").unwrap(), Revision(0))];
    let error = writer.withdraw(&from, &progress(RunId::random(), 1)).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
    drop(writer);
    assert_eq!(read(&config).await.unwrap(), all[..1]);
}
