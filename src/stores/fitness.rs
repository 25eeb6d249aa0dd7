//! What can be told about a store before something is read from it or written to it: room, privileges, the clock.

use std::path::Path;

use eventlift_events::{StoreError, Timestamp};

use super::configured::StoreConfig;

/// Room on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// The bytes that the store takes, where that says something about how many others would take.
    pub used: Option<u64>,
    /// The bytes that are free where it is, as far as that can be told from here.
    pub free: Option<u64>,
}

impl Room {
    /// Bytes, as people read them.
    pub fn text(bytes: u64) -> String {
        const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
        let mut size = bytes as f64;
        let mut unit = 0;
        while size >= 1000.0 && unit + 1 < UNITS.len() {
            size /= 1000.0;
            unit += 1;
        }
        if unit == 0 { format!("{bytes} bytes") } else { format!("{size:.1} {}", UNITS[unit]) }
    }
}

impl StoreConfig {
    /// How much the store takes, and how much is free there. Changes nothing.
    pub async fn room(&self) -> Result<Room, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return config.room().await;
        }
        let Some(path) = self.local_file() else { return Ok(Room::default()) };
        let is_packed = path.extension().is_some_and(|extension| extension == "gz" || extension == "zst");
        let used = std::fs::metadata(path).ok().map(|found| found.len()).filter(|_| !is_packed);
        Ok(Room { used, free: free_at(folder_of(path)) })
    }

    /// What the user lacks to read from the store, or to write to it with all that a migration does: what is missing, and
    /// what to do about it. Changes nothing.
    pub async fn missing_privileges(&self, to_write: bool) -> Result<Vec<(String, String)>, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return config.missing_privileges(to_write).await;
        }
        Ok(self.local_file().and_then(|path| missing_at(path, to_write)).into_iter().collect())
    }

    /// What the clock of the store's server shows; none where it has none of its own.
    pub async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return config.clock().await.map(Some);
        }
        Ok(None)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The bytes that are free where a folder is.
#[cfg(unix)]
pub(super) fn free_at(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
pub(super) fn free_at(_: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn missing_at(path: &Path, to_write: bool) -> Option<(String, String)> {
    use rustix::fs::{Access, access};
    // One that is not there is made, in a folder that is; of one to read that is not there, opening it says so.
    let (place, wanted, verb) = match (path.exists(), to_write) {
        (true, true) => (path, Access::READ_OK | Access::WRITE_OK, "written"),
        (true, false) => (path, Access::READ_OK, "read"),
        (false, true) => (folder_of(path), Access::WRITE_OK | Access::EXEC_OK, "written"),
        (false, false) => return None,
    };
    access(place, wanted).err().map(|error| {
        let problem = format!("{} can't be {verb}: {}", place.display(), std::io::Error::from(error).kind());
        (problem, format!("let this user have {} {verb}", place.display()))
    })
}

#[cfg(not(unix))]
fn missing_at(_: &Path, _: bool) -> Option<(String, String)> {
    None
}
