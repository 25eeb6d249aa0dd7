//! Rewriting events where they are in PostgreSQL, beside services that write and under tables that forbid it.

use std::sync::Arc;

use eventlift::events::{ContentType, Event, EventRewriter, EventWriter, Payload};
use eventlift::pipeline::InPlace;
use eventlift::stores::StoreConfig;
use eventlift::stores::postgres::{PayloadColumn, PostgresConfig, PostgresReader, PostgresWriter};
use eventlift::transformers::{Registry, Rule};

use super::database::Database;
use super::writers::{number, run};
use crate::content::events_of;
use crate::in_place::scene::{lifted, log, options, rules};

struct Scene {
    database: Database,
    config: PostgresConfig,
}

impl Scene {
    async fn new(column: PayloadColumn, events: &[Event]) -> Self {
        let database = Database::create().await;
        let config = PostgresConfig { data: column, metadata: column, ..PostgresConfig::new(database.url()) };
        let mut writer = PostgresWriter::open(config.clone()).await.unwrap();
        writer.append(events, None).await.unwrap();
        writer.seal(true).await.unwrap();
        Self { database, config }
    }

    async fn in_place(&self, rules: &Arc<Registry>) -> InPlace {
        let store = Arc::new(PostgresReader::open(self.config.clone()).await.unwrap());
        let rewriter = Box::new(PostgresWriter::open(self.config.clone()).await.unwrap());
        InPlace::new(store, rewriter, Arc::clone(rules), options(20, 100))
    }

    async fn events(&self) -> Vec<Event> {
        events_of(&PostgresReader::open(self.config.clone()).await.unwrap()).await
    }

