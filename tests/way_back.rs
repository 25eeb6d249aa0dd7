//! `[reverse]`: what `check` and `plan` say about the way back.

use super::project::{FILE_TO_SQLITE, Project};

const NOTHING: [&str; 0] = [];

fn project(rule: &str) -> Project {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n[reverse]\nenabled = true\n"));
    let event = r#"{"specversion":"1.0","id":"e-1","source":"/","type":"A","subject":"a-1","time":"2024-05-01T12:00:00Z","dataschema":"urn:schema:A:1","streamrevision":0,"sequence":"1","data":{"a":"x"}}"#;
    project.write("events.ndjson", format!("{event}\n"));
    project.write("transformers/a.toml", format!("type = 'A'\ncurrent = 2\n[[upcast]]\nfrom = 1\n{rule}\n"));
    project
}

#[test]
fn rules_with_a_way_back_pass() {
    let project =
        project("data = [{ rename = '/a', to = '/b' }]\n[[upcast.test]]\ngiven = '{\"a\":1}'\nthen = '{\"b\":1}'");
    let check = project.run("check", NOTHING);
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    assert!(
        check.stdout.contains("test, there and back") && check.stdout.contains("every rule has a way back"),
        "{}",
        check.stdout
    );
    let plan = project.run("plan", NOTHING);
    assert_eq!(plan.code, Some(0), "{}", plan.stdout);
    assert!(plan.stdout.contains("a reverse stream is possible: every rule has a way back"), "{}", plan.stdout);
}

#[test]
fn rules_without_one_are_refused_and_listed() {
    let project = project("data = [{ remove = '/a' }]\nmetadata = [{ redact = '/ip', optional = true }]");
    let check = project.run("check", NOTHING);
    assert_ne!(check.code, Some(0));
    for part in [
        "no way back: transformers/a.toml:3: A 1 → 2: data, operation 1 (remove): what it removes is gone",
        "metadata, operation 1 (redact)",
        "hint: say what the way back does",
    ] {
        assert!(check.stdout.contains(part), "{part}: {}", check.stdout);
    }
    let plan = project.run("plan", NOTHING);
    assert_ne!(plan.code, Some(0));
    for part in ["a reverse stream is not possible", "2 steps of rules have no way back, which [reverse] asks for"] {
        assert!(plan.stdout.contains(part), "{part}: {}", plan.stdout);
    }
    // Only a project that asks for it is refused.
    project.write("eventlift.toml", FILE_TO_SQLITE);
    assert_eq!(project.run("check", NOTHING).code, Some(0));
    assert_eq!(project.run("plan", NOTHING).code, Some(0));
}

#[test]
fn a_way_back_that_loses_something_fails_its_test_case() {
    let rule =
        "data = [{ remove = '/a' }]\ndown = []\n[[upcast.test]]\nname = 'gone'\ngiven = '{\"a\":1}'\nthen = '{}'";
    let project = project(rule);
    let check = project.run("check", NOTHING);
    assert_ne!(check.code, Some(0));
    assert!(check.stdout.contains("FAILED  gone, there and back"), "{}", check.stdout);
    project.write(
        "transformers/a.toml",
        format!(
            "type = 'A'\ncurrent = 2\n[[upcast]]\nfrom = 1\n{}\n",
            rule.replace("down = []", "down = { data = [], lossy = true }")
        ),
    );
    assert_eq!(project.run("check", NOTHING).code, Some(0));
}
