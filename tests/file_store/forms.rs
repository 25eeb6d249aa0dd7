//! Events as they come out of other programs: times, ids and versions in other forms, and arrays of events.

use eventlift::stores::file::{FileConfig, FileReader, FileWriter};
use eventlift_events::{Event, EventReader, EventWriter, Position, ReadRequest, Scope};
use futures_util::TryStreamExt;
use proptest::prelude::*;
use tempfile::TempDir;

/// A file with these lines and, under `[attributes]`, these settings.
fn file(lines: impl AsRef<[u8]>, settings: &str) -> (TempDir, FileConfig) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    std::fs::write(&path, lines).unwrap();
    let config = toml::from_str(&format!("path = {path:?}\n[attributes]\n{settings}")).unwrap();
    (folder, config)
}

async fn read(lines: impl AsRef<[u8]>, settings: &str) -> Result<(Vec<Event>, Vec<String>), String> {
    let (_folder, config) = file(lines, settings);
    let reader = FileReader::open(config).map_err(|error| error.to_string())?;
    let batches: Vec<Vec<Event>> = reader.read(ReadRequest::new(Scope::All)).try_collect().await.map_err(|error| {
        let hint = error.hint.clone().unwrap_or_default();
        format!("{error}\n{hint}")
    })?;
    Ok((batches.concat(), reader.taken_as()))
}

