//! What is remembered of schedules besides the runs in the ledger: since when there is one, and up to when it is done.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use eventlift_events::Timestamp;
use serde::{Deserialize, Serialize};

use super::schedule::Schedule;

/// What is remembered of a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Times until here are not due: the schedule was seen first then, or got the times that it has now.
    pub since: Timestamp,
    /// The last time that all of it was done for, or that it failed for.
    pub done: Option<Timestamp>,
}

/// What is remembered of every schedule, in a file or only in memory. A file that is lost loses times that were missed
/// before any run of their schedule; nothing is doubled.
#[derive(Clone, Debug, Default)]
pub struct SeenSchedules {
    path: Option<PathBuf>,
    schedules: BTreeMap<String, Written>,
}

/// What is remembered, as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Cron line and time zone.
    times: String,
    since: String,
    done: Option<String>,
}

impl SeenSchedules {
    /// Nothing, and only in memory.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// What a file holds; nothing where there is none yet. Fails where it can't be read, or is something else.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}".to_owned(),
            Err(error) => return Err(error),
        };
        let schedules: BTreeMap<String, Written> = serde_json::from_str(&text)?;
        let seen = Self { path: Some(path.to_owned()), schedules };
        match seen.schedules.values().all(|written| read(written).is_some()) {
            true => Ok(seen),
            false => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a time in it is broken")),
        }
    }

    /// The file, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is remembered of a schedule. One that is new, or whose times were changed, is remembered from now on; from
    /// the last time in the ledger, if it is new here but not there.
    pub fn see(&mut self, schedule: &Schedule, last_in_ledger: Option<Timestamp>, now: Timestamp) -> Seen {
        let times = schedule.times();
        let known = self.schedules.get(schedule.name());
        let seen = match known.and_then(|written| read(written).map(|seen| (written, seen))) {
            Some((written, seen)) if written.times == times => return seen,
            Some((_, seen)) => Seen { since: now, ..seen },
            // The last time itself may have been left half done.
            None => Seen { since: last_in_ledger.and_then(just_before).unwrap_or(now), done: None },
        };
        self.schedules.insert(schedule.name().to_owned(), write(times, &seen));
        seen
    }

    /// Remembers that a time of a schedule is done.
    pub fn done(&mut self, schedule: &Schedule, seen: &Seen) {
        self.schedules.insert(schedule.name().to_owned(), write(schedule.times(), seen));
    }

    /// Writes the file anew, so that there is the old or the new one whenever it is interrupted.
    pub fn save(&self) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(&self.schedules)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    }
}

fn just_before(moment: Timestamp) -> Option<Timestamp> {
    Timestamp::from_micros(moment.micros().checked_sub(1)?).ok()
}

fn write(times: String, seen: &Seen) -> Written {
    Written { times, since: seen.since.to_string(), done: seen.done.map(|done| done.to_string()) }
}

fn read(written: &Written) -> Option<Seen> {
    let done = written.done.as_deref().map(str::parse).transpose().ok()?;
    Some(Seen { since: written.since.parse().ok()?, done })
}
