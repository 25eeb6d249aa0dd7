//! Fingerprints: hashes that change when, and only when, what a rule may yield changes.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Hashes a sequence of fields. Every field is preceded by its length, so that no two sequences collide by concatenation.
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Begins the fingerprint of one kind of thing.
    pub fn of(kind: &str) -> Self {
        Self(Sha256::new()).field(kind)
    }

    /// Adds a field.
    pub fn field(mut self, field: &str) -> Self {
        self.0.update((field.len() as u64).to_le_bytes());
        self.0.update(field.as_bytes());
        self
    }

    /// Adds a number.
    pub fn number(self, number: u64) -> Self {
        self.field(&number.to_string())
    }

    /// The hash in 64 lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_apart() {
        let joined = Fingerprint::of("rule").field("ab").field("c").finish();
        let shifted = Fingerprint::of("rule").field("a").field("bc").finish();
        assert_ne!(joined, shifted);
        assert_eq!(joined.len(), 64);
        assert_eq!(joined, Fingerprint::of("rule").field("ab").field("c").finish());
    }
}
