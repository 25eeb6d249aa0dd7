//! A run goes on only with the source that it has read: another one of the same shape is refused at once.

use std::fmt::Write as _;

use eventlift::events::EventWriter;
use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};

use crate::project::{FILE_TO_FILE, FILE_TO_SQLITE, Project};
use crate::rulebook;
use crate::take_over::block_on;

/// What is another in the source that takes the place of the first one.
#[derive(Clone, Copy, Debug)]
struct Other {
    id: &'static str,
    data: &'static str,
    second: u32,
}

const SAME: Other = Other { id: "e", data: "x", second: 0 };
const OTHERS: [Other; 3] = [Other { id: "f", ..SAME }, Other { data: "y", ..SAME }, Other { second: 1, ..SAME }];

fn events(count: usize, other: Other) -> String {
    let mut lines = String::new();
    for n in 0..count {
        writeln!(
            lines,
            r#"{{"specversion":"1.0","id":"{}-{n}","source":"/test","type":"Paid","subject":"account-{}","time":"2024-05-01T12:00:{:02}Z","streamrevision":{},"schemaversion":1,"sequence":"{}","data":{{"text":"{}"}}}}"#,
            other.id, n % 3, other.second, n / 3, n + 1, other.data
        )
        .unwrap();
    }
    lines
}

#[test]
fn a_file_that_is_replaced_is_refused() {
    for toml in [FILE_TO_SQLITE, FILE_TO_FILE] {
        for other in OTHERS {
            let project = Project::new(toml);
            project.write("events.ndjson", events(30, SAME));
            project.run("migrate", [] as [&str; 0]).succeeds();
            // Goes on with more of the same.
            project.write("events.ndjson", events(33, SAME));
            project.run("migrate", [] as [&str; 0]).succeeds();
            project.write("events.ndjson", events(36, other));
            let refused = project.run("migrate", [] as [&str; 0]);
            assert_eq!(refused.code, Some(5), "{other:?}: {}", refused.stderr);
            assert!(refused.stderr.contains("holds another event at position 33"), "{other:?}: {}", refused.stderr);
            // And where it begins as the first one did not, but ends in the same way.
            let (first, rest) = (events(1, other), events(36, SAME));
            let rest = rest.split_once('\n').unwrap().1;
            project.write("events.ndjson", first + rest);
            let refused = project.run("migrate", [] as [&str; 0]);
            assert_eq!(refused.code, Some(5), "{other:?}: {}", refused.stderr);
            assert!(refused.stderr.contains("holds another event at position 1 "), "{other:?}: {}", refused.stderr);
            // Whoever wants it all the same has it, and from then on without a word.
            project.run("migrate", ["--accept-changes"]).succeeds();
            project.run("migrate", [] as [&str; 0]).succeeds();
        }
    }
}

#[test]
fn a_database_that_is_replaced_is_refused() {
    let toml =
        "[source]\nstore = \"sqlite\"\npath = \"source.db\"\n\n[target]\nstore = \"sqlite\"\npath = \"target.db\"\n";
    let project = Project::new(toml);
    let fill = |suffix: &str, count: u64| {
        let mut events = rulebook::log(count, 3);
        for event in &mut events {
            event.id = eventlift::events::EventId::text(format!("{}{suffix}", event.id)).unwrap();
        }
        let mut source = SqliteWriter::open(SqliteConfig::new(project.path("source.db"))).unwrap();
        block_on(source.append(&events, None)).unwrap();
        block_on(source.seal(false)).unwrap();
    };
    fill("", 100);
    project.run("migrate", [] as [&str; 0]).succeeds();
    project.run("migrate", [] as [&str; 0]).succeeds();
    std::fs::remove_file(project.path("source.db")).unwrap();
    fill("-other", 120);
    let refused = project.run("migrate", [] as [&str; 0]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("holds another event at position"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--accept-changes"), "{}", refused.stderr);
}
