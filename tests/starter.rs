//! `init`, and what its projects are good for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::command_line::{assert_session, eventlift, session};
use super::shop::shop_folder;

fn code(folder: &Path, arguments: &[&str]) -> i32 {
    eventlift(folder, arguments).status.code().unwrap()
}

fn files_in(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_in(&path));
        } else {
            found.insert(path.display().to_string(), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// A line of events, in the usual attributes.
fn line(sequence: usize, event_type: &str, version: u32, data: &str) -> String {
    let schema = format!("urn:schema:{event_type}:{version}");
    format!(
        r#"{{"specversion":"1.0","id":"event-{sequence}","source":"/","type":"{event_type}","subject":"a-{sequence}","time":"2024-05-01T12:00:00Z","dataschema":"{schema}","streamrevision":0,"sequence":"{sequence}","data":{data}}}"#
    ) + "\n"
}

#[test]
fn a_starter_goes_all_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for command in ["init", "check", "plan", "migrate", "verify"] {
        text += &session(folder.path(), &[command]);
        text.push('\n');
    }
    assert_session("starter", &text);
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(code(folder.path(), &["init", "shop"]), 0);
    let before = files_in(folder.path());
    assert_session("starter_twice", &session(folder.path(), &["init", "shop"]));
    assert_eq!(files_in(folder.path()), before);

    // Not even a part is written where one file is in the way.
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("transformers")).unwrap();
    fs::write(other.path().join("transformers/user_created.toml"), "mine").unwrap();
    let refused = session(other.path(), &["init"]);
    assert!(refused.contains("failed to create transformers/user_created.toml: it is there already"), "{refused}");
    assert_eq!(files_in(other.path()).len(), 1);
}

#[test]
fn a_starter_from_a_store_says_what_is_to_be_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(shop_folder().join("events.ndjson"), folder.path().join("events.ndjson")).unwrap();
    let from = ["init", "shop", "--from", "events.ndjson"];
    assert_session("starter_from_the_shop", &session(folder.path(), &from));
    let check = session(folder.path(), &["check", "shop"]);
    assert_session("starter_from_the_shop_check", &check);
    assert_eq!(code(folder.path(), &["plan", "shop"]), 3);
    assert_eq!(code(folder.path(), &["migrate", "shop"]), 3);
    let orders = fs::read_to_string(folder.path().join("shop/transformers/order_placed.toml")).unwrap();
    assert_session("starter_from_the_shop_order_placed", &orders);

    // Each type that stands in several versions is named with each step that is missing.
    let mut versions: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for line in fs::read_to_string(folder.path().join("events.ndjson")).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let (event_type, version) = event["dataschema"].as_str().unwrap().rsplit_once(':').unwrap();
        let event_type = event_type.rsplit(':').next().unwrap().to_owned();
        versions.entry(event_type).or_default().insert(version.parse().unwrap());
    }
    let missing = versions.iter().flat_map(|(event_type, versions)| {
        versions.iter().take(versions.len() - 1).map(move |version| format!("{event_type} version {version},"))
    });
    let missing: Vec<String> = missing.collect();
    assert!(missing.len() >= 7);
    assert!(missing.iter().all(|step| check.contains(step)), "{missing:?}\n{check}");
    assert!(check.contains(&format!("{} problems in the rules", missing.len())));

    // Once they are written, it is a project.
    for name in versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(event_type, _)| event_type) {
        let mut file = String::new();
        for character in name.chars() {
            if character.is_uppercase() && !file.is_empty() {
                file.push('_');
            }
            file.extend(character.to_lowercase());
        }
        let written = fs::read_to_string(shop_folder().join(format!("transformers/{file}.toml"))).unwrap();
        // Of the other types of this shop, the starter knows only those that are in the store.
        let written = written.replace("3 = \"order_placed.3.json\"", "");
        let written = written.split("[[test]]").next().unwrap().replace("type = \"VoucherRedeemed\"\nto = 1\n", "");
        let there = folder.path().join(format!("shop/transformers/{file}.toml"));
        assert!(there.exists(), "{}", there.display());
        if file != "payment_received" {
            fs::write(there, written).unwrap();
        } else {
            let last = written.rsplit_once("[[upcast]]\nfrom = 1\ndata").unwrap().1;
            fs::write(there, format!("type = \"PaymentReceived\"\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata{last}"))
                .unwrap();
        }
    }
    for command in ["check", "plan", "migrate", "verify"] {
        let done = session(folder.path(), &[command, "shop"]);
        assert!(done.ends_with("--- exit code 0\n"), "{done}");
    }
}

