//! What an append promises: expected revisions, all or nothing, and repeats that change nothing.

use super::observe::{append_all, comes_back, holds_exactly, read, refused, same_events, sealed_writer};
use super::sample::{event, events, id, interleaved, progress, run, stream};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds, shown};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::Event;
use crate::faults::{Call, Fault, Faulty, Script};
use crate::payload::Payload;
use crate::position::Position;
use crate::scope::Scope;
use crate::store::{CheckpointStore, EventWriter, ReadRequest};
use crate::stream::Revision;

/// Appends to a sealed store go on where its streams end, also after it was closed.
pub async fn appends_continue_streams(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    drop(sealed_writer(store).await?);
    for portion in events.chunks(7) {
        store.writer().await?.append(portion, None).await?;
    }
    holds_exactly(store, &events).await
}

/// An event whose predecessors are not all there is a revision conflict that says what the stream has.
pub async fn a_missing_revision_is_a_conflict(store: &dyn StoreUnderTest) -> Verdict {
    let before = events(&["order-1", "order-1"]);
    let mut writer = sealed_writer(store).await?;
    writer.append(&before, None).await?;
    let error = refused(&mut *writer, &[event(3, "order-1", 3)], None, "revision 2 is missing").await?;
    is_revision_conflict(&error, "order-1", 3, 3, Some(1))?;
    let error = refused(&mut *writer, &[event(4, "order-2", 1)], None, "the stream has no events").await?;
    is_revision_conflict(&error, "order-2", 1, 4, None)?;
    drop(writer);
    holds_exactly(store, &before).await
}

/// Another event at a revision that is taken is a revision conflict.
pub async fn another_id_at_a_revision_is_a_conflict(store: &dyn StoreUnderTest) -> Verdict {
    let before = events(&["order-1", "order-1", "order-1"]);
    let mut writer = sealed_writer(store).await?;
    writer.append(&before, None).await?;
    for revision in 0..3 {
        let error = refused(&mut *writer, &[event(9, "order-1", revision)], None, "the revision is taken").await?;
        is_revision_conflict(&error, "order-1", revision, 9, Some(2))?;
    }
    drop(writer);
    holds_exactly(store, &before).await
}

/// An id that another event has, in the same stream or elsewhere, is a conflict, where the store looks.
pub async fn an_id_that_is_taken_is_a_conflict(store: &dyn StoreUnderTest) -> Verdict {
    let before = events(&["order-1", "order-1", "order-2"]);
    let mut writer = sealed_writer(store).await?;
    if !writer.capabilities().refuses_taken_ids {
        return Ok(());
    }
    writer.append(&before, None).await?;
    for (stream_name, revision) in [("order-1", 2), ("order-2", 1), ("order-3", 0)] {
        let again = Event { id: id(1), ..event(9, stream_name, revision) };
        let error = refused(&mut *writer, &[again], None, "the id is taken").await?;
        match &error.kind {
            StoreErrorKind::DuplicateId(found) => equal("the id in the error", &id(1), found)?,
            _ => return Err(wrong_kind("DuplicateId", &error)),
        }
    }
    drop(writer);
    holds_exactly(store, &before).await
}

/// A conflict anywhere in an append leaves nothing of it: no event, no checkpoint, no state, no range. A store without
/// transactions may keep the events before the conflict, or of other streams where it has no global order, but never the
/// progress.
pub async fn a_refused_append_leaves_nothing(store: &dyn StoreUnderTest) -> Verdict {
    let before = events(&["order-1", "order-1"]);
    let mut writer = sealed_writer(store).await?;
    let run = run(0);
    writer.record_run(&run).await?;
    writer.append(&before, Some(&progress(run.id, 2))).await?;
    let is_transactional = writer.capabilities().transactions;
    // Streams are appended at the same time: what is kept of others is not before the conflict, but beside it.
    let keeps_others = !is_transactional && !writer.capabilities().global_order;

    let good = [event(11, "order-2", 0), event(12, "order-1", 2), event(13, "order-3", 0)];
    let taken_id = Event { id: id(1), ..event(14, "order-4", 0) };
    let bad = [event(14, "order-1", 7), event(14, "order-1", 1)];
    for bad in bad.into_iter().chain(writer.capabilities().refuses_taken_ids.then_some(taken_id)) {
        for place in 0..=good.len() {
            // What a store without transactions keeps would make the next append another one.
            if !is_transactional && place > 0 {
                continue;
            }
            let mut append = if keeps_others { Vec::new() } else { good.to_vec() };
            append.insert(place, bad.clone());
            number(&mut append, 20);
            refused(&mut *writer, &append, Some(&progress(run.id, 4)), "one event conflicts").await?;
            equal("the checkpoint", &Some(progress(run.id, 2).checkpoint), &writer.checkpoint(run.id).await?)?;
        }
    }
    if is_transactional {
        let last = read(store, ReadRequest::new(Scope::All)).await?.last().map(|event| event.position);
        equal("the last position", &last, &writer.last_position().await?)?;
    }
    drop(writer);
    holds_exactly(store, &before).await?;

    // Nothing of what was refused is in the way of the same events in a sound append.
    store.writer().await?.append(&good, None).await?;
    holds_exactly(store, &[&before[..], &good].concat()).await
}

