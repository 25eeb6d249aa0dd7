//! One `[[on]]`: which rows an event changes, and how.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use eventlift_events::Event;
use eventlift_language::json::{Document, Node, Pointer, bytes_of};
use eventlift_language::problem::did_you_mean;
use eventlift_language::{CompiledCondition, JqFilter, Reason, Subject};

use super::operation::{Operation, in_column};
use super::source::{Inputs, Item, RowInputs, Source, outputs, row_json};
use super::state::change_state;
use crate::projection::Changes;
use crate::row::{Row, RowKey};
use crate::table::Table;
use crate::value::Value;

/// What happens to the events of some types and versions.
#[derive(Debug)]
pub(super) struct Clause {
    /// The place of the table among the projection's; 0 in an aggregate.
    pub(super) target: usize,
    /// The table, or the fields of an aggregate's state as the columns of one.
    pub(super) table: Arc<Table>,
    pub(super) rows: Rows,
    pub(super) when: Option<CompiledCondition>,
    /// Where the items are that it is run for.
    pub(super) each: Option<Pointer>,
    pub(super) missing: Missing,
    /// In the order in which they are run.
    pub(super) operations: Box<[Operation]>,
    /// The places of columns that become null.
    pub(super) clear: Box<[usize]>,
    pub(super) deletes: bool,
    pub(super) jq: Option<Box<JqFilter>>,
}

/// Which rows it changes.
#[derive(Debug)]
pub(super) enum Rows {
    /// Those with these keys: a source for every column of the key, in its order.
    Keys(Box<[Source]>),
    /// The state of the event's stream.
    State,
}

/// What happens where the row is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Create,
    Skip,
    Fail,
}

/// What a clause knows of an event before it knows the row: the values of the key's columns, then one for each
/// operation, then the item if any filter that sees the row is to see it.
type Given = Box<[Value]>;

impl Clause {
    /// Adds the changes that the event makes.
    pub(super) fn project(self: &Arc<Self>, inputs: &mut Inputs<'_, '_>, changes: &mut Changes) -> Result<(), Reason> {
        let Some(each) = &self.each else { return self.project_one(inputs, changes) };
        let mut items = Vec::new();
        inputs.view.data()?.find(each.segments(), &mut |node| {
            items.push(node.json().into_owned());
            ControlFlow::Continue(())
        })?;
        for item in &items {
            let item = Item { text: item, document: Document::parse(item.as_bytes())? };
            let mut inputs = Inputs { view: &mut *inputs.view, item: Some(item) };
            self.project_one(&mut inputs, changes)?;
        }
        Ok(())
    }

    fn project_one(self: &Arc<Self>, inputs: &mut Inputs<'_, '_>, changes: &mut Changes) -> Result<(), Reason> {
        if !self.holds(inputs)? {
            return Ok(());
        }
        let Rows::Keys(sources) = &self.rows else {
            let mut given = self.room_for(0, inputs);
            self.add_operands(inputs, &mut given)?;
            let clause = Arc::clone(self);
            let key = RowKey::text(inputs.view.event().stream.as_str());
            changes.change(self.target, key, move |event, snapshot| {
                change_state(&clause.table, event, snapshot, |fields| clause.change(event, fields, given.into()))
            });
            return Ok(());
        };
        if let Some(several) = sources.iter().position(Source::is_several) {
            return self.project_several(sources, several, inputs, changes);
        }
        let mut given = self.room_for(sources.len(), inputs);
        for (part, source) in sources.iter().enumerate() {
            let value = source.value(inputs).and_then(|value| present(value, source));
            given.push(value.map_err(|reason| self.in_key(part, reason))?);
        }
        let key = RowKey::of(&given)?;
        self.add_operands(inputs, &mut given)?;
        self.add_change(key, given.into(), changes);
        Ok(())
    }

