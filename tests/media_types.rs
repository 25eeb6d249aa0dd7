//! What is JSON is JSON everywhere: for SQL, for rules, for folds, for eyes; and its label comes back as it was read.

use rusqlite::Connection;

use crate::project::{FILE_TO_SQLITE, Project};

/// Labels, data as it stands in the line, and whether it is JSON to SQL.
const CASES: [(&str, &str, bool); 12] = [
    ("application/json", r#""data":{"price":10.10}"#, true),
    ("application/json; charset=utf-8", r#""data":{"price":10.10}"#, true),
    ("application/json;charset=\\\"UTF-8\\\"", r#""data":{"price":10.10}"#, true),
    ("Application/JSON", r#""data":{"price":10.10}"#, true),
    (" application/json ; profile=\\\"a;b\\\"", r#""data":{"price":10.10}"#, true),
    ("application/vnd.shop.order+json", r#""data":{"price":10.10}"#, true),
    ("application/vnd.shop.order+JSON; v=1", r#""data":{"price":10.10}"#, true),
    ("text/json", r#""data":{"price":10.10}"#, true),
    // The same, as base64.
    ("application/x+json", r#""data_base64":"eyJwcmljZSI6MTAuMTB9""#, true),
    // `{"price"`, and `{}` in UTF-16.
    ("application/json; charset=utf-8", r#""data_base64":"eyJwcmljZSI=""#, false),
    ("application/json; charset=utf-16", r#""data_base64":"ewB9AA==""#, false),
    ("application/json-seq", r#""data":"{}""#, false),
];

fn log() -> String {
    let lines = CASES.iter().enumerate().map(|(number, (label, data, _))| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"urn:test\",\"type\":\"Priced\",\
             \"subject\":\"item-{number}\",\"time\":\"2024-05-01T12:00:00Z\",\"sequence\":{number},\"streamrevision\":0,\
             \"datacontenttype\":\"{label}\",{data}}}\n"
        )
    });
    lines.collect()
}

fn rows(path: &std::path::Path, sql: &str) -> Vec<(String, String)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

/// The label as the line means it.
fn meant(label: &str) -> String {
    label.replace("\\\"", "\"")
}

#[test]
fn sql_sees_what_is_json_and_nothing_else() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write("events.ndjson", log());
    assert_eq!(project.migrate().code, Some(0));
    let found = rows(
        &project.path("target.db"),
        "SELECT typeof(data), coalesce(data_type, 'application/json') FROM events ORDER BY position",
    );
    let expected = CASES.map(|(label, _, is_json)| (if is_json { "text" } else { "blob" }.to_owned(), meant(label)));
    assert_eq!(found, expected);
    assert_eq!(project.verify().code, Some(0));
}

const TAX: &str = r#"
type = "Priced"
current = 2

[[upcast]]
from = 1
to = 2
data = [{ rename = "/price", to = "/net" }]
"#;

const PRICES: &str = r#"
[table.prices]
key = "id"
columns = { id = "text", net = "numeric" }

[[on]]
event = "Priced"
version = 2
when = { path = "/net", exists = true }
key = { event = "stream" }
set = { net = { jq = ".event.data.net" } }
"#;

/// Every way of reading JSON takes every label of JSON, and leaves it as it was.
#[test]
fn rules_and_folds_take_every_label_of_json() {
    let toml = format!("{FILE_TO_SQLITE}\n[read_models]\nstore = \"sqlite\"\npath = \"rm.db\"\n");
    let project = Project::new(&toml);
    let json = CASES.iter().filter(|case| case.2).count();
    let lines: Vec<String> =
        log().lines().zip(CASES).filter(|(_, case)| case.2).map(|(line, _)| line.to_owned()).collect();
    project.write("events.ndjson", lines.join("\n") + "\n");
    project.write("transformers/tax.toml", TAX);
    project.write("projections/prices.toml", PRICES);
    let planned = project.run("plan", ["--show", "20"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
    let migrated = project.migrate();
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let found = rows(
        &project.path("target.db"),
        "SELECT CAST(data ->> '$.net' AS TEXT), coalesce(data_type, 'application/json') FROM events ORDER BY position",
    );
    let labels = CASES.iter().filter(|case| case.2).map(|(label, ..)| ("10.1".to_owned(), meant(label)));
    let found: Vec<(String, String)> = found.into_iter().collect();
    assert_eq!(found, labels.collect::<Vec<_>>());
    let folded = rows(&project.path("rm.db"), "SELECT id, CAST(net AS TEXT) FROM prices");
    assert_eq!(folded.len(), json);
    assert!(folded.iter().all(|(_, net)| net.starts_with("10.1")), "{folded:?}");
    assert_eq!(project.verify().code, Some(0));
}
