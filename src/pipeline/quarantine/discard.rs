//! Giving up events that are in quarantine, for good.

use std::sync::Arc;

use eventlift_events::{EventWriter, RunRecord, StreamName, Timestamp};
use eventlift_transformers::Registry;

use super::books::{Discarded, QuarantinedStream, discarded_note};
use super::release::{Page, commit, not_tried, resume, wanted};
use crate::pipeline::error::PipelineError;

/// What is given up, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discard {
    /// Of this stream.
    pub stream: StreamName,
    /// All of its events that are held; otherwise only the one that fails.
    pub all: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Gives up events of a stream: they count as if a rule had dropped them, so what comes behind them in the stream moves
/// up. Each is recorded in the ledger. Returns how many there were. What waits behind the failing event goes on
/// waiting until it is released.
pub async fn discard(
    target: &mut dyn EventWriter,
    registry: &Arc<Registry>,
    run: &RunRecord,
    discard: &Discard,
) -> Result<u64, PipelineError> {
    let Some(mut stream) = wanted(&*target, run, std::slice::from_ref(&discard.stream)).await?.pop() else {
        return Ok(0);
    };
    let mut sequencer = resume(&*target, registry, run).await?;
    let mut given_up = 0;
    loop {
        let mut page = Page::read(&*target, run, &stream).await?;
        if !discard.all {
            let behind = page.held.drain(1.min(page.held.len())..).next().map(|held| held.event);
            page.next = behind.or(page.next);
        }
        for held in &page.held {
            sequencer.give_up(held.event.position, &*target).await?;
            sequencer.holding_mut().note(discarded_note(&Discarded {
                stream: stream.stream.clone(),
                failed: stream.failed.at(&held.event),
                by: discard.by.clone(),
                at: Timestamp::now(),
                why: discard.why.clone(),
            }));
        }
        let count = page.held.len() as u64;
        let left = page.next.as_ref().map(|next| QuarantinedStream {
            failed: not_tried(&stream, next),
            held: stream.held.saturating_sub(count),
            ..stream.clone()
        });
        sequencer.holding_mut().take_out(&stream, &page.keys(page.held.len()), left.as_ref());
        commit(target, &mut sequencer, run, &[]).await?;
        given_up += count;
        match left {
            Some(left) if discard.all => stream = left,
            _ => return Ok(given_up),
        }
    }
}
