//! `quarantine`: the streams that wait because an event of theirs failed: what they are, and what becomes of them.

use std::fmt;
use std::sync::Arc;

use eventlift_events::{CheckpointStore, Counts, EventWriter, RunRecord, RunState, StreamName, Timestamp};
use eventlift_language::values_are_shown;
use eventlift_transformers::{Lift, Registry};
use serde::Serialize;

use super::arguments::{DiscardArguments, QuarantineCommand, ReleaseArguments, ShowHeldArguments};
use super::error::{CommandError, ExitCode};
use super::event_view::EventView;
use super::migrate::stop_on_signals;
use super::output::{Format, Report, command, print_report};
use super::progress_line::ProgressLine;
use super::recorded::Recorded;
use super::rules::registry;
use super::take_over::Taking;
use crate::config::{FILE_NAME, Project};
use crate::pipeline::quarantine::{
    Discard, Discarded, QuarantinedStream, Released, discard, discarded, held_events, quarantined_streams, release,
};
use crate::pipeline::{Fingerprint, MigrationOptions, PipelineError, Refusal, SessionStart, Stop, still_agrees};
use crate::stores::{Claim, StoreConfig};

/// Held events that are looked at at a time.
const PAGE: usize = 250;

/// Does what is asked, and prints what came of it.
pub(super) async fn quarantine(wanted: &QuarantineCommand, format: Format) -> Result<ExitCode, CommandError> {
    match wanted {
        QuarantineCommand::List(arguments) => Ok(print_report(format, &list(&arguments.project).await?)),
        QuarantineCommand::Show(arguments) => Ok(print_report(format, &show(arguments).await?)),
        QuarantineCommand::Retry(arguments) => Ok(print_report(format, &retry(arguments, format).await?)),
        QuarantineCommand::Discard(arguments) => Ok(print_report(format, &give_up(arguments, format).await?)),
    }
}

/// What is in quarantine, and what was given up.
#[derive(Debug, Serialize)]
struct ListReport {
    target: String,
    streams: Vec<QuarantinedStream>,
    /// The events of all of them.
    events: u64,
    discarded: Vec<Discarded>,
    #[serde(skip)]
    project: String,
}

/// A project, its target, and the run that filled it last.
struct Looked {
    project: Project,
    target: String,
    ledger: Box<dyn CheckpointStore>,
    run: RunRecord,
}

async fn look(folder: &std::path::Path) -> Result<Looked, CommandError> {
    let project = Project::load(folder)?;
    let config = project.require_target()?;
    let target = config.to_string();
    let Some(ledger) = config.ledger().await? else { return Err(no_run(config)) };
    let run = last_run(&*ledger, config).await?;
    Ok(Looked { project, target, ledger, run })
}

async fn last_run(ledger: &dyn CheckpointStore, target: &StoreConfig) -> Result<RunRecord, CommandError> {
    let last = crate::pipeline::last_that_fills(ledger.runs().await?).filter(|run| run.state != RunState::RolledBack);
    last.ok_or_else(|| no_run(target))
}

fn no_run(target: &StoreConfig) -> CommandError {
    PipelineError::from(Refusal::NothingInQuarantine(format!("no run has filled {target}"))).into()
}

async fn list(folder: &std::path::Path) -> Result<ListReport, CommandError> {
    let Looked { target, ledger, run, .. } = look(folder).await?;
    let mut streams = quarantined_streams(&*ledger, run.id).await?;
    streams.sort_by_key(|stream| stream.first);
    Ok(ListReport {
        target,
        events: streams.iter().map(|stream| stream.held).sum(),
        streams,
        discarded: discarded(&*ledger, run.id).await?,
        project: folder.display().to_string(),
    })
}

impl Report for ListReport {}

