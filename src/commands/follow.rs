//! `migrate --follow`: carries over what comes to the source, until stopped. Asked for its target, it lets go of it between two
//! batches: for good where writers are switched, and else until it is free again.

use std::time::Duration;

use eventlift_events::{RunState, StoreErrorKind};

use super::cutover::refuse_after_cut_over;
use super::error::{CommandError, ExitCode};
use super::fed::Fed;
use super::going_on::going_on;
use super::migrate::{MigrateReport, Work};
use super::output::{ErrorView, Format, say_error};
use super::progress_line::ProgressLine;
use crate::pipeline::{Following, Heartbeat, Outcome, Stop, StopHandle, last_that_fills};
use crate::stores::{Asking, Claim, StoreConfig};

/// How often it is looked whether a store that was let go of is free again.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How one time of following ended.
enum Followed {
    /// It was asked to stop, or the source can't be followed.
    Ended(Outcome),
    /// Somebody asked for the target, and has it or is about to.
    LetGo(Outcome, Asking),
    /// Somebody has taken the target since it was let go of last.
    Taken,
    /// Somebody has taken it over since, and is done: writers were switched, or the run was taken back.
    Over,
}

/// What became of a target that was let go of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LetGo {
    /// It is free, and is gone on with.
    IsFree,
    /// It was taken over for good.
    TakenOver,
    /// It was asked to stop meanwhile.
    Stopped,
}

/// Follows the source until it is asked to stop, brings the read models up to date, and adds what was done to the
/// report of the migration before.
pub(super) async fn follow(work: &Work<'_>, report: &mut MigrateReport) -> Result<(), CommandError> {
    let run = report.run.clone();
    let attempt = |heartbeat: Heartbeat| {
        // Both stores were there a moment ago: one that nobody answers from is down, and waited for.
        heartbeat.begun();
        attempt(work, &run, heartbeat)
    };
    let mut came_since = false;
    let is_done = loop {
        let (followed, retries) =
            going_on(&work.project.retry, work.format, &work.stop, attempt, || work.reach()).await?;
        report.retries += retries;
        let (outcome, ends) = match followed {
            Followed::Ended(outcome) => (Some(outcome), true),
            Followed::LetGo(outcome, asking) => {
                report.handed_over = asking == Asking::ForGood;
                (Some(outcome), report.handed_over)
            }
            Followed::Taken => (None, false),
            Followed::Over => {
                report.handed_over = true;
                break true;
            }
        };
        if let Some(outcome) = outcome {
            came_since |= outcome.counts.read > report.counts.read;
            work.add(report, &outcome);
        }
        if ends {
            // Whoever takes the target over does what is left.
            break report.handed_over || outcome.is_none_or(|outcome| outcome.done);
        }
        match let_go(work.target, &work.stop, work.format).await? {
            LetGo::IsFree => {}
            LetGo::TakenOver => {
                report.handed_over = true;
                break true;
            }
            LetGo::Stopped => break true,
        }
    };
    if came_since && !work.arguments.events_only {
        // It was asked to stop already, and this is how it ends.
        let fed = Fed::begin(work.project, work.target, false, None).await?;
        match fed.finish(work.project, true, &Stop::never()).await {
            Ok(lines) => report.read_models = lines.unwrap_or_default(),
            Err(error) => {
                report.exit_code = error.exit_code();
                report.read_models_error = Some(ErrorView::of(&error));
            }
        }
    }
    if !is_done {
        report.exit_code = ExitCode::Stopped;
    }
    Ok(())
}

async fn attempt(work: &Work<'_>, run: &str, heartbeat: Heartbeat) -> Result<Followed, CommandError> {
    let (letting_go, stop) = StopHandle::new();
    let migration = match work.open(Claim::of("migrate --follow").letting_go(), stop).await {
        Ok(migration) => migration,
        Err(CommandError::Store(error)) if matches!(error.kind, StoreErrorKind::Locked(_)) => {
            return match is_held_by_others(work.target).await {
                true => Ok(Followed::Taken),
                // A session of its own, which it has lost.
                false => Err(error.into()),
            };
        }
        Err(error) => return Err(error),
    };
    let last = last_that_fills(migration.target().runs().await?);
    let goes_on = last.is_some_and(|last| last.id.to_string() == run && last.state != RunState::RolledBack);
    if !goes_on || refuse_after_cut_over(migration.target(), migration.target().identity()).await.is_err() {
        return Ok(Followed::Over);
    }
    let mut progress = migration.progress();
    let mut line = ProgressLine::new(work.format, "following", None, migration.starting_point().await?.counts().read);
    let mut was_asked = None;
    let outcome = {
        let mut running = std::pin::pin!(migration.follow(Following::default()));
        let mut asked = std::pin::pin!(work.target.asked_for());
        let mut stopped = std::pin::pin!(work.stop.clone().asked());
        let mut is_stopping = false;
        loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                asking = &mut asked, if !is_stopping => {
                    (was_asked, is_stopping) = (Some(asking), true);
                    letting_go.stop();
                }
                () = &mut stopped, if !is_stopping => {
                    is_stopping = true;
                    letting_go.stop();
                }
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    heartbeat.progressed(now.counts.read);
                    if now.state == RunState::Done {
                        heartbeat.caught_up();
                    }
                    line.following(&now);
                }
            }
        }
    };
    line.end();
    let outcome = outcome?;
    Ok(match was_asked.filter(|_| !work.stop.is_asked()) {
        Some(asking) => Followed::LetGo(outcome, asking),
        None => Followed::Ended(outcome),
    })
}

/// Whether another process than this one has a store, as far as can be told.
async fn is_held_by_others(store: &StoreConfig) -> bool {
    match store.holder().await {
        Ok(Some(holder)) => !holder.is_this_process() && holder.is_alive() != Some(false),
        _ => false,
    }
}

/// Waits, behind somebody that a store was let go of for, until it is free again.
pub(super) async fn let_go(store: &StoreConfig, stop: &Stop, format: Format) -> Result<LetGo, CommandError> {
    let mut said = false;
    loop {
        if stop.is_asked() {
            return Ok(LetGo::Stopped);
        }
        // What can't be looked at now is looked at again.
        match (store.holder().await, store.standing_request().await) {
            (_, Ok(Some(Asking::ForGood))) => return Ok(LetGo::TakenOver),
            (Ok(Some(holder)), _) if holder.is_this_process() => {}
            (Ok(Some(holder)), _) if holder.takes_over => return Ok(LetGo::TakenOver),
            (Ok(Some(holder)), _) => {
                if !said && format == Format::Text {
                    say_error(format_args!("{store} is held by {holder}; it is gone on with afterwards"));
                }
                said = true;
            }
            (Ok(None), Ok(None)) => return Ok(LetGo::IsFree),
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
