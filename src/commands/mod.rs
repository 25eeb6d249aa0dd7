//! The command line: one file a command. Each returns a report, which prints for people or as JSON, or an error with
//! its exit code.

mod applied;
mod arguments;
mod check;
mod checks;
mod compared;
mod control;
mod cutover;
mod error;
mod event_view;
mod fed;
mod follow;
mod going_on;
mod import_replicator;
mod init;
mod jobs;
mod map;
mod migrate;
mod output;
mod ownership;
mod plan;
mod progress_line;
mod quarantine;
mod read_model_status;
mod read_models;
mod rebuild;
mod recorded;
mod repair;
mod reverse;
mod rewrite;
mod rollback;
mod rules;
mod run_reports;
mod run_view;
mod runs;
mod serve;
mod shell;
mod stand_by;
mod status;
mod take_over;
mod throttle;
mod took;
mod verify;

use eventlift_language::{has_hidden_values, show_values};

pub use arguments::{Arguments, Command, MapCommand, RunsCommand};
pub use checks::{CheckOptions, run_checks};
pub use control::{HandedOver, ask_to_hand_over};
pub use error::{CommandError, ExitCode};
use output::say_error;
pub use output::{Format, print_error, print_report};

use check::check;
use cutover::cutover;
use import_replicator::import_replicator;
use init::init;
use map::{checkpoint_file, checkpoint_table, map_positions, map_references, map_revisions};
use migrate::migrate;
use plan::plan;
use quarantine::quarantine;
use rebuild::rebuild;
use repair::repair;
use reverse::reverse;
use rewrite::rewrite;
use rollback::rollback;
use run_reports::{compare_runs, export_runs, show_run};
use runs::runs;
use serve::serve;
use status::status;
use throttle::throttle;
use verify::verify;

/// Runs a command and prints what came of it.
pub async fn run(arguments: Arguments) -> ExitCode {
    let format = Format::of(arguments.json);
    show_values(arguments.show_values);
    let outcome = match arguments.command {
        Command::Init(init_arguments) => init(&init_arguments).await.map(|r| print_report(format, &r)),
        Command::ImportReplicator(arguments) => import_replicator(&arguments).map(|r| print_report(format, &r)),
        Command::Check(arguments) => check(&arguments).await.map(|r| print_report(format, &r)),
        Command::Plan(plan_arguments) => plan(&plan_arguments, format).await.map(|r| print_report(format, &r)),
        Command::Migrate(migration) => migrate(&migration, format).await.map(|r| print_report(format, &r)),
        Command::Verify(migration) => verify(&migration, format).await.map(|r| print_report(format, &r)),
        Command::Rebuild(arguments) => rebuild(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Throttle(arguments) => throttle(&arguments).await.map(|r| print_report(format, &r)),
        Command::Cutover(arguments) => cutover(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Reverse(arguments) => reverse(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Rollback(arguments) => rollback(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Rewrite(arguments) => rewrite(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Status(project) => status(&project).await.map(|r| print_report(format, &r)),
        Command::Runs(arguments) => match &arguments.command {
            None => runs(&arguments.project).await.map(|r| print_report(format, &r)),
            Some(RunsCommand::Show(show)) => show_run(&arguments.project, show).await.map(|r| print_report(format, &r)),
            Some(RunsCommand::Compare(compare)) => {
                compare_runs(&arguments.project, compare).await.map(|r| print_report(format, &r))
            }
            Some(RunsCommand::Export(export)) => {
                export_runs(&arguments.project, export).await.map(|r| print_report(format, &r))
            }
        },
        Command::Map(arguments) => run_map(&arguments, format).await,
        Command::Repair(arguments) => repair(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Quarantine(wanted) => quarantine(&wanted, format).await,
        Command::Serve(arguments) => serve(&arguments, format).await.map(|r| print_report(format, &r)),
    };
    let code = outcome.unwrap_or_else(|error| print_error(format, &error));
    if code != ExitCode::Done && format == Format::Text && has_hidden_values() {
        say_error("values of events are left out; --show-values shows them");
    }
    code
}

/// Translates positions, and prints what came of it.
async fn run_map(arguments: &arguments::MapArguments, format: Format) -> Result<ExitCode, CommandError> {
    let project = crate::config::Project::load(&arguments.project.project)?;
    match &arguments.command {
        MapCommand::Position(positions) => map_positions(&project, positions).await.map(|r| print_report(format, &r)),
        MapCommand::Revision(revisions) => map_revisions(&project, revisions).await.map(|r| print_report(format, &r)),
        MapCommand::Checkpoints(checkpoints) => match (&checkpoints.file, &checkpoints.table) {
            (Some(file), None) => {
                let mapped = checkpoint_file(&project, file, checkpoints).await.map(|r| print_report(format, &r));
                match checkpoints.out {
                    Some(_) => mapped,
                    None => mapped.map_err(|error| CommandError::BesideEvents(Box::new(error))),
                }
            }
            (None, Some(table)) => {
                checkpoint_table(&project, table, checkpoints).await.map(|r| print_report(format, &r))
            }
            _ => Err(CommandError::usage("checkpoints are in a --file or in a --table")),
        },
        MapCommand::References(references) => map_references(&project, references)
            .await
            .map(|r| print_report(format, &r))
            .map_err(|error| CommandError::BesideEvents(Box::new(error))),
    }
}
