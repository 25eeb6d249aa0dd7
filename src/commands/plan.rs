//! `plan`: what a migration would do, type by type, with samples, before anything is written.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{Event, EventReader, LeftOut, Position, Revision, Scope};
use eventlift_transformers::{NoWayBack, Outcome, Registry, Schema, Shape, Step, Uncovered};
use serde::Serialize;

use super::arguments::PlanArguments;
use super::error::{CommandError, ExitCode};
use super::event_view::{EventView, diff};
use super::migrate::stop_on_signals;
use super::output::{Format, Report, command};
use super::progress_line::ProgressLine;
use super::read_models::projections;
use super::rules::registry;
use super::verify::{ByValueView, by_value_lines};
use crate::config::{FILE_NAME, Project};
use crate::pipeline::{
    ByValue, Covered, FailedEvents, MigrationOptions, Part, PipelineError, Refusal, Rehearsal, RehearsalOptions,
    Survey, SurveyOptions, rehearse, survey,
};
use crate::rebuild::{Touched, touched};
use crate::stores::{KeptAs, StoreConfig};

/// Events that are written for a trial, to estimate time and size.
const TRIAL: usize = 20_000;

/// Enough to tell whether a source can be cut.
const CUTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// What a migration would do.
#[derive(Debug, Serialize)]
pub(super) struct PlanReport {
    source: String,
    target: Option<String>,
    /// Whether every event of the source was looked at.
    complete: bool,
    events: u64,
    types: Vec<TypeLine>,
    /// How many events would fail and stop their streams; null where they would stop the run.
    quarantined: Option<u64>,
    /// What speaks against a migration; it would start if this is empty.
    obstacles: Vec<String>,
    /// How many events the obstacles of each kind are about decides the exit code.
    #[serde(skip)]
    exit_code: ExitCode,
    numbering: &'static str,
    lifted: u64,
    dropped: u64,
    split: u64,
    written: u64,
    written_bytes: u64,
    failures: Vec<Failure>,
    estimate: Option<Estimate>,
    /// How fast events go in, where the target can take several parts of the source at the same time.
    loading: Option<&'static str>,
    /// How events are written, where the target takes them otherwise than one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    writing: Vec<String>,
    /// How what the source holds is taken, where it could be taken otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken_as: Vec<String>,
    /// What the source holds and no read yields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOutLine>,
    /// How the target keeps data and metadata, or would once it is made, where its configuration decides that.
    target_keeps: Option<TargetKeeps>,
    /// What `verify` will compare by value, since a store keeps no more of it.
    compared_by_value: Vec<ByValueView>,
    /// What of it reaches the read models and snapshots.
    read_models: Vec<ReadModelLine>,
    samples: Vec<SampleView>,
    /// Whether a reverse stream would be possible, where the project asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse: Option<ReverseView>,
    project: String,
    /// The arguments that say which part of the source.
    #[serde(skip)]
    scope: String,
}

/// One type and version of the source.
#[derive(Debug, Serialize)]
struct TypeLine {
    #[serde(rename = "type")]
    event_type: String,
    version: u32,
    events: u64,
    bytes: Option<u64>,
    /// `current`, `lifted` or `uncovered`.
    coverage: &'static str,
    /// What becomes of it, for people.
    becomes: String,
    /// The upcasters on the way.
    chain: Vec<String>,
    /// The general rules that may take it.
    rules: Vec<String>,
}

/// A rule that fails on events of the source.
#[derive(Debug, Serialize)]
struct Failure {
    rule: String,
    events: u64,
    first: String,
    hint: Option<String>,
}

/// Something of the source that is not carried over.
#[derive(Debug, Serialize)]
struct LeftOutLine {
    what: String,
    /// How many; null where nobody has counted.
    events: Option<u64>,
}

/// A projection that a migration touches, or not.
#[derive(Debug, Serialize)]
struct ReadModelLine {
    projection: String,
    /// How many of the source's events may be folded into it.
    events: u64,
    /// The types and versions that reach it lifted, and what they are then.
    lifted: Vec<[String; 2]>,
}

/// The way back from the target to the source.
#[derive(Debug, Serialize)]
struct ReverseView {
    possible: bool,
    /// What stands in its way.
    missing: Vec<NoWayBackLine>,
}

