//! Why a command failed, and its exit code.

use eventlift_events::{StoreError, StoreErrorKind};
use eventlift_transformers::{DefinitionErrors, NotInvertible, RegistryErrors};

use crate::checks::CheckReport;
use crate::config::ConfigError;
use crate::cutover::CutOverError;
use crate::pipeline::PipelineError;
use crate::rebuild::{RebuildError, RebuildRefusal};
use crate::serve::ServeError;

/// The documented exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Unexpected: a bug, or an environment that nothing here knows.
    Unexpected = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The project or its rules are wrong.
    Project = 3,
    /// The source is broken.
    Source = 4,
    /// It would mix things up.
    Refused = 5,
    /// `verify` found a difference.
    Differs = 6,
    /// A rule or a fold failed, or nothing covers an event.
    Rule = 7,
    /// A store can't be read or written.
    Store = 8,
    /// Stopped on request; the same command goes on.
    Stopped = 9,
    /// Done, but events are in quarantine.
    Quarantined = 10,
    /// The cut-over, or the way back, was given up; writers use the store that they used before, unless it says otherwise.
    NotCutOver = 11,
}

impl ExitCode {
    /// Every exit code, ascending.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Unexpected,
        Self::Usage,
        Self::Project,
        Self::Source,
        Self::Refused,
        Self::Differs,
        Self::Rule,
        Self::Store,
        Self::Stopped,
        Self::Quarantined,
        Self::NotCutOver,
    ];
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The project can't be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A definition is wrong.
    #[error("failed to read the definitions: {0}")]
    Definitions(#[from] DefinitionErrors),
    /// The rules don't fit together.
    #[error("failed to prove the rules: {0}")]
    Registry(#[from] RegistryErrors),
    /// A store can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run ended before it was done.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A projection's definition is wrong.
    #[error("failed to read the projections: {0}")]
    Projections(#[from] eventlift_projections::DefinitionErrors),
    /// A rebuild ended before it was done.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// There are no projections.
    #[error("failed to rebuild: there are no projections in {folder}")]
    NoProjections {
        /// The folder of definitions.
        folder: String,
    },
    /// A name that no projection has.
    #[error("failed to find a projection named {name:?}: the project has {}", .known.join(", "))]
    UnknownProjection {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Nothing was migrated that could be folded.
    #[error("failed to fold {target}: {problem}")]
    NotMigrated {
        /// The target.
        target: String,
        /// Why not.
        problem: &'static str,
    },
    /// Read models can't be fed from a target that can't be read back.
    #[error("failed to build read models: the target is standard output, which can't be read back")]
    TargetIsStream,
    /// There is no build to go back to.
    #[error("failed to undo: there is no build before the live one of {}", .projections.join(", "))]
    NothingToUndo {
        /// The projections.
        projections: Vec<String>,
    },
    /// The read models are kept elsewhere than when the service was started.
    #[error("refused: eventlift.toml keeps read models in {to} now, and not in {from}")]
    ReadModelsMoved {
        /// Where they were kept.
        from: String,
        /// Where they would be kept.
        to: String,
    },
    /// A cut-over, or the way back, ended before it was done.
    #[error(transparent)]
    CutOver(#[from] CutOverError),
    /// Rules that have no way back.
    #[error("failed to turn the rules round: {0}")]
    NotInvertible(Box<NotInvertible>),
    /// Schedules can't be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// What a project is to start from is no store.
    #[error("failed to start from that store: {problem}")]
    From {
        /// Why not. Holds no password.
        problem: String,
    },
    /// A project can't start from a file, since its events lack what every event has.
    #[error("failed to start from {path}: {problem}")]
    FromFile {
        /// The file.
        path: String,
        /// What is not there.
        problem: String,
    },
    /// A file can't be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Checks have failed before anything was written.
    #[error("refused to run: {failed} of {made} checks failed\n{0}", failed = .0.failed().len(), made = .0.results.len())]
    ChecksFailed(CheckReport),
    /// A name that no check has.
    #[error("failed to find a check named {name:?}: there are {}", .known.join(", "))]
    UnknownCheck {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A file can't be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration of another tool that no project can be made of.
    #[error("failed to import {path}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Import {
        /// The file.
        path: String,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong. Holds no password.
        message: String,
        /// What to try.
        hint: Option<String>,
    },
    /// No speed.
    #[error("failed to set a limit: {limit} is no number of at least 0")]
    WrongLimit {
        /// What was given.
        limit: f64,
    },
    /// A process still writes to the target.
    #[error(
        "failed to get hold of {target}: a process still writes to it after {seconds:.0} s{}",
        holder.as_ref().map(|holder| format!(" ({holder})")).unwrap_or_default()
    )]
    NotHandedOver {
        /// The target.
        target: String,
        /// How long it was waited for.
        seconds: f64,
        /// Who has it, where that is known.
        holder: Option<String>,
        /// What an administrator can run to end its session at the server.
        statement: Option<String>,
    },
    /// A file is there already.
    #[error("failed to create {0}: it is there already")]
    Exists(String),
    /// No event is in the part of the source that was asked for.
    #[error("refused to run: {source_name} has no event for{scope}")]
    NothingInScope {
        /// The source.
        source_name: String,
        /// The arguments that say which part, a space before each.
        scope: String,
    },
    /// Any of the others, while standard output is taken by events.
    #[error(transparent)]
    BesideEvents(Box<CommandError>),
    /// No run was recorded.
    #[error("failed to find a run: {target} holds none")]
    NoRun {
        /// The target.
        target: String,
    },
    /// A name that no run has, or that several have.
    #[error("failed to find a run {name:?} in {target}")]
    UnknownRun {
        /// What was typed.
        name: String,
        /// The target.
        target: String,
        /// The latest runs, the last first.
        known: Vec<String>,
    },
    /// There is no position map.
    #[error("failed to translate positions of {target}: {problem}")]
    NotMapped {
        /// The target.
        target: String,
        /// Why not.
        problem: &'static str,
    },
    /// A position, or a reference, that can't be read.
    #[error("failed to translate {place}: {problem}")]
    Untranslatable {
        /// File and line, row, or position.
        place: String,
        /// Why not.
        problem: String,
    },
    /// A position that the run has not come to.
    #[error("refused to translate {place}: position {position} is ahead of the run, which is done up to {until}")]
    Ahead {
        /// File and line, or row.
        place: String,
        /// The position.
        position: eventlift_events::Position,
        /// How far the run is.
        until: eventlift_events::Position,
    },
    /// A revision that a stream does not have.
    #[error("failed to find revision {revision} of stream {stream} in {source_name}")]
    NoSuchRevision {
        /// The source.
        source_name: String,
        /// The stream.
        stream: eventlift_events::StreamName,
        /// The revision.
        revision: eventlift_events::Revision,
    },
    /// Arguments that don't go together.
    #[error("failed to understand the arguments: {0}")]
    Usage(String),
    /// Rules have changed that are not named.
    #[error("refused to repair: other rules have changed as well: {}", .others.join(", "))]
    RepairsTooLittle {
        /// Those.
        others: Vec<String>,
    },
    /// A rule that is named has not changed.
    #[error("failed to repair {rule:?}: it has not changed since it was applied")]
    NothingToRepair {
        /// The rule.
        rule: String,
        /// Those that have.
        changed: Vec<String>,
    },
    /// The run has not ended, so that there is nothing to read its events from.
    #[error("failed to prove that run {run} would be the same: it is {state}, and its target can't be read yet")]
    NothingToProve {
        /// The run.
        run: String,
        /// Its state.
        state: &'static str,
    },
    /// The present rules give something else than what is in the target.
    #[error("refused to repair: the rules give something else for an event that is in the target: {event}")]
    RepairBreaks {
        /// The event, over several lines.
        event: String,
    },
    /// The run went on while it was being proved.
    #[error("refused to repair: run {run} has changed while its events were compared")]
    RepairedBeside {
        /// The run.
        run: String,
    },
    /// There is nothing to compare.
    #[error("failed to verify {target}: {problem}")]
    NothingToVerify {
        /// The target.
        target: String,
        /// Why not.
        problem: String,
    },
}

impl CommandError {
    /// Arguments that don't go together, and why.
    pub(super) fn usage(problem: impl Into<String>) -> Self {
        Self::Usage(problem.into())
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint.clone(),
            Self::Import { hint, .. } => hint.clone(),
            Self::Store(error) => error.hint.clone(),
            Self::Pipeline(error) => error.hint(),
            Self::Rebuild(error) => error.hint(),
            Self::NoProjections { .. } => Some("write a definition, such as those in docs/projections.md".to_owned()),
            Self::UnknownProjection { name, known } => {
                eventlift_language::problem::did_you_mean(name, known.iter().map(|known| &**known))
            }
            Self::NotMigrated { .. } => {
                Some("run `eventlift migrate` first, or fold the source with --from source".to_owned())
            }
            Self::NothingToUndo { .. } => Some(
                "the build before is kept from one rebuild to the next, or until --drop-old; build anew with \
                 `eventlift rebuild --all`"
                    .to_owned(),
            ),
            Self::TargetIsStream => Some("leave the read models alone with --events-only".to_owned()),
            Self::ReadModelsMoved { .. } => Some("start `serve` again".to_owned()),
            Self::CutOver(error) => error.hint(),
            Self::NotInvertible(missing) => missing.0.first().and_then(|first| first.hint.clone()),
            Self::Serve(error) => error.hint(),
            Self::ChecksFailed(report) => {
                let name = report.failed().first().copied().unwrap_or("NAME").to_owned();
                Some(format!("nothing was written; a check that may be left out is skipped with --skip-check {name:?}"))
            }
            Self::UnknownCheck { name, known } => {
                eventlift_language::problem::did_you_mean(name, known.iter().map(|known| &**known))
            }
            Self::NotHandedOver { statement: Some(statement), .. } => Some(format!(
                "stop the process with SIGTERM; or end its session, which loses nothing that was committed: `{statement}` as \
                 its user, a superuser or a member of pg_signal_backend; `patience` under [take_over] is how long is waited"
            )),
            Self::NotHandedOver { statement: None, .. } => Some(
                "a `migrate --follow` or `reverse --follow` lets go between two batches; stop any other process with \
                 SIGTERM, or give it longer: `patience` under [take_over]"
                    .to_owned(),
            ),
            Self::WrongLimit { .. } => Some("0 is a pause; --off is no limit".to_owned()),
            Self::Exists(_) => Some("name another folder, or move the file away".to_owned()),
            Self::NothingInScope { .. } => Some(
                "check the spelling; `eventlift plan` of everything shows the types, and events with their streams"
                    .to_owned(),
            ),
            Self::BesideEvents(error) => error.hint(),
            Self::NothingToVerify { .. } | Self::NoRun { .. } => Some("run `eventlift migrate` first".to_owned()),
            Self::UnknownRun { known, .. } => {
                Some(format!("the latest are {}; `latest` is the last", known.join(", ")))
            }
            Self::RepairsTooLittle { .. } => Some("name them with --rule, or leave --rule out".to_owned()),
            Self::NothingToRepair { changed, .. } if changed.is_empty() => Some("no rule has".to_owned()),
            Self::NothingToRepair { changed, .. } => Some(format!("those that have: {}", changed.join(", "))),
            Self::NothingToProve { .. } => Some(
                "change the rules back and end the run first, or record them all the same with --without-proof"
                    .to_owned(),
            ),
            Self::RepairBreaks { .. } => {
                Some("change the rule so that it gives the same, or migrate into a new target".to_owned())
            }
            Self::RepairedBeside { .. } => Some("stop what migrates, and repair again".to_owned()),
            Self::FromFile { .. } => Some(
                "write eventlift.toml yourself: [source.attributes] says which attribute holds what, such as id = \"key\", \
                 type = \"kind\", stream = \"account\", time = \"at\""
                    .to_owned(),
            ),
            Self::Usage(_) => Some("`--help` has examples".to_owned()),
            Self::NotMapped { .. } => Some("run `eventlift migrate` first".to_owned()),
            Self::Untranslatable { .. } => Some("correct it, or leave it out; nothing was changed".to_owned()),
            Self::Ahead { .. } => {
                Some("run `eventlift migrate` until it has caught up; nothing was changed".to_owned())
            }
            Self::NoSuchRevision { .. } => Some("revisions count from 0".to_owned()),
            Self::Definitions(_)
            | Self::Projections(_)
            | Self::Registry(_)
            | Self::From { .. }
            | Self::Read { .. }
            | Self::Write { .. } => None,
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Definitions(_) | Self::Projections(_) | Self::Registry(_) => ExitCode::Project,
            Self::NoProjections { .. } | Self::UnknownProjection { .. } | Self::From { .. } | Self::FromFile { .. } => {
                ExitCode::Project
            }
            Self::Import { .. } => ExitCode::Project,
            Self::CutOver(error) => of_cut_over(error),
            Self::NotInvertible(_) => ExitCode::Project,
            Self::Store(error) => of_store(error),
            Self::Pipeline(error) => of_pipeline(error),
            Self::Rebuild(error) => of_rebuild(error),
            Self::NotMigrated { .. }
            | Self::NothingToUndo { .. }
            | Self::TargetIsStream
            | Self::ReadModelsMoved { .. } => ExitCode::Refused,
            Self::Serve(ServeError::Ledger(error)) => of_store(error),
            Self::Serve(_) | Self::Write { .. } | Self::Read { .. } | Self::Exists(_) => ExitCode::Store,
            Self::WrongLimit { .. } | Self::UnknownCheck { .. } => ExitCode::Usage,
            Self::ChecksFailed(_) => ExitCode::Refused,
            Self::BesideEvents(error) => error.exit_code(),
            Self::Usage(_) | Self::UnknownRun { .. } => ExitCode::Usage,
            Self::Untranslatable { .. } | Self::NoSuchRevision { .. } => ExitCode::Source,
            Self::NotMapped { .. } | Self::Ahead { .. } => ExitCode::Refused,
            Self::NoRun { .. }
            | Self::RepairsTooLittle { .. }
            | Self::NothingToRepair { .. }
            | Self::NothingToProve { .. }
            | Self::RepairBreaks { .. }
            | Self::RepairedBeside { .. } => ExitCode::Refused,
            Self::NothingToVerify { .. } | Self::NothingInScope { .. } | Self::NotHandedOver { .. } => {
                ExitCode::Refused
            }
        }
    }
}

fn of_pipeline(error: &PipelineError) -> ExitCode {
    match error {
        PipelineError::Source(error) | PipelineError::Target(error) => of_store(error),
        PipelineError::Transform(_) | PipelineError::Uncovered { .. } | PipelineError::QuarantineFull { .. } => {
            ExitCode::Rule
        }
        PipelineError::Refused(crate::pipeline::Refusal::Uncovered { .. }) => ExitCode::Rule,
        PipelineError::Refused(_) | PipelineError::Attributes { .. } => ExitCode::Refused,
        PipelineError::Audit { .. } => ExitCode::Source,
    }
}

fn of_cut_over(error: &CutOverError) -> ExitCode {
    match error {
        CutOverError::Store(error) => of_store(error),
        CutOverError::Pipeline(error) => of_pipeline(error),
        CutOverError::Differs { .. } => ExitCode::Differs,
        CutOverError::NeverCaughtUp { .. }
        | CutOverError::OverBudget { .. }
        | CutOverError::Hook { .. }
        | CutOverError::HalfSwitched { .. }
        | CutOverError::Checks(_) => ExitCode::NotCutOver,
        CutOverError::Ended { .. } => ExitCode::Stopped,
        CutOverError::StillFenced { cause, .. } => of_cut_over(cause),
        CutOverError::NoFence { .. }
        | CutOverError::StillWritten { .. }
        | CutOverError::ForeignEvents { .. }
        | CutOverError::OtherFence { .. }
        | CutOverError::Refused { .. }
        | CutOverError::CannotCarryBack { .. } => ExitCode::Refused,
    }
}

fn of_rebuild(error: &RebuildError) -> ExitCode {
    match error {
        // Rows that the tables can't hold are what the folds have made of the events.
        RebuildError::ReadModels(StoreError { kind: StoreErrorKind::BadInput(_), .. }) => ExitCode::Rule,
        RebuildError::Source(error) | RebuildError::ReadModels(error) => of_store(error),
        RebuildError::Lift(error) => of_pipeline(error),
        RebuildError::Fold(_)
        | RebuildError::SumUp { .. }
        | RebuildError::Refused(RebuildRefusal::NotUnderstood { .. }) => ExitCode::Rule,
        RebuildError::PutAside { .. } => ExitCode::Store,
        RebuildError::Unreadable { .. } | RebuildError::Refused(_) => ExitCode::Refused,
    }
}

fn of_store(error: &StoreError) -> ExitCode {
    match error.kind {
        StoreErrorKind::BadInput(_) | StoreErrorKind::DuplicateId(_) | StoreErrorKind::RevisionConflict { .. } => {
            ExitCode::Source
        }
        StoreErrorKind::Changed(_)
        | StoreErrorKind::Locked(_)
        | StoreErrorKind::Unexpected(_)
        | StoreErrorKind::Unsupported(_) => ExitCode::Refused,
        _ => ExitCode::Store,
    }
}
