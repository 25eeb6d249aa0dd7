//! The whole story: services write all the time, and events move to the new store and back.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::world::{Connection, New, Row, Service, Side, World, Wrote, renamed};
use crate::project::Project;

const RULE: &str = r#"
type = "UserRenamed"
current = 2

[[upcast]]
from = 1
data = [{ rename = "/name", to = "/full_name" }]
"#;

/// An event without a name has none under the new name either, and the way back is the same.
const REPAIRED: &str = r#"
type = "UserRenamed"
current = 2

[[upcast]]
from = 1
data = [{ rename = "/name", to = "/full_name", optional = true }]
down = [{ rename = "/full_name", to = "/name", optional = true }]
"#;

const SETTINGS: &str = r#"
[policy]
failed_events = "quarantine"

[cutover]
budget = "30s"
switch = [{ command = ["sh", "-c", "echo target > active.new && mv active.new active"] }]
switch_back = [{ command = ["sh", "-c", "echo source > active.new && mv active.new active"] }]
"#;

/// A project that moves the events of a world.
pub(crate) fn project<W: World>(world: &W) -> Project {
    let project = Project::new(&format!("{}{SETTINGS}", world.toml()));
    project.write("transformers/user_renamed.toml", RULE).write("active", "source");
    project
}

/// A command that runs beside the others until it is told to stop.
pub(crate) struct Beside {
    child: Child,
}

impl Beside {
    pub(crate) fn start(project: &Project, command: &str) -> Self {
        let mut program = project.command(command);
        let child = program.args(["--follow", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped());
        Self { child: child.stderr(Stdio::piped()).spawn().unwrap() }
    }

    /// Interrupts it, as Ctrl-C does, and waits for its end.
    pub(crate) fn stop(self) {
        let id = i32::try_from(self.child.id()).unwrap();
        let killed = std::process::Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap();
        assert!(killed.success());
        self.ends();
    }

    /// Waits for its end, which has to be a good one.
    pub(crate) fn ends(self) {
        let output = self.child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 9 | 10)), "{:?} {said}", output.status);
    }
}

/// Waits for something that comes soon on any machine.
pub(crate) fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn holds(connection: &mut dyn Connection, id: &str) -> bool {
    connection.rows().iter().any(|row| row.id == id)
}

