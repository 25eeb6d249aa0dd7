//! The suite finds broken stores: each one here keeps every promise but one, and the check of that promise says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;

use async_trait::async_trait;
use bytes::Bytes;
use eventlift_events::conformance::{CHECKS, StoreUnderTest, run_all};
use eventlift_events::{
    ByteString, Capabilities, Census, Checkpoint, CheckpointStore, ContentType, Event, EventId, EventReader,
    EventRewriter, EventStream, EventType, EventWriter, LateEvents, LatePosition, MemoryReader, MemoryStore,
    MemoryWriter, NoteChange, Original, Payload, Position, PositionRange, Progress, ReadRequest, Revision, Rewritten,
    RunId, RunRecord, Scope, StateKey, StoreError, StoreErrorKind, StoreIdentity, StreamName, Timestamp, Undone,
};
use futures_util::{FutureExt, StreamExt};

mod resident;

/// The one promise that a store breaks.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flaw {
    // What an event comes back as.
    TrimsJson,
    TakesNullForNothing,
    TakesNothingForNull,
    ForgetsContentTypes,
    CutsTimesToMilliseconds,
    CutsPositionsTo32Bits,
    ForgetsAttributes,
    LowersIds,
    LowersTypes,
    CutsNamesAtNul,
    CutsNamesTo255,
    ReplacesInvalidUtf8,
    CutsLargePayloads,
    UnescapesJson,
    // What a read yields.
    AfterIsIncluded,
    UntilIsExcluded,
    CategoryIsAPrefix,
    CategoryIgnoresCase,
    CategoryNeedsAnId,
    BatchesHaveOneMore,
    BatchesIgnoreBytes,
    BatchesAreEmptyAtTheEnd,
    BatchesAreReversed,
    LosesTheLastBatch,
    CensusIgnoresUntil,
    CensusIgnoresScope,
    HeadIsTheFirst,
    ReadsAllAtOnce,
    // What an append does.
    NeverSeals,
    RefusesRepeats,
    MovesTheEndOnRepeat,
    IsNotAtomic,
    CommitsProgressFirst,
    NeedsEventsForProgress,
    SealsOnlyOnce,
    SealsDenselyAlways,
    SealsWithoutLooking,
    SaysItIsEmpty,
    KnowsItsEndOnlyOnceSealed,
    LetsTwoWritersIn,
    SaysTheWrongKind,
    TakesNewIdsOnly,
    DoublesOnRepeat,
    // What it remembers.
    ForgetsMinorPositions,
    CommitsEventsOnly,
    SharesCheckpoints,
    TakesEmptyStateForNone,
    NeverForgetsState,
    SortsState,
    IgnoresThePageSize,
    PagesFromTheBeginning,
    FindsRangesOnlyAtTheirStart,
    NeverTakesRangesAway,
    FindsLateEventsOnlyAtTheirStart,
    FindsOneLatePositionOnly,
    OrdersRunsByUpdate,
    ForgetsParts,
    // What it writes into books.
    OrdersNotesByAlphabet,
    IgnoresTheNotesLimit,
    NeverStrikesOut,
    SharesBooks,
    SharesNotesOfRuns,
    TakesEmptyNotesForNone,
    CommitsNotesFirst,
    LosesNotesOfAppends,
    // What it takes out again.
    SortsHeads,
    HeadIsOfTheCategory,
    WithdrawsOneLess,
    WithdrawsOnce,
    WithdrawsWithoutProgress,
    WithdrawsWholeStreams,
    ErasesTheEndToo,
    ErasesNotes,
    ErasesAllRuns,
    ErasesEventsOnly,
    StaysSealed,
    IgnoresWhereToErase,
    // What it rewrites.
    RewritesTypesOnly,
    TakesStaleForDone,
    UndoesOneBatchOnly,
    HidesWhatItKept,
}
use Flaw::*;

