//! Where a server's password is read from.

use std::fmt;
use std::path::Path;

use eventlift_events::{StoreError, StoreErrorKind};

/// The password in a file, or in an environment variable; none where neither is named. Fails where there is none, and
/// where others than its owner may read the file. `display` is the store, without a password.
pub(crate) fn read(
    file: Option<&Path>,
    variable: Option<&str>,
    display: &dyn fmt::Display,
) -> Result<Option<String>, StoreError> {
    find(file, variable).map_err(|(kind, hint)| {
        let error = StoreError::new("open", display, kind).at("its password");
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn find(file: Option<&Path>, variable: Option<&str>) -> Result<Option<String>, (StoreErrorKind, Option<String>)> {
    let unexpected = |problem| (StoreErrorKind::Unexpected(problem), None);
    if let Some(file) = file {
        if is_open_to_others(file) {
            let problem = format!("{} can be read by others than its owner", file.display());
            let hint = format!("chmod 600 {}; a mounted secret takes its mode where it is defined", file.display());
            return Err((StoreErrorKind::Denied(problem), Some(hint)));
        }
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|e| unexpected(format!("{}: {}", file.display(), e.kind())))?;
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(unexpected(format!("{} is empty", file.display())));
        }
        return Ok(Some(password.to_owned()));
    }
    let Some(variable) = variable else { return Ok(None) };
    match std::env::var(variable) {
        Ok(password) if !password.is_empty() => Ok(Some(password)),
        _ => {
            let problem = format!("the environment variable {variable} is not set");
            Err((StoreErrorKind::Unexpected(problem), Some(format!("export {variable}=… with the password"))))
        }
    }
}

/// Whether others than its owner may read a file.
#[cfg(unix)]
pub(crate) fn is_open_to_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_: &Path) -> bool {
    false
}
