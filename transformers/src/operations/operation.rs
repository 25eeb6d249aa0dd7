//! An operation as a definition file says it.

use eventlift_language::{Condition, Reason};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

use crate::operations::date::Date;
use crate::operations::effects::Effects;
use crate::operations::extract::Extract;
use crate::operations::fields::{Copy, Move, Remove, Rename};
use crate::operations::format::Format;
use crate::operations::hash::Hash;
use crate::operations::join::Join;
use crate::operations::keys::Keys;
use crate::operations::map::Map;
use crate::operations::parse::Parse;
use crate::operations::place::Edit;
use crate::operations::redact::Redact;
use crate::operations::set::{Default, Set};
use crate::operations::split::Split;
use crate::operations::wrap::{Unwrap, Wrap};

/// One operation, as written: `{ rename = "/first", to = "/given" }`.
///
/// Reading it refuses unknown keys (the error names the key and the expected ones, as serde words it), tables without
/// a keyword and tables with two. What needs more than the table itself (key names, formats) is checked when it is
/// compiled.
#[derive(Debug, Clone)]
pub struct Operation {
    kind: Kind,
}

macro_rules! kinds {
    ($($name:literal => $kind:ident),* $(,)?) => {
        #[derive(Debug, Clone)]
        enum Kind { $($kind($kind)),* }

        impl Operation {
            /// The keywords of all operations.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its keyword.
            pub fn name(&self) -> &'static str {
                match self.kind { $(Kind::$kind(_) => $name),* }
            }

            fn read(name: &str, table: toml::Table) -> Result<Kind, toml::de::Error> {
                match name {
                    $($name => read_kind(table).map(Kind::$kind),)*
                    other => Err(de::Error::custom(format_args!("{other} is no operation"))),
                }
            }

            /// Its own condition.
            pub fn condition(&self) -> Option<&Condition> {
                match &self.kind { $(Kind::$kind(operation) => operation.when.as_ref()),* }
            }

            pub(crate) fn compile(self, keys: &Keys) -> Result<Edit, Reason> {
                match self.kind { $(Kind::$kind(operation) => operation.compile(keys)),* }
            }

            /// What it does to which paths, as far as that is certain.
            pub(crate) fn effects(&self) -> Effects {
                match &self.kind { $(Kind::$kind(operation) => operation.effects().plain()),* }
            }

            /// What takes it back, or why nothing does.
            pub(crate) fn inverse(&self) -> Result<Edit, Reason> {
                match &self.kind { $(Kind::$kind(operation) => operation.inverse()),* }
            }
        }
    };
}

kinds! {
    "rename" => Rename,
    "set" => Set,
    "default" => Default,
    "copy" => Copy,
    "move" => Move,
    "remove" => Remove,
    "join" => Join,
    "split" => Split,
    "extract" => Extract,
    "parse" => Parse,
    "format" => Format,
    "map" => Map,
    "date" => Date,
    "wrap" => Wrap,
    "unwrap" => Unwrap,
    "redact" => Redact,
    "hash" => Hash,
}

fn read_kind<T: DeserializeOwned>(table: toml::Table) -> Result<T, toml::de::Error> {
    table.try_into()
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let mut named = table.keys().filter(|key| Self::NAMES.contains(&key.as_str()));
        let Some(name) = named.next().cloned() else {
            return Err(match table.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
                Some(unknown) => de::Error::unknown_field(unknown, Self::NAMES),
                None => {
                    de::Error::custom(format_args!("no operation is named; it is one of {}", Self::NAMES.join(", ")))
                }
            });
        };
        if let Some(second) = named.next() {
            return Err(de::Error::custom(format_args!(
                "`{name}` and `{second}` are two operations; each has a table of its own"
            )));
        }
        let kind = Self::read(&name, table).map_err(|error| de::Error::custom(in_one_line(&error)))?;
        Ok(Self { kind })
    }
}

/// The message, with the key it is about; an unknown key is in the message already.
fn in_one_line(error: &toml::de::Error) -> String {
    let message = error.message();
    if message.starts_with("unknown field") { message.to_owned() } else { error.to_string().trim().replace('\n', ", ") }
}

/// Keys that belong to some operation, so that an unknown keyword is not mistaken for one of them.
const OPTIONS: &[&str] = &[
    "to",
    "value",
    "json",
    "or_null",
    "optional",
    "replace",
    "with",
    "into",
    "on",
    "keep",
    "rest",
    "fewer",
    "pattern",
    "otherwise",
    "values",
    "as",
    "decimals",
    "from",
    "zone",
    "to_zone",
    "ambiguous",
    "lossy",
    "key",
    "when",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        toml::from_str::<Operation>(text).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_misspelt_key_is_named_with_the_expected_ones() {
        let message = error("rename = '/a'\ntoo = '/b'");
        assert!(message.contains("unknown field `too`, expected one of `rename`, `to`"), "{message}");
        let message = error("renmae = '/a'\nto = '/b'");
        assert!(message.contains("unknown field `renmae`, expected one of `rename`, `set`"), "{message}");
        let message = error("set = '/a'\nvalue = 1\nwhen = { path = '/a', equal = 1 }");
        assert!(message.contains("unknown field `equal`, expected one of `path`"), "{message}");
    }

    #[test]
    fn one_table_is_one_operation() {
        assert!(error("rename = '/a'\nset = '/b'").contains("two operations"));
        assert!(error("to = '/b'").contains("no operation is named"));
        assert!(error("rename = '/a'").contains("missing field `to`"));
        assert!(error("redact = 'a'").contains("a path starts with `/`"));
    }
}