const EXPECTED: &[(Flaw, &str)] = &[
    (TrimsJson, "json_comes_back_to_the_byte"),
    (TakesNullForNothing, "every_kind_of_payload_comes_back"),
    (TakesNothingForNull, "every_kind_of_payload_comes_back"),
    (ForgetsContentTypes, "every_kind_of_payload_comes_back"),
    (CutsTimesToMilliseconds, "times_come_back"),
    (CutsTimesToMilliseconds, "every_field_comes_back"),
    (CutsPositionsTo32Bits, "positions_come_back"),
    (ForgetsAttributes, "attributes_come_back"),
    (LowersIds, "ids_of_every_kind_come_back"),
    (LowersTypes, "text_of_every_script_comes_back"),
    (CutsNamesAtNul, "odd_names_come_back_or_are_refused"),
    (CutsNamesTo255, "odd_names_come_back_or_are_refused"),
    (ReplacesInvalidUtf8, "every_byte_value_comes_back"),
    (ReplacesInvalidUtf8, "odd_payloads_come_back_or_are_refused"),
    (CutsLargePayloads, "a_payload_of_16_mib_comes_back"),
    (UnescapesJson, "json_comes_back_to_the_byte"),
    (AfterIsIncluded, "a_read_resumes_behind_any_position"),
    (UntilIsExcluded, "a_read_stops_behind_until"),
    (CategoryIsAPrefix, "categories_do_not_swallow_their_prefixes"),
    (CategoryIgnoresCase, "categories_do_not_swallow_their_prefixes"),
    (CategoryNeedsAnId, "categories_do_not_swallow_their_prefixes"),
    (BatchesHaveOneMore, "batches_keep_to_their_limits"),
    (BatchesIgnoreBytes, "batches_keep_to_their_limits"),
    (BatchesAreEmptyAtTheEnd, "an_empty_store_reads_empty"),
    (BatchesAreReversed, "events_come_in_store_order"),
    (LosesTheLastBatch, "ten_thousand_streams_come_back"),
    (CensusIgnoresUntil, "a_census_counts_what_a_read_yields"),
    (CensusIgnoresScope, "a_census_counts_what_a_read_yields"),
    (HeadIsTheFirst, "the_head_is_the_last_position"),
    (ReadsAllAtOnce, "reading_takes_bounded_memory"),
    (NeverSeals, "a_missing_revision_is_a_conflict"),
    (NeverSeals, "a_sealed_store_stays_sealed"),
    (RefusesRepeats, "the_same_append_twice_changes_nothing"),
    (RefusesRepeats, "a_repeat_may_go_on_where_it_stopped"),
    (RefusesRepeats, "a_lost_answer_is_made_good"),
    (MovesTheEndOnRepeat, "the_same_append_twice_changes_nothing"),
    (IsNotAtomic, "a_refused_append_leaves_nothing"),
    (IsNotAtomic, "a_conflict_within_an_append_is_found"),
    (CommitsProgressFirst, "a_refused_append_leaves_nothing"),
    (CommitsProgressFirst, "state_is_set_overwritten_and_forgotten"),
    (CommitsProgressFirst, "position_ranges_are_kept_by_their_start"),
    (NeedsEventsForProgress, "a_checkpoint_commits_without_events"),
    (SealsOnlyOnce, "sealing_twice_is_sealing_once"),
    (SealsDenselyAlways, "sealing_allows_gaps_where_told"),
    (SealsWithoutLooking, "sealing_finds_a_gap"),
    (SaysItIsEmpty, "the_store_tells_its_end_to_writers"),
    (KnowsItsEndOnlyOnceSealed, "a_loading_store_tells_its_end"),
    (LetsTwoWritersIn, "a_second_writer_is_refused"),
    (SaysTheWrongKind, "another_id_at_a_revision_is_a_conflict"),
    (SaysTheWrongKind, "an_id_that_is_taken_is_a_conflict"),
    (DoublesOnRepeat, "loading_twice_never_doubles_unseen"),
    (TakesNewIdsOnly, "sealing_finds_a_taken_id"),
    (TakesNewIdsOnly, "sealing_finds_a_taken_revision"),
    (TakesNewIdsOnly, "a_position_that_is_taken_is_refused"),
    (TakesNewIdsOnly, "a_conflict_within_an_append_is_found"),
    (ForgetsMinorPositions, "a_checkpoint_commits_without_events"),
    (CommitsEventsOnly, "a_checkpoint_commits_with_its_events"),
    (CommitsEventsOnly, "progress_survives_sealing"),
    (CommitsEventsOnly, "a_loading_store_takes_events_and_progress"),
    (CommitsEventsOnly, "a_rejected_append_can_be_repeated"),
    (SharesCheckpoints, "runs_do_not_share_progress"),
    (TakesEmptyStateForNone, "state_is_set_overwritten_and_forgotten"),
    (NeverForgetsState, "state_is_set_overwritten_and_forgotten"),
    (SortsState, "state_comes_in_the_order_of_the_keys"),
    (IgnoresThePageSize, "position_ranges_come_in_pages"),
    (PagesFromTheBeginning, "position_ranges_come_in_pages"),
    (FindsRangesOnlyAtTheirStart, "a_position_finds_its_range"),
    (NeverTakesRangesAway, "a_range_of_no_length_takes_one_away"),
    (FindsLateEventsOnlyAtTheirStart, "late_positions_are_found_from_both_sides"),
    (FindsOneLatePositionOnly, "late_positions_are_found_from_both_sides"),
    (OrdersRunsByUpdate, "the_ledger_keeps_runs_in_order"),
    (ForgetsParts, "the_ledger_keeps_every_field"),
    (OrdersNotesByAlphabet, "notes_come_in_the_order_of_their_keys"),
    (IgnoresTheNotesLimit, "notes_come_in_the_order_of_their_keys"),
    (TakesEmptyNotesForNone, "notes_come_in_the_order_of_their_keys"),
    (NeverStrikesOut, "notes_are_overwritten_and_struck_out"),
    (SharesBooks, "notes_are_kept_apart_by_run_and_book"),
    (SharesNotesOfRuns, "notes_are_kept_apart_by_run_and_book"),
    (CommitsNotesFirst, "notes_commit_with_their_events"),
    (LosesNotesOfAppends, "notes_commit_with_their_events"),
    (SortsHeads, "heads_are_the_last_revisions"),
    (HeadIsOfTheCategory, "heads_are_the_last_revisions"),
    (WithdrawsOneLess, "a_sealed_store_gives_events_back"),
    (WithdrawsOneLess, "a_loading_store_gives_events_back"),
    (WithdrawsOnce, "a_sealed_store_gives_events_back"),
    (WithdrawsWithoutProgress, "a_loading_store_gives_events_back"),
    (WithdrawsWholeStreams, "a_sealed_store_gives_events_back"),
    (SealsWithoutLooking, "sealing_looks_again_after_events_were_withdrawn"),
    (ErasesTheEndToo, "erasing_to_a_position_leaves_what_was_there"),
    (ErasesNotes, "erasing_to_a_position_leaves_what_was_there"),
    (ErasesAllRuns, "erasing_everything_leaves_a_new_store"),
    (ErasesEventsOnly, "erasing_to_a_position_leaves_what_was_there"),
    (StaysSealed, "erasing_everything_leaves_a_new_store"),
    (IgnoresWhereToErase, "erasing_behind_the_ends_takes_nothing_or_all"),
    (RewritesTypesOnly, "a_rewrite_changes_events_where_they_are"),
    (TakesStaleForDone, "a_rewrite_of_what_has_changed_is_refused"),
    (UndoesOneBatchOnly, "undoing_brings_back_the_originals"),
    (HidesWhatItKept, "undoing_leaves_what_was_changed_since"),
];

