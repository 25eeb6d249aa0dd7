//! Cut-overs that must not be, and what is said of them.

use super::story;
use super::world::{Side, Sqlite, World, renamed};
use crate::project::Project;

const NOTHING: [&str; 0] = [];

fn scene() -> (Sqlite, Project) {
    let world = Sqlite::new();
    let project = story::project(&world);
    let mut source = world.open(Side::Source);
    for number in 0..20 {
        source.write(&renamed(Side::Source, &format!("user-{}", number % 3), "x")).unwrap();
    }
    (world, project)
}

#[test]
fn without_a_migration_there_is_nothing_to_switch_to() {
    let (world, project) = scene();
    let said = project.run("cutover", NOTHING);
    let target = world.path(Side::Target);
    let target = target.display();
    said.fails(
        5,
        &format!(
            "error: refused: sqlite:{target} can't be cut over to, since no run has filled it yet\n\
             hint: bring everything over first: `eventlift migrate`, and `--follow` to stay close to the source"
        ),
    );
    assert!(world.open(Side::Source).write(&renamed(Side::Source, "user-1", "still writes")).is_ok());
}

#[test]
fn a_store_without_a_fence_needs_hooks_or_a_word() {
    let project = Project::new(crate::project::FILE_TO_SQLITE);
    let event = r#"{"specversion":"1.0","id":"1","source":"x","type":"A","subject":"a-1","time":"2024-05-01T12:00:00Z","dataschema":"urn:schema:A:1","sequence":"00000000000000000000","streamrevision":0}"#;
    project.write("events.ndjson", format!("{event}\n"));
    story::succeeds(&project, "migrate", &[]);
    project.run("cutover", NOTHING).fails(
        5,
        "error: failed to fence file:PROJECT/events.ndjson: such a store has no fence of its own\n\
         hint: name hooks that fence it and lift the fence under [cutover], or stop all writers and add --fenced",
    );
    let said = story::succeeds(&project, "cutover", &["--fenced"]);
    assert!(said.contains("writers had been stopped before"), "{said}");
    let again = story::succeeds(&project, "cutover", &["--fenced"]);
    assert!(again.contains("nothing was left to do"), "{again}");
    // The session is told as what it was, and how it ended.
    let told = story::succeeds(&project, "runs", &["show"]);
    let session = told.lines().find(|line| line.trim_start().starts_with("cutover started")).unwrap();
    assert!(session.ends_with(": done"), "{told}");
    // A log of somebody else's takes nothing back, and need not where nothing came since.
    let back = story::succeeds(&project, "rollback", &[]);
    assert!(back.contains("writers use the source"), "{back}");
}

#[test]
fn a_run_is_taken_back_by_its_own_project_only() {
    let (world, project) = scene();
    story::succeeds(&project, "migrate", &[]);
    let other = Sqlite::new();
    let mine = project.read("eventlift.toml");
    let toml = String::from_utf8(mine.clone()).unwrap();
    let (old, new) = (world.path(Side::Source), other.path(Side::Source));
    project.write("eventlift.toml", toml.replace(&format!("{old:?}"), &format!("{new:?}")));
    let refused = project.run("rollback", ["--yes"]);
    assert_eq!(refused.code, Some(5));
    assert!(
        refused.stderr.contains("has filled") && refused.stderr.contains("roll back in the project"),
        "{}",
        refused.stderr
    );

    project.write("eventlift.toml", mine);
    let refused = project.run("rollback", NOTHING);
    assert_eq!(refused.code, Some(5));
    assert!(refused.stderr.contains("this takes 20 events out of"), "{}", refused.stderr);
    assert_eq!(world.open(Side::Target).rows().len(), 20);
    let said = story::succeeds(&project, "rollback", &["--yes"]);
    assert!(said.contains("20 events were taken out"), "{said}");
    assert_eq!(world.open(Side::Target).rows(), []);
    let again = story::succeeds(&project, "rollback", &["--yes"]);
    assert!(again.contains("nothing was left to do"), "{again}");
    // And then it can be done again, as if it had never been.
    story::succeeds(&project, "migrate", &[]);
    story::succeeds(&project, "verify", &[]);
    assert_eq!(world.open(Side::Target).rows().len(), 20);
}

