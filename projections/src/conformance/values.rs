//! What is put in comes out.

use eventlift_events::conformance::{Failure, Verdict};
use eventlift_events::{StoreErrorKind, Timestamp};
use uuid::Uuid;

use super::observe::{build, comes_back, has, in_order, publish};
use super::sample::{count, counts, origin, table, time};
use super::subject::{ReadModelsUnderTest, refused};
use crate::row::Row;
use crate::store::Side;
use crate::table::{Column, Index, Table, TableKind};
use crate::value::{ColumnType, Value};
use eventlift_language::Numeric;

/// A table with an integer as its key and one column of every type.
fn every_type() -> Table {
    let mut columns = vec![("key", ColumnType::Integer)];
    columns.extend(ColumnType::ALL.map(|column_type| (column_type.as_str(), column_type)));
    table("every_type", &columns, 1)
}

/// A table with an integer as its key and one column.
fn one_column(column_type: ColumnType) -> Table {
    table("one_column", &[("key", ColumnType::Integer), ("value", column_type)], 1)
}

/// The values in rows of [`one_column`].
fn rows_of(values: impl IntoIterator<Item = Value>) -> Vec<Row> {
    (1..).zip(values).map(|(number, value)| Row(Box::new([Value::Integer(number), value]))).collect()
}

fn numeric(text: &str) -> Result<Value, Failure> {
    text.parse::<Numeric>().map(Value::numeric).map_err(Failure::new)
}

