//! The shop goes from its file to a server and on to SQLite, and is there what it is when it goes at once.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::server::{KurrentServer, ServerOptions};
use super::world::{by_stream, fill, succeeds};
use crate::project::Project;
use crate::shop::copied;

const THERE: &str =
    "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n\n[policy]\nunknown_types = \"fail\"\n\n[target]\n";

/// A project with the shop's events and rules.
fn shop(toml: &str) -> Project {
    let project = Project::new(toml);
    let copied = copied();
    let from = copied.path().join("shop");
    project.write("events.ndjson", std::fs::read(from.join("events.ndjson")).unwrap());
    for file in std::fs::read_dir(from.join("transformers")).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        project.write(&format!("transformers/{name}"), std::fs::read(&file).unwrap());
    }
    project
}

/// Every event of a SQLite target but its position, in the order of positions, or by stream.
fn events(project: &Project, by_stream: bool) -> Vec<Vec<Value>> {
    let database = Connection::open(project.path("shop.db")).unwrap();
    let order = if by_stream { "stream, revision" } else { "position" };
    let sql = format!("SELECT * FROM events ORDER BY {order}");
    let mut statement = database.prepare(&sql).unwrap();
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let kept: Vec<usize> = (0..names.len()).filter(|index| names[*index] != "position").collect();
    let rows = statement.query_map([], |row| kept.iter().map(|index| row.get(*index)).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

fn goes_there_and_on(order: &str) {
    let server = KurrentServer::start(ServerOptions::default());
    let there = shop(&format!("{THERE}url = {:?}\norder = {order:?}\n", server.url()));
    succeeds(&there, "plan", &[]);
    succeeds(&there, "migrate", &[]);
    succeeds(&there, "verify", &[]);

    let on = Project::new(&format!("[source]\nurl = {:?}\n\n[target]\nurl = \"sqlite:shop.db\"\n", server.url()));
    succeeds(&on, "migrate", &[]);
    succeeds(&on, "verify", &[]);

    let at_once = shop(&format!("{THERE}url = \"sqlite:shop.db\"\n"));
    succeeds(&at_once, "migrate", &[]);
    let expected = events(&at_once, true);
    assert!(expected.len() > 100, "{} events", expected.len());
    assert_eq!(events(&on, true), expected);
    if order == "global" {
        assert_eq!(events(&on, false), events(&at_once, false));
    }
}

#[test]
fn the_shop_goes_there_and_on() {
    goes_there_and_on("stream");
}

#[test]
fn the_shop_goes_there_and_on_in_one_order() {
    goes_there_and_on("global");
}

/// What users see of a server's streams, but for what an added key says.
fn streams(server: &KurrentServer) -> std::collections::BTreeMap<String, Vec<String>> {
    by_stream(&server.database())
}

#[test]
fn events_go_from_a_server_to_a_file_and_on_to_another_server() {
    let (first, second) =
        (KurrentServer::start(ServerOptions::default()), KurrentServer::start(ServerOptions::default()));
    fill(&first.database(), 12, 15, true);
    let out = Project::new(&format!("[source]\nurl = {:?}\n\n[target]\nurl = \"file:out.ndjson.zst\"\n", first.url()));
    succeeds(&out, "migrate", &[]);
    succeeds(&out, "verify", &[]);
    let keys = "\n[target.metadata]\ntime = \"none\"\nrevision = \"none\"\nposition = \"none\"\nversion = \"none\"\n";
    let back = Project::new(&format!(
        "[source]\nurl = {:?}\n\n[target]\nurl = {:?}\n{keys}",
        format!("file:{}", out.path("out.ndjson.zst").display()),
        second.url()
    ));
    succeeds(&back, "migrate", &[]);
    succeeds(&back, "verify", &[]);
    assert_eq!(streams(&second), streams(&first));
}
