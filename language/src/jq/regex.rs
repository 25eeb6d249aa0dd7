//! Regular expressions as jq's library (Oniguruma in its Perl dialect) reads and finds them.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use fancy_regex::{Captures, Regex, RegexBuilder};
use jaq_core::{Error, ValR};

use super::budget;
use super::value::{Key, Map, Text, Value};
use super::value_traits::character_count;
use crate::reason::Reason;

/// Patterns that one thread keeps compiled: compiling takes much longer than most searches.
const MAX_KEPT: usize = 32;

/// Steps of backtracking, after which a search fails.
const MAX_BACKTRACKING: usize = 200_000;

/// A pattern, its flags, and what they were compiled to.
type Compiled = (Rc<Text>, String, Rc<Regex>);

thread_local! {
    static KEPT: RefCell<Vec<Compiled>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Default, Clone, Copy)]
struct Flags {
    all: bool,
    any_case: bool,
    extended: bool,
    dot_matches_newline: bool,
    not_empty: bool,
}

impl Flags {
    fn read(flags: &Value) -> Result<Self, Error<Value>> {
        let mut read = Self::default();
        let text = match flags {
            Value::Null => return Ok(read),
            Value::Str(text) => String::from_utf8_lossy(&text.bytes).into_owned(),
            _ => return Err(Error::str(format_args!("the flags of a regular expression are text, not {flags}"))),
        };
        for flag in text.chars() {
            match flag {
                'g' => read.all = true,
                'i' => read.any_case = true,
                'x' => read.extended = true,
                // `^` and `$` are the start and end of the text anyway.
                's' => {}
                'p' => read.dot_matches_newline = true,
                'n' => read.not_empty = true,
                'l' => {
                    return Err(budget::refuse(
                        Reason::new("jq has the flag l of regular expressions, eventlift has not")
                            .hint("put longer alternatives first"),
                    ));
                }
                _ => return Err(Error::str(format_args!("{flag} is no flag of a regular expression"))),
            }
        }
        Ok(read)
    }

    fn regex(self, pattern: &Rc<Text>, ends_with_newline: bool) -> Result<Rc<Regex>, String> {
        let key = format!("{self:?}{ends_with_newline}");
        let kept = KEPT.with_borrow(|kept| {
            let found = kept.iter().find(|(text, flags, _)| text.bytes == pattern.bytes && *flags == key);
            found.map(|(.., regex)| regex.clone())
        });
        if let Some(regex) = kept {
            return Ok(regex);
        }
        if !budget::spend(100 + pattern.bytes.len() as u64) {
            return Err("the jq filter ran away".to_owned());
        }
        let source = str::from_utf8(&pattern.bytes).map_err(|_| "a regular expression must be utf-8".to_owned())?;
        let regex = RegexBuilder::new(&translated(source, ends_with_newline))
            .oniguruma_mode(true)
            .case_insensitive(self.any_case)
            .ignore_whitespace(self.extended)
            .dot_matches_new_line(self.dot_matches_newline)
            .find_not_empty(self.not_empty)
            .backtrack_limit(MAX_BACKTRACKING)
            .build();
        let regex = match regex {
            Ok(regex) => Rc::new(regex),
            Err(error) => {
                let message = format!("{source:?} is not a regular expression that eventlift has: {error}");
                return Err(message);
            }
        };
        KEPT.with_borrow_mut(|kept| {
            if kept.len() == MAX_KEPT {
                kept.remove(0);
            }
            kept.push((Text::read(Bytes::copy_from_slice(&pattern.bytes), None), key, regex.clone()));
        });
        Ok(regex)
    }
}

/// The pattern as the regex crate reads it: classes like `[:alpha:]` hold letters of all scripts, and `$` is also in
/// front of a newline that ends the text.
fn translated(pattern: &str, ends_with_newline: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let (mut is_escaped, mut class_depth) = (false, 0_usize);
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        if class_depth > 0
            && !is_escaped
            && let Some((class, after)) = posix_class(rest)
        {
            out.push_str(&class);
            rest = after;
            continue;
        }
        rest = &rest[char.len_utf8()..];
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => class_depth += 1,
            ']' => class_depth = class_depth.saturating_sub(1),
            '$' if class_depth == 0 && ends_with_newline => {
                out.push_str("(?=\\n?\\z)");
                continue;
            }
            _ => {}
        }
        out.push(char);
    }
    out
}

