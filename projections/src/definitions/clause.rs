//! One `[[on]]`: which rows an event changes, and how.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use eventlift_events::{Event, Needed};
use eventlift_language::json::{Document, Node, Pointer, bytes_of};
use eventlift_language::problem::did_you_mean;
use eventlift_language::{CompiledCondition, JqFilter, Reason, Short, Shown, Subject, condition};
use smallvec::SmallVec;

use super::operation::{Operation, in_column};
use super::source::{Inputs, Item, RowInputs, Source, lists_may_be_missing, outputs, row_json};
use super::state::change_state;
use crate::projection::{Changes, Given, Move, Operand, Prepared, Taken};
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
    /// Whether an event may lack the list that `each` or the key goes over, and has no items then. Otherwise it can't be
    /// folded.
    pub(super) optional: bool,
    pub(super) missing: Missing,
    /// In the order in which they are run.
    pub(super) operations: Box<[Operation]>,
    /// The places of columns that become null.
    pub(super) clear: Box<[usize]>,
    pub(super) deletes: bool,
    pub(super) jq: Option<Box<JqFilter>>,
    /// Where the row goes behind all that.
    pub(super) moves: Option<Moves>,
}

/// The key that a row gets.
#[derive(Debug)]
pub(super) struct Moves {
    /// A source for every column of the key, in its order.
    pub(super) to: Box<[Source]>,
    pub(super) taken: Taken,
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

/// A value for each operation.
type Operands = SmallVec<[Operand; 4]>;

impl Clause {
    /// What it looks into.
    pub(super) fn needed(&self) -> Needed {
        let keys: &[Source] = match &self.rows {
            Rows::Keys(keys) => keys,
            Rows::State => &[],
        };
        let moved_to: &[Source] = self.moves.as_ref().map_or(&[], |moves| &moves.to);
        let sources = keys.iter().chain(moved_to).chain(self.operations.iter().map(|operation| &operation.source));
        let mut needed = sources.fold(Needed::ENVELOPE, |needed, source| needed.and(source.needed()));
        if self.jq.is_some() {
            return Needed::ALL;
        }
        if let Some(each) = &self.each {
            needed.data = needed.data.with(each.first_key());
        }
        let is_for_items = self.each.is_some();
        let Some(when) = &self.when else { return needed };
        let (mut data, mut metadata, mut attributes) = (needed.data, needed.metadata, needed.attributes);
        when.places(&mut |source, pointer| match source {
            // An item is in what `each` leads to.
            condition::Source::AtHand if is_for_items => {}
            condition::Source::AtHand | condition::Source::Data => {
                data = std::mem::take(&mut data).with(pointer.first_key());
            }
            condition::Source::Metadata => metadata = std::mem::take(&mut metadata).with(pointer.first_key()),
            condition::Source::Attributes => attributes = true,
        });
        Needed { data, metadata, attributes, ..needed }
    }

