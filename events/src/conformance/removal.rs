//! Taking events out again. What a store can't take out it refuses as unsupported, and then nothing is changed.

use bytes::Bytes;

use super::observe::{append_all, holds_exactly, load};
use super::sample::{event, events, interleaved, progress, run, stream, time};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::checkpoint::{
    LatePosition, NoteChange, PositionRange, Progress, RunRecord, RunState, StateChange, StateKey,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::Event;
use crate::position::Position;
use crate::store::EventWriter;
use crate::stream::{Revision, StreamName};

fn is_unsupported(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError { kind: StoreErrorKind::Unsupported(_), .. }))
}

/// The last revision of each stream asked for, in that order, repeated names and unknown ones included; while loading and
/// sealed, and of appends of the same writer.
pub async fn heads_are_the_last_revisions(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = store.writer().await?;
    let asked: Vec<StreamName> = ["order-2", "none", "order-1", "order", "order-2", "user-7"].map(stream).to_vec();
    let revisions = |heads: [Option<u64>; 6]| heads.map(|head| head.map(Revision)).to_vec();
    equal("the heads of an empty store", &revisions([None; 6]), &writer.heads(&asked).await?)?;
    equal("the heads of no streams", &Vec::new(), &writer.heads(&[]).await?)?;
    let loaded = events(&["order-1", "order-2", "order-1", "order-2", "order-2", "audit"]);
    append_all(&mut *writer, &loaded).await?;
    let expected = revisions([Some(2), None, Some(1), None, Some(2), None]);
    equal("the heads while loading", &expected, &writer.heads(&asked).await?)?;
    writer.seal(true).await?;
    equal("the heads once sealed", &expected, &writer.heads(&asked).await?)?;
    writer.append(&[event(7, "user-7", 0), event(8, "order-1", 2)], None).await?;
    let expected = revisions([Some(2), None, Some(2), None, Some(2), Some(0)]);
    equal("the heads after an append", &expected, &writer.heads(&asked).await?)?;
    drop(writer);
    let many: Vec<StreamName> = (0..5_000).map(|number| stream(&format!("none-{number}"))).collect();
    let writer = store.writer().await?;
    equal("the heads, reopened", &expected, &writer.heads(&asked).await?)?;
    equal("the heads of many streams", &vec![None; 5_000], &writer.heads(&many).await?)
}

/// What stays where these are withdrawn.
fn without(events: &[Event], from: &[(StreamName, Revision)]) -> Vec<Event> {
    let is_gone = |event: &Event| from.iter().any(|(name, first)| *name == event.stream && event.revision >= *first);
    events.iter().filter(|event| !is_gone(event)).cloned().collect()
}

/// Withdraws from a store of forty events, twice, and appends what was withdrawn again.
async fn withdraws(store: &dyn StoreUnderTest, is_sealed: bool) -> Verdict {
    let all = interleaved();
    let run = run(0);
    let mut writer = store.writer().await?;
    writer.record_run(&run).await?;
    append_all(&mut *writer, &all).await?;
    if is_sealed {
        writer.seal(true).await?;
    }
    let from = [
        (stream("order-1"), Revision(2)),
        (stream("user-8"), Revision(0)),
        (stream("audit"), Revision(900)),
        (stream("order-2"), Revision(u64::MAX)),
        (stream("none"), Revision(0)),
        (stream("order"), Revision(0)),
    ];
    let note = NoteChange { book: "b".into(), key: "k".into(), value: Some(Bytes::from_static(b"v")) };
    let progress = Progress { notes: vec![note.clone()], ..progress(run.id, 40) };
    let withdrawn = writer.withdraw(&from, &progress).await;
    if is_unsupported(&withdrawn) {
        equal("the checkpoint of what was refused", &None, &writer.checkpoint(run.id).await?)?;
        writer.seal(true).await?;
        drop(writer);
        return holds_exactly(store, &all).await;
    }
    withdrawn?;
    let kept = without(&all, &from);
    for times in ["once", "twice"] {
        equal("the checkpoint", &Some(progress.checkpoint), &writer.checkpoint(run.id).await?)?;
        let notes = writer.notes(run.id, "b", None, 10).await?;
        equal("the notes", &vec![(note.key.clone(), Bytes::from_static(b"v"))], &notes)?;
        let heads = writer.heads(&[stream("order-1"), stream("user-8")]).await?;
        equal(format_args!("the heads, withdrawn {times}"), &vec![Some(Revision(1)), None], &heads)?;
        equal("the last position", &kept.last().map(|event| event.position), &writer.last_position().await?)?;
        if is_sealed {
            holds_exactly(store, &kept).await?;
        }
        writer.withdraw(&from, &progress).await?;
    }
    // They come back as if they had never been there, behind everything else.
    let mut again: Vec<Event> = all.iter().filter(|event| !kept.contains(event)).cloned().collect();
    for (event, position) in again.iter_mut().zip(100..) {
        event.position = Position::new(position);
    }
    drop(writer);
    let mut writer = store.writer().await?;
    append_all(&mut *writer, &again).await?;
    writer.seal(true).await?;
    drop(writer);
    holds_exactly(store, &[kept, again].concat()).await
}

