//! The name of an attribute that a store's configuration gives a meaning to.

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// An attribute's name, or `none` (or `false`) where the store has no such attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute(Option<String>);

impl Attribute {
    /// The store has no such attribute.
    pub const NONE: Self = Self(None);

    /// The attribute of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Some(name.into()))
    }

    /// Its name, if the store has it.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrFalse;
        impl de::Visitor<'_> for NameOrFalse {
            type Value = Attribute;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an attribute's name, or \"none\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Attribute, E> {
                Ok(if text == "none" { Attribute::NONE } else { Attribute::named(text) })
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Attribute, E> {
                if value { Err(E::invalid_value(de::Unexpected::Bool(true), &self)) } else { Ok(Attribute::NONE) }
            }
        }
        deserializer.deserialize_any(NameOrFalse)
    }
}
