//! Databases, folders and locks that a rebuild can't have.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::bench::{ACCOUNTS, Bench, FROM_FILE, FROM_TARGET, GOOD, good_and, log};

const MORE: (&str, &str) = ("Moved", r#"{"id":"a","amount":1}"#);

fn in_file(name: &str) -> String {
    FROM_FILE.replace("read.db", name)
}

#[test]
fn databases_that_are_none() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("eventlift.toml", in_file("missing/read.db"));
    bench.about("no folder").fails(8, "rebuild p").fails(8, "rebuild p --since").fails(5, "rebuild p --undo");
    std::fs::create_dir(bench.path("folder.db")).unwrap();
    bench.write("eventlift.toml", in_file("folder.db"));
    bench.about("a folder").fails(5, "rebuild p").fails(5, "rebuild p --since").runs("rebuild p --undo");
    bench
        .write("text.db", "this is no database, whatever it is called, and it has to stay what it is")
        .write("eventlift.toml", in_file("text.db"));
    bench.about("no database").fails(5, "rebuild p").runs("rebuild p --undo");
    bench.write("eventlift.toml", in_file("events.ndjson")).about("the source").fails(5, "rebuild p");
    assert_eq!(std::fs::read_to_string(bench.path("events.ndjson")).unwrap(), log(&GOOD));
    bench.write("empty.db", "").write("eventlift.toml", in_file("empty.db")).about("an empty file").works("rebuild p");
    bench.write("eventlift.toml", FROM_FILE).works("rebuild p --all").is_as_built_anew().is("databases");
}

#[test]
fn a_database_that_is_cut_off() {
    let mut bench = Bench::built(FROM_FILE);
    let whole = std::fs::read(bench.path("read.db")).unwrap();
    for (what, bytes) in [
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("its schema overwritten", {
            let mut bytes = whole.clone();
            bytes[100..2_000].fill(0x55);
            bytes
        }),
    ] {
        bench.write("read.db", bytes);
        let _ = std::fs::remove_file(bench.path("read.db-wal"));
        let _ = std::fs::remove_file(bench.path("read.db-shm"));
        bench.about(what);
        for command in ["rebuild p", "rebuild p --since"] {
            let (code, text) = bench.raw(command);
            assert!([4, 5, 8].contains(&code) && !text.contains("panicked"), "{code} {text}");
        }
    }
    bench.write("read.db", whole).works("rebuild p --all").is_as_built_anew().is("cut_off");
}

#[test]
fn a_database_that_is_read_only() {
    let mut bench = Bench::built(FROM_FILE);
    let mode = |mode| std::fs::set_permissions(bench.path("read.db"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o444);
    let path = bench.path("read.db");
    bench.write("events.ndjson", good_and(&[MORE]));
    bench.fails(8, "rebuild p --all").fails(8, "rebuild p --since").works("rebuild p --dry-run --all");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    bench.works("rebuild p --since").is_as_built_anew().is("read_only");
}

#[test]
fn a_database_that_somebody_writes_to() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("events.ndjson", good_and(&[MORE]));
    let other = Connection::open(bench.path("read.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE; UPDATE accounts SET name = 'theirs'").unwrap();
    let begun = Instant::now();
    let (code, text) = bench.raw("rebuild p --since");
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(code, 5, "{text}");
    bench.about(text.trim_end());
    let free = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        other.execute_batch("ROLLBACK").unwrap();
    });
    bench.works("rebuild p --since").is_as_built_anew();
    free.join().unwrap();
    bench.is("written_to");
}

#[test]
fn two_rebuilds_at_once() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("events.ndjson", good_and(&[MORE]));
    bench.quietly("rebuild p --all");
    let held = File::create(bench.path("read.db-accounts-lock")).unwrap();
    held.lock().unwrap();
    for command in ["rebuild p --all", "rebuild p --since", "rebuild p --undo", "rebuild p --drop-old"] {
        let (code, text) = bench.raw(command);
        bench.about(&format!("{command}: {code}\n{text}"));
    }
    bench.quietly("rebuild p --dry-run --all");
    drop(held);
    bench.works("rebuild p --since").is_as_built_anew().is("at_once");
}

#[test]
fn the_folder_that_rows_are_put_aside_in() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("events.ndjson", good_and(&[MORE]));
    let _ = std::fs::remove_dir_all(bench.path(".eventlift"));
    bench.write(".eventlift", "a file").about("a file in its place").fails(8, "rebuild p --all");
    bench.works("rebuild p --since").remove(".eventlift");
    bench.quietly("rebuild p --all");
    let folder = std::fs::read_dir(bench.path(".eventlift/rebuild")).unwrap().next().unwrap().unwrap().path();
    let held = File::options().write(true).open(folder.join("lock")).unwrap();
    held.lock().unwrap();
    bench.about("in use").fails(5, "rebuild p --all");
    drop(held);
    for name in ["worker-000.db", "worker-001.db", "worker-999.db"] {
        std::fs::write(folder.join(name), "no database").unwrap();
    }
    bench.about("what was left in it is damaged").works("rebuild p --all").is_as_built_anew();
    std::fs::create_dir(folder.join("worker-000.db")).unwrap();
    bench.about("a folder where a file was left").fails(8, "rebuild p --all");
    std::fs::remove_dir(folder.join("worker-000.db")).unwrap();
    bench.works("rebuild p --all").is_as_built_anew().is("folder");
}

#[test]
fn read_models_in_the_database_of_the_events() {
    let mut bench = Bench::new(&FROM_TARGET.replace("read.db", "target.db"));
    bench.write("events.ndjson", log(&GOOD)).write("projections/accounts.toml", ACCOUNTS);
    bench.runs("migrate p").runs("rebuild p --all").works("verify p");
    bench.write("events.ndjson", good_and(&[MORE])).runs("migrate p").works("verify p");
    bench.about("a table that is called as one of the events");
    for table in ["events", "eventlift_runs", "eventlift_projections", "sqlite_master"] {
        bench.write("projections/accounts.toml", ACCOUNTS.replace("table.accounts", &format!("table.{table}")));
        bench.runs("rebuild p --all");
    }
    bench.write("projections/accounts.toml", ACCOUNTS).works("rebuild p --all").works("verify p");
    bench.about("a source in a database").write("eventlift.toml", "[source]\nstore = \"sqlite\"\npath = \"target.db\"\n\n[read_models]\nstore = \"sqlite\"\npath = \"target.db\"\n");
    bench.runs("rebuild p --all").is("same_database");
}

#[test]
fn into_a_database_that_is_somebody_elses() {
    let mut bench = Bench::built(FROM_FILE);
    let other = Connection::open(bench.path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE users (id TEXT); INSERT INTO users VALUES ('u')").unwrap();
    bench.works("rebuild p --all --into p/other.db");
    assert_eq!(other.query_row("SELECT id FROM users", [], |row| row.get::<_, String>(0)).unwrap(), "u");
    bench
        .fails(5, "rebuild p --into p/events.ndjson")
        .fails(5, "rebuild p --into p")
        .fails(8, "rebuild p --into nowhere/read.db");
    bench.works("rebuild p --since --into p/other.db").is("into");
}
