//! `kubectl-artillery`, also called as `kubectl artillery`: reads the flags, does what they say, and ends with the exit code that
//! `docs/cli.md` promises.

use std::process::ExitCode;

use clap::Parser as _;
use cli::{commands, exit::Failure, flags::Flags};

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(flags)),
        Err(error) => Err(Failure::internal(format!("cannot start the runtime: {error}"))),
    };
    let exit = exit.unwrap_or_else(|failure| {
        eprintln!("kubectl-artillery: {failure}");
        failure.exit
    });
    ExitCode::from(exit.code())
}
