//! A list of operations, compiled and applied.

use eventlift_events::{Event, Payload};
use eventlift_language::json::Document;
use eventlift_language::{CompiledCondition, Reason, Subject};

use crate::operations::effects::Known;
use crate::operations::keys::Keys;
use crate::operations::operation::Operation;
use crate::operations::place::Edit;

/// Operations that are ready to be applied, one after the other, to one payload.
#[derive(Debug, Default)]
pub struct Operations {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    /// Whether it takes the operation back.
    back: bool,
    when: Option<CompiledCondition>,
    edit: Edit,
}

impl Operations {
    /// Checks operations and makes them ready: paths, patterns, formats and conditions are taken apart, keys looked
    /// up. Fails with the first operation that can't be right, alone or after those before it.
    pub fn compile(operations: Vec<Operation>, keys: &Keys) -> Result<Self, OperationError> {
        let mut steps = Vec::with_capacity(operations.len());
        let mut known = Known::default();
        for (index, operation) in operations.into_iter().enumerate() {
            let name = operation.name();
            let fail = |reason: Reason| OperationError { index, operation: name, reason };
            let when = operation.condition().map(|when| when.compile().map_err(fail)).transpose()?;
            let effects = operation.effects();
            let edit = operation.compile(keys).map_err(fail)?;
            known.follow(index, &effects, when.is_some()).map_err(fail)?;
            steps.push(Step { name, back: false, when, edit });
        }
        Ok(Self { steps })
    }

    /// What takes operations back, the last one first. Fails with every operation that has no inverse: those that
    /// lose something, and those with a condition, since what it held for is not known afterwards.
    ///
    /// Applied to what the operations made of a document it gives the document back, with the text of all values that
    /// no operation names, as long as fields that an operation adds were not there before and the objects on the way
    /// to them were there or are needed by nothing else. A field that comes back from another object stands behind
    /// the last key; fields that were wrapped stand together.
    pub fn inverse(operations: &[Operation]) -> Result<Self, Vec<OperationError>> {
        let mut steps = Vec::with_capacity(operations.len());
        let mut errors = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let name = operation.name();
            let inverse = match operation.condition() {
                Some(_) => Err(Reason::new("which events its `when` held for is not known any more")
                    .hint("say what the way back does: `down = […]`")),
                None => operation.inverse(),
            };
            match inverse {
                Ok(edit) => steps.push(Step { name, back: true, when: None, edit }),
                Err(reason) => errors.push(OperationError { index, operation: name, reason }),
            }
        }
        steps.reverse();
        if errors.is_empty() { Ok(Self { steps }) } else { Err(errors) }
    }

    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether values are put out of sight.
    pub(crate) fn redact(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.name, "redact" | "hash"))
    }

    /// The names of the keys that are used, each once, in order. Their [`Keys::fingerprint`]s belong to the rule's.
    pub fn key_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.steps.iter().filter_map(|step| step.edit.key.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Applies every operation in turn to one payload of `event` and yields the new payload, of the same content
    /// type; the same shared bytes when there was nothing to do.
    ///
    /// In an operation's condition, `path` looks at the payload as the operations before it left it; everything else
    /// looks at the event as it came. Fails when the payload is not JSON, or an operation can't be done; nothing is
    /// half done then.
    pub fn apply(&self, payload: &Payload, event: &Event) -> Result<Payload, Reason> {
        if self.steps.is_empty() {
            return Ok(payload.clone());
        }
        if !payload.is_empty() && !payload.is_json() {
            return Err(Reason::new(format_args!("it is {}, but the rule needs JSON", payload.content_type())));
        }
        let mut document = Document::parse(payload.bytes())?;
        let mut changed = false;
        for step in &self.steps {
            changed |= step.apply(&mut document, event).map_err(|reason| step.explain(reason))?;
        }
        if !changed {
            return Ok(payload.clone());
        }
        let content_type = if payload.is_empty() { Default::default() } else { payload.content_type().clone() };
        Ok(Payload::new(document.write(), content_type))
    }
}

impl Step {
    fn apply<'a>(&'a self, document: &mut Document<'a>, event: &Event) -> Result<bool, Reason> {
        if let Some(when) = &self.when
            && !when.holds_for(&mut Subject::payload(event, document))?
        {
            return Ok(false);
        }
        self.edit.apply(&mut document.root)
    }

    fn explain(&self, reason: Reason) -> Reason {
        let back = if self.back { "the way back of " } else { "" };
        Reason { message: format!("{back}{}: {}", self.name, reason.message), ..reason }
    }
}

/// An operation that can't be compiled, or can't be taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {number} ({operation}): {reason}", number = .index + 1)]
pub struct OperationError {
    /// Which of the list, from 0.
    pub index: usize,
    /// Its keyword.
    pub operation: &'static str,
    /// What is wrong, and what to try.
    pub reason: Reason,
}
