//! What the stores that live in a local file share: identity, lock, and the meaning of the file system's errors.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use eventlift_events::{StoreError, StoreErrorKind};

/// What makes a file the same file from wherever it is named: its path without links.
pub(crate) fn file_key(path: &Path) -> io::Result<String> {
    Ok(format!("file:{}", path.canonicalize()?.display()))
}

/// Whether two paths lead to one file, hard links included. Paths that lead nowhere are not the same.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (Ok(one), Ok(other)) = (std::fs::metadata(one), std::fs::metadata(other)) else { return false };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
    }
}

/// What an error of the file system means for a store.
pub(crate) fn io_kind(error: io::Error) -> StoreErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => StoreErrorKind::Missing,
        io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => StoreErrorKind::Full,
        _ => StoreErrorKind::Backend(Box::new(error)),
    }
}

/// The file that a path leads to, if its last name is a link, whether the file is there or not. What is kept beside a
/// store is beside that, so that there is one of it.
pub(crate) fn behind_links(path: &Path) -> PathBuf {
    /// As many as systems follow.
    const LINKS: usize = 40;
    let mut real = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(&real) else { break };
        real = real.parent().unwrap_or(Path::new("")).join(target);
    }
    real
}

/// The lock file of a store in a local file. It stays where a writer is killed; only the lock counts.
pub(crate) fn lock_path(store: &Path) -> PathBuf {
    let mut name = behind_links(store).into_os_string();
    name.push("-lock");
    PathBuf::from(name)
}

/// Whether a writer holds the lock now.
pub(crate) fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// A lock that says "a writer is at work here". The system frees it when the process ends, however it ends; a writer
/// that ends in peace takes the lock file away.
#[derive(Debug)]
pub(crate) struct WriterLock {
    // Held, never read: closing the file frees the lock.
    _file: File,
    path: PathBuf,
}

impl WriterLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreErrorKind> {
        loop {
            let mut file = open_lock(path).map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => StoreErrorKind::ReadOnly,
                _ => io_kind(error),
            })?;
            match file.try_lock() {
                Ok(()) if is_open_at(&file, path) => {
                    sign(&mut file).map_err(io_kind)?;
                    return Ok(Self { _file: file, path: path.to_owned() });
                }
                // The holder took its file away between our opening and locking it: this lock guards nothing.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreErrorKind::Locked(holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(io_kind(error)),
            }
        }
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // A lock file that stays is ugly, not wrong.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Takes the lock of the store in a file, or says who has it and what to do.
pub(crate) fn lock_store(store: &Path, display: &str) -> Result<WriterLock, StoreError> {
    WriterLock::take(&lock_path(store)).map_err(|kind| {
        let hint = match &kind {
            StoreErrorKind::Locked(_) => "wait until that run ends, or stop it: it can be resumed",
            StoreErrorKind::Missing => "create the folder first",
            _ => "check that the folder is there and can be written by this user",
        };
        StoreError::new("open", display, kind).hint(hint)
    })
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

/// Writes down who holds the lock.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    // The number is for people; without it the lock is just as taken.
    let _ = file.read_to_string(&mut holder);
    match holder.trim() {
        "" => "its process is unknown".to_owned(),
        holder => format!("process {holder}"),
    }
}

#[cfg(unix)]
fn is_open_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_open_at(_: &File, path: &Path) -> bool {
    // An open file can't be removed there.
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_once_and_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store-lock");
        let held = WriterLock::take(&path).unwrap();
        let refused = WriterLock::take(&path).unwrap_err();
        assert!(is_locked(&path));
        assert_eq!(refused.to_string(), format!("another run holds it (process {})", std::process::id()));
        drop(held);
        assert!(!path.exists());
        assert!(!is_locked(&path));
        WriterLock::take(&path).unwrap();
    }

    #[test]
    fn links_to_a_file_are_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, none) = (folder.path().join("one"), folder.path().join("two"), folder.path().join("none"));
        std::fs::write(&one, "").unwrap();
        std::fs::hard_link(&one, &two).unwrap();
        assert!(is_same_file(&one, &two));
        assert!(!is_same_file(&one, &none) && !is_same_file(&none, &none));
        assert_eq!(file_key(&one).unwrap(), file_key(&folder.path().join("./one")).unwrap());
    }
}
