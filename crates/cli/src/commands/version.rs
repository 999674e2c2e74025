//! `version`: of this program, and of the Artillery that it would use.

use crate::exit::{Exit, Failure};
use crate::flags::Version;
use crate::local::artillery::Found;
use crate::terminal::print;

pub fn run(flags: &Version) -> Result<Exit, Failure> {
    print(format_args!("kubectl-artillery {}", env!("CARGO_PKG_VERSION")))?;
    match Found::look(flags.executable.as_deref())? {
        Some(found) => print(format_args!("Artillery {} ({})", found.version, found.program.display()))?,
        None => print("Artillery: none here yet; run --local installs one from npm")?,
    }
    Ok(Exit::Passed)
}
