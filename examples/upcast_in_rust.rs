//! Upcasters written in Rust, and a migration from one SQLite store to another with them.
//!
//! `cargo run --example upcast_in_rust`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use eventlift::{
    Bytes, Event, EventId, EventReader, EventType, EventWriter, Migration, MigrationOptions, Payload, Position,
    ReadRequest, Reason, Registry, Revision, SchemaVersion, Scope, StatefulTransformer, StreamName, Timestamp,
    Upcaster,
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

/// Fields that it does not name would be lost, so it refuses them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserCreatedV1 {
    first_name: String,
    last_name: String,
}

#[derive(Serialize)]
struct UserCreatedV2 {
    full_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactChanged {
    email: String,
    phone: String,
}

/// `ContactChanged` was two things at once, and becomes an event for each.
fn split_contact(event: Event) -> Result<Vec<Event>, Reason> {
    let ContactChanged { email, phone } = serde_json::from_slice(event.data.bytes())?;
    let part = |event_type: &'static str, data: serde_json::Value| -> Result<Event, Reason> {
        let event_type = EventType::new(event_type).map_err(Reason::new)?;
        Ok(Event { event_type, data: Payload::json(data.to_string()), ..event.clone() })
    };
    Ok(vec![
        part("EmailChanged", serde_json::json!({ "email": email }))?,
        part("PhoneChanged", serde_json::json!({ "phone": phone }))?,
    ])
}

/// Drops an `EmailChanged` that says the same as the one before it in its stream.
struct DropRepeatedEmails;

impl StatefulTransformer for DropRepeatedEmails {
    fn name(&self) -> &str {
        "drop repeated emails"
    }

    // Changed when, and only when, `transform` may yield something else.
    fn fingerprint(&self) -> &str {
        "1"
    }

    fn observes(&self, event_type: &EventType, _: SchemaVersion) -> bool {
        event_type.as_str() == "EmailChanged"
    }

    fn is_one_to_one(&self) -> bool {
        false
    }

    fn transform(&self, last: &mut Vec<u8>, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        if event.data.bytes() != last.as_slice() {
            // Committed together with the events, so that a run that was killed goes on with it.
            *last = event.data.bytes().to_vec();
            out.push(event);
        }
        Ok(())
    }
}

fn registry() -> Result<Registry, Box<dyn Error>> {
    let user_created = Upcaster::typed("UserCreated", 1, 2, "1", |old: UserCreatedV1| {
        Ok(UserCreatedV2 { full_name: format!("{} {}", old.first_name, old.last_name) })
    });
    let contact_changed = Upcaster::new("ContactChanged", 1, 2, "1", split_contact)
        .into_schemas([("EmailChanged", 1), ("PhoneChanged", 1)]);
    // Building proves that every version leads to the current one.
    let registry = Registry::builder()
        .current("UserCreated", 2)
        .current("EmailChanged", 1)
        .current("PhoneChanged", 1)
        .retired("ContactChanged")
        .upcaster(user_created)
        .upcaster(contact_changed)
        .stateful(Arc::new(DropRepeatedEmails))
        .build()?;
    Ok(registry)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let old = SqliteConfig::new(folder.path().join("old.db"));
    let new = SqliteConfig::new(folder.path().join("new.db"));
    fill(&old).await?;

    let source = Arc::new(SqliteReader::open(old)?);
    let target = Box::new(SqliteWriter::open(new.clone())?);
    let migration = Migration::new(source, target, Arc::new(registry()?), MigrationOptions::default());
    let outcome = migration.run().await?;
    println!("read {}, written {}", outcome.counts.read, outcome.counts.written);

    let batches = SqliteReader::open(new)?.read(ReadRequest::new(Scope::All));
    let events: Vec<Event> = batches.try_collect::<Vec<_>>().await?.concat();
    let lines: Vec<String> = events.iter().map(line).collect();
    lines.iter().for_each(|line| println!("{line}"));

    assert!(outcome.done);
    assert_eq!(
        lines,
        [
            r#"user-1 0 UserCreated 2 {"full_name":"Ada Lovelace"}"#,
            r#"user-1 1 EmailChanged 1 {"email":"ada@example.org"}"#,
            r#"user-1 2 PhoneChanged 1 {"phone":"0123"}"#,
            // The email that was said again is gone, and what follows has moved up.
            r#"user-1 3 PhoneChanged 1 {"phone":"4567"}"#,
        ]
    );
    Ok(())
}

fn line(event: &Event) -> String {
    let Event { stream, revision, event_type, version, data, .. } = event;
    format!("{stream} {revision} {event_type} {version} {}", String::from_utf8_lossy(data.bytes()))
}

/// The store as it was.
async fn fill(store: &SqliteConfig) -> Result<(), Box<dyn Error>> {
    let history = [
        ("UserCreated", r#"{"first_name":"Ada","last_name":"Lovelace"}"#),
        ("ContactChanged", r#"{"email":"ada@example.org","phone":"0123"}"#),
        ("ContactChanged", r#"{"email":"ada@example.org","phone":"4567"}"#),
    ];
    let mut events = Vec::new();
    for (revision, (event_type, data)) in (0_u64..).zip(history) {
        events.push(Event {
            id: EventId::text(format!("event-{revision}"))?,
            stream: StreamName::new("user-1")?,
            revision: Revision(revision),
            position: Position::new(revision + 1),
            event_type: EventType::new(event_type)?,
            version: SchemaVersion::FIRST,
            data: Payload::json(data),
            metadata: Payload::empty(),
            recorded_at: Timestamp::now(),
            attributes: Bytes::new(),
        });
    }
    let mut writer = SqliteWriter::open(store.clone())?;
    writer.append(&events, None).await?;
    writer.seal(true).await?;
    Ok(())
}

#[test]
fn it_does_what_it_says() -> Result<(), Box<dyn Error>> {
    main()
}
