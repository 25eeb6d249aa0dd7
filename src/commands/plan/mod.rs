//! `plan`: what a migration would do, type by type, with samples, before anything is written.
//!
//! It rehearses the very migration over the target as it is, and reports what came of it.

mod becomes;
mod estimate;
mod obstacles;
mod report;
mod text;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{EventReader, LeftOut, Scope};
use eventlift_transformers::{NoWayBack, Registry, Shape};

use self::becomes::type_line;
use self::estimate::{TRIAL, estimate};
use self::obstacles::Obstacles;
use self::report::{
    Failure, KeptView, LeftOutLine, NoWayBackLine, PlanReport, ReadModelLine, ReverseView, RunLine, SampleView,
    TargetKeeps, TargetTypeLine,
};
use super::arguments::PlanArguments;
use super::checks::refuse_unknown;
use super::cutover::refuse_after_cut_over;
use super::error::{CommandError, ExitCode};
use super::event_view::EventView;
use super::migrate::stop_on_signals;
use super::output::Format;
use super::progress_line::ProgressLine;
use super::read_models::projections;
use super::rules::registry;
use super::took::{refused, rule_lines, silent};
use super::verify::ByValueView;
use crate::checks::{CheckResult, Checks, EventLooks, Surveyed, Verdict, When};
use crate::config::{FILE_NAME, Project};
use crate::pipeline::{
    ByValue, FailedEvents, MigrationOptions, Part, Rehearsal, Rehearsing, StartingPoint, Stop, Survey, SurveyOptions,
    last_that_fills,
};
use crate::rebuild::{Touched, touched};
use crate::stores::{KeptAs, Prospect, StoreConfig};

/// Enough to tell whether a source can be cut.
const CUTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Plans the migration of a project.
pub(super) async fn plan(arguments: &PlanArguments, format: Format) -> Result<PlanReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let registry = Arc::new(registry(&project)?);
    refuse_unknown(&project, &arguments.skip_check)?;
    let source = project.source.reader().await?;
    let planning = Planning { arguments, format, project: &project, registry, source, stop: stop_on_signals() };
    planning.report().await
}

/// What is planned.
struct Planning<'a> {
    arguments: &'a PlanArguments,
    format: Format,
    project: &'a Project,
    registry: Arc<Registry>,
    source: Arc<dyn EventReader>,
    stop: Stop,
}

/// Where the migration would begin.
struct Beginning {
    rehearsing: Rehearsing,
    start: StartingPoint,
    run: Option<RunLine>,
}

