//! One file per subcommand; each says how the program ends, or why it cannot go on.

mod compare;
pub mod completion;
mod ended;
mod generate;
mod kubectl;
mod list;
mod logs;
mod manifests;
pub mod plan;
mod report;
mod run;
pub mod scaffold;
mod stop;
mod version;
mod watch;

use crate::exit::{Exit, Failure};
use crate::flags::{Command, Flags};

/// Does what was typed.
///
/// # Errors
/// What keeps it from being done, and what would be right.
pub async fn run(flags: Flags) -> Result<Exit, Failure> {
    let Flags { cluster, command } = flags;
    match command {
        Command::Run(flags) => run::run(&flags, &cluster).await,
        Command::List(flags) => list::run(&flags, &cluster).await,
        Command::Watch(flags) => watch::watch(&flags, &cluster).await,
        Command::Wait(flags) => watch::wait(&flags, &cluster).await,
        Command::Logs(flags) => logs::run(&flags, &cluster).await,
        Command::Stop(flags) => stop::run(&flags, &cluster).await,
        Command::Generate(flags) => generate::run(&flags, &cluster),
        Command::Report(flags) => report::run(&flags, &cluster).await,
        Command::Compare(flags) => compare::run(&flags, &cluster).await,
        Command::Version(flags) => version::run(&flags, &cluster).await,
        Command::Plan(flags) => plan::run(&flags).await,
        Command::Scaffold(flags) => scaffold::run(&flags, &cluster).await,
        Command::Completion(flags) => completion::run(&flags),
    }
}
