//! What is done to one column.

use std::cmp::Ordering;

use eventlift_events::Event;
use eventlift_language::Reason;

use super::array::{appended, array_of, without};
use super::source::{Inputs, RowInputs, Source};
use crate::projection::Operand;
use crate::table::Column;
use crate::value::{ColumnType, Value};
use eventlift_language::Numeric;

/// What is done to a column with a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Set,
    First,
    Last,
    Add,
    Subtract,
    Min,
    Max,
    Append,
    Remove,
}

impl Verb {
    /// Every verb, in the order in which a clause runs them.
    pub(super) const ALL: [Self; 9] = [
        Self::Set,
        Self::First,
        Self::Last,
        Self::Add,
        Self::Subtract,
        Self::Min,
        Self::Max,
        Self::Append,
        Self::Remove,
    ];

    /// The name in definitions.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::First => "first",
            Self::Last => "last",
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Min => "min",
            Self::Max => "max",
            Self::Append => "append",
            Self::Remove => "remove",
        }
    }

    /// Whether it works on columns of a type.
    pub(super) fn takes(self, column_type: ColumnType) -> bool {
        match self {
            Self::Set | Self::First | Self::Last => true,
            Self::Add | Self::Subtract => matches!(column_type, ColumnType::Integer | ColumnType::Numeric),
            Self::Min | Self::Max => column_type != ColumnType::Json,
            Self::Append | Self::Remove => column_type == ColumnType::Json,
        }
    }

    /// The types of column that it works on, in messages.
    pub(super) const fn takes_text(self) -> &'static str {
        match self {
            Self::Set | Self::First | Self::Last => "columns of any type",
            Self::Add | Self::Subtract => "columns of the types integer and numeric",
            Self::Min | Self::Max => "columns of any type but json",
            Self::Append | Self::Remove => "columns of the type json, which hold an array",
        }
    }

    /// Whether it takes several values at once.
    pub(super) const fn takes_several(self) -> bool {
        matches!(self, Self::Append | Self::Remove)
    }
}

/// One operation of a clause.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// The place of the column.
    pub(super) place: usize,
    pub(super) source: Source,
}

impl Operation {
    /// The value that it works with, as far as the event alone says it; null where it takes the row.
    pub(super) fn operand(&self, inputs: &mut Inputs<'_, '_>) -> Result<Operand, Reason> {
        if self.source.needs_row() {
            return Ok(Operand::Value(Value::Null));
        }
        if self.verb.takes_several() {
            return self.source.array(inputs).map(Operand::Value);
        }
        if let Some(place) = self.source.text_in_data(inputs) {
            return Ok(Operand::InData(place));
        }
        self.checked(self.source.value(inputs)?).map(Operand::Value)
    }

    /// The value that it works with, where it takes the row.
    pub(super) fn operand_in_row(&self, inputs: RowInputs<'_>) -> Result<Value, Reason> {
        let several = self.verb.takes_several();
        let operand = if several { self.source.array_in_row(inputs) } else { self.source.value_in_row(inputs) }?;
        self.checked(operand)
    }

    fn checked(&self, operand: Value) -> Result<Value, Reason> {
        if operand.is_null() && matches!(self.verb, Verb::Add | Verb::Subtract) {
            return Err(Reason::new(format_args!("{} is missing; add `default`", self.source.name()))
                .hint("`{ data = \"/…\", default = 0 }` says what counts where there is nothing"));
        }
        Ok(operand)
    }