    /// Adds the changes that the event makes.
    pub(super) fn project(self: &Arc<Self>, inputs: &mut Inputs<'_, '_>, changes: &mut Changes) -> Result<(), Reason> {
        let Some(each) = &self.each else { return self.project_one(inputs, changes) };
        let mut items = Vec::new();
        let mut keep = |node: &Node<'_>| {
            items.push(node.json().into_owned());
            ControlFlow::Continue(())
        };
        let data = inputs.view.data()?;
        match self.optional {
            true => data.find(each.segments(), &mut keep)?,
            false => data.find_all(each.segments(), &mut keep).map_err(lists_may_be_missing)?,
        }
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
            let key = RowKey::text(inputs.view.event().stream.as_str());
            let given = match self.operands(inputs) {
                Ok(operands) => self.given(operands, inputs),
                Err(reason) => {
                    self.add_failure(key, None, reason, changes);
                    return Ok(());
                }
            };
            let clause = Arc::clone(self);
            changes.change(self.target, key, move |event, snapshot| {
                let key = RowKey::of([])?;
                change_state(&clause.table, event, snapshot, |fields| clause.change(event, &key, fields, given))
            });
            return Ok(());
        };
        if let Some(moves) = &self.moves {
            let key = self.key(sources, "key", inputs)?;
            match self.key(&moves.to, "move_to", inputs) {
                Ok(to) => {
                    let moves = Move { to, taken: moves.taken };
                    self.add(key, Some(moves), self.operands(inputs), inputs, changes);
                }
                Err(reason) => self.add_failure(key, None, reason, changes),
            }
            return Ok(());
        }
        if let Some(several) = sources.iter().position(Source::is_several) {
            return self.project_several(sources, several, inputs, changes);
        }
        if let [source] = &**sources
            && let Some(key) = source.plain_key(inputs)
        {
            self.add(key, None, self.operands(inputs), inputs, changes);
            return Ok(());
        }
        let key = self.key(sources, "key", inputs)?;
        self.add(key, None, self.operands(inputs), inputs, changes);
        Ok(())
    }

    /// The key of which each column has one value; `word` names it in errors.
    fn key(&self, sources: &[Source], word: &str, inputs: &mut Inputs<'_, '_>) -> Result<RowKey, Reason> {
        let mut parts: SmallVec<[Value; 2]> = SmallVec::new();
        for (part, source) in sources.iter().enumerate() {
            let value = source.value(inputs).and_then(|value| present(value, source));
            parts.push(value.map_err(|reason| self.in_key(part, word, reason))?);
        }
        RowKey::of(&parts)
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
            let in_key = |reason| self.in_key(part, "key", reason);
            let values = if part == several {
                source.items(inputs, self.optional).map_err(in_key)?
            } else {
                vec![source.value(inputs).map_err(in_key)?]
            };
            let values = values.into_iter().map(|value| present(value, source)).collect::<Result<Vec<_>, _>>();
            parts.push(values.map_err(in_key)?);
        }
        let operands = self.operands(inputs);
        if let Err(reason) = &operands
            && parts[several].is_empty()
        {
            return Err(reason.clone());
        }
        let mut seen = HashSet::new();
        for index in 0..parts[several].len() {
            let key = parts.iter().enumerate();
            let key = RowKey::of(key.map(|(part, values)| &values[if part == several { index } else { 0 }]))?;
            if !seen.insert(key.clone()) {
                continue;
            }
            self.add(key, None, operands.clone(), inputs, changes);
        }
        Ok(())
    }

    fn add(
        self: &Arc<Self>,
        key: RowKey,
        moves: Option<Move>,
        operands: Result<Operands, Reason>,
        inputs: &Inputs<'_, '_>,
        changes: &mut Changes,
    ) {
        match operands {
            Ok(operands) => {
                let clause: Arc<dyn Prepared> = Arc::<Self>::clone(self);
                changes.prepared(self.target, key, clause, self.given(operands, inputs), moves);
            }
            Err(reason) => self.add_failure(key, moves, reason, changes),
        }
    }

    /// The event can't change the row: it fails where the row is known, so that the row can wait for it.
    fn add_failure(&self, key: RowKey, moves: Option<Move>, reason: Reason, changes: &mut Changes) {
        let fail = move |_: &Event, _: &mut Option<Row>| Err(reason);
        match moves {
            Some(moves) => changes.change_and_move(self.target, key, moves, fail),
            None => changes.change(self.target, key, fail),
        }
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

    fn operands(&self, inputs: &mut Inputs<'_, '_>) -> Result<Operands, Reason> {
        let mut operands = Operands::with_capacity(self.operations.len());
        for operation in &self.operations {
            let operand = operation.operand(inputs);
            operands.push(operand.map_err(|reason| self.in_operation(operation, reason))?);
        }
        Ok(operands)
    }

    fn given(&self, operands: Operands, inputs: &Inputs<'_, '_>) -> Given {
        let item = inputs.item.as_ref().filter(|_| self.needs_item_later());
        Given { operands, item: item.map(|item| item.text.into()) }
    }

    fn needs_item_later(&self) -> bool {
        let mut sources = self.operations.iter().map(|operation| &operation.source);
        self.jq.is_some() || sources.any(|source| source.needs_row() && source.sees_item())
    }

    /// Changes the row, of this key, which is empty for the state of a stream; all that the event alone says is given.
    fn change(&self, event: &Event, key: &RowKey, row: &mut Option<Row>, mut given: Given) -> Result<(), Reason> {
        if row.is_none() {
            match self.missing {
                Missing::Create => {}
                Missing::Skip => return Ok(()),
                Missing::Fail => return Err(self.no_row(key)),
            }
        }
        if self.deletes {
            *row = None;
            return Ok(());
        }
        self.look_into_row(event, key, row.as_ref(), &mut given)?;
        let is_jq_alone = self.jq.is_some() && self.operations.is_empty() && self.clear.is_empty();
        if row.is_none() && !is_jq_alone {
            *row = Some(Row::with_key(&self.table, key)?);
        }
        if let Some(row) = row {
            for (operation, operand) in self.operations.iter().zip(given.operands.drain(..)) {
                let outcome = operation.run(&mut row.0[operation.place], operand, event);
                outcome.map_err(|reason| self.in_operation(operation, reason))?;
            }
            for place in &self.clear {
                row.0[*place] = Value::Null;
            }
        }
        if let Some(jq) = &self.jq {
            self.rewrite(jq, event, key, row, &given)
                .map_err(|reason| Reason { message: format!("jq: {}", reason.message), ..reason })?;
        }
        Ok(())
    }

    /// Gives the operations that look into the row what they find, before any of them changes it.
    fn look_into_row(&self, event: &Event, key: &RowKey, row: Option<&Row>, given: &mut Given) -> Result<(), Reason> {
        if !self.operations.iter().any(|operation| operation.source.needs_row()) {
            return Ok(());
        }
        let key = key.values(&self.table.key_types())?;
        let inputs = RowInputs { event, item: given.item.as_deref(), table: &self.table, key: &key, row };
        for (operation, operand) in self.operations.iter().zip(&mut given.operands) {
            if operation.source.needs_row() {
                let found = operation.operand_in_row(inputs);
                *operand = Operand::Value(found.map_err(|reason| self.in_operation(operation, reason))?);
            }
        }
        Ok(())
    }

    /// Puts what a filter makes of the row into its place.
    fn rewrite(
        &self,
        jq: &JqFilter,
        event: &Event,
        key: &RowKey,
        row: &mut Option<Row>,
        given: &Given,
    ) -> Result<(), Reason> {
        let before = match row {
            Some(row) => row_json(&self.table, row)?,
            None => "null".to_owned(),
        };
        let outputs = outputs(jq, event, given.item.as_deref(), Some(&before), 1)?;
        let Some(output) = outputs.first() else {
            return Err(Reason::new("the filter yielded nothing").hint("null deletes the row"));
        };
        if output == "null" {
            *row = None;
            return Ok(());
        }
        let Node::Object(members) = Node::parse(output)? else {
            return Err(Reason::new(format_args!("the filter yielded {}, not an object of columns", Shown(output)))
                .hint("null deletes the row"));
        };
        let row = match row {
            Some(row) => row,
            None => row.insert(Row::with_key(&self.table, key)?),
        };
        for member in &members {
            let name = String::from_utf8_lossy(&bytes_of(&member.key)).into_owned();
            let Some(place) = self.table.column(&name) else {
                let hint = did_you_mean(&name, self.table.columns.iter().map(|column| column.name.as_str()));
                return Err(Reason { hint, ..Reason::new(format_args!("there is no column {}", Short(&member.key))) });
            };
            let column = &self.table.columns[place];
            let json = member.value.json();
            let value = if json == "null" { Value::Null } else { Value::from_json(column.column_type, &json)? };
            if self.table.key.contains(&place) && value != row.0[place] {
                return Err(Reason::new(format_args!("`{name}` is part of the key and can't become {}", Shown(value))));
            }
            row.0[place] = value;
        }
        Ok(())
    }

    fn no_row(&self, key: &RowKey) -> Reason {
        if matches!(self.rows, Rows::State) {
            return Reason::new("the stream has no state yet");
        }
        Reason::new(format_args!("`{}` has no row with {}", self.table.name, key.shown(&self.table)))
    }

    fn in_key(&self, part: usize, word: &str, reason: Reason) -> Reason {
        let place = self.table.key.get(part).copied().unwrap_or_default();
        in_column(&self.table.columns[place], word, reason)
    }

    fn in_operation(&self, operation: &Operation, reason: Reason) -> Reason {
        in_column(&self.table.columns[operation.place], operation.verb.as_str(), reason)
    }
}

impl Prepared for Clause {
    fn make(&self, given: Given, event: &Event, key: &RowKey, row: &mut Option<Row>) -> Result<(), Reason> {
        self.change(event, key, row, given)
    }
}

fn present(value: Value, source: &Source) -> Result<Value, Reason> {
    match value.is_null() {
        false => Ok(value),
        true => Err(Reason::new(format_args!("{} is missing or null", source.name()))
            .hint("`when = { path = \"/…\", exists = true }` leaves such events out")),
    }
}
