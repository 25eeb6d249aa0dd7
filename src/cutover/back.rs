//! The way back: what was written to the target since the switch is carried to the source, and writers are switched back.

use std::time::{Duration, Instant};

use eventlift_events::{
    EventReader, EventWriter, FenceNotice, ReadRequest, RunId, RunRecord, RunState, Scope, Timestamp,
};
use futures_util::StreamExt;

use super::attendant::{Attendant, Moment};
use super::error::CutOverError;
use super::fencing::{FenceBy, hooks};
use super::forward::reach;
use super::record::{CutOver, CutOverStep};
use crate::pipeline::Tail;

/// What was written since is shown up to this many events.
const SHOWN: usize = 10;

/// What the way back is gone with.
pub struct BackParts<'a> {
    /// The target, for its ledger.
    pub target: Box<dyn EventWriter>,
    /// The same, to be read.
    pub target_events: std::sync::Arc<dyn EventReader>,
    /// The run.
    pub run: RunRecord,
    /// The stream from the target to the source, caught up; or why there is none. Not needed once it is drained.
    pub reverse: Result<Tail, String>,
    /// The source's fence.
    pub source_fence: FenceBy,
    /// How the target is fenced.
    pub target_fence: FenceBy,
    /// Who stands by.
    pub attendant: &'a mut dyn Attendant,
    /// How long writes under way are waited for.
    pub patience: Duration,
}

/// How the way back went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackOutcome {
    /// The record of the cut-over.
    pub record: CutOver,
    /// Whether it was over before.
    pub was_done: bool,
    /// For how long writers were refused; none where the target was fenced before this try.
    pub pause: Option<Duration>,
    /// How many events were carried back while the target was fenced.
    pub carried: u64,
}

/// Goes back to the source after a cut-over: when it returns `Ok`, the source holds everything that was written to the target
/// since the switch, nobody can write to the target, and writers use the source.
///
/// Every step is recorded; called again after a crash, it goes on. What fails before writers are switched back leaves
/// them with the target.
pub async fn go_back(parts: BackParts<'_>) -> Result<BackOutcome, CutOverError> {
    let run = parts.run.id;
    let record = CutOver::of(&*parts.target, run).await?;
    let Some(record) = record.filter(|record| record.step >= CutOverStep::Confirmed) else {
        return Err(CutOverError::Refused {
            problem: "there was no cut-over to go back from".to_owned(),
            hint: "`eventlift rollback` before a cut-over takes out what the run wrote".to_owned(),
        });
    };
    let mut way = Way { parts, run, record, fenced: None, carried: 0 };
    if way.record.step == CutOverStep::RolledBack {
        return Ok(way.outcome(true));
    }
    // From there on writers may use the source, and nothing can come to the target.
    if way.record.step < CutOverStep::BackDrained {
        way.make_ready().await?;
    }
    way.switch().await?;
    if let Ok(reverse) = &mut way.parts.reverse {
        reverse.end(None).await;
    }
    Ok(way.outcome(false))
}

struct Way<'a> {
    parts: BackParts<'a>,
    run: RunId,
    record: CutOver,
    fenced: Option<Instant>,
    carried: u64,
}