impl fmt::Display for ListReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.streams.is_empty() {
            writeln!(f, "nothing is in quarantine")?;
        }
        for QuarantinedStream { stream, failed, since, held, .. } in &self.streams {
            let behind = held - 1;
            writeln!(
                f,
                "{stream}: event {} at position {} fails, {behind} wait behind it",
                failed.id, failed.position
            )?;
            let (event_type, version) = (&failed.event_type, failed.version);
            writeln!(f, "  {event_type} version {version} by {}: {}", failed.rule, failed.reason)?;
            writeln!(f, "  since {since}")?;
        }
        for Discarded { stream, failed, by, at, why } in &self.discarded {
            let (id, position) = (&failed.id, failed.position);
            writeln!(f, "{stream}: event {id} at position {position} was given up by {by} at {at}: {why}")?;
        }
        if !self.streams.is_empty() {
            let held = match (self.events, self.streams.len()) {
                (1, _) => "1 event is".to_owned(),
                (events, 1) => format!("{events} events of 1 stream are"),
                (events, streams) => format!("{events} events of {streams} streams are"),
            };
            writeln!(f, "{held} in quarantine; once the rules are corrected, lift them with")?;
            writeln!(f, "`{}`", command("quarantine retry", &self.project))?;
        }
        Ok(())
    }
}

/// An event that is held.
#[derive(Debug, Serialize)]
struct ShowReport {
    #[serde(flatten)]
    stream: QuarantinedStream,
    /// The event that was asked for, or the one that its stream fails on, as it was read.
    event: EventView,
    /// What the rules would make of it now; none where they fail on it.
    becomes: Option<Vec<EventView>>,
    /// What they fail with.
    fails: Option<String>,
    /// Whether rules that keep state would have their say as well, which only a retry can tell.
    rules_with_state: bool,
}

async fn show(arguments: &ShowHeldArguments) -> Result<ShowReport, CommandError> {
    let (folder, name) = arguments.project_and_name();
    let Looked { project, ledger, run, .. } = look(folder).await?;
    let registry = registry(&project)?;
    for stream in quarantined_streams(&*ledger, run.id).await? {
        let is_stream = stream.stream == name;
        let mut after = None;
        loop {
            let held = held_events(&*ledger, run.id, &stream, after.as_ref(), PAGE).await?;
            let Some(last) = held.last().map(|held| held.key.clone()) else { break };
            let found = held.into_iter().find(|held| is_stream || held.event.id.to_string() == name);
            if let Some(found) = found {
                return Ok(shown(&registry, stream, &found.event));
            }
            after = Some(last);
        }
    }
    let problem = format!("neither a stream nor an event of the name {name} is in quarantine");
    Err(PipelineError::from(Refusal::NothingInQuarantine(problem)).into())
}

fn shown(registry: &Registry, stream: QuarantinedStream, event: &eventlift_events::Event) -> ShowReport {
    let mut lifted = Vec::new();
    let outcome = registry.lift(event.clone(), &mut lifted);
    let fails = match &outcome {
        Ok(Lift::Uncovered(_)) => Some("nothing covers it".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    ShowReport {
        stream,
        event: EventView::of(event),
        becomes: fails.is_none().then(|| lifted.iter().map(EventView::of).collect()),
        fails,
        rules_with_state: !registry.stateful().is_empty(),
    }
}

impl Report for ShowReport {}

impl fmt::Display for ShowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuarantinedStream { failed, since, held, .. } = &self.stream;
        writeln!(f, "{}", self.event)?;
        writeln!(f, "its stream has {held} events in quarantine since {since}, and fails on event {}", failed.id)?;
        writeln!(f, "by {}: {}", failed.rule, failed.reason)?;
        match (&self.becomes, &self.fails) {
            (Some(events), _) if events.is_empty() => writeln!(f, "\nthe rules would drop it now")?,
            (Some(events), _) => {
                writeln!(f, "\nnow it would become:")?;
                events.iter().try_for_each(|event| writeln!(f, "{event}"))?;
            }
            (None, Some(fails)) => writeln!(f, "\nit would fail again: {fails}")?,
            (None, None) => {}
        }
        if !values_are_shown() {
            writeln!(f, "values are left out; --show-values shows them")?;
        }
        match self.rules_with_state {
            true => writeln!(f, "what rules make of it that keep state, a retry will show"),
            false => Ok(()),
        }
    }
}

/// What became of held events.
#[derive(Debug, Serialize)]
struct RetryReport {
    target: String,
    /// Streams that go on, and the events of theirs that were held.
    streams: u64,
    events: u64,
    /// The events of the target that those became.
    written: u64,
    /// The streams that failed again.
    failing: Vec<QuarantinedStream>,
    stopped: bool,
    /// Whether the rules had changed, and were proved to leave what is in the target as it is.
    rules_changed: bool,
    #[serde(skip)]
    project: String,
}

