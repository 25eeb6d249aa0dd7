//! The cut-over: catch up, fence, drain, verify, check, confirm, switch.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use eventlift_events::{CheckpointStore, EventWriter, FenceNotice, Position, RunId, Timestamp};

use super::attendant::{Attendant, Boundary, Failure, Moment};
use super::error::CutOverError;
use super::fencing::FenceBy;
use super::record::{CutOver, CutOverStep};
use crate::pipeline::{GrowingVerification, Tail};

/// After so many rounds that were no shorter than one before, more of them are of no use: the machine is that slow.
const STEADY: u32 = 10;
/// A round may then take this part of the budget, since the fence, and the last round behind it, take about as long each.
const BUDGET_SHARE: u32 = 4;

/// How a cut-over is done.
#[derive(Clone, Debug)]
pub struct CutOverOptions {
    /// How long the source may refuse writes before everything is ready for the switch; then the fence is lifted.
    pub budget: Duration,
    /// How long writes under way are waited for.
    pub patience: Duration,
    /// The source is fenced once carrying over what has come, and comparing it, takes no longer than this; or once that does
    /// not get shorter any more, and takes a quarter of the budget at most.
    pub settled: Duration,
    /// How often that is tried.
    pub most_passes: u32,
    /// Who does it: user and host.
    pub by: String,
    /// What writers are told that the fence keeps out.
    pub message: String,
}

impl Default for CutOverOptions {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(30),
            patience: Duration::from_secs(5),
            settled: Duration::from_millis(250),
            most_passes: 100,
            by: String::new(),
            message: "the events of this store are being moved".to_owned(),
        }
    }
}

/// What a cut-over is done with.
pub struct CutOverParts<'a> {
    /// The migration, caught up.
    pub tail: Tail,
    /// Compares both sides.
    pub verification: GrowingVerification,
    /// How the source is fenced.
    pub fence: FenceBy,
    /// How the target could be, for the case that the switch fails.
    pub target_fence: Option<FenceBy>,
    /// Who stands by.
    pub attendant: &'a mut dyn Attendant,
    /// How.
    pub options: CutOverOptions,
}

/// How a cut-over went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutOverOutcome {
    /// Its record.
    pub record: CutOver,
    /// Whether it was over before: nothing was done now.
    pub was_done: bool,
    /// For how long writers were refused: from when the fence stood until they were switched. None where the fence was
    /// set before this try, or by others.
    pub pause: Option<Duration>,
    /// How long each step took, in order.
    pub steps: Vec<(CutOverStep, Duration)>,
    /// How many events were carried over while the source was fenced.
    pub drained: u64,
    /// How many events of the target were compared.
    pub verified: u64,
}

/// Cuts over: when it returns `Ok`, the target holds exactly what the source does, nobody can write to the source, and the
/// hooks have switched writers to the target.
///
/// Every step is recorded in the target's ledger before the next one begins. What fails before the fence is confirmed
/// lifts the fence again, and so does running out of time; a process that dies leaves a fence that falls when the budget is
/// over. Called again, it begins anew up to there, and goes on with the switch from there.
pub async fn cut_over(parts: CutOverParts<'_>) -> Result<CutOverOutcome, CutOverError> {
    let CutOverParts { mut tail, verification, fence, target_fence, attendant, options } = parts;
    let run = tail.run();
    let recorded = CutOver::of(tail.target_mut(), run).await?;
    let now = Timestamp::now();
    let fresh = CutOver {
        step: CutOverStep::Begun,
        began_at: now,
        by: options.by.clone(),
        fenced_at: None,
        expires_at: None,
        switched_at: None,
        source_end: None,
        target_end: None,
        problem: None,
    };
    let mut cut_over = Work {
        run,
        record: recorded.clone().unwrap_or_else(|| fresh.clone()),
        tail,
        verification,
        fence,
        target_fence,
        attendant,
        options,
        fenced: None,
        pause: None,
        steps: Vec::new(),
        drained: 0,
    };
    let mut is_ready = Ok(());
    match recorded.map(|record| record.step) {
        Some(CutOverStep::Done) => return Ok(cut_over.outcome(true)),
        Some(
            CutOverStep::BackFenced | CutOverStep::BackDrained | CutOverStep::BackSwitched | CutOverStep::RolledBack,
        ) => {
            return Err(CutOverError::Refused {
                problem: "the way back was begun already".to_owned(),
                hint: "end it with `eventlift rollback`, and migrate into a new target".to_owned(),
            });
        }
        Some(CutOverStep::Confirmed | CutOverStep::Switched) => {}
        _ => {
            cut_over.record = fresh;
            is_ready = cut_over.make_ready().await;
        }
    }
    let done = match is_ready {
        Ok(()) => cut_over.switch().await,
        failed => failed,
    };
    // Ended between two steps, it leaves everything as it is.
    if !matches!(done, Err(CutOverError::Ended { .. })) {
        let failed = done.as_ref().err().map(ToString::to_string);
        cut_over.tail.end(failed.as_deref()).await;
    }
    done.map(|()| cut_over.outcome(false))
}

