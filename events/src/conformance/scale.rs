//! Large events, many streams, and how much memory a read takes.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use futures_util::StreamExt;

use super::observe::{append_all, comes_back, everything_by, holds_exactly, load, read};
use super::sample::{event, stream};
use super::subject::{Failure, StoreUnderTest, Verdict, equal, holds};
use crate::error::StoreErrorKind;
use crate::event::Event;
use crate::payload::Payload;
use crate::scope::Scope;
use crate::store::ReadRequest;

const MIB: usize = 1 << 20;

/// Payloads of 16 MiB, binary and JSON, come back; a store with a lower limit per append is given what it takes, and one
/// without transactions that refuses them, since envelopes count as well, a little less.
pub async fn a_payload_of_16_mib_comes_back(store: &dyn StoreUnderTest) -> Verdict {
    let can = store.writer().await?.capabilities();
    let bytes =
        can.max_append_bytes.map_or(16 * MIB, |limit| usize::try_from(limit).unwrap_or(usize::MAX).min(16 * MIB));
    let all = large(bytes);
    match load(store, &all).await {
        Err(error) if matches!(error.kind, StoreErrorKind::Unsupported(_)) && !can.transactions => {
            comes_back(store, &large(bytes - bytes / 64)).await
        }
        Err(error) => Err(Failure::from(error)),
        Ok(()) => holds_exactly(store, &all).await,
    }
}

/// A stream of payloads of so many bytes.
fn large(bytes: usize) -> [Event; 3] {
    let without_metadata =
        |number, data| Event { data, metadata: Payload::empty(), ..event(number, "large", number - 1) };
    // A pattern without a period that a chunk size could have.
    let binary: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8 ^ (index >> 16) as u8).collect();
    let json = format!("[\"{}\"]", "é".repeat(bytes.saturating_sub(4) / 2));
    [
        without_metadata(1, Payload::binary(binary)),
        without_metadata(2, Payload::json("{}")),
        without_metadata(3, Payload::json(json)),
    ]
}

/// Ten thousand streams of two events each come back, together and one by one.
pub async fn ten_thousand_streams_come_back(store: &dyn StoreUnderTest) -> Verdict {
    const STREAMS: u64 = 10_000;
    let of_round = |round: u64| {
        (0..STREAMS).map(move |number| event(round * STREAMS + number + 1, &format!("cart-{number}"), round))
    };
    let events: Vec<Event> = of_round(0).chain(of_round(1)).collect();
    comes_back(store, &events).await?;
    for number in [0, 1, 9, 10, 99, 999, 9_999] {
        let found = read(store, ReadRequest::new(Scope::Stream(stream(&format!("cart-{number}"))))).await?;
        let found: Vec<u64> = found.iter().map(|event| event.revision.0).collect();
        equal(format_args!("the revisions of stream cart-{number}"), &vec![0, 1], &found)?;
    }
    let found = read(store, ReadRequest::new(Scope::Category("cart".to_owned()))).await?;
    let streams: BTreeSet<_> = found.iter().map(|event| &event.stream).collect();
    equal("the number of streams in the category", &(STREAMS as usize), &streams.len())
}

/// A read that yielded one batch holds a small part of the store in memory, and so does one that is read to the end.
pub async fn reading_takes_bounded_memory(store: &dyn StoreUnderTest) -> Verdict {
    const EVENTS: u64 = 1_024;
    const EVENT_BYTES: usize = 64 * 1_024;
    const ALLOWED: u64 = (EVENTS as usize * EVENT_BYTES / 2) as u64;
    const READS: u64 = 4;
    const ATTEMPTS: usize = 2;
    if store.resident_bytes().is_none() {
        return Ok(());
    }
    let mut writer = store.writer().await?;
    for start in (1..=EVENTS).step_by(16) {
        let data = |number: u64| Payload::binary(vec![number as u8; EVENT_BYTES]);
        let large = |number| Event { data: data(number), ..event(number, "large", number - 1) };
        append_all(&mut *writer, &(start..start + 16).map(large).collect::<Vec<_>>()).await?;
    }
    writer.seal(true).await?;
    drop(writer);

    let reader = store.reader().await?;
    let mut growth = 0;
    // Other tests of the same process allocate and free too. So a few reads are begun together, to stand out from them,
    // and kept, so that the next attempt can't reuse their memory.
    let mut begun = Vec::new();
    for _ in 0..ATTEMPTS {
        let before = store.resident_bytes().unwrap_or(0);
        for _ in 0..READS {
            let mut stream = reader.read(everything_by(8));
            let first = stream.next().await.ok_or_else(|| Failure::new("expected a batch, but the read ended"))??;
            begun.push((stream, first));
        }
        growth = store.resident_bytes().unwrap_or(0).saturating_sub(before) / READS;
        if growth < ALLOWED {
            break;
        }
    }
    let of_all = EVENTS as usize * EVENT_BYTES;
    let expectation = format!("the first batch of a store of {of_all} bytes takes less than {ALLOWED}, not {growth}");
    holds(growth < ALLOWED, expectation)?;
    drop(begun);

    for _ in 0..ATTEMPTS {
        let before = store.resident_bytes().unwrap_or(0);
        let mut most = before;
        let limits = everything_by(8);
        let mut stream = reader.read(ReadRequest { batch_bytes: NonZeroUsize::MIN.saturating_add(MIB), ..limits });
        while let Some(batch) = stream.next().await {
            drop(batch?);
            most = most.max(store.resident_bytes().unwrap_or(0));
        }
        growth = most.saturating_sub(before);
        if growth < ALLOWED {
            break;
        }
    }
    holds(growth < ALLOWED, format_args!("reading {of_all} bytes to the end takes less than {ALLOWED}, not {growth}"))
}
