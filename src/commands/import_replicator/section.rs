//! A group of settings, read key by key as the Replicator does: keys in any case, each once.

use eventlift_language::problem::did_you_mean;

use super::Problem;
use super::finding::{Finding, Kind};
use super::yaml::{Entry, Node, Value};

/// A group that is being read.
pub(super) struct Section<'y> {
    /// From the root on, such as `sink`; empty at the root.
    path: String,
    /// The keys that the Replicator reads here.
    known: &'static [&'static str],
    entries: Vec<&'y Entry>,
}

/// A value, the full name of its key as it is documented, and the line that the key is in.
#[derive(Clone, Debug)]
pub(super) struct Setting<T> {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: T,
}

impl<T> Setting<T> {
    /// What becomes of it.
    pub(super) fn finding(&self, kind: Kind, text: impl Into<String>) -> Finding {
        Finding { setting: self.key.clone(), line: Some(self.line), kind, text: text.into() }
    }
}

impl<'y> Section<'y> {
    /// The group that a node is; an empty one where it is nothing.
    pub(super) fn of(node: &'y Node, path: &str, known: &'static [&'static str]) -> Result<Self, Problem> {
        let entries = match &node.value {
            Value::Map(entries) => entries.iter().collect(),
            Value::Null => Vec::new(),
            other => {
                let message = format!("`{path}` has to be a group of settings, not {}", other.kind());
                return Err(Problem::at(node.line, message));
            }
        };
        let section = Self { path: path.to_owned(), known, entries };
        section.no_key_twice()?;
        Ok(section)
    }

    fn no_key_twice(&self) -> Result<(), Problem> {
        for (index, entry) in self.entries.iter().enumerate() {
            let same = |earlier: &&&Entry| earlier.key.eq_ignore_ascii_case(&entry.key);
            if let Some(earlier) = self.entries.iter().take(index).find(same) {
                let message = format!("`{}` is there already, in line {}", self.name(&entry.key), earlier.line);
                return Err(Problem::at(entry.line, message));
            }
        }
        Ok(())
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Takes a key; none where it is not there.
    pub(super) fn take(&mut self, key: &str) -> Option<Setting<&'y Node>> {
        let index = self.entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(key))?;
        let entry = self.entries.remove(index);
        Some(Setting { key: self.name(key), line: entry.line, value: &entry.value })
    }

    /// Takes text; none where it is not there, or nothing.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<Setting<String>>, Problem> {
        let Some(setting) = self.take(key) else { return Ok(None) };
        let value = match &setting.value.value {
            Value::Text(text) | Value::Block(text) => text.clone(),
            Value::Null => return Ok(None),
            other => {
                return Err(Problem::at(
                    setting.line,
                    format!("`{}` has to be text, not {}", setting.key, other.kind()),
                ));
            }
        };
        Ok(Some(Setting { key: setting.key, line: setting.line, value }))
    }

    /// Takes text that is read further. What can't be read is not shown.
    fn parsed<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<Setting<T>>, Problem> {
        let Some(Setting { key, line, value }) = self.text(key)? else { return Ok(None) };
        let wrong = || Problem::at(line, format!("`{key}` is no {what}"));
        let value = parse(value.trim()).ok_or_else(wrong)?;
        Ok(Some(Setting { key, line, value }))
    }

    /// Takes a whole number from 0.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<Setting<u32>>, Problem> {
        self.parsed(key, "whole number from 0", |text| text.parse().ok())
    }

    /// Takes `true` or `false`, in any case.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<Setting<bool>>, Problem> {
        self.parsed(key, "`true` or `false`", |text| text.to_lowercase().parse().ok())
    }

    /// Takes a group.
    pub(super) fn section(&mut self, key: &str, known: &'static [&'static str]) -> Result<Option<Self>, Problem> {
        self.take(key).map(|setting| Self::of(setting.value, &setting.key, known)).transpose()
    }

    /// Takes a list of groups.
    pub(super) fn list(&mut self, key: &str, known: &'static [&'static str]) -> Result<Vec<Setting<Self>>, Problem> {
        let Some(Setting { key, line, value }) = self.take(key) else { return Ok(Vec::new()) };
        let items = match &value.value {
            Value::List(items) => items,
            Value::Null => return Ok(Vec::new()),
            other => return Err(Problem::at(line, format!("`{key}` has to be a list, not {}", other.kind()))),
        };
        let item = |(index, node): (usize, &'y Node)| {
            let key = format!("{key}[{index}]");
            let value = Self::of(node, &key, known)?;
            Ok(Setting { key, line: node.line, value })
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Names what is left: keys that the Replicator does not read.
    pub(super) fn finish(self, findings: &mut Vec<Finding>) {
        for entry in &self.entries {
            let hint = did_you_mean(&entry.key, self.known.iter().copied());
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            findings.push(Finding {
                setting: self.name(&shown(&entry.key)),
                line: Some(entry.line),
                kind: Kind::Unknown,
                text: format!("the Replicator has no such setting and ignores it{hint}"),
            });
        }
    }
}

/// A key in one line, and not longer than it has to be to find it.
fn shown(key: &str) -> String {
    const LONGEST: usize = 60;
    let characters = key.chars().map(|character| if character.is_control() { ' ' } else { character });
    characters.take(LONGEST).collect()
}
