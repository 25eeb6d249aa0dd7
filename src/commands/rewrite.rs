//! `rewrite`: changes the events of the source where they are, and takes that back.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::Counts;
use eventlift_transformers::Registry;
use serde::Serialize;

use super::arguments::RewriteArguments;
use super::control::Listening;
use super::error::{CommandError, ExitCode};
use super::event_view::{EventView, event_diff};
use super::going_on::{going_on, went_on};
use super::migrate::stop_on_signals;
use super::output::{Format, Report};
use super::progress_line::ProgressLine;
use super::rules::registry;
use super::take_over::Taking;
use super::verify::{ByValueView, by_value_lines};
use crate::config::Project;
use crate::pipeline::{
    Heartbeat, InPlace, InPlaceLook, InPlaceOptions, InPlaceVerification, PipelineError, Refusal, SessionStart, Stop,
    UndoOutcome, last_in_place_run, look_in_place,
};
use crate::stores::Claim;

/// What was done, or would be.
#[derive(Debug, Serialize)]
pub(super) struct RewriteReport {
    store: String,
    #[serde(flatten)]
    came: Came,
    /// How often it went on by itself after the store could not be reached.
    retries: u32,
    seconds: f64,
}

#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Came {
    /// What rewriting would do.
    Look {
        /// How many events would be looked at.
        read: u64,
        /// How many of them would be rewritten.
        rewritten: u64,
        changes: Vec<ChangeView>,
        complete: bool,
    },
    Rewrite {
        run: String,
        state: &'static str,
        resumed: bool,
        /// The last position that is done.
        position: Option<String>,
        #[serde(flatten)]
        counts: Counts,
    },
    Undo {
        run: String,
        /// How many events are again what they were.
        restored: u64,
        /// How many were left, since they are not what the run made of them any more.
        kept: u64,
        /// The first of those.
        kept_events: Vec<KeptView>,
        done: bool,
        was_done: bool,
    },
    DropUndo {
        run: String,
        /// How many events the log held.
        dropped_originals: u64,
    },
    Verify {
        run: String,
        agrees: bool,
        complete: bool,
        /// Events that were compared with what the rules make of their originals.
        rewritten: u64,
        /// Events that were never rewritten, and are left alone by the rules.
        untouched: u64,
        differing: u64,
        /// What lies up to this position was not compared: its undo log was dropped.
        dropped_up_to: Option<String>,
        compared_by_value: Vec<ByValueView>,
        first_difference: Option<Box<DifferenceView>>,
    },
}

/// Events of one type and version that would become others.
#[derive(Debug, Serialize)]
struct ChangeView {
    from: String,
    to: String,
    events: u64,
}

/// An event that could not be put back.
#[derive(Debug, Serialize)]
struct KeptView {
    position: String,
    id: String,
}

/// The first event that differs.
#[derive(Debug, Serialize)]
struct DifferenceView {
    expected: Option<EventView>,
    found: Option<EventView>,
}

/// Rewrites the events of a project's source, or shows what that would do.
pub(super) async fn rewrite(arguments: &RewriteArguments, format: Format) -> Result<RewriteReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let begun = Instant::now();
    // What was rewritten can be taken back whatever has become of the rules.
    let needs_rules = !arguments.undo && !arguments.drop_undo;
    let registry = Arc::new(if needs_rules { registry(&project)? } else { Registry::builder().build()? });
    project.source.refuse_rewriting()?;
    let stop = stop_on_signals();
    let work = Work {
        project: &project,
        arguments,
        format,
        registry,
        stop,
        session: SessionStart::now("rewrite"),
        listening: Listening::begin(&project),
    };
    let attempt = |heartbeat| work.attempt(heartbeat);
    let (came, retries) = going_on(&project.retry, format, &work.stop, attempt, || project.source.reach()).await?;
    Ok(RewriteReport { store: project.source.to_string(), came, retries, seconds: begun.elapsed().as_secs_f64() })
}

struct Work<'a> {
    project: &'a Project,
    arguments: &'a RewriteArguments,
    format: Format,
    registry: Arc<Registry>,
    stop: Stop,
    session: SessionStart,
    listening: Listening,
}

