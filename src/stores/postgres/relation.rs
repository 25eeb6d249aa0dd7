//! Names of tables as SQL takes them: qualified by their schema and quoted, so that no `search_path` decides.

use std::fmt;

use sha2::{Digest, Sha256};

/// A table, index or sequence of a schema. Prints as SQL: `"public"."events"`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
}

impl Relation {
    pub(super) fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Quoted(&self.schema), Quoted(&self.name))
    }
}

/// A name as a quoted identifier.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// The key of an advisory lock of a database: for what, and on which relation.
pub(super) fn lock_key(purpose: &str, schema: &str, name: &str) -> i64 {
    let mut hash = Sha256::new();
    for part in ["eventlift", purpose, schema, name] {
        hash.update(part);
        hash.update([0]);
    }
    let mut start = [0; 8];
    start.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(Relation::new("public", "a\"b").to_string(), "\"public\".\"a\"\"b\"");
    }
}