/// Gives events positions from a number on.
fn number(events: &mut [Event], from: u64) {
    for (event, position) in events.iter_mut().zip(from..) {
        event.position = Position::new(position);
    }
}

/// Two events of one append conflict with each other as they would in two.
pub async fn a_conflict_within_an_append_is_found(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = sealed_writer(store).await?;
    let conflicting = [
        ("the same revision", [event(1, "order-1", 0), event(2, "order-1", 0)]),
        ("a gap", [event(1, "order-1", 0), event(2, "order-1", 2)]),
        ("revisions that descend", [event(1, "order-1", 1), event(2, "order-1", 0)]),
        ("the same id", [event(1, "order-1", 0), Event { id: id(1), ..event(2, "order-1", 1) }]),
    ];
    for (why, events) in conflicting {
        refused(&mut *writer, &events, None, why).await?;
        if !writer.capabilities().transactions {
            return Ok(());
        }
        holds(writer.is_empty().await?, format_args!("nothing is kept of an append with {why}"))?;
    }
    Ok(())
}

/// Two events can't share a position, where positions are kept as given.
pub async fn a_position_that_is_taken_is_refused(store: &dyn StoreUnderTest) -> Verdict {
    let before = events(&["order-1", "order-2"]);
    let mut writer = sealed_writer(store).await?;
    if !writer.capabilities().explicit_positions {
        return Ok(());
    }
    writer.append(&before, None).await?;
    let taken = Event { position: Position::new(2), ..event(3, "order-3", 0) };
    refused(&mut *writer, &[taken], None, "its position is taken").await?;
    drop(writer);
    holds_exactly(store, &before).await
}

/// Appending what is there already succeeds and changes nothing: not the events, not what differs in the repeat, not
/// the end of the store.
pub async fn the_same_append_twice_changes_nothing(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    let mut writer = sealed_writer(store).await?;
    let run = run(0);
    writer.record_run(&run).await?;
    let progress = progress(run.id, 40);
    writer.append(&events, Some(&progress)).await?;
    let last = writer.last_position().await?;
    let kept = read(store, ReadRequest::new(Scope::All)).await?;

    writer.append(&events, Some(&progress)).await?;
    writer.append(&events[5..9], None).await?;
    let changed = Event { data: Payload::json("{}"), position: Position::new(4_000), ..events[3].clone() };
    writer.append(&[changed], None).await?;
    equal("the last position", &last, &writer.last_position().await?)?;
    equal("the checkpoint", &Some(progress.checkpoint), &writer.checkpoint(run.id).await?)?;
    drop(writer);

    let found = read(store, ReadRequest::new(Scope::All)).await?;
    equal("the positions", &positions(&kept), &positions(&found))?;
    holds_exactly(store, &events).await
}

fn positions(events: &[Event]) -> Vec<Position> {
    events.iter().map(|event| event.position).collect()
}

/// An append that overlaps with what is there adds the rest.
pub async fn a_repeat_may_go_on_where_it_stopped(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    drop(sealed_writer(store).await?);
    store.writer().await?.append(&events[..10], None).await?;
    store.writer().await?.append(&events[4..25], None).await?;
    store.writer().await?.append(&events, None).await?;
    holds_exactly(store, &events).await
}

/// An append succeeded but its answer was lost: the checkpoint says so, and repeating it changes nothing.
pub async fn a_lost_answer_is_made_good(store: &dyn StoreUnderTest) -> Verdict {
    let run = run(0);
    let script = Script::new();
    let mut writer = Faulty::new(sealed_writer(store).await?, script.clone());
    writer.record_run(&run).await?;
    let events = interleaved();
    for (portion, done) in events.chunks(10).zip([10, 20, 30, 40]) {
        let progress = progress(run.id, done);
        script.on_next(Call::Append, Fault::FailAfterSuccess);
        refused(&mut writer, portion, Some(&progress), "its answer is lost").await?;
        let checkpoint = writer.checkpoint(run.id).await?;
        equal("the checkpoint after a lost answer", &Some(progress.checkpoint), &checkpoint)?;
        writer.append(portion, Some(&progress)).await?;
    }
    drop(writer);
    holds_exactly(store, &events).await
}