impl Work<'_> {
    fn options(&self) -> InPlaceOptions {
        let defaults = InPlaceOptions::default();
        InPlaceOptions {
            policies: self.project.policies,
            workers: self.arguments.workers.unwrap_or(defaults.workers),
            batch_events: self.arguments.batch,
            accept_changes: self.arguments.accept_changes,
            ..defaults
        }
    }

    async fn attempt(&self, heartbeat: Heartbeat) -> Result<Came, CommandError> {
        let RewriteArguments { yes, undo, drop_undo, verify, .. } = *self.arguments;
        match (undo, drop_undo, verify) {
            (true, ..) | (_, true, _) if !yes => Err(self.ask(undo).await?),
            (true, ..) => self.undo(&heartbeat).await,
            (_, true, _) => self.drop_undo().await,
            (.., true) => self.verify(&heartbeat).await,
            _ if yes => self.rewrite(&heartbeat).await,
            _ => self.look(&heartbeat).await,
        }
    }

    async fn open(&self, heartbeat: &Heartbeat) -> Result<InPlace, CommandError> {
        let store = self.project.source.reader().await?;
        let taking = Taking::beside(Claim::of("rewrite"), self.project, self.format, &self.stop);
        let rewriter = taking.rewriter(&self.project.source).await?;
        heartbeat.begun();
        let in_place = InPlace::new(store, rewriter, Arc::clone(&self.registry), self.options());
        let in_place = in_place.stop_on(self.stop.clone()).throttled(self.listening.throttle.clone());
        Ok(in_place.started(self.session.clone()))
    }

    /// What would be taken back, or dropped, and the word that is missing.
    async fn ask(&self, undo: bool) -> Result<CommandError, CommandError> {
        let source = &self.project.source;
        let run = match source.ledger().await? {
            Some(ledger) => last_in_place_run(&*ledger).await?,
            None => None,
        };
        let problem = match (run, undo) {
            (None, _) => format!("no run has rewritten events of {source}"),
            (Some(run), true) => format!("this puts back what run {} has rewritten in {source}", run.id),
            (Some(run), false) => format!("this drops the undo log of run {}, which can't be taken back then", run.id),
        };
        Ok(PipelineError::from(Refusal::InPlace { problem, hint: "add --yes to have it done" }).into())
    }

    async fn look(&self, heartbeat: &Heartbeat) -> Result<Came, CommandError> {
        let source = &self.project.source;
        let store = source.reader().await?;
        let ledger = source.ledger().await?;
        heartbeat.begun();
        let mut line = ProgressLine::new(self.format, "looking", None, 0);
        let looked = look_in_place(
            store,
            ledger.as_deref(),
            Arc::clone(&self.registry),
            self.options(),
            self.stop.clone(),
            |read| {
                heartbeat.progressed(read);
                line.set(read);
            },
        )
        .await;
        line.end();
        Ok(of_look(&looked?))
    }

    async fn rewrite(&self, heartbeat: &Heartbeat) -> Result<Came, CommandError> {
        let in_place = self.open(heartbeat).await?;
        let outcome = self.watched(in_place.progress(), "rewriting", heartbeat, in_place.run()).await?;
        Ok(Came::Rewrite {
            run: outcome.run.to_string(),
            state: if outcome.done { "done" } else { "stopped" },
            resumed: outcome.resumed,
            position: outcome.position.map(|position| position.to_string()),
            counts: outcome.counts,
        })
    }

    async fn undo(&self, heartbeat: &Heartbeat) -> Result<Came, CommandError> {
        let in_place = self.open(heartbeat).await?;
        let outcome = self.watched(in_place.progress(), "putting back", heartbeat, in_place.undo()).await?;
        let UndoOutcome { run, restored, kept, named, done, was_done } = outcome;
        let view = |(position, id): (eventlift_events::Position, eventlift_events::EventId)| KeptView {
            position: position.to_string(),
            id: id.to_string(),
        };
        let kept_events = named.into_iter().map(view).collect();
        Ok(Came::Undo { run: run.to_string(), restored, kept, kept_events, done, was_done })
    }

    async fn drop_undo(&self) -> Result<Came, CommandError> {
        let in_place = self.open(&Heartbeat::default()).await?;
        let (run, dropped_originals) = in_place.drop_undo().await?;
        Ok(Came::DropUndo { run: run.to_string(), dropped_originals })
    }

    async fn verify(&self, heartbeat: &Heartbeat) -> Result<Came, CommandError> {
        let in_place = self.open(heartbeat).await?;
        let mut line = ProgressLine::new(self.format, "verifying", None, 0);
        let verified = in_place
            .verify(|seen| {
                heartbeat.progressed(seen);
                line.set(seen);
            })
            .await;
        line.end();
        Ok(of_verification(verified?))
    }

    /// Waits for a run, and says how far it is.
    async fn watched<T>(
        &self,
        mut progress: tokio::sync::watch::Receiver<crate::pipeline::Progress>,
        doing: &'static str,
        heartbeat: &Heartbeat,
        running: impl Future<Output = Result<T, PipelineError>>,
    ) -> Result<T, CommandError> {
        let mut line = ProgressLine::new(self.format, doing, None, 0);
        let mut running = std::pin::pin!(running);
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    let done = now.counts.read.max(now.counts.written);
                    heartbeat.progressed(done);
                    line.set(done);
                }
            }
        };
        line.end();
        Ok(outcome?)
    }
}