/// Withdrawn from a sealed store, events are gone with those behind them in their streams, together with the progress.
/// Unknown streams and revisions are none. Repeating it changes nothing; the same events can be appended again.
pub async fn a_sealed_store_gives_events_back(store: &dyn StoreUnderTest) -> Verdict {
    withdraws(store, true).await
}

/// The same while the store is loading.
pub async fn a_loading_store_gives_events_back(store: &dyn StoreUnderTest) -> Verdict {
    withdraws(store, false).await
}

/// A gap that withdrawing leaves is found when the store is sealed: nothing that was seen before is relied on.
pub async fn sealing_looks_again_after_events_were_withdrawn(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = store.writer().await?;
    let run = run(0);
    writer.record_run(&run).await?;
    writer.append(&events(&["order-1", "order-2", "order-1", "order-1"]), None).await?;
    if is_unsupported(&writer.withdraw(&[(stream("order-1"), Revision(1))], &progress(run.id, 4)).await) {
        return Ok(());
    }
    let behind_a_gap = writer.append(&[event(5, "order-1", 2)], None).await;
    let sealed = writer.seal(true).await;
    holds(behind_a_gap.is_err() || sealed.is_err(), "a gap behind what was withdrawn is found")
}

fn everything_of(run: &RunRecord, source: u64) -> Progress {
    let position = Position::new(source);
    Progress {
        state: vec![StateChange { key: key(), value: Some(Bytes::from_static(b"state")) }],
        positions: vec![PositionRange { source: position, source_length: 1, target: position, target_length: 1 }],
        late: vec![LatePosition { source: position, target: position, target_length: 1 }],
        notes: vec![NoteChange { book: "b".into(), key: "k".into(), value: Some(Bytes::from_static(b"v")) }],
        ..progress(run.id, source)
    }
}

fn key() -> StateKey {
    StateKey { owner: "shift".into(), stream: "order-1".into() }
}

/// Of a run that was erased the record and the notes are left; of another one everything.
async fn is_forgotten(writer: &dyn EventWriter, erased: &RunRecord, other: &RunRecord) -> Verdict {
    equal("the checkpoint of the erased run", &None, &writer.checkpoint(erased.id).await?)?;
    equal("its state", &vec![None], &writer.state(erased.id, &[key()]).await?)?;
    equal("its map", &Vec::new(), &writer.positions(erased.id, None, 10).await?)?;
    equal("its late positions", &None, &writer.late_at(erased.id, Position::new(u64::MAX)).await?)?;
    equal("its ranges", &0, &writer.load_ranges(erased.id).await?.len())?;
    equal("its notes", &1, &writer.notes(erased.id, "b", None, 10).await?.len())?;
    equal("the ledger", &vec![other.clone(), erased.clone()], &writer.runs().await?)?;
    equal(
        "the checkpoint of another run",
        &Some(progress(other.id, 5).checkpoint),
        &writer.checkpoint(other.id).await?,
    )?;
    equal("its state", &vec![Some(Bytes::from_static(b"state"))], &writer.state(other.id, &[key()]).await?)?;
    equal("its map", &1, &writer.positions(other.id, None, 10).await?.len())?;
    equal("its notes", &1, &writer.notes(other.id, "b", None, 10).await?.len())
}

/// Two runs that have filled a store one after the other: 20 and 20 events, sealed in between.
async fn filled_by_two(store: &dyn StoreUnderTest) -> Result<(Box<dyn EventWriter>, RunRecord, RunRecord), Failure> {
    let all = interleaved();
    let (first, second) = (run(0), run(1));
    let mut writer = store.writer().await?;
    writer.record_run(&first).await?;
    writer.append(&all[..20], Some(&everything_of(&first, 5))).await?;
    writer.seal(true).await?;
    writer.record_run(&second).await?;
    writer.append(&all[20..30], Some(&everything_of(&second, 30))).await?;
    writer.append(&all[30..], Some(&everything_of(&second, 40))).await?;
    Ok((writer, first, second))
}