    /// One change for every distinct value of the part of the key that has several.
    fn project_several(
        self: &Arc<Self>,
        sources: &[Source],
        several: usize,
        inputs: &mut Inputs<'_, '_>,
        changes: &mut Changes,
    ) -> Result<(), Reason> {
        let mut parts = Vec::new();
        for (part, source) in sources.iter().enumerate() {
            let in_key = |reason| self.in_key(part, reason);
            let values = if part == several {
                source.values(inputs).map_err(in_key)?
            } else {
                vec![source.value(inputs).map_err(in_key)?]
            };
            let values = values.into_iter().map(|value| present(value, source)).collect::<Result<Vec<_>, _>>();
            parts.push(values.map_err(in_key)?);
        }
        let mut operands = Vec::new();
        self.add_operands(inputs, &mut operands)?;
        let mut seen = HashSet::new();
        for index in 0..parts[several].len() {
            let part_of =
                |(part, values): (usize, &Vec<Value>)| values[if part == several { index } else { 0 }].clone();
            let mut given: Vec<Value> = parts.iter().enumerate().map(part_of).collect();
            let key = RowKey::of(&given)?;
            if seen.insert(key.clone()) {
                given.extend_from_slice(&operands);
                self.add_change(key, given.into(), changes);
            }
        }
        Ok(())
    }

    fn add_change(self: &Arc<Self>, key: RowKey, given: Given, changes: &mut Changes) {
        let clause = Arc::clone(self);
        changes.change(self.target, key, move |event, row| clause.change(event, row, given));
    }

    fn holds(&self, inputs: &mut Inputs<'_, '_>) -> Result<bool, Reason> {
        let Some(when) = &self.when else { return Ok(true) };
        let event = inputs.view.event();
        if let Some(item) = &mut inputs.item {
            return when.holds_for(&mut Subject::payload(event, &mut item.document));
        }
        match inputs.view.data() {
            Ok(document) => when.holds_for(&mut Subject::payload(event, document)),
            // A condition on the envelope alone holds for data that is no JSON as well; any other one fails.
            Err(_) => when.holds(event),
        }
    }

    /// Room for exactly what is given, so that it need not move when it is boxed.
    fn room_for(&self, key: usize, inputs: &Inputs<'_, '_>) -> Vec<Value> {
        let item = usize::from(inputs.item.is_some() && self.needs_item_later());
        Vec::with_capacity(key + self.operations.len() + item)
    }

    fn add_operands(&self, inputs: &mut Inputs<'_, '_>, given: &mut Vec<Value>) -> Result<(), Reason> {
        for operation in &self.operations {
            let operand = operation.operand(inputs);
            given.push(operand.map_err(|reason| self.in_operation(operation, reason))?);
        }
        if let Some(item) = &inputs.item
            && self.needs_item_later()
        {
            given.push(Value::Json(item.text.into()));
        }
        Ok(())
    }

    fn needs_item_later(&self) -> bool {
        let mut sources = self.operations.iter().map(|operation| &operation.source);
        self.jq.is_some() || sources.any(|source| source.needs_row() && source.sees_item())
    }

    /// Changes the row; all that the event alone says is given.
    fn change(&self, event: &Event, row: &mut Option<Row>, mut given: Given) -> Result<(), Reason> {
        if row.is_none() {
            match self.missing {
                Missing::Create => {}
                Missing::Skip => return Ok(()),
                Missing::Fail => return Err(self.no_row(&given)),
            }
        }
        if self.deletes {
            *row = None;
            return Ok(());
        }
        self.look_into_row(event, row.as_ref(), &mut given)?;
        let is_jq_alone = self.jq.is_some() && self.operations.is_empty() && self.clear.is_empty();
        if row.is_none() && !is_jq_alone {
            *row = Some(self.new_row(&given));
        }
        if let Some(row) = row {
            let operands = given[self.key_length()..].iter_mut();
            for (operation, operand) in self.operations.iter().zip(operands) {
                let outcome = operation.run(&mut row.0[operation.place], std::mem::take(operand));
                outcome.map_err(|reason| self.in_operation(operation, reason))?;
            }
            for place in &self.clear {
                row.0[*place] = Value::Null;
            }
        }
        if let Some(jq) = &self.jq {
            self.rewrite(jq, event, row, &given)
                .map_err(|reason| Reason { message: format!("jq: {}", reason.message), ..reason })?;
        }
        Ok(())
    }

