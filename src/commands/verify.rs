//! `verify`: both sides read back and compared.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::RunState;
use serde::Serialize;

use super::arguments::MigrationArguments;
use super::error::{CommandError, ExitCode};
use super::event_view::{EventView, diff};
use super::migrate::{migration_options, stop_on_signals};
use super::output::{Format, Report};
use super::progress_line::ProgressLine;
use super::rules::registry;
use crate::config::Project;
use crate::pipeline::{self, Fingerprint, PipelineError, Refusal};

/// What a verification found.
#[derive(Debug, Serialize)]
pub(super) struct VerifyReport {
    source: String,
    target: String,
    /// Whether the target holds exactly what it should.
    agrees: bool,
    complete: bool,
    expected: u64,
    found: u64,
    differing_buckets: usize,
    first_difference: Option<DifferenceView>,
    seconds: f64,
}

/// The first event that differs.
#[derive(Debug, Serialize)]
struct DifferenceView {
    expected: Option<EventView>,
    found: Option<EventView>,
}

/// Verifies the target of a project against its source.
pub(super) async fn verify(arguments: &MigrationArguments, format: Format) -> Result<VerifyReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let target_config = project.require_target()?;
    let registry = Arc::new(registry(&project)?);
    let source = project.source.reader()?;
    let nothing = |problem: &str| CommandError::NothingToVerify {
        target: target_config.to_string(),
        problem: problem.to_owned(),
    };
    let Some(ledger) = target_config.ledger()? else { return Err(nothing("no run has filled it yet")) };
    let run = ledger.runs().await?.pop().ok_or_else(|| nothing("no run has filled it yet"))?;
    if run.state != RunState::Done {
        return Err(nothing("its run has not ended"));
    }
    let options = migration_options(arguments, &project);
    let target = target_config.reader()?;
    let fingerprint =
        Fingerprint::of(&registry, &options.scope, &options.policies).of_stores(source.reading(), target.reading());
    if !options.accept_changes
        && let Some(changes) = fingerprint.changes_since(&run)
    {
        return Err(PipelineError::from(Refusal::Changed { run: run.id.to_string(), changes }).into());
    }
    let checkpoint = ledger.checkpoint(run.id).await?;
    drop(ledger);
    let (source_name, target_name) = (source.identity().to_string(), target.identity().to_string());

    let begun = Instant::now();
    let total = checkpoint.map(|checkpoint| checkpoint.counts.written);
    let mut line = ProgressLine::new(format, "verifying", total, 0);
    let verification = match checkpoint {
        Some(checkpoint) => {
            let (until, stop) = (Some(checkpoint.source), stop_on_signals());
            pipeline::verify(source, target, registry, options, until, stop, |seen| {
                line.set(seen.expected.min(seen.found));
            })
            .await
        }
        // The source was empty, so the target has to be.
        None => pipeline::verify_empty(&*target).await,
    };
    line.end();
    let verification = verification?;
    Ok(VerifyReport {
        source: source_name,
        target: target_name,
        agrees: verification.agrees(),
        complete: verification.complete,
        expected: verification.expected,
        found: verification.found,
        differing_buckets: verification.differing_buckets,
        first_difference: verification.first.map(|difference| DifferenceView {
            expected: difference.expected.as_ref().map(EventView::of),
            found: difference.found.as_ref().map(EventView::of),
        }),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

impl Report for VerifyReport {
    fn exit_code(&self) -> ExitCode {
        match (self.agrees, self.complete) {
            (true, _) => ExitCode::Done,
            (false, true) => ExitCode::Differs,
            (false, false) => ExitCode::Stopped,
        }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {}", self.source, self.target)?;
        if !self.complete {
            return write!(f, "stopped after {} of the target's events; nothing is proved", self.found);
        }
        if self.agrees {
            return write!(f, "{} events on both sides, all the same ({:.1} s)", self.found, self.seconds);
        }
        writeln!(f, "the target differs: {} events expected, {} found", self.expected, self.found)?;
        let Some(first) = &self.first_difference else { return Ok(()) };
        match (&first.expected, &first.found) {
            (Some(expected), None) => write!(f, "the first difference: this event is missing\n{expected}"),
            (None, Some(found)) => write!(f, "the first difference: this event should not be there\n{found}"),
            (Some(expected), Some(found)) => {
                writeln!(f, "the first difference, at position {} (- expected, + found):", expected.position)?;
                write!(f, "{}", diff(&expected.to_string(), &found.to_string()))
            }
            (None, None) => Ok(()),
        }
    }
}
