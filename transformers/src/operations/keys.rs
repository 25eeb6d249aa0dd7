//! Secrets by name.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secrets that `hash` operations name. They are never printed: `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<String, Vec<u8>>);

impl Keys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret under a name, in the place of the one of that name. An empty secret is as good as none: the
    /// operation that names it does not compile.
    pub fn insert(&mut self, name: impl Into<String>, secret: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), secret.into());
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Tells one secret from another without giving it away: 64 hex digits, the HMAC-SHA256 of a constant. A rule's
    /// fingerprint includes it, since another key gives other events. `None` for an unknown name.
    pub fn fingerprint(&self, name: &str) -> Option<String> {
        const CONSTANT: &[u8] = b"eventlift key fingerprint 1";
        let mut mac = self.mac(name)?;
        mac.update(CONSTANT);
        Some(hex(&mac.finalize().into_bytes()))
    }

    /// The keyed hash, ready for a message. `None` for an unknown name and an empty secret.
    pub(crate) fn mac(&self, name: &str) -> Option<Hmac<Sha256>> {
        let secret = self.0.get(name).filter(|secret| !secret.is_empty())?;
        Hmac::<Sha256>::new_from_slice(secret).ok()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys(")?;
        f.debug_set().entries(self.0.keys()).finish()?;
        write!(f, ")")
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_apart_but_never_shown() {
        let mut keys = Keys::new();
        keys.insert("a", "secret one");
        keys.insert("b", "secret two");
        keys.insert("empty", "");
        assert_ne!(keys.fingerprint("a"), keys.fingerprint("b"));
        assert_eq!(keys.fingerprint("a").unwrap().len(), 64);
        assert_eq!(keys.fingerprint("c"), None);
        assert_eq!(keys.fingerprint("empty"), None);
        assert_eq!(format!("{keys:?}"), r#"Keys({"a", "b", "empty"})"#);
    }
}
