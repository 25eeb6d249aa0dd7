//! What a run writes into its books.

use bytes::Bytes;
use bytestring::ByteString;

use super::observe::{refused, sealed_writer};
use super::sample::{event, events, progress, run};
use super::subject::{Failure, StoreUnderTest, Verdict, equal};
use crate::checkpoint::{NoteChange, Progress, RunId};
use crate::store::EventWriter;

type Notes = Vec<(ByteString, Bytes)>;

fn note(book: &str, key: &str, value: &str) -> NoteChange {
    NoteChange { book: book.into(), key: key.into(), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

fn struck(book: &str, key: &str) -> NoteChange {
    NoteChange { book: book.into(), key: key.into(), value: None }
}

fn expected(notes: &[(&str, &str)]) -> Notes {
    let bytes = |value: &str| Bytes::copy_from_slice(value.as_bytes());
    notes.iter().map(|(key, value)| (ByteString::from(*key), bytes(value))).collect()
}

async fn book(writer: &dyn EventWriter, run: RunId, book: &str) -> Result<Notes, Failure> {
    Ok(writer.notes(run, book, None, 1_000).await?)
}

/// Notes come in the order of the bytes of their keys, in pages of at most the limit, from behind any key, whether it is
/// there or not. Values may be empty, and hold any byte; keys may be empty, and have 1,000 bytes.
pub async fn notes_come_in_the_order_of_their_keys(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = sealed_writer(store).await?;
    let run = run(0);
    writer.record_run(&run).await?;
    let long = "k".repeat(1_000);
    let all_bytes: Vec<u8> = (0..=255).collect();
    // By the alphabet of a language, or by code units of UTF-16, another order would come out.
    let mut keys =
        ["", " ", "-", "10", "9", "A", "B", "Z", "_", "a", "b", "é", "e\u{301}", "ä", "z", "\u{ffee}", "👍"].to_vec();
    keys.push(&long);
    let mut changes: Vec<NoteChange> = keys.iter().map(|key| note("quarantine", key, &format!("of {key}"))).collect();
    changes.reverse();
    changes[0].value = Some(Bytes::new());
    changes[1].value = Some(Bytes::from(all_bytes));
    writer.write_notes(run.id, &changes).await?;
    let mut all: Notes = changes.into_iter().filter_map(|note| Some((note.key, note.value?))).collect();
    all.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    equal("the book", &all, &book(&*writer, run.id, "quarantine").await?)?;
    for limit in [1, 4, all.len(), 1_000] {
        let mut found = Notes::new();
        loop {
            let after = found.last().map(|(key, _)| key.to_string());
            let page = writer.notes(run.id, "quarantine", after.as_deref(), limit).await?;
            equal(format_args!("the page behind {after:?}"), &(all.len() - found.len()).min(limit), &page.len())?;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        equal(format_args!("the book in pages of {limit}"), &all, &found)?;
    }
    let behind: Notes = all.iter().filter(|(key, _)| &**key > "AA").cloned().collect();
    equal(
        "the notes behind a key that is not there",
        &behind,
        &writer.notes(run.id, "quarantine", Some("AA"), 1_000).await?,
    )?;
    drop(writer);
    equal("the book, reopened", &all, &book(&*store.writer().await?, run.id, "quarantine").await?)
}

/// A note is overwritten and struck out; what no change names stays. The last change of a key counts. Striking out what
/// is not there changes nothing.
pub async fn notes_are_overwritten_and_struck_out(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = sealed_writer(store).await?;
    let run = run(0).id;
    equal("the book of a new run", &Notes::new(), &book(&*writer, run, "b").await?)?;
    writer.write_notes(run, &[note("b", "1", "one"), note("b", "2", "two"), note("b", "3", "three")]).await?;
    writer
        .write_notes(run, &[note("b", "1", "uno"), struck("b", "2"), struck("b", "none"), struck("none", "1")])
        .await?;
    equal("the book", &expected(&[("1", "uno"), ("3", "three")]), &book(&*writer, run, "b").await?)?;
    writer
        .write_notes(run, &[struck("b", "1"), note("b", "1", "again"), note("b", "3", "x"), struck("b", "3")])
        .await?;
    equal("the book", &expected(&[("1", "again")]), &book(&*writer, run, "b").await?)?;
    writer.write_notes(run, &[]).await?;
    drop(writer);
    equal("the book, reopened", &expected(&[("1", "again")]), &book(&*store.writer().await?, run, "b").await?)
}

/// Books are kept apart, and so are those of different runs.
pub async fn notes_are_kept_apart_by_run_and_book(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = sealed_writer(store).await?;
    let (one, other) = (run(0).id, run(1).id);
    writer.write_notes(one, &[note("a", "k", "one a"), note("ab", "", "one ab"), note("A", "k", "one A")]).await?;
    writer.write_notes(other, &[note("a", "k", "other a")]).await?;
    writer.write_notes(other, &[struck("ab", ""), struck("A", "k")]).await?;
    let cases = [
        (one, "a", ("k", "one a")),
        (one, "ab", ("", "one ab")),
        (one, "A", ("k", "one A")),
        (other, "a", ("k", "other a")),
    ];
    for (run, name, note) in cases {
        let found = book(&*writer, run, name).await?;
        equal(format_args!("book {name:?}"), &expected(&[note]), &found)?;
    }
    equal("another run's book", &Notes::new(), &book(&*writer, other, "ab").await?)?;
    equal("the book of an unknown run", &Notes::new(), &book(&*writer, RunId::random(), "a").await?)
}

/// Notes that come with an append commit with its events and its checkpoint, or not at all; while loading and sealed.
pub async fn notes_commit_with_their_events(store: &dyn StoreUnderTest) -> Verdict {
    let mut writer = store.writer().await?;
    let run = run(0);
    writer.record_run(&run).await?;
    let with = |source: u64, notes: Vec<NoteChange>| Progress { notes, ..progress(run.id, source) };
    let loaded = events(&["order-1", "order-2"]);
    writer.append(&loaded, Some(&with(2, vec![note("b", "1", "loading"), note("b", "2", "loading")]))).await?;
    equal("the book while loading", &2, &book(&*writer, run.id, "b").await?.len())?;
    writer.seal(true).await?;
    writer.append(&[event(3, "order-1", 1)], Some(&with(3, vec![note("b", "1", "sealed"), struck("b", "2")]))).await?;
    let committed = expected(&[("1", "sealed")]);
    equal("the book once sealed", &committed, &book(&*writer, run.id, "b").await?)?;
    let lost = with(9, vec![note("b", "1", "lost"), note("b", "9", "lost")]);
    refused(&mut *writer, &[event(9, "order-1", 9)], Some(&lost), "revision 2 is missing").await?;
    equal("the book after a refused append", &committed, &book(&*writer, run.id, "b").await?)?;
    drop(writer);
    equal("the book, reopened", &committed, &book(&*store.writer().await?, run.id, "b").await?)
}
