//! Fuzzing: whatever comes in, nothing panics, nothing hangs, and where there is a reference, nothing differs from it.
//!
//! A target takes any bytes. Every run of the suite replays the corpus (`corpus/TARGET/`) and a few thousand inputs made
//! of it, the same each time; `cargo xtask fuzz MINUTES` goes on with others. What a target makes of an input decides
//! whether others are made of that one: those that end in a way not seen before are kept while it runs.

mod definitions;
mod engine;
mod event_file;
mod folds;
mod jq;
mod json_editing;
mod ledger;
mod positions;
mod rows;

use engine::Target;

/// Every target there is.
const TARGETS: [Target; 8] = [
    definitions::TARGET,
    event_file::TARGET,
    folds::TARGET,
    jq::TARGET,
    json_editing::TARGET,
    ledger::TARGET,
    positions::TARGET,
    rows::TARGET,
];

fn replay(target: &Target) {
    engine::replay(target);
    engine::run_some(target, target.always);
}

#[test]
fn definitions_of_any_kind_are_read_or_refused() {
    replay(&definitions::TARGET);
}

#[test]
fn files_of_events_of_any_kind_are_read_or_refused() {
    replay(&event_file::TARGET);
}

#[test]
fn filters_in_jq_of_any_kind_yield_json_or_fail() {
    replay(&jq::TARGET);
}

#[test]
fn editing_json_is_what_editing_its_value_is() {
    replay(&json_editing::TARGET);
}

#[test]
fn ledgers_with_any_rows_are_read_or_refused() {
    replay(&ledger::TARGET);
}

#[test]
fn folds_of_any_events_come_to_what_the_trivial_fold_does() {
    replay(&folds::TARGET);
}

#[test]
fn position_maps_say_what_the_events_say() {
    replay(&positions::TARGET);
}

#[test]
fn rows_of_any_bytes_are_read_or_refused() {
    replay(&rows::TARGET);
}

/// Run by `cargo xtask fuzz`.
#[test]
#[ignore = "takes as long as it is told to"]
fn fuzz_for_a_while() {
    let seconds = std::env::var("EVENTLIFT_FUZZ_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let each = std::time::Duration::from_secs(seconds) / TARGETS.len() as u32;
    let failed: Vec<String> = TARGETS.iter().filter_map(|target| engine::run_for(target, each).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