/// A step of a rule without a way back.
#[derive(Debug, Serialize)]
struct NoWayBackLine {
    rule: String,
    place: String,
    step: String,
    why: String,
    hint: Option<String>,
}

/// How a target keeps payloads.
#[derive(Debug, Serialize)]
struct TargetKeeps {
    data: KeptView,
    metadata: KeptView,
}

/// How one of them is kept.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct KeptView {
    column: &'static str,
    exact: bool,
    effect: &'static str,
}

/// About what a migration takes.
#[derive(Debug, Serialize)]
struct Estimate {
    seconds: f64,
    bytes: u64,
}

/// An event before and after.
#[derive(Debug, Serialize)]
struct SampleView {
    before: EventView,
    after: Vec<EventView>,
}

/// Plans the migration of a project.
pub(super) async fn plan(arguments: &PlanArguments, format: Format) -> Result<PlanReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let registry = Arc::new(registry(&project)?);
    let source = project.source.reader().await?;
    let stop = stop_on_signals();
    let scope = arguments.scope.scope();

    let options = SurveyOptions {
        scope: scope.clone(),
        after: None,
        samples: arguments.show.max(1),
        limit: arguments.sample,
        policies: project.policies,
        gaps_are_found_later: false,
    };
    let mut line = ProgressLine::new(format, "surveying", None, 0);
    let found = survey(&*source, &registry, &options, &stop, |read| line.set(read)).await;
    line.end();
    let found = found?;
    // Before anything else reads it, since every read counts.
    let (left_out, taken_as) = (source.left_out(), source.taken_as());

    let begun = Instant::now();
    let rehearsal = if source.is_rereadable() {
        let mut line = ProgressLine::new(format, "rehearsing", Some(found.events()), 0);
        let workers = MigrationOptions::default().workers;
        let options = RehearsalOptions { scope, limit: arguments.sample, keep: TRIAL, workers };
        let rehearsed = rehearse(&*source, Arc::clone(&registry), options, &stop, |read| line.set(read)).await;
        line.end();
        rehearsed?
    } else {
        Rehearsal::default()
    };
    let seconds = begun.elapsed().as_secs_f64();
    let estimate = if arguments.sample.is_none() { estimate(&project, &rehearsal, seconds).await } else { None };
    let projections = projections(&project)?.projections();
    let types = found.types.iter().map(|covered| (covered.event_type.clone(), covered.version, covered.tally.events));
    let touched = projections.iter().map(|projection| touched(&registry, types.clone(), &**projection)).collect();
    let report = report(arguments, &project, &registry, &*source, found, rehearsal, estimate)
        .touching(touched)
        .leaving_out(left_out)
        .taking_as(taken_as)
        .and_back(&project, &registry);
    Ok(match &project.target {
        Some(target) => report.into_target(target, &registry, &*source).await,
        None => report,
    })
}

/// Which parts a store keeps by value only; `is_exact`: of data, and of metadata.
fn by_value(store: String, is_exact: [bool; 2]) -> Vec<ByValueView> {
    let parts = [Part::Data, Part::Metadata].into_iter().zip(is_exact).filter(|(_, is_exact)| !is_exact);
    parts.map(|(part, _)| ByValueView::of(&ByValue { part, store: store.clone() })).collect()
}

/// Whether ranges of the source are loaded at the same time, and if not, which rules are why.
async fn loading(target: &StoreConfig, registry: &Registry, source: &dyn EventReader) -> Option<&'static str> {
    if !target.takes_ranges() || !source.is_rereadable() || !source.capabilities().global_order {
        return None;
    }
    // A source that is small, or that can't be cut, is read from its start to its end in any case.
    let head = source.head().await.ok().flatten()?;
    let cuts = source.cuts(None, head, CUTS).await.ok()?;
    if cuts.is_empty() {
        return None;
    }
    Some(match registry.shape() {
        _ if !registry.stateful().is_empty() => "loaded in order: a rule remembers what came before",
        Shape::OneToOne => "into a new target, several ranges are loaded at the same time",
        Shape::Splitting | Shape::Shifting => "loaded in order: a rule splits or drops events",
        Shape::Moving => "loaded in order: a rule moves events to other streams",
    })
}