impl Way<'_> {
    /// Fences the target and carries back what is left. After an error the target is not fenced any more.
    async fn make_ready(&mut self) -> Result<(), CutOverError> {
        if self.parts.reverse.is_err() {
            // Found out before anybody has to wait.
            self.refuse_loss().await?;
        }
        let error = match self.fence_and_carry().await {
            Ok(()) => return Ok(()),
            Err(error @ CutOverError::Ended { .. }) => return Err(error),
            Err(error) => error,
        };
        match self.give_up(&error).await {
            Ok(()) => Err(error),
            Err(lifting) => Err(CutOverError::StillFenced { cause: Box::new(error), lifting: Box::new(lifting) }),
        }
    }

    async fn give_up(&mut self, error: &CutOverError) -> Result<(), CutOverError> {
        let BackParts { target_fence, attendant, .. } = &mut self.parts;
        if let FenceBy::Store(_) = target_fence {
            target_fence.lift(*attendant, self.run).await?;
        }
        self.record.problem = Some(error.to_string());
        self.done(CutOverStep::Done).await
    }

    async fn fence_and_carry(&mut self) -> Result<(), CutOverError> {
        let message = format!("the events of this store were moved back to {}", self.parts.run.details.source);
        let notice = FenceNotice { run: self.run, message, set_at: Timestamp::now(), expires_at: None };
        let BackParts { target_fence, patience, .. } = &mut self.parts;
        if let FenceBy::Store(fence) = target_fence {
            fence.set(&notice, *patience).await?;
        }
        if self.record.step < CutOverStep::BackFenced {
            self.fenced = Some(Instant::now());
        }
        self.done(CutOverStep::BackFenced).await?;
        match &mut self.parts.reverse {
            Ok(reverse) => {
                let before = reverse.outcome().counts.read;
                while reverse.carry_over().await? {}
                self.carried = reverse.outcome().counts.read - before;
            }
            Err(_) => self.refuse_loss().await?,
        }
        self.done(CutOverStep::BackDrained).await
    }

    /// Fails where anything was written to the target since the switch.
    async fn refuse_loss(&self) -> Result<(), CutOverError> {
        let Err(why) = &self.parts.reverse else { return Ok(()) };
        let request = ReadRequest::new(Scope::All).after(self.record.target_end);
        let mut batches = self.parts.target_events.read(request);
        let (mut events, mut first) = (0, Vec::new());
        while let Some(batch) = batches.next().await {
            for event in batch? {
                events += 1;
                if first.len() < SHOWN {
                    first.push(format!(
                        "{} {} ({}, revision {})",
                        event.event_type, event.id, event.stream, event.revision
                    ));
                }
            }
        }
        if events == 0 {
            return Ok(());
        }
        let target = self.parts.target.identity().to_string();
        Err(CutOverError::CannotCarryBack { target, events, first, why: why.clone() })
    }

    /// Lets writers in at the source, and switches them there.
    async fn switch(&mut self) -> Result<(), CutOverError> {
        let BackParts { source_fence, attendant, .. } = &mut self.parts;
        if self.record.step < CutOverStep::BackSwitched {
            source_fence.lift(*attendant, self.run).await?;
            hooks(*attendant, Moment::SwitchBack).await?;
            self.record.problem = None;
            self.done(CutOverStep::BackSwitched).await?;
        }
        self.parts.run.state = RunState::RolledBack;
        self.parts.run.updated_at = Timestamp::now();
        self.parts.target.record_run(&self.parts.run).await?;
        self.done(CutOverStep::RolledBack).await
    }

    async fn done(&mut self, step: CutOverStep) -> Result<(), CutOverError> {
        reach(self.parts.attendant, step, false)?;
        self.record.step = step;
        self.record.record(&mut *self.parts.target, self.run).await?;
        reach(self.parts.attendant, step, true)
    }

    fn outcome(self, was_done: bool) -> BackOutcome {
        let pause = self.fenced.map(|fenced| fenced.elapsed());
        BackOutcome { record: self.record, was_done, pause, carried: self.carried }
    }
}

/// Takes out what a run wrote, before any cut-over: afterwards the target is as empty as before. Fails where others have
/// written to the target, and where the cut-over is further than that. A fence that a failed cut-over has left is lifted.
pub async fn take_out(
    target: &mut dyn EventWriter,
    source_fence: &mut FenceBy,
    attendant: &mut dyn Attendant,
    run: &RunRecord,
) -> Result<(), CutOverError> {
    let record = CutOver::of(target, run.id).await?;
    if record.is_some_and(|record| record.step >= CutOverStep::Confirmed) {
        return Err(CutOverError::Refused {
            problem: "the source is fenced for good already".to_owned(),
            hint: "go back by the reverse stream".to_owned(),
        });
    }
    let written = match target.checkpoint(run.id).await? {
        Some(checkpoint) => checkpoint.target,
        None => target.load_ranges(run.id).await?.iter().filter_map(|range| range.done).max(),
    };
    if target.last_position().await? != written {
        return Err(CutOverError::ForeignEvents { target: target.identity().to_string() });
    }
    if let FenceBy::Store(_) = source_fence {
        source_fence.lift(attendant, run.id).await?;
    }
    let record = RunRecord { state: RunState::RolledBack, updated_at: Timestamp::now(), ..run.clone() };
    Ok(target.erase(None, &record).await?)
}
