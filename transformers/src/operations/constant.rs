//! Values written in a definition, as JSON text.

use eventlift_language::json::strict;
use eventlift_language::{Literal, Reason};

/// The JSON text of `value = …` or `json = '…'`, exactly one of which is given.
pub(crate) fn constant(value: Option<Literal>, json: Option<String>) -> Result<String, Reason> {
    match (value, json) {
        (Some(value), None) => value.json(),
        (None, Some(json)) => exact(&json),
        _ => Err(Reason::new("it needs either `value` or `json`")
            .hint("`value = …` takes any TOML value, `json = '…'` any JSON text, such as null")),
    }
}

/// The JSON text as it is written, without white space around it.
pub(crate) fn exact(json: &str) -> Result<String, Reason> {
    match strict(json) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Reason::new(format_args!("`json` is not JSON: {error}"))),
    }
}
