//! `verify`: both sides read back and compared.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{Event, RunState};
use futures_util::stream::BoxStream;
use serde::Serialize;

use super::arguments::MigrationArguments;
use super::compared::{ComparedLine, compare_aggregates, compare_read_models};
use super::error::{CommandError, ExitCode};
use super::event_view::{EventView, event_diff};
use super::going_on::{going_on, went_on};
use super::migrate::{migration_options, stop_on_signals};
use super::output::{Format, Report};
use super::progress_line::ProgressLine;
use super::rules::registry;
use crate::config::Project;
use crate::cutover::{CutOver, CutOverStep};
use crate::pipeline::quarantine::{Apart, Quarantined};
use crate::pipeline::{self, ByValue, Fingerprint, Heartbeat, MigrationOptions, PipelineError, Refusal, Stop};

/// What a verification found.
#[derive(Debug, Serialize)]
pub(super) struct VerifyReport {
    source: String,
    /// Whether everything is what it should be.
    agrees: bool,
    complete: bool,
    #[serde(flatten)]
    events: Option<EventsView>,
    read_models: Vec<ComparedLine>,
    /// How often it began anew by itself after a store could not be reached.
    retries: u32,
    seconds: f64,
}

/// How the target's events fared.
#[derive(Debug, Serialize)]
struct EventsView {
    target: String,
    /// Whether the target holds exactly what it should.
    #[serde(skip)]
    agrees: bool,
    #[serde(skip)]
    complete: bool,
    expected: u64,
    found: u64,
    differing_buckets: usize,
    /// What is in quarantine, and so on neither side.
    quarantined: Quarantined,
    /// How many events were given up, and are on neither side.
    discarded: u64,
    /// Whether each stream was compared in its order, without positions: events were released behind the last one.
    compared_by_stream: bool,
    /// What was compared by value, and why.
    compared_by_value: Vec<ByValueView>,
    first_difference: Option<DifferenceView>,
}

/// A part of events that was compared by value, since a store keeps no more of it.
#[derive(Debug, Serialize)]
pub(super) struct ByValueView {
    part: String,
    store: String,
}

impl ByValueView {
    pub(super) fn of(by_value: &ByValue) -> Self {
        Self { part: by_value.part.to_string(), store: by_value.store.clone() }
    }
}

/// The same in as few lines as can be: stores that keep the same parts by value share one.
pub(super) fn by_value_lines(views: &[ByValueView]) -> Vec<String> {
    let mut parts_of: Vec<(&str, Vec<&str>)> = Vec::new();
    for ByValueView { part, store } in views {
        match parts_of.iter_mut().find(|(known, _)| known == store) {
            Some((_, parts)) => parts.push(part),
            None => parts_of.push((store, vec![part])),
        }
    }
    let mut stores_of: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for (store, parts) in parts_of {
        match stores_of.iter_mut().find(|(known, _)| *known == parts) {
            Some((_, stores)) => stores.push(store),
            None => stores_of.push((parts, vec![store])),
        }
    }
    let line = |(parts, stores): &(Vec<&str>, Vec<&str>)| {
        let (are, they, its) = if parts.len() > 1 { ("are", "they are", "their") } else { ("is", "it is", "its") };
        let not = if stores.len() > 1 { "do not keep" } else { "does not keep" };
        let (parts, stores) = (parts.join(" and "), stores.join(" and "));
        format!("{parts} {are} compared by value where {they} JSON: {stores} {not} {its} text")
    };
    stores_of.iter().map(line).collect()
}

/// The first event that differs.
#[derive(Debug, Serialize)]
struct DifferenceView {
    expected: Option<EventView>,
    found: Option<EventView>,
}

/// Verifies the target of a project against its source, and what was folded from it.
pub(super) async fn verify(arguments: &MigrationArguments, format: Format) -> Result<VerifyReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let stop = stop_on_signals();
    let attempt = |heartbeat| attempt(&project, arguments, format, &stop, heartbeat);
    let reach = || async {
        project.source.reach().await?;
        match &project.target {
            Some(target) => target.reach().await,
            None => Ok(()),
        }
    };
    let (mut report, retries) = going_on(&project.retry, format, &stop, attempt, reach).await?;
    report.retries = retries;
    Ok(report)
}

