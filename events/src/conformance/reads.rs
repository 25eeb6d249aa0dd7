//! What a read yields: the right events, in order, in portions, from anywhere.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use futures_util::StreamExt;

use super::observe::{batches, everything_by, holds_exactly, load, read, same_events, sealed_writer};
use super::sample::{event, event_type, events, interleaved, stream};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::event::Event;
use crate::position::Position;
use crate::scope::Scope;
use crate::store::{Census, ReadRequest};

/// A store without events has no batch, no head and no last position, before it was ever written and after.
pub async fn an_empty_store_reads_empty(store: &dyn StoreUnderTest) -> Verdict {
    let writer = store.writer().await?;
    holds(writer.is_empty().await?, "a store without events is empty")?;
    equal("the last position", &None, &writer.last_position().await?)?;
    drop(writer);
    let reader = store.reader().await?;
    equal("the head", &None, &reader.head().await?)?;
    if let Some(census) = reader.census(&Scope::All, None).await? {
        equal("the census", &Census::new(), &census)?;
    }
    equal("the number of batches", &0, &batches(store, ReadRequest::new(Scope::All)).await?.len())
}

/// Positions ascend across streams, and revisions within each.
pub async fn events_come_in_store_order(store: &dyn StoreUnderTest) -> Verdict {
    let expected = interleaved();
    load(store, &expected).await?;
    holds_exactly(store, &expected).await?;
    for name in ["order-1", "user-7", "audit"] {
        let found = read(store, ReadRequest::new(Scope::Stream(stream(name)))).await?;
        let revisions: Vec<u64> = found.iter().map(|event| event.revision.0).collect();
        let count = expected.iter().filter(|event| event.stream.as_str() == name).count() as u64;
        equal(format_args!("the revisions of {name}"), &(0..count).collect::<Vec<_>>(), &revisions)?;
    }
    Ok(())
}

/// Reading from behind the position of any event yields the rest, in batches of any size, and whatever the scope.
pub async fn a_read_resumes_behind_any_position(store: &dyn StoreUnderTest) -> Verdict {
    load(store, &interleaved()).await?;
    let can = store.reader().await?.capabilities();
    for scope in [Scope::All, Scope::Category("user".to_owned())] {
        let request = ReadRequest::new(scope.clone());
        let all = read(store, ReadRequest::new(Scope::All)).await?;
        let in_scope = read(store, request.clone()).await?;
        for batch_events in [1, 3, 7, 39, 40, 41].into_iter().filter_map(NonZeroUsize::new) {
            for event in &all {
                let request = request.clone().after(Some(event.position)).batch_events(batch_events);
                let rest: Vec<Event> =
                    in_scope.iter().filter(|later| later.position > event.position).cloned().collect();
                let found = read(store, request).await?;
                same_events(can, &rest, &found).map_err(|failure| {
                    let position = event.position;
                    failure.when(format_args!("behind position {position}, {scope:?}, by {batch_events}"))
                })?;
            }
        }
    }
    Ok(())
}

/// `until` is included, need not be an event of the scope, and combines with `after`.
pub async fn a_read_stops_behind_until(store: &dyn StoreUnderTest) -> Verdict {
    load(store, &interleaved()).await?;
    let can = store.reader().await?.capabilities();
    let all = read(store, ReadRequest::new(Scope::All)).await?;
    for scope in [Scope::All, Scope::Category("order".to_owned())] {
        for (first, last) in
            [(None, 0), (None, 1), (None, 39), (Some(0), 0), (Some(3), 20), (Some(38), 39), (Some(20), 3)]
        {
            let after = first.map(|index: usize| all[index].position);
            let until = all[last].position;
            let wanted = |event: &&Event| {
                scope.contains(event) && event.position <= until && after.is_none_or(|after| event.position > after)
            };
            let expected: Vec<Event> = all.iter().filter(wanted).cloned().collect();
            let request = ReadRequest::new(scope.clone()).after(after).until(Some(until));
            let found = read(store, request).await?;
            let situation = format_args!("{scope:?} behind {after:?} until {until}");
            same_events(can, &expected, &found).map_err(|failure| failure.when(situation))?;
        }
    }
    Ok(())
}

