//! Strict, lazy editing of JSON text.
//!
//! A [`Document`] is opened only along the paths that a rule touches. Everything else stays the text it was: numbers
//! with all their digits, escapes, unpaired surrogates, the order of keys. Opened objects and arrays lose only the
//! white space between their members.

mod document;
mod node;
mod number;
mod pointer;
mod text;

pub use document::Document;
pub use pointer::{Pointer, PointerError};

pub(crate) use document::is_json;
pub(crate) use node::{Member, Node, Place, only, same_key};
pub(crate) use number::{Decimal, is_integer, is_number};
pub(crate) use pointer::{Segment, path_text};
pub(crate) use text::{Kind, bytes_of, compact, decode, encode, inner, strict};
