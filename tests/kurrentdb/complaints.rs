//! What users of other tools suffer from between two servers, each as a test that passes here.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::server::{Expected, KurrentServer, NewEvent, ServerOptions};
use super::world::{GENERAL, between, by_stream, count, event, fill, succeeds};
use crate::project::Project;

const NO_KEYS: &str = "
[target.metadata]
time = \"none\"
revision = \"none\"
position = \"none\"
version = \"none\"
attributes = \"none\"
";

fn servers() -> (KurrentServer, KurrentServer) {
    (KurrentServer::start(ServerOptions::default()), KurrentServer::start(ServerOptions::default()))
}

#[track_caller]
fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same of what a program does that says into the file `said`.
#[track_caller]
fn wait_for_or_tell(what: &str, project: &Project, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        let said = || String::from_utf8_lossy(&project.read("said")).into_owned();
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come: {}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_outage_of_the_target_is_waited_for_without_a_restart() {
    let (source, target) = servers();
    fill(&source.database(), 5, 20, true);
    let project = between(&source, &target, NO_KEYS);
    let mut child = project.command("migrate");
    let child = child.args(["--follow"]).stdin(Stdio::null()).stdout(Stdio::null());
    let said = std::fs::File::create(project.path("said")).unwrap();
    let child = child.stderr(said).spawn().unwrap();
    wait_for("the first events", || count(&target.database()) == 100);
    target.stop();
    for number in 100..150 {
        source.database().append("user-new", Expected::Any, vec![event(number)]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(800));
    target.start_again();
    wait_for_or_tell("the events of the outage", &project, || count(&target.database()) == 150);
    let id = i32::try_from(child.id()).unwrap();
    std::process::Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(project.read("said")).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 9)), "{said}");
    assert!(said.contains("again"), "it says that it tries again: {said}");
    assert_eq!(by_stream(&target.database()), by_stream(&source.database()));
}

