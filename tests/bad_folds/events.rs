//! Events that a fold can't take.

use super::bench::{ACCOUNTS, Bench, FROM_FILE, FROM_TARGET, GOOD, good_and, line, log};

/// Appends an event that can't be folded: a rebuild and an update fail, and so does a first build. Without the event
/// both go through.
#[track_caller]
fn refused(bench: &mut Bench, what: &str, event: (&str, &str)) {
    bench.write("events.ndjson", good_and(&[event, ("Moved", r#"{"id":"a","amount":1}"#)]));
    bench.about(what).fails(7, "rebuild p --all").fails(7, "rebuild p --since").fails(7, "rebuild p --dry-run --all");
    bench.write("events.ndjson", good_and(&[("Moved", r#"{"id":"a","amount":1}"#)]));
    bench.quietly("rebuild p --since");
    bench.is_as_built_anew();
    bench.quietly("rebuild p --all");
    bench.is_as_built_anew();
    bench.write("events.ndjson", log(&GOOD));
    bench.quietly("rebuild p --all");
}

#[test]
fn keys() {
    let mut bench = Bench::built(FROM_FILE);
    refused(&mut bench, "no key", ("Moved", r#"{"amount":1}"#));
    refused(&mut bench, "null key", ("Moved", r#"{"id":null,"amount":1}"#));
    refused(&mut bench, "a number in a text key", ("Moved", r#"{"id":7,"amount":1}"#));
    refused(&mut bench, "an object in a key", ("Moved", r#"{"id":{"a":1},"amount":1}"#));
    bench.is("keys");
}

#[test]
fn values_of_another_type() {
    let mut bench = Bench::built(FROM_FILE);
    refused(&mut bench, "text in an integer column", ("Moved", r#"{"id":"a","count":"many"}"#));
    refused(&mut bench, "a fraction in an integer column", ("Moved", r#"{"id":"a","count":1.5}"#));
    refused(&mut bench, "text in a numeric column", ("Moved", r#"{"id":"a","amount":"ten"}"#));
    refused(&mut bench, "a number in a text column", ("Opened", r#"{"id":"a","name":5}"#));
    refused(&mut bench, "no time", ("Opened", r#"{"id":"a","at":"2024-02-30T00:00:00Z"}"#));
    bench.is("values");
}

#[test]
fn numbers_that_do_not_fit() {
    let mut bench = Bench::built(FROM_FILE);
    refused(&mut bench, "a sum of integers", ("Moved", r#"{"id":"a","count":9223372036854775807}"#));
    refused(&mut bench, "an integer", ("Moved", r#"{"id":"b","count":92233720368547758080}"#));
    let nines = format!(r#"{{"id":"a","amount":{}}}"#, "9".repeat(38));
    refused(&mut bench, "a sum of exact numbers", ("Moved", &nines));
    let long = format!(r#"{{"id":"a","amount":0.{}}}"#, "1".repeat(60));
    refused(&mut bench, "too many decimals", ("Moved", &long));
    refused(&mut bench, "an exponent", ("Moved", r#"{"id":"a","amount":1e999999999}"#));
    bench.is("numbers");
}

#[test]
fn payloads() {
    let mut bench = Bench::built(FROM_FILE);
    let binary = line(4, "Moved", 3, "null").replace("\"data\":null", "\"data_base64\":\"AAEC\"");
    bench.write("events.ndjson", log(&GOOD) + &binary);
    bench.about("a binary payload").fails(7, "rebuild p --all").fails(7, "rebuild p --since");
    refused(&mut bench, "an array", ("Moved", "[1]"));
    let twice = r#"{"id":"a","id":"b","amount":1}"#;
    bench.write("events.ndjson", good_and(&[("Moved", twice)]));
    bench
        .about("a field that is there twice")
        .runs("rebuild p --all")
        .shows("SELECT id, moves, balance__exact FROM accounts");
    for depth in [100, 1_000, 100_000] {
        let deep = format!(r#"{{"id":"a","note":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        bench.write("events.ndjson", good_and(&[("Opened", &deep)]));
        bench.about(&format!("JSON of {depth} levels")).runs("rebuild p --all");
    }
    bench.write("events.ndjson", log(&GOOD));
    bench.quietly("rebuild p --all");
    bench.is_as_built_anew().is("payloads");
}

#[test]
fn keys_of_every_kind() {
    let mut bench = Bench::built(FROM_FILE);
    let huge = "k".repeat(1 << 20);
    let data: Vec<String> = ["", "é\u{1F600}", "a\\u0000b", "a", "A", "\\ud83d\\ude00", huge.as_str()]
        .iter()
        .map(|key| format!(r#"{{"id":"{key}","amount":1}}"#))
        .collect();
    let events: Vec<(&str, &str)> = data.iter().map(|data| ("Moved", data.as_str())).collect();
    bench.write("events.ndjson", good_and(&events[..3]));
    bench.works("rebuild p --all");
    bench.write("events.ndjson", good_and(&[&events[..], &events[..]].concat()));
    bench.works("rebuild p --since").is_as_built_anew();
    bench.shows(
        "SELECT substr(replace(id, char(0), '<nul>'), 1, 10), length(CAST(id AS BLOB)), moves, balance__exact FROM accounts",
    );
    bench.quietly("rebuild p --all");
    bench.is_as_built_anew().is("every_key");
}

#[test]
fn what_is_not_understood() {
    let mut bench = Bench::built(FROM_FILE);
    let second = line(5, "Moved", 4, r#"{"id":"a"}"#).replace("}\n", ",\"dataschema\":\"urn:schema:Moved:2\"}\n");
    bench.write("events.ndjson", good_and(&[("Closed", r#"{"id":"a"}"#)]) + &second);
    bench.about("another type, and another version");
    bench.fails(7, "rebuild p --all").fails(7, "rebuild p --since");
    bench.write("projections/accounts.toml", format!("ignore = [\"Closed\"]\n{ACCOUNTS}"));
    bench.about("the type is ignored").fails(7, "rebuild p").fails(5, "rebuild p --since");
    bench.write("projections/accounts.toml", format!("ignore = [\"*\"]\n{ACCOUNTS}"));
    bench.about("a star does not leave out versions").fails(7, "rebuild p");
    let upcast = "type = \"Moved\"\ncurrent = 1\n";
    bench
        .write("transformers/moved.toml", upcast)
        .about("the newest version is said to be older")
        .fails(7, "rebuild p");
    bench.remove("transformers/moved.toml");
    bench.write(
        "projections/accounts.toml",
        format!("ignore = [\"Closed\", {{ type = \"Moved\", versions = [2] }}]\n{ACCOUNTS}"),
    );
    bench.about("ignored by name").works("rebuild p").is_as_built_anew().is("not_understood");
}

#[test]
fn an_upcast_that_is_missing() {
    let mut bench = Bench::built(FROM_TARGET);
    bench.write(
        "projections/accounts.toml",
        ACCOUNTS.replace("event = \"Moved\"\nversion = 1", "event = \"Moved\"\nversion = 2"),
    );
    bench
        .about("the projection wants version 2, which nothing makes")
        .fails(7, "rebuild p")
        .fails(7, "rebuild p --from source");
    bench.about("migrate stops before it writes");
    for name in ["target.db", "read.db"] {
        bench.remove(name);
    }
    bench.fails(7, "migrate p");
    assert!(bench.query("SELECT name FROM sqlite_schema WHERE name LIKE 'accounts%'").is_empty());
    bench.write(
        "transformers/moved.toml",
        "type = \"Moved\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ set = \"/count\", value = 1 }]\n",
    );
    bench.about("with an upcaster").runs("migrate p").runs("rebuild p --from source").is("no_upcast");
}

#[test]
fn a_migration_whose_fold_fails() {
    let mut bench = Bench::new(FROM_TARGET);
    let bad = ("Moved", r#"{"id":"a","amount":"ten"}"#);
    bench.write("events.ndjson", good_and(&[bad])).write("projections/accounts.toml", ACCOUNTS);
    bench.runs("migrate p").runs("migrate p --json").runs("rebuild p").runs("verify p").runs("status p");
    assert_eq!(bench.query("SELECT count(*) FROM eventlift_projections"), ["0"]);
    bench.about("corrected");
    bench.write(
        "projections/accounts.toml",
        ACCOUNTS.replace("data = \"/amount\"", "jq = \".event.data.amount|numbers\""),
    );
    bench.runs("migrate p").shows("SELECT id, moves, balance__exact FROM accounts").is_as_built_anew();
    bench.works("verify p").is("migrate");
}

#[test]
fn no_events_at_all() {
    let mut bench = Bench::new(FROM_FILE);
    bench.write("events.ndjson", "").write("projections/accounts.toml", ACCOUNTS);
    bench.works("rebuild p").works("rebuild p --json").works("rebuild p --since");
    bench.shows("SELECT count(*) FROM accounts").shows("SELECT side, checkpoint FROM eventlift_projections");
    bench.write("events.ndjson", log(&GOOD));
    bench
        .works("rebuild p --since")
        .is_as_built_anew()
        .shows("SELECT id, moves, balance__exact FROM accounts")
        .is("no_events");
}
