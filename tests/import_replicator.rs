//! `import-replicator`: what it writes, says and refuses.

use std::fs;
use std::path::{Path, PathBuf};

use super::command_line::{assert_session, eventlift, session};

/// A word that stands for a password in every configuration here: it is never shown nor written.
const PASSWORD: &str = "5ecret";

/// Every file under a folder, by its path.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() { found.extend(files_in(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Imports a configuration: what was said, and then every file that was written.
fn imported(file: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    let mut shown = session(folder.path(), &["import-replicator", file, "copy"]);
    for path in files_in(&folder.path().join("copy")) {
        let name = path.strip_prefix(folder.path()).unwrap().display().to_string();
        shown.push_str(&format!("--- {name}\n{}", fs::read_to_string(&path).unwrap()));
    }
    assert!(!shown.contains(PASSWORD), "{shown}");
    (folder, shown)
}

/// Runs the rules of a project on their test cases, with stores that are always there.
fn checked(folder: &Path) -> String {
    let stores = "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n";
    fs::write(folder.join("copy/eventlift.toml"), stores).unwrap();
    session(folder, &["check", "copy"])
}

fn assert_imported(name: &str, file: &str, text: &str) -> tempfile::TempDir {
    let (folder, shown) = imported(file, text);
    assert_session(&format!("import_replicator_{name}"), &shown);
    // It is TOML whatever stood in the configuration.
    for path in files_in(&folder.path().join("copy")) {
        let text = fs::read_to_string(&path).unwrap();
        toml::from_str::<toml::Table>(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()));
    }
    folder
}

const SMALLEST: &str = "\
replicator:
  reader:
    connectionString: esdb://localhost:2113?tls=false
    protocol: grpc
  sink:
    connectionString: esdb://localhost:2114?tls=false
    protocol: grpc
";

#[test]
fn the_smallest() {
    assert_imported("smallest", "appsettings.yaml", SMALLEST);
}

#[test]
fn from_a_cluster_over_tcp_with_filters() {
    let text = "\
replicator:
  reader:
    protocol: tcp
    connectionString: \"GossipSeeds=n1.db.example:2113,n2.db.example:2113; HeartBeatTimeout=500; DefaultUserCredentials=ops:5ecret; UseSslConnection=false;\"
    pageSize: 1024
  sink:
    protocol: grpc
    connectionString: \"esdb+discover://ops:5ecret@target.example:2113?tls=true&throwOnAppendFailure=false\"
    partitionCount: 1
    bufferSize: 500
  scavenge: true
  runContinuously: false
  filters:
  - type: eventType
    include: \".\"
    exclude: \"^(Draft|Temp)\\\\w+Saved$\"
  - type: streamName
    include: \"^(order|customer)-\"
  checkpoint:
    type: file
    path: ./data/checkpoint
    checkpointAfter: 500
    seeder:
      type: none
";
    let folder = assert_imported("filters", "appsettings.yaml", text);
    assert_session("import_replicator_filters_check", &checked(folder.path()));
}

#[test]
fn one_node_over_tcp_and_javascript() {
    let text = "\
replicator:
  reader:
    connectionString: ConnectTo=tcp://ops:5ecret@10.1.2.3:1113; HeartBeatTimeout=500; UseSslConnection=false;
    protocol: tcp
  sink:
    connectionString: esdb://10.1.2.4:2113?tls=false
    protocol: grpc
    partitionCount: 6
    partitioner: ./config/partition.js
  transform:
    type: js
    config: ./config/lift.js
    bufferSize: 100
";
    let folder = assert_imported("javascript", "appsettings.yaml", text);
    // Nobody takes it for a plain copy.
    let check = checked(folder.path());
    assert_session("import_replicator_javascript_check", &check);
    for command in ["plan", "migrate"] {
        let refused = eventlift(folder.path(), &[command, "copy"]);
        assert_eq!(refused.status.code(), Some(3), "{command}");
    }
}

#[test]
fn values_of_helm_with_a_service_that_transforms() {
    let text = "\
image:
  tag: 0.6.0
resources:
  limits: { cpu: 1 }
replicator:
  reader:
    connectionString: ConnectTo=discover://ops:5ecret@db.example:2114
    protocol: tcp
  sink:
    connectionString: kdb+discover://ops:5ecret@target.example
    protocol: grpc
    partitionCount: 1
    partitioner:
  transform:
    type: http
    config: http://user:5ecret@lift.svc.local/transform?key=5ecret
  filters: []
  checkpoint:
    type: mongo
    path: mongodb://user:5ecret@mongo:27017
    database: copies
    instanceId: one
";
    assert_imported("helm", "values.yaml", text);
}

