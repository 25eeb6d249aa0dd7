//! `rebuild`: snapshots and read models, built beside the live ones and swapped in; or brought up to date.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{StoreError, StoreErrorKind};
use eventlift_projections::{Projection, ReadModelStore, Side};
use serde::Serialize;
use tokio::sync::watch;

use super::arguments::RebuildArguments;
use super::error::{CommandError, ExitCode};
use super::going_on::{going_on, went_on};
use super::migrate::stop_on_signals;
use super::output::{Format, Report};
use super::progress_line::ProgressLine;
use super::read_models::{ReadModels, feed, read_models};
use crate::config::{FILE_NAME, Project};
use crate::pipeline::{Heartbeat, Stop};
use crate::rebuild::{
    self, Built, Feed, FoldOptions, Outcome, Phase, Reading, Rebuild, RebuildError, RebuildProgress, Wanted, changes,
    origin, rehearse,
};

/// What a rebuild did.
#[derive(Debug, Serialize)]
pub(super) struct RebuildReport {
    source: String,
    read_models: String,
    /// `done`, `stopped`, or `nothing was written`.
    state: State,
    projections: Vec<ProjectionLine>,
    /// How many events a rebuild that was killed had folded, and were gone on from.
    resumed_events: u64,
    /// How often it went on by itself after a store could not be reached.
    retries: u32,
    seconds: f64,
    #[serde(skip)]
    action: Action,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Done,
    Stopped,
    NothingWritten,
}

/// What is done with projections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Rebuild,
    Rehearse,
    Update,
    Undo,
    DropOld,
}

/// What was done with a projection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    /// Built by a migration, of the events that it appended.
    BuiltInTheSamePass,
    Rebuilt,
    BroughtUpToDate,
    /// Left alone: what is live was built by the same definition.
    Unchanged,
    /// Left alone: the project has no such projection any more.
    LeftOver,
    /// By a rehearsal.
    WouldBeRebuilt,
    SwappedBack,
    OldDropped,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltInTheSamePass => "built in the same pass",
            Self::Rebuilt => "rebuilt",
            Self::BroughtUpToDate => "brought up to date",
            Self::Unchanged => "unchanged",
            Self::LeftOver => "not in the project any more; its tables stay",
            Self::WouldBeRebuilt => "would be rebuilt",
            Self::SwappedBack => "swapped back to the build before",
            Self::OldDropped => "the build before was dropped",
        })
    }
}

/// What became of a projection.
#[derive(Debug, Serialize)]
pub(super) struct ProjectionLine {
    pub(super) projection: String,
    action: Done,
    reason: String,
    events: u64,
    rows: u64,
    quarantined: u64,
    checkpoint: Option<String>,
}

/// Rebuilds projections of a project.
pub(super) async fn rebuild(arguments: &RebuildArguments, format: Format) -> Result<RebuildReport, CommandError> {
    let (folder, names) = arguments.project_and_names(|path| path.join(FILE_NAME).is_file());
    // A folder that is misspelt is meant as one where this one is no project.
    let folder = match names.first() {
        Some(first) if folder == Path::new(".") && !Path::new(FILE_NAME).is_file() => Path::new(first),
        _ => folder,
    };
    let project = Project::load(folder)?;
    let mut models = read_models(&project, arguments.into.as_deref())?
        .ok_or_else(|| CommandError::NoProjections { folder: project.projections.display().to_string() })?;
    models.ownership = models.ownership.taking_over(arguments.take_over);
    let named = models.named(names)?;
    match action(arguments) {
        Action::Undo => undo(&models, named, names).await,
        Action::DropOld => drop_old(&models, named).await,
        action => {
            let stop = stop_on_signals();
            let work = Work { arguments, project: &project, models: &models, names, action, format, stop: &stop };
            let attempt = |heartbeat| build(work, named.clone(), heartbeat);
            let reach = || async {
                project.source.reach().await?;
                models.config.reach().await
            };
            let (mut report, retries) = going_on(&project.retry, format, &stop, attempt, reach).await?;
            report.retries = retries;
            Ok(report)
        }
    }
}

