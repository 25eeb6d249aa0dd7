//! What a run remembers between its batches: checkpoint, state and position map.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::observe::{holds_exactly, refused, sealed_writer};
use super::sample::{event, events, interleaved, progress, run};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::checkpoint::{
    Checkpoint, Counts, LateEvents, LatePosition, PositionRange, Progress, RunId, StateChange, StateKey,
};
use crate::position::Position;
use crate::store::EventWriter;

/// Opens a sealed store with one recorded run.
async fn writer_with_run(store: &dyn StoreUnderTest) -> Result<(Box<dyn EventWriter>, RunId), Failure> {
    let mut writer = sealed_writer(store).await?;
    let run = run(0);
    writer.record_run(&run).await?;
    Ok((writer, run.id))
}

/// There is no checkpoint before the first append; afterwards it is that of the last one, also for the next writer.
pub async fn a_checkpoint_commits_with_its_events(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    equal("the checkpoint of a new run", &None, &writer.checkpoint(run).await?)?;
    let events = interleaved();
    for (portion, done) in events.chunks(15).zip([15, 30, 40]) {
        let progress = progress(run, done);
        writer.append(portion, Some(&progress)).await?;
        equal("the checkpoint", &Some(progress.checkpoint), &writer.checkpoint(run).await?)?;
        drop(writer);
        writer = store.writer().await?;
        equal("the checkpoint, reopened", &Some(progress.checkpoint), &writer.checkpoint(run).await?)?;
    }
    drop(writer);
    holds_exactly(store, &events).await
}

/// Progress without events commits as well, for batches that were dropped whole; every field of it is kept.
pub async fn a_checkpoint_commits_without_events(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    let large = i64::MAX as u64;
    let counts = Counts { read: large, lifted: 1, dropped: large - 1, split: 2, written: 3 };
    let checkpoints = [
        Checkpoint { source: Position::new(0), target: None, counts: Counts::default() },
        Checkpoint { source: Position::new(7), target: Some(Position::new(0)), counts },
        Checkpoint { source: Position::new(large), target: Some(Position::new(large)), counts },
        Checkpoint { source: Position::pair(7, 0), target: None, counts },
        Checkpoint { source: Position::pair(large, 3), target: Some(Position::pair(0, large)), counts },
        Checkpoint { source: Position::new(8), target: None, counts },
    ];
    for checkpoint in checkpoints {
        let progress = Progress { checkpoint, ..progress(run, 0) };
        writer.append(&[], Some(&progress)).await?;
        equal("the checkpoint", &Some(checkpoint), &writer.checkpoint(run).await?)?;
    }
    holds(writer.is_empty().await?, "progress without events leaves the store empty")
}

fn key(owner: &str, stream: &str) -> StateKey {
    StateKey { owner: owner.into(), stream: stream.into() }
}

fn change(key: &StateKey, value: Option<&[u8]>) -> StateChange {
    StateChange { key: key.clone(), value: value.map(Bytes::copy_from_slice) }
}

async fn commit_state(writer: &mut dyn EventWriter, run: RunId, state: Vec<StateChange>) -> Verdict {
    let progress = Progress { state, ..progress(run, 1) };
    Ok(writer.append(&[], Some(&progress)).await?)
}

/// State entries are set, overwritten and forgotten; what no change names stays.
pub async fn state_is_set_overwritten_and_forgotten(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    let keys = [key("shift", "order-1"), key("shift", "order-2"), key("dedupe", "order-1"), key("", "")];
    let state =
        async |writer: &dyn EventWriter| -> Result<Vec<Option<Bytes>>, Failure> { Ok(writer.state(run, &keys).await?) };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let value = |bytes: &[u8]| Some(Bytes::copy_from_slice(bytes));
    equal("the state of a new run", &vec![None; 4], &state(&*writer).await?)?;

    let set = vec![
        change(&keys[0], Some(b"one")),
        change(&keys[1], Some(b"")),
        change(&keys[2], Some(&all_bytes)),
        change(&keys[3], Some(b"no names")),
    ];
    commit_state(&mut *writer, run, set).await?;
    let expected = vec![value(b"one"), value(b""), value(&all_bytes), value(b"no names")];
    equal("the state once set", &expected, &state(&*writer).await?)?;

    let changed = vec![change(&keys[0], Some(b"two")), change(&keys[2], None), change(&key("no", "such"), None)];
    commit_state(&mut *writer, run, changed).await?;
    let expected = vec![value(b"two"), value(b""), None, value(b"no names")];
    equal("the state once changed", &expected, &state(&*writer).await?)?;
    drop(writer);

    let mut writer = store.writer().await?;
    equal("the state, reopened", &expected, &state(&*writer).await?)?;
    commit_state(&mut *writer, run, vec![change(&keys[2], Some(b"back"))]).await?;
    equal("a forgotten entry, set again", &value(b"back"), &state(&*writer).await?[2])?;

    // State goes the way of the append it came with.
    let progress = Progress { state: vec![change(&keys[0], Some(b"three"))], ..progress(run, 2) };
    refused(&mut *writer, &[event(1, "order-1", 5)], Some(&progress), "revision 0 is missing").await?;
    equal("the state after a refused append", &value(b"two"), &state(&*writer).await?[0])
}

