//! `[rebuild]`: how read models are built.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::WrongValue;
use crate::rebuild::{FailurePolicy, FoldOptions};

/// Where rows are put aside that have no room in memory.
const FOLDER: &str = ".eventlift/rebuild";

/// How read models are built, as `[rebuild]` says. Nothing here but the failure policy changes the result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RebuildSettings {
    /// Threads that fold.
    pub workers: NonZeroUsize,
    /// About how many bytes of rows are kept in memory.
    pub memory_bytes: usize,
    /// What becomes of an event that a fold can't take.
    pub on_failure: FailurePolicy,
    /// The folder in which rows are put aside.
    pub folder: PathBuf,
    /// How often everything is put aside, so that a killed rebuild need not begin anew.
    pub save_every: Duration,
}

impl RebuildSettings {
    /// The options of a fold.
    pub fn fold_options(&self) -> FoldOptions {
        FoldOptions {
            workers: self.workers,
            memory_bytes: self.memory_bytes,
            on_failure: self.on_failure,
            folder: Some(self.folder.clone()),
            save_every: self.save_every,
        }
    }
}

/// `[rebuild]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    memory: Option<toml::Value>,
    workers: Option<NonZeroUsize>,
    on_failure: FailurePolicy,
    folder: Option<PathBuf>,
    save_every: Option<String>,
}

impl Written {
    pub(super) fn settings(self, folder: &Path) -> Result<RebuildSettings, WrongValue> {
        let defaults = FoldOptions::default();
        Ok(RebuildSettings {
            workers: self.workers.unwrap_or(defaults.workers),
            memory_bytes: self.memory.map_or(Ok(defaults.memory_bytes), |size| memory(&size))?,
            on_failure: self.on_failure,
            folder: folder.join(self.folder.as_deref().unwrap_or(Path::new(FOLDER))),
            save_every: self.save_every.map_or(Ok(defaults.save_every), |text| save_every(&text))?,
        })
    }
}

fn memory(size: &toml::Value) -> Result<usize, WrongValue> {
    let bytes = match size {
        toml::Value::Integer(bytes) => usize::try_from(*bytes).ok(),
        toml::Value::String(text) => bytes(text),
        _ => None,
    };
    bytes.ok_or_else(|| WrongValue {
        keys: vec!["rebuild".to_owned(), "memory".to_owned()],
        message: format!("[rebuild] memory: {size} is no size"),
        hint: Some("a size is a number of bytes, or text such as \"512 KiB\", \"64 MiB\" or \"2 GiB\"".to_owned()),
    })
}

/// A whole number of bytes, KiB, MiB or GiB.
fn bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}

fn save_every(text: &str) -> Result<Duration, WrongValue> {
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| WrongValue {
        keys: vec!["rebuild".to_owned(), "save_every".to_owned()],
        message: format!("[rebuild] save_every: {text:?} is no length of time"),
        hint: Some("a length of time is text such as \"30s\", \"5m\" or \"1h 30m\"".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in
            [("0", 0), ("17 B", 17), ("512 KiB", 512 << 10), ("64MiB", 64 << 20), ("2  GiB", 2 << 30)]
        {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "MiB", "-1 MiB", "1.5 GiB", "64 MB", "64 mib", "1 TiB", "1 MiB 1", "18446744073709551615 GiB"]
        {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h 30m", 5400), ("2 minutes", 120)] {
            assert_eq!(save_every(text).ok(), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "0s", "-1s", "1 fortnight"] {
            assert!(save_every(text).is_err(), "{text}");
        }
    }
}