    /// Gives the operations that look into the row what they find, before any of them changes it.
    fn look_into_row(&self, event: &Event, row: Option<&Row>, given: &mut Given) -> Result<(), Reason> {
        let (key, rest) = given.split_at_mut(self.key_length());
        let (operands, item) = rest.split_at_mut(self.operations.len());
        let item = if let Some(Value::Json(item)) = item.first() { Some(&**item) } else { None };
        let inputs = RowInputs { event, item, table: &self.table, key, row };
        for (operation, operand) in self.operations.iter().zip(operands) {
            if operation.source.needs_row() {
                let found = operation.operand_in_row(inputs);
                *operand = found.map_err(|reason| self.in_operation(operation, reason))?;
            }
        }
        Ok(())
    }

    /// Puts what a filter makes of the row into its place.
    fn rewrite(&self, jq: &JqFilter, event: &Event, row: &mut Option<Row>, given: &Given) -> Result<(), Reason> {
        let before = match row {
            Some(row) => row_json(&self.table, row)?,
            None => "null".to_owned(),
        };
        let outputs = outputs(jq, event, self.item(given), Some(&before), 1)?;
        let Some(output) = outputs.first() else {
            return Err(Reason::new("the filter yielded nothing").hint("null deletes the row"));
        };
        if output == "null" {
            *row = None;
            return Ok(());
        }
        let Node::Object(members) = Node::parse(output)? else {
            return Err(Reason::new(format_args!("the filter yielded {output}, not an object of columns"))
                .hint("null deletes the row"));
        };
        let row = row.get_or_insert_with(|| self.new_row(given));
        for member in &members {
            let name = String::from_utf8_lossy(&bytes_of(&member.key)).into_owned();
            let Some(place) = self.table.column(&name) else {
                let hint = did_you_mean(&name, self.table.columns.iter().map(|column| column.name.as_str()));
                return Err(Reason { hint, ..Reason::new(format_args!("there is no column {}", member.key)) });
            };
            let column = &self.table.columns[place];
            let json = member.value.json();
            let value = if json == "null" { Value::Null } else { Value::from_json(column.column_type, &json)? };
            if self.table.key.contains(&place) && value != row.0[place] {
                return Err(Reason::new(format_args!("`{name}` is part of the key and can't become {value}")));
            }
            row.0[place] = value;
        }
        Ok(())
    }

    fn new_row(&self, given: &Given) -> Row {
        let mut values = vec![Value::Null; self.table.columns.len()];
        for (place, value) in self.table.key.iter().zip(given.iter()) {
            values[*place] = value.clone();
        }
        Row(values.into())
    }

    fn key_length(&self) -> usize {
        self.table.key.len()
    }

    fn item<'g>(&self, given: &'g Given) -> Option<&'g str> {
        match given.get(self.key_length() + self.operations.len()) {
            Some(Value::Json(item)) => Some(item),
            _ => None,
        }
    }

    fn no_row(&self, given: &Given) -> Reason {
        if matches!(self.rows, Rows::State) {
            return Reason::new("the stream has no state yet");
        }
        let parts = self.table.key.iter().zip(given.iter());
        let key: Vec<String> =
            parts.map(|(place, value)| format!("{} {value}", self.table.columns[*place].name)).collect();
        Reason::new(format_args!("`{}` has no row with {}", self.table.name, key.join(", ")))
    }

    fn in_key(&self, part: usize, reason: Reason) -> Reason {
        let place = self.table.key.get(part).copied().unwrap_or_default();
        in_column(&self.table.columns[place], "key", reason)
    }

    fn in_operation(&self, operation: &Operation, reason: Reason) -> Reason {
        in_column(&self.table.columns[operation.place], operation.verb.as_str(), reason)
    }
}

fn present(value: Value, source: &Source) -> Result<Value, Reason> {
    match value.is_null() {
        false => Ok(value),
        true => Err(Reason::new(format_args!("{} is missing or null", source.name()))
            .hint("`when = { path = \"/…\", exists = true }` leaves such events out")),
    }
}
