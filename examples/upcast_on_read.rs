//! A service that upcasts while it reads: its store keeps every event as it was written, its code knows only the
//! current versions.
//!
//! `cargo run --example upcast_on_read`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::PathBuf;

use eventlift::{
    Bytes, Definitions, Event, EventId, EventReader, EventType, EventWriter, Keys, Lift, MemoryStore, Payload,
    Position, ReadRequest, Registry, Revision, SchemaVersion, Scope, StreamName, Timestamp, Upcaster,
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

/// A definition file, as `eventlift migrate` would read it. A service embeds the same files with `include_str!`.
const USER_CREATED: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
"#;

#[derive(Deserialize)]
struct PointsGrantedV1 {
    points: String,
}

#[derive(Serialize)]
struct PointsGrantedV2 {
    points: i64,
}

/// Definitions and Rust in one registry. Building it proves that every chain reaches its current version, so a
/// service does it once, when it starts.
fn registry() -> Result<Registry, Box<dyn Error>> {
    let files = [(PathBuf::from("user_created.toml"), USER_CREATED.to_owned())];
    let definitions = Definitions::load(files, &Keys::new())?;
    let points = Upcaster::typed("PointsGranted", 1, 2, "1", |old: PointsGrantedV1| {
        let points = old.points.parse().map_err(|_| format!("/points is {:?}, which is no number", old.points))?;
        Ok(PointsGrantedV2 { points })
    });
    let registry = definitions.register(Registry::builder()).current("PointsGranted", 2).upcaster(points).build()?;
    Ok(registry)
}

/// The aggregate. It has never heard of a version 1.
#[derive(Debug, Default, PartialEq)]
struct User {
    name: String,
    points: i64,
}

impl User {
    fn apply(&mut self, event: &Event) -> Result<(), Box<dyn Error>> {
        #[derive(Deserialize)]
        struct Created {
            full_name: String,
        }
        #[derive(Deserialize)]
        struct Granted {
            points: i64,
        }
        let data = event.data.bytes();
        match event.event_type.as_str() {
            "UserCreated" => self.name = serde_json::from_slice::<Created>(data)?.full_name,
            "PointsGranted" => self.points += serde_json::from_slice::<Granted>(data)?.points,
            other => return Err(format!("a user knows nothing of {other}").into()),
        }
        Ok(())
    }
}

/// Where the service keeps its users.
struct Users<R> {
    store: R,
    registry: Registry,
}

impl<R: EventReader> Users<R> {
    /// The user, and the revision of the stream's last event: what the next append has to follow. It is the store's
    /// own, since upcasting may split or drop events and never renumbers them.
    async fn load(&self, id: &str) -> Result<(User, Option<Revision>), Box<dyn Error>> {
        let stream = StreamName::from_parts("user", id)?;
        let mut batches = self.store.read(ReadRequest::new(Scope::Stream(stream)));
        let (mut user, mut last) = (User::default(), None);
        let mut lifted = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            for event in batch {
                last = Some(event.revision);
                let (event_type, version) = (event.event_type.clone(), event.version);
                if let Lift::Uncovered(_) = self.registry.lift(event, &mut lifted)? {
                    // For example written by a newer release of the service: folding it would be a guess.
                    return Err(format!("nothing leads from {event_type} version {version} to what we know").into());
                }
            }
            for event in lifted.drain(..) {
                user.apply(&event)?;
            }
        }
        Ok((user, last))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::new();
    let mut writer = store.writer()?;
    let history = [
        event(0, "UserCreated", 1, r#"{"first_name":"Ada","last_name":"Lovelace"}"#)?,
        event(1, "PointsGranted", 1, r#"{"points":"40"}"#)?,
        event(2, "PointsGranted", 2, r#"{"points":2}"#)?,
    ];
    writer.append(&history, None).await?;
    let users = Users { store: store.reader(), registry: registry()? };

    let (user, last) = users.load("1").await?;
    println!("{user:?}, as of revision {last:?}");
    assert_eq!(user, User { name: "Ada Lovelace".to_owned(), points: 42 });
    assert_eq!(last, Some(Revision(2)));

    writer.append(&[event(3, "PointsGranted", 3, r#"{"grant":{"points":1}}"#)?], None).await?;
    let refused = users.load("1").await.map(|(user, _)| user).map_err(|error| error.to_string());
    println!("{refused:?}");
    assert_eq!(refused, Err("nothing leads from PointsGranted version 3 to what we know".to_owned()));
    Ok(())
}

fn event(revision: u64, event_type: &'static str, version: u32, data: &'static str) -> Result<Event, Box<dyn Error>> {
    Ok(Event {
        id: EventId::text(format!("event-{revision}"))?,
        stream: StreamName::from_parts("user", "1")?,
        revision: Revision(revision),
        position: Position::new(revision + 1),
        event_type: EventType::new(event_type)?,
        version: SchemaVersion::new(version).ok_or("there is no version 0")?,
        data: Payload::json(data),
        metadata: Payload::empty(),
        recorded_at: Timestamp::now(),
        attributes: Bytes::new(),
    })
}

#[test]
fn it_does_what_it_says() -> Result<(), Box<dyn Error>> {
    main()
}
