//! Where values come from.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use eventlift_events::{Event, Needed};
use eventlift_language::json::{Document, Pointer};
use eventlift_language::{JqFilter, JqInput, Reason};

use super::array::array_of;
use super::event_field::EventField;
use crate::path::Path;
use crate::row::{Row, RowKey};
use crate::table::Table;
use crate::value::{ColumnType, Value};
use crate::view::EventView;

/// Where a value comes from, and what it is made into.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) origin: Origin,
    /// Stands in where there is nothing, or null.
    pub(super) default: Option<Value>,
    pub(super) column_type: ColumnType,
}

#[derive(Debug)]
pub(super) enum Origin {
    Data(Path),
    /// A path with wildcards.
    EveryData(Pointer),
    Metadata(Pointer),
    /// Below the item that the clause is run for.
    Item(Pointer),
    Event(EventField),
    Constant(Value),
    /// The column at this place of the row, as it is before the clause.
    Column(usize),
    Jq(Box<Jq>),
}

/// A filter over an object of `event`, `item` where there is one, and `row` where it is to see it.
#[derive(Debug)]
pub(super) struct Jq {
    pub(super) filter: JqFilter,
    pub(super) sees_row: bool,
}

/// One event yields at most so many values of one source.
const MOST_VALUES: usize = 100_000;

/// What sources look into before the row is known.
pub(super) struct Inputs<'v, 'e> {
    pub(super) view: &'v mut EventView<'e>,
    pub(super) item: Option<Item<'v>>,
}

/// The item that a clause is run for.
pub(super) struct Item<'i> {
    pub(super) text: &'i str,
    pub(super) document: Document<'i>,
}

/// What sources look into that need the row.
#[derive(Clone, Copy)]
pub(super) struct RowInputs<'r> {
    pub(super) event: &'r Event,
    pub(super) item: Option<&'r str>,
    pub(super) table: &'r Table,
    /// The values of the key, in its order.
    pub(super) key: &'r [Value],
    pub(super) row: Option<&'r Row>,
}

impl Origin {
    /// What a pointer into the data leads to.
    pub(super) fn in_data(pointer: Pointer) -> Self {
        if pointer.has_wildcard() { Self::EveryData(pointer) } else { Self::Data(Path::new(pointer)) }
    }
}

fn all_there(document: &mut Document<'_>, pointer: &Pointer) -> Result<(), Reason> {
    document.find_all(pointer.segments(), &mut |_| ControlFlow::Continue(()))
}

/// What to do about a list that is missing.
pub(super) fn lists_may_be_missing(reason: Reason) -> Reason {
    let hint = reason.hint.or_else(|| Some("`optional = true` folds events without such items".to_owned()));
    Reason { hint, ..reason }
}

impl Source {
    /// What it looks into.
    pub(super) fn needed(&self) -> Needed {
        let mut needed = Needed::ENVELOPE;
        match &self.origin {
            Origin::Data(path) => needed.data = needed.data.with(path.pointer().first_key()),
            Origin::EveryData(pointer) => needed.data = needed.data.with(pointer.first_key()),
            Origin::Metadata(pointer) => needed.metadata = needed.metadata.with(pointer.first_key()),
            // An item is in what the clause's `each` leads to.
            Origin::Item(_) | Origin::Event(_) | Origin::Constant(_) | Origin::Column(_) => {}
            Origin::Jq(_) => return Needed::ALL,
        }
        needed
    }

    /// Whether it can't be known from the event alone.
    pub(super) fn needs_row(&self) -> bool {
        match &self.origin {
            Origin::Column(_) => true,
            Origin::Jq(jq) => jq.sees_row,
            _ => false,
        }
    }

    /// Whether it needs the item.
    pub(super) fn sees_item(&self) -> bool {
        matches!(self.origin, Origin::Item(_) | Origin::Jq(_))
    }

    /// Whether it may yield several values.
    pub(super) fn is_several(&self) -> bool {
        match &self.origin {
            Origin::Data(_) => false,
            Origin::EveryData(_) => true,
            Origin::Metadata(pointer) | Origin::Item(pointer) => pointer.has_wildcard(),
            Origin::Jq(_) => true,
            _ => false,
        }
    }