#[tokio::test]
async fn every_flaw_is_found_by_the_check_of_its_promise() {
    for (flaw, name) in EXPECTED {
        if *flaw == ReadsAllAtOnce && resident::resident_bytes().is_none() {
            continue;
        }
        let check = CHECKS.iter().find(|check| check.name == *name).unwrap();
        let verdict = (check.run)(&Broken::new(*flaw)).await;
        assert!(verdict.is_err(), "{name} passes a store with the flaw {flaw:?}");
    }
}

#[tokio::test]
async fn failures_are_named_and_say_what_was_expected() {
    let failures = run_all(async || Broken::new(HeadIsTheFirst)).await;
    let [(name, failure)] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(*name, "the_head_is_the_last_position");
    let expected = "expected the head to be Some(Position { major: 40, minor: None }), but got \
        Some(Position { major: 1, minor: None })";
    assert_eq!(failure.to_string(), expected);
}

/// A store that is sound but for its flaw.
struct Broken {
    store: MemoryStore,
    flaw: Flaw,
}

impl Broken {
    fn new(flaw: Flaw) -> Self {
        Self { store: MemoryStore::new(), flaw }
    }
}

#[async_trait]
impl StoreUnderTest for Broken {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        let inner = match self.store.writer() {
            Err(_) if self.flaw == LetsTwoWritersIn => MemoryStore::new().writer()?,
            other => other?,
        };
        let (reader, flaw) = (self.store.reader(), self.flaw);
        Ok(Box::new(BrokenWriter { inner, reader, flaw, is_sealed: false, is_moved: false, last: None }))
    }

    async fn rewriter(&self) -> Result<Option<Box<dyn EventRewriter>>, StoreError> {
        let (inner, reader, flaw) = (self.store.writer()?, self.store.reader(), self.flaw);
        Ok(Some(Box::new(BrokenWriter { inner, reader, flaw, is_sealed: false, is_moved: false, last: None })))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(BrokenReader { inner: self.store.reader(), flaw: self.flaw }))
    }

    fn resident_bytes(&self) -> Option<u64> {
        resident::resident_bytes()
    }
}

