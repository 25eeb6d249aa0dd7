//! Talking to the server as its tests do.

use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, ReadAllOptions, ReadStream, ReadStreamOptions, ResolvedEvent,
    StreamState, WriteResult,
};
use uuid::Uuid;

use crate::kurrentdb::server::{KurrentServer, ServerOptions};

/// A server without anything special, and a client of it.
pub(super) fn server() -> (KurrentServer, Client) {
    server_with(ServerOptions::default())
}

pub(super) fn server_with(options: ServerOptions) -> (KurrentServer, Client) {
    let server = KurrentServer::start(options);
    let client = client(&server.url());
    (server, client)
}

/// The client waits for an interval before it connects, the first time too: a short one.
pub(super) fn client(url: &str) -> Client {
    Client::new(format!("{url}&discoveryInterval=1").parse().unwrap()).unwrap()
}

/// An event whose id is the number.
pub(super) fn event(number: u128) -> EventData {
    EventData::json("Happened", &number.to_string()).unwrap().id(Uuid::from_u128(number))
}

pub(super) async fn append(
    client: &Client,
    stream: &str,
    expected: StreamState,
    events: Vec<EventData>,
) -> Result<WriteResult, Error> {
    client.append_to_stream(stream, &AppendToStreamOptions::default().stream_state(expected), events).await
}

pub(super) async fn all_of(mut stream: ReadStream) -> Result<Vec<ResolvedEvent>, Error> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await? {
        events.push(event);
    }
    Ok(events)
}

pub(super) async fn read_stream(client: &Client, stream: &str) -> Result<Vec<ResolvedEvent>, Error> {
    all_of(client.read_stream(stream, &ReadStreamOptions::default()).await?).await
}

pub(super) async fn read_all(client: &Client) -> Result<Vec<ResolvedEvent>, Error> {
    all_of(client.read_all(&ReadAllOptions::default()).await?).await
}

/// `stream@revision` of each event.
pub(super) fn places(events: &[ResolvedEvent]) -> Vec<String> {
    let place = |event: &ResolvedEvent| {
        let event = event.get_original_event();
        format!("{}@{}", event.stream_id(), event.revision)
    };
    events.iter().map(place).collect()
}

pub(super) fn revisions(events: &[ResolvedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.get_original_event().revision).collect()
}