    /// What is missing, in messages.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::Data(path) if path.pointer().segments().is_empty() => "the data".into(),
            Origin::Data(path) => path.pointer().as_str().into(),
            Origin::EveryData(pointer) => pointer.as_str().into(),
            Origin::Metadata(pointer) => format!("{pointer} in the metadata").into(),
            Origin::Item(pointer) => format!("{pointer} in the item").into(),
            Origin::Event(field) => format!("the event's {}", field.as_str()).into(),
            Origin::Constant(_) => "the constant".into(),
            Origin::Column(_) => "the other column".into(),
            Origin::Jq(_) => "what the jq filter yields".into(),
        }
    }

    /// The one value, null where there is none. Not for sources that need the row.
    pub(super) fn value(&self, inputs: &mut Inputs<'_, '_>) -> Result<Value, Reason> {
        let value = match &self.origin {
            Origin::Data(path) => self.found(inputs.view.in_data(path)?)?,
            Origin::EveryData(pointer) => self.found(inputs.view.data()?.get(pointer)?)?,
            Origin::Metadata(pointer) => self.found(inputs.view.metadata()?.get(pointer)?)?,
            Origin::Item(pointer) => match &mut inputs.item {
                Some(item) => self.found(item.document.get(pointer)?)?,
                None => Value::Null,
            },
            Origin::Event(field) => field.value(inputs.view.event(), self.column_type)?,
            Origin::Constant(value) => value.clone(),
            Origin::Column(_) => Value::Null,
            Origin::Jq(jq) => {
                let outputs = jq.outputs(inputs.view.event(), inputs.item_text(), None, 1)?;
                self.found(outputs.into_iter().next().map(Cow::Owned))?
            }
        };
        Ok(self.or_default(value))
    }

    /// The key that is the one value, where that is a text that stands in the data without escapes; none where the value
    /// must be made to tell.
    pub(super) fn plain_key(&self, inputs: &mut Inputs<'_, '_>) -> Option<RowKey> {
        let (Origin::Data(path), ColumnType::Text) = (&self.origin, self.column_type) else { return None };
        let json = inputs.view.in_data(path).ok()??;
        let text = json.strip_prefix('"')?.strip_suffix('"')?;
        (!text.contains('\\')).then(|| RowKey::text(text))
    }

    /// The place of the one value in the data, where it stands there as a text without escapes.
    pub(super) fn text_in_data(&self, inputs: &mut Inputs<'_, '_>) -> Option<Range<u32>> {
        match (&self.origin, self.column_type) {
            (Origin::Data(path), ColumnType::Text) => inputs.view.text_in_data(path),
            _ => None,
        }
    }

    /// Every value; those of a path with wildcards and of a filter may be many or none.
    pub(super) fn values(&self, inputs: &mut Inputs<'_, '_>) -> Result<Vec<Value>, Reason> {
        if !self.is_several() {
            return Ok(vec![self.value(inputs)?]);
        }
        let values = match &self.origin {
            Origin::EveryData(pointer) => self.all_in(inputs.view.data()?, pointer)?,
            Origin::Metadata(pointer) => self.all_in(inputs.view.metadata()?, pointer)?,
            Origin::Item(pointer) => match &mut inputs.item {
                Some(item) => self.all_in(&mut item.document, pointer)?,
                None => Vec::new(),
            },
            Origin::Jq(jq) => {
                let outputs = jq.outputs(inputs.view.event(), inputs.item_text(), None, MOST_VALUES)?;
                outputs.into_iter().map(|json| self.found(Some(Cow::Owned(json)))).collect::<Result<_, _>>()?
            }
            Origin::Data(_) | Origin::Event(_) | Origin::Constant(_) | Origin::Column(_) => Vec::new(),
        };
        Ok(values.into_iter().map(|value| self.or_default(value)).collect())
    }

    /// The same. Where they are not optional, fails where what the path goes over is missing or null.
    pub(super) fn items(&self, inputs: &mut Inputs<'_, '_>, optional: bool) -> Result<Vec<Value>, Reason> {
        if !optional && self.is_several() {
            self.prove_lists(inputs).map_err(lists_may_be_missing)?;
        }
        self.values(inputs)
    }

    /// Fails where a path with wildcards goes over something that is missing or null.
    fn prove_lists(&self, inputs: &mut Inputs<'_, '_>) -> Result<(), Reason> {
        match &self.origin {
            Origin::EveryData(pointer) => all_there(inputs.view.data()?, pointer),
            Origin::Metadata(pointer) => all_there(inputs.view.metadata()?, pointer),
            Origin::Item(pointer) => inputs.item.as_mut().map_or(Ok(()), |item| all_there(&mut item.document, pointer)),
            Origin::Data(_) | Origin::Event(_) | Origin::Constant(_) | Origin::Column(_) | Origin::Jq(_) => Ok(()),
        }
    }

    /// All values that are not null as one JSON array.
    pub(super) fn array(&self, inputs: &mut Inputs<'_, '_>) -> Result<Value, Reason> {
        array_value(&self.values(inputs)?)
    }

    /// The one value of a source that needs the row.
    pub(super) fn value_in_row(&self, inputs: RowInputs<'_>) -> Result<Value, Reason> {
        let value = match &self.origin {
            Origin::Column(place) => match inputs.column(*place) {
                Some(value) => converted(value, self.column_type)?,
                None => Value::Null,
            },
            Origin::Jq(jq) => {
                let row = inputs.row.map(|row| row_json(inputs.table, row)).transpose()?;
                let outputs = jq.outputs(inputs.event, inputs.item, row.as_deref(), 1)?;
                self.found(outputs.into_iter().next().map(Cow::Owned))?
            }
            _ => Value::Null,
        };
        Ok(self.or_default(value))
    }

    /// The same as one JSON array of all values that are not null.
    pub(super) fn array_in_row(&self, inputs: RowInputs<'_>) -> Result<Value, Reason> {
        let Origin::Jq(jq) = &self.origin else { return array_value(&[self.value_in_row(inputs)?]) };
        let row = inputs.row.map(|row| row_json(inputs.table, row)).transpose()?;
        let outputs = jq.outputs(inputs.event, inputs.item, row.as_deref(), MOST_VALUES)?;
        let values = outputs.into_iter().map(|json| Ok(self.or_default(self.found(Some(Cow::Owned(json)))?)));
        array_value(&values.collect::<Result<Vec<_>, Reason>>()?)
    }

    fn found(&self, json: Option<Cow<'_, str>>) -> Result<Value, Reason> {
        match json {
            None => Ok(Value::Null),
            // Null is nothing in columns of JSON as well: rows that were written and read must stay the same.
            Some(json) if json == "null" => Ok(Value::Null),
            Some(json) => Value::from_json(self.column_type, &json).map_err(|reason| self.named(reason)),
        }
    }

    fn all_in(&self, document: &mut Document<'_>, pointer: &Pointer) -> Result<Vec<Value>, Reason> {
        let mut values = Ok(Vec::new());
        document.find(pointer.segments(), &mut |node| {
            let value = self.found(Some(node.json()));
            match (&mut values, value) {
                (Ok(values), Ok(value)) => {
                    values.push(value);
                    ControlFlow::Continue(())
                }
                (_, Err(reason)) => {
                    values = Err(reason);
                    ControlFlow::Break(())
                }
                (Err(_), Ok(_)) => ControlFlow::Break(()),
            }
        })?;
        values
    }

    fn or_default(&self, value: Value) -> Value {
        match &self.default {
            Some(default) if value.is_null() => default.clone(),
            _ => value,
        }
    }

    fn named(&self, reason: Reason) -> Reason {
        match &self.origin {
            Origin::Data(_) | Origin::EveryData(_) | Origin::Metadata(_) | Origin::Item(_) => {
                Reason { message: format!("{}: {}", self.name(), reason.message), ..reason }
            }
            _ => reason,
        }
    }
}

