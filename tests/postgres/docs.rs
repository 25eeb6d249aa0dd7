//! What the documentation shows of PostgreSQL is run: ```` ```sql postgres ```` blocks against the shop on a server.

use std::fs;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Either, PgConnection};

use super::database::Database;
use super::shop::{READ_MODELS, TARGET, with};
use super::writers::{number, run};
use crate::command_line::eventlift;
use crate::docs::{page, pages};
use crate::project::Project;

/// Runs the statements of a block as they are. Every query has to yield a row.
async fn run_block(connection: &mut PgConnection, place: &str, text: &str) {
    let queries = text.lines().filter(|line| line.starts_with("SELECT ")).count();
    let mut yielding = 0;
    let mut has_row = false;
    let mut results = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).fetch_many(connection);
    while let Some(result) = results.try_next().await.unwrap_or_else(|e| panic!("{place}: {e}")) {
        match result {
            Either::Right(_) => has_row = true,
            Either::Left(_) => yielding += usize::from(std::mem::take(&mut has_row)),
        }
    }
    assert!(yielding >= queries, "{place}: {yielding} of {queries} queries yield a row");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn every_statement_works() {
    let database = Database::create().await;
    let line = format!("url = \"{}\"", database.url());
    let folder = with(&[(TARGET, line.clone()), (READ_MODELS, line)]);
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    let mut connection = database.connect().await;
    // Of ours, so that who looks for us sees somebody.
    run(&mut connection, "SET application_name = 'eventlift'").await;
    let roles = Roles::new(&database);
    let mut ran = 0;
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| block.kind == "sql postgres") {
            run_block(&mut connection, &page.place(block.line), &roles.put_in(&block.text)).await;
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} blocks were run");
    roles.drop(&mut connection).await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn positions_are_translated_there_too() {
    let database = Database::create().await;
    let folder = with(&[(TARGET, format!("url = \"{}\"", database.url()))]);
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    let stores = page("docs/stores.md");
    let start = stores.text.find("WITH old (position)").unwrap();
    let query = stores.text[start..].split_inclusive(';').next().unwrap();
    let sqlite = folder_in_sqlite();
    let there = rusqlite::Connection::open(sqlite.path().join("shop/shop.db")).unwrap();
    let mut connection = database.connect().await;
    for old in ["1", "57", "100", "322"] {
        let query = query.replace("(100)", &format!("({old})"));
        let expected: i64 = there.query_row(&query, [], |row| row.get(0)).unwrap();
        assert_eq!(number(&mut connection, query).await, expected, "of {old}");
    }
}

fn folder_in_sqlite() -> tempfile::TempDir {
    let folder = crate::shop::copied();
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    folder
}

/// The roles that the documentation names, under names that no other database of the server uses.
struct Roles([(&'static str, String); 2]);

impl Roles {
    fn new(database: &Database) -> Self {
        let named = |role: &str| format!("{role}_{}", database.name());
        Self([("shop_service", named("service")), ("eventlift", named("lifter"))])
    }

    fn put_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (role, name) in &self.0 {
            for before in ["ROLE ", "TO ", "AUTHORIZATION "] {
                for after in [" ", ";"] {
                    text = text.replace(&format!("{before}{role}{after}"), &format!("{before}{name}{after}"));
                }
            }
        }
        text
    }

    async fn drop(&self, connection: &mut PgConnection) {
        for (_, name) in &self.0 {
            run(connection, format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name}")).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn the_privileges_that_are_shown_are_enough() {
    let database = Database::create().await;
    let folder = with(&[(TARGET, format!("url = \"{}\"", database.url()))]);
    assert!(eventlift(folder.path(), &["migrate", "shop", "--events-only"]).status.success());
    let mut connection = database.connect().await;
    let stores = page("docs/stores.md");
    let block = stores.blocks().into_iter().find(|block| block.text.contains("CREATE ROLE eventlift")).unwrap();
    let roles = Roles::new(&database);
    run_block(&mut connection, "the privileges", &roles.put_in(&block.text)).await;

    let as_role = |role: usize| database.url().replacen("postgres@", &format!("{}@", roles.0[role].1), 1);
    let url = as_role(1);
    let project = Project::new(&format!(
        "[source]\nurl = \"{url}\"\n\n[target]\nurl = \"{url}\"\nschema = \"lifted\"\n\n[read_models]\nurl = \"{url}\"\nschema = \"views\"\n"
    ));
    let shop = crate::shop::shop_folder();
    for name in ["customers.toml", "products.toml"] {
        project.write(&format!("projections/{name}"), fs::read(shop.join("projections").join(name)).unwrap());
    }
    for (command, arguments) in [
        ("plan", &[][..]),
        ("migrate", &[]),
        ("migrate", &[]),
        ("verify", &[]),
        ("status", &[]),
        ("rebuild", &["--all"]),
        ("rebuild", &["--all"]),
        ("runs", &[]),
    ] {
        let output = project.run(command, arguments);
        assert_eq!(output.code, Some(0), "{command}: {output:?}");
    }
    // The service reads what was made, also behind swaps, and appends.
    let mut service = PgConnection::connect(&as_role(0)).await.unwrap();
    assert_eq!(number(&mut service, "SELECT count(*) FROM views.customers").await, 27);
    let insert = "INSERT INTO lifted.events (stream, revision, id, type, data)
                  VALUES ('user-9000', 0, gen_random_uuid(), 'UserCreated', '{}') RETURNING position";
    assert!(number(&mut service, insert).await > 300);
    let denied = sqlx::query("DELETE FROM views.customers").execute(&mut service).await;
    assert!(denied.unwrap_err().to_string().contains("permission denied"));
    service.close().await.unwrap();
    roles.drop(&mut connection).await;
}
