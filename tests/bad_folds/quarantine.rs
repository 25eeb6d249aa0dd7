//! The policy `quarantine`: what can't be folded is recorded, its row waits, the others go on.

use super::bench::{ACCOUNTS, Bench, FROM_FILE, FROM_TARGET, good_and};

const QUARANTINE: &str = "\n[rebuild]\non_failure = \"quarantine\"\n";

const BAD: [(&str, &str); 5] = [
    ("Moved", r#"{"id":"a","amount":"ten"}"#),
    ("Moved", r#"{"amount":1}"#),
    ("Moved", r#"{"id":"b","amount":1}"#),
    ("Moved", r#"{"id":"a","amount":1}"#),
    ("Moved", r#"{"id":"b","count":9223372036854775807}"#),
];

/// A definition that takes all of them.
fn corrected() -> String {
    ACCOUNTS
        .replace("data = \"/amount\"", "jq = \".event.data.amount|numbers\"")
        .replace("moves = { data = \"/count\", default = 1 }", "moves = 1")
        .replace(
            "event = \"Moved\"\nversion = 1",
            "event = \"Moved\"\nversion = 1\nwhen = { path = \"/id\", exists = true }",
        )
}

const TABLES: [&str; 2] = [
    "SELECT id, moves, balance__exact FROM accounts",
    "SELECT projection, held_table, id, stream, revision, position, reason FROM eventlift_quarantine",
];

#[test]
fn a_rebuild_and_an_update_record_the_same() {
    let mut bench = Bench::built(&format!("{FROM_FILE}{QUARANTINE}"));
    bench.write("events.ndjson", good_and(&BAD));
    bench.works("rebuild p --since").works("rebuild p --since --json");
    bench.shows(TABLES[0]).shows(TABLES[1]);
    let updated: Vec<Vec<String>> = TABLES.iter().map(|table| bench.query(table)).collect();
    bench.works("rebuild p --all --dry-run").works("rebuild p --all").works("rebuild p --all --json");
    bench.execute(
        "DELETE FROM eventlift_quarantine WHERE generation < (SELECT max(generation) FROM eventlift_quarantine)",
    );
    let rebuilt: Vec<Vec<String>> = TABLES.iter().map(|table| bench.query(table)).collect();
    assert_eq!(updated, rebuilt);
    bench.about("later events of a row that waits, wait as well");
    bench.write(
        "events.ndjson",
        good_and(&[&BAD[..], &[("Moved", r#"{"id":"a","amount":5}"#), ("Moved", r#"{"id":"c"}"#)]].concat()),
    );
    bench.works("rebuild p --since");
    bench.shows(TABLES[0]).shows(TABLES[1]);
    bench.about("corrected").write("projections/accounts.toml", corrected());
    bench.works("rebuild p").shows(TABLES[0]).shows("SELECT count(*) FROM eventlift_quarantine q JOIN eventlift_projections p USING (projection, generation) WHERE side = 'live'");
    bench.is_as_built_anew();
    bench.write("eventlift.toml", FROM_FILE);
    bench.about("with the policy stop").works("rebuild p --all").is_as_built_anew().is("quarantine");
}

#[test]
fn a_migration_with_quarantine() {
    let mut bench = Bench::new(&format!("{FROM_TARGET}{QUARANTINE}"));
    bench.write("events.ndjson", good_and(&BAD)).write("projections/accounts.toml", ACCOUNTS);
    bench.runs("migrate p").runs("verify p").runs("status p").runs("migrate p --json").is("quarantine_migrate");
}

#[test]
fn more_than_anybody_would_look_at() {
    let mut bench = Bench::built(&format!("{FROM_FILE}{QUARANTINE}"));
    bench.write("events.ndjson", good_and(&vec![BAD[1]; 100_001]));
    bench.fails(5, "rebuild p --all").is("quarantine_many");
}

/// An event that two clauses make something of the same row with.
#[test]
fn one_record_for_each_row_of_an_event() {
    let definition =
        format!("{ACCOUNTS}\n[[on]]\nevent = \"Moved\"\nversion = 1\nkey = \"/id\"\nset = {{ name = \"/name\" }}\n");
    let mut bench = Bench::new(&format!("{FROM_FILE}{QUARANTINE}"));
    bench.write("events.ndjson", good_and(&[])).write("projections/accounts.toml", definition);
    bench.quietly("rebuild p");
    bench.write("events.ndjson", good_and(&BAD));
    bench.quietly("rebuild p --since");
    let updated = [bench.query(TABLES[0]), bench.query(TABLES[1])];
    bench.quietly("rebuild p --all");
    bench.execute("DELETE FROM eventlift_quarantine WHERE generation = 1");
    assert_eq!(updated, [bench.query(TABLES[0]), bench.query(TABLES[1])]);
    assert_eq!(updated[1].len(), 4);
}

const SUMS: &str = r#"
[table.sums]
of = "accounts"
key = "name"
columns = { name = "text", members = "integer", moves = "integer" }
count = "members"
sum = { moves = "moves" }
"#;

/// Rows that would be left out of a sum are no events: there is nothing to put in quarantine.
#[test]
fn a_sum_of_rows_that_does_not_fit_stops_with_either_policy() {
    let events = [
        ("Opened", r#"{"id":"x","name":"N"}"#),
        ("Opened", r#"{"id":"y","name":"N"}"#),
        ("Moved", r#"{"id":"x","count":9223372036854775807}"#),
    ];
    let over = ("Moved", r#"{"id":"y","count":1}"#);
    let definition = format!("{}{SUMS}", ACCOUNTS.replace("key = \"/id\"", "table = \"accounts\"\nkey = \"/id\""));
    for toml in [FROM_FILE.to_owned(), format!("{FROM_FILE}{QUARANTINE}")] {
        let mut bench = Bench::new(&toml);
        bench.write("events.ndjson", good_and(&events)).write("projections/accounts.toml", &definition);
        bench.works("rebuild p").shows("SELECT * FROM sums");
        bench.write("events.ndjson", good_and(&[&events[..], &[over]].concat()));
        bench.fails(7, "rebuild p --since").fails(7, "rebuild p --all").shows("SELECT * FROM sums");
        let numeric = definition.replace("moves = \"integer\"", "moves = \"numeric\"");
        bench.write("projections/accounts.toml", numeric);
        bench.works("rebuild p").shows("SELECT * FROM sums").is_as_built_anew().is("sums");
    }
}