/// Runs a command that has to succeed.
#[track_caller]
pub(crate) fn succeeds(project: &Project, command: &str, arguments: &[&str]) -> String {
    let output = project.run(command, arguments);
    assert_eq!(output.code, Some(0), "{command} {arguments:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

/// `eventlift quarantine COMMAND PROJECT`.
fn quarantine(project: &Project, command: &str) -> String {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_eventlift"));
    let output = project.output(program.args(["quarantine", command]).arg(project.folder()));
    assert_eq!(output.code, Some(0), "{command}: {}{}", output.stdout, output.stderr);
    output.stdout
}

/// Tells it from the first plan to the rollback.
pub(crate) fn tell<W: World>(world: &W) {
    let project = project(world);
    let active = project.path("active");
    let service = Service::start(world, &active, 3, Duration::from_millis(4));
    let mut source = world.open(Side::Source);
    wait_for("the first events", || source.rows().len() > 50);

    succeeds(&project, "plan", &[]);
    succeeds(&project, "migrate", &[]);
    let follower = Beside::start(&project, "migrate");
    let mut target = world.open(Side::Target);

    // An event that the rule can't take, and others behind it.
    let bad = New { data: "{\"nick\":\"x\"}".to_owned(), ..renamed(Side::Source, "user-bad", "") };
    let before = renamed(Side::Source, "user-bad", "before");
    let behind = renamed(Side::Source, "user-bad", "behind");
    for event in [&before, &bad, &behind] {
        source.write(event).unwrap();
    }
    let passing = renamed(Side::Source, "user-good", "passes");
    source.write(&passing).unwrap();
    wait_for("the event of another stream", || holds(&mut *target, &passing.id));
    assert!(holds(&mut *target, &before.id) && !holds(&mut *target, &bad.id) && !holds(&mut *target, &behind.id));

    follower.stop();
    let listed = quarantine(&project, "list");
    assert!(listed.contains("user-bad"), "{listed}");
    let refused = project.run("cutover", [] as [&str; 0]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("quarantine"), "{}", refused.stderr);

    project.write("transformers/user_renamed.toml", REPAIRED);
    quarantine(&project, "retry");
    assert!(holds(&mut *target, &bad.id) && holds(&mut *target, &behind.id));
    succeeds(&project, "verify", &[]);

    // The cut-over takes the target from the follower, under load.
    let follower = Beside::start(&project, "migrate");
    // Writers never pause, so the two are never waited for to be equal.
    let written = source.rows().len();
    wait_for("the follower", || target.rows().len() >= written);
    let said = succeeds(&project, "cutover", &[]);
    assert!(said.contains("writers were refused for"), "{said}");
    follower.ends();
    let at_switch = source.rows();
    wait_for("writes to the target", || target.rows().len() > at_switch.len() + 50);
    assert_eq!(source.rows(), at_switch, "nobody writes to the source any more");
    let refused = source.write(&renamed(Side::Source, "user-late", "late")).unwrap_err();
    assert!(refused.contains("moved"), "{refused}");
    let refused = project.run("migrate", [] as [&str; 0]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    // What others have written to the target since is no difference.
    succeeds(&project, "verify", &[]);

    // The old store stays usable, and is gone back to, under load.
    let reverse = Beside::start(&project, "reverse");
    wait_for("events that came back", || source.rows().len() > at_switch.len() + 20);
    reverse.stop();
    succeeds(&project, "rollback", &[]);
    let at_return = source.rows().len();
    wait_for("writes to the source", || source.rows().len() > at_return + 20);
    let written_to_target = target.rows().len();
    let refused_writes = service.refused();
    let wrote = service.end();
    assert!(refused_writes > 0, "the fences have kept nobody out");
    assert_eq!(target.rows().len(), written_to_target, "nobody writes to the target any more");

    let others = [(Side::Source, before), (Side::Source, bad), (Side::Source, behind), (Side::Source, passing)];
    check(&source.rows(), &target.rows(), wrote, others.into());
}

/// Compares what was accepted with what plain SQL finds: nothing lost, nothing twice, every stream in its order and
/// without a gap, and each event in the form of the store that it is in.
fn check(source: &[Row], target: &[Row], wrote: Wrote, others: Vec<(Side, New)>) {
    let mut accepted = wrote.streams;
    for (side, event) in others {
        accepted.entry(event.stream.clone()).or_default().push((side, event));
    }
    let all: usize = accepted.values().map(Vec::len).sum();
    assert_eq!(source.len(), all, "the source holds every accepted event once");
    let streams = by_stream(source);
    for (stream, events) in &accepted {
        let expected: Vec<(String, i64, String)> =
            events.iter().map(|(_, event)| (event.id.clone(), 1, in_version(event, 1))).collect();
        assert_eq!(found(&streams[stream]), expected, "{stream} in the source");
    }
    // The target has everything up to the way back: a stream's first events, all of those that were written to it among them.
    let streams = by_stream(target);
    let mut on_target = 0;
    for (stream, events) in &accepted {
        let rows = &streams[stream];
        let expected: Vec<(String, i64, String)> =
            events.iter().take(rows.len()).map(|(_, event)| (event.id.clone(), 2, in_version(event, 2))).collect();
        assert_eq!(found(rows), expected, "{stream} in the target");
        assert!(events[rows.len()..].iter().all(|(side, _)| *side == Side::Source), "{stream} lacks its own events");
        on_target += events.iter().filter(|(side, _)| *side == Side::Target).count();
    }
    assert!(on_target > 50, "{on_target} events were written to the target");
    assert_eq!(target.len(), streams.values().map(Vec::len).sum::<usize>());
    let ids: BTreeSet<&str> = target.iter().map(|row| &*row.id).collect();
    assert_eq!(ids.len(), target.len(), "an id is in the target twice");
}

fn in_version(event: &New, version: i64) -> String {
    match version {
        1 => event.data.replace("\"full_name\"", "\"name\""),
        _ => event.data.replace("\"name\"", "\"full_name\""),
    }
}

fn found(rows: &[&Row]) -> Vec<(String, i64, String)> {
    let revisions: Vec<i64> = rows.iter().map(|row| row.revision).collect();
    assert_eq!(revisions, (0..rows.len() as i64).collect::<Vec<_>>());
    rows.iter().map(|row| (row.id.clone(), row.version, row.data.clone())).collect()
}

fn by_stream(rows: &[Row]) -> BTreeMap<String, Vec<&Row>> {
    let mut streams: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        streams.entry(row.stream.clone()).or_default().push(row);
    }
    streams
}
