//! Reading TOML tables key by key, with every mistake noted at its place instead of ending the reading.

use std::collections::HashMap;
use std::ops::Range;

use eventlift_events::StreamName;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::literal::with_digits;
use crate::problem::{Place, Problem, did_you_mean};
use crate::reason::Reason;

/// One definition file, and what was found to be wrong with it.
///
/// Keys are taken out of tables one by one, and [`finish`](Self::finish) notes those that nobody took. Methods that
/// return an `Option` note a problem where a key is there and its value is wrong, and note nothing where it is missing.
#[derive(Debug)]
pub struct Reader<'i> {
    path: String,
    text: &'i str,
    /// What is wrong, in the order in which it was noted.
    pub problems: Vec<Problem>,
}

/// A TOML value with its place: the bytes it covers in the file.
pub type Value<'i> = Spanned<DeValue<'i>>;

/// A table with its place.
#[derive(Debug)]
pub struct Table<'i> {
    /// The keys that nobody took yet.
    pub entries: DeTable<'i>,
    /// The bytes it covers in the file.
    pub span: Range<usize>,
}

impl<'i> Table<'i> {
    /// Takes a key's value out.
    pub fn take(&mut self, key: &str) -> Option<Value<'i>> {
        self.entries.remove(key)
    }

    /// The bytes from where it begins to the end of its last key, those under some keys left aside.
    pub fn span_without(&self, left_out: &[&str]) -> Range<usize> {
        let kept = self.entries.iter().filter(|(key, _)| !left_out.contains(&key.get_ref().as_ref()));
        let end = kept.map(|(key, value)| key.span().end.max(end_of(value))).max().unwrap_or(0);
        self.span.start..end.max(self.span.end)
    }

    /// Whether the key is there, and was not taken.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }
}

/// Where a value ends. A table that is written under a header covers no more than that header.
fn end_of(value: &Value<'_>) -> usize {
    let within = match value.get_ref() {
        DeValue::Table(table) => table.iter().map(|(key, value)| key.span().end.max(end_of(value))).max(),
        DeValue::Array(items) => items.iter().map(end_of).max(),
        _ => None,
    };
    within.unwrap_or(0).max(value.span().end)
}

impl<'i> Reader<'i> {
    /// A file with this path, as problems are to name it, and this text.
    pub fn new(path: String, text: &'i str) -> Self {
        Self { path, text, problems: Vec::new() }
    }

