//! Values of events in messages: what kind of value it is, or the value itself where that is wished for, and then never
//! longer than a line.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many characters of a value are shown.
const MOST: usize = 60;

/// Whether messages show values. It is one setting for the process, as messages are made wherever an event is looked at.
static SHOWS: AtomicBool = AtomicBool::new(cfg!(test));
thread_local! {
    /// Whether this thread is at work on definitions, which hold no values of events.
    static SHOWS_HERE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a message has left a value out.
static HAS_HIDDEN: AtomicBool = AtomicBool::new(false);

/// Says whether messages of this process show values of events. They do not, unless this says so: errors end in logs and
/// ledgers, and values may be personal data.
pub fn show_values(shows: bool) {
    SHOWS.store(shows, Ordering::Relaxed);
}

/// Messages about definitions, such as constants and test cases: all values are shown.
pub fn showing_values<T>(of_definitions: impl FnOnce() -> T) -> T {
    let before = SHOWS_HERE.replace(true);
    let outcome = of_definitions();
    SHOWS_HERE.set(before);
    outcome
}

/// Whether messages show values.
pub fn values_are_shown() -> bool {
    SHOWS.load(Ordering::Relaxed) || SHOWS_HERE.get()
}

/// Whether a message that is made now must not show values. Counts as one that has left a value out.
pub fn hides_values() -> bool {
    let hides = !values_are_shown();
    HAS_HIDDEN.fetch_or(hides, Ordering::Relaxed);
    hides
}

/// Whether a message of this process has left a value out.
pub fn has_hidden_values() -> bool {
    HAS_HIDDEN.load(Ordering::Relaxed)
}

/// A value of an event as messages tell of it: `a text of 12 characters`. Where [values are shown](show_values), the value,
/// [cut](Short).
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = Cut::of(&self.0);
        if hides_values() { f.write_str(&kind_of(&cut.kept, cut.length)) } else { cut.fmt(f) }
    }
}

/// What is no value of an event, such as a constant of a rule: whole where it has no more than 60 characters, and cut, with
/// its length, past that.
#[derive(Debug, Clone, Copy)]
pub struct Short<T>(pub T);

impl<T: fmt::Display> fmt::Display for Short<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cut::of(&self.0).fmt(f)
    }
}

/// What a value is, from how its JSON begins, and how long that is.
fn kind_of(start: &str, length: usize) -> String {
    let (kind, length) = match start.as_bytes().first() {
        Some(b'"') => ("a text", length.saturating_sub(2)),
        Some(b'{') => ("an object", length),
        Some(b'[') => ("an array", length),
        _ if matches!(start, "null" | "true" | "false" | "") => return start.to_owned(),
        _ if start.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => ("a number", length),
        _ => ("a value", length),
    };
    let plural = if length == 1 { "" } else { "s" };
    format!("{kind} of {length} character{plural}")
}

/// Text that forgets what is past the first characters, and counts all of them.
struct Cut {
    kept: String,
    length: usize,
}

impl Cut {
    fn of(value: &impl fmt::Display) -> Self {
        let mut cut = Self { kept: String::new(), length: 0 };
        // Writing to it does not fail; a value that can't be written is shown as far as it could be.
        let _ = fmt::write(&mut cut, format_args!("{value}"));
        cut
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length <= MOST {
            true => f.write_str(&self.kept),
            false => write!(f, "{}… ({} characters)", self.kept, self.length),
        }
    }
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = MOST.saturating_sub(self.length);
        let end = text.char_indices().nth(left).map_or(text.len(), |(end, _)| end);
        self.kept.push_str(&text[..end]);
        self.length += text.chars().count();
        Ok(())
    }
}

/// A message that no value can make longer than a screen: what is past 2,000 characters is left out of its middle.
pub(crate) fn of_bounded_length(message: String) -> String {
    const MOST: usize = 2_000;
    const END: usize = 400;
    let length = message.chars().count();
    if message.len() <= MOST || length <= MOST {
        return message;
    }
    let at = |index: usize| message.char_indices().nth(index).map_or(message.len(), |(at, _)| at);
    let (start, end) = (at(MOST - END), at(length - END));
    let left_out: Cow<'_, str> = format!(" … ({} characters) … ", length - MOST).into();
    format!("{}{left_out}{}", &message[..start], &message[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn a_value_is_cut_past_a_line() {
        assert_eq!(Shown("\"Ada\"").to_string(), "\"Ada\"");
        let exactly = "ä".repeat(60);
        assert_eq!(Shown(&exactly).to_string(), exactly);
        assert_eq!(Shown("y".repeat(3_000_000)).to_string(), format!("{}… (3000000 characters)", "y".repeat(60)));
        assert_eq!(
            Shown(format_args!("{}{}", "ä".repeat(59), "öü")).to_string(),
            format!("{}ö… (61 characters)", "ä".repeat(59))
        );
    }

    #[test]
    fn a_kind_is_told_in_place_of_a_value() {
        for (value, kind) in [
            (r#""Ada""#, "a text of 3 characters"),
            (r#""""#, "a text of 0 characters"),
            ("-1.50e3", "a number of 7 characters"),
            ("7", "a number of 1 character"),
            ("true", "true"),
            ("null", "null"),
            (r#"{"a":1}"#, "an object of 7 characters"),
            ("[1]", "an array of 3 characters"),
            ("ada@example.org", "a value of 15 characters"),
        ] {
            assert_eq!(kind_of(value, value.chars().count()), kind);
        }
    }

    #[test]
    fn no_reason_is_longer_than_a_screen() {
        let reason = Reason::new(format_args!("/{} is missing", "k".repeat(3_000_000)));
        assert_eq!(reason.message.chars().filter(|c| *c == 'k').count(), 1_599 + 389);
        assert!(reason.message.ends_with("k is missing"), "{}", reason.message);
        assert_eq!(Reason::new("ä".repeat(2_000)).message, "ä".repeat(2_000));
    }
}
