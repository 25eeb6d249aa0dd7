//! Rewriting events where they are. A store that has no rewriter passes.

use std::num::NonZeroUsize;

use super::observe::{load, read, same_events};
use super::sample::{event_type, interleaved, progress, run, version};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::Event;
use crate::payload::{ContentType, Payload};
use crate::position::Position;
use crate::rewriting::{Original, Rewritten};
use crate::scope::Scope;
use crate::store::ReadRequest;

const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap(); // not zero, which the compiler checks
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks

/// What the store holds of forty events.
async fn loaded(store: &dyn StoreUnderTest) -> Result<Vec<Event>, Failure> {
    load(store, &interleaved()).await?;
    read(store, ReadRequest::new(Scope::All)).await
}

/// Every third event becomes another, with every kind of payload.
fn changes(held: &[Event]) -> Vec<Rewritten> {
    let changed = held.iter().enumerate().filter(|(number, _)| number % 3 == 1);
    changed
        .map(|(number, before)| {
            let data = match number % 4 {
                0 => Payload::json(format!(r#"{{"rewritten":{number}}}"#)),
                1 => Payload::binary(vec![0, 159, 146, number as u8]),
                2 => Payload::empty(),
                _ => Payload::new("<a/>", ContentType::parse("application/xml")),
            };
            let metadata = if number % 2 == 0 { before.metadata.clone() } else { Payload::json(r#"{"by":"suite"}"#) };
            let after = Event {
                event_type: event_type("Rewritten"),
                version: version(before.version.number() + 1),
                data,
                metadata,
                ..before.clone()
            };
            Rewritten { before: before.clone(), after }
        })
        .collect()
}

fn with(held: &[Event], changes: &[Rewritten]) -> Vec<Event> {
    let after = |event: &Event| changes.iter().find(|change| change.before.position == event.position);
    held.iter().map(|event| after(event).map_or_else(|| event.clone(), |change| change.after.clone())).collect()
}

fn originals(changes: &[Rewritten]) -> Vec<Original> {
    changes.iter().map(|change| Original::of(&change.before)).collect()
}

async fn holds_now(store: &dyn StoreUnderTest, expected: &[Event]) -> Verdict {
    let found = read(store, ReadRequest::new(Scope::All)).await?;
    same_events(store.reader().await?.capabilities(), expected, &found)
}

fn is_changed(result: Result<(), StoreError>) -> Verdict {
    let is_it = matches!(&result, Err(StoreError { kind: StoreErrorKind::Changed(_), .. }));
    holds(is_it, format_args!("what has changed is refused with StoreErrorKind::Changed, but got {result:?}"))
}

/// A rewrite changes type, version, data and metadata of the events named, commits its progress with that, and keeps
/// what they were.
pub async fn a_rewrite_changes_events_where_they_are(store: &dyn StoreUnderTest) -> Verdict {
    let held = loaded(store).await?;
    let Some(mut rewriter) = store.rewriter().await? else { return Ok(()) };
    rewriter.check_rewritable().await?;
    let (run, changes) = (run(0), changes(&held));
    rewriter.record_run(&run).await?;
    let (first, second) = changes.split_at(5);
    rewriter.rewrite(first, &progress(run.id, 10)).await?;
    rewriter.rewrite(second, &progress(run.id, 40)).await?;
    rewriter.rewrite(&[], &progress(run.id, 41)).await?;
    equal("the checkpoint", &Some(progress(run.id, 41).checkpoint), &rewriter.checkpoint(run.id).await?)?;
    let all = rewriter.originals(run.id, None, MANY).await?;
    equal("the undo log", &originals(&changes), &all)?;
    let after = changes.get(1).map(|change| change.before.position);
    let expected = originals(&changes[2..5]);
    equal("a page of the undo log", &expected, &rewriter.originals(run.id, after, THREE).await?)?;
    drop(rewriter);
    holds_now(store, &with(&held, &changes)).await
}

/// Nothing is rewritten where one event is not what it was read as, in whichever part.
pub async fn a_rewrite_of_what_has_changed_is_refused(store: &dyn StoreUnderTest) -> Verdict {
    let held = loaded(store).await?;
    let Some(mut rewriter) = store.rewriter().await? else { return Ok(()) };
    let (run, all) = (run(0), changes(&held));
    rewriter.record_run(&run).await?;
    let other = |event: &Event, part: usize| {
        let mut event = event.clone();
        match part {
            0 => event.event_type = event_type("Other"),
            1 => event.version = version(event.version.number() + 7),
            2 => event.data = Payload::json(r#"{"other":true}"#),
            3 => event.metadata = Payload::json(r#"{"other":true}"#),
            4 => event.id = super::sample::id(7_777),
            5 => event.data = Payload::new(event.data.bytes().clone(), ContentType::Binary),
            _ => event.position = Position::new(1 << 40),
        }
        event
    };
    for part in 0..7 {
        let mut stale = all.clone();
        let Some(last) = stale.last_mut() else { continue };
        last.before = other(&last.before, part);
        is_changed(rewriter.rewrite(&stale, &progress(run.id, 40)).await)?;
        equal("the checkpoint of what was refused", &None, &rewriter.checkpoint(run.id).await?)?;
        equal("its undo log", &Vec::new(), &rewriter.originals(run.id, None, MANY).await?)?;
    }
    drop(rewriter);
    holds_now(store, &held).await
}

/// Undoing puts back what was there, the latest first, to the byte where the store keeps bytes; and can be repeated.
pub async fn undoing_brings_back_the_originals(store: &dyn StoreUnderTest) -> Verdict {
    let held = loaded(store).await?;
    let Some(mut rewriter) = store.rewriter().await? else { return Ok(()) };
    let (run, changes) = (run(0), changes(&held));
    rewriter.record_run(&run).await?;
    rewriter.rewrite(&changes, &progress(run.id, 40)).await?;
    let first = rewriter.undo(run.id, None, THREE).await?;
    equal("how many were put back", &3, &first.restored)?;
    let left = &changes[..changes.len() - 3];
    equal("where to go on", &changes.get(left.len()).map(|change| change.before.position), &first.next)?;
    equal("the undo log that is left", &originals(left), &rewriter.originals(run.id, None, MANY).await?)?;
    drop(rewriter);
    holds_now(store, &with(&held, left)).await?;
    let Some(mut rewriter) = store.rewriter().await? else { return Ok(()) };
    let (mut restored, mut before) = (3, first.next);
    while before.is_some() {
        let undone = rewriter.undo(run.id, before, THREE).await?;
        equal("what was left as it is", &Vec::new(), &undone.kept)?;
        (restored, before) = (restored + undone.restored, undone.next);
    }
    equal("how many were put back in the end", &(changes.len() as u64), &restored)?;
    equal("what is put back once more", &Default::default(), &rewriter.undo(run.id, None, MANY).await?)?;
    equal("the undo log in the end", &Vec::new(), &rewriter.originals(run.id, None, MANY).await?)?;
    drop(rewriter);
    let found = read(store, ReadRequest::new(Scope::All)).await?;
    equal("the events in the end", &held, &found)
}

/// Undoing leaves alone what is not what the run made of it any more, and keeps its log; another run's is its own.
pub async fn undoing_leaves_what_was_changed_since(store: &dyn StoreUnderTest) -> Verdict {
    let held = loaded(store).await?;
    let Some(mut rewriter) = store.rewriter().await? else { return Ok(()) };
    let (early, late, changes) = (run(0), run(1), changes(&held));
    rewriter.record_run(&early).await?;
    rewriter.record_run(&late).await?;
    rewriter.rewrite(&changes, &progress(early.id, 40)).await?;
    let rewritten = read(store, ReadRequest::new(Scope::All)).await?;
    let (place, before) = (changes[4].before.position, changes[4].before.id.clone());
    let Some(now) = rewritten.iter().find(|event| event.position == place) else {
        return Err(Failure::new("expected the event to stay where it is"));
    };
    let again = Rewritten { before: now.clone(), after: Event { event_type: event_type("Again"), ..now.clone() } };
    rewriter.rewrite(&[again], &progress(late.id, 40)).await?;
    let undone = rewriter.undo(early.id, None, MANY).await?;
    equal("how many were put back", &(changes.len() as u64 - 1), &undone.restored)?;
    equal("what was left", &vec![(place, before)], &undone.kept)?;
    equal("its log", &originals(&changes[4..5]), &rewriter.originals(early.id, None, MANY).await?)?;
    equal("the other run's", &1, &rewriter.undo(late.id, None, MANY).await?.restored)?;
    equal("what can be put back then", &1, &rewriter.undo(early.id, None, MANY).await?.restored)?;
    rewriter.rewrite(&changes, &progress(late.id, 41)).await?;
    equal("the log of nobody", &0, &rewriter.drop_originals(early.id).await?)?;
    equal("the log that is dropped", &(changes.len() as u64), &rewriter.drop_originals(late.id).await?)?;
    equal("what is put back without a log", &Default::default(), &rewriter.undo(late.id, None, MANY).await?)?;
    drop(rewriter);
    holds_now(store, &with(&held, &changes)).await
}
