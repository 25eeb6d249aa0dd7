//! Loading a store, reading it back, and comparing the two.

use std::num::NonZeroUsize;

use futures_util::StreamExt;

use super::json::same_value;
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds, shown};
use crate::checkpoint::Progress;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::Event;
use crate::payload::Payload;
use crate::scope::Scope;
use crate::store::{Capabilities, EventWriter, ReadRequest};

/// Opens a store that is still loading, or goes on with a sealed one, and seals it.
pub(super) async fn sealed_writer(store: &dyn StoreUnderTest) -> Result<Box<dyn EventWriter>, Failure> {
    let mut writer = store.writer().await?;
    writer.seal(true).await?;
    Ok(writer)
}

/// Appends events in portions that the store takes.
pub(super) async fn append_all(writer: &mut dyn EventWriter, events: &[Event]) -> Result<(), StoreError> {
    const PORTION_EVENTS: usize = 1_000;
    const PORTION_BYTES: u64 = 4 << 20;
    let limit = writer.capabilities().max_append_bytes.unwrap_or(PORTION_BYTES).min(PORTION_BYTES);
    let mut start = 0;
    while start < events.len() {
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += (event.data.len() + event.metadata.len()) as u64;
            bytes <= limit
        };
        let portion = events[start..].iter().take(PORTION_EVENTS).take_while(fits).count().max(1);
        writer.append(&events[start..start + portion], None).await?;
        start += portion;
    }
    Ok(())
}

/// Loads events as a first bulk load does, seals the store and closes it.
pub(super) async fn load(store: &dyn StoreUnderTest, events: &[Event]) -> Result<(), StoreError> {
    let mut writer = store.writer().await?;
    append_all(&mut *writer, events).await?;
    writer.seal(true).await
}

/// Loads events, reads them back and compares.
pub(super) async fn comes_back(store: &dyn StoreUnderTest, events: &[Event]) -> Verdict {
    load(store, events).await?;
    holds_exactly(store, events).await
}

/// Adds each event in turn to a sealed store. The store keeps it exactly, or refuses it as unsupported and keeps
/// nothing of it. Each event must be able to stand alone: revision 0 of its own stream.
pub(super) async fn comes_back_or_is_refused(store: &dyn StoreUnderTest, events: &[(String, Event)]) -> Verdict {
    let mut kept = Vec::new();
    drop(sealed_writer(store).await?);
    for (what, event) in events {
        let mut writer = store.writer().await?;
        match writer.append(std::slice::from_ref(event), None).await {
            Ok(()) => kept.push(event.clone()),
            Err(error) if matches!(error.kind, StoreErrorKind::Unsupported(_)) => {}
            Err(error) => {
                let expected = "expected it to be kept or refused with StoreErrorKind::Unsupported";
                return Err(Failure::new(format_args!("{what}: {expected}, but got: {error}")));
            }
        }
        drop(writer);
        holds_exactly(store, &kept).await.map_err(|failure| failure.when(what))?;
    }
    Ok(())
}

/// Fails unless the store holds these events and no others.
pub(super) async fn holds_exactly(store: &dyn StoreUnderTest, expected: &[Event]) -> Verdict {
    let found = read(store, ReadRequest::new(Scope::All)).await?;
    same_events(store.reader().await?.capabilities(), expected, &found)
}

/// All events of a read.
pub(super) async fn read(store: &dyn StoreUnderTest, request: ReadRequest) -> Result<Vec<Event>, Failure> {
    Ok(batches(store, request).await?.concat())
}

/// All batches of a read, none of them empty or past its limits.
pub(super) async fn batches(store: &dyn StoreUnderTest, request: ReadRequest) -> Result<Vec<Vec<Event>>, Failure> {
    let reader = store.reader().await?;
    let mut stream = reader.read(request.clone());
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        within_limits(&batch, &request)?;
        batches.push(batch);
    }
    Ok(batches)
}

fn within_limits(batch: &[Event], request: &ReadRequest) -> Verdict {
    let Some((_, all_but_last)) = batch.split_last() else {
        return Err(Failure::new("expected no batch without events, but got one"));
    };
    let most = request.batch_events;
    holds(batch.len() <= most.get(), format_args!("a batch has at most {most} events, but one has {}", batch.len()))?;
    let before_last: usize = all_but_last.iter().map(Event::size).sum();
    let most = request.batch_bytes;
    let expectation =
        format_args!("a batch ends with the event that brings it to {most} bytes, but one had {before_last} before it");
    holds(before_last < most.get(), expectation)
}

