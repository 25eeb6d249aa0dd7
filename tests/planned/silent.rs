//! Rules that take no event.

use crate::project::{FILE_TO_SQLITE, Project};

const EVENT: &str = "{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"urn:test\",\"type\":\"UserCreated\",\"subject\":\"user-1\",\
                     \"time\":\"2024-05-01T12:00:00Z\",\"sequence\":1,\"streamrevision\":0,\"data\":{\"email\":\"a@b\",\"n\":1}}\n";

fn rule(name: &str, event_type: &str, rest: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nmatch = {{ types = [\"{event_type}*\"] }}\n{rest}\n")
}

fn project(rules: &str) -> Project {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", EVENT).write("transformers/r.toml", rules);
    project
}

const REDACT: &str = "data = [{ redact = \"/email\" }]";

#[test]
fn a_redaction_with_a_mistake_in_its_name_is_refused_before_and_behind() {
    let project = project(&rule("forget", "UserCraeted", REDACT));
    let message = "forget (transformers/r.toml:1) redacts, and took no event: correct what is matched, or say `may_match_nothing = true`";
    let plan = project.run("plan", [] as [&str; 0]);
    assert_eq!(plan.code, Some(7), "{plan:?}");
    assert!(plan.stdout.contains("note: forget (transformers/r.toml:1) took no event\n"), "{plan:?}");
    assert!(plan.stdout.contains(message), "{plan:?}");
    let done = project.migrate();
    assert_eq!(done.code, Some(7), "{done:?}");
    assert!(done.stdout.contains(&format!("refused, though all of it is in: {message}\n")), "{done:?}");
    let again = project.migrate();
    assert_eq!(again.code, Some(7), "it stays so: {again:?}");
    // Said to be meant, or corrected, it is none.
    project.write("transformers/r.toml", rule("forget", "UserCraeted", &format!("{REDACT}\nmay_match_nothing = true")));
    let plan = project.run("plan", [] as [&str; 0]).succeeds();
    assert!(!plan.contains("took no event"), "{plan}");
    project.migrate().succeeds();
}

#[test]
fn a_part_of_a_source_need_not_hold_what_is_redacted() {
    let project = project(&(rule("forget", "Gone", REDACT) + &rule("other", "UserC", "data = [{ remove = \"/n\" }]")));
    for command in ["plan", "migrate"] {
        let said = project.run(command, ["--category", "user"]).succeeds();
        assert!(said.contains("note: forget (transformers/r.toml:1) took no event"), "{said}");
        assert!(!said.contains("other ("), "{said}");
    }
    let said = project.run("plan", ["--type", "UserCreated", "--type", "UserGone"]).stdout;
    assert!(said.contains("note: --type UserGone: the source holds no such event"), "{said}");
}

#[test]
fn what_was_taken_by_an_earlier_start_counts() {
    let project = project(&rule("forget", "UserCreated", REDACT));
    project.migrate().succeeds();
    let more = EVENT.replace("e-1", "e-2").replace("UserCreated", "Other").replace("\"sequence\":1", "\"sequence\":2");
    project.write("events.ndjson", EVENT.to_owned() + &more.replace("user-1", "user-2"));
    for command in ["plan", "migrate"] {
        let said = project.run(command, [] as [&str; 0]).succeeds();
        assert!(!said.contains("took no event"), "{said}");
    }
}

#[test]
fn nothing_is_refused_of_a_source_that_holds_nothing() {
    let project = project(&rule("forget", "UserCreated", REDACT));
    project.write("events.ndjson", "");
    project.run("plan", [] as [&str; 0]).succeeds();
    project.migrate().succeeds();
}
