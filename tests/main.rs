//! Integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[cfg(all(feature = "cli", feature = "jq", feature = "schema", feature = "sqlite", feature = "file", unix))]
mod bad_folds;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod bad_input;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", feature = "jq", feature = "schema", unix))]
mod checks;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod command_line;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod configuration;
#[cfg(all(feature = "sqlite", feature = "file"))]
mod content;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod cutover;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod disks;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod docs;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod edges;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", feature = "schema", unix))]
mod exactness;
#[cfg(all(feature = "sqlite", feature = "file"))]
mod faults;
#[cfg(feature = "file")]
mod file_store;
mod fold;
#[cfg(unix)]
mod fold_kill;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod following;
#[cfg(all(feature = "file", feature = "jq", feature = "schema", feature = "sqlite"))]
mod fuzz;
mod gate;
#[cfg(all(feature = "sqlite", feature = "file"))]
mod going_on;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod history;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema", unix))]
mod import_replicator;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod in_place;
#[cfg(all(feature = "kurrentdb", feature = "cli", feature = "jq", feature = "schema", unix))]
mod kurrentdb;
#[cfg(all(feature = "sqlite", feature = "file"))]
mod laws;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema", unix))]
mod ledger_history;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema", unix))]
mod map;
#[cfg(any(feature = "sqlite", feature = "file"))]
#[cfg(all(feature = "sqlite", feature = "file", feature = "cli", feature = "jq", feature = "schema"))]
mod mapped;
#[cfg(all(feature = "cli", feature = "jq", feature = "sqlite", feature = "file", unix))]
mod media_types;
mod memory;
mod merges;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod planned;
mod position_map;
#[cfg(all(feature = "postgres", feature = "cli", feature = "sqlite", feature = "file", unix))]
mod postgres;
#[cfg(all(feature = "postgres", feature = "cli", feature = "sqlite", feature = "file", unix))]
// Not to be run with the others of `postgres::`.
#[path = "postgres/child.rs"]
mod postgres_child;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod project;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod projects_in_one_database;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod quarantine;
#[cfg(all(feature = "sqlite", feature = "file"))]
mod ranges;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod rebuild_faults;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod rebuild_kill;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod rebuild_laws;
mod rebuilder;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod replaced_source;
#[cfg(all(feature = "sqlite", feature = "file", unix))]
mod resume;
mod rollups;
#[cfg(all(feature = "sqlite", feature = "file"))]
mod rulebook;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod scheduled;
mod serve;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod shop;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod signals;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod sources;
#[cfg(feature = "sqlite")]
mod sqlite_fence;
#[cfg(all(feature = "sqlite", feature = "file", unix))]
mod sqlite_read_models;
#[cfg(feature = "sqlite")]
mod sqlite_store;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod starter;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod take_over;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod throttle;
#[cfg(all(feature = "cli", feature = "jq", feature = "sqlite", feature = "file", unix))]
mod values;
mod way_back;