fn report(
    arguments: &PlanArguments,
    project: &Project,
    registry: &Registry,
    source: &dyn EventReader,
    found: Survey,
    rehearsal: Rehearsal,
    estimate: Option<Estimate>,
) -> PlanReport {
    let proof = found.prove(&source.identity().to_string(), project.policies).map_err(CommandError::from);
    let mut obstacles: Vec<String> = Vec::new();
    let mut exit_code = ExitCode::Done;
    match project.require_target() {
        Ok(target) if project.source.is_same(target) => {
            obstacles.push(format!("{} is both source and target", source.identity()));
            exit_code = ExitCode::Refused;
        }
        Ok(_) => {}
        Err(_) => {
            obstacles.push(format!("{FILE_NAME} has no [target]"));
            exit_code = ExitCode::Project;
        }
    }
    let quarantines = project.policies.failed_events == FailedEvents::Quarantine;
    let mut failing: u64 = found.refused(project.policies).iter().map(|covered| covered.tally.events).sum();
    if let Err(error) = &proof {
        obstacles.push(error.to_string());
        exit_code = error.exit_code();
    }
    if found.complete && found.events() == 0 && arguments.scope.scope() != Scope::All {
        let source_name = source.identity().to_string();
        let nothing = CommandError::NothingInScope { source_name, scope: arguments.scope.to_string() };
        obstacles.push(nothing.to_string());
        exit_code = nothing.exit_code();
    }
    if !rehearsal.failures.is_empty() {
        let events: u64 = rehearsal.failures.values().map(|(_, events)| events).sum();
        if !quarantines {
            obstacles.push(format!("rules fail on {events} events"));
            exit_code = ExitCode::Rule;
        }
        failing += events;
    }
    if quarantines && registry.shape() == Shape::Moving {
        let error = CommandError::from(PipelineError::from(Refusal::QuarantineOfMoves));
        obstacles.push(error.to_string());
        exit_code = error.exit_code();
    }
    let kept = source.capabilities();
    PlanReport {
        source: source.identity().to_string(),
        target: project.target.as_ref().map(StoreConfig::to_string),
        complete: found.complete,
        events: found.events(),
        samples: samples(registry, &found, arguments.show),
        types: found.types.into_iter().map(type_line).collect(),
        obstacles,
        exit_code,
        quarantined: quarantines.then_some(failing),
        loading: None,
        writing: Vec::new(),
        taken_as: Vec::new(),
        left_out: Vec::new(),
        target_keeps: None,
        compared_by_value: by_value(source.identity().to_string(), [kept.exact_data, kept.exact_metadata]),
        numbering: numbering(registry.shape(), closes_gaps(arguments, project)),
        lifted: rehearsal.lifted,
        dropped: rehearsal.dropped,
        split: rehearsal.split,
        written: rehearsal.written,
        written_bytes: rehearsal.written_bytes,
        failures: rehearsal
            .failures
            .into_iter()
            .map(|(rule, (first, events))| Failure { rule, events, first: first.to_string(), hint: first.reason.hint })
            .collect(),
        estimate,
        read_models: Vec::new(),
        reverse: None,
        project: arguments.project.project.display().to_string(),
        scope: arguments.scope.to_string(),
    }
}

/// Whether streams would be counted anew, since the target takes no gaps.
fn closes_gaps(arguments: &PlanArguments, project: &Project) -> bool {
    let dense_target = project.target.as_ref().is_some_and(StoreConfig::takes_no_gaps);
    let scope = arguments.scope.scope();
    MigrationOptions { scope, policies: project.policies, dense_target, ..MigrationOptions::default() }.closes_gaps()
}

fn numbering(shape: Shape, closes_gaps: bool) -> &'static str {
    match shape {
        Shape::OneToOne | Shape::Splitting | Shape::Shifting if closes_gaps => {
            "the source may have gaps in revisions and the target takes none: every stream is counted anew from 0"
        }
        Shape::OneToOne => "every rule is one-to-one: revisions and positions stay what they are",
        Shape::Splitting | Shape::Shifting => {
            "splits or drops shift what follows in a stream; the position map records old → new"
        }
        Shape::Moving => "events change streams, whose events are counted anew; the position map records old → new",
    }
}

