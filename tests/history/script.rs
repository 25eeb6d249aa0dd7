//! What the tables must hold, worked out by a script from the events as they were written.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use super::tables::Rows;
use crate::project::Project;

/// A line of the script.
#[derive(Deserialize)]
struct Line {
    table: String,
    key: String,
    row: Value,
}

/// Where the events come from that are folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// The log itself, each event lifted on the fly.
    Source,
    /// What a migration made of it.
    Target,
}

impl From {
    /// As the command line and the script call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// What the script makes of a log, plain or compressed.
pub(super) fn expected(log: &Path, from: From) -> Rows {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history/expected.py");
    let output = Command::new("python3").arg(script).arg(log).arg(from.name()).output();
    let output = output.expect("python3 is needed: `cargo xtask test` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.map(|Line { table, key, row }| ((table, key), row)).collect()
}

fn line(second: u32, stream: &str, sha: &str, (event_type, version): (&str, u32), data: Value) -> String {
    let schema = format!("urn:schema:{event_type}:{version}");
    let metadata = json!({"correlation_id": sha});
    let event = json!({"type": event_type, "subject": stream, "time": at(second), "dataschema": schema,
        "data": data, "metadata": metadata});
    format!("{event}\n")
}

fn at(second: u32) -> String {
    format!("2024-05-01T12:00:0{second}Z")
}

/// A history so small that its tables can be worked out in the head.
#[test]
fn the_script_agrees_with_a_computation_by_hand() {
    let (recorded_1, recorded_2) = (("CommitRecorded", 1), ("CommitRecorded", 2));
    let log = [
        line(0, "commit-a", "a0", recorded_1, json!({"sha": "a0", "author_first": "Zoë", "author_last": "Ö"})),
        line(1, "file-1", "a0", ("FileAdded", 1), json!({"path": "x", "additions": 10})),
        line(2, "file-2", "a0", ("FileAdded", 1), json!({"path": "y", "additions": 7})),
        line(3, "commit-b", "b0", recorded_2, json!({"sha": "b0", "author": "Zoë Ö"})),
        line(4, "file-1", "b0", ("FileModified", 1), json!({"path": "x", "lines": "+3 -2"})),
        line(5, "file-2", "b0", ("FileDeleted", 1), json!({"path": "y", "deletions": 7})),
        line(6, "commit-c", "c0", recorded_2, json!({"sha": "c0", "author": "Ada"})),
        line(7, "file-1", "c0", ("FileRenamed", 1), json!({"from": "x", "path": "y", "additions": 1, "deletions": 4})),
        line(8, "commit-d", "d0", recorded_2, json!({"sha": "d0", "author": "Ada"})),
    ];
    let commit = |author: &str, second: u32, files: Option<u32>, lines: Option<u32>| json!({"author": author, "recorded_at": at(second), "files": files, "lines": lines});
    let renamed = json!({"path": "y", "paths": ["x", "y"], "commits": 3, "lines": 8, "deleted": false,
        "added_at": at(1), "changed_at": at(7), "last_commit": "c0"});
    let deleted = json!({"path": "y", "paths": ["y"], "commits": 2, "lines": 0, "deleted": true,
        "added_at": at(2), "changed_at": at(5), "last_commit": "b0"});
    let by_hand = [
        ("authors", "Ada", json!({"commits": 2, "files": 1, "lines": 5})),
        ("authors", "Zoë Ö", json!({"commits": 2, "files": 4, "lines": 29})),
        ("commits", "a0", commit("Zoë Ö", 0, Some(2), Some(17))),
        ("commits", "b0", commit("Zoë Ö", 3, Some(2), Some(12))),
        ("commits", "c0", commit("Ada", 6, Some(1), Some(5))),
        ("commits", "d0", commit("Ada", 8, None, None)),
        ("file_snapshots", "file-1", json!({"revision": 3, "state": renamed})),
        ("file_snapshots", "file-2", json!({"revision": 1, "state": deleted})),
        ("files", "y", json!({"files": 1, "commits": 3, "lines": 8})),
        ("histories", "file-1", json!({"path": "y", "commits": 3, "lines": 8})),
    ];
    let project = Project::new("");
    project.write("events.ndjson", log.concat());
    let mut by_hand: Rows = by_hand.map(|(table, key, row)| ((table.to_owned(), key.to_owned()), row)).into();
    assert_eq!(expected(&project.path("events.ndjson"), From::Target), by_hand);
    let of_renamed = ("file_snapshots".to_owned(), "file-1".to_owned());
    by_hand.get_mut(&of_renamed).unwrap()["revision"] = json!(2);
    assert_eq!(expected(&project.path("events.ndjson"), From::Source), by_hand);
}
