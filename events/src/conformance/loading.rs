//! The first bulk load, and what sealing it makes certain.

use super::observe::{append_all, holds_exactly, load, read};
use super::sample::{event, events, id, interleaved, progress, run};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::error::StoreError;
use crate::event::Event;
use crate::position::Position;
use crate::scope::Scope;
use crate::store::ReadRequest;

/// Events and progress that were appended while loading are there for the next writer, which goes on with the load.
pub async fn a_loading_store_takes_events_and_progress(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    let run = run(0);
    store.writer().await?.record_run(&run).await?;
    for (portion, done) in events.chunks(10).zip([10, 20, 30, 40]) {
        let mut writer = store.writer().await?;
        writer.append(portion, Some(&progress(run.id, done))).await?;
        drop(writer);
        let found = store.writer().await?.checkpoint(run.id).await?;
        equal("the checkpoint", &Some(progress(run.id, done).checkpoint), &found)?;
    }
    store.writer().await?.seal(true).await?;
    holds_exactly(store, &events).await
}

/// A loading store knows whether it is empty, and its last position.
pub async fn a_loading_store_tells_its_end(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = store.writer().await?;
    holds(writer.is_empty().await?, "a new store is empty")?;
    writer.append(&interleaved()[..20], None).await?;
    holds(!writer.is_empty().await?, "a store with events is not empty")?;
    let loading = writer.last_position().await?;
    writer.seal(true).await?;
    equal("the last position once sealed", &loading, &writer.last_position().await?)?;
    drop(writer);
    let last = read(store, ReadRequest::new(Scope::All)).await?.last().map(|event| event.position);
    equal("the last position while loading", &last, &loading)
}

/// Sealing again, by the same writer or another, changes nothing.
pub async fn sealing_twice_is_sealing_once(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    let mut writer = store.writer().await?;
    writer.append(&events, None).await?;
    writer.seal(true).await?;
    writer.seal(true).await?;
    drop(writer);
    store.writer().await?.seal(true).await?;
    store.writer().await?.seal(false).await?;
    holds_exactly(store, &events).await
}

/// A store without events can be sealed, and takes its first event then.
pub async fn an_empty_store_can_be_sealed(store: &dyn StoreUnderTest) -> Verdict {
    store.writer().await?.seal(true).await?;
    holds_exactly(store, &[]).await?;
    let first = event(1, "order-1", 0);
    store.writer().await?.append(std::slice::from_ref(&first), None).await?;
    holds_exactly(store, &[first]).await
}

/// The store remembers that it was sealed: the next writer checks every append at once.
pub async fn a_sealed_store_stays_sealed(store: &dyn StoreUnderTest) -> Verdict {
    let loaded = interleaved();
    load(store, &loaded).await?;
    let taken_id = ("a taken id", Event { id: id(1), ..event(50, "order-50", 0) });
    let refuses_taken_ids = store.writer().await?.capabilities().refuses_taken_ids;
    let conflicting = [("a gap", event(50, "order-1", 1_000)), ("a taken revision", event(50, "order-1", 0))];
    for (why, event) in conflicting.into_iter().chain(refuses_taken_ids.then_some(taken_id)) {
        let answer = store.writer().await?.append(&[event], None).await;
        holds(answer.is_err(), format_args!("{why} is refused at once by a store that was sealed before"))?;
    }
    holds_exactly(store, &loaded).await
}

/// Events appended after sealing follow those of the load.
pub async fn a_sealed_store_takes_more(store: &dyn StoreUnderTest) -> Verdict {
    let events = interleaved();
    load(store, &events[..25]).await?;
    store.writer().await?.append(&events[25..], None).await?;
    store.writer().await?.seal(true).await?;
    holds_exactly(store, &events).await
}

/// What stopped a load: an append, or sealing; none if nothing did.
async fn what_stopped(
    store: &dyn StoreUnderTest,
    portions: &[&[Event]],
    dense: bool,
) -> Result<Option<StoreError>, Failure> {
    let mut writer = store.writer().await?;
    for portion in portions {
        if let Err(error) = append_all(&mut *writer, portion).await {
            return Ok(Some(error));
        }
    }
    Ok(writer.seal(dense).await.err())
}

