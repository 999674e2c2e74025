//! What two reports are of, beside their figures: whether each passed, how long it took, and how much load it was.

use std::fmt;

use serde::Serialize;

use crate::report::Workers;
use crate::report::document::{Document, Verdict};
use crate::report::names::visible;
use crate::report::text::{counted, duration};

/// What a report is of; `None` for what it does not tell, as one of Artillery's own.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct About<'a> {
    /// The namespace and the name of the load test.
    pub load_test: String,
    /// Whether it passed, and why.
    pub verdict: Option<&'a Verdict>,
    /// From the release of the workers to the end.
    pub duration_milliseconds: Option<u64>,
    /// What became of its workers.
    pub workers: Option<Workers>,
    /// Virtual users that there were to be.
    pub planned_vusers: Option<u64>,
    /// In words.
    #[serde(skip)]
    vusers: String,
}

/// What a report is of.
pub fn about(document: &Document) -> About<'_> {
    let section = document.loadtest.as_ref();
    let span = section.and_then(|section| section.started_at_milliseconds.zip(section.ended_at_milliseconds));
    About {
        load_test: document.title(),
        verdict: section.map(|section| &section.verdict),
        duration_milliseconds: span.map(|(began, ended)| ended.saturating_sub(began)),
        workers: section.map(|section| section.workers),
        planned_vusers: section.and_then(|section| section.vusers.planned),
        vusers: section.map(|section| counted(document, section)).unwrap_or_default(),
    }
}

impl fmt::Display for About<'_> {
    /// In brackets, and what it took in a line of its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load_test, verdict, duration_milliseconds, workers, vusers, .. } = self;
        let verdict = verdict.map_or_else(
            || "no verdict".to_owned(),
            |Verdict { outcome, reason, .. }| match reason.as_str() {
                "" => visible(outcome),
                reason => visible(&format!("{outcome}: {reason}")),
            },
        );
        write!(formatter, "({}, {verdict})", visible(load_test))?;
        let Some(workers) = workers else { return Ok(()) };
        let took = duration_milliseconds.map_or_else(|| "unknown time".to_owned(), duration);
        let s = if workers.planned == 1 { "" } else { "s" };
        write!(formatter, "\n   {took}; {} worker{s}; {vusers}", workers.planned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_reports_are_told_apart_by_their_verdict_length_and_load() {
        let workers =
            json!({ "planned": 2, "joined": 2, "reporting": 2, "succeeded": 2, "failed": 0, "lost": 0 });
        let stopped = json!({
            "name": "checkout", "namespace": "shop", "verdict": { "outcome": "Inconclusive", "reason": "Stopped", "message": "the load test was stopped" },
            "workers": workers, "startedAtMilliseconds": 1000, "endedAtMilliseconds": 62_500, "vusers": { "planned": 1200, "created": 20 },
        });
        let early = json!({ "name": "old", "verdict": { "outcome": "Passed" }, "workers": { "planned": 1 } });
        for (loadtest, words, json) in [
            (
                stopped.clone(),
                "(shop/checkout, Inconclusive: Stopped)\n   1 minute, 1 second; 2 workers; 20 of 1200 planned virtual users created",
                json!({
                    "loadTest": "shop/checkout", "verdict": stopped["verdict"], "durationMilliseconds": 61_500, "workers": workers, "plannedVusers": 1200,
                }),
            ),
            (
                early,
                "(old, Passed)\n   unknown time; 1 worker; 0 virtual users created",
                json!({
                    "loadTest": "old", "verdict": { "outcome": "Passed", "reason": "", "message": "" }, "durationMilliseconds": null,
                    "workers": { "planned": 1, "joined": 0, "reporting": 0, "succeeded": 0, "failed": 0, "lost": 0 }, "plannedVusers": null,
                }),
            ),
            (
                json!(null),
                "(artillery run, no verdict)",
                json!({ "loadTest": "artillery run", "verdict": null, "durationMilliseconds": null, "workers": null, "plannedVusers": null }),
            ),
        ] {
            let report = json!({ "aggregate": {}, "loadtest": loadtest }).to_string();
            let document = Document::parse(report.as_bytes()).expect("a report");
            let about = about(&document);
            assert_eq!(
                (about.to_string().as_str(), serde_json::to_value(&about).expect("JSON")),
                (words, json)
            );
        }
    }
}