fn action(arguments: &RebuildArguments) -> Action {
    match arguments {
        RebuildArguments { undo: true, .. } => Action::Undo,
        RebuildArguments { drop_old: true, .. } => Action::DropOld,
        RebuildArguments { dry_run: true, .. } => Action::Rehearse,
        RebuildArguments { since: true, .. } => Action::Update,
        _ => Action::Rebuild,
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Work<'a> {
    arguments: &'a RebuildArguments,
    project: &'a Project,
    models: &'a ReadModels,
    names: &'a [String],
    action: Action,
    format: Format,
    stop: &'a Stop,
}

async fn build(
    work: Work<'_>,
    named: Vec<Arc<dyn Projection>>,
    heartbeat: Heartbeat,
) -> Result<RebuildReport, CommandError> {
    let Work { arguments, project, models, names, action, format, stop } = work;
    let begun = Instant::now();
    let feed = feed(project, arguments.from).await?;
    heartbeat.begun();
    let looked = models.look().await?;
    let everything = arguments.all || arguments.take_over || !names.is_empty();
    let asked = match (arguments.take_over, names.is_empty()) {
        (true, _) => "--take-over",
        (false, true) => "--all",
        (false, false) => "asked for by name",
    };
    let (mut wanted, mut lines) = (Vec::new(), Vec::new());
    for projection in named {
        let why = match &looked {
            Some(store) => changes_of(&**store, &feed, &*projection).await?,
            None => vec!["it has never been built".to_owned()],
        };
        match (action, why.is_empty()) {
            (Action::Update, _) => wanted.push(Wanted { projection, reason: "--since".to_owned() }),
            (_, false) => wanted.push(Wanted { projection, reason: why.join("; ") }),
            (_, true) if everything => wanted.push(Wanted { projection, reason: asked.to_owned() }),
            (_, true) => {
                let reason = "what is live was built by the same definition";
                lines.push(ProjectionLine::untouched(projection.name().to_owned(), Done::Unchanged, reason));
            }
        }
    }
    if let Some(store) = looked.as_ref().filter(|_| names.is_empty()) {
        let left_over = store.projections().await?.into_iter();
        let left_over = left_over.filter(|name| models.projections.iter().all(|known| known.name() != name));
        lines.extend(left_over.map(|name| ProjectionLine::untouched(name, Done::LeftOver, "")));
    }
    let reasons: Vec<(String, String)> =
        wanted.iter().map(|w| (w.projection.name().to_owned(), w.reason.clone())).collect();
    let (source, read_models) = (feed.reader().identity().to_string(), models.config.to_string());
    let mut report = RebuildReport {
        source,
        read_models,
        state: State::Done,
        projections: lines,
        resumed_events: 0,
        retries: 0,
        seconds: 0.0,
        action,
    };
    if wanted.is_empty() {
        return Ok(report);
    }

    let options = fold_options(arguments, project);
    // An update reads only what is new: counting all that is old would take longer.
    let total = match action {
        Action::Update => None,
        _ => feed.types().await.ok().flatten().map(|types| types.iter().map(|(_, _, events)| events).sum()),
    };
    if action == Action::Rehearse {
        let projections = wanted.into_iter().map(|wanted| wanted.projection).collect();
        let (sender, receiver) = watch::channel(RebuildProgress::default());
        let reading = reading(arguments);
        let rehearsal = rehearse(&feed, projections, &options, &reading, stop, &sender);
        let rehearsed = watched(format, total, receiver, &heartbeat, rehearsal).await?;
        let Some(rehearsed) = rehearsed else { return Ok(RebuildReport { state: State::Stopped, ..report }) };
        for found in rehearsed {
            report.projections.push(ProjectionLine {
                action: Done::WouldBeRebuilt,
                reason: reason_of(&reasons, &found.projection),
                projection: found.projection,
                events: found.events,
                rows: found.rows,
                quarantined: found.quarantined,
                checkpoint: None,
            });
        }
        report.state = State::NothingWritten;
    } else {
        let rebuild =
            Rebuild::new(feed, models.open().await?, wanted, options).reading(reading(arguments)).stop_on(stop.clone());
        let outcome = match action {
            Action::Update => watched(format, total, rebuild.progress(), &heartbeat, rebuild.update()).await?,
            _ => watched(format, total, rebuild.progress(), &heartbeat, rebuild.run()).await?,
        };
        let done = if action == Action::Update { Done::BroughtUpToDate } else { Done::Rebuilt };
        let Outcome { done: ended, built, resumed_events, .. } = outcome;
        report.projections.extend(built.into_iter().map(|built| ProjectionLine::of(built, done, &reasons)));
        report.resumed_events = resumed_events;
        report.state = if ended { State::Done } else { State::Stopped };
    }
    report.projections.sort_by(|one, other| one.projection.cmp(&other.projection));
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// Runs a rebuild, with a line that shows how far it is.
async fn watched<T>(
    format: Format,
    total: Option<u64>,
    mut progress: watch::Receiver<RebuildProgress>,
    heartbeat: &Heartbeat,
    run: impl Future<Output = Result<T, RebuildError>>,
) -> Result<T, RebuildError> {
    let mut line = ProgressLine::new(format, "folding", total, 0);
    let outcome = {
        let mut running = std::pin::pin!(run);
        let mut phase = Phase::Folding;
        loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    heartbeat.progressed(now.events);
                    line.set(now.events);
                    if now.phase != phase {
                        phase = now.phase;
                        line.now(phase_name(phase));
                    }
                }
            }
        }
    };
    line.end();
    outcome
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Folding => "folding",
        Phase::Loading => "loading",
        Phase::Indexing => "indexing",
        Phase::CatchingUp => "catching up",
        Phase::Swapping => "swapping",
        Phase::Updating => "updating",
    }
}

