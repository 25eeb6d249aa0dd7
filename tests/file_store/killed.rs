//! Processes of their own: writers that are killed, and the standard streams.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use eventlift::stores::file::{FileConfig, FileReader, FileWriter};
use eventlift_events::{CheckpointStore, Event, EventReader, EventWriter, RunId};

use super::writing::{event, progress, read};

/// Starts one of the tests below in a process of its own.
fn start(test: &str, path: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "--exact", &format!("file_store::killed::{test}")])
        .env("EVENTLIFT_CHILD_PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn child_path() -> PathBuf {
    std::env::var_os("EVENTLIFT_CHILD_PATH").unwrap().into()
}

const RUN: &str = "9b2f0f0a-6f0e-4f0e-8f0e-0f0e0f0e0f0e";

#[tokio::test]
#[ignore = "runs in a process that is started by another test"]
async fn child_appends_until_killed() {
    let run: RunId = RUN.parse().unwrap();
    let mut writer = FileWriter::open(FileConfig::new(child_path())).unwrap();
    let reached = writer.checkpoint(run).await.unwrap();
    let mut next = reached.map_or(0, |checkpoint| checkpoint.counts.written);
    println!("writing");
    loop {
        let events: Vec<Event> = (next..next + 7).map(event).collect();
        next += 7;
        writer.append(&events, Some(&progress(run, next))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_writer_leaves_whole_appends_and_their_progress() {
    let run: RunId = RUN.parse().unwrap();
    for name in ["events.ndjson", "events.ndjson.gz"] {
        let directory = tempfile::tempdir().unwrap();
        let config = FileConfig::new(directory.path().join(name));
        for round in 0..8_u64 {
            let mut child = start("child_appends_until_killed", config.path.to_str().unwrap());
            let mut output = child.stdout.take().unwrap();
            let mut seen = String::new();
            while !seen.contains("writing") {
                let mut byte = [0];
                assert_eq!(output.read(&mut byte).unwrap(), 1, "the child ended: {seen}");
                seen.push(byte[0] as char);
            }
            std::thread::sleep(Duration::from_micros(2_000 + 3_777 * round));
            child.kill().unwrap();
            child.wait().unwrap();

            let before = read(&config).await.unwrap();
            let writer = FileWriter::open(config.clone()).unwrap();
            let reached = writer.checkpoint(run).await.unwrap().map_or(0, |checkpoint| checkpoint.counts.written);
            drop(writer);
            let expected: Vec<Event> = (0..reached).map(event).collect();
            assert_eq!(before, expected);
            assert_eq!(read(&config).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn what_a_killed_writer_did_not_commit_is_not_read_and_then_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new(directory.path().join("events.gz"));
    let mut writer = FileWriter::open(config.clone()).unwrap();
    writer.append(&[event(0)], None).await.unwrap();
    let length = std::fs::metadata(&config.path).unwrap().len();
    std::fs::OpenOptions::new().append(true).open(&config.path).unwrap().write_all(b"\x1f\x8bhalf a member").unwrap();
    // Copied while the writer has it open, so that the copy was never closed, as after a kill.
    let beside = config.path.with_file_name("events.gz.eventlift");
    let copy = directory.path().join("copy.gz");
    std::fs::copy(&config.path, &copy).unwrap();
    std::fs::copy(&beside, directory.path().join("copy.gz.eventlift")).unwrap();
    drop(writer);

    let config = FileConfig::new(copy);
    assert_eq!(read(&config).await.unwrap(), [event(0)]);
    let mut writer = FileWriter::open(config.clone()).unwrap();
    assert_eq!(std::fs::metadata(&config.path).unwrap().len(), length);
    writer.append(&[event(1)], None).await.unwrap();
    assert_eq!(read(&config).await.unwrap(), [event(0), event(1)]);
}

#[tokio::test]
#[ignore = "runs in a process that is started by another test"]
async fn child_copies_standard_input_to_standard_output() {
    let config = FileConfig::new("-");
    let reader = FileReader::open(config.clone()).unwrap();
    assert!(!reader.is_rereadable());
    let events = read(&config).await.unwrap();
    let mut writer = FileWriter::open(config).unwrap();
    assert!(!writer.capabilities().transactions);
    println!();
    for batch in events.chunks(2) {
        writer.append(batch, Some(&progress(RUN.parse().unwrap(), 1))).await.unwrap();
    }
    let repeated = writer.append(&events[..1], None).await.unwrap_err();
    assert!(repeated.to_string().contains("position 0 is not behind 4, the last one of the file"), "{repeated}");
    writer.seal(true).await.unwrap();
    assert_eq!(writer.runs().await.unwrap(), []);
}

#[tokio::test]
async fn standard_streams_are_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new(directory.path().join("events.gz"));
    let events: Vec<Event> = (0..5).map(event).collect();
    FileWriter::open(config.clone()).unwrap().append(&events, None).await.unwrap();
    let mut child = start("child_copies_standard_input_to_standard_output", "-");
    child.stdin.take().unwrap().write_all(&std::fs::read(&config.path).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: String = text.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    let copy = FileConfig::new(directory.path().join("copy"));
    std::fs::write(&copy.path, lines).unwrap();
    assert_eq!(read(&copy).await.unwrap(), events);
}
