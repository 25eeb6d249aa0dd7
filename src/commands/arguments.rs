//! What can be typed.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use eventlift_events::{EventType, Scope, StreamName};

use super::read_models::From;

/// Lifts an event store to a new schema, a new shape or a new store.
#[derive(Debug, Parser)]
#[command(
    name = "eventlift",
    version,
    about,
    after_help = "\
Examples:
  eventlift init shop --from events.ndjson.gz   start a project from an event log
  eventlift check shop                          compile the rules and run their test cases
  eventlift plan shop                           see what would happen, event type by event type
  eventlift migrate shop                        do it; the same command again resumes
  eventlift verify shop                         read both sides back
  eventlift rebuild shop                        build changed read models anew, beside the live ones
  eventlift serve shop                          build them when their schedules say so

Exit codes:
  0  done                                  5  refused: it would mix things up
  1  unexpected                            6  verify found a difference
  2  the command line is not understood    7  a rule or a fold failed, or nothing covers an event
  3  the project or its rules are wrong    8  a store can't be read or written
  4  the source is broken                  9  stopped on request; the same command goes on"
)]
pub struct Arguments {
    /// Print one JSON object on standard output, for machines.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a starter project, from a store's own contents where given one.
    Init(InitArguments),
    /// Compile every definition, run their test cases, prove the chains. Needs no store, unless asked to look at them.
    Check(CheckArguments),
    /// Read the source and show what a migration would do. Writes nothing.
    Plan(PlanArguments),
    /// Upcast and append. Resumes by itself.
    #[command(after_help = "\
Examples:
  eventlift migrate shop                   everything
  eventlift migrate shop --category user   the streams of one category
  eventlift migrate shop --follow          and then carry over what comes, until stopped
  eventlift migrate shop --json            for a script

SIGINT or SIGTERM (Ctrl-C) drains and commits; the same command goes on. A second one ends at once.")]
    Migrate(MigrateArguments),
    /// Read both sides back and compare them; shows the first event that differs.
    #[command(after_help = "\
Examples:
  eventlift verify shop                    everything
  eventlift verify shop --category user    after a migration of the same part
  eventlift verify shop --json             for a script: exit code 0 means that both sides are the same

Writes nothing. SIGINT or SIGTERM (Ctrl-C) ends it, and nothing is proved then.")]
    Verify(MigrationArguments),
    /// Build snapshots and read models anew, beside the live ones, and swap them in.
    Rebuild(RebuildArguments),
    /// Make a run slower or faster while it runs, or pause it.
    Throttle(ThrottleArguments),
    /// Where the target's run and the read models stand.
    Status(ProjectArguments),
    /// Every run into the target, and every one that built read models.
    Runs(ProjectArguments),
    /// Build read models when their schedules say so.
    Serve(ServeArguments),
}

/// Which project.
#[derive(Debug, Args)]
pub struct ProjectArguments {
    /// The folder of eventlift.toml.
    #[arg(default_value = ".")]
    pub project: PathBuf,
}

/// What to start a project with.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder to make; nothing in it is overwritten.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// A store to start from: a file of CloudEvents lines (plain, gzip, zstd), a SQLite database of eventlift, or the
    /// postgres:// URL of a database whose table public.events holds events. Without it, the folder's own events.ndjson, or where there is none a small example.
    #[arg(long, value_name = "PATH|URL")]
    pub from: Option<PathBuf>,
}

/// Which events of which project, and how.
#[derive(Debug, Args)]
pub struct MigrationArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Which events.
    #[command(flatten)]
    pub scope: ScopeArguments,
    /// Batches transformed at the same time [default: one a core].
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Events a batch.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub batch: NonZeroUsize,
    /// Go on although rules, policies or source are not those the run was started with.
    #[arg(long)]
    pub accept_changes: bool,
    /// Leave the read models and snapshots alone.
    #[arg(long)]
    pub events_only: bool,
}

/// What to migrate, and whether to go on with what comes.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// Which events of which project, and how.
    #[command(flatten)]
    pub migration: MigrationArguments,
    /// When everything is in, carry over what comes to the source, until stopped. Read models are brought up to date
    /// before and at the end.
    #[arg(long)]
    pub follow: bool,
    /// Don't make this check; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub skip_check: Vec<String>,
}

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift check shop                           the definitions and their test cases
  eventlift check shop --stores                  and what would be checked before a migration
  eventlift check shop --stores --when cutover   and what would be checked before a cut-over