fn type_line(covered: Covered) -> TypeLine {
    let Covered { event_type, version, tally, coverage, .. } = covered;
    let (kind, becomes, chain) = match coverage.outcome {
        Outcome::Current => ("current", "is current".to_owned(), vec![]),
        Outcome::Lifted(steps) => ("lifted", becomes(&steps), steps.into_iter().map(|step| step.rule).collect()),
        Outcome::Uncovered(Uncovered::UnknownType) => ("uncovered", "named by no definition".to_owned(), vec![]),
        Outcome::Uncovered(Uncovered::UnknownVersion { current }) => {
            ("uncovered", format!("NO CHAIN to the current version {current}"), vec![])
        }
    };
    TypeLine {
        event_type: event_type.to_string(),
        version: version.number(),
        events: tally.events,
        bytes: tally.bytes,
        coverage: kind,
        becomes,
        chain,
        rules: coverage.rules,
    }
}

/// Where chains end, in the order of the parts: what some step yields and no step starts from.
fn becomes(steps: &[Step]) -> String {
    let mut seen = Vec::new();
    if let Some(first) = steps.first() {
        follow(steps, &first.from, &mut seen);
    }
    let is_end = |schema: &Schema| !steps.iter().any(|step| step.from == *schema);
    let ends = seen.into_iter().filter(|schema| is_end(schema));
    let ends: Vec<String> = ends.map(|end| format!("{} {}", end.event_type, end.version)).collect();
    let drops = steps.iter().any(|step| step.to.is_empty());
    match (ends.is_empty(), drops) {
        (true, _) => "→ dropped".to_owned(),
        (false, true) => format!("→ {} (some dropped)", ends.join(" + ")),
        (false, false) => format!("→ {}", ends.join(" + ")),
    }
}

/// Everything that a schema becomes on its way, each once, a part's whole chain before the next part.
fn follow<'s>(steps: &'s [Step], schema: &'s Schema, seen: &mut Vec<&'s Schema>) {
    if seen.contains(&schema) {
        return;
    }
    seen.push(schema);
    for target in steps.iter().filter(|step| step.from == *schema).flat_map(|step| &step.to) {
        follow(steps, target, seen);
    }
}

/// Before and after of the events that a rule changes.
fn samples(registry: &Registry, found: &Survey, show: usize) -> Vec<SampleView> {
    let mut views = Vec::new();
    for event in found.types.iter().flat_map(|covered| covered.samples.iter().take(show)) {
        let mut after = Vec::new();
        // What fails is listed with the failures.
        let Ok(lift) = registry.lift(event.clone(), &mut after) else { continue };
        if lift == eventlift_transformers::Lift::Lifted {
            views.push(SampleView { before: EventView::of(event), after: after.iter().map(EventView::of).collect() });
        }
    }
    views
}

/// Writes the first events to a store of the target's kind in a temporary folder, and reckons from there. No estimate
/// where that fails: it is only an estimate.
async fn estimate(project: &Project, rehearsal: &Rehearsal, read_seconds: f64) -> Option<Estimate> {
    if rehearsal.first.is_empty() {
        return None;
    }
    let folder = tempfile::tempdir().ok()?;
    let trial = project.target.as_ref()?.trial_in(folder.path())?;
    let begun = Instant::now();
    let mut writer = trial.writer().await.ok()?;
    let events: Vec<Event> = (0..).zip(&rehearsal.first).map(|(number, event)| numbered(event, number)).collect();
    writer.append(&events, None).await.ok()?;
    writer.seal(false).await.ok()?;
    drop(writer);
    let written = rehearsal.written as f64 / events.len() as f64;
    let bytes = std::fs::metadata(trial.local_file()?).ok()?.len();
    Some(Estimate {
        seconds: read_seconds.max(begun.elapsed().as_secs_f64() * written),
        bytes: (bytes as f64 * written) as u64,
    })
}

/// The event at a place of its own, whatever it was split from.
fn numbered(event: &Event, number: u64) -> Event {
    Event { position: Position::new(number), revision: Revision(number), ..event.clone() }
}

impl fmt::Display for LeftOutLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.events {
            Some(events) => write!(f, "not carried over: {events} {}", self.what),
            None => write!(f, "not carried over: {}", self.what),
        }
    }
}

