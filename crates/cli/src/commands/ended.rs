//! From a load test in a cluster that is over to its report, and to how the program ends: what `run`, `watch` and `wait` have in common.

use crate::cluster::follow::{Followed, conclusion};
use crate::cluster::{Connection, stored};
use crate::exit::{Exit, Failure};
use crate::flags::Output;
use crate::reports::{self, Targets};
use crate::signals::Signals;
use crate::terminal::{harmless_lines, say};

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
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let (exit, words) = conclusion(&followed.load_test);
    let name = followed.load_test.name();
    let fetched = signals.unless(stored::fetch(connection, &followed.load_test)).await;
    let fetched = fetched.ok_or_else(|| {
        Failure::interrupted(format!(
            "left: the load test {name} is over, and its report stays: {}",
            connection.hint(&format!("report {name}"))
        ))
    })?;
    match fetched {
        Ok(document) => {
            reports::print(&document, wanted.output.into())?;
            wanted.targets.write(&document)?;
            if exit == Exit::Inconclusive {
                say(format_args!("What the workers printed: {}", connection.hint(&format!("logs {name}"))));
            }
        }
        Err(failure) => {
            say(&words);
            if followed.is_interrupted {
                // it may not have begun
                say(harmless_lines(&failure.to_string()));
                return Ok(Exit::Interrupted);
            }
            // a verdict without a report is no pass: what was asked for is not there
            return Err(failure);
        }
    }
    Ok(if followed.is_interrupted { Exit::Interrupted } else { exit })
}
