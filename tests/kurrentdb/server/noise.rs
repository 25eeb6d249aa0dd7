//! What the system writes besides the events of its users: links by category and by type, and statistics.

use bytes::Bytes;

use super::database::{NewEvent, Record};

/// Writes noise after every nth event; never where n is 0.
#[derive(Default)]
pub(super) struct Noise {
    every: u64,
    seen: u64,
}

impl Noise {
    pub(super) fn every(every: u64) -> Self {
        Self { every, seen: 0 }
    }

    /// The streams and events that the system writes after this event.
    pub(super) fn after(&mut self, record: &Record) -> Vec<(String, NewEvent)> {
        if self.every == 0 {
            return Vec::new();
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every) {
            return Vec::new();
        }
        let mut noise = vec![(format!("$et-{}", record.event_type), link(record))];
        if let Some((category, _)) = record.stream.split_once('-') {
            noise.push((format!("$ce-{category}"), link(record)));
        }
        let statistics = NewEvent::json("$statsCollected", r#"{"proc-mem":271310848,"es-queue-length":0}"#);
        noise.push(("$stats-127.0.0.1:2113".to_owned(), statistics));
        noise
    }
}

/// A link as the standard projections write it: its data name the event, and are no JSON.
fn link(record: &Record) -> NewEvent {
    let target = format!("{}@{}", record.revision, record.stream);
    let cause = format!(
        r#"{{"$v":"2:-1:1:4","$c":{},"$p":{},"$causedBy":"{}"}}"#,
        record.position.commit, record.position.prepare, record.id
    );
    NewEvent::octets("$>", Bytes::from(target)).with_metadata(cause)
}
