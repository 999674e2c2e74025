//! One file per subcommand; each says how the program ends, or why it cannot go on.

mod compare;
pub mod completion;
pub(crate) mod generate;
pub(crate) mod plan;
mod report;
mod run;
pub(crate) mod scaffold;
mod version;

use crate::exit::{Exit, Failure};
use crate::flags::{Command, Flags};

/// Does what was typed.
///
/// # Errors
/// What keeps it from being done, and what would be right.
pub async fn run(flags: Flags) -> Result<Exit, Failure> {
    match flags.command {
        Command::Run(flags) => run::run(&flags).await,
        Command::Generate(flags) => generate::run(&flags),
        Command::Plan(flags) => plan::run(&flags).await,
        Command::Scaffold(flags) => scaffold::run(&flags).await,
        Command::Report(flags) => report::run(&flags),
        Command::Compare(flags) => compare::run(&flags),
        Command::Completion(flags) => completion::run(&flags),
        Command::Version(flags) => version::run(&flags),
    }
}
