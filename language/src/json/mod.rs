//! Strict, lazy editing of JSON text.
//!
//! A [`Document`] is opened only along the paths that a rule touches. Everything else stays the text it was: numbers
//! with all their digits, escapes, unpaired surrogates, the order of keys. Opened objects and arrays lose only the
//! white space between their members.

mod difference;
mod document;
mod node;
mod number;
mod pointer;
mod scan;
mod text;
mod value_form;

pub use difference::{Difference, Differs, first_difference};
pub use document::Document;
pub use node::{Member, Node, Place, only, same_key};
pub use number::{Decimal, is_integer, is_number};
pub use pointer::{Key, Pointer, PointerError, Segment, path_text};
pub use text::{Kind, bytes_of, compact, decode, encode, inner, strict};
pub use value_form::value_form;
