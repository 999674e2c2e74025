//! From a load test in a cluster that is over to its report, and to how the program ends: what `run`, `watch` and `wait` have in common.

use crate::cluster::follow::{Followed, conclusion};
use crate::cluster::{Connection, stored};
use crate::exit::{Exit, Failure};
use crate::flags::Output;
use crate::reports::{self, Targets};
use crate::terminal::say;

/// What is wanted of a report.
pub struct Wanted<'a> {
    /// The files that are to be written.
    pub targets: &'a Targets,
    /// What is printed.
    pub output: Output,
}

/// Prints and writes the report of a load test that is over.
pub async fn report(
    connection: &Connection,
    followed: &Followed,
    wanted: Wanted<'_>,
) -> Result<Exit, Failure> {
    let (exit, words) = conclusion(&followed.load_test);
    match stored::fetch(connection, &followed.load_test).await {
        Ok(document) => {
            reports::print(&document, wanted.output.into())?;
            wanted.targets.write(&document)?;
            if exit == Exit::Inconclusive {
                let name = followed.load_test.name();
                say(format_args!(
                    "What the workers printed: kubectl artillery logs {name} -n {}",
                    connection.namespace
                ));
            }
        }
        Err(failure) => {
            say(&words);
            if followed.is_interrupted {
                // it may not have begun
                say(failure);
                return Ok(Exit::Interrupted);
            }
            // a verdict without a report is no pass: what was asked for is not there
            return Err(failure);
        }
    }
    Ok(if followed.is_interrupted { Exit::Interrupted } else { exit })
}
