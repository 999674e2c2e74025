//! `version`: of this program, and of the Artillery that it would use.

use crate::exit::{Exit, Failure};
use crate::flags::Version;
use crate::local::artillery::Found;

pub fn run(flags: &Version) -> Result<Exit, Failure> {
    println!("kubectl-artillery {}", env!("CARGO_PKG_VERSION"));
    match Found::look(flags.executable.as_deref())? {
        Some(found) => println!("Artillery {} ({})", found.version, found.program.display()),
        None => println!("Artillery: none here yet; run --local installs one from npm"),
    }
    Ok(Exit::Passed)
}