#[test]
fn json_in_any_case() {
    let text = r#"{
  "Logging": { "LogLevel": "Information" },
  "Replicator": {
    "Reader": { "ConnectionString": "kurrentdb://a.example", "Protocol": "grpc" },
    "Sink": { "ConnectionString": "kurrentdb://b.example", "Protocol": "grpc", "PartitionCount": 8 },
    "Scavenge": false, "RunContinuously": "True", "RestartOnFailure": true,
    "RestartDelayInMilliseconds": 1000, "ReportMetricsFrequencyInSeconds": 5
  }
}"#;
    let (folder, _) = imported("appsettings.json", text);
    let again = session(folder.path(), &["import-replicator", "appsettings.json", "again", "--json"]);
    assert_session("import_replicator_json", &again);
}

#[test]
fn a_config_map() {
    let indented: String = SMALLEST.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  appsettings.yaml: |\n{indented}");
    let (_folder, shown) = imported("map.yaml", &text);
    // Lines are those of the file that was given.
    assert!(shown.contains("reader.connectionString (line 7): `url` under [source]"), "{shown}");
}

#[test]
fn kafka() {
    let text = "\
replicator:
  reader:
    connectionString: esdb://a.example
    protocol: grpc
  sink:
    connectionString: bootstrap.servers=localhost:9092,sasl.password=5ecret
    protocol: kafka
    partitionCount: 10
    router: ./route.js
";
    assert_imported("kafka", "appsettings.yaml", text);
}

#[test]
fn tokens() {
    let text = "\
replicator:
  reader:
    connectionString: esdb://a.example
    protocol: grpc
    auth:
      type: oauthClientCredentials
      tokenEndpoint: https://login.example/token
      clientId: copy
      clientSecret: 5ecret
      additionalParameters: { audience: kurrentdb }
  sink:
    connectionString: esdb://b.example
    protocol: grpc
    auth: { type: oauthTokenFile, tokenFile: /var/run/token, tokenfiel: x }
";
    assert_imported("tokens", "appsettings.yaml", text);
}

#[test]
fn keys_that_it_does_not_know() {
    let text = "\
replicator:
  reader:
    connectionString: esdb://a.example
    protocol: grpc
    5ecretive: not this part
  sink:
    connectionString: esdb://b.example
    protocol: grpc
    partitionsCount: 4
  filter:
  - type: eventType
  scavange: true
"
    .replace("5ecretive", "user");
    assert_imported("unknown_keys", "appsettings.yaml", &text);
}

#[test]
fn expressions_without_an_equal() {
    let text = r#"
replicator:
  reader: { connectionString: "esdb://a.example", protocol: grpc }
  sink: { connectionString: "esdb://b.example", protocol: grpc }
  filters:
  - type: eventType
    include: '(?i)^order'
  - type: streamName
    exclude: "^test-\nx"
  - type: streamName
    exclude: "^(?!customer)"
  - type: eventType
    exclude: 'Bad'
"#;
    let folder = assert_imported("undecided", "appsettings.yaml", text);
    assert_session("import_replicator_undecided_check", &checked(folder.path()));
}

#[test]
fn a_seeded_checkpoint_is_a_question() {
    let text = format!("{SMALLEST}  checkpoint: {{ seeder: {{ type: chaser, path: /backup/chaser.chk }} }}\n");
    let (_folder, shown) = imported("appsettings.yaml", &text);
    assert!(shown.contains("behind a backup that the target was made of"), "{shown}");
    assert!(shown.contains("--- exit code 3"), "{shown}");
}