/// Sealing, or an append before it, finds the flaw and names where it is by one of the texts.
async fn is_found(store: &dyn StoreUnderTest, portions: &[&[Event]], flaw: &str, names: &[&str]) -> Verdict {
    let Some(error) = what_stopped(store, portions, true).await? else {
        return Err(Failure::new(format_args!("expected sealing to find {flaw}, but it succeeded")));
    };
    let text = error.to_string();
    let is_named = names.iter().any(|name| text.contains(name));
    holds(is_named, format_args!("the error names {} for {flaw}, but it is: {text}", names.join(" or ")))
}

/// Sealing densely finds a missing revision, in the middle of a stream or at its start, and names the stream.
pub async fn sealing_finds_a_gap(store: &dyn StoreUnderTest) -> Verdict {
    let gap = [event(1, "order-1", 0), event(2, "order-2", 0), event(3, "order-2", 2), event(4, "order-1", 1)];
    is_found(store, &[&gap], "a gap", &["order-2"]).await?;
    // Asking again does not make it good.
    let again = store.writer().await?.seal(true).await;
    let writer = store.writer().await?;
    let is_empty = writer.is_empty().await?;
    // What a store without transactions keeps of a refused append has no gap where it takes none.
    let takes_no_gaps = !writer.capabilities().transactions && writer.capabilities().guarantees.dense_revisions;
    holds(again.is_err() || is_empty || takes_no_gaps, "a gap is found again by the next writer's sealing")
}

/// Where the run reads part of its streams' events, revisions may have gaps: sealing takes them when told to. A store
/// whose own constraints rule gaps out refuses them instead.
pub async fn sealing_allows_gaps_where_told(store: &dyn StoreUnderTest) -> Verdict {
    let gaps = [event(1, "order-1", 3), event(2, "order-2", 0), event(3, "order-2", 7), event(4, "order-1", 4)];
    let must_be_dense = store.writer().await?.capabilities().guarantees.dense_revisions;
    match what_stopped(store, &[&gaps], false).await? {
        None => holds_exactly(store, &gaps).await,
        Some(_) if must_be_dense => Ok(()),
        Some(error) => Err(Failure::from(error)),
    }
}

/// An id used twice is found when sealing at the latest, and named, where the store looks.
pub async fn sealing_finds_a_taken_id(store: &dyn StoreUnderTest) -> Verdict {
    if !store.writer().await?.capabilities().refuses_taken_ids {
        return Ok(());
    }
    let first = [event(1, "order-1", 0), event(2, "order-2", 0)];
    let again = [Event { id: id(1), ..event(3, "order-3", 0) }];
    is_found(store, &[&first, &again], "an id used twice", &[&id(1).to_string()]).await
}

/// A revision used twice is found when sealing at the latest, and its stream named.
pub async fn sealing_finds_a_taken_revision(store: &dyn StoreUnderTest) -> Verdict {
    let first = [event(1, "order-1", 0), event(2, "order-2", 0)];
    let again = [event(3, "order-2", 0)];
    is_found(store, &[&first, &again], "a revision used twice", &["order-2"]).await
}

/// A position used twice is found when sealing at the latest, where positions are kept as given.
pub async fn sealing_finds_a_taken_position(store: &dyn StoreUnderTest) -> Verdict {
    if !store.writer().await?.capabilities().explicit_positions {
        return Ok(());
    }
    let first = [event(1, "order-1", 0), event(2, "order-2", 0)];
    let again = [Event { position: Position::new(2), ..event(3, "order-3", 0) }];
    match what_stopped(store, &[&first, &again], true).await? {
        Some(_) => Ok(()),
        None => Err(Failure::new("expected sealing to find position 2 used twice, but it succeeded")),
    }
}

/// A stream whose revisions are all there, but not in the order of the positions, does not pass for sound: a read would
/// have to break one order or the other.
pub async fn sealing_finds_revisions_out_of_order(store: &dyn StoreUnderTest) -> Verdict {
    let disordered = [event(1, "order-1", 0), event(2, "order-2", 1), event(3, "order-1", 1), event(4, "order-2", 0)];
    is_found(store, &[&disordered], "revisions out of order", &["order-2"]).await
}

/// An append repeated while loading either changes nothing, or is refused, at once or when sealing: events are never
/// doubled unseen.
pub async fn loading_twice_never_doubles_unseen(store: &dyn StoreUnderTest) -> Verdict {
    let events = events(&["order-1", "order-1", "order-2"]);
    let mut moved = events.clone();
    for (event, position) in moved.iter_mut().zip(10..) {
        event.position = Position::new(position);
    }
    match what_stopped(store, &[&events, &moved], true).await? {
        Some(_) => Ok(()),
        None => holds_exactly(store, &events).await,
    }
}
