//! Folds of definitions beside the same folds written in plain Rust, over random events.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_projections::{Changes, Definitions, EventView, Projection, Row, RowKey, Value, snapshot_columns};
use proptest::prelude::*;

const CLAUSES: &str = r#"
[[on]]
event = "Changed"
version = 1
add = { count = 1, sum = { data = "/n", default = 0 } }
subtract = { debt = { data = "/n", default = 0 } }
min = { low = "/n" }
max = { high = "/n" }
first = { first_text = "/text" }
last = { last_text = "/text" }
set = { text = "/text" }
append = { texts = "/text" }

[[on]]
event = "Taken"
version = 1
remove = { texts = "/text" }
missing = "skip"

[[on]]
event = "Cleared"
version = 1
clear = ["low", "text"]

[[on]]
event = "Deleted"
version = 1
delete = true
"#;

const FIELDS: &str = r#"count = "integer", sum = "numeric", debt = "integer", low = "integer", high = "numeric", first_text = "text", last_text = "text", text = "text", texts = "json""#;

fn projection() -> String {
    let clauses = CLAUSES.replace("version = 1\n", "version = 1\nkey = \"/id\"\n");
    format!("projection = \"model\"\n[table.model]\nkey = \"id\"\ncolumns = {{ id = \"text\", {FIELDS} }}\n{clauses}")
}

fn aggregate() -> String {
    format!("aggregate = \"model\"\nstate = {{ {FIELDS} }}\n{CLAUSES}")
}

/// The row in plain Rust.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    count: Option<i64>,
    sum: Option<i64>,
    debt: Option<i64>,
    low: Option<i64>,
    high: Option<i64>,
    first_text: Option<String>,
    last_text: Option<String>,
    text: Option<String>,
    texts: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
enum Step {
    Changed(Option<i32>, Option<String>),
    Taken(String),
    Cleared,
    Deleted,
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let text = prop_oneof!["[ab]", Just("ü \"\\".to_owned())];
    let step = prop_oneof![
        6 => (any::<Option<i32>>(), proptest::option::of(text.clone())).prop_map(|(n, text)| Step::Changed(n, text)),
        2 => text.prop_map(Step::Taken),
        1 => Just(Step::Cleared),
        1 => Just(Step::Deleted),
    ];
    proptest::collection::vec((0_u8..3, step), 0..40)
}

fn model(steps: &[(u8, Step)]) -> BTreeMap<String, Model> {
    let mut rows: BTreeMap<String, Model> = BTreeMap::new();
    for (key, step) in steps {
        let key = key.to_string();
        match step {
            Step::Changed(n, text) => {
                let row = rows.entry(key).or_default();
                let number = n.map(i64::from);
                row.count = Some(row.count.unwrap_or(0) + 1);
                row.sum = Some(row.sum.unwrap_or(0) + number.unwrap_or(0));
                row.debt = Some(row.debt.unwrap_or(0) - number.unwrap_or(0));
                row.low = row.low.into_iter().chain(number).min();
                row.high = row.high.into_iter().chain(number).max();
                row.first_text = row.first_text.clone().or(text.clone());
                row.last_text = text.clone().or(row.last_text.clone());
                row.text.clone_from(text);
                row.texts.get_or_insert_default().extend(text.clone());
            }
            Step::Taken(text) => {
                if let Some(texts) = rows.get_mut(&key).and_then(|row| row.texts.as_mut()) {
                    texts.retain(|other| other != text);
                }
            }
            Step::Cleared => {
                let row = rows.entry(key).or_default();
                (row.low, row.text) = (None, None);
            }
            Step::Deleted => {
                rows.remove(&key);
            }
        }
    }
    rows
}

