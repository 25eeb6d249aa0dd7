//! What goes wrong at a server, and what is said about it.

use super::server::{Expected, KurrentCluster, KurrentServer, NewEvent, ServerOptions, User};
use super::world::{between, by_stream, count, event, fill, succeeds};
use crate::project::{Output, Project};

fn servers() -> (KurrentServer, KurrentServer) {
    (KurrentServer::start(ServerOptions::default()), KurrentServer::start(ServerOptions::default()))
}

/// Fails within seconds with this exit code, saying all of this, and without a password.
#[track_caller]
fn fails(output: Output, code: i32, said: &[&str]) {
    assert_eq!(output.code, Some(code), "{}{}", output.stdout, output.stderr);
    for part in said {
        assert!(output.stderr.contains(part), "{part:?} is not said in: {}", output.stderr);
    }
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
}

fn migrate(project: &Project) -> Output {
    let output = project.migrate();
    assert!(!output.stderr.contains("trying again"), "it is said at once: {}", output.stderr);
    output
}

#[test]
fn wrong_credentials() {
    let options = ServerOptions { users: vec![User::admin("admin", "right-secret")], ..ServerOptions::default() };
    let (source, target) = (KurrentServer::start(ServerOptions::default()), KurrentServer::start(options));
    fill(&source.database(), 2, 2, true);
    let project = |url: &str| Project::new(&format!("[source]\nurl = {:?}\n\n[target]\nurl = {url:?}\n", source.url()));
    let wrong = target.url_as(&User::admin("admin", "wrong-secret"));
    fails(migrate(&project(&wrong)), 8, &["kurrentdb://127.0.0.1", "user"]);
    let nobody = format!("esdb://{}?tls=false", target.address());
    fails(migrate(&project(&nobody)), 8, &["password_env"]);
    assert_eq!(count(&target.database()), 0);

    let with_variable = Project::new(&format!(
        "[source]\nurl = {:?}\n\n[target]\nurl = \"esdb://admin@{}?tls=false\"\npassword_env = \"EVENTLIFT_KURRENT\"\n",
        source.url(),
        target.address()
    ));
    fails(migrate(&with_variable), 5, &["EVENTLIFT_KURRENT is not set"]);
    let output = with_variable.output(with_variable.command("migrate").env("EVENTLIFT_KURRENT", "right-secret"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(count(&target.database()), 4);
}

#[test]
fn rights_that_are_missing() {
    let users = vec![User::admin("admin", "secret"), User::named("ops", "secret")];
    let target = KurrentServer::start(ServerOptions { users, ..ServerOptions::default() });
    target.database().set_metadata("user-1", "{\"$acl\":{\"$w\":\"$admins\"}}").unwrap();
    let source = KurrentServer::start(ServerOptions::default());
    fill(&source.database(), 2, 2, true);
    let project = Project::new(&format!(
        "[source]\nurl = {:?}\n\n[target]\nurl = {:?}\n",
        source.url(),
        target.url_as(&User::named("ops", "secret"))
    ));
    fails(migrate(&project), 8, &["$acl"]);
}

#[test]
fn encryption_on_one_side_only() {
    let plain = KurrentServer::start(ServerOptions::default());
    let encrypted = KurrentServer::start(ServerOptions { tls: true, ..ServerOptions::default() });
    fill(&plain.database(), 2, 2, true);
    let project = |source: &str, target: &str| {
        Project::new(&format!("[source]\nurl = {source:?}\n\n[target]\nurl = {target:?}\n"))
    };
    let tls_to_plain = format!("esdb://{}", plain.address());
    fails(migrate(&project(&tls_to_plain, "sqlite:target.db")), 8, &["tls=false"]);
    let plain_to_tls = format!("esdb://{}?tls=false", encrypted.address());
    fails(migrate(&project(&plain.url(), &plain_to_tls)), 8, &["tls"]);
    let unknown_authority = format!("esdb://{}", encrypted.address());
    fails(migrate(&project(&plain.url(), &unknown_authority)), 8, &["tlsCaFile"]);

    let right = project(&plain.url(), &encrypted.url());
    succeeds(&right, "migrate", &[]);
    assert_eq!(count(&encrypted.database()), 4);
}

#[test]
fn nobody_there() {
    let (source, target) = servers();
    fill(&source.database(), 2, 2, true);
    let project = between(&source, &target, "");
    target.stop();
    fails(migrate(&project), 8, &["2113"]);
}

#[test]
fn a_node_that_is_not_the_leader() {
    let source = KurrentServer::start(ServerOptions::default());
    fill(&source.database(), 6, 30, true);
    let cluster = KurrentCluster::start(3, &ServerOptions::default());
    let follower = cluster.nodes()[1].url();
    let project = Project::new(&format!("[source]\nurl = {:?}\n\n[target]\nurl = {follower:?}\n", source.url()));
    succeeds(&project, "migrate", &[]);
    succeeds(&project, "verify", &[]);
    assert_eq!(count(&cluster.database()), 180);
}

#[test]
fn an_event_over_the_limit() {
    let source = KurrentServer::start(ServerOptions::default());
    let target = KurrentServer::start(ServerOptions { max_append_size: 64 * 1024, ..ServerOptions::default() });
    fill(&source.database(), 3, 400, true);
    let large = NewEvent::json("Large", format!("{{\"text\":\"{}\"}}", "x".repeat(100_000)));
    source.database().append("large-1", Expected::NoStream, vec![large]).unwrap();
    let project = between(&source, &target, "");
    fails(migrate(&project), 5, &["large-1", "65536", "MaxAppendSize"]);
    project.write(
        "transformers/large.toml",
        "[[rule]]\nname = \"no large ones\"\nmatch = { types = [\"Large\"] }\ndrop = true\n",
    );
    succeeds(&project, "migrate", &["--accept-changes"]);
    assert_eq!(count(&target.database()), 1_200);
}

#[test]
fn a_target_stream_that_was_deleted() {
    let (source, target) = servers();
    fill(&source.database(), 3, 5, true);
    target.database().append("user-1", Expected::NoStream, vec![event(900)]).unwrap();
    target.database().tombstone("user-1", Expected::Any).unwrap();
    let project = between(&source, &target, "");
    let output = migrate(&project);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("user-1") && output.stderr.contains("deleted"), "{}", output.stderr);
}

#[test]
fn a_target_stream_that_changed_meanwhile() {
    let (source, target) = servers();
    fill(&source.database(), 3, 5, true);
    let project = between(&source, &target, "");
    succeeds(&project, "migrate", &[]);
    target.database().append("user-1", Expected::Revision(4), vec![event(900)]).unwrap();
    source.database().append("user-1", Expected::Revision(4), vec![event(901)]).unwrap();
    let output = migrate(&project);
    fails(output, 4, &["user-1", "another event at revision 5"]);
    let verified = project.verify();
    assert_eq!(verified.code, Some(6), "{}{}", verified.stdout, verified.stderr);
    assert_ne!(by_stream(&target.database()), by_stream(&source.database()));
}

#[test]
fn what_is_no_place_for_events() {
    let (source, target) = servers();
    fill(&source.database(), 1, 1, true);
    let refused = |more: &str, said: &str| {
        let output = migrate(&between(&source, &target, more));
        fails(output, 3, &[said]);
    };
    refused("in_flght = 3\n", "in_flight");
    refused("order = \"any\"\n", "`stream` or `global`");
    refused("\n[target.metadata]\ntime = \"a\"\nrevision = \"a\"\n", "two things");
    let same = between(&source, &source, "");
    fails(migrate(&same), 5, &["source and target"]);
    let project = between(&source, &target, "");
    succeeds(&project, "migrate", &[]);
    for (command, arguments) in [("rewrite", &[][..]), ("cutover", &[]), ("rollback", &[])] {
        let output = project.run(command, arguments as &[&str]);
        assert!(!matches!(output.code, Some(0 | 1 | 101)), "{command}: {:?} {}", output.code, output.stderr);
    }
}

#[test]
fn ids_and_names_that_the_server_does_not_take() {
    let target = KurrentServer::start(ServerOptions::default());
    let line = |id: &str, stream: &str, event_type: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":\"{event_type}\",\"subject\":\"{stream}\",\
             \"time\":\"2024-05-01T12:00:00Z\",\"streamrevision\":0,\"sequence\":1,\"data\":{{}}}}\n"
        )
    };
    let uuid = "cbe326da-5260-5f9d-88a8-a35a0b819073";
    for (lines, said) in
        [(line("order-1", "user-1", "A"), "UUID"), (line(uuid, "$user", "A"), "$"), (line(uuid, "user-1", "$A"), "$")]
    {
        let project = Project::new(&format!(
            "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n\n[target]\nurl = {:?}\n",
            target.url()
        ));
        project.write("events.ndjson", lines);
        let output = migrate(&project);
        assert!(!matches!(output.code, Some(0 | 1)), "{:?} {}", output.code, output.stderr);
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    assert_eq!(count(&target.database()), 0);
}