fn of_look(look: &InPlaceLook) -> Came {
    let changes = look.changes.iter().map(|(change, events)| ChangeView {
        from: format!("{} version {}", change.event_type, change.version),
        to: format!("{} version {}", change.to_type, change.to_version),
        events: *events,
    });
    Came::Look { read: look.read, rewritten: look.rewritten(), changes: changes.collect(), complete: look.complete }
}

fn of_verification(verified: InPlaceVerification) -> Came {
    Came::Verify {
        run: verified.run.to_string(),
        agrees: verified.agrees(),
        complete: verified.complete,
        rewritten: verified.rewritten,
        untouched: verified.untouched,
        differing: verified.differing,
        dropped_up_to: verified.after.map(|position| position.to_string()),
        compared_by_value: verified.by_value.iter().map(ByValueView::of).collect(),
        first_difference: verified.first.map(|difference| {
            Box::new(DifferenceView {
                expected: difference.expected.as_ref().map(EventView::of),
                found: difference.found.as_ref().map(EventView::of),
            })
        }),
    }
}

impl Report for RewriteReport {
    fn exit_code(&self) -> ExitCode {
        match &self.came {
            Came::Look { complete: false, .. } | Came::Rewrite { state: "stopped", .. } => ExitCode::Stopped,
            // As of anything that needs a word.
            Came::Look { rewritten: 1.., .. } => ExitCode::Refused,
            Came::Undo { kept: 1.., .. } => ExitCode::Refused,
            Came::Undo { done: false, .. } | Came::Verify { complete: false, .. } => ExitCode::Stopped,
            Came::Verify { agrees: false, .. } => ExitCode::Differs,
            _ => ExitCode::Done,
        }
    }
}

impl fmt::Display for RewriteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.store)?;
        if let Some(went_on) = went_on(self.retries) {
            writeln!(f, "{went_on}")?;
        }
        write!(f, "{}", self.came)?;
        match &self.came {
            Came::Rewrite { .. } | Came::Verify { .. } => write!(f, " ({:.1} s)", self.seconds),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Look { complete: false, read, .. } => write!(f, "stopped after {read} events; nothing was written"),
            Self::Look { rewritten: 0, read, .. } => {
                write!(f, "{read} events; the rules leave all of them as they are")
            }
            Self::Look { read, rewritten, changes, .. } => {
                for ChangeView { from, to, events } in changes {
                    writeln!(f, "  {from} → {to}: {events} events")?;
                }
                writeln!(f, "this rewrites {rewritten} of {read} events where they are; nothing was written")?;
                write!(f, "hint: add --yes to have it done; stop nobody, and keep a backup")
            }
            Self::Rewrite { run, state, counts, .. } => {
                writeln!(
                    f,
                    "{} of {} events rewritten; what they were is in the undo log",
                    counts.written, counts.read
                )?;
                write!(f, "run {run} is {state}")
            }
            Self::Undo { run, was_done: true, .. } => {
                write!(f, "nothing was left to do: run {run} was taken back before")
            }
            Self::Undo { run, restored, kept, kept_events, done, .. } => {
                writeln!(f, "{restored} events were put back")?;
                match (kept, done) {
                    (0, true) => write!(f, "run {run} is taken back"),
                    (0, false) => write!(f, "stopped; the same command goes on"),
                    _ => {
                        writeln!(f, "{kept} are not what run {run} made of them any more, and were left as they are:")?;
                        for KeptView { position, id } in kept_events.iter().take(10) {
                            writeln!(f, "  position {position}, event {id}")?;
                        }
                        write!(f, "hint: put them right and do it again, or give them up with --drop-undo --yes")
                    }
                }
            }
            Self::DropUndo { run, dropped_originals } => {
                write!(f, "the undo log of run {run} is dropped, with {dropped_originals} events")
            }
            Self::Verify { complete: false, .. } => write!(f, "stopped; nothing is proved"),
            Self::Verify {
                agrees,
                rewritten,
                untouched,
                differing,
                dropped_up_to,
                compared_by_value,
                first_difference,
                ..
            } => {
                writeln!(
                    f,
                    "{rewritten} events compared with what the rules make of their originals, {untouched} others"
                )?;
                by_value_lines(compared_by_value).iter().try_for_each(|line| writeln!(f, "  {line}"))?;
                if let Some(position) = dropped_up_to {
                    writeln!(f, "  only what lies behind position {position} was compared: the rest has no undo log")?;
                }
                if *agrees {
                    return write!(f, "verified");
                }
                match first_difference.as_deref() {
                    Some(DifferenceView { expected: Some(expected), found: Some(found) }) => {
                        writeln!(f, "the first difference, at position {} (- expected, + found):", expected.position)?;
                        writeln!(f, "{}", event_diff(Some(expected), Some(found)))?;
                    }
                    _ => writeln!(f, "events that were rewritten are gone")?,
                }
                write!(f, "{differing} events differ")
            }
        }
    }
}