/// The class that `[:alpha:]` or `[:^alpha:]` names, if that is what a pattern goes on with, and what follows.
fn posix_class(pattern: &str) -> Option<(String, &str)> {
    let (name, rest) = pattern.strip_prefix("[:")?.split_once(":]")?;
    let (is_negated, name) = match name.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let class = match name {
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "alpha" => r"\p{Alphabetic}",
        "ascii" => r"\x00-\x7F",
        "blank" => r"\t\p{Zs}",
        "cntrl" => r"\p{Cc}",
        "digit" => r"\p{Nd}",
        "graph" => r"[^\s\p{Cc}\p{Cn}]",
        "lower" => r"\p{Lowercase}",
        "print" => r"[^\p{Cc}\p{Cn}\p{Zl}\p{Zp}]",
        "punct" => r"\p{P}",
        "space" => r"\s",
        "upper" => r"\p{Uppercase}",
        "word" => r"\w",
        "xdigit" => "0-9A-Fa-f",
        _ => return None,
    };
    Some((if is_negated { format!("[^{class}]") } else { format!("[{class}]") }, rest))
}

/// Where a pattern matches: an array of matches as jq's `match` yields them; or, for `test`, whether it does.
pub(super) fn matches(text: &Value, pattern: &Value, flags: &Value, only_test: bool) -> ValR<Value> {
    let Value::Str(text) = text else {
        return Err(Error::str(format_args!("{text} cannot be matched, as it is not text")));
    };
    let Value::Str(pattern) = pattern else {
        return Err(Error::str(format_args!("a regular expression is text, not {pattern}")));
    };
    let flags = Flags::read(flags)?;
    let Ok(text) = str::from_utf8(&text.bytes) else {
        return Err(Error::str("text that is not utf-8 cannot be matched"));
    };
    let regex = match flags.regex(pattern, text.ends_with('\n')) {
        Ok(regex) => regex,
        // With the flag, a pattern that only ever matches the empty text never matches.
        Err(_) if flags.not_empty && Flags { not_empty: false, ..flags }.regex(pattern, false).is_ok() => {
            return Ok(if only_test { Value::Bool(false) } else { Value::array(Vec::new()) });
        }
        // It may be one to jq.
        Err(message) => return Err(budget::refuse(message)),
    };
    let failed = |error: fancy_regex::Error| budget::refuse(format!("the regular expression failed: {error}"));
    if !budget::spend(1 + text.len() as u64 / 64) {
        return Err(budget::exhausted());
    }
    if only_test {
        return Ok(Value::Bool(regex.is_match(text).map_err(failed)?));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at <= text.len() {
        let Some(captures) = regex.captures_from_pos(text, at).map_err(failed)? else { break };
        if !budget::spend(1 + captures.len() as u64) {
            return Err(budget::exhausted());
        }
        let Some(whole) = captures.get(0) else { break };
        at = match text[whole.end()..].chars().next() {
            Some(next) if whole.start() == whole.end() => whole.end() + next.len_utf8(),
            None if whole.start() == whole.end() => text.len() + 1,
            _ => whole.end(),
        };
        found.push(described(text, &regex, &captures));
        if !flags.all {
            break;
        }
    }
    Ok(Value::array(found))
}

fn key(key: &'static str) -> Key {
    Key(Text::read(Bytes::from_static(key.as_bytes()), None))
}

fn part(text: &str, range: Option<(usize, usize)>) -> Map {
    let (offset, length, string) = match range {
        Some((from, upto)) => {
            let offset = character_count(&text.as_bytes()[..from]) as isize;
            let part = &text.as_bytes()[from..upto];
            budget::afford(part.len());
            (offset, character_count(part) as isize, Value::text(Bytes::copy_from_slice(part)))
        }
        None => (-1, 0, Value::Null),
    };
    Map::from_iter([
        (key("offset"), Value::from(offset)),
        (key("length"), Value::from(length)),
        (key("string"), string),
    ])
}

fn described(text: &str, regex: &Regex, captures: &Captures<'_, str>) -> Value {
    let range = |group: usize| captures.get(group).map(|found| (found.start(), found.end()));
    let groups = regex.capture_names().enumerate().skip(1).map(|(group, name)| {
        let mut map = part(text, range(group));
        let name = name.map_or(Value::Null, |name| Value::text(Bytes::copy_from_slice(name.as_bytes())));
        map.insert(key("name"), name);
        Value::object(map)
    });
    let groups = Value::array(groups.collect());
    let mut map = part(text, range(0));
    map.insert(key("captures"), groups);
    Value::object(map)
}