/// No batch has more events than asked for, or goes on once it has the bytes asked for; none is empty.
pub async fn batches_keep_to_their_limits(store: &dyn StoreUnderTest) -> Verdict {
    let expected = interleaved();
    load(store, &expected).await?;
    let can = store.reader().await?.capabilities();
    for batch_events in [1, 2, 3, 5, 39, 40, 41, 1_000] {
        for batch_bytes in [1, 100, 150, 500, 5_000, usize::MAX] {
            let batch_bytes = NonZeroUsize::new(batch_bytes).unwrap_or(NonZeroUsize::MIN);
            let request = ReadRequest { batch_bytes, ..everything_by(batch_events) };
            // `batches` checks the limits.
            let found = batches(store, request).await?.concat();
            same_events(can, &expected, &found).map_err(|failure| {
                failure.when(format_args!("batches of {batch_events} events or {batch_bytes} bytes"))
            })?;
        }
    }
    Ok(())
}

fn scopes() -> Vec<Scope> {
    let types = |names: &[&str]| Scope::Types(names.iter().copied().map(event_type).collect::<BTreeSet<_>>());
    vec![
        Scope::All,
        Scope::Category("user".to_owned()),
        Scope::Category("audit".to_owned()),
        Scope::Category("nothing".to_owned()),
        Scope::Category("use".to_owned()),
        Scope::Category("%".to_owned()),
        Scope::Stream(stream("user-7")),
        Scope::Stream(stream("audit")),
        Scope::Stream(stream("user")),
        Scope::Stream(stream("user-%")),
        types(&["OrderPlaced"]),
        types(&["OrderPlaced", "UserCreated", "Nothing"]),
        types(&["Order"]),
        types(&["orderplaced"]),
        types(&[]),
    ]
}

/// Every kind of scope yields its events and no others.
pub async fn scopes_select_exactly(store: &dyn StoreUnderTest) -> Verdict {
    load(store, &interleaved()).await?;
    let can = store.reader().await?.capabilities();
    let all = read(store, ReadRequest::new(Scope::All)).await?;
    for scope in scopes() {
        let expected: Vec<Event> = all.iter().filter(|event| scope.contains(event)).cloned().collect();
        let found = read(store, ReadRequest::new(scope.clone())).await?;
        same_events(can, &expected, &found).map_err(|failure| failure.when(format_args!("{scope:?}")))?;
    }
    Ok(())
}

/// `user` holds `user-1` and the stream `user`, but neither `username-1` nor `User-1` nor `us%r-1`.
pub async fn categories_do_not_swallow_their_prefixes(store: &dyn StoreUnderTest) -> Verdict {
    const NAMES: [&str; 14] = [
        "user-1",
        "username-1",
        "user",
        "username",
        "User-1",
        "use-r",
        "user_-1",
        "us_r-1",
        "us%r-1",
        "user-1-2",
        "user.-1",
        "user-",
        "usér-1",
        "user\u{301}-1",
    ];
    load(store, &events(&NAMES)).await?;
    for category in
        ["user", "username", "User", "use", "user_", "us_r", "us%r", "user.", "usér", "user\u{301}", "u", ""]
    {
        let scope = Scope::Category(category.to_owned());
        let expected: Vec<&str> = NAMES.into_iter().filter(|name| stream(name).category() == category).collect();
        let found = read(store, ReadRequest::new(scope)).await?;
        let mut found: Vec<&str> = found.iter().map(|event| event.stream.as_str()).collect();
        found.sort_by_key(|found| NAMES.iter().position(|name| name == found));
        equal(format_args!("the streams of category {category:?}"), &expected, &found)?;
    }
    for name in NAMES {
        let found = read(store, ReadRequest::new(Scope::Stream(stream(name)))).await?;
        let found: Vec<&str> = found.iter().map(|event| event.stream.as_str()).collect();
        equal(format_args!("the events of stream {name:?}"), &vec![name], &found)?;
    }
    Ok(())
}