struct BrokenReader {
    inner: MemoryReader,
    flaw: Flaw,
}

fn map_json(payload: &Payload, map: impl Fn(&str) -> String) -> Payload {
    match std::str::from_utf8(payload.bytes()) {
        Ok(text) if payload.is_json() => Payload::new(map(text), payload.content_type().clone()),
        _ => payload.clone(),
    }
}

fn cut_name(stream: &StreamName, cut: impl Fn(&str) -> String) -> StreamName {
    StreamName::new(cut(stream.as_str())).unwrap_or(stream.clone())
}

/// The event as a store with the flaw yields it.
fn flawed(flaw: Flaw, event: Event) -> Event {
    let mut event = event;
    match flaw {
        TrimsJson => event.data = map_json(&event.data, |text| text.trim().to_owned()),
        TakesNullForNothing if &**event.data.bytes() == b"null" => event.data = Payload::empty(),
        TakesNothingForNull if event.metadata.is_empty() => event.metadata = Payload::json("null"),
        ForgetsContentTypes if matches!(event.data.content_type(), ContentType::Other(_)) => {
            event.data = Payload::binary(event.data.bytes().clone());
        }
        CutsTimesToMilliseconds => {
            event.recorded_at = Timestamp::from_micros(event.recorded_at.micros().div_euclid(1_000) * 1_000).unwrap();
        }
        CutsPositionsTo32Bits => event.position = Position::new(u64::from(event.position.major() as u32)),
        ForgetsAttributes => event.attributes = Bytes::new(),
        LowersIds => event.id = EventId::text(event.id.to_string().to_lowercase()).unwrap(),
        LowersTypes => event.event_type = EventType::new(event.event_type.as_str().to_lowercase()).unwrap(),
        CutsNamesAtNul => {
            event.stream = cut_name(&event.stream, |name| name.split('\0').next().unwrap_or("").to_owned());
        }
        CutsNamesTo255 => event.stream = cut_name(&event.stream, |name| name.chars().take(255).collect()),
        ReplacesInvalidUtf8 => {
            let text = String::from_utf8_lossy(event.data.bytes()).into_owned();
            event.data = Payload::new(text, event.data.content_type().clone());
        }
        CutsLargePayloads => {
            let kept = event.data.bytes().slice(..event.data.len().min(8 << 20));
            event.data = Payload::new(kept, event.data.content_type().clone());
        }
        UnescapesJson => event.data = map_json(&event.data, |text| text.replace(r"\/", "/")),
        ReadsAllAtOnce => event.data = Payload::binary(event.data.bytes().to_vec()),
        _ => {}
    }
    event
}

/// Whether a read of a category takes the stream.
fn category_takes(flaw: Flaw, category: &str, stream: &StreamName) -> bool {
    match flaw {
        CategoryIsAPrefix => stream.as_str().starts_with(category),
        CategoryIgnoresCase => stream.category().eq_ignore_ascii_case(category),
        CategoryNeedsAnId => stream.category() == category && stream.id().is_some(),
        _ => stream.category() == category,
    }
}

fn one_more(number: NonZeroUsize) -> NonZeroUsize {
    number.saturating_add(1)
}

