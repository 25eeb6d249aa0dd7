//! The project's own chores: tests and measurements.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "chores speak to whoever runs them")]

mod bench;
mod bench_postgres;
mod bench_rebuild;
mod bench_trust;
mod event_log;
mod fuzz;
mod kill;
mod payment_log;
mod postgres;
mod process;
mod random;
mod soak;
mod stage;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  test              install what tests need, and run them all
  fuzz [MINUTES]    made inputs on every target of tests/fuzz, with how many each got; what fails is kept (default 1)
  kill [TIMES]      runs killed, and their servers crashed, at random instants; every target must end the same (default 200)
  soak [TIMES] [TEST …]
                    the tests that need PostgreSQL, or those of them with such names, so often in a row while a core is kept busy
                    (default 20); what a test said that failed is kept in target/soak
  bench [EVENTS]    speed and memory against sqlite3's own copy, ratios in one run (default 1,000,000); then `bench rebuild`
  bench rebuild     read models against one statement of SQL, against upserts, and with many keys
  bench postgres    PostgreSQL against psql's COPY | COPY and one statement of SQL, on a server of its own; `bench postgres rebuild`
                    is the latter alone
  bench kurrentdb   appends over loopback: round trips, and speed against one append for each event
  bench trust       there as well: what checks, ledger and quarantine cost, verify, the pause of a cut-over, the throttle
";

/// The benchmark is one of Cargo's, since it brings its own server.
fn bench_kurrentdb() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["bench", "--package", "eventlift", "--features", "kurrentdb", "--bench", "kurrentdb"]);
    process::run(command.current_dir(process::root()))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["test"] => test::test(),
        ["fuzz"] => fuzz::fuzz(1),
        ["fuzz", minutes] => match minutes.parse() {
            Ok(minutes) => fuzz::fuzz(minutes),
            Err(_) => Err(format!("{minutes} is no number of minutes")),
        },
        ["kill"] => kill::kill(200),
        ["kill", times] => match times.parse() {
            Ok(times) => kill::kill(times),
            Err(_) => Err(format!("{times} is no number of kills")),
        },
        ["soak"] => soak::soak(20, &[]),
        ["soak", times, ref filters @ ..] => match times.parse() {
            Ok(times) => soak::soak(times, filters),
            Err(_) => Err(format!("{times} is no number of times")),
        },
        ["bench"] => bench::bench(1_000_000).and_then(|()| bench_rebuild::bench_rebuild()),
        ["bench", "rebuild"] => bench_rebuild::bench_rebuild(),
        ["bench", "postgres"] => bench_postgres::bench_postgres(1_000_000),
        ["bench", "postgres", "rebuild"] => bench_postgres::bench_postgres_rebuild(1_000_000),
        ["bench", "postgres", events] => match events.replace(['_', ','], "").parse() {
            Ok(events) => bench_postgres::bench_postgres(events),
            Err(_) => Err(format!("{events} is no number of events")),
        },
        ["bench", "kurrentdb"] => bench_kurrentdb(),
        ["bench", "trust"] => bench_trust::bench_trust(1_000_000),
        ["bench", "trust", events] => match events.replace(['_', ','], "").parse() {
            Ok(events) => bench_trust::bench_trust(events),
            Err(_) => Err(format!("{events} is no number of events")),
        },
        ["bench", events] => match events.replace(['_', ','], "").parse() {
            Ok(events) => bench::bench(events).and_then(|()| bench_rebuild::bench_rebuild()),
            Err(_) => Err(format!("{events} is no number of events")),
        },
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