async fn attempt(
    project: &Project,
    arguments: &MigrationArguments,
    format: Format,
    stop: &Stop,
    heartbeat: Heartbeat,
) -> Result<VerifyReport, CommandError> {
    let begun = Instant::now();
    let source = project.source.to_string();
    let (mut events, mut read_models) = (None, Vec::new());
    // A project without a target has read models alone.
    if project.target.is_some() || project.read_models.is_none() {
        let verified = verify_events(project, arguments, format, stop, &heartbeat).await?;
        events = Some(verified.view);
        if let Some(expected) = verified.expected.filter(|_| !arguments.events_only && !stop.is_asked()) {
            read_models.extend(compare_aggregates(project, expected, format, stop).await?);
        }
    }
    if !arguments.events_only && !stop.is_asked() {
        read_models.extend(compare_read_models(project, format, stop).await?);
    }
    let complete = !stop.is_asked() && events.as_ref().is_none_or(|events| events.complete);
    let agrees = events.as_ref().is_none_or(|events| events.agrees);
    let agrees = agrees && complete && read_models.iter().all(|line| line.agrees != Some(false));
    Ok(VerifyReport {
        source,
        agrees,
        complete,
        events,
        read_models,
        retries: 0,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// What the comparison of events found, and the events that the target should hold, to be folded.
struct VerifiedEvents {
    view: EventsView,
    expected: Option<BoxStream<'static, Result<Vec<Event>, PipelineError>>>,
}

async fn verify_events(
    project: &Project,
    arguments: &MigrationArguments,
    format: Format,
    stop: &Stop,
    heartbeat: &Heartbeat,
) -> Result<VerifiedEvents, CommandError> {
    let target_config = project.require_target()?;
    let registry = Arc::new(registry(project)?);
    let source = project.source.reader().await?;
    heartbeat.begun();
    let nothing = |problem: &str| CommandError::NothingToVerify {
        target: target_config.to_string(),
        problem: problem.to_owned(),
    };
    let Some(ledger) = target_config.ledger().await? else { return Err(nothing("no run has filled it yet")) };
    let run =
        crate::pipeline::last_that_fills(ledger.runs().await?).ok_or_else(|| nothing("no run has filled it yet"))?;
    if run.state != RunState::Done {
        return Err(nothing("its run has not ended"));
    }
    let options = migration_options(arguments, project);
    let target = target_config.reader().await?;
    let fingerprint =
        Fingerprint::of(&registry, &options.scope, &options.policies).of_stores(source.reading(), target.reading());
    if !options.accept_changes
        && let Some(changes) = fingerprint.changes_since(&run)
    {
        return Err(PipelineError::from(Refusal::Changed { run: run.id.to_string(), changes }).into());
    }
    let checkpoint = ledger.checkpoint(run.id).await?;
    // Since a cut-over, writers use the target.
    let cut_over = CutOver::of(&*ledger, run.id).await?.filter(|record| record.step >= CutOverStep::Confirmed);
    let end = cut_over.and_then(|record| record.target_end);
    let apart = Arc::new(Apart::of(&*ledger, run.id).await?.up_to(end));
    let closed = pipeline::all_windows_closed(run.id, &*ledger).await?;
    let options = MigrationOptions { close_windows: closed, ..options };
    drop(ledger);
    let target_name = target.identity().to_string();

    let total = checkpoint.map(|checkpoint| checkpoint.counts.written);
    let mut line = ProgressLine::new(format, "verifying", total, 0);
    let until = checkpoint.map(|checkpoint| checkpoint.source);
    let verification = match until {
        Some(_) => {
            let (source, registry, options) = (Arc::clone(&source), Arc::clone(&registry), options.clone());
            let apart = Arc::clone(&apart);
            pipeline::verify_apart(source, target, registry, options, until, apart, stop.clone(), |seen| {
                heartbeat.progressed(seen.expected + seen.found);
                line.set(seen.expected.min(seen.found));
            })
            .await
        }
        // The source was empty, so the target has to be.
        None => pipeline::verify_empty(&*target).await,
    };
    line.end();
    let verification = verification?;
    let left_out = Arc::clone(&apart);
    let expected =
        until.map(|_| pipeline::expected_events_apart(source, registry, options, until, left_out, stop.clone()));
    let view = EventsView {
        target: target_name,
        agrees: verification.agrees(),
        complete: verification.complete,
        expected: verification.expected,
        found: verification.found,
        differing_buckets: verification.differing_buckets,
        quarantined: apart.quarantined(),
        discarded: apart.discarded(),
        compared_by_stream: apart.has_moved_positions(),
        compared_by_value: verification.by_value.iter().map(ByValueView::of).collect(),
        first_difference: verification.first.map(|difference| DifferenceView {
            expected: difference.expected.as_ref().map(EventView::of),
            found: difference.found.as_ref().map(EventView::of),
        }),
    };
    Ok(VerifiedEvents { view, expected })
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
        match &self.events {
            Some(events) => {
                writeln!(f, "{} → {}", self.source, events.target)?;
                if !self.complete {
                    return write!(f, "stopped after {} of the target's events; nothing is proved", events.found);
                }
                writeln!(f, "{events}")?;
                events.write_left_out(f)?;
                by_value_lines(&events.compared_by_value).iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
            None => writeln!(f, "{}", self.source)?,
        }
        if !self.complete {
            return write!(f, "stopped; nothing is proved");
        }
        self.read_models.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if let Some(went_on) = went_on(self.retries) {
            writeln!(f, "{went_on}")?;
        }
        match self.agrees {
            true => write!(f, "verified ({:.1} s)", self.seconds),
            false => write!(f, "verify found differences ({:.1} s)", self.seconds),
        }
    }
}

impl EventsView {
    fn write_left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quarantined.events > 0 {
            writeln!(f, "  {}, and left out", self.quarantined)?;
        }
        match self.discarded {
            0 => {}
            1 => writeln!(f, "  1 event was given up, and was left out")?,
            events => writeln!(f, "  {events} events were given up, and were left out")?,
        }
        match self.compared_by_stream {
            true => writeln!(f, "  streams were compared, not positions: events were lifted later, behind the others"),
            false => Ok(()),
        }
    }
}

impl fmt::Display for EventsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.agrees {
            return write!(f, "{} events on both sides, all the same", self.found);
        }
        writeln!(f, "the target differs: {} events expected, {} found", self.expected, self.found)?;
        let Some(first) = &self.first_difference else { return Ok(()) };
        match (&first.expected, &first.found) {
            (Some(expected), None) => write!(f, "the first difference: this event is missing\n{expected}"),
            (None, Some(found)) => write!(f, "the first difference: this event should not be there\n{found}"),
            (Some(expected), Some(found)) => {
                writeln!(f, "the first difference, at position {} (- expected, + found):", expected.position)?;
                write!(f, "{}", event_diff(Some(expected), Some(found)))
            }
            (None, None) => Ok(()),
        }
    }
}
