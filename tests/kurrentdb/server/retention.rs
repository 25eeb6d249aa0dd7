//! What the metadata of a stream says about its events: which are read, which a scavenge takes, and who may do what.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The revision of a tombstone, and the `$tb` of a stream that is deleted softly.
pub(crate) const DELETED: i64 = i64::MAX;

/// What the newest `$metadata` of a stream asks for. Nothing where there is none, or it is no JSON object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retention {
    /// Revisions below it are gone.
    pub(crate) truncate_before: Option<i64>,
    /// Only so many newest events are kept.
    pub(crate) max_count: Option<i64>,
    /// Only events younger than it are kept.
    pub(crate) max_age: Option<Duration>,
    /// Who may read; nothing: everybody.
    pub(crate) readers: Option<Vec<String>>,
    /// Who may write; nothing: everybody.
    pub(crate) writers: Option<Vec<String>>,
}

impl Retention {
    /// Streams of metadata keep their newest event only.
    pub(crate) fn of_metadata_stream() -> Self {
        Self { max_count: Some(1), ..Self::default() }
    }

    /// Reads the data of a `$metadata` event.
    pub(crate) fn read(data: &[u8]) -> Self {
        let Ok(Value::Object(object)) = serde_json::from_slice(data) else { return Self::default() };
        let number = |key: &str| object.get(key).and_then(Value::as_i64);
        let acl = object.get("$acl");
        let names = |key: &str| acl.and_then(|acl| acl.get(key)).map(names);
        Self {
            truncate_before: number("$tb"),
            max_count: number("$maxCount"),
            max_age: number("$maxAge").and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs),
            readers: names("$r"),
            writers: names("$w"),
        }
    }

    /// Whether the stream was deleted softly.
    pub(crate) fn is_deleted(&self) -> bool {
        self.truncate_before == Some(DELETED)
    }

    /// The first revision that may be read, of a stream whose last one is `last`.
    pub(crate) fn first_revision(&self, last: i64) -> i64 {
        let by_count = self.max_count.map_or(0, |count| last.saturating_sub(count).saturating_add(1));
        by_count.max(self.truncate_before.unwrap_or(0)).max(0)
    }

    /// Events that were created before it are too old, in ticks since 1970.
    pub(crate) fn oldest_ticks(&self) -> u64 {
        self.max_age.map_or(0, |age| ticks(SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH)))
    }
}

/// Time as the server counts it: 100 nanoseconds each, since 1970.
pub(crate) fn ticks(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 10_000_000 + u64::from(since.subsec_nanos() / 100)
}

/// The metadata with `$tb` set and every other key kept; nothing where it is no JSON object.
pub(crate) fn with_truncate_before(metadata: &[u8], revision: i64) -> Option<Vec<u8>> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(metadata) else { return None };
    object.insert("$tb".to_owned(), Value::from(revision));
    serde_json::to_vec(&object).ok()
}

fn names(value: &Value) -> Vec<String> {
    match value {
        Value::String(name) => vec![name.clone()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
