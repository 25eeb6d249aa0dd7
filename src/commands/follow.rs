//! `migrate --follow`: carries over what comes to the source, until stopped.

use eventlift_events::RunState;

use super::error::{CommandError, ExitCode};
use super::fed::Fed;
use super::going_on::going_on;
use super::migrate::{MigrateReport, Work};
use super::output::ErrorView;
use super::progress_line::ProgressLine;
use crate::pipeline::{Following, Heartbeat, Outcome, Stop};

/// Follows the source until it is asked to stop, brings the read models up to date, and adds what was done to the
/// report of the migration before.
pub(super) async fn follow(work: &Work<'_>, report: &mut MigrateReport) -> Result<(), CommandError> {
    let attempt = |heartbeat: Heartbeat| {
        // Both stores were there a moment ago: one that nobody answers from is down, and waited for.
        heartbeat.begun();
        attempt(work, heartbeat)
    };
    let (outcome, retries) = going_on(&work.project.retry, work.format, &work.stop, attempt, || work.reach()).await?;
    let done_before = work.start.get().map(|start| start.counts()).unwrap_or_default();
    report.read_now = outcome.counts.read - done_before.read;
    report.written_now = outcome.counts.written - done_before.written;
    let came_since = outcome.counts.read > report.counts.read;
    report.counts = outcome.counts;
    report.quarantined = outcome.quarantined;
    report.source_position = outcome.source.map(|position| position.to_string());
    report.retries += retries;
    report.seconds = work.begun.elapsed().as_secs_f64();
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
    report.handed_over = work.listening.has_handed_over();
    if !outcome.done {
        report.exit_code = ExitCode::Stopped;
    }
    Ok(())
}

async fn attempt(work: &Work<'_>, heartbeat: Heartbeat) -> Result<Outcome, CommandError> {
    let migration = work.open().await?;
    work.listening.follows();
    let mut progress = migration.progress();
    let mut line = ProgressLine::new(work.format, "following", None, migration.starting_point().await?.counts().read);
    let outcome = {
        let mut running = std::pin::pin!(migration.follow(Following::default()));
        loop {
            tokio::select! {
                outcome = &mut running => break outcome,
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
    Ok(outcome?)
}
