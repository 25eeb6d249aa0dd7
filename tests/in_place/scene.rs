//! Stores whose events are rewritten, and the rules that do it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use eventlift::events::faults::{Faulty, Script};
use eventlift::events::{Event, EventReader, EventRewriter, EventWriter, MemoryStore, Payload, SchemaVersion};
use eventlift::pipeline::{InPlace, InPlaceOptions};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use eventlift::transformers::{Registry, Rule, Upcaster};

use crate::rulebook;

/// Two upcasters, and a rule that must not be applied twice.
pub(crate) fn rules() -> Arc<Registry> {
    let paid = Upcaster::new("AmountPaid", 1, 2, "1", |event: Event| {
        let cents = format!(r#"{{"paid": {}}}"#, String::from_utf8_lossy(event.data.bytes()));
        Ok(Event { data: Payload::json(cents), ..event })
    });
    let created = Upcaster::new("UserCreated", 1, 3, "1", |event: Event| {
        Ok(Event { data: Payload::binary(vec![0, 255]), metadata: Payload::empty(), ..event })
    });
    let note = Rule::new("notes are counted", "1", |mut event: Event| {
        event.metadata = Payload::json([b"[1,", &event.metadata.bytes()[..], b"]"].concat());
        Ok(event)
    });
    let registry = Registry::builder()
        .current("AmountPaid", 2)
        .current("UserCreated", 3)
        .current("NoteAdded", 1)
        .upcaster(paid)
        .upcaster(created)
        .rule(note.types(["NoteAdded"]));
    Arc::new(registry.build().unwrap())
}

/// Events of many streams; a third of them are not touched by the rules. Positions have gaps.
pub(crate) fn log(events: u64) -> Vec<Event> {
    let mut log = rulebook::log(events, 7);
    for event in &mut log {
        event.position = eventlift::events::Position::new(event.position.major() * 3);
    }
    log
}

/// What the rules make of events, one by one.
pub(crate) fn lifted(rules: &Registry, events: &[Event]) -> Vec<Event> {
    let mut lifted = Vec::new();
    for event in events {
        rules.lift(event.clone(), &mut lifted).unwrap();
    }
    assert_eq!(lifted.len(), events.len());
    assert!(lifted.iter().any(|event| event.version == SchemaVersion::new(3).unwrap()));
    lifted
}

/// A store of one of the kinds.
pub(crate) enum Scene {
    Memory(MemoryStore),
    Sqlite(tempfile::TempDir),
}

impl Scene {
    pub(crate) async fn each(events: &[Event]) -> Vec<Self> {
        let scenes = vec![Self::Memory(MemoryStore::new()), Self::Sqlite(tempfile::tempdir().unwrap())];
        for scene in &scenes {
            let mut writer = scene.rewriter();
            writer.append(events, None).await.unwrap();
            writer.seal(true).await.unwrap();
        }
        scenes
    }

    pub(crate) fn reader(&self) -> Arc<dyn EventReader> {
        match self {
            Self::Memory(store) => Arc::new(store.reader()),
            Self::Sqlite(folder) => Arc::new(SqliteReader::open(config(folder.path())).unwrap()),
        }
    }

    pub(crate) fn rewriter(&self) -> Box<dyn EventRewriter> {
        match self {
            Self::Memory(store) => Box::new(store.writer().unwrap()),
            Self::Sqlite(folder) => Box::new(SqliteWriter::open(config(folder.path())).unwrap()),
        }
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        crate::content::events_of(&*self.reader()).await
    }

    pub(crate) fn in_place(&self, rules: &Arc<Registry>, batch: usize, transaction: usize) -> InPlace {
        InPlace::new(self.reader(), self.rewriter(), Arc::clone(rules), options(batch, transaction))
    }

    /// The same, failing as a script says.
    pub(crate) fn faulty(&self, rules: &Arc<Registry>, script: &Script) -> InPlace {
        let reader: Arc<dyn EventReader> = match self {
            Self::Memory(store) => Arc::new(Faulty::new(store.reader(), script.clone())),
            Self::Sqlite(folder) => {
                Arc::new(Faulty::new(SqliteReader::open(config(folder.path())).unwrap(), script.clone()))
            }
        };
        let rewriter = Box::new(Faulty::new(self.rewriter(), script.clone()));
        InPlace::new(reader, rewriter, Arc::clone(rules), options(7, 20))
    }
}

pub(crate) fn config(folder: &Path) -> SqliteConfig {
    SqliteConfig::new(folder.join("events.db"))
}

pub(crate) fn options(batch: usize, transaction: usize) -> InPlaceOptions {
    InPlaceOptions {
        workers: NonZeroUsize::new(3).unwrap(),
        batch_events: NonZeroUsize::new(batch).unwrap(),
        transaction_events: NonZeroUsize::new(transaction).unwrap(),
        ..InPlaceOptions::default()
    }
}