Writes nothing.")]
pub struct CheckArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Make the checks of the stores as well: those of eventlift and those under [[check]] in eventlift.toml.
    #[arg(long)]
    pub stores: bool,
    /// Which of them: those before a migration, those behind it, or those of a cut-over.
    #[arg(long, value_name = "TIME", default_value = "before", requires = "stores")]
    pub when: CheckTime,
    /// Don't make this check; may be repeated.
    #[arg(long, value_name = "NAME", requires = "stores")]
    pub skip_check: Vec<String>,
}

/// When checks are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum CheckTime {
    /// Before a migration.
    Before,
    /// Behind it.
    After,
    /// When writers are about to be switched.
    Cutover,
}

/// How fast a project's run is to be from now on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift throttle shop                            what was asked for, and how the run is
  eventlift throttle shop --events-per-second 5000   no faster than this from now on
  eventlift throttle shop --pause                    commit nothing until --resume
  eventlift throttle shop --off                      as fast as it goes, whatever eventlift.toml says
  eventlift throttle shop --reset                    as eventlift.toml says

The run hears of it within a second, and so does the same run when it is started again.")]
pub struct ThrottleArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Commit no more events a second; 0 is a pause.
    #[arg(long, value_name = "N")]
    pub events_per_second: Option<f64>,
    /// Commit no more megabytes a second, of a million bytes.
    #[arg(long, value_name = "N")]
    pub megabytes_per_second: Option<f64>,
    /// Nothing slows it down, whatever eventlift.toml says.
    #[arg(long, conflicts_with_all = ["events_per_second", "megabytes_per_second"])]
    pub off: bool,
    /// Commit nothing.
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// End a pause.
    #[arg(long)]
    pub resume: bool,
    /// Take back whatever was asked for.
    #[arg(long, conflicts_with_all = ["events_per_second", "megabytes_per_second", "off", "pause", "resume"])]
    pub reset: bool,
    /// Change nothing.
    #[arg(long, conflicts_with_all = ["events_per_second", "megabytes_per_second", "off", "pause", "resume", "reset"])]
    pub show: bool,
}

impl ThrottleArguments {
    /// Whether something is asked for.
    pub fn changes_something(&self) -> bool {
        let sets_limit = self.events_per_second.is_some() || self.megabytes_per_second.is_some();
        sets_limit || self.off || self.pause || self.resume || self.reset
    }
}

/// Which projections of which project, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift rebuild shop                      those whose definition, or whose upcasters, have changed
  eventlift rebuild shop customers orders     these two, changed or not
  eventlift rebuild shop --all                all, in one scan
  eventlift rebuild shop --since              apply what came since the last time to the live tables
  eventlift rebuild shop --dry-run            fold everything, write nothing
  eventlift rebuild shop customers --undo     swap back to the build before
  eventlift rebuild shop --drop-old           drop the builds before

Readers see the live tables all the time; the new ones take their place in one transaction.
SIGINT or SIGTERM (Ctrl-C) ends it and leaves the live tables as they are. A second one ends at once.")]
pub struct RebuildArguments {
    /// The folder of eventlift.toml, where it is not this one, and the names of projections and aggregates.
    #[arg(value_name = "PROJECT | NAME")]
    pub project_and_names: Vec<String>,
    /// Rebuild what has not changed as well.
    #[arg(long)]
    pub all: bool,
    /// Only apply the events since the checkpoints, to the live tables, in transactions with their checkpoints.
    #[arg(long, conflicts_with = "all")]
    pub since: bool,
    /// Build in this SQLite database instead of the one under [read_models].
    #[arg(long, value_name = "PATH")]
    pub into: Option<PathBuf>,
    /// Fold everything and say what would come of it. Writes nothing.
    #[arg(long, conflicts_with = "since")]
    pub dry_run: bool,
    /// Swap back to the build before.
    #[arg(long, conflicts_with_all = ["all", "since", "dry_run", "from"])]
    pub undo: bool,
    /// Drop the builds that were live before.
    #[arg(long, conflicts_with_all = ["all", "since", "dry_run", "from", "undo"])]
    pub drop_old: bool,
    /// Which store to fold events from [default: the target where the project has one].
    #[arg(long, value_name = "STORE")]
    pub from: Option<From>,
    /// Threads that fold [default: one a core].
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Events a batch.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub batch: NonZeroUsize,
}