/// Goes on with a cut-over that was ended in the middle of the switch, when writers may use the target already: the hooks run
/// again, and it is over. None where that is not so, and [`cut_over`] has to do the rest, or all of it.
pub async fn finish_switch(
    target: &mut dyn EventWriter,
    run: RunId,
    attendant: &mut dyn Attendant,
) -> Result<Option<CutOverOutcome>, CutOverError> {
    let Some(mut record) = CutOver::of(target, run).await? else { return Ok(None) };
    let is_in_the_middle = matches!(record.step, CutOverStep::Confirmed | CutOverStep::Switched);
    // Up to the last event that was carried over, everything can still be done in order.
    let is_written_to = is_in_the_middle && target.last_position().await? != record.target_end;
    if record.step != CutOverStep::Done && !is_written_to {
        return Ok(None);
    }
    let was_done = record.step == CutOverStep::Done;
    let mut steps = Vec::new();
    if !was_done {
        for step in [CutOverStep::Switched, CutOverStep::Done] {
            let begun = Instant::now();
            if step == CutOverStep::Switched {
                let switched = attendant.hooks(Moment::Switch).await;
                switched.map_err(|failure| CutOverError::HalfSwitched { failure })?;
                record.switched_at.get_or_insert_with(Timestamp::now);
            }
            reach(attendant, step, false)?;
            record.step = step;
            record.problem = None;
            record.record(target, run).await?;
            steps.push((step, begun.elapsed()));
            reach(attendant, step, true)?;
        }
    }
    Ok(Some(CutOverOutcome { record, was_done, pause: None, steps, drained: 0, verified: 0 }))
}

/// Tells who stands by, and ends it where they say so.
pub(super) fn reach(attendant: &mut dyn Attendant, step: CutOverStep, recorded: bool) -> Result<(), CutOverError> {
    match attendant.reached(Boundary { step, recorded }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CutOverError::Ended { step, recorded }),
    }
}

struct Work<'a> {
    run: RunId,
    record: CutOver,
    tail: Tail,
    verification: GrowingVerification,
    fence: FenceBy,
    target_fence: Option<FenceBy>,
    attendant: &'a mut dyn Attendant,
    options: CutOverOptions,
    /// When the fence came to stand, in this try.
    fenced: Option<Instant>,
    /// From then until the hooks had switched writers.
    pause: Option<Duration>,
    steps: Vec<(CutOverStep, Duration)>,
    drained: u64,
}