impl Report for PlanReport {
    fn exit_code(&self) -> ExitCode {
        self.exit_code
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.as_deref().unwrap_or("no target");
        writeln!(f, "{} → {target}\n", self.source)?;
        self.write_types(f)?;
        writeln!(f, "\n{}", self.numbering)?;
        let part = if self.complete { "" } else { " (a part of the source)" };
        let failed: u64 = self.failures.iter().map(|failure| failure.events).sum();
        match failed {
            0 => write!(f, "{} events{part} would become {}", self.events, self.written)?,
            _ => write!(f, "{failed} of {} events{part} fail, the others would become {}", self.events, self.written)?,
        }
        writeln!(f, ": {} lifted, {} of them split, {} dropped", self.lifted, self.split, self.dropped)?;
        if let Some(Estimate { seconds, bytes }) = self.estimate {
            let megabytes = bytes as f64 / 1e6;
            writeln!(f, "about {seconds:.1} s and {megabytes:.1} MB in the target")?;
        }
        if let Some(failing) = self.quarantined {
            writeln!(
                f,
                "an event that fails goes to quarantine, with those behind it in its stream; {failing} would fail"
            )?;
        }
        if let Some(loading) = self.loading {
            writeln!(f, "{loading}")?;
        }
        self.writing.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if let Some(keeps) = &self.target_keeps {
            writeln!(f, "{keeps}")?;
        }
        self.taken_as.iter().try_for_each(|line| writeln!(f, "in the source, {line}"))?;
        self.left_out.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        by_value_lines(&self.compared_by_value).iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.write_read_models(f)?;
        self.write_reverse(f)?;
        for sample in &self.samples {
            write!(f, "\n{sample}")?;
        }
        for failure in &self.failures {
            writeln!(f, "\n{} fails on {} events; the first:\n  {}", failure.rule, failure.events, failure.first)?;
            if let Some(hint) = &failure.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        if self.obstacles.is_empty() {
            return write!(
                f,
                "\nnothing was written; do it with `{}{}`",
                command("migrate", &self.project),
                self.scope
            );
        }
        writeln!(f, "\na migration would not go through:")?;
        self.obstacles.iter().try_for_each(|obstacle| writeln!(f, "  {obstacle}"))
    }
}

impl PlanReport {
    /// The same, with what its target makes of it. A target that can't be told about is an obstacle.
    async fn into_target(mut self, target: &StoreConfig, registry: &Registry, source: &dyn EventReader) -> Self {
        self.loading = loading(target, registry, source).await;
        self.writing = target.how_it_is_written();
        match target.kept_as().await {
            Ok(None) => {}
            Ok(Some([data, metadata])) => {
                self.compared_by_value.extend(by_value(target.to_string(), [data.is_exact, metadata.is_exact]));
                let view = |kept: KeptAs| KeptView { column: kept.column, exact: kept.is_exact, effect: kept.effect };
                self.target_keeps = Some(TargetKeeps { data: view(data), metadata: view(metadata) });
            }
            Err(error) => {
                let error = CommandError::from(error);
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                self.obstacles.push(format!("{error}{hint}"));
                self.exit_code = error.exit_code();
            }
        }
        self
    }

    /// The same, with what the source holds and does not yield.
    fn leaving_out(mut self, left_out: Vec<LeftOut>) -> Self {
        self.left_out = left_out.into_iter().map(|LeftOut { what, events }| LeftOutLine { what, events }).collect();
        self
    }

    /// The same, with how the source was read.
    fn taking_as(mut self, taken_as: Vec<String>) -> Self {
        self.taken_as = taken_as;
        self
    }

    /// The same, with what of the source reaches the read models; one that would not understand it is an obstacle.
    fn touching(mut self, touched: Vec<Touched>) -> Self {
        for Touched { projection, events, lifted, strange } in touched {
            if !strange.is_empty() {
                let strange = strange.join(", ");
                self.obstacles.push(format!("{projection} does not understand what would reach it: {strange}"));
                self.exit_code = ExitCode::Rule;
            }
            let lifted = lifted.into_iter().map(|(from, to)| [from, to]).collect();
            self.read_models.push(ReadModelLine { projection, events, lifted });
        }
        self
    }

    /// The same, with whether the way back is possible, where the project asks for one.
    fn and_back(mut self, project: &Project, registry: &Registry) -> Self {
        if !project.reverse.enabled {
            return self;
        }
        let missing = registry.inverse().err().map(|missing| missing.0).unwrap_or_default();
        if !missing.is_empty() {
            let steps = if missing.len() == 1 { "step of a rule has" } else { "steps of rules have" };
            self.obstacles.push(format!("{} {steps} no way back, which [reverse] asks for", missing.len()));
            if let ExitCode::Done = self.exit_code {
                self.exit_code = ExitCode::Refused;
            }
        }
        let line = |NoWayBack { place, rule, step, why, hint }| NoWayBackLine {
            rule,
            place: place.to_string(),
            step,
            why,
            hint,
        };
        let possible = missing.is_empty();
        self.reverse = Some(ReverseView { possible, missing: missing.into_iter().map(line).collect() });
        self
    }

