//! Every type of value through every entrance, at the ends of its range: it keeps what it is, or it is refused by name.

use std::fmt::Write;

use rusqlite::Connection;

use super::project::{FILE_TO_SQLITE, Project};

/// A value that is kept.
struct Kept {
    column_type: &'static str,
    /// As it is written in payloads and test cases.
    json: &'static str,
    /// As it is written in definitions; as JSON where this is empty.
    toml: &'static str,
    /// As `sqlite3` shows it in a column, digit for digit.
    shown: &'static str,
}

const fn kept(column_type: &'static str, json: &'static str, shown: &'static str) -> Kept {
    Kept { column_type, json, toml: "", shown }
}

const fn written(column_type: &'static str, json: &'static str, toml: &'static str, shown: &'static str) -> Kept {
    Kept { column_type, json, toml, shown }
}

const KEPT: &[Kept] = &[
    kept("integer", "0", "0"),
    kept("integer", "9007199254740993", "9007199254740993"),
    kept("integer", "-9007199254740993", "-9007199254740993"),
    kept("integer", "9223372036854775807", "9223372036854775807"),
    kept("integer", "-9223372036854775808", "-9223372036854775808"),
    kept("integer", "3.00", "3"),
    kept("integer", "1e2", "100"),
    kept("integer", "9223372036854775807.0", "9223372036854775807"),
    kept("integer", "\"9223372036854775807\"", "9223372036854775807"),
    kept("numeric", "10.10", "10.10"),
    kept("numeric", "0.00", "0.00"),
    kept("numeric", "-0.05", "-0.05"),
    kept("numeric", "1e3", "1000"),
    kept("numeric", "1.50e-2", "0.0150"),
    kept("numeric", "12345678901234567.89", "12345678901234567.89"),
    kept("numeric", "9007199254740993.0", "9007199254740993.0"),
    kept("numeric", "18446744073709551616", "18446744073709551616"),
    kept("numeric", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
    kept("numeric", "-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
    kept("numeric", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"),
    kept("numeric", "\"0.1000000000000000055511151231257827\"", "0.1000000000000000055511151231257827"),
    kept("time", "\"2024-05-01T14:00:00+02:00\"", "2024-05-01T12:00:00.000000Z"),
    kept("time", "\"1969-12-31T23:59:59.999999Z\"", "1969-12-31T23:59:59.999999Z"),
    kept("time", "\"0000-01-01T00:00:00Z\"", "0000-01-01T00:00:00.000000Z"),
    kept("time", "\"0001-01-01T00:00:00+23:59\"", "0000-12-31T00:01:00.000000Z"),
    kept("time", "\"9999-12-31T23:59:59.999999Z\"", "9999-12-31T23:59:59.999999Z"),
    kept("time", "\"9999-12-31T23:59:59Z\"", "9999-12-31T23:59:59.000000Z"),
    kept("time", "\"9999-12-31T23:59:59.999999+02:00\"", "9999-12-31T21:59:59.999999Z"),
    kept("time", "\"2024-05-01T12:00:00-23:59\"", "2024-05-02T11:59:00.000000Z"),
    kept("boolean", "true", "1"),
    kept("boolean", "false", "0"),
    kept("uuid", "\"CBE326DA-5260-5F9D-88A8-A35A0B819073\"", "cbe326da-5260-5f9d-88a8-a35a0b819073"),
    kept("uuid", "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    kept("text", "\"\"", ""),
    kept("text", "\"10.10\"", "10.10"),
    written("text", "\"\u{10fffd}\\ud83d\\ude00\"", "\"\u{10fffd}😀\"", "\u{10fffd}😀"),
    kept("json", "1e400", "1e400"),
    kept("json", "-0.0", "-0.0"),
    kept("json", "123456789012345678901234567890123456789012345", "123456789012345678901234567890123456789012345"),
    written("json", "{\"a\":[10.10,1E+2]}", "{ a = [10.10, 1E+2] }", "{\"a\":[10.10,1E+2]}"),
];

impl Kept {
    fn toml(&self) -> &str {
        if self.toml.is_empty() { self.json } else { self.toml }
    }

    /// Whether a condition can ask for it.
    fn is_scalar(&self) -> bool {
        !self.json.starts_with('{')
    }

    /// As a rule writes its constant.
    fn constant(&self) -> String {
        if self.column_type == "text" && !self.toml.is_empty() { self.toml.to_owned() } else { self.json.to_owned() }
    }
}

/// Rules, schemas, folds and test cases of one value.
fn define(project: &Project, number: usize, value: &Kept) {
    let (json, toml, column_type, constant) = (value.json, value.toml(), value.column_type, value.constant());
    let equal = format!("{{ set = \"/equal\", value = true, when = {{ path = \"/v\", equals = {toml} }} }},");
    let (equal, is_equal) = if value.is_scalar() { (equal, ",\"equal\":true") } else { (String::new(), "") };
    let bounds = match column_type {
        "integer" | "numeric" if !json.starts_with('"') => format!(
            "{{ set = \"/in\", value = {toml}, when = {{ path = \"/v\", at_least = {toml}, at_most = {toml} }} }},\n\
             {{ set = \"/out\", value = 1, when = {{ any = [{{ path = \"/v\", greater_than = {toml} }}, \
             {{ path = \"/v\", less_than = {toml} }}] }} }},"
        ),
        _ => String::new(),
    };
    let within = if bounds.is_empty() { String::new() } else { format!(",\"in\":{json}") };
    project.write(
        &format!("transformers/e{number}.toml"),
        format!(
            "type = \"E{number}\"\ncurrent = 2\n\n\
             [schema]\n2 = {{ properties = {{ v = {{ const = {toml} }}, constant = {{ enum = [0, {toml}] }} }} }}\n\n\
             [[upcast]]\nfrom = 1\ndata = [\n{{ set = \"/constant\", value = {toml} }},\n{equal}\n{bounds}\n]\n\n\
             [[upcast.test]]\ngiven = '{{\"v\":{json}}}'\n\
             then = '{{\"v\":{json},\"constant\":{constant}{is_equal}{within}}}'\n"
        ),
    );
    project.write(
        &format!("projections/p{number}.toml"),
        format!(
            "projection = \"p{number}\"\nfrom = \"s{number}\"\n\n[table.t{number}]\nkey = \"id\"\n\
             columns = {{ id = \"text\", v = \"{column_type}\", c = \"{column_type}\", m = \"{column_type}\" }}\n\n\
             [[on]]\nevent = \"E{number}\"\nversion = 2\nkey = {{ event = \"id\" }}\n\
             set = {{ v = \"/v\", c = {{ value = {toml} }}, m = {{ metadata = \"/missing\", default = {toml} }} }}\n\n\
             [[test]]\ngiven = [{{ type = \"E{number}\", data = '{{\"v\":{json}}}' }}]\n\
             then.t{number} = [{{ v = {toml}, c = {toml}, m = {toml} }}]\n"
        ),
    );
}

fn event(number: usize, json: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e{number}","source":"/x","type":"E{number}","subject":"s{number}-1","time":"2024-01-01T00:00:00Z","dataschema":"urn:schema:E{number}:1","streamrevision":0,"sequence":"{}","data":{{"v":{json}}}}}"#,
        number + 1
    ) + "\n"
}

fn with_read_models() -> Project {
    Project::new(&format!("{FILE_TO_SQLITE}\n[read_models]\nstore = \"sqlite\"\npath = \"models.db\"\n"))
}

fn ask(project: &Project, database: &str, sql: &str) -> String {
    let connection = Connection::open(project.path(database)).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn every_type_keeps_what_it_is_through_every_entrance() {
    let project = with_read_models();
    let mut events = String::new();
    for (number, value) in KEPT.iter().enumerate() {
        define(&project, number, value);
        events.write_str(&event(number, value.json)).unwrap();
    }
    project.write("events.ndjson", events);
    for command in ["check", "migrate", "verify"] {
        let said = project.run(command, [""; 0]);
        assert_eq!(said.code, Some(0), "{command}: {}\n{}", said.stdout, said.stderr);
    }
    for (number, value) in KEPT.iter().enumerate() {
        let json = value.json;
        let data = ask(&project, "target.db", &format!("SELECT data FROM events WHERE id = 'e{number}'"));
        let expected = format!("{{\"v\":{json},\"constant\":{}", value.constant());
        assert!(data.starts_with(&expected), "{data} does not begin with {expected}");
        assert!(!data.contains("\"out\""), "{data}");
        for column in ["v", "c", "m"] {
            let column = if value.column_type == "numeric" { format!("{column}__exact") } else { column.to_owned() };
            let shown = ask(&project, "models.db", &format!("SELECT CAST({column} AS TEXT) FROM t{number}"));
            assert_eq!(shown, value.shown, "{} {json}, {column}", value.column_type);
        }
    }
}

/// What no column of a type holds, and what is said of it. In a payload, every one of them is carried.
const REFUSED: &[(&str, &str, &str)] = &[
    ("integer", "9223372036854775808", "does not fit into an integer of 64 bits"),
    ("integer", "-9223372036854775809", "does not fit into an integer of 64 bits"),
    ("integer", "1e19", "does not fit into an integer of 64 bits"),
    ("integer", "1e999999999999", "does not fit into an integer of 64 bits"),
    ("integer", "1.5", "is not a whole number"),
    ("integer", "9007199254740993.0000000001", "is not a whole number"),
    ("integer", "\"\"", "is not a number"),
    ("numeric", "100000000000000000000000000000000000000", "more than 38 digits"),
    ("numeric", "-100000000000000000000000000000000000000", "more than 38 digits"),
    ("numeric", "1e38", "more than 38 digits"),
    ("numeric", "1e-39", "more than 38 digits"),
    ("numeric", "\"NaN\"", "is not a number"),
    ("time", "\"2016-12-31T23:59:60Z\"", "leap second"),
    ("time", "\"2017-01-01T00:59:60.1+01:00\"", "leap second"),
    ("time", "\"2024-05-01T12:00:00+24:00\"", "offset of 24 hours or more"),
    ("time", "\"2024-05-01T12:00:00+25:00\"", "offset of 24 hours or more"),
    ("time", "\"2024-05-01T12:00:00.1234567Z\"", "finer than a microsecond"),
    ("time", "\"10000-01-01T00:00:00Z\"", "is not a time"),
    ("time", "\"9999-12-31T23:59:59-00:01\"", "is outside the years -9999 to 9999"),
    ("time", "\"2024-05-01T12:00:00\"", "is not a time"),
    ("time", "\"-000001-12-31T23:59:59Z\"", "before the year 0"),
    ("boolean", "1", "is not of the type boolean"),
    ("uuid", "\"ffffffff-ffff-ffff-ffff-fffffffffff\"", "is not of the type uuid"),
    ("text", "1", "is not of the type text"),
];

#[test]
fn what_a_column_can_not_hold_is_refused_by_name_and_carried_in_payloads() {
    for (column_type, json, message) in REFUSED {
        let project = with_read_models();
        project.write("events.ndjson", event(0, json)).write("transformers/e0.toml", "type = \"E0\"\ncurrent = 1\n");
        let said = project.run("migrate", [""; 0]);
        assert_eq!(said.code, Some(0), "{json}: {}", said.stderr);
        let data = ask(&project, "target.db", "SELECT data FROM events");
        assert_eq!(data, format!("{{\"v\":{json}}}"));

        let fold = |set: &str| {
            format!(
                "projection = \"p\"\n\n[table.t]\nkey = \"id\"\ncolumns = {{ id = \"text\", v = \"{column_type}\" }}\n\n\
                 [[on]]\nevent = \"E0\"\nversion = 1\nkey = {{ event = \"id\" }}\nset = {{ v = {set} }}\n"
            )
        };
        project.write("projections/p.toml", fold("\"/v\""));
        let said = project.run("rebuild", ["--show-values"]);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert_ne!(said.code, Some(0), "{column_type} {json}: {text}");
        assert!(text.contains(message), "{column_type} {json}: {text}");
        // As a constant, it is refused before any event is read; what only one database can't hold is not.
        project.write("projections/p.toml", fold(&format!("{{ value = {json} }}")));
        let said = project.run("check", [""; 0]);
        let text = format!("{}{}", said.stdout, said.stderr);
        if !message.contains("year 0") {
            assert_ne!(said.code, Some(0), "{column_type} {json}: {text}");
            assert!(text.contains(message), "{column_type} {json}: {text}");
        }
    }
}

/// Attributes of an event at the ends of their ranges: what the target has of them, or what is said.
const ENVELOPES: &[(&str, &str, &str, Result<&str, &str>)] = &[
    ("time", "\"9999-12-31T23:59:59.999999Z\"", "recorded_at", Ok("253402300799999999")),
    ("time", "\"-009999-01-01T00:00:00Z\"", "recorded_at", Ok("-377705116800000000")),
    ("time", "\"1969-12-31T23:59:59.999999Z\"", "recorded_at", Ok("-1")),
    ("time", "\"2024-01-01T00:00:00+23:59\"", "recorded_at", Ok("1703980860000000")),
    ("time", "\"2016-12-31T23:59:60.1Z\"", "", Err("leap second")),
    ("time", "\"2024-01-01T00:00:00+24:00\"", "", Err("offset of 24 hours or more")),
    ("time", "\"9999-12-31T23:59:59-00:01\"", "", Err("outside the years")),
    ("dataschema", "\"urn:schema:E0:4294967295\"", "schema_version", Ok("4294967295")),
    ("dataschema", "\"urn:schema:E0:4294967296\"", "", Err("schema versions go from 1 to 4294967295")),
    ("dataschema", "\"urn:schema:E0:0\"", "", Err("schema versions go from 1 to 4294967295")),
    ("sequence", "\"9223372036854775807\"", "position", Ok("9223372036854775807")),
    ("sequence", "\"9223372036854775808\"", "", Err("9223372036854775808")),
    ("sequence", "\"18446744073709551616\"", "", Err("18446744073709551616")),
    ("sequence", "\"-1\"", "", Err("-1")),
    ("streamrevision", "0.0", "", Err("0.0")),
    ("streamrevision", "18446744073709551616", "", Err("18446744073709551616")),
];

#[test]
fn the_envelope_keeps_what_it_is_or_is_refused_by_name() {
    for (attribute, json, column, expected) in ENVELOPES {
        let project = Project::new(&format!("{FILE_TO_SQLITE}\n"));
        let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&event(0, "1")).unwrap();
        event.remove(*attribute);
        let mut line = serde_json::to_string(&event).unwrap();
        line.pop();
        project.write("events.ndjson", format!("{line},\"{attribute}\":{json}}}\n"));
        let said = project.run("migrate", [""; 0]);
        let text = format!("{}{}", said.stdout, said.stderr);
        match expected {
            Ok(kept) => {
                assert_eq!(said.code, Some(0), "{attribute} {json}: {text}");
                let found = ask(&project, "target.db", &format!("SELECT CAST({column} AS TEXT) FROM events"));
                assert_eq!(found, *kept, "{attribute} {json}");
                let said = project.run("verify", [""; 0]);
                assert_eq!(said.code, Some(0), "{attribute} {json}: {}{}", said.stdout, said.stderr);
            }
            Err(message) => {
                assert_ne!(said.code, Some(0), "{attribute} {json}: {text}");
                assert!(text.contains(message), "{attribute} {json}: {text}");
            }
        }
    }
}

/// Constants that hold for one number alone, and the numbers beside it that a double takes for the same.
#[test]
fn conditions_tell_numbers_apart_to_the_last_digit() {
    for (constant, same, others) in [
        ("9007199254740993.0", "9007199254740993", ["9007199254740992", "9007199254740993.5"]),
        ("12345678901234567.89", "12345678901234567.890", ["12345678901234567.88", "12345678901234568"]),
        ("0.1", "1e-1", ["0.1000000000000000055511151231257827", "0.10000000000000000001"]),
        ("18446744073709551616", "1.8446744073709551616e19", ["18446744073709551615", "18446744073709551617"]),
        ("1e400", "10e399", ["1e401", "1.0000000000000000001e400"]),
    ] {
        let project = Project::new(FILE_TO_SQLITE);
        let mut text = format!(
            "type = \"A\"\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata = [\n\
             {{ set = \"/equals\", value = 1, when = {{ path = \"/n\", equals = {constant} }} }},\n\
             {{ set = \"/in\", value = 1, when = {{ path = \"/n\", in = [7, {constant}] }} }},\n\
             {{ set = \"/differs\", value = 1, when = {{ path = \"/n\", not_equals = {constant} }} }},\n\
             {{ set = \"/between\", value = 1, when = {{ path = \"/n\", at_least = {constant}, at_most = {constant} }} }},\n\
             {{ set = \"/outside\", value = 1, when = {{ not = {{ path = \"/n\", at_least = {constant}, at_most = {constant} }} }} }},\n]\n"
        );
        let mut case = |given: &str, then: &str| {
            write!(text, "[[upcast.test]]\ngiven = '{{\"n\":{given}}}'\nthen = '{{\"n\":{given},{then}}}'\n").unwrap();
        };
        case(same, "\"equals\":1,\"in\":1,\"between\":1");
        others.iter().for_each(|other| case(other, "\"differs\":1,\"outside\":1"));
        project.write("transformers/a.toml", &text);
        let said = project.run("check", [""; 0]);
        assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    }
}

/// Every operation that takes a constant writes the digits it has.
#[test]
fn operations_write_the_digits_of_their_constants() {
    let project = Project::new(FILE_TO_SQLITE);
    project.write(
        "transformers/a.toml",
        r#"type = "A"
current = 2
[[upcast]]
from = 1
data = [
    { set = "/set", value = 10.10 },
    { set = "/table", value = { b = 12345678901234567.89, a = [0.30, 18446744073709551616] } },
    { default = "/default", value = 1.00 },
    { map = "/map", values = { a = 2.50, b = { json = '3.50' } } },
    { map = "/other", values = { a = 1 }, otherwise = { value = 4.50 } },
    { redact = "/secret", with = 0.10 },
]
[[upcast.test]]
given = '{"map":"a","other":"x","secret":"s"}'
then = '{"map":2.50,"other":4.50,"secret":0.10,"set":10.10,"table":{"b":12345678901234567.89,"a":[0.30,18446744073709551616]},"default":1.00}'
"#,
    );
    let said = project.run("check", [""; 0]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}
