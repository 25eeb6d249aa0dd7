//! What can be typed.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use eventlift_events::{EventType, InvalidName, Position, Revision, Scope, StreamName};

use super::read_models::From;
use super::shell;

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
  4  the source is broken                  9  stopped on request; the same command goes on
 10  done, but events are in quarantine   11  the cut-over was given up"
)]
pub struct Arguments {
    /// Print one JSON object on standard output, for machines.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show values of events in messages, which may be personal data; they are left out otherwise.
    #[arg(long, global = true)]
    pub show_values: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a starter project, from a store's own contents where given one.
    Init(InitArguments),
    /// Make a project of a configuration of the Kurrent (EventStore) Replicator, and name what has no counterpart.
    #[command(after_help = "\
Examples:
  eventlift import-replicator config/appsettings.yaml shop   the project goes to the folder shop
  eventlift import-replicator values.yaml                    values of its Helm chart, to this folder
  eventlift import-replicator appsettings.json --json        for a script

Connects to nothing. No password is written or shown. Exit code 3 means that something is to be decided before anything can
be migrated: the project is written, and `eventlift check` says what.")]
    ImportReplicator(ImportReplicatorArguments),
    /// Compile every definition, run their test cases, prove the chains. Needs no store, unless asked to look at them.
    #[command(after_help = "\
Examples:
  eventlift check shop                           the definitions and their test cases
  eventlift check shop --strict                  fails as well where the target was filled with others
  eventlift check shop --stores                  and what would be checked before a migration
  eventlift check shop --stores --when cutover   and what would be checked before a cut-over
  eventlift check shop --json                    for a script

Writes nothing. Where the target has a ledger that can be looked at, rules that were applied and have changed since are shown.")]
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
    /// Switch writers to the target: fence the source, bring over what is left, verify, switch.
    #[command(after_help = "\
Examples:
  eventlift cutover shop                  as [cutover] in eventlift.toml says
  eventlift cutover shop --budget 5s      writers may be refused for 5 seconds; then the fence is lifted again
  eventlift cutover shop --fenced         all writers were stopped by hand

Catches up and compares both sides before anybody is refused. What fails before the switch lets writers go on with the
source. Killed anywhere, the same command goes on.")]
    Cutover(CutOverArguments),
    /// After the cut-over, carry what is written to the target back to the source, so that it stays usable.
    #[command(after_help = "\
Examples:
  eventlift reverse shop             what was written up to now
  eventlift reverse shop --follow    and then what comes, until stopped

Uses the rules the other way round; `eventlift check shop` says which have no way back.")]
    Reverse(ReverseArguments),
    /// Before the cut-over, take out of the target what the run wrote; after it, go back to the source.
    #[command(after_help = "\
Examples:
  eventlift rollback shop --yes    before the cut-over: the target is as it was before the run
  eventlift rollback shop          after it: carries back what was written since, and switches writers back

Refuses to go back where something would be lost, and lists it. Killed anywhere, the same command goes on.")]
    Rollback(RollbackArguments),
    /// Change the events of the source where they are, with an undo log. Shows what it would do without --yes.
    #[command(after_help = "\
Examples:
  eventlift rewrite shop                      what it would do; writes nothing
  eventlift rewrite shop --yes                rewrite type, version, data and metadata of what the rules change
  eventlift rewrite shop --verify             compare what is there with what the rules make of the undo log
  eventlift rewrite shop --undo --yes         put back what was there before
  eventlift rewrite shop --drop-undo --yes    once you are sure

Needs only [source], which has to be sqlite or postgres, and rules that leave every event in its place. An event that fails
stops the run: nothing goes into quarantine. Services may go on writing. Killed anywhere, the same command goes on.")]
    Rewrite(RewriteArguments),
    /// Where the target's run and the read models stand.
    Status(ProjectArguments),
    /// Streams that wait because an event of theirs failed: look at them, lift them again, or give events up.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
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
    /// A store to start from: a file of events, one JSON object a line or in an array (plain, gzip, zstd; which attribute holds what is found out), a SQLite database of eventlift, or the
    /// postgres:// URL of a database whose table public.events holds events. Without it, the folder's own events.ndjson, or where there is none a small example.
    #[arg(long, value_name = "PATH|URL")]
    pub from: Option<PathBuf>,
}

/// Which configuration becomes which project.
#[derive(Debug, Args)]
pub struct ImportReplicatorArguments {
    /// The configuration: appsettings.yaml or appsettings.json, values of the Helm chart, or a config map.
    pub file: PathBuf,
    /// The folder to make; nothing in it is overwritten.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
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
pub struct CheckArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Fail (exit code 5) where rules that were applied have changed: `migrate` would be refused.
    #[arg(long)]
    pub strict: bool,
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
    /// Build them although what is live belongs to another project: from now on it is this one's.
    #[arg(long, conflicts_with_all = ["since", "dry_run", "undo", "drop_old"])]
    pub take_over: bool,
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
    /// Don't make this check; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub skip_check: Vec<String>,
}

/// What to do with what is in quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Every stream that waits: which event fails, why, since when, and how many wait behind it; and what was given up.
    #[command(after_help = "\
Examples:
  eventlift quarantine list shop
  eventlift quarantine list shop --json    for a script")]
    List(ProjectArguments),
    /// A held event, why its stream waits, and what the rules would make of it now.
    #[command(after_help = "\
