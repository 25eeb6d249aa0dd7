//! Reading where values come from.

use std::ops::Range;

use eventlift_language::json::Pointer;
use eventlift_language::problem::did_you_mean;
use eventlift_language::{JqFilter, Reader, Table as TomlTable, Value as TomlValue};
use toml::de::DeValue;

use super::constant::constant;
use super::event_field::EventField;
use super::source::{Jq, Origin, Source, converts};
use crate::table::Table;
use crate::value::{ColumnType, Value};

/// The keys that say where a value comes from.
pub(super) const ORIGIN_KEYS: [&str; 7] = ["data", "metadata", "item", "event", "value", "column", "jq"];
const SOURCE_KEYS: [&str; 8] = ["data", "metadata", "item", "event", "value", "column", "jq", "default"];

/// What a source is for.
pub(super) struct Purpose<'p> {
    /// What problems call it: `set.name`.
    pub(super) what: String,
    /// What its values are made into.
    pub(super) column_type: ColumnType,
    /// Whether it may yield several values.
    pub(super) several: bool,
    /// The columns it may look into; none where the row is not known yet.
    pub(super) columns: Option<&'p Table>,
    /// Whether the clause is run for items.
    pub(super) has_items: bool,
}

impl Purpose<'_> {
    /// Reads the source in a value. What is wrong is noted.
    pub(super) fn read<'i>(&self, reader: &mut Reader<'i>, value: TomlValue<'i>) -> Option<Source> {
        let span = value.span();
        if let DeValue::String(text) = value.get_ref() {
            if !text.starts_with('/') {
                let hint = format!(
                    "{{ value = {text:?} }} is the text itself, {:?} the field of the data",
                    format!("/{text}")
                );
                reader.note(&span, format!("`{}`: {text:?} is no path", self.what), Some(hint));
                return None;
            }
            let origin = Origin::in_data(self.pointer(reader, &span, text)?);
            return Some(Source { origin, default: None, column_type: self.column_type });
        }
        match value.get_ref() {
            DeValue::Table(_) => {
                let table = reader.table(value, &self.what)?;
                self.read_table(reader, table)
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                let origin = Origin::Constant(self.constant(reader, &value, "")?);
                Some(Source { origin, default: None, column_type: self.column_type })
            }
            _ => {
                let hint = format!("constants are written {{ value = {} }}", reader.source(&span));
                let message = format!("`{}` is no path, number, boolean or table", self.what);
                reader.note(&span, message, Some(hint));
                None
            }
        }
    }

    fn read_table<'i>(&self, reader: &mut Reader<'i>, mut table: TomlTable<'i>) -> Option<Source> {
        let span = table.span.clone();
        let default = match table.take("default") {
            Some(value) => Some(self.constant(reader, &value, ".default")?),
            None => None,
        };
        let named: Vec<&str> = ORIGIN_KEYS.into_iter().filter(|key| table.has(key)).collect();
        let origin = match named[..] {
            [key] => self.origin(reader, &mut table, key),
            [] => None,
            [first, second, ..] => {
                reader.note(&span, format!("`{}`: `{first}` and `{second}` exclude one another", self.what), None);
                return None;
            }
        };
        let is_empty = named.is_empty() && table.entries.is_empty();
        reader.finish(table, &format!("`{}`", self.what), &SOURCE_KEYS);
        if is_empty {
            let hint = format!("one of {} does", ORIGIN_KEYS.join(", "));
            reader.note(&span, format!("`{}` does not say where the value comes from", self.what), Some(hint));
        }
        Some(Source { origin: origin?, default, column_type: self.column_type })
    }

    fn origin<'i>(&self, reader: &mut Reader<'i>, table: &mut TomlTable<'i>, key: &str) -> Option<Origin> {
        match key {
            "jq" => return self.jq(reader, table),
            "value" => {
                let value = table.take(key)?;
                return self.constant(reader, &value, ".value").map(Origin::Constant);
            }
            _ => {}
        }
        let (text, span): (String, Range<usize>) = reader.get_spanned(table, key)?;
        match key {
            "data" => self.pointer(reader, &span, &text).map(Origin::in_data),
            "metadata" => self.pointer(reader, &span, &text).map(Origin::Metadata),
            "item" => self.item(reader, &span, &text),
            "event" => self.event_field(reader, &span, &text).map(Origin::Event),
            _ => self.column(reader, &span, &text).map(Origin::Column),
        }
    }

    fn pointer(&self, reader: &mut Reader<'_>, span: &Range<usize>, text: &str) -> Option<Pointer> {
        let pointer = match Pointer::parse(text) {
            Ok(pointer) => pointer,
            Err(error) => {
                reader.note(span, format!("`{}`: {error}", self.what), None);
                return None;
            }
        };
        if pointer.has_wildcard() && !self.several {
            let hint = "`each` runs the clause for every item; `*` as a key is written ~2";
            reader.note(span, format!("`{}`: {text} leads to many values", self.what), Some(hint.to_owned()));
            return None;
        }
        Some(pointer)
    }

    fn item(&self, reader: &mut Reader<'_>, span: &Range<usize>, text: &str) -> Option<Origin> {
        if !self.has_items {
            let hint = "`each = \"/lines/*\"` runs the clause for every item";
            reader.note(span, format!("`{}`: `item` needs `each`", self.what), Some(hint.to_owned()));
            return None;
        }
        self.pointer(reader, span, text).map(Origin::Item)
    }

    fn event_field(&self, reader: &mut Reader<'_>, span: &Range<usize>, name: &str) -> Option<EventField> {
        let names = EventField::ALL.map(EventField::as_str);
        let Some(field) = EventField::ALL.into_iter().find(|field| field.as_str() == name) else {
            let hint = did_you_mean(name, names).unwrap_or_else(|| format!("an event has {}", names.join(", ")));
            reader.note(span, format!("`{}`: an event has no {name:?}", self.what), Some(hint));
            return None;
        };
        if !field.fits(self.column_type) {
            let message = format!("`{}`: the event's {name} is not of the type {}", self.what, self.column_type);
            reader.note(span, message, None);
            return None;
        }
        Some(field)
    }

    fn column(&self, reader: &mut Reader<'_>, span: &Range<usize>, name: &str) -> Option<usize> {
        let Some(table) = self.columns else {
            reader.note(span, format!("`{}`: a key can't look into the row", self.what), None);
            return None;
        };
        let place = column_named(reader, table, span, name)?;
        let found = table.columns[place].column_type;
        if !converts(found, self.column_type) {
            let message = format!("`{}`: `{name}` is of the type {found}, which is no {}", self.what, self.column_type);
            reader.note(span, message, None);
            return None;
        }
        Some(place)
    }

    fn jq<'i>(&self, reader: &mut Reader<'i>, table: &mut TomlTable<'i>) -> Option<Origin> {
        let source = table.entries.get("jq").and_then(|value| value.get_ref().as_str()).unwrap_or_default().to_owned();
        let filter: JqFilter = reader.jq(table, "jq")?;
        let sees_row = self.columns.is_some() && names_row(&source);
        Some(Origin::Jq(Box::new(Jq { filter, sees_row })))
    }

    fn constant(&self, reader: &mut Reader<'_>, value: &TomlValue<'_>, key: &str) -> Option<Value> {
        match constant(value.get_ref(), self.column_type) {
            Ok(value) => Some(value),
            Err(reason) => {
                reader.note(&value.span(), format!("`{}{key}`: {reason}", self.what), reason.hint);
                None
            }
        }
    }
}

/// The place of a column; one that is not there is noted.
pub(super) fn column_named(reader: &mut Reader<'_>, table: &Table, span: &Range<usize>, name: &str) -> Option<usize> {
    let place = table.column(name);
    if place.is_none() {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let hint = did_you_mean(name, names.iter().copied())
            .unwrap_or_else(|| format!("`{}` has {}", table.name, names.join(", ")));
        reader.note(span, format!("`{}` has no column `{name}`", table.name), Some(hint));
    }
    place
}

/// Whether the word `row` is in the filter: what does not name it never sees it, and is evaluated without it.
fn names_row(source: &str) -> bool {
    source.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "row")
}
