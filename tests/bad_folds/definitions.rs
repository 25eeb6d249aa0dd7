//! Definitions that are wrong, or changed since the last build.

use super::bench::{ACCOUNTS, Bench, FROM_FILE, FROM_TARGET, good_and, log};

#[test]
fn two_projections_and_one_table() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("projections/others.toml", ACCOUNTS);
    bench.fails(3, "rebuild p").fails(3, "rebuild p others").fails(3, "rebuild p --undo");
    bench.write("projections/others.toml", ACCOUNTS.replace("table.accounts", "table.Accounts"));
    bench.about("letters in another case").fails(3, "rebuild p");
    bench.write(
        "projections/others.toml",
        format!("projection = \"accounts\"\n{}", ACCOUNTS.replace("table.accounts", "table.others")),
    );
    bench.about("two of one name").fails(3, "rebuild p");
    bench.write("projections/others.toml", ACCOUNTS.replace("table.accounts", "table.accounts__next"));
    bench.about("the name of a shadow").fails(5, "rebuild p");
    bench.remove("projections/others.toml");
    bench.works("rebuild p --all").is_as_built_anew().is("one_table");
}

#[test]
fn columns() {
    let mut bench = Bench::built(FROM_FILE);
    for (what, from, to) in [
        ("an unknown column", "set = { name =", "set = { nam ="),
        ("an unknown key", "key = \"id\"", "key = \"identity\""),
        ("an unknown type", "balance = \"numeric\"", "balance = \"decimal\""),
        ("an unknown operation", "append = {", "appendix = {"),
        ("no events", "[[on]]\nevent = \"Opened\"", "[[on]]\nevnt = \"Opened\""),
        ("broken TOML", "key = \"id\"", "key = \"id"),
        ("a default of another type", "default = 1 }", "default = \"one\" }"),
    ] {
        bench.write("projections/accounts.toml", ACCOUNTS.replace(from, to)).about(what).fails(3, "rebuild p");
    }
    bench.write("projections/accounts.toml", b"\xff\xfe").about("no text").fails(3, "rebuild p");
    bench.write("projections/accounts.toml", "").about("an empty file").fails(3, "rebuild p");
    bench.write("projections/accounts.toml", ACCOUNTS);
    bench.works("rebuild p").is("columns");
}

