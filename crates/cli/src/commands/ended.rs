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

/// What came of a report.
pub struct Reported {
    exit: Exit,
    /// Whether it was printed; the files were written.
    pub printed: Result<(), Failure>,
}

impl Reported {
    /// How the program ends.
    pub fn end(self) -> Result<Exit, Failure> {
        self.printed.map(|()| self.exit)
    }
}

/// Writes and prints the report of a load test that is over.
pub async fn report(
    connection: &Connection,
    followed: &Followed,
    wanted: Wanted<'_>,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    reported(connection, followed, wanted, signals).await?.end()
}

/// The same, for whoever has more to do then.
pub async fn reported(
    connection: &Connection,
    followed: &Followed,
    wanted: Wanted<'_>,
    signals: &mut Signals,
) -> Result<Reported, Failure> {
    let (exit, words) = conclusion(&followed.load_test);
    let name = followed.load_test.name();
    let fetched = signals.unless(stored::fetch(connection, &followed.load_test)).await;
    let fetched = fetched.ok_or_else(|| {
        Failure::interrupted(format!(
            "left: the load test {name} is over, and its report stays: {}",
            connection.hint(&format!("report {name}"))
        ))
    })?;
    let mut printed = Ok(());
    match fetched {
        Ok(document) => {
            printed = reports::deliver(&document, wanted.targets, wanted.output.into())?;
            if wanted.output == Output::Json {
                // a log of a pipeline has this alone
                say(&words);
            }
            if exit == Exit::Inconclusive {
                say(format_args!("What the workers printed: {}", connection.hint(&format!("logs {name}"))));
            }
        }
        Err(failure) => {
            say(&words);
            if followed.is_interrupted {
                // it may not have begun
                say(harmless_lines(&failure.to_string()));
                return Ok(Reported { exit: Exit::Interrupted, printed });
            }
            // a verdict without a report is no pass: what was asked for is not there
            return Err(failure);
        }
    }
    let exit = if followed.is_interrupted { Exit::Interrupted } else { exit };
    Ok(Reported { exit, printed })
}