    /// Changes the column's value with an operand of this event.
    pub(super) fn run(&self, value: &mut Value, operand: Operand, event: &Event) -> Result<(), Reason> {
        let place = match operand {
            Operand::Value(operand) => return self.run_with(value, operand),
            Operand::InData(place) => place,
        };
        let bytes = event.data.bytes().get(place.start as usize..place.end as usize);
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Reason::new("the change was made for another event"))?;
        let is_done = match (self.verb, &*value) {
            (Verb::Set | Verb::Last, Value::Text(current)) => **current == *text,
            (Verb::First, current) => !current.is_null(),
            (Verb::Min, Value::Text(current)) => *text >= **current,
            (Verb::Max, Value::Text(current)) => *text <= **current,
            _ => false,
        };
        if is_done { Ok(()) } else { self.run_with(value, Value::text(text)) }
    }

    fn run_with(&self, value: &mut Value, operand: Value) -> Result<(), Reason> {
        let replaces = match self.verb {
            Verb::Set => true,
            Verb::First => value.is_null(),
            Verb::Last => !operand.is_null(),
            Verb::Min => !operand.is_null() && (value.is_null() || compare(&operand, value)? == Ordering::Less),
            Verb::Max => !operand.is_null() && (value.is_null() || compare(&operand, value)? == Ordering::Greater),
            Verb::Add | Verb::Subtract => {
                *value = self.sum(value, &operand)?;
                false
            }
            Verb::Append | Verb::Remove => {
                self.change_array(value, &operand)?;
                false
            }
        };
        if replaces {
            *value = operand;
        }
        Ok(())
    }

    /// A column that is null counts as 0.
    fn sum(&self, value: &Value, operand: &Value) -> Result<Value, Reason> {
        let subtracts = self.verb == Verb::Subtract;
        let sign = if subtracts { '-' } else { '+' };
        match (value, operand) {
            (Value::Integer(_) | Value::Null, Value::Integer(operand)) => {
                let before = if let Value::Integer(before) = value { *before } else { 0 };
                let sum = if subtracts { before.checked_sub(*operand) } else { before.checked_add(*operand) };
                sum.map(Value::Integer).ok_or_else(|| {
                    Reason::new(format_args!("{before} {sign} {operand} does not fit into an integer of 64 bits"))
                        .hint("a column of the type numeric holds 38 digits")
                })
            }
            (Value::Numeric(_) | Value::Null, Value::Numeric(operand)) => {
                let before = if let Value::Numeric(before) = value { **before } else { Numeric::ZERO };
                let sum = if subtracts { before.checked_sub(**operand) } else { before.checked_add(**operand) };
                sum.map(Value::numeric).ok_or_else(|| {
                    Reason::new(format_args!(
                        "{before} {sign} {operand} takes more than the 38 digits of an exact number"
                    ))
                })
            }
            _ => Err(mismatch(value, operand)),
        }
    }

    fn change_array(&self, value: &mut Value, operand: &Value) -> Result<(), Reason> {
        let Value::Json(items) = operand else { return Err(mismatch(value, operand)) };
        let array = match std::mem::take(value) {
            Value::Null if self.verb == Verb::Remove => return Ok(()),
            Value::Null => array_of([]),
            other => match other {
                Value::Json(array) => array,
                other => return Err(mismatch(&other, operand)),
            },
        };
        *value = Value::Json(match self.verb {
            Verb::Remove => without(&array, items)?,
            _ => appended(array, items)?,
        });
        Ok(())
    }
}

/// The reason that a column refused an operation, with its name.
pub(super) fn in_column(column: &Column, verb: &str, reason: Reason) -> Reason {
    Reason { message: format!("{verb} `{}`: {}", column.name, reason.message), ..reason }
}

fn compare(one: &Value, other: &Value) -> Result<Ordering, Reason> {
    Ok(match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Numeric(one), Value::Numeric(other)) => one.compare(**other),
        (Value::Boolean(one), Value::Boolean(other)) => one.cmp(other),
        (Value::Time(one), Value::Time(other)) => one.cmp(other),
        (Value::Uuid(one), Value::Uuid(other)) => one.cmp(other),
        _ => return Err(mismatch(one, other)),
    })
}

/// A row of another table's columns; definitions and stores keep that from happening.
fn mismatch(one: &Value, other: &Value) -> Reason {
    Reason::new(format_args!("{one} and {other} are of different types"))
}
