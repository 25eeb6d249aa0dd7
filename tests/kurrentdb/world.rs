//! Two sides of a migration, and what the server holds at its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::server::{Database, Expected, KurrentServer, NewEvent, Record};
use crate::project::Project;

/// A rule that makes one event two, another that drops some, and one that changes.
pub(crate) const GENERAL: &str = r#"
[current]
Ping = 1
UserCreated = 1
UserWelcomed = 1

[[rule]]
name = "no pings"
match = { types = ["Ping"] }
drop = true

[[rule]]
name = "users are welcomed"
match = { types = ["UserCreated"] }
split = [{ type = "UserCreated" }, { type = "UserWelcomed", data = [{ remove = "/last" }] }]
"#;

/// Events of this many streams, one after the other or by turns, always the same ones.
pub(crate) fn fill(database: &Database, streams: usize, events: usize, by_turns: bool) {
    let mut next = vec![0_u64; streams];
    for number in 0..streams * events {
        let stream = if by_turns { number % streams } else { number / events };
        let revision = next[stream];
        next[stream] += 1;
        let name = format!("user-{stream}");
        let expected = revision.checked_sub(1).map_or(Expected::NoStream, Expected::Revision);
        database.append(&name, expected, vec![event(number)]).unwrap();
    }
}

/// The nth event.
pub(crate) fn event(number: usize) -> NewEvent {
    let data =
        format!("{{\"first\":\"Anna {number}\",\"last\":\"B\",\"big\":{}}}", 9_007_199_254_740_993_u64 + number as u64);
    let event_type = ["UserCreated", "UserRenamed", "UserRenamed", "Ping"][number % 4];
    NewEvent::json(event_type, data)
        .with_id(Uuid::from_u128(0x1000_0000_0000_0000_0000_0000_0000_0000 + number as u128))
        .with_metadata(format!("{{\"by\":\"test\",\"n\":{number}.10}}"))
}

/// What is in the streams of users, by stream, without the places in the log and the times, which are the server's.
pub(crate) fn by_stream(database: &Database) -> BTreeMap<String, Vec<String>> {
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in database.records() {
        if is_of_users(&record) {
            streams.entry(record.stream.to_string()).or_default().push(line(&record));
        }
    }
    streams
}

/// Neither of the system nor a link; the metadata of streams is.
fn is_of_users(record: &Arc<Record>) -> bool {
    let name = &*record.stream;
    (!name.starts_with('$') || name.starts_with("$$") && !name.starts_with("$$$")) && &*record.event_type != "$>"
}

fn line(record: &Record) -> String {
    // The ids of metadata and deletions are the server's own.
    let id = if record.event_type.starts_with('$') { "-".to_owned() } else { record.id.to_string() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{} {id} {} {} {} {}",
        record.revision,
        record.event_type,
        record.is_json,
        text(&record.data),
        text(&record.metadata)
    )
}

/// How many events are in the log, of users.
pub(crate) fn count(database: &Database) -> usize {
    database.records().iter().filter(|record| is_of_users(record)).count()
}

/// A project from one server to another.
pub(crate) fn between(source: &KurrentServer, target: &KurrentServer, more: &str) -> Project {
    Project::new(&format!("[source]\nurl = {:?}\n\n[target]\nurl = {:?}\n{more}", source.url(), target.url()))
}

/// Runs a command that has to succeed.
#[track_caller]
pub(crate) fn succeeds(project: &Project, command: &str, arguments: &[&str]) -> String {
    let output = project.run(command, arguments);
    assert_eq!(output.code, Some(0), "{command} {arguments:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}