impl RebuildArguments {
    /// The project's folder and the names: the first argument is a folder if it is a project's.
    pub fn project_and_names(&self, is_project: impl Fn(&Path) -> bool) -> (&Path, &[String]) {
        match self.project_and_names.split_first() {
            Some((first, names)) if is_project(Path::new(first)) => (Path::new(first), names),
            _ => (Path::new("."), &self.project_and_names),
        }
    }
}

/// Which project's schedules, and for how long.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift serve shop           build what [schedule.NAME] in eventlift.toml says, when it says so, until stopped
  eventlift serve shop --once    build what is due now and end; for cron or a systemd timer
  eventlift serve shop --json    a JSON object a line for everything that happens

A time that was missed while nothing ran is made up for once. SIGINT or SIGTERM (Ctrl-C) saves what is being done and
ends; a second one ends at once.")]
pub struct ServeArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Run what is due now, and end.
    #[arg(long)]
    pub once: bool,
}

/// What to look at, and how much to show.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift plan shop                    read everything
  eventlift plan shop --sample 100000    look at the first 100,000 events only
  eventlift plan shop --json             for a script: exit code 0 means that migrate would start")]
pub struct PlanArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Which events.
    #[command(flatten)]
    pub scope: ScopeArguments,
    /// Look at this many events only, from the start.
    #[arg(long, value_name = "EVENTS")]
    pub sample: Option<u64>,
    /// Before and after of this many events of each type and version.
    #[arg(long, value_name = "N", default_value = "1")]
    pub show: usize,
}

/// A part of the source.
#[derive(Debug, Args)]
pub struct ScopeArguments {
    /// Only the streams of this category.
    #[arg(long, value_name = "NAME", group = "scope")]
    pub category: Option<String>,
    /// Only this stream.
    #[arg(long, value_name = "NAME", group = "scope")]
    pub stream: Option<StreamName>,
    /// Only events of this type; may be repeated.
    #[arg(long = "type", value_name = "NAME", group = "scope")]
    pub types: Vec<EventType>,
}

impl ScopeArguments {
    /// The scope; clap lets only one kind through.
    pub fn scope(&self) -> Scope {
        match (&self.category, &self.stream) {
            (Some(category), _) => Scope::Category(category.clone()),
            (None, Some(stream)) => Scope::Stream(stream.clone()),
            (None, None) if !self.types.is_empty() => Scope::Types(self.types.iter().cloned().collect()),
            (None, None) => Scope::All,
        }
    }
}

impl fmt::Display for ScopeArguments {
    /// As it is typed, a space before each argument; nothing for everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_category = self.category.iter().map(|name| ("category", name.as_str()));
        let of_stream = self.stream.iter().map(|name| ("stream", name.as_str()));
        let of_types = self.types.iter().map(|name| ("type", name.as_str()));
        of_category.chain(of_stream).chain(of_types).try_for_each(|(flag, name)| {
            let is_plain = name.chars().all(|c| c.is_alphanumeric() || "-_./:@".contains(c));
            if is_plain {
                write!(f, " --{flag} {name}")
            } else {
                write!(f, " --{flag} '{}'", name.replace('\'', r"'\''"))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_shown_as_it_is_typed() {
        let shown = |arguments: &[&str]| {
            let all = ["eventlift", "plan"].iter().chain(arguments);
            match Arguments::parse_from(all).command {
                Command::Plan(plan) => plan.scope.to_string(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(shown(&[]), "");
        assert_eq!(shown(&["--category", "user"]), " --category user");
        assert_eq!(shown(&["--stream", "user-it's me"]), r" --stream 'user-it'\''s me'");
        assert_eq!(shown(&["--type", "A", "--type", "B.C"]), " --type A --type B.C");
    }
}