/// An event of type `A` with these members.
fn event(number: u64, members: &str) -> String {
    format!(r#"{{"id":"e{number}","type":"A","subject":"a","streamrevision":{number},"sequence":{number},{members}}}"#)
}

fn times(times: &[&str]) -> String {
    (0..).zip(times).map(|(number, time)| event(number, &format!(r#""time":{time}"#)) + "\n").collect()
}

#[tokio::test]
async fn a_time_finer_than_a_microsecond_loses_no_digit_unless_it_is_told_to() {
    let log = times(&[
        r#""2023-04-12T12:50:04.2121108Z""#,
        r#""2023-04-12T14:50:05.123456789+02:00""#,
        r#""2023-04-12T12:50:06.1000000Z""#,
    ]);
    let (kept, said) = read(&log, "").await.unwrap();
    let moments: Vec<String> = kept.iter().map(|event| event.recorded_at.to_string()).collect();
    assert_eq!(moments, ["2023-04-12T12:50:04.21211Z", "2023-04-12T12:50:05.123456Z", "2023-04-12T12:50:06.1Z"]);
    let attributes: Vec<&[u8]> = kept.iter().map(|event| &event.attributes[..]).collect();
    assert_eq!(attributes[0], br#"{"time":"2023-04-12T12:50:04.2121108Z"}"#);
    assert_eq!(attributes[1], br#"{"time":"2023-04-12T14:50:05.123456789+02:00"}"#);
    assert_eq!(attributes[2], b"");
    assert!(said[0].contains("the attribute `time` carries what is written"), "{said:?}");

    let (cut, said) = read(&log, "finer_times = 'truncate'").await.unwrap();
    assert!(cut.iter().zip(&kept).all(|(cut, kept)| cut.recorded_at == kept.recorded_at && cut.attributes.is_empty()));
    assert!(said[0].contains("cut off"), "{said:?}");
    let refused = read(&log, "finer_times = 'refuse'").await.unwrap_err();
    assert!(refused.contains("is finer than a microsecond\nset finer_times under [source.attributes]"), "{refused}");
}

#[tokio::test]
async fn what_is_carried_of_a_time_is_written_and_read_back() {
    let log = times(&[r#""2023-04-12T12:50:04.2121108Z""#, "1714564800123456789"]);
    for settings in ["", "time_unit = 'ns'"] {
        let (events, _) = read(&log, "").await.unwrap();
        let (folder, config) = file("", settings);
        let target = FileConfig { path: folder.path().join("target"), ..config };
        let mut writer = FileWriter::open(target.clone()).unwrap();
        writer.append(&events, None).await.unwrap();
        writer.seal(true).await.unwrap();
        let reader = FileReader::open(target).unwrap();
        let batches: Vec<Vec<Event>> = reader.read(ReadRequest::new(Scope::All)).try_collect().await.unwrap();
        assert_eq!(batches.concat(), events, "{settings}");
    }
}

#[tokio::test]
async fn times_may_be_numbers_of_one_unit() {
    let moment = "2024-05-01T12:00:00.123Z";
    for (written, unit) in [
        ("1714564800.123", "seconds"),
        ("1714564800123", "milliseconds"),
        ("\"1714564800123000\"", "microseconds"),
        ("1714564800123000000", "nanoseconds"),
    ] {
        let (events, said) = read(times(&[written]), "").await.unwrap();
        assert_eq!(events[0].recorded_at.to_string(), moment, "{written}");
        assert!(
            said[0].starts_with(&format!("`time` is a number of {unit} since 1970, which was found out")),
            "{said:?}"
        );
    }
    let mixed = read(times(&["1714564800123", "1714564801"]), "").await.unwrap_err();
    assert!(
        mixed.contains("line 2") && mixed.contains("looks like seconds, but those before it like milliseconds"),
        "{mixed}"
    );
    assert!(mixed.contains("set time_unit under [source.attributes]"), "{mixed}");
    // What is said holds for every number, and text stays text.
    let (events, said) =
        read(times(&["0", "86400000", r#""1970-01-03T00:00:00Z""#]), "time_unit = 'ms'").await.unwrap();
    let moments: Vec<i64> = events.iter().map(|event| event.recorded_at.micros()).collect();
    assert_eq!(moments, [0, 86_400_000_000, 172_800_000_000]);
    assert_eq!(said, ["`time` is a number of milliseconds since 1970"]);
}

#[tokio::test]
async fn ids_and_streams_may_be_numbers() {
    let log = r#"{"id":12345678901234567890,"type":"A","subject":7,"streamrevision":0,"sequence":1,"time":"2024-01-01T00:00:00Z"}"#;
    let (events, said) = read(log, "").await.unwrap();
    assert_eq!((events[0].id.to_string().as_str(), events[0].stream.as_str()), ("12345678901234567890", "7"));
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("`id` is a number"), "{said:?}");
}

fn versions(versions: &[&str]) -> String {
    let time = r#""time":"2024-01-01T00:00:00Z""#;
    let members =
        |version: &str| if version.is_empty() { time.to_owned() } else { format!("{time},\"rev\":{version}") };
    (0..).zip(versions).map(|(number, version)| event(number, &members(version)) + "\n").collect()
}

async fn read_versions(written: &[&str], settings: &str) -> Result<Vec<u32>, String> {
    let (events, _) = read(versions(written), settings).await?;
    Ok(events.iter().map(|event| event.version.number()).collect())
}

#[tokio::test]
async fn versions_are_what_is_said_about_them() {
    let texts = "version = 'rev'\nversions = { '0' = 1, '1.0' = 2, '2.0.1' = 3, '2024-01-15' = 4 }\n";
    let written = ["0", "\"1.0\"", "\"2.0.1\"", "\"2024-01-15\"", "7"];
    assert_eq!(read_versions(&written, texts).await.unwrap(), [1, 2, 3, 4, 7]);
    assert_eq!(read_versions(&["", "\"\"", "null"], "version = 'rev'").await.unwrap(), [1, 1, 1]);
    let absent = format!("{texts}absent_version = 9");
    assert_eq!(read_versions(&["", "\"\"", "0"], &absent).await.unwrap(), [9, 9, 1]);
    let empty = "version = 'rev'\nversions = { '' = 5 }\nabsent_version = 9";
    assert_eq!(read_versions(&["", "\"\""], empty).await.unwrap(), [9, 5]);

    let refused = read_versions(&["\"2.0.2\""], texts).await.unwrap_err();
    assert!(refused.contains("which doesn't follow the pattern {version}"), "{refused}");
    assert!(refused.contains("attributes.versions = { \"2.0.1\" = 2 }"), "{refused}");
    let refused = read_versions(&["0"], "version = 'rev'").await.unwrap_err();
    assert!(refused.contains("attributes.versions = { \"0\" = 1 }"), "{refused}");
    for (settings, message) in [
        ("version = 'rev'\nversions = { 'a' = 0 }", "versions says that \"a\" is version 0"),
        ("version = 'rev'\nabsent_version = 0", "absent_version is 0"),
        ("version = 'none'\nversions = { 'a' = 1 }", "versions is set, but version is none"),
        ("version = 'none'\nabsent_version = 2", "absent_version is set, but version is none"),
    ] {
        let refused = read_versions(&[], settings).await.unwrap_err();
        assert!(refused.contains(message), "{refused}");
    }
}

#[tokio::test]
async fn no_version_and_version_1_are_not_taken_for_the_same_in_silence() {
    for written in [["", "\"1.0\""], ["\"1.0\"", ""], ["\"\"", "\"1.0\""]] {
        let settings = "version = 'rev'\nversion_pattern = '{version}.0'";
        let refused = read_versions(&written, settings).await.unwrap_err();
        assert!(refused.contains("events of type A say in `rev` that they have version 1"), "{refused}");
        assert!(refused.contains("set absent_version under [source.attributes]"), "{refused}");
        let told = format!("{settings}\nabsent_version = 1");
        assert_eq!(read_versions(&written, &told).await.unwrap(), [1, 1]);
        let told = format!("{settings}\nabsent_version = 3");
        assert_eq!(read_versions(&written, &told).await.unwrap().iter().sum::<u32>(), 4);
    }
    // In the type, too.
    let log = [
        r#"{"id":"1","type":"A","subject":"a","streamrevision":0,"sequence":1,"time":"2024-01-01T00:00:00Z"}"#,
        r#"{"id":"2","type":"A_v1","subject":"a","streamrevision":1,"sequence":2,"time":"2024-01-01T00:00:00Z"}"#,
    ]
    .join("\n");
    let settings = "version = 'type'\nversion_pattern = '{type}_v{version}'";
    assert!(read(&log, settings).await.unwrap_err().contains("say in `type` that they have version 1"));
    assert!(read(&log, &format!("{settings}\nabsent_version = 1")).await.is_ok());
}

#[tokio::test]
async fn a_writer_writes_versions_as_they_are_said() {
    let settings = "version = 'rev'\nversions = { '0' = 1, '2.0.1' = 3, '2' = 4 }\ntime_unit = 'ms'";
    let (events, _) = read(versions(&["0", "\"2.0.1\"", "\"2\"", "5"]), settings).await.unwrap();
    let (folder, config) = file("", settings);
    let target = FileConfig { path: folder.path().join("target"), ..config };
    let mut writer = FileWriter::open(target.clone()).unwrap();
    writer.append(&events, None).await.unwrap();
    let written = std::fs::read_to_string(&target.path).unwrap();
    for part in [r#""rev":0"#, r#""rev":"2.0.1""#, r#""rev":2"#, r#""rev":5"#, r#""time":1704067200000,"#] {
        assert!(written.contains(part), "{written}");
    }
    let reader = FileReader::open(target).unwrap();
    let batches: Vec<Vec<Event>> = reader.read(ReadRequest::new(Scope::All)).try_collect().await.unwrap();
    assert_eq!(batches.concat(), events);
    // `2` is version 4, so that version 2 has no text.
    let second = Event {
        version: eventlift_events::SchemaVersion::new(2).unwrap(),
        revision: eventlift_events::Revision(4),
        position: Position::new(9),
        ..events[0].clone()
    };
    let refused = writer.append(&[second], None).await.unwrap_err();
    assert!(refused.to_string().contains("version 2 can't be written as {version}"), "{refused}");
}

#[tokio::test]
async fn an_array_is_read_as_its_elements_with_their_bytes() {
    let log = "\u{feff}[\n  {\"id\":\"1\",\"type\":\"A\",\"subject\":\"a\",\"streamrevision\":0,\"sequence\":\"1\",\n   \"time\":\"2024-01-01T00:00:00Z\",\"data\":{\n  \"a\" : 10.10,\"b\":\"]},{\\\"\"} }\n,{\"id\":\"2\",\"type\":\"A\",\"subject\":\"a\",\"streamrevision\":1,\"sequence\":\"2\",\"time\":\"2024-01-01T00:00:00Z\",\"data_base64\":\"/wA=\"}]\n";
    let (events, said) = read(log, "").await.unwrap();
    assert_eq!(events[0].data.bytes(), "{\n  \"a\" : 10.10,\"b\":\"]},{\\\"\"}");
    assert_eq!(events[1].data.bytes(), &b"\xff\0"[..]);
    assert!(said[0].starts_with("events stand in arrays"), "{said:?}");
    assert!(read("[]", "").await.unwrap().0.is_empty());

    let refused = read(log.replace("\"id\":\"2\"", "\"idd\":\"2\""), "").await.unwrap_err();
    assert!(refused.contains(" at event 2: the attribute `id` is missing"), "{refused}");
    let refused = read(log.trim_end().trim_end_matches(']'), "").await.unwrap_err();
    assert!(refused.contains("the file ends in the middle of an array, behind event 2"), "{refused}");
    let refused = read(log.replace("\n,{", "\n{"), "").await.unwrap_err();
    assert!(refused.contains("the array is broken behind event 1"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    /// Whether events stand in lines or in arrays, they are the same, whatever is between them.
    #[test]
    fn arrays_hold_what_lines_hold(
        data in prop::collection::vec("[ -~\n]{0,40}", 1..20),
        cut in 1usize..5,
        space in prop::sample::select(vec!["", " ", "\n", "\r\n\t"]),
    ) {
        let events: Vec<String> = (0..).zip(&data).map(|(number, text)| {
            let text = serde_json::Value::from(text.as_str());
            event(number, &format!(r#""time":"2024-01-01T00:00:00Z","data":{{"text":{text}}}"#))
        }).collect();
        let arrays: Vec<String> = events
            .chunks(cut)
            .map(|events| format!("[{space}{}{space}]", events.join(&format!("{space},{space}"))))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (lines, _) = runtime.block_on(read(events.join("\n"), "order = 'none'")).unwrap();
        let (elements, _) = runtime.block_on(read(arrays.join(space), "order = 'none'")).unwrap();
        prop_assert_eq!(lines, elements);
    }
}
