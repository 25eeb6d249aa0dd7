//! What a filter failed with, as people see it: without the values that it met, unless values are to be shown.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use super::value::Value;
use super::write;
use crate::reason::Reason;
use crate::shown::{Shown, values_are_shown};

thread_local! {
    /// Whether messages of the evaluation tell what kind of value there is, and not the value.
    static HIDES: Cell<bool> = const { Cell::new(false) };
    /// What the filter has raised by itself last, as text.
    static RAISED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Evaluates. What a filter catches holds values, since jq's does: `catches` says that it may catch something. Where such
/// a filter fails, it is evaluated once more, for a message without values.
pub(super) fn without_values<T>(catches: bool, evaluate: impl Fn() -> Result<T, Reason>) -> Result<T, Reason> {
    if values_are_shown() {
        return evaluate();
    }
    if !catches {
        return hiding(evaluate);
    }
    let outcome = evaluate();
    if outcome.is_ok() {
        return outcome;
    }
    match hiding(evaluate) {
        Err(reason) => Err(reason),
        Ok(_) => Err(Reason::new("the jq filter failed on a message that it has caught")),
    }
}

fn hiding<T>(evaluate: impl Fn() -> T) -> T {
    HIDES.set(true);
    let outcome = evaluate();
    HIDES.set(false);
    outcome
}

/// A value in a message.
pub(super) fn write_value(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = write::shown(value);
    if HIDES.get() { write!(f, "{}", Shown(text)) } else { f.write_str(&text) }
}

/// Takes note of what the filter raises by itself.
pub(super) fn raised(value: &Value) {
    RAISED.set(Some(text_of(value)));
}

/// What a filter failed with, as jq words it. Text that the filter raises by itself is its author's where it stands in the
/// filter as it is; anything else is a value.
pub(super) fn reason(exception: jaq_core::Exn<'_, Value>, literals: &HashSet<String>) -> Reason {
    const MAX_CHARACTERS: usize = 500;
    let message = match exception.get_err() {
        Ok(error) => text_of(&error.into_val()),
        Err(_) => "a break left the filter".to_owned(),
    };
    let is_raised = RAISED.with_borrow(|raised| raised.as_ref() == Some(&message));
    if HIDES.get() && is_raised && !literals.contains(&message) {
        return Reason::new(format_args!("the jq filter ended with {}", Shown(format_args!("\"{message}\""))));
    }
    match message.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => Reason::new(format_args!("{}…", &message[..end])),
        None => Reason::new(message),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Str(text) => String::from_utf8_lossy(&text.bytes).into_owned(),
        value => write::shown(value),
    }
}