/// Fails unless the events are the same ones, in the same order, as far as the store promises to keep them.
pub(super) fn same_events(can: Capabilities, expected: &[Event], found: &[Event]) -> Verdict {
    ascending(found)?;
    let (expected, found) = (in_comparable_order(can, expected), in_comparable_order(can, found));
    for (expected, found) in expected.iter().zip(&found) {
        same_event(can, expected, found)?;
    }
    if expected.len() == found.len() {
        return Ok(());
    }
    let first_extra = found.get(expected.len()).map(shown);
    let first_missing = expected.get(found.len()).map(shown);
    let difference = match (first_missing, first_extra) {
        (Some(event), _) => format!("the first one missing is {event}"),
        (_, Some(event)) => format!("the first one too many is {event}"),
        _ => String::new(),
    };
    Err(Failure::new(format_args!("expected {} events, but got {}; {difference}", expected.len(), found.len())))
}

fn in_comparable_order(can: Capabilities, events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    if !can.global_order {
        events.sort_by(|a, b| (&a.stream, a.revision).cmp(&(&b.stream, b.revision)));
    }
    events
}

fn ascending(events: &[Event]) -> Verdict {
    for pair in events.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let expectation = format_args!("positions ascend, but {} comes before {}", before.position, after.position);
        holds(before.position < after.position, expectation)?;
    }
    Ok(())
}

/// Fails unless every field that the store promises to keep is the same.
pub(super) fn same_event(can: Capabilities, expected: &Event, found: &Event) -> Verdict {
    let compare = || -> Verdict {
        equal("the id", &expected.id, &found.id)?;
        equal("the stream", &expected.stream, &found.stream)?;
        equal("the revision", &expected.revision, &found.revision)?;
        equal("the type", &expected.event_type, &found.event_type)?;
        equal("the version", &expected.version, &found.version)?;
        same_payload("the data", &expected.data, &found.data, can.exact_data)?;
        same_payload("the metadata", &expected.metadata, &found.metadata, can.exact_metadata)?;
        if can.explicit_positions {
            equal("the position", &expected.position, &found.position)?;
        }
        if can.sets_time {
            equal("the time", &expected.recorded_at, &found.recorded_at)?;
        }
        if can.attributes {
            equal("the attributes", &expected.attributes, &found.attributes)?;
        }
        Ok(())
    };
    compare().map_err(|failure| {
        let Event { stream, revision, .. } = expected;
        failure.when(format_args!("event {}, stream {}, revision {revision}", expected.id, shown(stream)))
    })
}

fn same_payload(what: &str, expected: &Payload, found: &Payload, is_exact: bool) -> Verdict {
    let is_same_value = || !is_exact && expected.is_json() && same_value(expected.bytes(), found.bytes());
    if expected.bytes() != found.bytes() && !is_same_value() {
        let at = expected.bytes().iter().zip(found.bytes()).take_while(|(expected, found)| expected == found).count();
        let (expected_bytes, found_bytes) = (expected.len(), found.len());
        let lengths = format_args!("they differ from byte {at} on, of {expected_bytes} expected and {found_bytes} got");
        return Err(Failure::new(format_args!("expected {what} to be {expected:?}, but got {found:?}; {lengths}")));
    }
    if expected.is_empty() {
        return Ok(());
    }
    equal(format_args!("the content type of {what}"), expected.content_type(), found.content_type())
}

/// The error of an append that had to fail.
pub(super) async fn refused(
    writer: &mut dyn EventWriter,
    events: &[Event],
    progress: Option<&Progress>,
    why: &str,
) -> Result<StoreError, Failure> {
    match writer.append(events, progress).await {
        Err(error) => Ok(error),
        Ok(()) => Err(Failure::new(format_args!("expected the append to be refused ({why}), but it succeeded"))),
    }
}

/// A request for everything in batches of so many events.
pub(super) fn everything_by(batch_events: usize) -> ReadRequest {
    let batch_events = NonZeroUsize::new(batch_events).unwrap_or(NonZeroUsize::MIN);
    ReadRequest::new(Scope::All).batch_events(batch_events)
}
