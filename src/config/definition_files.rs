//! The files of a folder of definitions, and what editors and operating systems leave among them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// The files with these extensions, in capitals or not, in a folder and the folders in it, in the order of their paths.
/// Each folder is read once, whatever links lead to it. What editors and operating systems leave behind is left alone;
/// a link that leads nowhere is an error, since nobody knows what it would have led to.
pub(super) fn paths_in(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        let real = folder.canonicalize().map_err(|e| leads_nowhere(&folder).unwrap_or_else(|| failed(&folder, e)))?;
        if !seen.insert(real) {
            continue;
        }
        let entries = std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries: Vec<PathBuf> = entries.map_err(|e| failed(&folder, e))?.iter().map(|e| e.path()).collect();
        entries.retain(|path| !is_stray(path));
        // Whichever of several names a folder is read under, it is always the same one.
        entries.sort();
        for path in entries {
            let found = match std::fs::metadata(&path) {
                Ok(found) => found,
                Err(error) => return Err(leads_nowhere(&path).unwrap_or_else(|| failed(&path, error))),
            };
            let has = |extension: &&str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
            if found.is_dir() {
                folders.push(path);
            } else if extensions.iter().any(has) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// The text of a file. One that is not UTF-8 is an error with its line.
pub(super) fn text_of(path: &Path) -> Result<String, ConfigError> {
    let bytes = std::fs::read(path).map_err(|e| failed(path, e))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        let message = format!("it is not UTF-8: there is the byte 0x{byte:02x}");
        let hint = "save it in UTF-8: it may be in Latin-1 or UTF-16, or no text at all";
        ConfigError { line: Some(line), ..ConfigError::new(path, message).hint(hint) }
    })
}

/// Whether it is what others keep beside a file of that name: macOS its attributes (`._a.toml`, `.AppleDouble`), Emacs
/// its locks (`.#a.toml`). Their copies (`a.toml~`, `#a.toml#`, `.a.toml.swp`) have other extensions.
fn is_stray(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with("._") || name.starts_with(".#") || name == ".AppleDouble" || name == "__MACOSX"
}

/// The error of a link to something that is not there; none for anything else.
fn leads_nowhere(path: &Path) -> Option<ConfigError> {
    if path.exists() {
        return None;
    }
    let target = std::fs::read_link(path).ok()?;
    let message = format!("it is a link to {}, which is not there", target.display());
    Some(ConfigError::new(path, message).hint("remove the link, or put back what it leads to"))
}

fn failed(path: &Path, error: io::Error) -> ConfigError {
    match error.kind() {
        // Said in the system's own words, since the kind says nothing.
        io::ErrorKind::Other => ConfigError::new(path, error),
        kind => ConfigError::new(path, kind),
    }
}
