//! The shop, as its user goes through it, and the library's examples.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use eventlift::commands::Arguments;
use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::TempDir;

use super::command_line::{assert_session, eventlift, session};

// Each holds a test that runs it.
#[path = "../examples/fold_in_rust.rs"]
mod fold_in_rust;
#[path = "../examples/upcast_in_rust.rs"]
mod upcast_in_rust;
#[path = "../examples/upcast_on_read.rs"]
mod upcast_on_read;

pub(crate) fn shop_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop")
}

/// A copy of the shop, without what somebody's run has left, in a folder `shop`.
pub(crate) fn copied() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    for part in ["", "transformers", "projections"] {
        let (from, to) = (shop_folder().join(part), shop.join(part));
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if file.is_file() && !name.contains(".db") {
                fs::copy(&file, to.join(name)).unwrap();
            }
        }
    }
    folder
}

/// A line of the shop's events, as far as it is counted and compared.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    id: String,
    dataschema: String,
    data: Box<RawValue>,
}

impl Line {
    fn version(&self) -> u32 {
        self.dataschema.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn field(&self, name: &str) -> Option<Box<RawValue>> {
        serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(self.data.get()).unwrap().remove(name)
    }
}

fn lines() -> Vec<Line> {
    let text = fs::read_to_string(shop_folder().join("events.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What has to become of a line, said without the rules.
fn expected_of(line: &Line) -> Vec<(&str, u32)> {
    match (&*line.event_type, line.version()) {
        ("UserCreated", _) => vec![("UserCreated", 2)],
        ("AddressChanged", _) => vec![("AddressChanged", 3)],
        ("ContactChanged", 1) if line.field("phone").is_some() => vec![("AddressChanged", 3), ("PhoneChanged", 1)],
        ("ContactChanged", 1) => vec![("AddressChanged", 3)],
        ("OrderPlaced", _) => vec![("OrderPlaced", 3)],
        ("OrderStatusChanged", _) => vec![("OrderStatusChanged", 2)],
        ("PaymentReceived", 1) if line.field("method").unwrap().get() == "\"voucher\"" => vec![("VoucherRedeemed", 1)],
        ("PaymentReceived", _) => vec![("PaymentReceived", 2)],
        ("CustomerLeft", 1) => vec![("UserDeactivated", 1)],
        ("ProductPriced", 1) => vec![("ProductPriced", 1)],
        ("SessionPinged", 1) => vec![],
        (other, version) => panic!("{other} {version}"),
    }
}

#[test]
fn the_shop_from_check_to_verify() {
    let folder = copied();
    let run = |name: &str, arguments: &[&str]| {
        assert_session(&format!("shop_{name}"), &session(folder.path(), arguments));
        let json = [arguments, &["--json"]].concat();
        assert_session(&format!("shop_{name}_json"), &session(folder.path(), &json));
    };
    run("status_before", &["status", "shop"]);
    run("verify_before", &["verify", "shop"]);
    run("check", &["check", "shop"]);
    assert_session("shop_plan", &session(folder.path(), &["plan", "shop"]));
    assert_session("shop_plan_json", &session(folder.path(), &["plan", "shop", "--show", "0", "--json"]));
    assert!(!folder.path().join("shop/shop.db").exists());

    assert_session("shop_migrate", &session(folder.path(), &["migrate", "shop"]));
    run("migrate_again", &["migrate", "shop"]);
    run("verify", &["verify", "shop"]);
    run("status", &["status", "shop"]);
    run("runs", &["runs", "shop"]);

    let other = copied();
    assert_session("shop_migrate_json", &session(other.path(), &["migrate", "shop", "--json"]));
}

#[test]
fn the_shops_read_models_without_a_migration() {
    let folder = copied();
    let shop = folder.path().join("shop");
    fs::create_dir_all(shop.join("projections")).unwrap();
    for file in fs::read_dir(shop_folder().join("projections")).unwrap().map(|file| file.unwrap().path()) {
        fs::copy(&file, shop.join("projections").join(file.file_name().unwrap())).unwrap();
    }
    let project = fs::read_to_string(shop.join("eventlift.toml")).unwrap();
    let without_target = project.replace("[target]\nurl = \"sqlite:shop.db\"\n", "");
    assert_ne!(project, without_target);
    fs::write(shop.join("eventlift.toml"), without_target).unwrap();
    let run = |name: &str, arguments: &[&str]| {
        assert_session(&format!("read_models_{name}"), &session(folder.path(), arguments));
        let json = [arguments, &["--json"]].concat();
        assert_session(&format!("read_models_{name}_json"), &session(folder.path(), &json));
    };
    run("check", &["check", "shop"]);
    run("status_before", &["status", "shop"]);
    assert!(eventlift(folder.path(), &["rebuild", "shop"]).status.success());
    assert!(eventlift(folder.path(), &["rebuild", "shop", "customers"]).status.success());
    let orders = shop.join("projections/orders.toml");
    let text = fs::read_to_string(&orders).unwrap().replacen("projection = \"orders\"", "projection = \"sales\"", 1);
    fs::write(&orders, text).unwrap();
    let products = shop.join("projections/products.toml");
    let text = fs::read_to_string(&products).unwrap();
    fs::write(&products, text.replacen("lowest = \"/price\"", "lowest = \"/stock\"", 1)).unwrap();
    run("status", &["status", "shop"]);
    run("runs", &["runs", "shop"]);
}

#[test]
fn the_target_holds_what_the_input_says() {
    let folder = copied();
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    let lines = lines();
    let database = rusqlite::Connection::open(folder.path().join("shop/shop.db")).unwrap();

    let mut expected: BTreeMap<(String, u32), u32> = BTreeMap::new();
    for (event_type, version) in lines.iter().flat_map(expected_of) {
        *expected.entry((event_type.to_owned(), version)).or_default() += 1;
    }
    let mut statement =
        database.prepare("SELECT type, schema_version, count(*) FROM events GROUP BY type, schema_version").unwrap();
    let found = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).unwrap();
    assert_eq!(found.collect::<Result<BTreeMap<_, _>, _>>().unwrap(), expected);

    let count = |condition: &str| -> u32 {
        database.query_row(&format!("SELECT count(*) FROM {condition}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("events WHERE metadata LIKE '%203.0.113.%'"), 0);
    assert_eq!(count("events WHERE data LIKE '%4111 1111%'"), 0);
    assert_eq!(count("(SELECT max(revision) + 1 - count(*) AS gap FROM events GROUP BY stream) WHERE gap <> 0"), 0);

    // Every input event is there under its id, in its stream, unless it was dropped; numbers have their digits.
    for line in lines.iter().filter(|line| line.event_type != "SessionPinged") {
        let (stream, data): (String, String) = database
            .query_row("SELECT stream, data FROM events WHERE id = ?1", [&line.id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(stream, line.subject);
        let found: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&data).unwrap();
        for name in ["user_id", "order_id", "payment_id", "price"] {
            let (before, after) = (line.field(name), found.get(name));
            assert_eq!(before.as_deref().map(RawValue::get), after.map(|after| after.get()), "{name} of {}", line.id);
        }
        for name in ["total", "amount"] {
            let digits = |value: &RawValue| value.get().trim_matches('"').to_owned();
            let (before, after) = (line.field(name), found.get(name));
            assert_eq!(before.as_deref().map(digits), after.map(|after| digits(after)), "{name} of {}", line.id);
        }
        if line.event_type == "ProductPriced" {
            assert_eq!(data, line.data.get());
        }
    }
}

#[test]
fn the_documented_query_translates_every_position() {
    let folder = copied();
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    let database = rusqlite::Connection::open(folder.path().join("shop/shop.db")).unwrap();
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stores.md")).unwrap();
    let start = docs.find("WITH old (position)").unwrap();
    let query = docs[start..].split_inclusive(';').next().unwrap();
    assert_eq!(query.matches("(100)").count(), 1, "{query}");
    let mut handled = 0_usize;
    for (line, old) in lines().iter().zip(1..) {
        handled += expected_of(line).len();
        let new: isize =
            database.query_row(&query.replace("(100)", &format!("({old})")), [], |row| row.get(0)).unwrap();
        assert_eq!(new, handled.cast_signed(), "of {old}");
    }
}

#[test]
fn a_broken_rule_is_seen_by_plan_and_stops_migrate() {
    let folder = copied();
    let general = folder.path().join("shop/transformers/general.toml");
    let text = fs::read_to_string(&general).unwrap();
    let broken = text.replacen(", optional = true", "", 1);
    assert_ne!(text, broken);
    fs::write(&general, broken).unwrap();
    let plan = session(folder.path(), &["plan", "shop", "--show", "0"]);
    let migrate = session(folder.path(), &["migrate", "shop"]);
    // What was read before the failure is in, but the failed run does not pass for a finished one.
    let verify = session(folder.path(), &["verify", "shop"]);
    fs::write(&general, text).unwrap();
    let mended = session(folder.path(), &["migrate", "shop"]);
    assert_session("shop_broken_rule", &format!("{plan}\n{migrate}\n{verify}\n{mended}"));
    let accepted = session(folder.path(), &["migrate", "shop", "--accept-changes"]);
    assert_session("shop_broken_rule_mended", &format!("{accepted}\n{}", session(folder.path(), &["verify", "shop"])));
}

#[test]
fn a_part_of_the_shop() {
    let folder = copied();
    let run = |arguments: &[&str]| session(folder.path(), arguments) + "\n";
    let misspelt = run(&["plan", "shop", "--category", "usr"]) + &run(&["migrate", "shop", "--category", "usr"]);
    // Nothing was begun, so that the right name is still free to be used; its run is its own.
    let part = run(&["migrate", "shop", "--category", "user"]) + &run(&["verify", "shop", "--category", "user"]);
    // Going on with everything from here would leave out what came before.
    let other = run(&["migrate", "shop", "--accept-changes"]) + &run(&["verify", "shop"]);
    assert_session("shop_part", &(misspelt + &part + &other));
}

#[test]
fn every_command_has_its_help() {
    let folder = tempfile::tempdir().unwrap();
    let commands = Arguments::command();
    let names: Vec<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
    assert!(names.len() >= 7, "{names:?}");
    assert_session("help", &session(folder.path(), &["--help"]));
    for name in names {
        assert_session(&format!("help_{name}"), &session(folder.path(), &[name, "--help"]));
    }
}

#[test]
fn the_readme_names_every_file_and_shows_what_is_there() {
    let folder = copied();
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    let readme = fs::read_to_string(shop_folder().join("README.md")).unwrap();
    for part in ["transformers", "projections"] {
        for file in fs::read_dir(shop_folder().join(part)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(name.ends_with(".json") || readme.contains(&format!("({part}/{name})")), "{name}");
        }
    }
    assert!(readme.contains(&format!("made up: {} of them", lines().len())));
    // Each query that the README shows is followed by the rows it yields.
    let mut database = None;
    let mut shown = readme.lines().peekable();
    let mut compared = 0;
    while let Some(line) = shown.next() {
        let mut query = line.strip_prefix("sqlite> ");
        if let Some(opened) = line.strip_prefix("$ sqlite3 examples/") {
            let (opened, asked) = opened.split_once(" \"").unwrap_or((opened, ""));
            query = asked.strip_suffix('"');
            database = Some(rusqlite::Connection::open(folder.path().join(opened)).unwrap());
        }
        let Some(query) = query else { continue };
        let mut rows: Vec<&str> = Vec::new();
        while let Some(row) = shown.next_if(|line| !line.starts_with("sqlite> ") && *line != "```") {
            rows.push(row);
        }
        let mut statement = database.as_ref().unwrap().prepare(query).unwrap();
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>| {
            let cells = (0..columns).map(|column| {
                row.get::<_, rusqlite::types::Value>(column).map(|value| match value {
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    rusqlite::types::Value::Text(text) => text,
                    other => panic!("{other:?}"),
                })
            });
            Ok(cells.collect::<Result<Vec<_>, _>>()?.join("|"))
        };
        let found: Vec<String> = statement.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(found, rows, "{query}");
        compared += 1;
    }
    assert_eq!(compared, 9);
}
