//! From KurrentDB to PostgreSQL and back to another server.

use super::database::Database;
use crate::kurrentdb::server::{KurrentServer, ServerOptions};
use crate::kurrentdb::world::{by_stream, fill, succeeds};
use crate::project::Project;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn events_go_there_and_back() {
    let database = Database::create().await;
    let (first, second) =
        (KurrentServer::start(ServerOptions::default()), KurrentServer::start(ServerOptions::default()));
    fill(&first.database(), 20, 25, true);
    let there = Project::new(&format!("[source]\nurl = {:?}\n\n[target]\nurl = {:?}\n", first.url(), database.url()));
    let keys = "\n[target.metadata]\ntime = \"none\"\nrevision = \"none\"\nposition = \"none\"\nversion = \"none\"\n";
    let back = format!("[source]\nurl = {:?}\n\n[target]\nurl = {:?}\n{keys}", database.url(), second.url());
    let back = Project::new(&back);
    tokio::task::spawn_blocking(move || {
        for project in [there, back] {
            succeeds(&project, "plan", &[]);
            succeeds(&project, "migrate", &[]);
            succeeds(&project, "verify", &[]);
        }
        assert_eq!(by_stream(&second.database()), by_stream(&first.database()));
    })
    .await
    .unwrap();
}