#[async_trait]
impl EventReader for BrokenReader {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (flaw, mut request) = (self.flaw, request);
        let is_category = matches!(request.scope, Scope::Category(_));
        let is_of_categories = matches!(flaw, CategoryIsAPrefix | CategoryIgnoresCase | CategoryNeedsAnId);
        let scope = request.scope.clone();
        if is_category && is_of_categories {
            request.scope = Scope::All;
        }
        match flaw {
            AfterIsIncluded => {
                request.after = request.after.and_then(|after| after.major().checked_sub(1)).map(Position::new);
            }
            UntilIsExcluded => {
                request.until = request.until.map(|until| Position::new(until.major().saturating_sub(1)));
            }
            BatchesHaveOneMore => request.batch_events = one_more(request.batch_events),
            BatchesIgnoreBytes => request.batch_bytes = NonZeroUsize::MAX,
            _ => {}
        }
        let change = move |mut batch: Vec<Event>| {
            if let Scope::Category(category) = &scope {
                batch.retain(|event| category_takes(flaw, category, &event.stream));
            }
            if flaw == BatchesAreReversed {
                batch.reverse();
            }
            batch.into_iter().map(|event| flawed(flaw, event)).collect::<Vec<_>>()
        };
        let batches = self.inner.read(request).map(move |batch| batch.map(&change));
        match flaw {
            BatchesAreEmptyAtTheEnd => Box::pin(batches.chain(futures_util::stream::once(async { Ok(Vec::new()) }))),
            ReadsAllAtOnce => {
                // The memory store never waits.
                let all: Vec<_> = batches.collect().now_or_never().unwrap();
                Box::pin(futures_util::stream::iter(all))
            }
            LosesTheLastBatch => {
                let all: Vec<_> = batches.collect().now_or_never().unwrap();
                let kept = if all.len() > 1 { all.len() - 1 } else { all.len() };
                Box::pin(futures_util::stream::iter(all).take(kept))
            }
            _ => Box::pin(batches.filter(|batch| {
                let is_empty = batch.as_ref().is_ok_and(Vec::is_empty);
                async move { !is_empty }
            })),
        }
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        match self.flaw {
            CensusIgnoresUntil => self.inner.census(scope, None).await,
            CensusIgnoresScope => self.inner.census(&Scope::All, until).await,
            _ => self.inner.census(scope, until).await,
        }
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let head = self.inner.head().await?;
        Ok(if self.flaw == HeadIsTheFirst { head.map(|_| Position::new(1)) } else { head })
    }
}

struct BrokenWriter {
    inner: MemoryWriter,
    reader: MemoryReader,
    flaw: Flaw,
    is_sealed: bool,
    is_moved: bool,
    last: Option<Checkpoint>,
}

impl BrokenWriter {
    /// Events of the request that the store holds already, by id.
    async fn held(&self, events: &[Event]) -> Vec<Event> {
        let held: Vec<_> = self.reader.read(ReadRequest::new(Scope::All)).collect().await;
        let held = held.into_iter().flat_map(Result::unwrap);
        held.filter(|held| events.iter().any(|event| event.id == held.id)).collect()
    }

    fn error(&self, kind: StoreErrorKind) -> StoreError {
        StoreError::new("append to", self.inner.identity(), kind)
    }
}

