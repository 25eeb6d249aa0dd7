//! The state of an aggregate that a definition describes.

use std::any::Any;
use std::sync::Arc;

use eventlift_events::Event;
use eventlift_language::Reason;
use eventlift_language::json::{Node, bytes_of};

use super::source::row_json;
use crate::aggregate::snapshot_row;
use crate::row::Row;
use crate::table::{Table, snapshot_columns};
use crate::value::{KeptState, Value};

/// The fields of a state as typed values; as JSON, an object of them in the order in which they are declared.
#[derive(Clone, Debug)]
struct State {
    /// The fields, as the columns of a table.
    table: Arc<Table>,
    fields: Row,
}

impl KeptState for State {
    fn json(&self) -> Result<String, Reason> {
        row_json(&self.table, &self.fields)
    }

    fn copy(&self) -> Box<dyn KeptState> {
        Box::new(self.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.fields.size()
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Changes the fields of a state in a row of snapshots, `None` before the first event and to forget the state, and
/// brings the row up to the event.
pub(super) fn change_state(
    table: &Arc<Table>,
    event: &Event,
    snapshot: &mut Option<Row>,
    change: impl FnOnce(&mut Option<Row>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut kept = match snapshot {
        Some(row) => opened(std::mem::take(&mut row.0[snapshot_columns::STATE]), table)?,
        None => None,
    };
    let mut fields = match &mut kept {
        Some(kept) => Some(std::mem::replace(&mut of_definition(kept)?.fields, Row(Box::default()))),
        None => None,
    };
    change(&mut fields)?;
    let Some(fields) = fields else {
        *snapshot = None;
        return Ok(());
    };
    let kept = match kept {
        Some(mut kept) => {
            of_definition(&mut kept)?.fields = fields;
            kept
        }
        None => Box::new(State { table: Arc::clone(table), fields }),
    };
    snapshot_row(snapshot, event)?.0[snapshot_columns::STATE] = Value::Kept(kept);
    Ok(())
}

/// The fields in a row of snapshots.
pub(super) fn fields_of(table: &Arc<Table>, snapshot: &Row) -> Result<Row, Reason> {
    match opened(snapshot.0[snapshot_columns::STATE].clone(), table)? {
        Some(mut kept) => Ok(of_definition(&mut kept)?.fields.clone()),
        None => Ok(new_fields(table)),
    }
}

/// The fields before the first event: all null.
pub(super) fn new_fields(table: &Table) -> Row {
    Row(vec![Value::Null; table.columns.len()].into())
}

fn opened(value: Value, table: &Arc<Table>) -> Result<Option<Box<dyn KeptState>>, Reason> {
    match value {
        Value::Kept(kept) => Ok(Some(kept)),
        Value::Json(text) => Ok(Some(Box::new(State { table: Arc::clone(table), fields: read(table, &text)? }))),
        _ => Ok(None),
    }
}

fn of_definition(kept: &mut Box<dyn KeptState>) -> Result<&mut State, Reason> {
    let state = (**kept).as_any_mut().downcast_mut::<State>();
    state.ok_or_else(|| Reason::new("the state belongs to another aggregate"))
}

/// The fields in the object that [`State::json`] wrote.
fn read(table: &Table, text: &str) -> Result<Row, Reason> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Reason::new(format_args!("the snapshot can't be read as the aggregate's state: {why}"))
    };
    let Node::Object(members) = Node::parse(text).map_err(|error| unreadable(&error))? else {
        return Err(unreadable(&"it is no object"));
    };
    if members.len() != table.columns.len() {
        return Err(unreadable(&format_args!("it has {} fields, not {}", members.len(), table.columns.len())));
    }
    let mut fields = new_fields(table);
    for ((member, column), field) in members.iter().zip(&table.columns).zip(fields.0.iter_mut()) {
        if *bytes_of(&member.key) != *column.name.as_bytes() {
            return Err(unreadable(&format_args!("it has a field {}, not {:?}", member.key, column.name)));
        }
        let json = member.value.json();
        if json != "null" {
            *field = Value::from_json(column.column_type, &json).map_err(|reason| unreadable(&reason))?;
        }
    }
    Ok(fields)
}
