//! The folder of a fold: who has it, and what a killed fold left in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::aside::{Aside, Identity, Left, Problem, Site};
use crate::rebuild::{RebuildError, RebuildRefusal};

const LOCK: &str = "lock";

/// The folder, held for as long as this lives.
pub(super) struct Folder {
    path: PathBuf,
    /// The operating system takes the lock back when the process ends, however it does.
    lock: File,
}

impl Folder {
    /// Takes a folder, and makes it where it is not there.
    pub(super) fn take(path: &Path) -> Result<Self, RebuildError> {
        let lock = fs::create_dir_all(path).and_then(|()| {
            let mut open = File::options();
            open.create(true).truncate(false).write(true).open(path.join(LOCK))
        });
        let lock = lock.map_err(|error| put_aside(path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => {
                Err(RebuildRefusal::FolderInUse { folder: path.display().to_string() }.into())
            }
            Err(TryLockError::Error(error)) => Err(put_aside(path, error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a worker.
    pub(super) fn file(&self, worker: usize) -> PathBuf {
        self.path.join(format!("worker-{worker:03}.db"))
    }

    /// What a killed fold of this key left, by worker, with as many places as it had workers. None, and nothing is
    /// left, where it can't be gone on from: another key or version, another number of tables, a damaged file.
    pub(super) fn resume(
        &self,
        key: &str,
        slots: usize,
        cache_bytes: usize,
    ) -> Result<Option<Vec<Option<Left>>>, RebuildError> {
        let resumed = self.left(key, slots, cache_bytes).map_err(|error| put_aside(&self.path, error))?;
        if resumed.is_none() {
            self.clear().map_err(|error| put_aside(&self.path, error))?;
        }
        Ok(resumed)
    }

    fn left(&self, key: &str, slots: usize, cache_bytes: usize) -> Result<Option<Vec<Option<Left>>>, Problem> {
        let mut found: Vec<Option<Left>> = Vec::new();
        for path in self.files()? {
            if path.extension().is_none_or(|extension| extension != "db") {
                continue;
            }
            let Some(left) = Aside::resume(&path, cache_bytes)? else { return Ok(None) };
            let Identity { key: of, workers, worker } = left.aside.identity().clone();
            let belongs = of == key && left.rows.len() == slots && self.file(worker) == path && worker < workers;
            if found.is_empty() && belongs {
                found.resize_with(workers, || None);
            }
            if !belongs || found.len() != workers {
                return Ok(None);
            }
            found[worker] = Some(left);
        }
        Ok((!found.is_empty()).then_some(found))
    }

    /// Removes what was put aside. The lock's empty file stays: whoever waits for it may have opened it already.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.files()?.into_iter().try_for_each(fs::remove_file)
    }

    /// The workers' files, and the journals beside them, in the order of their names; nothing else.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_file_of_worker = name.strip_prefix("worker-").is_some_and(|rest| {
                rest.split_once('.').is_some_and(|(number, end)| {
                    number.bytes().all(|b| b.is_ascii_digit()) && ["db", "db-journal"].contains(&end)
                })
            });
            if is_file_of_worker {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file would leave the lock to a program that is being started at this moment, and has the file as
        // well until it runs.
        let _ = self.lock.unlock();
    }
}

/// Where a worker of this folder puts rows aside; of no folder, in a file without a name.
pub(super) fn site(folder: Option<&Folder>, identity: Identity, cache_bytes: usize, filter_bytes: usize) -> Site {
    Site { path: folder.map(|folder| folder.file(identity.worker)), identity, cache_bytes, filter_bytes }
}

/// The error of putting aside in a place.
pub(super) fn put_aside(folder: &Path, problem: impl Into<Problem>) -> RebuildError {
    RebuildError::PutAside { folder: folder.to_owned(), source: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_let_go_of_is_free_although_somebody_has_its_file() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::take(place.path()).unwrap();
        // What a program has that is started meanwhile: the same open file.
        let inherited = folder.lock.try_clone().unwrap();
        assert!(Folder::take(place.path()).is_err());
        drop(folder);
        Folder::take(place.path()).unwrap();
        drop(inherited);
    }
}