    fn write_reverse(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ReverseView { possible, missing }) = &self.reverse else { return Ok(()) };
        if *possible {
            return writeln!(f, "\na reverse stream is possible: every rule has a way back");
        }
        writeln!(f, "\na reverse stream is not possible")?;
        for NoWayBackLine { rule, place, step, why, hint } in missing {
            let step = if step.is_empty() { String::new() } else { format!("{step}: ") };
            writeln!(f, "  {place}: {rule}: {step}{why}")?;
            hint.iter().try_for_each(|hint| writeln!(f, "    hint: {hint}"))?;
        }
        Ok(())
    }

    fn write_read_models(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.read_models.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nread models and snapshots")?;
        let width = self.read_models.iter().map(|line| line.projection.chars().count()).max().unwrap_or(0);
        for ReadModelLine { projection, events, lifted } in &self.read_models {
            write!(f, "  {projection:width$}  ")?;
            match (events, &lifted[..]) {
                (0, _) => writeln!(f, "untouched: nothing of this reaches it")?,
                (_, []) => writeln!(f, "folds {events} events, none of them upcast")?,
                (_, lifted) => {
                    let lifted: Vec<String> = lifted.iter().map(|[from, to]| format!("{from} → {to}")).collect();
                    writeln!(f, "folds {events} events, touched by {}", lifted.join(", "))?;
                }
            }
        }
        Ok(())
    }

    fn write_types(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.types.iter().map(|line| line.event_type.chars().count()).max().unwrap_or(0).max(4);
        writeln!(f, "{:width$}  version      events  becomes", "type")?;
        for line in &self.types {
            write!(f, "{:width$}  {:>7}  {:>10}  {}", line.event_type, line.version, line.events, line.becomes)?;
            if !line.rules.is_empty() {
                write!(f, ", then {}", line.rules.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for TargetKeeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, metadata } = self;
        match data == metadata {
            true => write!(f, "data and metadata are kept as {}", data.column)?,
            false => write!(f, "data is kept as {}, {}; metadata as {}", data.column, data.effect, metadata.column)?,
        }
        write!(f, ", {}", metadata.effect)
    }
}

impl fmt::Display for SampleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.to_string();
        match &self.after[..] {
            [] => write!(f, "event {} is dropped:\n{}", self.before.position, diff(&before, "")),
            [after] => {
                write!(f, "event {} (- before, + after):\n{}", self.before.position, diff(&before, &after.to_string()))
            }
            parts => {
                writeln!(f, "event {} is split into {} (- before, + after):", self.before.position, parts.len())?;
                write!(f, "{}", diff(&before, ""))?;
                parts.iter().try_for_each(|part| write!(f, "+\n{}", diff("", &part.to_string())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use eventlift_events::{EventType, SchemaVersion};
    use eventlift_transformers::{Definitions, Keys};

    use super::*;

    #[test]
    fn parts_are_listed_in_their_order_wherever_their_chains_end() {
        let definition = r#"
            type = "Contact"
            retired = true
            [[upcast]]
            from = 1
            split = [{ type = "Address", version = 1 }, { type = "Phone", version = 1 }, { type = "Note", version = 1 }]
        "#;
        let address = "type = 'Address'\ncurrent = 2\n[[upcast]]\nfrom = 1\n";
        let phone = "[current]\nPhone = 1\n";
        let note = "type = 'Note'\nretired = true\n[[upcast]]\nfrom = 1\ndrop = true\n";
        let files = [("a", definition), ("b", address), ("c", phone), ("d", note)];
        let files = files.map(|(path, text)| (path.into(), text.to_owned()));
        let definitions = Definitions::load(files, &Keys::new()).unwrap();
        let registry = definitions.register(Registry::builder()).build().unwrap();
        let coverage = registry.coverage(&EventType::new("Contact").unwrap(), SchemaVersion::FIRST);
        let Outcome::Lifted(steps) = coverage.outcome else { panic!("{coverage:?}") };
        assert_eq!(becomes(&steps), "→ Address 2 + Phone 1 (some dropped)");
    }
}
