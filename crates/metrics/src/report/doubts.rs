//! What keeps the figures of a report from being the whole truth: in one place, so that no form of it hides what another one tells.

use super::document::{Document, Section};
use super::names::visible;

/// So many lines of a kind are told; the report has all.
const MAX_LINES: usize = 30;
/// How the part of `leftOut` begins that says that the totals have no room.
const TOTALS: &str = "aggregate:";

/// Something missing or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// What it is about, in a word or two.
    pub kind: &'static str,
    /// What it is, in a line that can be shown.
    pub text: String,
}

/// All doubts, those of a kind together, and of no kind more than can be read.
pub(super) fn doubts(section: &Section) -> Vec<Doubt> {
    let Section { missing, undelivered, refused, refused_values, left_out, artillery, .. } = section;
    let mut all = Vec::new();
    some("Missing", missing, section.missing_in_all(), &mut all);
    some("Load", undelivered, undelivered.len(), &mut all);
    if *refused_values > 0 {
        let first = refused.first();
        let first =
            first.map_or_else(String::new, |kind| format!(", such as {}: {}", kind.name, kind.reason));
        let values = if *refused_values == 1 { "value was" } else { "values were" };
        some("Refused", &[format!("{refused_values} measured {values} not taken in{first}")], 1, &mut all);
    }
    some("Left out", left_out.as_slice(), left_out.iter().len(), &mut all);
    if artillery.len() > 1 {
        let versions = artillery.iter().take(MAX_LINES).map(String::as_str).collect::<Vec<_>>().join(", ");
        some(
            "Versions",
            &[format!("not all workers had the same Artillery, Node.js and reporter: {versions}")],
            1,
            &mut all,
        );
    }
    all
}

/// Some of the lines of a kind, of which there are so many in all, whether or not the report has them.
fn some(kind: &'static str, lines: &[String], in_all: usize, to: &mut Vec<Doubt>) {
    to.extend(lines.iter().take(MAX_LINES).map(|line| Doubt { kind, text: visible(line) }));
    match in_all.saturating_sub(lines.len().min(MAX_LINES)) {
        0 => {}
        more => to.push(Doubt { kind, text: format!("and {more} more") }),
    }
}

impl Section {
    /// Of how many workers data is missing: a report has not the lines of all.
    fn missing_in_all(&self) -> usize {
        let lost = usize::try_from(self.workers.lost).unwrap_or(usize::MAX);
        // more than no line would tell nothing
        if self.missing.is_empty() { 0 } else { self.missing.len().max(lost) }
    }
}

