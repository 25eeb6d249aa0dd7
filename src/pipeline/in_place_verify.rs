//! Verification of events that were rewritten where they are: the undo log says what they were.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{Event, EventRewriter, EventStream, Original, Position, ReadRequest, RunId, RunState, Scope};
use eventlift_transformers::Registry;
use futures_util::StreamExt;

use super::error::{PipelineError, Refusal};
use super::in_place::{InPlace, UndoLog};
use super::onto::began_after;
use super::policy::Policies;
use super::transform::{LiftedBatch, MOST_WORKERS, Origins, lift_batch};
use super::verify::{ByValue, Carried, Difference, comparable, is_same};

/// Originals are fetched in pages of this many.
const PAGE: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks

/// What a verification of rewritten events found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InPlaceVerification {
    /// The run.
    pub run: RunId,
    /// How many events were compared with what the rules make of their originals.
    pub rewritten: u64,
    /// How many events were never rewritten, and are to be left alone by the rules.
    pub untouched: u64,
    /// How many events differ from what they should be, or are gone.
    pub differing: u64,
    /// The first of those; expected alone where the event is gone.
    pub first: Option<Difference>,
    /// Everything behind this position was compared: what lies before it has no undo log any more.
    pub after: Option<Position>,
    /// Whether everything was compared: false if it was stopped.
    pub complete: bool,
    /// What was compared by value, and not to the byte.
    pub by_value: Vec<ByValue>,
}

impl InPlaceVerification {
    /// Whether the store holds exactly what it should.
    pub fn agrees(&self) -> bool {
        self.complete && self.differing == 0
    }
}

/// Rows as they are, and what they were.
struct Pair {
    rows: Vec<Event>,
    /// As many: the originals of those that were rewritten, and the others as they are.
    originals: Vec<Event>,
    rewritten: u64,
    /// Originals whose events are gone.
    gone: Vec<Original>,
}

/// The undo log, read along.
struct Log<'a> {
    rewriter: &'a dyn EventRewriter,
    run: RunId,
    page: VecDeque<Original>,
    after: Option<Position>,
    has_ended: bool,
}

impl Log<'_> {
    /// The next original at or before a position.
    async fn next_up_to(&mut self, position: Position) -> Result<Option<Original>, PipelineError> {
        if self.page.is_empty() && !self.has_ended {
            let page = self.rewriter.originals(self.run, self.after, PAGE).await.map_err(PipelineError::Target)?;
            self.has_ended = page.len() < PAGE.get();
            self.after = page.last().map_or(self.after, |last| Some(last.position));
            self.page = page.into();
        }
        if self.page.front().is_none_or(|next| next.position > position) {
            return Ok(None);
        }
        Ok(self.page.pop_front())
    }

    /// Pairs the rows of a batch with what they were.
    async fn pair(&mut self, rows: Vec<Event>) -> Result<Pair, PipelineError> {
        let mut pair =
            Pair { originals: Vec::with_capacity(rows.len()), rows: Vec::new(), rewritten: 0, gone: Vec::new() };
        for row in &rows {
            let mut original = None;
            while let Some(next) = self.next_up_to(row.position).await? {
                match next.position == row.position && next.id == row.id {
                    true => original = Some(next),
                    false => pair.gone.push(next),
                }
            }
            pair.rewritten += u64::from(original.is_some());
            pair.originals.push(original.map_or_else(|| row.clone(), |original| original.put_back(row)));
        }
        pair.rows = rows;
        Ok(pair)
    }
}

/// Where the reading is.
struct Reading<'a> {
    rows: EventStream,
    log: Log<'a>,
    until: Position,
    has_ended: bool,
}

impl Reading<'_> {
    /// The next rows with their originals; none at the end.
    async fn next(&mut self) -> Option<Result<Pair, PipelineError>> {
        if self.has_ended {
            return None;
        }
        if let Some(batch) = self.rows.next().await {
            return Some(match batch {
                Ok(rows) => self.log.pair(rows).await,
                Err(error) => Err(PipelineError::Source(error)),
            });
        }
        self.has_ended = true;
        let mut gone = Vec::new();
        loop {
            match self.log.next_up_to(self.until).await {
                Ok(Some(original)) => gone.push(original),
                Ok(None) => break,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(Pair { rows: Vec::new(), originals: Vec::new(), rewritten: 0, gone }))
    }
}