async fn retry(arguments: &ReleaseArguments, format: Format) -> Result<RetryReport, CommandError> {
    let folder = &arguments.project.project;
    let project = Project::load(folder)?;
    let config = project.require_target()?;
    let registry = Arc::new(registry(&project)?);
    let stop = stop_on_signals();
    if config.ledger().await?.is_none() {
        return Err(no_run(config));
    }
    let taking = Taking::asking(Claim::of("quarantine retry"), &project, format, &stop);
    let mut target = taking.writer(config).await?;
    let mut run = last_run(&*target, config).await?;
    let start = SessionStart::now("quarantine retry");
    let recorded = Recorded::begin(&mut *target, &mut run, &start).await?;
    let retried = retry_held(&project, &registry, &mut *target, &mut run, &arguments.streams, &stop, format).await;
    let (counts, result) = match &retried {
        Ok((Released { stopped: true, .. }, _)) => (Counts::default(), "stopped".to_owned()),
        Ok((Released { events, written, failing, .. }, _)) => {
            let counts = Counts { read: *events, written: *written, ..Counts::default() };
            let result = match failing.len() {
                0 => "done".to_owned(),
                1 => "done, 1 stream fails again".to_owned(),
                streams => format!("done, {streams} streams fail again"),
            };
            (counts, result)
        }
        Err(error) => (Counts::default(), error.to_string()),
    };
    recorded.end(&mut *target, &mut run, counts, &result).await;
    let (released, rules_changed) = retried?;
    Ok(RetryReport::of(target.identity().to_string(), released, rules_changed, folder))
}

/// Lifts what is held, once the rules have taken over the run. Returns with it whether they had changed.
async fn retry_held(
    project: &Project,
    registry: &Arc<Registry>,
    target: &mut dyn EventWriter,
    run: &mut RunRecord,
    streams: &[StreamName],
    stop: &Stop,
    format: Format,
) -> Result<(Released, bool), CommandError> {
    let Some(rules_changed) = take_over(project, registry, target, run, stop, format).await? else {
        return Ok((Released { stopped: true, ..Released::default() }, false));
    };
    let mut line = ProgressLine::new(format, "lifting", None, 0);
    let seen = |events| line.set(events);
    let released = release(target, registry, project.policies, run, streams, stop, seen).await;
    line.end();
    Ok((released?, rules_changed))
}

/// Has the rules as they are now take over a run that was made by others, if they leave what it has written as it is.
/// Returns whether they have; none if it was asked to stop before that was proved.
async fn take_over(
    project: &Project,
    registry: &Arc<Registry>,
    target: &mut dyn EventWriter,
    run: &mut RunRecord,
    stop: &Stop,
    format: Format,
) -> Result<Option<bool>, CommandError> {
    let source = project.source.reader().await?;
    let scope = Fingerprint::scope_of(run).ok_or_else(|| {
        let problem = format!("the ledger of {} does not say which part of the source it holds", target.identity());
        PipelineError::from(Refusal::Unfit(problem))
    })?;
    let options = MigrationOptions { scope, policies: project.policies, ..MigrationOptions::default() };
    let fingerprint =
        Fingerprint::of(registry, &options.scope, &options.policies).of_stores(source.reading(), target.writing());
    if run.source != source.identity().key {
        let (recorded, given) = (run.source.clone(), source.identity().key.clone());
        return Err(PipelineError::from(Refusal::OtherSource {
            target: target.identity().to_string(),
            recorded,
            given,
        })
        .into());
    }
    if fingerprint.changes_since(run).is_none() {
        return Ok(Some(false));
    }
    let reader = project.require_target()?.reader().await?;
    let mut line = ProgressLine::new(format, "proving", None, 0);
    let (rules, ledger): (_, &dyn CheckpointStore) = (Arc::clone(registry), &*target);
    let seen = |seen: crate::pipeline::VerifyProgress| line.set(seen.expected.min(seen.found));
    let agrees = still_agrees(source, reader, rules, options, run, ledger, stop.clone(), seen).await;
    line.end();
    if !agrees? {
        return Ok(None);
    }
    run.fingerprint = fingerprint.whole;
    run.parts = fingerprint.parts;
    run.updated_at = Timestamp::now();
    target.record_run(run).await?;
    Ok(Some(true))
}

