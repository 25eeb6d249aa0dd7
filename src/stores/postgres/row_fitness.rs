//! Whether a row of a table can hold an event: what the writer refuses before it asks the server.

use eventlift_events::{Event, Payload, StoreError, StoreErrorKind};

use super::append::place;
use super::config::PayloadColumn;
use super::encode;
use super::failure::Place;
use super::jsonb;

/// What of a table decides that.
pub(super) struct RowFitness<'a> {
    pub(super) display: &'a Place,
    pub(super) data: PayloadColumn,
    pub(super) metadata: PayloadColumn,
}

impl RowFitness<'_> {
    /// Fails where a row can't hold the event exactly.
    pub(super) fn check(&self, event: &Event) -> Result<(), StoreError> {
        encode::check(event).map_err(|problem| self.unsupported(event, problem))?;
        let columns = [("data", &event.data, self.data), ("metadata", &event.metadata, self.metadata)];
        for (name, payload, column) in columns {
            let Some(problem) = refused_by(payload, column) else { continue };
            let problem = format!("its {name} can't be kept as jsonb: {problem}");
            return Err(self.unsupported(event, problem).hint(keeping(name, true)));
        }
        Ok(())
    }

    pub(super) fn unsupported(&self, event: &Event, problem: String) -> StoreError {
        StoreError::new("append to", self.display, StoreErrorKind::Unsupported(problem)).at(format_args!(
            "{}, event {}",
            place(event),
            event.id
        ))
    }
}

fn refused_by(payload: &Payload, column: PayloadColumn) -> Option<String> {
    if column != PayloadColumn::Jsonb || !payload.is_json() {
        return None;
    }
    // What is no JSON goes where bytes go, whatever it holds.
    jsonb::refuses(payload.bytes()).filter(|_| payload.holds_json())
}

/// What to try where a column can't hold a payload. `json`: whether it may be JSON all the same.
pub(super) fn keeping(name: &str, json: bool) -> String {
    let others = match json {
        true => format!("`{name} = \"json\"` or `{name} = \"bytea\"`"),
        false => format!("`{name} = \"bytea\"`"),
    };
    format!("make the target with {others} in eventlift.toml, which keeps it")
}