fn rolled_back(run: &RunRecord) -> RunRecord {
    RunRecord { state: RunState::RolledBack, updated_at: time(run.updated_at.micros() + 1), ..run.clone() }
}

/// Erased to a position, the store holds what was there up to it, is sealed as before, and takes the same events again.
/// The run's record is stored, its notes stay, its checkpoint, state and map are gone; another run keeps all of its own.
/// Repeating it changes nothing.
pub async fn erasing_to_a_position_leaves_what_was_there(store: &dyn StoreUnderTest) -> Verdict {
    let all = interleaved();
    let (mut writer, first, second) = filled_by_two(store).await?;
    let after = all.get(19).map(|event| event.position);
    let erased = rolled_back(&second);
    let answer = writer.erase(after, &erased).await;
    if is_unsupported(&answer) && !writer.capabilities().transactions {
        drop(writer);
        return holds_exactly(store, &all).await;
    }
    answer?;
    is_forgotten(&*writer, &erased, &first).await?;
    equal("the last position", &after, &writer.last_position().await?)?;
    holds_exactly(store, &all[..20]).await?;
    writer.erase(after, &erased).await?;
    drop(writer);
    let mut writer = store.writer().await?;
    is_forgotten(&*writer, &erased, &first).await?;
    let gap = writer.append(&[event(99, "order-1", 900)], None).await;
    holds(gap.is_err(), "a store that was sealed is sealed still, and refuses a gap at once")?;
    let third = run(2);
    writer.record_run(&third).await?;
    writer.append(&all[20..], Some(&progress(third.id, 40))).await?;
    drop(writer);
    holds_exactly(store, &all).await
}

/// Erased altogether, the store is as new: empty, loading, and takes a whole load again, even one that is in no order
/// that a sealed store would take. Its ledger stays.
pub async fn erasing_everything_leaves_a_new_store(store: &dyn StoreUnderTest) -> Verdict {
    let all = interleaved();
    let (mut writer, first, second) = filled_by_two(store).await?;
    let erased = rolled_back(&second);
    for _ in 0..2 {
        let answer = writer.erase(None, &erased).await;
        if is_unsupported(&answer) && !writer.capabilities().transactions {
            return Ok(());
        }
        answer?;
        is_forgotten(&*writer, &erased, &first).await?;
        holds(writer.is_empty().await?, "a store that was erased is empty")?;
        equal("the last position", &None, &writer.last_position().await?)?;
        equal("the head of a stream", &vec![None], &writer.heads(&[stream("order-1")]).await?)?;
    }
    drop(writer);
    let mut writer = store.writer().await?;
    holds(writer.is_empty().await?, "a store that was erased is empty when it is opened again")?;
    // A gap is found when a store is sealed; only a sealed one refuses it at once.
    let gap = [event(1, "order-1", 3)];
    writer.append(&gap, None).await?;
    holds(writer.seal(true).await.is_err(), "a store that is loading again finds a gap when it is sealed")?;
    writer.erase(None, &erased).await?;
    append_all(&mut *writer, &all).await?;
    writer.seal(true).await?;
    drop(writer);
    holds_exactly(store, &all).await
}

/// Behind the last event there is nothing to erase; behind a position before the first, everything.
pub async fn erasing_behind_the_ends_takes_nothing_or_all(store: &dyn StoreUnderTest) -> Verdict {
    let all = interleaved();
    load(store, &all).await?;
    let mut writer = store.writer().await?;
    let run = run(0);
    let answer = writer.erase(Some(Position::new(1_000_000)), &run).await;
    if is_unsupported(&answer) && !writer.capabilities().transactions {
        return Ok(());
    }
    answer?;
    writer.erase(Some(Position::new(u64::MAX)), &run).await?;
    holds_exactly(store, &all).await?;
    writer.erase(Some(Position::new(0)), &run).await?;
    holds(writer.is_empty().await?, "nothing is left behind position 0")?;
    append_all(&mut *writer, &all).await?;
    writer.seal(true).await?;
    drop(writer);
    holds_exactly(store, &all).await
}
