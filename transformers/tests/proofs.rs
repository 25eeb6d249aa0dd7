//! What a registry refuses to be built from: each message against its golden file.
//!
//! With `UPDATE_GOLDEN=1` the files are written instead; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use eventlift_events::Event;
use eventlift_transformers::{Reason, Registry, RegistryBuilder, Rule, Upcaster};

fn same(event: Event) -> Result<Event, Reason> {
    Ok(event)
}

#[track_caller]
fn up(event_type: &str, from: u32, to: u32) -> Upcaster {
    Upcaster::new(event_type, from, to, "1", same)
}

/// Compares the message with `tests/golden/registry/<name>.txt`. Lines of this file are given relative to the line
/// of the call, so that the golden files outlive edits above.
#[track_caller]
fn refused(name: &str, builder: RegistryBuilder) {
    let here = std::panic::Location::caller().line();
    let message = builder.build().err().unwrap().to_string();
    let mut relative = String::new();
    for (index, piece) in message.split("tests/proofs.rs:").enumerate() {
        if index == 0 {
            relative.push_str(piece.trim_end_matches("transformers/"));
            continue;
        }
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let line: i64 = piece[..digits].parse().unwrap();
        let rest = piece[digits..].trim_end_matches("transformers/");
        relative.push_str(&format!("proofs.rs:{:+}{rest}", line - i64::from(here)));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/registry").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, relative + "\n").unwrap();
        return;
    }
    assert_eq!(relative + "\n", std::fs::read_to_string(&path).unwrap(), "{}", path.display());
}

#[test]
fn a_missing_step() {
    refused("missing_step", Registry::builder().current("A", 3).upcaster(up("A", 1, 2)));
}

#[test]
fn a_missing_old_version() {
    refused("missing_old_version", Registry::builder().current("A", 3).oldest("A", 1).upcaster(up("A", 2, 3)));
}

#[test]
fn an_oldest_version_of_nothing() {
    refused("oldest_undeclared", Registry::builder().oldest("A", 1).current("B", 1).oldest("B", 2));
}

#[test]
fn an_ambiguity() {
    let builder = Registry::builder().current("A", 2).upcaster(up("A", 1, 2)).upcaster(up("A", 1, 2));
    refused("ambiguous", builder);
}

#[test]
fn conditions_without_a_fallback() {
    let guarded = || up("A", 1, 2).when(|_| Ok(true));
    refused("no_fallback", Registry::builder().current("A", 2).upcaster(guarded()).upcaster(guarded()));
}

#[test]
fn a_condition_behind_the_fallback() {
    let behind = up("A", 1, 2).when(|_| Ok(true));
    refused("behind_the_fallback", Registry::builder().current("A", 2).upcaster(up("A", 1, 2)).upcaster(behind));
}

#[test]
fn cycles() {
    let builder = Registry::builder()
        .current("A", 3)
        .current("B", 3)
        .upcaster(up("A", 1, 1))
        .upcaster(up("A", 2, 2).into_schemas([("B", 1), ("A", 3)]))
        .upcaster(up("B", 1, 2))
        .upcaster(up("B", 2, 1).into_schemas([("A", 2)]));
    refused("cycles", builder);
}

#[test]
fn a_rule_from_the_current_version() {
    refused("from_current", Registry::builder().current("A", 2).upcaster(up("A", 2, 3)).upcaster(up("A", 1, 2)));
}

#[test]
fn a_rule_below_the_oldest_version() {
    let builder = Registry::builder().current("A", 3).oldest("A", 2).upcaster(up("A", 1, 2)).upcaster(up("A", 2, 3));
    refused("below_oldest", builder);
}

#[test]
fn a_chain_that_ends_past_the_current_version() {
    refused("past_current", Registry::builder().current("A", 2).upcaster(up("A", 1, 3)));
}

#[test]
fn types_that_are_not_declared() {
    let builder = Registry::builder()
        .current("UserCreated", 2)
        .upcaster(up("UserCreatd", 1, 2))
        .upcaster(up("Other", 1, 2))
        .upcaster(up("UserCreated", 1, 2).into_schemas([("UserCreated", 2), ("UsersCreated", 1)]))
        .rule(Rule::new("rename", "1", same).types(["UserCraeted", "User*"]).into_types(["UserMade", "userCreated"]));
    refused("undeclared", builder);
}

#[test]
fn a_retired_type_that_lives_on() {
    let builder = Registry::builder().retired("A").retired("B").upcaster(up("A", 1, 2));
    refused("retired", builder);
}

#[test]
fn names_and_declarations_given_twice() {
    let builder = Registry::builder()
        .current("A", 2)
        .current("A", 3)
        .upcaster(up("A", 1, 2).named("twice"))
        .rule(Rule::new("twice", "1", same))
        .rule(Rule::new("", "1", same));
    refused("twice", builder);
}

#[test]
fn versions_and_types_that_cannot_be() {
    let builder = Registry::builder().current("", 1).current("A", 0).upcaster(up("B", 0, 1)).upcaster(up("", 1, 2));
    refused("impossible", builder);
}

#[test]
fn rules_that_are_restricted_to_nothing() {
    let none: [&str; 0] = [];
    let builder = Registry::builder()
        .current("A", 1)
        .rule(Rule::new("types", "1", same).types(none))
        .rule(Rule::new("categories", "1", same).categories(none))
        .rule(Rule::new("versions", "1", same).versions([]))
        .rule(Rule::new("dash", "1", same).categories(["order-1", ""]));
    refused("restricted_to_none", builder);
}

#[test]
fn a_version_passed_over_needs_no_upcaster() {
    assert!(Registry::builder().current("A", 3).upcaster(up("A", 1, 3)).build().is_ok());
    let retired = Registry::builder().retired("A").current("B", 1).upcaster(up("A", 1, 2).into_schemas([("B", 1)]));
    assert!(retired.build().is_ok());
}
