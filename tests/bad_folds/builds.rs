//! Live tables that somebody has altered, builds that are not there, sources that are not what they were.

use super::bench::{ACCOUNTS, Bench, FROM_FILE, FROM_TARGET, GOOD, good_and, log};

const MORE: (&str, &str) = ("Moved", r#"{"id":"a","amount":1}"#);

#[test]
fn a_live_table_that_was_altered() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("events.ndjson", good_and(&[MORE]));
    for (what, sql) in [
        ("dropped", "DROP TABLE accounts"),
        ("a column more", "ALTER TABLE accounts ADD COLUMN extra TEXT"),
        ("a column less", "ALTER TABLE accounts DROP COLUMN notes"),
        ("a column of another name", "ALTER TABLE accounts RENAME COLUMN name TO title"),
        ("a table of another name", "ALTER TABLE accounts RENAME TO elsewhere"),
        ("a view in its place", "DROP TABLE accounts; CREATE VIEW accounts AS SELECT 1 AS id"),
    ] {
        bench.execute(sql).about(what).fails(5, "rebuild p --since").runs("rebuild p").runs("rebuild p --all");
        if what.starts_with("a view") {
            bench.execute("DROP VIEW accounts");
        }
        bench.quietly("rebuild p --all");
        bench.is_as_built_anew();
        bench.execute("DROP TABLE IF EXISTS elsewhere");
        bench.quietly("rebuild p --all");
    }
    bench.about("rows that somebody has changed").execute("DELETE FROM accounts; ");
    bench
        .write("events.ndjson", good_and(&[MORE, MORE]))
        .works("rebuild p --since")
        .shows("SELECT id, moves, balance__exact FROM accounts");
    bench.works("rebuild p --all").is_as_built_anew().is("altered");
}

#[test]
fn tables_that_are_somebody_elses() {
    let mut bench = Bench::built(FROM_FILE);
    bench.remove("read.db");
    bench.execute("CREATE TABLE accounts (id TEXT); INSERT INTO accounts VALUES ('theirs')");
    bench.fails(5, "rebuild p").fails(5, "rebuild p --all").shows("SELECT * FROM accounts");
    bench.runs("rebuild p --undo").runs("rebuild p --drop-old").shows("SELECT * FROM accounts");
    bench.execute("DROP TABLE accounts; CREATE TABLE accounts__next (id TEXT)");
    bench.about("the name of a shadow");
    let said = bench.quietly("check p");
    assert!(!said.contains("accounts__next"));
    bench.runs("rebuild p");
    bench.execute("DROP TABLE IF EXISTS accounts__next; DROP TABLE IF EXISTS accounts__previous");
    bench.runs("rebuild p --all").is_as_built_anew().is("foreign");
}

#[test]
fn undone_twice_and_dropped_twice() {
    let mut bench = Bench::new(FROM_FILE);
    bench.write("events.ndjson", log(&GOOD)).write("projections/accounts.toml", ACCOUNTS);
    bench.fails(5, "rebuild p --since").fails(5, "rebuild p --undo").works("rebuild p --drop-old");
    bench
        .works("rebuild p")
        .fails(5, "rebuild p --undo")
        .fails(5, "rebuild p accounts --undo")
        .works("rebuild p --drop-old");
    bench.works("rebuild p --all").works("rebuild p --undo").works("rebuild p --undo");
    bench.works("rebuild p --drop-old").works("rebuild p --drop-old").fails(5, "rebuild p --undo");
    bench.is_as_built_anew().is("undo");
}

#[test]
fn sources_that_are_not_what_they_were() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("events.ndjson", log(&GOOD[..2])).about("shorter than the checkpoint");
    bench.fails(5, "rebuild p --since");
    bench.write("events.ndjson", "").about("empty").fails(5, "rebuild p --since");
    bench.remove("events.ndjson").about("not there").fails(8, "rebuild p --since").fails(8, "rebuild p --all");
    bench
        .write("events.ndjson", log(&GOOD) + "{\"half a li")
        .about("broken")
        .fails(4, "rebuild p --since")
        .fails(4, "rebuild p --all");
    bench.write("events.ndjson", log(&GOOD)).about("as it was").works("rebuild p --since").is_as_built_anew();
    bench.is("sources");
}

#[test]
fn targets_that_are_not_migrated() {
    let mut bench = Bench::new(FROM_TARGET);
    bench.write("events.ndjson", log(&GOOD)).write("projections/accounts.toml", ACCOUNTS);
    bench.fails(5, "rebuild p").fails(5, "rebuild p --since").works("rebuild p --from source");
    bench.about("a run that has not ended");
    bench.write("events.ndjson", good_and(&[("Moved", r#"{"id":"a"}"#)]));
    let upcast =
        "type = \"Moved\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ rename = \"/amount\", to = \"/sum\" }]\n";
    bench.write("transformers/moved.toml", upcast);
    bench.runs("migrate p --events-only").fails(5, "rebuild p").fails(5, "rebuild p --since --from target");
    let optional = upcast.replace("to = \"/sum\"", "to = \"/sum\", optional = true");
    bench.write("transformers/moved.toml", optional);
    bench.write(
        "projections/accounts.toml",
        ACCOUNTS.replace("event = \"Moved\"\nversion = 1", "event = \"Moved\"\nversion = 2"),
    );
    bench.runs("migrate p --accept-changes").works("rebuild p --all").is_as_built_anew().is("not_migrated");
}
