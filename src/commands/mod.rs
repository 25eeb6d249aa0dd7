//! The command line: one file a command. Each returns a report, which prints for people or as JSON, or an error with
//! its exit code.

mod arguments;
mod check;
mod checks;
mod compared;
mod control;
mod error;
mod event_view;
mod fed;
mod follow;
mod going_on;
mod init;
mod jobs;
mod migrate;
mod output;
mod plan;
mod progress_line;
mod read_model_status;
mod read_models;
mod rebuild;
mod rules;
mod runs;
mod serve;
mod status;
mod throttle;
mod verify;

pub use arguments::{Arguments, Command};
pub use checks::{CheckOptions, run_checks};
pub use control::{HandedOver, ask_to_hand_over};
pub use error::{CommandError, ExitCode};
pub use output::{Format, print_error, print_report};

use check::check;
use init::init;
use migrate::migrate;
use plan::plan;
use rebuild::rebuild;
use runs::runs;
use serve::serve;
use status::status;
use throttle::throttle;
use verify::verify;

/// Runs a command and prints what came of it.
pub async fn run(arguments: Arguments) -> ExitCode {
    let format = Format::of(arguments.json);
    let outcome = match arguments.command {
        Command::Init(init_arguments) => init(&init_arguments).await.map(|r| print_report(format, &r)),
        Command::Check(arguments) => check(&arguments).await.map(|r| print_report(format, &r)),
        Command::Plan(plan_arguments) => plan(&plan_arguments, format).await.map(|r| print_report(format, &r)),
        Command::Migrate(migration) => migrate(&migration, format).await.map(|r| print_report(format, &r)),
        Command::Verify(migration) => verify(&migration, format).await.map(|r| print_report(format, &r)),
        Command::Rebuild(arguments) => rebuild(&arguments, format).await.map(|r| print_report(format, &r)),
        Command::Throttle(arguments) => throttle(&arguments).await.map(|r| print_report(format, &r)),
        Command::Status(project) => status(&project).await.map(|r| print_report(format, &r)),
        Command::Runs(project) => runs(&project).await.map(|r| print_report(format, &r)),
        Command::Serve(arguments) => serve(&arguments, format).await.map(|r| print_report(format, &r)),
    };
    outcome.unwrap_or_else(|error| print_error(format, &error))
}