impl Planning<'_> {
    async fn report(&self) -> Result<PlanReport, CommandError> {
        let (project, registry, source) = (self.project, &self.registry, &self.source);
        let source_name = source.identity().to_string();
        let policies = project.policies;
        let mut obstacles = Obstacles::default();
        let target = self.target(&mut obstacles).await;
        let begun = self.begin(target, &mut obstacles).await?;

        let (found, looks) = self.survey(begun.start).await?;
        // Before anything else reads it, since every read counts.
        let (left_out, taken_as) = (source.left_out(), source.taken_as());
        obstacles.proof(&found, &source_name, policies);
        if found.complete && found.events() == 0 && begun.run.is_none() && self.scope() != Scope::All {
            let scope = self.arguments.scope.to_string();
            obstacles.refusal(CommandError::NothingInScope { source_name: source_name.clone(), scope });
        }
        if begun.start.is_first_event() && obstacles.is_empty() && found.complete {
            self.check_before(Surveyed { survey: found.clone(), looks }, &mut obstacles).await?;
        }
        let read_models = self.read_models(&found, &mut obstacles)?;
        let reverse = self.way_back(&mut obstacles);

        let timed = Instant::now();
        let mut rehearsal = self.rehearse(&begun, &found).await?;
        let seconds = timed.elapsed().as_secs_f64();
        let is_whole = self.arguments.sample.is_none();
        let estimate = if is_whole { estimate(project, &rehearsal, seconds).await } else { None };
        let quarantines = policies.failed_events == FailedEvents::Quarantine;
        let target_name = project.target.as_ref().map(StoreConfig::to_string);
        obstacles.under_way(&mut rehearsal, target_name.as_deref().unwrap_or_default(), !quarantines);
        let (loading, target_keeps, by_value_there) = self.of_target(&mut obstacles).await;

        let rules = rule_lines(registry, &rehearsal.took);
        let mut notes = self.notes(&found);
        // Where something ends it, nothing is known of what would be taken behind that.
        if rehearsal.complete && found.complete && rehearsal.counts.read > 0 {
            notes.extend(silent(&rules));
            obstacles.add_any(refused(&rules, &self.scope()), ExitCode::Rule);
        }
        let kept = source.capabilities();
        let mut compared_by_value = by_value(source_name.clone(), [kept.exact_data, kept.exact_metadata]);
        compared_by_value.extend(by_value_there);
        let (exit_code, obstacles) = obstacles.into_parts();
        let now = rehearsal.now();
        Ok(PlanReport {
            source: source_name,
            target: target_name,
            complete: found.complete,
            run: begun.run,
            events: found.events(),
            samples: samples(registry, &found, self.arguments.show),
            notes,
            rules,
            types: found.types.into_iter().map(type_line).collect(),
            quarantined: quarantines.then_some(rehearsal.failures.events()),
            obstacles,
            exit_code,
            numbering: numbering(registry.shape(), begun.rehearsing.options.closes_gaps()),
            lifted: now.lifted,
            dropped: now.dropped,
            split: now.split,
            written: now.written,
            written_bytes: rehearsal.written_bytes,
            target_types: target_types(&rehearsal),
            shows_target_types: registry.stateful().iter().any(|rule| rule.keeps_back()),
            failing: rehearsal.failures.events(),
            held: rehearsal.quarantined,
            failures: failures(rehearsal),
            estimate,
            loading,
            writing: project.target.as_ref().map(StoreConfig::how_it_is_written).unwrap_or_default(),
            taken_as,
            left_out: left_out.into_iter().map(|LeftOut { what, events }| LeftOutLine { what, events }).collect(),
            target_keeps,
            compared_by_value,
            read_models,
            reverse,
            project: self.arguments.project.project.display().to_string(),
            scope: self.arguments.scope.to_string(),
        })
    }

    fn scope(&self) -> Scope {
        self.arguments.scope.scope()
    }

    /// The target as it is; what nothing can be told about is an obstacle.
    async fn target(&self, obstacles: &mut Obstacles) -> Prospect {
        match self.project.require_target() {
            Ok(target) if self.project.source.is_same(target) => {
                obstacles.add(format!("{} is both source and target", self.source.identity()), ExitCode::Refused);
                Prospect::nowhere()
            }
            Ok(target) => match target.prospect().await {
                Ok(prospect) => prospect,
                Err(error) => {
                    obstacles.store(error);
                    Prospect::nowhere()
                }
            },
            Err(_) => {
                obstacles.add(format!("{FILE_NAME} has no [target]"), ExitCode::Project);
                Prospect::nowhere()
            }
        }
    }

    /// Where the migration would begin; as into a new target where it would be refused.
    async fn begin(&self, target: Prospect, obstacles: &mut Obstacles) -> Result<Beginning, CommandError> {
        let project = self.project;
        let options = MigrationOptions {
            scope: self.scope(),
            policies: project.policies,
            quarantine: project.quarantine,
            dense_target: project.target.as_ref().is_some_and(StoreConfig::takes_no_gaps),
            ..MigrationOptions::default()
        };
        if let Some(ledger) = &target.ledger {
            let refused = refuse_after_cut_over(&**ledger, &target.identity).await;
            refused.unwrap_or_else(|error| obstacles.refusal(error));
        }
        let as_new = target.as_new();
        let (registry, source) = (Arc::clone(&self.registry), Arc::clone(&self.source));
        let limit = self.arguments.sample;
        let mut rehearsing = Rehearsing { source, target, registry, options, limit, keep: TRIAL };
        if !self.source.is_rereadable() {
            return Ok(Beginning { rehearsing, start: StartingPoint::FirstEvent, run: None });
        }
        let start = match rehearsing.starting_point().await {
            Ok(start @ StartingPoint::Behind(_)) => {
                let runs = match &rehearsing.target.ledger {
                    Some(ledger) => ledger.runs().await?,
                    None => Vec::new(),
                };
                let done = start.counts();
                let run = last_that_fills(runs);
                let run = run.map(|run| RunLine { id: run.id.to_string(), read: done.read, written: done.written });
                return Ok(Beginning { rehearsing, start, run });
            }
            Ok(start) => start,
            Err(error) => {
                obstacles.refusal(error);
                // What would fail is counted all the same.
                rehearsing.options.policies.failed_events = FailedEvents::Stop;
                StartingPoint::FirstEvent
            }
        };
        rehearsing.target = as_new;
        Ok(Beginning { rehearsing, start, run: None })
    }

    /// What the source holds, and what the checks before a migration saw of it.
    async fn survey(&self, start: StartingPoint) -> Result<(Survey, Option<EventLooks>), CommandError> {
        let options = SurveyOptions {
            scope: self.scope(),
            after: start.source(),
            samples: self.arguments.show.max(1),
            limit: self.arguments.sample,
            policies: self.project.policies,
            gaps_are_found_later: false,
        };
        let mut line = ProgressLine::new(self.format, "surveying", None, 0);
        let found = self.checks().survey(&*self.source, &options, |read| line.set(read)).await;
        line.end();
        let Surveyed { survey, looks } = found?;
        Ok((survey, looks))
    }

    fn checks(&self) -> Checks<'_> {
        Checks {
            settings: &self.project.checks,
            policies: self.project.policies,
            scope: self.scope(),
            source: &self.project.source,
            target: self.project.target.as_ref(),
            read_models: self.project.read_models.as_ref(),
            registry: Arc::clone(&self.registry),
            skip: &self.arguments.skip_check,
            stop: &self.stop,
        }
    }

    /// Makes the checks that a migration begins with; those that fail are obstacles.
    async fn check_before(&self, surveyed: Surveyed, obstacles: &mut Obstacles) -> Result<(), CommandError> {
        let surveyed = self.source.is_rereadable().then_some(surveyed);
        let report = self.checks().run(When::Before, surveyed).await?;
        for CheckResult { name, message, hint, .. } in
            report.results.iter().filter(|result| result.verdict == Verdict::Fail)
        {
            let message = message.iter().map(|message| format!(": {message}")).collect::<String>();
            let hint = hint.iter().map(|hint| format!("; {hint}")).collect::<String>();
            obstacles.add(format!("the check {name} fails{message}{hint}"), ExitCode::Refused);
        }
        Ok(())
    }

    async fn rehearse(&self, begun: &Beginning, found: &Survey) -> Result<Rehearsal, CommandError> {
        if !self.source.is_rereadable() {
            return Ok(Rehearsal::default());
        }
        let mut line = ProgressLine::new(self.format, "rehearsing", Some(found.events()), 0);
        let rehearsed = begun.rehearsing.run(&self.stop, |read| line.set(read)).await;
        line.end();
        Ok(rehearsed?)
    }

    /// What this plan can't know.
    fn notes(&self, found: &Survey) -> Vec<String> {
        if !self.source.is_rereadable() {
            return vec!["the source can be read once only, so no rule was run".to_owned()];
        }
        if found.complete {
            return self.missing_types(found);
        }
        let events = found.events();
        let mut note = format!(
            "this is about the first {events} events: other types, rules that fail, and events that the target can't hold, \
             may come behind them; whether ids are unique and revisions have gaps was not looked at, and no check was made"
        );
        if self.registry.stateful().iter().any(|rule| rule.keeps_back()) {
            note.push_str("; merges are closed where they end");
        }
        vec![note]
    }

    /// The types that were asked for and are not there.
    fn missing_types(&self, found: &Survey) -> Vec<String> {
        let Scope::Types(asked) = self.scope() else { return Vec::new() };
        let missing = asked.iter().filter(|asked| !found.types.iter().any(|covered| covered.event_type == **asked));
        missing.map(|event_type| format!("--type {event_type}: the source holds no such event")).collect()
    }

    /// What of it reaches the read models; one that would not understand it is an obstacle.
    fn read_models(&self, found: &Survey, obstacles: &mut Obstacles) -> Result<Vec<ReadModelLine>, CommandError> {
        let projections = projections(self.project)?.projections();
        let types = found.types.iter();
        let types = types.map(|covered| (covered.event_type.clone(), covered.version, covered.tally.events));
        let mut lines = Vec::new();
        for projection in &projections {
            let Touched { projection, events, lifted, strange } = touched(&self.registry, types.clone(), &**projection);
            if !strange.is_empty() {
                let strange = strange.join(", ");
                let text = format!("{projection} does not understand what would reach it: {strange}");
                obstacles.add(text, ExitCode::Rule);
            }
            let lifted = lifted.into_iter().map(|(from, to)| [from, to]).collect();
            lines.push(ReadModelLine { projection, events, lifted });
        }
        Ok(lines)
    }

    /// Whether the way back is possible, where the project asks for one.
    fn way_back(&self, obstacles: &mut Obstacles) -> Option<ReverseView> {
        if !self.project.reverse.enabled {
            return None;
        }
        let missing = self.registry.inverse().err().map(|missing| missing.0).unwrap_or_default();
        if !missing.is_empty() {
            let steps = if missing.len() == 1 { "step of a rule has" } else { "steps of rules have" };
            let text = format!("{} {steps} no way back, which [reverse] asks for", missing.len());
            obstacles.add(text, ExitCode::Refused);
        }
        let line = |NoWayBack { place, rule, step, why, hint }| NoWayBackLine {
            rule,
            place: place.to_string(),
            step,
            why,
            hint,
        };
        Some(ReverseView { possible: missing.is_empty(), missing: missing.into_iter().map(line).collect() })
    }

    /// How the target is loaded, how it keeps payloads, and what is compared by value for that.
    async fn of_target(
        &self,
        obstacles: &mut Obstacles,
    ) -> (Option<&'static str>, Option<TargetKeeps>, Vec<ByValueView>) {
        let Some(target) = &self.project.target else { return (None, None, Vec::new()) };
        let loading = loading(target, &self.registry, &*self.source).await;
        match target.kept_as().await {
            Ok(None) => (loading, None, Vec::new()),
            Ok(Some([data, metadata])) => {
                let by_value = by_value(target.to_string(), [data.is_exact, metadata.is_exact]);
                let view = |kept: KeptAs| KeptView { column: kept.column, exact: kept.is_exact, effect: kept.effect };
                (loading, Some(TargetKeeps { data: view(data), metadata: view(metadata) }), by_value)
            }
            Err(error) => {
                obstacles.store(error);
                (loading, None, Vec::new())
            }
        }
    }
}

fn target_types(rehearsal: &Rehearsal) -> Vec<TargetTypeLine> {
    let line = |((event_type, version), events): (&(eventlift_events::EventType, _), &u64)| TargetTypeLine {
        event_type: event_type.to_string(),
        version: eventlift_events::SchemaVersion::number(*version),
        events: *events,
    };
    rehearsal.types.iter().map(line).collect()
}

/// The rules that fail, the one that fails first first.
fn failures(rehearsal: Rehearsal) -> Vec<Failure> {
    let mut failures: Vec<_> = rehearsal.failures.by_rule.into_iter().collect();
    failures.sort_by_key(|(_, (first, _))| first.event.position);
    let failure = |(rule, (first, events)): (String, (eventlift_transformers::TransformError, u64))| Failure {
        rule,
        events,
        first: first.to_string(),
        hint: first.reason.hint,
    };
    failures.into_iter().map(failure).collect()
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