impl Work<'_> {
    /// Everything up to the confirmed fence. After an error the fence is lifted, unless it was ended between two steps.
    async fn make_ready(&mut self) -> Result<(), CutOverError> {
        let source = self.tail.source().identity().to_string();
        self.fence.refuse_other(self.run, &source).await?;
        // What a try before has left, if it has.
        self.fence_falls().await?;
        self.done(CutOverStep::Begun, Instant::now()).await?;
        self.catch_up().await?;
        let ready = self.fence_and_prove().await;
        let error = match ready {
            Ok(()) => return Ok(()),
            Err(error @ CutOverError::Ended { .. }) => return Err(error),
            Err(error) => error,
        };
        match self.give_up(&error).await {
            Ok(()) => Err(error),
            Err(lifting) => Err(CutOverError::StillFenced { cause: Box::new(error), lifting: Box::new(lifting) }),
        }
    }

    /// Lifts the fence, without a word where none stands.
    async fn fence_falls(&mut self) -> Result<(), CutOverError> {
        match &mut self.fence {
            // There hooks would be run for nothing.
            FenceBy::Hooks if self.record.fenced_at.is_none() => Ok(()),
            fence => fence.lift(self.attendant, self.run).await,
        }
    }

    async fn give_up(&mut self, error: &CutOverError) -> Result<(), CutOverError> {
        self.fence.lift(self.attendant, self.run).await?;
        self.record.problem = Some(error.to_string());
        self.done(CutOverStep::Lifted, Instant::now()).await
    }

    /// Carries over and compares what has come, until that is quickly done, or does not get quicker any more and fits into the
    /// time that writers may be refused.
    async fn catch_up(&mut self) -> Result<(), CutOverError> {
        let (mut last, mut shortest, mut steady) = (Duration::ZERO, Duration::MAX, 0);
        for _ in 0..self.options.most_passes {
            let begun = Instant::now();
            self.tail.carry_over().await?;
            self.compare().await?;
            last = begun.elapsed();
            steady = if last < shortest.mul_f64(0.9) { 0 } else { steady + 1 };
            shortest = shortest.min(last);
            let fits = last <= self.options.budget / BUDGET_SHARE;
            if last <= self.options.settled || steady >= STEADY && fits {
                return Ok(());
            }
        }
        Err(CutOverError::NeverCaughtUp { passes: self.options.most_passes, last })
    }

    async fn compare(&mut self) -> Result<(), CutOverError> {
        if let Some(checkpoint) = self.tail.checkpoint() {
            self.verification.advance(checkpoint).await?;
        }
        match self.verification.differing_buckets() {
            0 => Ok(()),
            buckets => Err(CutOverError::Differs { buckets }),
        }
    }

    async fn fence_and_prove(&mut self) -> Result<(), CutOverError> {
        let begun = Instant::now();
        let set_at = Timestamp::now();
        let budget = i64::try_from((self.options.budget + self.options.patience).as_micros()).unwrap_or(i64::MAX);
        let expires_at = Timestamp::from_micros(set_at.micros().saturating_add(budget)).ok();
        let notice = FenceNotice { run: self.run, message: self.options.message.clone(), set_at, expires_at };
        self.fence.set(self.attendant, &notice, self.options.patience).await?;
        let fenced = Instant::now();
        self.fenced = Some(fenced);
        self.record.fenced_at = Some(Timestamp::now());
        self.record.expires_at = expires_at.filter(|_| matches!(self.fence, FenceBy::Store(_)));
        let budget = self.options.budget;
        let proved = tokio::time::timeout(budget, async {
            self.done(CutOverStep::Fenced, begun).await?;
            self.drain_and_prove().await
        });
        let proved = proved.await;
        proved.unwrap_or_else(|_| Err(CutOverError::OverBudget { budget, reached: self.record.step }))
    }

    async fn drain_and_prove(&mut self) -> Result<(), CutOverError> {
        let begun = Instant::now();
        self.record.source_end = self.source_end().await?;
        // A fence leaves nothing under way, so one look would do; what others have fenced is looked at until it rests.
        let before = self.tail.outcome().counts.read;
        while self.tail.carry_over().await? {}
        self.drained = self.tail.outcome().counts.read - before;
        self.record.target_end = self.tail.checkpoint().and_then(|checkpoint| checkpoint.target);
        self.done(CutOverStep::Drained, begun).await?;

        let begun = Instant::now();
        self.compare().await?;
        let target = self.tail.target_mut();
        if target.last_position().await? != self.record.target_end {
            return Err(CutOverError::ForeignEvents { target: target.identity().to_string() });
        }
        self.done(CutOverStep::Verified, begun).await?;

        let begun = Instant::now();
        self.attendant.checks().await.map_err(CutOverError::Checks)?;
        self.done(CutOverStep::Checked, begun).await?;

        let begun = Instant::now();
        if self.source_end().await? != self.record.source_end {
            return Err(CutOverError::StillWritten { store: self.tail.source().identity().to_string() });
        }
        self.fence.confirm(self.run).await?;
        self.record.expires_at = None;
        self.done(CutOverStep::Confirmed, begun).await
    }

    async fn source_end(&self) -> Result<Option<Position>, CutOverError> {
        Ok(self.tail.source().head().await?)
    }

    /// The hooks, behind the confirmed fence. Where they fail and nobody has written to the target yet, writers are switched
    /// back and the fence is lifted.
    async fn switch(&mut self) -> Result<(), CutOverError> {
        if self.record.step < CutOverStep::Switched {
            let begun = Instant::now();
            self.close_windows().await?;
            if let Err(failure) = self.attendant.hooks(Moment::Switch).await {
                return Err(self.take_the_switch_back(failure).await);
            }
            self.pause = self.fenced.map(|fenced| fenced.elapsed());
            self.record.switched_at = Some(Timestamp::now());
            self.record.problem = None;
            self.done(CutOverStep::Switched, begun).await?;
        }
        self.done(CutOverStep::Done, Instant::now()).await
    }

    /// Merges that waited for more have all that comes. Behind the confirmed fence, since a run can't go on then.
    async fn close_windows(&mut self) -> Result<(), CutOverError> {
        if !self.tail.close_windows().await? {
            return Ok(());
        }
        self.record.target_end = self.tail.checkpoint().and_then(|checkpoint| checkpoint.target);
        self.record.record(self.tail.target_mut(), self.run).await?;
        // What an earlier try had compared, this one has not.
        if self.fenced.is_none() {
            return Ok(());
        }
        self.verification.close_windows(self.record.target_end).await?;
        match self.verification.differing_buckets() {
            0 => Ok(()),
            buckets => Err(CutOverError::Differs { buckets }),
        }
    }

    async fn take_the_switch_back(&mut self, failure: Failure) -> CutOverError {
        let error = CutOverError::Hook { moment: Moment::Switch, failure: failure.clone() };
        match self.switch_back(&error).await {
            Ok(true) => error,
            Ok(false) => CutOverError::HalfSwitched { failure },
            Err(ended @ CutOverError::Ended { .. }) => ended,
            Err(lifting) => CutOverError::StillFenced { cause: Box::new(error), lifting: Box::new(lifting) },
        }
    }

    /// Whether nobody has written to the target, so that writers are switched back and the fence is lifted.
    async fn switch_back(&mut self, error: &CutOverError) -> Result<bool, CutOverError> {
        let Some(target_fence) = &mut self.target_fence else { return Ok(false) };
        let message = "a cut-over to this store has failed".to_owned();
        let notice = FenceNotice { run: self.run, message, set_at: Timestamp::now(), expires_at: None };
        target_fence.set(self.attendant, &notice, self.options.patience).await?;
        let is_untouched = self.tail.target_mut().last_position().await? == self.record.target_end;
        if is_untouched {
            super::fencing::hooks(self.attendant, Moment::SwitchBack).await?;
            self.give_up(error).await?;
        }
        if let Some(target_fence) = &mut self.target_fence {
            target_fence.lift(self.attendant, self.run).await?;
        }
        Ok(is_untouched)
    }

    /// Records that a step was done.
    async fn done(&mut self, step: CutOverStep, begun: Instant) -> Result<(), CutOverError> {
        reach(self.attendant, step, false)?;
        self.record.step = step;
        let ledger: &mut dyn CheckpointStore = self.tail.target_mut();
        self.record.record(ledger, self.run).await?;
        self.steps.push((step, begun.elapsed()));
        reach(self.attendant, step, true)
    }

    fn outcome(self, was_done: bool) -> CutOverOutcome {
        let pause = self.pause.filter(|_| !matches!(self.fence, FenceBy::Already));
        CutOverOutcome {
            was_done,
            pause,
            steps: self.steps,
            drained: self.drained,
            verified: self.verification.compared().found,
            record: self.record,
        }
    }
}
