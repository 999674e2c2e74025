//! What is said in passing: words that whoever closed the pipe does not want to know, so that they never end the program.

use std::fmt::Display;
use std::io::{self, Write as _};

use crate::exit::Failure;

/// Says a line on standard error.
pub fn say(text: impl Display) {
    // where it cannot be said, nobody reads either
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a line on standard output.
///
/// # Errors
/// As for [`printed`].
pub fn print(text: impl Display) -> Result<(), Failure> {
    printed(writeln!(io::stdout(), "{text}"))
}

/// A reader of standard output that goes away is none of our business.
///
/// # Errors
/// It cannot be written for another reason.
pub fn printed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