/// Values come in the order of the keys asked for, repeated keys included, however many.
pub async fn state_comes_in_the_order_of_the_keys(store: &dyn StoreUnderTest) -> Verdict {
    const ENTRIES: usize = 3_000;
    let (mut writer, run) = writer_with_run(store).await?;
    let key_of = |number: usize| key("counter", &format!("stream-{number}"));
    let set = (0..ENTRIES).map(|number| change(&key_of(number), Some(number.to_string().as_bytes())));
    commit_state(&mut *writer, run, set.collect()).await?;
    equal("the state of no keys", &0, &writer.state(run, &[]).await?.len())?;
    // 7 and 3,001 share no factor: every entry once, out of order, and one that is not there.
    let asked: Vec<usize> = (0..=ENTRIES).map(|number| number * 7 % (ENTRIES + 1)).chain([5, 5]).collect();
    let keys: Vec<StateKey> = asked.iter().copied().map(key_of).collect();
    let expected = asked.iter().map(|number| (*number < ENTRIES).then(|| Bytes::from(number.to_string())));
    equal("the values", &expected.collect::<Vec<_>>(), &writer.state(run, &keys).await?)?;

    let keys = [key("a", "bc"), key("ab", "c"), key("Zoë", "👍"), key("Zoe\u{308}", "👍")];
    let set = keys.iter().zip([b"1", b"2", b"3", b"4"]).map(|(key, value)| change(key, Some(value)));
    commit_state(&mut *writer, run, set.collect()).await?;
    let expected = ["1", "2", "3", "4"].map(|value| Some(Bytes::from(value))).to_vec();
    equal("the values of keys that look alike", &expected, &writer.state(run, &keys).await?)
}

fn range(source: u64, source_length: u64, target: u64, target_length: u64) -> PositionRange {
    PositionRange { source: Position::new(source), source_length, target: Position::new(target), target_length }
}

async fn commit_ranges(writer: &mut dyn EventWriter, run: RunId, positions: &[PositionRange]) -> Verdict {
    let progress = Progress { positions: positions.to_vec(), ..progress(run, 1) };
    Ok(writer.append(&[], Some(&progress)).await?)
}

/// A range replaces the one that starts where it starts, and adds to the others.
pub async fn position_ranges_are_kept_by_their_start(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    equal("the map of a new run", &Vec::new(), &writer.positions(run, None, 10).await?)?;
    commit_ranges(&mut *writer, run, &[range(1, 5, 1, 5), range(6, 1, 6, 3)]).await?;
    commit_ranges(&mut *writer, run, &[range(7, 10, 9, 10)]).await?;
    commit_ranges(&mut *writer, run, &[range(7, 20, 9, 20), range(30, 1, 29, 1)]).await?;
    let expected = vec![range(1, 5, 1, 5), range(6, 1, 6, 3), range(7, 20, 9, 20), range(30, 1, 29, 1)];
    equal("the map", &expected, &writer.positions(run, None, 10).await?)?;

    let grown = Progress { positions: vec![range(30, 9, 29, 9)], ..progress(run, 2) };
    refused(&mut *writer, &[event(1, "order-1", 5)], Some(&grown), "revision 0 is missing").await?;
    equal("the map after a refused append", &expected, &writer.positions(run, None, 10).await?)?;
    drop(writer);
    equal("the map, reopened", &expected, &store.writer().await?.positions(run, None, 10).await?)
}

