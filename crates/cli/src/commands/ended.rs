//! From a load test in a cluster that is over to its report, and to how the program ends: what `run`, `watch` and `wait` have in common.

use loadtest::LoadTest;

use crate::cluster::follow::{Followed, conclusion};
use crate::cluster::{Connection, stored};
use crate::exit::{Exit, Failure};
use crate::flags::Output;
use crate::reports::{self, Targets};
use crate::signals::Signals;
use crate::terminal::{Delivered, harmless_lines, say};

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
    printed: Result<(), Failure>,
    /// Whether nothing is lost with the load test: somebody has its report, or there is none.
    pub is_had: bool,
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
    let left = || {
        Failure::interrupted(format!(
            "left: the load test {name} is over, and its report stays: {}",
            connection.hint(&format!("report {name}"))
        ))
    };
    let printed = match fetched.ok_or_else(left)? {
        Ok(document) => {
            let (targets, form) = (wanted.targets.clone(), wanted.output.into());
            let deliver = move || reports::deliver(&document, &targets, form);
            let printed = reports::unless_stuck(deliver, signals).await.ok_or_else(left)???;
            if wanted.output == Output::Json {
                // a log of a pipeline has this alone
                say(&words);
            }
            if exit == Exit::Inconclusive {
                say(format_args!("What the workers printed: {}", connection.hint(&format!("logs {name}"))));
            }
            printed
        }
        Err(failure) => {
            say(&words);
            if followed.is_interrupted {
                // it may not have begun
                say(harmless_lines(&failure.to_string()));
                let is_had = !has_report(&followed.load_test);
                return Ok(Reported { exit: Exit::Interrupted, printed: Ok(()), is_had });
            }
            // a verdict without a report is no pass: what was asked for is not there
            return Err(failure);
        }
    };
    let exit = if followed.is_interrupted { Exit::Interrupted } else { exit };
    let is_had = !wanted.targets.is_empty() || matches!(printed, Ok(Delivered::Yes));
    Ok(Reported { exit, printed: printed.map(drop), is_had })
}

/// Whether the cluster has a report of it.
fn has_report(load_test: &LoadTest) -> bool {
    let report = load_test.status.as_ref().and_then(|status| status.report.as_ref());
    report.is_some_and(|report| !report.config_maps.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::watch::channel;

    use super::*;
    use crate::cluster::bare;

    /// What came of a load test that its user stopped, and of whose report the cluster says this.
    async fn stopped(status: Value, answers: Vec<(u16, Value)>) -> Reported {
        let connection = Connection::to_one_that_answers(answers).await;
        let mut load_test = LoadTest::new("checkout", loadtest::LoadTestSpec::default());
        load_test.status = Some(serde_json::from_value(status).expect("a status"));
        let followed = Followed { load_test, is_interrupted: true };
        let (_send, came) = channel(0);
        let targets = Targets::of(&[]).expect("none");
        let wanted = Wanted { targets: &targets, output: Output::Text };
        let reported = reported(&connection, &followed, wanted, &mut Signals::of(came)).await;
        reported.expect("it may not have begun")
    }

    #[tokio::test]
    async fn a_report_that_nobody_could_read_is_not_to_go_with_its_load_test() {
        let completed = json!([{ "type": "Completed", "status": "True" }]);
        let never_began = json!({ "conditions": completed });
        let has_one = json!({ "conditions": completed, "report": { "configMaps": ["checkout-report"] } });
        for (status, answer, is_had) in [(never_began, None, true), (has_one, Some(bare(403)), false)] {
            let reported = stopped(status.clone(), answer.into_iter().collect()).await;
            assert_eq!(reported.is_had, is_had, "{status}");
            assert_eq!(reported.end().expect("an end").code(), 130);
        }
    }
}