impl Document {
    /// Why its figures are not those of all that happened, in words; `None` where they are, as far as the verdict asks for them: of workers that
    /// may be missing nobody asks. Where it is something, a counter is at least what is told, and one that is not there need not be 0.
    pub fn gap(&self) -> Option<String> {
        let section = self.loadtest.as_ref()?;
        if self.is_left_out() {
            return Some("what was measured was left out of it".to_owned());
        }
        if section.refused_values > 0 {
            return Some(format!("{} measured values were not taken in", section.refused_values));
        }
        let is_tolerated = ["Passed", "Failed"].contains(&section.verdict.outcome.as_str());
        let first = section.missing.first().filter(|_| !is_tolerated)?;
        let more = match section.missing_in_all() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!("data is missing: {}{more}", visible(first)))
    }

    /// Why its figures are not to be held against those of another report, in words: they are not those of all that happened, or the load was
    /// not all that the script asks for. `None` where they are. Counters are at least what is told.
    pub fn partial(&self) -> Option<String> {
        let Section { verdict, undelivered, .. } = self.loadtest.as_ref()?;
        self.gap().or_else(|| match (verdict.reason.as_str(), verdict.outcome.as_str()) {
            ("Stopped", _) => Some("the load test was stopped".to_owned()),
            ("DeadlineExceeded", _) => Some("the load test was stopped at its deadline".to_owned()),
            ("NoVusers", _) => Some("no virtual user was created".to_owned()),
            ("WorkersFailed", _) | (_, "Inconclusive") => {
                let more = match undelivered.len().saturating_sub(1) {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                Some(visible(undelivered.first().unwrap_or(&verdict.message)) + &more)
            }
            _ => None,
        })
    }

    /// Whether the totals had no room in it.
    pub fn is_left_out(&self) -> bool {
        let left_out = self.loadtest.as_ref().and_then(|section| section.left_out.as_deref());
        self.aggregate.is_empty() && left_out.is_some_and(|what| what.contains(TOTALS))
    }

    /// A counter; one that is not there is 0 where the figures are complete, and `None` elsewhere: nobody knows. Virtual users are told
    /// also where the totals had no room.
    pub fn counted(&self, name: &str) -> Option<f64> {
        let vusers = self.loadtest.as_ref().map(|section| section.vusers).unwrap_or_default();
        let elsewhere = match name {
            "vusers.created" => vusers.created,
            "vusers.completed" => vusers.completed,
            "vusers.failed" => vusers.failed,
            "vusers.skipped" => vusers.skipped,
            _ => 0,
        };
        #[allow(clippy::cast_precision_loss, reason = "a count of virtual users")]
        let elsewhere = (elsewhere > 0).then_some(elsewhere as f64);
        let there = self.aggregate.counters.get(name).copied().or(elsewhere);
        there.or_else(|| self.gap().is_none().then_some(0.0))
    }

    /// All errors together; `None` where there is none among figures that are not complete.
    pub fn errors_counted(&self) -> Option<f64> {
        let errors = self.errors_in_all();
        (errors > 0.0 || self.gap().is_none()).then_some(errors)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(aggregate: Value, loadtest: Value) -> Document {
        let json = json!({ "aggregate": aggregate, "loadtest": loadtest });
        Document::parse(json.to_string().as_bytes()).expect("a report")
    }

    #[test]
    fn no_kind_of_doubt_hides_another_and_none_is_endless() {
        let missing: Vec<_> = (0..500).map(|index| format!("worker {index} never joined")).collect();
        let section = json!({
            "artillery": ["2.0.33", "2.0.34"], "workers": { "lost": 700 }, "missing": missing, "undelivered": ["worker 1\u{1b}[31m was slow"], "refusedValues": 2,
            "refused": [{ "name": "mine", "reason": "-1 is no count", "count": 2 }], "leftOut": "intermediate: no room",
        });
        let document = document(json!({}), section);
        let doubts = doubts(document.loadtest.as_ref().expect("a section"));
        let told = doubts.iter().map(|doubt| (doubt.kind, doubt.text.as_str())).collect::<Vec<_>>();
        assert_eq!(told.len(), 35);
        assert_eq!(
            told[29..],
            [
                ("Missing", "worker 29 never joined"),
                ("Missing", "and 670 more"),
                ("Load", "worker 1\u{fffd}[31m was slow"),
                ("Refused", "2 measured values were not taken in, such as mine: -1 is no count"),
                ("Left out", "intermediate: no room"),
                ("Versions", "not all workers had the same Artillery, Node.js and reporter: 2.0.33, 2.0.34"),
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_none_only_where_all_is_there() {
        let missing = json!(["worker 1 never joined", "worker 2 was lost"]);
        let verdict = |outcome: &str| json!({ "outcome": outcome });
        let counted = json!({ "counters": { "errors.X": 2 } });
        for (aggregate, loadtest, gap) in [
            (json!({}), json!({ "verdict": verdict("Passed") }), None),
            (json!({}), json!({ "verdict": verdict("Inconclusive"), "undelivered": ["it was slow"] }), None),
            (json!({}), json!({ "verdict": verdict("Failed"), "missing": missing }), None),
            (
                json!({}),
                json!({ "verdict": verdict("Inconclusive"), "missing": missing }),
                Some("data is missing: worker 1 never joined, and 1 more"),
            ),
            (
                json!({}),
                json!({ "verdict": verdict("Inconclusive"), "missing": missing, "workers": { "lost": 700 } }),
                Some("data is missing: worker 1 never joined, and 699 more"),
            ),
            (
                counted.clone(),
                json!({ "verdict": verdict("Inconclusive"), "refusedValues": 3 }),
                Some("3 measured values were not taken in"),
            ),
            (
                json!({}),
                json!({ "verdict": verdict("Passed"), "leftOut": "intermediate: no room. aggregate: no room" }),
                Some("what was measured was left out of it"),
            ),
            (counted, json!({ "verdict": verdict("Passed"), "leftOut": "intermediate: no room" }), None),
        ] {
            let document = document(aggregate, loadtest);
            let words = format!("{:?}", document.loadtest);
            assert_eq!(document.gap().as_deref(), gap, "{words}");
            assert_eq!(document.counted("vusers.failed"), gap.is_none().then_some(0.0), "{words}");
            let errors = if document.aggregate.is_empty() { gap.is_none().then_some(0.0) } else { Some(2.0) };
            assert_eq!(document.errors_counted(), errors, "{words}");
        }
        let artillerys = Document::parse(br#"{"aggregate": {}}"#).expect("a report");
        assert_eq!(artillerys.partial(), None);
        assert_eq!((artillerys.gap(), artillerys.errors_counted()), (None, Some(0.0)));
    }

    #[test]
    fn a_report_is_partial_where_the_load_was_not_all_that_the_script_asks_for() {
        let slow = json!(["1 of 2 workers was slow", "1 of 2 workers had its CPU throttled"]);
        for (outcome, reason, undelivered, partial) in [
            ("Passed", "NoChecks", json!([]), None),
            ("Passed", "ChecksPassed", json!([]), None),
            ("Failed", "ChecksFailed", json!([]), None),
            ("Failed", "ExpectationsFailed", json!([]), None),
            ("Failed", "WorkersFailed", json!([]), Some("in words")),
            ("Inconclusive", "NoVusers", json!([]), Some("no virtual user was created")),
            ("Inconclusive", "Stopped", json!([]), Some("the load test was stopped")),
            ("Inconclusive", "Stopped", slow.clone(), Some("the load test was stopped")),
            (
                "Inconclusive",
                "DeadlineExceeded",
                json!([]),
                Some("the load test was stopped at its deadline"),
            ),
            ("Inconclusive", "Inconclusive", slow, Some("1 of 2 workers was slow, and 1 more")),
            ("Inconclusive", "Inconclusive", json!(["it was slow"]), Some("it was slow")),
            ("Inconclusive", "Inconclusive", json!([]), Some("in words")),
        ] {
            let verdict = json!({ "outcome": outcome, "reason": reason, "message": "in words" });
            let document = document(json!({}), json!({ "verdict": verdict, "undelivered": undelivered }));
            assert_eq!((document.partial().as_deref(), document.gap()), (partial, None), "{reason}");
        }
        let missing = json!({ "verdict": { "outcome": "Inconclusive", "reason": "Stopped" }, "missing": ["worker 1 was lost"] });
        let missing = document(json!({}), missing);
        assert_eq!(missing.partial().as_deref(), Some("data is missing: worker 1 was lost"));
    }
}