/// A census, where there is one, counts what a read of the same scope yields.
pub async fn a_census_counts_what_a_read_yields(store: &dyn StoreUnderTest) -> Verdict {
    load(store, &interleaved()).await?;
    let reader = store.reader().await?;
    let all = read(store, ReadRequest::new(Scope::All)).await?;
    for scope in scopes() {
        for until in [None, Some(all[0].position), Some(all[17].position)] {
            let Some(census) = reader.census(&scope, until).await? else { continue };
            let counted = read(store, ReadRequest::new(scope.clone()).until(until)).await?;
            same_census(&census, &counted)
                .map_err(|failure| failure.when(format_args!("{scope:?} until {until:?}")))?;
        }
    }
    Ok(())
}

fn same_census(census: &Census, events: &[Event]) -> Verdict {
    let mut counted = Census::new();
    for event in events {
        let tally = counted.entry((event.event_type.clone(), event.version)).or_default();
        tally.events += 1;
        tally.bytes = Some(tally.bytes.unwrap_or(0) + (event.data.len() + event.metadata.len()) as u64);
    }
    for (key, tally) in &counted {
        let Some(found) = census.get(key) else {
            return Err(Failure::new(format_args!(
                "expected {} events of {key:?}, but the census has none",
                tally.events
            )));
        };
        equal(format_args!("the number of {key:?}"), &tally.events, &found.events)?;
        if found.bytes.is_some() {
            equal(format_args!("the bytes of {key:?}"), &tally.bytes, &found.bytes)?;
        }
    }
    equal("the number of types and versions", &counted.len(), &census.len())
}

/// The head, where the store tells it, is the position of the last event, also after another append.
pub async fn the_head_is_the_last_position(store: &dyn StoreUnderTest) -> Verdict {
    load(store, &interleaved()).await?;
    for number in [41, 42] {
        let last = read(store, ReadRequest::new(Scope::All)).await?.last().map(|event| event.position);
        let reader = store.reader().await?;
        if let Some(head) = reader.head().await? {
            equal("the head", &last, &Some(head))?;
        }
        store.writer().await?.append(&[event(number, &format!("order-{number}"), 0)], None).await?;
    }
    Ok(())
}

/// A read that was begun and is held neither stops an append nor loses its place, and may be dropped anywhere.
pub async fn a_reader_does_not_block_a_writer(store: &dyn StoreUnderTest) -> Verdict {
    let loaded = interleaved();
    load(store, &loaded).await?;
    let reader = store.reader().await?;
    let mut stream = reader.read(everything_by(3));
    let first = stream.next().await.ok_or_else(|| Failure::new("expected a batch, but the read ended"))??;

    let mut dropped = reader.read(everything_by(1));
    holds(dropped.next().await.is_some(), "a second read of the same reader yields a batch")?;
    drop(dropped);

    let mut writer = store.writer().await?;
    let later = event(41, "order-41", 0);
    writer.append(std::slice::from_ref(&later), None).await?;
    drop(writer);

    let mut found = first;
    while let Some(batch) = stream.next().await {
        found.extend(batch?);
    }
    // Whether the read sees what came after it began is the store's affair.
    let expected = if found.len() > loaded.len() { [loaded, vec![later]].concat() } else { loaded };
    same_events(reader.capabilities(), &expected, &found)
}

/// Two reads at once, of one reader or of two, do not disturb each other.
pub async fn reads_are_independent(store: &dyn StoreUnderTest) -> Verdict {
    let expected = interleaved();
    load(store, &expected).await?;
    let (one, other) = (store.reader().await?, store.reader().await?);
    let mut streams = [one.read(everything_by(2)), one.read(everything_by(7)), other.read(everything_by(3))];
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    loop {
        let mut has_ended = true;
        for (stream, found) in streams.iter_mut().zip(&mut found) {
            if let Some(batch) = stream.next().await {
                has_ended = false;
                found.extend(batch?);
            }
        }
        if has_ended {
            break;
        }
    }
    found.iter().try_for_each(|found| same_events(one.capabilities(), &expected, found))?;

    // A position behind the end is a place like any other.
    let end = found[0].last().map_or(Position::new(0), |event| event.position);
    equal("what is behind the end", &0, &read(store, ReadRequest::new(Scope::All).after(Some(end))).await?.len())?;
    drop(sealed_writer(store).await?);
    holds_exactly(store, &expected).await
}