impl Inputs<'_, '_> {
    fn item_text(&self) -> Option<&str> {
        self.item.as_ref().map(|item| item.text)
    }
}

impl<'r> RowInputs<'r> {
    /// The value of a column; of a row that is not there, only those of the key are known.
    fn column(self, place: usize) -> Option<&'r Value> {
        match self.row {
            Some(row) => row.0.get(place),
            None => self.key.get(self.table.key.iter().position(|part| *part == place)?),
        }
    }
}

impl Jq {
    fn outputs(&self, event: &Event, item: Option<&str>, row: Option<&str>, max: usize) -> Result<Vec<String>, Reason> {
        let row = self.sees_row.then(|| row.unwrap_or("null"));
        outputs(&self.filter, event, item, row, max)
    }
}

/// Evaluates a filter over an object of `event`, and of `item` and `row` where they are given.
pub(super) fn outputs(
    filter: &JqFilter,
    event: &Event,
    item: Option<&str>,
    row: Option<&str>,
    max: usize,
) -> Result<Vec<String>, Reason> {
    let mut inputs = vec![("event", JqInput::Event(event))];
    inputs.extend(item.map(|item| ("item", JqInput::Json(item))));
    inputs.extend(row.map(|row| ("row", JqInput::Json(row))));
    filter.evaluate(&inputs, max)
}

/// A row as a JSON object of its columns.
pub(super) fn row_json(table: &Table, row: &Row) -> Result<String, Reason> {
    let mut out = String::from("{");
    for (column, value) in table.columns.iter().zip(&row.0) {
        if out.len() > 1 {
            out.push(',');
        }
        // Names of columns need no escapes: letters, digits and `_`.
        out.push('"');
        out.push_str(&column.name);
        out.push_str("\":");
        out.push_str(&value.json()?);
    }
    out.push('}');
    Ok(out)
}

fn array_value(values: &[Value]) -> Result<Value, Reason> {
    let texts = values.iter().filter(|value| !value.is_null()).map(Value::json).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::Json(array_of(texts.iter().map(|text| &**text))))
}

/// The value of one column in a column of another type, one of those that [`converts`] allows.
fn converted(value: &Value, column_type: ColumnType) -> Result<Value, Reason> {
    match value.column_type() {
        None => Ok(Value::Null),
        Some(own) if own == column_type => Ok(value.clone()),
        Some(_) => Value::from_json(column_type, &value.json()?),
    }
}

/// Whether a column's values can be put into one of another type without loss.
pub(super) fn converts(from: ColumnType, to: ColumnType) -> bool {
    from == to || to == ColumnType::Json || from == ColumnType::Integer && to == ColumnType::Numeric
}