impl InPlace {
    /// Reads the store and the undo log of the last run side by side, in bounded memory. What the rules make of the
    /// originals has to be there, and events that were never rewritten have to be such that the rules leave them alone.
    /// Events behind the run's last one are not looked at.
    pub async fn verify(self, mut seen: impl FnMut(u64)) -> Result<InPlaceVerification, PipelineError> {
        let record = self.require_run().await?;
        let refused = |problem: String, hint: &'static str| PipelineError::from(Refusal::InPlace { problem, hint });
        let log = UndoLog::of(&*self.rewriter, record.id).await?;
        if record.state == RunState::RolledBack || log.is_undoing {
            return Err(refused(
                format!("run {} was taken back", record.id),
                "rewrite again with `eventlift rewrite --yes`",
            ));
        }
        if record.state != RunState::Done {
            return Err(refused(format!("run {} has not ended", record.id), "end it first: `eventlift rewrite --yes`"));
        }
        let checkpoint = self.rewriter.checkpoint(record.id).await.map_err(PipelineError::Target)?;
        let (carried, by_value) = comparable(&*self.store, &*self.store)?;
        let after = log.dropped_up_to.or_else(|| began_after(&record));
        let mut found = InPlaceVerification {
            run: record.id,
            rewritten: 0,
            untouched: 0,
            differing: 0,
            first: None,
            after,
            complete: true,
            by_value,
        };
        // A store that held nothing holds nothing that was rewritten.
        let Some(until) = checkpoint.map(|checkpoint| checkpoint.source) else { return Ok(found) };
        if log.dropped_up_to == Some(until) {
            return Err(refused(format!("the undo log of run {} was dropped", record.id), "verify before dropping it"));
        }
        let request =
            ReadRequest::new(Scope::All).after(after).until(Some(until)).batch_events(self.options.batch_events);
        let rewriter: &dyn EventRewriter = &*self.rewriter;
        let log = Log { rewriter, run: record.id, page: VecDeque::new(), after: None, has_ended: false };
        let reading = Reading { rows: self.store.read(request), log, until, has_ended: false };
        let (registry, policies) = (&self.registry, self.options.policies);
        let pairs = futures_util::stream::unfold(reading, async |mut reading| {
            let pair = reading.next().await?;
            Some((pair, reading))
        });
        let workers = self.options.workers.get().min(MOST_WORKERS);
        let compared = pairs
            .take_until(self.stop.clone().asked())
            .map(|pair| compare_apart(pair, Arc::clone(registry), policies, carried))
            .buffered(workers);
        let mut compared = std::pin::pin!(compared);
        while let Some(part) = compared.next().await {
            let part = part?;
            found.rewritten += part.rewritten;
            found.untouched += part.untouched;
            found.differing += part.differing;
            found.first = found.first.or(part.first);
            seen(found.rewritten + found.untouched);
        }
        found.complete = !self.stop.is_asked();
        Ok(found)
    }
}

/// What the comparison of a batch came to.
#[derive(Default)]
struct Compared {
    rewritten: u64,
    untouched: u64,
    differing: u64,
    first: Option<Difference>,
}

async fn compare_apart(
    pair: Result<Pair, PipelineError>,
    registry: Arc<Registry>,
    policies: Policies,
    carried: Carried,
) -> Result<Compared, PipelineError> {
    let pair = pair?;
    match tokio::task::spawn_blocking(move || compare(pair, &registry, policies, carried)).await {
        Ok(compared) => compared,
        // A rule's own code panicked: that is the caller's bug, and the caller hears of it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn compare(pair: Pair, registry: &Registry, policies: Policies, carried: Carried) -> Result<Compared, PipelineError> {
    let LiftedBatch { events, failed, .. } = lift_batch(registry, policies, Origins::Implied, pair.originals);
    if let Some(error) = failed {
        return Err(error);
    }
    let mut compared = Compared {
        rewritten: pair.rewritten,
        untouched: pair.rows.len() as u64 - pair.rewritten,
        differing: pair.gone.len() as u64,
        first: None,
    };
    for (expected, row) in events.into_iter().zip(pair.rows) {
        if expected.position == row.position && is_same(&expected, &row, carried) {
            continue;
        }
        compared.differing += 1;
        compared.first.get_or_insert(Difference { expected: Some(expected), found: Some(row) });
    }
    Ok(compared)
}
