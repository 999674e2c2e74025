//! The manager's process: flags in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use operator::flags::{Command, Flags, modern};
use operator::{logging, manager};

fn main() -> ExitCode {
    let flags = Flags::parse_from(modern(std::env::args()));
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
