//! Servers that can't be written to, are full, end statements early, or let nobody in.

use std::os::unix::fs::MetadataExt;

use super::super::server::{Server, settings};
use super::bench::{ACCOUNTS, BETWEEN, Bench, INTO, READ_MODELS, SERVICE, good, line};
use crate::disks::Disk;

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_standby() {
    let server = Server::start(&settings()).unwrap();
    let mut bench = Bench::at(INTO, server.url()).await;
    bench.sql(SERVICE).await;
    let standby = server.standby().unwrap();
    let mut copy = Bench::at(INTO, standby.url()).await;
    copy.write("events.ndjson", good()).about("as a target").fails(8, "migrate p").shows("plan p");
    copy.configure(READ_MODELS).write("projections/accounts.toml", ACCOUNTS);
    copy.about("as a database of read models").fails(8, "rebuild p");
    let from = "[source]\nurl = \"URL\"\n\n[target]\nstore = \"sqlite\"\npath = \"out.db\"\n";
    copy.remove("projections/accounts.toml");
    copy.about("as a source").configure(from).says("migrate p").works("verify p").is("standby");
    bench.configure(from).works("migrate p").works("verify p");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_role_whose_transactions_are_read_only() {
    let mut bench = Bench::as_role(INTO).await;
    bench.write("events.ndjson", good());
    bench.sql("GRANT ALL ON SCHEMA public TO GRANTEE; ALTER ROLE GRANTEE SET default_transaction_read_only = on").await;
    bench.fails(8, "migrate p");
    bench.sql("ALTER ROLE GRANTEE RESET default_transaction_read_only").await;
    bench.works("migrate p").works("verify p").is("read_only");
}

/// A tablespace in memory that is too small, once for the events and once for the indexes.
#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_full_disk() {
    let server = Server::start(&settings()).unwrap();
    let mut bench = Bench::at(INTO, server.url()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let Some(disk) = Disk::mount_at(&path, "2m") else {
        println!("skipped: mounting needs to be root");
        return;
    };
    let process = std::fs::metadata(format!("/proc/{}", server.pid().unwrap())).unwrap();
    for theirs in [folder.path(), &path] {
        std::os::unix::fs::chown(theirs, Some(process.uid()), Some(process.gid())).unwrap();
    }
    let log: String = (1..=20_000).map(|number| line(number, "{\"id\":\"a\",\"amount\":1}")).collect();
    bench.write("events.ndjson", log);
    bench.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", path.display())).await;
    bench.sql("ALTER DATABASE postgres SET default_tablespace = small").await;
    bench.about("too small for the events").fails(8, "migrate p");
    disk.remount("size=5m");
    bench.about("too small for the indexes").fails(8, "migrate p");
    disk.remount("size=64m");
    bench.works("migrate p").works("verify p");
    assert_eq!(bench.ask("SELECT count(*) FROM public.events").await, "20000");
    drop(server);
    bench.is("full");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn statements_that_take_too_long() {
    let mut bench = Bench::new(&BETWEEN.replace("\"lifted\"", "\"lifted\"\nstatement_timeout = \"300ms\"")).await;
    bench.sql(SERVICE).await;
    // Each index takes longer than any statement may: that is none of the timeout's business.
    bench
        .sql(
            "CREATE FUNCTION public.slowly() RETURNS event_trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM pg_catalog.pg_sleep(0.5); END$$;
             CREATE EVENT TRIGGER slowly ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION public.slowly()",
        )
        .await;
    bench.works("migrate p").works("verify p");
    bench.sql("DROP EVENT TRIGGER slowly").await;
    // An insert that does is.
    bench
        .sql(
            "CREATE FUNCTION lifted.slowly() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM pg_catalog.pg_sleep(1); RETURN NULL; END$$;
             CREATE TRIGGER slowly AFTER INSERT ON lifted.events EXECUTE FUNCTION lifted.slowly();
             INSERT INTO public.events (stream, revision, id, type) VALUES ('account-2', 0, 'e-9', 'Moved')",
        )
        .await;
    bench.fails(8, "migrate p");
    bench.configure(BETWEEN).works("migrate p").works("verify p").is("statement_timeout");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn nobody_is_let_in() {
    let settings =
        settings().access("host all postgres 127.0.0.1/32 trust").access("host all all 127.0.0.1/32 scram-sha-256");
    let server = Server::start(&settings).unwrap();
    let mut bench = Bench::at(INTO, server.url()).await;
    bench.write("events.ndjson", good());
    bench.sql("CREATE ROLE anna LOGIN PASSWORD 'right'; GRANT ALL ON SCHEMA public TO anna").await;
    let as_anna =
        |password: &str| INTO.replace("URL", &server.url().replacen("postgres@", &format!("anna:{password}@"), 1));
    bench.configure(&as_anna("s3cret")).about("a wrong password").fails(8, "migrate p").fails(8, "status p");
    bench.configure(&INTO.replace("URL", &server.url().replacen("postgres@", "nobody:s3cret@", 1)));
    bench.about("no such user").fails(8, "migrate p");
    let (start, _) = server.url().rsplit_once('/').map(|(start, end)| (start.to_owned(), end.to_owned())).unwrap();
    bench.configure(&INTO.replace("URL", &format!("{start}/nowhere")));
    bench.about("no such database").fails(8, "migrate p").shows("plan p").shows("status p");
    bench.configure(&as_anna("right")).works("migrate p").works("verify p").is("let_in");
}
