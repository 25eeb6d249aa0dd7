//! Reading: good files of every form, and every bad input with its message.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use eventlift::stores::file::{FileConfig, FileReader};
use eventlift_events::{ContentType, Event, EventReader, Position, ReadRequest, Scope, StoreError, StreamName};
use futures_util::StreamExt;
use tempfile::TempDir;

struct Sample {
    directory: TempDir,
}

impl Sample {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> (Self, FileConfig) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (Self { directory }, FileConfig::new(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

async fn read(config: &FileConfig, request: ReadRequest) -> (Vec<Event>, Option<StoreError>) {
    let mut stream = FileReader::open(config.clone()).unwrap().read(request);
    let mut events = Vec::new();
    while let Some(batch) = stream.next().await {
        match batch {
            Ok(batch) => {
                assert!(!batch.is_empty());
                events.extend(batch);
            }
            Err(error) => {
                assert!(stream.next().await.is_none(), "a read ends after its first error");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

async fn read_all(config: &FileConfig) -> Vec<Event> {
    let (events, error) = read(config, ReadRequest::new(Scope::All)).await;
    assert!(error.is_none(), "{}", error.unwrap());
    events
}

fn line(sequence: u64, stream: &str, revision: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"id-{sequence}\",\"source\":\"test\",\"type\":\"Happened\",\
         \"subject\":\"{stream}\",\"time\":\"2024-05-01T12:00:00Z\",\"dataschema\":\"urn:schema:Happened:2\",\
         \"sequence\":\"{sequence:020}\",\"streamrevision\":{revision},\"data\":{{\"n\":{sequence}}},\"metadata\":{{}}}}\n"
    )
}

fn lines(count: u64) -> String {
    (0..count).map(|n| line(n, &format!("s-{}", n % 3), n / 3)).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_field_is_read_and_the_rest_is_carried() {
    let text = r#" {"specversion":"1.0", "traceparent" : "00-\u00e9", "id":"A","source":"git:x","type":"T","subject":"a-1","time":"2024-05-01T14:00:00.000001+02:00","dataschema":"urn:schema:T:3","sequence":7,"streamrevision":0,"data": {"b":10.10,  "a":12345678901234567890} ,"metadata":[1],"big":1e999} "#;
    let (_sample, config) = Sample::new("events.ndjson", text);
    let events = read_all(&config).await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event.id.to_string(), "A");
    assert_eq!((event.stream.as_str(), event.revision.0), ("a-1", 0));
    assert_eq!(event.position, Position::new(7));
    assert_eq!((event.event_type.as_str(), event.version.number()), ("T", 3));
    assert_eq!(event.recorded_at.to_string(), "2024-05-01T12:00:00.000001Z");
    assert_eq!(event.data.bytes(), r#"{"b":10.10,  "a":12345678901234567890}"#);
    assert_eq!(event.metadata.bytes(), "[1]");
    assert_eq!(event.attributes, r#"{"traceparent":"00-\u00e9","source":"git:x","big":1e999}"#);
}

#[tokio::test]
async fn payloads_are_what_their_content_type_says() {
    let cases: [(&str, &[u8], &str); 10] = [
        (r#""data":null"#, b"null", "application/json"),
        (r#""data":"\ud800""#, br#""\ud800""#, "application/json"),
        (r#""data":"x","datacontenttype":"text/json; charset=utf-8""#, br#""x""#, "text/json; charset=utf-8"),
        (r#""data":{"a":1},"datacontenttype":"application/vnd.x+json""#, br#"{"a":1}"#, "application/vnd.x+json"),
        (r#""data":"a\nb\u0000","datacontenttype":"text/plain""#, b"a\nb\0", "text/plain"),
        (r#""data":null,"datacontenttype":"text/plain""#, b"", "text/plain"),
        (r#""data_base64":"/wA=","datacontenttype":"application/json""#, b"\xff\0", "application/json"),
        (r#""data_base64":"/wA=""#, b"\xff\0", "application/octet-stream"),
        (r#""data_base64":null,"datacontenttype":null"#, b"", "application/json"),
        (r#""datacontenttype":"application/octet-stream""#, b"", "application/octet-stream"),
    ];
    for (attributes, bytes, content_type) in cases {
        let text = line(0, "s", 0).replace(r#""data":{"n":0}"#, attributes);
        let (_sample, config) = Sample::new("events.ndjson", text);
        let events = read_all(&config).await;
        assert_eq!(events[0].data.bytes(), bytes, "{attributes}");
        assert_eq!(events[0].data.content_type(), &ContentType::parse(content_type), "{attributes}");
    }
}

#[tokio::test]
async fn line_ends_blank_lines_and_byte_order_marks_do_not_matter() {
    let plain = lines(5);
    let (_sample, config) = Sample::new("plain", &plain);
    let expected = read_all(&config).await;
    for text in [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\n\n \r\n"),
        format!("\u{feff}{plain}"),
        plain.trim_end().to_owned(),
    ] {
        let (_sample, config) = Sample::new("other", text);
        assert_eq!(read_all(&config).await, expected);
    }
    for empty in ["", "\n\n", "\u{feff}"] {
        let (_sample, config) = Sample::new("empty", empty);
        assert_eq!(read_all(&config).await, []);
    }
}

#[tokio::test]
async fn compression_is_found_out_over_all_members_and_frames() {
    let text = lines(9);
    let (left, right) = text.split_at(line(0, "s-0", 0).len() * 2 + 10);
    let (_sample, config) = Sample::new("plain", &text);
    let expected = read_all(&config).await;
    let members = [gzip(left), gzip(""), gzip(right)].concat();
    let frames =
        [zstd::bulk::compress(left.as_bytes(), 1).unwrap(), zstd::bulk::compress(right.as_bytes(), 9).unwrap()]
            .concat();
    for bytes in [members, frames] {
        let (_sample, config) = Sample::new("misleading.txt", bytes);
        assert_eq!(read_all(&config).await, expected);
    }
}

#[tokio::test]
async fn a_read_goes_on_behind_any_position() {
    let text = lines(20).replace("\n{", "\n\n{");
    for order in ["sequence", "none"] {
        for revision in ["streamrevision", "none"] {
            let (_sample, config) = Sample::new("events", &text);
            let mapping = format!("path = {:?}\n[attributes]\norder = {order:?}\nrevision = {revision:?}", config.path);
            let config: FileConfig = toml::from_str(&mapping).unwrap();
            let all = read_all(&config).await;
            assert_eq!(all.len(), 20);
            for (index, event) in all.iter().enumerate() {
                let after = ReadRequest::new(Scope::All).after(Some(event.position));
                assert_eq!(read(&config, after).await.0, all[index + 1..], "{mapping}");
                let until = ReadRequest::new(Scope::All).until(Some(event.position));
                assert_eq!(read(&config, until).await.0, all[..=index], "{mapping}");
            }
        }
    }
}

#[tokio::test]
async fn scopes_and_batches_hold() {
    let (_sample, config) = Sample::new("events", lines(20));
    let scope = Scope::Stream(StreamName::new("s-1").unwrap());
    let two = NonZeroUsize::new(2).unwrap();
    let request = ReadRequest::new(scope).batch_events(two);
    let batches: Vec<_> = FileReader::open(config).unwrap().read(request).collect().await;
    let sizes: Vec<_> = batches.iter().map(|batch| batch.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [2, 2, 2, 1]);
}

#[tokio::test]
async fn attributes_are_mapped_by_configuration() {
    let text = concat!(
        r#"{"key":"1","kind":"Order.v2","source":"/o/1","at":"2024-05-01T12:00:00Z","nr":"1","data":1}"#,
        "\n",
        r#"{"key":"2","kind":"Order","source":"/o/1","at":"2024-05-01T12:00:00Z","nr":2,"data":2,"subject":"x"}"#,
    );
    let (_sample, config) = Sample::new("events", text);
    let settings = format!(
        "path = {:?}\n[attributes]\nid = 'key'\ntype = 'kind'\nstream = 'source'\ntime = 'at'\nrevision = 'nr'\n\
         revision_base = 1\nversion = 'kind'\nversion_pattern = '{{type}}.v{{version}}'\norder = false\nmetadata = 'none'",
        config.path
    );
    let events = read_all(&toml::from_str(&settings).unwrap()).await;
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.event_type.as_str(), e.version.number(), e.revision.0, e.position.major(), e.stream.as_str()))
        .collect();
    assert_eq!(seen, [("Order", 2, 0, 1, "/o/1"), ("Order", 1, 1, 2, "/o/1")]);
    assert_eq!(events[1].attributes, r#"{"subject":"x"}"#);
}

#[tokio::test]
async fn contradicting_settings_are_refused() {
    for (settings, message) in [
        ("stream = 'id'", "the attribute `id` is mapped to two things"),
        ("stream = 'data'", "the attribute `data` is mapped to two things"),
        ("stream = ''", "an attribute's name is empty"),
        ("revision_base = 2", "revision_base is 2, but revisions count from 0 or 1"),
        ("version = 'type'", "the version is in the type, so version_pattern must say how, as in {type}.v{version}"),
        ("version_pattern = 'v'", "the version pattern \"v\" has no {version} in it"),
    ] {
        let (_sample, config) = Sample::new("events", "");
        let config = toml::from_str(&format!("path = {:?}\n[attributes]\n{settings}", config.path)).unwrap();
        let error = FileReader::open(config).unwrap_err();
        assert_eq!(error.kind.to_string(), message);
    }
    for settings in ["pth = 'x'", "path = 'x'\n[attributes]\nstrem = 'y'", "path = 'x'\n[attributes]\norder = true"] {
        assert!(toml::from_str::<FileConfig>(settings).is_err(), "{settings}");
    }
}

/// The third of five lines is replaced; the two before it must come, and then the error.
#[tokio::test]
async fn a_bad_line_is_named_and_nothing_before_it_is_lost() {
    let good = line(2, "s-2", 0);
    let cases: Vec<(String, &str)> = vec![
        (good[..40].to_owned(), "line 3, byte 40: the line is broken JSON: EOF while parsing a string"),
        (good.replace("{}}", "{}}}"), "line 3, byte 233: the line is broken JSON: trailing characters"),
        ("[1]".to_owned(), "line 3, byte 1: invalid type: sequence, expected a JSON object with an event's attributes"),
        (
            "7".to_owned(),
            "line 3, byte 1: invalid type: integer `7`, expected a JSON object with an event's attributes",
        ),
        (good.replace("\"id\"", "\"idd\""), "line 3: the attribute `id` is missing"),
        (good.replace("\"id-2\"", "null"), "line 3: the attribute `id` is missing"),
        (good.replace("\"id-2\"", "\"\""), "line 3, byte 27: `id` is empty"),
        (good.replace("\"id-2\"", "2.5"), "line 3, byte 27: `id` is a number, not a text"),
        (good.replace("\"id-2\"", "true"), "line 3, byte 27: `id` is a boolean, not a text"),
        (
            good.replace("\"id-2\"", "\"\\ud800\""),
            "line 3, byte 27: `id` is no text that can be kept: unexpected end of hex escape",
        ),
        (good.replace("\"source\"", "\"id\""), "line 3, byte 37: the attribute `id` is there twice"),
        (good.replace("\"source\"", "\"x\":1,\"x\""), "line 3, byte 42: the attribute `x` is there twice"),
        (good.replace("\"subject\"", "\"sub\""), "line 3: the attribute `subject` is missing"),
        (good.replace("\"type\"", "\"typ\""), "line 3: the attribute `type` is missing"),
        (good.replace("\"time\"", "\"tim\""), "line 3: the attribute `time` is missing"),
        (
            good.replace("2024-05-01T12:00:00Z", "yesterday"),
            "line 3, byte 91: `time`: \"yesterday\" is not a time such as 2024-05-01T12:00:00Z",
        ),
        (
            good.replace("\"2024-05-01T12:00:00Z\"", "7"),
            "line 3, byte 91: `time`: 7 is a number, and it can't be told whether of seconds, milliseconds, microseconds or nanoseconds",
        ),
        (good.replace("\"2024-05-01T12:00:00Z\"", "[]"), "line 3, byte 91: `time` is an array, not a text"),
        (good.replace("\"sequence\"", "\"seq\""), "line 3: the attribute `sequence` is missing"),
        (
            good.replace("\"00000000000000000002\"", "\"two\""),
            "line 3, byte 162: `sequence` is \"two\", which is no place in an order",
        ),
        (
            good.replace("00000000000000000002", "1"),
            "line 3: its position 1 is the same as the position 1 of the event before",
        ),
        (
            good.replace("00000000000000000002", "0"),
            "line 3: its position 0 is before the position 1 of the event before",
        ),
        (
            good.replace("Happened:2", "Happened:two"),
            "line 3, byte 127: `dataschema` is \"urn:schema:Happened:two\", which doesn't follow the pattern urn:schema:{type}:{version} for the type Happened",
        ),
        (
            good.replace("Happened:2", "Other:2"),
            "line 3, byte 127: `dataschema` is \"urn:schema:Other:2\", which doesn't follow the pattern urn:schema:{type}:{version} for the type Happened",
        ),
        (
            good.replace("Happened:2", "Happened:0"),
            "line 3, byte 127: `dataschema` is \"urn:schema:Happened:0\", but schema versions go from 1 to 4294967295",
        ),
        (good.replace("\"streamrevision\"", "\"rev\""), "line 3: the attribute `streamrevision` is missing"),
        (good.replace("revision\":0", "revision\":-1"), "line 3, byte 202: `streamrevision` is -1, which is negative"),
        (
            good.replace("revision\":0", "revision\":1.5"),
            "line 3, byte 202: `streamrevision` is 1.5, not a whole number",
        ),
        (good.replace("revision\":0", "revision\":[]"), "line 3, byte 202: `streamrevision` is [], not a whole number"),
        (
            good.replace("revision\":0", "revision\":9223372036854775808"),
            "line 3, byte 202: `streamrevision` is 9223372036854775808, which is too big",
        ),
        (good.replace("revision\":0", "revision\":1"), "line 3: stream s-2 goes on with revision 1, but 0 is next"),
        (good.replace("s-2", "s-1"), "line 3: stream s-1 goes on with revision 0, but 1 is next"),
        (
            good.replace("\"1.0\"", "\"0.3\""),
            "line 3, byte 16: `specversion` is \"0.3\", and only CloudEvents 1.0 is read",
        ),
        (
            good.replace("\"data\"", "\"data_base64\":\"\",\"data\""),
            "line 3, byte 218: `data` and `data_base64` are both there",
        ),
        (
            good.replace("\"data\":{\"n\":2}", "\"data_base64\":\"?\""),
            "line 3, byte 218: `data_base64` is not base64: Invalid symbol 63, offset 0.",
        ),
        (
            good.replace("\"data\"", "\"datacontenttype\":\"text/plain\",\"data\""),
            "line 3, byte 242: `data` is an object, but its content type text/plain is not JSON",
        ),
    ];
    let mut wrong = Vec::new();
    for (bad, expected) in cases {
        let text = [&line(0, "s-0", 0), &line(1, "s-1", 0), bad.trim_end(), "\n", &line(3, "s-0", 1)].concat();
        let (_sample, config) = Sample::new("events", text);
        let (events, error) = read(&config, ReadRequest::new(Scope::All)).await;
        let error = error.unwrap_or_else(|| panic!("{bad} was read"));
        let message = error.to_string();
        let expected = format!("failed to read file:{} at {expected}", config.path.display());
        if message != expected {
            wrong.push(format!("{message}\n  expected: {expected}\n  line: {bad}"));
        }
        assert_eq!(events.len(), 2, "{message}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn bad_bytes_and_cut_off_files_are_named_and_nothing_before_is_lost() {
    let text = lines(2000);
    let good = text.as_bytes();
    let third = text.match_indices('\n').nth(1).unwrap().0 + 1;
    let mut not_utf8 = good.to_vec();
    not_utf8[third + 29] = 0xff;
    let gzipped = gzip(&text);
    let zstandard = zstd::bulk::compress(good, 3).unwrap();
    let mut garbled = gzipped.clone();
    let checksum = garbled.len() - 8;
    garbled[checksum..checksum + 4].fill(0);
    let two = [gzip(&text[..third]), gzip(&text[third..])].concat();
    let first_member = gzip(&text[..third]).len();
    let cases: [(&[u8], &str); 7] = [
        (&not_utf8, "line 3, byte 30: the line is not UTF-8"),
        (&good[..good.len() - 9], "line 2000, byte 232: the line is broken JSON: EOF while parsing a string"),
        (&gzipped[..gzipped.len() / 2], ": the file ends in the middle of a gzip member after line N"),
        (&gzipped[..gzipped.len() - 4], ": the file ends in the middle of a gzip member after line N"),
        (&two[..first_member + 5], ": the file ends in the middle of a gzip member after line N"),
        (&zstandard[..zstandard.len() - 2], ": the file ends in the middle of a zstd frame after line N"),
        (&garbled, ": the gzip data is broken after line N: "),
    ];
    for (bytes, expected) in cases {
        let (_sample, config) = Sample::new("events", bytes);
        let (events, error) = read(&config, ReadRequest::new(Scope::All)).await;
        let message = error.expect(expected).to_string();
        let expected = expected.replace("line N", &format!("line {}", events.len()));
        assert!(message.contains(&expected), "{message}\n{expected}");
        assert!(events.iter().enumerate().all(|(index, event)| event.position == Position::new(index as u64)));
    }
}

#[tokio::test]
async fn gaps_are_let_through_where_they_are_meant_to_be() {
    let text = [line(0, "s", 3), line(1, "s", 7)].concat();
    let (_sample, config) = Sample::new("events", &text);
    let sparse: FileConfig = toml::from_str(&format!("path = {:?}\nrevisions = 'sparse'", config.path)).unwrap();
    assert_eq!(read_all(&sparse).await.len(), 2);
    let (_sample, config) = Sample::new("events", [text, line(2, "s", 7)].concat());
    let sparse: FileConfig = toml::from_str(&format!("path = {:?}\nrevisions = 'sparse'", config.path)).unwrap();
    let (events, error) = read(&sparse, ReadRequest::new(Scope::All)).await;
    assert_eq!(events.len(), 2);
    assert!(error.unwrap().to_string().ends_with("line 3: stream s goes on with revision 7, but 8 is next"));
}

#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let (sample, config) = Sample::new("events", "");
    let open = |path: PathBuf| FileReader::open(FileConfig::new(path)).unwrap_err().to_string();
    assert!(open(sample.path("missing")).ends_with("missing: it does not exist"));
    assert!(open(sample.directory.path().to_owned()).ends_with(": it is a directory"));
    let link = sample.path("link");
    std::os::unix::fs::symlink(&config.path, &link).unwrap();
    let key = |path: PathBuf| FileReader::open(FileConfig::new(path)).unwrap().identity().key.clone();
    assert_eq!(key(link), key(config.path));
}

#[tokio::test]
async fn a_named_pipe_is_read_once() {
    let (sample, _) = Sample::new("events", "");
    let pipe = sample.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = FileReader::open(FileConfig::new(&pipe)).unwrap();
    assert!(!reader.is_rereadable());
    let feed = std::thread::spawn(move || std::fs::write(pipe, gzip(&lines(5))).unwrap());
    let batches: Vec<_> = reader.read(ReadRequest::new(Scope::All)).collect().await;
    feed.join().unwrap();
    assert_eq!(batches.into_iter().flat_map(|batch| batch.unwrap()).count(), 5);
}

#[tokio::test]
async fn a_line_longer_than_allowed_stops_the_read() {
    let mut text = line(0, "s", 0);
    text.push_str(&"x".repeat(2 << 20));
    let (_sample, config) = Sample::new("events", text);
    let config = FileConfig { max_line_bytes: 1 << 20, ..config };
    let (events, error) = read(&config, ReadRequest::new(Scope::All)).await;
    assert!(error.unwrap().to_string().ends_with("at line 2: the line is longer than 1048576 bytes"));
    assert_eq!(events.len(), 1);
}

#[tokio::test]
#[ignore = "measures, with the file named by EVENTLIFT_FILE"]
async fn how_fast_a_file_is_read() {
    let path = std::env::var("EVENTLIFT_FILE").unwrap();
    let reader = FileReader::open(FileConfig::new(path)).unwrap();
    let started = std::time::Instant::now();
    let mut stream = reader.read(ReadRequest::new(Scope::All));
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        count += batch.unwrap().len();
    }
    let elapsed = started.elapsed();
    println!("{count} events in {elapsed:?}: {:.0} a second", count as f64 / elapsed.as_secs_f64());
}