#[async_trait]
impl EventWriter for BrokenWriter {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        match self.flaw {
            RefusesRepeats => {
                if let Some(held) = self.held(events).await.first() {
                    return Err(self.error(StoreErrorKind::DuplicateId(held.id.clone())));
                }
            }
            MovesTheEndOnRepeat if !self.held(events).await.is_empty() => self.is_moved = true,
            IsNotAtomic => {
                for event in events {
                    self.inner.append(std::slice::from_ref(event), None).await?;
                }
            }
            // Conflicts are passed over in silence.
            TakesNewIdsOnly => {
                for event in events {
                    let _ = self.inner.append(std::slice::from_ref(event), None).await;
                }
                return self.inner.append(&[], progress).await;
            }
            DoublesOnRepeat if !self.held(events).await.is_empty() => {
                let renamed = |event: &Event| Event {
                    id: event.id.of_part(1, "a split"),
                    stream: cut_name(&event.stream, |name| format!("{name}-again")),
                    ..event.clone()
                };
                let again: Vec<Event> = events.iter().map(renamed).collect();
                return self.inner.append(&again, progress).await;
            }
            CommitsEventsOnly => return self.inner.append(events, None).await,
            CommitsProgressFirst => self.inner.append(&[], progress).await?,
            CommitsNotesFirst => {
                if let Some(progress) = progress {
                    self.inner.write_notes(progress.run, &progress.notes).await?;
                }
            }
            LosesNotesOfAppends => {
                let progress = progress.map(|progress| Progress { notes: Vec::new(), ..progress.clone() });
                return self.inner.append(events, progress.as_ref()).await;
            }
            NeedsEventsForProgress if events.is_empty() => return Ok(()),
            SaysTheWrongKind => {
                let answer = self.inner.append(events, progress).await;
                return answer.map_err(|error| self.error(StoreErrorKind::BadInput(error.to_string())));
            }
            NeverForgetsState => {
                let mut progress = progress.cloned();
                if let Some(progress) = &mut progress {
                    progress.state.retain(|change| change.value.is_some());
                }
                return self.inner.append(events, progress.as_ref()).await;
            }
            NeverTakesRangesAway => {
                let mut progress = progress.cloned();
                if let Some(progress) = &mut progress {
                    progress.positions.retain(|range| range.source_length > 0);
                }
                return self.inner.append(events, progress.as_ref()).await;
            }
            SharesCheckpoints => self.last = progress.map(|progress| progress.checkpoint).or(self.last),
            _ => {}
        }
        self.inner.append(events, progress).await
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        match self.flaw {
            NeverSeals => return Ok(()),
            SealsOnlyOnce if self.is_sealed => {
                return Err(self.error(StoreErrorKind::Unexpected("it is sealed already".to_owned())));
            }
            SealsDenselyAlways => return self.inner.seal(true).await,
            SealsWithoutLooking => return self.inner.seal(false).await,
            _ => {}
        }
        self.is_sealed = true;
        self.inner.seal(dense).await
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let mut streams = streams.to_vec();
        match self.flaw {
            SortsHeads => streams.sort(),
            HeadIsOfTheCategory => {
                for stream in &mut streams {
                    *stream =
                        cut_name(stream, |name| if name == "order" { "order-1".to_owned() } else { name.to_owned() });
                }
            }
            _ => {}
        }
        self.inner.heads(&streams).await
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        let mut from = from.to_vec();
        match self.flaw {
            WithdrawsOneLess => from.iter_mut().for_each(|(_, first)| *first = Revision(first.0.saturating_add(1))),
            WithdrawsWholeStreams => from.iter_mut().for_each(|(_, first)| *first = Revision(0)),
            WithdrawsOnce if self.is_moved => {
                return Err(self.error(StoreErrorKind::Unexpected("they are gone already".to_owned())));
            }
            WithdrawsWithoutProgress => {
                let before = self.inner.checkpoint(progress.run).await?;
                let checkpoint = before.unwrap_or(Checkpoint { source: Position::new(0), ..progress.checkpoint });
                let nothing = Progress { checkpoint, notes: Vec::new(), ..progress.clone() };
                return self.inner.withdraw(&from, &nothing).await;
            }
            _ => {}
        }
        self.is_moved = self.flaw == WithdrawsOnce;
        self.inner.withdraw(&from, progress).await
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        match self.flaw {
            ErasesTheEndToo => {
                let after = after.and_then(|after| after.major().checked_sub(1)).map(Position::new);
                return self.inner.erase(after, run).await;
            }
            ErasesNotes => {
                let notes = self.inner.notes(run.id, "b", None, 10).await?;
                let strike = |(key, _)| NoteChange { book: "b".into(), key, value: None };
                let struck: Vec<NoteChange> = notes.into_iter().map(strike).collect();
                self.inner.write_notes(run.id, &struck).await?;
            }
            ErasesAllRuns => {
                for other in self.inner.runs().await? {
                    self.inner.erase(after, &other).await?;
                }
            }
            ErasesEventsOnly => {
                let (before, state) = (self.inner.checkpoint(run.id).await?, Vec::new());
                self.inner.erase(after, run).await?;
                let Some(checkpoint) = before else { return Ok(()) };
                let kept = Progress {
                    run: run.id,
                    checkpoint,
                    state,
                    positions: Vec::new(),
                    late: Vec::new(),
                    notes: Vec::new(),
                    origins: Vec::new(),
                };
                return self.inner.append(&[], Some(&kept)).await;
            }
            StaysSealed => {
                self.inner.erase(after, run).await?;
                return self.inner.seal(true).await;
            }
            IgnoresWhereToErase => return self.inner.erase(None, run).await,
            _ => {}
        }
        self.inner.erase(after, run).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        if self.flaw == SaysItIsEmpty {
            return Ok(true);
        }
        self.inner.is_empty().await
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        if self.is_moved && self.flaw == MovesTheEndOnRepeat {
            return Ok(Some(Position::new(4_000)));
        }
        if self.flaw == KnowsItsEndOnlyOnceSealed && !self.is_sealed {
            return Ok(None);
        }
        self.inner.last_position().await
    }
}

