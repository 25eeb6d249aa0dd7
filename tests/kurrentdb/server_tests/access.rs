//! Passwords, rights, certificates and clusters.

use eventstore::{Client, DeleteStreamOptions, Error, ReadAllOptions, ReadStreamOptions, StreamState};

use super::talk::{append, client, event, read_all, read_stream, server_with};
use crate::kurrentdb::server::{KurrentCluster, KurrentServer, ServerOptions, User};

#[tokio::test]
async fn only_users_with_their_password_get_in() {
    let users = vec![User::admin("admin", "changeit"), User::named("reader", "secret")];
    let (server, admin) = server_with(ServerOptions { users, ..ServerOptions::default() });
    append(&admin, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    assert_eq!(read_all(&admin).await.unwrap().len(), 1);
    let nobody = client(&format!("esdb://{}?tls=false", server.address()));
    assert!(matches!(read_stream(&nobody, "s").await, Err(Error::AccessDenied)));
    let wrong = client(&server.url_as(&User::named("reader", "guess")));
    assert!(matches!(append(&wrong, "s", StreamState::Any, vec![event(2)]).await, Err(Error::AccessDenied)));
}

#[tokio::test]
async fn rights_are_what_the_metadata_of_a_stream_say() {
    let users = vec![User::admin("admin", "a"), User::named("writer", "w"), User::named("reader", "r")];
    let (server, admin) = server_with(ServerOptions { users: users.clone(), ..ServerOptions::default() });
    append(&admin, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    server.database().set_metadata("s", r#"{"$acl":{"$w":"writer","$r":["reader","writer"]}}"#).unwrap();
    let writer = client(&server.url_as(&users[1]));
    let reader = client(&server.url_as(&users[2]));
    append(&writer, "s", StreamState::Any, vec![event(2)]).await.unwrap();
    assert_eq!(read_stream(&reader, "s").await.unwrap().len(), 2);
    assert!(matches!(append(&reader, "s", StreamState::Any, vec![event(3)]).await, Err(Error::AccessDenied)));
    let deleted = reader.delete_stream("s", &DeleteStreamOptions::default()).await;
    assert!(matches!(deleted, Err(Error::AccessDenied)));
    server.database().set_metadata("s", r#"{"$acl":{"$r":"admin"}}"#).unwrap();
    let refused = reader.read_stream("s", &ReadStreamOptions::default()).await;
    assert!(matches!(refused, Err(Error::AccessDenied)));
    let all = reader.read_all(&ReadAllOptions::default()).await;
    assert!(matches!(all, Err(Error::AccessDenied)), "$all is for admins");
}

#[tokio::test]
async fn connections_can_be_encrypted() {
    let (server, client) = server_with(ServerOptions { tls: true, ..ServerOptions::default() });
    append(&client, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    assert_eq!(read_stream(&client, "s").await.unwrap().len(), 1);
    assert!(server.ca_file().unwrap().exists());
    // The systems' authorities did not sign it.
    let distrusting = super::talk::client(&format!("esdb://{}?maxDiscoverAttempts=2", server.address()));
    assert!(read_stream(&distrusting, "s").await.is_err());
    server.faults().lose_next_answers(1);
    assert!(append(&client, "s", StreamState::Any, vec![event(2)]).await.is_err(), "its connection is found");
    let ca = server.ca_file().unwrap().to_owned();
    drop(server);
    assert!(!ca.exists());
}

fn as_node(server: &KurrentServer, preference: &str) -> Client {
    client(&format!("{}&nodePreference={preference}", server.url()))
}

#[tokio::test]
async fn only_the_leader_writes_for_those_who_require_it() {
    let cluster = KurrentCluster::start(3, &ServerOptions::default());
    let follower = as_node(&cluster.nodes()[1], "leader");
    let refused = append(&follower, "s", StreamState::Any, vec![event(1)]).await.unwrap_err();
    let Error::NotLeaderException(leader) = refused else { panic!("{refused}") };
    assert_eq!(format!("{}:{}", leader.host, leader.port), cluster.nodes()[0].address());
    // The client goes to the leader by itself from then on.
    append(&follower, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    assert_eq!(cluster.nodes()[0].counters().append_requests, 1);
    let content = as_node(&cluster.nodes()[2], "random");
    append(&content, "s", StreamState::Any, vec![event(2)]).await.unwrap();
    assert_eq!(cluster.database().records().len(), 2);
}

#[tokio::test]
async fn a_client_of_the_cluster_finds_its_leader() {
    let cluster = KurrentCluster::start(2, &ServerOptions::default());
    let parameters = "nodePreference=leader&maxDiscoverAttempts=20";
    let client = client(&format!("{}&{parameters}", cluster.url()));
    append(&client, "s", StreamState::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(cluster.nodes()[0].counters().append_requests, 1);
    cluster.change_leader(1);
    let refused = append(&client, "s", StreamState::Any, vec![event(2)]).await.unwrap_err();
    assert!(matches!(refused, Error::NotLeaderException(_)));
    append(&client, "s", StreamState::Any, vec![event(2)]).await.unwrap();
    assert_eq!((cluster.leader(), cluster.nodes()[1].counters().append_requests), (1, 1));
}
