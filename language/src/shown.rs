//! Values of events in messages: never longer than a line.

use std::borrow::Cow;
use std::fmt;

/// How many characters of a value are shown.
const MOST: usize = 60;

/// A value as messages show it: whole where it has no more than 60 characters, and cut, with its length, past that.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cut = Cut { kept: String::new(), length: 0 };
        // Writing to it does not fail; a value that can't be written is shown as far as it could be.
        let _ = fmt::write(&mut cut, format_args!("{}", self.0));
        match cut.length <= MOST {
            true => f.write_str(&cut.kept),
            false => write!(f, "{}… ({} characters)", cut.kept, cut.length),
        }
    }
}

/// Text that forgets what is past the first characters, and counts all of them.
struct Cut {
    kept: String,
    length: usize,
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
    fn no_reason_is_longer_than_a_screen() {
        let reason = Reason::new(format_args!("/{} is missing", "k".repeat(3_000_000)));
        assert_eq!(reason.message.chars().filter(|c| *c == 'k').count(), 1_599 + 389);
        assert!(reason.message.ends_with("k is missing"), "{}", reason.message);
        assert_eq!(Reason::new("ä".repeat(2_000)).message, "ä".repeat(2_000));
    }
}