/// Why what is live is not what would be built now; nothing where it is.
pub(super) async fn changes_of(
    store: &dyn ReadModelStore,
    feed: &Feed,
    projection: &dyn Projection,
) -> Result<Vec<String>, CommandError> {
    let builds = store.builds(projection.name()).await?;
    let mut changes = changes(builds.live.as_ref(), &origin(feed, projection));
    let tables = builds.live.map_or(0, |live| live.tables.len());
    for table in 0..tables {
        // No keys: it only looks whether the table is what the record says.
        match store.rows(Side::Live, projection.name(), table, &[]).await {
            Ok(_) => {}
            Err(StoreError { kind: StoreErrorKind::Unexpected(problem), .. }) => changes.push(problem),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(changes)
}

fn fold_options(arguments: &RebuildArguments, project: &Project) -> FoldOptions {
    let options = project.rebuild.fold_options();
    FoldOptions { workers: arguments.workers.unwrap_or(options.workers), ..options }
}

fn reading(arguments: &RebuildArguments) -> Reading {
    let workers = arguments.workers.unwrap_or(Reading::default().workers);
    Reading { batch_events: arguments.batch, workers }
}

async fn undo(
    models: &ReadModels,
    named: Vec<Arc<dyn Projection>>,
    names: &[String],
) -> Result<RebuildReport, CommandError> {
    let begun = Instant::now();
    let Some(store) = models.look().await? else {
        return Err(CommandError::NothingToUndo { projections: all_names(&named) });
    };
    let mut wanted = Vec::new();
    for projection in named {
        let builds = store.builds(projection.name()).await?;
        if builds.previous.is_some() {
            wanted.push(Wanted { projection, reason: "--undo".to_owned() });
        } else if !names.is_empty() {
            return Err(CommandError::NothingToUndo { projections: vec![projection.name().to_owned()] });
        }
    }
    if wanted.is_empty() {
        return Err(CommandError::NothingToUndo { projections: all_names(&models.projections) });
    }
    let undone = rebuild::undo(&models.open().await?, &wanted).await?;
    let mut report = report_of(models, Action::Undo);
    report.projections = undone.into_iter().map(|built| ProjectionLine::of(built, Done::SwappedBack, &[])).collect();
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

async fn drop_old(models: &ReadModels, named: Vec<Arc<dyn Projection>>) -> Result<RebuildReport, CommandError> {
    let begun = Instant::now();
    let mut report = report_of(models, Action::DropOld);
    let Some(looked) = models.look().await? else { return Ok(report) };
    let mut wanted = Vec::new();
    for projection in named {
        if looked.builds(projection.name()).await?.previous.is_some() {
            wanted.push(Wanted { projection, reason: "--drop-old".to_owned() });
        }
    }
    if !wanted.is_empty() {
        let dropped = rebuild::drop_old(&models.open().await?, &wanted).await?;
        let lines = dropped.into_iter().map(|built| ProjectionLine::of(built, Done::OldDropped, &[]));
        report.projections = lines.collect();
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn report_of(models: &ReadModels, action: Action) -> RebuildReport {
    RebuildReport {
        source: String::new(),
        read_models: models.config.to_string(),
        state: State::Done,
        projections: Vec::new(),
        resumed_events: 0,
        retries: 0,
        seconds: 0.0,
        action,
    }
}

fn all_names(projections: &[Arc<dyn Projection>]) -> Vec<String> {
    projections.iter().map(|projection| projection.name().to_owned()).collect()
}

fn reason_of(reasons: &[(String, String)], projection: &str) -> String {
    reasons.iter().find(|(name, _)| name == projection).map(|(_, reason)| reason.clone()).unwrap_or_default()
}

impl ProjectionLine {
    pub(super) fn of(built: Built, action: Done, reasons: &[(String, String)]) -> Self {
        Self {
            action,
            reason: reason_of(reasons, &built.projection),
            projection: built.projection,
            events: built.events,
            rows: built.rows,
            quarantined: built.quarantined,
            checkpoint: built.checkpoint.map(|position| position.to_string()),
        }
    }

    fn untouched(projection: String, action: Done, reason: &str) -> Self {
        Self { projection, action, reason: reason.to_owned(), events: 0, rows: 0, quarantined: 0, checkpoint: None }
    }

    fn is_untouched(&self) -> bool {
        matches!(self.action, Done::Unchanged | Done::LeftOver)
    }
}

impl Report for RebuildReport {
    fn exit_code(&self) -> ExitCode {
        if self.state == State::Stopped { ExitCode::Stopped } else { ExitCode::Done }
    }
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.is_empty() {
            true => writeln!(f, "{}", self.read_models)?,
            false => writeln!(f, "{} → {}", self.source, self.read_models)?,
        }
        let width = self.projections.iter().map(|line| line.projection.len()).max().unwrap_or(0);
        for line in &self.projections {
            writeln!(f, "  {:width$}  {line}", line.projection)?;
        }
        if self.resumed_events > 0 {
            writeln!(f, "went on behind the {} events that were folded before it was killed", self.resumed_events)?;
        }
        if let Some(went_on) = went_on(self.retries) {
            writeln!(f, "{went_on}")?;
        }
        match (self.state, self.action) {
            (State::Stopped, Action::Update) => write!(f, "stopped; the same command goes on"),
            (State::Stopped, _) => write!(f, "stopped; the live tables are what they were, the same command goes on"),
            (State::NothingWritten, _) => write!(f, "nothing was written ({:.1} s)", self.seconds),
            (State::Done, _) if self.projections.is_empty() => write!(f, "there was nothing to do"),
            (State::Done, Action::Rebuild) if self.projections.iter().all(ProjectionLine::is_untouched) => {
                write!(f, "nothing to rebuild; --since applies new events, --all rebuilds all the same")
            }
            (State::Done, _) => write!(f, "done in {:.1} s", self.seconds),
        }
    }
}

impl fmt::Display for ProjectionLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        if self.events > 0 || self.rows > 0 {
            let plural = |count: u64| if count == 1 { "" } else { "s" };
            let Self { events, rows, .. } = self;
            write!(f, ": {events} event{}, {rows} row{}", plural(*events), plural(*rows))?;
        }
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        match self.quarantined {
            0 => Ok(()),
            1 => write!(f, ", 1 event in quarantine"),
            events => write!(f, ", {events} events in quarantine"),
        }
    }
}