#[async_trait]
impl EventRewriter for BrokenWriter {
    async fn check_rewritable(&mut self) -> Result<(), StoreError> {
        self.inner.check_rewritable().await
    }

    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> Result<(), StoreError> {
        let mut changes = changes.to_vec();
        if self.flaw == RewritesTypesOnly {
            changes.iter_mut().for_each(|change| change.after.data = change.before.data.clone());
        }
        match self.inner.rewrite(&changes, progress).await {
            Err(error) if self.flaw == TakesStaleForDone && matches!(error.kind, StoreErrorKind::Changed(_)) => Ok(()),
            other => other,
        }
    }

    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError> {
        self.inner.originals(run, after, limit).await
    }

    async fn undo(&mut self, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone, StoreError> {
        let mut undone = self.inner.undo(run, before, limit).await?;
        match self.flaw {
            UndoesOneBatchOnly => undone.next = None,
            HidesWhatItKept => undone.kept.clear(),
            _ => {}
        }
        Ok(undone)
    }

    async fn drop_originals(&mut self, run: RunId) -> Result<u64, StoreError> {
        self.inner.drop_originals(run).await
    }
}

#[async_trait]
impl CheckpointStore for BrokenWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let mut runs = self.inner.runs().await?;
        match self.flaw {
            OrdersRunsByUpdate => runs.sort_by_key(|run| run.updated_at),
            ForgetsParts => runs.iter_mut().for_each(|run| run.parts.dedup_by(|a, b| a.0 == b.0)),
            _ => {}
        }
        Ok(runs)
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.inner.record_run(run).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        match self.last {
            Some(last) => Ok(Some(last)),
            None => {
                let mut checkpoint = self.inner.checkpoint(run).await?;
                if let Some(checkpoint) = checkpoint.as_mut().filter(|_| self.flaw == ForgetsMinorPositions) {
                    checkpoint.source = Position::new(checkpoint.source.major());
                }
                Ok(checkpoint)
            }
        }
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut keys = keys.to_vec();
        if self.flaw == SortsState {
            keys.sort();
        }
        let mut values = self.inner.state(run, &keys).await?;
        if self.flaw == TakesEmptyStateForNone {
            values.iter_mut().for_each(|value| *value = value.take().filter(|value| !value.is_empty()));
        }
        Ok(values)
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        match self.flaw {
            IgnoresThePageSize => self.inner.positions(run, after, usize::MAX).await,
            PagesFromTheBeginning => self.inner.positions(run, None, limit).await,
            _ => self.inner.positions(run, after, limit).await,
        }
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        let found = self.inner.position_at(run, source).await?;
        Ok(found.filter(|found| self.flaw != FindsRangesOnlyAtTheirStart || found.source == source))
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        let mut late = self.inner.late_of(run, source).await?;
        if self.flaw == FindsOneLatePositionOnly {
            late.truncate(1);
        }
        Ok(late)
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        let found = self.inner.late_at(run, target).await?;
        Ok(found.filter(|found| self.flaw != FindsLateEventsOnlyAtTheirStart || found.target == target))
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let run = if self.flaw == SharesNotesOfRuns { shared_run() } else { run };
        let limit = if self.flaw == IgnoresTheNotesLimit { usize::MAX } else { limit };
        let book = if self.flaw == SharesBooks { "the only book" } else { book };
        let mut notes = self.inner.notes(run, book, after, limit).await?;
        match self.flaw {
            OrdersNotesByAlphabet => notes.sort_by_key(|(key, _)| key.to_lowercase()),
            TakesEmptyNotesForNone => notes.retain(|(_, value)| !value.is_empty()),
            _ => {}
        }
        Ok(notes)
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        let run = if self.flaw == SharesNotesOfRuns { shared_run() } else { run };
        let mut changes = changes.to_vec();
        match self.flaw {
            NeverStrikesOut => changes.retain(|change| change.value.is_some()),
            SharesBooks => changes.iter_mut().for_each(|change| change.book = "the only book".into()),
            _ => {}
        }
        self.inner.write_notes(run, &changes).await
    }
}

/// The run that a store without runs keeps all notes under.
fn shared_run() -> RunId {
    "00000000-0000-4000-8000-000000000000".parse().unwrap()
}
