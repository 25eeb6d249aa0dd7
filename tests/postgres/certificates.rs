//! Certificates for the tests of TLS, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, and a server certificate for `localhost` that it signed. Gone with its folder.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let new_key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        let authority = format!("{new_key} -keyout ca.key -out ca.pem -subj /CN=authority");
        openssl(made.folder.path(), &authority);
        let server = "-keyout server.key -out server.pem -CA ca.pem -CAkey ca.key -subj /CN=localhost \
                      -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
        openssl(made.folder.path(), &format!("{new_key} {server}"));
        made
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.expect("openssl is needed: `cargo xtask test` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
