//! What can be typed.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use eventlift_events::{EventType, Position, Revision, Scope, StreamName};

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
    /// Compile every definition, run their test cases, prove the chains. Needs no store.
    #[command(after_help = "\
Examples:
  eventlift check shop             the definitions alone decide
  eventlift check shop --strict    fails as well where they are not those that the target was filled with
  eventlift check shop --json      for a script

Where the target has a ledger that can be looked at, rules that were applied and have changed since are shown.")]
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
    /// Where the target's run and the read models stand.
    Status(ProjectArguments),
    /// Every run into the target, and every one that built read models.
    Runs(RunsArguments),
    /// Translate positions and revisions of the source into those of the target.
    #[command(after_help = "\
Examples:
  eventlift map shop position 17 18            what became of these positions
  eventlift map shop position --back 20        where the target's came from
  eventlift map shop revision cart-7 3         what became of a stream's revision
  eventlift map shop checkpoints --help        the checkpoints of subscriptions, in files and tables
  eventlift map shop references --metadata /causation_position > events.ndjson")]
    Map(MapArguments),
    /// Record the present rules as the applied ones, once it is proved that they give the same.
    #[command(after_help = "\
Examples:
  eventlift repair shop                              all rules that have changed since they were applied
  eventlift repair shop --rule 'UserCreated 1 → 2'   this one, and refuse where others have changed as well
  eventlift repair shop --without-proof              do not read anything; the ledger says who did that

Every event that is in the target has to come out of the present rules as it is. Writes only to the ledger.")]
    Repair(RepairArguments),
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

/// Which project, and how strictly.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Fail (exit code 5) where rules that were applied have changed: `migrate` would be refused.
    #[arg(long)]
    pub strict: bool,
}

/// Which runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift runs shop                        list them
  eventlift runs shop show                   rules, sessions and results of the last one
  eventlift runs shop show 3f2a --text       of the run whose id begins so, with the text of its rules
  eventlift runs shop compare 3f2a latest    rules, counts and speed of two runs
  eventlift runs shop compare --with shop2   of the latest runs of two projects
  eventlift runs shop export > runs.json     everything, for an archive")]
pub struct RunsArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// What to see of them, beside a list.
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
}

/// What to see of runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// One run: rules, sessions, results.
    Show(ShowArguments),
    /// What two runs differ in: rules, counts, speed.
    Compare(CompareArguments),
    /// Everything that the ledger knows, but for positions and state.
    Export(ExportArguments),
}

/// Which run.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// `latest`, its id, or how that begins.
    #[arg(default_value = "latest")]
    pub run: String,
    /// The text of its rules as well.
    #[arg(long)]
    pub text: bool,
}

/// Which runs.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// The two runs, as for `show`. With --with the second is one of the other project [default: latest].
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// Take the second run from the target of this project.
    #[arg(long, value_name = "PROJECT")]
    pub with: Option<PathBuf>,
}

/// How runs are exported.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// One JSON document, or one line for each run.
    #[arg(long, value_enum, default_value = "json")]
    pub format: ExportFormat,
}

/// How runs are exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum ExportFormat {
    /// One JSON document.
    Json,
    /// A JSON object a line, one for each run.
    Ndjson,
}

/// What to translate, by the last run of which project.
#[derive(Debug, Args)]
pub struct MapArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// What to translate.
    #[command(subcommand)]
    pub command: MapCommand,
}

/// What to translate.
#[derive(Debug, Subcommand)]
pub enum MapCommand {
    /// Positions of the source to those of the target, or back.
    Position(PositionArguments),
    /// Revisions of a stream in the source to streams and revisions in the target.
    Revision(RevisionArguments),
    /// What readers of the source have done, to what that is in the target: in a file, or in a table of a database.
    #[command(after_help = "\
Examples:
  eventlift map shop checkpoints --file positions.csv --column position --out new.csv
  eventlift map shop checkpoints --file positions.ndjson --pointer /position > new.ndjson
  eventlift map shop checkpoints --table public.subscriptions --column position --key name
  eventlift map shop checkpoints --table public.subscriptions --column position --key name --apply

Whoever has done everything up to an old position stands at the last event of the target that is made of those alone, and
skips nothing. No position, and -1, stand for nothing done, and stay.")]
    Checkpoints(CheckpointArguments),
    /// References to positions, and to revisions as {\"stream\": …, \"revision\": …}, inside the target's events. Writes the
    /// events to standard output, as CloudEvents lines; changes nothing.
    References(ReferenceArguments),
}

/// Which positions.
#[derive(Debug, Args)]
pub struct PositionArguments {
    /// The positions.
    #[arg(required = true, value_name = "N")]
    pub positions: Vec<Position>,
    /// They are the target's, and are looked up in the source.
    #[arg(long)]
    pub back: bool,
}

/// Which revisions of which stream.
#[derive(Debug, Args)]
pub struct RevisionArguments {
    /// The stream.
    pub stream: StreamName,
    /// The revisions, which count from 0.
    #[arg(required = true, value_name = "N", value_parser = revision)]
    pub revisions: Vec<Revision>,
}

fn revision(text: &str) -> Result<Revision, std::num::ParseIntError> {
    text.parse().map(Revision)
}

/// Which checkpoints, and what becomes of them.
#[derive(Debug, Args)]
pub struct CheckpointArguments {
    /// A CSV file with a header, or JSON lines.
    #[arg(long, value_name = "PATH", required_unless_present = "table", conflicts_with = "table")]
    pub file: Option<PathBuf>,
    /// The column of the positions: of a CSV file, or of a table.
    #[arg(long, value_name = "NAME", conflicts_with = "pointer")]
    pub column: Option<String>,
    /// Where the position is in each of the JSON lines: a JSON Pointer, such as /position.
    #[arg(long, value_name = "POINTER", conflicts_with = "table")]
    pub pointer: Option<String>,
    /// Write here and not to standard output.
    #[arg(long, value_name = "PATH", conflicts_with = "table")]
    pub out: Option<PathBuf>,
    /// A table, with its schema where that is not the usual one.
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// The column whose value no other row of the table has.
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub key: Option<String>,
    /// The database of the table: `target`, `read_models` or a URL [default: target].
    #[arg(long, value_name = "STORE", conflicts_with = "file")]
    pub store: Option<String>,
    /// Write to the table, in one transaction; without it, only what would change is shown.
    #[arg(long, conflicts_with = "file")]
    pub apply: bool,
}

/// Where references are.
#[derive(Debug, Args)]
pub struct ReferenceArguments {
    /// In the data: a JSON Pointer; may be repeated.
    #[arg(long, value_name = "POINTER")]
    pub data: Vec<String>,
    /// In the metadata: a JSON Pointer, such as /causation_position; may be repeated.
    #[arg(long, value_name = "POINTER")]
    pub metadata: Vec<String>,
}

/// Which rules are recorded anew.
#[derive(Debug, Args)]
pub struct RepairArguments {
    /// Which events of which project, as they were migrated.
    #[command(flatten)]
    pub migration: MigrationArguments,
    /// Only this rule; may be repeated. Refused where others have changed as well.
    #[arg(long = "rule", value_name = "NAME")]
    pub rules: Vec<String>,
    /// Prove nothing. Events that are in the target may not be what the rules give; the ledger keeps who did it.
    #[arg(long)]
    pub without_proof: bool,
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