/// A value of every type, and null of every type.
pub async fn every_type_and_null_come_back(store: &dyn ReadModelsUnderTest) -> Verdict {
    let full = [
        Value::Integer(1),
        Value::text("text"),
        Value::Integer(-7),
        numeric("-10.10")?,
        Value::Boolean(true),
        Value::Time(time(1_714_564_800_000_001)),
        Value::Uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        Value::Json(r#"{"b": 1.0, "a": [null]}"#.into()),
    ];
    let mut nulls = vec![Value::Null; full.len()];
    nulls[0] = Value::Integer(2);
    let rows = vec![Row(Box::new(full)), Row(nulls.into())];
    comes_back(&*store.read_models().await?, &every_type(), rows).await
}

/// Text of every kind, in a key and beside it: empty, quotes, what means something to a database, every script. A NUL
/// may be refused as unsupported.
pub async fn odd_text_comes_back_or_is_refused(store: &dyn ReadModelsUnderTest) -> Verdict {
    const ODD: [&str; 18] = [
        "",
        " ",
        "'",
        "\"",
        "''; DROP TABLE texts; --",
        "NULL",
        "\\",
        "\\N",
        "\t",
        "\r\n",
        "%s",
        "{a,b}",
        "ü",
        "u\u{308}",
        "日本語",
        "🦀",
        "\u{feff}",
        "\u{10ffff}\u{1}",
    ];
    let store = store.read_models().await?;
    let texts = table("texts", &[("key", ColumnType::Text), ("value", ColumnType::Text)], 1);
    let rows = ODD.map(|text| Row(Box::new([Value::text(text), Value::text(text)]))).to_vec();
    comes_back(&*store, &texts, rows).await?;
    for place in 0..2 {
        let mut row = count("a", 1);
        row.0[1] = Value::text("a");
        row.0[place] = Value::text("a\0b");
        store.begin("nul", &origin("f"), &[Table { name: "nul".to_owned(), ..texts.clone() }]).await?;
        match store.load("nul", 0, vec![row.clone()]).await {
            Ok(()) => store.complete("nul", None, 0, &[]).await?,
            Err(error) if matches!(error.kind, StoreErrorKind::Unsupported(_)) => continue,
            Err(error) => return Err(Failure::from(error).when("a text with a NUL")),
        }
        has(&*store, Side::Shadow, "nul", 0, &[row]).await?;
    }
    Ok(())
}

/// Texts and JSON of 1 MiB.
pub async fn a_text_of_one_mebibyte_comes_back(store: &dyn ReadModelsUnderTest) -> Verdict {
    let columns = [("key", ColumnType::Integer), ("text", ColumnType::Text), ("json", ColumnType::Json)];
    let text = "0123456789abcdeü".repeat((1 << 20) / 16);
    let json = format!("\"{text}\"");
    let row = Row(Box::new([Value::Integer(1), Value::text(text), Value::Json(json.into())]));
    comes_back(&*store.read_models().await?, &table("large", &columns, 1), vec![row]).await
}

/// Whole numbers of 64 bits and exact numbers of 38 digits, with the decimals they were written with.
pub async fn numbers_come_back_to_the_digit(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let whole = [0, -1, 9_007_199_254_740_993, -9_007_199_254_740_993, i64::MAX, i64::MIN].map(Value::Integer);
    comes_back(&*store, &one_column(ColumnType::Integer), rows_of(whole)).await?;
    let exact = [
        "0",
        "0.00",
        "10.10",
        "10.1",
        "-0.05",
        "9007199254740993",
        "0.1000000000000000055511151231257827",
        "99999999999999999999999999999999999999",
        "-99999999999999999999.999999999999999999",
        "0.00000000000000000000000000000000000001",
    ];
    let exact: Result<Vec<Value>, Failure> = exact.into_iter().map(numeric).collect();
    comes_back(&*store, &one_column(ColumnType::Numeric), rows_of(exact?)).await
}

/// Times with microseconds, without, and before 1970. Those before the year 1 or behind 9999 may be refused.
pub async fn times_come_back_to_the_microsecond(store: &dyn ReadModelsUnderTest) -> Verdict {
    const YEAR_0: i64 = -62_167_219_200_000_000;
    let times = [0, 1, -1, -999_999, -1_000_000, 1_714_564_800_000_000, 1_714_564_800_100_000, -5_000_000_000_000_001];
    let store = store.read_models().await?;
    let of_times = one_column(ColumnType::Time);
    comes_back(&*store, &of_times, rows_of(times.map(|micros| Value::Time(time(micros))))).await?;
    for micros in [YEAR_0 - 1, YEAR_0, YEAR_0 * 2] {
        let rows = rows_of([Value::Time(time(micros))]);
        match build(&*store, "p", &[(of_times.clone(), rows.clone())]).await {
            Ok(()) => has(&*store, Side::Shadow, "p", 0, &rows).await?,
            Err(error) if matches!(error.kind, StoreErrorKind::Unsupported(_)) => {}
            Err(error) => {
                return Err(Failure::from(error).when(format_args!("the time {:?}", Timestamp::from_micros(micros))));
            }
        }
    }
    Ok(())
}

/// JSON as the text it was, with its spaces, its order and its repeated keys.
pub async fn json_comes_back_as_it_was_written(store: &dyn ReadModelsUnderTest) -> Verdict {
    let texts = ["null", "1.0", "1e2", "9007199254740993", r#"{"b":1,  "a":2, "b":3}"#, "[]", r#""\u00fc""#, "\"ü\""];
    let rows = rows_of(texts.map(|text| Value::Json(text.into())));
    comes_back(&*store.read_models().await?, &one_column(ColumnType::Json), rows).await
}

/// Tables, columns and indexes that are called as words of SQL are, in lower and upper case.
pub async fn reserved_and_mixed_case_names_are_taken(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    for (number, name) in ["select", "ORDER", "user", "Table", "_", "Camel_Case", "rowid"].into_iter().enumerate() {
        let column = |name: &str| Column { name: name.to_owned(), column_type: ColumnType::Integer };
        let of_words = Table {
            name: name.to_owned(),
            columns: ["from", "WHERE", "oid", "group", "End"].map(column).into(),
            key: vec![2, 0],
            indexes: vec![Index { columns: vec![1, 3], unique: true }, Index { columns: vec![4], unique: false }],
            kind: TableKind::ReadModel,
        };
        let row = |number: i64| Row((number..number + 5).map(Value::Integer).collect());
        let rows = in_order(&of_words, vec![row(1), row(2)]);
        let projection = format!("p{number}");
        publish(&*store, &projection, &[(of_words, rows.clone())]).await?;
        has(&*store, Side::Live, &projection, 0, &rows).await?;
    }
    Ok(())
}

/// Too many or too few values, one of another type, a key that is null.
pub async fn rows_that_do_not_fit_are_refused(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    store.begin("p", &origin("f"), &[counts("t")]).await?;
    let misfits: [(&str, Vec<Value>); 4] = [
        ("too few values", vec![Value::text("a")]),
        ("too many values", vec![Value::text("a"), Value::Integer(1), Value::Null]),
        ("a value of another type", vec![Value::text("a"), Value::text("1")]),
        ("a key that is null", vec![Value::Null, Value::Integer(1)]),
    ];
    for (what, values) in misfits {
        refused(what, store.load("p", 0, vec![Row(values.into())]).await)?;
    }
    refused("a row of a table that is not there", store.load("p", 1, vec![count("a", 1)]).await)?;
    store.complete("p", None, 0, &[]).await?;
    has(&*store, Side::Shadow, "p", 0, &[]).await
}