#[test]
fn a_column_of_another_type() {
    let mut bench = Bench::built(FROM_FILE);
    let table = "SELECT id, p.type, moves, balance__exact FROM accounts, pragma_table_info('accounts') p WHERE p.name = 'moves'";
    bench.shows(table);
    bench.write("projections/accounts.toml", ACCOUNTS.replace("moves = \"integer\"", "moves = \"numeric\""));
    bench.write("events.ndjson", good_and(&[("Moved", r#"{"id":"a","amount":1}"#)]));
    bench.fails(5, "rebuild p --since").works("rebuild p").shows(table).is_as_built_anew();
    bench.works("rebuild p --since").about("back to the old columns").works("rebuild p --undo").shows(table);
    bench.fails(5, "rebuild p --since").works("rebuild p").shows(table).is_as_built_anew();
    bench.works("rebuild p --undo").write("projections/accounts.toml", ACCOUNTS);
    bench.about("and the old definition: it goes on from there").works("rebuild p --since").is_as_built_anew();
    bench.shows(table).works("rebuild p --undo").is("column_type");
}

#[test]
fn what_has_changed() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write("transformers/moved.toml", "type = \"Moved\"\ncurrent = 1\n");
    bench.about("a rule that changes nothing").works("rebuild p --since");
    bench.write("projections/accounts.toml", ACCOUNTS.replace("key = \"id\"", "key = \"id\"\nindexes = [[\"name\"]]"));
    bench.about("an index").fails(5, "rebuild p --since").works("rebuild p");
    bench.write(
        "projections/accounts.toml",
        ACCOUNTS.replace("key = \"id\"", "key = \"id\"\nindexes = [{ columns = [\"name\"], unique = true }]"),
    );
    bench.write("events.ndjson", good_and(&[("Opened", r#"{"id":"z","name":"Ada"}"#)]));
    bench.about("a unique index that does not hold").fails(7, "rebuild p --all");
    bench.write("events.ndjson", log(&super::bench::GOOD));
    bench.works("rebuild p");
    bench.write("events.ndjson", good_and(&[("Opened", r#"{"id":"z","name":"Ada"}"#)]));
    bench.fails(7, "rebuild p --since");
    bench.write("projections/accounts.toml", ACCOUNTS);
    bench.about("without").works("rebuild p").is_as_built_anew().is("changed");
}

#[test]
fn names() {
    let mut bench = Bench::built(FROM_FILE);
    bench.write(
        "projections/carts.toml",
        "from = [\"cart\"]\nstate = { items = \"integer\" }\n[[on]]\nevent = \"ItemAdded\"\nversion = 1\nadd = { items = 1 }\n",
    );
    bench.fails(3, "rebuild p acounts").fails(3, "rebuild p accounts nothing").fails(3, "rebuild p Accounts");
    bench
        .fails(3, "rebuild p cart --since")
        .fails(3, "rebuild p nothing --undo")
        .fails(3, "rebuild p nothing --drop-old");
    bench.fails(3, "rebuild nowhere").fails(3, "rebuild p p");
    bench.works("rebuild p accounts accounts").is("names");
}

#[test]
fn no_projections() {
    let mut bench = Bench::built(FROM_FILE);
    bench.remove("projections/accounts.toml");
    bench.fails(3, "rebuild p").fails(3, "rebuild p accounts").fails(3, "rebuild p --undo");
    std::fs::remove_dir(bench.path("projections")).unwrap();
    bench.about("no folder").fails(3, "rebuild p");
    bench.write("eventlift.toml", format!("{FROM_FILE}\n[projections]\nfolder = \"models\"\n"));
    bench.about("a folder that is named").fails(3, "rebuild p");
    bench.write("models", "no folder").about("a file in its place").fails(3, "rebuild p");
    bench
        .write("eventlift.toml", FROM_FILE.split("[read_models]").next().unwrap())
        .write("projections/accounts.toml", ACCOUNTS);
    bench.about("nothing says where read models are kept").fails(3, "rebuild p");
    bench.works("rebuild p --into p/else.db");
    bench.write("eventlift.toml", FROM_TARGET.split("[read_models]").next().unwrap());
    bench.about("nor does it for a migration").fails(3, "migrate p");
    bench.works("migrate p --events-only");
    bench.write("eventlift.toml", FROM_FILE).works("rebuild p --all").is("no_projections");
}

#[test]
fn other_names_between_builds() {
    let mut bench = Bench::built(FROM_FILE);
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'eventlift%' AND name NOT LIKE 'sqlite%' ORDER BY name";
    bench.write("projections/accounts.toml", ACCOUNTS.replace("table.accounts", "table.balances"));
    bench
        .about("a table of another name")
        .fails(5, "rebuild p --since")
        .works("rebuild p")
        .shows(tables)
        .is_as_built_anew();
    bench.works("rebuild p --undo").shows(tables).works("rebuild p --undo").shows(tables);
    bench.works("rebuild p --drop-old").shows(tables).works("rebuild p --drop-old");
    bench.about("a projection of another name");
    std::fs::rename(bench.path("projections/accounts.toml"), bench.path("projections/ledgers.toml")).unwrap();
    bench.runs("rebuild p").shows(tables).runs("rebuild p accounts --undo").runs("rebuild p accounts --drop-old");
    bench.about("and its table as well");
    bench.write("projections/ledgers.toml", ACCOUNTS.replace("table.accounts", "table.ledgers"));
    bench.runs("rebuild p").shows(tables);
    bench.shows("SELECT projection, side FROM eventlift_projections");
    bench.about("a projection that is not there any more");
    bench
        .remove("projections/ledgers.toml")
        .write("projections/others.toml", ACCOUNTS.replace("table.accounts", "table.others"));
    bench.runs("rebuild p").shows(tables).shows("SELECT projection, side FROM eventlift_projections");
    bench.runs("rebuild p --drop-old").is("other_names");
}
