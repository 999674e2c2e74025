//! The manager's process: flags in, exit code out.

use std::process::ExitCode;

use operator::flags::{Command, Flags};
use operator::{logging, manager};

fn main() -> ExitCode {
    let flags = Flags::read(std::env::args()).unwrap_or_else(|error| error.exit());
    if let Some(Command::Crd) = flags.command {
        return manager::print_crd();
    }
    logging::init(&flags);
    match manager::main(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
