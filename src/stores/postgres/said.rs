//! What the server says of an error, without the values that it quotes, unless values are to be shown.

use eventlift_language::{Shown, hides_values};
use sqlx::postgres::PgDatabaseError;

/// The message of an error. Of data that can't be taken it may quote a value.
pub(super) fn message(error: &PgDatabaseError) -> String {
    match is_about_data(error.code()) && hides_values() {
        true => without_quoted(error.message()),
        false => error.message().to_owned(),
    }
}

/// The detail of an error, without a full stop. Of rows that can't be taken it may hold whole rows.
pub(super) fn detail(error: &PgDatabaseError) -> Option<String> {
    let detail = error.detail()?.trim_end_matches('.');
    if !(is_about_data(error.code()) || is_about_rows(error.code())) || !hides_values() {
        return Some(detail.to_owned());
    }
    if detail.contains("=(") {
        return Some(without_keys(detail));
    }
    let is_row = is_about_rows(error.code()) && detail.contains('(');
    (!is_row).then(|| without_quoted(detail))
}

/// Class 22, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn is_about_data(code: &str) -> bool {
    // 22023 is about settings.
    code.starts_with("22") && code != "22023"
}

/// Class 23, constraints.
fn is_about_rows(code: &str) -> bool {
    code.starts_with("23")
}

/// `invalid input syntax for type uuid: a text of 3 characters`
fn without_quoted(text: &str) -> String {
    let mut parts = text.split('"');
    let mut without = parts.next().unwrap_or_default().to_owned();
    while let Some(quoted) = parts.next() {
        without.push_str(&Shown(format_args!("\"{quoted}\"")).to_string());
        without.push_str(parts.next().unwrap_or_default());
    }
    without
}

/// `Key (email)=(ada@example.org) already exists` without what is behind the sign.
fn without_keys(text: &str) -> String {
    let Some((before, behind)) = text.split_once("=(") else { return text.to_owned() };
    let rest = behind.rsplit_once(')').map_or("", |(_, rest)| rest);
    format!("{before}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_quoted_text_are_left_out() {
        assert_eq!(without_keys("Key (a, b)=(x), y), 2) already exists"), "Key (a, b) already exists");
        let without = without_quoted("Token \"ada\" is invalid");
        assert!(without.starts_with("Token ") && without.ends_with(" is invalid"), "{without}");
        assert_eq!(without_quoted("\\u0000 cannot be converted to text"), "\\u0000 cannot be converted to text");
    }
}
