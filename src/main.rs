//! The command line of eventlift.

use clap::Parser;
use eventlift::commands::{Arguments, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "there is nothing else to say it with")]
            {
                eprintln!("error: failed to start: {error}");
            }
            return std::process::ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(arguments));
    // A rule that never ends may still hold a thread; the run is over all the same.
    runtime.shutdown_background();
    code.into()
}