/// An append failed before it began: the checkpoint says so, and repeating it completes it.
pub async fn a_rejected_append_can_be_repeated(store: &dyn StoreUnderTest) -> Verdict {
    let run = run(0);
    let script = Script::new();
    let mut writer = Faulty::new(sealed_writer(store).await?, script.clone());
    writer.record_run(&run).await?;
    let events = interleaved();
    for (portion, done) in events.chunks(10).zip([10, 20, 30, 40]) {
        let before = writer.checkpoint(run.id).await?;
        let progress = progress(run.id, done);
        script.on_next(Call::Append, Fault::Reject);
        refused(&mut writer, portion, Some(&progress), "it is rejected").await?;
        equal("the checkpoint after a rejection", &before, &writer.checkpoint(run.id).await?)?;
        writer.append(portion, Some(&progress)).await?;
        equal("the checkpoint", &Some(progress.checkpoint), &writer.checkpoint(run.id).await?)?;
    }
    drop(writer);
    holds_exactly(store, &events).await
}

/// An append past `max_append_bytes` is refused whole, and one just below is taken.
pub async fn too_large_an_append_is_refused(store: &dyn StoreUnderTest) -> Verdict {
    const LARGEST_TRIED: u64 = 64 << 20;
    let mut writer = sealed_writer(store).await?;
    let Some(limit) = writer.capabilities().max_append_bytes.filter(|limit| *limit <= LARGEST_TRIED) else {
        return Ok(());
    };
    let of_bytes = |number, bytes: u64| Event {
        data: Payload::binary(vec![7; bytes as usize]),
        metadata: Payload::empty(),
        ..event(number, "order-1", number - 1)
    };
    let fitting = of_bytes(1, limit);
    writer.append(std::slice::from_ref(&fitting), None).await?;
    let half = limit / 2 + 1;
    refused(&mut *writer, &[of_bytes(2, half), of_bytes(3, half)], None, "it is past max_append_bytes").await?;
    drop(writer);
    holds_exactly(store, &[fitting]).await
}

/// A writer knows whether the store is empty, and its last position.
pub async fn the_store_tells_its_end_to_writers(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    let mut writer = sealed_writer(store).await?;
    for portion in events.chunks(9) {
        append_all(&mut *writer, portion).await?;
        holds(!writer.is_empty().await?, "a store with events is not empty")?;
        let found = read(store, ReadRequest::new(Scope::All)).await?;
        let last = found.last().map(|event| event.position);
        equal("the last position", &last, &writer.last_position().await?)?;
    }
    Ok(())
}

/// While one writer lives, a second one is refused as locked; dropping the first lets the next in.
pub async fn a_second_writer_is_refused(store: &dyn StoreUnderTest) -> Verdict {
    for _ in 0..3 {
        let first = store.writer().await?;
        match store.writer().await {
            Ok(_) => return Err(Failure::new("expected a second writer to be refused, but it was opened")),
            Err(error) if matches!(error.kind, StoreErrorKind::Locked(_)) => {}
            Err(error) => return Err(wrong_kind("Locked", &error)),
        }
        holds(first.is_empty().await?, "the first writer works on after a second one was refused")?;
        drop(first);
    }
    comes_back(store, &interleaved()).await?;
    let can = store.reader().await?.capabilities();
    same_events(can, &interleaved(), &read(store, ReadRequest::new(Scope::All)).await?)
}

fn is_revision_conflict(
    error: &StoreError,
    stream_name: &str,
    revision: u64,
    number: u64,
    found: Option<u64>,
) -> Verdict {
    let StoreErrorKind::RevisionConflict { stream: of_stream, revision: of_revision, id: of_id, found: last } =
        &error.kind
    else {
        return Err(wrong_kind("RevisionConflict", error));
    };
    equal("the stream in the error", &stream(stream_name), of_stream)?;
    equal("the revision in the error", &Revision(revision), of_revision)?;
    equal("the id in the error", &id(number), of_id)?;
    equal("the last revision in the error", &found.map(Revision), last)
}

fn wrong_kind(expected: &str, error: &StoreError) -> Failure {
    let kind = shown(&error.kind);
    Failure::new(format_args!("expected an error of kind {expected}, but got {kind}: {error}"))
}
