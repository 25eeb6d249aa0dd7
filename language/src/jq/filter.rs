//! A compiled filter, and what it makes of data and events.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use eventlift_events::{ContentType, Event, Payload};
use jaq_core::{Ctx, Filter, Vars};

use super::budget::{self, JqLimits};
use super::compile;
use super::error::JqError;
use super::event::{self, Part, Parts};
use super::message;
use super::natives::Data;
use super::read;
use super::value::{Key, Map, Value};
use super::write;
use crate::filter::JqInput;
use crate::reason::Reason;

/// A filter in jq, compiled. Shared between threads as it is.
///
/// Nothing is cached between events, and equal input always gives equal output.
pub struct JqFilter {
    filter: Filter<Data>,
    limits: JqLimits,
    has_growing_arguments: bool,
    /// Whether it may catch an error.
    catches: bool,
    /// The texts that stand in it as they are.
    literals: HashSet<String>,
}

/// An event becomes at most so many.
const MAX_EVENTS: usize = 100_000;

impl JqFilter {
    /// Compiles a filter that may use the default limits on every event. Fails with the place inside the source where
    /// it is no jq, names what there is not, or names what a rule must not use: the clock, the environment, the time
    /// zone, further input, output, `halt`, modules.
    pub fn compile(source: &str) -> Result<Self, JqError> {
        Self::compile_with(source, JqLimits::default())
    }

    /// The same, with other limits.
    pub fn compile_with(source: &str, limits: JqLimits) -> Result<Self, JqError> {
        let compile::Compiled { filter, has_growing_arguments, catches, literals } = compile::compiled(source)?;
        Ok(Self { filter, limits, has_growing_arguments, catches, literals })
    }

    /// Makes other data from data, which must be JSON. The content type stays.
    ///
    /// Fails where the data is not JSON or nested too deeply, where the filter fails, runs away, or yields anything
    /// but one value, and where the result can't be written as JSON.
    pub fn apply_data(&self, data: &Payload) -> Result<Payload, Reason> {
        let input = self.read(data, 0, "the data")?;
        self.within(data.len(), || {
            let mut outputs = self.outputs(&input, 2)?;
            let output = match outputs.pop() {
                Some(output) if outputs.is_empty() => output,
                None => return Err(Reason::new("the jq filter yielded nothing").hint("use jq_events to drop events")),
                Some(_) => return Err(self.too_many(&input)),
            };
            self.write(&output, Some(&input), data, &[data.bytes()])
        })
    }

    /// Makes any number of events from an event.
    ///
    /// The filter's input is an object with `type`, `version`, `stream`, `id`, `revision`, `recorded_at`, `data`,
    /// `metadata` and `attributes`; the last three are absent where the event has none. Each output is such an object;
    /// what it leaves out is as in the event, `id`, `revision` and `recorded_at` can't be changed, and other keys are
    /// refused. The events carry the id, revision, position and time of the event.
    ///
    /// Fails as [`apply_data`](Self::apply_data) does, and where an output is no event.
    pub fn apply_event(&self, event: &Event) -> Result<Vec<Event>, Reason> {
        let parts = self.read_event(event, 0)?;
        let input = event::input(event, &parts);
        self.within(event.size(), || {
            let outputs = self.outputs(&input, MAX_EVENTS + 1)?;
            if outputs.len() > MAX_EVENTS {
                return Err(Reason::new(format_args!("the jq filter yielded more than {MAX_EVENTS} events")));
            }
            let sources: [&[u8]; 3] = [event.data.bytes(), event.metadata.bytes(), &event.attributes];
            let attributes = Payload::new(event.attributes.clone(), ContentType::Json);
            outputs
                .iter()
                .map(|output| {
                    event::output(output, event, |value, part| {
                        let old = match part {
                            Part::Data => &event.data,
                            Part::Metadata => &event.metadata,
                            Part::Attributes => &attributes,
                        };
                        self.write(value, parts.get(part), old, &sources)
                    })
                })
                .collect()
        })
    }