    /// Reads the whole file. Syntax errors are noted; what could be read is returned.
    pub fn document(&mut self) -> Table<'i> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.note(&error.span().unwrap_or(0..0), error.message().to_owned(), None);
        }
        Table { span: table.span(), entries: table.into_inner() }
    }

    /// Where a span of bytes begins, with its column.
    pub fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place { file: self.path.clone(), line: number(line), column: Some(number(column)) }
    }

    /// The place without its column: of a whole rule.
    pub fn line(&self, span: &Range<usize>) -> Place {
        Place { column: None, ..self.place(span) }
    }

    /// The text a span covers.
    pub fn source(&self, span: &Range<usize>) -> &'i str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Notes a problem at the place where a span begins.
    pub fn note(&mut self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let place = self.place(span);
        self.problems.push(Problem::new(&place, message).maybe_hint(hint));
    }

    /// A table; anything else is noted.
    pub fn table(&mut self, value: Value<'i>, what: &str) -> Option<Table<'i>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some(Table { entries, span }),
            other => {
                self.note(&span, format!("{what} has to be a table, not {}", kind(&other)), None);
                None
            }
        }
    }

    /// The items of an array; anything else is noted.
    pub fn array(&mut self, value: Value<'i>, what: &str) -> Vec<Value<'i>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            other => {
                self.note(&span, format!("{what} has to be an array, not {}", kind(&other)), None);
                Vec::new()
            }
        }
    }

    /// The tables of a `[[key]]`.
    pub fn tables(&mut self, table: &mut Table<'i>, key: &str) -> Vec<Table<'i>> {
        let Some(value) = table.take(key) else { return Vec::new() };
        if matches!(value.get_ref(), DeValue::Table(_)) {
            self.note(&value.span(), format!("`{key}` has to be an array of tables"), Some(format!("write [[{key}]]")));
            return Vec::new();
        }
        let items = self.array(value, &format!("`{key}`"));
        items.into_iter().filter_map(|item| self.table(item, &format!("an item of `{key}`"))).collect()
    }

    /// A key's value as whatever serde reads it as. What does not fit is noted, with its place.
    pub fn get<T: Deserialize<'i>>(&mut self, table: &mut Table<'i>, key: &str) -> Option<T> {
        let value = table.take(key)?;
        self.deserialize(value, &format!("`{key}`"))
    }

    /// The same, with its place.
    pub fn get_spanned<T: Deserialize<'i>>(&mut self, table: &mut Table<'i>, key: &str) -> Option<(T, Range<usize>)> {
        let value = table.take(key)?;
        let span = value.span();
        Some((self.deserialize(value, &format!("`{key}`"))?, span))
    }

    /// A version, from 1; anything else is noted.
    pub fn version(&mut self, table: &mut Table<'i>, key: &str) -> Option<u32> {
        let value = table.take(key)?;
        let span = value.span();
        let number = match value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            self.note(&span, format!("`{key}` has to be a version: 1, 2, 3 …"), None);
        }
        number
    }

    /// Text that is not empty; anything else is noted.
    pub fn text(&mut self, table: &mut Table<'i>, key: &str) -> Option<String> {
        let (text, span): (String, _) = self.get_spanned(table, key)?;
        if text.is_empty() {
            self.note(&span, format!("`{key}` is empty"), None);
            return None;
        }
        Some(text)
    }

    /// Notes an empty list of categories, and names that no category can have. `key` is what problems call the list.
    pub fn check_categories(&mut self, span: &Range<usize>, key: &str, names: &[String]) {
        if names.is_empty() {
            let hint = format!("leave `{key}` out where every category is meant");
            self.note(span, format!("`{key}` names no category"), Some(hint));
        }
        for name in names {
            if let Err(invalid) = StreamName::check_category(name) {
                let hint = "a category ends at the first `-`: the stream order-7 is in the category order";
                self.note(span, format!("`{key}`: {invalid}"), Some(hint.to_owned()));
            } else if name.contains('*') {
                let message = format!("`{key}`: the `*` in {name:?} stands for nothing, categories are named whole");
                self.note(span, message, Some("list the categories".to_owned()));
            }
        }
    }

    /// What was compiled from a key's value; a failure is noted.
    pub fn compiled<T>(&mut self, span: &Range<usize>, key: &str, result: Result<T, Reason>) -> Option<T> {
        match result {
            Ok(compiled) => Some(compiled),
            Err(reason) => {
                self.note(span, format!("`{key}`: {reason}"), reason.hint);
                None
            }
        }
    }

    /// A value as whatever serde reads it as; `what` names it in problems. What does not fit is noted, with its place.
    pub fn deserialize<T: Deserialize<'i>>(&mut self, value: Value<'i>, what: &str) -> Option<T> {
        let span = value.span();
        let keys = key_spans(value.get_ref());
        let read = match with_digits(&value) {
            None => T::deserialize(ValueDeserializer::from(value)),
            // What has no place for digits is read as serde has it, and so are its mistakes.
            Some(exact) => T::deserialize(ValueDeserializer::from(exact))
                .or_else(|_| T::deserialize(ValueDeserializer::from(value))),
        };
        match read {
            Ok(read) => Some(read),
            Err(error) => {
                let message = error.message().lines().next().unwrap_or_default().to_owned();
                let hint = suggestion(&message);
                // Types that look at the whole table first lose the place of the key.
                let span =
                    unknown_key(&message).and_then(|key| keys.get(key).cloned()).or(error.span()).unwrap_or(span);
                self.note(&span, format!("{what}: {message}"), hint);
                None
            }
        }
    }

    /// Notes every key that nobody took.
    pub fn finish(&mut self, table: Table<'i>, what: &str, allowed: &[&str]) {
        for (key, _) in table.entries {
            let name = key.get_ref();
            let hint = did_you_mean(name, allowed.iter().copied())
                .unwrap_or_else(|| format!("{what} takes {}", allowed.join(", ")));
            self.note(&key.span(), format!("unknown key `{name}` in {what}"), Some(hint));
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn key_spans(value: &DeValue<'_>) -> HashMap<String, Range<usize>> {
    let DeValue::Table(table) = value else { return HashMap::new() };
    table.keys().map(|key| (key.get_ref().clone().into_owned(), key.span())).collect()
}

/// The key in serde's "unknown field `x`, expected …".
fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// The hint for serde's "unknown field `x`, expected one of `a`, `b`".
fn suggestion(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    did_you_mean(quoted.next()?, quoted)
}
