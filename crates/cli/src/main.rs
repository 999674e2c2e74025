//! `kubectl-artillery`, also called as `kubectl artillery`: reads the flags, does what they say, and ends with the exit code that
//! `docs/cli.md` promises.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where a pipe is closed: see `terminal`"
)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use cli::{commands, exit::Failure, flags::Flags, terminal};

/// What cannot be interrupted, such as the look-up of a name, is not waited for any longer.
const LEAVING: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    if let Some(answer) = commands::completion::asked() {
        let _ = terminal::print(answer);
        return ExitCode::SUCCESS;
    }
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let exit = match &runtime {
        Ok(runtime) => runtime.block_on(commands::run(flags)),
        Err(error) => Err(Failure::internal(format!("cannot start the runtime: {error}"))),
    };
    let exit = exit.unwrap_or_else(|failure| {
        terminal::say_failure(&failure);
        failure.exit
    });
    if let Ok(runtime) = runtime {
        runtime.shutdown_timeout(LEAVING);
    }
    ExitCode::from(exit.code())
}
