//! The same questions about exact numbers have the same answers in SQLite and in PostgreSQL.

use rusqlite::Connection;
use sqlx::{AssertSqlSafe, Row};

use super::database::Database;
use crate::project::{FILE_TO_SQLITE, Project};

/// In no order at all; some differ from others behind the 17th digit.
const NUMBERS: [&str; 18] = [
    "1178.76",
    "120.50",
    "27.70",
    "9.50",
    "-9.50",
    "-100",
    "-20.5",
    "0.00",
    "100",
    "20",
    "9007199254740993",
    "9007199254740992",
    "-9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999999999999999999",
    "-99999999999999999999999999999999999999",
    "0.00000000000000000000000000000000000001",
];

const QUESTIONS: [&str; 8] = [
    "SELECT id FROM totals ORDER BY total DESC",
    "SELECT id FROM totals WHERE total > 90 ORDER BY total",
    "SELECT id FROM totals WHERE total = 120.5",
    "SELECT id FROM totals WHERE total IN (100, 20.0, 9007199254740993) ORDER BY total",
    "SELECT id FROM totals WHERE total BETWEEN -20.5 AND 9.5 ORDER BY total",
    "SELECT id FROM totals WHERE total = (SELECT max(total) FROM totals WHERE total < 1000000)",
    "SELECT id FROM totals WHERE total = (SELECT min(total) FROM totals)",
    "SELECT CAST(count(*) AS text) FROM totals WHERE total < 0",
];

fn in_sqlite(project: &Project, question: &str) -> Vec<String> {
    let connection = Connection::open(project.path("models.db")).unwrap();
    let mut statement = connection.prepare(question).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn exact_numbers_sort_and_compare_alike_in_both_databases() {
    let database = Database::create().await;
    let folded = |read_models: &str| {
        let project = Project::new(&format!("{FILE_TO_SQLITE}\n[read_models]\n{read_models}\n"));
        let event = |(number, total): (usize, &&str)| {
            format!(
                r#"{{"specversion":"1.0","id":"n{number:02}","source":"/x","type":"Paid","subject":"p-1","time":"2024-01-01T00:00:00Z","dataschema":"urn:schema:Paid:1","streamrevision":{number},"sequence":"{number}","data":{{"total":{total}}}}}"#
            ) + "\n"
        };
        project.write("events.ndjson", NUMBERS.iter().enumerate().map(event).collect::<String>());
        project.write("transformers/paid.toml", "type = \"Paid\"\ncurrent = 1\n");
        project.write(
            "projections/totals.toml",
            "projection = \"totals\"\n\n[table.totals]\nkey = \"id\"\ncolumns = { id = \"text\", total = \"numeric\" }\n\
             indexes = [{ columns = [\"total\"], unique = true }]\n\n\
             [[on]]\nevent = \"Paid\"\nversion = 1\nkey = { event = \"id\" }\nset = { total = \"/total\" }\n",
        );
        for command in ["migrate", "verify"] {
            let said = project.run(command, [""; 0]);
            assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        }
        project
    };
    let here = folded("store = \"sqlite\"\npath = \"models.db\"");
    folded(&format!("url = \"{}\"", database.url()));
    let mut connection = database.connect().await;
    for question in QUESTIONS {
        let rows = sqlx::query(AssertSqlSafe(question)).fetch_all(&mut connection).await.unwrap();
        let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(!there.is_empty(), "{question}");
        assert_eq!(in_sqlite(&here, question), there, "{question}");
    }
    // The digits are in the column itself there, and beside it here.
    let rows =
        sqlx::query("SELECT total::text FROM totals ORDER BY totals.total").fetch_all(&mut connection).await.unwrap();
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(in_sqlite(&here, "SELECT total__exact FROM totals ORDER BY total"), there);
}