impl RetryReport {
    fn of(target: String, released: Released, rules_changed: bool, folder: &std::path::Path) -> Self {
        let Released { streams, events, written, failing, stopped } = released;
        let project = folder.display().to_string();
        Self { target, streams, events, written, failing, stopped, rules_changed, project }
    }
}

impl Report for RetryReport {
    fn exit_code(&self) -> ExitCode {
        match (self.stopped, self.failing.is_empty()) {
            (true, _) => ExitCode::Stopped,
            (false, true) => ExitCode::Done,
            (false, false) => ExitCode::Quarantined,
        }
    }
}

impl fmt::Display for RetryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules_changed {
            writeln!(f, "the rules have changed, and leave what is in {} as it is", self.target)?;
        }
        let Self { streams, events, written, .. } = self;
        match streams {
            1 => write!(f, "1 stream goes on")?,
            streams => write!(f, "{streams} streams go on")?,
        }
        match events {
            1 => writeln!(f, ": its held event was lifted and became {written}")?,
            events => writeln!(f, ": {events} held events were lifted and became {written}")?,
        }
        for QuarantinedStream { stream, failed, held, .. } in &self.failing {
            writeln!(f, "{stream} fails again, on event {}, with {} events behind it", failed.id, held - 1)?;
            writeln!(f, "  by {}: {}", failed.rule, failed.reason)?;
        }
        if self.stopped {
            return write!(f, "stopped; go on with the same command");
        }
        write!(f, "read models are brought up to date by `{}`", command("migrate", &self.project))
    }
}

/// What was given up.
#[derive(Debug, Serialize)]
struct DiscardReport {
    target: String,
    stream: String,
    events: u64,
    #[serde(skip)]
    project: String,
}

async fn give_up(arguments: &DiscardArguments, format: Format) -> Result<DiscardReport, CommandError> {
    let (folder, name) = arguments.project_and_stream();
    let project = Project::load(folder)?;
    let config = project.require_target()?;
    let registry = Arc::new(registry(&project)?);
    if config.ledger().await?.is_none() {
        return Err(no_run(config));
    }
    let problem = |problem: String| CommandError::from(PipelineError::from(Refusal::NothingInQuarantine(problem)));
    let stream = StreamName::new(name.to_owned()).map_err(|error| problem(error.to_string()))?;
    let stop = stop_on_signals();
    let taking = Taking::asking(Claim::of("quarantine discard"), &project, format, &stop);
    let mut target = taking.writer(config).await?;
    let mut run = last_run(&*target, config).await?;
    let recorded = Recorded::begin(&mut *target, &mut run, &SessionStart::now("quarantine discard")).await?;
    let (all, why) = (arguments.all, arguments.reason.clone());
    let what = Discard { stream, all, by: who(), why };
    let discarded = discard(&mut *target, &registry, &run, &what).await;
    let (counts, result) = match &discarded {
        Ok(events) => (Counts { read: *events, dropped: *events, ..Counts::default() }, "done".to_owned()),
        Err(error) => (Counts::default(), error.to_string()),
    };
    recorded.end(&mut *target, &mut run, counts, &result).await;
    let events = discarded?;
    Ok(DiscardReport {
        target: target.identity().to_string(),
        stream: name.to_owned(),
        events,
        project: folder.display().to_string(),
    })
}

/// User and host, as far as the environment tells.
fn who() -> String {
    let named = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    let user = named(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(|| "somebody".to_owned());
    let of_file = || std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    match named(&["HOSTNAME", "COMPUTERNAME"]).or_else(of_file).filter(|host| !host.is_empty()) {
        Some(host) => format!("{user}@{host}"),
        None => user,
    }
}

impl Report for DiscardReport {}

impl fmt::Display for DiscardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.events == 1 { "event was" } else { "events were" };
        writeln!(f, "{} {unit} given up in {}; {FILE_NAME} and the source are as they were", self.events, self.stream)?;
        write!(f, "what waits behind it is lifted by `{}`", command("quarantine retry", &self.project))
    }
}