    /// Every row as it is, to the byte and the column.
    async fn rows(&self) -> Vec<String> {
        let mut connection = self.database.connect().await;
        sqlx::query_scalar("SELECT e::text FROM public.events e ORDER BY position")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    async fn refused(&self, rules: &Arc<Registry>) -> (String, String) {
        let error = self.in_place(rules).await.run().await.unwrap_err();
        let hint = error.hint().unwrap_or_default();
        let said = error.to_string().replace(&self.config.to_string(), "STORE");
        (said, hint)
    }
}

async fn there_and_back(column: PayloadColumn) {
    let (rules, log) = (rules(), log(500));
    let scene = Scene::new(column, &log).await;
    let (before, rows) = (scene.events().await, scene.rows().await);
    let outcome = scene.in_place(&rules).await.run().await.unwrap();
    assert!(outcome.done && outcome.counts.written > 100);
    let verified = scene.in_place(&rules).await.verify(|_| {}).await.unwrap();
    assert!(verified.agrees(), "{verified:?}");
    assert_eq!((verified.rewritten, verified.rewritten + verified.untouched), (outcome.counts.written, 500));
    if column.is_exact() {
        assert_eq!(scene.events().await, lifted(&rules, &before));
    }
    let undone = scene.in_place(&rules).await.undo().await.unwrap();
    assert_eq!((undone.restored, undone.done), (outcome.counts.written, true));
    assert_eq!(scene.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn json_there_and_back() {
    there_and_back(PayloadColumn::Json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn jsonb_there_and_back() {
    there_and_back(PayloadColumn::Jsonb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn bytea_there_and_back() {
    there_and_back(PayloadColumn::Bytea).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn services_go_on_writing() {
    let (rules, log) = (rules(), log(2_000));
    let scene = Scene::new(PayloadColumn::Jsonb, &log).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let services: Vec<_> = (0..3)
        .map(|service| {
            let (url, stop) = (scene.database.url(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
                let mut count = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let insert = format!(
                        "INSERT INTO public.events (stream, revision, id, type, data)
                         VALUES ('service-{service}', {count}, 's-{service}-{count}', 'AmountPaid', '{count}')"
                    );
                    run(&mut connection, insert).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let first = scene.in_place(&rules).await.run().await.unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut written = 0;
    for service in services {
        written += service.await.unwrap();
    }
    let second = scene.in_place(&rules).await.run().await.unwrap();
    assert_eq!((first.run, second.done), (second.run, true));
    assert_eq!(second.counts.read, 2_000 + written);
    assert!(scene.in_place(&rules).await.verify(|_| {}).await.unwrap().agrees());
    let mut connection = scene.database.connect().await;
    let old = "SELECT count(*) FROM public.events WHERE type = 'AmountPaid' AND schema_version = 1";
    assert_eq!(number(&mut connection, old).await, 0);
    let undone = scene.in_place(&rules).await.undo().await.unwrap();
    assert_eq!((undone.restored, undone.kept), (second.counts.written, 0));
    let new = "SELECT count(*) FROM public.events WHERE type = 'AmountPaid' AND schema_version <> 1";
    assert_eq!(number(&mut connection, new).await, 0);
}

/// Whatever keeps rows from being changed is heard before anything is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn tables_that_forbid_it_are_heard() {
    let (rules, log) = (rules(), log(50));
    let scene = Scene::new(PayloadColumn::Json, &log).await;
    let rows = scene.rows().await;
    let mut connection = scene.database.connect().await;
    let function = |body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION public.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
             DROP TRIGGER IF EXISTS immutable ON public.events;
             CREATE TRIGGER immutable BEFORE UPDATE ON public.events FOR EACH ROW EXECUTE FUNCTION public.guard()"
        )
    };
    let hint = |what: &str| {
        format!("the table has a say in that itself ({what}); take it away for as long as events are rewritten")
    };
    run(&mut connection, function("RAISE EXCEPTION 'events never change';")).await;
    let said = ("failed to rewrite events in STORE: events never change".to_owned(), hint("trigger immutable"));
    assert_eq!(scene.refused(&rules).await, said);
    run(&mut connection, function("RETURN NULL;")).await;
    let said = ("failed to rewrite events in STORE: it lets no row be changed".to_owned(), hint("trigger immutable"));
    assert_eq!(scene.refused(&rules).await, said);
    run(&mut connection, "DROP TRIGGER immutable ON public.events").await;
    run(&mut connection, "CREATE RULE never AS ON UPDATE TO public.events DO INSTEAD NOTHING").await;
    let said = ("failed to rewrite events in STORE: it lets no row be changed".to_owned(), hint("rule never"));
    assert_eq!(scene.refused(&rules).await, said);
    run(&mut connection, "DROP RULE never ON public.events").await;
    assert_eq!(scene.rows().await, rows);
    assert_eq!(number(&mut connection, "SELECT count(*) FROM public.eventlift_runs").await, 0);
    // A trigger that only keeps a few rows from it is found out as well, and then nothing of the transaction stays.
    run(&mut connection, function("IF NEW.position = 30 THEN RETURN NULL; END IF; RETURN NEW;")).await;
    let all = Rule::new("all", "1", |event: Event| Ok(Event { data: Payload::json("1"), ..event }));
    let all = Arc::new(Registry::builder().rule(all).build().unwrap());
    let (said, _) = scene.refused(&all).await;
    assert!(said.contains("of 50 rows only 49 let themselves be changed"), "{said}");
    assert_eq!(scene.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_a_column_can_not_hold_names_its_event() {
    let log = log(30);
    let scene = Scene::new(PayloadColumn::Jsonb, &log).await;
    let rows = scene.rows().await;
    let id = log[17].id.clone();
    let rule = Rule::new("nul", "1", move |event: Event| {
        let data = if event.id == id { r#"{"a": "\u0000"}"# } else { "1" };
        Ok(Event { data: Payload::json(data), ..event })
    });
    let rules = Arc::new(Registry::builder().rule(rule).build().unwrap());
    let (said, _) = scene.refused(&rules).await;
    assert!(said.contains("position 54: PostgreSQL refuses what it would become"), "{said}");
    assert_eq!(scene.rows().await, rows);
}

/// What is no JSON goes to the column for bytes, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn payloads_change_their_columns() {
    let mut log = log(30);
    for event in log.iter_mut().step_by(2) {
        event.data = Payload::new(&b"\xff\x00"[..], ContentType::Binary);
    }
    let scene = Scene::new(PayloadColumn::Jsonb, &log).await;
    let rows = scene.rows().await;
    let rule = Rule::new("swap", "1", |event: Event| {
        let data = if event.data.is_json() { Payload::json("{broken") } else { Payload::json(r#"{"a":1}"#) };
        Ok(Event { data, ..event })
    });
    let rules = Arc::new(Registry::builder().rule(rule).build().unwrap());
    scene.in_place(&rules).await.run().await.unwrap();
    let now = scene.events().await;
    assert!(now.iter().enumerate().all(|(n, event)| event.data.is_json() && (event.data.len() == 7) == (n % 2 == 1)));
    assert!(scene.in_place(&rules).await.verify(|_| {}).await.unwrap().agrees());
    assert!(scene.in_place(&rules).await.undo().await.unwrap().done);
    assert_eq!(scene.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn other_layouts_and_stores_that_are_loading_are_refused() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    super::writers::create(&mut connection, "public.events").await;
    let config = StoreConfig::Postgres(Box::new(PostgresConfig::new(database.url())));
    let refused = config.rewriter().await.err().unwrap().to_string();
    assert!(refused.contains("it has other columns: ") && refused.contains("id is uuid, not text"), "{refused}");
    let own = "DROP TABLE public.events; CREATE TABLE public.events (position bigint PRIMARY KEY, stream text,
        revision bigint, id text, type text, schema_version bigint, recorded_at timestamptz, data json, data_bytes bytea,
        metadata json, metadata_bytes bytea, data_type text, metadata_type text, attributes text)";
    run(&mut connection, own).await;
    let refused = config.rewriter().await.err().unwrap().to_string();
    assert!(refused.contains("a service made the table, and no run of eventlift has filled it"), "{refused}");
    let tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'eventlift%'";
    assert_eq!(number(&mut connection, tables).await, 0);

    let loading = Database::create().await;
    let mut writer = PostgresWriter::open(PostgresConfig::new(loading.url())).await.unwrap();
    writer.append(&log(10), None).await.unwrap();
    let refused = writer.check_rewritable().await.unwrap_err();
    assert!(refused.to_string().contains("it is loading"), "{refused}");
}
