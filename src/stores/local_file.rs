//! What the stores that live in a local file share: identity, lock, and the meaning of the file system's errors.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use eventlift_events::{StoreError, StoreErrorKind};

use super::holder::{Asking, Claim, Holder};

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

/// Who holds the lock now, if anybody does.
pub(crate) fn lock_holder(path: &Path) -> Option<Holder> {
    is_locked(path).then(|| Holder::parse(&std::fs::read_to_string(path).unwrap_or_default()))
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
    pub(crate) fn take(path: &Path, claim: &Claim) -> Result<Self, StoreErrorKind> {
        loop {
            let mut file = open_lock(path).map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => StoreErrorKind::ReadOnly,
                _ => io_kind(error),
            })?;
            match file.try_lock() {
                Ok(()) if is_open_at(&file, path) => {
                    sign(&mut file, claim).map_err(io_kind)?;
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
pub(crate) fn lock_store(store: &Path, display: &str, claim: &Claim) -> Result<WriterLock, StoreError> {
    WriterLock::take(&lock_path(store), claim).map_err(|kind| {
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
fn sign(file: &mut File, claim: &Claim) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", Holder::this(claim).written()).as_bytes())
}

fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    // It is for people; without it the lock is just as taken.
    let _ = file.read_to_string(&mut holder);
    Holder::parse(&holder).to_string()
}

/// The file that is locked as long as somebody asks for a store.
fn request_path(store: &Path, asking: Asking) -> PathBuf {
    let mut name = lock_path(store).into_os_string();
    name.push(match asking {
        Asking::ForAWhile => "-wanted",
        Asking::ForGood => "-wanted-for-good",
    });
    PathBuf::from(name)
}

/// A lock that says "somebody asks whoever writes here to let go". The system frees it when the process ends, however it
/// ends, so no request outlives the one who asks; several may ask.
#[derive(Debug)]
pub(crate) struct Request {
    file: File,
    path: PathBuf,
}

impl Request {
    /// Asks for the store in a file.
    pub(crate) fn make(store: &Path, asking: Asking) -> io::Result<Self> {
        let path = request_path(store, asking);
        loop {
            let file = open_lock(&path)?;
            match file.try_lock_shared() {
                Ok(()) if is_open_at(&file, &path) => return Ok(Self { file, path }),
                // Whoever asked before took the file away, or looks whether somebody asks at this very moment.
                Ok(()) | Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Whether somebody asks for the store in a file now; of several, whoever asks for more.
    pub(crate) fn standing(store: &Path) -> Option<Asking> {
        let stands = |asking: &Asking| {
            File::open(request_path(store, *asking))
                .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
        };
        [Asking::ForGood, Asking::ForAWhile].into_iter().find(stands)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // The last one who asks takes the file away. One that stays is ugly, not wrong.
        if self.file.unlock().is_ok() && self.file.try_lock().is_ok() && is_open_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
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
        let held = WriterLock::take(&path, &Claim::default()).unwrap();
        let refused = WriterLock::take(&path, &Claim::default()).unwrap_err();
        assert!(is_locked(&path));
        assert_eq!(refused.to_string(), format!("another run holds it (process {})", std::process::id()));
        drop(held);
        assert!(!path.exists());
        assert!(!is_locked(&path));
        let claim = Claim::of("migrate --follow").letting_go();
        let held = WriterLock::take(&path, &claim).unwrap();
        let refused = WriterLock::take(&path, &claim).unwrap_err().to_string();
        assert!(refused.contains(", `migrate --follow` by "), "{refused}");
        let holder = lock_holder(&path).unwrap();
        assert!(holder.lets_go && holder.is_this_process());
        drop(held);
        assert_eq!(lock_holder(&path), None);
    }

    #[test]
    fn a_request_stands_as_long_as_somebody_asks() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.db");
        assert_eq!(Request::standing(&store), None);
        let make = |asking| Request::make(&store, asking).unwrap();
        let (one, other) = (make(Asking::ForAWhile), make(Asking::ForAWhile));
        let more = make(Asking::ForGood);
        assert_eq!(Request::standing(&store), Some(Asking::ForGood));
        drop(more);
        drop(one);
        assert_eq!(Request::standing(&store), Some(Asking::ForAWhile));
        drop(other);
        assert_eq!(Request::standing(&store), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // What a killed one has left asks for nothing.
        std::fs::write(request_path(&store, Asking::ForGood), "").unwrap();
        assert_eq!(Request::standing(&store), None);
        drop(make(Asking::ForGood));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
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