#[test]
fn the_steps_of_a_starter_only_have_to_be_uncommented() {
    let folder = tempfile::tempdir().unwrap();
    let quotes = r#"{"it's":"a \"quote\" and a \\","café":10.10}"#;
    let events = [
        line(1, "UserCreated", 1, quotes),
        line(2, "UserCreated", 2, r#"{"n":1}"#),
        line(3, "user_created", 2, "{ \"a\" :\t1}"),
        line(4, "user_created", 4, "[]"),
        line(5, "Current", 1, "{}"),
        line(6, "Current", 2, "null"),
        line(7, "Other", 3, "{}"),
    ];
    fs::write(folder.path().join("events.ndjson"), events.concat()).unwrap();
    // The folder's own events are what it starts from.
    assert_eq!(code(folder.path(), &["init"]), 0);
    let definitions = folder.path().join("transformers");
    assert_eq!(files_in(&definitions).len(), 4, "{:?}", files_in(&definitions).keys());
    assert_eq!(code(folder.path(), &["check"]), 3);
    // A version 3 that no event has ever had can't be asked for by `check`; `plan` misses the step all the same.
    for (path, text) in files_in(&definitions) {
        let mut given = String::new();
        let mut uncommented = String::new();
        let mut is_step = false;
        for line in text.lines() {
            is_step = line == "#" || (is_step && line.starts_with("# "));
            let line = if is_step { line.strip_prefix('#').unwrap().trim_start() } else { line };
            if let Some(data) = line.strip_prefix("given = ") {
                given = data.to_owned();
            }
            uncommented += &line.replace("[{ … }]", "[]").replace("'{ … }'", &given);
            uncommented.push('\n');
        }
        fs::write(path, uncommented).unwrap();
    }
    let check = session(folder.path(), &["check"]);
    assert!(check.contains("3 test cases passed, 0 failed"), "{check}");
    assert_eq!(code(folder.path(), &["plan"]), 0);
    assert_eq!(code(folder.path(), &["migrate"]), 0);
    assert_eq!(code(folder.path(), &["verify"]), 0);
}

#[test]
fn a_step_that_skips_versions_is_missed_by_plan() {
    let folder = tempfile::tempdir().unwrap();
    let events = line(1, "UserCreated", 1, "{}") + &line(2, "UserCreated", 3, "{}");
    fs::write(folder.path().join("events.ndjson"), events).unwrap();
    assert_eq!(code(folder.path(), &["init"]), 0);
    assert_eq!(code(folder.path(), &["check"]), 0);
    let plan = session(folder.path(), &["plan"]);
    assert!(plan.contains("NO CHAIN to the current version 3") && plan.ends_with("--- exit code 7\n"), "{plan}");
    assert_eq!(code(folder.path(), &["migrate"]), 7);
}

#[test]
fn there_has_to_be_a_store_to_start_from() {
    let folder = tempfile::tempdir().unwrap();
    let refused = session(folder.path(), &["init", "--from", "nowhere.ndjson"]);
    assert!(
        refused.contains("error: failed to open file:nowhere.ndjson") && refused.ends_with("exit code 8\n"),
        "{refused}"
    );
    assert_eq!(files_in(folder.path()).len(), 0);
}
