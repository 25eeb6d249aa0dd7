//! The rules: one-to-one, a split, a drop, a move, and two that remember what came before.

use std::sync::Arc;

use eventlift::events::{Event, EventType, Payload, SchemaVersion, StreamName};
use eventlift::transformers::{Reason, Registry, RegistryBuilder, Rule, StatefulTransformer, Upcaster};

/// Everything at once: splits, a drop, a move, and stateful rules that drop and split themselves.
pub(crate) fn general() -> Registry {
    pure_rules()
        .rule(Rule::new("notes have streams of their own", "1", moved_note).types(["NoteAdded"]).moves_streams())
        .stateful(Arc::new(WithoutRepeats))
        .stateful(Arc::new(RunningTotal { splits: true }))
        .build()
        .unwrap()
}

/// Splits, a drop, and a stateful rule that is one-to-one: revisions shift, but nothing moves.
pub(crate) fn shifting() -> Registry {
    pure_rules().stateful(Arc::new(RunningTotal { splits: false })).build().unwrap()
}

fn pure_rules() -> RegistryBuilder {
    Registry::builder()
        .current("UserCreated", 2)
        .current("FileDeleted", 1)
        .current("FileAdded", 1)
        .current("NoteAdded", 1)
        .current("AmountPaid", 1)
        .current("MilestoneReached", 1)
        .current("Repeated", 1)
        .retired("FileRenamed")
        .retired("Ping")
        .upcaster(Upcaster::new("UserCreated", 1, 2, "1", |event| Ok(with_data(event, r#"{"full":"Ada"}"#))))
        .upcaster(
            Upcaster::new("FileRenamed", 1, 1, "1", |event| {
                let deleted = with_type(with_data(event.clone(), r#"{"deleted":true}"#), "FileDeleted");
                Ok(vec![deleted, with_type(with_data(event, r#"{"added":true}"#), "FileAdded")])
            })
            .into_schemas([("FileDeleted", 1), ("FileAdded", 1)]),
        )
        .upcaster(
            Upcaster::new("Ping", 1, 1, "1", |_| Ok(None::<Event>)).into_schemas(std::iter::empty::<(&str, u32)>()),
        )
}

fn moved_note(mut event: Event) -> Result<Event, Reason> {
    // Several streams become one, in which their events interleave.
    let last = event.stream.as_str().chars().next_back().unwrap_or('x');
    event.stream = StreamName::new(format!("note-{last}")).unwrap();
    Ok(event)
}

fn with_data(mut event: Event, data: &str) -> Event {
    event.data = Payload::json(data.to_owned());
    event
}

fn with_type(mut event: Event, event_type: &str) -> Event {
    event.event_type = EventType::new(event_type.to_owned()).unwrap();
    event
}

/// Adds up the amounts of a stream. Where it `splits`, every hundred is an event of its own.
struct RunningTotal {
    /// Whether it yields milestones.
    splits: bool,
}

impl StatefulTransformer for RunningTotal {
    fn name(&self) -> &str {
        "running total"
    }

    fn fingerprint(&self) -> &str {
        if self.splits { "with milestones" } else { "1" }
    }

    fn observes(&self, event_type: &EventType, _version: SchemaVersion) -> bool {
        event_type.as_str() == "AmountPaid"
    }

    fn is_one_to_one(&self) -> bool {
        !self.splits
    }

    fn transform(&self, state: &mut Vec<u8>, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        let before: u64 = std::str::from_utf8(state).unwrap().parse().unwrap_or(0);
        let amount = number_in(&event).ok_or("the event has no amount")?;
        let total = before + amount;
        *state = total.to_string().into_bytes();
        out.push(with_data(event.clone(), &format!(r#"{{"amount":{amount},"total":{total}}}"#)));
        if self.splits && total / 100 > before / 100 {
            out.push(with_type(with_data(event, &format!(r#"{{"total":{total}}}"#)), "MilestoneReached"));
        }
        Ok(())
    }
}

/// Drops an event whose data is that of the one before it in its stream, and forgets the stream every so often.
struct WithoutRepeats;

impl StatefulTransformer for WithoutRepeats {
    fn name(&self) -> &str {
        "without repeats"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn observes(&self, event_type: &EventType, _version: SchemaVersion) -> bool {
        event_type.as_str() == "Repeated"
    }

    fn is_one_to_one(&self) -> bool {
        false
    }

    fn transform(&self, state: &mut Vec<u8>, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        if state[..] == event.data.bytes()[..] {
            state.clear();
            return Ok(());
        }
        *state = event.data.bytes().to_vec();
        out.push(event);
        Ok(())
    }
}

fn number_in(event: &Event) -> Option<u64> {
    let text = std::str::from_utf8(event.data.bytes()).ok()?;
    text.trim_start_matches(|c: char| !c.is_ascii_digit()).trim_end_matches('}').parse().ok()
}