/// The map comes in pages of at most the limit, from behind any position; positions of two numbers are kept as such.
pub async fn position_ranges_come_in_pages(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    let mut all: Vec<PositionRange> = (0..500).map(|number| range(number * 10, 10, number * 7, 10)).collect();
    let large = i64::MAX as u64;
    all.push(range(large, 1, large, 1));
    // Stored out of order: the order is that of the positions, not of the commits.
    for portion in [&all[300..], &all[..300]] {
        commit_ranges(&mut *writer, run, portion).await?;
    }
    for limit in [1, 7, 500, 501, 1_000] {
        let mut found = Vec::new();
        loop {
            let page = writer.positions(run, found.last().map(|last: &PositionRange| last.source), limit).await?;
            holds(page.len() <= limit, format_args!("a page has at most {limit} ranges, but one has {}", page.len()))?;
            if page.is_empty() {
                break;
            }
            found.extend(page);
            holds(found.len() <= all.len(), "pages end")?;
        }
        equal(format_args!("the map in pages of {limit}"), &all, &found)?;
    }
    let between = writer.positions(run, Some(Position::new(15)), 1).await?;
    equal("the range behind the middle of another", &vec![all[2]], &between)?;

    // Many at a time that are there already, with others: each takes the place of the one that starts where it starts.
    let others: Vec<PositionRange> =
        (100..300).map(|number| range(number * 10 - number % 2, 20, number * 7, 20)).collect();
    commit_ranges(&mut *writer, run, &others).await?;
    let mut merged: BTreeMap<Position, PositionRange> = all.iter().map(|range| (range.source, *range)).collect();
    merged.extend(others.iter().map(|range| (range.source, *range)));
    let merged: Vec<PositionRange> = merged.into_values().collect();
    equal("the map after others of many", &merged, &writer.positions(run, None, 1_000).await?)?;

    let pairs = super::sample::run(1);
    writer.record_run(&pairs).await?;
    let paired = |major, minor| PositionRange {
        source: Position::pair(major, minor),
        target: Position::pair(minor, major),
        ..range(0, 1, 0, 1)
    };
    let all = [paired(1, 9), paired(2, 0), paired(2, 10), paired(10, 1)];
    commit_ranges(&mut *writer, pairs.id, &all).await?;
    equal("the map of pairs", &all.to_vec(), &writer.positions(pairs.id, None, 10).await?)?;
    let behind = writer.positions(pairs.id, Some(Position::pair(2, 0)), 10).await?;
    equal("the map of pairs behind 2/0", &all[2..].to_vec(), &behind)?;
    let found = writer.position_at(pairs.id, Position::pair(2, 9)).await?;
    equal("the range at 2/9", &Some(all[1]), &found)
}

/// A source position finds the last range that starts at or before it.
pub async fn a_position_finds_its_range(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    let ranges = [range(5, 5, 1, 5), range(20, 1, 6, 3), range(21, 9, 9, 9)];
    commit_ranges(&mut *writer, run, &ranges).await?;
    let cases = [
        (0, None),
        (4, None),
        (5, Some(0)),
        (7, Some(0)),
        (15, Some(0)),
        (20, Some(1)),
        (21, Some(2)),
        (9_000, Some(2)),
    ];
    for (source, expected) in cases {
        let expected = expected.map(|index: usize| ranges[index]);
        let found = writer.position_at(run, Position::new(source)).await?;
        equal(format_args!("the range at {source}"), &expected, &found)?;
    }
    Ok(())
}

/// A range of no length takes away the one that starts where it starts, and no other.
pub async fn a_range_of_no_length_takes_one_away(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    commit_ranges(&mut *writer, run, &[range(1, 5, 1, 5), range(7, 3, 7, 3), range(20, 1, 19, 2)]).await?;
    commit_ranges(&mut *writer, run, &[range(7, 0, 7, 0), range(8, 2, 8, 2), range(4, 0, 4, 0)]).await?;
    let expected = vec![range(1, 5, 1, 5), range(8, 2, 8, 2), range(20, 1, 19, 2)];
    equal("the map", &expected, &writer.positions(run, None, 10).await?)?;
    equal("the range at 7", &Some(expected[0]), &writer.position_at(run, Position::new(7)).await?)
}