    /// Makes JSON texts from one object with these keys, in this order.
    ///
    /// What the filter leaves alone is written as the bytes it was read as, everything else without white space;
    /// numbers keep their digits. The limits are those of one evaluation, for all inputs and outputs together.
    ///
    /// Fails where a key is given twice, where an input is not JSON or nested too deeply, where the filter fails, runs
    /// away, or yields more than `max` values, and where a result can't be written as JSON.
    pub fn evaluate(&self, inputs: &[(&str, JqInput<'_>)], max: usize) -> Result<Vec<String>, Reason> {
        let mut sources = Vec::new();
        let input = self.object(inputs, &mut sources)?;
        let sources: Vec<&[u8]> = sources.iter().map(|source| &source[..]).collect();
        let input_bytes = sources.iter().map(|source| source.len()).sum();
        self.within(input_bytes, || {
            let outputs = self.outputs(&input, max.saturating_add(1))?;
            if outputs.len() > max {
                let plural = if max == 1 { "" } else { "s" };
                return Err(Reason::new(format_args!("the jq filter yielded more than {max} value{plural}")));
            }
            write::texts(&outputs, &sources)
        })
    }

    /// One object of all inputs. Adds what they were read from to the sources.
    fn object(&self, inputs: &[(&str, JqInput<'_>)], sources: &mut Vec<Bytes>) -> Result<Value, Reason> {
        let mut map = Map::default();
        for (key, input) in inputs {
            let first = sources.len();
            let value = match input {
                JqInput::Json(text) => {
                    let bytes = Bytes::copy_from_slice(text.as_bytes());
                    sources.push(bytes.clone());
                    read::json(&bytes, Some(first), self.limits.depth, key)?
                }
                JqInput::Event(event) => {
                    let parts = self.read_event(event, first)?;
                    sources.extend([event.data.bytes(), event.metadata.bytes(), &event.attributes].map(Bytes::clone));
                    event::input(event, &parts)
                }
            };
            if map.insert(Key(event::plain(key)), value).is_some() {
                return Err(Reason::new(format_args!("the jq filter has two inputs {key}")));
            }
        }
        Ok(Value::object(map))
    }

    /// Reads data, metadata and attributes, which are the sources from this number on. Attributes that are no JSON, which
    /// only a store can have made, are not shown.
    fn read_event(&self, event: &Event, first: usize) -> Result<Parts, Reason> {
        let attributes = match event.attributes.is_empty() {
            true => None,
            false => read::json(&event.attributes, Some(first + 2), self.limits.depth, "an attribute").ok(),
        };
        Ok(Parts {
            data: self.read_if_any(&event.data, first, "the data")?,
            metadata: self.read_if_any(&event.metadata, first + 1, "the metadata")?,
            attributes,
        })
    }

    fn within<T>(&self, input_bytes: usize, evaluate: impl FnOnce() -> Result<T, Reason>) -> Result<T, Reason> {
        if self.has_growing_arguments {
            budget::within_piling_up(&self.limits, evaluate)
        } else {
            budget::within(&self.limits, input_bytes, evaluate)
        }
    }

    fn read_if_any(&self, payload: &Payload, source: usize, what: &str) -> Result<Option<Value>, Reason> {
        if payload.is_empty() { Ok(None) } else { self.read(payload, source, what).map(Some) }
    }

    fn read(&self, payload: &Payload, source: usize, what: &str) -> Result<Value, Reason> {
        if payload.is_empty() {
            return Err(Reason::new(format_args!("{what} is empty, and jq needs json")));
        }
        if !payload.is_json() {
            return Err(Reason::new(format_args!("{what} is {}, and jq needs json", payload.content_type()))
                .hint("match only events whose data is json"));
        }
        read::json(payload.bytes(), Some(source), self.limits.depth, what)
    }

    /// Writes a result; the very payload it was read from where nothing changed.
    fn write(
        &self,
        value: &Value,
        before: Option<&Value>,
        old: &Payload,
        sources: &write::Sources<'_>,
    ) -> Result<Payload, Reason> {
        if before.is_some_and(|before| write::is_unchanged(value, before)) {
            return Ok(old.clone());
        }
        let mut out = Vec::with_capacity(old.len() + 64);
        write::spliced(&mut out, value, before, sources)?;
        Ok(Payload::new(out, old.content_type().clone()))
    }

    /// At most `max` outputs.
    fn outputs(&self, input: &Value, max: usize) -> Result<Vec<Value>, Reason> {
        message::without_values(self.catches, || self.outputs_once(input, max))
    }

    fn outputs_once(&self, input: &Value, max: usize) -> Result<Vec<Value>, Reason> {
        // jaq is not known to panic on values of ours, but a run must survive it if it does.
        let evaluation = catch_unwind(AssertUnwindSafe(|| {
            let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([]));
            let outputs = self.filter.id.run((context, input.clone()));
            outputs
                .take(max)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|exception| message::reason(exception, &self.literals))
        }));
        evaluation.unwrap_or_else(|_| Err(Reason::new("the jq interpreter failed on this event")))
    }

    /// Counts what else there is, so that the reason can say it.
    fn too_many(&self, input: &Value) -> Reason {
        const MAX_COUNTED: usize = 1000;
        let count = match self.outputs(input, MAX_COUNTED + 1) {
            Ok(outputs) if outputs.len() <= MAX_COUNTED => format!("{} values", outputs.len()),
            Ok(_) => format!("more than {MAX_COUNTED} values"),
            Err(_) => "several values".to_owned(),
        };
        Reason::new(format_args!("the jq filter yielded {count}")).hint("use jq_events to split or drop")
    }
}

impl std::fmt::Debug for JqFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JqFilter").field("limits", &self.limits).finish_non_exhaustive()
    }
}