fn event(number: u64, key: u8, step: &Step) -> Event {
    let mut data = serde_json::json!({ "id": key.to_string() });
    let event_type = match step {
        Step::Changed(n, text) => {
            if let Some(n) = n {
                data["n"] = (*n).into();
            }
            data["text"] = text.clone().into();
            "Changed"
        }
        Step::Taken(text) => {
            data["text"] = text.clone().into();
            "Taken"
        }
        Step::Cleared => "Cleared",
        Step::Deleted => "Deleted",
    };
    Event {
        id: EventId::text(format!("e-{number}")).unwrap(),
        stream: StreamName::new(format!("model-{key}")).unwrap(),
        revision: Revision(number),
        position: Position::new(number),
        event_type: EventType::new(event_type).unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(data.to_string()),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

/// Folds in Rust's memory; with `spilling`, every row goes through bytes after every event.
fn folded(projection: &dyn Projection, steps: &[(u8, Step)], spilling: bool) -> BTreeMap<RowKey, Row> {
    let table = &projection.tables()[0];
    let mut rows: BTreeMap<RowKey, Row> = BTreeMap::new();
    for (number, (key, step)) in steps.iter().enumerate() {
        let event = event(number as u64, *key, step);
        let mut changes = Changes::new();
        projection.project(&mut EventView::new(&event), &mut changes).unwrap();
        for change in changes.drain() {
            let mut row = rows.remove(&change.key);
            change.change.make(&event, &change.key, &mut row).unwrap();
            let Some(mut row) = row else { continue };
            if spilling {
                let mut bytes = Vec::new();
                row.encode(&mut bytes).unwrap();
                row = Row::decode(table, &bytes).unwrap();
            }
            rows.insert(change.key, row);
        }
    }
    rows
}

/// A row's or state's fields as JSON, `id` left out.
fn json(model: &Model) -> serde_json::Value {
    serde_json::json!({
        "count": model.count, "sum": model.sum, "debt": model.debt, "low": model.low, "high": model.high,
        "first_text": model.first_text, "last_text": model.last_text, "text": model.text, "texts": model.texts,
    })
}

fn load(text: String) -> Definitions {
    Definitions::load([(PathBuf::from("model.toml"), text)]).unwrap()
}

proptest! {
    #[test]
    fn a_projection_is_its_model(steps in steps()) {
        let definitions = load(projection());
        let projection = &definitions.projections()[0];
        let columns = &projection.tables()[0].columns;
        let rows = folded(&**projection, &steps, false);
        let expected: Vec<serde_json::Value> = model(&steps).values().map(json).collect();
        let actual: Vec<serde_json::Value> = rows.values().map(|row| {
            let fields = columns.iter().zip(&row.0).skip(1);
            let field = |(column, value): (&eventlift_projections::Column, &Value)| {
                (column.name.clone(), serde_json::from_str(&value.json().unwrap()).unwrap())
            };
            serde_json::Value::Object(fields.map(field).collect())
        }).collect();
        prop_assert_eq!(actual, expected);
        prop_assert_eq!(folded(&**projection, &steps, true), rows);
    }

    #[test]
    fn an_aggregate_is_its_model(steps in steps()) {
        let definitions = load(aggregate());
        let projection = &definitions.projections()[0];
        let snapshots = folded(&**projection, &steps, false);
        let expected: BTreeMap<String, serde_json::Value> =
            model(&steps).iter().map(|(key, model)| (format!("model-{key}"), json(model))).collect();
        let state = |row: &Row| serde_json::from_str(&row.0[snapshot_columns::STATE].json().unwrap()).unwrap();
        let actual: BTreeMap<String, serde_json::Value> =
            snapshots.values().map(|row| (row.0[snapshot_columns::STREAM].to_string(), state(row))).collect();
        prop_assert_eq!(actual, expected);
        for row in snapshots.values() {
            let stream = row.0[snapshot_columns::STREAM].to_string();
            let of_stream = steps.iter().rposition(|(key, _)| stream == format!("model-{key}")).unwrap();
            prop_assert_eq!(&row.0[snapshot_columns::REVISION], &Value::Integer(of_stream as i64));
        }
        prop_assert_eq!(folded(&**projection, &steps, true), snapshots);
    }
}

#[test]
fn an_event_that_fails_changes_nothing() {
    let definitions = load(projection().replace("add = {", "add = { low = \"/required\","));
    let projection = &definitions.projections()[0];
    let mut changes = Changes::new();
    changes.delete(0, RowKey::text("kept"));
    let failing = event(0, 1, &Step::Changed(None, None));
    // Its row is known, so it fails there: the row can wait for it.
    projection.project(&mut EventView::new(&failing), &mut changes).unwrap();
    let failure = changes.drain().nth(1).unwrap();
    let mut row = None;
    let reason = failure.make(&failing, &mut row).unwrap_err();
    assert_eq!(reason.message, "add `low`: /required is missing; add `default`");
    assert!(row.is_none());
}

#[test]
fn data_that_is_no_json_fails_only_where_it_is_looked_into() {
    let text = "[table.t]\nkey = 'id'\ncolumns = { id = 'text', n = 'integer' }\n\
        [[on]]\nevent = 'Deleted'\nversion = 1\nwhen = { category = 'model' }\nkey = { event = 'stream' }\nadd = { n = 1 }\n";
    let binary = Event { data: Payload::binary(vec![0xff]), ..event(0, 1, &Step::Deleted) };
    let project = |text: &str| {
        let definitions = load(text.to_owned());
        let mut changes = Changes::new();
        let outcome = definitions.projections()[0].project(&mut EventView::new(&binary), &mut changes);
        let outcome = outcome.and_then(|()| {
            let made: Vec<_> = changes.drain().collect();
            let count = made.len();
            made.into_iter().try_for_each(|made| made.make(&binary, &mut None)).map(|()| count)
        });
        outcome.map_err(|reason| reason.message)
    };
    assert_eq!(project(text), Ok(1));
    let message = project(&text.replace("n = 1 }", "n = '/n' }")).unwrap_err();
    assert_eq!(message, "add `n`: the data is application/octet-stream, but the fold needs JSON");
    let message = project(&text.replace("category = 'model'", "path = '/x', exists = true")).unwrap_err();
    assert!(message.contains("application/octet-stream, but the rule needs JSON"), "{message}");
}

#[test]
fn a_state_of_other_fields_is_refused() {
    let definitions = load(aggregate());
    let event = event(0, 1, &Step::Changed(Some(1), None));
    let outcome = |state: &str| {
        let mut changes = Changes::new();
        definitions.projections()[0].project(&mut EventView::new(&event), &mut changes).unwrap();
        let change = changes.drain().next().unwrap();
        let values =
            [Value::text("model-1"), Value::Integer(0), Value::text("0"), Value::Null, Value::Json(state.into())];
        change.make(&event, &mut Some(Row(Box::new(values)))).map_err(|reason| reason.message)
    };
    for state in ["{}", "[]", r#"{"count":1,"sum":1,"debt":1,"low":1,"high":1,"a":"","b":"","c":"","d":[]}"#] {
        let message = outcome(state).unwrap_err();
        assert!(message.starts_with("the snapshot can't be read as the aggregate's state: "), "{message}");
    }
    let null =
        r#"{"count":1,"sum":1.50,"debt":null,"low":1,"high":1,"first_text":"","last_text":"","text":"","texts":null}"#;
    assert_eq!(outcome(null), Ok(()));
}