/// Late positions are found by what they were made of and by where they are, and are the run's own. They add to those
/// before, and go the way of the append that they came with.
pub async fn late_positions_are_found_from_both_sides(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, run) = writer_with_run(store).await?;
    let late = |source, target, target_length| LatePosition {
        source: Position::new(source),
        target: Position::new(target),
        target_length,
    };
    let pair = LatePosition { source: Position::pair(3, 4), ..late(0, 40, 1) };
    let commits = [vec![late(3, 20, 1), late(5, 20, 1), late(2, 30, 3)], vec![late(9, 20, 1), late(3, 9, 2), pair]];
    for late in &commits {
        let progress = Progress { late: late.clone(), ..progress(run, 1) };
        writer.append(&[], Some(&progress)).await?;
    }
    let refused_with = Progress { late: vec![late(3, 99, 1)], ..progress(run, 2) };
    refused(&mut *writer, &[event(1, "order-1", 5)], Some(&refused_with), "revision 0 is missing").await?;
    equal("what 3 became", &vec![late(3, 9, 2), late(3, 20, 1)], &writer.late_of(run, Position::new(3)).await?)?;
    equal("what 4 became", &Vec::new(), &writer.late_of(run, Position::new(4)).await?)?;
    equal("what 3/4 became", &vec![pair], &writer.late_of(run, Position::pair(3, 4)).await?)?;
    let events = |target, target_length, first, last| {
        let (first_source, last_source) = (Position::new(first), Position::new(last));
        Some(LateEvents { target: Position::new(target), target_length, first_source, last_source })
    };
    for (target, expected) in [
        (8, None),
        (9, events(9, 2, 3, 3)),
        (19, events(9, 2, 3, 3)),
        (20, events(20, 1, 3, 9)),
        (29, events(20, 1, 3, 9)),
        (39, events(30, 3, 2, 2)),
    ] {
        let found = writer.late_at(run, Position::new(target)).await?;
        equal(format_args!("what is at {target}"), &expected, &found)?;
    }
    let other = super::sample::run(1);
    writer.record_run(&other).await?;
    equal("what is at 20 of another run", &None, &writer.late_at(other.id, Position::new(20)).await?)?;
    drop(writer);
    let writer = store.writer().await?;
    equal("what is at 39, reopened", &events(30, 3, 2, 2), &writer.late_at(run, Position::new(39)).await?)
}

/// Two runs keep their checkpoints, state and maps apart; an unknown run has none.
pub async fn runs_do_not_share_progress(store: &dyn StoreUnderTest) -> Verdict {
    let (mut writer, one) = writer_with_run(store).await?;
    let other = super::sample::run(1);
    writer.record_run(&other).await?;
    let key = key("shift", "order-1");
    let progress_of = |run, number: u64| Progress {
        state: vec![change(&key, Some(number.to_string().as_bytes()))],
        positions: vec![range(1, number, 1, number)],
        ..progress(run, number)
    };
    writer.append(&[], Some(&progress_of(one, 1))).await?;
    writer.append(&[], Some(&progress_of(other.id, 2))).await?;
    for (run, number) in [(one, 1), (other.id, 2)] {
        let expected = progress_of(run, number);
        equal("the checkpoint", &Some(expected.checkpoint), &writer.checkpoint(run).await?)?;
        equal("the map", &expected.positions, &writer.positions(run, None, 10).await?)?;
        let state = writer.state(run, std::slice::from_ref(&key)).await?;
        equal("the state", &vec![expected.state[0].value.clone()], &state)?;
    }
    let unknown = RunId::random();
    equal("the checkpoint of an unknown run", &None, &writer.checkpoint(unknown).await?)?;
    equal("the state of an unknown run", &vec![None], &writer.state(unknown, &[key]).await?)?;
    equal("the map of an unknown run", &Vec::new(), &writer.positions(unknown, None, 1).await?)?;
    equal("a range of an unknown run", &None, &writer.position_at(unknown, Position::new(1)).await?)
}

/// Progress made while loading is there after sealing.
pub async fn progress_survives_sealing(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = store.writer().await?;
    let run = run(0);
    writer.record_run(&run).await?;
    let key = key("shift", "order-1");
    let progress =
        Progress { state: vec![change(&key, Some(b"1"))], positions: vec![range(1, 2, 1, 2)], ..progress(run.id, 2) };
    writer.append(&events(&["order-1", "order-2"]), Some(&progress)).await?;
    writer.seal(true).await?;
    drop(writer);
    let writer = store.writer().await?;
    equal("the checkpoint", &Some(progress.checkpoint), &writer.checkpoint(run.id).await?)?;
    equal("the map", &progress.positions, &writer.positions(run.id, None, 10).await?)?;
    equal("the state", &vec![Some(Bytes::from_static(b"1"))], &writer.state(run.id, &[key]).await?)?;
    equal("the ledger", &vec![run], &writer.runs().await?)
}