#[test]
fn an_outage_of_the_source_is_waited_for_as_well() {
    let (source, target) = servers();
    fill(&source.database(), 5, 20, true);
    let project = between(&source, &target, NO_KEYS);
    let mut child = project.command("migrate");
    let child = child.args(["--follow"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    wait_for("the first events", || count(&target.database()) == 100);
    source.stop();
    std::thread::sleep(Duration::from_millis(500));
    source.start_again();
    source.database().append("user-new", Expected::Any, vec![event(100)]).unwrap();
    wait_for("the event behind the outage", || count(&target.database()) == 101);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_lost_checkpoint_doubles_nothing() {
    let (source, target) = servers();
    fill(&source.database(), 20, 30, true);
    let project = between(&source, &target, "");
    project.write("transformers/general.toml", GENERAL);
    succeeds(&project, "migrate", &[]);
    let undisturbed = by_stream(&target.database());
    for file in std::fs::read_dir(project.folder()).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("kurrentdb.eventlift") {
            std::fs::remove_file(file).unwrap();
        }
    }
    succeeds(&project, "migrate", &[]);
    assert_eq!(by_stream(&target.database()), undisturbed);
    succeeds(&project, "verify", &[]);
}

#[test]
fn events_without_data_or_metadata_and_octets_arrive_as_they_were() {
    let (source, target) = servers();
    let odd = [
        NewEvent::json("Empty", ""),
        NewEvent::octets("Empty", ""),
        NewEvent::octets("Octets", vec![0, 159, 146, 150, 255]),
        NewEvent::json("Json", "{}"),
        NewEvent::json("Json", "{\"a\": 10.10, \"big\": 12345678901234567890}").with_metadata(""),
        NewEvent::json("NoObject", "1").with_metadata("[1, 2]"),
        NewEvent::octets("Text", "plain").with_metadata(vec![1, 2, 3]),
        NewEvent::json("Broken", "{\"a\":"),
    ];
    source.database().append("odd-1", Expected::NoStream, odd.to_vec()).unwrap();
    let project = between(&source, &target, NO_KEYS);
    succeeds(&project, "plan", &[]);
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    assert_eq!(by_stream(&target.database()), by_stream(&source.database()));

    // With the keys on, only metadata that is a JSON object or empty is added to.
    let other = KurrentServer::start(ServerOptions::default());
    let project = between(&source, &other, "");
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    let records = other.database().stream("odd-1");
    assert_eq!(&records[5].metadata[..], b"[1, 2]");
    assert_eq!(&records[6].metadata[..], [1, 2, 3]);
    assert!(String::from_utf8_lossy(&records[0].metadata).contains("$originalTime"));
}

#[test]
fn one_event_becomes_two() {
    let (source, target) = servers();
    fill(&source.database(), 4, 25, true);
    let project = between(&source, &target, "");
    project.write("transformers/general.toml", GENERAL);
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    let (created, pings) = (25, 25);
    assert_eq!(count(&target.database()), 100 + created - pings);
    for stream in 0..4 {
        let records = target.database().stream(&format!("user-{stream}"));
        let revisions: Vec<i64> = records.iter().map(|record| record.revision).collect();
        assert_eq!(revisions, (0..records.len() as i64).collect::<Vec<_>>());
        let welcomed = records.iter().filter(|record| &*record.event_type == "UserWelcomed").count();
        assert_eq!(welcomed, records.iter().filter(|record| &*record.event_type == "UserCreated").count());
    }
}

#[test]
fn no_metadata_is_added_when_that_is_turned_off() {
    let (source, target) = servers();
    fill(&source.database(), 3, 10, true);
    let project = between(&source, &target, NO_KEYS);
    succeeds(&project, "migrate", &[]);
    assert_eq!(by_stream(&target.database()), by_stream(&source.database()));
}

#[test]
fn originals_are_kept_under_keys_that_can_be_renamed() {
    let (source, target) = servers();
    fill(&source.database(), 2, 3, true);
    let keys = "
[target.metadata]
time = \"$originalCreatedDate\"
revision = \"$originalEventNumber\"
position = \"$originalEventPosition\"
";
    let project = between(&source, &target, keys);
    project.write("transformers/general.toml", GENERAL);
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    let originals = source.database().stream("user-0");
    let copies = target.database().stream("user-0");
    for copy in &copies {
        let metadata: serde_json::Value = serde_json::from_slice(&copy.metadata).unwrap();
        let revision = metadata["$originalEventNumber"].as_u64().unwrap();
        let original = &originals[usize::try_from(revision).unwrap()];
        let position = format!("{}/{}", original.position.commit, original.position.prepare);
        assert_eq!(metadata["$originalEventPosition"], json!(position));
        assert!(metadata["$originalCreatedDate"].as_str().unwrap().starts_with("20"), "{metadata}");
        assert_eq!(metadata["by"], json!("test"));
    }
}

/// `$maxAge`, access rights, nested keys of the user's own; a soft delete with appends behind it; a deletion for good.
fn with_metadata_and_deletions(server: &KurrentServer) {
    let database = server.database();
    fill(&database, 5, 10, true);
    let custom = "{\"$maxAge\":31536000,\"$maxCount\":100,\"$acl\":{\"$w\":[\"$admins\",\"ops\"],\"$r\":\"$all\"},\
                  \"owner\":{\"team\":{\"name\":\"shop\",\"since\":2019.10}}}";
    database.set_metadata("user-0", custom).unwrap();
    database.delete("user-1", Expected::Any).unwrap();
    database.append("user-1", Expected::Any, vec![event(1_000), event(1_001)]).unwrap();
    database.tombstone("user-2", Expected::Any).unwrap();
    database.set_metadata("user-3", "{\"$tb\":4}").unwrap();
    database.delete("user-4", Expected::Any).unwrap();
}

#[test]
fn metadata_of_streams_and_deletions_are_replicated() {
    let (source, target) = servers();
    with_metadata_and_deletions(&source);
    let project = between(&source, &target, NO_KEYS);
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    assert_eq!(by_stream(&target.database()), by_stream(&source.database()));
    for stream in ["user-0", "user-1", "user-3", "user-4"] {
        assert_eq!(target.database().metadata(stream), source.database().metadata(stream), "{stream}");
    }
    // What readers of a stream see is the same, too.
    for stream in 0..5 {
        let name = format!("user-{stream}");
        assert_eq!(target.database().stream(&name).len(), source.database().stream(&name).len(), "{name}");
    }
    // Again, and with a lost ledger.
    succeeds(&project, "migrate", &[]);
    std::fs::remove_file(project.path("kurrentdb.eventlift")).unwrap();
    succeeds(&project, "migrate", &[]);
    assert_eq!(by_stream(&target.database()), by_stream(&source.database()));
}

#[test]
fn a_truncation_is_translated_where_revisions_change() {
    let (source, target) = servers();
    fill(&source.database(), 1, 12, true);
    source.database().set_metadata("user-0", "{\"$tb\":6, \"kept\": 1.50}").unwrap();
    let project = between(&source, &target, "");
    project.write("transformers/general.toml", GENERAL);
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    // 0 1 2 (3) 4 5 6: created, welcomed, renamed, renamed, -, created, welcomed, renamed, and then the sixth.
    let expected = 4 + 2 + 1;
    assert_eq!(target.database().metadata("user-0").unwrap()["$tb"], json!(expected));
    let record = target.database().stream("$$user-0").pop().unwrap();
    assert_eq!(String::from_utf8_lossy(&record.data), format!("{{\"$tb\":{expected}, \"kept\": 1.50}}"));
}

#[test]
fn what_was_scavenged_leaves_no_hole() {
    let (source, target) = servers();
    fill(&source.database(), 4, 10, true);
    source.database().set_metadata("user-0", "{\"$maxCount\":3}").unwrap();
    source.database().delete("user-1", Expected::Any).unwrap();
    source.database().scavenge();
    let project = between(&source, &target, "");
    let refused = project.run("migrate", [] as [&str; 0]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("user-0") && refused.stderr.contains("sparse"), "{}", refused.stderr);
    let other = KurrentServer::start(ServerOptions::default());
    let project = between(&source, &other, "\n[policy]\nrevisions = \"sparse\"\n");
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    let revisions: Vec<i64> = other.database().stream("user-0").iter().map(|record| record.revision).collect();
    assert_eq!(revisions, [0, 1, 2]);
}

#[test]
fn links_and_system_streams_stay_behind_and_plan_says_so() {
    let source = KurrentServer::start(ServerOptions { noise_every: 3, ..ServerOptions::default() });
    let target = KurrentServer::start(ServerOptions::default());
    fill(&source.database(), 3, 20, true);
    source
        .database()
        .append(
            "mine-1",
            Expected::Any,
            vec![NewEvent { event_type: "$>".to_owned(), ..NewEvent::octets("x", "0@user-0") }],
        )
        .unwrap();
    let project = between(&source, &target, NO_KEYS);
    let planned = succeeds(&project, "plan", &[]);
    assert!(planned.contains("not carried over") && planned.contains("link"), "{planned}");
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    assert_eq!(count(&target.database()), 60);
    assert!(target.database().records().iter().all(|record| !record.stream.starts_with('$')));
}

/// The largest resident set of a run, in bytes.
fn peak_memory(streams: usize, events: usize) -> u64 {
    let (source, target) = servers();
    fill(&source.database(), streams, events, true);
    let project = between(&source, &target, NO_KEYS);
    let mut command = std::process::Command::new("sh");
    // The shell's children are this one program.
    let script = "\"$0\" migrate \"$1\" --json >out.json & pid=$!; peak=0; while kill -0 $pid 2>/dev/null; do \
                  now=$(grep VmHWM /proc/$pid/status 2>/dev/null | tr -dc 0-9); [ -n \"$now\" ] && peak=$now; sleep 0.02; done; \
                  wait $pid && echo $peak";
    let output = command
        .args(["-c", script, env!("CARGO_BIN_EXE_eventlift")])
        .arg(project.folder())
        .current_dir(project.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(count(&target.database()), streams * events);
    String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_does_not_grow_with_the_number_of_streams() {
    const MIB: u64 = 1 << 20;
    // A million takes a minute: for the large number, set it.
    let given = std::env::var("EVENTLIFT_STREAMS").ok().and_then(|streams| streams.parse().ok());
    let streams: usize = given.unwrap_or(30_000);
    let (few, many) = (peak_memory(30, streams / 30), peak_memory(streams, 1));
    println!("{} MiB with 30 streams, {} MiB with {streams}", few / MIB, many / MIB);
    assert!(many < few + 48 * MIB, "{} MiB with 30 streams, {} MiB with {streams}", few / MIB, many / MIB);
}

#[test]
fn a_project_needs_no_other_store() {
    let (source, target) = servers();
    fill(&source.database(), 2, 2, true);
    let project = Project::new(&format!(
        "[source]\nstore = \"kurrentdb\"\nurl = {:?}\n\n[target]\nurl = {:?}\n",
        source.url().replace("esdb:", "kurrentdb:"),
        target.url()
    ));
    succeeds(&project, "migrate", &["--category", "user"]);
    assert_eq!(count(&target.database()), 4);
    let runs = succeeds(&project, "runs", &[]);
    assert!(runs.contains("done"), "{runs}");
    succeeds(&project, "status", &[]);
}