/// Filters drop what they dropped, and nothing else.
#[test]
fn events_that_were_left_out_are_left_out() {
    let text = format!(
        "{SMALLEST}  filters:\n  - {{ type: eventType, exclude: '^Ping' }}\n  - {{ type: streamName, include: '^(a|b)-\\d+$' }}\n"
    );
    let (folder, _) = imported("appsettings.yaml", &text);
    let mut events = String::new();
    let cases =
        [("Ping", "a-1"), ("Kept", "a-1"), ("Pong", "b-22"), ("Kept", "c-1"), ("APing", "a-x"), ("APing", "a-2")];
    let mut revisions = std::collections::BTreeMap::<&str, u64>::new();
    for (sequence, (event_type, stream)) in cases.iter().enumerate() {
        let revision = revisions.entry(stream).or_default();
        events.push_str(&format!(
            r#"{{"specversion":"1.0","id":"e-{sequence}","source":"/","type":"{event_type}","subject":"{stream}","time":"2024-05-01T12:00:00Z","streamrevision":{revision},"sequence":"{sequence}","data":{{}}}}"#
        ));
        events.push('\n');
        *revision += 1;
    }
    let project = folder.path().join("copy");
    fs::write(project.join("events.ndjson"), events).unwrap();
    let stores =
        "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n[target]\nstore = \"file\"\npath = \"out.ndjson\"\n";
    fs::write(project.join("eventlift.toml"), stores).unwrap();
    let said = session(folder.path(), &["migrate", "copy"]);
    let out = fs::read_to_string(project.join("out.ndjson")).unwrap_or_else(|error| panic!("{error}\n{said}"));
    let kept: Vec<(String, String)> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| (event["type"].as_str().unwrap().to_owned(), event["subject"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [("Kept", "a-1"), ("Pong", "b-22"), ("APing", "a-2")];
    assert_eq!(kept, expected.map(|(event_type, stream)| (event_type.to_owned(), stream.to_owned())));
}

#[test]
fn what_cannot_be_imported_is_said_and_nothing_is_written() {
    let stores = |reader: &str, sink: &str| {
        format!("replicator:\n  reader:\n    connectionString: {reader}\n  sink:\n    connectionString: {sink}\n")
    };
    let mut said = String::new();
    for text in [
        "".to_owned(),
        "replicator: [\n".to_owned(),
        "just text".to_owned(),
        "[1, 2]".to_owned(),
        "replicator: 12\n".to_owned(),
        "replicator:\n  sink:\n    connectionString: esdb://a\n".to_owned(),
        "replicator:\n  reader:\n    connectionString: esdb://a\n".to_owned(),
        "replicator:\n  reader:\n  sink:\n".to_owned(),
        "replicator:\n  reader: esdb://u:5ecret@a\n  sink:\n".to_owned(),
        stores("", "esdb://a"),
        stores("5ecret", "esdb://a"),
        stores("esdb://u:5ecret@", "esdb://a"),
        stores("\"esdb://u/5ecret:x@a\"", "esdb://a"),
        stores("{ secret: 5ecret }", "esdb://a"),
        stores("esdb://a", "esdb://a") + "    partitionCount: many\n",
        stores("esdb://a", "esdb://a") + "    partitionCount: -1\n",
        stores("esdb://a", "esdb://a") + "    protocol: ftp\n",
        stores("esdb://a", "esdb://a") + "    Protocol: grpc\n    protocol: tcp\n",
        stores("esdb://a", "esdb://a") + "  scavenge: perhaps\n",
        stores("esdb://a", "esdb://a") + "  filters: { type: eventType }\n",
        stores("esdb://a", "esdb://a") + "  filters:\n  - include: a\n",
        stores("esdb://a", "esdb://a") + "  filters:\n  - type: eventTypes\n",
        stores("esdb://a", "esdb://a") + "  checkpoint:\n    type: redis\n",
        format!("one:\n{}two:\n{}", indented(SMALLEST), indented(SMALLEST)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), &text).unwrap();
        let shown = session(folder.path(), &["import-replicator", "a.yaml", "copy"]);
        assert!(shown.ends_with("--- exit code 3\n"), "{text}\n{shown}");
        assert_eq!(files_in(folder.path()).len(), 1, "{text}\n{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");
        said.push_str(&format!("{text}\n{}\n", shown.split_once("standard error\n").unwrap().1));
    }
    assert_session("import_replicator_bad_input", &said.replace(PASSWORD, "[password]"));
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[test]
fn what_is_no_file_of_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("binary.yaml"), [0x72, 0xff, 0xfe, 0x00]).unwrap();
    let code = |file: &str| eventlift(folder.path(), &["import-replicator", file, "copy"]).status.code();
    assert_eq!(code("binary.yaml"), Some(3));
    assert_eq!(code("."), Some(8));
    assert_eq!(code("missing.yaml"), Some(8));
    assert_eq!(eventlift(folder.path(), &["import-replicator"]).status.code(), Some(2));
    assert!(!folder.path().join("copy").exists());
    // A mark at the beginning, as editors on Windows write it, is none of the text.
    fs::write(folder.path().join("marked.yaml"), format!("\u{feff}{}", SMALLEST.replace('\n', "\r\n"))).unwrap();
    assert_eq!(code("marked.yaml"), Some(0));
}

#[test]
fn nothing_is_overwritten() {
    let filters = format!("{SMALLEST}  filters:\n  - {{ type: eventType, exclude: Bad }}\n");
    for taken in ["eventlift.toml", "transformers/replicator.toml"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), &filters).unwrap();
        let path = folder.path().join("copy").join(taken);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let refused = session(folder.path(), &["import-replicator", "a.yaml", "copy"]);
        assert!(refused.contains(&format!("failed to create copy/{taken}: it is there already")), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(files_in(&folder.path().join("copy")).len(), 1, "{refused}");
    }
}

/// What is written is a project as this program reads it.
#[cfg(feature = "kurrentdb")]
#[test]
fn the_project_is_one() {
    for sink in ["esdb://u:5ecret@b.example?tls=false", "kdb+discover://b.example"] {
        for partitions in [1, 6] {
            let text = SMALLEST.replace("esdb://localhost:2114?tls=false", sink)
                + &format!("    partitionCount: {partitions}\n");
            let (folder, shown) = imported("appsettings.yaml", &text);
            let project = folder.path().join("copy");
            eventlift::config::Project::load(&project).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        }
    }
}