#[test]
fn before_the_cut_over_events_of_others_are_not_taken_out() {
    let (world, project) = scene();
    story::succeeds(&project, "migrate", &[]);
    world.open(Side::Target).write(&renamed(Side::Target, "user-1", "not ours")).unwrap();
    let refused = project.run("rollback", ["--yes"]);
    assert_eq!(refused.code, Some(5));
    assert!(refused.stderr.contains("holds events that the run did not write"), "{}", refused.stderr);
    assert_eq!(world.open(Side::Target).rows().len(), 21);
}

#[test]
fn what_has_no_way_back_is_listed_and_stays() {
    let (world, project) = scene();
    let rule = "type = \"UserRenamed\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/full_name\" }, { remove = \"/n\" }]\n";
    project.write("transformers/user_renamed.toml", rule);
    story::succeeds(&project, "migrate", &[]);
    story::succeeds(&project, "cutover", &[]);
    let refused = project.run("reverse", NOTHING);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("failed to turn the rules round") && refused.stderr.contains("user_renamed.toml"),
        "{}",
        refused.stderr
    );
    let written = renamed(Side::Target, "user-1", "new");
    world.open(Side::Target).write(&written).unwrap();
    let refused = project.run("rollback", NOTHING);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("1 events were written to")
            && refused.stderr.contains("UserRenamed RUN (user-1, revision 7)"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("user-1"), "{}", refused.stderr);
    // Nobody was kept out by that.
    world.open(Side::Target).write(&renamed(Side::Target, "user-1", "and another")).unwrap();
}

#[test]
fn without_writes_since_the_way_back_needs_no_inverse() {
    let (world, project) = scene();
    let rule = "type = \"UserRenamed\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/name\", to = \"/full_name\" }, { remove = \"/n\" }]\n";
    project.write("transformers/user_renamed.toml", rule);
    story::succeeds(&project, "migrate", &[]);
    story::succeeds(&project, "cutover", &[]);
    let said = story::succeeds(&project, "rollback", &[]);
    assert!(said.contains("writers use the source"), "{said}");
    world.open(Side::Source).write(&renamed(Side::Source, "user-1", "back")).unwrap();
}

#[test]
fn wrong_settings_are_named_with_their_line() {
    let (_, project) = scene();
    let toml = String::from_utf8(project.read("eventlift.toml")).unwrap();
    let start = toml.split("[policy]").next().unwrap();
    for (settings, said) in [
        ("budget = \"soon\"", "[cutover] budget: \"soon\" is no length of time"),
        ("switch = [{ sql = \"SELECT 1\" }]", "[cutover] switch: a hook with `sql` says on which store"),
        ("switch = [{ command = [] }]", "[cutover] switch: `command` is empty"),
        ("switch = [{ webhook = \"ftp://x\" }]", "[cutover] switch: `webhook` is no URL"),
        ("switch = [{ command = [\"a\"], sql = \"b\", on = \"source\" }]", "[cutover] switch: a hook is one of"),
        ("fence = [{ command = [\"a\"] }]", "[cutover] lift: `fence` has hooks, and `lift` has none"),
        ("switch = [{ command = [\"a\"], on = \"source\" }]", "[cutover] switch: `on` goes with `sql` only"),
    ] {
        project.write("eventlift.toml", format!("{start}[cutover]\n{settings}\n"));
        let output = project.run("cutover", NOTHING);
        assert_eq!(output.code, Some(3), "{}", output.stderr);
        assert!(output.stderr.contains(said), "{settings}: {}", output.stderr);
    }
}
