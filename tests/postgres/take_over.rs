//! The same as in tests/take_over.rs on PostgreSQL, where a session can outlive its process.

use std::time::Duration;

use eventlift::events::EventWriter;
use eventlift::stores::Claim;
use eventlift::stores::postgres::{PostgresConfig, PostgresWriter};
use sqlx::{AssertSqlSafe, Executor};

use super::database::Database;
use crate::project::Project;
use crate::rulebook;
use crate::take_over::{
    as_long_as_it_gets_on, assert_code, block_on, for_a_while, for_good, killed, late, never, spawn, target,
};

/// A database, and a project whose target in it holds what its source does.
struct World {
    database: Database,
    project: Project,
}

impl World {
    /// With this patience.
    fn migrated(patience: &str) -> Self {
        let database = block_on(Database::create());
        let project = Project::new(&toml(&database.url(), patience));
        let world = Self { database, project };
        world.append(0, 300);
        world.project.run("migrate", [] as [&str; 0]).succeeds();
        world
    }

    fn append(&self, from: usize, to: usize) {
        let config = PostgresConfig { schema: "old".to_owned(), ..PostgresConfig::new(self.database.url()) };
        block_on(async {
            let mut source = PostgresWriter::open(config).await.unwrap();
            source.append(&rulebook::log(400, 3)[from..to], None).await.unwrap();
            source.seal(false).await.unwrap();
        });
    }

    fn count(&self) -> i64 {
        block_on(async {
            let mut connection = self.database.connect().await;
            sqlx::query_scalar("SELECT count(*) FROM new.events").fetch_one(&mut connection).await.unwrap()
        })
    }

    fn execute(&self, statement: String) {
        block_on(async {
            let mut connection = self.database.connect().await;
            connection.execute(AssertSqlSafe(statement)).await.unwrap();
        });
    }

    /// Has the ledger say that whoever holds the target was another process of this machine, which has ended.
    fn forget_the_process(&self) {
        self.execute(
            "UPDATE new.eventlift_stores SET holder = (holder::jsonb || '{\"process_started\": 1}')::text".to_owned(),
        );
    }
}

fn toml(url: &str, patience: &str) -> String {
    format!(
        "[source]\nurl = {url:?}\nschema = \"old\"\n\n[target]\nurl = {url:?}\nschema = \"new\"\n\n\
         [take_over]\npatience = \"{patience}\"\n"
    )
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn who_answers_late_is_waited_for() {
    late(&World::migrated("5min").project);
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn who_never_answers_is_given_up_on_and_named() {
    never(&World::migrated("2s").project);
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn who_is_killed_while_it_is_asked_has_let_go() {
    killed(&World::migrated("5min").project);
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn who_gets_on_is_waited_for() {
    as_long_as_it_gets_on(&World::migrated("2s").project, Duration::from_secs(2));
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_follower_comes_back_from_a_short_break() {
    let world = World::migrated("5min");
    let before = world.count();
    for_a_while(&world.project, || world.append(300, 400), || world.count() > before);
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_follower_ends_where_its_target_is_taken_over() {
    for_good(&World::migrated("5min").project);
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn what_is_left_of_a_process_that_is_gone_is_ended() {
    for (command, arguments) in [("migrate", &[] as &[&str]), ("rollback", &["--yes"]), ("cutover", &[])] {
        let world = World::migrated("5min");
        let held = block_on(target(&world.project).writer_as(&Claim::of("a test"))).unwrap();
        world.forget_the_process();
        let status = world.project.run("status", [] as [&str; 0]).succeeds();
        assert!(status.contains("nothing is at work on it"), "{status}");
        let said = assert_code(&spawn(&world.project, command, arguments).wait_with_output().unwrap(), 0);
        assert!(said.contains("its process is gone; its session at the server was ended"), "{command}: {said}");
        // It can't commit any more.
        assert!(block_on(held.runs()).is_err(), "{command}");
    }
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn who_may_not_end_a_session_is_told_the_statement() {
    let world = World::migrated("5min");
    let role = format!("{}_takes", world.database.name());
    world.execute(format!(
        "CREATE ROLE {role} LOGIN;
         GRANT ALL ON SCHEMA old, new TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA old, new TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA old, new TO {role}"
    ));
    let url = url::Url::parse(&world.database.url()).unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    let url = format!("postgres://{role}@{host}:{port}/{}", world.database.name());
    world.project.write("eventlift.toml", toml(&url, "2s"));
    // Held by the superuser, whose session nobody else may end.
    let superuser = PostgresConfig { schema: "new".to_owned(), ..PostgresConfig::new(world.database.url()) };
    let held = block_on(PostgresWriter::open_as(superuser, &Claim::of("a test"))).unwrap();
    world.forget_the_process();
    let said = assert_code(&spawn(&world.project, "migrate", &[]).wait_with_output().unwrap(), 5);
    assert!(said.contains("this user may not end its session"), "{said}");
    assert!(said.contains("SELECT pg_terminate_backend("), "{said}");
    drop(held);
    world.project.write("eventlift.toml", toml(&world.database.url(), "5min"));
    world.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The run is loaded in ranges, each of which remembers where it ended.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_table_that_is_replaced_is_refused() {
    let world = World::migrated("5min");
    world.project.run("migrate", [] as [&str; 0]).succeeds();
    world.execute(
        "UPDATE old.events SET id = gen_random_uuid()::text WHERE position = (SELECT max(position) FROM old.events)"
            .to_owned(),
    );
    let refused = world.project.run("migrate", [] as [&str; 0]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("holds another event at position"), "{}", refused.stderr);
    world.project.run("migrate", ["--accept-changes"]).succeeds();
    world.project.run("migrate", [] as [&str; 0]).succeeds();
}