Examples:
  eventlift quarantine show shop order-17                                the event that the stream fails on
  eventlift quarantine show shop 1c07d3a2-7a3f-5f0e-9f39-2b5a7c1e6d11    this one")]
    Show(ShowHeldArguments),
    /// Lift what waits, in order, by the rules as they are now.
    #[command(after_help = "\
Examples:
  eventlift quarantine retry shop                                   all streams
  eventlift quarantine retry shop --stream order-17 --stream user-3    these

A stream whose event fails again goes on waiting. Rules that have changed take over the run, if they would leave what
is in the target as it is; that is proved first, by reading both sides. It can be stopped or killed at any time; the same
command goes on.")]
    Retry(ReleaseArguments),
    /// Give up the event that a stream fails on, for good: as if a rule had dropped it.
    #[command(after_help = "\
Examples:
  eventlift quarantine discard shop order-17 --reason 'test data, see ticket 812'
  eventlift quarantine discard shop order-17 --all --reason 'the whole rest is test data'

Who, when and why is kept in the target's ledger; `list` shows it, and `verify` counts it.")]
    Discard(DiscardArguments),
}

/// What to show.
#[derive(Debug, Args)]
pub struct ShowHeldArguments {
    /// The folder of eventlift.toml, where it is not this one, and a stream or an event's id.
    #[arg(value_name = "PROJECT | STREAM | ID", num_args = 1..=2, required = true)]
    pub project_and_name: Vec<String>,
}

impl ShowHeldArguments {
    /// The project's folder, and the name.
    pub fn project_and_name(&self) -> (&Path, &str) {
        folder_and_name(&self.project_and_name)
    }
}

/// What to lift again.
#[derive(Debug, Args)]
pub struct ReleaseArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Only this stream; may be repeated.
    #[arg(long = "stream", value_name = "NAME")]
    pub streams: Vec<StreamName>,
}

/// What to give up.
#[derive(Debug, Args)]
pub struct DiscardArguments {
    /// The folder of eventlift.toml, where it is not this one, and the stream.
    #[arg(value_name = "PROJECT | STREAM", num_args = 1..=2, required = true)]
    pub project_and_stream: Vec<String>,
    /// Why, for whoever asks later.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// What waits behind the event as well: all of the stream that is held.
    #[arg(long)]
    pub all: bool,
}

impl DiscardArguments {
    /// The project's folder, and the stream.
    pub fn project_and_stream(&self) -> (&Path, &str) {
        folder_and_name(&self.project_and_stream)
    }
}

/// A name, and the folder before it, if there is one.
fn folder_and_name(arguments: &[String]) -> (&Path, &str) {
    match arguments {
        [folder, name] => (Path::new(folder), name),
        [name] => (Path::new("."), name),
        _ => (Path::new("."), ""),
    }
}

/// A part of the source.
#[derive(Debug, Args)]
pub struct ScopeArguments {
    /// Only the streams of this category.
    #[arg(long, value_name = "NAME", group = "scope", value_parser = category)]
    pub category: Option<String>,
    /// Only this stream.
    #[arg(long, value_name = "NAME", group = "scope")]
    pub stream: Option<StreamName>,
    /// Only events of this type; may be repeated.
    #[arg(long = "type", value_name = "NAME", group = "scope")]
    pub types: Vec<EventType>,
}

/// The name of a category that a stream may be in.
fn category(text: &str) -> Result<String, InvalidName> {
    StreamName::check_category(text).map(|()| text.to_owned())
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
        let mut all = of_category.chain(of_stream).chain(of_types);
        all.try_for_each(|(flag, name)| match name.starts_with('-') {
            true => write!(f, " --{flag}={}", shell::word(name)),
            false => write!(f, " --{flag} {}", shell::word(name)),
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

/// How a cut-over is done.
#[derive(Debug, Args)]
pub struct CutOverArguments {
    /// Which events of which project, and how: as they were migrated.
    #[command(flatten)]
    pub migration: MigrationArguments,
    /// How long the source may refuse writes, such as 30s or 1500ms; in place of `budget` under [cutover].
    #[arg(long, value_parser = length_of_time)]
    pub budget: Option<Duration>,
    /// All writers were stopped by hand: there is nothing to be fenced.
    #[arg(long)]
    pub fenced: bool,
}

/// What is carried back.
#[derive(Debug, Args)]
pub struct ReverseArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// When everything is back, carry over what comes, until stopped.
    #[arg(long)]
    pub follow: bool,
}

/// What is rewritten, or what becomes of that.
#[derive(Debug, Args)]
pub struct RewriteArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Do it, without asking.
    #[arg(long)]
    pub yes: bool,
    /// Put back what the last run has rewritten, the latest first.
    #[arg(long, conflicts_with_all = ["drop_undo", "verify"])]
    pub undo: bool,
    /// Drop the undo log of the last run, which can't be taken back then.
    #[arg(long, conflicts_with = "verify")]
    pub drop_undo: bool,
    /// Compare every event with what the rules make of its original.
    #[arg(long)]
    pub verify: bool,
    /// Batches lifted at the same time [default: one a core].
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Events a batch.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub batch: NonZeroUsize,
    /// Go on although rules or policies are not those the run was started with.
    #[arg(long)]
    pub accept_changes: bool,
}

/// What is taken back.
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Take the run's events out of the target without asking.
    #[arg(long)]
    pub yes: bool,
    /// All writers of the target were stopped by hand: there is nothing to be fenced.
    #[arg(long)]
    pub fenced: bool,
}

fn length_of_time(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let duration = duration.filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| format!("{text:?} is no length of time, such as 500ms, 30s or 2min"))
}
